"""Files of people, as they were when they were examined.

Whoever may write into a folder may replace a file at any moment. So a file is opened once, without
following a link that was put there since its name was looked at, copied into a folder that only
this process writes to, and hashed on the way. That copy is examined and rendered, whatever becomes
of the file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.media.limits import MAX_FILE_BYTES
from pytoon_pipeline.media.unreadable import UnreadableMediaError

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class StoredCopy:
    """A file that is read."""

    path: Path
    """Where its bytes are read: a copy of one's own, or the file itself where nothing is kept."""
    sha256: str
    bytes: int
    own: bool
    """Is it a copy that nobody else has, which may be moved elsewhere?"""
    unchanged: Callable[[], None]
    """Raises `media.changed` where the file itself is read, and is another by now."""


def _do_nothing() -> None:
    """A copy does not change."""


class SnapshotCopies:
    """Takes files for one compilation. `folder` is a folder of its own for copies; without one
    nothing is copied, for what is examined is not rendered, and a file that changes while it is
    examined is refused all the same; nor is what lies in the folder `private`, which nobody else
    writes to. `stored` finds a file that is kept already under its hash and ending."""

    def __init__(
        self,
        folder: Path | None = None,
        stored: Callable[[str, str], Path | None] | None = None,
        private: Path | None = None,
    ):
        self.folder, self.stored, self.private = folder, stored, private
        self._taken: dict[tuple[str, _FileMark], StoredCopy] = {}

    def take(self, path: Path, root: Path | None = None, suffix: str = "") -> StoredCopy:
        """Return the file at a path, which must lie below `root` wherever links lead; anywhere
        where that is None. A file that was taken before and is still the same is not read again.

        Raises UnreadableMediaError: `media.missing`, `media.changed`, `media.too_large`; StoreError
        when no copy can be written.
        """
        with _open_checked(path, root) as file:
            before = _read_mark(file)
            known = self._taken.get((str(path), before))
            if known is not None:
                return known
            if not before.regular:
                raise UnreadableMediaError(
                    "media.missing", f"{path.name} is no file.", "Name a file."
                )
            if before.bytes > MAX_FILE_BYTES:
                raise _too_large(path)
            held = self._read(file, before, path, root, suffix)
            self._taken[str(path), before] = held
            return held

    def _read(
        self, file: FileIO, before: _FileMark, path: Path, root: Path | None, suffix: str
    ) -> StoredCopy:
        at_hand = self.folder is None or (self.private and _is_below(path, self.private))
        if self.stored is not None or at_hand:
            digest = _hash_open_file(file, path)
            _require_same(file, before, path)
            kept = self.stored(digest, suffix) if self.stored else None
            if kept is not None:
                return StoredCopy(kept, digest, before.bytes, False, _do_nothing)
            if at_hand:
                return StoredCopy(
                    path, digest, before.bytes, False, lambda: _check_unchanged(path, root, before)
                )
            file.seek(0)
        assert self.folder is not None
        try:
            # In a folder of its own it keeps its name, by which messages call it.
            copy = Path(mkdtemp(dir=self.folder)) / path.name
            with open(copy, "x+b") as target:
                _copy_contents(file, target, path)
                _require_same(file, before, path)
                target.flush()
                target.seek(0)
                return StoredCopy(
                    copy, _hash_open_file(target, path), before.bytes, True, _do_nothing
                )
        except OSError as error:
            why = "make room there" if error.errno in _FULL else "check its rights"
            raise StoreError(
                f"{self.folder} can't be written to: {error.strerror or error}; {why}."
            ) from error


@contextmanager
def private_copy(path: Path, root: Path | None = None) -> Iterator[Path]:
    """Yield a copy of one file, which exists as long as the block runs. Raises as
    `SnapshotCopies.take`."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="pytoon-") as folder:
        yield SnapshotCopies(Path(folder)).take(path, root).path


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


# Opening and reading ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FileMark:
    """By which a file is known to be the same, unchanged."""

    device: int
    inode: int
    bytes: int
    written: int
    regular: bool


def _read_mark(file: FileIO) -> _FileMark:
    info = os.fstat(file.fileno())
    return _FileMark(
        info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, stat.S_ISREG(info.st_mode)
    )


@contextmanager
def _open_checked(path: Path, root: Path | None) -> Iterator[FileIO]:
    try:
        handle = _open_below(path, root)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableMediaError(
            "media.missing",
            f"{path.name} is not there any more.",
            "Put it back, or check the file's name.",
        ) from error
    except PermissionError as error:
        raise UnreadableMediaError(
            "media.missing", f"{path.name} may not be read.", "Change the file's permissions."
        ) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise changed_file_error(path) from error
        raise UnreadableMediaError(
            "media.missing",
            f"{path.name} can't be opened: {error.strerror}.",
            "Check the file's name.",
        ) from error
    with open(handle, "rb", buffering=0) as file:
        yield file


def _open_below(path: Path, root: Path | None) -> int:
    """A descriptor of the file. Links are resolved first; then each step from the root down is
    opened by itself, and one that became a link meanwhile is not followed."""
    if root is None:
        return os.open(path, _OPEN)
    base, real = Path(os.path.realpath(root)), Path(os.path.realpath(path))
    if not real.is_relative_to(base):
        raise UnreadableMediaError(
            "media.outside",
            f"{path.name} is a link that leads out of its folder.",
            "Copy the file itself into the folder.",
        )
    *folders, name = real.relative_to(base).parts or (".",)
    at = os.open(base, _OPEN | os.O_DIRECTORY)
    try:
        for folder in folders:
            below = os.open(folder, _OPEN | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


def _iterate_chunks(file: FileIO | BinaryIO, path: Path) -> Iterator[bytes]:
    """All bytes of a file, never more than a file may have."""
    length = 0
    while True:
        try:
            chunk = file.read(_CHUNK)
        except OSError as error:
            raise UnreadableMediaError(
                "media.missing",
                f"{path.name} can't be read to its end: {error.strerror}.",
                "Copy it again.",
            ) from error
        if not chunk:
            return
        length += len(chunk)
        if length > MAX_FILE_BYTES:
            raise _too_large(path)
        yield chunk


def _hash_open_file(file: FileIO | BinaryIO, path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in _iterate_chunks(file, path):
        digest.update(chunk)
    return digest.hexdigest()


def _copy_contents(file: FileIO, target: BinaryIO, path: Path) -> None:
    """All bytes of a file into another, by the system itself where it can: on some file systems
    that takes no time and no room. Raises OSError when they can't be written."""
    left = MAX_FILE_BYTES + 1
    try:
        while left and (count := os.copy_file_range(file.fileno(), target.fileno(), left)):
            left -= count
    except (OSError, AttributeError):  # Between two file systems, or not on this system.
        file.seek(0)
        target.seek(0)
        target.truncate()
        for chunk in _iterate_chunks(file, path):
            target.write(chunk)
    if not left:
        raise _too_large(path)


def _require_same(file: FileIO, before: _FileMark, path: Path) -> None:
    if _read_mark(file) != before or file.tell() != before.bytes:
        raise changed_file_error(path)


def _check_unchanged(path: Path, root: Path | None, before: _FileMark) -> None:
    with _open_checked(path, root) as file:
        if _read_mark(file) != before:
            raise changed_file_error(path)


def changed_file_error(path: Path) -> UnreadableMediaError:
    """Return the error for a file that was changed while it was read."""
    return UnreadableMediaError(
        "media.changed",
        f"{path.name} was changed while it was read: it is being written to.",
        "Render again when it is complete.",
    )


def _too_large(path: Path) -> UnreadableMediaError:
    return UnreadableMediaError(
        "media.too_large", f"{path.name} is over 2 GB.", "Export a smaller copy."
    )
