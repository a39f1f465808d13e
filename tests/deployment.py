"""A deployment on this machine, for tests and benchmarks: a real daemon, and briefs as small as a
video can be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import dagster as dg
import numpy as np

from pytoon_pipeline.briefs.ledger import Entry, Ledger
from pytoon_pipeline.defs.run import prepare_home
from pytoon_pipeline.settings import Settings, load_settings


class Deployment:
    """Everything of one install below a folder. The daemon is started and ended by the test."""

    def __init__(self, home: Path, **environment: str):
        self.root = home / "briefs"
        self.root.mkdir(parents=True, exist_ok=True)
        own = {
            "PYTOON_HOME": str(home / "home"), "PYTOON_BRIEFS_DIR": str(self.root), **environment,
        }  # fmt: skip
        kept = {
            k: v for k, v in os.environ.items()
            if not k.startswith("PYTOON_") and k != "DAGSTER_HOME"
        }  # fmt: skip
        self.settings: Settings = load_settings(own)
        self.dagster_home = prepare_home(self.settings)
        self.environment = {
            **kept, **own, "DAGSTER_HOME": str(self.dagster_home), "PYTHONUNBUFFERED": "1",
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        self.ledger = Ledger(self.settings.ledger)
        self.log = home / "daemon.log"
        self.daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The daemon alone: it has a code server of its own."""
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "dagster._daemon", "run", "-m",
                 "pytoon_pipeline.definitions", "--log-level", "info"],
                env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=self.root.parent, start_new_session=True,
            )  # fmt: skip

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
        before = os.environ.get("DAGSTER_HOME")
        os.environ["DAGSTER_HOME"] = str(self.dagster_home)
        try:
            return dg.DagsterInstance.from_config(str(self.dagster_home))
        finally:
            if before is None:
                del os.environ["DAGSTER_HOME"]
            else:
                os.environ["DAGSTER_HOME"] = before

    def wait(self, done: Callable[[list[Entry]], bool], seconds: float) -> list[Entry]:
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


def ended(count: int) -> Callable[[list[Entry]], bool]:
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
