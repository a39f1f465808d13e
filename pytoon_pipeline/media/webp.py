"""Read animated WebP, which not every ffmpeg decodes: the times from its chunks, the pictures from
Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pytoon_pipeline.media.image_file import open_image
from pytoon_pipeline.media.images import convert_profile

_SHORTEST_MS = 10
"""Frames that claim to be no longer stay for `_USUAL_MS`, as in browsers."""
_USUAL_MS = 100


@dataclass(frozen=True)
class WebpAnimation:
    """What an animated WebP says of itself."""

    durations: tuple[Fraction, ...]
    """Seconds of each frame."""

    @property
    def seconds(self) -> Fraction:
        """The length of the animation in seconds."""
        return sum(self.durations, Fraction(0))


def is_animated_webp(path: Path) -> bool:
    """Return whether the first bytes are those of an animated WebP: the extended form (VP8X) with
    the flag of animations."""
    with open(path, "rb") as file:
        head = file.read(21)
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20:] and head[20] & 2)


def read_animation(path: Path) -> WebpAnimation:
    """Return the times of an animated WebP: its ANMF chunks, of which no picture is decoded."""
    durations = []
    with open(path, "rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"ANMF":
                frame = file.read(16)
                if len(frame) < 16:
                    break
                ms = int.from_bytes(frame[12:15], "little")
                durations.append(Fraction(ms if ms > _SHORTEST_MS else _USUAL_MS, 1000))
                size -= 16
            file.seek(size + (size & 1), 1)
    return WebpAnimation(tuple(durations))


def webp_frames(path: Path) -> Iterator[tuple[av.VideoFrame, Fraction, Fraction]]:
    """Yield the frames of an animated WebP in sRGB, with the second at which each begins and for
    how many it stays. Raises UnreadableMediaError."""
    animation = read_animation(path)
    begins = Fraction(0)
    with open_image(path) as image:
        profile = image.info.get("icc_profile")
        for n, lasts in enumerate(animation.durations):
            image.seek(n)
            shown = convert_profile(image.convert("RGBA"), profile)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgba")
            yield frame, begins, lasts
            begins += lasts
