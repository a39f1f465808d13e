"""Beats of runs: a run on a worker says every few seconds, in the ledger's database and by that
database's clock, that it is still there. So any machine can tell that a run has died, whatever
became of the machine that it was on."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.intake import database
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA

# Not below the logger `pytoon`: Dagster stores what that one says in the database.
log = logging.getLogger("pytoon_pipeline.beats")

BEAT_SECONDS, DEAD_SECONDS = 5.0, 75.0
"""Time between two beats, and since the last after which a run counts as dead: longer than a
database that fails over is waited for (`briefs.database.PATIENCE`)."""
FORGET_SECONDS = 30 * 86400.0
"""Claims are kept this long after their last beat: no task lies anywhere for longer."""

_HEARTBEATS_TABLE = sa.Table(
    "run_beats",
    METADATA,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("process", sa.Text, nullable=False, default=""),
    sa.Column("seen", sa.Float, nullable=False, default=0.0, index=True),
)
"""Which process a run is of (`process_tag`), and when it was last heard of: Unix time by the
database's clock, below 0 when it is known to have ended then."""


def claim_run(ledger: Ledger, run_id: str, process: str) -> bool:
    """Make a run this process's own, once for all: False when it is or was somebody's already."""
    try:
        with ledger.begin() as connection:
            connection.execute(
                sa.insert(_HEARTBEATS_TABLE).values(
                    run_id=run_id, process=process, seen=_database_now(connection)
                )
            )
    except IntegrityError:
        return False
    with suppress(StoreError), ledger.begin() as connection:
        old, seen = _database_now(connection) - FORGET_SECONDS, _HEARTBEATS_TABLE.c.seen
        forgotten = ((seen > 0) & (seen < old)) | ((seen < 0) & (seen > -old))
        connection.execute(sa.delete(_HEARTBEATS_TABLE).where(forgotten))
    return True


def find_holder(ledger: Ledger, run_id: str) -> str | None:
    """The process that claimed a run."""
    with ledger.begin() as connection:
        query = sa.select(_HEARTBEATS_TABLE.c.process).where(_HEARTBEATS_TABLE.c.run_id == run_id)
        return connection.execute(query).scalar()


def record_heartbeat(ledger: Ledger, run_id: str, process: str) -> bool:
    """Say that a run goes on. False when it is this process's no more."""
    with ledger.begin() as connection:
        mine = (
            (_HEARTBEATS_TABLE.c.run_id == run_id)
            & (_HEARTBEATS_TABLE.c.process == process)
            & (_HEARTBEATS_TABLE.c.seen > 0)
        )
        changed = connection.execute(
            sa.update(_HEARTBEATS_TABLE).where(mine).values(seen=_database_now(connection))
        )
        return bool(changed.rowcount)


def heartbeat_ages(ledger: Ledger, run_ids: Iterable[str]) -> dict[str, float]:
    """Seconds since the last beat of each of these runs that is claimed; huge when it is known to
    have ended."""
    wanted = list(run_ids)
    if not wanted:
        return {}
    with ledger.begin() as connection:
        rows = connection.execute(
            sa.select(
                _HEARTBEATS_TABLE.c.run_id, _database_now(connection) - _HEARTBEATS_TABLE.c.seen
            ).where(_HEARTBEATS_TABLE.c.run_id.in_(wanted))
        )
        return {run_id: float(age) for run_id, age in rows}


def release_runs(
    ledger: Ledger, *, runs: Iterable[str] = (), processes: Iterable[str] = ()
) -> None:
    """Note that runs ended without a word, by their ids or by the processes they lived in: they
    need not be waited for."""
    gone = _HEARTBEATS_TABLE.c.run_id.in_(list(runs)) | _HEARTBEATS_TABLE.c.process.in_(
        list(processes)
    )
    with ledger.begin() as connection:
        connection.execute(
            sa.update(_HEARTBEATS_TABLE).where(gone).values(seen=-_database_now(connection))
        )


def _database_now(connection: sa.Connection) -> sa.ColumnElement[float]:
    if connection.dialect.name == "postgresql":
        return database.SERVER_TIME
    return sa.literal_column("(julianday('now') - 2440587.5) * 86400.0", sa.Float)


class RunFate(Enum):
    """What the others hold of a run."""

    on = "on"
    cancelled = "cancelled"
    ended = "ended"


class Heartbeat:
    """Beats for a run of this process, from its claim until the block ends. It ends the process.

    - gently, by SIGINT, when the run was cancelled; hard after `patience` seconds more;
    - hard, by SIGKILL to the whole process group, encoders too, when the run was declared dead, or
      when no beat got through for so long that others may declare it so. Another process may be at
      work on the same brief by then, and nothing of this one's may come between.

    `fate` says what the others hold of the run; what it raises counts as no answer.
    """

    def __init__(
        self,
        beats: Callable[[], bool],
        fate: Callable[[], RunFate],
        every: float = BEAT_SECONDS,
        dead: float = DEAD_SECONDS,
        patience: float = 20.0,
    ):
        self._beats, self._fate = beats, fate
        self._every, self._patience = every, patience
        self._lease = dead - every
        self._heard = _running_time()
        self._asked: float | None = None
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._record_heartbeats, name="beat", daemon=True),
            # Beside it, because a call to a database that is cut off may not come back.
            threading.Thread(target=self._watch_run, name="lease", daemon=True),
        ]

    def __enter__(self) -> Heartbeat:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(5.0)

    def over(self) -> None:
        """The run has ended by itself: that others see it ended means nothing any more."""
        self._over.set()

    def _record_heartbeats(self) -> None:
        while not self._over.wait(self._every):
            asked = _running_time()
            try:
                mine, fate = self._beats(), self._fate()
            except Exception as error:
                log.warning("No beat: %s: %s", type(error).__name__, error)
                continue
            # Counted from before the question: others count from when it was written.
            self._heard = asked
            if fate is RunFate.cancelled:
                if self._asked is None:
                    self._asked = asked
                    os.kill(os.getpid(), signal.SIGINT)
                elif asked - self._asked > self._patience:
                    self._end_run("its cancelled run does not end by itself")
            elif (fate is RunFate.ended or not mine) and not self._over.wait(1.0):
                # The wait: it may be this process that has just ended the run.
                self._end_run("its run was declared dead, or deleted")

    def _watch_run(self) -> None:
        while not self._over.wait(1.0):
            silent = _running_time() - self._heard
            if silent > self._lease:
                self._end_run(f"it could not be heard of for {silent:.0f} s")

    def _end_run(self, why: str) -> None:
        log.warning("The process of a run is ended: %s.", why)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def _running_time() -> float:
    """Seconds that go on while the machine sleeps or stands still."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
