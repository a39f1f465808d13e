"""The compositor: footage made on the CPU from the segment's own pictures and clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pytoon_pipeline.engines.base import Engine, Footage, Health, Media, Progress
from pytoon_pipeline.errors import EngineFailed, MediaError
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture import grounds
from pytoon_pipeline.picture.layers import (
    CutOut,
    Fill,
    Layer,
    Picture,
    Placement,
    cut_out_planes,
    new_frame,
)
from pytoon_pipeline.picture.motion import largest_zoom, pose
from pytoon_pipeline.picture.yuv import Planes, rgb_to_planes
from pytoon_pipeline.spec.job import SegmentJob
from pytoon_pipeline.spec.model import Asset, Box

# One thread for each warp: segments run side by side, and x264 needs the cores too.
cv2.setNumThreads(1)

MOST_UPSCALE = 4.0
"""A picture is enlarged at most this much to fill its place; smaller ones stand smaller."""


class Compositor(Engine):
    name = "compositor"

    def health(self) -> Health:
        return Health(True, f"OpenCV {cv2.__version__} on this machine's CPU")

    def can_render(self, job: SegmentJob) -> bool:
        return job.type in ("image", "video", "text")

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        return {"name": self.name, "opencv": cv2.__version__, "pillow": Image.__version__}

    def render(self, job: SegmentJob, media: Media, workdir: Path, progress: Progress) -> Footage:
        try:
            frames, at = _footage(job, media)
        except MediaError as error:
            raise EngineFailed(str(error)) from error

        def counted() -> Iterator[Planes]:
            for planes in frames():
                yield planes
                progress(1)

        return Footage(job.width, job.height, job.rate, job.count, counted, at)


_Frames = Callable[[], Iterator[Planes]]
_At = Callable[[int], Planes]


def _footage(job: SegmentJob, media: Media) -> tuple[_Frames, _At | None]:
    if job.type == "text" or not job.media:
        return _drawn(job, [Fill(rgb_to_planes(_ground(job, None)))])
    asset = job.media[0]
    if asset.kind == "video":
        return _clip(job, asset, media[asset.id]), None
    picture = load_image(media[asset.id], min_side=2 * max(job.width, job.height))
    if picture.shape[2] == 4 and job.layout.fit != "cutout":
        picture = _on_ground(picture, job)
    if job.layout.fit == "cutout":
        layers = _cut_out(job, picture)
    elif job.layout.fit == "frame":
        layers = _framed(job, picture)
    elif job.layout.fit == "contain":
        layers = _contained(job, picture)
    else:
        layers = _covering(job, picture)
    return _drawn(job, layers)


def _drawn(job: SegmentJob, layers: list[Layer]) -> tuple[_Frames, _At]:
    def draw(frame: Planes, index: int) -> Planes:
        for layer in layers:
            layer.draw(frame, index)
        return frame

    def frames() -> Iterator[Planes]:
        frame = new_frame(job.width, job.height)
        for index in range(job.count):
            yield draw(frame, index)

    return frames, lambda index: draw(new_frame(job.width, job.height), index)


# --- stills


def _pose(job: SegmentJob, index: int):
    motion = job.motion
    return pose(motion.kind, motion.amount, motion.focus, index, job.count, job.rate)


def _zoom(job: SegmentJob) -> float:
    return largest_zoom(job.motion.kind, job.motion.amount)


def _sized(picture: np.ndarray, width: float, height: float) -> np.ndarray:
    """The picture scaled once, with a high-quality filter, to even pixels of about this size."""
    w, h = max(2, round(width / 2) * 2), max(2, round(height / 2) * 2)
    if (picture.shape[1], picture.shape[0]) == (w, h):
        return np.ascontiguousarray(picture)
    mode = "RGBA" if picture.shape[2] == 4 else "RGB"
    image = Image.fromarray(np.ascontiguousarray(picture), mode)
    if mode == "RGBA":
        # Premultiplied, so that what is hidden under transparency does not seep into the edges.
        image = image.convert("RGBa")
        return np.asarray(image.resize((w, h), Image.Resampling.LANCZOS).convert("RGBA"))
    return np.asarray(image.resize((w, h), Image.Resampling.LANCZOS))


def _ground(job: SegmentJob, picture: np.ndarray | None) -> np.ndarray:
    """RGB of what lies behind everything."""
    background, size = job.background, (job.width, job.height)
    colours = background.colors or ["#000000"]
    if background.kind == "blur" and picture is not None:
        return grounds.blurred(picture, *size, background.darken)
    if background.kind == "gradient" and len(colours) > 1:
        return grounds.gradient(*size, colours)
    return grounds.flat(*size, colours[0])


def _on_ground(picture: np.ndarray, job: SegmentJob) -> np.ndarray:
    """A picture with transparency where an opaque one is wanted: on the ground's first colour."""
    colour = np.array(grounds.rgb_of((job.background.colors or ["#FFFFFF"])[0]), np.float32)
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = picture[..., :3] * alpha + colour * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def _covering(job: SegmentJob, picture: np.ndarray) -> list[Layer]:
    """Fills the frame; what moves is the part that is seen."""
    window = (0, 0, job.width, job.height)
    return [_moving_inside(job, picture, window, 0)]


def _moving_inside(job: SegmentJob, picture: np.ndarray, window: Box, radius: int) -> Picture:
    """A picture that covers a window and moves inside it, never showing its edge."""
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    h, w = picture.shape[:2]
    most = _zoom(job)
    fill = max(width / w, height / h) * most
    sized = _sized(picture, w * fill, h * fill)
    planes = rgb_to_planes(sized)
    ph, pw = sized.shape[:2]
    fitted = max(width / pw, height / ph)
    kind, subject = job.motion.kind, job.layout.subject
    across, down = (subject[::2], subject[1::2]) if subject else (None, None)

    def place(index: int) -> Placement:
        p = _pose(job, index)
        scale = fitted * p.zoom
        seen_w, seen_h = width / scale, height / scale
        sx = _look(p.x, pw, seen_w, kind in ("pan_left", "pan_right"), most, across)
        sy = _look(p.y, ph, seen_h, kind in ("pan_up", "pan_down"), most, down)
        return Placement(sx, sy, x0 + width / 2, y0 + height / 2, scale)

    return Picture(planes, place, window, radius)


def _look(
    at: float, size: float, seen: float, pans: bool, most: float,
    subject: tuple[float, float] | None,
) -> float:
    """The point of the picture in the middle of the window, along one axis: `at` is a focus, kept
    as near as the picture's edges let it be, or a pan's travel through its play. A declared subject
    (from, to, as fractions) stays in the window whole, or in its middle if it is larger."""
    low, high = seen / 2, size - seen / 2
    if high <= low:
        return size / 2
    if pans:
        # At most twice the play of the zoom: a wide picture is not raced through from end to end.
        play = min((high - low) / 2, seen * (most - 1))
        look = (low + high) / 2 + (2 * at - 1) * play
    else:
        look = at * size
    if subject:
        first, last = subject[1] * size - seen / 2, subject[0] * size + seen / 2
        look = min(last, max(first, look)) if first <= last else (first + last) / 2
    return min(high, max(low, look))


def _fit_box(box: Box, w: float, h: float, anchor_top: bool = False) -> Box:
    """The largest even window of the picture's own shape inside a box."""
    x0, y0, x1, y1 = box
    scale = min((x1 - x0) / w, (y1 - y0) / h)
    width, height = int(w * scale / 2) * 2, int(h * scale / 2) * 2
    left = (x0 + (x1 - x0 - width) // 2) // 2 * 2
    top = y0 if anchor_top else y0 + (y1 - y0 - height) // 2
    return left, top // 2 * 2, left + width, top // 2 * 2 + height


def _framed(job: SegmentJob, picture: np.ndarray) -> list[Layer]:
    """A card with the picture's own shape before the ground; the picture moves inside it."""
    h, w = picture.shape[:2]
    window = _fit_box(job.layout.box or (0, 0, job.width, job.height), w, h)
    ground = _ground(job, picture)
    x0, y0, x1, y1 = window
    radius = min(job.layout.radius, (x1 - x0) // 4, (y1 - y0) // 4)
    if job.layout.shadow:
        shape = grounds.rounded(x1 - x0, y1 - y0, radius)
        ground = grounds.with_shadow(ground, shape, x0, y0, job.layout.shadow, min(shape.shape))
    return [Fill(rgb_to_planes(ground)), _moving_inside(job, picture, window, radius)]


def _contained(job: SegmentJob, picture: np.ndarray) -> list[Layer]:
    """The picture whole, or nearly so, before the ground, moving inside its place."""
    ground = Fill(rgb_to_planes(_ground(job, picture)))
    window = _contained_window(job, picture.shape[1], picture.shape[0])
    return [ground, _moving_inside(job, picture, window, job.layout.radius)]


def _contained_window(job: SegmentJob, w: int, h: int) -> Box:
    """Where a picture of w x h stands: as large as its box lets it, less what may be cropped."""
    box = job.layout.box or (0, 0, job.width, job.height)
    shape, place = w / h, (box[2] - box[0]) / (box[3] - box[1])
    kept = 1 - job.layout.crop
    shape = max(place, shape * kept) if shape > place else min(place, shape / kept)
    return _fit_box(box, shape, 1.0, anchor_top=job.layout.anchor == "top")


def _cut_out(job: SegmentJob, picture: np.ndarray) -> list[Layer]:
    """A product without its background, with its shadow, before the ground."""
    if picture.shape[2] == 3:
        return _framed(job, picture)
    picture = _trimmed(picture)
    h, w = picture.shape[:2]
    most = _zoom(job)
    window = _fit_box(job.layout.box or (0, 0, job.width, job.height), w, h)
    x0, y0, x1, y1 = window
    scale = min((x1 - x0) / w, MOST_UPSCALE)
    sized = _sized(picture, w * scale * most, h * scale * most)
    planes, alpha = cut_out_planes(sized)
    ph, pw = sized.shape[:2]
    ground = _ground(job, None)
    if job.layout.shadow:
        shape = _sized(picture, w * scale, h * scale)[..., 3].astype(np.float32) / 255
        left = (x0 + x1 - shape.shape[1]) // 2
        top = (y0 + y1 - shape.shape[0]) // 2
        ground = grounds.with_shadow(
            ground, shape, left, top, job.layout.shadow, min(shape.shape)
        )

    def place(index: int) -> Placement:
        p = _pose(job, index)
        middle = (y0 + y1) / 2 + p.dy * (y1 - y0)
        return Placement(pw / 2, ph / 2, (x0 + x1) / 2, middle, w * scale / pw * p.zoom)

    return [Fill(rgb_to_planes(ground)), CutOut(planes, alpha, place)]


def _trimmed(picture: np.ndarray) -> np.ndarray:
    """Without the empty margins that cut-outs are often delivered with."""
    ys, xs = np.nonzero(picture[..., 3] > 8)
    if not len(ys):
        raise MediaError("The picture is wholly transparent.")
    top, bottom, left, right = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    return np.ascontiguousarray(picture[top:bottom, left:right])


# --- clips


def _clip(job: SegmentJob, asset: Asset, path: Path) -> _Frames:
    """A clip, scaled once by the decoder to where it stands; its own ground is blurred live."""
    w, h = asset.width or 2, asset.height or 2
    box = job.layout.box or (0, 0, job.width, job.height)
    x0, y0, x1, y1 = box
    cover = job.layout.fit == "cover"
    if cover:
        size = _cover_size(w, h, job.width, job.height)
        window = (0, 0, job.width, job.height)
    else:
        contained = job.layout.fit == "contain"
        window = _contained_window(job, w, h) if contained else _fit_box(box, w, h)
        size = _cover_size(w, h, window[2] - window[0], window[3] - window[1])
    clip = ClipFrames(path, size, job.rate, start=job.clip_start - job.head, count=job.count)
    blur = None
    ground: Planes | None = None
    if not cover:
        if job.background.kind == "blur":
            blur = grounds.LiveBlur(job.width, job.height, job.background.darken)
        else:
            ground = _clip_ground(job, window)
    radius = job.layout.radius if job.layout.fit == "frame" else 0

    def frames() -> Iterator[Planes]:
        frame = new_frame(job.width, job.height)
        middle = (window[0] + window[2]) / 2, (window[1] + window[3]) / 2
        still = Placement(size[0] / 2, size[1] / 2, *middle, 1.0)
        for planes in clip:
            if cover:
                _copy_window(planes, frame, job.motion.focus)
            else:
                if blur is not None:
                    blur.draw(frame, planes)
                elif ground is not None:
                    Fill(ground).draw(frame, 0)
                if radius:
                    Picture(planes, lambda index: still, window, radius).draw(frame, 0)
                else:
                    _copy_window(planes, _view(frame, window), job.motion.focus)
            yield frame

    return frames


def _clip_ground(job: SegmentJob, window: Box) -> Planes:
    ground = _ground(job, None)
    if job.layout.fit == "frame" and job.layout.shadow:
        shape = grounds.rounded(window[2] - window[0], window[3] - window[1], job.layout.radius)
        ground = grounds.with_shadow(
            ground, shape, window[0], window[1], job.layout.shadow, min(shape.shape)
        )
    return rgb_to_planes(ground)


def _copy_window(source: Planes, frame: Planes, focus: tuple[float, float]) -> None:
    """The part of a larger (or equal) picture around its focus, on even places."""
    height, width = frame[0].shape
    h, w = source[0].shape
    left = min(w - width, max(0, round(focus[0] * w - width / 2))) // 2 * 2
    top = min(h - height, max(0, round(focus[1] * h - height / 2))) // 2 * 2
    for n, plane in enumerate(frame):
        half = 2 if n else 1
        y, x = top // half, left // half
        np.copyto(plane, source[n][y : y + plane.shape[0], x : x + plane.shape[1]])


def _cover_size(w: int, h: int, width: int, height: int) -> tuple[int, int]:
    """Even size at which a picture of w x h just covers width x height."""
    scale = max(width / w, height / h)
    return max(width, round(w * scale / 2) * 2), max(height, round(h * scale / 2) * 2)


def _view(frame: Planes, window: Box) -> Planes:
    """The part of a frame inside an even window, as planes that write through."""
    y, u, v = frame
    x0, y0, x1, y1 = window
    half = (slice(y0 // 2, y1 // 2), slice(x0 // 2, x1 // 2))
    return y[y0:y1, x0:x1], u[half], v[half]
