"""Badges: a sticker with the offer, set where captions, logos and the product leave room."""

from __future__ import annotations

from collections.abc import Iterator

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.wording import note_emoji
from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.errors import Problem, UserError, quote_text
from pytoon_pipeline.picture.badge import TURN, fit_badge, list_badge_forms
from pytoon_pipeline.picture.styles import TextStyle
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.text_forms import normalise_text
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.text import Caption, Overlay, TypeStyle
from pytoon_pipeline.plan.timeline import build_timeline, frames_of, seconds_of

LARGEST = 110
"""Pixels of a 1080-wide frame that a badge's letters may be high."""
GAP = 20
"""Pixels of a 1080-wide frame between a badge and what it must not cover."""
STEP = 12
"""Pixels of a 1080-wide frame between the places that are tried."""
PAUSE = 0.15
"""Seconds between the hook and the badge."""
MIDDLE = 0.22, 0.28
"""Shares of the width and the height of the media about its middle, or of its subject, that stay
free."""


def place_badges(d: PlanDraft) -> None:
    badges = [(i, o) for i, o in enumerate(d.spec.overlays or []) if o.type == "badge"]
    if not badges or d.broken:
        return
    for i, badge in badges:
        field = "badge" if d.brief is not None else f"overlays[{i}]"
        if d.spec.archetype == "meme":
            d.error(
                "badge.archetype",
                "a meme has no badge.",
                "Leave it out, or choose the archetype hero or overlay.",
                field,
            )
            continue
        if not normalise_text(badge.text or ""):
            d.error(
                "badge.empty",
                "nothing of the badge's text can be seen.",
                "Write a word or two, or leave the badge out.",
                field,
            )
            continue
        note_emoji(d, badge.text or "")
        try:
            _place_badge(d, badge, field)
        except UserError as error:
            d.problems.extend(
                Problem(p.code, p.message, p.remedy, "error", d.file, field) for p in error.problems
            )


def _place_badge(d: PlanDraft, badge: Overlay, field: str) -> None:
    if badge.style is None:
        badge.style = "badge"
        d.spec.styles.setdefault("badge", _badge_style(d))
    style = d.spec.styles.get(badge.style)
    if style is None:
        d.error(
            "badge.style",
            f"there is no style {badge.style!r}.",
            f"Known: {', '.join(sorted(d.spec.styles))}.",
            f"{field}.style",
        )
        return
    allowed = d.spec.constraints.colors
    accent = d.brand.color("accent") or "#000000"
    if badge.color and allowed and badge.color.upper() not in {c.upper() for c in allowed}:
        d.note(f"The badge's {badge.color} is not a colour of the brand; {accent} is used.")
        badge.color = None
    badge.color = badge.color or accent
    if "opacity" not in badge.model_fields_set:
        badge.opacity = 1.0
    line = build_timeline(d.spec)
    if badge.start is None:
        hooks = [c for c in d.spec.captions or [] if c.role == "hook"]
        hook = min(hooks, key=lambda c: c.start, default=None)
        start = 0.4
        if hook is not None:
            start = hook.start + d.spec.styles[hook.style].entrance.seconds + PAUSE
        # Not out of the middle of a transition.
        first = frames_of(start, line.rate)
        for window in line.windows:
            if window.first <= first < window.first + window.count:
                first = window.first + window.count
        badge.start = seconds_of(min(first, line.frames // 2), line.rate)
    text = badge.text or ""
    taken = list(_iterate_taken(d, badge))
    if badge.box is not None:
        _check_given_place(d, badge, badge.box, style, taken, field)
        return
    areas = [_media_area(d, i) for i in _segments_under(d, badge)]
    known = [_subject_box(d, i) for i in _segments_under(d, badge)]
    subjects = [s for s in known if s]
    kept = [_middle_box(s or a) for s, a in zip(known, areas, strict=True)]
    top = sum(a[1] + 0.08 * (a[3] - a[1]) for a in areas) / len(areas) if areas else 0.0
    # Below the words that stand above the product, never beside them like one more of them.
    above = [b[3] + GAP * d.scale for b in taken if b[3] < d.spec.resolution.height / 2]
    target = d.clear_box[2], max(d.clear_box[1], top, *above)
    shaped = text_style(style, "middle", d.spec.locale)
    found = _best_place(d, badge, shaped, taken, kept, subjects, target)
    if found is None and len(subjects) < len(kept):
        # The middle of a picture is a guess at where its product is.
        found = _best_place(
            d, badge, shaped, taken, [_middle_box(s) for s in subjects], kept, target
        )
        if found:
            d.note(
                f"The badge {quote_text(text)} stands over the middle of a picture; a "
                "`subject` in its media keeps the product clear."
            )
    if found is None:
        d.error(
            "badge.no_room",
            f"there is no room for the badge {quote_text(text)} beside the captions.",
            "Shorten the badge, or the captions.",
            field,
        )
        return
    badge.shape, badge.box = found  # type: ignore[assignment]
    turned = badge.rotation is not None and (
        badge.shape == "round" or _fits_badge(d, badge, badge.box, style)
    )
    badge.rotation = badge.rotation if turned else TURN[found[0]]


def _best_place(
    d: PlanDraft,
    badge: Overlay,
    style: TextStyle,
    taken: list[Box],
    kept: list[Box],
    spared: list[Box],
    target: tuple[float, float],
) -> tuple[str, Box] | None:
    """Shape and place: large, and near to the target."""
    best: tuple[float, str, Box] | None = None
    for shape, width, height in list_badge_forms(badge.text or "", style, d.scale, d.shop.fonts):
        if badge.shape not in (None, shape) or (best and best[1] != shape):
            continue
        found = _nearest_free_place(d, (width, height), taken, kept, spared, target)
        # Rather a little smaller than in from the edge.
        if found and (best is None or found[0] - 2 * width < best[0]):
            best = found[0] - 2 * width, shape, found[1]
    return best[1:] if best else None


def _badge_style(d: PlanDraft) -> TypeStyle:
    """Bold letters of the brand's, in the colour that stands on its accent."""
    hook = d.spec.styles["hook"]
    family = hook.family
    if d.brand.fonts and d.shop.fonts.find(d.brand.fonts.heading, 800):
        family = d.brand.fonts.heading
    return TypeStyle(
        family=family,
        weight=800,
        fallback=hook.fallback,
        max_px=round(LARGEST * d.scale),
        min_px=max(1, round(d.facts.captions.font_px.floor * d.scale)),
        max_lines=4,
        max_chars=26,
        line_height=1.0,
        color=d.brand.color("on_accent") or "#FFFFFF",
    )


def _fits_badge(d: PlanDraft, badge: Overlay, box: Box, style: TypeStyle) -> bool:
    x0, y0, x1, y1 = box
    shaped = text_style(style, "middle", d.spec.locale)
    size = x1 - x0, y1 - y0
    return (
        fit_badge(
            badge.text or "",
            shaped,
            badge.shape or "round",
            badge.rotation or 0.0,
            size,
            d.shop.fonts,
        )
        is not None
    )


def _check_given_place(
    d: PlanDraft, badge: Overlay, box: Box, style: TypeStyle, taken: list[Box], field: str
) -> None:
    """Checks a badge whose box its author gave."""
    text = badge.text or ""
    x0, y0, x1, y1 = box
    c = d.clear_box
    if badge.shape is None:
        badge.shape = "round" if x1 - x0 <= 1.3 * (y1 - y0) else "pill"
    if badge.rotation is None:
        badge.rotation = TURN[badge.shape]
    if not (c[0] <= x0 < x1 <= c[2] and c[1] <= y0 < y1 <= c[3]):
        d.error(
            "safe_zone.overlay",
            f"the badge at {box} is not inside {c}, which the platforms' own buttons leave clear.",
            "Leave `box` out to have it placed, or move it inside.",
            f"{field}.box",
            box=box,
        )
    elif any(_shared_pixels(box, other) for other in taken):
        d.error(
            "badge.covers",
            f"the badge at {box} covers a caption or a logo.",
            "Leave `box` out to have it placed.",
            f"{field}.box",
            box=box,
        )
    elif not _fits_badge(d, badge, box, style):
        d.error(
            "badge.too_long",
            f"{quote_text(text)} does not fit its box {box}.",
            "Shorten it, or enlarge the box.",
            f"{field}.text",
            box=box,
        )


def _badge_seconds(d: PlanDraft, badge: Overlay) -> tuple[float, float]:
    end = d.spec.duration if badge.end is None else badge.end
    return badge.start or 0.0, end or 0.0


def _segments_under(d: PlanDraft, badge: Overlay) -> list[int]:
    """The segments that a badge stands over."""
    start, end = _badge_seconds(d, badge)
    line = build_timeline(d.spec)
    return [
        i
        for i, span in enumerate(line.spans)
        if (span.start + span.body) / line.rate > start and span.start / line.rate < end
    ]


def _iterate_taken(d: PlanDraft, badge: Overlay) -> Iterator[Box]:
    """What other overlays and the captions cover while the badge is seen."""
    for other in d.spec.overlays or []:
        if other is not badge and other.box is not None:
            yield other.box
    start, end = _badge_seconds(d, badge)
    for cue in d.spec.captions or []:
        if cue.start < end and cue.end > start:
            yield _caption_ink(d, cue)


def _caption_ink(d: PlanDraft, cue: Caption) -> Box:
    """What a caption really covers of its area."""
    style = text_style(d.spec.styles[cue.style], cue.align_y, d.spec.locale)
    x0, y0, x1, y1 = cue.box
    fitted = fit_text(cue.text, style, x1 - x0, y1 - y0, d.shop.fonts)
    if fitted is None:
        return cue.box
    rects = [fitted.ink, *fitted.plates]
    return (
        x0 + min(r[0] for r in rects),
        y0 + min(r[1] for r in rects),
        x0 + max(r[2] for r in rects),
        y0 + max(r[3] for r in rects),
    )


def _media_area(d: PlanDraft, i: int) -> Box:
    """Where the media of a segment stands."""
    layout, size = d.spec.segments[i].layout, d.spec.resolution
    return (layout and layout.box) or (0, 0, size.width, size.height)


def _subject_box(d: PlanDraft, i: int) -> Box | None:
    """Where a declared subject lies, were the picture fitted by its middle and at rest."""
    segment = d.spec.segments[i]
    layout = segment.layout
    if layout is None or layout.subject is None or not segment.media:
        return None
    asset = d.spec.asset(segment.media[0])
    x0, y0, x1, y1 = _media_area(d, i)
    width, height = asset.width or 1, asset.height or 1
    scales = (x1 - x0) / width, (y1 - y0) / height
    scale = min(scales) if layout.fit in ("contain", "cutout") else max(scales)
    left, top = (x0 + x1 - width * scale) / 2, (y0 + y1 - height * scale) / 2
    a, b, c, e = layout.subject
    return (
        round(left + a * width * scale),
        round(top + b * height * scale),
        round(left + c * width * scale),
        round(top + e * height * scale),
    )


def _middle_box(area: Box) -> Box:
    x0, y0, x1, y1 = area
    w, h = round((x1 - x0) * MIDDLE[0] / 2), round((y1 - y0) * MIDDLE[1] / 2)
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    return x - w, y - h, x + w, y + h


def _shared_pixels(a: Box, b: Box, gap: int = 0) -> int:
    """Pixels that two boxes share, the second with a margin."""
    width = min(a[2], b[2] + gap) - max(a[0], b[0] - gap)
    height = min(a[3], b[3] + gap) - max(a[1], b[1] - gap)
    return max(0, width) * max(0, height)


def _nearest_free_place(
    d: PlanDraft,
    size: tuple[int, int],
    taken: list[Box],
    kept: list[Box],
    spared: list[Box],
    target: tuple[float, float],
) -> tuple[float, Box] | None:
    """The place nearest to the target (where the top right corner would best be) that covers
    nothing that is taken or kept free, and little of what is to be spared; and how far from perfect
    it is."""
    x0, y0, x1, y1 = d.clear_box
    width, height = size
    step, gap = max(2, round(STEP * d.scale)), round(GAP * d.scale)
    best: tuple[float, Box] | None = None
    for top in range(y0, y1 - height + 1, step):
        for right in range(x1, x0 + width - 1, -step):
            box = (right - width, top, right, top + height)
            if any(_shared_pixels(box, other, gap) for other in taken):
                continue
            if any(_shared_pixels(box, other) for other in kept):
                continue
            covered = max((_shared_pixels(box, s) for s in spared), default=0) / (width * height)
            # Rather lower than in from the edge, rather either than up beside the words, and off
            # the product rather than any.
            down = top - target[1]
            far = 2.0 * (target[0] - right) + max(down, -6 * down) + 900 * d.scale * covered
            if best is None or far < best[0]:
                best = far, box
    return best
