"""Check whether a file holds all the bytes that it announces. A clip or sound whose copy was cut
off often plays, only shorter, so that nobody would notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_MOVIE_BOXES = (
    b"ftyp",
    b"moov",
    b"mdat",
    b"moof",
    b"free",
    b"skip",
    b"wide",
    b"uuid",
    b"mfra",
    b"meta",
    b"styp",
    b"sidx",
)
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_HEAD = 1 << 16
_SLACK = 8
"""Bytes of padding at the end that are missed by nobody."""
_MAX_BLOCKS = 1_000_000


def says_more_bytes(path: Path) -> bool:
    """Return whether a file breaks off: True only where its own structure says so: boxes of MP4 and
    MOV, the sizes in the heads of AVI, WAV, AIFF, WebM, Matroska and WMV, the blocks of a GIF.
    Formats that say nothing of the kind (transport streams, MP3, Ogg) never do."""
    length = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(64)
        return _check_of(head)(file, head, length)


def _check_of(head: bytes) -> Callable[[BinaryIO, bytes, int], bool]:
    if head[:4] in (b"RIFF", b"FORM"):
        return _chunk_breaks_off
    if head[4:8] in _MOVIE_BOXES:
        return _boxes_break_off
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _segment_breaks_off
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return _blocks_break_off
    if head[:16] == _ASF:
        return _asf_breaks_off
    return lambda file, head, length: False


def _chunk_breaks_off(file: BinaryIO, head: bytes, length: int) -> bool:
    """RIFF and IFF. What was written live has no size, or the largest there is."""
    size = int.from_bytes(head[4:8], "little" if head[:4] == b"RIFF" else "big")
    return size < 0x7FFFF000 and size + 8 > length + _SLACK


def _boxes_break_off(file: BinaryIO, head: bytes, length: int) -> bool:
    """ISO 14496-12, 4.2."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        start = file.read(16)
        size, kind = int.from_bytes(start[:4], "big"), start[4:8]
        if kind not in _MOVIE_BOXES or size == 0:
            return False  # What some program left at the end, or a box that goes on to there.
        if size == 1:
            size = int.from_bytes(start[8:16], "big")
        if size < 8:
            return False
        at += size
    return at > length + _SLACK


def _segment_breaks_off(file: BinaryIO, head: bytes, length: int) -> bool:
    """EBML (RFC 8794): the head, then one or more segments whose size may be unknown."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        start = file.read(16)
        if start[:4] not in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
            return False
        width = 9 - start[4].bit_length()
        if width > 8:
            return False
        size = int.from_bytes(start[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if size == (1 << 7 * width) - 1:
            return False
        at += 4 + width + size
    return at > length + _SLACK


def _blocks_break_off(file: BinaryIO, head: bytes, length: int) -> bool:
    """GIF89a, 15 to 27: blocks to a trailer, which some programs leave out."""

    def table_bytes(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    file.seek(13 + table_bytes(head[10]))
    for _ in range(_MAX_BLOCKS):
        kind = file.read(1)
        if kind == b"\x2c":
            place = file.read(9)
            if len(place) < 9:
                return True
            file.seek(table_bytes(place[8]) + 1, 1)
        elif kind == b"\x21":
            file.seek(1, 1)
        else:
            return False  # The trailer, the end, or what is no block.
        while size := file.read(1):
            if size == b"\0":
                break
            file.seek(size[0], 1)
        else:
            return True
    return False


def _asf_breaks_off(file: BinaryIO, head: bytes, length: int) -> bool:
    """The file properties of WMV and WMA (ASF, 3.2); a broadcast has a size of 0."""
    file.seek(0)
    start = file.read(_ASF_HEAD)
    at = start.find(_ASF_FILE)
    if at < 0:
        return False
    return int.from_bytes(start[at + 40 : at + 48], "little") > length + _SLACK
