"""Fit a text into a box, and measure it on one line.

All lengths are pixels of the real frame, all style measures em of the type size, so one style
serves every resolution. Boxes are given by width and height; what comes back is relative to the
top-left corner of the box. A text that does not fit is split by `cues.split_into_cues`; one that
does is drawn by `drawing.draw_text`.
"""

from __future__ import annotations

from pytoon_pipeline.picture.breaking import iterate_breaking_ways
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.line_breaks import is_visible
from pytoon_pipeline.picture.shaping import measure_advance as measure_line
from pytoon_pipeline.picture.styles import TextStyle
from pytoon_pipeline.picture.text_blocks import TextBlock
from pytoon_pipeline.picture.text_forms import normalise_text, shown_text


def fit_text(
    text: str, style: TextStyle, box_w: int, box_h: int, library: FontLibrary
) -> FittedText | None:
    """Return the text at the largest size (whole pixels, `min_px` to `max_px`) at which it fits the
    box with its stroke and its background box, in the fewest lines that this size allows, broken so
    that they are even. A newline in the text starts a new line. Words stay whole where that is
    possible at any of the sizes; otherwise those that fit no line are broken as `style.breaking`
    allows. Returns None when the text does not fit.

    Raises `MissingGlyphError` for characters that no font has, `PresetError` for a family that does
    not exist, `ValueError` when there is nothing to draw.
    """
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


def measure_text(text: str, style: TextStyle, size: float, library: FontLibrary) -> float:
    """Return the advance width in pixels of the text on one line, without stroke."""
    return measure_line(shown_text(text, style, library), style.font, library, size)
