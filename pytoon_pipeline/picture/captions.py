"""Captions and logos on a frame: when they are seen, and how they come and go."""

from __future__ import annotations

from dataclasses import dataclass

from pytoon_pipeline.picture.layers import Tile
from pytoon_pipeline.picture.motion import ease_out, overshoot
from pytoon_pipeline.picture.yuv import Planes

EXIT_SECONDS = 0.2


@dataclass(frozen=True)
class Timed:
    """Something drawn over the footage from frame `first` to before frame `end`."""

    tile: Tile
    first: int
    end: int
    entrance: str = "none"
    enter_frames: int = 0
    exit_frames: int = 0
    rise: float = 0.0
    """Pixels that a `rise` travels."""
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
        strength, dy, scale = 1.0, 0.0, 1.0
        into = index - self.first
        if self.entrance != "none" and into < self.enter_frames:
            # The first frame already shows a little: no frame is spent on nothing.
            t = (into + 1) / (self.enter_frames + 1)
            strength = ease_out(t)
            if self.entrance == "rise":
                dy = self.rise * (1 - ease_out(t))
            elif self.entrance == "pop":
                strength = min(1.0, 2.5 * t)
                scale = 0.82 + 0.18 * overshoot(t)
        left = self.end - index
        if self.exit_frames and left <= self.exit_frames:
            strength *= left / (self.exit_frames + 1)
        self.tile.draw(frame, strength, dy=dy, scale=scale)
