"""Decode a user's clip to frames at the rate, size and colours of the video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import numpy as np

from pytoon_pipeline.media.clip_file import frame_has_alpha, open_clip, tick_of
from pytoon_pipeline.media.decoding import decode_frames
from pytoon_pipeline.media.planes import view_plane
from pytoon_pipeline.media.playback import (
    LEAP,
    STARTS_AGAIN,
    PlayedFrame,
    clip_origin,
    clock_may_leap,
    one_thread_graph,
    picture_stream,
    play_clip,
)
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.media.webp import is_animated_webp

Planes = tuple[np.ndarray, ...]

# Numbers of ITU-T H.273, tables 2 to 4.
_UNSPECIFIED = 2
_PQ, _HLG = 16, 18
_WIDE_PRIMARIES = {9, 11, 12}  # BT.2020, DCI-P3, Display P3
# Pixel formats in which a matrix has no say.
_NO_MATRIX = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "gray", "mono", "ya")
# Times in a file are rounded to its clock. WebM's ticks are milliseconds: the frame that begins at
# 2/30 s says 0.067 there, and is still the one to show at 2/30.
_ROUNDING = Fraction(1, 2000)
# A place that differs from a frame's own shape by no more pixels is filled by it: sizes are made
# even, and rounded more than once.
_SLACK = 4
BLACK = "#000000"


class ClipFrames:
    """Frames of a clip, an iterable of exactly `count` frames (planes, read-only).

    Frame n is the source frame that is on the screen at (start + n) / rate seconds, that is, the
    last that has begun by then; before the first one has, the first. `start` counts frames at
    `rate` and may be negative. After the clip's end it begins again, or with `loop` off its last
    frame stays. Where decoding fails part way, the clip ends there. Where its clock starts again,
    what follows is shown right after what was before.

    Frames are scaled to `size` (width, height; None: as displayed, made even), turned and mirrored
    as the file says, and converted to BT.709 limited range 4:2:0 from what the file says of its
    matrix and range (SD that says nothing is BT.601). HDR (PQ, HLG) and wide gamuts are converted
    by swscale's colour management, relative colorimetric: what is up to diffuse white, 203 cd/m2
    (BT.2408), comes out as graded, highlights above it are clipped; preparing that takes a second
    or two per clip. Interlaced frames are made whole. A frame of another shape than `size` keeps
    its own, as large as it can be in the middle of it.

    What a frame leaves free, or is transparent, shows `ground` (#RRGGBB). With `transparent`,
    frames are four planes: Y, U and V multiplied by their coverage (16, 128 and 128 where there is
    none), and that coverage, 0 to 255, at the size of Y.

    Equal neighbours are the same arrays, yielded again. One frame is held at a time. Each iteration
    decodes again. Iterating raises UnreadableMediaError when not one frame decodes.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int] | None,
        rate: Fraction | int,
        start: int = 0,
        count: int = 0,
        loop: bool = True,
        ground: str = BLACK,
        transparent: bool = False,
    ):
        if size is not None and (size[0] % 2 or size[1] % 2 or min(size) < 2):
            raise ValueError(f"4:2:0 needs an even width and height, not {size}")
        self.path, self.size, self.rate = Path(path), size, Fraction(rate)
        self.start, self.count, self.loop = start, count, loop
        self.ground, self.transparent = ground, transparent

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Planes]:
        convert = _FrameConverter(self.size, self.ground, self.transparent)
        n = 0
        base = Fraction(0)  # when the present pass over the clip began
        skip_to: Fraction | None = self.start / self.rate
        while n < self.count:
            held: PlayedFrame | None = None
            planes: Planes | None = None
            for following in play_clip(self.path, self._seek(skip_to) if skip_to else None):
                while n < self.count and held and self._time_of_frame(n) < base + following.begins:
                    planes = planes or convert(held)
                    yield planes
                    n += 1
                if n == self.count:
                    return
                held, planes = following, None
            if held is None:
                raise UnreadableMediaError(
                    "media.corrupt",
                    f"{self.path.name}: no frame of it decodes.",
                    "Copy or export it again.",
                )
            base += held.begins + (held.lasts or 1 / self.rate)
            while n < self.count and (not self.loop or self._time_of_frame(n) < base):
                planes = planes or convert(held)
                yield planes
                n += 1
            skip_to = None

    def _time_of_frame(self, n: int) -> Fraction:
        return (self.start + n) / self.rate + _ROUNDING

    def _seek(self, to: Fraction) -> int | None:
        """Where to seek, in ticks, to land on a keyframe at or before `to`; None when it is not
        worth it, seeking in this file does not do that, or `to` is about the clip's end."""
        if to < 1 or is_animated_webp(self.path):
            return None
        try:
            with open_clip(self.path) as container:
                if clock_may_leap(container) and self._clock_leaps(container):
                    return None
            with open_clip(self.path) as container:
                stream = picture_stream(container, self.path)
                tick = tick_of(stream)
                known = stream.duration and stream.duration * tick
                if not known or to >= known - 1:
                    return None
                origin = clip_origin(container, stream)
                target = int((origin + to) / tick)
                container.seek(target, stream=stream, backward=True)
                landed = next(decode_frames(container, stream), None)
                if landed is None or landed.pts is None or landed.pts > target:
                    return None
                return target
        except av.FFmpegError:
            return None

    def _clock_leaps(self, container: av.container.InputContainer) -> bool:
        """Does the clock of a stream start again or leap? Then a time names no one place in it."""
        stream = picture_stream(container, self.path)
        tick = tick_of(stream)
        last: int | None = None
        for packet in container.demux(stream):
            if packet.dts is None:
                continue
            if last is not None:
                ahead = (packet.dts - last) * tick
                if ahead < -STARTS_AGAIN or ahead > LEAP:
                    return True
            last = packet.dts
        return False


class _FrameConverter:
    """Decoded frames to planes; the scaler is made once for each kind of frame."""

    def __init__(self, size: tuple[int, int] | None, ground: str, transparent: bool):
        self.size, self.transparent = size, transparent
        self.ground = _colour_to_yuv(ground)
        self._key: tuple[object, ...] | None = None
        self._graph: av.filter.Graph | None = None

    def __call__(self, shown: PlayedFrame) -> Planes:
        frame = shown.frame
        orientation = shown.orientation
        if self.size is None:
            width, height = shown.size
            self.size = max(2, width & ~1), max(2, height & ~1)
        inner = _fit_inside(shown.size, self.size)
        stored = orientation.shown_size(*inner)
        alpha = frame_has_alpha(frame)
        key = (
            frame.width,
            frame.height,
            frame.format.name,
            frame.colorspace,
            frame.color_range,
            shown.transfer,
            shown.primaries,
            stored,
            orientation,
        )
        if key != self._key:
            options = scale_options(shown, stored)
            self._graph, self._key = _make_filter_graph(frame, options, alpha), key
        assert self._graph is not None
        frame.pts = None  # frames are taken out of order of the graph's clock when the clip loops
        self._graph.push(frame)
        scaled = self._graph.vpull()
        planes = [orientation.turn_array(view_plane(p)) for p in scaled.planes]
        assert len(planes) == (4 if alpha else 3)
        if not alpha and self.transparent:
            planes.append(np.full(planes[0].shape, 255, np.uint8))
        if inner != self.size:
            planes = self._centre_planes(planes)
        if len(planes) == 4 and not self.transparent:
            planes = self._on_ground(planes)
        # The decoder takes its buffers back: what is handed out are copies.
        copies = tuple(np.array(plane, order="C") for plane in planes)
        for copy in copies:
            copy.setflags(write=False)
        return copies

    def _centre_planes(self, planes: list[np.ndarray]) -> list[np.ndarray]:
        """Smaller planes in the middle of the size that is wanted."""
        assert self.size is not None
        height, width = planes[0].shape
        left, top = (self.size[0] - width) // 4 * 2, (self.size[1] - height) // 4 * 2
        empty = (16, 128, 128, 0) if len(planes) == 4 else self.ground
        placed = []
        for n, (plane, value) in enumerate(zip(planes, empty, strict=True)):
            half = 2 if n in (1, 2) else 1
            whole = np.full((self.size[1] // half, self.size[0] // half), value, np.uint8)
            y, x = top // half, left // half
            whole[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
            placed.append(whole)
        return placed

    def _on_ground(self, planes: list[np.ndarray]) -> list[np.ndarray]:
        flat = tuple(
            np.full(plane.shape, value, np.uint8)
            for plane, value in zip(planes[:3], self.ground, strict=True)
        )
        draw_over(tuple(planes), flat)
        return list(flat)


def draw_over(planes: Planes, under: Planes) -> None:
    """Blend the four planes of a transparent frame over three planes of the same size, which are
    changed in place."""
    alpha = planes[3].astype(np.float32)
    h, w = alpha.shape
    small = alpha.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))
    for n, (over, plane) in enumerate(zip(planes[:3], under, strict=True)):
        zero = 128 if n else 16
        seen = 1 - (small if n else alpha) / 255
        mixed = over + (plane.astype(np.float32) - zero) * seen
        plane[...] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _colour_to_yuv(colour: str) -> tuple[int, int, int]:
    """#RRGGBB as Y, U and V of BT.709, limited range."""
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
    return (
        round(16 + 219 * luma),
        round(128 + 224 * (b - luma) / 1.8556),
        round(128 + 224 * (r - luma) / 1.5748),
    )


def _fit_inside(shape: tuple[int, int], place: tuple[int, int]) -> tuple[int, int]:
    """The even size at which a shape is wholly inside a place; the place's own where it differs by
    what rounding makes."""
    scale = min(place[0] / shape[0], place[1] / shape[1])
    width, height = shape[0] * scale, shape[1] * scale
    if place[0] - width <= _SLACK and place[1] - height <= _SLACK:
        return place
    return (
        min(place[0], max(2, round(width / 2) * 2)),
        min(place[1], max(2, round(height / 2) * 2)),
    )


def scale_options(shown: PlayedFrame, size: tuple[int, int]) -> dict[str, str]:
    """Return the options of ffmpeg's `scale` that bring a decoded frame to a size, as the frame is
    stored (before it is turned). This function reads and writes nothing."""
    frame, turn = shown.frame, shown.orientation.degrees
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
    if shown.transfer in (_PQ, _HLG) or shown.primaries in _WIDE_PRIMARIES:
        options |= {"out_transfer": "bt709", "out_primaries": "bt709"}
    return options


def _make_filter_graph(
    frame: av.VideoFrame, options: dict[str, str], alpha: bool
) -> av.filter.Graph:
    graph = one_thread_graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
    )
    if alpha:
        # Multiplied at its own size, so that what is hidden under transparency does not seep into
        # the edges when it is scaled.
        own = options | {"w": str(frame.width), "h": str(frame.height)}
        sized = {k: options[k] for k in ("w", "h", "flags", "out_chroma_loc")}
        chain = [
            source,
            graph.add("scale", **own),
            graph.add("format", "yuva444p"),
            graph.add("premultiply", inplace="1"),
            graph.add("scale", **sized),
            graph.add("format", "yuva420p"),
        ]
    else:
        chain = [source, graph.add("scale", **options), graph.add("format", "yuv420p")]
    chain.append(graph.add("buffersink"))
    for a, b in zip(chain, chain[1:], strict=False):
        a.link_to(b)
    graph.configure()
    return graph
