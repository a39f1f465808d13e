"""How each segment gives way to the next."""

from __future__ import annotations

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.end_card import end_transition
from pytoon_pipeline.plan.segment import Transition
from pytoon_pipeline.plan.timeline import body_frames, frames_of, longest_window, seconds_of


def set_transitions(d: PlanDraft) -> None:
    segments, rate = d.spec.segments, d.spec.frame_rate
    if any(s.duration is None for s in segments) or not segments:
        return
    chosen = d.preset.transitions
    kinds = [k for k in _usual_transitions(d) if k in d.spec.constraints.transitions]
    lengths = body_frames([s.duration for s in segments], rate)  # type: ignore[misc]
    for i, segment in enumerate(segments):
        if i == len(segments) - 1:
            if segment.transition and segment.transition.kind != "cut":
                d.note(f"{segment.id} is the last segment; its transition leads nowhere.")
            segment.transition = Transition(kind="cut", duration=0)
            continue
        transition = segment.transition or Transition(kind=kinds[i % len(kinds)])
        if i == len(segments) - 2 and d.end_card:
            transition = end_transition(d)
        if transition.kind not in d.spec.constraints.transitions:
            d.note(f"{segment.id}: {transition.kind!r} is not brand safe here; cut instead.")
            transition = Transition(kind="cut")
        wanted = transition.duration
        if wanted is None:
            wanted = chosen.seconds or 0.4
        frames = 0
        if transition.kind != "cut":
            frames = min(
                frames_of(wanted, rate) // 2 * 2, longest_window(lengths[i], lengths[i + 1])
            )
        if frames == 0:
            transition = Transition(kind="cut")
        segment.transition = Transition(kind=transition.kind, duration=seconds_of(frames, rate))


def _usual_transitions(d: PlanDraft) -> list[str]:
    """The preset's own order; the livelier one where the plan may move more than is brand safe."""
    calm = d.spec.constraints.max_motion <= d.preset.motion.amount
    return list(d.preset.transitions.kinds if calm else d.preset.transitions.lively)
