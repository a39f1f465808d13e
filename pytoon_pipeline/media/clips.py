"""A user's clip as frames at the video's own rate, size and colours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np

from pytoon_pipeline.media.probe import (
    UnreadableMedia,
    clip_rotation,
    decoded,
    display_size,
    open_clip,
    video_stream,
)

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

# Numbers of ITU-T H.273, tables 2 to 4.
_UNSPECIFIED = 2
_PQ, _HLG = 16, 18
_WIDE_PRIMARIES = {9, 11, 12}  # BT.2020, DCI-P3, Display P3
# Pixel formats in which a matrix has no say.
_NO_MATRIX = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "gray", "mono", "ya")
# Times in a file are rounded to its clock. WebM's ticks are milliseconds: the frame that begins at
# 2/30 s says 0.067 there, and is still the one to show at 2/30.
_ROUNDING = Fraction(1, 2000)
_THREADS = 2


class ClipFrames:
    """Frames of a clip, an iterable of exactly `count` frames (planes, read-only).

    Frame n is the source frame that is on the screen at (start + n) / rate seconds, that is, the
    last that has begun by then; before the first one has, the first. `start` counts frames at
    `rate` and may be negative. After the clip's end it begins anew, or with `loop` off its last
    frame stays. Where decoding fails part way, the clip ends there.

    Frames are scaled to `size` (width, height; None: as displayed, made even), turned as the file
    says, and converted to BT.709 limited range 4:2:0 from what the file says of its matrix and
    range (SD that says nothing is BT.601). HDR (PQ, HLG) and wide gamuts are converted by
    swscale's colour management, relative colorimetric: what is up to diffuse white, 203 cd/m2
    (BT.2408), comes out as graded, highlights above it are clipped; preparing that takes a second
    or two per clip. Transparency is ignored, interlaced pictures stay as they are.

    Equal neighbours are the same arrays, yielded again. One frame is held at a time. Each iteration
    decodes anew. Iterating raises UnreadableMedia when not one frame decodes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int] | None,
        rate: Fraction | int,
        start: int = 0,
        count: int = 0,
        loop: bool = True,
    ):
        if size is not None and (size[0] % 2 or size[1] % 2 or min(size) < 2):
            raise ValueError(f"4:2:0 needs an even width and height, not {size}")
        self.path, self.size, self.rate = Path(path), size, Fraction(rate)
        self.start, self.count, self.loop = start, count, loop

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Planes]:
        convert = _Converter(self.size)
        n = 0
        base = Fraction(0)  # when the present pass over the clip began
        skip_to: Fraction | None = self.start / self.rate
        while n < self.count:
            held: _Shown | None = None
            planes: Planes | None = None
            for following in self._pass(self._seek(skip_to) if skip_to else None):
                while n < self.count and held and self._time(n) < base + following.begins:
                    planes = planes or convert(held)
                    yield planes
                    n += 1
                if n == self.count:
                    return
                held, planes = following, None
            if held is None:
                raise UnreadableMedia(
                    "media.corrupt",
                    f"{self.path.name}: no frame of it decodes.",
                    "Copy or export it again.",
                )
            base += held.begins + (held.lasts or 1 / self.rate)
            while n < self.count and (not self.loop or self._time(n) < base):
                planes = planes or convert(held)
                yield planes
                n += 1
            skip_to = None

    def _time(self, n: int) -> Fraction:
        return (self.start + n) / self.rate + _ROUNDING

    def _seek(self, to: Fraction) -> int | None:
        """Where to seek, in ticks, to land on a keyframe at or before `to`; None when it is not
        worth it, seeking in this file does not do that, or `to` is about the clip's end."""
        if to < 1:
            return None
        try:
            with open_clip(self.path) as container:
                stream = self._stream(container)
                known = stream.duration and stream.duration * stream.time_base
                if not known or to >= known - 1:
                    return None
                origin = self._origin(container, stream)
                target = int((origin + to) / stream.time_base)
                container.seek(target, stream=stream, backward=True)
                landed = next(decoded(container, stream), None)
                if landed is None or landed.pts is None or landed.pts > target:
                    return None
                return target
        except av.FFmpegError:
            return None

    def _pass(self, seek: int | None) -> Iterator[_Shown]:
        """One pass over the clip, from its first frame or from the keyframe that `seek` finds."""
        with open_clip(self.path) as container:
            stream = self._stream(container)
            stream.codec_context.thread_count = _THREADS
            stream.thread_type = "AUTO"
            if seek is not None:
                container.seek(seek, stream=stream, backward=True)
            origin, tick = self._origin(container, stream), stream.time_base
            usual = 1 / stream.average_rate if stream.average_rate else Fraction(0)
            previous: Fraction | None = None
            step = usual
            frames = decoded(container, stream)
            while True:
                try:
                    frame = next(frames, None)
                except (av.FFmpegError, OSError):
                    return  # a broken tail; none at all is found by whoever counts
                if frame is None:
                    return
                if frame.pts is not None:
                    begins = frame.pts * tick - origin
                else:
                    begins = Fraction(0) if previous is None else previous + step
                if previous is not None:
                    if begins <= previous:
                        continue
                    step = begins - previous
                previous = begins
                lasts = frame.duration * tick if frame.duration else step
                yield _Shown(frame, begins, lasts, display_size(stream, frame))

    def _stream(self, container: av.container.InputContainer) -> av.VideoStream:
        stream = video_stream(container)
        if stream is None:
            raise UnreadableMedia(
                "media.not_media", f"{self.path.name} has no picture.", "Give a clip with one."
            )
        return stream

    @staticmethod
    def _origin(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
        """The clip's zero, in seconds: where the earliest stream begins, so that picture and sound
        stay together."""
        if container.start_time is not None:
            return Fraction(container.start_time, av.time_base)
        return (stream.start_time or 0) * stream.time_base


@dataclass(frozen=True)
class _Shown:
    frame: av.VideoFrame
    begins: Fraction
    """Seconds from the clip's zero."""
    lasts: Fraction
    size: tuple[int, int]
    """Width and height as displayed."""


class _Converter:
    """Decoded frames to planes; the scaler is made once for each kind of frame."""

    def __init__(self, size: tuple[int, int] | None):
        self.size = size
        self._key: tuple[object, ...] | None = None
        self._graph: av.filter.Graph | None = None

    def __call__(self, shown: _Shown) -> Planes:
        frame = shown.frame
        turn = clip_rotation(frame)
        if self.size is None:
            width, height = shown.size
            self.size = max(2, width & ~1), max(2, height & ~1)
        size = self.size if turn in (0, 180) else (self.size[1], self.size[0])
        key = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range,
               frame.color_trc, frame.color_primaries, turn)
        if key != self._key:
            self._graph, self._key = _graph(frame, scale_options(frame, size, turn)), key
        assert self._graph is not None
        frame.pts = None  # frames are taken out of order of the graph's clock when the clip loops
        self._graph.push(frame)
        scaled = self._graph.pull()
        planes = tuple(_plane(p, turn) for p in scaled.planes)
        assert len(planes) == 3
        return planes


def scale_options(frame: av.VideoFrame, size: tuple[int, int], turn: int) -> dict[str, str]:
    """Options of ffmpeg's `scale` for a decoded frame. Pure."""
    width, height = size
    shrink = max(frame.width / width, frame.height / height)
    kernel = "area" if shrink > 3 else "bicubic"
    options = {
        "w": str(width),
        "h": str(height),
        "flags": f"{kernel}+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact",
        "out_color_matrix": "bt709",
        "out_range": "tv",
        # Left-sited chroma after the turn: a turn carries the picture's left to another side.
        "out_chroma_loc": {0: "left", 90: "bottom", 180: "left", 270: "top"}[turn],
    }
    name = frame.format.name
    if not name.startswith(_NO_MATRIX):
        if frame.colorspace in (_UNSPECIFIED, 0):
            hd = max(frame.width, frame.height) >= 1280 or min(frame.width, frame.height) > 576
            options["in_color_matrix"] = "bt709" if hd else "smpte170m"
        if name.startswith("yuvj"):
            options["in_range"] = "pc"
    if frame.color_trc in (_PQ, _HLG) or frame.color_primaries in _WIDE_PRIMARIES:
        options |= {"out_transfer": "bt709", "out_primaries": "bt709"}
    return options


def _graph(frame: av.VideoFrame, options: dict[str, str]) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    chain = [source, graph.add("scale", **options), graph.add("format", "yuv420p"),
             graph.add("buffersink")]
    for a, b in zip(chain, chain[1:], strict=False):
        a.link_to(b)
    graph.configure()
    return graph


def _plane(plane: av.video.plane.VideoPlane, turn: int) -> np.ndarray:
    stored = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    shown = np.rot90(stored[: plane.height, : plane.width], -turn // 90)
    # The decoder takes its buffer back: what is handed out is a copy.
    copy = np.array(shown, order="C")
    copy.setflags(write=False)
    return copy


