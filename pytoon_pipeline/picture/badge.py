"""Draw badges: turned stickers, round or pill-shaped, with an offer on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.styles import Breaking, TextStyle
from pytoon_pipeline.picture.text import fit_text

TURN = {"round": 9.0, "pill": 5.0}
"""Degrees that a badge is turned, its right side up."""
_FILLED = 0.84
"""Of a disc: how far towards its edge the corners of the text may reach."""
_PAD_X, _PAD_Y = 0.75, 0.42
"""Of a pill: room beside and above its text, in em."""
_RIM = 0.04
"""Width of the edge in the colour of the letters, as a share of the radius: it sets a badge off
from whatever has its colour."""
_FINE = 2
"""Letters are drawn so many times larger before they are turned."""


def list_badge_forms(
    text: str, style: TextStyle, scale: float, library: FontLibrary
) -> Iterator[tuple[str, int, int]]:
    """Yield shape, width and height in which a text can be read as a badge, the best first.

    A disc where it has room for the text in letters of `style.min_px`, else a pill; with words
    whole where any of these has room for them, else parted as `style.breaking` allows. `scale` is
    the pixels of this video for one of a 1080-wide frame. Raises what `fit_text` raises.
    """
    for sparing in _iterate_sparing_styles(style):
        found = list(_iterate_forms(text, sparing, scale, library))
        yield from found
        if found:
            return


def _iterate_sparing_styles(style: TextStyle) -> Iterator[TextStyle]:
    """The style with words whole, and then with as much parting as it allows."""
    levels: tuple[Breaking, ...] = ("words", "parts", "letters")
    for level in levels[: levels.index(style.breaking) + 1]:
        yield replace(style, breaking=level)


def _iterate_forms(
    text: str, style: TextStyle, scale: float, library: FontLibrary
) -> Iterator[tuple[str, int, int]]:
    for diameter in (300, 280, 260, 240, 220, 200):
        side = round(diameter * scale) & ~1
        if in_disc(text, style, side, library) is not None:
            yield "round", side, side
    for size in range(round(60 * scale), style.min_px - 1, -max(1, round(6 * scale))):
        for lines in _pill_lines(style):
            sized = replace(style, max_px=size, min_px=size, max_lines=lines)
            fitted = fit_text(text, sized, round(560 * scale), round(400 * scale), library)
            if fitted is not None:
                yield "pill", *_turned_size(*_pill_size(fitted), TURN["pill"])
                break


def in_disc(text: str, style: TextStyle, side: int, library: FontLibrary) -> FittedText | None:
    """Return the text at its largest in a disc of this diameter, its corners within the disc; with
    words whole where that is possible."""
    for sparing in _iterate_sparing_styles(style):
        if (fitted := _in_disc(text, sparing, side, library)) is not None:
            return fitted
    return None


def _in_disc(text: str, style: TextStyle, side: int, library: FontLibrary) -> FittedText | None:
    reach, best = _FILLED * side, None
    for degrees in (24, 30, 36, 42, 48, 54):
        width = int(reach * math.cos(math.radians(degrees)))
        height = int(reach * math.sin(math.radians(degrees)))
        fitted = fit_text(text, style, width, height, library)
        if fitted is not None and (best is None or fitted.size > best.size):
            best = fitted
    return best


def _pill_lines(style: TextStyle) -> tuple[int, ...]:
    """How many lines a pill may have: three only of words that had to be parted."""
    return (1, 2) if style.breaking == "words" else (1, 2, 3)


def _pill_size(fitted: FittedText) -> tuple[float, float]:
    x0, y0, x1, y1 = fitted.ink
    # Of three lines the first and the last come nearer to the round ends.
    pad_x = _PAD_X * (1.6 if len(fitted.lines) > 2 else 1)
    return x1 - x0 + 2 * pad_x * fitted.size, y1 - y0 + 2 * _PAD_Y * fitted.size


def _turned_size(width: float, height: float, degrees: float) -> tuple[int, int]:
    """Even sides of the box around a pill that is turned: two half discs and what joins them."""
    run = width - height
    angle = math.radians(degrees)
    across, down = run * math.cos(angle) + height, run * math.sin(angle) + height
    return -(-math.ceil(across) // 2) * 2, -(-math.ceil(down) // 2) * 2


def fit_badge(
    text: str,
    style: TextStyle,
    shape: str,
    degrees: float,
    size: tuple[int, int],
    library: FontLibrary,
) -> FittedText | None:
    """Return the text as it stands in a badge of this size (width, height), or None. Raises as
    `fit_text`."""
    if shape == "round":
        return in_disc(text, style, min(size), library)
    run, radius = _fit_turned_pill(size, degrees)
    if run < 0:
        return None
    found = (
        _in_pill(text, sparing, run + 2 * radius, 2 * radius, library)
        for sparing in _iterate_sparing_styles(style)
    )
    return next((fitted for fitted in found if fitted is not None), None)


def _fit_turned_pill(size: tuple[int, int], degrees: float) -> tuple[float, float]:
    """The straight length and the radius of a turned pill that just fits a box."""
    width, height = size
    angle = math.radians(degrees)
    run = (width - height) / (math.cos(angle) - math.sin(angle))
    return run, (height - run * math.sin(angle)) / 2


def draw_badge(
    text: str,
    style: TextStyle,
    shape: str,
    color: str,
    degrees: float,
    size: tuple[int, int],
    library: FontLibrary,
) -> np.ndarray | None:
    """Return the badge as a uint8 picture (h, w, 4) with straight alpha of exactly this size, text
    in `style.color`; None when the text does not fit into it."""
    width, height = size
    angle = math.radians(degrees)
    run, radius = (0.0, min(size) / 2) if shape == "round" else _fit_turned_pill(size, degrees)
    fitted = fit_badge(text, style, shape, degrees, size, library)
    if fitted is None:
        return None
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + 0.5 - width / 2, y + 0.5 - height / 2
    along = x * math.cos(angle) - y * math.sin(angle)
    across = x * math.sin(angle) + y * math.cos(angle)
    beyond = np.hypot(np.maximum(np.abs(along) - run / 2, 0), across)
    body = np.clip(radius - beyond + 0.5, 0, 1)
    rim = np.clip(beyond - (1 - _RIM) * radius + 0.5, 0, 1)
    letters, ink = _draw_turned_letters(fitted, library, (width, height), degrees)
    rgb = np.empty((height, width, 3), np.float32)
    rgb[:] = _parse_rgb(color)
    rgb += (np.array(_parse_rgb(style.color), np.float32) - rgb) * rim[..., None]
    rgb = rgb * (1 - ink[..., None]) + letters
    return np.rint(np.concatenate([rgb, 255 * body[..., None]], axis=2)).astype(np.uint8)


def _in_pill(
    text: str, style: TextStyle, width: float, height: float, library: FontLibrary
) -> FittedText | None:
    """The text at the largest size at which a pill of this size holds it, in one line or in two."""
    best = None
    for lines in _pill_lines(style):
        for size in range(style.max_px, style.min_px - 1, -1):
            sized = replace(style, max_px=size, min_px=size, max_lines=lines)
            fitted = fit_text(text, sized, math.ceil(width), math.ceil(height), library)
            if fitted is None:
                continue
            wide, high = _pill_size(fitted)
            # Its own size was rounded up to even pixels.
            if wide <= width + 2 and high <= height + 2:
                if best is None or fitted.size > best.size:
                    best = fitted
                break
    return best


def _draw_turned_letters(
    fitted: FittedText, library: FontLibrary, size: tuple[int, int], degrees: float
) -> tuple[np.ndarray, np.ndarray]:
    """The text turned about its middle, in the middle of a picture of this size: colour times
    coverage (float32, 0..255) and coverage (0..1)."""
    text, style = fitted.text, fitted.style
    sized = replace(
        style,
        uppercase=False,
        min_px=_FINE * fitted.size,
        max_px=_FINE * fitted.size,
        max_lines=len(fitted.lines),
    )
    box = (_FINE * (fitted.box[0] + 2), _FINE * (fitted.box[1] + 2))
    fine = fit_text(text, sized, *box, library) or fitted
    factor = fine.size / fitted.size
    tile = draw_text(fine, library)
    alpha = tile.rgba[..., 3:].astype(np.float32) / 255
    picture = np.concatenate([tile.rgba[..., :3] * alpha, alpha], axis=2)
    x0, y0, x1, y1 = tile.ink
    middle = ((x0 + x1) / 2 - tile.x, (y0 + y1) / 2 - tile.y)
    width, height = size
    k = factor / _FINE
    cos, sin = math.cos(math.radians(degrees)) * k, math.sin(math.radians(degrees)) * k
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    matrix[:, 2] = np.array(middle) - matrix[:, :2] @ (width * _FINE / 2, height * _FINE / 2)
    turned = cv2.warpAffine(
        picture,
        matrix,
        (width * _FINE, height * _FINE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    turned = cv2.resize(turned, size, interpolation=cv2.INTER_AREA)
    return turned[..., :3], turned[..., 3]


def _parse_rgb(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]
