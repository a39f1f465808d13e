"""Every preset draws what it drew when a person last looked at it.

`PYTOON_WRITE_GOLDEN=1 pytest tests/test_golden.py` draws the frames anew: look at them before you
keep them. Other builds of OpenCV, FreeType or HarfBuzz differ by less than the tolerances; a
caption moved by three pixels, another colour or a stretched picture differ by more.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pytoon_pipeline.compiler.compile import compile_file
from pytoon_pipeline.compiler.draft import CompileContext
from pytoon_pipeline.compiler.presets import DEFAULT_PRESET, PresetLibrary
from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.segment_jobs import segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.settings import project_data
from pytoon_pipeline.stages.finishing import SegmentFinishing

GOLDEN = Path(__file__).parent / "golden"
MEDIA = project_data("briefs") / "morrow"
LIBRARY = PresetLibrary(project_data("presets"))
FONTS = FontLibrary([project_data("presets") / "fonts"])

MIN_MEAN_SSIM = 0.97
"""Structural similarity (Wang et al., 2004) of luma, over the whole picture."""
MIN_LOCAL_SSIM = 0.80
"""The same, where it is least: the mean of a square of 31 pixels."""
MAX_COLOUR = 6.0
"""Difference of the mean R, G or B, of 255, of the square of 31 pixels that differs most."""

SCENES: dict[str, list[dict]] = {
    "hero": [
        {"media": "kettle/front.jpg", "text": "Slow mornings"},
        {"media": "kettle/wide.jpg", "text": "Meet the Dawn", "text_style": "cta"},
    ],
    "overlay": [
        {"media": "candle-offer/candle.png", "text": "Light the evening"},
        {"media": "candle-offer/pair.jpg", "text": "30% off the pair", "text_style": "cta"},
    ],
    "meme": [
        {"media": "monday/cactus.jpg", "text": "Me before the first coffee"},
        {"media": "monday/mugs.jpg", "text": "just one more, they said", "text_style": "cta"},
    ],
}


@dataclass(frozen=True)
class Likeness:
    mean_ssim: float
    local_ssim: float
    colour: float

    @property
    def close(self) -> bool:
        return (
            self.mean_ssim >= MIN_MEAN_SSIM
            and self.local_ssim >= MIN_LOCAL_SSIM
            and self.colour <= MAX_COLOUR
        )


def likeness(a: np.ndarray, b: np.ndarray) -> Likeness:
    """How alike two RGB pictures look."""
    x, y = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float64) for p in (a, b))

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ssim = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    # Edges that lie a little elsewhere are the other measure's: here only mean colours count.
    off = np.abs(cv2.blur(a.astype(np.float64) - b, (31, 31)))
    return Likeness(
        float(ssim.mean()),
        float(cv2.blur(ssim, (31, 31)).min()),
        float(off.max()),
    )


def drawn(archetype: str, preset: str, folder: Path) -> np.ndarray:
    """Two frames of a preset side by side, RGB (480, 540, 3): three quarters through each of two
    segments, before anything is encoded."""
    spec = {
        "archetype": archetype,
        "preset": preset,
        "brand": "morrow",
        "resolution": "270x480",
        "segments": [{**scene, "duration": 2, "transition": "cut"} for scene in SCENES[archetype]],
        "audioTrack": False,
    }
    plan = folder / "render_spec.json"
    plan.write_text(json.dumps(spec), encoding="utf-8")
    compiled = compile_file(plan, MEDIA, "spec", plan.name, CompileContext(LIBRARY, FONTS))
    assert compiled.plan, [str(p) for p in compiled.problems]
    frames = []
    for job in segment_jobs(compiled.plan, build_timeline(compiled.plan)):
        files = {a.id: compiled.files[a.id] for a in job.all_assets}
        footage = Compositor().render(job, files, folder, lambda n: None)
        wanted = job.count * 3 // 4
        seen = islice(SegmentFinishing(job, FONTS, files).over(footage), wanted, None)
        frames.append(planes_to_rgb(next(seen)))
    return np.hstack(frames)


def golden(name: str) -> np.ndarray:
    return np.asarray(Image.open(GOLDEN / f"{name}.jpg").convert("RGB"))


PRESETS = [(a, p) for a in sorted(DEFAULT_PRESET) for p in LIBRARY.preset_names(a)]


@pytest.mark.parametrize(("archetype", "preset"), PRESETS)
def test_a_preset_looks_as_it_did(archetype: str, preset: str, tmp_path: Path) -> None:
    name = f"{archetype}-{preset}"
    frame = drawn(archetype, preset, tmp_path)
    if os.environ.get("PYTOON_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        Image.fromarray(frame).save(GOLDEN / f"{name}.jpg", quality=93, subsampling=0)
    assert (GOLDEN / f"{name}.jpg").is_file(), "draw it with PYTOON_WRITE_GOLDEN=1, and look at it"
    found = likeness(frame, golden(name))
    if not found.close:
        Image.fromarray(frame).save(tmp_path / f"{name}.png")
    assert found.close, f"{found}; drawn: {tmp_path}/{name}.png"


def test_no_golden_frame_is_left_over() -> None:
    assert {p.stem for p in GOLDEN.iterdir()} == {f"{a}-{p}" for a, p in PRESETS}


def shifted(picture: np.ndarray, dx: float, dy: float = 0.0, scale: float = 1.0) -> np.ndarray:
    matrix = np.array([[scale, 0, dx], [0, 1.0, dy]])
    size = picture.shape[1::-1]
    return cv2.warpAffine(
        picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def moved_words(picture: np.ndarray) -> np.ndarray:
    """The words of the meme (they stand on plain white), three pixels to the right."""
    out = picture.copy()
    out[70:140, :270] = shifted(picture[70:140, :270], 3)
    return out


def other_colour(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture.astype(int) + [9, 0, -9], 0, 255).astype(np.uint8)


def coded(picture: np.ndarray) -> np.ndarray:
    """As another encoder would give it back."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    ("change", "close"),
    [
        (lambda p: p, True),
        (coded, True),
        (lambda p: np.clip(p.astype(int) + 2, 0, 255).astype(np.uint8), True),
        (lambda p: shifted(p, 0.15, 0.15), True),
        (moved_words, False),
        (other_colour, False),
        (lambda p: shifted(p, 0, scale=1.02), False),
        (lambda p: shifted(p, 2), False),
    ],
)
def test_the_tolerance_tells_builds_from_faults(change, close: bool) -> None:
    picture = golden("meme-modern")
    found = likeness(np.ascontiguousarray(change(picture)), picture)
    assert found.close == close, found
