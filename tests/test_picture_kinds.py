"""Pictures of every kind that phones, cameras and programs write: their colours and their turn."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms
from test_spec import SHOP

from pytoon_pipeline.cli.new import brief_text
from pytoon_pipeline.compiler.compile import compile_file
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.images import load_image
from pytoon_pipeline.media.kinds import suffix_of
from pytoon_pipeline.media.orientation import exif_orientation
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError

CASES = Path(__file__).parent / "fixtures/cases/pictures"
RED, GREEN, BLUE, YELLOW = (212, 40, 40), (31, 150, 70), (40, 70, 200), (235, 194, 40)
SIDE = 16
"""Pixels of a square of colour."""


def squares() -> np.ndarray:
    """Thirty colours, sRGB, in squares; the greys of a ramp among them. None is so saturated that
    ten bits of a wider gamut are too few for it."""
    rng = np.random.default_rng(3)
    colours = rng.integers(90, 256, (5, 6, 3))
    colours[0] = np.linspace(0, 255, 6)[:, None]
    return np.kron(colours, np.ones((SIDE, SIDE, 1))).astype(np.uint8)


def middles(picture: np.ndarray) -> np.ndarray:
    return picture[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE, :3].astype(int)


def assert_alike(path: Path, most: int = 3) -> None:
    """Each colour is, within a few levels, what it is in sRGB."""
    apart = np.abs(middles(load_image(path)) - middles(squares()))
    assert apart.max() <= most, (path.name, int(apart.max()))


# --- how other encodings write the same light: formulas of their own, not those under test


def linear(rgb: np.ndarray) -> np.ndarray:
    v = rgb / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])
TO_ADOBE = np.array([[0.7152, 0.2848, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0412, 0.9588]])


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, inverse EOTF."""
    y = np.clip(nits / 10000, 0, 1) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    """BT.2100, for a display of 1000 cd/m2."""
    luminance = np.maximum(nits @ [0.2627, 0.6780, 0.0593], 1e-6)[..., None] / 1000
    scene = nits / 1000 * luminance ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def in_pq(rgb: np.ndarray) -> np.ndarray:
    return pq(linear(rgb) @ TO_2020.T * 203)


def in_hlg(rgb: np.ndarray) -> np.ndarray:
    return hlg(linear(rgb) @ TO_2020.T * 203)


def in_p3(rgb: np.ndarray) -> np.ndarray:
    return srgb(linear(rgb) @ TO_P3.T)


def save_png(path: Path, values: np.ndarray, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG of 16 bits from 0..1, with chunks before its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    rows = np.rint(np.clip(values, 0, 1) * 65535).astype(">u2")
    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def save_heic(path: Path, values: np.ndarray, primaries: int, transfer: int) -> Path:
    rows = np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16)
    file = pillow_heif.from_bytes("RGB;16", (rows.shape[1], rows.shape[0]), rows.tobytes())
    file.save(
        path,
        quality=-1,
        chroma=444,
        color_primaries=primaries,
        full_range_flag=1,
        transfer_characteristics=transfer,
        matrix_coefficients=0,
    )
    return path


def save_avif(path: Path, values: np.ndarray, primaries: str, transfer: str, matrix: str) -> Path:
    rows = np.rint(np.clip(values, 0, 1) * 65535).astype("<u2")
    ffmpeg.run_ffmpeg(
        [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb48le",
            "-s",
            f"{rows.shape[1]}x{rows.shape[0]}",
            "-i",
            "pipe:0",
            "-vf",
            f"scale=out_color_matrix={matrix}:out_range=pc:flags=accurate_rnd,"
            f"format=yuv444p10le,setparams=color_primaries={primaries}:color_trc={transfer}:"
            f"colorspace={matrix}:range=pc",
            "-c:v",
            "libaom-av1",
            "-still-picture",
            1,
            "-crf",
            0,
            "-cpu-used",
            8,
            path,
        ],
        "make an AVIF",
        input=rows.tobytes(),
    )
    return path


# --- what phones write


@pytest.mark.parametrize(
    ("case", "size", "wanted"),
    [
        ("heic", (600, 750), [RED, GREEN, BLUE, YELLOW]),
        ("heic-turned", (750, 600), [BLUE, RED, YELLOW, GREEN]),
    ],
)
def test_a_heic_is_read_and_turned_once(case, size, wanted):
    found = compile_file(CASES / case / "brief.yaml", CASES / case, "brief", "brief.yaml", SHOP)
    assert found.plan is not None, [str(p) for p in found.problems]
    asset = found.plan.assets[0]
    assert (asset.kind, asset.width, asset.height) == ("image", *size)
    rgb = load_image(CASES / case / "phone.heic")
    h, w = rgb.shape[:2]
    assert (w, h) == size
    seen = [rgb[y, x] for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)]
    assert np.abs(np.array(seen).astype(int) - wanted).max() <= 8
    with open(CASES / case / "phone.heic", "rb") as file:
        assert suffix_of(file.read(64)) == ".heic"


def test_new_lists_heic(tmp_path):
    for name in ("IMG_0001.HEIC", "b.heif"):
        (tmp_path / name).write_bytes(b"")
    text = brief_text(tmp_path, "hero", ["studio"], ["morrow"])
    assert "IMG_0001.HEIC" in text and "b.heif" in text


def test_kinds_of_heic(tmp_path):
    """Transparent, of several pictures with the second as the primary one, and of 10 bits."""
    clear = np.dstack([squares(), np.full(squares().shape[:2], 255, np.uint8)])
    clear[:SIDE, :SIDE, 3] = 0
    Image.fromarray(clear).save(tmp_path / "clear.heic", quality=95)
    assert probe_media(tmp_path / "clear.heic").has_alpha
    assert load_image(tmp_path / "clear.heic")[4, 4, 3] == 0
    several = pillow_heif.HeifFile()
    several.add_from_pillow(Image.new("RGB", (64, 64), BLUE))
    several.add_from_pillow(Image.fromarray(squares()))
    several.save(tmp_path / "several.heic", primary_index=1, quality=-1, chroma=444)
    info = probe_media(tmp_path / "several.heic")
    assert (info.kind, info.width) == ("image", 6 * SIDE)
    assert_alike(tmp_path / "several.heic", 4)
    assert_alike(save_heic(tmp_path / "deep.heic", squares() / 255, 1, 13))


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "avif", "tif"])
def test_all_eight_orientations_of_exif(kind, tmp_path):
    """Small squares of colour: no two of the eight look alike."""
    for value in range(1, 9):
        exif, path = Image.Exif(), tmp_path / f"{value}.{kind}"
        exif[0x0112] = value
        Image.fromarray(squares()).save(path, exif=exif, quality=95)
        wanted = exif_orientation(value).turn_array(squares())
        info, shown = probe_media(path), load_image(path)
        assert (info.height, info.width) == shown.shape[:2] == wanted.shape[:2]
        assert np.abs(middles(shown) - middles(wanted)).mean() < 8, value


# --- colours that are described elsewhere than in a profile


@pytest.mark.parametrize("name", ["hdr-png/hdr.png", "hdr-avif/hdr.avif"])
def test_an_hdr_shot_looks_like_the_plain_one(name):
    hdr = load_image(CASES / name).astype(int)
    plain = load_image(CASES / name.split("/")[0] / "plain.png").astype(int)
    apart = np.abs(hdr - plain).max(axis=-1)
    for y, x in ((20, 20), (375, 200), (300, 300), (700, 300), (740, 590)):
        assert apart[y, x] <= 3, (y, x)
    assert np.median(apart) <= 2


def test_what_a_png_says_of_its_colours(tmp_path):
    plain = squares()
    p3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    gamma = [(b"gAMA", struct.pack(">I", 100000))]
    for name, values, chunks in (
        ("pq", in_pq(plain), [(b"cICP", bytes([9, 16, 0, 1]))]),
        ("hlg", in_hlg(plain), [(b"cICP", bytes([9, 18, 0, 1]))]),
        ("p3", in_p3(plain), [(b"cICP", bytes([12, 13, 0, 1]))]),
        ("narrow", (16 + plain / 255 * 219) / 255, [(b"cICP", bytes([1, 13, 0, 0]))]),
        ("light", linear(plain), gamma),
        (
            "wide",
            (linear(plain) @ TO_P3.T) ** (1 / 1.8),
            [(b"gAMA", struct.pack(">I", 55556)), (b"cHRM", p3)],
        ),
        ("srgb", plain / 255, [(b"sRGB", b"\0"), *gamma]),  # which then says nothing
        ("usual", plain / 255, [(b"gAMA", struct.pack(">I", 45455))]),
    ):
        assert_alike(save_png(tmp_path / f"{name}.png", values, *chunks), 2)


def test_what_avif_and_heic_say_of_their_colours(tmp_path):
    plain = squares()
    for path in (
        save_avif(tmp_path / "pq.avif", in_pq(plain), "bt2020", "smpte2084", "bt2020nc"),
        save_avif(tmp_path / "hlg.avif", in_hlg(plain), "bt2020", "arib-std-b67", "bt2020nc"),
        save_avif(tmp_path / "p3.avif", in_p3(plain), "smpte432", "iec61966-2-1", "bt709"),
        save_heic(tmp_path / "hlg.heic", in_hlg(plain), 9, 18),
        save_heic(tmp_path / "p3.heic", in_p3(plain), 12, 13),
    ):
        assert_alike(path)


def test_highlights_are_clipped_and_transparency_stays(tmp_path):
    light = np.full((40, 40, 3), 203.0)
    light[:20] = 1000
    rgb = load_image(save_png(tmp_path / "h.png", pq(light), (b"cICP", bytes([9, 16, 0, 1]))))
    assert rgb[5, 5].min() == 255 and rgb[30, 30].min() >= 254
    assert load_image(tmp_path / "h.png", min_side=20).shape == (20, 20, 3)
    image = Image.fromarray(np.dstack([squares(), np.full(squares().shape[:2], 90, np.uint8)]))
    image.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    body = b"cICP" + bytes([12, 13, 0, 1])
    added = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "a.png").write_bytes(data[:33] + added + data[33:])
    rgba = load_image(tmp_path / "a.png")
    assert rgba.shape[2] == 4 and (rgba[..., 3] == 90).all()
    assert np.abs(middles(rgba) - middles(squares())).max() > 8


def test_profiles_for_hdr_and_adobe_rgb_without_one(tmp_path):
    srgb_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    name = "sRGB built-in".encode("utf-16-be")
    assert name in srgb_profile
    hdr = srgb_profile.replace(name, "Rec2100 PQ HDR".encode("utf-16-be")[: len(name)])
    values = np.rint(in_pq(squares()) * 255).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "hdr.png", icc_profile=hdr)
    assert_alike(tmp_path / "hdr.png", 9)  # Eight bits are few for it.
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    adobe = (linear(squares()) @ TO_ADOBE.T) ** (256 / 563)
    Image.fromarray(np.rint(adobe * 255).astype(np.uint8)).save(
        tmp_path / "adobe.jpg", quality=100, subsampling=0, exif=exif
    )
    assert_alike(tmp_path / "adobe.jpg", 6)


# --- what programs write


def test_pictures_for_print_and_other_modes(tmp_path):
    image = Image.fromarray(squares())
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    lab.save(tmp_path / "lab.tif")
    back = middles(load_image(tmp_path / "lab.tif")) - middles(squares())
    assert np.abs(back).mean() < 3  # Eight bits of L, a and b hold no more.
    image.convert("CMYK").save(tmp_path / "cmyk.tif")
    assert_alike(tmp_path / "cmyk.tif")
    image.save(tmp_path / "pages.tif", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    assert_alike(tmp_path / "pages.tif")
    image.save(tmp_path / "plain.jp2")
    assert probe_media(tmp_path / "plain.jp2").format == "jpeg2000"
    assert_alike(tmp_path / "plain.jp2")
    Image.fromarray(squares()[..., 0] > 128).save(tmp_path / "bit.tif")
    assert set(np.unique(load_image(tmp_path / "bit.tif"))) == {0, 255}
    grey = Image.fromarray(np.dstack([squares()[..., 0], np.full((80, 96), 77, np.uint8)]), "LA")
    grey.save(tmp_path / "grey.png")
    assert (load_image(tmp_path / "grey.png")[..., 3] == 77).all()


@pytest.mark.parametrize("tags", [{50706: b"\x01\x04\x00\x00"}, {254: 1}])
def test_the_preview_of_a_raw_file_is_not_taken_for_the_picture(tags, tmp_path):
    """DNG says what it is; NEF, ARW and others begin with a reduced picture."""
    behind = [Image.new("RGB", (96, 80))] if 254 in tags else []
    Image.new("RGB", (24, 20)).save(
        tmp_path / "IMG_1.dng", "TIFF", tiffinfo=tags, save_all=bool(behind), append_images=behind
    )
    with pytest.raises(UnreadableMediaError, match=r"IMG_1\.dng is a camera's raw file"):
        probe_media(tmp_path / "IMG_1.dng")


def test_an_unusual_tiff_is_not_called_damaged_alone(tmp_path):
    cv2.imwrite(str(tmp_path / "f.tif"), np.full((8, 8, 3), 0.5, np.float32))
    with pytest.raises(UnreadableMediaError, match="a TIFF of a kind that can't be read here"):
        probe_media(tmp_path / "f.tif")


def test_a_gain_map_leaves_the_base_picture(tmp_path):
    """Ultra HDR: a JPEG with a second, grey one behind it."""
    base, gain = io.BytesIO(), Image.new("L", (48, 40), 128).convert("RGB")
    Image.fromarray(squares()).save(
        base, "MPO", save_all=True, append_images=[gain], quality=100, subsampling=0
    )
    (tmp_path / "u.jpg").write_bytes(base.getvalue())
    info = probe_media(tmp_path / "u.jpg")
    assert (info.kind, info.format, info.width) == ("image", "jpeg", 6 * SIDE)
    assert_alike(tmp_path / "u.jpg", 5)
