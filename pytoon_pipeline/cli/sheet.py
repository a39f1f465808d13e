"""`pytoon sheet`: frames of a video on one picture."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.text import Text

from pytoon_pipeline.cli.files import cannot_write
from pytoon_pipeline.cli.terminal import OK, open_console, settings_and_logs
from pytoon_pipeline.compiler.presets import open_presets
from pytoon_pipeline.errors import MediaError, Problem, UserError
from pytoon_pipeline.media.clips import ClipFrames
from pytoon_pipeline.media.images import save_jpeg
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.picture.yuv import make_planes, planes_to_rgb
from pytoon_pipeline.stages.services import open_fonts

FRAME_WIDTH, MARGIN, BAND = 270, 10, 26
"""Pixels: of a frame on the sheet, between frames, of the line with its time."""
_GROUND, _INK, _ZONE = (24, 24, 26), (235, 235, 235), (255, 64, 160)


def frames_at(path: Path, count: int) -> Iterator[tuple[Fraction, int, np.ndarray]]:
    """`count` frames spread evenly over a clip, first and last among them, or all where it has
    fewer: second, number, RGB picture `FRAME_WIDTH` wide.

    Raises UnreadableMediaError, or MediaError when there is nothing to see.
    """
    info = probe_media(path)
    if info.kind != "video" or not info.width or not info.height:
        raise MediaError(f"{path.name} is {'a picture' if info.kind == 'image' else 'sound only'}.")
    rate = info.frame_rate or Fraction(30)
    frames = max(1, info.frames or int((info.seconds or 0) * rate))
    size = FRAME_WIDTH, max(2, round(FRAME_WIDTH * info.height / info.width / 2) * 2)
    count = min(count, frames)
    for i in range(count):
        number = (frames - 1) * i // max(1, count - 1)
        found = next(iter(ClipFrames(path, size, rate, start=number, count=1, loop=False)))
        yield number / rate, number, planes_to_rgb(make_planes(found))


def write_contact_sheet(
    video: Path, output: Path, *, columns: int, frames: int, safe_zone: str | None
) -> int:
    """Write the sheet as a JPEG. Raises UserError for a wrong call."""
    settings = settings_and_logs()
    library = open_presets(*settings.presets_dirs)
    profiles = library.facts().profiles
    if safe_zone is not None and safe_zone not in profiles:
        raise UserError(
            Problem(
                "call.platform",
                f"{safe_zone!r} is not a platform.",
                f"Known: {', '.join(profiles)}.",
                field="--safe-zone",
            )
        )
    if output.suffix.lower() not in (".jpg", ".jpeg"):
        raise UserError(
            Problem(
                "call.kind",
                f"{output} does not end in .jpg.",
                "A sheet is a JPEG.",
                field="--output",
            )
        )
    if not video.is_file():
        raise UserError(Problem("call.missing", "is not a file.", "Name a video.", file=str(video)))
    try:
        taken = list(frames_at(video, frames))
    except MediaError as error:
        raise UserError(
            Problem(
                getattr(error, "code", "media.not_media"),
                getattr(error, "message", str(error)),
                getattr(error, "remedy", "Name a video."),
                file=str(video),
            )
        ) from error
    height, width = taken[0][2].shape[:2]
    if safe_zone and abs(width / height - 9 / 16) > 0.01:
        raise UserError(
            Problem(
                "call.shape",
                "is not 9:16, and safe zones are those of vertical videos.",
                "Leave --safe-zone out.",
                file=str(video),
                field="--safe-zone",
            )
        )
    box = profiles[safe_zone].clear_box if safe_zone else None
    face = open_fonts(settings, system=False).require("Inter", 500)
    made = _lay_out(taken, columns, box, ImageFont.truetype(str(face.path), 15))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        save_jpeg(np.asarray(made), output)
    except OSError as error:
        raise cannot_write(output, error) from error
    open_console().print(Text(f"Wrote {output}: {len(taken)} frames"), soft_wrap=True)
    return OK


def _lay_out(
    taken: list[tuple[Fraction, int, np.ndarray]],
    columns: int,
    box: tuple[int, int, int, int] | None,
    font: ImageFont.FreeTypeFont,
) -> Image.Image:
    columns = min(columns, len(taken))
    rows = -(-len(taken) // columns)
    tall = taken[0][2].shape[0]
    page = Image.new(
        "RGB",
        (MARGIN + columns * (FRAME_WIDTH + MARGIN), MARGIN + rows * (tall + BAND + MARGIN)),
        _GROUND,
    )
    draw = ImageDraw.Draw(page)
    for i, (second, number, picture) in enumerate(taken):
        x = MARGIN + i % columns * (FRAME_WIDTH + MARGIN)
        y = MARGIN + i // columns * (tall + BAND + MARGIN)
        page.paste(Image.fromarray(picture), (x, y))
        if box:
            # Boxes speak of a frame of 1080x1920.
            x0, y0, x1, y1 = (v * FRAME_WIDTH / 1080 for v in box)
            draw.rectangle((x + x0, y + y0, x + x1, y + y1), outline=_ZONE, width=2)
        minutes, rest = divmod(float(second), 60)
        label = f"{minutes:02.0f}:{rest:05.2f}   frame {number}"
        draw.text((x + 2, y + tall + 4), label, _INK, font)
    return page
