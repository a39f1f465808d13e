"""Blend two frames at a time of a transition to one frame."""

from __future__ import annotations

import cv2
import numpy as np

from pytoon_pipeline.picture.layers import Placement
from pytoon_pipeline.picture.yuv import Planes, make_planes

_BLACK = (16.0, 128.0, 128.0)
_ZOOM = 1.35
"""How far the camera travels in a zoom: the first picture grows by this, the second comes from as
much smaller."""
_SHUTTER = 0.6
"""Share of a frame's time for which a zoom is exposed: its motion blur."""
_EXPOSURES = 4
_SOFT = 0.22
"""Width of a wipe's soft edge, as a share of the frame's."""


def blend_frames(kind: str, left: Planes, right: Planes, index: int, count: int) -> Planes:
    """Return frame `index` of a transition of `count` frames from `left` to `right`.

    Neither end shows one side alone: the frames before and after the transition do. Raises
    ValueError for a kind that there is not.
    """
    t = (index + 1) / (count + 1)
    if kind == "fade":
        return _blend_fade(left, right, t)
    if kind == "fade_black":
        return _through_black(left, right, t)
    if kind == "slide":
        return _blend_slide(left, right, t)
    if kind == "zoom":
        return _blend_zoom(left, right, t, 1 / (count + 1))
    if kind == "wipe":
        return _blend_wipe(left, right, t)
    raise ValueError(f"there is no transition {kind!r}")


def _blend_fade(left: Planes, right: Planes, t: float) -> Planes:
    """A straight mix. Where both sides are equal, so is the result: captions stand still."""
    return make_planes(cv2.addWeighted(a, 1 - t, b, t, 0) for a, b in zip(left, right, strict=True))


def _through_black(left: Planes, right: Planes, t: float) -> Planes:
    """Down to black by the middle, and up again; eased, so that black is passed, not held."""
    source, keep = (left, 1 - 2 * t) if t < 0.5 else (right, 2 * t - 1)
    keep = keep * keep * (3 - 2 * keep)
    return make_planes(
        cv2.addWeighted(plane, keep, plane, 0, black * (1 - keep))
        for plane, black in zip(source, _BLACK, strict=True)
    )


def _blend_slide(left: Planes, right: Planes, t: float) -> Planes:
    """The next picture pushes the last one out to the left, eased, on whole chroma samples."""
    width = left[0].shape[1]
    shift = round(_ease_quintic(t) * width / 2) * 2
    out = []
    for n, (a, b) in enumerate(zip(left, right, strict=True)):
        cut = shift // 2 if n else shift
        out.append(np.ascontiguousarray(np.concatenate([a[:, cut:], b[:, :cut]], axis=1)))
    return make_planes(out)


def _blend_zoom(left: Planes, right: Planes, t: float, step: float) -> Planes:
    """The camera pushes through one picture into the next: both grow by one movement, eased and
    blurred as it is in a camera, while the first dissolves. `step` is the time of one frame."""
    shares = [(n + 0.5) / _EXPOSURES - 0.5 for n in range(_EXPOSURES)]
    travelled = [_ease_quintic(t + share * _SHUTTER * step) for share in shares]
    seen = _smoothstep((t - 0.3) / 0.4)
    out = []
    for n, planes in enumerate(zip(left, right, strict=True)):
        sides = []
        for plane, behind, weight in zip(planes, (0.0, 1.0), (1 - seen, seen), strict=True):
            if weight > 0:
                scales = [_ZOOM ** (way - behind) for way in travelled]
                sides.append((_scale_plane(plane, scales, bool(n)), weight))
        mixed = sides[0][0] if len(sides) == 1 else sum(side * weight for side, weight in sides)
        out.append(np.rint(mixed).astype(np.uint8))
    return make_planes(out)


def _scale_plane(plane: np.ndarray, scales: list[float], chroma: bool) -> np.ndarray:
    """The mean, float32, of a plane scaled about the frame's middle. One that is smaller than its
    frame goes on mirrored: no edge of it shows."""
    height, width = plane.shape
    x, y = (width, height) if chroma else (width / 2, height / 2)
    total = np.zeros((height, width), np.float32)
    for scale in scales:
        matrix = Placement(x, y, x, y, scale).matrix(0, 0, chroma)
        cv2.accumulate(
            cv2.warpAffine(
                plane,
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            total,
        )
    return total / len(scales)


def _blend_wipe(left: Planes, right: Planes, t: float) -> Planes:
    """A soft edge runs over the frame to the left and uncovers the next picture; neither moves."""
    edge = 1 - _smoothstep(t) * (1 + _SOFT)
    out = []
    for n, (a, b) in enumerate(zip(left, right, strict=True)):
        height, width = a.shape
        # Chroma samples lie on even columns: 2i + 0.5 of the frame's own coordinates.
        places = (np.arange(width) + (0.25 if n else 0.5)) / width
        row = _smoothstep((places - edge) / _SOFT).astype(np.float32)
        weight = np.ascontiguousarray(np.broadcast_to(row, (height, width)))
        out.append(cv2.blendLinear(a, b, 1 - weight, weight))
    return make_planes(out)


def _ease_quintic(t: float) -> float:
    """0..1 -> 0..1, at rest at both ends (quintic)."""
    t = min(1.0, max(0.0, t))
    return t * t * t * (t * (6 * t - 15) + 10)


def _smoothstep(t):
    """Smoothstep, of a number or of an array."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)
