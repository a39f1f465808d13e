"""The one place where `brand_safe` decides anything: it sets what the plan may use, and has its
words looked at. The passes between read these constraints and never the flag."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.plan.segment import MOTIONS, TRANSITIONS, Generate

REVIEWED = "To be reviewed"
KEPT_OUT = ("text", "letters", "logos", "watermarks")
"""Of generated footage: a brand's video says its own words and shows its own mark."""


def apply_brand_safety(d: PlanDraft) -> None:
    preset, brand, limits = d.preset, d.brand, d.spec.constraints
    own = {t.font for t in (preset.type.hook, preset.type.beat, preset.type.cta)}
    brand_fonts = [brand.fonts.heading, brand.fonts.body] if brand.fonts else []
    if d.spec.brand_safe:
        limits.fonts = sorted({*brand_fonts, *(own - {"heading", "body"})})
        limits.colors = sorted({*brand.colors.values()})
        limits.transitions = list(preset.transitions.safe)
        limits.motions = sorted({*preset.motion.kinds, "still"})
        limits.max_motion = preset.motion.amount
        limits.watermark = True
        if d.brief is not None and d.brief.watermark is False:
            d.note("A brand-safe video carries the brand's mark; `watermark: false` has no effect.")
    else:
        limits.fonts = d.shop.fonts.families()
        limits.colors = None
        limits.transitions = list(TRANSITIONS)
        limits.motions = sorted(MOTIONS)
        limits.max_motion = preset.motion.lively
        limits.watermark = d.brief is not None and d.brief.watermark is True


def keep_prompt_clean(d: PlanDraft, generate: Generate) -> None:
    """Adds to what a model is asked to leave out, whatever the author wants left out."""
    if d.spec.brand_safe:
        said = generate.negative_prompt or ""
        missing = [w for w in KEPT_OUT if not re.search(rf"\b{w}\b", said, re.I)]
        generate.negative_prompt = ", ".join([*([said] if said else []), *missing])


def flag_review_words(d: PlanDraft) -> None:
    """Names claims that need proof or conditions, by `presets/review_words.yaml`. Every word is
    drawn as it was written."""
    if not d.spec.brand_safe:
        return
    entries = d.shop.presets.review_words(d.spec.locale)
    for field, text in _iterate_texts(d):
        written = unicodedata.normalize("NFC", text)
        plain = written.replace("\u2019", "'")
        for entry in entries:
            found = (
                m for word in entry.words for m in re.finditer(_word_pattern(word), plain, re.I)
            )
            for word in dict.fromkeys(written[m.start() : m.end()] for m in found):
                d.note(f"{REVIEWED}: {word!r}: {entry.why}.")
                d.problems.append(
                    Problem(
                        "review.word",
                        f"{word!r} is on the review list: {entry.why}.",
                        "Keep it if it holds, and have it cleared; nothing was changed.",
                        entry.severity,
                        file=d.file,
                        field=field,
                    )
                )


def _iterate_texts(d: PlanDraft) -> Iterator[tuple[str, str]]:
    """Every text that is drawn, with the field it was written in: lines, badges, and captions that
    came with the spec (those made of a line are parts of it)."""
    lines = [line for scene in d.scenes for line in scene.lines]
    yield from ((line.field, line.text) for line in lines)
    written = " ".join(" ".join(line.text.split()) for line in lines)
    for i, cue in enumerate(d.spec.captions or []):
        if " ".join(cue.text.split()) not in written:
            yield f"captions[{i}].text", cue.text
    for i, overlay in enumerate(d.spec.overlays or []):
        if overlay.text:
            yield "badge" if d.brief else f"overlays[{i}].text", overlay.text


def _word_pattern(word: str) -> str:
    ending = r"\w*" if word.endswith("*") else ""
    inner = r"\s+".join(re.escape(part) for part in word.removesuffix("*").split())
    gap = r"\s+" if word.endswith(" *") else ""
    return rf"(?<![\w-]){inner}{gap}{ending}(?![\w-])"
