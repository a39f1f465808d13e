"""Draw what is behind the media: colours, gradients, the picture's own blurred copy, shadows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pytoon_pipeline.picture.layers import Placing, corner_mask
from pytoon_pipeline.picture.yuv import Planes


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return `#RRGGBB` as three numbers 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _dither_pattern(height: int, width: int) -> np.ndarray:
    """A fixed pattern in -0.5..0.5 that keeps slow gradients from banding in 8 bits: interleaved
    gradient noise (Jimenez, "Next Generation Post Processing in Call of Duty", 2014)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return (52.9829189 * ((0.06711056 * x + 0.00583715 * y) % 1.0) % 1.0 - 0.5).astype(np.float32)


def draw_flat(width: int, height: int, colour: str) -> np.ndarray:
    """Return an RGB picture, uint8 (height, width, 3), of one colour."""
    return np.full((height, width, 3), rgb_of(colour), np.uint8)


def draw_gradient(
    width: int, height: int, colours: Sequence[str], light: tuple[float, float] | None = None
) -> np.ndarray:
    """Return an RGB picture, uint8 (height, width, 3), of a soft gradient. Without `light`, light
    from above the middle, in the first colour, falls off into the last colour towards the lower
    corners; with `light`, it falls off around that point, given as fractions of width and height.
    """
    first, last = (np.array(rgb_of(c), np.float32) for c in (colours[0], colours[-1]))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if light is None:
        far = np.hypot((x / width - 0.5) * 0.75, y / height - 0.3) / 0.8
    else:
        far = np.hypot((x / width - light[0]) * 0.68, y / height - light[1]) / 0.5
    t = np.clip(far, 0, 1)
    t = t * t * (3 - 2 * t)
    picture = first + (last - first) * t[..., None] + _dither_pattern(height, width)[..., None]
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def draw_blurred(rgb: np.ndarray, width: int, height: int, darken: float) -> np.ndarray:
    """Return the picture as its own background, uint8 (height, width, 3): it covers the frame,
    blurred beyond recognition, with less colour and darkened by `darken` (0..1)."""
    covering = _scale_to_cover(rgb, max(18, width // 12), max(32, height // 12)).astype(np.float32)
    small = cv2.GaussianBlur(covering, (0, 0), covering.shape[1] / 14)
    grey = small @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    small = grey[..., None] + (small - grey[..., None]) * 0.85
    big = cv2.resize(small * (1 - darken), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(big + _dither_pattern(height, width)[..., None]), 0, 255).astype(
        np.uint8
    )


def draw_picture_background(
    rgb: np.ndarray, width: int, height: int, blur: float, darken: float, colour: str, wash: float
) -> np.ndarray:
    """Return a picture as a background, uint8 (height, width, 3): it covers the frame, out of focus
    by `blur` (1 is beyond recognition), darkened, under a wash of a colour."""
    out: np.ndarray = _scale_to_cover(rgb, width, height).astype(np.float32)
    if blur:
        out = cv2.GaussianBlur(out, (0, 0), max(0.5, blur * width / 14))
    out = np.rint(out * (1 - darken) + (_dither_pattern(height, width)[..., None] if blur else 0))
    return apply_wash(np.clip(out, 0, 255).astype(np.uint8), colour, wash)


def apply_wash(rgb: np.ndarray, colour: str, wash: float) -> np.ndarray:
    """Return a picture under a wash of a colour, from 0 (none) to 1 (nothing but the colour)."""
    if not wash:
        return rgb
    mixed = rgb * np.float32(1 - wash) + np.array(rgb_of(colour), np.float32) * np.float32(wash)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _scale_to_cover(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scaled and cropped in the middle to fill width x height."""
    h, w = rgb.shape[:2]
    scale = max(width / w, height / h)
    sized = cv2.resize(
        rgb[..., :3],
        (max(width, round(w * scale)), max(height, round(h * scale))),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    top, left = (sized.shape[0] - height) // 2, (sized.shape[1] - width) // 2
    return np.ascontiguousarray(sized[top : top + height, left : left + width])


@dataclass(frozen=True)
class DriftingBackground:
    """A background larger than the frame, at its own size, that is shifted under the frame by parts
    of a pixel. The result is that of a `PictureLayer` that fills the frame, in a third of the time:
    linear sampling of a shift is the mean of two neighbours."""

    planes: Planes
    place: Placing

    def draw(self, frame: Planes, index: int) -> None:
        """Draw the background as it is at frame `index` over the whole of `frame`."""
        p = self.place(index)
        for n, (target, source) in enumerate(zip(frame, self.planes, strict=True)):
            half = 2 if n else 1
            h, w = target.shape
            x, fx = _split_offset((p.sx - p.x) / half, source.shape[1] - w)
            y, fy = _split_offset((p.sy - p.y) / half, source.shape[0] - h)
            part = source[y : y + h + (fy > 0), x : x + w + (fx > 0)]
            if fx:
                part = cv2.addWeighted(part[:, :-1], 1 - fx, part[:, 1:], fx, 0)
            if fy:
                cv2.addWeighted(part[:-1], 1 - fy, part[1:], fy, 0, dst=target)
            else:
                np.copyto(target, part)


def _split_offset(at: float, most: int) -> tuple[int, float]:
    """Whole pixels and the part of one."""
    at = min(float(most), max(0.0, at))
    whole = int(at)
    rest = round(at - whole, 4)
    return (whole, rest) if whole < most else (most, 0.0)


class LiveBlurBackground:
    """The blurred copy of a moving picture, made from each of its frames: small planes are blurred
    and scaled up, which is fast enough for every frame."""

    def __init__(self, width: int, height: int, darken: float):
        self.width, self.height, self.keep = width, height, 1 - darken

    def draw(self, frame: Planes, source: Planes) -> None:
        """Draw the blurred copy of `source` over the whole of `frame`."""
        for n, (plane, own) in enumerate(zip(frame, source, strict=True)):
            h, w = plane.shape
            covering = _cover_plane(own, max(9, w // 16), max(16, h // 16)).astype(np.float32)
            small = cv2.GaussianBlur(covering, (0, 0), covering.shape[1] / 14)
            zero = 128.0 if n else 16.0
            small = zero + (small - zero) * (self.keep * (0.85 if n else 1.0))
            big = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
            np.copyto(plane, np.clip(big + 0.5, 0, 255).astype(np.uint8))


def _cover_plane(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    h, w = plane.shape
    if w * height > h * width:
        cut = max(1, round(h * width / height))
        plane = plane[:, (w - cut) // 2 : (w - cut) // 2 + cut]
    else:
        cut = max(1, round(w * height / width))
        plane = plane[(h - cut) // 2 : (h - cut) // 2 + cut]
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)


def with_shadow(
    rgb: np.ndarray, shape: np.ndarray, x: int, y: int, strength: float, size: float
) -> np.ndarray:
    """Return the picture with the soft shadow of a shape (float32 0..1 coverage, its top-left
    corner at x, y): a wide shadow below and a narrow one close by, as a large light from above
    makes them."""
    height, width = rgb.shape[:2]
    alpha = shadow_alpha(shape, x, y, width, height, strength, size)
    # A shadow takes the background's own colour down; it does not paint it grey.
    out = rgb.astype(np.float32) * (1 - alpha[..., None])
    out += _dither_pattern(height, width)[..., None]
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def shadow_alpha(
    shape: np.ndarray, x: int, y: int, width: int, height: int, strength: float, size: float
) -> np.ndarray:
    """Return how much of the light the shadow of `with_shadow` removes, float32 (height, width),
    0..1."""
    left = np.ones((height, width), np.float32)
    for spread, drop, part in ((0.09, 0.05, 0.75), (0.02, 0.012, 0.45)):
        shadow: np.ndarray = np.zeros((height, width), np.float32)
        top = y + round(size * drop)
        y0, x0 = max(0, top), max(0, x)
        y1, x1 = min(height, top + shape.shape[0]), min(width, x + shape.shape[1])
        if y0 < y1 and x0 < x1:
            shadow[y0:y1, x0:x1] = shape[y0 - top : y1 - top, x0 - x : x1 - x]
        shadow = cv2.GaussianBlur(shadow, (0, 0), max(1.0, size * spread))
        left *= 1 - strength * part * shadow
    return 1 - left


def draw_rounded_mask(width: int, height: int, radius: int) -> np.ndarray:
    """Return the coverage, float32 (height, width), 0..1, of a rounded rectangle."""
    shape = np.ones((height, width), np.float32)
    if radius:
        mask = corner_mask(radius)
        n = mask.shape[0]
        shape[:n, :n], shape[:n, -n:] = mask, mask[:, ::-1]
        shape[-n:, :n], shape[-n:, -n:] = mask[::-1], mask[::-1, ::-1]
    return shape
