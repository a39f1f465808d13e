"""Read the heads of an MP4's movie and tracks for what changes how players show the file."""

from __future__ import annotations

import struct
from pathlib import Path

import av

from pytoon_pipeline.media.mp4_boxes import read_boxes

_UPRIGHT = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def is_picture_turned(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Return whether the matrix of the picture's track, or of the movie, is another than that of an
    upright picture (ISO 14496-12, 8.2.2 and 8.3.2)."""
    if not container.format.name.startswith("mov"):
        return False
    path = Path(container.name.removeprefix("file:"))
    number = [s.index for s in container.streams].index(stream.index)
    with open(path, "rb") as file:
        for box in read_boxes(path):
            movie = box.path == "moov/mvhd"
            if not movie and not (box.path == "moov/trak/tkhd" and box.track == number):
                continue
            file.seek(box.start + box.header)
            body = file.read(min(box.size - box.header, 128))
            long = body[:1] == b"\1"
            at = (48 if long else 36) if movie else (52 if long else 40)
            if body[at : at + 36] != _UPRIGHT:
                return True
    return False


def _oriented_size(stream: av.VideoStream) -> bytes:
    """Width and height that the head of its track has (16.16 bits)."""
    width = round(stream.width * (stream.sample_aspect_ratio or 1))
    return struct.pack(">2I", width << 16, stream.height << 16)


_NORMAL = b"\1\0"
"""A volume of 1 (8.8 bits); of a speed the first half."""


def list_unusual_heads(path: Path, stream: av.VideoStream | None) -> list[str]:
    """Return what the heads of movie and tracks (ISO 14496-12, 8.2.2, 8.3.2, 8.4.3) say that
    players apply and decoders do not, as half sentences: speed, volume, tracks that are off or too
    many, another size on the screen."""
    odd: list[str] = []
    sizes: dict[int | None, tuple[bytes, bytes]] = {}
    kinds: dict[int | None, str] = {}
    with open(path, "rb") as file:
        for box in read_boxes(path):
            if box.path not in ("moov/mvhd", "moov/trak/tkhd", "moov/trak/mdia/hdlr"):
                continue
            file.seek(box.start + box.header)
            body = file.read(min(box.size - box.header, 128))
            late = 12 if body[:1] == b"\1" else 0
            if box.path == "moov/mvhd":
                if body[20 + late : 24 + late] != b"\0\1\0\0":
                    odd.append("it asks for another speed")
                if body[24 + late : 26 + late] != _NORMAL:
                    odd.append("it asks for another volume")
            elif box.path == "moov/trak/tkhd":
                if not body[3] & 1:
                    odd.append("a track is switched off")
                sizes[box.track] = body[36 + late : 38 + late], body[76 + late : 84 + late]
            else:
                kinds[box.track] = body[8:12].decode("latin-1")
    for track, (volume, size) in sizes.items():
        kind = kinds.get(track, "")
        if kind == "soun" and volume != _NORMAL:
            odd.append("it asks for another volume of its sound")
        elif kind == "vide" and stream is not None and size != _oriented_size(stream):
            odd.append("it asks for another size of its picture")
        elif kind not in ("soun", "vide"):
            odd.append(f"it has a track of another kind ({kind})")
    if list(kinds.values()).count("vide") > 1:
        odd.append("it has several tracks of pictures")
    return odd
