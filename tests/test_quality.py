"""Each check fails on a file that breaks its promise, and only then."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from conftest import cut_out
from PIL import Image
from spoils import SPOILS, Good, compile_small, make_good
from test_render import build

from pytoon_pipeline.compiler.typeset import text_style
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.measure import measure_file
from pytoon_pipeline.media.measurement import Measurement
from pytoon_pipeline.picture.badge import draw_badge
from pytoon_pipeline.picture.drawing import draw_text
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.text import fit_text
from pytoon_pipeline.plan.model import Asset, RenderSpec
from pytoon_pipeline.plan.segment import Segment
from pytoon_pipeline.plan.text import Caption, Overlay, Shadow, TextBox
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.quality import frame_text
from pytoon_pipeline.quality.checks import CHECK_NAMES, WORD_CHECKS, check_name, run_checks
from pytoon_pipeline.quality.frame_text import plan_texts, read_frame_text
from pytoon_pipeline.quality.verdicts import CheckVerdict, ExpectedFile
from pytoon_pipeline.settings import load_settings, project_data
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.results import judge_video, write_metrics
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import open_services

GOOD_VIDEO = [
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-profile:v",
    "high",
    "-level",
    "4.1",
    "-g",
    "30",
    "-bf",
    "2",
]
GOOD_AUDIO = ["-c:a", "aac", "-ar", "48000", "-ac", "2", "-b:a", "160k"]
FAST = ["-movflags", "+faststart+negative_cts_offsets", "-use_editlist", "0"]
PICTURE = (
    "testsrc2=size=270x480:rate=30:duration=3,format=yuv420p,setsar=1,"
    "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
)
LOUD = "sine=frequency=500:duration=3:sample_rate=48000,volume=7.8dB"


def make(path: Path, picture=PICTURE, sound=LOUD, video=GOOD_VIDEO, audio=GOOD_AUDIO, mux=FAST):
    argv = [ffmpeg.find_executable(), "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    if sound:
        argv += ["-f", "lavfi", "-i", sound, *audio]
    subprocess.run([*argv, *video, *mux, str(path)], check=True, stdin=subprocess.DEVNULL)
    return path


def expected(**changes) -> ExpectedFile:
    return ExpectedFile(**{"width": 270, "height": 480, "rate": 30, "frames": 90, **changes})


@lru_cache(maxsize=1)
def good() -> Measurement:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return measure_file(make(Path(folder) / "good.mp4"))


def failed(m: Measurement, e: ExpectedFile | None = None) -> set[str]:
    return {v.name for v in run_checks(m, e or expected()) if not v.passed}


def test_a_good_file_passes_everything() -> None:
    verdicts = run_checks(good(), expected())
    assert [v.name for v in verdicts] == list(CHECK_NAMES)
    assert not failed(good()), [v for v in verdicts if not v.passed]


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"mux": []}, {"container"}),
        ({"mux": ["-movflags", "+faststart"]}, {"container"}),
        ({"video": [*GOOD_VIDEO, "-g", "90", "-x264-params", "keyint=90"]}, {"video_codec"}),
        ({"picture": PICTURE.replace("range=tv", "range=pc")}, {"video_codec"}),
        ({"video": ["-c:v", "mpeg4"]}, {"video_codec"}),
        ({"picture": PICTURE.replace("270x480", "480x270")}, {"resolution"}),
        ({"picture": PICTURE.replace("setsar=1", "setsar=4/3")}, {"resolution"}),
        ({"picture": PICTURE.replace("rate=30", "rate=25")}, {"frame_rate", "duration"}),
        ({"picture": PICTURE.replace("duration=3", "duration=2.5")}, {"duration", "audio_track"}),
        ({"sound": None}, {"audio_track", "loudness"}),
        ({"audio": [*GOOD_AUDIO, "-ac", "1"]}, {"audio_track"}),
        ({"audio": [*GOOD_AUDIO, "-ar", "44100"]}, {"audio_track"}),
        ({"sound": LOUD.replace("7.8dB", "-6dB")}, {"loudness"}),
        ({"sound": "anullsrc=r=48000:cl=stereo,atrim=duration=3"}, {"loudness"}),
        (
            {"picture": f"{PICTURE},drawbox=t=fill:c=black:enable='between(n,40,50)'"},
            {"black_frames"},
        ),
        (
            {"picture": f"{PICTURE},loop=loop=45:size=1:start=40,trim=end_frame=90"},
            {"frozen_frames"},
        ),
    ],
)
def test_a_broken_promise_is_found(changes: dict, names: set[str], tmp_path: Path) -> None:
    m = measure_file(make(tmp_path / "bad.mp4", **changes))
    assert failed(m) >= names and "container" not in failed(m) - names


@pytest.mark.parametrize(
    ("every", "still"),
    [(3, False), (6, False), (30, True)],
    ids=["a GIF of 10 pictures a second", "5 a second", "keyframes of a still picture"],
)
def test_small_changes_of_a_slow_clip_are_movement(every: int, still: bool) -> None:
    change = [0.15 if i and i % every == 0 else 0.003 for i in range(90)]
    video = good().video
    assert video is not None
    m = replace(good(), video=replace(video, change=change))
    assert ("frozen_frames" in failed(m)) is still


def test_what_was_asked_for_is_no_fault(tmp_path: Path) -> None:
    black = f"{PICTURE},drawbox=t=fill:c=black:enable='between(n,40,50)'"
    m = measure_file(make(tmp_path / "asked.mp4", picture=black, sound=LOUD))
    assert not failed(m, expected(black=[(39, 52)]))
    still = f"{PICTURE},loop=loop=45:size=1:start=40,trim=end_frame=90"
    m = measure_file(make(tmp_path / "still.mp4", picture=still))
    assert not failed(m, expected(still=[(40, 90)]))


BLINK = "color=c={}:size=270x480:rate=30:duration=3,format=yuv420p,setsar=1"


@pytest.mark.parametrize(
    ("picture", "fails"),
    [
        # Four times a second, the whole frame; three times; four times, but a fifth of the frame;
        # four times between two whites; a slow fade; pictures cut every half second.
        (f"{BLINK.format('black')},drawbox=t=fill:c=white:enable='lt(mod(t*4,1),0.5)'", True),
        (f"{BLINK.format('black')},drawbox=t=fill:c=white:enable='lt(mod(t*3,1),0.5)'", False),
        (
            f"{BLINK.format('black')},drawbox=h=ih/5:t=fill:c=white:enable='lt(mod(t*4,1),0.5)'",
            False,
        ),
        (f"{BLINK.format('0xECECEC')},drawbox=t=fill:c=white:enable='lt(mod(t*4,1),0.5)'", False),
        (f"{BLINK.format('white')},fade=out:st=0.5:d=1,fade=in:st=1.5:d=1", False),
        (f"{BLINK.format('black')},drawbox=t=fill:c=white:enable='lt(mod(t,1),0.5)'", False),
        # Stripes that race past turn every spot bright and dark, but never the whole.
        (
            "gradients=size=270x480:rate=30:duration=3:c0=black:c1=white:n=2,format=gray,"
            "geq=lum='255*lt(mod(X+18*N,90),45)',format=yuv420p,setsar=1",
            False,
        ),
        # Black and white in turn, every frame.
        (f"{BLINK.format('black')},drawbox=t=fill:c=white:enable='mod(n,2)'", True),
    ],
)
def test_flashing_is_found_and_movement_is_not(picture: str, fails: bool, tmp_path: Path) -> None:
    m = measure_file(make(tmp_path / "f.mp4", picture=picture))
    verdict = next(v for v in run_checks(m, expected()) if v.name == "flashes")
    assert verdict.passed != fails and verdict.severity == "error", verdict


# --- words on the frame

FONTS = FontLibrary([project_data("presets") / "fonts"])
TEXT_BOX = (40, 120, 230, 220)


def worded(text: str = "Quietly jumpy", **style) -> RenderSpec:
    """A plan of one caption, a second long."""
    kind = {"family": "Montserrat", "max_px": 34, "min_px": 20, **style}
    return RenderSpec(
        archetype="hero",
        resolution="270x480",
        segments=[Segment(id="s1", duration=1)],
        styles={"hook": kind},
        captions=[Caption(id="c1", start=0, end=1, text=text, style="hook", box=TEXT_BOX)],
        overlays=[],
    )


def frame_of(spec: RenderSpec, ground: str = "#303030", dx: int = 0, cut: int = 0) -> np.ndarray:
    """RGB of a ground with the caption drawn on it, `dx` too far right, without the last `cut` rows
    of its ink."""
    cue = spec.captions[0]
    style = text_style(spec.styles["hook"], cue.align_y)
    x0, y0, x1, y1 = cue.box
    tile = draw_text(fit_text(cue.text, style, x1 - x0, y1 - y0, FONTS), FONTS)
    rgba = tile.rgba.copy()
    if cut:
        rgba[tile.ink[3] - tile.y - cut :] = 0
    frame = Image.new("RGB", (270, 480), ground)
    drawn = Image.fromarray(rgba)
    frame.paste(drawn, (x0 + tile.x + dx, y0 + tile.y), drawn)
    return np.asarray(frame)


def judged(spec: RenderSpec, frame: np.ndarray, folder: Path, **changes) -> dict[str, CheckVerdict]:
    """The verdicts on a file that shows a frame for a second."""
    Image.fromarray(frame).save(folder / "frame.png")
    path = folder / "words.mp4"
    subprocess.run(
        [
            ffmpeg.find_executable(),
            "-v",
            "error",
            "-y",
            "-loop",
            "1",
            "-framerate",
            "30",
            "-t",
            "1",
            "-i",
            str(folder / "frame.png"),
            "-vf",
            "scale=out_color_matrix=bt709:out_range=tv",
            "-pix_fmt",
            "yuv420p",
            *GOOD_VIDEO,
            *FAST,
            str(path),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    planned = plan_texts(spec, build_timeline(spec), FONTS, lambda asset: folder / asset.source)
    seen = [read_frame_text(p, next(read_frames(path, p.frame, 1)), 270) for p in planned]
    e = expected(texts=1, **changes)
    return {check_name(c): c(seen, e) for c in WORD_CHECKS}


@pytest.mark.parametrize(
    ("style", "frame", "faults"),
    [
        ({}, {}, set()),
        ({"color": "#101010"}, {"ground": "#E8E0D0"}, set()),
        ({"stroke": 0.08}, {"ground": "#FFFFFF"}, set()),
        ({"box": TextBox(color="#202020")}, {"ground": "#FFFFFF"}, set()),
        ({"shadow": Shadow()}, {"ground": "#507090"}, set()),
        ({}, {"ground": "#FFFFFF"}, {"caption_contrast"}),
        ({}, {"ground": "#A0A0A0"}, {"caption_contrast"}),
        ({"color": "#F2C200"}, {"ground": "#FFFFFF"}, {"caption_contrast"}),
        ({}, {"dx": 9}, {"text_clipping"}),
        ({}, {"cut": 7}, {"text_clipping"}),
    ],
)
def test_words_are_judged_by_what_the_frame_shows(
    style: dict, frame: dict, faults: set[str], tmp_path: Path
) -> None:
    spec = worded(**style)
    verdicts = judged(spec, frame_of(spec, **frame), tmp_path, clear_box=(30, 72, 240, 312))
    assert {n for n, v in verdicts.items() if not v.passed} == faults, verdicts


def test_words_that_are_not_there_are_missed(tmp_path: Path) -> None:
    y, x = np.mgrid[0:480, 0:270]
    waves = 120 + 50 * np.sin(x / 9) + 50 * np.sin(y / 13)
    frame = np.repeat(waves[..., None], 3, axis=2).astype(np.uint8)
    assert not all(v.passed for v in judged(worded(), frame, tmp_path).values())


def test_one_illegible_word_is_named(tmp_path: Path) -> None:
    spec = worded("Left right")
    frame = frame_of(spec).copy()
    half = frame[:, 135:]
    half[half < 250] = 250
    verdict = judged(spec, frame, tmp_path)["caption_contrast"]
    assert not verdict.passed and "'right' in 'Left right'" in verdict.message


def test_ink_outside_the_clear_box_is_found_where_it_is(tmp_path: Path) -> None:
    spec = worded(align="left")
    # The plan is inside; on the frame the words stand seven pixels farther left.
    verdict = judged(spec, frame_of(spec, dx=-7), tmp_path, clear_box=(38, 72, 240, 312))
    assert "found" in verdict["safe_zone"].message
    verdict = judged(spec, frame_of(spec), tmp_path, clear_box=(60, 72, 240, 312))
    assert "planned" in verdict["safe_zone"].message
    assert judged(spec, frame_of(spec), tmp_path, clear_box=(38, 72, 240, 312))["safe_zone"].passed


def test_a_logo_outside_the_clear_box_is_found(tmp_path: Path) -> None:
    cut_out(tmp_path / "logo.png", (60, 40))
    spec = worded()
    spec.captions = []
    spec.assets = [Asset(id="a1", kind="image", source="logo.png", sha256="0" * 64, has_alpha=True)]
    spec.overlays = [Overlay(media="a1", box=(40, 80, 100, 120))]
    frame = Image.new("RGB", (270, 480), "#D8E0E0")
    logo = Image.open(tmp_path / "logo.png")
    frame.paste(logo, (40 - 9, 80), logo)
    verdicts = judged(spec, np.asarray(frame), tmp_path, clear_box=(38, 72, 240, 312))
    assert "found 7 px outside" in verdicts["safe_zone"].message


def test_emoji_are_asked_nothing(tmp_path: Path) -> None:
    spec = worded("Party 🎉 time")
    yellow = frame_of(spec, "#806000")
    assert all(v.passed for v in judged(spec, yellow, tmp_path).values())
    white = judged(spec, frame_of(spec, "#FFFFFF"), tmp_path)["caption_contrast"]
    assert not white.passed and "🎉" not in white.message.split(" in ")[0]


def test_words_are_looked_at_when_all_are_in() -> None:
    spec = worded(entrance={"kind": "words", "seconds": 2})
    # The entrance takes at most 18 of the 30 frames; from the 25th on the text leaves.
    assert 18 <= plan_texts(spec, build_timeline(spec), FONTS, Path)[0].frame < 24


def test_a_badge_is_looked_at_like_any_words(tmp_path: Path) -> None:
    spec = worded()
    spec.captions = []
    spec.overlays = [
        Overlay(
            type="badge",
            text="50% OFF!",
            style="hook",
            shape="round",
            rotation=9,
            box=(60, 150, 140, 230),
        )
    ]
    style = text_style(spec.styles["hook"], "middle")
    for ground, faults in (("#B03020", set()), ("#F6E9E0", {"caption_contrast"})):
        rgba = draw_badge("50% OFF!", style, "round", ground, 9, (80, 80), FONTS)
        frame = Image.new("RGB", (270, 480), "#405040")
        frame.paste(Image.fromarray(rgba), (60, 150), Image.fromarray(rgba))
        verdicts = judged(spec, np.asarray(frame), tmp_path, clear_box=(30, 72, 240, 312))
        assert {n for n, v in verdicts.items() if not v.passed} == faults, verdicts
        assert verdicts["text_clipping"].measured["looked_at"] == 1


def test_white_on_white_fails_in_the_finished_video(
    services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "camp" / "white"
    folder.mkdir(parents=True)
    Image.new("RGB", (270, 480), "#FFFFFF").save(folder / "white.png")
    kind = {"family": "Montserrat", "max_px": 34, "min_px": 20, "color": "#FFFFFF"}
    spec = {
        "archetype": "hero",
        "brand": "neutral",
        "resolution": "270x480",
        "audioTrack": False,
        "segments": [{"media": "white.png", "duration": 2, "text": "Whiter than white"}],
        "styles": {"hook": kind},
    }
    (folder / "render_spec.json").write_text(json.dumps(spec), encoding="utf-8")
    segments, metrics = build(services, folder)
    bad = {v.name: v for v in metrics.verdicts if not v.passed}
    assert "caption_contrast" in bad and bad["caption_contrast"].severity == "error"
    assert "1.0:1" in bad["caption_contrast"].message
    # What was seen is kept for this content and plan, and seen anew for another plan.
    monkeypatch.setattr(
        frame_text, "read_frame_text", lambda *a: pytest.fail("was looked at again")
    )
    plan = compile_source(find_sources([folder])[0], services)
    judge_video(plan, metrics.video, services, segments)
    plan.captions[0].text = "Blacker than black"
    with pytest.raises(pytest.fail.Exception):
        judge_video(plan, metrics.video, services, segments)


def test_a_stand_in_is_a_warning() -> None:
    verdict = next(v for v in run_checks(good(), expected(degraded=["s2"])) if not v.passed)
    assert verdict.severity == "warning" and "s2" in verdict.message and verdict.remedy


# --- what the material shows, and what it does not

CASES = Path(__file__).parent / "fixtures" / "cases"


@pytest.mark.parametrize(
    ("case", "warned", "note"),
    [
        ("sound/upside-down", {}, "voice.wav: its channels cancel"),
        ("sound/offset-tenth", {}, "voice.wav: what can not be heard in it"),
        ("clips/fade-from-black", {"black_frames": "the clip clip.mp4 is itself black"}, None),
        ("pictures/plain", {"frozen_frames": "page.png is too plain"}, None),
    ],
)
def test_what_the_material_shows_withholds_nothing(
    case: str, warned: dict[str, str], note: str | None, services, tmp_path: Path
) -> None:
    folder = tmp_path / case
    shutil.copytree(CASES / case, folder)
    spec = compile_small(folder, services)
    segments = render_segments(spec, services, case)
    video = assemble_video(spec, segments, services, case)
    metrics = write_metrics(spec, segments, video, services, case)
    found = {v.name: v for v in metrics.verdicts if not v.passed}
    assert set(found) == set(warned), found
    for name, said in warned.items():
        assert found[name].severity == "warning" and said in found[name].message
    assert note is None or any(n.startswith(note) for n in metrics.notes)


def test_stripes_that_melt_into_grey_withhold_nothing(services, tmp_path: Path) -> None:
    """Three pixels wide in a picture that is shown at a fifth of its size."""
    stripes = (np.arange(1280) // 3 % 2 * 255).astype(np.uint8)
    Image.fromarray(np.tile(stripes, (720, 1)), "L").save(tmp_path / "columns.png")
    plan = {
        "archetype": "hero",
        "preset": "daylight",
        "audioTrack": False,
        "segments": [{"media": "columns.png", "duration": 3, "motion": "pan_up"}],
    }
    (tmp_path / "render_spec.json").write_text(json.dumps(plan), "utf-8")
    spec = compile_small(tmp_path, services)
    segments = render_segments(spec, services, "columns")
    video = assemble_video(spec, segments, services, "columns")
    bad = [v for v in judge_video(spec, video, services, segments)[1] if not v.passed]
    assert [(v.name, v.severity) for v in bad] == [("frozen_frames", "warning")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Good:
    """A good video, and all that a spoiled one is held against."""
    folder = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTOON_HOME", str(folder / "home"))
        return make_good(open_services(load_settings()), folder)


def test_a_good_video_fails_no_check(made: Good) -> None:
    assert not [v for v in made.judge(made.path) if not v.passed]


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("a sound of no volume", "container"),
        ("a head that pulls the picture wide", "container"),
        ("a second picture", "container"),
        ("one frame black", "picture_match"),
        ("two segments swapped", "picture_match"),
        ("a frame dropped and another doubled", "picture_match"),
        ("red and blue swapped", "picture_match"),
        ("encoded at a low bit rate", "picture_match"),
        ("a matrix that turns the picture", "container"),
        ("channels that cancel", "mono_sum"),
        ("one channel silent", "channel_balance"),
        ("sound 80 ms late", "sound_match"),
        ("sound of another place", "sound_match"),
    ],
)
def test_a_spoiled_video_is_caught(name: str, by: str, made: Good) -> None:
    path = SPOILS[name](made)
    assert by in made.failed(path)
    if name == "sound 80 ms late":
        verdict = next(v for v in made.judge(path) if v.name == by)
        assert "80 ms late" in verdict.message


def test_a_clip_that_we_stopped_is_an_error(made: Good) -> None:
    spans = build_timeline(made.spec).spans
    place = next(i for i, s in enumerate(made.spec.segments) if s.type == "video")
    first, end = spans[place].start + 10, spans[place].start + spans[place].body
    frames = list(made.frames)
    frames[first:end] = [frames[first]] * (end - first)
    found = {v.name: v for v in made.judge(made.encode(frames)) if not v.passed}
    assert found["frozen_frames"].severity == "error", found["frozen_frames"]


@pytest.mark.parametrize("text", ["Now €38", "Now €3", "New €36"])
def test_another_letter_is_caught(text: str, tmp_path: Path) -> None:
    spec, shown = worded("Now €36", max_px=44, align="left"), worded(text, max_px=44, align="left")
    verdicts = judged(spec, frame_of(shown), tmp_path)
    assert not all(v.passed for v in verdicts.values()), verdicts
    assert all(v.passed for v in judged(spec, frame_of(spec), tmp_path).values())
