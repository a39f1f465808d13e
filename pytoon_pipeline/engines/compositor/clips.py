"""Clips: the decoder scales each frame once to where it stands; nothing of them is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from pytoon_pipeline.engines.compositor.windows import (
    cover_size,
    grown_side,
    make_drift,
    whole_frame,
)
from pytoon_pipeline.media.clips import ClipFrames, draw_over
from pytoon_pipeline.picture import backgrounds
from pytoon_pipeline.picture.layers import Layer, PictureLayer, Placement
from pytoon_pipeline.picture.yuv import Planes, make_planes, rgb_to_planes
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment_jobs import SegmentJob

Drawing = Callable[[Planes, int], None]


class MovingLayer(ABC):
    """A layer that can only be drawn from its first frame to its last."""

    @abstractmethod
    def begin(self) -> Drawing:
        """From the start: to be called once for each frame, in order."""


class ClipLayer(MovingLayer):
    """A clip that covers a window, with round corners if wanted; with `transparent`, what lies
    under it is seen where it is transparent."""

    def __init__(
        self,
        job: SegmentJob,
        path: Path,
        size: tuple[int, int],
        window: Box,
        radius: int = 0,
        transparent: bool = False,
    ):
        """`size` is the clip's own."""
        self.job, self.window, self.radius = job, window, radius
        self.size = cover_size(*size, window[2] - window[0], window[3] - window[1])
        self.transparent = transparent
        self.frames = ClipFrames(
            path,
            self.size,
            job.rate,
            start=job.clip_start - job.head,
            count=job.count,
            ground=first_colour(job),
            transparent=transparent,
        )

    def begin(self) -> Drawing:
        job, window, size = self.job, self.window, self.size
        frames: Iterator[tuple[np.ndarray, ...]] = iter(self.frames)
        middle = (window[0] + window[2]) / 2, (window[1] + window[3]) / 2
        still = Placement(size[0] / 2, size[1] / 2, *middle, 1.0)

        def draw_frame(frame: Planes, index: int) -> None:
            decoded = next(frames)
            if self.transparent:  # A fourth plane says how opaque each pixel is.
                view = _window_view(frame, window)
                draw_over(_focus_part(decoded, view[0].shape, job.motion.focus), view)
                return
            planes = make_planes(decoded)
            self._draw_under(frame, planes)
            if self.radius:
                PictureLayer(planes, lambda index: still, window, self.radius).draw(frame, 0)
            else:
                _copy_window(planes, _window_view(frame, window), job.motion.focus)

        return draw_frame

    def _draw_under(self, frame: Planes, planes: Planes) -> None:
        """What else of the frame is made from this frame of the clip."""


class ClipOverItself(ClipLayer):
    """A clip before its own blurred copy, which fills the frame."""

    def __init__(
        self,
        job: SegmentJob,
        path: Path,
        size: tuple[int, int],
        window: Box,
        radius: int,
        shadows: Sequence[Layer],
    ):
        super().__init__(job, path, size, window, radius)
        background = job.background
        self.blur = backgrounds.LiveBlurBackground(job.width, job.height, background.darken)
        self.tables = _colour_tables(
            0.0, (background.colors or ["#000000"])[0], background.wash or 0.0
        )
        self.shadows = shadows

    def _draw_under(self, frame: Planes, planes: Planes) -> None:
        self.blur.draw(frame, planes)
        if self.tables is not None:
            for plane, table in zip(frame, self.tables, strict=True):
                cv2.LUT(plane, table, dst=plane)
        for shadow in self.shadows:
            shadow.draw(frame, 0)


BLURRED_FRACTION = 4
"""A ground that is out of focus is decoded at this fraction of its size."""


class ClipBackground(MovingLayer):
    """A clip that plays behind everything, blurred, darkened, washed and moved as the plan says."""

    def __init__(self, job: SegmentJob, path: Path, size: tuple[int, int]):
        background, travel = job.background, job.background.parallax or 0.0
        self.job, self.scale = job, BLURRED_FRACTION if background.blur else 1
        part = tuple(
            max(8, grown_side(side, travel) // self.scale // 2 * 2 + 2)
            if self.scale > 1
            else grown_side(side, travel)
            if travel
            else side
            for side in (job.width, job.height)
        )
        self.size = cover_size(*size, *part)
        self.frames = ClipFrames(
            path, self.size, job.rate, start=-job.head, count=job.count, ground=first_colour(job)
        )
        self.place = make_drift(job, *self.size, float(self.scale))
        self.tables = _colour_tables(
            background.darken, (background.colors or ["#000000"])[0], background.wash or 0.0
        )
        self.sigma = background.blur * job.width / 14 / self.scale

    def begin(self) -> Drawing:
        job, frames = self.job, map(make_planes, self.frames)
        copied = self.scale == 1 and not job.background.parallax

        def draw_background(frame: Planes, index: int) -> None:
            y, u, v = next(frames)
            planes = (y, u, v)
            if self.sigma:
                planes = make_planes(
                    cv2.GaussianBlur(p, (0, 0), max(0.3, self.sigma / (2 if n else 1)))
                    for n, p in enumerate(planes)
                )
                planes = (y, u, v)
            if self.tables is not None:
                planes = make_planes(
                    cv2.LUT(p, t) for p, t in zip(planes, self.tables, strict=True)
                )
            if copied:
                _copy_window(planes, frame, (0.5, 0.5))
            elif self.scale == 1:
                backgrounds.DriftingBackground(planes, self.place).draw(frame, index)
            else:
                PictureLayer(planes, self.place, whole_frame(job)).draw(frame, index)

        return draw_background


def first_colour(job: SegmentJob) -> str:
    """The ground's: what is behind a clip that leaves part of its place free."""
    return (job.background.colors or ["#000000"])[0]


def _colour_tables(darken: float, colour: str, wash: float) -> list[np.ndarray] | None:
    """What `grounds.pictured` does to colours, as a table for each plane."""
    if not darken and not wash:
        return None
    flat = rgb_to_planes(backgrounds.draw_flat(2, 2, colour))
    values = np.arange(256, dtype=np.float32)
    tables = []
    for n, plane in enumerate(flat):
        zero = 128 if n else 16
        mixed = (zero + (values - zero) * (1 - darken)) * (1 - wash) + float(plane[0, 0]) * wash
        tables.append(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
    return tables


def _copy_window(source: Planes, frame: Planes, focus: tuple[float, float]) -> None:
    """The part of a larger (or equal) picture around its focus."""
    for plane, part in zip(frame, _focus_part(source, frame[0].shape, focus), strict=True):
        np.copyto(plane, part)


def _focus_part(
    source: tuple[np.ndarray, ...], shape: tuple[int, ...], focus: tuple[float, float]
) -> tuple[np.ndarray, ...]:
    """Views of the part of a larger (or equal) picture around its focus, on even places."""
    height, width = shape
    h, w = source[0].shape
    left = min(w - width, max(0, round(focus[0] * w - width / 2))) // 2 * 2
    top = min(h - height, max(0, round(focus[1] * h - height / 2))) // 2 * 2
    parts = []
    for plane in source:
        half = source[0].shape[0] // plane.shape[0]
        y, x = top // half, left // half
        parts.append(plane[y : y + height // half, x : x + width // half])
    return tuple(parts)


def _window_view(frame: Planes, window: Box) -> Planes:
    """The part of a frame inside an even window, as planes that write through."""
    y, u, v = frame
    x0, y0, x1, y1 = window
    half = (slice(y0 // 2, y1 // 2), slice(x0 // 2, x1 // 2))
    return y[y0:y1, x0:x1], u[half], v[half]
