"""Seconds become whole frames here, once. Nothing else counts frames.

Segments lie end to end. A transition of n frames (n even) is centred on the cut between two
segments: each renders n/2 frames beyond its end of the cut (its handle), so that the transition
never changes the sum of the durations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytoon_pipeline.plan.model import RenderSpec


def frames_of(seconds: float, rate: int) -> int:
    """Whole frames of a length, half up; exact, because 0.1 s is meant as a tenth."""
    return int(Fraction(str(seconds)) * rate + Fraction(1, 2))


def seconds_of(frames: int, rate: int) -> float:
    """Seconds of a number of frames, to the microsecond."""
    return round(frames / rate, 6)


@dataclass(frozen=True)
class SegmentSpan:
    """One segment in frames. `start` counts from the start of the video; handles excluded."""

    start: int
    body: int
    head: int = 0
    """Handle before the body: half of the transition into this segment."""
    tail: int = 0
    """Handle after the body: half of the transition out of it."""

    @property
    def count(self) -> int:
        """Frames of the segment file."""
        return self.head + self.body + self.tail

    @property
    def first(self) -> int:
        """Frame of the video at which the segment file begins (negative for none)."""
        return self.start - self.head

    @property
    def copied_frames(self) -> tuple[int, int]:
        """First frame and end, in the segment file, of what no transition touches."""
        return 2 * self.head, self.head + self.body - self.tail

    @property
    def keyframes(self) -> tuple[int, ...]:
        """Frames of the segment file that must be keyframes, so that it can be cut there."""
        start, end = self.copied_frames
        return tuple(sorted({0, start, end} - {self.count}))


@dataclass(frozen=True)
class TransitionWindow:
    """A transition in frames, between segments `left` and `left + 1`."""

    left: int
    kind: str
    first: int
    """Frame of the video at which it begins."""
    count: int


@dataclass(frozen=True)
class Timeline:
    rate: int
    spans: tuple[SegmentSpan, ...]
    windows: tuple[TransitionWindow, ...]

    @property
    def frames(self) -> int:
        return self.spans[-1].start + self.spans[-1].body


MIN_COPIED = 2
"""A segment keeps at least this many frames free of transitions, so that two keyframes never
follow each other directly across a link (H.264 wants consecutive IDR pictures told apart)."""


def body_frames(durations: Sequence[float], rate: int) -> list[int]:
    """Frames of segments that lie end to end: the cuts are rounded, not the lengths, so that
    rounding never adds up."""
    cuts, total = [0], Fraction(0)
    for duration in durations:
        total += Fraction(str(duration))
        cuts.append(int(total * rate + Fraction(1, 2)))
    return [b - a for a, b in zip(cuts, cuts[1:], strict=False)]


def longest_window(left_body: int, right_body: int) -> int:
    """Most frames a transition between two segments may take, when every transition takes at
    most this: a quarter of the shorter segment at either of its ends leaves half of it alone."""
    room = min(left_body, right_body) - MIN_COPIED
    return max(0, room // 2) // 2 * 2


def build_timeline(spec: RenderSpec) -> Timeline:
    """The plan in frames. The spec must be complete (durations and transitions set)."""
    rate = spec.frame_rate
    lengths = body_frames([s.duration for s in spec.segments], rate)  # type: ignore[misc]
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    halves = [0] * (len(lengths) + 1)
    windows = []
    for i, segment in enumerate(spec.segments[:-1]):
        transition = segment.transition
        if transition is None or transition.kind == "cut":
            continue
        half = frames_of(transition.duration or 0, rate) // 2
        half = min(half, longest_window(lengths[i], lengths[i + 1]) // 2)
        if half:
            halves[i + 1] = half
            windows.append(TransitionWindow(i, transition.kind, starts[i + 1] - half, 2 * half))
    spans = tuple(
        SegmentSpan(start, body, head=halves[i], tail=halves[i + 1])
        for i, (start, body) in enumerate(zip(starts, lengths, strict=True))
    )
    return Timeline(rate, spans, tuple(windows))
