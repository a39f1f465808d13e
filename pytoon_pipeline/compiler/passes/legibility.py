"""What can be made and yet is hardly meant: pictures that are too small for the place they fill,
words that nobody has changed, a hook that is gone before it is read."""

from __future__ import annotations

from math import ceil

from pytoon_pipeline.briefs.starter import is_untouched
from pytoon_pipeline.compiler.draft import BriefLine, PlanDraft
from pytoon_pipeline.compiler.passes.captions import HURRY
from pytoon_pipeline.compiler.passes.pacing import reading_seconds
from pytoon_pipeline.errors import quote_text
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment import Segment

ENLARGED = 1.02
"""Times that a picture may be enlarged without a word: less is rounding."""
MIN_SHARE = 1 / 3
"""Of the width that a picture fills, which one of its sides has to reach."""
MIN_SEEN = 16
"""Pixels of a 1080-wide frame that a picture has to be wide and high."""


# Pictures ----------------------------------------------------------------------------------------


def check_picture_sizes(d: PlanDraft) -> None:
    """Names pictures with fewer pixels than the place they fill: a warning, and an error for those
    that would be a blur, or a line that nobody sees."""
    said: set[tuple[str, str]] = set()
    for scene in d.content_scenes:
        segment = scene.segment
        for n, (asset, box) in enumerate(_placed_pictures(d, segment)):
            field = scene.origin
            if d.brief is None:
                field += ".media" + (f"[{n}]" if len(segment.media) > 1 else "")
            elif len(segment.media) > 1:
                field += f".paths[{n}]"
            if (asset.id, field) not in said:
                said.add((asset.id, field))
                _check_size(d, segment, asset, box, field)


def _placed_pictures(d: PlanDraft, segment: Segment) -> list[tuple[Asset, Box]]:
    """The pictures of a segment, and the box that each is fitted to."""
    layout, size = segment.layout, d.spec.resolution
    if layout is None:
        return []
    whole = layout.box or (0, 0, size.width, size.height)
    boxes = [place.box for place in layout.places] if layout.places else [whole]
    pairs = zip(segment.media, boxes, strict=False)
    found = [(d.spec.asset(media), box) for media, box in pairs]
    return [(asset, box) for asset, box in found if asset.kind == "image"]


def _check_size(d: PlanDraft, segment: Segment, asset: Asset, box: Box, field: str) -> None:
    width, height = asset.width or 0, asset.height or 0
    if not width or not height or segment.layout is None:
        return
    filled = box[2] - box[0], box[3] - box[1]
    scales = filled[0] / width, filled[1] / height
    scale = max(scales) if segment.layout.fit == "cover" else min(scales)
    seen = [min(side * scale, most) for side, most in zip((width, height), filled, strict=True)]
    needed = f"{ceil(width * scale)}x{ceil(height * scale)}"
    if min(width, height) < 2 or min(seen) < MIN_SEEN * d.scale:
        d.error(
            "media.tiny",
            f"{asset.source} has {width}x{height} pixels, too small to use: it would be seen "
            f"{max(1, round(seen[0]))} pixels wide and {max(1, round(seen[1]))} high.",
            "Give another picture.",
            field,
        )
    elif max(width, height) < MIN_SHARE * filled[0]:
        d.error(
            "media.enlarged",
            f"{asset.source} has {width}x{height} pixels, less than a third of the "
            f"{filled[0]}x{filled[1]} that it fills; enlarged {scale:.1f} times it is a blur.",
            f"Give it in {needed} pixels, the original instead of a preview.",
            field,
        )
    elif scale > ENLARGED:
        d.warn(
            "media.enlarged",
            f"{asset.source} has {width}x{height} pixels and is enlarged {scale:.1f} times.",
            f"With {needed} pixels or more it would be sharp.",
            field,
        )


# Words -------------------------------------------------------------------------------------------


def check_words(d: PlanDraft) -> None:
    """Names sentences that `pytoon new` wrote and nobody has changed, and hooks that are shown for
    less time than they take to read."""
    for scene in d.scenes:
        for line in scene.lines:
            if line.field != "end_card" and is_untouched(line.text):
                d.warn(
                    "text.template",
                    f"{quote_text(line.text)} is a sentence of the template, left as it was.",
                    "Write your own, or take the line out.",
                    line.field,
                )
    hooks = [line for scene in d.scenes for line in scene.lines if line.role == "hook"]
    if hooks and not d.broken:
        _check_hook(d, hooks[0])


def _check_hook(d: PlanDraft, hook: BriefLine) -> None:
    """What stands all through is timed by nobody else."""
    said = {p.field for p in d.problems if p.code in ("caption.fast", "caption.too_long")}
    cues = [c for c in d.spec.captions or [] if c.role == "hook"]
    needed = sum(reading_seconds(d, cue.text) for cue in cues)
    shown = sum(cue.end - cue.start for cue in cues)
    if not cues or hook.field in said or shown >= needed - 1 / d.spec.frame_rate:
        return
    say = d.error if shown < needed / HURRY else d.warn
    say(
        "caption.too_long" if shown < needed / HURRY else "caption.fast",
        f"the hook needs {needed:.1f} s to be read; it is shown for {shown:.1f} s.",
        f"Shorten it to {int(shown * d.facts.captions.max_chars_per_second)} characters, or give "
        "its picture more time.",
        hook.field,
        time=(cues[0].start, cues[-1].end),
    )
