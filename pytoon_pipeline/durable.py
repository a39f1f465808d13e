"""Files that survive a power cut: what has its final name is on the disk, whole.

A rename is atomic for other processes, but not for the disk: after a power cut the new name may
stand for a file whose contents never got there. So the contents are synced before the file gets its
name, and the folder after, so that the name lasts, too.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""What a file system says that can't sync a folder."""


def sync_file(path: str | os.PathLike[str]) -> None:
    """The contents of a file that was written, on the disk. OSError when they don't get there."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """The names in a folder, on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return  # A folder that one may write into, and not read.
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """A folder with all those above it; what was made is on the disk."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):  # Another made it just now.
            folder.mkdir()
        sync_folder(folder.parent)


def replace_file(temporary: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a file that was written its name, in place of what has it."""
    sync_file(temporary)
    os.replace(temporary, target)
    sync_folder(os.path.dirname(os.path.abspath(target)))


def link_file(temporary: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a file that was written a second name. FileExistsError where something has it."""
    sync_file(temporary)
    os.link(temporary, target)
    sync_folder(os.path.dirname(os.path.abspath(target)))


def sync_tree(folder: Path) -> None:
    """All that was written below a folder, before the folder is renamed."""
    for at, _, files in os.walk(folder):
        for name in files:
            if not os.path.islink(os.path.join(at, name)):
                sync_file(os.path.join(at, name))
        sync_folder(at)
