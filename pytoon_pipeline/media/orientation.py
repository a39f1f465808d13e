"""How a stored picture is turned and mirrored for display."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

_MATRIX_BYTES = 36


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to show a rectangle: mirrored left to right first, then turned."""

    degrees: int = 0
    """Clockwise: 0, 90, 180 or 270."""
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Is the width as displayed the height as stored?"""
        return self.degrees in (90, 270)

    def shown_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height as displayed of what is stored so, or the other way round."""
        return (height, width) if self.swaps_sides else (width, height)

    def turn_array(self, stored: np.ndarray) -> np.ndarray:
        """Return a view of a stored array (h, w, ...) as it is displayed."""
        mirrored = stored[:, ::-1] if self.mirrored else stored
        return np.rot90(mirrored, -self.degrees // 90)


UPRIGHT = Orientation()

# Values of the EXIF tag 0x0112 (Exif 2.32, 4.6.4).
_EXIF = {
    2: Orientation(0, True),
    3: Orientation(180),
    4: Orientation(180, True),
    5: Orientation(270, True),
    6: Orientation(90),
    7: Orientation(90, True),
    8: Orientation(270),
}
ORIENTATION_TAG = 0x0112


def exif_orientation(value: object) -> Orientation:
    """Return what the EXIF tag says; upright where it says nothing that is known."""
    return _EXIF.get(value, UPRIGHT) if isinstance(value, int) else UPRIGHT


def matrix_orientation(matrix: bytes) -> Orientation:
    """Return the nearest of the eight to a display matrix of ffmpeg: nine integers, row by row,
    that carry a stored place (x, y, 1) to a displayed one (ISO 14496-12, 6.2.2). Upright where it
    is none."""
    if len(matrix) < _MATRIX_BYTES:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix[:_MATRIX_BYTES])
    # Mirrored where the sense of rotation is reversed.
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    # x becomes (a, b), y becomes (c, d); a turn of 90 degrees carries x to y and y to -x.
    likeness = {0: a + d, 90: b - c, 180: -a - d, 270: c - b}
    best = max(likeness, key=lambda degrees: likeness[degrees])
    return Orientation(best, mirrored) if likeness[best] > 0 else UPRIGHT
