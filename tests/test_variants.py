"""One brief, many videos."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import picture

from pytoon_pipeline.briefs.source import BriefSource, SourceDocument, content_hash
from pytoon_pipeline.briefs.variants import expand_variants
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.stages.compile import check_source, compile_source
from pytoon_pipeline.stages.segments import render_segments


def brief(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.yaml").write_text(text, encoding="utf-8")
    return folder


def names(path: Path) -> list[str]:
    return [s.name for s in find_sources([path])]


GRID = """
media: [a.jpg, b.jpg, c.jpg]
preset: bold
hook: The common line
cta: Buy
variants:
  archetypes: [hero, {archetype: overlay, preset: studio}]
  hooks: [First, Second]
  locales:
    en: {}
    de: {hooks: [Erstens, Zweitens], cta: Kaufen}
"""


def test_each_combination_is_a_brief_of_its_own(tmp_path: Path):
    cells = find_sources([brief(tmp_path / "camp/cup", GRID)])
    assert [c.name for c in cells] == [
        f"cup-{look}-{locale}-{hook}"
        for look in ("hero", "overlay-studio")
        for locale in ("en", "de")
        for hook in ("h1", "h2")
    ]
    assert len({c.key for c in cells}) == len({c.origin for c in cells}) == 8
    said = {c.name: c.document.data for c in cells}
    german = said["cup-overlay-studio-de-h2"]
    assert (german["hook"], german["cta"], german["locale"]) == ("Zweitens", "Kaufen", "de")
    assert (german["archetype"], german["preset"]) == ("overlay", "studio")
    english = said["cup-hero-en-h1"]
    assert (english["hook"], english["cta"], english["preset"]) == ("First", "Buy", "bold")


def test_a_look_of_another_archetype_is_left_behind(tmp_path: Path):
    text = "media: [a.jpg]\npreset: bold\nvariants: {archetypes: [hero, meme]}\n"
    hero, meme = find_sources([brief(tmp_path / "c/b", text)])
    assert hero.document.data["preset"] == "bold" and "preset" not in meme.document.data


def test_a_changed_line_changes_its_own_videos_only(tmp_path: Path):
    folder = brief(tmp_path / "camp/cup", GRID)
    before = {s.name: content_hash(s) for s in find_sources([folder])}
    brief(folder, GRID.replace("Zweitens", "Drittens"))
    after = {s.name: content_hash(s) for s in find_sources([folder])}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"cup-hero-de-h2", "cup-overlay-studio-de-h2"}


@pytest.mark.parametrize(
    "variants, field, said",
    [
        ("{hook: [a]}", "variants.hook", "Did you mean 'hooks'?"),
        ("{hooks: [a, b], locales: {de: {hooks: [c]}}}", "variants", "write one for each"),
        ("{archetypes: [hero, hero]}", "variants", "twice"),
        ("{archetypes: [heroo]}", "variants.archetypes[0].archetype", "hero"),
        ("{presets: [bold], archetypes: [hero]}", "variants", "presets belong to archetypes"),
        ("{locales: [english please]}", "variants.locales.english please", ""),
        (
            f"{{hooks: {[str(i) for i in range(30)]}, ctas: {[str(i) for i in range(30)]}}}",
            "variants",
            "900 videos",
        ),
    ],
)
def test_wrong_variants_are_named_by_field(
    tmp_path: Path, services, variants: str, field: str, said: str
):
    picture(tmp_path / "c/b/a.jpg")
    text = f"media: [a.jpg]\nhook: Hi\nvariants: {variants}\n"
    (source,) = find_sources([brief(tmp_path / "c/b", text)])
    _, problems = check_source(source, services)
    (problem,) = [p for p in problems if p.severity == "error"]
    assert problem.field.startswith(field) and said in f"{problem.message} {problem.remedy}"


def test_a_cells_problem_names_where_its_words_stand(tmp_path: Path, services):
    picture(tmp_path / "c/b/a.jpg")
    # A character of private use: no font has it, whatever is installed.
    text = "media: [a.jpg]\nvariants:\n  locales:\n    de: {hooks: [Kurz, 'Neu \ue123']}\n"
    found = find_sources([brief(tmp_path / "c/b", text)])
    assert [s.name for s in found] == ["b-de-h1", "b-de-h2"]
    assert check_source(found[0], services)[0] is not None
    spec, problems = check_source(found[1], services)
    assert spec is None
    (error,) = [p for p in problems if p.severity == "error"]
    assert error.file == "c/b/brief.yaml" and error.field == "variants.locales.de.hooks[1]"


def test_a_row_has_variants_too(tmp_path: Path):
    document = SourceDocument(
        part="row cup",
        data={"media": ["a.jpg"], "variants": {"ctas": ["Buy", "Get it"]}},
        shown="shop.csv",
        places={"": "row 7", "variants": "row 7, column CTAs"},
    )
    row = BriefSource(tmp_path / "shop.csv", "brief", "shop", "cup", tmp_path, document)
    cells = expand_variants(row)
    assert [(c.name, c.document.part, c.document.of) for c in cells] == [
        ("cup-c1", "row cup-c1", "row cup"),
        ("cup-c2", "row cup-c2", "row cup"),
    ]
    assert cells[1].document.place("cta") == "row 7, column CTAs: ctas[1]"
    assert cells[1].document.place("media[0]") == "row 7, media[0]"


def test_what_variants_have_in_common_is_rendered_once(tmp_path: Path, services):
    """Three scenes; the hook stands in the first, the call in the last."""
    folder = tmp_path / "c/b"
    for i, name in enumerate("abc"):
        picture(folder / f"{name}.jpg", size=(270, 480), hue=(200, 60 * i, 60))
    text = (
        "media: [{path: a.jpg, duration: 1}, {path: b.jpg, duration: 1}, "
        "{path: c.jpg, duration: 1.5}]\nbeats: [Between]\nmusic: none\n"
        "variants: {hooks: [One, Two], ctas: [Buy, Get]}\n"
    )
    sources = find_sources([brief(folder, text)])
    specs = {s.key: compile_source(s, services) for s in sources}
    with ThreadPoolExecutor(4) as pool:  # As the runs of a campaign are: side by side.
        made = list(pool.map(lambda k: render_segments(specs[k], services, k), specs))
    fresh = Counter(r.segment_id for d in made for r in d.segments if not r.cached)
    assert len(made) == 4 and fresh == {"s1": 2, "s2": 1, "s3": 2}
