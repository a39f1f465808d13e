"""Measure a finished video in one decoding pass. Nothing is judged here; the quality checks do
that."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media.clip_file import open_clip, shorten_reason, video_stream
from pytoon_pipeline.media.measure_picture import measure_video_track
from pytoon_pipeline.media.measure_sound import (
    build_audio_measurement,
    check_even_packets,
    measure_sound_track,
)
from pytoon_pipeline.media.measurement import Measurement
from pytoon_pipeline.media.mp4_boxes import edit_lists, is_faststart
from pytoon_pipeline.media.mp4_heads import list_unusual_heads
from pytoon_pipeline.media.trace import FrameTrace

MEASURE_VERSION = 4
"""Raise it when a number comes to mean something else: measurements are kept by it."""


def measure_file(path: str | os.PathLike[str]) -> Measurement:
    """Return the measurement of a finished file. Every frame and every sample of it is decoded.

    Raises MediaError when something in it does not decode.
    """
    return measure_traced(path)[0]


def measure_traced(path: str | os.PathLike[str]) -> tuple[Measurement, FrameTrace]:
    """Return the measurement of a finished file, and its trace, which is compared with the trace of
    what was drawn for it.

    Raises MediaError when something in it does not decode.
    """
    path, trace = Path(path), FrameTrace()
    try:
        with open_clip(path) as container, ThreadPoolExecutor(1) as other:
            sound = next(iter(container.streams.audio), None)
            # Sound is measured by ffmpeg beside us while the pictures are decoded here.
            loudness = other.submit(measure_sound_track, path) if sound else None
            stream = video_stream(container)
            video = measure_video_track(container, stream, trace) if stream else None
            mp4 = container.format.name.startswith("mov")
            audio = None
            if sound and loudness:
                heard, channels, trace.sketch, trace.levels = loudness.result()
                audio = build_audio_measurement(
                    sound, heard, channels, check_even_packets(path, trace)
                )
            return Measurement(
                container="mp4" if mp4 else container.format.name,
                size_bytes=path.stat().st_size,
                seconds=(container.duration or 0) / av.time_base,
                faststart=mp4 and is_faststart(path),
                edits=edit_lists(path) if mp4 else [],
                audio_tracks=len(container.streams.audio),
                video=video,
                audio=audio,
                heads=list_unusual_heads(path, stream) if mp4 else [],
            ), trace
    except (av.FFmpegError, OSError) as e:
        raise MediaError(f"{path.name} does not decode: {shorten_reason(e)}") from e
