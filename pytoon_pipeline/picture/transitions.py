"""Transitions: two frames and a time, one frame."""

from __future__ import annotations

import cv2
import numpy as np

from pytoon_pipeline.picture.yuv import Planes

_BLACK = (16.0, 128.0, 128.0)


def blend(kind: str, left: Planes, right: Planes, index: int, count: int) -> Planes:
    """Frame `index` of a transition of `count` frames from `left` to `right`.

    Neither end shows one side alone: the frames before and after the transition do.
    """
    t = (index + 1) / (count + 1)
    if kind == "fade":
        return _fade(left, right, t)
    if kind == "fade_black":
        return _through_black(left, right, t)
    if kind == "slide":
        return _slide(left, right, t)
    raise ValueError(f"there is no transition {kind!r}")


def _fade(left: Planes, right: Planes, t: float) -> Planes:
    """A straight mix. Where both sides are equal, so is the result: captions stand still."""
    return tuple(
        cv2.addWeighted(a, 1 - t, b, t, 0) for a, b in zip(left, right, strict=True)
    )  # type: ignore[return-value]


def _through_black(left: Planes, right: Planes, t: float) -> Planes:
    """Down to black by the middle, and up again; eased, so that black is passed, not held."""
    source, keep = (left, 1 - 2 * t) if t < 0.5 else (right, 2 * t - 1)
    keep = keep * keep * (3 - 2 * keep)
    return tuple(
        cv2.addWeighted(plane, keep, plane, 0, black * (1 - keep))
        for plane, black in zip(source, _BLACK, strict=True)
    )  # type: ignore[return-value]


def _slide(left: Planes, right: Planes, t: float) -> Planes:
    """The next picture pushes the last one out to the left, eased, on whole chroma samples."""
    width = left[0].shape[1]
    eased = t * t * t * (t * (6 * t - 15) + 10)
    shift = round(eased * width / 2) * 2
    out = []
    for n, (a, b) in enumerate(zip(left, right, strict=True)):
        cut = shift // 2 if n else shift
        out.append(np.ascontiguousarray(np.concatenate([a[:, cut:], b[:, :cut]], axis=1)))
    return tuple(out)  # type: ignore[return-value]
