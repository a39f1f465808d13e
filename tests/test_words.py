"""Words and what goes with them: transitions, entrances, badges, end cards, watermarks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import cut_out, picture
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from test_render import build, frames
from test_spec import SHOP, brief, compile_in, compiled

from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.compile import compile_file
from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.picture.badge import TURN, draw_badge, fit_badge
from pytoon_pipeline.picture.captions import (
    MAX_OF_CUE,
    CaptionText,
    TimedTile,
    draw_words,
    words_frames,
)
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.layers import TextTile
from pytoon_pipeline.picture.styles import TextBoxStyle, TextShadow, TextStyle
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.picture.transitions import blend_frames
from pytoon_pipeline.picture.yuv import Planes, rgb_to_planes
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.segment_jobs import segment_fingerprint, segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.stages.results import _thumbnail_candidates
from pytoon_pipeline.stages.services import Services

STYLE = TextStyle(
    family="Montserrat", weight=800, max_px=40, min_px=12, color="#FFFFFF", shadow=TextShadow()
)


def waves(hue: tuple[int, int, int]) -> Planes:
    y, x = np.mgrid[0:160, 0:90]
    wave = 30 * np.sin(x / 7) + 30 * np.sin(y / 9)
    rgb = np.clip(np.array(hue)[None, None] + wave[..., None], 60, 250).astype(np.uint8)
    return rgb_to_planes(rgb)


def grey(level: int, size: tuple[int, int] = (270, 480)) -> Planes:
    return rgb_to_planes(np.full((size[1], size[0], 3), level, np.uint8))


# --- transitions


@pytest.mark.parametrize("kind", ["zoom", "wipe"])
def test_a_transition_passes_from_side_to_side_without_a_flash_or_a_jerk(kind: str) -> None:
    left, right = waves((200, 110, 90)), waves((90, 130, 190))
    line = [left, *(blend_frames(kind, left, right, i, 14) for i in range(14)), right]
    low = min(left[0].min(), right[0].min())
    lights = [float(f[0].mean()) for f in line]
    between = sorted((lights[0], lights[-1]))
    for frame, light in zip(line, lights, strict=True):
        assert frame[0].min() >= low - 1, "nothing is darker than the pictures: no black edge"
        assert between[0] - 6 < light < between[1] + 6
        assert all(p.flags.c_contiguous and p.dtype == np.uint8 for p in frame)
    steps = [
        float(np.abs(a[0].astype(int) - b[0]).mean()) for a, b in zip(line, line[1:], strict=False)
    ]
    assert max(steps[0], steps[-1]) < 0.5 * max(steps), "it sets off and arrives softly"
    assert min(steps[2:-2]) > 0.1 * max(steps), "it never stands still on its way"
    assert max(steps) < 3 * float(np.mean(steps)), "it never jumps"


def test_a_wipe_uncovers_and_a_zoom_grows() -> None:
    dark, light = grey(60, (90, 160)), grey(200, (90, 160))
    row = blend_frames("wipe", dark, light, 6, 13)[0][80].astype(int)
    assert (np.diff(row) >= 0).all() and row[0] == dark[0][0, 0] and row[-1] == light[0][0, 0]
    y, x = np.mgrid[0:160, 0:90]
    ring = np.hypot(x - 44.5, y - 79.5)
    disc = rgb_to_planes(np.where(ring[..., None] < 20, 220, 60).astype(np.uint8).repeat(3, 2))
    sizes = [int((blend_frames("zoom", disc, disc, i, 14)[0] > 130).sum()) for i in range(4)]
    assert sizes == sorted(sizes) and sizes[-1] > sizes[0]


def test_the_names_of_transitions() -> None:
    spec = RenderSpec.model_validate(
        {"archetype": "hero", "segments": [{"transition": n} for n in ("wipeLeft", "zoomIn")]}
    )
    assert [s.transition.kind for s in spec.segments if s.transition] == ["wipe", "zoom"]


def test_no_preset_wipes_or_zooms_where_a_brief_is_brand_safe() -> None:
    kinds = [
        preset.transitions for names in SHOP.presets.presets().values() for preset in names.values()
    ]
    for transitions in kinds:
        assert not {"zoom", "wipe"} & {*transitions.kinds, *transitions.safe}
    assert any("zoom" in t.lively for t in kinds) and any("wipe" in t.lively for t in kinds)


def test_logo_and_badge_stand_still_while_pictures_zoom_and_wipe(
    services: Services, tmp_path: Path
) -> None:
    folder = tmp_path / "camp" / "still"
    for n in range(3):
        picture(folder / f"{n}.jpg", (270, 480), (60 + 40 * n, 60, 60))
    cut_out(folder / "logo.png", (60, 60))
    segments = [
        {"media": f"{n}.jpg", "duration": 1, "transition": {"type": kind, "duration": 0.4}}
        for n, kind in enumerate(("zoom", "wipe", "cut"))
    ]
    spec = {
        "archetype": "hero",
        "resolution": "270x480",
        "brandSafe": False,
        "segments": segments,
        "overlays": [
            {"src": "logo.png", "box": [100, 120, 160, 180], "opacity": 1.0},
            {"type": "badge", "text": "-30%", "box": [150, 200, 210, 260], "start": 0.1},
        ],
        "audioTrack": False,
    }
    (folder / "render_spec.json").write_text(json.dumps(spec))
    _, metrics = build(services, folder)
    assert not [v for v in metrics.verdicts if not v.passed and v.severity == "error"]
    shown = frames(services.store.local(metrics.video.key))
    assert len(shown) == 90
    badge = [f[215:245, 165:195].astype(int) for f in shown]
    logo = [f[142:158, 122:138].astype(int) for f in shown]
    assert all(np.abs(f - logo[0]).max() <= 6 for f in logo)
    still = np.median(badge[18:], axis=0)
    # Small letters: the encoder differs by a little from picture to picture.
    assert all(np.abs(f - still).mean() <= 3 for f in badge[18:])
    assert np.abs(badge[2] - badge[20]).max() > 60, "it has not been there from the start"


# --- entrances


def set_words(
    text: str, style: TextStyle = STYLE
) -> tuple[TextTile, list[TextTile], TextTile | None]:
    fitted = fit_text(text, style, 230, 160, SHOP.fonts)
    assert fitted is not None
    whole = draw_text(fitted, SHOP.fonts)
    words, plate = draw_words(fitted, SHOP.fonts, 20, 100)
    return TextTile.from_rgba(whole.rgba, 20 + whole.x, 100 + whole.y), words, plate


@pytest.mark.parametrize("box", [None, TextBoxStyle("#203040")])
def test_the_words_of_a_text_are_together_the_text(box: TextBoxStyle | None) -> None:
    style = replace(STYLE, box=box, stroke=0.0 if box else 0.05)
    whole, words, plate = set_words("Slow mornings, gently and well poured", style)
    assert len(words) == 6 and (plate is None) == (box is None)
    one, sum_ = grey(120), grey(120)
    whole.draw(one)
    for tile in [plate, *words]:
        if tile is not None:
            tile.draw(sum_)
    # Nothing changes at the frame at which the whole takes the place of its parts.
    assert np.abs(one[0].astype(int) - sum_[0]).max() <= 4


def test_words_come_one_after_the_other_in_reading_order() -> None:
    whole, words, _ = set_words("one two three four five")
    enter, each = words_frames(5, 60, 90, 30)
    assert enter <= MAX_OF_CUE * 90
    timed = TimedTile(
        whole,
        0,
        90,
        entrance="words",
        enter_frames=enter,
        rise=8,
        words=CaptionText(tuple(words), None, each),
    )
    ground, first_seen = grey(40), []
    settled = grey(40)
    whole.draw(settled)
    for tile in words:
        # The middle of its own line: what its neighbours' shadows do not reach.
        x, y, third = tile.x + tile.size[0] // 2, tile.y, tile.size[1] // 3
        part = np.s_[y + third : y + 2 * third, x - 6 : x + 6]
        for index in range(90):
            frame = tuple(p.copy() for p in ground)
            timed.draw(frame, index)
            if np.abs(frame[0][part].astype(int) - ground[0][part]).max() > 20:
                first_seen.append(index)
                break
    assert len(first_seen) == 5 and first_seen == sorted(set(first_seen))
    assert max(np.diff(first_seen)) - min(np.diff(first_seen)) <= 2, "at an even pace"
    done = tuple(p.copy() for p in ground)
    timed.draw(done, enter)
    assert np.array_equal(done[0], settled[0])


@given(st.integers(1, 30), st.integers(1, 120), st.integers(2, 200))
def test_words_are_in_within_their_share_of_the_cue(count: int, wanted: int, shown: int) -> None:
    enter, each = words_frames(count, wanted, shown, 30)
    assert 1 <= each <= enter <= max(1, min(wanted, MAX_OF_CUE * shown))


def test_a_text_slides_in_from_the_side_and_comes_to_rest() -> None:
    whole, _, _ = set_words("Hello")
    timed = TimedTile(whole, 0, 60, entrance="slide", enter_frames=12, rise=18)
    columns, middles = np.arange(270), []
    for index in range(14):
        frame = grey(16)
        timed.draw(frame, index)
        light = np.maximum(frame[0].astype(float) - 60, 0).sum(axis=0)
        if light.sum():
            middles.append((light * columns).sum() / light.sum())
    steps = np.diff(middles)
    assert middles[-1] - middles[0] > 8
    assert (steps > -0.1).all() and (np.diff(steps) < 0.3).all() and abs(steps[-1]) < 0.05


# --- badges


def overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("badges")
    picture(path / "a.png", (180, 320))
    picture(path / "b.png", (320, 180), (40, 90, 150))
    cut_out(path / "c.png")
    return path


@given(
    badge=st.sampled_from(
        [
            "50% OFF!",
            "New",
            "-30%",
            "Only $19.99",
            "Free shipping this week",
            "2 for 1",
            "Limited edition, while stocks last",
        ]
    ),
    hook=st.sampled_from(["Hi", "Slow mornings, well poured", "A kettle for every long morning"]),
    cta=st.sampled_from(["", "Buy now", "Meet the Dawn kettle today"]),
    archetype=st.sampled_from(["hero", "overlay"]),
    media=st.lists(st.sampled_from(["a.png", "b.png", "c.png"]), min_size=1, max_size=3),
    platform=st.sampled_from(["universal_ads", "tiktok_in_feed_ads", "reels_organic"]),
)
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_badge_covers_no_words_and_no_logo_and_stays_in_the_clear(
    folder: Path, badge, hook, cta, archetype, media, platform
) -> None:
    text = json.dumps(
        {
            "archetype": archetype,
            "brand": "morrow",
            "media": media,
            "hook": hook,
            "badge": badge,
            "platform": platform,
            **({"cta": cta} if cta else {}),
        }
    )
    result = compile_in(brief(folder, text))
    if result.plan is None:
        assert {p.code for p in result.problems if p.severity == "error"} == {"badge.no_room"}
        return
    spec = result.plan
    sticker = next(o for o in spec.overlays if o.type == "badge")
    c = spec.constraints.clear_box
    x0, y0, x1, y1 = sticker.box
    assert c[0] <= x0 < x1 <= c[2] and c[1] <= y0 < y1 <= c[3]
    for other in spec.overlays:
        assert other is sticker or not overlap(sticker.box, other.box)
    line = build_timeline(spec)
    for job, span in zip(segment_jobs(spec, line), line.spans, strict=True):
        for cue in job.captions:
            for b in job.badges:
                if cue.first < b.end and cue.end > b.first:
                    fitted = fit_text(
                        cue.text,
                        _style_of(cue, job),
                        cue.box[2] - cue.box[0],
                        cue.box[3] - cue.box[1],
                        SHOP.fonts,
                    )
                    for ink in (fitted.ink, *fitted.plates):
                        moved = (
                            cue.box[0] + ink[0],
                            cue.box[1] + ink[1],
                            cue.box[0] + ink[2],
                            cue.box[1] + ink[3],
                        )
                        assert not overlap(b.box, moved), (cue.text, b.box, moved, span)
    hook_cue = min(spec.captions, key=lambda cue: cue.start)
    assert sticker.start >= hook_cue.start + spec.styles[hook_cue.style].entrance.seconds
    style = _text(spec.styles[sticker.style])
    size = x1 - x0, y1 - y0
    fitted = fit_badge(badge, style, sticker.shape, sticker.rotation, size, SHOP.fonts)
    assert fitted is not None and fitted.size >= SHOP.presets.facts().captions.font_px.floor


def _style_of(cue, job):
    from pytoon_pipeline.compiler.typeset import text_style

    return text_style(cue.style, cue.align_y, job.language)


def _text(style):
    from pytoon_pipeline.compiler.typeset import text_style

    return text_style(style, "middle")


@pytest.mark.parametrize(("shape", "size"), [("round", (120, 120)), ("pill", (240, 92))])
def test_a_badge_is_drawn_whole_within_its_box(shape: str, size: tuple[int, int]) -> None:
    style = TextStyle(
        family="Montserrat", weight=800, max_px=60, min_px=12, max_lines=3, color="#FFFFFF"
    )
    rgba = draw_badge("50% OFF!", style, shape, "#B8462F", TURN[shape], size, SHOP.fonts)
    assert rgba is not None and rgba.shape == (size[1], size[0], 4)
    alpha = rgba[..., 3].astype(int)
    assert alpha[0, 0] == alpha[0, -1] == alpha[-1, 0] == 0 and alpha[size[1] // 2].max() == 255
    if shape == "round":
        assert abs((alpha / 255).sum() - np.pi * 60**2) < 40
        y, x = np.mgrid[0:120, 0:120] - 59.5
        ring = (np.hypot(y, x) > 53) & (np.hypot(y, x) < 56)
        assert rgba[ring][:, :3].max() < 200, "no letter comes near the edge"
    # Letters of the text's colour stand well within the edge, on the ground's.
    inner = rgba[size[1] // 4 : -size[1] // 4, size[0] // 4 : -size[0] // 4, :3]
    white = (inner.min(axis=2) > 240).mean()
    assert 0.08 < white < 0.6
    assert (
        draw_badge("No room for so many words", style, shape, "#B8462F", 5, (40, 30), SHOP.fonts)
        is None
    )


def test_a_badge_is_part_of_its_segments_and_of_nothing_else(folder: Path) -> None:
    def marks(badge: str) -> list[str]:
        text = f"archetype: overlay\nmedia: [a.png, c.png]\nhook: Hello\nbadge: {badge}\n"
        spec = compiled(brief(folder, text))
        return [segment_fingerprint(j, {}, {}) for j in segment_jobs(spec, build_timeline(spec))]

    assert all(a != b for a, b in zip(marks("50%"), marks("60%"), strict=True))
    assert marks("50%") == marks("50%")


def problems(folder: Path, data: dict) -> list[Problem]:
    (folder / "plan").mkdir(exist_ok=True)
    picture(folder / "plan" / "a.png", (180, 320))
    path = folder / "plan" / "render_spec.json"
    path.write_text(
        json.dumps(
            {
                "archetype": "hero",
                "segments": [{"media": "a.png", "duration": 3, "text": "Hello"}],
                **data,
            }
        )
    )
    return compile_file(path, path.parent, "spec", path.name, SHOP).problems


@pytest.mark.parametrize(
    ("badge", "code"),
    [
        ({"text": "50%", "box": [0, 0, 200, 200]}, "safe_zone.overlay"),
        ({"text": "50%", "box": [400, 300, 700, 600]}, "badge.covers"),
        ({"text": "Much too long for this", "box": [600, 900, 700, 1000]}, "badge.too_long"),
        ({"text": "50%", "style": "loud"}, "badge.style"),
        ({}, "field.value"),
        ({"text": "50%", "media": "a.png"}, "field.value"),
    ],
)
def test_a_badge_by_hand_is_checked(tmp_path: Path, badge: dict, code: str) -> None:
    found = problems(tmp_path, {"overlays": [{"type": "badge", **badge}]})
    assert code in [p.code for p in found], [str(p) for p in found]


def test_a_meme_has_no_badge(folder: Path) -> None:
    result = compile_in(brief(folder, "archetype: meme\nmedia: a.png\nhook: Hi\nbadge: New\n"))
    assert [p.code for p in result.problems if p.severity == "error"] == ["badge.archetype"]


# --- end card


def test_the_brand_closes_the_video_with_its_end_card(folder: Path) -> None:
    text = "archetype: {}\nbrand: morrow\nmedia: [a.png, b.png]\nhook: Hello\ncta: Buy it\n"
    spec = compiled(brief(folder, text.format("hero") + "duration: 9\nbadge: New\n"))
    *scenes, card = spec.segments
    assert card.id == "end" and card.duration == 1.6 and spec.duration == 9
    assert spec.asset(card.media[0]).source == "morrow/logo_dark.png"
    assert scenes[-1].transition.kind == "fade"
    span = build_timeline(spec).spans[-1]
    gone = round((span.start + span.head) / 30, 6)
    assert [o.end for o in spec.overlays] == [gone, gone]
    shown = {c.text: c for c in spec.captions}
    assert shown["Buy it"].end <= span.start / 30 and shown["Buy it"].role == "cta"
    end = shown["morrow.example"]
    assert end.start >= gone and end.end == 9
    c = spec.constraints.clear_box
    for box in (card.layout.box, end.box):
        assert c[0] <= box[0] < box[2] <= c[2] and c[1] <= box[1] < box[3] <= c[3]
        assert box[0] + box[2] == 1080, "in the middle of the frame"
    jobs = segment_jobs(spec, build_timeline(spec))
    assert not jobs[-1].overlays and not jobs[-1].badges
    assert jobs[-2].overlays[0].end == jobs[-2].count, "the watermark fades with its picture"

    for change, kind in (("end_card: false\n", "hero"), ("", "meme")):
        plain = compiled(brief(folder, text.format(kind).replace("hero", kind) + change))
        assert plain.segments[-1].id != "end" and plain.overlays[0].end is None
    asked = compiled(brief(folder, text.format("meme") + "end_card: true\n"))
    assert asked.segments[-1].id == "end"


@pytest.mark.parametrize("preset", ["studio", "spotlight"])
def test_a_plan_with_badge_and_end_card_compiles_to_itself(
    folder: Path, tmp_path: Path, preset: str
) -> None:
    text = "archetype: overlay\npreset: {}\nbrand: morrow\nmedia: c.png\nhook: Hello\nbadge: New\n"
    result = compile_in(brief(folder, text.format(preset)))
    assert result.plan is not None
    stored = {a.key: result.files[a.id] for a in result.plan.assets}
    shop = CompileContext(SHOP.presets, SHOP.fonts, {}, stored.get)
    plan = tmp_path / "render_spec.json"
    plan.write_text(result.plan.model_dump_json(by_alias=True), "utf-8")
    again = compile_file(plan, tmp_path, "spec", plan.name, shop)
    assert again.plan == result.plan, [str(p) for p in again.problems]


def test_an_end_card_of_words_alone(folder: Path) -> None:
    (folder / "kit.yaml").write_text(
        "name: Plain\nend_card: {headline: Plain goods, line: plain.example}\n"
    )
    spec = compiled(brief(folder, "brand: kit.yaml\nmedia: a.png\nhook: Hello\n"))
    assert [c.text for c in spec.captions][-2:] == ["Plain goods", "plain.example"]
    above, below = spec.captions[-2:]
    assert above.box[3] <= below.box[1] and above.start == below.start
    warned = compile_in(brief(folder, "media: a.png\nend_card: true\n")).problems
    assert [p.code for p in warned] == ["brand.end_card"]
    with pytest.raises(ValueError, match="greater than or equal"):
        Brand(name="x", end_card={"seconds": 0.1})  # type: ignore[arg-type]


def test_no_thumbnail_shows_a_popping_badge_or_the_end_card(folder: Path) -> None:
    spec = compiled(brief(folder, "brand: morrow\nmedia: a.png\nhook: Hi\nbadge: New\n"))
    line = build_timeline(spec)
    start = round(spec.overlays[-1].start * 30)
    for begins in (start, 20, 40, 60):
        spec.overlays[-1].start = begins / 30
        found = _thumbnail_candidates(spec, line)
        assert found and all(not begins <= f < begins + 13 for f in found)
        assert all(f < line.spans[-1].start for f in found)


# --- watermark, long lines


@pytest.mark.parametrize(
    ("levels", "logo"),
    [((245, 240), "logo_dark.png"), ((40, 60), "logo.png"), ((245, 40, 60), "logo.png")],
)
def test_the_watermark_stands_out_from_the_pictures(
    tmp_path: Path, levels: tuple[int, ...], logo: str
) -> None:
    for n, level in enumerate(levels):
        Image.new("RGB", (180, 320), (level, level, level)).save(tmp_path / f"{n}.png")
    media = ", ".join(f"{n}.png" for n in range(len(levels)))
    spec = compiled(brief(tmp_path, f"brand: morrow\nmedia: [{media}]\nhook: Hi\n"))
    mark = spec.overlays[0]
    assert mark.type == "watermark" and spec.asset(mark.media).source == f"morrow/{logo}"
    assert (mark.shadow == 0) == (logo == "logo_dark.png")


def test_the_parts_of_a_long_hook_are_set_in_one_size(folder: Path) -> None:
    hook = "The kettle that makes every slow Sunday morning feel like a first day of holidays"
    spec = compiled(brief(folder, f"brand: morrow\nmedia: [a.png, b.png]\nhook: {hook}\n"))
    parts = [c for c in spec.captions if c.role == "hook"]
    assert len(parts) > 1 and " ".join(c.text for c in parts) == hook
    sizes = set()
    for cue in parts:
        style = _text(spec.styles[cue.style])
        box = cue.box
        sizes.add(fit_text(cue.text, style, box[2] - box[0], box[3] - box[1], SHOP.fonts).size)
    assert len(sizes) == 1
