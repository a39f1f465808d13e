"""Which line of text goes over which picture."""

from __future__ import annotations

from typing import cast, get_args

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.compiler.draft import BriefLine, PlanDraft, Scene
from pytoon_pipeline.compiler.passes.end_card import add_end_card
from pytoon_pipeline.compiler.passes.generated import (
    place_generated,
    settle_generated,
    time_generated,
)
from pytoon_pipeline.plan.segment import Segment, SegmentType
from pytoon_pipeline.plan.text import CaptionRole


def plan_scenes(d: PlanDraft) -> None:
    if d.brief is not None and d.brief.generate:
        place_generated(d)
    for i, segment in enumerate(d.spec.segments):
        if not segment.id:
            segment.id = f"s{i + 1}"
        if segment.type is None:
            segment.type = _type_of(d, segment)
    if d.brief is None:
        ids = [s.id for s in d.spec.segments]
        if len(set(ids)) < len(ids):
            d.error("segment.id", "two segments have the same id.", "Number them.", "segments")
        _check_segments(d)
        for i, scene in enumerate(d.scenes):
            scene.lines = _spec_lines(i, scene)
    else:
        _share_out_lines(d.brief, d.scenes)
        add_end_card(d, d.brief)
    settle_generated(d)
    time_generated(d)


def _type_of(d: PlanDraft, segment: Segment) -> SegmentType:
    if segment.generate:
        return "generated"
    if not segment.media:
        return "text"
    return "video" if d.spec.asset(segment.media[0]).kind == "video" else "image"


def _check_segments(d: PlanDraft) -> None:
    for scene in d.scenes:
        segment, field = scene.segment, scene.origin
        broken = any((p.field or "").startswith(field) for p in d.problems)
        if segment.type in ("image", "video") and not segment.media and not broken:
            d.error(
                "media.none",
                "the segment has no media.",
                "Name a file, or write type: text.",
                f"{field}.media",
            )
        if segment.type == "text" and not segment.text and not segment.media and not broken:
            d.error(
                "segment.empty", "the segment shows nothing.", "Give it media or a text.", field
            )
        if segment.type == "generated" and not segment.generate:
            d.error("generate.none", "there is no prompt.", "Add `generate:`.", field)


def _spec_lines(i: int, scene: Scene) -> list[BriefLine]:
    """A hand-written segment's own text. The first is set as a hook, the others as beats, unless
    they name another style."""
    segment = scene.segment
    if not segment.text:
        return []
    base = segment.text_style.base if segment.text_style else None
    role: CaptionRole = "hook" if i == 0 else "beat"
    if base in get_args(CaptionRole):
        role = cast(CaptionRole, base)
    return [BriefLine(role, segment.text, f"{scene.origin}.text", role)]


def _share_out_lines(brief: Brief, scenes: list[Scene]) -> None:
    """Hook first, call to action last, beats spread evenly over what lies between."""
    if not scenes:
        return
    for scene in scenes:
        text = scene.segment.text
        scene.lines = [BriefLine("beat", text, f"{scene.origin}.text", "beat")] if text else []
    last = len(scenes) - 1
    if brief.hook:
        scenes[0].lines.insert(0, BriefLine("hook", brief.hook, "hook", "hook"))
    free = [s for i, s in enumerate(scenes) if not s.lines and not (brief.cta and i == last)]
    free = free or [s for i, s in enumerate(scenes) if not (brief.cta and i == last and last)]
    count = len(brief.beats)
    for j, beat in enumerate(brief.beats):
        # Fewer lines than pictures: each in the middle of its share of them.
        k = (2 * j + 1) * len(free) // (2 * count)
        free[k].lines.append(BriefLine("beat", beat, f"beats[{j}]", "beat"))
    if brief.cta:
        scenes[last].lines.append(BriefLine("cta", brief.cta, "cta", "cta"))
