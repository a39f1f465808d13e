"""Split a text that is too long for a box into cues that fit it."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.picture.breaking import BreakingWay, iterate_breaking_ways
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.hyphens import SOFT_HYPHEN
from pytoon_pipeline.picture.line_breaks import (
    BREAKING_SPACES,
    break_opportunities,
    count_cells,
    is_visible,
    spaces_words,
)
from pytoon_pipeline.picture.shaping import ShapedParagraph
from pytoon_pipeline.picture.styles import TextStyle
from pytoon_pipeline.picture.text_blocks import (
    CLAUSE_ENDS,
    CLOSING,
    SENTENCE_ENDS,
    TextBlock,
    is_short_word,
    starts_with_figure,
)
from pytoon_pipeline.picture.text_forms import normalise_text


class UnbreakableTextError(UserError):
    """A single word does not fit the box even at the smallest size."""


def split_into_cues(
    text: str, style: TextStyle, box_w: int, box_h: int, library: FontLibrary
) -> list[str]:
    """Return the text as the fewest cues that each fit the box (`fit_text`), broken evenly at the
    ends of sentences before clauses before phrases, without leaving a lone word. Scripts without
    spaces are broken inside a phrase only where there is no other way, words as `style.breaking`
    allows; where that is between letters, a word that is longer than a cue continues in the next.
    Without text there are no cues.

    Raises UnbreakableTextError when one word alone does not fit at `min_px`, and what `fit_text`
    raises.
    """
    plain = normalise_text(text)
    if not plain:
        return []
    refused: list[UnbreakableTextError] = []
    ways = list(iterate_breaking_ways(plain, style, box_w, library))
    if style.breaking == "letters":
        ways.append(replace(ways[-1], in_words=True))
    for way in ways:
        try:
            cuts = _choose_cuts(way, style, box_w, box_h)
        except UnbreakableTextError as error:
            refused.append(error)
            continue
        return _cut_cues(plain, way, cuts)
    raise refused[0]


def _cut_cues(plain: str, way: BreakingWay, cuts: list[int]) -> list[str]:
    """The parts of a text between its cuts; with a soft hyphen where one was set and cut at."""
    cues = []
    for a, b in pairwise(cuts):
        cue = plain[way.origin[a] : way.origin[b]].strip()
        if b in way.parted and way.paragraph.text[b - 1] == SOFT_HYPHEN:
            cue += SOFT_HYPHEN
        cues.append(cue)
    return [cue for cue in cues if is_visible(cue)]


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
