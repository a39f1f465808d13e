"""Locks between all threads and processes of this machine. That of a process that was killed ends
with it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

PAUSE = 0.1
"""Seconds between two looks at a lock that another holds."""


def grasp(path: Path) -> TextIO | None:
    """The lock at a path, held until the file is closed; None while another holds it. OSError where
    no file can be made."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115 - whoever gets it closes it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        file.close()  # Another process deleted the file between `open` and `flock`.


def _is_at(file: TextIO, path: Path) -> bool:
    """Is this open file still the one at the path? A lock on a deleted file excludes nobody."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def held(
    path: Path, waiting: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """The only one to hold a lock. `waiting` is called while another does; what it raises ends the
    wait."""
    file = grasp(path)
    while file is None:
        waiting()
        sleep(PAUSE)
        file = grasp(path)
    with file:
        yield
