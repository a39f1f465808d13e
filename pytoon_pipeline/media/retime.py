"""A generated clip brought to the video's own rate and length.

A clip is short (five seconds or so) and comes at the model's own rate, 16 or 24 frames a second.
What lies between two of its frames is drawn along the movement from one to the other, at the clip's
own small size; where the movement can't be followed, the two are blended.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import lru_cache
from io import BufferedRandom
from pathlib import Path

import cv2
import numpy as np

from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError

Planes = tuple[np.ndarray, np.ndarray, np.ndarray]

SLOWEST = 2
"""`slow_down` makes a clip at most so many times slower."""
FLOW_SIDE = 640
"""Pixels of the longer side that movement is measured at."""
TURN_SECONDS = Fraction(1, 5)
"""A clip that goes back and forth takes this long to come to rest before it turns."""
TRUSTED, DOUBTED = 8.0, 24.0
"""Levels of 255 by which two frames differ along a movement that is followed wholly, and not at
all."""
MIN_ALIKE = 0.35
"""Share of the picture whose movement can be followed, below which it is a cut."""


class RetimedClip(Sequence[Planes]):
    """The frames of a clip at the video's rate, as many as were asked for, at the clip's own size
    (made even): planes, any of them at any time. They lie in a file without a name, which is gone
    when this is."""

    def __init__(self, size: tuple[int, int], order: Sequence[int], pictures: BufferedRandom):
        self.size, self._order, self._pictures = size, order, pictures

    def __len__(self) -> int:
        return len(self._order)

    # Whoever reads the frames takes one at a time, so the slices of a sequence are left out.
    def __getitem__(self, index: int) -> Planes:  # type: ignore[override]
        """Frame `index`; slices are not made."""
        width, height = self.size
        luma, chroma = width * height, width * height // 4
        length = luma + 2 * chroma
        file, half = self._pictures.fileno(), (height // 2, width // 2)
        flat = np.frombuffer(os.pread(file, length, self._order[index] * length), np.uint8)
        return (
            flat[:luma].reshape(height, width),
            flat[luma : luma + chroma].reshape(half),
            flat[luma + chroma :].reshape(half),
        )

    def __del__(self) -> None:
        self._pictures.close()


def retime_clip(
    clip: str | os.PathLike[str],
    rate: int,
    count: int,
    stretch: str,
    folder: Path,
    waiting: Callable[[], None] = lambda: None,
) -> RetimedClip:
    """Return `count` frames at `rate` of a clip, stretched as `list_moments` says. Working files
    lie in `folder`; `waiting` is called before each picture is drawn.

    The same file gives the same pixels. Raises UnreadableMediaError.
    """
    info = probe_media(clip)
    source_rate = info.frame_rate
    if info.kind != "video" or not source_rate:
        raise UnreadableMediaError(
            "media.not_media", f"{Path(clip).name} is no clip.", "Give a clip with a picture."
        )
    frames = info.frames or max(1, int((info.seconds or 0) * source_rate + Fraction(1, 2)))
    shown = list_moments(frames, source_rate, rate, count, stretch)
    wanted = sorted(set(shown))
    places = {moment: n for n, moment in enumerate(wanted)}
    # As many of the clip's own frames as are needed; the last once more, to have a neighbour.
    source = ClipFrames(clip, None, source_rate, count=int(wanted[-1]) + 2, loop=False)
    size = 0, 0
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        for planes in _iterate_pictures(((y, u, v) for y, u, v in source), wanted):
            waiting()
            size = planes[0].shape[1], planes[0].shape[0]
            for plane in planes:
                file.write(plane.data)
        file.flush()
        stack.pop_all()  # It is whole: whoever has it closes it.
    return RetimedClip(size, [places[moment] for moment in shown], file)


def _iterate_pictures(source: Iterator[Planes], wanted: Sequence[Fraction]) -> Iterator[Planes]:
    """The clip at rising moments."""
    at, a, b = 0, next(source), next(source)
    between: FrameInterpolator | None = None
    for moment in wanted:
        whole = int(moment)
        while at < whole:
            at, a, b, between = at + 1, b, next(source), None
        if moment == whole:
            yield a
            continue
        between = between or FrameInterpolator(a, b)
        yield between.at(float(moment - whole))


# --- which moment of the clip each frame shows


def list_moments(
    frames: int, source_rate: Fraction, rate: int, count: int, stretch: str
) -> list[Fraction]:
    """Return the moment that each of `count` frames at `rate` shows, in frames of a clip of
    `frames` at `source_rate`; 0 is its first frame, and none lies beyond its last.

    A clip that is long enough is cut. A shorter one is slowed down as far as needed and allowed
    (`slow_down`), and goes back and forth (`ping_pong`, or slowed down all it may be): it comes to
    rest, shows the turning frame once, and goes back over the moments it came by.
    """
    step, last = source_rate / rate, frames - 1
    if last <= 0:
        return [Fraction(0)] * count
    if stretch == "slow_down" and step * (count - 1) > last:
        step = max(Fraction(last, count - 1), step / SLOWEST)
    if step * (count - 1) <= last:
        return [step * k for k in range(count)]
    way = int(last / step)
    return [step * at for at in _back_and_forth(way, count, int(TURN_SECONDS * rate))]


def _back_and_forth(way: int, count: int, ease: int) -> list[Fraction]:
    """Steps from the start, of `count` frames that go to `way` and back, over and over; each turn
    takes `ease` frames to come to rest and as many to be at full speed again."""
    if way == 0:
        return [Fraction(0)] * count
    ease = min(ease, way) // 2 * 2

    def from_turn(d: int) -> Fraction:
        return Fraction(d * d, 2 * ease) if d < ease else d - Fraction(ease, 2)

    # It starts at full speed: only later passes leave a turn as well.
    first = way + ease // 2
    found = [way - from_turn(first - k) for k in range(min(count, first + 1))]
    turns = way + ease
    back = [
        way - from_turn(d) if d <= turns - ease else from_turn(turns - d)
        for d in range(1, turns + 1)
    ]
    forth = False
    while len(found) < count:
        found += [way - at for at in back] if forth else back
        forth = not forth
    return found[:count]


# --- between two frames


class FrameInterpolator:
    """What is seen between two frames that follow one another."""

    def __init__(self, a: Planes, b: Planes):
        self.a, self.b = a, b
        height, width = a[0].shape
        scale = min(1.0, FLOW_SIDE / max(height, width))
        size = max(16, round(width * scale)), max(16, round(height * scale))
        self.grey = tuple(cv2.resize(p[0], size, interpolation=cv2.INTER_AREA) for p in (a, b))
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self.forth = _measure_flow(flow, self.grey[0], self.grey[1])
        self.back = _measure_flow(flow, self.grey[1], self.grey[0])

    def at(self, t: float) -> Planes:
        """Return the picture at 0 < t < 1 of the way from the first to the second."""
        speed, trust = self._movement_at(t)
        if float(trust.mean()) < MIN_ALIKE:
            return self.a if t < 0.5 else self.b  # A cut stays one.
        luma = self._interpolate_plane(0, t, speed, trust)
        small = self.a[1].shape[::-1]
        speed, trust = _resize_movement(speed, trust, small)
        return (
            luma,
            self._interpolate_plane(1, t, speed, trust),
            self._interpolate_plane(2, t, speed, trust),
        )

    def _movement_at(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Movement from the first to the second of what is seen at t, float32 (h, w, 2), and how
        far it is to be trusted, float32 (h, w), 0..1."""
        forth, back = self._move_flow(self.forth, t), -self._move_flow(self.back, 1 - t)
        errors = self._movement_error(forth, t), self._movement_error(back, t)
        cv2.copyTo(forth, cv2.compare(errors[0], errors[1], cv2.CMP_LE), back)
        error = cv2.min(*errors)
        return back, np.clip((DOUBTED - error) / (DOUBTED - TRUSTED), 0, 1)

    def _move_flow(self, flow: np.ndarray, t: float) -> np.ndarray:
        """The movement of what has come to each place by then, from that of what was there before:
        looked for by going back along it."""
        speed = flow
        for _ in range(3):
            speed = _warp_picture(flow, speed, -t, cv2.INTER_LINEAR)
        return speed

    def _movement_error(self, speed: np.ndarray, t: float) -> np.ndarray:
        """How unlike the two frames are along a movement, in levels, smoothed."""
        one = _warp_picture(self.grey[0], speed, -t, cv2.INTER_LINEAR)
        two = _warp_picture(self.grey[1], speed, 1 - t, cv2.INTER_LINEAR)
        return cv2.GaussianBlur(cv2.absdiff(one, two).astype(np.float32), (0, 0), 2.0)

    def _interpolate_plane(
        self, n: int, t: float, speed: np.ndarray, trust: np.ndarray
    ) -> np.ndarray:
        one, two = self.a[n], self.b[n]
        speed, trust = _resize_movement(speed, trust, one.shape[::-1])
        moved = cv2.addWeighted(
            _warp_picture(one, speed, -t, cv2.INTER_CUBIC),
            1 - t,
            _warp_picture(two, speed, 1 - t, cv2.INTER_CUBIC),
            t,
            0,
        )
        plain = cv2.addWeighted(one, 1 - t, two, t, 0)
        return cv2.blendLinear(moved, plain, trust, 1 - trust)


def _measure_flow(flow: cv2.DISOpticalFlow, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Movement of each pixel from `one` to `two`, float32 (h, w, 2)."""
    # OpenCV's types leave out that the flow may be None; an array would be a flow to start from.
    return flow.calc(one, two, None)  # type: ignore[call-overload]


@lru_cache(maxsize=8)
def _pixel_grid(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    grid = np.dstack([x, y])
    grid.setflags(write=False)
    return grid


def _resize_movement(
    speed: np.ndarray, trust: np.ndarray, size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Both for a picture of another width and height."""
    height, width = trust.shape
    if size == (width, height):
        return speed, trust
    ratio = np.array([size[0] / width, size[1] / height, 0, 0])
    return (
        cv2.multiply(cv2.resize(speed, size, interpolation=cv2.INTER_LINEAR), ratio),
        cv2.resize(trust, size, interpolation=cv2.INTER_LINEAR),
    )


def _warp_picture(picture: np.ndarray, speed: np.ndarray, part: float, filter: int) -> np.ndarray:
    """The picture as looked up at `part` of a movement from each place."""
    height, width = speed.shape[:2]
    at = cv2.scaleAdd(speed, part, _pixel_grid(width, height))
    # OpenCV's types leave out that the second map may be None. An empty array in its place is
    # computed in another way, with other pixels.
    return cv2.remap(picture, at, None, filter, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
