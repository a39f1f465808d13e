"""What a finished video is, measured in one decoding pass. No judgement: quality checks judge."""

from __future__ import annotations

import os
import re
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg as ffmpeg_python
import numpy as np

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.clip_file import open_clip, shorten_reason, tick_of, video_stream
from pytoon_pipeline.media.limits import SOUND_SECONDS
from pytoon_pipeline.media.mp4_boxes import EditListEntry, edit_lists, is_faststart
from pytoon_pipeline.media.mp4_heads import is_picture_turned, list_unusual_heads
from pytoon_pipeline.media.planes import view_plane
from pytoon_pipeline.media.sound_decoding import decode_sound
from pytoon_pipeline.media.sound_repair import longest_run, measure_sides
from pytoon_pipeline.media.trace import FrameTrace, TraceRecorder, sketch_sound

MEASURE_VERSION = 4
"""Raise it when a number comes to mean something else: measurements are kept by it."""
DARK = 24
"""Luma (BT.709 limited: black is 16) up to which a pixel counts as dark."""
SILENCE_DB = -60
"""Level, dBFS, below which sound counts as silence."""
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


@dataclass(frozen=True)
class VideoMeasurement:
    """The video track. The lists have one number per frame, of a grid of pixels (every eighth, each
    way, of 1080x1920), and are limited-range luma."""

    codec: str
    profile: str | None
    level: str | None
    """`4.1`"""
    pixel_format: str
    width: int
    height: int
    sample_aspect_ratio: str
    """`1:1`; `0:1` where the file says nothing."""
    frame_rate: str
    """`30`, or `30000/1001`"""
    constant_rate: bool
    """All frames are equally far apart."""
    frames: int
    start: float
    """Seconds at which the first frame is shown."""
    seconds: float
    bit_rate: int
    """Bits per second, mean."""
    peak_bit_rate: int
    """Bits per second in the fullest second."""
    color_range: str
    color_primaries: str
    color_transfer: str
    color_matrix: str
    turned: bool
    """The container asks players to turn, mirror or shift the picture."""
    keyframes: int
    max_gop: int
    """Frames from a keyframe to the next (or the end), at most."""
    b_frames: int
    max_b_run: int
    """B-frames in a row, at most."""
    luma: list[float]
    """Mean, 0..255."""
    dark: list[float]
    """Share of pixels with luma up to `DARK`, 0..1."""
    change: list[float]
    """Mean absolute difference to the frame before, in luma steps; 0 for the first."""
    flash: list[float]
    """Share of the frame that has just turned brighter by `FLASH_CHANGE`, less the share that has
    turned darker, -1..1: what moves past brightens here as it darkens there, what flashes does
    not."""


@dataclass(frozen=True)
class AudioMeasurement:
    """The first sound track. Loudness by ITU-R BS.1770-4 and EBU R 128, None where there is none
    (silence, or less than a block of 0.4 s)."""

    codec: str
    profile: str | None
    sample_rate: int
    channels: int
    start: float
    seconds: float
    bit_rate: int | None
    integrated_lufs: float | None
    loudness_range_lu: float | None
    true_peak_dbtp: float | None
    longest_silence: float
    """Seconds in a row below `SILENCE_DB`."""
    momentary: list[float]
    """LUFS of the last 0.4 s, every 0.1 s; -120 and below is silence."""
    mono_lu: float | None
    """Loudness of the mono sum, (left + right) / 2 on both sides, against that of stereo."""
    mono_lost_seconds: float
    """The longest in a row for which the mono sum lies 10 LU or more below stereo."""
    balance_lu: float | None
    """How much louder the left channel is than the right."""
    even: bool
    """Packets follow each other without a gap."""


@dataclass(frozen=True)
class Measurement:
    """A finished file. `as_dict` is plain JSON."""

    container: str
    size_bytes: int
    seconds: float
    """The container's own length."""
    faststart: bool
    edits: list[EditListEntry]
    audio_tracks: int
    video: VideoMeasurement | None
    audio: AudioMeasurement | None
    heads: list[str] = field(default_factory=list)
    """What the heads of an MP4 ask of players beside playing one picture and one sound as they are:
    half sentences."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        """What `as_dict` gave."""
        video, audio = data["video"], data["audio"]
        return cls(
            **{
                **data,
                "edits": [EditListEntry(**e) for e in data["edits"]],
                "video": VideoMeasurement(**video) if video else None,
                "audio": AudioMeasurement(**audio) if audio else None,
            }
        )


def measure_file(path: str | os.PathLike[str]) -> Measurement:
    """Measure a finished file: every frame and every sample of it is decoded.

    Raises MediaError when something in it does not decode.
    """
    return measure_traced(path)[0]


def measure_traced(path: str | os.PathLike[str]) -> tuple[Measurement, FrameTrace]:
    """A file's measurement, and its trace to compare with that of what was drawn for it.

    Raises MediaError when something in it does not decode.
    """
    path, trace = Path(path), FrameTrace()
    try:
        with open_clip(path) as container, ThreadPoolExecutor(1) as other:
            sound = next(iter(container.streams.audio), None)
            # Sound is measured by ffmpeg beside us while the pictures are decoded here.
            loudness = other.submit(measure_sound_track, path) if sound else None
            stream = video_stream(container)
            video = _measure_video(container, stream, trace) if stream else None
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


def _measure_video(
    container: av.container.InputContainer, stream: av.VideoStream, trace: FrameTrace
) -> VideoMeasurement:
    """Measured, and its trace written into `trace`."""
    context = stream.codec_context
    stream.thread_type = "AUTO"
    step = max(1, round(min(stream.width, stream.height) / _GRID))
    recorder = TraceRecorder()
    checksums: list[tuple[int, int]] = []
    luma: list[float] = []
    dark: list[float] = []
    change: list[float] = []
    flash: list[float] = []
    swings: _BrightnessSwings | None = None
    keys: list[int] = []
    types: list[str] = []
    times: list[int] = []
    sizes: list[tuple[int, int]] = []
    before: np.ndarray | None = None
    frame = None
    for packet in container.demux(stream):
        if packet.size:
            sizes.append((packet.dts or 0, packet.size))
            checksums.append((packet.pts or 0, zlib.crc32(bytes(packet))))
        for frame in packet.decode():
            if frame.key_frame:
                keys.append(len(luma))
            types.append(av.video.frame.PictureType(frame.pict_type).name)
            times.append(frame.pts or 0)
            planes = frame_planes(frame)
            recorder.add(planes)
            grid = planes[0][::step, ::step]
            luma.append(round(float(grid.mean()), 3))
            dark.append(round(float(np.count_nonzero(grid <= DARK) / grid.size), 4))
            values = grid.astype(np.float32)
            change.append(
                0.0 if before is None else round(float(np.abs(values - before).mean()), 4)
            )
            before = values
            light = _measure_light(values)
            swings = swings or _BrightnessSwings(light)
            flash.append(round(swings.follow(light), 4))
    if frame is None or (stream.frames and len(luma) != stream.frames):
        raise MediaError(
            f"{Path(container.name).name}: {len(luma)} of {stream.frames} frames decode."
        )
    seen = recorder.trace
    trace.luma, trace.chroma = seen.luma, seen.chroma
    trace.packets = np.array([crc for _, crc in sorted(checksums)], np.uint32)
    tick = tick_of(stream)
    rate = Fraction(stream.average_rate or 0)
    count = len(luma)
    steps = {b - a for a, b in zip(times, times[1:], strict=False)}
    seconds = float(stream.duration * tick) if stream.duration else float(count / (rate or 1))
    bits = 8 * sum(size for _, size in sizes)
    aspect = stream.sample_aspect_ratio or Fraction(0)
    return VideoMeasurement(
        codec=context.name,
        profile=context.profile,
        level=_h264_level(context),
        pixel_format=frame.format.name,
        width=frame.width,
        height=frame.height,
        sample_aspect_ratio=f"{aspect.numerator}:{aspect.denominator}",
        frame_rate=str(rate),
        constant_rate=len(steps) <= 1 and (not rate or steps <= {1 / (rate * tick)}),
        frames=count,
        start=float(times[0] * tick),
        seconds=seconds,
        bit_rate=round(bits / seconds) if seconds else 0,
        peak_bit_rate=_peak_bits(sizes, round(1 / tick)),
        color_range=_RANGE.get(frame.color_range, str(frame.color_range)),
        color_primaries=_PRIMARIES.get(frame.color_primaries, str(frame.color_primaries)),
        color_transfer=_TRANSFER.get(frame.color_trc, str(frame.color_trc)),
        color_matrix=_MATRIX.get(frame.colorspace, str(frame.colorspace)),
        turned=is_picture_turned(container, stream),
        keyframes=len(keys),
        max_gop=max((b - a for a, b in zip(keys, [*keys[1:], count], strict=True)), default=count),
        b_frames=types.count("B"),
        max_b_run=max(len(run) for run in re.findall("B*", "".join(t[0] for t in types))),
        luma=luma,
        dark=dark,
        change=change,
        flash=flash,
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
    """The planes of a frame, views where it is 8-bit 4:2:0."""
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
    """Loudness by ffmpeg's meter; what the channels are to each other, sketch and levels of the
    decoded samples."""
    heard = _parse_loudness(path)
    samples = decode_sound(path, seconds=_MAX_SECONDS)
    sides = measure_sides(samples)
    channels = _ChannelReading(
        sides.mono_lu, longest_run(sides.cancelled(_LOST_LU)) / 10, sides.balance_lu
    )
    return heard, channels, *sketch_sound(samples)


def check_even_packets(path: Path, trace: FrameTrace) -> bool:
    """Do the sound's packets follow each other? Their checksums are put into the trace."""
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
    """The ffmpeg-python stream that logs loudness and silences of the first sound track. Pure."""
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
    """The numbers in the log of `silencedetect` and `ebur128`.

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
