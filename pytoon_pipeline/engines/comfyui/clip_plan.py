"""What a generated clip is asked to be, decided without a server, with all that it depends on."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pytoon_pipeline.engines.base import Media
from pytoon_pipeline.engines.comfyui.sizes import ClipShape
from pytoon_pipeline.engines.comfyui.workflows import Workflow
from pytoon_pipeline.errors import EngineFailedError, MediaError
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment_jobs import SegmentJob

_SEEDS = 2**48
"""Seeds stay below what a browser's numbers hold, so that a take can be tried by hand."""


@dataclass(frozen=True)
class StartPicture:
    """The picture a take begins with."""

    asset: Asset
    window: tuple[int, int, int, int]
    """x0, y0, x1, y1: the part of it that is taken, in its own pixels."""
    frame: int
    rate: int
    """Of a clip: the frame that is taken, counted at the video's frames per second."""
    ground: str
    """Colour behind a picture with transparency."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "sha256": self.asset.sha256,
            "window": list(self.window),
            "frame": [self.frame, self.rate] if self.asset.kind == "video" else None,
            "ground": self.ground if self.asset.has_alpha else None,
        }


@dataclass(frozen=True)
class ClipPlan:
    workflow: Workflow
    shape: ClipShape
    prompt: str
    negative: str | None
    """None where the workflow takes none."""
    seed: int
    start: StartPicture | None

    def inputs(self) -> dict[str, Any]:
        """All that decides the take, as plain data."""
        return {
            "workflow": self.workflow.name,
            "graph": self.workflow.sha256,
            "models": sorted({m.file for m in self.workflow.binding.models.values()}),
            "width": self.shape.width,
            "height": self.shape.height,
            "frames": self.shape.frames,
            "fps": self.shape.fps,
            "prompt": self.prompt,
            "negative": self.negative,
            "seed": self.seed,
            "image": self.start.as_dict() if self.start else None,
        }

    @cached_property
    def key(self) -> str:
        """The take's name: hash of all that decides it, and of nothing else."""
        # The workflow's own name says nothing that its graph does not.
        what = {k: v for k, v in self.inputs().items() if k not in ("workflow", "models")}
        return _hash_text(what)


def plan_clip(job: SegmentJob, workflows: dict[str, Workflow]) -> ClipPlan:
    """The take of a job (one with `generate`). Raises EngineFailedError where the picture that it
    is to begin with is not among the segment's media."""
    wish = job.generate
    assert wish is not None
    workflow = workflows["t2v" if wish.from_media is None else "i2v"]
    shape = workflow.shape(job.width, job.height, job.count, job.rate)
    start = None if wish.from_media is None else _plan_start_picture(job, wish.from_media, shape)
    takes_negative = bool(workflow.binding.inputs.negative)
    negative = wish.negative_prompt or workflow.binding.negative if takes_negative else None
    seed = wish.seed
    if seed is None:
        image = start.asset.sha256 if start else None
        seed = int(_hash_text([wish.prompt, wish.negative_prompt, image]), 16) % _SEEDS
    return ClipPlan(workflow, shape, wish.prompt, negative, seed, start)


def _hash_text(what: Any) -> str:
    text = json.dumps(what, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plan_start_picture(job: SegmentJob, asset_id: str, shape: ClipShape) -> StartPicture:
    asset = next((a for a in job.all_assets if a.id == asset_id), None)
    if asset is None or asset.kind == "audio" or not asset.width or not asset.height:
        raise EngineFailedError(
            f"generate.from_media names {asset_id!r}, which is no picture or clip of the segment. "
            "Name one of the segment's media."
        )
    window = covering_crop(asset.width, asset.height, shape.width, shape.height, job.layout.subject)
    ground = (job.background.colors or ["#FFFFFF"])[0]
    return StartPicture(asset, window, job.clip_start, job.rate, ground)


def covering_crop(
    width: int,
    height: int,
    wide: int,
    high: int,
    subject: tuple[float, float, float, float] | None = None,
) -> tuple[int, int, int, int]:
    """The largest part of a picture that has the shape wide x high, about its middle, or about its
    subject (fractions of the picture). Pure."""
    w = min(width, max(1, round(height * wide / high)))
    h = min(height, max(1, round(width * high / wide)))
    x0, y0, x1, y1 = subject or (0.0, 0.0, 1.0, 1.0)
    left = round((x0 + x1) / 2 * width - w / 2)
    top = round((y0 + y1) / 2 * height - h / 2)
    left, top = min(max(left, 0), width - w), min(max(top, 0), height - h)
    return left, top, left + w, top + h


def start_png(start: StartPicture, media: Media, width: int, height: int) -> bytes:
    """The picture as the model is to have it: opaque, of exactly the take's size, so that no node
    of the server scales or crops it. Raises EngineFailedError."""
    from PIL import Image

    from pytoon_pipeline.media.clips import ClipFrames
    from pytoon_pipeline.media.images import load_image
    from pytoon_pipeline.picture.backgrounds import rgb_of
    from pytoon_pipeline.picture.yuv import make_planes, planes_to_rgb

    path = media[start.asset.id]
    try:
        if start.asset.kind == "video":
            clip = ClipFrames(
                path, None, start.rate, start=start.frame, count=1, ground=start.ground
            )
            picture = planes_to_rgb(make_planes(next(iter(clip))))
        else:
            picture = load_image(path)
    except MediaError as error:
        raise EngineFailedError(str(error)) from error
    if picture.shape[2] == 4:
        alpha = picture[..., 3:].astype(np.float32) / 255
        ground = np.array(rgb_of(start.ground), np.float32)
        picture = np.rint(picture[..., :3] * alpha + ground * (1 - alpha)).astype(np.uint8)
    across, down = picture.shape[1] / start.asset.width, picture.shape[0] / start.asset.height
    x0, y0, x1, y1 = start.window
    image = Image.fromarray(np.ascontiguousarray(picture)).resize(
        (width, height),
        Image.Resampling.LANCZOS,
        box=(x0 * across, y0 * down, x1 * across, y1 * down),
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
