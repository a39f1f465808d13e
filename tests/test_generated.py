"""Generated footage: what the plan asks a model for, and what becomes of its take."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import clip, cut_out, picture
from hypothesis import given
from hypothesis import strategies as st
from test_compositor import compiled as written
from test_spec import brief, compile_in, compiled

from pytoon_pipeline.engines.base import Footage
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.engines.generated import generated_footage
from pytoon_pipeline.errors import EngineFailedError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.probe import hash_file, probe_media
from pytoon_pipeline.media.retime import RetimedClip, list_moments, retime_clip
from pytoon_pipeline.picture.contrast import (
    TARGET,
    contrast_ratio,
    measure_luminance_behind,
    relative_luminance,
)
from pytoon_pipeline.picture.yuv import Planes, rgb_to_planes
from pytoon_pipeline.plan.model import Asset, RenderSpec
from pytoon_pipeline.plan.segment import Background, Generate, Layout, Motion
from pytoon_pipeline.plan.segment_jobs import (
    JobCaption,
    SegmentJob,
    segment_fingerprint,
    segment_jobs,
)
from pytoon_pipeline.plan.text import TypeStyle
from pytoon_pipeline.plan.timeline import build_timeline

SIZE = (96, 160)
SPEED = 3.0
"""Pixels that the picture of `take` moves from one frame to the next."""


def scene(t: float, light: float = 1.0) -> np.ndarray:
    """What a take of SIZE shows at its frame t: a textured ground that passes by, and a disc that
    goes the other way before it."""
    y, x = np.mgrid[0:160, 0:96].astype(np.float64)
    x = x + SPEED * t
    waves = 40 * np.sin(x / 7.0) + 40 * np.sin(y / 9.0) + 20 * np.sin((x + y) / 23.0)
    rgb = np.clip(np.array((150, 110, 90)) + waves[..., None], 0, 255) * light
    rgb = np.ascontiguousarray(rgb.astype(np.uint8))
    middle = round((70 - 2 * t) * 16), 80 * 16
    cv2.circle(rgb, middle, 14 * 16, (235, 235, 225), -1, cv2.LINE_AA, 4)
    return rgb


def take(
    path: Path,
    frames: int = 9,
    rate: int = 16,
    light: float = 1.0,
    draw: Callable[[float, float], np.ndarray] = scene,
) -> Path:
    """A clip as a model makes it, kept exactly."""
    argv = [
        ffmpeg.find_executable(),
        "-v",
        "error",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-s",
        f"{SIZE[0]}x{SIZE[1]}",
        "-r",
        str(rate),
        "-colorspace",
        "bt709",
        "-color_range",
        "tv",
        "-i",
        "-",
        "-c:v",
        "libx264",
        "-qp",
        "0",
        "-preset",
        "ultrafast",
        "-colorspace",
        "bt709",
        "-color_range",
        "tv",
        str(path),
    ]
    planes = (rgb_to_planes(draw(t, light)) for t in range(frames))
    raw = b"".join(p.tobytes() for frame in planes for p in frame)
    subprocess.run(argv, input=raw, check=True)
    return path


def job_of(path: Path | None, motion: str = "push_in", **changes) -> SegmentJob:
    """A segment of 13 frames, handles among them, of a generated take and perhaps one file."""
    media = []
    if path is not None:
        info = probe_media(path)
        media = [
            Asset(
                id="a1",
                kind=info.kind,
                source=path.name,
                sha256=hash_file(path),
                width=info.width,
                height=info.height,
                seconds=info.seconds,
                has_alpha=info.has_alpha,
            )
        ]
    return SegmentJob(
        **{
            "segment_id": "s1",
            "archetype": "hero",
            "type": "generated",
            "width": 270,
            "height": 480,
            "rate": 30,
            "head": 2,
            "body": 8,
            "tail": 3,
            "media": media,
            "background": Background(kind="blur", colors=["#203040"], darken=0.4),
            "layout": Layout(fit="cover"),
            "motion": Motion(kind=motion, amount=0.1),
            **changes,
        }
    )


def footage(job: SegmentJob, path: Path, media: dict[str, Path] | None = None) -> Footage:
    return generated_footage(job, path, media or {}, lambda n: None)


def copies(made: Footage) -> list[Planes]:
    return [tuple(p.copy() for p in planes) for planes in made.frames()]


def asked(**changes) -> Generate:
    return Generate(**{"prompt": "a kitchen", "stretch": "ping_pong", "seed": 1, **changes})


# --- which moment each frame shows


@given(
    st.integers(1, 130),
    st.sampled_from([8, 16, 24, 25, 30, 60]),
    st.sampled_from([24, 25, 30]),
    st.integers(1, 400),
    st.sampled_from(["ping_pong", "slow_down"]),
)
def test_every_frame_shows_a_moment_of_the_take(frames, rate, target, count, stretch) -> None:
    shown = list_moments(frames, Fraction(rate), target, count, stretch)
    step, last = Fraction(rate, target), frames - 1
    assert len(shown) == count and shown[0] == 0
    assert all(0 <= m <= last for m in shown)
    steps = [b - a for a, b in zip(shown, shown[1:], strict=False)]
    # Never faster than it was made, never a jump, and never two frames of the same moment.
    assert all(abs(s) <= step for s in steps)
    if last >= step:
        assert all(steps)
    if step * (count - 1) <= last:
        assert all(s == step for s in steps)
    elif stretch == "slow_down" and step / 2 * (count - 1) <= last:
        assert shown[-1] == last and len(set(steps)) == 1
    way = int(last / step)
    for n in range(1, count - 1):
        if steps[n - 1] * steps[n] < 0:  # It turns, and goes back by the way it came.
            reach = min(n, count - 1 - n, max(1, way // 2))
            assert shown[n - reach : n] == shown[n + 1 : n + 1 + reach][::-1]
            # It came to rest: no frame is as far from the next as at full speed.
            if way >= 2:
                assert abs(steps[n]) < step / 2


# --- the pictures between


def test_between_two_frames_lies_what_was_seen_then(tmp_path: Path) -> None:
    made = retime_clip(take(tmp_path / "t.mp4"), 30, 16, "ping_pong", tmp_path)
    assert len(made) == 16 and made.size == SIZE and not list(tmp_path.glob("*tmp*"))
    shown = list_moments(9, Fraction(16), 30, 16, "ping_pong")
    source = list(ClipFrames(tmp_path / "t.mp4", None, 16, count=9))
    followed, blended = [], []
    for n, moment in enumerate(shown):
        whole, part = int(moment), float(moment % 1)
        if not part:
            # The take's own frames are untouched.
            assert all(np.array_equal(a, b) for a, b in zip(made[n], source[whole], strict=True))
            continue
        truth = rgb_to_planes(scene(float(moment)))[0][8:-8, 8:-8].astype(float)
        plain = cv2.addWeighted(source[whole][0], 1 - part, source[whole + 1][0], part, 0)
        followed.append(np.mean((made[n][0][8:-8, 8:-8] - truth) ** 2))
        blended.append(np.mean((plain[8:-8, 8:-8] - truth) ** 2))
    # A quarter of the error of a blend, on the whole and in the worst of them.
    assert len(followed) == 14
    assert np.mean(followed) < np.mean(blended) / 4 and max(followed) < max(blended) / 4


def test_a_cut_in_a_take_stays_a_cut(tmp_path: Path) -> None:
    def draw(t: float, light: float) -> np.ndarray:
        if t < 3:
            return scene(t, light)
        dots = np.random.default_rng(5).integers(0, 2, (20, 12, 1), np.uint8) * 220
        return np.ascontiguousarray(np.repeat(np.kron(dots, np.ones((8, 8, 1), np.uint8)), 3, 2))

    take(tmp_path / "t.mp4", 6, draw=draw)
    source = list(ClipFrames(tmp_path / "t.mp4", None, 16, count=6))
    made = retime_clip(tmp_path / "t.mp4", 32, 11, "ping_pong", tmp_path)
    assert np.abs(source[2][0].astype(int) - source[3][0]).mean() > 40
    assert any(np.array_equal(made[5][0], source[n][0]) for n in (2, 3))


@pytest.mark.parametrize("stretch", ["ping_pong", "slow_down"])
def test_nothing_jumps_where_a_take_is_stretched(stretch: str, tmp_path: Path) -> None:
    job = job_of(None, generate=asked(stretch=stretch), body=60, rate=30)
    frames = copies(footage(job, take(tmp_path / "t.mp4", 17)))
    assert len(frames) == job.count == 65
    change = [
        np.abs(a[0].astype(int) - b[0]).mean() for a, b in zip(frames, frames[1:], strict=False)
    ]
    usual = np.median(change)
    assert min(change) > 0 and max(change) < 1.3 * usual


# --- the footage of a segment


@pytest.mark.parametrize(("frames", "rate"), [(9, 16), (1, 16), (50, 24), (2, 30)])
def test_footage_is_as_long_and_as_large_as_its_segment(
    frames: int, rate: int, tmp_path: Path
) -> None:
    path = take(tmp_path / "t.mp4", frames, rate)
    job = job_of(None, generate=asked())
    done: list[int] = []
    made = generated_footage(job, path, {}, done.append)
    assert (made.width, made.height, made.rate, made.count) == (270, 480, 30, 13)
    first = copies(made)
    assert len(first) == sum(done) == 13
    assert [p.shape for p in first[0]] == [(480, 270), (240, 135), (240, 135)]
    assert all(p.dtype == np.uint8 for p in first[0])
    again = footage(job, path)
    assert again.at is not None
    for n, planes in enumerate(first):
        assert all(np.array_equal(a, b) for a, b in zip(planes, again.at(n), strict=True))


def test_a_take_covers_the_frame_unstretched_with_its_colours_in_place(tmp_path: Path) -> None:
    """The disc stays round, in the middle of what it was, and its colour edge on its light edge."""
    path = take(tmp_path / "t.mp4", 1)
    y, _, v = copies(footage(job_of(None, generate=asked()), path))[0]
    rows, columns = np.nonzero(y > 205)
    assert abs(np.ptp(rows) / np.ptp(columns) - 1) < 0.03
    # 96x160 covers 270x480 at three times its size, nine pixels lost on either side.
    assert abs(columns.mean() + 0.5 - (70.5 * 3 - 9)) < 1 and abs(rows.mean() + 0.5 - 241) < 1
    # The disc is grey, its ground is not; chroma lies at 2i + 1/2, 2j + 1 of the frame.
    low, wide = np.nonzero(
        cv2.morphologyEx((v < 134).astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    )
    assert abs(2 * wide.mean() + 0.5 - (columns.mean() + 0.5)) < 0.4
    assert abs(2 * low.mean() + 1 - (rows.mean() + 0.5)) < 0.4


def test_what_is_no_clip_is_the_engines_failure(tmp_path: Path) -> None:
    job = job_of(None, generate=asked())
    for path in (picture(tmp_path / "p.png"), tmp_path / "broken.mp4"):
        if path.suffix == ".mp4":
            path.write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 500)
        with pytest.raises(EngineFailedError):
            footage(job, path)


@pytest.mark.parametrize("fit", ["cutout", "frame"])
@pytest.mark.parametrize("motion", ["push_in", "float"])
def test_the_product_before_a_generated_ground_is_pixel_true(
    fit: str, motion: str, tmp_path: Path
) -> None:
    """Every pixel of it is what the compositor draws before a plain ground; all around is take."""
    product = cut_out(tmp_path / "o.png") if fit == "cutout" else picture(tmp_path / "o.png")
    layout = Layout(fit=fit, box=(40, 120, 230, 440), radius=12, shadow=0.4)
    job = job_of(product, motion, layout=layout, generate=asked(role="background"))
    plain = job.model_copy(update={"type": "image", "generate": None})
    media = {"a1": product}
    path = take(tmp_path / "t.mp4")
    made = footage(job, path, media)
    grounds = [
        copies(
            Compositor().render(
                plain.model_copy(update={"background": Background(colors=[c])}),
                media,
                tmp_path,
                lambda n: None,
            )
        )
        for c in ("#F0E8E0", "#101820")
    ]
    bare = copies(footage(job.model_copy(update={"media": []}), path))
    for n, planes in enumerate(copies(made)):
        for plane, light, dark in zip(planes, grounds[0][n], grounds[1][n], strict=True):
            own = light == dark  # whatever lies behind
            inside = cv2.erode(own.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            assert inside.mean() > 0.1
            assert np.array_equal(plane[inside], light[inside])
        assert np.array_equal(planes[0][:40], bare[n][0][:40])
    assert made.at is not None
    assert np.array_equal(made.at(5)[0], copies(made)[5][0])


def test_a_clip_before_a_generated_ground_plays(tmp_path: Path) -> None:
    product = clip(tmp_path / "v.mp4", seconds=0.5)
    layout = Layout(fit="frame", box=(40, 120, 230, 440), radius=8, shadow=0.4)
    job = job_of(product, layout=layout, generate=asked(role="background"))
    made = footage(job, take(tmp_path / "t.mp4"), {"a1": product})
    frames = copies(made)
    assert made.at is None and len(frames) == 13
    middle = [f[0][270:290, 60:200].astype(int) for f in frames]
    assert np.abs(middle[2] - middle[-1]).mean() > 1


@pytest.mark.parametrize(("light", "dark_words"), [(0.25, True), (1.0, True), (1.0, False)])
def test_bare_words_can_be_read_on_any_take(light: float, dark_words: bool, tmp_path: Path) -> None:
    """Words that were made for the preset's own ground get as much of it behind them as they
    need."""
    words, ground = ("#1A1A1A", "#F0E8E0") if dark_words else ("#FFFFFF", "#10261C")
    cue = JobCaption(
        text="Hello",
        style=TypeStyle(family="Inter", max_px=40, min_px=20, color=words),
        box=(30, 80, 240, 150),
        align_y="middle",
        first=0,
        end=13,
    )
    job = job_of(
        None,
        generate=asked(),
        background=Background(colors=[ground]),
        captions=[cue],
    )
    path = take(tmp_path / "t.mp4", light=light)
    for planes in copies(footage(job, path)):
        for end in measure_luminance_behind([planes], cue.box):
            assert contrast_ratio(relative_luminance(words), end) > 0.9 * TARGET
    # Where there are none, the take is as it is.
    bare = copies(footage(job.model_copy(update={"captions": []}), path))[6]
    seen = copies(footage(job, path))[6]
    assert np.array_equal(bare[0][300:], seen[0][300:])
    styled = cue.model_copy(update={"style": cue.style.model_copy(update={"scrim": 0.5})})
    assert np.array_equal(
        bare[0], copies(footage(job.model_copy(update={"captions": [styled]}), path))[6][0]
    )


# --- the plan


def media_files(folder: Path, *names: str) -> None:
    for n, name in enumerate(names):
        picture(folder / name, (45, 80), (20 + 50 * n, 90, 160))


def order(spec: RenderSpec) -> list[str]:
    """Each scene in short: its pictures, and `+` what a model makes behind or `*` instead of
    them."""
    names = {a.id: a.source.removesuffix(".png") for a in spec.assets}
    found = []
    for segment in spec.segments:
        shown = "".join(names[m] for m in segment.media)
        made = segment.generate
        mark = "" if not made else ("+" if made.role == "background" else "*") + made.prompt
        found.append(shown + mark)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("media: [a.png, b.png, c.png]\ngenerate: x", ["a", "b", "*x", "c"]),
        ("media: [a.png, b.png]\ngenerate: [x, y]", ["a", "*x", "*y", "b"]),
        ("media: a.png\ngenerate: x", ["*x", "a"]),
        ("generate: [x, y]", ["*x", "*y"]),
        ("media: [a.png, b.png]\ngenerate: {prompt: x, from_media: b.png}", ["a", "b+x"]),
        (
            "media: [a.png, b.png]\ngenerate: {prompt: x, from_media: b.png}\n"
            "allow_regeneration: true",
            ["a", "b*x"],
        ),
        (
            "media: [a.png, b.png]\nallow_regeneration: true\n"
            "generate: {prompt: x, from_media: b.png, role: background}",
            ["a", "b+x"],
        ),
        (
            "media: [a.png, b.png]\ngenerate: [{prompt: x, from_media: a.png}, "
            "{prompt: y, from_media: a.png}]",
            ["a+x", "a+y", "b"],
        ),
        ("media: [a.png, b.png]\ngenerate: {prompt: x, from_media: c.png}", ["a", "c+x", "b"]),
        ("media: [a.png, b.png]\ngenerate: {prompt: x, role: background}", ["a+x", "b+x"]),
        ("archetype: overlay\nmedia: [a.png, b.png, c.png]\ngenerate: x", ["a+x", "b+x", "c+x"]),
        (
            "archetype: overlay\nmedia: [a.png, b.png, c.png]\ngenerate: [x, y]",
            ["a+x", "b+x", "c+y"],
        ),
        ("archetype: overlay\nmedia: a.png\ngenerate: [x, y]", ["a+x", "a+y"]),
        (
            "archetype: overlay\nmedia: [a.png, {path: b.png, background: blur}, {text: Card}]\n"
            "generate: x",
            ["a+x", "b", ""],
        ),
        (
            "archetype: overlay\nmedia: [a.png, b.png]\ngenerate: {prompt: x, role: footage}",
            ["a", "*x", "b"],
        ),
        ("archetype: overlay\ngenerate: x", ["*x"]),
        ("archetype: meme\nmedia: a.png\ngenerate: x\nhook: Ha", ["*x", "a"]),
    ],
)
def test_where_prompts_go(text: str, expected: list[str], tmp_path: Path) -> None:
    media_files(tmp_path, "a.png", "b.png", "c.png")
    spec = compiled(brief(tmp_path, f"music: none\n{text}\n"))
    assert order(spec) == expected
    assert [s.id for s in spec.segments] == [f"s{i + 1}" for i in range(len(expected))]
    for segment in spec.segments:
        made = segment.generate
        assert (segment.type == "generated") is (made is not None)
        if made is None:
            continue
        assert made.seed is not None and made.stretch
        # The job says the same as the plan: a model begins with a picture only where it may.
        assert (made.from_media is not None) is (made.role == "footage" and bool(segment.media))
        if made.role == "background":
            assert segment.layout.fit in ("frame", "cutout")


def test_a_picture_is_redrawn_only_when_the_brief_says_so(tmp_path: Path) -> None:
    media_files(tmp_path, "a.png", "b.png")
    text = "media: [a.png, b.png]\ngenerate: {prompt: x, from_media: b.png}\n"
    for safe in ("true", "false"):
        kept = compiled(brief(tmp_path, f"{text}brand_safe: {safe}\n"))
        assert not any(j.is_redrawn for j in segment_jobs(kept, build_timeline(kept)))
        assert any(n.startswith("generate[0].from_media:") and "b.png" in n for n in kept.notes)
    free = compiled(brief(tmp_path, f"{text}allow_regeneration: true\n"))
    jobs = segment_jobs(free, build_timeline(free))
    assert [j.is_redrawn for j in jobs] == [False, True] and jobs[1].allow_regeneration
    assert jobs[1].generate.from_media == free.segments[1].media[0] == jobs[1].media[0].id
    assert any(n.startswith("To be reviewed:") and "redraws" in n for n in free.notes)


def test_a_hand_written_plan_keeps_to_the_same_rules(tmp_path: Path) -> None:
    media_files(tmp_path, "a.png")
    segment = {"generate": {"prompt": "x", "fromMedia": "a.png"}, "duration": 2}
    kept = written(tmp_path, segments=[segment]).plan
    assert order(kept) == ["a+x"] and kept.segments[0].generate.from_media is None
    assert any(n.startswith("segments[0].generate.from_media:") for n in kept.notes)
    allowed = {"allowRegeneration": True}
    free = written(tmp_path, segments=[segment], constraints=allowed).plan
    assert order(free) == ["a*x"] and free.segments[0].generate.from_media == "a1"
    plain = written(tmp_path, segments=[{**segment, "type": "image", "media": "a.png"}]).plan
    assert order(plain) == ["a"] and "segments[0].generate has no effect" in plain.notes[0]
    missing = {"generate": {"prompt": "x", "fromMedia": "z.png"}}
    found = written(tmp_path, segments=[missing])
    assert [(p.code, p.field) for p in found.problems] == [
        ("media.missing", "segments[0].generate.from_media")
    ]


def test_a_clip_is_nothing_to_begin_with(tmp_path: Path) -> None:
    clip(tmp_path / "v.mp4")
    found = compile_in(brief(tmp_path, "generate: {prompt: x, from_media: v.mp4}\n"))
    assert ("media.kind", "generate[0].from_media") in [(p.code, p.field) for p in found.problems]


def test_seeds_are_the_same_every_time_and_tell_takes_apart(tmp_path: Path) -> None:
    media_files(tmp_path, "a.png", "b.png")

    def seeds(text: str) -> list[int]:
        spec = compiled(brief(tmp_path, text))
        return [s.generate.seed for s in spec.segments if s.generate]

    text = "archetype: overlay\nmedia: [a.png, b.png]\ngenerate: a room\nmusic: none\n"
    first = seeds(text)
    assert first == seeds(f"{text}hook: Other words\n") and len(set(first)) == 2
    assert seeds(text.replace("a room", "a hall")) != first
    assert len(set(seeds("generate: [x, x]\n"))) == 2
    assert seeds("generate: {prompt: x, seed: 5}\n") == [5]
    # Another picture under the same name is another one.
    media_files(tmp_path, "b.png", "a.png")
    assert seeds(text) != first


def test_how_long_generated_footage_stays(tmp_path: Path) -> None:
    media_files(tmp_path, "a.png", "b.png")

    def lengths(text: str) -> list[float]:
        return [s.duration for s in compiled(brief(tmp_path, text)).segments]

    def fault(text: str) -> list[tuple[str, str | None]]:
        return [(p.code, p.field) for p in compile_in(brief(tmp_path, text)).problems]

    assert lengths("generate: [x, y]\n") == [4.5, 4.5]
    # Stills take what time is left; where there are none, it is shared.
    assert lengths("media: [a.png, b.png]\ngenerate: x\nduration: 20\n")[1] == 4.5
    assert lengths("generate: [x, y]\nduration: 20\n") == [10, 10]
    long_line = "hook: " + "many words to read " * 6
    assert lengths(f"generate: x\n{long_line}\n")[0] > 6
    assert fault("generate: x\nduration: 13\n") == [("generate.too_long", "duration")]
    assert fault("media: a.png\ngenerate: {prompt: x, duration: 12.5}\n") == [
        ("generate.too_long", "generate[0].duration")
    ]
    assert fault("generate: [x, y]\nduration: 24\n") == []


def test_brand_safe_footage_has_no_words_of_its_own(tmp_path: Path) -> None:
    text = "generate: {prompt: x, negative_prompt: 'people, logos'}\n"
    safe = compiled(brief(tmp_path, text)).segments[0].generate.negative_prompt
    assert safe == "people, logos, text, letters, watermarks"
    free = compiled(brief(tmp_path, f"{text}brand_safe: false\n"))
    assert free.segments[0].generate.negative_prompt == "people, logos"


def test_the_mark_of_a_generated_segment_knows_its_picture_by_its_bytes(tmp_path: Path) -> None:
    media_files(tmp_path, "a.png", "b.png")

    def mark(text: str) -> str:
        spec = compiled(brief(tmp_path, f"{text}\nallow_regeneration: true\nmusic: none\n"))
        jobs = segment_jobs(spec, build_timeline(spec))
        job = next(j for j in jobs if j.generate)
        begins = job.canonical_data()["generate"]["from_media"]
        assert begins == f"sha256:{job.media[0].sha256}"
        return segment_fingerprint(job.model_copy(update={"head": 0, "tail": 0}), {}, {})

    first = mark("media: [b.png]\ngenerate: {prompt: x, from_media: b.png}")
    (tmp_path / "b.png").rename(tmp_path / "c.png")
    # Renamed, and in another place, it is the same footage.
    assert mark("media: [a.png, c.png]\ngenerate: {prompt: x, from_media: c.png}") == first
    assert mark("media: [a.png]\ngenerate: {prompt: x, from_media: a.png}") != first


def test_the_frames_of_a_take_leave_nothing_behind(tmp_path: Path) -> None:
    path = take(tmp_path / "t.mp4")
    made = retime_clip(path, 30, 20, "slow_down", tmp_path)
    assert isinstance(made, RetimedClip) and [p.name for p in tmp_path.iterdir()] == ["t.mp4"]
    again = retime_clip(path, 30, 20, "slow_down", tmp_path)
    for a, b in zip(made, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
