"""Draw a text that was set in lines: letters, strokes, shadows, plates and emoji."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import freetype
import numpy as np

from pytoon_pipeline.picture.fitted_text import (
    SLACK_PX,
    FittedText,
    FittedWord,
    PlacedWord,
    Rect,
    padding_px,
    placed_words,
    plate_reach,
    union_of,
)
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.styles import TextBoxStyle, TextShadow, TextStyle, parse_color

_MARGIN_PX = 2
_FINE_ROWS = 8
_FINE_DISTANCE = 4

# FreeType's library and faces may be used by one thread at a time.
_FREETYPE = threading.Lock()


@dataclass(frozen=True)
class TextPicture:
    """A drawn text. Nothing is clipped: the outermost pixels are fully transparent."""

    rgba: np.ndarray
    """(h, w, 4) uint8, straight alpha; h and w are even."""
    x: int
    y: int
    """Of the tile's top-left pixel, from the box's; even, negative where strokes, shadows or
    plates stand out."""
    ink: Rect
    """The pixels of letters and strokes, relative to the box."""
    words: list[FittedWord]
    plates: list[Rect]


def draw_text(
    fitted: FittedText, library: FontLibrary, highlight: Collection[int] = ()
) -> TextPicture:
    """Return the fitted text as a picture. `highlight` holds the `FittedWord.index` of the words
    that are drawn as `style.highlight` says. Raises ValueError for a highlight that the style does
    not have."""
    style, size = fitted.style, fitted.size
    if highlight and style.highlight is None:
        raise ValueError("the style has no highlight")
    words = placed_words(fitted)
    lit_words = [placed for placed in words if placed.word.index in highlight]
    lit = {i for placed in lit_words for i in range(placed.start, placed.end)}
    pictures = list(_iterate_emoji(fitted, library))
    with _FREETYPE:
        strokes = (
            list(_iterate_bitmaps(fitted, library, style.stroke * size)) if style.stroke else []
        )
        fills = list(_iterate_bitmaps(fitted, library, 0.0))
    drawn = union_of([b.rect for b in strokes + fills] + [p.rect for p in pictures])
    plates = fitted.plates
    lit_plates = _lit_plates(fitted, lit_words)
    solid = union_of([r for r in (drawn, *plates, *lit_plates) if r[2] > r[0]])
    x0, y0, x1, y1 = _tile_bounds(style, size, solid)
    canvas = _Canvas(x0, y0, x1 - x0, y1 - y0)

    plate = _plate_mask(canvas, plates, style.box, size) if style.box else None
    # Joined letters abut: coverage adds up, or a seam shows between them.
    fill = canvas.mask([b for b in fills if b.cluster not in lit], cv2.add)
    lit_fill = canvas.mask([b for b in fills if b.cluster in lit], cv2.add) if lit else None
    letters = fill if lit_fill is None else cv2.add(fill, lit_fill)
    seen = letters
    if pictures:
        seen = np.maximum(letters, canvas.mask([p.shape for p in pictures], np.maximum))
    stroke = None
    if strokes:
        stroke = canvas.mask(strokes, np.maximum)
        part = canvas.part(drawn)
        core = _stroke_core(letters[part], style.stroke * size)
        stroke[part] = np.maximum(stroke[part], core)
        seen = np.maximum(seen, stroke)

    if style.shadow:
        cast = seen if plate is None else plate
        shade = _shadow_mask(cast, style.shadow, size)
        if plate is not None:
            shade *= 1.0 - plate / np.float32(255)  # as in CSS: none below the box itself
        canvas.paint(shade, style.shadow.color, style.shadow.opacity)
    if plate is not None and style.box is not None:
        canvas.paint(plate, style.box.color, style.box.opacity)
    if style.highlight and style.highlight.box:
        for rect in lit_plates:
            mask = _plate_mask(canvas, [rect], style.highlight.box, size)
            canvas.paint(mask, style.highlight.box.color, style.highlight.box.opacity)
    if stroke is not None:
        canvas.paint(stroke, style.stroke_color)
    canvas.paint(fill, style.color)
    if lit_fill is not None and style.highlight is not None:
        canvas.paint(lit_fill, style.highlight.color)
    for picture in pictures:
        canvas.lay(picture)
    ink = canvas.bounds(seen)
    return TextPicture(canvas.rgba(), x0, y0, ink, [placed.word for placed in words], plates)


class _Bitmap(NamedTuple):
    coverage: np.ndarray
    rect: Rect
    cluster: int


class _EmojiPicture(NamedTuple):
    rgba: np.ndarray
    """(h, w, 4) float32, premultiplied; colours of 0 to 255, alpha of 0 to 1."""
    rect: Rect
    cluster: int

    @property
    def shape(self) -> _Bitmap:
        return _Bitmap(np.rint(self.rgba[..., 3] * 255).astype(np.uint8), self.rect, self.cluster)


class _Canvas:
    """Premultiplied float layers over a rectangle of the box's coordinates."""

    def __init__(self, x: int, y: int, width: int, height: int):
        self.x, self.y, self.shape = x, y, (height, width)
        self._rgb = np.zeros((height, width, 3), np.float32)
        self._alpha = np.zeros((height, width), np.float32)

    def mask(
        self, bitmaps: list[_Bitmap], join: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        mask = np.zeros(self.shape, np.uint8)
        for coverage, rect, _ in bitmaps:
            part = mask[self.part(rect)]
            part[:] = join(part, coverage)
        return mask

    def paint(self, mask: np.ndarray, color: str, opacity: float = 1.0) -> None:
        """Lays a colour over what is there, through a mask (uint8, or float of 0 to 1)."""
        part = self.part(self.bounds(mask))
        scale = opacity / 255 if mask.dtype == np.uint8 else opacity
        alpha = mask[part].astype(np.float32) * np.float32(scale)
        keep = 1 - alpha
        self._rgb[part] *= keep[..., None]
        self._rgb[part] += alpha[..., None] * np.array(parse_color(color), np.float32)
        self._alpha[part] *= keep
        self._alpha[part] += alpha

    def lay(self, picture: _EmojiPicture) -> None:
        """Lays a picture over what is there."""
        part = self.part(picture.rect)
        alpha = picture.rgba[..., 3]
        self._rgb[part] *= 1 - alpha[..., None]
        self._rgb[part] += picture.rgba[..., :3]
        self._alpha[part] *= 1 - alpha
        self._alpha[part] += alpha

    def part(self, rect: Rect) -> tuple[slice, slice]:
        """Where the rectangle lies in a mask."""
        x0, y0, x1, y1 = rect
        return np.s_[y0 - self.y : y1 - self.y, x0 - self.x : x1 - self.x]

    def bounds(self, mask: np.ndarray) -> Rect:
        """The rectangle of what is not 0. (A bitmap's own may be larger: FreeType allots it by the
        control points of the curves.)."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = self.x, self.y
        if not rows.size:
            return x, y, x, y
        return (
            x + int(columns[0]),
            y + int(rows[0]),
            x + int(columns[-1]) + 1,
            y + int(rows[-1]) + 1,
        )

    def rgba(self) -> np.ndarray:
        alpha = self._alpha
        out = np.empty((*self.shape, 4), np.uint8)
        divisor = np.where(alpha > 0, alpha, 1)[..., None]
        out[..., :3] = np.clip(np.rint(self._rgb / divisor), 0, 255)
        out[..., 3] = np.clip(np.rint(alpha * 255), 0, 255)
        return out


def _tile_bounds(style: TextStyle, size: int, solid: Rect) -> Rect:
    x0, y0, x1, y1 = solid
    if style.shadow:
        dx, dy, sigma = _shadow_px(style.shadow, size)
        reach = math.ceil(3 * sigma) + 1
        x0, y0 = min(x0, x0 + dx - reach), min(y0, y0 + dy - reach)
        x1, y1 = max(x1, x1 + dx + reach), max(y1, y1 + dy + reach)
    x0, y0 = (x0 - _MARGIN_PX) // 2 * 2, (y0 - _MARGIN_PX) // 2 * 2
    x1, y1 = -(-(x1 + _MARGIN_PX) // 2) * 2, -(-(y1 + _MARGIN_PX) // 2) * 2
    return x0, y0, x1, y1


def _iterate_bitmaps(fitted: FittedText, library: FontLibrary, stroke: float) -> Iterator[_Bitmap]:
    """Each glyph's coverage, unhinted, placed to 1/64 px; stroked by so many pixels on each side
    where `stroke` is not 0. Baselines lie on whole pixels, so feet are sharp."""
    size = fitted.size
    stroker = None
    if stroke:
        stroker = freetype.Stroker()
        stroker.set(
            round(stroke * 64),
            freetype.FT_STROKER_LINECAP_ROUND,
            freetype.FT_STROKER_LINEJOIN_ROUND,
            0,
        )
    for line in fitted.lines:
        for glyph in line.shaped.glyphs:
            if glyph.ink is None or glyph.picture:
                continue
            face = library.open_outlines(glyph.face)
            face.set_pixel_sizes(0, size)
            face.load_glyph(glyph.id, freetype.FT_LOAD_NO_HINTING | freetype.FT_LOAD_NO_BITMAP)
            outline = face.glyph.get_glyph()
            if stroker is not None:
                outline.stroke(stroker, True)
            x64, y64 = round((line.x + glyph.x * size) * 64), round(glyph.y * size * 64)
            offset = freetype.FT_Vector(x64 & 63, y64 & 63)
            drawn = outline.to_bitmap(freetype.FT_RENDER_MODE_NORMAL, offset, True)
            bitmap = drawn.bitmap
            rows, columns, pitch = bitmap.rows, bitmap.width, bitmap.pitch
            if not rows or not columns:
                continue
            # The wrapper's own `buffer` makes a list of Python ints of it.
            raw = ctypes.string_at(bitmap._FT_Bitmap.buffer, rows * pitch)
            coverage = np.frombuffer(raw, np.uint8).reshape(rows, pitch)[:, :columns]
            left = (x64 >> 6) + drawn.left
            top = line.baseline - (y64 >> 6) - drawn.top
            rect = (left, top, left + columns, top + rows)
            yield _Bitmap(coverage, rect, glyph.cluster)


def _iterate_emoji(fitted: FittedText, library: FontLibrary) -> Iterator[_EmojiPicture]:
    """The emoji: what is seen of each, scaled from the size that the font has it in to whole
    pixels. They get no stroke: they bring their own outlines."""
    size = fitted.size
    for line in fitted.lines:
        for glyph in line.shaped.glyphs:
            if not glyph.picture or glyph.ink is None:
                continue
            picture = library.picture(glyph.face, glyph.id)
            assert picture is not None
            left, bottom, right, top = (value * size for value in glyph.ink)
            x0, x1 = round(line.x + left), round(line.x + right)
            y0, y1 = round(line.baseline - top), round(line.baseline - bottom)
            if x1 > x0 and y1 > y0:
                a, b, c, d = picture.ink
                scaled = _scale_premultiplied(picture.rgba[b:d, a:c], x1 - x0, y1 - y0)
                yield _EmojiPicture(scaled, (x0, y0, x1, y1), glyph.cluster)


def _scale_premultiplied(rgba: np.ndarray, width: int, height: int) -> np.ndarray:
    """Premultiplied, so that nothing of what is transparent bleeds in."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    whole = np.concatenate([rgba[..., :3].astype(np.float32) * alpha, alpha], axis=2)
    smaller = height <= rgba.shape[0]
    filtering = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    out = cv2.resize(whole, (width, height), interpolation=filtering)
    out[..., 3] = np.clip(out[..., 3], 0, 1)
    out[..., :3] = np.clip(out[..., :3], 0, 255 * out[..., 3:])
    return out


def _stroke_core(letters: np.ndarray, radius: float) -> np.ndarray:
    """What lies surely within the stroke, by distance from the letters.

    FreeType's stroker draws exact edges but turns a counter narrower than the stroke inside out
    and leaves a hole there (the ring of A-ring, the eyes of 8).
    """
    height, width = letters.shape
    size = (width * _FINE_DISTANCE, height * _FINE_DISTANCE)
    fine = cv2.resize(letters, size, interpolation=cv2.INTER_LINEAR)
    apart = cv2.distanceTransform((fine < 128).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # A quarter pixel inside the true edge: the stroker's own edge stays the one that is seen.
    inside = np.clip((radius - 0.25) * _FINE_DISTANCE - apart + 1, 0, 1) * np.float32(255)
    return cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _shadow_px(shadow: TextShadow, size: int) -> tuple[int, int, float]:
    return round(shadow.dx * size), round(shadow.dy * size), shadow.blur * size / 2


def _shadow_mask(cast: np.ndarray, shadow: TextShadow, size: int) -> np.ndarray:
    """The mask moved and blurred, float32 of 0 to 1. The canvas has room for all of it."""
    dx, dy, sigma = _shadow_px(shadow, size)
    height, width = cast.shape
    moved = np.zeros((height, width), np.float32)
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = cast[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    moved /= 255
    if sigma <= 0:
        return moved
    reach = 2 * math.ceil(3 * sigma) + 1
    blurred = cv2.GaussianBlur(moved, (reach, reach), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.clip(blurred, 0, 1)


def _lit_plates(fitted: FittedText, lit: list[PlacedWord]) -> list[Rect]:
    style, size = fitted.style, fitted.size
    if style.highlight is None or style.highlight.box is None:
        return []
    pad_x = padding_px(style.highlight.box, size)[0]
    stroke = style.stroke * size + SLACK_PX
    above, below = plate_reach(style.highlight.box, size, fitted.extents, stroke)
    return [
        (word.x0 - pad_x, line.baseline - above, word.x1 + pad_x, line.baseline + below)
        for word, _, _, line in lit
    ]


def _plate_mask(canvas: _Canvas, rects: list[Rect], box: TextBoxStyle, size: int) -> np.ndarray:
    """Coverage of the rectangles with round corners, grown together where they touch: in each of
    eight rows to the pixel, the exact length between the left and the right side."""
    mask = np.zeros(canvas.shape, np.uint8)
    for group in _group_touching(rects):
        x0, y0, x1, y1 = union_of(group)
        rows = y0 + (np.arange((y1 - y0) * _FINE_ROWS) + 0.5) / _FINE_ROWS
        left, right = (_trace_side(group, side, box.radius * size) for side in (0, 2))
        starts = np.interp(rows, left[:, 1], left[:, 0])[:, None]
        ends = np.interp(rows, right[:, 1], right[:, 0])[:, None]
        columns = np.arange(x0, x1)
        covered = np.clip(np.minimum(ends, columns + 1) - np.maximum(starts, columns), 0, 1)
        covered = covered.reshape(y1 - y0, _FINE_ROWS, x1 - x0).mean(axis=1)
        part = mask[canvas.part((x0, y0, x1, y1))]
        part[:] = np.maximum(part, np.rint(covered * 255).astype(np.uint8))
    return mask


def _group_touching(rects: list[Rect]) -> list[list[Rect]]:
    """Neighbours (from top to bottom) that overlap go together."""
    groups: list[list[Rect]] = []
    for rect in rects:
        last = groups[-1][-1] if groups else None
        if last and last[3] >= rect[1] and last[0] < rect[2] and rect[0] < last[2]:
            groups[-1].append(rect)
        else:
            groups.append([rect])
    return groups


def _trace_side(rects: list[Rect], side: int, radius: float) -> np.ndarray:
    """The left (0) or right (2) side of rectangles stacked from top to bottom: x and y of points
    from the middle of the top to the middle of the bottom."""
    first, last = rects[0], rects[-1]
    corners: list[tuple[float, float]] = [((first[0] + first[2]) / 2, first[1])]
    corners.append((first[side], first[1]))
    for above, below in pairwise(rects):
        if above[side] != below[side]:
            above_is_wider = (above[side] > below[side]) == (side == 2)
            y = above[3] if above_is_wider else below[1]
            corners += [(above[side], y), (below[side], y)]
    corners.append((last[side], last[3]))
    corners.append(((last[0] + last[2]) / 2, last[3]))
    return _round_corners(corners, radius)


def _round_corners(corners: list[tuple[float, float]], radius: float) -> np.ndarray:
    """A line of right angles with each angle replaced by a quarter circle. Two circles share an
    edge's length where it is too short for both."""
    ring = [np.array(c, np.float64) for c in corners]
    points = [ring[0]]
    for n in range(1, len(ring) - 1):
        to_before, to_after = ring[n - 1] - ring[n], ring[n + 1] - ring[n]
        before, after = np.abs(to_before).sum(), np.abs(to_after).sum()
        r = min(radius, before / (1 if n == 1 else 2), after / (1 if n == len(ring) - 2 else 2))
        if r <= 0:
            points.append(ring[n])
            continue
        u, v = to_before / before, to_after / after
        centre = ring[n] + r * (u + v)
        angles = np.linspace(0, math.pi / 2, max(4, math.ceil(r)) + 1)
        points += [centre - r * (v * math.cos(a) + u * math.sin(a)) for a in angles]
    return np.array([*points, ring[-1]])
