"""Decode the sound of a file to float samples at 48 kHz with ffmpeg."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import ffmpeg as ffmpeg_python
import numpy as np

from pytoon_pipeline.errors import FfmpegError, MediaError, UserError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.clip_file import CLIP_FORMATS, open_clip
from pytoon_pipeline.media.kinds import may_be_joined
from pytoon_pipeline.media.limits import SOUND_SECONDS
from pytoon_pipeline.media.loudness import RATE
from pytoon_pipeline.media.sound_repair import replace_damaged


def decode_graph(path: Path, *, start: float, seconds: float, channels: int = 0) -> Any:
    """Return the ffmpeg-python stream of `decode_sound`; with `channels`, that many channels are
    summed. This function runs nothing."""
    seek = {"ss": f"{start:.6f}"} if start else {}
    # Where recordings are joined a time names no one place: all is decoded up to it.
    found, passed = ({}, seek) if start and may_be_joined(path) else (seek, {})
    sound = ffmpeg_python.input(ffmpeg.to_ffmpeg_url(path), format_whitelist=CLIP_FORMATS, **found)[
        "a:0"
    ]
    if channels:
        parts = "+".join(f"c{i}" for i in range(channels))
        sound = sound.filter("pan", args=f"stereo|c0={parts}|c1={parts}")
    sound = sound.filter(
        "aresample",
        RATE,
        ochl="stereo",
        osf="flt",
        # For float samples swresample leaves a downmix as loud as it comes (5.1: up to +7.7 dB).
        rematrix_maxval=1,
        # A track that begins later than its pictures, or has holes, is filled with silence there,
        # and so stays in step with them.
        first_pts=0,
    )
    # Without max_error_rate a file whose tail is broken counts as failed, though most was decoded.
    return ffmpeg_python.output(
        sound, "pipe:", format="f32le", acodec="pcm_f32le", t=f"{seconds:.6f}", **passed
    ).global_args("-max_error_rate", "1")


def decode_sound(path: Path, *, seconds: float, start: float = 0.0) -> np.ndarray:
    """Return the first sound track of an audio file or a clip, at most `seconds` of it from
    `start`.

    Any rate and layout becomes float32 (samples, 2) at 48 kHz; surround is folded down by ffmpeg's
    rules, normalised so that it can't clip. Where that leaves nothing (a recorder's channel in the
    place of the bass effects, or no layout that ffmpeg knows) all channels are summed. What is left
    of a truncated file is taken. The array is shorter than asked for where the sound ends before
    (and empty where `start` lies past it).

    Raises MediaError, with ffmpeg's last lines, when the file holds no sound that can be decoded.
    """
    # Float files may carry NaN or infinity, and damaged packets decode to huge values; one such
    # sample would spoil the level of the whole mix.
    return replace_damaged(decode_unrepaired(Path(path), seconds=seconds, start=start), [])


_FOLDED_TO_NOTHING = 1e-5  # -100 dBFS


def decode_unrepaired(path: Path, *, seconds: float, start: float = 0.0) -> np.ndarray:
    """Decode like `decode_sound`, but keep values that are not finite."""
    if seconds <= 0:
        return np.zeros((0, 2), np.float32)
    failure: MediaError | None = None
    samples = np.zeros((0, 2), np.float32)
    try:
        samples = _run_decoder(path, decode_graph(path, start=start, seconds=seconds), start)
        if np.abs(samples).max(initial=0.0) > _FOLDED_TO_NOTHING or not len(samples):
            return samples
    except MediaError as error:
        failure = error
    channels = _channels_of(path)
    if channels > 2:
        graph = decode_graph(path, start=start, seconds=seconds, channels=channels)
        with contextlib.suppress(MediaError):
            return _run_decoder(path, graph, start)
    if failure is not None:
        raise failure
    return samples


def _channels_of(path: Path) -> int:
    """Channels of the first sound track, 0 where that can't be told."""
    try:
        with open_clip(path) as container:
            stream = next(iter(container.streams.audio), None)
            return stream.channels if stream else 0
    except (MediaError, UserError, OSError, ValueError):
        return 0


def _run_decoder(path: Path, stream: Any, start: float) -> np.ndarray:
    try:
        raw, said = ffmpeg.run_ffmpeg(
            stream, f"decode the sound of {path.name}", timeout=SOUND_SECONDS
        )
    except FfmpegError as e:
        raise MediaError(f"{path.name}: no sound could be read from it.\n{e.log_tail}") from e
    if not raw and not start:
        raise MediaError(f"{path.name}: it holds no sound.\n{ffmpeg.tail_of(said)}")
    return np.frombuffer(raw, "<f4", count=len(raw) // 8 * 2).reshape(-1, 2).copy()
