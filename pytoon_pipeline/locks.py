"""Locks between all threads and processes of this machine. That of a process that was killed ends
with it. The file of a lock may be deleted by whoever holds the lock: those who waited for that file
find that it is no longer the one at its path, and take the new one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_TRIES = 100
"""Times in a row that the file of a lock may be deleted between two steps."""
PAUSE = 0.1
"""Seconds between two looks at a lock that another holds."""


def try_lock(path: Path) -> TextIO | None:
    """The lock at a path, held until the file is closed; None while another holds it. OSError where
    no file can be made."""
    for left in reversed(range(_TRIES)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a")  # noqa: SIM115 - whoever gets it closes it
        except (FileNotFoundError, FileExistsError):
            if not left:
                raise
            continue  # Its folder was removed between two steps.
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                return file
        except BlockingIOError:
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        file.close()
    return None


def _is_at(path: Path, file: TextIO) -> bool:
    """Is an open file still the one at a path? A lock on a file that was deleted locks nothing."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def lock_file(
    path: Path, waiting: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """The only one to hold a lock. `waiting` is called while another does; what it raises ends the
    wait."""
    file = try_lock(path)
    while file is None:
        waiting()
        sleep(PAUSE)
        file = try_lock(path)
    with file:
        yield
