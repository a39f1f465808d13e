"""Texts that came with HTML in them are set right before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.errors import quote_text
from pytoon_pipeline.tables.markup import markup_to_text


def set_plain_texts(d: PlanDraft) -> None:
    """Takes tags and entities of HTML out of every text that is drawn, with a warning for each."""

    def clean_text(text: str | None, field: str) -> str | None:
        if not text or not ("&" in text or "<" in text):
            return text
        plain = markup_to_text(text)
        if plain == text:
            return text
        if not plain.strip():
            d.error(
                "field.empty",
                f"{quote_text(text)} is HTML without a word in it.",
                "Write something, or leave the field out.",
                field,
            )
            return text
        d.warn(
            "text.markup",
            f"{quote_text(text)} looks like HTML; it is shown as {quote_text(plain)}.",
            "Write the signs themselves.",
            field,
        )
        return plain

    if d.brief is not None:
        d.brief = _clean_brief(d.brief, clean_text)
    else:
        _clean_spec(d, clean_text)


def _clean_brief(brief: Brief, clean: Callable[[str | None, str], str | None]) -> Brief:
    return brief.model_copy(
        update={
            **{name: clean(getattr(brief, name), name) for name in ("hook", "cta", "badge")},
            "beats": [clean(text, f"beats[{i}]") for i, text in enumerate(brief.beats)],
            "media": [
                item.model_copy(update={"text": clean(item.text, f"media[{i}].text")})
                for i, item in enumerate(brief.media)
            ],
        }
    )


def _clean_spec(d: PlanDraft, clean: Callable[[str | None, str], str | None]) -> None:
    for i, segment in enumerate(d.spec.segments):
        segment.text = clean(segment.text, f"segments[{i}].text")
    for i, cue in enumerate(d.spec.captions or []):
        cue.text = clean(cue.text, f"captions[{i}].text") or cue.text
    for i, overlay in enumerate(d.spec.overlays or []):
        overlay.text = clean(overlay.text, f"overlays[{i}].text")
