"""How long each segment stays, in whole frames, so that every line can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytoon_pipeline.compiler.draft import BriefLine, PlanDraft
from pytoon_pipeline.plan.segment import Segment
from pytoon_pipeline.plan.timeline import frames_of, seconds_of

READ_PAUSE = 0.4
"""Seconds that a line stays beyond the reading of its characters."""


def reading_seconds(d: PlanDraft, text: str) -> float:
    """Least time on screen of a line: its characters at the reading speed of the platform facts."""
    rules = d.facts.captions
    return max(rules.cue_seconds[0], len(text) / rules.max_chars_per_second)


def _needed_seconds(d: PlanDraft, lines: Sequence[BriefLine]) -> float:
    """Least seconds of a segment for its lines; those that hold all through need no share."""
    return sum(reading_seconds(d, line.text) + READ_PAUSE for line in lines) + (
        READ_PAUSE if lines else 0.0
    )


def _clip_room(d: PlanDraft, segment: Segment) -> float | None:
    """Seconds of a clip from where the segment begins; None for anything but clips."""
    if segment.type != "video" or not segment.media:
        return None
    asset, rate = d.spec.asset(segment.media[0]), d.spec.frame_rate
    # Whole frames, down: the part of a frame at a clip's end is no frame.
    return max(0, int(((asset.seconds or 0.0) - segment.audio.start) * rate)) / rate


def set_durations(d: PlanDraft) -> None:
    pacing = d.preset.pacing
    if not d.scenes:
        return
    limit = d.spec.constraints.max_duration
    wanted: list[float] = []
    least: list[float] = []
    for scene in d.scenes:
        segment = scene.segment
        needed = _needed_seconds(d, scene.lines)
        room = _clip_room(d, segment)
        if segment.duration is not None:
            wanted.append(segment.duration)
        elif room is not None:
            usual = min(room, pacing.clip) if room >= pacing.shortest else pacing.shortest
            # A line that needs longer than the usual cut gets more of the clip, if there is more.
            wanted.append(max(usual, min(room, needed)))
        else:
            wanted.append(max(pacing.still, needed))
        least.append(min(wanted[-1], max(needed, pacing.shortest)))
    total = sum(wanted)
    asked = (d.brief.duration if d.brief else d.spec.duration) or None
    if asked is None and d.spec.audio and d.spec.audio.voice:
        asked = _time_for_voice(d, total, limit)
    target = min(asked or total, limit)
    free = [scene.segment.duration is None for scene in d.scenes]
    if total < target:
        wanted = _stretch_durations(wanted, free, target)
    elif total > target + 1e-9:
        shorter = _shorten_durations(wanted, least, target)
        if shorter is None:
            _refuse_length(d, least, target, asked)
            return
        wanted = shorter
        d.note(
            f"The material would run {total:.1f} s; all segments were shortened evenly "
            f"to {target:g} s."
        )
    _write_durations(d, wanted)


def _refuse_length(d: PlanDraft, least: list[float], target: float, asked: float | None) -> None:
    """Says what the time is needed for, and those ways out of it that lead out."""
    total, limit = sum(least), d.spec.constraints.max_duration
    card = least[-1] if d.end_card else 0.0
    scenes = d.content_scenes
    shown = least[: len(scenes)]
    lines = [line for scene in scenes for line in scene.lines]
    kinds = [scene.segment.type for scene in scenes]
    parts = [
        count_of(sum(kind == k for kind in kinds), word)
        for k, word in (
            ("image", "picture"),
            ("video", "clip"),
            ("text", "text card"),
            ("generated", "generated scene"),
        )
        if k in kinds
    ]
    parts += [count_of(len(lines), "line")] if lines else []
    parts += [f"the end card ({card:.1f} s)"] if card else []
    remedies = []
    if asked and math.ceil(total) <= limit:
        remedies.append(f"write duration: {math.ceil(total - 1e-6)}")
    if card and d.brief is not None and total - card <= target + 1e-9:
        remedies.append("leave the end card out with end_card: false")
    words = sum(
        max(0.0, need - max(d.preset.pacing.shortest, READ_PAUSE + len(scene.lines) * _MIN_LINE))
        for need, scene in zip(shown, scenes, strict=True)
    )
    over = total - target
    if lines and words >= over:
        fewer = math.ceil(over * d.facts.captions.max_chars_per_second)
        remedies.append(f"shorten the lines by {fewer} characters in all")
    # The shortest last, so that as few as possible go.
    kept, left, most = 0, target - card, sorted(shown)
    while kept < len(most) and most[kept] <= left + 1e-9:
        left, kept = left - most[kept], kept + 1
    if 0 < kept < len(shown):
        remedies.append(
            f"take out {count_of(len(shown) - kept, 'picture')} with what is said there"
        )
    remedy = ", or ".join(remedies) or "give the video more time, or say and show less"
    d.error(
        "duration.too_much",
        f"{_join_parts(parts)} need {total:.1f} s; {target:g} s are possible.",
        f"{remedy[:1].upper()}{remedy[1:]}.",
        "duration" if asked else "media" if d.brief else "segments",
    )


_MIN_LINE = 0.83 + READ_PAUSE
"""Seconds that the shortest line needs."""


def count_of(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _join_parts(parts: list[str]) -> str:
    return " and ".join(p for p in (", ".join(parts[:-1]), parts[-1]) if p)


def _time_for_voice(d: PlanDraft, total: float, limit: float) -> float | None:
    """A voice that outlasts the pictures makes the stills longer."""
    assert d.spec.audio and d.spec.audio.voice
    voice = d.spec.audio.voice
    end = voice.start + (d.spec.asset(voice.media).seconds or 0.0) + 0.6
    if end <= total:
        return None
    if end > limit:
        d.warn(
            "voice.too_long",
            f"the voice would end at {end:.1f} s; the video ends at {limit:g} s.",
            "Shorten the recording.",
            "voice",
        )
    d.note(f"The video was made as long as its voice: {min(end, limit):.1f} s.")
    return min(end, limit)


def _stretch_durations(wanted: list[float], free: list[bool], target: float) -> list[float]:
    """Longer, in proportion: what the brief left open first, all where it left nothing open."""
    movable = free if any(free) else [True] * len(wanted)
    fixed = sum(w for w, m in zip(wanted, movable, strict=True) if not m)
    factor = (target - fixed) / (sum(wanted) - fixed)
    return [w * factor if m else w for w, m in zip(wanted, movable, strict=True)]


def _shorten_durations(
    wanted: list[float], least: list[float], target: float
) -> list[float] | None:
    """Shorter by one factor, none below its least; None where the least are too much."""
    if sum(least) > target + 1e-9:
        return None
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        fits = sum(max(m, w * middle) for w, m in zip(wanted, least, strict=True)) <= target
        low, high = (middle, high) if fits else (low, middle)
    return [max(m, w * low) for w, m in zip(wanted, least, strict=True)]


def _write_durations(d: PlanDraft, durations: list[float]) -> None:
    """Whole frames: the cuts are rounded, so that the sum is exact."""
    rate, total, last = d.spec.frame_rate, 0.0, 0
    for i, (scene, duration) in enumerate(zip(d.scenes, durations, strict=True)):
        segment = scene.segment
        total = round(total + duration, 6)
        cut = frames_of(total, rate)
        if cut - last < 2:
            d.error(
                "segment.too_short",
                f"{duration:g} s is less than two frames.",
                "Give it at least half a second.",
                f"{scene.origin}.duration",
            )
            cut = last + 2
        room = _clip_room(d, segment)
        segment.duration = seconds_of(cut - last, rate)
        if room is not None and segment.duration > room + 0.5 / rate:
            d.note(
                f"{d.spec.asset(segment.media[0]).source} has {room:.1f} s for a segment of "
                f"{segment.duration:.1f} s; it starts again from its beginning."
            )
        last = cut
        if i == len(durations) - 1:
            d.spec.duration = seconds_of(cut, rate)
    least = d.facts.delivery.min_seconds
    if d.spec.duration is not None and d.spec.duration < least:
        d.warn(
            "duration.short",
            f"the video is {d.spec.duration:.1f} s long; platforms take no less than {least:g} s.",
            "Add pictures, or set `duration`.",
            "duration",
        )
