"""Words on the review list are named, in the brief's language, and drawn as they were written."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import picture

from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.compiler.presets import PresetLibrary
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.settings import project_data

PRESETS = project_data("presets")
SHOP = CompileContext(PresetLibrary(PRESETS), FontLibrary([PRESETS / "fonts"]))


def compiled(folder: Path, text: str) -> CompiledPlan:
    picture(folder / "a.png", (36, 64))
    path = folder / "brief.yaml"
    path.write_text("media: a.png\nbrand: morrow\n" + text, encoding="utf-8")
    return compile_file(path, folder, "brief", path.name, SHOP)


def flagged(result: CompiledPlan) -> list[tuple[str | None, str, str]]:
    """Field, word and severity of each."""
    return [
        (p.field, p.message.split("'")[1], p.severity)
        for p in result.problems
        if p.code == "review.word"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hook: The BEST mug\n", [("hook", "BEST", "warning")]),
        ("hook: 'Our #1 mug'\n", [("hook", "#1", "warning")]),
        ("beats: [Calm, 'Free refills']\n", [("beats[1]", "Free", "info")]),
        ("cta: Risk-free for a  year\n", [("cta", "Risk-free", "warning")]),
        ("badge: FREE\n", [("badge", "FREE", "info")]),
        ("hook: Sugar-free\nbeats: [It bestows warmth, freedom]\n", []),
        ("locale: de-AT\nhook: Der günstigste Becher\n", [("hook", "günstigste", "warning")]),
        ("locale: fr\nhook: Livraison gratuite\n", [("hook", "gratuite", "info")]),
        # Free of charge is `free` in English only; a language without a list gets the English one.
        ("locale: de\nhook: Free spirit\n", []),
        ("locale: es\nhook: Free spirit\n", [("hook", "Free", "info")]),
        ("brand_safe: false\nhook: The best mug, free\n", []),
    ],
)
def test_claims_are_named_with_their_field(text: str, found: list, tmp_path: Path) -> None:
    result = compiled(tmp_path, text)
    assert result.plan, [str(p) for p in result.problems]
    assert flagged(result) == found
    notes = [n for n in result.plan.notes if n.startswith("To be reviewed")]
    assert len(notes) == len(found)
    assert all(repr(word) in note for (_, word, _), note in zip(found, notes, strict=True))


def test_nothing_is_altered(tmp_path: Path) -> None:
    words = "Guaranteed: the world’s finest, 100% free"
    result = compiled(tmp_path, f"hook: '{words}'\n")
    assert {w for _, w, _ in flagged(result)} == {"Guaranteed", "world’s finest", "free"}
    assert " ".join(c.text for c in result.plan.captions if c.role == "hook") == words


def test_a_finished_plan_says_the_same_of_its_captions(tmp_path: Path) -> None:
    first = compiled(tmp_path, "hook: The best mug\n")
    plan = tmp_path / "render_spec.json"
    plan.write_text(first.plan.model_dump_json(), encoding="utf-8")
    again = compile_file(plan, tmp_path, "spec", plan.name, SHOP)
    assert again.plan and again.plan.notes == first.plan.notes
    assert flagged(again) == [("captions[0].text", "best", "warning")]
