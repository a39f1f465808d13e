"""A small record of what was drawn and what was mastered, against which a finished file is held.

Of every frame it keeps the means of a coarse grid, of the sound its waveform below 1 kHz and its
level every 10 ms, and of what was encoded a checksum of every packet. It is taken where frames are
drawn and where sound is mastered, so that all that comes after (encoding, linking, what is done to
the file later) is compared with it.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

import av
import cv2
import numpy as np

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media.clip_file import open_clip
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.loudness import RATE

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

_ACROSS = 270
"""Samples across the smaller side of a frame, of which the means are taken."""
LUMA_CELLS = 27, 48
"""Cells, across and down, of which the mean luma is kept."""
CHROMA_CELLS = 9, 16
SKETCH_RATE = 2000
"""Samples a second of the sound's sketch."""
LEVEL_RATE = 100
"""Levels a second of the sound."""
_FLOOR_DB = -96.0


def _cell_means(plane: np.ndarray, step: int, cells: tuple[int, int]) -> np.ndarray:
    grid = np.ascontiguousarray(plane[::step, ::step])
    return cv2.resize(grid, cells, interpolation=cv2.INTER_AREA)


def _empty_array(*shape: int, kind: type = np.uint8) -> np.ndarray:
    return np.zeros((0, *shape), kind)


@dataclass
class FrameTrace:
    """Arrays, empty where a thing was not recorded."""

    luma: np.ndarray = field(default_factory=lambda: _empty_array(*LUMA_CELLS[::-1]))
    """uint8 (frames, 48, 27)"""
    chroma: np.ndarray = field(default_factory=lambda: _empty_array(2, *CHROMA_CELLS[::-1]))
    """uint8 (frames, 2, 16, 9)"""
    packets: np.ndarray = field(default_factory=lambda: _empty_array(kind=np.uint32))
    """Checksum of each frame's packet, in order of display: uint32 (frames,)."""
    sketch: np.ndarray = field(default_factory=lambda: _empty_array(2, kind=np.int16))
    """The sound, means of 0.5 ms: int16 (samples, 2)."""
    levels: np.ndarray = field(default_factory=lambda: _empty_array(2, kind=np.int8))
    """Its level in dB below full scale, every 10 ms: int8 (hops, 2)."""
    sound_packets: np.ndarray = field(default_factory=lambda: _empty_array(kind=np.uint32))

    def to_bytes(self) -> bytes:
        """Return the trace as bytes for the store; equal traces give equal bytes."""
        buffer = io.BytesIO()
        for each in fields(self):
            np.save(buffer, getattr(self, each.name), allow_pickle=False)
        return zlib.compress(buffer.getvalue(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameTrace:
        """Return the trace that `to_bytes` wrote. Raises MediaError for anything else."""
        try:
            buffer = io.BytesIO(zlib.decompress(data))
            return cls(*(np.load(buffer, allow_pickle=False) for _ in fields(cls)))
        except (zlib.error, ValueError, EOFError, OSError) as error:
            raise MediaError(f"A record of what was drawn can't be read: {error}") from error


class TraceRecorder:
    """Takes the trace of frames that pass by."""

    def __init__(self) -> None:
        self._luma: list[np.ndarray] = []
        self._chroma: list[np.ndarray] = []

    def add(self, planes: Planes) -> None:
        """Record the next frame."""
        height, width = planes[0].shape
        step = max(1, round(min(width, height) / _ACROSS))
        self._luma.append(_cell_means(planes[0], step, LUMA_CELLS))
        self._chroma.append(np.stack([_cell_means(p, step, CHROMA_CELLS) for p in planes[1:]]))

    def follow(self, frames: Iterable[Planes]) -> Iterator[Planes]:
        """Yield the frames as they come, and record each."""
        for planes in frames:
            self.add(planes)
            yield planes

    @property
    def trace(self) -> FrameTrace:
        """The trace of the frames that were added so far."""
        if not self._luma:
            return FrameTrace()
        return FrameTrace(np.stack(self._luma), np.stack(self._chroma))


def trace_frames(path: str | os.PathLike[str], count: int) -> FrameTrace:
    """Return the trace of a file that was encoded elsewhere, decoded for it. Raises MediaError."""
    recorder = TraceRecorder()
    for planes in read_frames(path, 0, count):
        recorder.add(planes)
    return recorder.trace


def sketch_sound(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (sketch, levels) of samples, float32 (n, 2) at 48 kHz."""
    whole = len(samples) // (RATE // LEVEL_RATE) * (RATE // LEVEL_RATE)
    part = samples[:whole]
    means = part.reshape(-1, RATE // SKETCH_RATE, 2).mean(axis=1)
    sketch = np.rint(np.clip(means, -1, 1) * 32767).astype(np.int16)
    power = np.square(part).reshape(-1, RATE // LEVEL_RATE, 2).mean(axis=1)
    levels = 10 * np.log10(power + 10 ** (_FLOOR_DB / 10))
    return sketch, np.rint(np.clip(levels, _FLOOR_DB, 20)).astype(np.int8)


def checksum_packets(path: str | os.PathLike[str]) -> np.ndarray:
    """Return checksums of the video packets of a file of Pytoon's own, in order of display: uint32
    (frames,)."""
    with open_clip(path) as container:
        stream = container.streams.video[0]
        found = [(p.pts or 0, zlib.crc32(bytes(p))) for p in container.demux(stream) if p.size]
    return np.array([crc for _, crc in sorted(found)], np.uint32)


def checksum_sound(path: str | os.PathLike[str]) -> np.ndarray:
    """Return checksums of the packets of a file's first sound track, in order: uint32
    (packets,)."""
    try:
        with open_clip(path) as container:
            stream = container.streams.audio[0]
            return np.array(
                [zlib.crc32(bytes(p)) for p in container.demux(stream) if p.size], np.uint32
            )
    except (av.FFmpegError, IndexError) as error:
        raise MediaError(f"{os.path.basename(path)} has no sound to check: {error}") from error
