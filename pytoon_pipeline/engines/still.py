"""The last resort: a plain still of the segment's own media, so that a brief never ends with
nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pytoon_pipeline.engines.base import Engine, Footage, Health, Media, Progress
from pytoon_pipeline.errors import PytoonError
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.picture import grounds
from pytoon_pipeline.picture.layers import new_frame
from pytoon_pipeline.picture.yuv import Planes, planes_to_rgb, rgb_to_planes
from pytoon_pipeline.spec.job import SegmentJob


class Still(Engine):
    name = "still"

    def health(self) -> Health:
        return Health(True, "always there")

    def can_render(self, job: SegmentJob) -> bool:
        return True

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        return {"name": self.name}

    def render(self, job: SegmentJob, media: Media, workdir: Path, progress: Progress) -> Footage:
        still = rgb_to_planes(_picture(job, media))

        def frames() -> Iterator[Planes]:
            frame = new_frame(job.width, job.height)
            for _ in range(job.count):
                for plane, own in zip(frame, still, strict=True):
                    np.copyto(plane, own)
                yield frame
                progress(1)

        return Footage(job.width, job.height, job.rate, job.count, frames, lambda index: still)


def _picture(job: SegmentJob, media: Media) -> np.ndarray:
    """The first of the segment's media that can be read, whole, over its own blur; else the ground
    alone."""
    width, height = job.width, job.height
    for asset in job.media:
        try:
            if asset.kind == "video":
                clip = ClipFrames(media[asset.id], None, job.rate, start=job.clip_start, count=1)
                rgb = planes_to_rgb(next(iter(clip)))
            else:
                rgb = load_image(media[asset.id], min_side=max(width, height))[..., :3]
        except (PytoonError, OSError, KeyError):
            continue
        return _whole(rgb, width, height)
    colours = job.background.colors or ["#000000"]
    return grounds.gradient(width, height, colours)


def _whole(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    picture = grounds.blurred(rgb, width, height, 0.4)
    h, w = rgb.shape[:2]
    scale = min(width / w, height / h)
    sized = cv2.resize(
        rgb, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA
    )
    top, left = (height - sized.shape[0]) // 2, (width - sized.shape[1]) // 2
    picture[top : top + sized.shape[0], left : left + sized.shape[1]] = sized
    return picture
