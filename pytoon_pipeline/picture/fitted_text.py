"""A text set in lines at one size: its lines, words and plates, in pixels of the box."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from pytoon_pipeline.picture.fonts import FontFace
from pytoon_pipeline.picture.line_breaks import BREAKING_SPACES, break_opportunities
from pytoon_pipeline.picture.shaping import ShapedLine
from pytoon_pipeline.picture.styles import TextBoxStyle, TextStyle

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 lie just outside."""
# Outlines are placed on a grid of 1/64 px and strokes are flattened curves: black may lie this far
# beyond what the font's numbers say.
SLACK_PX = 2 / 64


@dataclass(frozen=True)
class FittedLine:
    """One line of a fitted text."""

    start: int
    end: int
    """The line holds `FittedText.text[start:end]`."""
    x: float
    """Pixels from the box's left side to the line's pen origin."""
    baseline: int
    """Pixels from the box's top."""
    shaped: ShapedLine


@dataclass(frozen=True)
class FittedWord:
    """A word and its rectangle: sideways the word's ink with the stroke, in height its line's ink.
    A word broken at a hyphen has one for each part, with the same `index`."""

    text: str
    x0: int
    y0: int
    x1: int
    y1: int
    index: int

    @property
    def rect(self) -> Rect:
        """The word's rectangle, in pixels of the box."""
        return self.x0, self.y0, self.x1, self.y1


class LineExtents(NamedTuple):
    """How far a text reaches from its baselines, in em. The tallest and deepest letters count on
    whatever line they stand, so that breaking lines differently does not change the height."""

    band: float
    """What the eye takes for the height of a line: capitals, or small letters where nothing is
    taller; without accents."""
    high: float
    deep: float


@dataclass(frozen=True)
class FittedText:
    """A text set in lines at a size."""

    text: str
    """As drawn: in capitals where the style says so."""
    style: TextStyle
    size: int
    """Pixels per em."""
    box: tuple[int, int]
    lines: tuple[FittedLine, ...]
    extents: LineExtents

    @property
    def faces(self) -> tuple[FontFace, ...]:
        """Every face that is drawn from, the first used first."""
        return tuple(dict.fromkeys(g.face for ln in self.lines for g in ln.shaped.glyphs))

    @property
    def words(self) -> list[FittedWord]:
        """In reading order."""
        return [placed.word for placed in placed_words(self)]

    @property
    def ink(self) -> Rect:
        """All that letters and strokes may touch, by the fonts' own measures."""
        boxes = [ink_px(self, ln, ln.shaped.ink) for ln in self.lines if ln.shaped.ink]
        return union_of(boxes)

    @property
    def plates(self) -> list[Rect]:
        """The rectangles of the box behind: none, one, or one for each line."""
        return plate_rects(self)


def padding_px(box: TextBoxStyle, size: int) -> tuple[int, int]:
    """Return the padding of a plate around its text, sideways and in height, in pixels."""
    return round(box.pad_x * size), round(box.pad_y * size)


def plate_reach(
    box: TextBoxStyle, size: int, extents: LineExtents, stroke: float
) -> tuple[int, int]:
    """Return how far a plate reaches above and below a baseline, in pixels: padding around the
    band, and room around what extends beyond the band."""
    pad_y = padding_px(box, size)[1]
    least = round(0.35 * pad_y)
    above = max(
        math.ceil(extents.band * size) + pad_y, math.ceil(extents.high * size + stroke) + least
    )
    below = max(pad_y, math.ceil(extents.deep * size + stroke) + least)
    return above, below


def union_of(rects: Collection[Rect]) -> Rect:
    """Return the smallest rectangle that holds all of `rects`; all zeros where there are none."""
    if not rects:
        return (0, 0, 0, 0)
    x0, y0, x1, y1 = zip(*rects, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def ink_px(fitted: FittedText, line: FittedLine, ink: tuple[float, float, float, float]) -> Rect:
    """Return the rectangle, in pixels of the box, of ink given in em from the line's origin, with
    its stroke."""
    size, reach = fitted.size, fitted.style.stroke * fitted.size + SLACK_PX
    # What is a whole pixel but for a float's last bits is that pixel.
    tiny = 1e-6
    return (
        math.floor(line.x + ink[0] * size - reach + tiny),
        math.floor(line.baseline - ink[3] * size - reach + tiny),
        math.ceil(line.x + ink[2] * size + reach - tiny),
        math.ceil(line.baseline - ink[1] * size + reach - tiny),
    )


class PlacedWord(NamedTuple):
    """A word of a fitted text, its characters (`text[start:end]`) and its line."""

    word: FittedWord
    start: int
    end: int
    line: FittedLine


def placed_words(fitted: FittedText) -> list[PlacedWord]:
    """Return the words of a fitted text in reading order, with their places."""
    text = fitted.text
    hyphens = "-\u2010–—\u00ad"
    # Words of scripts without spaces are phrases.
    breaks = break_opportunities(text, fitted.style.language, phrases=True)
    inner = {i for i in breaks if text[i - 1] not in hyphens}
    found: list[PlacedWord] = []
    index, goes_on = -1, False
    for line in fitted.lines:
        start = line.start
        for i in range(line.start, line.end + 1):
            space = i == line.end or text[i] in BREAKING_SPACES
            if i == start or not (space or i in inner):
                start += space and i == start
                continue
            index += not goes_on
            inks = [g.ink for g in line.shaped.glyphs if g.ink and start <= g.cluster < i]
            if inks and line.shaped.ink is not None:
                _, bottom, _, top = line.shaped.ink
                ink = (min(b[0] for b in inks), bottom, max(b[2] for b in inks), top)
                shown = text[start:i].replace("\u00ad", "")
                word = FittedWord(shown, *ink_px(fitted, line, ink), index)
                found.append(PlacedWord(word, start, i, line))
            goes_on = i == line.end and i not in inner and text[i : i + 1].strip("\u200b") != ""
            goes_on = goes_on and text[i] not in BREAKING_SPACES + "\n"
            start = i + space
    return found


def plate_rects(fitted: FittedText) -> list[Rect]:
    """Return the rectangles of the box behind a text: none, one, or one for each line."""
    style, size = fitted.style, fitted.size
    if style.box is None:
        return []
    stroke = style.stroke * size + SLACK_PX
    above, below = plate_reach(style.box, size, fitted.extents, stroke)
    pad_x = padding_px(style.box, size)[0]
    rects = []
    for line in fitted.lines:
        if line.shaped.ink:
            x0, _, x1, _ = ink_px(fitted, line, line.shaped.ink)
            rects.append((x0 - pad_x, line.baseline - above, x1 + pad_x, line.baseline + below))
    if not style.box.per_line:
        return [union_of(rects)]
    return _snap_sides(rects, 2 * round(style.box.radius * size))


def _snap_sides(rects: list[Rect], least: int) -> list[Rect]:
    """Sides of touching rectangles that differ by less than two radii are drawn level: a smaller
    step can't be rounded and looks like a mistake."""
    rects = list(rects)
    for side, farther in ((0, min), (2, max)):
        changed = True
        while changed:
            changed = False
            for n in range(len(rects) - 1):
                a, b = rects[n], rects[n + 1]
                if a[3] >= b[1] and 0 < abs(a[side] - b[side]) < least:
                    edge = farther(a[side], b[side])
                    for m in (n, n + 1):
                        x0, y0, x1, y1 = rects[m]
                        rects[m] = (x0, y0, edge, y1) if side else (edge, y0, x1, y1)
                    changed = True
    return rects
