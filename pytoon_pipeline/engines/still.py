"""The last resort: a plain still of the segment's own media, so that a brief never ends with
nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pytoon_pipeline.engines.base import Engine, EngineHealth, Footage, Media, Progress
from pytoon_pipeline.engines.compositor.windows import fit_box
from pytoon_pipeline.errors import PytoonError
from pytoon_pipeline.media.clips import ClipFrames, draw_over
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture import backgrounds
from pytoon_pipeline.picture.layers import new_frame
from pytoon_pipeline.picture.yuv import Planes, make_planes, planes_to_rgb, rgb_to_planes
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment_jobs import SegmentJob


class StillEngine(Engine):
    name = "still"

    def health(self) -> EngineHealth:
        return EngineHealth(True, "always there")

    def can_render(self, job: SegmentJob) -> bool:
        return True

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        return {"name": self.name}

    def render(self, job: SegmentJob, media: Media, workdir: Path, progress: Progress) -> Footage:
        still = rgb_to_planes(_first_readable_picture(job, media))

        def repeat_frame() -> Iterator[Planes]:
            frame = new_frame(job.width, job.height)
            for _ in range(job.count):
                for plane, own in zip(frame, still, strict=True):
                    np.copyto(plane, own)
                yield frame
                progress(1)

        return Footage(
            job.width, job.height, job.rate, job.count, repeat_frame, lambda index: still
        )


def _first_readable_picture(job: SegmentJob, media: Media) -> np.ndarray:
    """The first of the segment's media that can be read, whole, over its own blur, or over the
    ground where it has transparency; else the ground alone."""
    width, height = job.width, job.height
    ground = backgrounds.draw_gradient(width, height, job.background.colors or ["#000000"])
    for asset in job.media:
        try:
            if asset.kind == "video" and asset.has_alpha:
                return _clip_before(ground, job, media[asset.id])
            if asset.kind == "video":
                clip = ClipFrames(
                    media[asset.id],
                    None,
                    job.rate,
                    start=job.clip_start,
                    count=1,
                    ground=(job.background.colors or ["#000000"])[0],
                )
                rgb = planes_to_rgb(make_planes(next(iter(clip))))
            else:
                picture = load_image(media[asset.id], min_side=max(width, height))
                if picture.shape[2] == 4:
                    return _lay_over_background(
                        ground, picture, job.layout.box or (0, 0, width, height)
                    )
                rgb = picture
        except (PytoonError, OSError, KeyError):
            continue
        return _fit_whole(rgb, width, height)
    return ground


def _clip_before(ground: np.ndarray, job: SegmentJob, path: Path) -> np.ndarray:
    """The first frame of a clip with transparency, whole and as large as it can be in its box."""
    asset = next(a for a in job.media if a.kind == "video" and a.has_alpha)
    x0, y0, x1, y1 = fit_box(
        job.layout.box or (0, 0, job.width, job.height), asset.width or 2, asset.height or 2
    )
    clip = ClipFrames(
        path, (x1 - x0, y1 - y0), job.rate, start=job.clip_start, count=1, transparent=True
    )
    planes = rgb_to_planes(ground)
    y, u, v = planes
    half = slice(y0 // 2, y1 // 2), slice(x0 // 2, x1 // 2)
    draw_over(next(iter(clip)), (y[y0:y1, x0:x1], u[half], v[half]))
    return planes_to_rgb(planes)


def _lay_over_background(ground: np.ndarray, picture: np.ndarray, box: Box) -> np.ndarray:
    """A picture with transparency, whole and as large as it can be in a box."""
    x0, y0, x1, y1 = box
    h, w = picture.shape[:2]
    scale = min((x1 - x0) / w, (y1 - y0) / h)
    sized = cv2.resize(
        picture, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA
    )
    left = x0 + (x1 - x0 - sized.shape[1]) // 2
    top = y0 + (y1 - y0 - sized.shape[0]) // 2
    part = ground[top : top + sized.shape[0], left : left + sized.shape[1]]
    alpha = sized[: part.shape[0], : part.shape[1], 3:].astype(np.uint16)
    seen = sized[: part.shape[0], : part.shape[1], :3]
    part[:] = (seen * alpha + part * (255 - alpha) + 127) // 255
    return ground


def _fit_whole(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    picture = backgrounds.draw_blurred(rgb, width, height, 0.4)
    h, w = rgb.shape[:2]
    scale = min(width / w, height / h)
    sized = cv2.resize(
        rgb, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA
    )
    top, left = (height - sized.shape[0]) // 2, (width - sized.shape[1]) // 2
    picture[top : top + sized.shape[0], left : left + sized.shape[1]] = sized
    return picture
