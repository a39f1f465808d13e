"""The command line: what it says, writes and returns."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import yaml
from conftest import clip, picture, tone
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import pytoon_pipeline
from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.cli import app, terminal
from pytoon_pipeline.cli.files import write_text
from pytoon_pipeline.cli.progress import LiveWatch
from pytoon_pipeline.cli.render import RESULTS
from pytoon_pipeline.cli.schema import SCHEMAS, schema_text
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET
from pytoon_pipeline.errors import EngineFailedError, LinkError, Problem
from pytoon_pipeline.stages.documents import SegmentRecord
from pytoon_pipeline.store.publish import publish_folder

ROOT = Path(pytoon_pipeline.__file__).parents[1]


@pytest.fixture(autouse=True)
def _here(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def pytoon(*args: object):
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def subprocess_of(*args: object, **more) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytoon_pipeline.cli", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **more,
    )


def brief(folder: Path, text: str, **pictures: tuple[int, int]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.yaml").write_text(text, encoding="utf-8")
    for name, size in pictures.items():
        picture(folder / f"{name}.jpg", size)
    return folder


def tiny(folder: Path, text="Hello", **more) -> Path:
    """A hand-written plan, three seconds of 270x480."""
    picture(folder / "a.jpg")
    spec = {
        "archetype": "hero",
        "resolution": "270x480",
        "segments": [{"media": "a.jpg", "text": text, "duration": 3}],
        **more,
    }
    (folder / "render_spec.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def objects(stdout: str) -> list[dict]:
    return [json.loads(line) for line in stdout.splitlines()]


# What starts quickly ----------------------------------------------------------------------------


@pytest.mark.parametrize("args", [["--help"], ["new", "somewhere"]])
def test_small_commands_start_without_the_heavy_libraries(args):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytoon_pipeline.cli", *args],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "typer" in loaded
    assert not loaded & {"dagster", "cv2", "av", "numpy", "PIL", "pandas", "boto3"}


def test_version():
    assert pytoon("--version").stdout == f"pytoon {pytoon_pipeline.__version__}\n"


def test_a_wrong_call_ends_with_2():
    for args in (["rendr"], ["render"], ["render", "--fast", "x"], ["new", "x", "--archetype=y"]):
        assert pytoon(*args).exit_code == 2


def test_a_wrong_setting_is_named(monkeypatch):
    monkeypatch.setenv("PYTOON_WORKERS", "many")
    result = pytoon("presets")
    assert result.exit_code == 2
    assert "PYTOON_WORKERS" in result.stderr and "'many'" in result.stderr


# check, spec ------------------------------------------------------------------------------------


def _png_header(width: int, height: int) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def _corrupt(folder: Path) -> None:
    whole = picture(folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])


def _link_out(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    outside = picture(folder.parent.parent / "outside.jpg")
    (folder / "a.jpg").symlink_to(outside)


def _bytes(data: bytes):
    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a.jpg").write_bytes(data)

    return write


def _fine(folder: Path) -> None:
    picture(folder / "a.jpg")


LONG = "".join(f"  line {i} of a caption without end\n" for i in range(200))
# name -> brief.yaml, what lies in the folder, code, field
BAD: dict[str, tuple] = {
    "corrupt": ("media: [a.jpg]", _corrupt, "media.corrupt", "media[0]"),
    "pdf": ("media: [a.jpg]", _bytes(b"%PDF-1.7\n"), "media.not_media", "media[0]"),
    "zero": ("media: [a.jpg]", _bytes(b""), "media.empty", "media[0]"),
    "missing": ("media: [a.jpg, b.jpg]", _fine, "media.missing", "media[1]"),
    "no-media": ("hook: Hello", _fine, "media.none", "media"),
    "200-lines": (f"media: [a.jpg]\nhook: |\n{LONG}", _fine, "caption.too_long", "hook"),
    "empty-text": ("media: [a.jpg]\nbeats: [ok, '']", _fine, "field.empty", "beats[1]"),
    "100-megapixel": (
        "media: [a.jpg]",
        _bytes(_png_header(20_000, 5_000)),
        "media.too_large",
        "media[0]",
    ),
    "unknown-key": ("media: [a.jpg]\nhok: Hi", _fine, "field.unknown", "hok"),
    "wrong-type": ("media: [a.jpg]\nduration: long", _fine, "field.type", "duration"),
    "dots": ("media: [../outside.jpg]", _fine, "media.outside", "media[0]"),
    "absolute": ("media: [/etc/hostname]", _fine, "media.outside", "media[0]"),
    "link": ("media: [a.jpg]", _link_out, "media.outside", "media[0]"),
    "not-yaml": ("media: [a.jpg\nhook: x", _fine, "file.yaml", None),
}


def bad_brief(name: str, folder: Path) -> tuple[str, str | None]:
    text, write, code, field = BAD[name]
    write(folder)
    (folder / "brief.yaml").write_text(text + "\n", encoding="utf-8")
    return code, field


@pytest.mark.parametrize("name", BAD)
def test_check_names_what_is_wrong_and_where(name, tmp_path):
    code, field = bad_brief(name, tmp_path / "spring" / name)
    result = pytoon("check", tmp_path / "spring" / name)
    assert result.exit_code == 2
    assert f"refused  spring/{name}" in result.stdout and "brief.yaml" in result.stdout
    assert f"[{code}]" in result.stdout and "-> " in result.stdout
    if field:
        assert f" {field}: " in result.stdout
    [said] = objects(pytoon("check", "--json", tmp_path / "spring" / name).stdout)
    assert said["ok"] is False and said["exit_code"] == 2 and said["key"] == f"spring/{name}"
    [problem] = [p for p in said["problems"] if p["code"] == code]
    assert problem["file"].endswith(f"{name}/brief.yaml") and problem.get("field") == field
    assert problem["remedy"]


def test_check_tells_everything_in_one_sweep(tmp_path):
    brief(tmp_path / "c" / "one", "media: [x.jpg, y.jpg]\nhok: a\nduration: 900\n")
    brief(tmp_path / "c" / "two", "media: [a.jpg]\nhook: Fine\n", a=(400, 700))
    result = pytoon("check", tmp_path / "c", tmp_path / "nowhere")
    assert result.exit_code == 2
    for said in ("media[0]", "media[1]", "hok", "duration", "nowhere", "ok       c/two"):
        assert said in result.stdout
    assert "3 briefs: 1 ok, 5 errors." in result.stdout


def test_strict_makes_warnings_count(tmp_path):
    folder = brief(tmp_path / "c" / "w", "media: [a.jpg]\nmusic: own.wav\n", a=(400, 700))
    tone(folder / "own.wav")
    assert "music.licence" in (result := pytoon("check", folder)).stdout and not result.exit_code
    assert pytoon("check", "--strict", folder).exit_code == 2


def test_spec_prints_a_plan_that_its_schema_takes(tmp_path):
    text = "media: [a.jpg]\nhook: Hello\ncta: Buy\nmusic: false\n"
    folder = brief(tmp_path / "c" / "b", text, a=(400, 700))
    plan = json.loads(pytoon("spec", folder).stdout)
    schema = json.loads(schema_text(SCHEMAS["render_spec.schema.json"]))
    jsonschema.Draft202012Validator(schema).validate(plan)
    assert [c["text"] for c in plan["captions"]] == ["Hello", "Buy"]
    camel = json.loads(pytoon("spec", "--camel", folder).stdout)
    assert camel["frameRate"] == plan["frame_rate"] == 30
    # What was printed is a plan to render from.
    (folder / "render_spec.json").write_text(json.dumps(camel), encoding="utf-8")
    assert pytoon("check", folder / "render_spec.json").exit_code == 0


def test_spec_of_a_broken_brief_prints_no_plan(tmp_path):
    result = pytoon("spec", brief(tmp_path / "c" / "b", "media: [no.jpg]\n"))
    assert result.exit_code == 2 and result.stdout == "" and "no.jpg" in result.stderr


def test_spec_takes_one_brief(tmp_path):
    for name in "ab":
        brief(tmp_path / "c" / name, "media: [a.jpg]\n", a=(400, 700))
    result = pytoon("spec", tmp_path / "c")
    assert result.exit_code == 2 and "2 briefs: a, b" in result.stderr


# new, presets, schema ---------------------------------------------------------------------------


@pytest.mark.parametrize("archetype", sorted(DEFAULT_PRESET))
def test_new_lists_what_lies_there_and_checks_out(archetype, tmp_path):
    folder = tmp_path / "c" / "fresh brief"
    names = ["b.jpg", "a: #1 'x'.png", "true.jpg", "süß 😀.webp"]
    for name in names:
        picture(folder / name)
    picture(folder / "logo.png")
    clip(folder / "move.mp4")
    tone(folder / "voice.wav")
    result = pytoon("new", folder, "--archetype", archetype)
    assert result.exit_code == 0 and "pytoon check" in result.stdout
    text = (folder / "brief.yaml").read_text(encoding="utf-8")
    assert sorted(yaml.safe_load(text)["media"]) == sorted([*names, "move.mp4"])
    assert "# voice: voice.wav" in text and "# logo: logo.png" in text
    untouched = pytoon("check", "--strict", folder)
    assert untouched.exit_code == 2 and "hook" in untouched.stdout, untouched.stdout
    said = yaml.safe_load(text)
    for n, line in enumerate((said["hook"], *said["beats"])):
        text = text.replace(line, f"Own words, {n}")
    (folder / "brief.yaml").write_text(text, encoding="utf-8")
    assert pytoon("check", "--strict", folder).exit_code == 0, pytoon("check", folder).stdout


def test_new_makes_the_folder_and_never_overwrites(tmp_path):
    folder = tmp_path / "c" / "b"
    assert pytoon("new", folder).exit_code == 0
    before = (folder / "brief.yaml").read_bytes()
    again = pytoon("new", folder, "--archetype", "meme")
    assert again.exit_code == 2 and "brief.yaml: is there already" in again.stderr
    assert (folder / "brief.yaml").read_bytes() == before
    with pytest.raises(FileExistsError):  # Also when it comes to lie there at the last moment.
        write_text(folder / "brief.yaml", "mine", replace=False)
    assert (folder / "brief.yaml").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["brief.yaml", "sample.jpg"]
    (tmp_path / "file").write_text("x")
    assert pytoon("new", tmp_path / "file").exit_code == 2


@pytest.mark.parametrize("archetype", ["hero", "overlay", "meme"])
def test_a_new_brief_is_sound_as_it_stands(tmp_path, archetype):
    assert pytoon("new", tmp_path / "x", "--archetype", archetype).exit_code == 0
    found = pytoon("check", tmp_path / "x")
    assert found.exit_code == 0, found.stdout
    # Where pictures lie already, none is put beside them.
    picture(tmp_path / "y" / "mine.png")
    assert pytoon("new", tmp_path / "y", "--archetype", archetype).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "y").iterdir()) == ["brief.yaml", "mine.png"]


def test_presets_lists_what_there_is(services):
    said = json.loads(pytoon("presets", "--json").stdout)
    assert {(p["archetype"], p["name"]) for p in said["presets"]} == {
        (archetype, name)
        for archetype, named in services.presets.presets().items()
        for name in named
    }
    assert {p["archetype"]: p["name"] for p in said["presets"] if p["default"]} == DEFAULT_PRESET
    assert [b["name"] for b in said["brands"]] == services.presets.brand_names()
    assert {p["name"] for p in said["platforms"]} == set(services.presets.facts().profiles)
    assert {t["name"] for t in said["music"]} == set(services.presets.tracks())
    words = pytoon("presets").stdout
    assert all(p["summary"] in words for p in said["presets"])
    assert all(name in words for name in ("universal_ads *", "neutral *"))


def test_engines_tells_health(services):
    said = json.loads(pytoon("engines", "--json").stdout)
    assert [e["name"] for e in said] == ["compositor", "comfyui", "comfyui_cloud", "remote"]
    assert [e["ok"] for e in said] == [e["in_use"] for e in said] == [True, False, False, False]
    words = pytoon("engines").stdout
    assert "compositor" in words
    assert all(f"set PYTOON_{n}_URL" in words for n in ("COMFYUI", "REMOTE"))
    found = json.loads(pytoon("doctor", "--json").stdout)["findings"]
    assert {f["name"]: f["state"] for f in found}["engine remote"] == "off"


def test_engines_names_what_is_switched_off(services, monkeypatch):
    monkeypatch.setenv("PYTOON_REMOTE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PYTOON_REMOTE_TOKEN", "a-token-long-enough")
    monkeypatch.setenv("PYTOON_ENGINES_OFF", "remote")
    said = {e["name"]: e for e in json.loads(pytoon("engines", "--json").stdout)}
    assert not said["remote"]["in_use"] and "PYTOON_ENGINES_OFF" in said["remote"]["detail"]
    monkeypatch.delenv("PYTOON_ENGINES_OFF")
    said = {e["name"]: e for e in json.loads(pytoon("engines", "--json").stdout)}
    assert said["remote"]["in_use"] and not said["remote"]["ok"]


def test_published_schemas_are_those_of_the_models(tmp_path):
    assert pytoon("schema", "--out", tmp_path / "s").exit_code == 0
    for name, model in SCHEMAS.items():
        assert (tmp_path / "s" / name).read_text(encoding="utf-8") == schema_text(model)
        published = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert published == schema_text(model), "run `pytoon schema`"


@pytest.mark.parametrize(
    "text",
    [
        "media: [a.jpg]",
        "media: a.jpg\nhook: 50\nbeats: One line\nmusic: warm\nvoice: v.wav\ngenerate: a cup",
        "media: {path: a.jpg, duration: 2}\nmusic: false\nbeats: [a, 5]",
        "media: [a.jpg, {text: A card}]\nmusic: {path: x.mp3, licence: bought}",
    ],
)
def test_brief_schema_takes_the_short_forms_that_the_model_takes(text):
    data = yaml.safe_load(text)
    Brief.model_validate(data)
    schema = json.loads(schema_text(Brief))
    jsonschema.Draft202012Validator(schema).validate(data)
    assert not jsonschema.Draft202012Validator(schema).is_valid({**data, "hok": "x"})


# render -----------------------------------------------------------------------------------------


def test_render_makes_what_it_can_and_says_what_it_can_not(tmp_path):
    """A campaign of one good brief and all the bad ones."""
    for name in BAD:
        bad_brief(name, tmp_path / "spring" / name)
    tiny(tmp_path / "spring" / "good")
    out = tmp_path / "out"
    result = pytoon("render", tmp_path / "spring", tmp_path / "nowhere", "--out", out, "--json")
    assert result.exit_code == 2
    said = {Path(o["brief"]).parent.name: o for o in objects(result.stdout)}
    assert len(said) == len(BAD) + 2
    for name, (_, _, code, field) in BAD.items():
        o = said[name]
        assert (o["ok"], o["exit_code"], o["video"]) == (False, 2, None)
        assert (code, field) in [(p["code"], p.get("field")) for p in o["problems"]]
        assert f"refused  spring/{name}" in result.stderr
    good = said["good"]
    assert (good["ok"], good["exit_code"], good["problems"]) == (True, 0, [])
    assert good["key"] == "spring/good" and good["campaign"] == "spring" and good["run_id"]
    assert good["engines"] == ["compositor"] and good["seconds"] == 3
    assert not good["degraded"] and not good["used_fallback"] and not good["cached"]
    assert good["checks"] and all(c["passed"] for c in good["checks"])
    assert {"compile", "segments", "sound", "link", "check", "total"} <= set(good["seconds_spent"])
    # Nothing but the good one's results, and no trace of how they came there.
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == {
        f"spring/good/{name}" for name in RESULTS
    }
    assert [p.name for p in (out / "spring").iterdir()] == ["good"]
    assert good["video"] == str(out / "spring" / "good" / "video.mp4")
    assert set(good) == set(said["pdf"])


def test_render_again_replaces_the_results(tmp_path):
    folder, out = tiny(tmp_path / "c" / "b"), tmp_path / "out"
    first = pytoon("render", folder, "-o", out)
    assert first.exit_code == 0 and "done     c/b" in first.stdout
    assert f"{RESULTS[0]}" in first.stdout and "checks passed" in first.stdout
    [o] = objects(pytoon("render", folder, "-o", out, "--json").stdout)
    assert o["cached"] and o["exit_code"] == 0
    before = (out / "c/b/video.mp4").read_bytes()
    tiny(folder, "Other words")
    assert pytoon("render", folder, "-o", out, "--quiet").stdout.splitlines() == [
        str(out / "c/b/video.mp4")
    ]
    assert (out / "c/b/video.mp4").read_bytes() != before
    assert "Other words" in (out / "c/b/captions.srt").read_text(encoding="utf-8")
    assert sorted(p.name for p in (out / "c").iterdir()) == ["b"]


def test_out_never_takes_the_place_of_other_files(tmp_path):
    folder = tiny(tmp_path / "c" / "b")
    before = sorted(p.name for p in folder.iterdir())
    over_itself = pytoon("render", folder, "--out", tmp_path)
    assert over_itself.exit_code == 2 and "holds the brief itself" in over_itself.stderr + (
        over_itself.stdout
    )
    assert sorted(p.name for p in folder.iterdir()) == before
    kept = tmp_path / "out" / "c" / "b" / "holiday.jpg"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    assert pytoon("render", folder, "--out", tmp_path / "out").exit_code == 2
    assert [p.name for p in kept.parent.iterdir()] == ["holiday.jpg"]
    (tmp_path / "file").write_text("x")
    nowhere = pytoon("render", folder, "--out", tmp_path / "file")
    assert nowhere.exit_code == 2 and "can't be written" in nowhere.stderr


def test_a_folder_is_published_whole_or_not_at_all(tmp_path):
    (tmp_path / "new").write_text("new")
    target = tmp_path / "out" / "b"
    publish_folder(target, {"a.txt": tmp_path / "new"})
    with pytest.raises(pytoon_pipeline.errors.StoreError, match="can't be written"):
        publish_folder(target, {"b.txt": tmp_path / "new", "c.txt": tmp_path / "gone"})
    assert [p.name for p in target.iterdir()] == ["a.txt"]
    assert [p.name for p in target.parent.iterdir()] == ["b"]


def test_a_failed_quality_check_ends_with_1_and_is_not_handed_out(tmp_path):
    kind = {"family": "Montserrat", "max_px": 34, "min_px": 20, "color": "#FFFFFF"}
    folder = tiny(
        tmp_path / "c" / "b",
        styles={"hook": kind},
        segments=[
            {"media": "white.png", "duration": 1, "text": "Whiter than white"},
        ],
    )
    Image.new("RGB", (270, 480), "#FFFFFF").save(folder / "white.png")
    result = pytoon("render", folder, "--out", "out")
    assert result.exit_code == 1
    assert "FAILED   c/b" in result.stdout and "[caption_contrast]" in result.stdout
    assert "out.withheld" in result.stdout and not list(Path("out").iterdir())
    [o] = objects(pytoon("render", folder, "--json").stdout)
    assert o["exit_code"] == 1 and Path(o["video"]).is_file()
    failed = [c["name"] for c in o["checks"] if not c["passed"] and c["severity"] == "error"]
    assert failed == ["caption_contrast"]


def test_a_recording_of_nothing_is_a_warning(tmp_path):
    folder = tiny(tmp_path / "c" / "b", audio={"voice": {"media": "voice.wav"}})
    with wave.open(str(folder / "voice.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"\0" * 2 * 16000 * 2)
    [o] = objects(pytoon("render", folder, "--json").stdout)
    assert o["exit_code"] == 0
    said = [c["message"] for c in o["checks"] if c["name"] == "loudness"]
    assert said == ["nothing is heard: voice.wav holds only silence"]
    assert "voice.wav: nothing is to be heard in it." in o["notes"]


def test_a_plain_still_in_place_of_footage_is_marked(tmp_path, monkeypatch):
    from pytoon_pipeline.engines.compositor import Compositor

    def fail(*_):
        raise EngineFailedError("no light today")

    monkeypatch.setattr(Compositor, "render", fail)
    result = pytoon("render", tiny(tmp_path / "c" / "b"))
    assert "degraded to a plain still (compositor: no light today" in result.stdout
    [o] = objects(pytoon("render", tmp_path / "c" / "b", "--json").stdout)
    assert o["degraded"] and o["used_fallback"] and o["engines"] == ["still"]


def test_a_failure_of_the_machinery_ends_with_1(tmp_path, monkeypatch):
    tiny(tmp_path / "c" / "a")
    tiny(tmp_path / "c" / "b")

    def fail(*_, **__):
        raise LinkError("The parts don't fit.\nlast line of ffmpeg")

    monkeypatch.setattr("pytoon_pipeline.stages.assemble.link_video", fail)
    result = pytoon("render", tmp_path / "c")
    assert result.exit_code == 1
    assert result.stdout.count("The parts don't fit.") == 2  # The first does not stop the second.
    assert "last line of ffmpeg" in result.stdout and "2 briefs: 2 failed" in result.stdout
    both = pytoon("render", tmp_path / "c" / "a", brief(tmp_path / "c" / "no", "hook: x\n"))
    assert both.exit_code == 2


def test_a_fault_of_ours_is_written_down(tmp_path, monkeypatch, settings):
    def fail(*_, **__):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("pytoon_pipeline.stages.assemble.link_video", fail)
    result = pytoon("render", tiny(tmp_path / "c" / "b"))
    assert result.exit_code == 1 and "of all things" in result.stdout
    [report] = (settings.home / "crash").iterdir()
    assert str(report) in result.stdout
    assert "Traceback" in (text := report.read_text()) or "Stack Trace" in text

    monkeypatch.setattr("pytoon_pipeline.cli.listing.open_presets", fail)
    result = pytoon("presets")
    assert result.exit_code == 1 and "ZeroDivisionError: of all things" in result.stderr
    assert len(list((settings.home / "crash").iterdir())) == 2


def test_ctrl_c_stops_at_once_and_keeps_nothing_half_done(tmp_path, settings):
    folder = tiny(tmp_path / "c" / "b", resolution="1080x1920")
    spec = json.loads((folder / "render_spec.json").read_text())
    spec["segments"][0]["duration"] = 40
    (folder / "render_spec.json").write_text(json.dumps(spec))
    process = subprocess_of("render", folder, "--out", "out", start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not list(settings.home.rglob("*.part")) and time.monotonic() < deadline:
            time.sleep(0.05)  # Until ffmpeg writes.
        # A terminal sends it to everything that runs in it, ffmpeg included.
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Stopped." in stderr and "Traceback" not in stderr
    assert "degraded" not in stdout
    assert not list((settings.home / "scratch").iterdir())
    assert not (settings.home / "store" / "segments").exists()
    assert not list((tmp_path / "out").iterdir())


def test_exit_codes_and_no_traceback_in_a_process_of_its_own(tmp_path):
    bad_brief("pdf", tmp_path / "c" / "pdf")
    process = subprocess_of("render", tmp_path / "c")
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 2 and "is a PDF" in stdout
    assert stderr == ""


def test_log_lines_as_json(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTOON_LOG", "json")
    result = pytoon("render", tiny(tmp_path / "c" / "b"), "--json")
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    messages = {line["message"] for line in lines}
    assert {"segments to render", "segment finished", "brief ended"} <= messages
    assert all(x["level"] == "info" and "logger" in x for x in lines)
    assert objects(result.stdout)[0]["ok"]


# What is seen -----------------------------------------------------------------------------------


def _record(cached: bool) -> SegmentRecord:
    return SegmentRecord(
        segment_id="s1",
        fingerprint="f",
        key="k",
        engine="compositor",
        frames=60,
        seconds=1.5,
        cached=cached,
    )


def test_live_line_counts_frames_and_segments():
    to = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with LiveWatch(to, verbose=True) as eye:
        eye.begin("camp/mug", "1 of 2")
        eye.stage("camp/mug", "segments")
        eye.segments("camp/mug", 120, 2)
        eye.progress("camp/mug", "s1", 60)
        eye.segment("camp/mug", _record(cached=True))
        eye.progress("camp/mug", "s2", 15)
        eye.bar.refresh()
        seen = to.file.getvalue()
        work = eye.end("camp/mug")
    assert "camp/mug (1 of 2)" in seen and "75/120 frames" in seen and "1/2 segments" in seen
    assert "segment s1: unchanged, 60 frames" in seen
    assert work.rendered == 15 and "segments" in work.spent


def test_long_words_wrap_and_nothing_is_lost():
    to = Console(file=io.StringIO(), width=50, color_system=None)
    message = "word " * 30 + "end"
    problem = Problem(
        "a.b", message, "Do this.", file="f.yaml", field="hook", time=(1, 2.5), box=(1, 2, 3, 4)
    )
    terminal.show_problem(to, problem)
    lines = to.file.getvalue().splitlines()
    assert all(len(line) <= 50 for line in lines)
    assert all(line.startswith(" " * 13) for line in lines[1:])
    text = " ".join(" ".join(lines).split())
    assert text == (f"error f.yaml: hook: 1.0-2.5 s: x 1-3, y 2-4: {message} [a.b] -> Do this.")


def test_what_is_written_in_a_brief_does_not_steer_the_terminal(tmp_path):
    brief(tmp_path / "c" / "b", 'media: ["\\e[2Jx.jpg"]\nhook: "[red]x[/red]"\n')
    said = pytoon("check", tmp_path / "c" / "b").stdout
    assert "\x1b" not in said and "\\x1b[2Jx.jpg" in said


# sheet ------------------------------------------------------------------------------------------


def test_sheet_shows_frames_with_the_safe_zone(tmp_path):
    made = clip(tmp_path / "v.mp4", size=(180, 320), rate="25", seconds=1.0)
    result = pytoon(
        "sheet",
        made,
        "-o",
        "s/sheet.jpg",
        "--frames",
        6,
        "--columns",
        3,
        "--safe-zone",
        "universal_ads",
    )
    assert result.exit_code == 0 and "6 frames" in result.stdout
    page = np.asarray(Image.open(tmp_path / "s" / "sheet.jpg")).astype(int)
    assert page.shape == (10 + 2 * (480 + 26 + 10), 10 + 3 * (270 + 10), 3)
    # The zone's left edge, 120 of 1080, in the middle of the first frame.
    x, y = 10 + 120 * 270 // 1080, 10 + 192
    assert np.abs(page[y, x : x + 2] - (255, 64, 160)).max() < 60
    first, last = page[10:490, 10:280], page[526:1006, 570:840]
    assert np.abs(first - last).mean() > 1
    assert not list((tmp_path / "s").glob(".*"))


def test_sheet_refuses_what_is_no_video(tmp_path):
    picture(tmp_path / "a.jpg")
    clip(tmp_path / "wide.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    for args in (
        ["a.jpg"],
        ["text.mp4"],
        ["gone.mp4"],
        ["wide.mp4", "-o", "x.png"],
        ["wide.mp4", "--safe-zone", "moon"],
        ["wide.mp4", "--safe-zone", "universal_ads"],
    ):
        assert pytoon("sheet", *args).exit_code == 2
    assert not (tmp_path / "sheet.jpg").exists()
