"""The gallery shows every preset there is."""

from __future__ import annotations

import re
from pathlib import Path

import cv2

from pytoon_pipeline.compiler.presets import PresetLibrary
from pytoon_pipeline.settings import project_data

DOCS = Path(__file__).parent.parent / "docs"


def test_every_preset_is_in_the_gallery() -> None:
    looks = PresetLibrary(project_data("presets")).presets()
    shown = re.findall(r"\]\(gallery/([^)]+)\.jpg\)", (DOCS / "gallery.md").read_text("utf-8"))
    wanted = {f"{archetype}-{name}" for archetype, named in looks.items() for name in named}
    assert set(shown) == wanted, "run docs/make_gallery.py"
    for name in wanted:
        path = DOCS / "gallery" / f"{name}.jpg"
        assert path.stat().st_size <= 120_000
        height, width = cv2.imread(str(path)).shape[:2]
        assert (height, width) == (480, 4 * 270 + 3 * 6), "four frames side by side"
    assert {p.stem for p in (DOCS / "gallery").iterdir()} == wanted
