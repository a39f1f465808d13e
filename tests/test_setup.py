"""How a checkout is set up: what is installed for what, and what is said before the system is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import needs
import pytest
from shipped import ROOT

SCRIPT = ROOT / "tests" / "ensure_programs.sh"


def make(target: str, venv: Path) -> str:
    """The commands that `make` would run."""
    done = subprocess.run(
        ["make", "--dry-run", target, f"VENV={venv}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_demo_installs_only_what_rendering_needs(tmp_path: Path):
    venv = tmp_path / "env"
    assert "--editable ." in make("demo", venv) and ".[dev]" not in make("demo", venv)
    assert "--editable '.[dev]'" in make("test", venv)
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    (venv / ".installed-runtime").touch()
    assert "--editable" not in make("demo", venv)
    assert "--editable '.[dev]'" in make("test", venv)  # It is added to, not made anew.
    assert " -m venv" not in make("test", venv)
    (venv / ".installed-tests").touch()
    assert "--editable" not in make("test", venv)


@pytest.fixture
def machine(tmp_path: Path):
    """The script on a machine without Redis and browsers: as root or not, with `environment`."""
    tools, own = tmp_path / "tools", tmp_path / "own"
    for folder in (tools, own):
        folder.mkdir()
    for name in ("sh", "timeout"):
        (tools / name).symlink_to(shutil.which(name) or "/bin/false")
    (own / "python").write_text("#!/bin/sh\nexit 1\n")
    (tools / "apt-get").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n')

    def call(what: str, root: bool, **environment: str) -> tuple[int, str, str]:
        (tools / "id").write_text(f"#!/bin/sh\necho {0 if root else 1000}\n")
        for path in (own / "python", tools / "apt-get", tools / "id"):
            path.chmod(0o755)
        done = subprocess.run(
            ["sh", str(SCRIPT), str(own), what],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": str(tools), **environment},
            cwd=ROOT,
        )
        asked = tmp_path / "asked"
        said = asked.read_text() if asked.exists() else ""
        asked.unlink(missing_ok=True)
        return done.returncode, done.stdout + done.stderr, said

    return call


@pytest.mark.parametrize(
    ("what", "package"),
    [("redis", "redis-server"), ("nginx", "nginx-light"), ("browser", "chromium")],
)
def test_the_system_is_only_touched_where_it_may_be_and_after_a_line(machine, what, package):
    code, said, asked = machine(what, root=True)
    assert code == 0 and f"install -y -qq --no-install-recommends {package}" in asked
    assert said.startswith(f"About to install the Debian package {package} on this system")
    for refused in ({"root": False}, {"root": True, "SYSTEM_PACKAGES": "no"}):
        code, said, asked = machine(what, **refused)
        assert code == 0 and not asked and "are skipped" in said
        code, said, asked = machine(what, CI="true", **refused)
        assert code == 1 and not asked and "In CI that is a failure" in said


def test_what_is_missing_skips_with_the_reason_and_fails_in_ci(monkeypatch):
    monkeypatch.setattr(needs, "find_program", lambda *names: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a Redis server: install"):
        needs.need_redis()
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="needs a Redis server: install"):
        needs.need_redis()


def test_programs_of_the_tests_own_python_come_first(tmp_path: Path, monkeypatch):
    (tmp_path / "python").touch()
    for folder in (tmp_path, tmp_path / "elsewhere"):
        folder.mkdir(exist_ok=True)
        (folder / "redis-server").write_text("#!/bin/sh\n")
        (folder / "redis-server").chmod(0o755)
    monkeypatch.setattr(needs.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'elsewhere'}{os.pathsep}{os.environ['PATH']}")
    assert needs.need_redis() == str(tmp_path / "redis-server")
