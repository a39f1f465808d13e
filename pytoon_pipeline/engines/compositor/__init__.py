"""The compositor: footage made on the CPU from the segment's own pictures and clips.

A segment is a ground (`ground`) and what stands before it: pictures (`stills`) and clips (`clips`).
All are layers, drawn one over the other into each frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pytoon_pipeline.engines.base import Engine, EngineHealth, Footage, Media, Progress
from pytoon_pipeline.engines.compositor import clips, stills
from pytoon_pipeline.engines.compositor.background import ground_layers
from pytoon_pipeline.engines.compositor.windows import contained_window, fit_box, whole_frame
from pytoon_pipeline.errors import EngineFailedError, MediaError
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture.cutout import cut_out_product
from pytoon_pipeline.picture.layers import Layer, PictureLayer, new_frame
from pytoon_pipeline.picture.yuv import Planes
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Place
from pytoon_pipeline.plan.segment_jobs import SegmentJob

# One thread for each warp: segments run side by side, and x264 needs the cores too.
cv2.setNumThreads(1)


class Compositor(Engine):
    name = "compositor"

    def health(self) -> EngineHealth:
        return EngineHealth(True, f"OpenCV {cv2.__version__} on this machine's CPU")

    def can_render(self, job: SegmentJob) -> bool:
        return job.type in ("image", "video", "text")

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        return {"name": self.name, "opencv": cv2.__version__, "pillow": Image.__version__}

    def render(self, job: SegmentJob, media: Media, workdir: Path, progress: Progress) -> Footage:
        try:
            layers = layers_of(job, media)
        except MediaError as error:
            raise EngineFailedError(str(error)) from error

        return draw_layers(job, layers, progress)


def draw_layers(
    job: SegmentJob, layers: Sequence[Layer | clips.MovingLayer], progress: Progress
) -> Footage:
    """Footage of layers, each drawn over the one before."""

    def iterate_frames() -> Iterator[Planes]:
        frame = new_frame(job.width, job.height)
        drawing = [
            layer.begin() if isinstance(layer, clips.MovingLayer) else layer.draw
            for layer in layers
        ]
        for index in range(job.count):
            for draw in drawing:
                draw(frame, index)
            yield frame
            progress(1)

    def frame_at(index: int) -> Planes:
        frame = new_frame(job.width, job.height)
        for layer in layers:
            layer.draw(frame, index)  # type: ignore[union-attr]
        return frame

    still = not any(isinstance(layer, clips.MovingLayer) for layer in layers)
    return Footage(
        job.width, job.height, job.rate, job.count, iterate_frames, frame_at if still else None
    )


def layers_of(job: SegmentJob, media: Media) -> list[Layer | clips.MovingLayer]:
    """What the frames of a job are made of, back to front."""
    if job.type == "text" or not job.media:
        return ground_layers(job, media, None, [])
    if len(job.media) > 1 and job.layout.places:
        return _arrange_media(job, media)
    asset = job.media[0]
    if asset.kind == "video":
        return _one_clip(job, media, asset)
    picture = _load_picture(job, media, asset, job.layout.fit == "cutout", bool(job.layout.keyed))
    if picture.shape[2] == 4 and job.layout.fit == "cutout":
        product, shadow = stills.make_floating_cutout(job, picture)
        cast = [shadow] if job.layout.shadow else []
        return [*ground_layers(job, media, None, cast), product]
    if job.layout.fit in ("cutout", "frame"):
        h, w = picture.shape[:2]
        window = fit_box(job.layout.box or whole_frame(job), w, h)
        return _frame_media(job, media, picture, window)
    if job.layout.fit == "contain":
        window = contained_window(job, picture.shape[1], picture.shape[0])
        card = stills.moving_inside(job, picture, window, job.layout.radius)
        return [*ground_layers(job, media, picture, []), card]
    return [stills.moving_inside(job, picture, whole_frame(job), 0)]


def _load_picture(
    job: SegmentJob, media: Media, asset: Asset, cut_out: bool, keyed: bool
) -> np.ndarray:
    """The picture; without its ground, and therefore with transparency, where it is to be keyed;
    opaque unless it is to be a cut-out."""
    picture = load_image(media[asset.id], min_side=2 * max(job.width, job.height))
    if cut_out and keyed and picture.shape[2] == 3:
        rgba = cut_out_product(picture).rgba
        return picture if rgba is None else rgba
    return picture if cut_out or picture.shape[2] == 3 else stills.on_ground(picture, job)


def _frame_media(
    job: SegmentJob, media: Media, picture: np.ndarray, window: Box
) -> list[Layer | clips.MovingLayer]:
    card = stills.make_card(job, window)
    ground = ground_layers(job, media, picture, [card.shadow] if job.layout.shadow else [])
    return [*ground, stills.moving_inside(job, picture, window, card.radius)]


def _one_clip(job: SegmentJob, media: Media, asset: Asset) -> list[Layer | clips.MovingLayer]:
    path, w, h = media[asset.id], asset.width or 2, asset.height or 2
    if job.layout.fit == "cover":
        ground = ground_layers(job, media, None, []) if asset.has_alpha else []
        return [
            *ground,
            clips.ClipLayer(job, path, (w, h), whole_frame(job), transparent=asset.has_alpha),
        ]
    if job.layout.fit == "contain":
        window, radius, shadows = contained_window(job, w, h), 0, []
    else:
        window = fit_box(job.layout.box or whole_frame(job), w, h)
        card = stills.make_card(job, window)
        radius = card.radius
        # A thing that is cut out casts no card's shadow.
        framed = job.layout.fit == "frame" and not asset.has_alpha
        shadows = [card.shadow] if framed and job.layout.shadow else []
        radius = radius if framed else 0
    if job.background.kind == "blur" and not asset.has_alpha:
        cast = [stills.shadow_layer(job, shadow) for shadow in shadows]
        return [clips.ClipOverItself(job, path, (w, h), window, radius, cast)]
    ground = ground_layers(job, media, None, shadows)
    clip = clips.ClipLayer(job, path, (w, h), window, radius, transparent=asset.has_alpha)
    return [*ground, clip]


def _arrange_media(job: SegmentJob, media: Media) -> list[Layer | clips.MovingLayer]:
    """Several media in one frame: cards lie flat and stay, cut-outs stand on their line, and the
    camera moves before them as one."""
    shadows: list[stills.DropShadow] = []
    before: list[Layer | clips.MovingLayer] = []
    first: np.ndarray | None = None
    standing: list[tuple[np.ndarray, Place]] = []
    layer: clips.ClipLayer | PictureLayer
    for n, (asset, place) in enumerate(zip(job.media, job.layout.places or [], strict=False)):
        over = job.layout.arrange == "pip" and n > 0
        if asset.kind == "video":
            window = fit_box(place.box, asset.width or 2, asset.height or 2)
            card = stills.make_card(job, window)
            size = asset.width or 2, asset.height or 2
            if asset.has_alpha:
                cut = clips.ClipLayer(job, media[asset.id], size, window, transparent=True)
                before.append(cut)
                continue
            layer = clips.ClipLayer(job, media[asset.id], size, window, card.radius)
        else:
            picture = _load_picture(job, media, asset, place.fit == "cutout", place.keyed)
            if first is None and picture.shape[2] == 3:
                first = picture
            if picture.shape[2] == 4:
                standing.append((picture, place))
                continue
            window = fit_box(place.box, picture.shape[1], picture.shape[0])
            card = stills.make_card(job, window)
            layer = stills.moving_inside(job, picture, window, card.radius)
        if over and job.layout.shadow:
            # It lies on another card, so its shadow does too.
            before.append(stills.shadow_layer(job, card.shadow))
        elif job.layout.shadow:
            shadows.append(card.shadow)
        before.append(layer)
    stood = stills.make_standing_cutouts(job, standing)
    return [*ground_layers(job, media, first, shadows), *before, *stood]
