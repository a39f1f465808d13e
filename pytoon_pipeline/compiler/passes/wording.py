"""Words that don't fit as a preset has them: parted, smaller, in more lines, over more cues."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.typeset import smaller_styles, text_style
from pytoon_pipeline.picture.cues import UnbreakableTextError, split_into_cues
from pytoon_pipeline.picture.emoji import describe_emoji, replace_unknown_emoji
from pytoon_pipeline.picture.styles import Breaking
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.text_forms import normalise_text
from pytoon_pipeline.plan.text import TypeStyle

_MIN_OF_USUAL = 0.75
"""Share of a preset's smallest size: rather than in smaller type, a text comes in more cues."""
MORE_LINES = 2
"""Lines that a text with a word too long for its preset may have beyond those of the preset."""


def words_language(d: PlanDraft) -> str:
    """The language that the spec's texts are in, as its author says."""
    return d.spec.locale


def split_line(
    d: PlanDraft, text: str, style: TypeStyle, field: str, width: int, height: int
) -> tuple[TypeStyle, list[str]]:
    """The cues of a text, and the style in which each of them fits: the one asked for with words
    whole, else with its words parted, else smaller, else in more lines, else in more cues, else
    parted anywhere. Raises `UnbreakableTextError` where nothing of that is legible,
    `MissingGlyphError`."""
    note_emoji(d, text)
    floor = max(1, round(d.facts.captions.font_px.floor * d.scale))
    smaller = list(smaller_styles(style, floor, MORE_LINES))
    ways: list[tuple[TypeStyle, Breaking]] = [
        (style, "words"),
        (style, "parts"),
        *((s, "parts") for s in smaller),
    ]
    ways.append((smaller[-1], "letters"))
    found: list[_SetText] = []
    refused: UnbreakableTextError | None = None
    for tried, breaking in ways:
        if found and breaking == "letters":
            break
        shaped = replace(text_style(tried, tried.place, words_language(d)), breaking=breaking)
        try:
            cues = split_into_cues(text, shaped, width, height, d.shop.fonts)
        except UnbreakableTextError as error:
            refused = error
            continue
        shaped = replace(shaped, breaking="letters")
        fitted = [fit_text(cue, shaped, width, height, d.shop.fonts) for cue in cues]
        if not all(fitted):
            continue
        sizes = [f.size for f in fitted if f]
        found.append(_SetText(tried, cues, min(sizes, default=style.min_px), breaking == "letters"))
        if breaking == "words" or len(cues) < 2:
            break
    if not found:
        assert refused is not None
        raise refused
    least = _MIN_OF_USUAL * style.min_px
    chosen = next((s for s in found if len(s.cues) < 2 and s.size >= least), found[0])
    _note_words(d, text, field, style, chosen)
    return chosen.style, chosen.cues


@dataclass(frozen=True)
class _SetText:
    """A text as it may be set."""

    style: TypeStyle
    cues: list[str]
    size: int
    """Of the smallest of the cues, in pixels."""
    parted_anywhere: bool


def _note_words(d: PlanDraft, text: str, field: str, style: TypeStyle, chosen: _SetText) -> None:
    if chosen.size < style.min_px:
        d.note(
            f"{field}: '{text}' is set in letters of {chosen.size} px, smaller than the preset's "
            f"{style.min_px} px, because of its long words."
        )
    if chosen.parted_anywhere:
        d.note(
            f"{field}: '{text}' is parted where it happens to fit; a soft hyphen (U+00AD) or a "
            "blank in it says where."
        )


def named_style(d: PlanDraft, name: str, style: TypeStyle) -> str:
    """The name of a style in the spec, which is `name` for what has it, or a new one like it."""
    if d.spec.styles.get(name) == style:
        return name
    own = f"{name}_{style.min_px}x{style.max_lines}"
    d.spec.styles.setdefault(own, style)
    return own


def note_emoji(d: PlanDraft, text: str) -> None:
    """Says which emoji of a text are drawn as something else."""
    for emoji in replace_unknown_emoji(normalise_text(text), d.shop.fonts)[2]:
        shown = describe_emoji(emoji.written)
        drawn = f"drawn as {emoji.drawn}" if emoji.drawn.strip() else "left out"
        if all("\U0001f1e6" <= c <= "\U0001f1ff" for c in emoji.drawn) and emoji.drawn:
            drawn = "drawn as its two letters"
        d.note(f"No font has the emoji {shown}; it is {drawn}.")
