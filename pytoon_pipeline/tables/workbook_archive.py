"""The zip file that a workbook is, checked for its size before any of it is unpacked."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pytoon_pipeline.errors import UserError
from pytoon_pipeline.files import open_file
from pytoon_pipeline.tables.limits import (
    MAX_BYTES,
    MAX_MEMBERS,
    MAX_SHARED,
    MAX_UNPACKED,
    refuse_table,
)


@contextmanager
def open_archive(path: Path, shown: str, kind: str) -> Iterator[zipfile.ZipFile]:
    """Open the zip file that a workbook is. `shown` is its name and `kind` its format in messages:
    `an XLSX`. Raises UserError where it is no zip file, or too large once unpacked, OSError where
    it can't be read."""
    with open_file(path, MAX_BYTES) as file:
        number = _count_members(file)
        if number > MAX_MEMBERS:
            raise _too_large(f"holds {number:,} files or more.", shown)
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise refuse_table(
                "table.xlsx",
                f"is not {kind} workbook.",
                "Save it as XLSX without a password; the older XLS and others can't be read.",
                shown,
            ) from error
        with archive:
            members = archive.infolist()
            size = sum(i.file_size for i in members)
            texts = sum(i.file_size for i in members if "sharedstrings" in i.filename.lower())
            if size > MAX_UNPACKED or texts > MAX_SHARED or len(members) > MAX_MEMBERS:
                raise _too_large(
                    f"holds {size / 1e6:,.0f} MB in {len(members):,} files once unpacked.", shown
                )
            yield archive


def _too_large(message: str, shown: str) -> UserError:
    return refuse_table("table.too_large", message, "Copy the rows into a new workbook.", shown)


def _count_members(file: BinaryIO) -> int:
    """About how many files a zip holds, by the record at its end, before the list of them is read:
    zipfile makes an object of each. 0 where there is no such record."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        return 0
    # The number may be wrong, the length of the list may not; an entry has some 100 bytes.
    number, length = tail[at + 10 : at + 12], tail[at + 12 : at + 16]
    return max(int.from_bytes(number, "little"), int.from_bytes(length, "little") // 200)
