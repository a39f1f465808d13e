"""Measure the sound of a finished video, with ffmpeg's meter and on the decoded samples."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import ffmpeg as ffmpeg_python
import numpy as np

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.clip_file import open_clip, tick_of
from pytoon_pipeline.media.limits import SOUND_SECONDS
from pytoon_pipeline.media.measurement import AudioMeasurement
from pytoon_pipeline.media.sound_decoding import decode_sound
from pytoon_pipeline.media.sound_repair import longest_run, measure_sides
from pytoon_pipeline.media.trace import FrameTrace, sketch_sound

SILENCE_DB = -60
"""Level, dBFS, below which sound counts as silence."""


@dataclass(frozen=True)
class _LoudnessReading:
    integrated: float | None
    range: float | None
    peak: float | None
    silence: float
    momentary: list[float]


@dataclass(frozen=True)
class _ChannelReading:
    mono: float | None
    lost: float
    balance: float | None


_LOST_LU = -10.0
_MAX_SECONDS = 600.0


def measure_sound_track(
    path: Path,
) -> tuple[_LoudnessReading, _ChannelReading, np.ndarray, np.ndarray]:
    """Return the loudness by ffmpeg's meter, the relation of the channels, and the sketch and
    levels of the decoded samples (`trace.sketch_sound`)."""
    heard = _parse_loudness(path)
    samples = decode_sound(path, seconds=_MAX_SECONDS)
    sides = measure_sides(samples)
    channels = _ChannelReading(
        sides.mono_lu, longest_run(sides.cancelled(_LOST_LU)) / 10, sides.balance_lu
    )
    return heard, channels, *sketch_sound(samples)


def check_even_packets(path: Path, trace: FrameTrace) -> bool:
    """Return whether the sound's packets follow each other without a gap. Their checksums are
    written into the trace."""
    times: list[tuple[int, int]] = []
    checksums: list[int] = []
    with open_clip(path) as container:
        for packet in container.demux(container.streams.audio[0]):
            if packet.size:
                times.append((packet.pts or 0, packet.duration or 0))
                checksums.append(zlib.crc32(bytes(packet)))
    trace.sound_packets = np.array(checksums, np.uint32)
    return all(a + n == b for (a, n), (b, _) in zip(times, times[1:], strict=False))


def _parse_loudness(path: Path) -> _LoudnessReading:
    what = f"measure the sound of {path.name}"
    _, log = ffmpeg.run_ffmpeg(loudness_graph(path), what, timeout=SOUND_SECONDS)
    return parse_loudness(log)


def loudness_graph(path: str | os.PathLike[str]) -> Any:
    """Return the ffmpeg-python stream that logs loudness and silences of the first sound track.
    This function runs nothing."""
    sound = ffmpeg_python.input(ffmpeg.to_ffmpeg_url(path), vn=None).audio
    heard = sound.filter("silencedetect", noise=f"{SILENCE_DB}dB", duration=0.1)
    return heard.filter("ebur128", peak="true", framelog="info").output("pipe:1", format="null")


_NUMBER = r"(-?(?:\d++(?:\.\d++)?|inf)|nan)"
_MOMENTARY = re.compile(rf"\bt: *+{_NUMBER}.{{0,80}}?\bM: *+{_NUMBER}")
_SILENCE = re.compile(rf"silence_duration: *{_NUMBER}")
_SUMMARY = {
    "integrated": re.compile(rf"^[ \t]*+I: *{_NUMBER} LUFS", re.M),
    "range": re.compile(rf"^[ \t]*+LRA: *{_NUMBER} LU$", re.M),
    "peak": re.compile(rf"^[ \t]*+Peak: *{_NUMBER} dBFS", re.M),
}


def parse_loudness(log: str) -> _LoudnessReading:
    """Return the numbers in the log of `silencedetect` and `ebur128`.

    Raises MediaError when ebur128 wrote no summary.
    """
    lines, _, summary = log.rpartition("Summary:")
    found: dict[str, float | None] = {}
    for name, pattern in _SUMMARY.items():
        match = pattern.search(summary)
        if match is None:
            raise MediaError(f"The sound could not be measured.\n{ffmpeg.tail_of(log)}")
        found[name] = _finite_number(match[1])
    if found["integrated"] is not None and found["integrated"] <= -70:
        # The absolute gate (BS.1770-4): nothing passed it.
        found["integrated"] = found["range"] = None
    momentary = [_finite_number(m[2]) for m in _MOMENTARY.finditer(lines)]
    return _LoudnessReading(
        integrated=found["integrated"],
        range=found["range"],
        peak=found["peak"],
        silence=max((_finite_number(m[1]) or 0.0 for m in _SILENCE.finditer(log)), default=0.0),
        momentary=[-120.7 if m is None else m for m in momentary],
    )


def _finite_number(text: str) -> float | None:
    value = float(text)
    return value if np.isfinite(value) else None


def build_audio_measurement(
    stream: av.AudioStream, loudness: _LoudnessReading, channels: _ChannelReading, even: bool
) -> AudioMeasurement:
    """Return the measurement of a sound track from what was read of it."""
    context, tick = stream.codec_context, tick_of(stream)
    return AudioMeasurement(
        codec=context.name,
        profile=context.profile,
        sample_rate=stream.rate,
        channels=stream.channels,
        start=float((stream.start_time or 0) * tick),
        seconds=float((stream.duration or 0) * tick),
        bit_rate=stream.bit_rate or context.bit_rate or None,
        integrated_lufs=loudness.integrated,
        loudness_range_lu=loudness.range,
        true_peak_dbtp=loudness.peak,
        longest_silence=loudness.silence,
        momentary=loudness.momentary,
        mono_lu=channels.mono,
        mono_lost_seconds=channels.lost,
        balance_lu=channels.balance,
        even=even,
    )
