"""The compiler: Brief or minimal spec -> RenderSpec, by a list of small passes in order.

Each pass takes the draft, fills what is missing in its own part of the spec, and reports what is
wrong instead of raising, so that a person learns of all problems in one go.
"""

from __future__ import annotations

from collections.abc import Callable

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.compiler.passes.badges import place_badges
from pytoon_pipeline.compiler.passes.brand_safety import apply_brand_safety, flag_review_words
from pytoon_pipeline.compiler.passes.captions import set_captions
from pytoon_pipeline.compiler.passes.composition import compose_scenes
from pytoon_pipeline.compiler.passes.legibility import check_picture_sizes, check_words
from pytoon_pipeline.compiler.passes.media import gather_media
from pytoon_pipeline.compiler.passes.motion import set_motion
from pytoon_pipeline.compiler.passes.overlays import place_overlays
from pytoon_pipeline.compiler.passes.pacing import set_durations
from pytoon_pipeline.compiler.passes.plain_texts import set_plain_texts
from pytoon_pipeline.compiler.passes.presets_and_brands import choose_preset_and_brand
from pytoon_pipeline.compiler.passes.scenes import plan_scenes
from pytoon_pipeline.compiler.passes.sound import plan_sound
from pytoon_pipeline.compiler.passes.transitions import set_transitions
from pytoon_pipeline.compiler.passes.typography import set_styles

PASSES: tuple[Callable[[PlanDraft], None], ...] = (
    choose_preset_and_brand,
    set_plain_texts,
    apply_brand_safety,
    gather_media,
    plan_scenes,
    set_styles,
    set_durations,
    set_transitions,
    compose_scenes,
    check_picture_sizes,
    set_motion,
    place_overlays,
    set_captions,
    check_words,
    place_badges,
    flag_review_words,
    plan_sound,
)
