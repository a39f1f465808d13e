"""A product comes out as it was photographed: not stretched, not recoloured, not cropped into.

The product carries four magenta marks near its corners. Where they are found on a frame says how
the picture was placed; nothing is asked of the code that placed it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from test_engines import job_of

from pytoon_pipeline.engines.compositor import Compositor
from pytoon_pipeline.picture.yuv import planes_to_rgb, rgb_to_planes
from pytoon_pipeline.plan.segment import MOTIONS, Background, Layout, Motion
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.settings import project_data

FONT = project_data("presets") / "fonts" / "montserrat"
MARK = (230, 30, 220)
SIZE = (600, 800)
SUBJECT = (0.08, 0.30, 0.58, 0.80)
"""The product's place in its picture; not in the middle."""


def product(path: Path, *, transparent: bool = False) -> Path:
    """A jar with a printed label, marks at the corners of its box, on a plain or no ground."""
    width, height = SIZE
    x0, y0, x1, y1 = (round(f * s) for f, s in zip(SUBJECT, SIZE * 2, strict=True))
    y, x = np.mgrid[0:height, 0:width]
    shade = np.stack([150 + x * 0.1, 190 - y * 0.06, 120 + y * 0.08], axis=2)
    rgba = np.concatenate([shade, np.full((height, width, 1), 0 if transparent else 255)], axis=2)
    image = Image.fromarray(rgba.astype(np.uint8), "RGBA")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([x0, y0, x1 - 1, y1 - 1], 24, fill=(214, 120, 60, 255))
    draw.rectangle([x0 + 30, y0 + 120, x1 - 31, y1 - 121], fill=(244, 238, 226, 255))
    font = ImageFont.truetype(str(next(FONT.glob("*.ttf"))), 44)
    draw.text(((x0 + x1) / 2, (y0 + y1) / 2), "FIG & CEDAR", (40, 60, 50, 255), font, anchor="mm")
    for mx in (x0 + 34, x1 - 34):
        for my in (y0 + 34, y1 - 34):
            draw.ellipse([mx - 16, my - 16, mx + 16, my + 16], fill=(*MARK, 255))
    (image if transparent else image.convert("RGB")).save(path)
    return path


def marks(rgb: np.ndarray) -> list[tuple[float, float, float]]:
    """x, y, area of every mark, rows first."""
    r, g, b = (rgb[..., i].astype(int) for i in range(3))
    # How much of a pixel is mark: magenta is what neither ground nor product has.
    share = np.clip((np.minimum(r, b) - g) / (min(MARK[0], MARK[2]) - MARK[1]), 0, 1)
    count, labels = cv2.connectedComponents((share > 0.35).astype(np.uint8))
    found = []
    for n in range(1, count):
        rows, columns = np.nonzero(cv2.dilate((labels == n).astype(np.uint8), np.ones((3, 3))))
        weight = share[rows, columns]
        if weight.sum() > 4:
            found.append(
                (
                    float((columns * weight).sum() / weight.sum()),
                    float((rows * weight).sum() / weight.sum()),
                    float(weight.sum()),
                )
            )
    middle = np.mean([y for _, y, _ in found]) if found else 0
    return sorted(found, key=lambda m: (m[1] > middle, m[0]))


def line(source: list[float], frame: list[float]) -> tuple[float, float]:
    """Scale and shift from places in the source to places on the frame."""
    scale, shift = np.polyfit(source, frame, 1)
    return float(scale), float(shift)


def rgb_of(path: Path) -> np.ndarray:
    image = Image.open(path)
    flat = Image.new("RGB", image.size, (127, 127, 127))
    flat.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    return np.asarray(flat)


def product_job(path: Path, fit: str, motion: str, **changes) -> SegmentJob:
    # As presets do: what stands before a ground has room to move.
    box = (24, 165, 246, 395) if fit in ("frame", "cutout") else None
    return job_of(
        path,
        fit,
        motion,
        head=0,
        tail=0,
        body=10,
        background=Background(kind="color", colors=["#30505A"]),
        layout=Layout(fit=fit, box=box, radius=8, shadow=0.0, subject=SUBJECT),
        **changes,
    )


@pytest.mark.parametrize("fit", ["cover", "contain", "frame", "cutout"])
@pytest.mark.parametrize("transparent", [False, True])
def test_the_pixels_of_a_product_are_those_of_its_picture(
    fit: str, transparent: bool, tmp_path: Path
) -> None:
    path = product(tmp_path / "p.png", transparent=transparent)
    source = rgb_of(path)
    footage = Compositor().render(
        product_job(path, fit, "still"), {"a1": path}, tmp_path, lambda n: None
    )
    frame = planes_to_rgb(footage.at(4)).astype(np.float64)
    theirs, ours = marks(source), marks(frame)
    assert len(theirs) == len(ours) == 4
    sx, tx = line([m[0] for m in theirs], [m[0] for m in ours])
    sy, ty = line([m[1] for m in theirs], [m[1] for m in ours])
    assert abs(sx / sy - 1) < 0.004, f"stretched: {sx:.4f} across, {sy:.4f} down"

    # The picture, scaled once by that factor, in the colours that a 4:2:0 frame can hold.
    size = (round(SIZE[0] * sx), round(SIZE[1] * sy))
    small = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.LANCZOS), np.float32)
    matrix = np.array([[1, 0, tx + 0.5 - sx / 2], [0, 1, ty + 0.5 - sy / 2]])
    placed = cv2.warpAffine(small, matrix, (270, 480), flags=cv2.INTER_LINEAR)
    wanted = planes_to_rgb(rgb_to_planes(np.clip(np.rint(placed), 0, 255).astype(np.uint8)))
    inset = 24 * sx + 2  # clear of the marks, whose colour bleeds
    x0, y0 = (int(v + inset) for v in ours[0][:2])
    x1, y1 = (int(v - inset) for v in ours[3][:2])
    off = frame[y0:y1, x0:x1] - wanted[y0:y1, x0:x1]
    assert off.size > 3000
    assert np.abs(off).mean() < 2, f"{np.abs(off).mean():.2f} levels apart"
    # Of the mean nothing is lost to 4:2:0: against the picture's own colours.
    tint = (frame - placed)[y0:y1, x0:x1].mean(axis=(0, 1))
    assert np.abs(tint).max() < 1, f"recoloured by {tint}"


@pytest.mark.parametrize("fit", ["cover", "contain", "frame", "cutout"])
@pytest.mark.parametrize("motion", MOTIONS)
def test_no_movement_crops_into_the_declared_subject(fit: str, motion: str, tmp_path: Path) -> None:
    path = product(tmp_path / "p.png", transparent=fit == "cutout")
    theirs = marks(rgb_of(path))
    job = product_job(path, fit, motion).model_copy(
        update={"motion": Motion(kind=motion, amount=0.18, focus=(0.5, 0.5))}
    )
    footage = Compositor().render(job, {"a1": path}, tmp_path, lambda n: None)
    for index in range(job.count):
        ours = marks(planes_to_rgb(footage.at(index)))
        assert len(ours) == 4, f"frame {index}: {len(ours)} of 4 corners are seen"
        sx, tx = line([m[0] for m in theirs], [m[0] for m in ours])
        sy, ty = line([m[1] for m in theirs], [m[1] for m in ours])
        assert abs(sx / sy - 1) < 0.01, f"frame {index}: stretched"
        x0, y0, x1, y1 = (f * s for f, s in zip(SUBJECT, SIZE * 2, strict=True))
        edges = sx * x0 + tx, sy * y0 + ty, sx * x1 + tx - 270, sy * y1 + ty - 480
        assert min(edges[:2]) > -1.5 and max(edges[2:]) < 1.5, f"frame {index}: cropped {edges}"
