"""Measure the picture of a finished video in one decoding pass."""

from __future__ import annotations

import re
import zlib
from collections import deque
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media.clip_file import tick_of
from pytoon_pipeline.media.measurement import VideoMeasurement
from pytoon_pipeline.media.mp4_heads import is_picture_turned
from pytoon_pipeline.media.planes import view_plane
from pytoon_pipeline.media.trace import FrameTrace, TraceRecorder

DARK = 24
"""Luma (BT.709 limited: black is 16) up to which a pixel counts as dark."""
_GRID = 135  # samples across the smaller side of the frame
_CELL = 5  # samples of that grid, each way, to a cell whose flashing is followed
FLASH_CHANGE = 0.1
"""A change of relative luminance by this much of full white, one way and back, is a flash ..."""
FLASH_DARKER = 0.8
"""... where the darker of the two lies below this (WCAG 2.1, "general flash")."""
# ITU-T H.273; what is not here comes out as its number.
_PRIMARIES = {1: "bt709", 2: "unspecified", 5: "bt470bg", 6: "smpte170m", 9: "bt2020"}
_TRANSFER = {1: "bt709", 2: "unspecified", 6: "smpte170m", 13: "srgb", 16: "pq", 18: "hlg"}
_MATRIX = {0: "rgb", 1: "bt709", 2: "unspecified", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc"}
_RANGE = {0: "unspecified", 1: "tv", 2: "pc"}


class _FrameReadings:
    """What is noted of each decoded frame; the lists have one entry per frame."""

    def __init__(self, stream: av.VideoStream):
        # Every so many pixels, each way, are looked at.
        self._step = max(1, round(min(stream.width, stream.height) / _GRID))
        self._recorder = TraceRecorder()
        self._before: np.ndarray | None = None
        self._swings: _BrightnessSwings | None = None
        self.last: av.VideoFrame | None = None
        self.luma: list[float] = []
        self.dark: list[float] = []
        self.change: list[float] = []
        self.flash: list[float] = []
        self.keys: list[int] = []
        """Numbers of the keyframes."""
        self.types: list[str] = []
        """`I`, `P`, `B`, ..."""
        self.times: list[int] = []
        """In ticks of the stream."""

    @property
    def trace(self) -> FrameTrace:
        return self._recorder.trace

    def add(self, frame: av.VideoFrame) -> None:
        self.last = frame
        if frame.key_frame:
            self.keys.append(len(self.luma))
        self.types.append(av.video.frame.PictureType(frame.pict_type).name)
        self.times.append(frame.pts or 0)
        planes = frame_planes(frame)
        self._recorder.add(planes)
        grid = planes[0][:: self._step, :: self._step]
        self.luma.append(round(float(grid.mean()), 3))
        self.dark.append(round(float(np.count_nonzero(grid <= DARK) / grid.size), 4))
        values = grid.astype(np.float32)
        before, self._before = self._before, values
        self.change.append(
            0.0 if before is None else round(float(np.abs(values - before).mean()), 4)
        )
        light = _measure_light(values)
        self._swings = self._swings or _BrightnessSwings(light)
        self.flash.append(round(self._swings.follow(light), 4))


def measure_video_track(
    container: av.container.InputContainer, stream: av.VideoStream, trace: FrameTrace
) -> VideoMeasurement:
    """Decode the whole track and return what it measures; its trace is written into `trace`.

    Raises MediaError where not all of its frames decode, and av.FFmpegError.
    """
    stream.thread_type = "AUTO"
    readings = _FrameReadings(stream)
    checksums: list[tuple[int, int]] = []
    sizes: list[tuple[int, int]] = []
    for packet in container.demux(stream):
        if packet.size:
            sizes.append((packet.dts or 0, packet.size))
            checksums.append((packet.pts or 0, zlib.crc32(bytes(packet))))
        for frame in packet.decode():
            readings.add(frame)
    count, last = len(readings.luma), readings.last
    if last is None or (stream.frames and count != stream.frames):
        raise MediaError(f"{Path(container.name).name}: {count} of {stream.frames} frames decode.")
    seen = readings.trace
    trace.luma, trace.chroma = seen.luma, seen.chroma
    trace.packets = np.array([crc for _, crc in sorted(checksums)], np.uint32)
    return _build_video_measurement(container, stream, readings, last, sizes)


def _build_video_measurement(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    readings: _FrameReadings,
    last: av.VideoFrame,
    sizes: list[tuple[int, int]],
) -> VideoMeasurement:
    """What the readings of the frames, the last of them, and the packets' (dts, bytes) say."""
    context, tick = stream.codec_context, tick_of(stream)
    rate = Fraction(stream.average_rate or 0)
    count, times, keys, types = len(readings.luma), readings.times, readings.keys, readings.types
    steps = {b - a for a, b in zip(times, times[1:], strict=False)}
    seconds = float(stream.duration * tick) if stream.duration else float(count / (rate or 1))
    bits = 8 * sum(size for _, size in sizes)
    aspect = stream.sample_aspect_ratio or Fraction(0)
    return VideoMeasurement(
        codec=context.name,
        profile=context.profile,
        level=_h264_level(context),
        pixel_format=last.format.name,
        width=last.width,
        height=last.height,
        sample_aspect_ratio=f"{aspect.numerator}:{aspect.denominator}",
        frame_rate=str(rate),
        constant_rate=len(steps) <= 1 and (not rate or steps <= {1 / (rate * tick)}),
        frames=count,
        start=float(times[0] * tick),
        seconds=seconds,
        bit_rate=round(bits / seconds) if seconds else 0,
        peak_bit_rate=_peak_bits(sizes, round(1 / tick)),
        color_range=_RANGE.get(last.color_range, str(last.color_range)),
        color_primaries=_PRIMARIES.get(last.color_primaries, str(last.color_primaries)),
        color_transfer=_TRANSFER.get(last.color_trc, str(last.color_trc)),
        color_matrix=_MATRIX.get(last.colorspace, str(last.colorspace)),
        turned=is_picture_turned(container, stream),
        keyframes=len(keys),
        max_gop=max((b - a for a, b in zip(keys, [*keys[1:], count], strict=True)), default=count),
        b_frames=types.count("B"),
        max_b_run=max(len(run) for run in re.findall("B*", "".join(t[0] for t in types))),
        luma=readings.luma,
        dark=readings.dark,
        change=readings.change,
        flash=readings.flash,
    )


def _measure_light(luma: np.ndarray) -> np.ndarray:
    """Relative luminance, 0..1, of cells of limited-range luma, as if it were grey (IEC 61966-2-1
    by its exponent of 2.2)."""
    h, w = (n // _CELL * _CELL for n in luma.shape)
    if h and w:
        luma = luma[:h, :w].reshape(h // _CELL, _CELL, w // _CELL, _CELL).mean(axis=(1, 3))
    return np.clip((luma - 16) / 219, 0, 1) ** 2.2


class _BrightnessSwings:
    """Follows every cell from its darkest to its brightest and back."""

    def __init__(self, light: np.ndarray):
        self.low, self.high = light.copy(), light.copy()
        self.rising = np.zeros(light.shape, bool)
        self.falling = np.zeros(light.shape, bool)

    def follow(self, light: np.ndarray) -> float:
        """The next frame: share of cells that turned brighter, less those that turned darker. A
        cell counts once for each swing."""
        np.minimum(self.low, light, out=self.low)
        np.maximum(self.high, light, out=self.high)
        up = ~self.rising & (light - self.low >= FLASH_CHANGE) & (self.low < FLASH_DARKER)
        down = ~self.falling & (self.high - light >= FLASH_CHANGE) & (light < FLASH_DARKER)
        turned = up | down
        self.rising[turned], self.falling[turned] = up[turned], down[turned]
        # From here on the swing back is measured from where this one ends.
        self.low[turned] = self.high[turned] = light[turned]
        return float((np.count_nonzero(up) - np.count_nonzero(down)) / light.size)


def frame_planes(frame: av.VideoFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the planes of a frame as 8-bit 4:2:0; they are views where the frame is stored so."""
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p", dst_color_range="MPEG")
    y, u, v = (view_plane(plane) for plane in frame.planes)
    return y, u, v


def _h264_level(context: av.VideoCodecContext) -> str | None:
    """From the fourth byte of the avcC box (ISO 14496-15, 5.3.3.1)."""
    extra = bytes(context.extradata or b"")
    if context.name != "h264" or len(extra) < 4 or extra[0] != 1:
        return None
    return f"{extra[3] // 10}.{extra[3] % 10}"


def _peak_bits(sizes: list[tuple[int, int]], second: int) -> int:
    """Bits in the fullest stretch of one second; `sizes` are (dts, bytes) in decoding order."""
    window: deque[tuple[int, int]] = deque()
    total = fullest = 0
    for dts, size in sizes:
        window.append((dts, size))
        total += size
        while dts - window[0][0] >= second:
            total -= window.popleft()[1]
        fullest = max(fullest, total)
    return 8 * fullest
