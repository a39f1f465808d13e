"""Pictures in and out, as arrays."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from pytoon_pipeline.media.limits import MAX_PROFILE_BYTES
from pytoon_pipeline.media.probe import open_image

_SRGB = ImageCms.createProfile("sRGB")
# Which colour space a profile must be of to be meant for pixels of a mode.
_PROFILE_SPACE = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY", "LA": "GRAY"}


def load_image(path: str | os.PathLike[str], *, min_side: int | None = None) -> np.ndarray:
    """The picture as displayed, sRGB: uint8 (h, w, 3), or (h, w, 4) with straight alpha where some
    pixel is not opaque. The array is read-only.

    EXIF orientation is applied, an embedded colour profile is converted to sRGB, 16-bit pictures
    are scaled to 8. With `min_side`, a picture whose smaller side has at least twice as many pixels
    comes back at a half, third, ... of its size, still with at least `min_side`; for a large JPEG
    that saves most of the time and memory.

    Raises UnreadableMedia.
    """
    with open_image(path) as image:
        if min_side is not None:
            scale = min(1.0, min_side / min(image.size))
            image.draft(None, tuple(math.ceil(side * scale) for side in image.size))
        image.load()
        profile = image.info.get("icc_profile")
        orientation = image.getexif().get(0x0112, 1)
        plain = _plain(image)
        factor = min(plain.size) // min_side if min_side else 1
        if factor > 1:
            plain = plain.reduce(factor)
        plain = _to_srgb(plain, profile)
        plain.getexif()[0x0112] = orientation
        ImageOps.exif_transpose(plain, in_place=True)
        if plain.mode == "RGBA" and plain.getchannel("A").getextrema()[0] == 255:
            plain = plain.convert("RGB")
        return np.asarray(plain)


def save_jpeg(rgb: np.ndarray, path: str | os.PathLike[str], quality: int = 90) -> None:
    """Write an RGB picture, uint8 (h, w, 3), as a JPEG: equal pixels give equal bytes.

    Chroma is kept whole (4:4:4), for the sake of coloured letters.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(rgb).save(
            temporary, format="JPEG", quality=quality, subsampling=0, optimize=True
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _plain(image: Image.Image) -> Image.Image:
    """The picture in one of the modes of `_PROFILE_SPACE`, nothing clipped."""
    if image.mode.startswith(("I", "F")):
        # 16-bit grey and what is wider. Pillow's own conversion to L clips at 255.
        grey = _scale_to_bytes(np.asarray(image))
        return Image.fromarray(grey)
    if image.has_transparency_data:
        return image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    if image.mode in _PROFILE_SPACE:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scale_to_bytes(grey: np.ndarray) -> np.ndarray:
    """Whole 0..65535 as stored for 16 bits; wider integers and floats by their own largest value
    (floats up to 1.0 mean 0..1), for there is no agreement about theirs."""
    if grey.dtype == np.uint16:
        white = 65535.0
    else:
        largest = float(grey.max(initial=0))
        floats = np.issubdtype(grey.dtype, np.floating)
        white = (1.0 if floats else 65535.0) if largest <= (1.0 if floats else 65535.0) else largest
    scaled = np.nan_to_num(grey.astype(np.float32)) * np.float32(255 / white)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """RGB or RGBA in sRGB. A profile that is broken or of another colour space is left out."""
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    target = "RGB" if alpha is None else "RGBA"
    if not icc or len(icc) > MAX_PROFILE_BYTES:
        return image.convert(target)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip()
        name = ImageCms.getProfileDescription(profile)
        if space != _PROFILE_SPACE[image.mode] or "srgb" in name.lower():
            return image.convert(target)
        colour = image if alpha is None else image.convert("L" if space == "GRAY" else "RGB")
        colour = ImageCms.profileToProfile(colour, profile, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert(target)
    assert colour is not None
    if alpha is not None:
        colour.putalpha(alpha)
    return colour
