"""The picture of docs/brands.md: real frames in which every colour role of a kit is pointed out.

    .venv/bin/python docs/make_brand_picture.py

Each role is found by its colour in a rendered frame, so the picture shows it where it is really
drawn. Writes docs/brand-roles.jpg.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFont

from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.media.images import save_jpeg
from pytoon_pipeline.picture.yuv import planes_to_rgb
from pytoon_pipeline.plan.timeline import frames_of
from pytoon_pipeline.settings import load_settings, project_data
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.segments import render_segments
from pytoon_pipeline.stages.services import Services, open_services

TO = Path(__file__).with_name("brand-roles.jpg")
DEMO = project_data("briefs") / "morrow"
BRAND = "morrow"
WIDTH, GAP, LABEL, RED = 264, 22, 38, "#C8102E"
SCENES: tuple[tuple[str, dict, tuple[str, ...]], ...] = (
    (
        "hero / daylight",
        {
            "archetype": "hero",
            "preset": "daylight",
            "media": ["kettle/front.jpg"],
            "hook": "Slow mornings, well poured",
        },
        ("text",),
    ),
    (
        "its last line",
        {
            "archetype": "hero",
            "preset": "daylight",
            "media": ["kettle/table.jpg"],
            "cta": "Meet the Dawn kettle",
        },
        ("accent", "on_accent"),
    ),
    (
        "overlay / studio",
        {
            "archetype": "overlay",
            "preset": "studio",
            "media": ["candle-offer/candle.png"],
            "hook": "Light the evening",
        },
        ("on_ground", "ground", "ground_deep"),
    ),
    (
        "overlay / spotlight",
        {
            "archetype": "overlay",
            "preset": "spotlight",
            "media": ["candle-offer/candle.png"],
            "hook": "Light the evening",
        },
        ("on_deep", "deep", "deep_low"),
    ),
    (
        "meme / caption",
        {
            "archetype": "meme",
            "preset": "caption",
            "media": ["monday/mugs.jpg"],
            "hook": "Just one cup, I said",
        },
        ("paper", "on_paper"),
    ),
    (
        "its last line",
        {
            "archetype": "meme",
            "preset": "caption",
            "media": ["monday/mugs.jpg"],
            "cta": "Still Monday",
        },
        ("ink",),
    ),
)
"""Title, brief, and the roles that are pointed out in it."""


def frame_of(
    number: int, brief: dict, folder: Path, services: Services
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A frame in which the words are in, uint8 (1920, 1080, 3), and the box they stand in."""
    own = folder / "roles" / f"scene-{number}"
    (path,) = brief["media"]
    (own / path).parent.mkdir(parents=True)
    (own / path).write_bytes((DEMO / path).read_bytes())
    said = {**brief, "brand": BRAND, "music": "none", "end_card": False, "duration": 3}
    (own / "brief.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    (source,) = find_sources([own])
    spec = compile_source(source, services)
    video = assemble_video(spec, render_segments(spec, services, source.key), services, source.key)
    (cue, *_) = spec.captions
    at = frames_of((cue.start + cue.end) / 2, spec.frame_rate)
    return planes_to_rgb(next(read_frames(services.store.local(video.key), at, 1))), cue.box


def place_of(
    colour: str, frame: np.ndarray, area: tuple[int, int, int, int], right: bool
) -> tuple[int, int]:
    """x, y well inside of a patch of a colour in an area of a frame, near one of its sides."""
    x0, y0, x1, y1 = area
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
    away = np.abs(frame.astype(np.float32) - wanted).max(axis=2)
    for tolerance in (8, 14, 22, 32):
        mask = np.pad((away <= tolerance).astype(np.uint8), 1)
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
        inside = inside[y0:y1, x0:x1]
        if inside.max() >= 4:
            ys, xs = np.nonzero(inside >= 0.6 * inside.max())
            best = int((-xs if right else xs).argmin())
            return int(xs[best]) + x0, int(ys[best]) + y0
    raise SystemExit(f"{colour} is not in the frame")


def column(
    title: str,
    frame: np.ndarray,
    words: tuple[int, int, int, int],
    roles: tuple[str, ...],
    colours: dict[str, str],
    fonts: tuple[ImageFont.FreeTypeFont, ImageFont.FreeTypeFont],
    first: int,
) -> Image.Image:
    """A frame with numbers at its roles, and what each is called below."""
    height = WIDTH * 16 // 9
    picture = Image.new("RGB", (WIDTH + GAP, height + 42 + 3 * LABEL), "white")
    small = cv2.resize(frame, (WIDTH, height), interpolation=cv2.INTER_AREA)
    picture.paste(Image.fromarray(small), (0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, WIDTH - 1, height - 1), outline="#C8C2B6")
    draw.text((0, height + 8), title, font=fonts[1], fill="#625E56")

    def disc(x: int, y: int, number: int) -> None:
        draw.ellipse((x - 14, y - 14, x + 14, y + 14), fill="white")
        draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=RED)
        draw.text((x, y), str(number), font=fonts[1], fill="white", anchor="mm")

    for row, role in enumerate(roles):
        # Grounds lie around the words, at different heights; all else is found at the words.
        area = {
            "deep": (500, 900, 980, 1400),
            "deep_low": (60, 60, 300, 300),
            "ground": (500, 100, 980, 400),
            "ground_deep": (500, 1500, 980, 1900),
        }
        right = row == 1 or role in area
        x, y = place_of(colours[role], frame, area.get(role, words), right)
        at = x * WIDTH // 1080, y * WIDTH // 1080
        side = WIDTH - 16 if right else 16
        for width, line in ((5, "white"), (2, RED)):
            draw.line([at, (side, at[1])], fill=line, width=width)
        for radius, fill in ((6, "white"), (4, RED)):
            box = (at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius)
            draw.ellipse(box, fill=fill)
        disc(side, at[1], first + row)
        top = height + 42 + row * LABEL
        disc(13, top + 14, first + row)
        draw.rectangle((36, top, 64, top + 28), fill=colours[role], outline="#8B867B")
        draw.text((74, top + 14), role, font=fonts[0], fill="#1A1916", anchor="lm")
    return picture


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="brand-roles-") as name:
        os.environ["PYTOON_HOME"] = f"{name}/home"
        services = open_services(load_settings())
        colours = services.presets.brand(BRAND).colors
        faces = [services.fonts.require("Inter", weight).path for weight in (700, 500)]
        fonts = ImageFont.truetype(str(faces[0]), 19), ImageFont.truetype(str(faces[1]), 17)
        columns, first = [], 1
        for number, (title, brief, roles) in enumerate(SCENES):
            frame, words = frame_of(number, brief, Path(name), services)
            columns.append(column(title, frame, words, roles, colours, fonts, first))
            first += len(roles)
            print(title, *roles)
    sheet = Image.new(
        "RGB", (GAP + sum(c.width for c in columns), GAP + columns[0].height), "white"
    )
    for number, each in enumerate(columns):
        sheet.paste(each, (GAP + number * (WIDTH + GAP), GAP))
    save_jpeg(np.asarray(sheet), TO, quality=88)
    return 0


if __name__ == "__main__":
    sys.exit(main())
