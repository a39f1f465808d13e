"""Sizes and lengths that a model can make. Pure.

A server rounds what it can't make without a word, so legal values are computed before anything is
asked for, and the file that comes back is held against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

_SMALLER = 2 / 3
"""Of each side: less than half the memory."""
_MIN_STEPS = 4
"""A side shorter than this many steps is no picture any more."""


@dataclass(frozen=True)
class ClipShape:
    """Width and height in pixels, number of frames, frames per second."""

    width: int
    height: int
    frames: int
    fps: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.frames} frames of {self.fps} a second"


def legal_frames(count: int, rate: int, fps: int, step: int, least: int, most: int) -> int:
    """The shortest legal length (step * n + 1, at least `least`) that lasts as long as `count`
    frames of `rate` a second; `most` where none does. `least` and `most` are legal themselves."""
    wanted = max(least, -(-count * fps // rate))
    legal = -(-(wanted - 1) // step) * step + 1
    return min(legal, most)


def legal_size(sizes: Sequence[tuple[int, int]], width: int, height: int) -> tuple[int, int]:
    """Of the sizes a model is good at, the one of which least is lost when it is cropped to the
    frame's shape; the first of several."""

    def kept_share(size: tuple[int, int]) -> float:
        a, b = size[0] * height, size[1] * width
        return min(a, b) / max(a, b)

    return max(sizes, key=kept_share)


def next_smaller_shape(
    shape: ClipShape, size_step: int, frame_step: int, least: int
) -> ClipShape | None:
    """The next smaller legal shape, for a GPU whose memory did not suffice: two thirds of each
    side; half as long where the sides are at their least; None where nothing is left to take."""
    width, height = (
        int(side * _SMALLER) // size_step * size_step for side in (shape.width, shape.height)
    )
    if min(width, height) >= _MIN_STEPS * size_step:
        return replace(shape, width=width, height=height)
    frames = (shape.frames // 2 - 1) // frame_step * frame_step + 1
    return replace(shape, frames=frames) if frames >= least else None
