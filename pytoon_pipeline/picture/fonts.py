"""Where type comes from: faces found in folders by the names written in their own tables.

A `FontLibrary` is cheap to make: a folder is read the first time a name or a character is asked
for that the folders before it don't have. Folders are asked in order (the project's own first,
then a person's, then the system's), so a system's fonts never change what the project's own can
draw.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import freetype
import uharfbuzz as hb

from ..errors import PresetError, Problem

SYSTEM_FONT_FOLDERS: tuple[Path, ...] = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
    Path("/Library/Fonts"),
    Path("/System/Library/Fonts"),
)
"""Where Linux and macOS keep fonts. Folders that don't exist are passed over."""

_SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
_OUTLINE_TABLES = {"glyf", "CFF ", "CFF2"}
_COLOR_TABLES = {"COLR", "CBDT", "sbix", "SVG "}
_NAME_FAMILY, _NAME_SUBFAMILY, _NAME_TYPOGRAPHIC_FAMILY = 1, 2, 16
_NORMAL_WIDTH = 100.0


@dataclass(frozen=True)
class Face:
    """One font of a file: its family, its weight, and where it lies."""

    family: str
    """As the font's own name table has it: the typographic family (id 16), else family (id 1)."""
    weight: int
    """1 to 1000 as in CSS; 400 is regular, 700 bold. Of a variable font: the weight asked for."""
    path: Path
    index: int = 0
    """Which font of a collection (`.ttc`)."""
    italic: bool = False
    color: bool = False
    """Holds pictures or layers instead of plain outlines (emoji); type is not drawn from it."""
    weights: tuple[int, int] | None = None
    """Least and greatest weight, of a variable font."""

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes: what a picture's fingerprint holds of a font."""
        return _sha256(self.path)


@dataclass(frozen=True)
class Metrics:
    """Heights above the baseline, in em."""

    cap_height: float
    x_height: float


@lru_cache(maxsize=512)
def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _rank_weight(wanted: int, weight: int) -> tuple[int, int]:
    """Sort key of CSS Fonts 4, section 5.2 (font style matching): the least is the match."""
    distance = abs(weight - wanted)
    if 400 <= wanted <= 500:
        if wanted <= weight <= 500:
            return 0, distance
        return (1, distance) if weight < wanted else (2, distance)
    if wanted < 400:
        return (0, distance) if weight <= wanted else (1, distance)
    return (0, distance) if weight >= wanted else (1, distance)


class FontLibrary:
    """The fonts of some folders, found by family and weight or by the characters they cover.

    Safe to share between threads. Files that can't be read as fonts are passed over and listed in
    `skipped`.
    """

    def __init__(self, folders: Sequence[Path | str]):
        self.folders = tuple(Path(f) for f in folders)
        self.skipped: list[Problem] = []
        self._scanned: list[list[Face]] = []
        self._fonts: dict[Face, hb.Font] = {}
        self._covered: dict[tuple[Path, int], frozenset[int]] = {}
        self._outlines: dict[Face, freetype.Face] = {}
        self._lock = threading.RLock()

    def families(self) -> list[str]:
        """All family names, sorted."""
        return sorted({face.family for faces in self._folders() for face in faces})

    def find(self, family: str, weight: int = 400, italic: bool = False) -> Face | None:
        """The family's face nearest in weight, from the first folder that has the family."""
        key = family.strip().casefold()
        for faces in self._folders():
            named = [f for f in faces if f.family.casefold() == key]
            if named:
                return _nearest(named, weight, italic)
        return None

    def covering(self, char: str, weight: int = 400) -> Face | None:
        """A face with outlines for every character of `char`, from the first folder that has one.

        `char` may be a whole cluster (a letter with its marks). Upright text faces of normal width
        are taken before italic, monospaced, serif and condensed ones.
        """
        for faces in self._folders():
            fitting: dict[str, list[Face]] = {}
            for face in faces:
                if not face.color and self.covers(face, char):
                    fitting.setdefault(face.family, []).append(face)
            if fitting:
                family = min(fitting, key=lambda name: (_plainness(name), name))
                return _nearest(fitting[family], weight, False)
        return None

    def require(self, family: str, weight: int = 400) -> Face:
        """`find`, or a `PresetError` that names the families there are."""
        face = self.find(family, weight)
        if face is None:
            raise PresetError(
                Problem(
                    code="font.missing",
                    message=f"There is no font family {family!r}.",
                    remedy="Put its files into a font folder, or use one of: "
                    + ", ".join(self.families())
                    + ".",
                )
            )
        return face

    def covers(self, face: Face, chars: str) -> bool:
        """Whether the face has a glyph for each of these characters."""
        key = (face.path, face.index)
        covered = self._covered.get(key)
        if covered is None:
            covered = frozenset(self.font(face).face.unicodes)
            self._covered[key] = covered
        return all(ord(c) in covered for c in chars)

    def metrics(self, face: Face) -> Metrics:
        """Cap height and x-height from OS/2, or measured on H and x where the font has none."""
        font = self.font(face)
        upem = font.face.upem
        tags = hb.OTMetricsTag
        return Metrics(
            cap_height=font.get_metric_position_with_fallback(tags.CAP_HEIGHT) / upem,
            x_height=font.get_metric_position_with_fallback(tags.X_HEIGHT) / upem,
        )

    def font(self, face: Face) -> hb.Font:
        """The face for shaping, in font units."""
        with self._lock:
            font = self._fonts.get(face)
            if font is None:
                font = hb.Font(hb.Face(hb.Blob.from_file_path(str(face.path)), face.index))
                if face.weights:
                    font.set_variations({"wght": face.weight})
                self._fonts[face] = font
            return font

    def outlines(self, face: Face) -> freetype.Face:
        """The face for drawing. FreeType is not thread-safe: hold a lock while using it."""
        with self._lock:
            outlines = self._outlines.get(face)
            if outlines is None:
                outlines = freetype.Face(str(face.path), face.index)
                if face.weights:
                    axes = outlines.get_variation_info().axes
                    outlines.set_var_design_coords(
                        [face.weight if a.tag == "wght" else a.default for a in axes]
                    )
                self._outlines[face] = outlines
            return outlines

    def _folders(self) -> Iterator[list[Face]]:
        for number, folder in enumerate(self.folders):
            with self._lock:
                if number == len(self._scanned):
                    self._scanned.append(self._scan(folder))
            yield self._scanned[number]

    def _scan(self, folder: Path) -> list[Face]:
        faces: list[Face] = []
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES):
            try:
                faces.extend(_read(path))
            except (OSError, ValueError, hb.HarfBuzzError, struct.error) as error:
                self.skipped.append(
                    Problem(
                        code="font.unreadable",
                        message=f"Not a font: {error}",
                        remedy="Replace the file or remove it.",
                        severity="warning",
                        file=path.name,
                    )
                )
        return faces


def _nearest(faces: list[Face], weight: int, italic: bool) -> Face:
    """The match by style, then weight; of a variable font, the instance of the weight."""

    def at(face: Face) -> Face:
        if face.weights is None:
            return face
        low, high = face.weights
        return replace(face, weight=min(max(weight, low), high))

    return min(
        (at(f) for f in faces),
        key=lambda f: (f.italic != italic, _rank_weight(weight, f.weight), str(f.path), f.index),
    )


def _plainness(family: str) -> int:
    words = set(family.casefold().split())
    odd = {"mono", "serif", "condensed", "narrow", "math", "display", "looped", "symbols"}
    return len(words & odd)


def _read(path: Path) -> list[Face]:
    """The faces of a file. Condensed and expanded ones belong to families of their own."""
    blob = hb.Blob.from_file_path(str(path))
    faces = []
    count = hb.Face(blob, 0).count
    if count == 0:
        raise ValueError("no font in the file")
    for index in range(count):
        face = hb.Face(blob, index)
        family = face.get_name(_NAME_TYPOGRAPHIC_FAMILY) or face.get_name(_NAME_FAMILY)
        tables = set(face.table_tags)
        if not family or not tables & (_OUTLINE_TABLES | _COLOR_TABLES):
            raise ValueError("it has no name or no glyphs")
        font = hb.Font(face)
        width = font.get_style_value(hb.StyleTag.WIDTH)
        if width < _NORMAL_WIDTH and "condensed" not in family.casefold():
            family += " Condensed"
        elif width > _NORMAL_WIDTH and "expanded" not in family.casefold():
            family += " Expanded"
        style = (face.get_name(_NAME_SUBFAMILY) or "").casefold()
        axis = next((a for a in face.axis_infos if a.tag == "wght"), None)
        faces.append(
            Face(
                family=family.strip(),
                weight=round(font.get_style_value(hb.StyleTag.WEIGHT)),
                path=path,
                index=index,
                italic="italic" in style or "oblique" in style,
                color=bool(tables & _COLOR_TABLES) or not tables & _OUTLINE_TABLES,
                weights=(round(axis.min_value), round(axis.max_value)) if axis else None,
            )
        )
    return faces
