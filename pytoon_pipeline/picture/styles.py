"""The look of a text: letters, strokes, shadows and plates. Measures are em of the type size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pytoon_pipeline.errors import PresetError, Problem
from pytoon_pipeline.picture.font_choice import FontSpec

Breaking = Literal["words", "parts", "letters"]
"""How far a text may be broken: between words, between parts of words, anywhere."""


@dataclass(frozen=True)
class TextShadow:
    """The shadow of letters or of the plate behind them."""

    dx: float = 0.0
    """Em to the right."""
    dy: float = 0.04
    """Em downwards."""
    blur: float = 0.12
    """Em, as in CSS: the Gaussian's standard deviation is half of it. 0 is a hard shadow."""
    color: str = "#000000"
    opacity: float = 0.5


@dataclass(frozen=True)
class TextBoxStyle:
    """The plate behind a text."""

    color: str = "#000000"
    opacity: float = 1.0
    pad_x: float = 0.34
    """Em between the ink and the box's side."""
    pad_y: float = 0.28
    """Em above the capitals and below the last baseline; a descender, an accent or a stroke that
    needs more gets more."""
    radius: float = 0.18
    """Em. Inner corners, where lines of different length meet, are rounded as well."""
    per_line: bool = False
    """A box for each line, grown together where they touch, instead of one for the block."""


@dataclass(frozen=True)
class WordHighlight:
    """How the words that `draw_text` highlights differ."""

    color: str = "#FFFFFF"
    box: TextBoxStyle | None = None
    """A plate behind each highlighted word (its `per_line` has no meaning). Not part of what
    `fit_text` keeps inside the box: it may stand out by its padding."""


@dataclass(frozen=True)
class TextStyle:
    """The look of a caption. Raises `PresetError` for values that make no sense."""

    family: str
    weight: int = 700
    fallback_families: tuple[str, ...] = ()
    max_px: int = 96
    min_px: int = 44
    max_lines: int = 2
    max_chars_per_line: int = 26
    """A CJK character counts as two."""
    line_height: float = 1.08
    """Em from baseline to baseline."""
    letter_spacing: float = 0.0
    """Em between letters; not applied to joined scripts."""
    align: Literal["left", "center", "right"] = "center"
    """`left` is where lines begin: on the right side of a text that runs right to left."""
    valign: Literal["top", "middle", "bottom"] = "middle"
    breaking: Breaking = "words"
    """What may be parted where a word alone fits no line: nothing; words at their syllables and
    addresses at their signs; anything between letters."""
    uppercase: bool = False
    language: str = ""
    """BCP 47: local letter forms, capitals (Turkish, Greek), base direction."""
    color: str = "#FFFFFF"
    stroke: float = 0.0
    """Em (pixels per em) that the stroke stands out around the letters."""
    stroke_color: str = "#000000"
    shadow: TextShadow | None = None
    """Falls from the letters and their stroke; from the box where there is one."""
    box: TextBoxStyle | None = None
    highlight: WordHighlight | None = None

    def __post_init__(self) -> None:
        wrong = [
            (name, value)
            for name, value, good in (
                ("min_px", self.min_px, self.min_px >= 1),
                ("max_px", self.max_px, self.max_px >= self.min_px),
                ("max_lines", self.max_lines, self.max_lines >= 1),
                ("max_chars_per_line", self.max_chars_per_line, self.max_chars_per_line >= 1),
                ("line_height", self.line_height, self.line_height > 0),
                ("stroke", self.stroke, self.stroke >= 0),
                ("align", self.align, self.align in ("left", "center", "right")),
                ("valign", self.valign, self.valign in ("top", "middle", "bottom")),
            )
            if not good
        ]
        if wrong:
            raise PresetError(
                [
                    Problem("style.invalid", f"{name} can't be {value!r}.", field=name)
                    for name, value in wrong
                ]
            )
        for color in self._iterate_colors():
            parse_color(color)

    @property
    def font(self) -> FontSpec:
        """What decides the shape of the text."""
        return FontSpec(
            family=self.family,
            weight=self.weight,
            fallback_families=self.fallback_families,
            letter_spacing=self.letter_spacing,
            language=self.language,
            all_caps=self.uppercase,
        )

    def _iterate_colors(self) -> Iterator[str]:
        yield from (self.color, self.stroke_color)
        for part in (self.shadow, self.box, self.highlight):
            if part is not None:
                yield part.color
        if self.highlight and self.highlight.box:
            yield self.highlight.box.color


def parse_color(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#RRGGBB`, 0 to 255. Raises `PresetError` for anything else."""
    if not re.fullmatch("#[0-9A-Fa-f]{6}", color):
        raise PresetError(
            Problem("style.color", f"{color!r} is not a colour.", "Write it as #RRGGBB.")
        )
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
