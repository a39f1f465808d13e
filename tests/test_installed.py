"""An install that is no checkout: what is a person's own comes first and lies in folders of theirs,
what Pytoon carries stands behind it; and a fault of Pytoon's is never told as one of a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clip, picture
from PIL import Image
from shipped import ROOT, shipped_files
from typer.testing import CliRunner

from pytoon_pipeline.cli import app
from pytoon_pipeline.compiler.presets import PresetLibrary
from pytoon_pipeline.errors import InternalError, SettingsError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media import probe, sandbox
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.settings import Settings, load_settings, project_data
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.services import open_fonts, open_services

FONTS = project_data("presets") / "fonts"


def pytoon(*args: object):
    return CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)


@pytest.fixture
def standing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a person works in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Where things are looked for ----------------------------------------------------------------------


def test_folders_of_ones_own_come_first(standing: Path):
    settings = load_settings()
    assert settings.briefs_dir == standing / "briefs"
    assert settings.presets_dirs == (project_data("presets"),)
    (standing / "presets").mkdir()
    (settings.home / "presets").mkdir(parents=True)
    assert load_settings().presets_dirs == (
        standing / "presets",
        settings.home / "presets",
        project_data("presets"),
    )


def test_a_folder_that_is_named_must_be_there(standing: Path, monkeypatch):
    monkeypatch.setenv("PYTOON_PRESETS_DIR", "nowhere")
    with pytest.raises(SettingsError, match="PYTOON_PRESETS_DIR: .*nowhere is not a folder"):
        load_settings()
    (standing / "nowhere").mkdir()
    assert load_settings().presets_dirs[0] == standing / "nowhere"


def test_each_kind_of_file_is_overlaid_by_name(standing: Path, monkeypatch):
    """A brand in `./presets`, a preset, music and a font in `PYTOON_HOME`, the rest as it comes."""
    home = load_settings().home / "presets"
    write(standing / "presets/brands/own/brand.yaml", 'name: Own\ncolors: {accent: "#123456"}\n')
    look = (project_data("presets") / "hero/bold.yaml").read_text()
    look = look.replace("title: Bold", "title: B2")
    write(home / "hero/bold.yaml", look)
    write(home / "hero/calm.yaml", look.replace("title: B2", "title: Calm"))
    write(
        home / "music/ledger.yaml",
        "tracks:\n  - {name: mine, file: mine.flac, licence: own}\n"
        "  - {name: warm, file: mine.flac, licence: own}\n",
    )
    shutil.copy(project_data("presets") / "music/still.flac", home / "music/mine.flac")
    said = json.loads(pytoon("presets", "--json").stdout)
    from_ = {(p["archetype"], p["name"]): (p["title"], p["from"]) for p in said["presets"]}
    assert from_["hero", "bold"] == ("B2", str(home))
    assert from_["hero", "calm"] == ("Calm", str(home))
    assert from_["hero", "daylight"] == ("Daylight", "pytoon")
    assert {b["name"]: b["from"] for b in said["brands"]} == {
        "morrow": "pytoon",
        "neutral": "pytoon",
        "own": "presets",
    }
    assert {m["name"]: m["from"] for m in said["music"]} == {
        "warm": str(home),
        "mine": str(home),
        "drive": "pytoon",
        "bounce": "pytoon",
        "still": "pytoon",
    }
    words = pytoon("presets").stdout
    assert re.search(r"^own .* presets$", words, re.MULTILINE)

    # And it is what a video is made of.
    picture(standing / "briefs/one/a.png")
    brief = write(
        standing / "briefs/one/brief.yaml",
        "archetype: hero\npreset: calm\nbrand: own\nmedia: [a.png]\nmusic: mine\nduration: 4\n",
    )
    spec = compile_brief(brief)
    assert spec.audio.music and any(a.source == "mine" for a in spec.assets)
    library = open_services(load_settings()).presets
    assert library.brand("own").colors["accent"] == "#123456"
    assert library.brand("own").colors["ink"]  # From the neutral kit that Pytoon carries.


def compile_brief(path: Path):
    services = open_services(load_settings())
    return compile_source(find_sources([path.parent])[0], services)


def test_an_own_neutral_kit_is_filled_up_from_the_carried_one(standing: Path):
    kit = standing / "presets/brands/neutral/brand.yaml"
    own = write(kit, 'name: N\ncolors: {ink: "#010203"}\n')
    carried = PresetLibrary(project_data("presets")).brand("neutral")
    made = open_services(load_settings()).presets.brand("neutral")
    assert made.folder == own.parent and made.fonts == carried.fonts
    assert made.colors == {**carried.colors, "ink": "#010203"}


def test_an_own_font_counts_and_what_it_lacks_comes_from_the_carried_ones(standing: Path):
    carried = open_fonts(load_settings(), system=False)
    fonts = standing / "presets/fonts"
    shutil.copytree(
        FONTS / "inter",
        fonts / "mine",
        ignore=lambda _, names: [n for n in names if "700" not in n],
    )
    mixed = open_fonts(load_settings(), system=False)
    assert mixed.require("Inter", 700).path.is_relative_to(fonts)
    assert mixed.require("Inter", 800).path.is_relative_to(FONTS)
    assert mixed.families() == carried.families()


def test_an_own_mapping_knows_its_export(standing: Path):
    write(
        standing / "presets/mappings/mine.yaml",
        "match: [Foto, Titel]\nname: Titel\nfields: {media: '{Foto}', hook: '{Titel}'}\n",
    )
    picture(standing / "briefs/a.png")
    table = write(standing / "briefs/shop.csv", "Foto,Titel\na.png,Tasse\n")
    assert [s.name for s in find_sources([table])] == ["Tasse"]


# What tests see -----------------------------------------------------------------------------------


def test_tests_see_what_is_shipped_and_nothing_that_was_put_beside_it(tmp_path: Path):
    """A brief, a brand and a font in the folders of a checkout are no matter of its tests."""
    place = tmp_path / "checkout"
    for name in ("presets/brands/neutral/brand.yaml", "briefs/morrow/refill.yaml"):
        write(place / name, "x")
    git = ["git", "-C", str(place), "-c", f"safe.directory={place}"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    for name in ("presets/brands/own/brand.yaml", "presets/fonts/own.ttf", "briefs/one/brief.yaml"):
        write(place / name, "x")
    assert sorted(shipped_files(place)) == [
        "briefs/morrow/refill.yaml",
        "presets/brands/neutral/brand.yaml",
    ]


def test_no_test_reads_the_folders_of_the_checkout():
    for name in ("presets", "briefs"):
        assert not project_data(name).is_relative_to(ROOT)
        assert not (Path.cwd() / name).exists()
    by_hand = re.compile(r"(parent|parents\[1\]|ROOT)\)? / \"(presets|briefs)\b")
    for path in (ROOT / "tests").glob("test_*.py"):
        assert not by_hand.search(path.read_text(encoding="utf-8")), (
            f"{path.name}: take project_data(...), which is what is shipped"
        )


# Faults of ours -----------------------------------------------------------------------------------

_CHANGED = {
    "an argument that PyAV takes no more": (
        "import av\nreal = av.open\n"
        "def fewer(file, mode=None, options=None):\n    return real(file, mode, options=options)\n"
        "av.open = fewer\n"
    ),
    "a method that Pillow has no more": ("from PIL import Image\ndel Image.Image.getexif\n"),
    "a library that does not load": "import sys\nsys.modules['av'] = None\n",
}


@pytest.mark.parametrize("what", _CHANGED)
def test_a_library_that_changed_is_no_damaged_file(what, tmp_path: Path, monkeypatch):
    """The process apart finds the other library; the file is sound."""
    sound = clip(tmp_path / "good.mp4") if "PyAV" in what else picture(tmp_path / "good.png")
    start = _CHANGED[what] + sandbox._START
    monkeypatch.setattr(sandbox, "_START", start)
    monkeypatch.setattr(sandbox, "_helper", None)
    with pytest.raises(InternalError) as caught:
        probe.probe_media(sound)
    told = str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    assert re.search("unexpected keyword argument|getexif|import of av", told), told
    assert "is damaged" not in str(caught.value)
    if sandbox._helper is not None:
        sandbox._helper.end()


def test_a_fault_of_ours_is_said_as_one(settings, tmp_path: Path, monkeypatch):
    brief = write(tmp_path / "b" / "brief.yaml", "media: [a.png]\n")
    picture(tmp_path / "b" / "a.png")
    changed = _CHANGED["a method that Pillow has no more"]
    monkeypatch.setattr(sandbox, "_START", changed + sandbox._START)
    monkeypatch.setattr(sandbox, "_helper", None)
    said = pytoon("check", brief)
    words = " ".join((said.stdout + said.stderr).split())
    assert said.exit_code == 1 and "getexif" in words and "fault of Pytoon itself" in words
    assert "damaged" not in words
    kept = re.search(r"details: (\S+\.txt)", words)
    assert kept and "PngImagePlugin.py" in Path(kept[1]).read_text()  # Where it happened.
    found = {f["name"]: f for f in json.loads(pytoon("doctor", "--json").stdout)["findings"]}
    assert found["examining"]["state"] == "fail" and "getexif" in found["examining"]["detail"]
    assert found["encoding"]["state"] == "ok"
    if sandbox._helper is not None:
        sandbox._helper.end()


def test_what_a_broken_file_makes_a_library_raise_is_no_fault_of_ours(tmp_path: Path, monkeypatch):
    """Pillow's plugins raise anything: in their own lines that is the file's fault."""
    path = picture(tmp_path / "a.png")
    from PIL import PngImagePlugin

    def raised(self):
        return None + 1

    code = raised.__code__.replace(co_filename=PngImagePlugin.__file__)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", type(raised)(code, {}))
    with pytest.raises(UnreadableMediaError) as caught:
        probe.examine_media(path)
    assert caught.value.code == "media.corrupt"


# Read only ----------------------------------------------------------------------------------------


def test_nothing_is_written_where_pytoon_is_installed(settings, tmp_path: Path):
    """Presets are read as they are: making, checking and rendering leave no file among them."""

    def carried() -> dict[Path, int]:
        folders = (project_data("presets"), project_data("briefs"))
        return {p: p.stat().st_mtime_ns for f in folders for p in f.rglob("*")}

    before = carried()
    done = subprocess.run(
        [sys.executable, "-m", "pytoon_pipeline.cli", "new", "x"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "x" / "sample.jpg") as sample:
        assert sample.size[0] >= 1000
    assert pytoon("check", tmp_path / "x").exit_code == 0
    assert carried() == before
