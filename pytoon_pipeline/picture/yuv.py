"""RGB pictures to frames and back.

A frame is three uint8 planes Y (h, w), U and V (h/2, w/2): BT.709, limited range, 4:2:0 with
left-sited chroma, which is what H.264 takes for granted when nothing else is said: a chroma sample
lies on an even column and halfway between two rows. All numbers are from ITU-R BT.709-6, items 3.2
to 3.4 and 4.6, and ITU-T H.264 annex E, figure E-1.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

_KR, _KG, _KB = 0.2126, 0.7152, 0.0722
# R'G'B' 0..255 (and a 1) -> Y' 16..235, and Cb, Cr 16..240 around 128.
_LUMA = np.array([[_KR, _KG, _KB]]) * (219 / 255)
_CHROMA = np.array(
    [
        [-_KR / (2 * (1 - _KB)), -_KG / (2 * (1 - _KB)), 0.5],
        [0.5, -_KG / (2 * (1 - _KR)), -_KB / (2 * (1 - _KR))],
    ]
) * (224 / 255)
_TO_Y = np.hstack([_LUMA, [[16.0]]])
# The chroma filter below sums 8 pixels' worth.
_TO_UV = np.hstack([_CHROMA / 8, [[128.0], [128.0]]])
_INVERSE = np.linalg.inv(np.vstack([_LUMA, _CHROMA]))
_TO_RGB = np.hstack([_INVERSE, -_INVERSE @ np.array([[16.0], [128.0], [128.0]])])


def make_planes(planes: Iterable[np.ndarray]) -> Planes:
    """Return three arrays as the planes of a frame. Raises ValueError for more or fewer of them."""
    y, u, v = planes
    return y, u, v


def rgb_to_planes(rgb: np.ndarray) -> Planes:
    """Return the planes of an RGB picture, uint8 (h, w, 3) with even h and w.

    Chroma is the average of two rows, filtered [1 2 1]/4 around each even column (the edge is
    repeated), and is rounded once, after the filter. Raises ValueError for other shapes.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"a uint8 picture (h, w, 3) is wanted, not {rgb.dtype} {rgb.shape}")
    _require_even_size(*rgb.shape[:2])
    y = _round_to_uint8(cv2.transform(rgb.astype(np.float32), _TO_Y))
    rows = rgb[0::2].astype(np.uint16)
    rows += rgb[1::2]
    even, odd = rows[:, 0::2], rows[:, 1::2]
    eighths = 2 * even
    eighths += odd
    eighths[:, 1:] += odd[:, :-1]
    eighths[:, 0] += even[:, 0]
    uv = cv2.transform(eighths.astype(np.float32), _TO_UV)
    u, v = cv2.split(uv)
    return y, _round_to_uint8(u), _round_to_uint8(v)


def planes_to_rgb(planes: Planes) -> np.ndarray:
    """Return the RGB picture, uint8 (h, w, 3), of a frame; chroma is interpolated linearly."""
    y, u, v = planes
    h, w = y.shape
    _require_even_size(h, w)
    yuv = np.empty((h, w, 3), np.float32)
    yuv[..., 0] = y
    for i, plane in ((1, u), (2, v)):
        # Halfway between rows is what cv2.resize means by twice the size.
        tall = cv2.resize(plane.astype(np.float32), (w // 2, h), interpolation=cv2.INTER_LINEAR)
        yuv[:, 0::2, i] = tall
        yuv[:, 1:-1:2, i] = (tall[:, :-1] + tall[:, 1:]) / 2
        yuv[:, -1, i] = tall[:, -1]
    return _round_to_uint8(cv2.transform(yuv, _TO_RGB))


def _round_to_uint8(values: np.ndarray) -> np.ndarray:
    # convertScaleAbs rounds to nearest and saturates at 255, but takes what is below 0 absolutely.
    return cv2.convertScaleAbs(np.maximum(values, 0, out=values))


def _require_even_size(h: int, w: int) -> None:
    if h % 2 or w % 2 or not h or not w:
        raise ValueError(f"4:2:0 needs an even width and height, not {w}x{h}")
