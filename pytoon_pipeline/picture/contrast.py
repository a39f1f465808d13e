"""Check on the pixels whether text is legible on its background, and improve it as little as
needed.

Contrast is that of WCAG 2.1: (L1 + 0.05) / (L2 + 0.05) of relative luminances. Caption sizes are
all "large text", for which success criterion 1.4.3 asks 3:1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pytoon_pipeline.picture.yuv import Planes

TARGET = 3.6
"""3:1, and what encoding and a moving picture may take away."""
GENTLE = 0.32
"""Up to this darkness a shade is hardly seen as one. Where more would be needed, dark text on the
bright picture is the better answer, if the style has it."""


@dataclass(frozen=True)
class TextToning:
    """How a caption is coloured on its picture."""

    alternate: bool
    """In the style's other colour."""
    shade: float
    """Darkness laid under it, 0..1."""


def relative_luminance(colour: str) -> float:
    """Return the relative luminance of `#RRGGBB`, 0..1 (WCAG 2.1, from IEC 61966-2-1)."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast_ratio(a: float, b: float) -> float:
    """Return the contrast of two relative luminances, 1..21."""
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def measure_luminance_behind(
    frames: Sequence[Planes], box: tuple[int, int, int, int]
) -> tuple[float, float]:
    """Return the relative luminance of the darkest and the brightest tenth of what lies in a box
    (x0, y0, x1, y1 on the frame) in any of the frames: text must stand against either."""
    low, high = 1.0, 0.0
    for y, u, v in frames:
        height, width = y.shape
        x0, y0 = max(0, box[0]) & ~1, max(0, box[1]) & ~1
        x1, y1 = min(width, box[2] + 1) & ~1, min(height, box[3] + 1) & ~1
        if x1 - x0 < 2 or y1 - y0 < 2:
            continue
        # Of the same part of the picture whatever its size.
        grain = max(1, round(8 * width / 1080))
        size = (max(1, (x1 - x0) // grain), max(1, (y1 - y0) // grain))
        parts = [
            cv2.resize(p, size, interpolation=cv2.INTER_AREA).astype(np.float32)
            for p in (
                y[y0:y1, x0:x1],
                u[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2],
                v[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2],
            )
        ]
        # Nearly the sRGB curve; what matters here is the order of magnitude at either end.
        r, g, b = _planes_to_rgb(*parts)
        light = 0.2126 * r**2.2 + 0.7152 * g**2.2 + 0.0722 * b**2.2
        low = min(low, float(np.percentile(light, 10)))
        high = max(high, float(np.percentile(light, 90)))
    return (low, high) if high >= low else (0.0, 0.0)


def _planes_to_rgb(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """BT.709 limited range to R'G'B' 0..1."""
    luma, cb, cr = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    r, b = luma + 1.5748 * cr, luma + 1.8556 * cb
    g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
    return tuple(np.clip(c, 0, 1) for c in (r, g, b))


def choose_toning(
    text: str, alternate: str | None, low: float, high: float, most_shade: float
) -> TextToning:
    """Return the tone for text of a colour on a background between two luminances."""
    needed = _shade_for(relative_luminance(text), high)
    if needed <= min(GENTLE, most_shade):
        return TextToning(False, needed)
    if alternate is not None and contrast_ratio(relative_luminance(alternate), low) >= TARGET:
        return TextToning(True, 0.0)
    return TextToning(False, min(needed, most_shade))


def _shade_for(text: float, ground: float) -> float:
    """Darkness that takes a background of this luminance far enough below light text; 1 where no
    darkness is enough."""
    allowed = (text + 0.05) / TARGET - 0.05
    if ground <= allowed:
        return 0.0
    if allowed <= 0:
        return 1.0
    return 1 - (allowed / ground) ** (1 / 2.2)
