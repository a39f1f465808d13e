"""`pytoon doctor`: it must find what is broken, and what to do about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pytoon_pipeline.cli import app
from pytoon_pipeline.settings import project_data


def doctor(*args: str):
    result = CliRunner().invoke(app, ["doctor", *args], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def findings() -> tuple[int, dict[str, dict]]:
    result = doctor("--json")
    said = json.loads(result.stdout)
    assert said["ok"] == (result.exit_code == 0)
    return result.exit_code, {f["name"]: f for f in said["findings"]}


def test_a_whole_install_is_well(settings):
    code, found = findings()
    assert code == 0
    assert not [f for f in found.values() if f["state"] == "fail"]
    assert {
        "pytoon",
        "ffmpeg",
        "encoding",
        "clips",
        "pictures",
        "presets",
        "fonts",
        "text",
        "store",
        "dagster",
        "engine compositor",
        "credentials",
    } <= set(found)
    assert "Inter" in found["fonts"]["detail"] and "BudouX" in found["text"]["detail"]
    scripts = found["scripts"]["detail"]
    assert "Latin, Greek, Cyrillic: Inter" in scripts and "emoji: Noto Color Emoji" in scripts
    assert all(f"{s}: Noto Sans {s}" in scripts for s in ("Arabic", "Hebrew", "Devanagari"))
    assert "GB free" in found["store"]["detail"]
    words = doctor()
    assert words.exit_code == 0 and "Ready to render." in words.stdout
    assert all(name in words.stdout for name in found)


def test_an_ffmpeg_that_does_not_work(settings, monkeypatch):
    monkeypatch.setenv("PYTOON_FFMPEG", "/bin/false")
    code, found = findings()
    assert code == 1 and found["ffmpeg"]["state"] == "fail"
    assert "PYTOON_FFMPEG" in found["ffmpeg"]["remedy"]
    words = doctor().stdout
    assert "FAIL" in words and "-> Unset PYTOON_FFMPEG" in words


def test_an_ffmpeg_without_x264(settings, monkeypatch, tmp_path):
    """Asking for a version is not enough: it has to encode."""
    from pytoon_pipeline.media import ffmpeg

    poor = tmp_path / "ffmpeg"
    poor.write_text(
        f'#!/bin/sh\ncase "$*" in *libx264*) echo "Unknown encoder libx264" >&2; exit 1;; esac\n'
        f'exec "{ffmpeg.find_executable()}" "$@"\n'
    )
    poor.chmod(0o755)
    monkeypatch.setenv("PYTOON_FFMPEG", str(poor))
    result = doctor("--json")
    said = [f for f in json.loads(result.stdout)["findings"] if f["state"] == "fail"]
    assert result.exit_code == 1
    assert [f["name"] for f in said] == ["ffmpeg"] and "Unknown encoder" in said[0]["detail"]


def test_a_store_that_is_a_file(settings, monkeypatch, tmp_path):
    (tmp_path / "taken").write_text("x")
    monkeypatch.setenv("PYTOON_STORE", str(tmp_path / "taken"))
    code, found = findings()
    assert code == 1 and found["store"]["state"] == "fail" and found["store"]["remedy"]
    assert found["encoding"]["state"] == "ok"  # One fault does not hide the rest.


def test_a_home_that_is_a_file(settings, monkeypatch, tmp_path):
    (tmp_path / "taken").write_text("x")
    monkeypatch.setenv("PYTOON_HOME", str(tmp_path / "taken"))
    code, found = findings()
    assert code == 1
    assert found["dagster"]["state"] == found["store"]["state"] == "fail"


@pytest.fixture
def carried(settings, monkeypatch, tmp_path) -> Path:
    """The presets that Pytoon carries, to be damaged."""
    shutil.copytree(project_data("presets"), tmp_path / "data" / "presets")
    monkeypatch.setenv("PYTOON_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "presets"


def test_a_font_that_presets_need(carried):
    shutil.rmtree(carried / "fonts" / "anton")
    code, found = findings()
    assert code == 1 and found["fonts"]["detail"] == "no Anton"


def test_a_broken_preset_and_a_lost_track(carried):
    lost = next((carried / "music").glob("*.flac"))
    lost.unlink()
    code, found = findings()
    assert code == 1 and lost.name in found["presets"]["detail"]
    (carried / "hero" / "bold.yaml").write_text("title: Bold\n")
    code, found = findings()
    assert code == 1 and "bold.yaml" in found["presets"]["detail"]


def test_a_wrong_setting(settings, monkeypatch):
    monkeypatch.setenv("PYTOON_LOG", "loud")
    result = doctor()
    assert result.exit_code == 2 and "PYTOON_LOG" in result.stderr
    result = doctor("--json")
    assert result.exit_code == 2
    assert "PYTOON_LOG" in json.loads(result.stdout)["findings"][0]["detail"]
