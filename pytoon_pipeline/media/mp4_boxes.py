"""Read the boxes of an MP4: their places in the file, and its edit lists."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pytoon_pipeline.errors import MediaError


@dataclass(frozen=True)
class Mp4Box:
    """A box of an MP4 (ISO 14496-12), its place in the file and in the tree."""

    path: str
    """From the top: `moov/trak/edts/elst`."""
    start: int
    """Byte at which its header begins."""
    size: int
    """Bytes, header included."""
    header: int
    """Bytes of the header."""
    track: int | None
    """Number of the `trak` it is in, from 0."""


@dataclass(frozen=True)
class EditListEntry:
    """One entry of an edit list."""

    track: int
    duration: int
    """In ticks of the movie's clock."""
    media_time: int
    """In ticks of the track's clock; -1: nothing is shown for `duration`."""
    rate: float


_MAX_BOXES = 20_000
_DEEPEST = 12
"""Boxes inside each other; the standard's own go down to seven."""
_PARENTS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"}


def read_boxes(path: str | os.PathLike[str]) -> list[Mp4Box]:
    """Return the boxes of an MP4 in file order, with those inside `moov`.

    Raises MediaError when the file is no chain of boxes.
    """
    found: list[Mp4Box] = []
    tracks = iter(range(1 << 16))

    def walk_boxes(f: BinaryIO, start: int, end: int, parent: str, track: int | None) -> None:
        while start < end:
            f.seek(start)
            head = f.read(16)
            size, header = int.from_bytes(head[:4], "big"), 8
            if size == 1:
                size, header = int.from_bytes(head[8:16], "big"), 16
            elif size == 0:
                size = end - start
            if len(found) == _MAX_BOXES or parent.count("/") > _DEEPEST:
                raise MediaError(f"{Path(path).name} has more boxes than any MP4 needs.")
            if len(head) < 8 or size < header or start + size > end:
                raise MediaError(f"{Path(path).name} is no whole MP4: a box breaks at {start}.")
            kind = head[4:8]
            inside = next(tracks) if kind == b"trak" else track
            name = parent + kind.decode("latin-1")
            found.append(Mp4Box(name, start, size, header, inside))
            if kind in _PARENTS:
                walk_boxes(f, start + header, start + size, f"{name}/", inside)
            start += size

    with open(path, "rb") as f:
        walk_boxes(f, 0, os.fstat(f.fileno()).st_size, "", None)
    return found


def is_faststart(path: str | os.PathLike[str]) -> bool:
    """Return whether the index (`moov`) comes before the media data, so that playing can begin
    while the file loads."""
    order = [box.path for box in read_boxes(path) if box.path in ("moov", "mdat")]
    return order[:1] == ["moov"] and "mdat" in order


def edit_lists(path: str | os.PathLike[str]) -> list[EditListEntry]:
    """Return all entries of all edit lists of an MP4. A player may or may not apply them."""
    edits = []
    with open(path, "rb") as f:
        for box in read_boxes(path):
            if not box.path.endswith("/elst"):
                continue
            f.seek(box.start + box.header)
            body = f.read(min(box.size - box.header, 1 << 20))
            layout = ">Qqhh" if body[:1] == b"\1" else ">Iihh"
            count = int.from_bytes(body[4:8], "big")
            try:
                for i in range(count):
                    at = 8 + i * struct.calcsize(layout)
                    duration, time, whole, part = struct.unpack_from(layout, body, at)
                    edits.append(
                        EditListEntry(box.track or 0, duration, time, whole + part / 65536)
                    )
            except struct.error as e:
                raise MediaError(f"{Path(path).name}: its edit list breaks off.") from e
    return edits
