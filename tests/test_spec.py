"""The compiler: briefs beside the specs they become, all problems at once, whole frames."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import picture
from hypothesis import given
from hypothesis import strategies as st

from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.compiler.presets import open_presets
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.segment import TRANSITIONS, Segment, Transition
from pytoon_pipeline.plan.segment_jobs import segment_fingerprint, segment_jobs
from pytoon_pipeline.plan.timeline import MIN_COPIED, build_timeline
from pytoon_pipeline.settings import project_data

FIXTURES = Path(__file__).parent / "fixtures" / "briefs"
PRESETS = open_presets(project_data("presets"))
SHOP = CompileContext(PRESETS, FontLibrary([project_data("presets") / "fonts"]))


def compile_in(folder: Path) -> CompiledPlan:
    path = next(p for n in ("brief.yaml", "render_spec.json") if (p := folder / n).exists())
    kind = "brief" if path.suffix == ".yaml" else "spec"
    return compile_file(path, folder, kind, path.name, SHOP)


def compiled(folder: Path) -> RenderSpec:
    result = compile_in(folder)
    assert result.plan is not None, [str(p) for p in result.problems]
    return result.plan


def brief(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", sorted(p.name for p in FIXTURES.iterdir()))
def test_a_brief_becomes_the_spec_beside_it(name: str) -> None:
    spec = compiled(FIXTURES / name).model_dump(mode="json", exclude_none=True)
    expected = FIXTURES / name / "expected.json"
    if os.environ.get("PYTOON_WRITE_EXPECTED"):
        expected.write_text(json.dumps(spec, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert spec == json.loads(expected.read_text("utf-8"))


def test_a_finished_spec_compiles_to_itself(tmp_path: Path) -> None:
    folder = FIXTURES / "hero_three"
    spec = compiled(folder)
    files = compile_in(folder).files
    stored = {a.key: files[a.id] for a in spec.assets}
    shop = CompileContext(SHOP.presets, SHOP.fonts, {}, stored.get)
    plan = tmp_path / "render_spec.json"
    plan.write_text(spec.model_dump_json(by_alias=True), "utf-8")
    # From the store alone, or, where nothing was rendered yet, with its media beside it.
    assert compile_file(plan, tmp_path, "spec", plan.name, shop).plan == spec
    assert compile_file(plan, folder, "spec", plan.name, SHOP).plan == spec


def test_camel_and_snake_case_say_the_same() -> None:
    spec = compiled(FIXTURES / "spec_minimal")
    for by_alias in (True, False):
        assert Plan.model_validate_json(spec.model_dump_json(by_alias=by_alias)) == spec


def test_brand_safe_is_one_flag_with_a_known_reach(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", (36, 64))
    picture(tmp_path / "b.png", (36, 64), (20, 90, 160))
    text = "media: [a.png, b.png]\nhook: Hello\nbrand: morrow\nbrand_safe: {}\n"
    safe = compiled(brief(tmp_path, text.format("true"))).model_dump()
    free = compiled(brief(tmp_path, text.format("false"))).model_dump()
    differ = {k for k in safe if safe[k] != free[k]}
    assert differ == {"brand_safe", "segments", "constraints", "overlays"}
    assert [o["type"] for o in safe["overlays"]] == ["watermark"] and not free["overlays"]
    asked = text.format("false") + "watermark: true\n"
    assert compiled(brief(tmp_path, asked)).model_dump()["overlays"] == safe["overlays"]
    changed = {
        k
        for a, b in zip(safe["segments"], free["segments"], strict=True)
        for k in a
        if a[k] != b[k]
    }
    assert changed == {"motion"}
    assert free["segments"][0]["motion"]["amount"] > safe["segments"][0]["motion"]["amount"]
    assert free["constraints"]["colors"] is None


def test_all_problems_of_a_brief_come_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "good.png", (36, 64))
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7\n" + b"x" * 500)
    (tmp_path.parent / "outside.png").write_bytes((tmp_path / "good.png").read_bytes())
    (tmp_path / "link.png").symlink_to(tmp_path.parent / "outside.png")
    result = compile_in(
        brief(
            tmp_path,
            "archetype: hero\npreset: daylite\nbrand: nobody\nhok: typo\nhook: ''\nduration: 90\n"
            "media: [good.png, zero.jpg, paper.jpg, missing.png, ../outside.png, /etc/hosts,\n"
            "        link.png, {path: good.png, fit: covr}]\n"
            f"cta: {'word ' * 300}\n",
        )
    )
    assert result.plan is None
    found = {(p.code, p.field) for p in result.problems}
    assert found >= {
        ("preset.unknown", "preset"),
        ("brand.unknown", "brand"),
        ("field.unknown", "hok"),
        ("field.empty", "hook"),
        ("field.value", "duration"),
        ("media.empty", "media[1]"),
        ("media.not_media", "media[2]"),
        ("media.missing", "media[3]"),
        ("media.outside", "media[4]"),
        ("media.outside", "media[5]"),
        ("media.outside", "media[6]"),
        ("field.choice", "media[7].fit"),
    }
    assert all(p.file == "brief.yaml" and p.remedy for p in result.problems)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "file.empty"),
        ("- a\n- b\n", "file.shape"),
        ("hook: [unclosed\n", "file.yaml"),
        ("hook: a\nhook: b\n", "file.yaml"),
        ("media: []\n", "media.none"),
        ("media: a.png\nhook: " + "'line\n\n" + "line\n\n" * 200 + "'\n", "caption.too_long"),
        ("media: a.png\nhook: " + "x" * 3000 + "\n", "caption.too_long"),
        ("media: a.png\nhook: กาแฟ\n", "font.missing_glyph"),
        (
            "media: a.png\nduration: 5\n"
            "beats: [" + ", ".join(f"'Beat {i} of many here'" for i in range(20)) + "]\n",
            "duration.too_much",
        ),
    ],
)
def test_each_fault_has_its_code(tmp_path: Path, text: str, code: str) -> None:
    picture(tmp_path / "a.png", (36, 64))
    result = compile_in(brief(tmp_path, text))
    assert result.plan is None
    assert code in [p.code for p in result.problems], [str(p) for p in result.problems]


def test_too_much_material_is_shortened_evenly_and_said(tmp_path: Path) -> None:
    for i in range(30):
        picture(tmp_path / f"{i}.png", (36, 64), (20 + 7 * i, 90, 60))
    media = ", ".join(f"{i}.png" for i in range(30))
    spec = compiled(brief(tmp_path, f"media: [{media}]\n"))
    assert spec.duration == 60
    assert len({s.duration for s in spec.segments}) == 1
    assert any("shortened evenly" in note for note in spec.notes)


def test_every_cue_stays_inside_the_clear_box_and_outside_transitions() -> None:
    for folder in sorted(FIXTURES.iterdir()):
        spec = compiled(folder)
        line = build_timeline(spec)
        x0, y0, x1, y1 = spec.constraints.clear_box
        for cue in spec.captions:
            assert x0 <= cue.box[0] < cue.box[2] <= x1 and y0 <= cue.box[1] < cue.box[3] <= y1
            for w in line.windows:
                first, end = cue.start * line.rate, cue.end * line.rate
                assert end <= w.first + 1e-3 or first >= w.first + w.count - 1e-3


def test_a_fingerprint_follows_the_pixels_and_nothing_else(tmp_path: Path) -> None:
    def marks(text: str) -> list[str]:
        spec = compiled(brief(tmp_path, text))
        return [segment_fingerprint(j, {}, {}) for j in segment_jobs(spec, build_timeline(spec))]

    picture(tmp_path / "a.png", (36, 64))
    picture(tmp_path / "b.png", (36, 64), (20, 90, 160))
    first = marks("media: [a.png, b.png]\nhook: Hello\ncta: Buy it\n")
    (tmp_path / "a.png").rename(tmp_path / "renamed.png")
    assert marks("media: [renamed.png, b.png]\nhook: Hello\ncta: Buy it\n") == first
    edited = marks("media: [renamed.png, b.png]\nhook: Hello\ncta: Buy me\n")
    # The words are of one length, so no cue moves; only the second segment is another one.
    assert edited[0] == first[0] and edited[1] != first[1]


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 12).map(lambda s: round(s, 3)),
            st.sampled_from(TRANSITIONS),
            st.floats(0, 3).map(lambda s: round(s, 2)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([24, 25, 30]),
)
def test_transitions_never_change_the_sum(parts, rate: int) -> None:
    spec = RenderSpec(
        archetype="hero",
        frame_rate=rate,
        segments=[
            Segment(id=f"s{i}", duration=d, transition=Transition(type=k, duration=t))
            for i, (d, k, t) in enumerate(parts)
        ],
    )
    line = build_timeline(spec)
    assert abs(line.frames - sum(d for d, _, _ in parts) * rate) <= 0.51
    # Copied parts and windows tile the video without a gap.
    pieces = [
        (span.first + span.copied_frames[0], span.first + span.copied_frames[1])
        for span in line.spans
    ] + [(w.first, w.first + w.count) for w in line.windows]
    pieces.sort()
    assert pieces[0][0] == 0 and pieces[-1][1] == line.frames
    assert all(a[1] == b[0] for a, b in zip(pieces, pieces[1:], strict=False))
    for span in line.spans:
        assert span.copied_frames[1] - span.copied_frames[0] >= min(MIN_COPIED, span.body)
        assert span.head % 1 == 0 and all(0 <= k < span.count for k in span.keyframes)


def test_shortening_leaves_every_line_its_reading_time(tmp_path: Path) -> None:
    """A line needs its characters at the reading speed of the platform facts, and what is silent
    gives way first."""
    for i in range(3):
        picture(tmp_path / f"{i}.png", (36, 64), (20 + 70 * i, 90, 60))
    line = "Hand thrown in small batches, fired twice"
    spec = compiled(
        brief(
            tmp_path,
            f"media: [0.png, {{path: 1.png, text: '{line}'}}, 2.png]\n"
            "duration: 7\nend_card: false\n",
        )
    )
    rules = SHOP.presets.facts().captions
    spoken = spec.segments[1].duration
    assert spoken >= len(line) / rules.max_chars_per_second
    assert spoken > spec.segments[0].duration == spec.segments[2].duration
    assert spec.duration == 7
    cue = next(c for c in spec.captions if c.text == line)
    assert cue.end - cue.start >= len(line) / rules.max_chars_per_second


def test_a_cue_that_ends_at_a_cut_is_in_one_segment_only() -> None:
    spec = compiled(FIXTURES / "hero_three")
    line = build_timeline(spec)
    window = next(w for w in line.windows if w.kind == "fade")
    cut = line.spans[window.left + 1].start
    cue = spec.captions[0].model_copy(
        update={"start": (cut - 20) / line.rate, "end": cut / line.rate}
    )
    for moved, sides in ((0.0, [1, 0]), (1.0, [0, 1]), (0.4, [1, 1])):
        at = {"start": cue.start + moved * 20 / line.rate, "end": cue.end + moved * 20 / line.rate}
        jobs = segment_jobs(spec.model_copy(update={"captions": [cue.model_copy(update=at)]}), line)
        found = [len(jobs[window.left + side].captions) for side in (0, 1)]
        assert found == sides, (moved, found)
