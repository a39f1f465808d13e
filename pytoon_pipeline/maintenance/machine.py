"""Tidying of this machine's own disk: what killed processes left, and requests that have ended."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from pytoon_pipeline.intake.brief_state import ENDED
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import SCHEMA
from pytoon_pipeline.maintenance.deletions import DeletionOutcome, PlannedDeletion, carry_out
from pytoon_pipeline.maintenance.live_objects import BRIEFS
from pytoon_pipeline.maintenance.objects import tidy_store
from pytoon_pipeline.media import fetch_cache
from pytoon_pipeline.scratch import delete_orphaned, is_orphaned
from pytoon_pipeline.settings import Settings

DAY = 86400.0
EVERY = 3600.0
"""Seconds between two tidyings of a machine by a process that stays."""
_LEFT = {
    "temporary": (
        ".tmp-*",
        "engines/.tmp-*",
        "fetched/*/.tmp-*",
        "jobs/.tmp-*",
        "cache/.tmp-*",
    ),
    "note": ("engines/*.rest", "engines/lost-*"),
}
"""Below `settings.home`: kind -> what is of no use once it is a day old. There are few locks,
and they stay."""
_LEFT_BY_DAGSTER = (".dagster.yaml-*", "history/runs/.new-*")

JOBS = sa.Table(
    "jobs",
    sa.MetaData(),  # Made by the API, where there is one.
    *(sa.Column(name, sa.Text) for name in ("id", "key", "request", "webhook_state")),
)
"""What of the HTTP API's table is needed here."""
_UNUSED = "nobody has used it for a day"


def plan_machine(settings: Settings, now: float | None = None) -> list[PlannedDeletion]:
    """Return what is to be deleted from this machine's disk at a Unix time, by default now.

    Working folders are deleted as soon as their process has ended, requests over HTTP when they
    ended longer ago than the settings say. Raises StoreError when the ledger can't be read.
    """
    now = time.time() if now is None else now
    home = settings.home
    planned = list(_plan_scratch(settings.scratch, now))
    left = [(what, home.glob(p)) for what, patterns in _LEFT.items() for p in patterns]
    left += [("temporary", settings.dagster_home.glob(p)) for p in _LEFT_BY_DAGSTER]
    for what, paths in left:
        for path in sorted(paths):
            found = _plan_deletion(what, path, now, DAY, "nobody has finished it for a day")
            planned += [found] if found else []
    keep, days = settings.keep_days * DAY, f"{settings.keep_days:g} days"
    for path in sorted(home.glob("crash/*.txt")):
        found = _plan_deletion("crash", path, now, keep, f"it is older than {days}")
        planned += [found] if found else []
    planned += [
        PlannedDeletion("fetched", str(e.folder), e.bytes, now - e.used, e.reason, modified=e.used)
        for e in fetch_cache.find_unneeded(home / "fetched", now)
    ]
    planned += _plan_requests(settings, now, keep, f"it ended more than {days} ago")
    return planned


def _plan_deletion(
    what: str, path: Path, now: float, older: float, reason: str
) -> PlannedDeletion | None:
    """The deletion of a file or folder; None where something in it changed within `older`
    seconds."""
    try:
        size, newest = _measure_folder(path)
    except OSError:
        return None  # It has just gone.
    if now - newest <= older:
        return None
    return PlannedDeletion(what, str(path), size, now - newest, reason, modified=newest)


def _measure_folder(path: Path) -> tuple[int, float]:
    """Bytes of all that is in a folder, and the Unix time of the newest change in it."""
    info = path.lstat()
    size, newest = (0 if path.is_dir() else info.st_size), info.st_mtime
    if path.is_dir() and not path.is_symlink():
        for inner in path.rglob("*"):
            with suppress(OSError):
                info = inner.lstat()
                size += 0 if inner.is_dir() else info.st_size
                newest = max(newest, info.st_mtime)
    return size, newest


def _plan_scratch(folder: Path, now: float) -> Iterator[PlannedDeletion]:
    for path in sorted(folder.glob("*")):
        gone = is_orphaned(path) if path.is_dir() else None
        if gone is False:
            continue
        # One without a sign is known by its age alone.
        older, reason = (-math.inf, "its process has ended") if gone else (DAY, _UNUSED)
        found = _plan_deletion("scratch", path, now, older, reason)
        if found:
            yield found


def _plan_requests(
    settings: Settings, now: float, keep: float, reason: str
) -> Iterator[PlannedDeletion]:
    """Folders of requests over HTTP whose work has ended, and whose webhook was called."""
    folders = [p for p in sorted(settings.home.glob("jobs/*")) if not p.name.startswith(".")]
    old = [d for p in folders if (d := _plan_deletion("job", p, now, keep, reason))]
    if not old:
        return
    ledger = Ledger(settings.ledger)
    needed = set()
    with ledger.begin() as connection:
        if not _has_jobs(ledger, connection):
            return
        rows = connection.execute(
            sa.select(JOBS.c.id, JOBS.c.webhook_state, JOBS.c.key, BRIEFS).select_from(
                JOBS.outerjoin(
                    BRIEFS,
                    sa.and_(BRIEFS.c.key == JOBS.c.key, BRIEFS.c.path == JOBS.c.request),
                )
            )
        )
        for row in rows:
            brief = row._mapping[BRIEFS.c.key]
            at_work = brief is not None and (
                row.state not in ENDED or row.wanted or now - row.updated <= keep
            )
            unasked = not row._mapping[JOBS.c.key]
            if row.webhook_state == "waiting" or at_work or unasked:
                needed.add(row.id)
    yield from (d for d in old if Path(d.place).name not in needed)


def _has_jobs(ledger: Ledger, connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table("jobs", schema=None if ledger.path else SCHEMA)


def delete_here(settings: Settings, each: PlannedDeletion) -> bool:
    """Delete a file or folder of this machine. Returns False, and deletes nothing, where it has
    been used since it was planned. Raises OSError, and StoreError for the ledger."""
    path = Path(each.place)
    if each.what == "fetched":
        return fetch_cache.remove_fetched(path, time.time())
    if each.what == "scratch":
        if path.is_dir() and not path.is_symlink():
            return delete_orphaned(path)
    else:
        try:
            if _measure_folder(path)[1] > each.modified:
                return False
        except OSError:
            return True
    if each.what == "job":
        # First the row: a folder without one is found again.
        ledger = Ledger(settings.ledger)
        gone = sa.delete(JOBS).where(JOBS.c.id == path.name)
        ledger.run_transaction(lambda c: c.execute(gone), again=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return True


def tidy_machine(settings: Settings) -> DeletionOutcome:
    """Tidy this machine's disk, and once a day its store where that is a folder of it.

    Cheap where there is nothing to do; several processes may do it at once. Raises StoreError when
    the ledger or the store can't be read.
    """
    planned = plan_machine(settings)
    outcome = carry_out(planned, lambda each: delete_here(settings, each), hands=2)
    if "://" not in settings.store and Path(settings.store).is_dir():
        outcome.add(tidy_store(settings, every=DAY))
    return outcome


class MachineTidying:
    """Context manager of a process that runs for long, as a worker or `pytoon serve`: tidies this
    machine every `every` seconds, in a child process. This process may fork, and should not grow by
    the memory that tidying takes."""

    def __init__(self, every: float = EVERY):
        self._every = every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="tidying", daemon=True)

    def __enter__(self) -> MachineTidying:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _go_on(self) -> None:
        argv = [sys.executable, "-m", "pytoon_pipeline.maintenance"]
        while not self._ended.is_set():
            with suppress(OSError, subprocess.TimeoutExpired):
                # What it has to say it says on this process's stderr.
                subprocess.run(
                    argv, stdin=subprocess.DEVNULL, timeout=self._every, start_new_session=True
                )
            self._ended.wait(self._every)
