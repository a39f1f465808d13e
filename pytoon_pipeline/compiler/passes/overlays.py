"""Watermark and other pictures that stay over the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.end_card import last_before
from pytoon_pipeline.compiler.passes.media_files import take_project_file
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.picture.contrast import contrast_ratio
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Segment
from pytoon_pipeline.plan.text import Overlay
from pytoon_pipeline.store.base import suffix_of

LOST = 2.0
"""A logo with less contrast than this to the pictures behind it is as good as gone."""
MAX_HEIGHT = 84
"""Pixels of a 1080-wide frame that a watermark may be high."""


def place_overlays(d: PlanDraft) -> None:
    asked = d.spec.overlays or []
    marked = any(o.type in ("watermark", "logo") for o in asked)
    # A plan that was compiled before has its mark, or was to have none.
    compiled = bool(d.given) and d.spec.overlays is not None
    mark = [] if marked or compiled or not d.spec.constraints.watermark else _place_watermark(d)
    d.spec.overlays = [*mark, *asked]
    if d.brief is not None and d.brief.badge:
        d.spec.overlays.append(Overlay(type="badge", text=d.brief.badge))
    timed = all(s.duration is not None and s.transition for s in d.spec.segments)
    for i, overlay in enumerate(d.spec.overlays):
        if timed and d.end_card and overlay.end is None:
            # The end card has the logo large, and nothing else.
            overlay.end = last_before(d)
        if overlay.type == "badge":
            continue  # Goes where the captions leave room: see `badges`.
        if overlay.box is None and overlay.corner is not None:
            overlay.box = _moved_inside(d, i, overlay)
        if overlay.box is None:
            overlay.box = _overlay_box(d, overlay)
        if not _is_inside(overlay.box, d.clear_box):
            d.error(
                "safe_zone.overlay",
                f"the overlay at {overlay.box} is not inside {d.clear_box}, which the platforms' "
                "own buttons leave clear.",
                "Leave `box` out to have it placed, or move it inside.",
                f"overlays[{i}].box",
                box=overlay.box,
            )


def _is_inside(box: Box, area: Box) -> bool:
    return box[0] >= area[0] and box[1] >= area[1] and box[2] <= area[2] and box[3] <= area[3]


def _place_watermark(d: PlanDraft) -> list[Overlay]:
    """The brand's logo; on a light ground the version made for it."""
    logo, mark = d.brand.logo, d.brand.watermark
    if logo is None:
        if d.spec.brand != "neutral":
            d.note(f"The brand kit {d.spec.brand!r} has no logo, so there is no watermark.")
        return []
    name = logo.on_pictures
    if logo.on_ground and (
        _light_ground(d) if d.preset.background.kind != "blur" else _lost_on_pictures(d)
    ):
        name = logo.on_ground
    path = d.brand.folder / (name or logo.on_pictures)
    asset = take_project_file(d, path, f"{d.spec.brand}/{path.name}", None, d.brand.folder)
    return [
        Overlay(
            type="watermark",
            media=asset.id,
            place=mark.place,
            opacity=mark.opacity,
            width=mark.width,
            shadow=0.0 if name == logo.on_ground else 0.5,
        )
    ]


def _light_ground(d: PlanDraft) -> bool:
    """Is the ground of the preset nearer to white than to black (relative luminance over 0.18)?"""
    colour = d.brand.color(d.preset.background.colors[0]) or "#FFFFFF"
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) > 0.18


def _lost_on_pictures(d: PlanDraft) -> bool:
    """Are the pictures, where the watermark stands, about as light as the brand's logo for
    pictures, and does its other version stand out from them? One version for the whole video: by
    what lies behind on average. Clips and grounds without a picture have no say."""
    logo, mark = d.brand.logo, d.brand.watermark
    assert logo is not None and logo.on_ground is not None
    paths = [d.brand.folder / logo.on_pictures, d.brand.folder / logo.on_ground]
    if not all(path.is_file() for path in paths):
        return False
    # The copies that are rendered are weighed.
    paths = [d.copies.take(path, d.brand.folder, suffix_of(path.name)).path for path in paths]
    info = probe_media(paths[0])
    asset = Asset(
        id="mark", kind="image", source="", sha256="0" * 64, width=info.width, height=info.height
    )
    shown = Overlay(media="mark", place=mark.place, width=mark.width)
    box = _placed_box(d, shown, asset)
    weighed = [
        (light, segment.duration or 1.0)
        for segment in d.spec.segments
        if (light := _luminance_behind(d, segment, box)) is not None
    ]
    if not weighed:
        return False
    light = sum(value * weight for value, weight in weighed) / sum(w for _, w in weighed)
    own, other = (contrast_ratio(_logo_light(path), light) for path in paths)
    return own < LOST and other > 1.5 * own


def _logo_light(path: Path) -> float:
    """Mean relative luminance of a logo's own pixels."""
    picture = load_image(path)
    seen = picture[..., 3] > 127 if picture.shape[2] == 4 else np.ones(picture.shape[:2], bool)
    return _mean_light(picture[seen]) if seen.any() else 1.0


def _mean_light(pixels: np.ndarray) -> float:
    values = pixels[..., :3].astype(np.float32) / 255
    return float((values**2.2 @ np.array([0.2126, 0.7152, 0.0722], np.float32)).mean())


def _luminance_behind(d: PlanDraft, segment: Segment, box: Box) -> float | None:
    """Mean relative luminance of the picture behind a box, were it fitted by its middle; of its
    blurred copy where it does not reach that far."""
    layout = segment.layout
    if segment.type != "image" or not segment.media or layout is None or _has_own_ground(segment):
        return None
    path = d.files.get(segment.media[0])
    if path is None:
        return None
    picture = load_image(path, min_side=270)
    height, width = picture.shape[:2]
    size = d.spec.resolution
    x0, y0, x1, y1 = layout.box or (0, 0, size.width, size.height)
    scales = (x1 - x0) / width, (y1 - y0) / height
    scale = min(scales) if layout.fit == "contain" else max(scales)
    left, top = (x0 + x1 - width * scale) / 2, (y0 + y1 - height * scale) / 2
    a, b = max(0, int((box[0] - left) / scale)), max(0, int((box[1] - top) / scale))
    c, e = int((box[2] - left) / scale) + 1, int((box[3] - top) / scale) + 1
    if a < min(c, width) and b < min(e, height):
        return _mean_light(picture[b:e, a:c])
    darken = segment.background.darken if segment.background else 0.0
    return _mean_light(picture) * (1 - darken) ** 2.2


def _has_own_ground(segment: Segment) -> bool:
    """Does a segment stand on the brand's ground instead of its own picture?"""
    return segment.background is not None and segment.background.kind != "blur"


def _overlay_box(d: PlanDraft, overlay: Overlay) -> Box:
    return _placed_box(d, overlay, d.spec.asset(overlay.media))


def _placed_box(d: PlanDraft, overlay: Overlay, asset: Asset) -> Box:
    aspect = (asset.width or 1) / (asset.height or 1)
    width = overlay.width * (d.spec.resolution.width if overlay.width <= 1 else 1)
    if overlay.type != "image":
        width = min(width, MAX_HEIGHT * d.scale * aspect)
    x0, y0, x1, y1 = d.clear_box
    width = min(width, x1 - x0, (y1 - y0) * aspect)
    w, h = max(2, round(width)), max(2, round(width / aspect))
    up, _, across = overlay.place.rpartition("_")
    left = {"left": x0, "right": x1 - w}.get(across, (x0 + x1 - w) // 2)
    top = {"top": y0, "bottom": y1 - h}.get(up or across, (y0 + y1 - h) // 2)
    return left, top, left + w, top + h


def _moved_inside(d: PlanDraft, i: int, overlay: Overlay) -> Box:
    """The box of an overlay whose corner is given in numbers; moved inside of what the platforms
    leave clear, with a warning."""
    assert overlay.corner is not None
    size = d.spec.resolution
    left, top = (
        round(at * side) if at <= 1 else round(at)
        for at, side in zip(overlay.corner, (size.width, size.height), strict=True)
    )
    x0, y0, x1, y1 = _overlay_box(d, overlay)
    w, h = x1 - x0, y1 - y0
    a, b, c, e = d.clear_box
    x, y = min(max(left, a), c - w), min(max(top, b), e - h)
    if (x, y) != (left, top):
        d.warn(
            "safe_zone.overlay",
            f"the overlay at x {left}, y {top} was moved to x {x}, y {y}: the platforms' own "
            "buttons stand where it was to be.",
            "Give a place inside, or a word such as top-right.",
            f"overlays[{i}].position",
        )
    return x, y, x + w, y + h
