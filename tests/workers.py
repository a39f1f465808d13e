"""Workers as processes of their own, for tests and proofs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class WorkerProcess:
    """`pytoon worker`, with what it said in a file."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *options: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytoon_pipeline.cli", "worker", *options],
                env=dict(environment),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """AssertionError with what it said instead."""
        end = time.monotonic() + seconds
        while True:
            if found := re.search(pattern, self.said()):
                return found
            ended = self.process.poll()
            assert ended is None and time.monotonic() < end, f"{ended}: {self.said()[-3000:]}"
            time.sleep(0.1)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        try:
            return [int(pid) for pid in path.read_text().split()]
        except OSError:
            return []

    def kill(self) -> None:
        """Parent and children at once, as when the machine goes."""
        pids = [self.process.pid, *self.children()]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """As a service manager ends it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
