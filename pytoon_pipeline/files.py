"""Files of others, opened with care: only regular files, and no more bytes than expected."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

from pytoon_pipeline.errors import PytoonError


class FileRefusedError(PytoonError, OSError):
    """A file is not read, because of its kind or its size. Also an OSError, whose `strerror` says
    why, so that whoever handles a file that can't be read handles this as well."""

    def __init__(self, number: int, reason: str, path: str | os.PathLike[str]):
        OSError.__init__(self, number, reason, os.fspath(path))


class FileTooLargeError(FileRefusedError):
    """A file has more bytes than its reader takes."""

    def __init__(self, most: int, path: str | os.PathLike[str]):
        self.most = most
        super().__init__(errno.EFBIG, f"it is over {show_bytes(most)}", path)


class NotRegularFileError(FileRefusedError):
    """A folder, a named pipe, a socket or a device has the name of a file."""

    def __init__(self, mode: int, path: str | os.PathLike[str]):
        self.kind = _describe_kind(mode)
        super().__init__(errno.EINVAL, f"it is {self.kind}, not a file", path)


def show_bytes(number: int) -> str:
    """`1 MB`, `500 KB`."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if number >= size:
            return f"{number / size:g} {unit}"
    return f"{number} bytes"


def _describe_kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "a special file")


def open_file(path: str | os.PathLike[str], most: int | None = None) -> BinaryIO:
    """A regular file of at most `most` bytes, open for reading.

    Never waits for the writer of a named pipe, and opens no device. Raises FileRefusedError, and
    OSError as `open` does."""
    _check_file(os.stat(path), most, path)
    # What lies at the path may have been replaced since.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_file(os.fstat(handle), most, path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check_file(info: os.stat_result, most: int | None, path: str | os.PathLike[str]) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise NotRegularFileError(info.st_mode, path)
    if most is not None and info.st_size > most:
        raise FileTooLargeError(most, path)


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """All bytes of a regular file; FileTooLargeError for one of more than `most` bytes, of which
    none is read. Raises as `open_file`."""
    with open_file(path, most) as file:
        data = file.read(most + 1)  # It may grow while it is read.
    if len(data) > most:
        raise FileTooLargeError(most, path)
    return data


def read_text(path: str | os.PathLike[str], most: int) -> str:
    """The same as UTF-8; UnicodeDecodeError where it is none."""
    return read_file(path, most).decode("utf-8")
