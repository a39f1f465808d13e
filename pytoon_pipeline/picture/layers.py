"""What a frame is made of: layers drawn into its planes one over the other, in place.

A layer moves by one affine warp per plane (linear, sub-pixel); what does not move is prepared
once. Coordinates are continuous pixels of the frame: pixel i covers i to i + 1. Chroma samples lie
on even columns and between two rows (see `yuv`), so a place x, y of the frame is x/2 + 1/4, y/2 in
a chroma plane's own continuous coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from pytoon_pipeline.picture.yuv import Planes, make_planes, rgb_to_planes

_WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


class Layer(Protocol):
    """Anything that is drawn into the planes of a frame."""

    def draw(self, frame: Planes, index: int) -> None:
        """Draw this layer as it is at frame `index` into the planes of `frame`."""


def new_frame(width: int, height: int) -> Planes:
    """Return an empty frame of this size; its content is undefined."""
    return (
        np.empty((height, width), np.uint8),
        np.empty((height // 2, width // 2), np.uint8),
        np.empty((height // 2, width // 2), np.uint8),
    )


@dataclass(frozen=True)
class FillLayer:
    """A whole frame that does not move."""

    planes: Planes

    def draw(self, frame: Planes, index: int) -> None:
        """Copy the frame into `frame`."""
        for plane, still in zip(frame, self.planes, strict=True):
            np.copyto(plane, still)


@dataclass(frozen=True)
class Placement:
    """Where a picture stands at one frame: its pixel (sx, sy) at (x, y) of the frame, `scale`
    pixels of the frame for one of the picture. All continuous coordinates."""

    sx: float
    sy: float
    x: float
    y: float
    scale: float

    def rect(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the edges x0, y0, x1, y1 on the frame of a picture of this size."""
        x0, y0 = self.x - self.sx * self.scale, self.y - self.sy * self.scale
        return x0, y0, x0 + width * self.scale, y0 + height * self.scale

    def matrix(self, left: int, top: int, chroma: bool) -> np.ndarray:
        """Return the inverse affine for `cv2.warpAffine` (destination index -> source index) of a
        region that begins at index (left, top) of its plane."""
        k = 1.0 / self.scale
        if not chroma:
            dx, dy = left + 0.5, top + 0.5
            return np.array(
                [
                    [k, 0, (dx - self.x) * k + self.sx - 0.5],
                    [0, k, (dy - self.y) * k + self.sy - 0.5],
                ]
            )
        # Chroma index (i, j) lies at (2i + 0.5, 2j + 1) of the frame and of the picture alike.
        return np.array(
            [
                [k, 0, ((2 * left + 0.5 - self.x) * k + self.sx - 0.5) / 2],
                [0, k, ((2 * top + 1.0 - self.y) * k + self.sy - 1.0) / 2],
            ]
        )


Placing = Callable[[int], Placement]
"""A function that returns where a picture stands at a frame."""


def _clip_span(low: float, high: float, size: int) -> tuple[int, int]:
    return max(0, math.floor(low + 1e-6)), min(size, math.ceil(high - 1e-6))


def _warp_plane(source: np.ndarray, target: np.ndarray, matrix: np.ndarray) -> None:
    height, width = target.shape
    out = cv2.warpAffine(
        source, matrix, (width, height), dst=target, flags=_WARP, borderMode=cv2.BORDER_REPLICATE
    )
    if out is not target and not np.shares_memory(out, target):
        np.copyto(target, out)


@dataclass(frozen=True)
class PictureLayer:
    """An opaque picture that moves, seen through a window that does not.

    The window (x0, y0, x1, y1 in even pixels) clips it; with a radius its corners are round. The
    picture always covers the window, so that none of its own edges ever shows.
    """

    planes: Planes
    place: Placing
    window: tuple[int, int, int, int]
    radius: int = 0

    def draw(self, frame: Planes, index: int) -> None:
        """Draw the picture as it is at frame `index`."""
        placement = self.place(index)
        corners = self._keep_corners(frame)
        for n, (plane, source) in enumerate(zip(frame, self.planes, strict=True)):
            half = 2 if n else 1
            left, top, right, bottom = (v // half for v in self.window)
            _warp_plane(source, plane[top:bottom, left:right], placement.matrix(left, top, bool(n)))
        self._round_corners(frame, corners)

    def _keep_corners(self, frame: Planes) -> list[np.ndarray]:
        if not self.radius:
            return []
        return [view.copy() for n in range(3) for view in self._corners(frame[n], n)]

    def _corners(self, plane: np.ndarray, n: int) -> list[np.ndarray]:
        half = 2 if n else 1
        x0, y0, x1, y1 = (v // half for v in self.window)
        r = -(-self.radius // half)
        return [
            plane[y0 : y0 + r, x0 : x0 + r],
            plane[y0 : y0 + r, x1 - r : x1],
            plane[y1 - r : y1, x0 : x0 + r],
            plane[y1 - r : y1, x1 - r : x1],
        ]

    def _round_corners(self, frame: Planes, kept: list[np.ndarray]) -> None:
        if not self.radius:
            return
        under = iter(kept)
        for n in range(3):
            half = 2 if n else 1
            mask = corner_mask(self.radius / half)
            views = self._corners(frame[n], n)
            for view, turned in zip(
                views, (mask, mask[:, ::-1], mask[::-1], mask[::-1, ::-1]), strict=True
            ):
                below = next(under)
                mixed = below + (view.astype(np.float32) - below) * turned
                view[...] = np.rint(mixed).astype(np.uint8)


def corner_mask(radius: float) -> np.ndarray:
    """Return the coverage, float32 (ceil(r), ceil(r)), of the top-left corner of a rounded
    rectangle."""
    n = math.ceil(radius)
    grid = np.arange(n * 4, dtype=np.float32) / 4 + 0.125
    inside = (grid[:, None] - radius) ** 2 + (grid[None, :] - radius) ** 2 <= radius**2
    past = (grid[:, None] > radius) | (grid[None, :] > radius)
    fine = (inside | past).astype(np.float32)
    return fine.reshape(n, 4, n, 4).mean(axis=(1, 3))


@dataclass(frozen=True)
class CutoutLayer:
    """A picture with transparency that moves over what lies under it.

    `planes` carry colour out beyond the edge of the shape (no fringe of whatever lay under it);
    `alpha` are float32 0..1, one at the size of Y and one at the size of U and V.
    """

    planes: Planes
    alpha: tuple[np.ndarray, np.ndarray]
    place: Placing

    def draw(self, frame: Planes, index: int) -> None:
        """Draw the picture as it is at frame `index` over what is there."""
        placement = self.place(index)
        height, width = self.planes[0].shape
        rect = placement.rect(width, height)
        weights: dict[bool, tuple[np.ndarray, np.ndarray]] = {}
        for n, (plane, source) in enumerate(zip(frame, self.planes, strict=True)):
            half, chroma = (2, True) if n else (1, False)
            left, right = _clip_span(
                rect[0] / half, rect[2] / half + (0.25 if n else 0), plane.shape[1]
            )
            top, bottom = _clip_span(rect[1] / half, rect[3] / half, plane.shape[0])
            if left >= right or top >= bottom:
                continue
            size = (right - left, bottom - top)
            matrix = placement.matrix(left, top, chroma)
            if chroma not in weights:
                cover = cv2.warpAffine(
                    self.alpha[int(chroma)],
                    matrix,
                    size,
                    flags=_WARP,
                    borderMode=cv2.BORDER_CONSTANT,
                    borderValue=0,
                )
                weights[chroma] = cover, 1 - cover
            over = cv2.warpAffine(
                source, matrix, size, flags=_WARP, borderMode=cv2.BORDER_REPLICATE
            )
            region = plane[top:bottom, left:right]
            np.copyto(region, cv2.blendLinear(over, region, *weights[chroma]))


def cut_out_planes(rgba: np.ndarray) -> tuple[Planes, tuple[np.ndarray, np.ndarray]]:
    """Return the planes and alphas of a picture with straight alpha, uint8 (h, w, 4) with even h
    and w."""
    rgb, alpha = rgba[..., :3].astype(np.float32), rgba[..., 3].astype(np.float32) / 255
    colour, known = rgb * alpha[..., None], alpha.copy()
    filled = rgb.copy()
    missing = alpha < 0.999
    for sigma in (1.5, 4.0):
        spread = cv2.GaussianBlur(colour, (0, 0), sigma)
        weight = cv2.GaussianBlur(known, (0, 0), sigma)
        reach = missing & (weight > 1e-3)
        average = spread / np.maximum(weight, 1e-6)[..., None]
        part = alpha[..., None]
        filled[reach] = (rgb * part + average * (1 - part))[reach]
        missing &= ~reach
    planes = rgb_to_planes(np.clip(np.rint(filled), 0, 255).astype(np.uint8))
    small = cv2.resize(
        alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), interpolation=cv2.INTER_AREA
    )
    return planes, (alpha, small)


class TextTile:
    """A drawn picture with transparency (a caption, a logo, a shade) at a place of the frame,
    blended with a strength, shifted and scaled about its centre when it enters."""

    def __init__(self, planes: Planes, alpha: tuple[np.ndarray, np.ndarray], x: int, y: int):
        """As `CutoutLayer`; its top-left pixel stands at x, y of the frame, both even, so that its
        chroma samples lie where the frame's do."""
        self.planes, self.alpha, self.x, self.y = planes, alpha, x, y
        self._inverse = tuple(1 - a for a in alpha)

    @classmethod
    def from_rgba(cls, rgba: np.ndarray, x: int, y: int, opacity: float = 1.0) -> TextTile:
        """Return a tile of a uint8 picture (h, w, 4) with straight alpha, of any size and place."""
        left, top = x & 1, y & 1
        h, w = rgba.shape[:2]
        rgba = np.pad(rgba, ((top, (top + h) & 1), (left, (left + w) & 1), (0, 0)))
        planes, alpha = cut_out_planes(np.ascontiguousarray(rgba))
        strength = np.float32(opacity)
        return cls(planes, (alpha[0] * strength, alpha[1] * strength), x - left, y - top)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.alpha[0].shape[1], self.alpha[0].shape[0]

    def draw(
        self,
        frame: Planes,
        strength: float = 1.0,
        dx: float = 0.0,
        dy: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        """Blend the tile over what is there, at `strength` of 0 to 1, shifted and scaled."""
        if strength <= 0:
            return
        if dx or dy or scale != 1.0:
            self._draw_moved(frame, strength, dx, dy, scale)
            return
        for n, plane in enumerate(frame):
            half = 2 if n else 1
            alpha, inverse = self.alpha[n > 0], self._inverse[n > 0]
            x, y = self.x // half, self.y // half
            h, w = alpha.shape
            x0, y0 = max(0, x), max(0, y)
            x1, y1 = min(plane.shape[1], x + w), min(plane.shape[0], y + h)
            if x0 >= x1 or y0 >= y1:
                continue
            part = (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
            over, a, b = self.planes[n][part], alpha[part], inverse[part]
            if strength < 1:
                a = a * np.float32(strength)
                b = 1 - a
            region = plane[y0:y1, x0:x1]
            np.copyto(region, cv2.blendLinear(over, region, a, b))

    def _draw_moved(
        self, frame: Planes, strength: float, dx: float, dy: float, scale: float
    ) -> None:
        w, h = self.size
        moved = Placement(w / 2, h / 2, self.x + w / 2 + dx, self.y + h / 2 + dy, scale)
        alpha = self.alpha
        if strength < 1:
            alpha = alpha[0] * np.float32(strength), alpha[1] * np.float32(strength)
        CutoutLayer(self.planes, alpha, lambda index: moved).draw(frame, 0)


def make_scrim(
    width: int, height: int, y0: int, y1: int, strength: float, reach: int
) -> TextTile | None:
    """Return a soft darkening of whole rows behind text: black, at most `strength`, full over the
    rows y0 to y1 and gone `reach` pixels beyond them. None where there would be nothing to see."""
    rows = np.arange(height, dtype=np.float32)
    beyond = np.maximum(np.maximum(y0 - rows, rows - y1), 0) / max(1, reach)
    fall = np.clip(1 - beyond, 0, 1)
    # Smoothstep: no visible border where the shade begins or is full.
    darkness = np.float32(strength) * fall * fall * (3 - 2 * fall)
    touched = np.flatnonzero(darkness > 1e-3)
    if not len(touched):
        return None
    top, bottom = int(touched[0]) & ~1, min(height, (int(touched[-1]) + 2) & ~1)
    part = darkness[top:bottom]
    alpha = np.repeat(part[:, None], width, axis=1)
    small = np.repeat(part.reshape(-1, 2).mean(axis=1)[:, None], width // 2, axis=1)
    planes = make_planes(
        np.full(a.shape, value, np.uint8) for a, value in ((alpha, 16), (small, 128), (small, 128))
    )
    return TextTile(planes, (alpha, small), 0, top)
