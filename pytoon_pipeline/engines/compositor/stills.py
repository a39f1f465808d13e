"""Pictures before a ground: filling a window, as cards, as cut-outs that float or stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from pytoon_pipeline.engines.compositor.windows import fit_box, whole_frame
from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.picture import backgrounds
from pytoon_pipeline.picture.layers import (
    CutoutLayer,
    PictureLayer,
    Placement,
    Placing,
    TextTile,
    cut_out_planes,
)
from pytoon_pipeline.picture.motion import CameraPose, compute_pose, largest_zoom
from pytoon_pipeline.picture.yuv import Planes, rgb_to_planes
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment import Place
from pytoon_pipeline.plan.segment_jobs import SegmentJob

MAX_UPSCALE = 4.0
"""A cut-out is enlarged at most this much to fill its place; smaller ones stand smaller."""


@dataclass(frozen=True)
class DropShadow:
    """What casts a shadow: its coverage, float32 0..1, with its top-left pixel at x, y."""

    shape: np.ndarray
    x: int
    y: int


@dataclass(frozen=True)
class PictureCard:
    """The corners of a framed picture, and its shadow."""

    radius: int
    shadow: DropShadow


def make_card(job: SegmentJob, window: Box) -> PictureCard:
    x0, y0, x1, y1 = window
    radius = min(job.layout.radius, (x1 - x0) // 4, (y1 - y0) // 4)
    return PictureCard(
        radius, DropShadow(backgrounds.draw_rounded_mask(x1 - x0, y1 - y0, radius), x0, y0)
    )


@dataclass(frozen=True)
class LaidCard:
    """A tile that stays where it is."""

    tile: TextTile

    def draw(self, frame: Planes, index: int) -> None:
        self.tile.draw(frame)


def shadow_layer(job: SegmentJob, shadow: DropShadow) -> LaidCard:
    """A shadow by itself, for what moves or shows something else under it."""
    alpha = backgrounds.shadow_alpha(
        shadow.shape,
        shadow.x,
        shadow.y,
        job.width,
        job.height,
        job.layout.shadow,
        min(shadow.shape.shape),
    )
    rows, columns = np.nonzero(alpha.max(axis=1) > 2e-3)[0], np.nonzero(alpha.max(axis=0) > 2e-3)[0]
    if not len(rows) or not len(columns):
        return LaidCard(_black_tile(np.zeros((2, 2), np.float32), 0, 0))
    y0, x0 = int(rows[0]) & ~1, int(columns[0]) & ~1
    y1, x1 = int(rows[-1]) // 2 * 2 + 2, int(columns[-1]) // 2 * 2 + 2
    return LaidCard(_black_tile(alpha[y0:y1, x0:x1], x0, y0))


def _black_tile(alpha: np.ndarray, x: int, y: int) -> TextTile:
    return TextTile(*_black_planes(alpha), x, y)


def _black_planes(alpha: np.ndarray) -> tuple[Planes, tuple[np.ndarray, np.ndarray]]:
    alpha = np.ascontiguousarray(alpha)
    small = cv2.resize(
        alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), interpolation=cv2.INTER_AREA
    )
    planes = (
        np.full(alpha.shape, 16, np.uint8),
        np.full(small.shape, 128, np.uint8),
        np.full(small.shape, 128, np.uint8),
    )
    return planes, (alpha, small)


def camera_pose(job: SegmentJob, index: int) -> CameraPose:
    motion = job.motion
    return compute_pose(motion.kind, motion.amount, motion.focus, index, job.count, job.rate)


def _zoom_amount(job: SegmentJob) -> float:
    return largest_zoom(job.motion.kind, job.motion.amount)


def _scale_picture(picture: np.ndarray, width: float, height: float) -> np.ndarray:
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


def on_ground(picture: np.ndarray, job: SegmentJob) -> np.ndarray:
    """A picture with transparency where an opaque one is wanted: on the ground's first colour."""
    colour = np.array(backgrounds.rgb_of((job.background.colors or ["#FFFFFF"])[0]), np.float32)
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = picture[..., :3] * alpha + colour * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def moving_inside(job: SegmentJob, picture: np.ndarray, window: Box, radius: int) -> PictureLayer:
    """A picture that covers a window and moves inside it, never showing its edge."""
    x0, y0, x1, y1 = window
    width, height = x1 - x0, y1 - y0
    h, w = picture.shape[:2]
    most = _zoom_amount(job)
    fill = max(width / w, height / h) * most
    sized = _scale_picture(picture, w * fill, h * fill)
    planes = rgb_to_planes(sized)
    ph, pw = sized.shape[:2]
    fitted = max(width / pw, height / ph)
    kind, subject = job.motion.kind, job.layout.subject
    across, down = (subject[::2], subject[1::2]) if subject else (None, None)

    def place_at(index: int) -> Placement:
        p = camera_pose(job, index)
        scale = fitted * p.zoom
        seen_w, seen_h = width / scale, height / scale
        sx = _window_centre(p.x, pw, seen_w, kind in ("pan_left", "pan_right"), most, across)
        sy = _window_centre(p.y, ph, seen_h, kind in ("pan_up", "pan_down"), most, down)
        return Placement(sx, sy, x0 + width / 2, y0 + height / 2, scale)

    return PictureLayer(planes, place_at, window, radius)


def _window_centre(
    at: float,
    size: float,
    seen: float,
    pans: bool,
    most: float,
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


def make_floating_cutout(job: SegmentJob, picture: np.ndarray) -> tuple[CutoutLayer, DropShadow]:
    """A product without its background, hovering before the ground, and what casts its shadow."""
    picture = _trim_margins(picture)
    h, w = picture.shape[:2]
    x0, y0, x1, y1 = fit_box(job.layout.box or whole_frame(job), w, h)
    scale = min((x1 - x0) / w, MAX_UPSCALE)
    most = _zoom_amount(job)
    sized = _scale_picture(picture, w * scale * most, h * scale * most)
    planes, alpha = cut_out_planes(sized)
    ph, pw = sized.shape[:2]
    shape = _scale_picture(picture, w * scale, h * scale)[..., 3].astype(np.float32) / 255
    shadow = DropShadow(shape, (x0 + x1 - shape.shape[1]) // 2, (y0 + y1 - shape.shape[0]) // 2)

    def place_at(index: int) -> Placement:
        p = camera_pose(job, index)
        middle = (y0 + y1) / 2 + p.dy * (y1 - y0)
        return Placement(pw / 2, ph / 2, (x0 + x1) / 2, middle, w * scale / pw * p.zoom)

    return CutoutLayer(planes, alpha, place_at), shadow


def make_standing_cutouts(
    job: SegmentJob, items: Sequence[tuple[np.ndarray, Place]]
) -> list[CutoutLayer]:
    """Cut-outs that stand on the lower edge of their places, each on its contact shadow. The camera
    comes nearer to all of them alike, about the middle of the ground line, so none loses its
    footing."""
    if not items:
        return []
    boxes = [place.box for _, place in items]
    middle = (min(b[0] for b in boxes) + max(b[2] for b in boxes)) / 2
    line = max(b[3] for b in boxes)
    most = _zoom_amount(job)
    shadows, products = [], []
    for picture, spot in items:
        picture = _trim_margins(picture)
        h, w = picture.shape[:2]
        x0, y0, x1, y1 = spot.box
        # Room for the camera: at its nearest the product still lies within its place.
        scale = min((x1 - x0) / w / most, (y1 - y0) / h / most, MAX_UPSCALE)
        sized = _scale_picture(picture, w * scale * most, h * scale * most)
        ph, pw = sized.shape[:2]
        shrink, foot = w * scale / pw, ((x0 + x1) / 2, float(y1))

        def place_of(
            sx: float, sy: float, foot: tuple[float, float] = foot, shrink: float = shrink
        ) -> Placing:
            def place_at(index: int) -> Placement:
                zoom = camera_pose(job, index).zoom
                x, y = middle + (foot[0] - middle) * zoom, line + (foot[1] - line) * zoom
                return Placement(sx, sy, x, y, shrink * zoom)

            return place_at

        if job.layout.shadow:
            alpha, at = contact_shadow(sized[..., 3], job.layout.shadow)
            shadows.append(CutoutLayer(*_black_planes(alpha), place_of(*at)))
        planes, alphas = cut_out_planes(sized)
        products.append(CutoutLayer(planes, alphas, place_of(pw / 2, ph)))
    return [*shadows, *products]


def contact_shadow(alpha: np.ndarray, strength: float) -> tuple[np.ndarray, tuple[float, float]]:
    """The shadow under a thing that stands, from its coverage, uint8 (h, w): dark and tight where
    it touches the ground, wide and soft around. Coverage float32 of even size, and the point of it
    that lies under the middle of the thing's lower edge."""
    h, w = alpha.shape
    foot = np.flatnonzero(alpha[-max(2, h // 16) :].max(axis=0) > 127)
    left, right = (int(foot[0]), int(foot[-1]) + 1) if len(foot) else (0, w)
    wide, middle = max(4, right - left), (left + right) / 2
    pad = round(wide * 0.35)
    width, height = (wide + 2 * pad) // 2 * 2 + 2, max(4, round(wide * 0.5) // 2 * 2)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x + 0.5 - width / 2) / wide, (y + 0.5 - height / 2) / wide
    out = np.zeros((height, width), np.float32)
    for a, b, blur, part in ((0.52, 0.10, 0.055, 0.55), (0.47, 0.035, 0.014, 0.75)):
        ellipse = ((x / a) ** 2 + (y / b) ** 2 <= 1).astype(np.float32)
        soft = cv2.GaussianBlur(ellipse, (0, 0), max(0.8, wide * blur))
        out = 1 - (1 - out) * (1 - min(1.0, strength * 1.3) * part * soft)
    # A round base seen from a little above: its shadow's middle lies just inside the lower edge.
    return out, (width / 2 + (w / 2 - middle), height / 2 + 0.02 * wide)


def _trim_margins(picture: np.ndarray) -> np.ndarray:
    """Without the empty margins that cut-outs are often delivered with."""
    ys, xs = np.nonzero(picture[..., 3] > 8)
    if not len(ys):
        raise MediaError("The picture is wholly transparent.")
    top, bottom, left, right = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    return np.ascontiguousarray(picture[top:bottom, left:right])
