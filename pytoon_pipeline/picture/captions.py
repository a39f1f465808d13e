"""Captions and logos on a frame: when they are shown, and how they appear and disappear."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.layers import TextTile
from pytoon_pipeline.picture.motion import ease_out, ease_with_overshoot
from pytoon_pipeline.picture.styles import TextBoxStyle
from pytoon_pipeline.picture.yuv import Planes

EXIT_SECONDS = 0.2
STICKER_SECONDS = 0.45
"""That a badge takes to pop in."""
WORD_SECONDS = 0.28
"""Of a text that comes word by word: seconds that one word takes to come in."""
WORD_PACE = 0.2
"""The longest that one word waits for the one before it, in seconds: few words come soon."""
MAX_OF_CUE = 0.6
"""Share of its cue's time within which the last word is in."""
_FROM_RIGHT = {"ar", "he", "iw", "fa", "ur", "yi", "ps", "sd", "ug", "dv", "ckb"}


@dataclass(frozen=True)
class CaptionText:
    """A text that comes word by word."""

    words: tuple[TextTile, ...]
    """In reading order."""
    under: TextTile | None
    """The plate behind them."""
    word_frames: int
    """Frames that one of them takes."""


@dataclass(frozen=True)
class TimedTile:
    """Something drawn over the footage from frame `first` to before frame `end`."""

    tile: TextTile
    first: int
    end: int
    entrance: str = "none"
    enter_frames: int = 0
    exit_frames: int = 0
    rise: float = 0.0
    """Pixels that a `rise` travels up, and a `slide` to the right (to the left if negative)."""
    words: CaptionText | None = None
    """The parts of an entrance `words`; `tile` is their sum."""
    not_before: int | None = None
    """Left to the linker in frames before this one, or from `not_after` on."""
    not_after: int | None = None

    def draw(self, frame: Planes, index: int) -> None:
        """Draw it as it is at frame `index`."""
        if not self.first <= index < self.end:
            return
        if self.not_before is not None and index < self.not_before:
            return
        if self.not_after is not None and index >= self.not_after:
            return
        self.draw_at(frame, index)

    def draw_at(self, frame: Planes, index: int) -> None:
        """The same, whoever it is left to."""
        if not self.first <= index < self.end:
            return
        strength, dx, dy, scale = 1.0, 0.0, 0.0, 1.0
        leaving = 1.0
        left = self.end - index
        if self.exit_frames and left <= self.exit_frames:
            leaving = left / (self.exit_frames + 1)
        into = index - self.first
        if self.entrance != "none" and into < self.enter_frames:
            # The first frame already shows a little: no frame is spent on nothing.
            t = (into + 1) / (self.enter_frames + 1)
            strength = ease_out(t)
            if self.words is not None:
                self._draw_words(self.words, frame, into, leaving)
                return
            if self.entrance == "rise":
                dy = self.rise * (1 - ease_out(t))
            elif self.entrance == "slide":
                dx = -self.rise * (1 - ease_out(t))
            elif self.entrance == "pop":
                strength = min(1.0, 2.5 * t)
                scale = 0.82 + 0.18 * ease_with_overshoot(t)
            elif self.entrance == "sticker":
                strength = min(1.0, 4 * t)
                scale = 0.3 + 0.7 * ease_with_overshoot(t, 2.0)
        self.tile.draw(frame, strength * leaving, dx=dx, dy=dy, scale=scale)

    def _draw_words(self, caption: CaptionText, frame: Planes, into: int, leaving: float) -> None:
        """Each word fades and rises in its turn, at an even pace."""
        words, each = caption.words, caption.word_frames
        pace = (self.enter_frames - each) / max(1, len(words) - 1)
        if caption.under is not None:
            caption.under.draw(frame, ease_out((into + 1) / (each + 1)) * leaving)
        for n, word in enumerate(words):
            t = (into + 1 - n * pace) / (each + 1)
            if t <= 0:
                break
            settled = ease_out(t)
            word.draw(frame, settled * leaving, dy=self.rise * (1 - settled))


def words_frames(count: int, wanted: int, shown: int, rate: int) -> tuple[int, int]:
    """Return the frames until `count` words are all in, and frames of each, where an entrance of
    `wanted` frames was asked for and the text is seen for `shown`."""
    whole = max(1, min(wanted, int(MAX_OF_CUE * shown)))
    each = max(1, min(round(WORD_SECONDS * rate), whole))
    return min(whole, each + round(WORD_PACE * rate * (count - 1))), each


def draw_words(
    fitted: FittedText, fonts: FontLibrary, x: int, y: int
) -> tuple[list[TextTile], TextTile | None]:
    """Return each word of a text as a tile of its own, in reading order, and the plate behind them,
    for a text box at (x, y) of the frame. Every glyph is drawn whole, whatever it overlaps."""
    plate = None
    style = fitted.style
    if style.box is not None:
        plate = _make_plate(fitted, style.box, fonts, x, y)
        # The plate casts the shadow.
        style = replace(style, box=None, shadow=None)
    words = fitted.words
    rows = sorted({word.y0 for word in words})
    lines = [line for line in fitted.lines if line.shaped.ink]
    owner: dict[tuple[int, int], int] = {}
    for row, line in zip(rows, lines, strict=True):
        near = [word for word in words if word.y0 == row]
        for n, glyph in enumerate(line.shaped.glyphs):
            if glyph.ink is not None:
                middle = line.x + (glyph.ink[0] + glyph.ink[2]) / 2 * fitted.size
                word = min(near, key=lambda w: max(w.x0 - middle, middle - w.x1))  # noqa: B023
                owner[id(line), n] = word.index
    tiles = []
    for index in sorted(set(owner.values())):
        part = replace(
            fitted,
            style=style,
            lines=tuple(
                replace(
                    line,
                    shaped=replace(
                        line.shaped,
                        glyphs=tuple(
                            g
                            for n, g in enumerate(line.shaped.glyphs)
                            if owner.get((id(line), n)) == index
                        ),
                    ),
                )
                for line in lines
            ),
        )
        tile = draw_text(part, fonts)
        tiles.append(TextTile.from_rgba(tile.rgba, x + tile.x, y + tile.y))
    return tiles, plate


def _make_plate(
    fitted: FittedText, box: TextBoxStyle, fonts: FontLibrary, x: int, y: int
) -> TextTile:
    """The plate of a text without the text: letters in its own colour, and no denser than it."""
    blank = replace(fitted.style, color=box.color, stroke_color=box.color)
    tile = draw_text(replace(fitted, style=blank), fonts)
    rgba = tile.rgba.copy()
    rgba[..., 3] = np.minimum(rgba[..., 3], round(255 * box.opacity))
    return TextTile.from_rgba(rgba, x + tile.x, y + tile.y)


def from_right(language: str) -> bool:
    """Return whether a text of this language begins at the right."""
    return re.split("[-_]", language)[0].lower() in _FROM_RIGHT
