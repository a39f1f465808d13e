"""The licence ledger: nothing is in a video of which it is not known what allows its use."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml
from conftest import picture, tone

from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.licences import AUTHORS, list_licences

MUSIC = project_data("presets") / "music"


def test_the_music_is_what_its_ledger_says() -> None:
    tracks = yaml.safe_load((MUSIC / "ledger.yaml").read_text("utf-8"))["tracks"]
    assert sorted(t["file"] for t in tracks) == sorted(p.name for p in MUSIC.glob("*.flac"))
    for track in tracks:
        digest = hashlib.sha256((MUSIC / track["file"]).read_bytes()).hexdigest()
        assert digest == track["sha256"], track["file"]
        assert track["licence"] == "CC0-1.0" and track["author"]


def test_every_font_of_the_project_has_its_licence_beside_it() -> None:
    fonts = [
        p for p in (project_data("presets") / "fonts").rglob("*") if p.suffix in (".ttf", ".otf")
    ]
    assert fonts
    for font in fonts:
        assert "SIL OPEN FONT LICENSE" in (font.parent / "OFL.txt").read_text("utf-8").upper()


def ledger(folder: Path, services, text: str) -> list[tuple]:
    picture(folder / "a.png")
    (folder / "brief.yaml").write_text(text, "utf-8")
    spec = compile_source(find_sources([folder])[0], services)
    return [(r.kind, r.name, r.licence, r.file) for r in list_licences(spec, services)]


def test_all_that_a_video_is_made_of_is_listed(services, tmp_path: Path) -> None:
    folder = tmp_path / "camp" / "one"
    folder.mkdir(parents=True)
    tone(folder / "v.wav", 1)
    found = ledger(
        folder, services, "media: a.png\nbrand: morrow\nhook: One\nvoice: v.wav\nmusic: warm\n"
    )
    assert ("picture", "a.png", AUTHORS, None) in found
    assert ("logo", "morrow/logo.png", "part of the brand kit morrow", None) in found
    assert ("music", "warm", "CC0-1.0", None) in found
    assert ("voice", "v.wav", AUTHORS, None) in found
    assert ("font", "Montserrat 800", "OFL-1.1", "fonts/montserrat/OFL.txt") in found


def test_a_track_of_ones_own_keeps_what_its_author_says(services, tmp_path: Path) -> None:
    folder = tmp_path / "camp" / "two"
    folder.mkdir(parents=True)
    tone(folder / "t.wav", 2)
    found = ledger(
        folder,
        services,
        'media: a.png\nhook: "One"\nmusic: {path: t.wav, licence: "bought, no. 7"}\n',
    )
    assert ("music", "t.wav", "bought, no. 7", None) in found
