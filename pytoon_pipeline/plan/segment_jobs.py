"""A segment job: all that goes into one segment file, and nothing else.

It is cut out of a complete Plan and carries frames, pixels and hashes only, so that its
fingerprint changes exactly when the segment's pixels would. It is what an engine receives.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.briefs.model import Archetype
from pytoon_pipeline.plan.complete import Plan, PlanSegment
from pytoon_pipeline.plan.fields import Box, SpecModel
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Background, Generate, Layout, Motion
from pytoon_pipeline.plan.text import TypeStyle
from pytoon_pipeline.plan.timeline import SegmentSpan, Timeline, frames_of

MOVING_TRANSITIONS = ("slide", "zoom", "wipe")
"""Transitions with a movement of their own. What both neighbours show alike (watermark, a caption
that runs across the cut) must stand still in them, so it is left out of the handles and drawn
after."""


class _JobLayer(SpecModel):
    """Something laid over the footage, in frames of the segment file; `first` may be negative and
    `end` beyond it."""

    first: int
    end: int
    shared_head: bool = Field(False, description="The linker draws it in the head window.")
    shared_tail: bool = False


class JobCaption(_JobLayer):
    """A cue."""

    text: str
    style: TypeStyle
    box: Box
    align_y: str
    entrance: bool = True
    exit: bool = True


class JobOverlay(_JobLayer):
    """A picture over the segment."""

    asset: str
    box: Box
    opacity: float
    shadow: float


class JobBadge(_JobLayer):
    """A sticker over the segment."""

    text: str
    style: TypeStyle
    shape: str
    color: str
    rotation: float
    box: Box
    opacity: float
    shadow: float


class SegmentJob(SpecModel):
    """One segment, ready to render."""

    segment_id: str
    archetype: Archetype
    language: str = "en"
    type: str
    width: int
    height: int
    rate: int
    head: int
    body: int
    tail: int
    media: list[Asset]
    background: Background
    background_asset: Asset | None = None
    layout: Layout
    motion: Motion
    clip_start: int = Field(0, description="Frame of the clip that the body begins at.")
    generate: Generate | None = None
    allow_regeneration: bool = False
    brand_safe: bool = True
    captions: list[JobCaption] = Field(default_factory=list)
    overlays: list[JobOverlay] = Field(default_factory=list)
    overlay_assets: list[Asset] = Field(default_factory=list)
    badges: list[JobBadge] = Field(default_factory=list)
    clean_head: bool = Field(False, description="Leave what is shared out of the head window.")
    clean_tail: bool = False

    @property
    def span(self) -> SegmentSpan:
        return SegmentSpan(self.head, self.body, self.head, self.tail)

    @property
    def count(self) -> int:
        """Frames of the segment file, handles included."""
        return self.head + self.body + self.tail

    @property
    def is_redrawn(self) -> bool:
        """Would a model draw the segment's own media anew?"""
        return self.generate is not None and self.generate.from_media is not None

    @property
    def all_assets(self) -> list[Asset]:
        ground = [self.background_asset] if self.background_asset else []
        return [*self.media, *ground, *self.overlay_assets]

    def canonical_data(self) -> dict[str, Any]:
        """The job as plain data, free of names that don't reach the pixels: a file renamed, or a
        segment moved, is the same footage."""
        data = self.model_dump(mode="json", exclude={"segment_id"})
        renamed = {a.id: f"sha256:{a.sha256}" for a in self.all_assets}
        kept = ("kind", "sha256", "width", "height", "seconds", "has_alpha")
        for key in ("media", "overlay_assets"):
            data[key] = [{k: a[k] for k in kept} for a in data[key]]
        if data["background_asset"]:
            data["background_asset"] = {k: data["background_asset"][k] for k in kept}
            data["background"]["media"] = renamed[data["background"]["media"]]
        if data["generate"] and data["generate"]["from_media"]:
            data["generate"]["from_media"] = renamed[data["generate"]["from_media"]]
        for overlay in data["overlays"]:
            overlay["asset"] = renamed[overlay["asset"]]
        return data


def segment_fingerprint(job: SegmentJob, look: dict[str, Any], engine: dict[str, Any]) -> str:
    """Name of the segment in the store: hash of the canonical job, of the look's own files (fonts
    by hash, encoder settings and version) and of the engine's inputs."""
    content = {
        "job": job.canonical_data(),
        "look": look,
        "engine": engine,
        "renderer": RENDERER_VERSION,
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _crosses_cut(first: int, end: int, cut: int) -> bool:
    return first < cut < end


@dataclass(frozen=True)
class _SegmentFrames:
    """Where a segment lies in the video, and what its neighbours do there."""

    span: SegmentSpan
    clean_head: bool
    clean_tail: bool

    @property
    def start(self) -> int:
        return self.span.start

    @property
    def end(self) -> int:
        return self.span.start + self.span.body

    def shows(self, first: int, last: int) -> bool:
        """Is something with these frames of the video in the segment's file at all?"""
        return first < self.span.first + self.span.count and last > self.span.first


def segment_jobs(spec: Plan, line: Timeline) -> list[SegmentJob]:
    """The jobs of a plan, in order."""
    kinds = {w.left: w.kind for w in line.windows}
    return [
        _segment_job(
            spec,
            segment,
            _SegmentFrames(
                span,
                clean_head=kinds.get(i - 1) in MOVING_TRANSITIONS,
                clean_tail=kinds.get(i) in MOVING_TRANSITIONS,
            ),
            line,
        )
        for i, (segment, span) in enumerate(zip(spec.segments, line.spans, strict=True))
    ]


def _segment_job(
    spec: Plan, segment: PlanSegment, frames: _SegmentFrames, line: Timeline
) -> SegmentJob:
    size, span = spec.resolution, frames.span
    overlays, badges = _overlays_of(spec, frames, line)
    assets = {overlay.asset: spec.asset(overlay.asset) for overlay in overlays}
    background = segment.background
    return SegmentJob(
        segment_id=segment.id,
        archetype=spec.archetype,
        language=spec.locale,
        type=segment.type,
        width=size.width,
        height=size.height,
        rate=spec.frame_rate,
        head=span.head,
        body=span.body,
        tail=span.tail,
        media=[spec.asset(m) for m in segment.media],
        background=background,
        background_asset=spec.asset(background.media) if background.media else None,
        layout=segment.layout,
        motion=segment.motion,
        clip_start=frames_of(segment.audio.start, spec.frame_rate),
        generate=segment.generate,
        allow_regeneration=spec.constraints.allow_regeneration,
        brand_safe=spec.brand_safe,
        captions=_captions_of(spec, frames, line),
        overlays=overlays,
        overlay_assets=list(assets.values()),
        badges=badges,
        clean_head=frames.clean_head,
        clean_tail=frames.clean_tail,
    )


def _captions_of(spec: Plan, frames: _SegmentFrames, line: Timeline) -> list[JobCaption]:
    """The cues that a segment shows, in frames of its file."""
    rate, start, end = spec.frame_rate, frames.start, frames.end
    # Frames at which a cue follows on its predecessor without a pause: neither fades there.
    taken_over = {frames_of(c.start, rate) for c in spec.captions if not c.entrance}
    captions = []
    for cue in spec.captions:
        first, last = frames_of(cue.start, rate), frames_of(cue.end, rate)
        # A cue that ends at a cut belongs to one side of it: it must not show in the other's
        # handle, where it would flash up within the transition.
        if not (first < end and last > start):
            continue
        captions.append(
            JobCaption(
                text=cue.text,
                style=spec.styles[cue.style],
                box=cue.box,
                align_y=cue.align_y,
                first=first - frames.span.first,
                end=last - frames.span.first,
                entrance=cue.entrance,
                exit=last < line.frames and last not in taken_over,
                shared_head=frames.clean_head and _crosses_cut(first, last, start),
                shared_tail=frames.clean_tail and _crosses_cut(first, last, end),
            )
        )
    return captions


def _overlays_of(
    spec: Plan, frames: _SegmentFrames, line: Timeline
) -> tuple[list[JobOverlay], list[JobBadge]]:
    """The pictures and the badges over a segment, in frames of its file."""
    rate, size, span = spec.frame_rate, spec.resolution, frames.span
    start, end = frames.start, frames.end
    overlays: list[JobOverlay] = []
    badges: list[JobBadge] = []
    for overlay in spec.overlays:
        first = frames_of(overlay.start or 0, rate)
        last = line.frames if overlay.end is None else frames_of(overlay.end, rate)
        # One that ends within the transition into this segment goes with the one before.
        if not frames.shows(first, last) or first < start < last <= start + span.head:
            continue
        stays = last > end + span.tail
        common: dict[str, Any] = {
            "box": overlay.box or (0, 0, size.width, size.height),
            "opacity": overlay.opacity,
            "shadow": overlay.shadow,
            "first": first - span.first,
            "end": last - span.first,
            "shared_head": frames.clean_head and _crosses_cut(first, last, start),
            "shared_tail": frames.clean_tail and stays and _crosses_cut(first, last, end),
        }
        if overlay.type == "badge":
            badges.append(
                JobBadge(
                    text=overlay.text or "",
                    style=spec.styles[overlay.style or "badge"],
                    shape=overlay.shape or "round",
                    color=overlay.color or "#000000",
                    rotation=overlay.rotation or 0.0,
                    **common,
                )
            )
        else:
            overlays.append(JobOverlay(asset=overlay.media, **common))
    return overlays, badges
