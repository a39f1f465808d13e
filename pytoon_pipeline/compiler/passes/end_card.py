"""The brand's end card: its logo on its ground, with a line or two below."""

from __future__ import annotations

from dataclasses import replace

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.compiler.draft import BriefLine, PlanDraft, Scene
from pytoon_pipeline.compiler.passes.media_files import take_project_file
from pytoon_pipeline.compiler.passes.wording import named_style, note_emoji, words_language
from pytoon_pipeline.compiler.typeset import smaller_styles, text_style
from pytoon_pipeline.errors import UserError, quote_text
from pytoon_pipeline.picture.fitted_text import FittedText
from pytoon_pipeline.picture.styles import Breaking
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.plan.fields import Box
from pytoon_pipeline.plan.segment import Background, Layout, Motion, Segment, Transition
from pytoon_pipeline.plan.text import Caption, Entrance, TypeStyle
from pytoon_pipeline.plan.timeline import build_timeline, seconds_of

ID = "end"
LOGO = 620, 420
"""Most pixels of a 1080-wide frame that the logo is wide and high."""
MIDDLE = 850
"""Height on a 1920-high frame of the logo's middle: a little above the frame's own."""
MORE_LINES = 1
"""Lines that a text may have beyond the usual."""
GAP = 64
"""Pixels below the logo."""


def add_end_card(d: PlanDraft, brief: Brief) -> None:
    """The last scene of a brief, where the brand has an end card and the brief wants it."""
    card, wanted = d.brand.end_card, brief.end_card
    if card is None:
        if wanted:
            d.warn(
                "brand.end_card",
                f"the brand kit {d.spec.brand!r} has no end card.",
                "Add `end_card:` to the brand kit, or take it out of the brief.",
                "end_card",
            )
        return
    if wanted is False or (wanted is None and d.spec.archetype == "meme") or not d.spec.segments:
        return
    headline, logo = card.headline, d.brand.logo
    segment = Segment(
        id=ID,
        type="text",
        duration=card.seconds,
        background=Background(
            kind="gradient",
            colors=[d.brand.color(role) or "#000000" for role in ("ground", "ground_deep")],
        ),
        motion=Motion(kind="still", amount=0),
    )
    path = d.brand.folder / (logo.on_ground or logo.on_pictures) if logo else None
    if path is not None and path.is_file():
        asset = take_project_file(d, path, f"{d.spec.brand}/{path.name}", None, d.brand.folder)
        segment.type, segment.media = "image", [asset.id]
        aspect = (asset.width or 1) / (asset.height or 1)
        width = min(LOGO[0], LOGO[1] * aspect)
        x, y, w, h = (540, MIDDLE, width / 2, width / aspect / 2)
        box = d.box((round(x - w), round(y - h), round(x + w), round(y + h)))
        segment.layout = Layout(fit="cutout", box=box)
    else:
        headline = headline or d.brand.name
    texts = (("end_headline", headline), ("end_line", card.line))
    lines = [BriefLine("beat", text, "end_card", style) for style, text in texts if text]
    d.set_scenes([*d.scenes, Scene(segment, "end_card", lines=lines, is_end_card=True)])


def end_transition(d: PlanDraft) -> Transition:
    """Into the end card: never anything but a fade."""
    return Transition(kind="fade" if "fade" in d.spec.constraints.transitions else "cut")


def last_before(d: PlanDraft) -> float:
    """Second at which all that stands over the video has gone: the end of the transition into the
    end card, with which it fades."""
    line = build_timeline(d.spec)
    span = line.spans[-1]
    return seconds_of(span.start + span.head, line.rate)


def end_styles(d: PlanDraft) -> dict[str, TypeStyle]:
    """Quiet type in the colour that stands on the brand's ground."""
    fonts = d.brand.fonts or d.shop.presets.neutral_fonts()
    s, colour = d.scale, d.brand.color("on_ground") or "#000000"

    def make_style(family: str, weight: int, most: int, least: int, lines: int) -> TypeStyle:
        if d.shop.fonts.find(family, weight) is None:
            family = d.spec.styles["beat"].family
        return TypeStyle(
            family=family,
            weight=weight,
            fallback=[fonts.body],
            max_px=round(most * s),
            min_px=max(1, round(least * s)),
            max_lines=lines,
            line_height=1.14,
            color=colour,
            place="top",
            entrance=Entrance(kind="fade", seconds=0.3),
        )

    return {
        "end_headline": make_style(fonts.heading, 700, 72, 56, 2),
        "end_line": make_style(fonts.body, 500, 52, d.facts.captions.font_px.floor, 2),
    }


def end_cues(d: PlanDraft, card: Scene) -> list[Caption]:
    """The lines of the end card below the logo, all at once and to the end."""
    segment, rate = card.segment, d.spec.frame_rate
    line = build_timeline(d.spec)
    span = line.spans[-1]
    x0, _, x1, bottom = d.clear_box
    middle = d.spec.resolution.width // 2
    half = min(middle - x0, x1 - middle)
    logo = segment.layout.box if segment.layout and segment.media else None
    y = logo[3] + round(GAP * d.scale) if logo else round((MIDDLE - 90) * d.scale)
    cues = []
    for item in card.lines:
        style, fitted = _fit_line(d, item, 2 * half, max(1, bottom - y))
        if fitted is None:
            d.error(
                "caption.too_long",
                f"{quote_text(item.text)} does not fit on the end card.",
                "Shorten it in the brand kit.",
                "brand",
            )
            continue
        # As high as its lines, and a little: whatever letters it has fit.
        high = round(fitted.size * (len(fitted.lines) * style.line_height + 0.5))
        box: Box = (middle - half, y, middle + half, min(bottom, y + high))
        shaped = text_style(style, "top", words_language(d))
        again = fit_text(item.text, shaped, 2 * half, box[3] - y, d.shop.fonts)
        if again is None or again.size < fitted.size:
            box = (middle - half, y, middle + half, bottom)
        cues.append(
            Caption(
                role="beat",
                start=seconds_of(span.start + span.head, rate),
                end=seconds_of(line.frames, rate),
                text=item.text,
                style=named_style(d, item.style, style),
                box=box,
                align_y="top",
            )
        )
        y = box[3] + round(0.2 * fitted.size)
    return cues


def _fit_line(
    d: PlanDraft, item: BriefLine, width: int, height: int
) -> tuple[TypeStyle, FittedText | None]:
    """A line of the end card: with its words whole, else parted, else smaller or in more lines."""
    style = d.spec.styles[item.style]
    floor = max(1, round(d.facts.captions.font_px.floor * d.scale))
    smaller = list(smaller_styles(style, floor, MORE_LINES))
    note_emoji(d, item.text)
    try:
        ways: list[tuple[TypeStyle, Breaking]] = [(style, "words"), (style, "parts")]
        ways += [(s, "parts") for s in smaller]
        ways.append((smaller[-1], "letters"))
        for tried, breaking in ways:
            shaped = replace(text_style(tried, "top", words_language(d)), breaking=breaking)
            fitted = fit_text(item.text, shaped, width, height, d.shop.fonts)
            if fitted is not None:
                return tried, fitted
    except UserError as error:
        for p in error.problems:
            d.error(p.code, p.message, p.remedy, "brand")
        return style, None
    return style, None
