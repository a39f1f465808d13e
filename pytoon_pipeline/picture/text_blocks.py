"""Set a text in lines: choose size and line breaks, and place the lines inside a box."""

from __future__ import annotations

import math
import re
import unicodedata
from functools import cached_property
from itertools import pairwise

from pytoon_pipeline.picture.fitted_text import (
    SLACK_PX,
    FittedLine,
    FittedText,
    LineExtents,
    padding_px,
    plate_reach,
)
from pytoon_pipeline.picture.hyphens import SOFT_HYPHEN
from pytoon_pipeline.picture.line_breaks import BREAKING_SPACES, break_opportunities, script_of
from pytoon_pipeline.picture.shaping import ShapedLine, ShapedParagraph
from pytoon_pipeline.picture.styles import TextStyle

_MIN_GAP_EM = 0.07
_SHORT_WORD = 3
_LARGE = 0.68  # of the largest size: as the presets have it from the largest to the least
SENTENCE_ENDS = ".!?…。！？؟।"
CLAUSE_ENDS = ",;:–—،؛、，；："
CLOSING = "\"'”’»)]}」』）"


class TextBlock:
    """A stretch of a paragraph that is to be set in lines. Lines end where phrases do or, in
    scripts without spaces, anywhere."""

    def __init__(
        self,
        paragraph: ShapedParagraph,
        style: TextStyle,
        start: int,
        end: int,
        phrases: bool = True,
    ):
        self.paragraph, self.style = paragraph, style
        text = paragraph.text
        while end > start and text[end - 1] in BREAKING_SPACES + "\n":
            end -= 1
        self.start, self.end = start, end
        stops = break_opportunities(text[start:end], style.language, phrases)
        self.stops = [start, *(start + i for i in stops), end]
        self.inside_phrase: set[int] = set()
        if not phrases:
            ends = break_opportunities(text[start:end], style.language, phrases=True)
            self.inside_phrase = {start + i for i in set(stops) - set(ends)}
        self.forced = [
            n for n, i in enumerate(self.stops) if start < i < end and text[i - 1] == "\n"
        ]
        self.most_lines = style.max_lines
        self._widths: dict[tuple[int, int], float] = {}
        library = paragraph.library
        self.cap = library.metrics(library.require(style.family, style.weight)).cap_height

    def is_hopeless(self, box_w: int) -> bool:
        """Return whether there is more text than all lines can hold, however it is broken. This is
        quick for texts that are far too long."""
        text, style = self.paragraph.text, self.style
        blanks = sum(text.count(c) for c in BREAKING_SPACES)
        visible = self.paragraph.cells(0, len(text)) - blanks - text.count("\n")
        if visible > style.max_lines * style.max_chars_per_line:
            return True
        # Blanks are wide in some fonts; a newline is drawn as some glyph or other.
        least = self.paragraph.line(0, len(text)).advance - 0.5 * blanks - 1.2 * text.count("\n")
        return 0.85 * least > style.max_lines * self.line_room(style.min_px, box_w)

    def spare_lines(self, box_w: int) -> None:
        """Limit the lines to those that large type needs, so that words are not broken for still
        larger type."""
        size = max(self.style.min_px, round(_LARGE * self.style.max_px))
        self.most_lines = self._fewest_lines(size, box_w) or self.style.max_lines

    def fit(self, box_w: int, box_h: int) -> FittedText | None:
        """Return the block at the largest size that fits the box, or None."""
        low, high = self.style.min_px, self.style.max_px
        if not self._fits_at(low, box_w, box_h):
            return None
        while low < high:
            middle = (low + high + 1) // 2
            if self._fits_at(middle, box_w, box_h):
                low = middle
            else:
                high = middle - 1
        # Lines that must be moved apart need more height than was known without breaking them.
        for size in range(low, self.style.min_px - 1, -1):
            fitted = self._layout_at(size, box_w, box_h)
            if fitted is not None:
                return fitted
        return None

    def fits(self, box_w: int, box_h: int) -> bool:
        """Return whether `fit` would return something, with less work."""
        least, usual = self.style.min_px, self.style.line_height
        widest = self.extents.high + self.extents.deep + _MIN_GAP_EM
        if widest <= usual or not self._fits_at(least, box_w, box_h):
            return self._fits_at(least, box_w, box_h)
        if self._fits_at(least, box_w, box_h, widest):
            return True
        return self._layout_at(least, box_w, box_h) is not None or bool(self.fit(box_w, box_h))

    def _fits_at(self, size: int, box_w: int, box_h: int, pitch: float | None = None) -> bool:
        """Whether it fits with its lines as far apart as given, in em, or as the style says."""
        count = self._fewest_lines(size, box_w)
        if count is None:
            return False
        top, bottom = self._vertical_reach(size)
        pitch = self.style.line_height if pitch is None else pitch
        return top + bottom + round((count - 1) * pitch * size) <= box_h

    def _layout_at(self, size: int, box_w: int, box_h: int) -> FittedText | None:
        """Even lines at this size, at which `_fits_at`; None when they don't fit moved apart."""
        count = self._fewest_lines(size, box_w)
        assert count is not None
        spans = self._even_lines(count, size, box_w)
        shaped = [self._line(a, b) for a, b in spans]
        pens = [self._line_origin(line, size, box_w) for line in shaped]
        pitch = size * max(
            [self.style.line_height]
            + [
                _clear_pitch(above, below, (pen_below - pen_above) / size)
                for (above, pen_above), (below, pen_below) in pairwise(
                    zip(shaped, pens, strict=True)
                )
            ]
        )
        top, bottom = self._vertical_reach(size)
        depth = round((count - 1) * pitch)
        if top + depth + bottom > box_h:
            return None
        if self.style.valign == "top":
            first = top
        elif self.style.valign == "bottom":
            first = box_h - bottom - depth
        else:
            # For the eye, a line reaches from its capitals to its baseline.
            first = round((box_h + self.extents.band * size - depth) / 2)
            first = min(max(first, top), box_h - bottom - depth)
        lines = tuple(
            FittedLine(*self.trim(a, b), pen, first + round(n * pitch), line)
            for n, ((a, b), pen, line) in enumerate(zip(spans, pens, shaped, strict=True))
        )
        return FittedText(
            self.paragraph.text, self.style, size, (box_w, box_h), lines, self.extents
        )

    def _line_origin(self, line: ShapedLine, size: int, box_w: int) -> float:
        """Where the line's origin lies: lines are aligned by their ink, not by the room that the
        font leaves beside it."""
        left, right = (line.ink[0] * size, line.ink[2] * size) if line.ink else (0.0, 0.0)
        pad_x = padding_px(self.style.box, size)[0] if self.style.box else 0
        side = pad_x + self.style.stroke * size + SLACK_PX
        align = self.style.align
        if align == "left" and self.paragraph.base == 1:
            align = "right"
        if align == "left":
            return side - left
        if align == "right":
            return box_w - side - right
        return (box_w - left - right) / 2

    def trim(self, a: int, b: int) -> tuple[int, int]:
        """Return the indices of the first character and behind the last one of a line from stop a
        to stop b, without blanks at its end."""
        start, end = self.stops[a], self.stops[b]
        while end > start and self.paragraph.text[end - 1] in BREAKING_SPACES + "\n\u200b":
            end -= 1
        return start, end

    def _line(self, a: int, b: int) -> ShapedLine:
        return self.paragraph.line(*self.trim(a, b))

    def width(self, a: int, b: int) -> float:
        """Return the width in em of the ink of a line from stop a to stop b; infinite where it
        would hold too many characters or a newline."""
        width = self._widths.get((a, b))
        if width is None:
            start, end = self.trim(a, b)
            too_long = self.paragraph.cells(start, end) > self.style.max_chars_per_line
            if too_long or any(a < n < b for n in self.forced):
                width = math.inf
            else:
                ink = self.paragraph.line(start, end).ink
                width = ink[2] - ink[0] if ink else 0.0
            self._widths[a, b] = width
        return width

    def line_room(self, size: int, box_w: int) -> float:
        """Return how wide the ink of a line may be, in em."""
        pad_x = padding_px(self.style.box, size)[0] if self.style.box else 0
        return (box_w - 2 * (pad_x + SLACK_PX)) / size - 2 * self.style.stroke

    def _fewest_lines(self, size: int, box_w: int) -> int | None:
        """How many lines it takes, filling each; None when it can't be done."""
        room = self.line_room(size, box_w)
        last, a, count = len(self.stops) - 1, 0, 0
        while a < last:
            b = a
            while b < last and self.width(a, b + 1) <= room:
                b += 1
            count += 1
            if b == a or count > self.most_lines:
                return None
            a = b
        return count

    def _even_lines(self, count: int, size: int, box_w: int) -> list[tuple[int, int]]:
        """The breaks of least cost into so many lines, by dynamic programming."""
        room = self.line_room(size, box_w)
        last = len(self.stops) - 1
        total = sum(self._line(a, b).advance for a, b in pairwise([0, *self.forced, last]))
        target = max(total / count, 1e-3)
        best: dict[tuple[int, int], tuple[float, int]] = {(0, 0): (0.0, 0)}
        for n in range(1, count + 1):
            for b in range(n, last + 1):
                for a in range(b - 1, n - 2, -1):
                    width = self.width(a, b)
                    if width > 1.5 * room:  # of more it is wider still, but for kerning
                        break
                    before = best.get((n - 1, a))
                    if before is None or width > room:
                        continue
                    cost = before[0] + ((width - target) / target) ** 2
                    cost += self._break_cost(a, b, target)
                    if (n, b) not in best or cost < best[n, b][0]:
                        best[n, b] = (cost, a)
        spans = []
        b = last
        for n in range(count, 0, -1):
            a = best[n, b][1]
            spans.append((a, b))
            b = a
        return spans[::-1]

    def _break_cost(self, a: int, b: int, target: float) -> float:
        """What is wrong with a line from stop a to stop b, beside its length."""
        text = self.paragraph.text
        start, end = self.trim(a, b)
        line = text[start:end]
        if b == len(self.stops) - 1:
            lone = a > 0 and a not in self.forced and not any(c in BREAKING_SPACES for c in line)
            return 0.5 if lone and self.width(a, b) < target / 2 else 0.0
        if b in self.forced or line[-1] in SENTENCE_ENDS:
            return 0.0
        if line[-1] in CLAUSE_ENDS + CLOSING:
            return 0.03
        if line[-1] == SOFT_HYPHEN:
            before = re.split(f"[{BREAKING_SPACES}\n{SOFT_HYPHEN}]", line[:-1])[-1]
            after = re.split(f"[{BREAKING_SPACES}\n{SOFT_HYPHEN}]", text[self.stops[b] :])[0]
            return 0.2 if min(len(before), len(after)) > _SHORT_WORD else 0.25
        if line[-1] in "-\u2010":
            return 0.2
        if self.stops[b] in self.inside_phrase:
            return 0.4
        word = re.split(f"[{BREAKING_SPACES}]", line)[-1]
        if is_short_word(word):  # "the", "of", "a", "50": they belong to what follows
            return 0.24 if starts_with_figure(text[self.stops[b] :]) else 0.16
        return 0.08

    @cached_property
    def extents(self) -> LineExtents:
        """How far the block reaches from its baselines."""
        inks = []
        for a, b in pairwise([0, *self.forced, len(self.stops) - 1]):
            ink = self._line(a, b).ink
            if ink:
                inks.append(ink)
        high = max((ink[3] for ink in inks), default=0.0)
        deep = max(0.0, -min((ink[1] for ink in inks), default=0.0))
        return LineExtents(min(high, self.cap), high, deep)

    def _vertical_reach(self, size: int) -> tuple[int, int]:
        """Pixels above the first and below the last baseline that must lie in the box."""
        stroke = self.style.stroke * size + SLACK_PX
        top = math.ceil(self.extents.high * size + stroke)
        bottom = math.ceil(self.extents.deep * size + stroke)
        if self.style.box:
            above, below = plate_reach(self.style.box, size, self.extents, stroke)
            top, bottom = max(top, above), max(bottom, below)
        return top, bottom


def _clear_pitch(above: ShapedLine, below: ShapedLine, shift: float) -> float:
    """Em between the baselines at which no letter of the line below, set `shift` em further right,
    touches one above it: accents of capitals under descenders."""
    gap = _MIN_GAP_EM
    return max(
        (
            low[3] - high[1] + gap
            for high in (g.ink for g in above.glyphs if g.ink)
            for low in (g.ink for g in below.glyphs if g.ink)
            if low[0] + shift - gap < high[2] and high[0] < low[2] + shift + gap
        ),
        default=0.0,
    )


def is_short_word(word: str) -> bool:
    """Return whether a word is so short that it belongs to what follows: articles, prepositions and
    figures, in scripts whose words are separated."""
    known = {"Latn", "Cyrl", "Grek", None}
    return word.isalnum() and len(word) <= _SHORT_WORD and {script_of(c) for c in word} <= known


def starts_with_figure(text: str) -> bool:
    """Return whether a text begins with a figure or a price."""
    signed = unicodedata.category(text[:1] or " ") == "Sc"
    return (text[1:].lstrip(BREAKING_SPACES) if signed else text)[:1].isdigit()
