"""Working folders of this machine, each with a sign that its process lives: a lock, which ends with
the process however that ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pytoon_pipeline.locks import try_lock

_SIGN = ".held"


@contextmanager
def working_folder(root: Path, prefix: str) -> Iterator[Path]:
    """A folder of one's own below `root`, gone afterwards. OSError when it can't be made."""
    folder, sign = _make_locked(root, prefix)
    try:
        with sign:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_locked(root: Path, prefix: str) -> tuple[Path, TextIO]:
    """A new folder and its lock. A tidying process may see the new folder and take its lock in the
    moment before this process does: then that folder is left to it, and another one is made."""
    while True:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        try:
            sign = try_lock(folder / _SIGN)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if sign is not None:
            return folder, sign


def delete_orphaned(folder: Path) -> bool:
    """Delete a working folder whose process has ended, with its lock held all the while, so that
    no process can begin to use it. False when a process uses it. OSError when it can't be
    deleted."""
    if not (folder / _SIGN).is_file():
        shutil.rmtree(folder)
        return True
    sign = try_lock(folder / _SIGN)
    if sign is None:
        return False
    with sign:
        shutil.rmtree(folder)
    return True


def is_orphaned(folder: Path) -> bool | None:
    """Has the process of a working folder ended? None where the folder bears no sign."""
    if not (folder / _SIGN).is_file():
        return None
    try:
        sign = try_lock(folder / _SIGN)
    except OSError:
        return None
    if sign is None:
        return False
    sign.close()
    return True
