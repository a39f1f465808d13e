"""Read colour descriptions that are not ICC profiles, and convert pictures with them to sRGB.

Numbers of primaries and transfer characteristics are those of ITU-T H.273, tables 2 and 3, as PNG
(cICP), AVIF and HEIC (nclx) write them. HDR is reduced in the same way as in clips (`media.clips`):
diffuse white, 203 cd/m2 (BT.2408), becomes white, and highlights above it are clipped.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

_D65, _C, _E = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3)
Chromaticities = tuple[tuple[float, float], ...]
"""x, y of red, green, blue and white."""

_BT709: Chromaticities = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
_BT2020: Chromaticities = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
_PRIMARIES: dict[int, Chromaticities] = {
    1: _BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: _BT2020,
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_ADOBE: Chromaticities = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), _D65)
_ADOBE_GAMMA = 563 / 256

PQ, HLG = 16, 18
_POWERS = {4: 2.2, 5: 2.8, 8: 1.0}
_ADOPTED_WHITE = 203.0
"""cd/m2 of diffuse white (BT.2408, table 1)."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""cd/m2 of the display that HLG is defined for, and its system gamma (BT.2100, table 5)."""
_ROWS = 256
"""Rows that are converted at a time."""


@dataclass(frozen=True)
class ColourEncoding:
    """What the numbers of an RGB picture mean."""

    primaries: Chromaticities = _BT709
    transfer: int = 13
    """Of H.273; what is not PQ, HLG or a plain power is taken as sRGB's own curve, as browsers
    take the curves of cameras (BT.709, BT.601, BT.2020)."""
    power: float | None = None
    """In place of `transfer`: light is the number to this power."""
    narrow: bool = False
    """Black is 16 and white 235, of 8 bits."""

    @property
    def is_srgb(self) -> bool:
        """Return whether the numbers mean sRGB, so that nothing has to be converted."""
        near = max(
            abs(a - b)
            for mine, own in zip(self.primaries, _BT709, strict=True)
            for a, b in zip(mine, own, strict=True)
        )
        return (
            near < 0.003 and not self.is_hdr and self._decoding_power() is None and not self.narrow
        )

    @property
    def is_hdr(self) -> bool:
        """Return whether the transfer characteristics are those of HDR (PQ or HLG)."""
        return self.power is None and self.transfer in (PQ, HLG)

    def _decoding_power(self) -> float | None:
        return self.power if self.power is not None else _POWERS.get(self.transfer)

    def light(self, signal: np.ndarray) -> np.ndarray:
        """Return the light of each signal, float32 0..1: diffuse white is 1; of HLG that of the
        scene."""
        power = self._decoding_power()
        if power is not None:
            return np.power(signal, np.float32(power))
        if self.transfer == PQ:
            root = np.power(signal, np.float32(32 / 2523))
            top = np.maximum(root - 0.8359375, 0)
            scale = 10000 / _ADOPTED_WHITE
            return np.power(top / (18.8515625 - 18.6875 * root), np.float32(8192 / 1305)) * scale
        if self.transfer == HLG:
            a, b, c = 0.17883277, 0.28466892, 0.55991073
            return np.where(
                signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12
            ).astype(np.float32)
        return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def encoding_from_codes(primaries: int, transfer: int, *, narrow: bool = False) -> ColourEncoding:
    """Return the encoding of two numbers of H.273; what is unknown is taken as BT.709 and sRGB."""
    return ColourEncoding(_PRIMARIES.get(primaries, _BT709), transfer, narrow=narrow)


def convert_to_srgb(pixels: np.ndarray, encoding: ColourEncoding) -> np.ndarray:
    """Return an RGB picture, uint8 or uint16 (h, w, 3), in sRGB, uint8."""
    most = np.iinfo(pixels.dtype).max
    signal = np.arange(most + 1, dtype=np.float32) / most
    if encoding.narrow:
        signal = np.clip((signal * 255 - 16) / 219, 0, 1)
    table = encoding.light(signal).astype(np.float32)
    matrix = _matrix_between(encoding.primaries, _BT709).astype(np.float32)
    luminance = _matrix_to_xyz(encoding.primaries)[1].astype(np.float32)
    out = np.empty(pixels.shape, np.uint8)
    for top in range(0, pixels.shape[0], _ROWS):
        rows = table[pixels[top : top + _ROWS]]
        if encoding.is_hdr and encoding.transfer == HLG:
            seen = np.maximum(rows @ luminance, 1e-9) ** np.float32(_HLG_GAMMA - 1)
            rows = rows * seen[..., None] * np.float32(_HLG_PEAK / _ADOPTED_WHITE)
        light = np.clip(rows @ matrix.T, 0, 1)
        code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
        out[top : top + _ROWS] = np.rint(code * 255)
    return out


def _matrix_to_xyz(chromaticities: Chromaticities) -> np.ndarray:
    """From linear RGB to XYZ whose white has Y = 1."""
    columns = np.array([[x, y, 1 - x - y] for x, y in chromaticities[:3]]).T
    x, y = chromaticities[3]
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def _matrix_between(source: Chromaticities, target: Chromaticities) -> np.ndarray:
    """From linear RGB to linear RGB of other primaries; white stays white."""
    whites = []
    for x, y in (source[3], target[3]):
        whites.append(_BRADFORD @ np.array([x / y, 1, (1 - x - y) / y]))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(whites[1] / whites[0]) @ _BRADFORD
    return np.linalg.inv(_matrix_to_xyz(target)) @ adapted @ _matrix_to_xyz(source)


# --- where files say it


def png_encoding(path: Path, has_profile: bool) -> ColourEncoding | None:
    """Return what the chunks of a PNG say, in the order in which they count (PNG, third edition,
    4.3): cICP, then a profile or sRGB (None, for they are read elsewhere), then gAMA and cHRM."""
    found = dict(_png_chunks(path))
    code = found.get(b"cICP", b"")
    if len(code) == 4:
        return encoding_from_codes(code[0], code[1], narrow=code[3] == 0)
    if has_profile or b"sRGB" in found:
        return None
    gamma, white = found.get(b"gAMA", b""), found.get(b"cHRM", b"")
    primaries, power = _BT709, None
    if len(white) == 32:
        values = [v / 100000 for v in struct.unpack(">8I", white)]
        points = list(zip(values[::2], values[1::2], strict=True))
        given = (*points[1:], points[0])
        if all(y > 0 for _, y in given) and _has_area(given):
            primaries = given
    if len(gamma) == 4 and (value := int.from_bytes(gamma, "big")):
        # 0.45455 is how sRGB has been written since before it had a chunk of its own.
        srgb = 44000 <= value <= 46500 and ColourEncoding(primaries).is_srgb
        power = None if srgb else 100000 / value
    encoding = ColourEncoding(primaries, power=power if power is None or 0.1 < power < 10 else None)
    return None if encoding.is_srgb else encoding


def _has_area(points: Chromaticities) -> bool:
    (ax, ay), (bx, by), (cx, cy) = points[:3]
    return abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) > 1e-3


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The small chunks that come before the pixels."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"IDAT", b"IEND"):
                return
            if length > 64:
                file.seek(length + 4, 1)
                continue
            yield kind, file.read(length)
            file.seek(4, 1)


def movie_encoding(path: Path) -> ColourEncoding | None:
    """Return what the first `nclx` box of an AVIF or HEIC picture says; None where there is
    none."""
    for body in _iterate_boxes(path, (b"meta", b"iprp", b"ipco", b"colr")):
        if body[:4] == b"nclx" and len(body) >= 10:
            return encoding_from_codes(*struct.unpack(">HH", body[4:8]))
    return None


def jp2_profile(path: Path) -> bytes | None:
    """Return the ICC profile of a JPEG 2000 picture, which Pillow passes over."""
    for body in _iterate_boxes(path, (b"jp2h", b"colr")):
        if body[:1] == b"\x02":
            return body[3:]
    return None


_LARGEST_BOX = 4_000_000


def _iterate_boxes(path: Path, names: tuple[bytes, ...]) -> Iterator[bytes]:
    """Contents of the boxes found by following their names inwards (ISO 14496-12, 4.2)."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        yield from _boxes_between(file, 0, end, names)


def _boxes_between(file: BinaryIO, at: int, end: int, names: tuple[bytes, ...]) -> Iterator[bytes]:
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind, start = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, start = int.from_bytes(head[8:16], "big"), 16
        size = size or end - at
        if size < start or at + size > end:
            return
        if kind == names[0]:
            inside = at + start + (4 if kind == b"meta" else 0)
            if len(names) > 1:
                yield from _boxes_between(file, inside, at + size, names[1:])
            elif size <= _LARGEST_BOX:
                file.seek(inside)
                yield file.read(at + size - inside)
        at += size


def profile_encoding(icc: bytes, description: str) -> ColourEncoding | None:
    """Return what an ICC profile for HDR means: converted as a profile it would come out dark and
    grey. Such a profile has a `cicp` tag (ICC.1:2022, 9.2.17), or names BT.2100 in its description.
    """
    count = int.from_bytes(icc[128:132], "big") if len(icc) > 132 else 0
    for n in range(min(count, 100)):
        entry = icc[132 + 12 * n : 144 + 12 * n]
        if entry[:4] == b"cicp":
            data = icc[int.from_bytes(entry[4:8], "big") :][:12]
            if len(data) == 12 and data[9] in (PQ, HLG):
                return encoding_from_codes(data[8], data[9])
    if re.search(r"2100|2084|2020|\bHDR", description):
        if re.search(r"PQ|2084", description):
            return encoding_from_codes(9, PQ)
        if "HLG" in description:
            return encoding_from_codes(9, HLG)
    return None


def exif_encoding(exif: object) -> ColourEncoding | None:
    """Return Adobe RGB, as cameras write it without a profile (Exif 2.32, 4.6.6: ColorSpace 0xFFFF,
    with index R03 of interoperability)."""
    get_ifd = getattr(exif, "get_ifd", None)
    if get_ifd is None:
        return None
    try:
        space, index = get_ifd(0x8769).get(0xA001), get_ifd(0xA005).get(1)
    except Exception:
        return None  # A broken directory says nothing.
    named = str(index).startswith("R03") and space != 1
    return ColourEncoding(_ADOBE, power=_ADOBE_GAMMA) if named else None
