"""Lines become cues: split to fit, timed to be read, placed where the platforms leave room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pytoon_pipeline.compiler.draft import BriefLine, PlanDraft
from pytoon_pipeline.compiler.passes.end_card import end_cues
from pytoon_pipeline.compiler.passes.pacing import reading_seconds
from pytoon_pipeline.compiler.passes.wording import (
    named_style,
    note_emoji,
    split_line,
    words_language,
)
from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.errors import Problem, UserError, quote_text
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.text import Caption, TypeStyle
from pytoon_pipeline.plan.timeline import build_timeline, frames_of, seconds_of

MAX_CUES = 12
"""One line of a brief is split over time into at most so many cues."""
MARK_GAP = 28
"""Pixels of a 1080-wide frame between a watermark and the text below or above it."""


HURRY = 2.0
"""A text that a person gave a short segment may run this much faster than it is easily read (with a
warning); beyond that nobody can read it."""


def set_captions(d: PlanDraft) -> None:
    timed = all(s.duration is not None for s in d.spec.segments)
    if d.spec.captions is not None:
        _check_given(d)
        return
    cues: list[Caption] = []
    for i, scene in enumerate(d.scenes):
        if scene.is_end_card:
            if timed and not d.broken:
                cues.extend(end_cues(d, scene))
            continue
        parts: list[tuple[BriefLine, Box, list[str]]] = []
        for line in scene.lines:
            placed = _set_line(d, line)
            if placed:
                line, box, texts = placed
                parts.append((_even_sizes(d, line, box, texts), box, texts))
        if timed and parts and not d.broken:
            cues.extend(_time_cues(d, i, parts))
    if not d.broken:
        d.spec.captions = [
            cue.model_copy(update={"id": f"c{n + 1}"})
            for n, cue in enumerate(sorted(cues, key=lambda c: (c.start, c.role != "hook")))
        ]


def area_of(d: PlanDraft, line: BriefLine, style: TypeStyle) -> Box:
    """Where a line may stand: the role's or the preset's own area, else the clear box less the
    watermark."""
    preset = getattr(d.preset.type, line.role)
    own = preset.area or d.preset.text_area
    if own is not None and not line.style.endswith("_card"):
        area = d.box(own)
        if area[0] >= area[2] or not _is_inside(area, d.clear_box):
            x0, y0, x1, y1 = area
            c = d.clear_box
            area = (max(x0, c[0]), max(y0, c[1]), min(x1, c[2]), min(y1, c[3]))
    else:
        area = d.clear_box
    x0, y0, x1, y1 = area
    gap = round(MARK_GAP * d.scale)
    for overlay in d.spec.overlays or []:
        if overlay.type == "badge":
            continue  # Set after the captions, where they leave room.
        if overlay.box is None or overlay.box[0] >= x1 or overlay.box[2] <= x0:
            continue
        if overlay.place.startswith("top") and overlay.box[3] + gap > y0:
            y0 = max(y0, overlay.box[3] + gap)
        elif overlay.place.startswith("bottom") and overlay.box[1] - gap < y1:
            y1 = min(y1, overlay.box[1] - gap)
    pad = 2 * style.box.pad_y if style.box else 0
    height = math.ceil(
        style.max_px * (style.max_lines * style.line_height + pad + 2 * style.stroke + 0.3)
    )
    height = min(height, y1 - y0)
    if style.place == "top":
        return x0, y0, x1, y0 + height
    if style.place == "bottom":
        return x0, y1 - height, x1, y1
    middle = (y0 + y1) // 2
    return x0, middle - height // 2, x1, middle - height // 2 + height


def _is_inside(box: Box, area: Box) -> bool:
    return box[0] >= area[0] and box[1] >= area[1] and box[2] <= area[2] and box[3] <= area[3]


def _set_line(d: PlanDraft, line: BriefLine) -> tuple[BriefLine, Box, list[str]] | None:
    """The line in a style in which it fits, its area, and its cues, each of which fits there; None
    with the problem said."""
    style = d.spec.styles[line.style]
    box = area_of(d, line, style)
    width, height = box[2] - box[0], box[3] - box[1]
    if width < style.min_px or height < style.min_px:
        d.error(
            "caption.no_room",
            "there is no room for this text beside the logo.",
            "Make the watermark smaller.",
            line.field,
            box=box,
        )
        return None
    try:
        style, cues = split_line(d, line.text, style, line.field, width, height)
    except UserError as error:
        for p in error.problems:
            d.problems.append(
                Problem(p.code, p.message, p.remedy, "error", d.file, line.field, box=box)
            )
        return None
    if not cues:
        d.error("field.empty", "is empty.", "Write something, or leave it out.", line.field)
        return None
    if len(cues) > MAX_CUES:
        d.error(
            "caption.too_long",
            f"the text fills {len(cues)} captions, one after the other; {MAX_CUES} are possible.",
            "A caption is a line or two: keep the strongest, and give others to other pictures.",
            line.field,
            box=box,
        )
        return None
    return replace(line, style=named_style(d, line.style, style)), box, cues


def _even_sizes(d: PlanDraft, line: BriefLine, box: Box, cues: list[str]) -> BriefLine:
    """The parts of a line that was split are set in one size: that in which the longest fits."""
    style = d.spec.styles[line.style]
    shaped = text_style(style, style.place, words_language(d))
    width, height = box[2] - box[0], box[3] - box[1]
    found = [fit_text(cue, shaped, width, height, d.shop.fonts) for cue in cues]
    sizes = {fitted.size for fitted in found if fitted}
    if len(sizes) < 2:
        return line
    name = f"{line.style}_{min(sizes)}"
    even = style.model_copy(update={"max_px": min(sizes), "min_px": min(sizes)})
    d.spec.styles.setdefault(name, even)
    return replace(line, style=name)


def _caption_frames(d: PlanDraft, i: int) -> tuple[int, int]:
    """Frames of the video in which the cues of a segment may be seen: outside its transitions."""
    line = build_timeline(d.spec)
    span = line.spans[i]
    return span.start + span.head, span.start + span.body - span.tail


def _time_cues(
    d: PlanDraft, i: int, parts: Sequence[tuple[BriefLine, Box, list[str]]]
) -> list[Caption]:
    """The cues of one segment, one after the other; a line that holds all through runs beside."""
    rate, total = d.spec.frame_rate, frames_of(d.spec.duration or 0, d.spec.frame_rate)
    start, end = _caption_frames(d, i)
    own = d.content_scenes
    if d.end_card:
        total = _caption_frames(d, len(own) - 1)[1]
    only = sum(len(scene.lines) for scene in own) == 1
    shared: list[tuple[BriefLine, Box, str, bool]] = []
    cues: list[Caption] = []
    for line, box, texts in parts:
        hold = getattr(d.preset.type, line.role).hold
        whole = hold == "video" or (hold == "segment" and only)
        if whole and len(texts) == 1:
            cues.append(_make_cue(d, line, box, texts[0], 0, total))
        else:
            shared.extend((line, box, text, hold != "cue") for text in texts)
    if not shared:
        return cues
    needed = [frames_of(reading_seconds(d, text), rate) for _, _, text, _ in shared]
    room = end - start
    if sum(needed) > room:
        longest = max(shared, key=lambda part: len(part[0].text))[0]
        where = (seconds_of(start, rate), seconds_of(end, rate))
        message = (
            f"the text needs {sum(needed) / rate:.1f} s to be read; "
            f"its segment leaves {room / rate:.1f} s."
        )
        remedy = "Shorten the text, or give the segment more time."
        hurried = [int(n / HURRY) for n in needed]
        if sum(hurried) > room:
            d.error("caption.too_long", message, remedy, longest.field, time=where)
            return cues
        d.warn("caption.fast", message, remedy, longest.field, time=where)
        needed = hurried
    longest_cue = frames_of(d.facts.captions.cue_seconds[1], rate)
    spare, at = room - sum(needed), start
    weight = sum(needed)
    for n, ((line, box, text, holds), least) in enumerate(zip(shared, needed, strict=True)):
        share = end - at if n == len(shared) - 1 else least + spare * least // weight
        first, last = at, at + share
        if not holds and share > longest_cue:
            # The call to action stays to the end; everything else comes with its picture.
            if line.role == "cta" and n == len(shared) - 1:
                first = last - longest_cue
            else:
                last = first + longest_cue
        same_line = n > 0 and shared[n - 1][0] is line
        cues.append(_make_cue(d, line, box, text, first, last, entrance=not same_line))
        at += share
    return cues


def _make_cue(
    d: PlanDraft, line: BriefLine, box: Box, text: str, first: int, last: int, entrance: bool = True
) -> Caption:
    rate = d.spec.frame_rate
    return Caption(
        role=line.role,
        start=seconds_of(first, rate),
        end=seconds_of(last, rate),
        text=text,
        style=line.style,
        box=box,
        align_y=d.spec.styles[line.style].place,
        entrance=entrance,
    )


def _check_given(d: PlanDraft) -> None:
    """Captions that came with the spec: inside the safe zone, in time, and fitting."""
    for i, cue in enumerate(d.spec.captions or []):
        field = f"captions[{i}]"
        if cue.style not in d.spec.styles:
            d.error(
                "caption.style",
                f"there is no style {cue.style!r}.",
                f"Known: {', '.join(sorted(d.spec.styles))}.",
                f"{field}.style",
            )
            continue
        if not _is_inside(cue.box, d.clear_box):
            d.error(
                "safe_zone.caption",
                f"the caption at {cue.box} is not inside {d.clear_box}, which the platforms' own "
                "buttons leave clear.",
                "Move it inside, or choose another platform.",
                f"{field}.box",
                box=cue.box,
            )
        if cue.end <= cue.start or cue.end > (d.spec.duration or 60) + 1e-6:
            d.error(
                "caption.time",
                f"{cue.start:g} to {cue.end:g} s is not within the video.",
                "Correct start and end.",
                field,
            )
        note_emoji(d, cue.text)
        style = text_style(d.spec.styles[cue.style], cue.align_y, words_language(d))
        width, height = cue.box[2] - cue.box[0], cue.box[3] - cue.box[1]
        try:
            fits = fit_text(cue.text, style, width, height, d.shop.fonts) is not None
        except UserError as error:
            d.problems.extend(
                Problem(p.code, p.message, p.remedy, "error", d.file, field) for p in error.problems
            )
            continue
        if not fits:
            d.error(
                "caption.too_long",
                f"{quote_text(cue.text)} does not fit its box {cue.box}.",
                "Shorten it, or enlarge the box.",
                f"{field}.text",
                box=cue.box,
            )
