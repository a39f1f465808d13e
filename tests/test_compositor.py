"""Overlays: products cut out of white, several in one frame, and what lies behind them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import clip, cut_out, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter
from test_spec import PRESETS, SHOP

from pytoon_pipeline.compiler.arrange import MediaShape, arrange_boxes, choose_arrangement
from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.engines.base import Footage
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.picture.backgrounds import DriftingBackground
from pytoon_pipeline.picture.contrast import contrast_ratio, relative_luminance
from pytoon_pipeline.picture.cutout import cut_out_product
from pytoon_pipeline.picture.layers import PictureLayer, Placement, new_frame
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline

GREEN = (16, 48, 32)
RED = (150, 30, 30)


def shot(path: Path, body=RED, ground=(255, 255, 255), box=(0.25, 0.2, 0.75, 0.8)) -> Path:
    """A product on a plain ground, with soft edges, a shadow and a white label."""
    size = np.array([600, 800])
    corners = [float(v) for v in (*(size * box[:2]), *(size * box[2:]))]
    image = Image.new("RGB", tuple(int(v) for v in size), ground)
    shadow = Image.new("L", image.size, 0)
    x0, y0, x1, y1 = corners
    ImageDraw.Draw(shadow).ellipse([x0, y1 - 30, x1 + 20, y1 + 25], fill=90)
    dark = Image.new("RGB", image.size, (70, 70, 70))
    image = Image.composite(dark, image, shadow.filter(ImageFilter.GaussianBlur(14)))
    mask = Image.new("L", (image.width * 4, image.height * 4), 0)
    draw = ImageDraw.Draw(mask)
    draw.rounded_rectangle([4 * v for v in corners], 160, fill=255)
    image.paste(Image.new("RGB", image.size, body), (0, 0), mask.resize(image.size, Image.BOX))
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    ImageDraw.Draw(image).rectangle(
        [middle[0] - 60, middle[1] - 60, middle[0] + 60, middle[1] + 60], fill=(255, 255, 255)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92)
    return path


def compiled(folder: Path, **spec) -> CompiledPlan:
    """A hand-written overlay of 270x480, free in its colours and movements."""
    data = {
        "archetype": "overlay",
        "resolution": "270x480",
        "brandSafe": False,
        "audioTrack": False,
        **spec,
    }
    (folder / "render_spec.json").write_text(json.dumps(data), encoding="utf-8")
    return compile_file(folder / "render_spec.json", folder, "spec", "render_spec.json", SHOP)


def footage(folder: Path, **segment) -> tuple[SegmentJob, Footage]:
    """Its only segment, without words."""
    result = compiled(folder, segments=[{"duration": 1, **segment}])
    assert result.plan is not None, [str(p) for p in result.problems]
    job = segment_jobs(result.plan, build_timeline(result.plan))[0]
    media = {a.id: result.files[a.id] for a in job.all_assets}
    return job, Compositor().render(job, media, folder, lambda n: None)


def rgb_frames(made: Footage) -> list[np.ndarray]:
    return [planes_to_rgb(planes) for planes in made.frames()]


# --- cut out of white


def test_a_keyed_product_has_no_rim_of_the_old_ground(tmp_path: Path) -> None:
    """Between the product and a dark ground nothing is lighter than either of them."""
    shot(tmp_path / "p.jpg")
    job, made = footage(
        tmp_path,
        media="p.jpg",
        motion="still",
        background="#103020",
        layout={"fit": "cutout", "keyed": True, "shadow": 0, "box": [50, 120, 220, 400]},
    )
    frame = rgb_frames(made)[0].astype(int)
    red = frame[..., 0] - frame[..., 1] > 60
    solid = cv2.morphologyEx(red.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((90, 90), np.uint8))
    wide = cv2.dilate(solid, np.ones((13, 13), np.uint8)) > 0
    inner = cv2.erode(solid, np.ones((7, 7), np.uint8)) > 0
    ring = wide & ~inner
    assert ring.sum() > 1500
    # Neither channel that white would raise: the product's own and the ground's are the most.
    assert frame[ring][:, 1].max() <= max(GREEN[1], RED[1]) + 14
    assert frame[ring][:, 2].max() <= max(GREEN[2], RED[2]) + 14
    # The white label inside is the product's own.
    rows, columns = np.nonzero(solid)
    label = frame[int(rows.mean()) - 5 : int(rows.mean()) + 5, int(columns.mean())]
    assert label.min() > 225


def test_what_cannot_be_cut_out_cleanly_is_said_not_to_be(tmp_path: Path) -> None:
    def verdict(**how) -> tuple[bool, bool]:
        with Image.open(shot(tmp_path / "s.png", **how)) as image:
            found = cut_out_product(np.asarray(image.convert("RGB")))
        return found.rgba is not None, found.plain

    assert verdict() == (True, True)
    assert verdict(ground=(238, 236, 230)) == (True, True)
    assert verdict(body=(246, 246, 245)) == (False, True)
    assert verdict(box=(0.2, 0.5, 0.8, 1.0)) == (False, True)
    assert verdict(ground=(120, 140, 160)) == (False, False)
    with Image.open(picture(tmp_path / "scene.png")) as image:
        assert cut_out_product(np.asarray(image)).plain is False


def test_a_frame_is_seen_through_and_a_label_is_not() -> None:
    image = Image.new("RGB", (1200, 800), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    draw.ellipse([100, 250, 500, 650], outline=(30, 30, 60), width=24)  # a ring, like of glasses
    draw.rectangle([600, 200, 1000, 700], fill=RED)
    draw.rectangle([700, 300, 900, 500], fill=(255, 255, 255))
    rgba = cut_out_product(np.asarray(image)).rgba
    assert rgba is not None
    alpha = rgba[..., 3]
    assert alpha[450, 300] == 0 and alpha[450, 112] == 255
    assert alpha[400, 800] == 255 and alpha[600, 800] == 255
    assert rgba[400, 800, :3].min() == 255
    # What is not at an edge is the source's own, pixel for pixel.
    assert np.array_equal(rgba[206:694, 606:994, :3], np.asarray(image)[206:694, 606:994])


@pytest.mark.parametrize(
    "how",
    [{}, {"body": (246, 246, 245)}, {"box": (0.2, 0.5, 0.8, 1.0)}, {"ground": (236, 234, 228)}],
    ids=["clean", "pale", "cropped", "light grey"],
)
def test_an_opaque_shot_on_white_never_leaves_a_white_box(how: dict, tmp_path: Path) -> None:
    """Cut out, or a card with round corners; where the corners of a box of white would be, the
    ground is seen."""
    shot(tmp_path / "p.jpg", **how)
    job, made = footage(tmp_path, media="p.jpg", motion="still", background="#103020")
    frame = rgb_frames(made)[0].astype(int)
    light = frame.min(axis=-1) > 190
    if job.layout.fit == "cutout":
        assert job.layout.keyed
        assert light.mean() < 0.06  # the label
    rows, columns = np.flatnonzero(light.any(axis=1)), np.flatnonzero(light.any(axis=0))
    top, left = rows[0], columns[0]
    bottom, right = rows[-1], columns[-1]
    if job.layout.fit == "frame":
        assert job.layout.radius >= 8 and job.layout.shadow > 0
        # The bottom of a cropped product is its own colour up to the card's corners.
        for y, x in ((top, left), (top, right), (bottom, left), (bottom, right)):
            assert frame[y, x].max() < 120, (y, x)


def test_the_verdict_is_noted_and_an_opaque_alpha_is_none(tmp_path: Path) -> None:
    shot(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        image.convert("RGBA").save(tmp_path / "p.png")
    (tmp_path / "brief.yaml").write_text(
        "archetype: overlay\nmedia: [p.png, {path: p.png, fit: contain}]\n"
    )
    spec = compile_file(tmp_path / "brief.yaml", tmp_path, "brief", "brief.yaml", SHOP).plan
    assert spec is not None
    assert [s.layout.fit for s in spec.segments] == ["cutout", "frame"]
    assert any("cut out" in note for note in spec.notes)


def test_pixels_that_do_not_decode_are_a_problem_of_the_brief(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far the first look at a file went: the compiler reports and goes on."""
    from pytoon_pipeline.compiler.passes import composition
    from pytoon_pipeline.media.unreadable import UnreadableMediaError

    def broken(*_, **__):
        raise UnreadableMediaError("media.corrupt", "p.jpg: ends half way.", "Copy it again.")

    shot(tmp_path / "p.jpg", body=(31, 62, 93))
    monkeypatch.setattr(composition, "load_image", broken)
    found = compiled(tmp_path, preset="shelf", segments=[{"media": "p.jpg"}])
    assert found.plan is None
    assert [p.code for p in found.problems if p.severity == "error"] == ["media.corrupt"]


# --- several in one frame

SHAPES = st.lists(st.builds(MediaShape, st.floats(0.2, 5), st.booleans()), min_size=2, max_size=4)


@given(
    SHAPES,
    st.sampled_from(["split", "stack", "pip"]),
    st.integers(300, 900),
    st.integers(300, 1200),
)
@settings(max_examples=150, deadline=None)
def test_arranged_media_lie_inside_their_box_and_clear_of_each_other(
    shapes, kind, width, height
) -> None:
    box = (90, 600, 90 + width, 600 + height)
    shapes = shapes[:2] if kind == "pip" else shapes
    boxes = arrange_boxes(kind, shapes, box)
    assert len(boxes) == len(shapes)
    for (x0, y0, x1, y1), shape in zip(boxes, shapes, strict=True):
        assert box[0] <= x0 < x1 <= box[2] and box[1] <= y0 < y1 <= box[3]
        # Of the medium's own form, to the pixel.
        assert abs((x1 - x0) - (y1 - y0) * shape.aspect) <= 2.1 * max(1, shape.aspect)
    if kind == "pip":
        first, second = ((b[2] - b[0]) * (b[3] - b[1]) for b in boxes)
        return
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    if kind == "split" and len(boxes) < 4 and any(s.stands for s in shapes):
        assert len({b[3] for b in boxes}) == 1


def test_shapes_choose_their_arrangement() -> None:
    tall, wide, product = MediaShape(0.6), MediaShape(1.6), MediaShape(0.7, stands=True)
    assert choose_arrangement([wide, wide]) == "stack"
    assert choose_arrangement([product, product, product]) == "split"
    assert choose_arrangement([tall, tall]) == "split"
    assert choose_arrangement([wide, product]) == "pip"


def test_cut_outs_stand_on_one_line_whatever_the_camera_does(tmp_path: Path) -> None:
    cut_out(tmp_path / "a.png", (200, 300))
    cut_out(tmp_path / "b.png", (300, 240))
    job, made = footage(
        tmp_path,
        media=["a.png", "b.png"],
        motion={"kind": "push_in", "amount": 0.05},
        background="#E9E6E0",
    )
    assert job.layout.arrange == "split"
    line = job.layout.places[0].box[3]
    for frame in (rgb_frames(made)[0], rgb_frames(made)[-1]):
        red = frame[..., 0].astype(int) - frame[..., 1] > 60
        halves = red[:, :135], red[:, 135:]
        feet = [np.flatnonzero(half.any(axis=1))[-1] + 1 for half in halves]
        assert all(abs(foot - line) <= 2 for foot in feet), (feet, line)
    # Below the line there is a shadow, which is soft and ends.
    light = frame.astype(int).sum(axis=-1)
    assert light[line + 1, 60] < light[-4, 60] - 30


def test_a_brief_names_several_files_for_one_frame(tmp_path: Path) -> None:
    picture(tmp_path / "wide.jpg", (640, 360))
    cut_out(tmp_path / "p.png")
    clip(tmp_path / "c.mp4", seconds=0.4)

    def of(media: str) -> CompiledPlan:
        (tmp_path / "brief.yaml").write_text(f"archetype: overlay\nmedia: [{media}]\n")
        return compile_file(tmp_path / "brief.yaml", tmp_path, "brief", "brief.yaml", SHOP)

    spec = of("{paths: [wide.jpg, p.png]}, {paths: [c.mp4, wide.jpg], arrange: stack}").plan
    assert spec is not None
    assert [s.layout.arrange for s in spec.segments] == ["pip", "stack"]
    assert [p.fit for p in spec.segments[0].layout.places] == ["frame", "cutout"]
    wrong = of("{paths: [wide.jpg, p.png, c.mp4], arrange: pip}")
    assert [p.code for p in wrong.problems] == ["media.arrange"]
    missing = of("{paths: [wide.jpg, no.png]}")
    assert [(p.code, p.field) for p in missing.problems] == [("media.missing", "media[0].paths[1]")]


def test_clips_and_pictures_share_a_frame(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (320, 180), (60, 60, 60))
    clip(tmp_path / "c.mp4", seconds=0.5)
    job, made = footage(tmp_path, media=["a.jpg", "c.mp4"], motion="still", background="#E9E6E0")
    frames = rgb_frames(made)
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = (p.box for p in job.layout.places)
    first, last = frames[0].astype(int), frames[8].astype(int)
    assert np.abs(first - last)[ay0:ay1, ax0:ax1].max() <= 2
    assert np.abs(first - last)[by0:by1, bx0:bx1].mean() > 3


# --- what lies behind


def test_a_background_clip_plays_behind_a_product_that_stays(tmp_path: Path) -> None:
    cut_out(tmp_path / "p.png")
    clip(tmp_path / "c.mp4", seconds=0.5)
    for blur in (0, 0.1):
        _, made = footage(
            tmp_path, media="p.png", motion="still", background={"media": "c.mp4", "blur": blur}
        )
        frames = [f.astype(int) for f in rgb_frames(made)]
        change = np.abs(frames[0] - frames[10])
        assert change[:60].max() > 20
        assert change[300:320, 130:140].max() <= 2
        assert made.at is None


def test_a_pictured_ground_drifts_by_parts_of_pixels_within_its_bound(tmp_path: Path) -> None:
    picture(tmp_path / "scene.jpg", (540, 960))
    cut_out(tmp_path / "p.png")
    job, made = footage(
        tmp_path,
        media="p.png",
        motion="still",
        background={"media": "scene.jpg", "parallax": 0.03, "wash": 0},
        layout={"shadow": 0, "fit": "cutout", "box": [100, 300, 170, 400]},
    )
    parts = [planes[0][40:280, 20:250].astype(np.float32).copy() for planes in made.frames()]
    window = cv2.createHanningWindow(parts[0].shape[::-1], cv2.CV_32F)
    steps = [cv2.phaseCorrelate(a, b, window)[0] for a, b in zip(parts, parts[1:], strict=False)]
    down = np.array([dy for _, dy in steps])
    assert np.abs([dx for dx, _ in steps]).max() < 0.1
    assert 0.8 * 0.03 * 480 < down.sum() <= 0.03 * 480 + 0.5
    assert down.min() > 0.1 and down.max() < 1.0  # never at rest, never a whole pixel
    pairs = (down[:-1] + down[1:]) / 2  # the measure itself errs by some tenths, to and fro
    assert np.abs(np.diff(pairs)).max() < 0.2


def test_a_shifted_ground_is_the_same_as_a_warped_one() -> None:
    rng = np.random.default_rng(7)
    planes = tuple(rng.integers(0, 255, s, np.uint8) for s in ((60, 50), (30, 25), (30, 25)))
    planes = tuple(cv2.GaussianBlur(p, (0, 0), 2) for p in planes)
    for x, y in ((20, 24.3), (19.25, 25), (21.6, 23.75)):

        def place(index: int, x: float = x, y: float = y) -> Placement:
            return Placement(25, 30, x, y, 1.0)

        shifted, warped = new_frame(40, 48), new_frame(40, 48)
        DriftingBackground(planes, place).draw(shifted, 0)
        PictureLayer(planes, place, (0, 0, 40, 48)).draw(warped, 0)
        for a, b in zip(shifted, warped, strict=True):
            # cv2 rounds the place of a warp to 1/32 of a pixel.
            assert np.abs(a.astype(int) - b).max() <= 2


def test_parallax_keeps_to_what_is_brand_safe_and_gradients_stay(tmp_path: Path) -> None:
    picture(tmp_path / "scene.jpg")
    cut_out(tmp_path / "p.png")
    asked = {"media": "p.png", "background": {"media": "scene.jpg", "parallax": 0.1}}
    amount = PRESETS.preset("overlay", "studio").motion
    for safe, most in ((True, amount.amount), (False, amount.lively)):
        spec = compiled(tmp_path, brandSafe=safe, segments=[asked]).plan
        assert spec is not None and spec.segments[0].background.parallax == most
    job, made = footage(tmp_path, media="p.png", motion="push_in")
    frames = rgb_frames(made)
    assert job.background.kind == "gradient" and job.background.parallax is None
    assert np.array_equal(frames[0][:100], frames[-1][:100])


@pytest.mark.parametrize("preset", PRESETS.preset_names("overlay"))
@pytest.mark.parametrize("brand", PRESETS.brand_names())
def test_words_stand_out_from_every_ground(preset: str, brand: str, tmp_path: Path) -> None:
    """The preset's own colours; and, washed or darkened, the worst picture there could be."""
    look, kit = PRESETS.preset("overlay", preset), PRESETS.brand(brand)
    light = {r: relative_luminance(kit.color(r)) for r in kit.colors}
    for kind in (look.type.hook, look.type.beat, look.type.cta):
        below = [kind.box.color] if kind.box else look.background.colors
        assert below, "a preset needs colours for what has no picture"
        for role in below:
            assert contrast_ratio(light[kind.color], light[role]) >= 4.5, (kind.color, role)
    if look.background.kind == "blur":
        return
    cut_out(tmp_path / "p.png")
    for n, tone in enumerate((0, 255)):
        Image.new("RGB", (90, 160), (tone,) * 3).save(tmp_path / f"{n}.png")
        result = compiled(
            tmp_path,
            preset=preset,
            brand=brand,
            segments=[{"media": "p.png", "text": "Hello", "background": f"{n}.png"}],
        )
        ground = result.plan.segments[0].background
        assert 0 < ground.wash < 0.85  # the picture is still seen
        colour = np.array([int(ground.colors[0][i : i + 2], 16) for i in (1, 3, 5)])
        mixed = np.rint(tone * (1 - ground.wash) + colour * ground.wash).astype(int)
        seen = relative_luminance("#" + "".join(f"{v:02X}" for v in mixed))
        assert contrast_ratio(light[look.type.hook.color], seen) >= 4.4


def test_a_shot_on_white_is_not_blurred_into_a_grey(tmp_path: Path) -> None:
    shot(tmp_path / "pale.jpg", body=(246, 246, 245))
    picture(tmp_path / "scene.jpg")
    spec = compiled(
        tmp_path, preset="shelf", segments=[{"media": "pale.jpg"}, {"media": "scene.jpg"}]
    ).plan
    assert spec is not None
    assert [s.background.kind for s in spec.segments] == ["gradient", "blur"]


def test_a_background_that_hides_the_words_is_refused(tmp_path: Path) -> None:
    cut_out(tmp_path / "p.png")

    def problems(background: str, media: str = "p.png") -> list[str]:
        (tmp_path / "brief.yaml").write_text(
            f"archetype: overlay\nbrand: morrow\nmedia: [{media}]\nhook: Hello\n"
            f"background: {background}\n"
        )
        found = compile_file(tmp_path / "brief.yaml", tmp_path, "brief", "brief.yaml", SHOP)
        return [p.code for p in found.problems]

    assert problems("paper") == [] == problems("blur") == problems("[ground, paper]"[1:7])
    assert problems("deep_low") == ["background.contrast"]
    assert problems("tealish") == ["background.color"]
    assert problems("none.jpg") == ["media.missing"]


def test_a_plan_with_all_of_it_compiles_to_itself(tmp_path: Path) -> None:
    picture(tmp_path / "scene.jpg")
    shot(tmp_path / "p.jpg")
    cut_out(tmp_path / "c.png")
    (tmp_path / "brief.yaml").write_text(
        "archetype: overlay\nmedia:\n- {path: p.jpg, background: scene.jpg}\n"
        "- {paths: [p.jpg, c.png]}\n- {path: scene.jpg, background: blur}\nhook: Hello\n"
    )
    first = compile_file(tmp_path / "brief.yaml", tmp_path, "brief", "brief.yaml", SHOP)
    assert first.plan is not None, first.problems
    plan = tmp_path / "render_spec.json"
    plan.write_text(first.plan.model_dump_json(by_alias=True), "utf-8")
    stored = {a.key: first.files[a.id] for a in first.plan.assets}
    shop = CompileContext(SHOP.presets, SHOP.fonts, {}, stored.get)
    again = compile_file(plan, tmp_path, "spec", plan.name, shop)
    assert again.plan is not None, again.problems
    kept = {"exclude": {"metadata"}}
    assert again.plan.model_dump(**kept) == first.plan.model_dump(**kept)
    assert isinstance(again.plan, RenderSpec)
