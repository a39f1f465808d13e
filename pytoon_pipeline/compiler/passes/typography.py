"""The preset's type, with the brand's fonts and colours and this video's pixels filled in."""

from __future__ import annotations

from dataclasses import replace

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.end_card import end_styles
from pytoon_pipeline.compiler.preset_model import PresetType
from pytoon_pipeline.plan.segment import Segment, StyleOverride
from pytoon_pipeline.plan.text import TextBox, TypeStyle


def set_styles(d: PlanDraft) -> None:
    """Fills `styles` and points every line to its own."""
    for role in ("hook", "beat", "cta"):
        d.spec.styles.setdefault(role, _resolve_style(d, getattr(d.preset.type, role), role))
    for scene in d.content_scenes:
        scene.lines = [
            replace(line, style=_style_for(d, scene.segment, line.role)) for line in scene.lines
        ]
    if d.end_card:
        own = end_styles(d)
        for line in d.end_card.lines:
            d.spec.styles.setdefault(line.style, own[line.style])


def _resolve_style(d: PlanDraft, kind: PresetType, role: str) -> TypeStyle:
    s = d.scale
    return TypeStyle(
        family=_style_family(d, kind.font, kind.weight, role),
        weight=kind.weight,
        fallback=[*kind.fallback, *([d.brand.fonts.body] if d.brand.fonts else [])],
        max_px=round(kind.max_px * s),
        min_px=max(1, round(kind.min_px * s)),
        max_lines=kind.max_lines,
        max_chars=kind.max_chars,
        line_height=kind.line_height,
        letter_spacing=kind.letter_spacing,
        align=kind.align,
        uppercase=kind.uppercase,
        color=_style_colour(d, kind.color),
        stroke=kind.stroke,
        stroke_color=_style_colour(d, kind.stroke_color),
        shadow=kind.shadow,
        box=TextBox(**{**kind.box.model_dump(), "color": _style_colour(d, kind.box.color)})
        if kind.box
        else None,
        scrim=kind.scrim,
        alternate=_style_colour(d, kind.alternate) if kind.alternate else None,
        place=kind.place,
        entrance=kind.entrance,
    )


def _style_colour(d: PlanDraft, role: str) -> str:
    colour = d.brand.color(role)
    if colour is None:
        d.warn(
            "brand.color",
            f"the brand kit {d.spec.brand!r} has no colour {role!r}; black is used.",
            f"Add {role} to its colors.",
            "brand",
        )
    return colour or "#000000"


def _style_family(d: PlanDraft, role: str, weight: int, style: str) -> str:
    """A role of the brand kit or a family; an unknown family falls back to the brand's body."""
    fonts = d.brand.fonts
    family = {"heading": fonts.heading, "body": fonts.body}.get(role, role) if fonts else role
    if d.shop.fonts.find(family, weight) is not None:
        return family
    neutral = d.shop.presets.brand("neutral").fonts
    substitute = neutral.body if neutral else d.shop.fonts.families()[0]
    d.note(f"The font {family!r} ({style}) is not installed; {substitute!r} is used instead.")
    d.warn(
        "font.unknown",
        f"the font {family!r} is not installed; {substitute!r} is used instead.",
        f"Put it in presets/fonts or name one of {', '.join(d.shop.fonts.families())}.",
        "brand",
    )
    return substitute


def _style_for(d: PlanDraft, segment: Segment, role: str) -> str:
    """Name of the style of a line: the role's own, a text card's, or one with the segment's
    changes."""
    name, style = role, d.spec.styles[role]
    if segment.type == "text":
        name = f"{role}_card"
        if name not in d.spec.styles:
            d.spec.styles[name] = style.model_copy(
                update={
                    "color": style.color if style.box else card_text_colour(d),
                    "scrim": 0.0,
                    "alternate": None,
                    "shadow": None,
                    "place": "middle",
                }
            )
        style = d.spec.styles[name]
    override = segment.text_style
    if override is None or override == StyleOverride(base=override.base):
        if override and override.base not in (None, "hook", "beat", "cta"):
            d.note(f"Text style {override.base!r} is not known; {role!r} of the preset is used.")
        return name
    name = f"{name}_{segment.id}"
    changes: dict = {}
    if override.font:
        changes["family"] = _allowed_family(d, override.font, style.weight, segment)
    if override.weight:
        changes["weight"] = override.weight
    if override.size:
        floor = round(d.facts.captions.font_px.floor * d.scale)
        changes["max_px"] = max(floor, override.size)
        changes["min_px"] = min(style.min_px, changes["max_px"])
        if override.size < floor:
            d.note(f"Text of {segment.id} is set at {floor} px, the smallest that stays legible.")
    for key in ("uppercase", "align", "place"):
        if getattr(override, key) is not None:
            changes[key] = getattr(override, key)
    if override.color:
        changes["color"] = _allowed_colour(d, override.color, style.color, segment)
        # A colour that was asked for stays.
        changes["alternate"] = None
    d.spec.styles[name] = style.model_copy(update=changes)
    return name


def card_text_colour(d: PlanDraft) -> str:
    """Text on a card stands on the preset's own colours, where it has some; else, for a card has no
    picture to blur, on the brand's ground."""
    own = d.spec.archetype == "meme" or d.preset.background.colors
    return d.spec.styles["beat"].color if own else _style_colour(d, "on_ground")


def _allowed_family(d: PlanDraft, family: str, weight: int, segment: Segment) -> str:
    allowed = d.spec.constraints.fonts
    if family.casefold() in {f.casefold() for f in allowed}:
        return _style_family(d, family, weight, segment.id)
    kept = d.spec.styles["hook"].family
    d.note(f"{segment.id}: {family!r} is not a font of the brand; {kept!r} is used.")
    return kept


def _allowed_colour(d: PlanDraft, colour: str, kept: str, segment: Segment) -> str:
    allowed = d.spec.constraints.colors
    if allowed is None or colour.upper() in {c.upper() for c in allowed}:
        return colour
    d.note(f"{segment.id}: {colour} is not a colour of the brand; {kept} is used.")
    return kept
