"""Camera movement: varied from segment to segment, the same in every run."""

from __future__ import annotations

import hashlib

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.plan.segment import Motion, Segment

TINY = 32
"""Pixels of the longer side below which a picture is a blur at best."""


def set_motion(d: PlanDraft) -> None:
    preset, limits = d.preset.motion, d.spec.constraints
    kinds = [k for k in preset.kinds if k in limits.motions] or ["still"]
    first = _starting_point(d) % len(kinds)
    for i, segment in enumerate(d.spec.segments):
        if segment.motion is None:
            kind = kinds[(first + i) % len(kinds)]
            segment.motion = Motion(
                kind=_fitting_motion(segment, kind),
                amount=limits.max_motion,
                focus=_motion_focus(segment),
            )
        if segment.type == "text" or _is_tiny(d, segment):
            segment.motion = Motion(kind="still", amount=0)
        if segment.motion.kind not in limits.motions:
            d.note(f"{segment.id}: the motion {segment.motion.kind!r} is not brand safe here.")
            segment.motion = segment.motion.model_copy(update={"kind": "still"})
        if segment.motion.amount > limits.max_motion:
            segment.motion = segment.motion.model_copy(update={"amount": limits.max_motion})


def _is_tiny(d: PlanDraft, segment: Segment) -> bool:
    """A picture of so few pixels that nothing in it could be seen to move."""
    if segment.type != "image" or not segment.media:
        return False
    asset = d.spec.asset(segment.media[0])
    sides = asset.width or 0, asset.height or 0
    return max(sides) < TINY


def _starting_point(d: PlanDraft) -> int:
    """Which of the preset's motions comes first: by the opening picture, so that two videos of a
    campaign differ and two runs of one do not, and no edit of a text moves a camera."""
    first = d.spec.segments[0].media if d.spec.segments else []
    opening = d.spec.asset(first[0]).sha256 if first else d.spec.archetype
    return int.from_bytes(hashlib.sha256(opening.encode()).digest()[:4], "big")


def _fitting_motion(segment: Segment, kind: str) -> str:
    """A clip moves by itself; a cut-out has no frame to be panned in, and a declared subject leaves
    no room for it."""
    if segment.type == "video":
        return "still"
    layout = segment.layout
    if layout is not None and (layout.fit == "cutout" or layout.places or layout.subject):
        return {"pan_up": "push_in", "pan_down": "push_in"}.get(
            kind, "pull_out" if kind.startswith("pan_") else kind
        )
    return kind


def _motion_focus(segment: Segment) -> tuple[float, float]:
    box = segment.layout.subject if segment.layout else None
    if box is None:
        return 0.5, 0.5
    return round((box[0] + box[2]) / 2, 4), round((box[1] + box[3]) / 2, 4)
