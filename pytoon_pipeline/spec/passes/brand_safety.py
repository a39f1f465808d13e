"""The one place where `brand_safe` decides anything: it sets what the plan may use. The passes that
follow read these constraints and never the flag."""

from __future__ import annotations

from pytoon_pipeline.spec.draft import Draft
from pytoon_pipeline.spec.model import MOTIONS, TRANSITIONS


def apply_brand_safety(d: Draft) -> None:
    preset, brand, limits = d.preset, d.brand, d.spec.constraints
    own = {t.font for t in (preset.type.hook, preset.type.beat, preset.type.cta)}
    brand_fonts = [brand.fonts.heading, brand.fonts.body] if brand.fonts else []
    if d.spec.brand_safe:
        limits.fonts = sorted({*brand_fonts, *(own - {"heading", "body"})})
        limits.colors = sorted({*brand.colors.values()})
        limits.transitions = list(preset.transitions.safe)
        limits.motions = sorted({*preset.motion.kinds, "still"})
        limits.max_motion = preset.motion.amount
    else:
        limits.fonts = d.shop.fonts.families()
        limits.colors = None
        limits.transitions = list(TRANSITIONS)
        limits.motions = sorted(MOTIONS)
        limits.max_motion = preset.motion.lively
