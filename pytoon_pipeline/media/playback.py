"""Decode the frames of a clip, with the times at which they are to be shown.

The differences between files are handled here: a decoder that keeps transparency, interlaced
pictures that are made whole, and a clock that jumps and is made continuous.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.filter

from pytoon_pipeline.media.clip_file import (
    MAY_BE_JOINED,
    clip_orientation,
    display_size,
    open_clip,
    tick_of,
    video_stream,
)
from pytoon_pipeline.media.decoding import decode_frames
from pytoon_pipeline.media.orientation import UPRIGHT, Orientation
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.media.webp import is_animated_webp, webp_frames

STARTS_AGAIN = Fraction(1, 10)
"""Seconds by which times go back where a clock starts again; less is a slip of the muxer."""
LEAP = 10
"""Seconds by which the clock of a stream that is meant to be joined (a transport stream) leaps
where another recording begins. Both as ffmpeg has it, which decodes the sound."""
_THREADS = 2


@dataclass(frozen=True)
class PlayedFrame:
    """A frame, and when and how it is shown."""

    frame: av.VideoFrame
    begins: Fraction
    """Seconds from the clip's zero."""
    lasts: Fraction
    """0 where nothing tells."""
    size: tuple[int, int]
    """Width and height as displayed."""
    orientation: Orientation
    transfer: int = 2
    """Of ITU-T H.273, table 3; 2 says nothing."""
    primaries: int = 2
    """Of H.273, table 2."""


def play_clip(path: Path, seek: int | None = None) -> Iterator[PlayedFrame]:
    """Yield the frames of one pass over the clip, from its first frame or from the keyframe found
    by seeking to `seek`, in ticks. The pass ends where decoding fails.

    Raises UnreadableMediaError.
    """
    if is_animated_webp(path):
        for frame, start, lasts in webp_frames(path):
            yield PlayedFrame(frame, start, lasts, (frame.width, frame.height), UPRIGHT)
        return
    with open_clip(path) as container:
        stream = picture_stream(container, path)
        stream.codec_context.thread_count = _THREADS
        stream.thread_type = "AUTO"
        if seek is not None:
            container.seek(seek, stream=stream, backward=True)
        clock = FrameClock(stream, clip_origin(container, stream), clock_may_leap(container))
        turn = UPRIGHT
        last: PlayedFrame | None = None
        repeats: list[int] = []
        for frame, pts, duration in _whole_frames(
            stream, _iterate_readable(container, stream, repeats)
        ):
            turn = clip_orientation(frame, turn)
            begins = clock.place(pts, duration)
            if begins is None:
                continue
            stays = duration * clock.tick if duration else clock.step
            size = display_size(stream, frame, turn)
            last = PlayedFrame(
                frame, begins, stays, size, turn, *_read_frame_colours(stream, frame)
            )
            yield last
        if last is not None and repeats:
            end = last.begins + last.lasts
            stays = max(repeats) * clock.tick - clock.origin - end
            if stays > 0:
                yield replace(last, begins=end, lasts=stays)


def _read_frame_colours(stream: av.VideoStream, frame: av.VideoFrame) -> tuple[int, int]:
    """Transfer and primaries; frames of PyAV before 17 don't have them, their decoder does."""
    context = stream.codec_context
    return (
        int(getattr(frame, "color_trc", context.color_trc)),
        int(getattr(frame, "color_primaries", context.color_primaries)),
    )


def picture_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the stream that moves. Raises UnreadableMediaError where the file has none."""
    stream = video_stream(container)
    if stream is None:
        raise UnreadableMediaError(
            "media.not_media", f"{path.name} has no picture.", "Give a clip with one."
        )
    return stream


def clip_origin(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
    """Return the clip's zero, in seconds: the begin of its earliest stream, so that picture and
    sound stay together."""
    if container.start_time is not None:
        return Fraction(container.start_time, av.time_base)
    return (stream.start_time or 0) * tick_of(stream)


def clock_may_leap(container: av.container.InputContainer) -> bool:
    """Return whether the container is of a kind in which recordings are joined end to end."""
    return bool(container.format.flags & MAY_BE_JOINED)


class FrameClock:
    """Times of frames, as the file has them, to seconds that only go forward."""

    def __init__(self, stream: av.VideoStream, origin: Fraction, leaps: bool):
        self.tick, self.origin, self.leaps = tick_of(stream), origin, leaps
        rate = stream.average_rate or stream.guessed_rate
        self.step = 1 / Fraction(rate) if rate else Fraction(0)
        self._last: Fraction | None = None

    def place(self, pts: int | None, duration: int) -> Fraction | None:
        """Return the second at which the frame with this time and length, in ticks, begins; None
        where it is to be left out, because another one begins then."""
        last = self._last
        if pts is None:
            # A bare stream: its frames follow one another.
            self.step = duration * self.tick if duration else self.step
            begins = Fraction(0) if last is None else last + self.step
        else:
            begins = pts * self.tick - self.origin
            if last is not None:
                ahead = begins - last
                if ahead < -STARTS_AGAIN or (self.leaps and ahead > LEAP):
                    # Another clock from here on: what follows is shown right after.
                    self.origin += ahead - self.step
                    begins = last + self.step
                elif ahead <= 0:
                    return None
                else:
                    self.step = ahead
        self._last = begins
        return begins


def _iterate_readable(
    container: av.container.InputContainer, stream: av.VideoStream, repeats: list[int]
) -> Iterator[av.VideoFrame]:
    frames = decode_frames(container, stream, repeats)
    while True:
        try:
            frame = next(frames, None)
        except (av.FFmpegError, OSError):
            return  # A broken tail; none at all is found by whoever counts.
        if frame is None:
            return
        yield frame


_Timed = tuple[av.VideoFrame, int | None, int]
# AVFieldOrder: progressive is 1; 2 and 4 show the upper field first, 3 and 5 the lower.
_FIELD_PARITY = {2: "tff", 4: "tff", 3: "bff", 5: "bff"}
# Streams of these say it of each frame, and one of both kinds may follow the other.
_FLAGS_FRAMES = ("h264", "hevc", "mpeg1video", "mpeg2video", "vc1", "prores", "dvvideo", "mjpeg")


def _whole_frames(stream: av.VideoStream, frames: Iterator[av.VideoFrame]) -> Iterator[_Timed]:
    """The frames with their times and lengths in ticks; of interlaced ones both fields are shown at
    once (bwdif), each frame as long as it was."""
    # Not of every PyAV.
    said = getattr(stream.codec_context, "field_order", None)
    flagged = stream.codec_context.name in _FLAGS_FRAMES
    parity = _FIELD_PARITY.get(said) if isinstance(said, int) and not flagged else None
    graph: av.filter.Graph | None = None
    key: tuple[object, ...] = ()
    waiting: deque[tuple[int | None, int]] = deque()

    def drain_graph() -> Iterator[_Timed]:
        nonlocal graph
        if graph is not None:
            graph.push(None)
            yield from _pull_frames(graph, waiting)
        graph = None
        waiting.clear()

    for frame in frames:
        times = frame.pts, getattr(frame, "duration", 0) or 0
        if not (frame.interlaced_frame or parity):
            yield from drain_graph()
            yield frame, *times
            continue
        shape = frame.width, frame.height, frame.format.name
        if graph is None or shape != key:
            yield from drain_graph()
            graph, key = (
                _make_deinterlacer(frame, parity if not frame.interlaced_frame else None),
                shape,
            )
        waiting.append(times)
        graph.push(frame)
        yield from _pull_frames(graph, waiting)
    yield from drain_graph()


def _pull_frames(
    graph: av.filter.Graph, waiting: deque[tuple[int | None, int]]
) -> Iterator[_Timed]:
    while waiting:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield frame, *waiting.popleft()


def one_thread_graph() -> av.filter.Graph:
    """Return an empty graph of filters that starts no threads, as far as this PyAV lets one say so:
    segments run side by side."""
    graph = av.filter.Graph()
    if hasattr(graph, "threads"):
        graph.threads = 1
    return graph


def _make_deinterlacer(frame: av.VideoFrame, parity: str | None) -> av.filter.Graph:
    graph = one_thread_graph()
    chain = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        ),
        graph.add("bwdif", mode="send_frame", parity=parity or "auto", deint="all"),
        graph.add("buffersink"),
    ]
    for a, b in zip(chain, chain[1:], strict=False):
        a.link_to(b)
    graph.configure()
    return graph
