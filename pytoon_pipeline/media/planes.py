"""Arrays over the planes of decoded frames."""

from __future__ import annotations

import av.video.plane
import numpy as np


def view_plane(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """Return the pixels of a plane with one byte per sample, uint8 (height, width).

    The array is a view of the decoder's memory, which may be reused for a later frame: copy what
    is to outlive the frame.
    """
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
