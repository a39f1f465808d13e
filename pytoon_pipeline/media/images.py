"""Load pictures as arrays in sRGB, and save arrays as JPEG."""

from __future__ import annotations

import io
import math
import os
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np
import pillow_heif
from PIL import Image, ImageCms

from pytoon_pipeline.media.colours import (
    ColourEncoding,
    convert_to_srgb,
    exif_encoding,
    jp2_profile,
    movie_encoding,
    png_encoding,
    profile_encoding,
)
from pytoon_pipeline.media.image_file import image_orientation, open_image
from pytoon_pipeline.media.limits import MAX_IMAGE_PIXELS, MAX_PROFILE_BYTES
from pytoon_pipeline.media.orientation import UPRIGHT

_SRGB = ImageCms.createProfile("sRGB")
# Which colour space a profile must be of to be meant for pixels of a mode.
_PROFILE_SPACE = {
    "RGB": "RGB",
    "RGBA": "RGB",
    "CMYK": "CMYK",
    "L": "GRAY",
    "LA": "GRAY",
    "LAB": "Lab",
}


def load_image(path: str | os.PathLike[str], *, min_side: int | None = None) -> np.ndarray:
    """Return the picture as displayed, sRGB: uint8 (h, w, 3), or (h, w, 4) with straight alpha
    where some pixel is not opaque. The array is read-only.

    It is turned and mirrored as its EXIF data or its boxes say, an embedded colour profile is
    converted to sRGB, 16-bit pictures are scaled to 8. HDR and wide gamuts that a PNG, AVIF or HEIC
    describes by numbers are converted, too: diffuse white, 203 cd/m2, is white, and highlights
    above it are clipped. Of several pictures in one file the primary one is taken. With `min_side`,
    a picture whose smaller side has at least twice as many pixels comes back at a half, third, ...
    of its size, still with at least `min_side`; for a large JPEG that saves most of the time and
    memory.

    Raises UnreadableMediaError.
    """
    with open_image(path) as image:
        if min_side is not None:
            scale = min(1.0, min_side / min(image.size))
            width, height = image.size
            image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))
        image.load()
        profile, encoding = _read_colour_description(Path(path), image)
        # Pillow turns a TIFF by itself.
        orientation = UPRIGHT if image.format == "TIFF" else image_orientation(image)
        plain = _to_plain_mode(image)
        if encoding is not None:
            plain = _from_encoding(Path(path), image, plain, encoding)
        factor = min(plain.size) // min_side if min_side else 1
        if factor > 1:
            plain = plain.reduce(factor)
        plain = convert_profile(plain, profile)
        if plain.mode == "RGBA" and plain.getchannel("A").getextrema()[0] == 255:
            plain = plain.convert("RGB")
        shown = np.ascontiguousarray(orientation.turn_array(np.asarray(plain)))
        shown.setflags(write=False)
        return shown


def _read_colour_description(
    path: Path, image: Image.Image
) -> tuple[bytes | None, ColourEncoding | None]:
    """The profile to be converted from, or else the encoding, of a picture."""
    profile = image.info.get("icc_profile") or None
    if image.format == "JPEG2000":
        profile = jp2_profile(path)
    if profile and len(profile) > MAX_PROFILE_BYTES:
        profile = None
    encoding = None
    if profile:
        encoding = profile_encoding(profile, _profile_name(profile))
    if image.format == "PNG":
        encoding = png_encoding(path, bool(profile)) or encoding
    elif image.format in ("AVIF", "HEIF"):
        said = movie_encoding(path)
        if said is not None and (not profile or said.is_hdr):
            encoding = said
    elif not profile and image.format in ("JPEG", "MPO"):
        encoding = exif_encoding(image.getexif())
    if encoding is None:
        return profile, None
    return None, None if encoding.is_srgb else encoding


def _profile_name(icc: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""


def _from_encoding(
    path: Path, image: Image.Image, plain: Image.Image, encoding: ColourEncoding
) -> Image.Image:
    """The picture in sRGB, from numbers as deep as the file has them: 8 bits are too few for HDR,
    where they span fifty times the light."""
    alpha = plain.getchannel("A") if plain.mode in ("RGBA", "LA") else None
    pixels = _deep_pixels(path, image)
    if pixels is None or pixels.shape[:2] != (plain.height, plain.width):
        pixels = np.asarray(plain.convert("RGB"))
    colour = Image.fromarray(convert_to_srgb(pixels, encoding))
    if alpha is not None:
        colour.putalpha(alpha)
    return colour


def _deep_pixels(path: Path, image: Image.Image) -> np.ndarray | None:
    """uint16 (h, w, 3), as stored, of a picture of more than 8 bits; Pillow gives 8 of them. None
    where there are no more, or they can't be had."""
    try:
        if image.format == "PNG":
            found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
            if found is None or found.dtype != np.uint16:
                return None
            if found.ndim == 2:
                return np.repeat(found[..., None], 3, axis=2)
            return np.ascontiguousarray(found[..., 2::-1])
        if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
            file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
            found = np.asarray(file)
            return found[..., :3] if found.dtype == np.uint16 and found.ndim == 3 else None
        if image.format == "AVIF":
            return _deep_avif(path)
    except (av.FFmpegError, cv2.error, OSError, ValueError, IndexError):
        return None
    return None


def _deep_avif(path: Path) -> np.ndarray | None:
    """An AVIF that is not made of tiles, by ffmpeg's decoder."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2",
        "max_pixels": str(MAX_IMAGE_PIXELS),
    }
    with av.open(f"file:{path}", options=options) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"max_pixels": str(MAX_IMAGE_PIXELS)}
        frame = next(container.decode(stream))
    if max(c.bits for c in frame.format.components) <= 8:
        return None
    graph = av.filter.Graph()
    chain = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        ),
        graph.add(
            "scale",
            flags="bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact",
            out_range="pc",
        ),
        graph.add("format", "gbrp16le"),
        graph.add("buffersink"),
    ]
    for a, b in zip(chain, chain[1:], strict=False):
        a.link_to(b)
    graph.configure()
    graph.push(frame)
    green, blue, red = (
        np.frombuffer(memoryview(p), np.uint16).reshape(p.height, -1)[:, : p.width]
        for p in graph.vpull().planes
    )
    return np.stack([red, green, blue], axis=-1)


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


def _to_plain_mode(image: Image.Image) -> Image.Image:
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


def convert_profile(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Return the picture as RGB or RGBA in sRGB. A profile that is broken or of another colour
    space is ignored."""
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    target = "RGB" if alpha is None else "RGBA"
    if image.mode == "LAB":
        # Its numbers have a meaning of their own; Pillow has no plain conversion for them.
        lab = ImageCms.createProfile("LAB")
        made = ImageCms.profileToProfile(image, lab, _SRGB, outputMode="RGB")
        assert made is not None  # It is only where a picture is converted in place.
        return made
    if not icc:
        return image.convert(target)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip()
        name = ImageCms.getProfileDescription(profile)
        if space != _PROFILE_SPACE[image.mode] or "srgb" in name.lower():
            return image.convert(target)
        colour = image if alpha is None else image.convert("L" if space == "GRAY" else "RGB")
        converted = ImageCms.profileToProfile(colour, profile, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image.convert(target)
    assert converted is not None  # It is only where a picture is converted in place.
    if alpha is not None:
        converted.putalpha(alpha)
    return converted
