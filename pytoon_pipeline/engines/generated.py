"""From a model's take to the footage of its segment: the same for every engine that has takes made.

The take fills the frame, or is the ground before which the compositor draws the segment's own
media, pixel for pixel as it draws them before any other ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pytoon_pipeline.engines.base import Footage, Media, Progress
from pytoon_pipeline.engines.compositor import clips, draw_layers
from pytoon_pipeline.engines.compositor import layers_of as compositor_layers
from pytoon_pipeline.engines.compositor.windows import cover_size
from pytoon_pipeline.errors import EngineFailedError, MediaError
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.retime import RetimedClip, retime_clip
from pytoon_pipeline.picture import backgrounds
from pytoon_pipeline.picture.contrast import (
    TARGET,
    contrast_ratio,
    measure_luminance_behind,
    relative_luminance,
)
from pytoon_pipeline.picture.layers import Layer, TextTile, make_scrim, new_frame
from pytoon_pipeline.picture.yuv import Planes, rgb_to_planes
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment_jobs import JobOverlay, SegmentJob

ON_VEIL = 6.0
"""Contrast of words on a veil: one that makes them merely legible looks like fog."""
LOGO, LOGO_ON_VEIL = 2.0, 3.0
"""Least contrast of a logo that was chosen for the preset's own ground, and the same on a veil."""
MAX_VEIL = 0.9
SAMPLES = 5
"""Frames of a take that are looked at to see what words stand on."""
_GROUND = "generated"


def generated_footage(job: SegmentJob, clip: Path, media: Media, progress: Progress) -> Footage:
    """The footage of a segment from the clip that a model made for it, of any size, rate and
    length. What is drawn between its frames lies in files without a name beside it.

    `progress(0)` is called while the take is brought to the video's rate. Raises EngineFailedError
    when the clip, or a file of the segment, can't be read, or the disk is full."""
    generate = job.generate
    stretch = generate.stretch if generate and generate.stretch else "ping_pong"
    try:
        take = retime_clip(clip, job.rate, job.count, stretch, clip.parent, lambda: progress(0))
        layers: list[Layer | clips.MovingLayer] = [_GeneratedLayer(job, take)]
        layers += _make_scrims(job, media, layers[0])  # type: ignore[arg-type]
        if generate and generate.role == "background":
            layers += _foreground_layers(job, media, clip, take.size)
    except (MediaError, OSError) as error:
        raise EngineFailedError(str(error)) from error
    return draw_layers(job, layers, progress)


# --- the take


class _GeneratedLayer:
    """A take that covers the frame, cropped evenly. It stays as bright as it was asked for: what a
    preset does to blurred copies is not done to it."""

    def __init__(self, job: SegmentJob, take: RetimedClip):
        self.take, self.frame = take, (job.width, job.height)
        self.size = cover_size(*take.size, *self.frame)
        self.smaller = self.size[0] < take.size[0]
        self.left = (self.size[0] - job.width) // 4 * 2
        self.top = (self.size[1] - job.height) // 4 * 2

    def draw(self, frame: Planes, index: int) -> None:
        planes = self.take[index]
        filter = cv2.INTER_AREA if self.smaller else cv2.INTER_LANCZOS4
        luma = cv2.resize(planes[0], self.size, interpolation=filter)
        height, width = frame[0].shape
        np.copyto(frame[0], luma[self.top : self.top + height, self.left : self.left + width])
        for target, source in zip(frame[1:], planes[1:], strict=True):
            self._copy_chroma(target, source)

    def _copy_chroma(self, target: np.ndarray, source: np.ndarray) -> None:
        height, width = target.shape
        if self.smaller:
            size = self.size[0] // 2, self.size[1] // 2
            sized = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
            y, x = self.top // 2, self.left // 2
            np.copyto(target, sized[y : y + height, x : x + width])
            return
        # Chroma lies on even columns and between rows, in the take as in the frame: see `yuv`.
        kx, ky = self.take.size[0] / self.size[0], self.take.size[1] / self.size[1]
        matrix = np.array(
            [
                [kx, 0, ((self.left + 0.5) * kx - 0.5) / 2],
                [0, ky, ((self.top + 1.0) * ky - 1.0) / 2],
            ]
        )
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(
            source, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        np.copyto(target, warped)


def _foreground_layers(
    job: SegmentJob, media: Media, clip: Path, size: tuple[int, int]
) -> list[Layer | clips.MovingLayer]:
    """The segment's own media, with the shadows that they cast, as the compositor draws them before
    a clip: all but the clip itself."""
    asset = Asset(
        id=_GROUND, kind="video", source=clip.name, sha256="0" * 64, width=size[0], height=size[1]
    )
    ground = job.background.model_copy(
        update={"kind": "picture", "media": _GROUND, "blur": 0.0, "parallax": None}
    )
    posed = job.model_copy(update={"background": ground, "background_asset": asset})
    layers = compositor_layers(posed, {**media, _GROUND: clip})
    return [layer for layer in layers if not isinstance(layer, clips.ClipBackground)]


# --- words on what nobody has seen yet


@dataclass(frozen=True)
class _DrawnMark:
    """Words or a logo with nothing of their own behind them."""

    box: Box
    light: float
    """Relative luminance."""
    least: float
    """Contrast to what lies behind it, without a veil."""
    on_veil: float


class _Scrim:
    """A soft veil of a colour over whole rows, which stays."""

    def __init__(self, tile: TextTile):
        self.tile = tile

    def draw(self, frame: Planes, index: int) -> None:
        self.tile.draw(frame)


def _make_scrims(job: SegmentJob, media: Media, take: Layer) -> list[Layer]:
    """The ground's own colour over the rows where words and logo stand that were made for it and
    bring nothing of their own to stand on: as much of it as they need to be read on this take."""
    marks = [
        _DrawnMark(cue.box, relative_luminance(cue.style.color), TARGET, ON_VEIL)
        for cue in job.captions
        if not (cue.style.box or cue.style.stroke or cue.style.scrim)
    ] + [
        _DrawnMark(overlay.box, _logo_light(overlay, media), LOGO, LOGO_ON_VEIL)
        for overlay in job.overlays
        if not overlay.shadow
    ]
    if not marks:
        return []
    samples = []
    for n in range(SAMPLES):
        frame = new_frame(job.width, job.height)
        take.draw(frame, n * (job.count - 1) // (SAMPLES - 1))
        samples.append(frame)
    ground = (job.background.colors or ["#000000"])[0]
    # One veil for what stands above the middle, one for what stands below it.
    scrims: list[Layer] = []
    for high in (True, False):
        stand = [m for m in marks if (m.box[1] + m.box[3] < job.height) is high]
        if not stand:
            continue
        colour = _scrim_colour(ground, stand[0])
        light = relative_luminance(colour)
        strength = max(
            _scrim_strength(mark, *measure_luminance_behind(samples, mark.box), light)
            for mark in stand
        )
        if strength:
            top, bottom = min(m.box[1] for m in stand), max(m.box[3] for m in stand)
            scrims.append(_make_scrim(job, colour, strength, top, bottom, high))
    return scrims


def _scrim_colour(ground: str, mark: _DrawnMark) -> str:
    """The ground's, where the mark can be read on it, as it mostly can."""
    if contrast_ratio(mark.light, relative_luminance(ground)) >= mark.least:
        return ground
    return (
        "#000000"
        if contrast_ratio(mark.light, 0.0) > contrast_ratio(mark.light, 1.0)
        else "#FFFFFF"
    )


def _scrim_strength(mark: _DrawnMark, low: float, high: float, colour: float) -> float:
    """Least share of a colour that takes everything between two luminances far enough from that of
    the mark; 0 where it is legible without."""
    for step in range(19):
        share = step * 0.05
        ends = [
            ((1 - share) * end ** (1 / 2.2) + share * colour ** (1 / 2.2)) ** 2.2
            for end in (low, high)
        ]
        # All on one side of the mark, or some of it is as light as the mark is.
        apart = ends[1] < mark.light or ends[0] > mark.light
        least = mark.on_veil if step else mark.least
        if apart and all(contrast_ratio(mark.light, end) >= least for end in ends):
            return share
    return MAX_VEIL


def _make_scrim(
    job: SegmentJob, colour: str, strength: float, top: int, bottom: int, high: bool
) -> _Scrim:
    # From the nearer edge of the frame, fading out beyond the words, as finishing lays its shades.
    rows = (0, bottom) if high else (top, job.height)
    tile = make_scrim(job.width, job.height, *rows, strength, job.height // 6)
    assert tile is not None, "it has some strength"
    planes = rgb_to_planes(backgrounds.draw_flat(2, 2, colour))
    coloured = tuple(
        np.full_like(own, plane[0, 0]) for own, plane in zip(tile.planes, planes, strict=True)
    )
    return _Scrim(TextTile(coloured, tile.alpha, tile.x, tile.y))  # type: ignore[arg-type]


def _logo_light(overlay: JobOverlay, media: Media) -> float:
    """Mean relative luminance of a logo's own pixels."""
    picture = load_image(media[overlay.asset])
    seen = picture[picture[..., 3] > 127] if picture.shape[2] == 4 else picture
    if not seen.size:
        return 1.0
    values = (seen[..., :3].reshape(-1, 3).astype(np.float32) / 255) ** 2.2
    return float((values @ np.array([0.2126, 0.7152, 0.0722], np.float32)).mean())
