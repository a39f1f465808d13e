"""List the ways in which a text may be broken, from whole phrases to single letters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.hyphens import (
    cluster_breaks,
    letter_breaks,
    seam_breaks,
    separator_breaks,
    syllable_breaks,
)
from pytoon_pipeline.picture.line_breaks import break_opportunities
from pytoon_pipeline.picture.shaping import ShapedParagraph
from pytoon_pipeline.picture.styles import TextStyle
from pytoon_pipeline.picture.text_blocks import TextBlock
from pytoon_pipeline.picture.text_forms import display_form


@dataclass(frozen=True)
class BreakingWay:
    """One way to break a text."""

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


def iterate_breaking_ways(
    plain: str, style: TextStyle, box_w: int, library: FontLibrary
) -> Iterator[BreakingWay]:
    """Yield the ways to break a text, the best first. Each way needs shaping, so stop at the first
    that serves."""
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


def _has_tight_breaks(shown: str, style: TextStyle) -> bool:
    """Whether there are places to break at that readers would rather not have."""
    return break_opportunities(shown, style.language) != break_opportunities(
        shown, style.language, phrases=True
    )
