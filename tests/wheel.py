"""`make test-wheel`: the wheel, installed as a person does it, and a first video made with it.

The wheel is built and installed, with the newest of everything that it allows and no constraints,
into a fresh environment of every Python from 3.11 up that is found on the path or under pyenv.
There, in an empty folder, `pytoon new x && pytoon render x` is called, then `pytoon doctor`; the
video must pass all of its checks, and no file where it is installed may have changed. One line is
printed for each Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST = (3, 11)
TOLD_OF = (3, 14)
"""From this one on a Python that packages have no wheels for yet is passed over, and said."""
SHOWN = ("av", "numpy", "opencv-python-headless", "pillow", "pydantic", "dagster")


@dataclass(frozen=True)
class Python:
    path: Path
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


class Failed(Exception):
    """A step did not work; holds its last lines."""


class NotInstalled(Failed):
    """The packages can't be had for that Python."""


def find_pythons() -> list[Python]:
    """Each version once, lowest first."""
    names = ["python3", *(f"python3.{minor}" for minor in range(LEAST[1], 30))]
    folders = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep) if p]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders += [p / "bin" for p in sorted(pyenv.glob("*"))]
    # pyenv's shims are no Pythons of their own.
    places = [f / n for f in folders if f.name != "shims" for n in names if (f / n).is_file()]
    found: dict[tuple[int, int, int], Python] = {}
    for place in places:
        asked = "import sys; print(*sys.version_info[:3], sys.prefix != sys.base_prefix)"
        said = subprocess.run(
            [str(place), "-c", asked], capture_output=True, text=True, check=False
        )
        words = said.stdout.split()
        if said.returncode or len(words) != 4 or words[3] == "True":
            continue  # Broken, or an environment of another Python.
        version = (int(words[0]), int(words[1]), int(words[2]))
        if version >= LEAST:
            found.setdefault(version, Python(place, version))
    return [found[v] for v in sorted(found)]


def run(*command: object, cwd: Path, env: dict[str, str], seconds: float = 1200) -> str:
    """What it prints. Raises Failed."""
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Failed("\n".join([f"{Path(str(command[0])).name} ...", *lines[-15:]]))
    return done.stdout


def plain_environment() -> dict[str, str]:
    refused = ("PYTOON_", "DAGSTER_", "PYTHON", "VIRTUAL_ENV", "PIP_CONSTRAINT")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(refused)}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}


def listing(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def try_python(python: Python, wheel: Path, folder: Path) -> str:
    """A first video, made with that Python. Returns the rest of its line. Raises Failed."""
    env, place = plain_environment(), folder / "env"
    run(python.path, "-m", "venv", place, cwd=folder, env=env)
    began = time.monotonic()
    pip = [place / "bin/python", "-m", "pip", "--disable-pip-version-check"]
    try:
        run(*pip, "install", "--quiet", "--prefer-binary", wheel, cwd=folder, env=env)
    except Failed as error:
        raise NotInstalled(str(error)) from None
    installed = time.monotonic() - began
    ask = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    found = run(place / "bin/python", "-c", ask, *SHOWN, cwd=folder, env=env).split()
    versions = ", ".join(f"{n} {v}" for n, v in zip(SHOWN, found, strict=True))
    [site] = (place / "lib").glob("python3*/site-packages")
    before = listing(site)
    work = folder / "empty"
    work.mkdir()
    began = time.monotonic()
    run(place / "bin/pytoon", "new", "x", cwd=work, env=env)
    told = run(place / "bin/pytoon", "render", "x", cwd=work, env=env)
    rendered = time.monotonic() - began
    videos = [p for p in (work / ".pytoon/store/videos").rglob("video.mp4") if p.stat().st_size]
    if len(videos) != 1:
        raise Failed(f"there are {len(videos)} videos, not one")
    passed = re.search(r"(\d+) of (\d+) checks passed", told)
    if not passed or passed[1] != passed[2]:
        raise Failed(f"the video does not pass all of its checks\n{told}")
    run(place / "bin/pytoon", "doctor", cwd=work, env=env)
    if listing(site) != before:
        raise Failed("files where it is installed have changed")
    return (
        f"installed in {installed:.0f} s, first video in {rendered:.0f} s, {passed[0]}, "
        f"no installed file changed; {versions}"
    )


def main() -> int:
    pythons = find_pythons()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pytoon-wheel-") as name:
        folder = Path(name)
        run(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--wheel-dir",
            folder,
            ROOT,
            cwd=folder,
            env=plain_environment(),
        )
        [wheel] = folder.glob("*.whl")
        print(f"{wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB", flush=True)
        for python in pythons:
            own = folder / str(python)
            own.mkdir()
            try:
                print(f"Python {python}: {try_python(python, wheel, own)}", flush=True)
            except Failed as error:
                if python.version >= TOLD_OF and isinstance(error, NotInstalled):
                    print(f"Python {python}: skipped, not all packages have wheels for it yet")
                    continue
                failed += 1
                print(f"Python {python} ({python.path}): FAILED\n{error}", flush=True)
            finally:
                shutil.rmtree(own, ignore_errors=True)
    print(f"{len(pythons)} Pythons, {failed} failed.")
    return 1 if failed or not pythons else 0


if __name__ == "__main__":
    sys.exit(main())
