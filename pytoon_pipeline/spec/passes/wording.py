"""Words that don't fit as a preset has them: parted, smaller, in more lines, over more cues."""

from __future__ import annotations

from dataclasses import replace

from pytoon_pipeline.picture.emoji import describe_emoji, replace_unknown_emoji
from pytoon_pipeline.picture.text import UnbreakableText, fit, normalise, split
from pytoon_pipeline.spec.draft import Draft
from pytoon_pipeline.spec.model import TypeStyle
from pytoon_pipeline.spec.typeset import smaller_styles, text_style

MORE_LINES = 2
"""Lines that a text with a word too long for its preset may have beyond those of the preset."""


def words_language(d: Draft) -> str:
    """The language that the spec's texts are in, as its author says."""
    return str(d.spec.metadata.get("locale", "en"))


def split_line(
    d: Draft, text: str, style: TypeStyle, field: str, width: int, height: int
) -> tuple[TypeStyle, list[str]]:
    """The cues of a text, and the style in which each of them fits: the one asked for with words
    whole, else with its words parted, else smaller, else in more lines, else parted anywhere.
    Raises `UnbreakableText` where nothing of that is legible, `MissingGlyph`.
    """
    note_emoji(d, text)
    floor = max(1, round(d.facts.captions.font_px.floor * d.scale))
    smaller = list(smaller_styles(style, floor, MORE_LINES))
    ways = [(style, "words"), (style, "parts"), *((s, "parts") for s in smaller)]
    ways.append((smaller[-1], "letters"))
    refused: UnbreakableText | None = None
    for tried, breaking in ways:
        shaped = replace(text_style(tried, tried.place, words_language(d)), breaking=breaking)
        try:
            cues = split(text, shaped, width, height, d.shop.fonts)
        except UnbreakableText as error:
            refused = error
            continue
        shaped = replace(shaped, breaking="letters")
        found = [fit(cue, shaped, width, height, d.shop.fonts) for cue in cues]
        if all(found):
            least = min((f.size for f in found if f), default=style.min_px)
            if least < style.min_px:
                d.note(
                    f"{field}: '{text}' is set in letters of {least} px, smaller than the preset's "
                    f"{style.min_px} px, because of its long words."
                )
            if breaking == "letters":
                d.note(
                    f"{field}: '{text}' is parted where it happens to fit; a soft hyphen (U+00AD) "
                    "or a blank in it says where."
                )
            return tried, cues
    assert refused is not None
    raise refused


def named_style(d: Draft, name: str, style: TypeStyle) -> str:
    """The name of a style in the spec, which is `name` for what has it, or a new one like it."""
    if d.spec.styles.get(name) == style:
        return name
    own = f"{name}_{style.min_px}x{style.max_lines}"
    d.spec.styles.setdefault(own, style)
    return own


def note_emoji(d: Draft, text: str) -> None:
    """Says which emoji of a text are drawn as something else."""
    for emoji in replace_unknown_emoji(normalise(text), d.shop.fonts)[2]:
        shown = describe_emoji(emoji.written)
        drawn = f"drawn as {emoji.drawn}" if emoji.drawn.strip() else "left out"
        d.note(f"No font has the emoji {shown}; it is {drawn}.")
