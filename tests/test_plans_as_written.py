"""RenderSpecs as people and other programs write them, and as `pytoon spec` gives them back."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import cut_out, picture, tone
from test_spec import SHOP, brief, compile_in, compiled

from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.compiler.compile import CompiledPlan, compile_file
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.plan.segment_jobs import segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.stages.compile import spec_json
from pytoon_pipeline.stages.finishing import SegmentFinishing

CASES = Path(__file__).parent / "fixtures" / "cases" / "specs"


def plan(folder: Path, said: dict[str, Any]) -> CompiledPlan:
    (folder / "render_spec.json").write_text(json.dumps(said), "utf-8")
    return compile_in(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png", (270, 480))
    picture(tmp_path / "b.png", (270, 480), (20, 90, 160))
    cut_out(tmp_path / "mark.png", (60, 30))
    tone(tmp_path / "song.wav", 0.5)
    return tmp_path


def test_the_published_example_is_planned_as_it_stands() -> None:
    spec = compiled(CASES / "seed-example")
    assert [s.duration for s in spec.segments] == [5, 5] and spec.duration == 10
    assert spec.segments[0].transition.kind == "fade"
    assert spec.segments[0].transition.duration > 0.2
    assert [c.text for c in spec.captions] == ["New Collection", "Available Now"]
    for cue in spec.captions:
        style = spec.styles[cue.style]
        assert (style.color, style.place, style.align) == ("#FFFFFF", "middle", "center")
    [mark] = spec.overlays
    assert spec.asset(mark.media).source == "assets/brandLogo.png"
    assert (mark.place, mark.start, mark.end) == ("top_right", 0, 10)
    assert mark.box[2] == spec.constraints.clear_box[2]
    assert mark.box[1] == spec.constraints.clear_box[1]
    assert spec.asset(spec.audio.music.media).source == "music/uplifting.mp3"
    assert (spec.resolution.width, spec.resolution.height) == (1080, 1920)


def test_the_published_example_looks_as_it_says(tmp_path: Path) -> None:
    said = json.loads((CASES / "seed-example" / "render_spec.json").read_text())
    said["resolution"] = {"width": 270, "height": 480}
    path = tmp_path / "render_spec.json"
    path.write_text(json.dumps(said))
    result = compile_file(path, CASES / "seed-example", "spec", path.name, SHOP)
    spec = result.plan
    x0, y0, x1, y1 = spec.overlays[0].box
    for job, cue in zip(segment_jobs(spec, build_timeline(spec)), spec.captions, strict=True):
        media = {a.id: result.files[a.id] for a in job.all_assets}
        footage = Compositor().render(job, media, tmp_path, lambda n: None)
        frames = SegmentFinishing(job, SHOP.fonts, media).over(footage)
        for n, planes in enumerate(islice(frames, 76)):
            if n not in (0, 75):
                continue
            frame = planes_to_rgb(planes).astype(int)
            inner = frame[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].reshape(-1, 3)
            magenta = (inner[:, 0] > 150) & (inner[:, 1] < 90) & (inner[:, 2] > 150)
            assert magenta.mean() > 0.3  # The logo, from the first frame on.
        left, top, right, bottom = cue.box
        white = frame[top:bottom, left:right].min(axis=2) > 235
        assert white.mean() > 0.01
        # Around the middle of the frame.
        rows, columns = np.nonzero(frame.min(axis=2) > 250)
        assert abs(columns.mean() / 270 - 0.5) < 0.1 and abs(rows.mean() / 480 - 0.5) < 0.1


def test_a_plan_without_audio_is_silent() -> None:
    spec = compiled(CASES / "no-audio")
    assert spec.audio.music is None and spec.audio.voice is None
    assert {a.kind for a in spec.assets} == {"image"}


@pytest.mark.parametrize(
    "audio",
    [
        {"audio": None},
        {"audioTrack": "none"},
        {"audio": {}},
        {"audioTrack": False},
        {"audio": {"music": None}},
    ],
)
def test_silence_in_other_words(audio: dict[str, Any], folder: Path) -> None:
    result = plan(folder, {"archetype": "hero", "segments": [{"media": "a.png"}], **audio})
    assert result.plan is not None and result.plan.audio.music is None


def test_a_meme_without_a_preset_has_bold_white_words_on_black_above(folder: Path) -> None:
    for said in (
        {"archetype": "meme", "segments": [{"media": "a.png", "text": "When it works"}]},
        None,
    ):
        own = folder if said else brief(folder / "b", "archetype: meme\nmedia: [../a.png]\n")
        if not said:
            picture(own / "a.png")
            brief(own, "archetype: meme\nmedia: [a.png]\nhook: When it works\n")
        spec = plan(own, said).plan if said else compiled(own)
        [cue] = spec.captions
        style = spec.styles[cue.style]
        [segment] = spec.segments
        assert style.color == "#FFFFFF" and style.uppercase and style.family == "Anton"
        assert segment.background.kind == "color" and segment.background.colors == ["#0B0C0E"]
        assert cue.box[3] <= segment.layout.box[1]


# As other programs write it ----------------------------------------------------------------------

SAME = [
    {"outputFormat": "MP4"},
    {"outputFormat": "video/mp4"},
    {"outputFormat": {"container": "mp4", "codec": "H.264"}},
    {"outputFormat": {"format": "mp4", "videoCodec": "avc1", "audioCodec": "AAC", "fps": 30}},
    {"output": {"format": "mp4", "width": 270, "height": 480}, "resolution": None},
    {"fps": 30},
    {"fps": "30 fps"},
    {"frameRate": 29.97},
    {"aspectRatio": "9:16"},
    {"resolution": "270x480"},
    {"resolution": "270p"},
    {"resolution": [270, 480]},
    {"resolution": {"w": 270, "h": 480}},
    {"width": 270, "height": 480, "resolution": None},
    {"version": 1},
    {"brand_safe": True},
]


@pytest.mark.parametrize("more", SAME, ids=str)
def test_the_whole_in_other_words(more: dict[str, Any], folder: Path) -> None:
    usual = {
        "archetype": "hero",
        "resolution": "270x480",
        "segments": [{"media": "a.png", "duration": 2, "text": "Hello"}],
    }
    expected = plan(folder, usual).plan
    said = {k: v for k, v in {**usual, **more}.items() if v is not None}
    assert plan(folder, said).plan == expected


SEGMENTS = [
    {"src": "a.png", "duration": "2s", "caption": "Hello"},
    {"image": {"url": "a.png"}, "durationSeconds": 2, "text": "Hello"},
    {"type": "photo", "path": "a.png", "start": 0, "end": 2, "headline": "Hello"},
    {"media": [{"file": "a.png"}], "duration": 2, "text": "Hello", "transition": None},
    {"media": "a.png", "duration": 2, "text": {"content": "Hello"}},
]


@pytest.mark.parametrize("segment", SEGMENTS, ids=str)
def test_segments_in_other_words(segment: dict[str, Any], folder: Path) -> None:
    usual = {"media": "a.png", "duration": 2, "text": "Hello"}
    expected = plan(folder, {"archetype": "hero", "segments": [usual]}).plan
    assert plan(folder, {"archetype": "hero", "segments": [segment]}).plan == expected


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ({"position": "center", "color": "white"}, ("middle", "center", "#FFFFFF")),
        ({"position": "bottom-left", "color": "#fff"}, ("bottom", "left", "#FFFFFF")),
        ({"position": {"x": "center", "y": "top"}}, ("top", "center", "#FFFFFF")),
        ({"position": "lower-third", "textAlign": "right"}, ("bottom", "right", "#FFFFFF")),
        (
            {"verticalAlign": "middle", "colour": "rgb(255,255,255)"},
            ("middle", "center", "#FFFFFF"),
        ),
    ],
)
def test_text_styles_in_other_words(
    style: dict[str, Any], expected: tuple[str, ...], folder: Path
) -> None:
    segment = {"media": "a.png", "text": "Hello", "textStyle": {**style, "fontSize": "60px"}}
    spec = plan(folder, {"archetype": "hero", "segments": [segment]}).plan
    found = spec.styles[spec.captions[0].style]
    assert (found.place, found.align, found.color, found.max_px) == (*expected, 60)


OVERLAYS = {
    "top-right": ("right", "top"),
    "topRight": ("right", "top"),
    "TOP RIGHT": ("right", "top"),
    "upper-right": ("right", "top"),
    "top-center": ("center", "top"),
    "top": ("center", "top"),
    "center": ("center", "center"),
    "middle": ("center", "center"),
    "left": ("left", "center"),
    "center-right": ("right", "center"),
    "bottom_left": ("left", "bottom"),
    "bottom": ("center", "bottom"),
}


def place(box, area) -> tuple[str, str]:
    def side(low: int, high: int, first: int, last: int, names: tuple[str, str]) -> str:
        return names[0] if low == first else names[1] if high == last else "center"

    x0, y0, x1, y1 = box
    return (
        side(x0, x1, area[0], area[2], ("left", "right")),
        side(y0, y1, area[1], area[3], ("top", "bottom")),
    )


@pytest.mark.parametrize("word", OVERLAYS)
def test_places_of_overlays_in_words(word: str, folder: Path) -> None:
    overlay = {"image": "mark.png", "position": word, "opacity": "80%", "width": "30%"}
    segment = {"media": "a.png", "duration": 2}
    spec = plan(folder, {"archetype": "hero", "segments": [segment], "overlays": [overlay]}).plan
    [found] = spec.overlays
    assert place(found.box, spec.constraints.clear_box) == OVERLAYS[word]
    assert (found.opacity, found.width) == (0.8, 0.3)


@pytest.mark.parametrize(
    ("at", "corner", "moved"),
    [
        ({"x": 300, "y": 600}, (300, 600), False),
        ({"x": "25%", "y": 0.5}, (270, 960), False),
        ([400, 700], (400, 700), False),
        ({"left": 200, "top": 500}, (200, 500), False),
        ({"x": 0, "y": 0}, (120, 288), True),
        ({"x": "95%", "y": "90%"}, None, True),
    ],
)
def test_places_of_overlays_in_numbers(at, corner, moved: bool, folder: Path) -> None:
    overlay = {"image": "mark.png", "position": at}
    segment = {"media": "a.png", "duration": 2}
    said = {"archetype": "hero", "segments": [segment], "overlays": [overlay]}
    result = plan(folder, said)
    [found] = result.plan.overlays
    if corner:
        assert found.box[:2] == corner
    assert any(p.code == "safe_zone.overlay" for p in result.problems) == moved
    # What comes back of it is the same plan.
    (folder / "again.json").write_text(spec_json(result.plan, camel=True))
    again = compile_file(folder / "again.json", folder, "spec", "again.json", SHOP)
    assert again.plan.overlays == result.plan.overlays


@pytest.mark.parametrize(
    ("track", "gain"),
    [
        ("song.wav", 0),
        ({"src": "song.wav", "volume": 0.5}, -6.02),
        ({"path": "song.wav", "volume": "10%"}, -20),
        ({"url": "song.wav", "volumeDb": -3}, -3),
    ],
)
def test_music_in_other_words(track, gain: float, folder: Path) -> None:
    segments = [{"media": "a.png", "duration": 2}]
    for key, said in (("audioTrack", track), ("audio", {"music": track}), ("music", track)):
        spec = plan(folder, {"archetype": "hero", "segments": segments, key: said}).plan
        assert spec.asset(spec.audio.music.media).source == "song.wav"
        assert spec.audio.music.gain_db == pytest.approx(gain, abs=0.01)


REFUSED = [
    ({"outputFormat": {"format": "webm"}}, "outputFormat", "webm"),
    ({"outputFormat": {"format": "mp4", "videoCodec": "vp9"}}, "outputFormat", "videoCodec"),
    ({"outputFormat": {"format": "mp4", "bitrate": "8M"}}, "outputFormat", "bitrate"),
    ({"outputFormat": "gif"}, "outputFormat", "gif"),
    ({"aspectRatio": "16:9"}, "aspectRatio", "9:16"),
    ({"resolution": "1920x1080"}, "resolution", "9:16"),
    ({"fps": 60}, "frameRate", "60"),
    (
        {"overlays": [{"image": "mark.png", "blendMode": "multiply"}]},
        "overlays[0].blendMode",
        "blendMode",
    ),
    (
        {"overlays": [{"image": "mark.png", "position": "nowhere"}]},
        "overlays[0].position",
        "nowhere",
    ),
    (
        {"overlays": [{"image": "mark.png", "position": {"right": 4, "bottom": 4}}]},
        "overlays[0]",
        "position",
    ),
    (
        {
            "segments": [
                {"media": "a.png", "text": "x", "textStyle": {"position": {"x": 3, "y": 9}}}
            ]
        },
        "segments[0].textStyle",
        "position",
    ),
    (
        {
            "segments": [
                {"media": "a.png", "text": "x", "textStyle": {"backgroundColor": "#000000"}}
            ]
        },
        "segments[0].textStyle.backgroundColor",
        "backgroundColor",
    ),
    ({"segments": [{"media": "a.png", "filter": "sepia"}]}, "segments[0].filter", "filter"),
    ({"overlays": [{"image": "mark.png", "width": 5}]}, "overlays[0].width", "16"),
    (
        {"outputFormat": {"format": "mp4", "video": {"codec": "h264", "crf": 18}}},
        "outputFormat",
        "video.crf",
    ),
    ({"audioTrack": {"src": "song.wav", "volume": 3000}}, "audioTrack", "volume"),
    (
        {
            "segments": [
                {"media": "a.png", "start": 0, "end": 3},
                {"media": "b.png", "start": 2, "end": 5},
            ]
        },
        "",
        "segments[1]",
    ),
]


@pytest.mark.parametrize(("more", "field", "named"), REFUSED, ids=lambda v: str(v)[:60])
def test_what_cant_be_followed_is_refused_by_name(
    more: dict[str, Any], field: str, named: str, folder: Path
) -> None:
    result = plan(folder, {"archetype": "hero", "segments": [{"media": "a.png"}], **more})
    assert result.plan is None
    [problem] = [p for p in result.problems if p.severity == "error"]
    assert named in f"{problem.field} {problem.message}" and problem.remedy
    assert (problem.field or "").replace("_", "").lower().startswith(field.lower()), problem.field


# There and back ----------------------------------------------------------------------------------

UNTIDY = {
    "numbers": "media: [a.png]\nhook: 12:30\ncta: 19.90\nbadge: 010\nlocale: no\n",
    "html": "media: [a.png, 'B.PNG']\nhook: Bowl &amp; spoon\nbeats: [<b>New</b>]\n",
    "silent": "media: ['.\\a.png']\nmusic: no\nhook: Hello\n",
    "meme": "archetype: meme\nmedia: [a.png]\nhook: When it works\nmusic: warm\n",
    "overlay": "archetype: overlay\nmedia: [mark.png, a.png]\nbrand: morrow\nhook: Hello\n"
    "cta: Go\nlogo: ' mark.png '\nvoice: song.wav\n",
}


@pytest.mark.parametrize("name", UNTIDY)
def test_a_plan_taken_from_a_brief_gives_the_same_video(name: str, folder: Path) -> None:
    first = compiled(brief(folder, UNTIDY[name]))
    for camel, encoding in ((True, "utf-8"), (False, "utf-16")):
        (folder / "plan.json").write_text(spec_json(first, camel=camel), encoding)
        again = compile_file(folder / "plan.json", folder, "spec", "plan.json", SHOP)
        assert again.plan is not None, [str(p) for p in again.problems]
        jobs = [segment_jobs(s, build_timeline(s)) for s in (first, again.plan)]
        assert [j.canonical_data() for j in jobs[0]] == [j.canonical_data() for j in jobs[1]]
        assert again.plan.audio == first.audio and again.plan.captions == first.captions


def test_a_finished_plan_needs_no_other_spelling(folder: Path) -> None:
    spec = compiled(brief(folder, UNTIDY["overlay"]))
    data = json.loads(spec_json(spec, camel=True))
    model, problems = validate_data(RenderSpec, data, "plan.json")
    assert not problems and model == RenderSpec.model_validate(spec.model_dump())
    assert np.isfinite(model.duration)
