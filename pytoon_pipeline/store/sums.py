"""SHA-256 and length of objects, by which a damaged one is found.

A medium is named by its SHA-256. Of any other file of a store the sum is noted in an extended
attribute of the file itself, so that file and note are always of the same version; where the file
system has none, in a small file that the store keeps elsewhere. A file without a note was put by
an earlier version, or by hand: of it only the length can be judged.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytoon_pipeline.errors import StoreError

_ATTRIBUTE = "user.pytoon.sum"
_NOTE = re.compile(r"([0-9a-f]{64}) (\d{1,19})\n")
_MEDIUM = re.compile(r"media/([0-9a-f]{64})(\.[^/]*)?")
_MAY_BE_EMPTY = ("", ".srt", ".vtt", ".txt", ".csv")
_MAXIMUM = 8192
"""Files whose sum this process remembers."""


@dataclass(frozen=True)
class StoredSum:
    """What a file is known to hold."""

    sha256: str
    bytes: int | None
    """None where only the hash is known."""

    def as_text(self) -> str:
        """Return the sum as the text that is stored beside an object."""
        return f"{self.sha256} {self.bytes}\n"


def parse_note(text: str) -> StoredSum | None:
    """Return a sum as it was noted; None for what is no whole note."""
    said = _NOTE.fullmatch(text)
    return StoredSum(said[1], int(said[2])) if said else None


def named_sum(key: str) -> StoredSum | None:
    """Return the sum that the key itself names, which only that of a medium does; else None."""
    said = _MEDIUM.fullmatch(key)
    return StoredSum(said[1], None) if said else None


def check_name(key: str, sha256: str) -> None:
    """Refuse to put under the key of a medium what does not have its hash. Raises StoreError."""
    said = named_sum(key)
    if said is not None and said.sha256 != sha256:
        raise StoreError(
            f"{key} can't be put: the file was changed since it was examined (its SHA-256 is "
            f"{sha256}). Render again when it is complete."
        )


# Sums of files -----------------------------------------------------------------------------------

_Identity = tuple[int, int, int, int]
_known: OrderedDict[_Identity, str] = OrderedDict()
_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _file_identity(info: os.stat_result) -> _Identity:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


def remember_sum(path: Path, sha256: str) -> None:
    """Remember the sum of a file that was computed while it was written, so that it need not be
    read again."""
    with _lock:
        _known[_file_identity(os.stat(path))] = sha256
        while len(_known) > _MAXIMUM:
            _known.popitem(last=False)


def forget_all() -> None:
    """Forget all sums, so that every file is read again, as by a new process."""
    with _lock:
        _known.clear()


def sum_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex; read once in a process while its length and time of
    writing stay as they are. Raises OSError when it can't be read."""
    with open(path, "rb") as file:
        before = _file_identity(os.fstat(file.fileno()))
        with _lock:
            found = _known.get(before)
        if found is None:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if _file_identity(os.fstat(file.fileno())) == before:
                with _lock:
                    _known[before] = found
    return found


def bring_contents(source: Path, target: Path, move: bool) -> str:
    """Copy the contents of a file to another, or move it where that is allowed and possible.
    Returns their SHA-256. Raises OSError when one of them can't be read or written."""
    if move:
        with suppress(OSError):  # Another file system.
            os.replace(source, target)
            return sum_of(target)
    digest = hashlib.sha256()
    with open(source, "rb") as file, open(target, "wb") as to:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            to.write(chunk)
    return digest.hexdigest()


# Notes -------------------------------------------------------------------------------------------


def write_note(path: Path, found: StoredSum) -> bool:
    """Note the sum at the file itself. False where the file system has no place for it."""
    try:
        os.setxattr(path, _ATTRIBUTE, found.as_text().encode())
    except (OSError, AttributeError):  # macOS, some network file systems
        return False
    return True


def read_note(path: Path) -> StoredSum | None:
    """Return the sum that was noted for a file, or None where there is none."""
    with suppress(OSError, AttributeError, UnicodeDecodeError):
        return parse_note(os.getxattr(path, _ATTRIBUTE).decode())
    return None


def describe_damage(path: Path, *known: StoredSum | None) -> str | None:
    """Return what is wrong with a file, in a few words; None when nothing is. Of one of which
    nothing is known, a video or a document must hold something. Raises OSError when it can't be
    read."""
    length = os.stat(path).st_size
    if length == 0 and not any(known) and path.suffix not in _MAY_BE_EMPTY:
        return "0 bytes"
    for each in known:
        if each is None:
            continue
        if each.bytes is not None and each.bytes != length:
            return f"{length} bytes of {each.bytes}"
        if sum_of(path) != each.sha256:
            return "its SHA-256 differs"
    return None
