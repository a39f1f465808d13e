"""What was drawn and mastered, kept beside what was encoded, and put together for a whole video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytoon_pipeline.errors import MediaError, StoreError
from pytoon_pipeline.media.sound_plan import SoundReport
from pytoon_pipeline.media.trace import (
    FrameTrace,
    checksum_packets,
    checksum_sound,
    sketch_sound,
    trace_frames,
)
from pytoon_pipeline.plan.timeline import Timeline
from pytoon_pipeline.store.base import Store
from pytoon_pipeline.store.reuse import touch_if_present


def drawn_key(name: str) -> str:
    """Where the trace of a segment, a transition, a sound track or a video lies, by the name that
    the thing itself has in the store."""
    return f"drawn/{name}.trace"


def keep_trace(store: Store, name: str, trace: FrameTrace) -> None:
    """Put a trace under its name."""
    store.put_bytes(drawn_key(name), trace.to_bytes())


def load_trace(store: Store, name: str) -> FrameTrace | None:
    """A trace that was kept; None where there is none, or none that can be read."""
    try:
        return FrameTrace.from_bytes(store.read_bytes(drawn_key(name)))
    except (StoreError, MediaError):
        return None


def _of_file(store: Store, name: str, path: Path, count: int) -> FrameTrace:
    """The trace of an encoded part: as it was drawn, or, where it was made elsewhere or by an
    earlier version, as it was encoded."""
    trace = load_trace(store, name) if touch_if_present(store, drawn_key(name)) else None
    if trace is None or len(trace.luma) != count:
        trace = trace_frames(path, count)
        keep_trace(store, name, trace)
    return trace


def trace_of_sound(report: SoundReport) -> FrameTrace:
    """Of what was mastered."""
    trace = FrameTrace()
    if report.mastered is not None:
        trace.sketch, trace.levels = sketch_sound(report.mastered)
    return trace


def plan_trace(
    line: Timeline,
    segments: Sequence[tuple[str, Path]],
    windows: Sequence[tuple[str, Path]],
    sound: tuple[str, Path],
    store: Store,
) -> FrameTrace:
    """What a finished video must show and sound like, frame for frame, by its timeline alone.

    `segments`, `windows` and `sound` are names and files. A frame within a transition is the
    transition's, any other its segment's. Raises MediaError when a part does not decode.
    """
    whole = FrameTrace(
        np.zeros((line.frames, *FrameTrace().luma.shape[1:]), np.uint8),
        np.zeros((line.frames, *FrameTrace().chroma.shape[1:]), np.uint8),
        np.zeros(line.frames, np.uint32),
    )

    def lay_trace(name: str, path: Path, at: int, first: int, end: int, count: int) -> None:
        trace, packets = _of_file(store, name, path, count), checksum_packets(path)
        if len(packets) != count:
            raise MediaError(f"{path.name} has {len(packets)} frames, not {count}.")
        place = slice(at, at + end - first)
        whole.luma[place] = trace.luma[first:end]
        whole.chroma[place] = trace.chroma[first:end]
        whole.packets[place] = packets[first:end]

    for span, (name, path) in zip(line.spans, segments, strict=True):
        lay_trace(name, path, span.start, span.head, span.head + span.body, span.count)
    for window, (name, path) in zip(line.windows, windows, strict=True):
        lay_trace(name, path, window.first, 0, window.count, window.count)
    name, path = sound
    heard = load_trace(store, name) or FrameTrace()
    whole.sketch, whole.levels = heard.sketch, heard.levels
    # The first packet is the encoder's own lead-in, which no video has; what lies behind the end
    # of the picture is left out, too.
    seconds = line.frames / line.rate
    whole.sound_packets = checksum_sound(path)[1:][: int(np.ceil(seconds * 48000 / 1024))]
    return whole
