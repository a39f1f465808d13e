"""Is black or stillness in a finished file the material's own? Its sources are asked, and only when
a stretch was found that nobody asked for."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from pytoon_pipeline.errors import MediaError, PytoonError
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.measure_picture import DARK
from pytoon_pipeline.media.measurement import Measurement
from pytoon_pipeline.picture.backgrounds import rgb_of
from pytoon_pipeline.picture.yuv import rgb_to_planes
from pytoon_pipeline.plan.complete import Plan, PlanSegment
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.timeline import SegmentSpan, Timeline, frames_of
from pytoon_pipeline.quality.picture_checks import FROZEN_CHANGE, find_black, find_still
from pytoon_pipeline.quality.verdicts import ExpectedFile, ExplainedStretch
from pytoon_pipeline.stages.services import Services

_DARK_SHARE = 0.9
"""Of a source picture that is dark, from which a black frame is its own."""
_DARK_CROP = 0.97
"""Of some part of it in the shape of the frame, where it is dark on the whole."""
_MOSTLY = 0.6
_MOVES = 0.3
"""Luma steps between two frames of a clip, seen small, from which it moves: what noise leaves there
is less."""
_SMALL = 96, 160
"""Size at which sources are looked at."""
_PLAIN_FACTOR = 3.0
"""A movement that would change less than so many times what counts as frozen can't be seen."""

Why = tuple[str, bool]
"""What is said, and whether it is worth a warning."""


def explain_stretches(
    spec: Plan, line: Timeline, m: Measurement, e: ExpectedFile, services: Services
) -> list[ExplainedStretch]:
    """What of the black and frozen stretches of a finished file is as its material is.

    A source that can't be read explains nothing. What an engine generated is never its own
    explanation.
    """
    shown: list[ExplainedStretch] = []
    judges: tuple[tuple[str, list[tuple[int, int]], Callable[..., Why | None]], ...] = (
        ("black", find_black(m, e), _why_black),
        ("still", find_still(m, e), _why_still),
    )
    for kind, runs, judge in judges:
        for first, end in runs:
            for segment, span in zip(spec.segments, line.spans, strict=True):
                # Half of a transition belongs to either side: both may explain it.
                a = max(first, span.first)
                b = min(end, span.first + span.count)
                if a >= b or segment.generate is not None or segment.id in e.degraded:
                    continue
                try:
                    why = judge(spec, segment, span, a, b, services)
                except (PytoonError, OSError, ValueError):
                    why = None
                if why is not None:
                    shown.append(
                        ExplainedStretch(kind=kind, first=a, end=b, why=why[0], warns=why[1])
                    )
    return shown


def _read_picture(services: Services, asset: Asset) -> np.ndarray:
    return load_image(services.store.local(asset.key))


def _own_media(spec: Plan, segment: PlanSegment) -> list[Asset]:
    return [spec.asset(m) for m in segment.media]


def _why_black(
    spec: Plan, segment: PlanSegment, span: SegmentSpan, first: int, end: int, services: Services
) -> Why | None:
    media = _own_media(spec, segment)
    if segment.type == "text" or not media:
        ground = segment.background
        colours = ground.colors or ["#000000"]
        if ground.media:
            media = [spec.asset(ground.media)]
        elif all(_luma_of(colour) <= DARK for colour in colours):
            return "a card on a black ground", False
    for asset in media:
        if asset.kind == "video":
            frames = _clip_frames(spec, segment, span, asset, first, end, services)
            dark = [np.count_nonzero(f <= DARK + 2) / f.size for f in frames]
            # A frame or two at either end may be on their way.
            if dark and np.mean([share >= _DARK_SHARE for share in dark]) >= 0.8:
                return f"the clip {asset.source} is itself black there", True
        elif not _is_dark(_read_picture(services, asset)):
            return None
    if media and all(a.kind != "video" for a in media):
        names = ", ".join(a.source for a in media)
        return f"{names} is itself as dark", True
    return None


def _luma_of(colour: str) -> float:
    """Limited-range luma of `#RRGGBB`."""
    return float(16 + np.dot(rgb_of(colour), (0.2126, 0.7152, 0.0722)) * 219 / 255)


def _luma_plane(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Limited-range luma of an RGB(A) picture at a size; what is transparent counts as nothing
    (NaN)."""
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    luma = rgb_to_planes(np.ascontiguousarray(small[..., :3]))[0].astype(np.float32)
    if small.shape[2] == 4:
        luma[small[..., 3] < 128] = np.nan
    return luma


def _is_dark(picture: np.ndarray) -> bool:
    h, w = picture.shape[:2]
    scale = 320 / max(h, w)
    size = max(2, round(w * scale / 2) * 2), max(2, round(h * scale / 2) * 2)
    luma = _luma_plane(picture, size)
    inside = ~np.isnan(luma)
    if not inside.any():
        return False
    dark = np.where(inside, luma <= DARK + 2, True).astype(np.float32)
    share = float(dark[inside].mean())
    if share >= _DARK_SHARE:
        return True
    if share < _MOSTLY:
        return False
    # The frame shows a part: the darkest one of its shape, wherever the camera looks.
    width = min(size[0], round(size[1] * 9 / 16))
    height = min(size[1], round(size[0] * 16 / 9))
    parts = cv2.blur(dark, (width, height), borderType=cv2.BORDER_REFLECT_101)
    return bool(parts.max() >= _DARK_CROP)


def _why_still(
    spec: Plan, segment: PlanSegment, span: SegmentSpan, first: int, end: int, services: Services
) -> Why | None:
    media = _own_media(spec, segment)
    if not media:
        return "a card", False
    if media[0].kind == "video":
        frames = list(_clip_frames(spec, segment, span, media[0], first, end, services))
        changes = [
            float(np.abs(b.astype(np.float32) - a).mean())
            for a, b in zip(frames, frames[1:], strict=False)
        ]
        if changes and np.mean([c >= _MOVES for c in changes]) <= 0.1:
            return f"the clip {media[0].source} stands still there", False
        return None
    motion = segment.motion
    if motion is None:
        return None
    width, height = spec.resolution.width, spec.resolution.height
    # Pixels a frame that the camera moves by, in the mean over the frame, where it is slowest.
    speed = 0.5 * motion.amount * (width + height) / 8 / max(1, span.count)
    change = max(_measure_detail(_read_picture(services, a), spec, segment) for a in media) * speed
    if change < _PLAIN_FACTOR * FROZEN_CHANGE:
        names = ", ".join(a.source for a in media)
        return f"{names} is too plain, or moves too slowly, to show that the camera moves", True
    return None


def _measure_detail(picture: np.ndarray, spec: Plan, segment: PlanSegment) -> float:
    """Luma steps from a pixel to the next along the way that the camera moves, in the mean, at the
    size that the picture is shown at: fine stripes that melt into grey there show no movement."""
    width, height = spec.resolution.width, spec.resolution.height
    h, w = picture.shape[:2]
    layout, kind = segment.layout, segment.motion.kind if segment.motion else "still"
    if layout and layout.fit != "cover":
        x0, y0, x1, y1 = layout.box or (0, 0, width, height)
        scale = min((x1 - x0) / w, (y1 - y0) / h) / (1 - min(0.9, layout.crop))
        scale = min(scale, max(width / w, height / h))
    else:
        scale = max(width / w, height / h)
    if max(w, h) * scale > 4 * max(width, height):  # a strip: as much of it as is seen
        scale = min(scale, 4 * max(width, height) / max(w, h))
    size = max(2, round(w * scale / 2) * 2), max(2, round(h * scale / 2) * 2)
    luma = np.nan_to_num(_luma_plane(picture, size), nan=128.0)
    down, across = (float(np.abs(np.diff(luma, axis=axis)).mean()) for axis in (0, 1))
    if kind in ("pan_left", "pan_right"):
        return across
    return down if kind in ("pan_up", "pan_down", "float") else (down + across) / 2


def _clip_frames(
    spec: Plan,
    segment: PlanSegment,
    span: SegmentSpan,
    asset: Asset,
    first: int,
    end: int,
    services: Services,
) -> list[np.ndarray]:
    """Luma of the frames of a clip that are seen from frame `first` of the video to `end`, small.

    Raises MediaError when it does not decode.
    """
    begin = frames_of(segment.audio.start, spec.frame_rate) + first - span.start
    frames = ClipFrames(
        services.store.local(asset.key), _SMALL, spec.frame_rate, start=begin, count=end - first
    )
    found = [np.array(planes[0]) for planes in frames]
    if len(found) != end - first:
        raise MediaError(f"{asset.source}: {len(found)} frames of {end - first} decode.")
    return found
