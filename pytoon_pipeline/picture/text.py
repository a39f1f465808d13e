"""Captions as pictures: `fit_text` a text into a box, `split_into_cues` what doesn't fit, `draw`
what does.

All lengths are pixels of the real frame, all style measures em of the type size, so one style
serves every resolution. Boxes are given by width and height; what comes back is relative to the
box's top-left corner.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.picture.emoji import replace_unknown_emoji
from pytoon_pipeline.picture.fonts import FontFace, FontLibrary
from pytoon_pipeline.picture.hyphens import (
    SOFT_HYPHEN,
    cluster_breaks,
    letter_breaks,
    seam_breaks,
    separator_breaks,
    syllable_breaks,
)
from pytoon_pipeline.picture.line_breaks import (
    BREAKING_SPACES,
    break_opportunities,
    count_cells,
    is_visible,
    script_of,
    spaces_words,
)
from pytoon_pipeline.picture.shaping import ShapedLine, ShapedParagraph
from pytoon_pipeline.picture.shaping import measure_advance as measure_line
from pytoon_pipeline.picture.styles import TextBoxStyle, TextStyle

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; x1 and y1 lie just outside."""

# Outlines are placed on a grid of 1/64 px and strokes are flattened curves: black may lie this far
# beyond what the font's numbers say.
SLACK_PX = 2 / 64
_MIN_GAP_EM = 0.07
_SHORT_WORD = 3
_LARGE = 0.68  # of the largest size: as the presets have it from the largest to the least
SENTENCE_ENDS, CLAUSE_ENDS, CLOSING = ".!?…。！？؟।", ",;:–—،؛、，；：", "\"'”’»)]}」』）"


class UnbreakableTextError(UserError):
    """A single word does not fit the box even at the smallest size."""


@dataclass(frozen=True)
class FittedLine:
    start: int
    end: int
    """The line holds `Fitted.text[start:end]`."""
    x: float
    """Pixels from the box's left side to the line's pen origin."""
    baseline: int
    """Pixels from the box's top."""
    shaped: ShapedLine


@dataclass(frozen=True)
class FittedWord:
    """A word's rectangle: its ink with the stroke sideways, its line's ink in height. A word broken
    at a hyphen has one for each part, with the same `index`."""

    text: str
    x0: int
    y0: int
    x1: int
    y1: int
    index: int

    @property
    def rect(self) -> Rect:
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


def fit_text(
    text: str, style: TextStyle, box_w: int, box_h: int, library: FontLibrary
) -> FittedText | None:
    """The text at the largest size (whole pixels, `min_px` to `max_px`) at which it fits the box
    with its stroke and its background box, in the fewest lines that this size allows, broken so
    that they are even. A newline in the text starts a new line. Words stay whole where that is
    possible at any of the sizes; else those that fit no line are parted as `style.breaking` allows.

    None when it doesn't fit. Raises `MissingGlyphError` for characters that no font has,
    `PresetError` for a family that doesn't exist, `ValueError` when there is nothing to draw."""
    plain = normalise_text(text)
    if not is_visible(plain):
        raise ValueError("there is no text to fit")
    for number, way in enumerate(iterate_breaking_ways(plain, style, box_w, library)):
        block = TextBlock(way.paragraph, style, 0, len(way.paragraph.text), way.phrases)
        if number == 0 and block.is_hopeless(box_w):
            return None
        if way.parted:
            block.spare_lines(box_w)
        if (fitted := block.fit(box_w, box_h)) is not None:
            return fitted
    return None


def split_into_cues(
    text: str, style: TextStyle, box_w: int, box_h: int, library: FontLibrary
) -> list[str]:
    """The text in the fewest cues that each `fit_text`, broken at the ends of sentences before
    clauses before phrases, evenly, and without leaving a lone word. Scripts without spaces are
    broken inside a phrase only where there is no other way, words as `style.breaking` allows; where
    that is between letters, a word that is longer than a cue goes on in the next.

    No text, no cues. Raises `UnbreakableTextError` when one word alone doesn't fit at `min_px`, and
    what `fit_text` raises."""
    plain = normalise_text(text)
    if not plain:
        return []
    refused: UnbreakableTextError | None = None
    ways = list(iterate_breaking_ways(plain, style, box_w, library))
    if style.breaking == "letters":
        ways.append(replace(ways[-1], in_words=True))
    for way in ways:
        try:
            cuts = _choose_cuts(way, style, box_w, box_h)
        except UnbreakableTextError as error:
            refused = refused or error
            continue
        return _cut_cues(plain, way, cuts)
    assert refused is not None
    raise refused


@dataclass(frozen=True)
class BreakingWay:
    """A way to break a text."""

    paragraph: ShapedParagraph
    """The text as it is drawn, with marks set where its words may be parted."""
    origin: list[int]
    """For each of its indices, and its end, that of the text it was made from."""
    phrases: bool = False
    """Only the ends of phrases are breaks."""
    parted: frozenset[int] = frozenset()
    """Indices after a mark that was set in a word."""
    in_words: bool = False
    """A word that fills more than a cue may be cut at such marks."""


def _cut_cues(plain: str, way: BreakingWay, cuts: list[int]) -> list[str]:
    """The parts of a text between its cuts; with a soft hyphen where one was set and cut at."""
    cues = []
    for a, b in pairwise(cuts):
        cue = plain[way.origin[a] : way.origin[b]].strip()
        if b in way.parted and way.paragraph.text[b - 1] == SOFT_HYPHEN:
            cue += SOFT_HYPHEN
        cues.append(cue)
    return [cue for cue in cues if is_visible(cue)]


def iterate_breaking_ways(
    plain: str, style: TextStyle, box_w: int, library: FontLibrary
) -> Iterator[BreakingWay]:
    """The ways to break a text, the best first."""
    shown, origin = display_form(plain, style, library)
    paragraph = ShapedParagraph(shown, style.font, library)
    yield BreakingWay(paragraph, origin, phrases=True)
    if _has_tight_breaks(shown, style):
        yield BreakingWay(paragraph, origin)
    parted: frozenset[int] = frozenset()
    finders = {"words": (), "parts": _PARTS, "letters": (*_PARTS, *_ANYWHERE)}
    for find in finders[style.breaking]:
        found: dict[int, str] = {}
        for start, end in _too_long(paragraph, style, box_w):
            found |= find(shown, start, end, style.language)
        if found:
            shown, origin, parted = _with_breaks(shown, origin, parted, found)
            paragraph = ShapedParagraph(shown, style.font, library)
            yield BreakingWay(paragraph, origin, parted=parted)


# Twice the first: what blanks left too long may part at signs.
_PARTS = (separator_breaks, separator_breaks, seam_breaks, syllable_breaks)
_ANYWHERE = (letter_breaks, cluster_breaks)


def _too_long(paragraph: ShapedParagraph, style: TextStyle, box_w: int) -> list[tuple[int, int]]:
    """The stretches between two breaks that fit no line at the smallest size."""
    block = TextBlock(paragraph, style, 0, len(paragraph.text), phrases=False)
    room = block.line_room(style.min_px, box_w)
    return [
        block.trim(n, n + 1) for n in range(len(block.stops) - 1) if block.width(n, n + 1) > room
    ]


def _with_breaks(
    shown: str, origin: list[int], parted: frozenset[int], found: dict[int, str]
) -> tuple[str, list[int], frozenset[int]]:
    """The text with what is to be set at each index set there, its origin, and the indices after
    all marks."""
    text, places, marks = "", [], set()
    for i, char in enumerate(shown):
        if i in found:
            text += found[i]
            places.append(origin[i])
        if i in found or i in parted:
            marks.add(len(text))
        text += char
        places.append(origin[i])
    return text, [*places, origin[len(shown)]], frozenset(marks)


def shown_text(text: str, style: TextStyle, library: FontLibrary) -> str:
    """The text as it is drawn on one line: normalised, in capitals where the style says so, emoji
    that no font has replaced. Empty where nothing can be seen."""
    return display_form(normalise_text(text), style, library)[0]


def _choose_cuts(way: BreakingWay, style: TextStyle, box_w: int, box_h: int) -> list[int]:
    """Where the cues begin and end, by dynamic programming over the breaks."""
    paragraph, phrases = way.paragraph, way.phrases
    shown, language = paragraph.text, style.language
    phrase_ends = set(break_opportunities(shown, language, phrases=True))
    stops = break_opportunities(shown, language, phrases)
    whole = (i for i in stops if i not in way.parted and _may_cut(shown, i))
    cuts = [0, *whole, len(shown)]
    if way.in_words:
        for start, end in pairwise(tuple(cuts)):
            inside = [i for i in stops if start < i < end]
            cuts += _cuts_in_word(paragraph, style, box_w, box_h, [start, *inside, end])
        cuts.sort()
    best: list[tuple[int, float] | None] = [(0, 0.0), *[None] * (len(cuts) - 1)]
    previous = [0] * len(cuts)
    room = style.max_lines * style.max_chars_per_line
    for i in range(len(cuts) - 1):
        before = best[i]
        if before is None:
            continue
        for j in range(i + 1, len(cuts)):
            # A blank for each line falls away where it ends.
            if j > i + 1 and paragraph.cells(cuts[i], cuts[j]) > room + style.max_lines:
                break
            block = TextBlock(paragraph, style, cuts[i], cuts[j], phrases)
            if not block.fits(box_w, box_h):
                if j == i + 1:
                    raise _unbreakable_error(shown[cuts[i] : cuts[j]].strip(), style, box_w, box_h)
                break
            cost = before[1] + (count_cells(shown[cuts[i] : cuts[j]].strip()) / room) ** 2
            if j + 1 < len(cuts):
                cost += 3.0 if cuts[j] in way.parted else _cut_cost(shown, cuts[j])
                if cuts[j] not in phrase_ends:
                    cost += 0.5
            if j == i + 1 and len(cuts) > 2:
                cost += 0.8
            found = (before[0] + 1, cost)
            known = best[j]
            if known is None or found < known:
                best[j], previous[j] = found, i
    chosen = [end := len(cuts) - 1]
    while end:
        chosen.append(end := previous[end])
    return [cuts[n] for n in reversed(chosen)]


def _cuts_in_word(
    paragraph: ShapedParagraph, style: TextStyle, box_w: int, box_h: int, stops: list[int]
) -> list[int]:
    """The fewest of the stops inside a word at which it is to be cut, so that each part fits."""
    cuts: list[int] = []
    at = 0
    while at < len(stops) - 1:
        low, high = at, len(stops) - 1
        while low < high:
            middle = (low + high + 1) // 2
            block = TextBlock(paragraph, style, stops[at], stops[middle], phrases=False)
            if block.fits(box_w, box_h):
                low = middle
            else:
                high = middle - 1
        if low == at:
            return cuts  # not even one letter fits
        at = low
        cuts.append(stops[at])
    return cuts[:-1]


def _has_tight_breaks(shown: str, style: TextStyle) -> bool:
    """Whether there are places to break at that readers would rather not have."""
    return break_opportunities(shown, style.language) != break_opportunities(
        shown, style.language, phrases=True
    )


def measure_text(text: str, style: TextStyle, size: float, library: FontLibrary) -> float:
    """Advance width in pixels of the text on one line, without stroke."""
    return measure_line(shown_text(text, style, library), style.font, library, size)


def normalise_text(text: str) -> str:
    """Composed (NFC), one space between words, no blank lines, no control characters."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub("\r\n?|[\u2028\u2029\v\f\x85]", "\n", text).replace("\t", " ")
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc")
    lines = (re.sub(f"[{BREAKING_SPACES[:-1]}]+", " ", ln) for ln in text.split("\n"))
    return "\n".join(ln.strip(BREAKING_SPACES) for ln in lines if is_visible(ln))


def display_form(text: str, style: TextStyle, library: FontLibrary) -> tuple[str, list[int]]:
    """The text as it is drawn, and for each of its indices (its end too) that of the original."""
    text, places, _ = replace_unknown_emoji(text, library)
    if not style.uppercase:
        return text, places
    turkish = _has_dotted_capitals(text, style.language)
    shown, origin = "", []
    for i, char in enumerate(text):
        capital = "İ" if turkish and char == "i" else _capitalise(text, i)
        shown += capital
        origin += [places[i]] * len(capital)
    return shown, [*origin, places[len(text)]]


def _has_dotted_capitals(text: str, language: str) -> bool:
    """Whether the capital of i keeps its dot: in Turkish and Azerbaijani, by the brief's locale, or
    where that is left at English by letters that only these have."""
    tag = language.replace("_", "-").split("-")[0].lower()
    return tag in {"tr", "az"} or (tag in {"", "en"} and not set("ğıĞİ").isdisjoint(text))


_GREEK_ACCENT, _DIAERESIS = "\u0301", "\u0308"


def _capitalise(text: str, i: int) -> str:
    """The capital of a letter of the text, in any language but Turkish.

    Greek capitals carry no accent but keep, or take, the diaeresis that parts two vowels: `μάιος`
    becomes `ΜΑΪΟΣ`. The word `ή` (or) keeps its accent, so as not to be read as an article.
    """
    char = text[i]
    # Capitals of Georgian are for headlines in print; few fonts have them, and none is missed.
    if "\u10d0" <= char <= "\u10ff":
        return char
    capital = char.upper()
    if not ("\u0370" <= char <= "\u03ff" or "\u1f00" <= char <= "\u1fff"):
        return capital
    before, after = text[i - 1 : i] if i else "", text[i + 1 : i + 2]
    if char in "ήΉ" and not before.isalpha() and not after.isalpha():
        return "Ή"
    bare = unicodedata.normalize("NFD", capital).replace(_GREEK_ACCENT, "")
    if char in "ιυΙΥ" and before and before in "άέόύΆΈΌΎ" and not (char in "υΥ" and before in "ύΎ"):
        bare += _DIAERESIS
    return unicodedata.normalize("NFC", bare)


# ---------------------------------------------------------------------------------------- layout


class TextBlock:
    """A stretch of a paragraph that is to be set in lines, which end where phrases do or, in
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
        """Whether there is more text than all lines hold however it is broken; cheap to say of
        texts far too long."""
        text, style = self.paragraph.text, self.style
        blanks = sum(text.count(c) for c in BREAKING_SPACES)
        visible = self.paragraph.cells(0, len(text)) - blanks - text.count("\n")
        if visible > style.max_lines * style.max_chars_per_line:
            return True
        # Blanks are wide in some fonts; a newline is drawn as some glyph or other.
        least = self.paragraph.line(0, len(text)).advance - 0.5 * blanks - 1.2 * text.count("\n")
        return 0.85 * least > style.max_lines * self.line_room(style.min_px, box_w)

    def spare_lines(self, box_w: int) -> None:
        """Parts words no more often than large type needs, rather than for larger type still."""
        size = max(self.style.min_px, round(_LARGE * self.style.max_px))
        self.most_lines = self._fewest_lines(size, box_w) or self.style.max_lines

    def fit(self, box_w: int, box_h: int) -> FittedText | None:
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
        """Whether there is a `fit_text`, found with less work."""
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
        start, end = self.stops[a], self.stops[b]
        while end > start and self.paragraph.text[end - 1] in BREAKING_SPACES + "\n\u200b":
            end -= 1
        return start, end

    def _line(self, a: int, b: int) -> ShapedLine:
        return self.paragraph.line(*self.trim(a, b))

    def width(self, a: int, b: int) -> float:
        """Ink in em; infinite where the line would hold too many characters or a newline."""
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
        """Em that a line's ink may be wide."""
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


def padding_px(box: TextBoxStyle, size: int) -> tuple[int, int]:
    return round(box.pad_x * size), round(box.pad_y * size)


def plate_reach(
    box: TextBoxStyle, size: int, extents: LineExtents, stroke: float
) -> tuple[int, int]:
    """How far a plate reaches above and below a baseline, in pixels: padding around the band, and
    room around what stands out of the band."""
    pad_y = padding_px(box, size)[1]
    least = round(0.35 * pad_y)
    above = max(
        math.ceil(extents.band * size) + pad_y, math.ceil(extents.high * size + stroke) + least
    )
    below = max(pad_y, math.ceil(extents.deep * size + stroke) + least)
    return above, below


def _may_cut(text: str, i: int) -> bool:
    """Whether a cue may end at this break: not inside a hyphenated word or an address."""
    before = text[i - 1]
    if before == "\u200b":
        return not spaces_words(text[i])
    return before not in "-\u2010–—\u00ad" or text[i - 2 : i - 1] in ("", " ")


def _cut_cost(text: str, i: int) -> float:
    """What it costs the reader when a cue ends here."""
    if text[i - 1] == "\n":
        return 0.0
    before = text[:i].rstrip(BREAKING_SPACES)
    bare = before.rstrip(CLOSING)
    if bare and bare[-1] in SENTENCE_ENDS:
        word = re.split(f"[{BREAKING_SPACES}\n]", bare)[-1]
        abbreviation = bare[-1] == "." and len(word) <= 4 and word[:1].isupper()
        return 0.25 if abbreviation or text[i : i + 1].islower() else 0.0
    if bare and bare[-1] in CLAUSE_ENDS:
        return 0.25
    word = re.split(f"[{BREAKING_SPACES}\n]", before)[-1]
    if not is_short_word(word):
        return 0.6
    return 1.5 if starts_with_figure(text[i:]) else 0.75


def is_short_word(word: str) -> bool:
    """Whether a word is so short that it belongs to what follows: articles, prepositions, figures
    of scripts that have such words apart."""
    known = {"Latn", "Cyrl", "Grek", None}
    return word.isalnum() and len(word) <= _SHORT_WORD and {script_of(c) for c in word} <= known


def starts_with_figure(text: str) -> bool:
    """Whether a text begins with a figure or a price."""
    signed = unicodedata.category(text[:1] or " ") == "Sc"
    return (text[1:].lstrip(BREAKING_SPACES) if signed else text)[:1].isdigit()


def _unbreakable_error(word: str, style: TextStyle, box_w: int, box_h: int) -> UnbreakableTextError:
    if count_cells(word) > style.max_chars_per_line:
        why = f"has more than {style.max_chars_per_line} characters, and a line may have no more"
    else:
        why = f"does not fit {box_w}x{box_h} px even at {style.min_px} px"
    return UnbreakableTextError(
        Problem(
            code="text.unbreakable",
            message=f"{word!r} {why}.",
            remedy="Use a shorter word, put a blank or a soft hyphen (U+00AD) into it, or let the "
            "style go smaller or its box wider.",
        )
    )


# ------------------------------------------------------------------------------------- rectangles


def union_of(rects: Collection[Rect]) -> Rect:
    if not rects:
        return (0, 0, 0, 0)
    x0, y0, x1, y1 = zip(*rects, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def ink_px(fitted: FittedText, line: FittedLine, ink: tuple[float, float, float, float]) -> Rect:
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
    word: FittedWord
    start: int
    end: int
    line: FittedLine


def placed_words(fitted: FittedText) -> list[PlacedWord]:
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
