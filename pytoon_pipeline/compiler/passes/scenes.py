"""Which line of text goes over which picture."""

from __future__ import annotations

from pytoon_pipeline.compiler.draft import BriefLine, PlanDraft
from pytoon_pipeline.compiler.passes.end_card import add_end_card
from pytoon_pipeline.compiler.passes.generated import (
    place_generated,
    settle_generated,
    time_generated,
)
from pytoon_pipeline.plan.model import Segment


def plan_scenes(d: PlanDraft) -> None:
    if d.brief is not None and d.brief.generate:
        place_generated(d)
    for i, segment in enumerate(d.spec.segments):
        if not segment.id:
            segment.id = f"s{i + 1}"
        d.fields.setdefault(segment.id, f"segments[{i}]")
        if segment.type is None:
            segment.type = _type_of(d, segment)
    if d.brief is None:
        ids = [s.id for s in d.spec.segments]
        if len(set(ids)) < len(ids):
            d.error("segment.id", "two segments have the same id.", "Number them.", "segments")
        _check_segments(d)
        d.lines = [_spec_lines(d, i, s) for i, s in enumerate(d.spec.segments)]
    else:
        d.lines = _brief_lines(d)
        add_end_card(d)
    settle_generated(d)
    time_generated(d)


def _type_of(d: PlanDraft, segment: Segment) -> str:
    if segment.generate:
        return "generated"
    if not segment.media:
        return "text"
    return "video" if d.spec.asset(segment.media[0]).kind == "video" else "image"


def _check_segments(d: PlanDraft) -> None:
    for segment in d.spec.segments:
        field = d.fields[segment.id]
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


def _spec_lines(d: PlanDraft, i: int, segment: Segment) -> list[BriefLine]:
    """A hand-written segment's own text. The first is set as a hook, the others as beats, unless
    they name another style."""
    if not segment.text:
        return []
    base = segment.text_style.base if segment.text_style else None
    role = base if base in ("hook", "beat", "cta") else "hook" if i == 0 else "beat"
    return [BriefLine(role, segment.text, f"{d.fields[segment.id]}.text", role)]


def _brief_lines(d: PlanDraft) -> list[list[BriefLine]]:
    """Hook first, call to action last, beats spread evenly over what lies between."""
    brief, segments = d.brief, d.spec.segments
    assert brief is not None
    lines: list[list[BriefLine]] = [[] for _ in segments]
    if not segments:
        return lines
    for i, segment in enumerate(segments):
        if segment.text:
            lines[i].append(BriefLine("beat", segment.text, f"{d.fields[segment.id]}.text", "beat"))
    last = len(segments) - 1
    if brief.hook:
        lines[0].insert(0, BriefLine("hook", brief.hook, "hook", "hook"))
    places = [i for i in range(len(segments)) if not lines[i] and not (brief.cta and i == last)]
    places = places or [i for i in range(len(segments)) if not (brief.cta and i == last and last)]
    count = len(brief.beats)
    for j, beat in enumerate(brief.beats):
        # Fewer lines than pictures: each in the middle of its share of them.
        k = (2 * j + 1) * len(places) // (2 * count) if count else 0
        lines[places[k]].append(BriefLine("beat", beat, f"beats[{j}]", "beat"))
    if brief.cta:
        lines[last].append(BriefLine("cta", brief.cta, "cta", "cta"))
    return lines
