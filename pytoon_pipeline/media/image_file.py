"""Open picture files with Pillow, within the limits of the program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from pytoon_pipeline.media.kinds import HEAD_BYTES
from pytoon_pipeline.media.limits import MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE, MAX_TEXT_BYTES
from pytoon_pipeline.media.orientation import ORIENTATION_TAG, Orientation, exif_orientation
from pytoon_pipeline.media.sniff import EXPORT_REMEDY, sniff_kind
from pytoon_pipeline.media.unreadable import (
    UnreadableMediaError,
    corrupt_media_error,
    is_defect,
    media_too_large_error,
    out_of_memory_error,
)

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF", "JPEG2000")

# Our own limit holds before a pixel is decoded; Pillow's is a warning, which nobody would read and
# which can't be silenced per thread.
Image.MAX_IMAGE_PIXELS = None
# A picture that breaks off is an error, whatever another library set.
ImageFile.LOAD_TRUNCATED_IMAGES = False
PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
# One for each core otherwise, and each has memory of its own.
AvifImagePlugin.DEFAULT_MAX_THREADS = 2
# HEIC, what phones write. Of its parts only the picture is wanted.
pillow_heif.register_heif_opener(
    decode_threads=2, thumbnails=False, depth_images=False, aux_images=False
)


@contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open a picture with Pillow and yield it before its pixels are decoded, its size checked
    against `MAX_IMAGE_PIXELS` and `MAX_IMAGE_SIDE`.

    Any failure inside the block raises UnreadableMediaError, except for defects of this program
    (`is_defect`).
    """
    path = Path(path)
    try:
        with open(path, "rb") as f, Image.open(f, formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_IMAGE_PIXELS:
                raise media_too_large_error(
                    f"{path.name} has {width}x{height} pixels ({width * height / 1e6:.0f} "
                    f"megapixels); {MAX_IMAGE_PIXELS / 1e6:.0f} megapixels are the most.",
                    "Scale it down; a frame has 2 megapixels.",
                )
            if image.format == "TIFF" and _holds_preview(image):
                raise UnreadableMediaError(
                    "media.not_media",
                    f"{path.name} is a camera's raw file (DNG, NEF, ARW, ...), of which only a "
                    "small preview could be shown.",
                    EXPORT_REMEDY,
                )
            if max(width, height) > MAX_IMAGE_SIDE:
                raise media_too_large_error(
                    f"{path.name} is {width}x{height} pixels; {MAX_IMAGE_SIDE:,} a side are the "
                    "most.",
                    "Cut out the part that is wanted.",
                )
            yield image
    except UnreadableMediaError:
        raise
    except MemoryError as e:
        raise out_of_memory_error(path) from e
    except FileNotFoundError as e:
        raise UnreadableMediaError(
            "media.missing", f"{path.name} is not there.", "Check the file's name."
        ) from e
    except UnidentifiedImageError as e:
        if (found := _known_kind(path)) is not None:
            raise UnreadableMediaError(
                "media.not_media",
                f"{path.name} is damaged, or a {found} of a kind that can't be read here.",
                EXPORT_REMEDY,
            ) from e
        raise corrupt_media_error(path, "it is not a picture that can be read") from e
    except Exception as e:
        # Pillow's plugins raise nearly anything on broken data: OSError, SyntaxError, ValueError,
        # EOFError, IndexError, struct.error, zlib.error.
        if is_defect(e):
            raise
        raise corrupt_media_error(path, e) from e


def _holds_preview(image: Image.Image) -> bool:
    """Is the first picture of a TIFF a reduced one of what lies behind it (TIFF 6.0, tag 254), as
    in the raw files of cameras? DNG has a tag of its own (50706)."""
    tags = getattr(image, "tag_v2", {})
    behind = 330 in tags or getattr(image, "n_frames", 1) > 1
    return 50706 in tags or bool(int(tags.get(254) or 0) & 1 and behind)


def _known_kind(path: Path) -> str | None:
    """The picture format that a file's first bytes name."""
    try:
        with open(path, "rb") as file:
            found = sniff_kind(file.read(HEAD_BYTES))
    except OSError:
        return None
    return found if found in IMAGE_FORMATS else None


def image_orientation(image: Image.Image) -> Orientation:
    """Return how an opened picture is turned for display. For HEIC the decoder has already applied
    its boxes (`irot`, `imir`); for AVIF they come as EXIF data."""
    return exif_orientation(image.getexif().get(ORIENTATION_TAG, 1))
