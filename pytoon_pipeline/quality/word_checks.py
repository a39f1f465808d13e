"""Checks of the words and logos that were seen on the finished file."""

from __future__ import annotations

from collections.abc import Sequence

from pytoon_pipeline.quality.verdicts import (
    CheckVerdict,
    ExpectedFile,
    SeenText,
    make_verdict,
)

MIN_CONTRAST = 3.0
"""Large text against what lies around it (WCAG 2.1, success criterion 1.4.3) ..."""
MIN_CONTRAST_SMALL = 4.5
LARGE_PX = 24
"""... and large is text of so many pixels or more on a frame 1080 wide."""
SHIFT_PX = 2
"""Ink may be found this far from where it was planned: rounding, and what encoding blurs."""


def _quote_text(seen: SeenText) -> str:
    return f"the {seen.id} ({seen.text})" if seen.kind == "overlay" else f"{seen.text!r}"


def _seen_texts(seen: Sequence[SeenText]) -> list[SeenText]:
    return [s for s in seen if s.kind != "overlay"]


def check_caption_contrast(seen: Sequence[SeenText], e: ExpectedFile) -> CheckVerdict:
    """Every word stands out from what lies around it by 3:1, small type by 4.5:1."""
    faults = []
    for s in _seen_texts(seen):
        least = MIN_CONTRAST if s.px_of_1080 >= LARGE_PX else MIN_CONTRAST_SMALL
        if s.contrast is not None and s.contrast < least:
            faults.append(
                f"{s.weakest!r} in {s.text!r} has {s.contrast:.1f}:1 at "
                f"{s.frame / e.rate:.2f} s instead of {least:g}:1"
            )
    ratios = {s.id: s.contrast for s in _seen_texts(seen) if s.contrast is not None}
    good = f"at least {min(ratios.values()):.1f}:1" if ratios else "no words"
    return make_verdict(
        "caption_contrast",
        faults,
        good,
        "Choose a preset that shades or boxes its text, another colour, or a calmer picture.",
        contrast=ratios,
    )


def check_safe_zone(seen: Sequence[SeenText], e: ExpectedFile) -> CheckVerdict:
    """Words and logos stand where the platforms' own buttons leave room."""
    if e.clear_box is None:
        return make_verdict("safe_zone", [], "no zone was asked for")
    x0, y0, x1, y1 = e.clear_box
    faults, boxes = [], {}
    for s in seen:
        for what, box in (("planned", s.planned), ("found", s.found)):
            if box is None:
                continue
            boxes[s.id] = list(box)
            over = max(x0 - box[0], y0 - box[1], box[2] - x1, box[3] - y1)
            if over > SHIFT_PX:
                faults.append(f"{_quote_text(s)} is {what} {over} px outside the clear box")
                break
    return make_verdict(
        "safe_zone",
        faults,
        f"all inside {x0}, {y0} to {x1}, {y1}",
        "Let the compiler place it, or choose the platform it is meant for.",
        clear_box=list(e.clear_box),
        ink=boxes,
    )


def check_text_clipping(seen: Sequence[SeenText], e: ExpectedFile) -> CheckVerdict:
    """Every caption is there, whole, where the plan put it."""
    faults = []
    for s in _seen_texts(seen):
        when = f"at {s.frame / e.rate:.2f} s"
        if s.touches:
            faults.append(f"{s.text!r} is cut at its {' and '.join(s.touches)} when it is drawn")
        if s.missing:
            faults.append(f"of {s.text!r} {when} these do not show: {', '.join(s.missing)}")
        if s.wrong and not s.missing:
            faults.append(f"of {s.text!r} {when} these read otherwise: {', '.join(s.wrong)}")
        if s.found and max(abs(a - b) for a, b in zip(s.found, s.planned, strict=True)) > SHIFT_PX:
            right, down = s.found[0] - s.planned[0], s.found[1] - s.planned[1]
            faults.append(f"{s.text!r} {when} stands {right:+d}, {down:+d} px from its place")
        # Unreadable for want of contrast is the other check's to say.
        if s.found is None and (s.contrast or 0) >= MIN_CONTRAST:
            faults.append(f"{s.text!r} is not to be seen {when}")
    looked = len(_seen_texts(seen))
    return make_verdict(
        "text_clipping",
        faults,
        f"{looked} of {e.texts} texts seen, whole and in place",
        "Render again; if it stays, report it with the brief.",
        looked_at=looked,
        match={s.id: s.match for s in _seen_texts(seen)},
    )
