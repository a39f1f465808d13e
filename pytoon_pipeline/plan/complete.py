"""The complete plan: a RenderSpec without gaps, which nothing changes any more.

`RenderSpec` is what a person may write, with most fields left out; the compiler fills them and ends
with a `Plan`. The stages, the engines and the checks take nothing else, so that none of them has to
ask whether a field is there.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.segment import (
    Background,
    Layout,
    Motion,
    Segment,
    SegmentType,
    Transition,
)
from pytoon_pipeline.plan.sound import Audio
from pytoon_pipeline.plan.text import Caption, Overlay


class PlanSegment(Segment):
    """A segment of which all that the compositor needs is decided."""

    model_config = ConfigDict(frozen=True)

    type: SegmentType
    duration: Annotated[float, Field(gt=0, le=60)]
    transition: Transition
    background: Background
    layout: Layout
    motion: Motion


class Plan(RenderSpec):
    """The whole plan of a video, as it is stored in `render_spec.json`: the format is RenderSpec's.

    Raises pydantic's ValidationError for a spec that is not complete.
    """

    model_config = ConfigDict(frozen=True)

    preset: str
    duration: Annotated[float, Field(gt=0, le=60)]
    # A list of the narrower type: the plan is frozen, so nobody puts a plain Segment into it.
    segments: list[PlanSegment] = Field(min_length=1, max_length=60)  # type: ignore[assignment]
    captions: list[Caption] = Field(max_length=1000)
    audio: Audio
    overlays: list[Overlay] = Field(max_length=100)


def complete_plan(spec: RenderSpec) -> Plan:
    """The plan that a compiled spec is. Raises ValidationError where something is missing."""
    return Plan.model_validate(spec.model_dump())
