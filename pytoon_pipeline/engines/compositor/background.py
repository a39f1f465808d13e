"""The background of a segment: colours, the picture's own blurred copy, a picture or a clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytoon_pipeline.engines.base import Media
from pytoon_pipeline.engines.compositor import clips
from pytoon_pipeline.engines.compositor.stills import DropShadow, shadow_layer
from pytoon_pipeline.engines.compositor.windows import grown_side, make_drift
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture import backgrounds
from pytoon_pipeline.picture.layers import FillLayer, Layer
from pytoon_pipeline.picture.yuv import rgb_to_planes
from pytoon_pipeline.plan.segment_jobs import SegmentJob


def ground_layers(
    job: SegmentJob, media: Media, picture: np.ndarray | None, shadows: Sequence[DropShadow]
) -> list[Layer | clips.MovingLayer]:
    """What lies behind everything, with the shadows that fall on it. `picture` is the segment's
    own, where it has one to be copied."""
    asset = job.background_asset
    if asset is not None and asset.kind == "video":
        clip = clips.ClipBackground(job, media[asset.id], (asset.width or 2, asset.height or 2))
        return [clip, *(shadow_layer(job, shadow) for shadow in shadows)]
    travel = job.background.parallax or 0.0
    pictured = asset is not None or (job.background.kind == "blur" and picture is not None)
    if not pictured or not travel:
        rgb = _background_rgb(job, media, picture, job.width, job.height)
        for shadow in shadows:
            rgb = backgrounds.with_shadow(
                rgb, shadow.shape, shadow.x, shadow.y, job.layout.shadow, min(shadow.shape.shape)
            )
        return [FillLayer(rgb_to_planes(rgb))]
    # Larger than the frame by what it travels; the shadows stay with what casts them.
    width, height = grown_side(job.width, travel), grown_side(job.height, travel)
    planes = rgb_to_planes(_background_rgb(job, media, picture, width, height))
    moving = backgrounds.DriftingBackground(planes, make_drift(job, width, height, 1.0))
    return [moving, *(shadow_layer(job, shadow) for shadow in shadows)]


def _background_rgb(
    job: SegmentJob, media: Media, picture: np.ndarray | None, width: int, height: int
) -> np.ndarray:
    background = job.background
    colours = background.colors or ["#000000"]
    if job.background_asset is not None:
        own = load_image(media[job.background_asset.id], min_side=2 * max(width, height))
        return backgrounds.draw_picture_background(
            own[..., :3],
            width,
            height,
            background.blur,
            background.darken,
            colours[0],
            background.wash or 0.0,
        )
    if background.kind == "blur" and picture is not None:
        copy = backgrounds.draw_blurred(picture, width, height, background.darken)
        return backgrounds.apply_wash(copy, colours[0], background.wash or 0.0)
    if background.kind == "gradient" and len(colours) > 1:
        return backgrounds.draw_gradient(width, height, colours, background.light)
    return backgrounds.draw_flat(width, height, colours[0])
