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

import cv2
import freetype
import numpy as np
import uharfbuzz as hb

from pytoon_pipeline.errors import PresetError, Problem

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
# Em that an upright stroke is wide, and the weight that looks so: measured on Inter.
_STEMS = (0.062, 0.085, 0.111, 0.149, 0.172, 0.196), (300, 400, 500, 700, 800, 900)

_NARROW = 0.8
"""Of the height of capitals: narrower ones are narrow. Anton 0.55, Oswald 0.68, Inter 1."""
_NARROW_LOOKS = 250
"""Weight that a narrow face seems to have beyond that of its strokes."""


@dataclass(frozen=True)
class FontFace:
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
    pictures: bool = False
    """Its glyphs are PNG pictures (CBDT, sbix), which is what emoji are drawn from. Layers (COLR)
    and SVG are not drawn."""
    weights: tuple[int, int] | None = None
    """Least and greatest weight, of a variable font."""

    @cached_property
    def sha256(self) -> str:
        """Hash of the file's bytes: what a picture's fingerprint holds of a font."""
        info = self.path.stat()
        return _hash_font_file(self.path, info.st_size, info.st_mtime_ns)


@dataclass(frozen=True)
class FontMetrics:
    """Heights above the baseline, in em."""

    cap_height: float
    x_height: float


@dataclass(frozen=True)
class GlyphPicture:
    """A colour glyph as the font has it, at the largest of its sizes."""

    rgba: np.ndarray
    """(h, w, 4) uint8, straight alpha."""
    ink: tuple[int, int, int, int]
    """x0, y0, x1, y1 of what is not transparent."""


@lru_cache(maxsize=512)
def _hash_font_file(path: Path, _size: int, _mtime_ns: int) -> str:
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
    Several folders in a tuple are taken for one; of two fonts alike the earlier folder's counts.

    Safe to share between threads. Files that can't be read as fonts are passed over and listed in
    `skipped`.
    """

    def __init__(self, folders: Sequence[Path | str | tuple[Path, ...]]):
        self.folders = tuple(f if isinstance(f, tuple) else (Path(f),) for f in folders)
        self.skipped: list[Problem] = []
        self._scanned: list[list[FontFace]] = []
        self._fonts: dict[FontFace, hb.Font] = {}
        self._covered: dict[tuple[Path, int], frozenset[int]] = {}
        self._outlines: dict[FontFace, freetype.Face] = {}
        self._picture_ids: dict[tuple[FontFace, str], int | None] = {}
        self._pictures: dict[tuple[FontFace, int], GlyphPicture | None] = {}
        self._lock = threading.RLock()

    def families(self) -> list[str]:
        """Return the names of all families that type is drawn from, sorted."""
        return sorted(
            {face.family for faces in self._iterate_folders() for face in faces if not face.color}
        )

    def find(self, family: str, weight: int = 400, italic: bool = False) -> FontFace | None:
        """Return the family's face nearest in weight, from the first folder that has the family."""
        key = family.strip().casefold()
        for faces in self._iterate_folders():
            named = [f for f in faces if f.family.casefold() == key and not f.color]
            if named:
                return _nearest_face(named, weight, italic)
        return None

    def find_covering_face(
        self,
        char: str,
        weight: int = 400,
        preferred: Sequence[str] = (),
        pictures: bool = False,
        narrow: bool = False,
    ) -> FontFace | None:
        """Return a face with outlines for every character of `char`, from the first folder that has
        one.

        `char` may be a whole cluster (a letter with its marks) or all letters of a text. Families
        with one of the `preferred` words in their name (a region: "JP") are taken first, then
        upright text faces of normal width before italic, monospaced, serif and condensed ones, and
        those about as heavy as asked; with `narrow`, narrow ones before wide ones. With `pictures`,
        a folder without outlines may have it as a picture.
        """
        wanted = {word.casefold() for word in preferred}
        for faces in self._iterate_folders():
            fitting: dict[str, list[FontFace]] = {}
            for face in faces:
                if not face.color and self.covers_characters(face, char):
                    fitting.setdefault(face.family, []).append(face)
            if fitting:
                family = min(
                    fitting,
                    key=lambda name: (
                        wanted.isdisjoint(name.casefold().split()),
                        narrow and not any(self.is_narrow(f) for f in fitting[name]),
                        _rate_plainness(name),
                        weight - _nearest_face(fitting[name], weight, False).weight > 200,
                        name,
                    ),
                )
                return _nearest_face(fitting[family], weight, False)
            if pictures and (emoji_face := self._find_emoji_face_in(faces, char)):
                return emoji_face
        return None

    def find_emoji_face(self, cluster: str) -> FontFace | None:
        """Return a face that has the cluster (an emoji with all that is joined to it) as one
        picture."""
        for faces in self._iterate_folders():
            if face := self._find_emoji_face_in(faces, cluster):
                return face
        return None

    def has_pictures(self) -> bool:
        """Return whether there is any font that emoji are drawn from."""
        return any(face.pictures for faces in self._iterate_folders() for face in faces)

    def _find_emoji_face_in(self, faces: list[FontFace], cluster: str) -> FontFace | None:
        return next(
            (f for f in faces if f.pictures and self.picture_id(f, cluster) is not None), None
        )

    def picture_id(self, face: FontFace, cluster: str) -> int | None:
        """Return the one glyph that is the whole cluster's picture; None where the face has none,
        or would set several pictures in a row."""
        key = (face, cluster)
        if key not in self._picture_ids:
            buffer = hb.Buffer()
            buffer.add_str(cluster)
            buffer.guess_segment_properties()
            buffer.direction = "ltr"
            hb.shape(self.font(face), buffer)
            # Joiners and marks have no width; of a font in several files, each has some pictures.
            shown = [
                info.codepoint
                for info, position in zip(
                    buffer.glyph_infos, buffer.glyph_positions or (), strict=True
                )
                if position.x_advance or info.codepoint == 0
            ]
            whole = len(shown) == 1 and shown[0] != 0
            found = whole and self.picture(face, shown[0]) is not None
            self._picture_ids[key] = shown[0] if found else None
        return self._picture_ids[key]

    def picture(self, face: FontFace, glyph: int) -> GlyphPicture | None:
        """Return the glyph's picture; None of a glyph without one, or with an empty one."""
        key = (face, glyph)
        if key not in self._pictures:
            self._pictures[key] = _read_glyph_picture(self.font(face), glyph)
        return self._pictures[key]

    def measure_heaviness(self, face: FontFace) -> int:
        """Return the weight as it looks, by the width of upright strokes: display faces of a single
        weight call themselves regular (400), however black they are."""
        font = self.font(face)
        widths = []
        for char, share in (("I", 1.0), ("l", 1.0), ("|", 1.07)):
            glyph = font.get_nominal_glyph(ord(char))
            extents = font.get_glyph_extents(glyph) if glyph else None
            if extents and extents.width:
                widths.append(extents.width / font.face.upem * share)
        if not widths:
            return face.weight
        looks = round(float(np.interp(min(widths), *_STEMS)))
        # The same stroke makes a narrow letter blacker.
        return min(looks + _NARROW_LOOKS, 900) if self.is_narrow(face) else looks

    def is_narrow(self, face: FontFace) -> bool:
        """Return whether its capitals are much narrower than high, as those of headline faces
        are."""
        font = self.font(face)
        glyphs = [glyph for c in "HNOE" if (glyph := font.get_nominal_glyph(ord(c)))]
        height = font.get_metric_position_with_fallback(hb.OTMetricsTag.CAP_HEIGHT)
        if not glyphs or not height:
            return False
        width = sum(font.get_glyph_h_advance(glyph) for glyph in glyphs) / len(glyphs)
        return width / height < _NARROW

    def require(self, family: str, weight: int = 400) -> FontFace:
        """Return what `find` does. Raises a `PresetError` that names the existing families where
        there is no such face."""
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

    def covers_characters(self, face: FontFace, chars: str) -> bool:
        """Return whether the face has a glyph for each of these characters."""
        key = (face.path, face.index)
        covered = self._covered.get(key)
        if covered is None:
            covered = frozenset(self.font(face).face.unicodes)
            self._covered[key] = covered
        return all(ord(c) in covered for c in chars)

    def metrics(self, face: FontFace) -> FontMetrics:
        """Return cap height and x-height from OS/2, or measured on H and x where the font has
        none."""
        font = self.font(face)
        upem = font.face.upem
        tags = hb.OTMetricsTag
        return FontMetrics(
            cap_height=font.get_metric_position_with_fallback(tags.CAP_HEIGHT) / upem,
            x_height=font.get_metric_position_with_fallback(tags.X_HEIGHT) / upem,
        )

    def font(self, face: FontFace) -> hb.Font:
        """Return the face for shaping, in font units."""
        with self._lock:
            font = self._fonts.get(face)
            if font is None:
                font = hb.Font(hb.Face(hb.Blob.from_file_path(str(face.path)), face.index))
                if face.weights:
                    font.set_variations({"wght": face.weight})
                self._fonts[face] = font
            return font

    def open_outlines(self, face: FontFace) -> freetype.Face:
        """Return the face for drawing. FreeType is not thread-safe: hold a lock while using it."""
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

    def _iterate_folders(self) -> Iterator[list[FontFace]]:
        for number, together in enumerate(self.folders):
            with self._lock:
                if number == len(self._scanned):
                    self._scanned.append([face for f in together for face in self._scan_folder(f)])
            yield self._scanned[number]

    def _scan_folder(self, folder: Path) -> list[FontFace]:
        faces: list[FontFace] = []
        found = (p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
        for path in sorted(found, key=str):
            try:
                faces.extend(_read_font_file(path))
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


def _nearest_face(faces: list[FontFace], weight: int, italic: bool) -> FontFace:
    """The match by style, then weight, the first of several; of a variable font, the instance of
    the weight."""

    def face_at(face: FontFace) -> FontFace:
        if face.weights is None:
            return face
        low, high = face.weights
        return replace(face, weight=min(max(weight, low), high))

    return min(
        (face_at(f) for f in faces),
        key=lambda f: (f.italic != italic, _rank_weight(weight, f.weight)),
    )


def _read_glyph_picture(font: hb.Font, glyph: int) -> GlyphPicture | None:
    blob = font.get_glyph_color_png(glyph)
    if blob is None or not len(blob.data):
        return None
    image = cv2.imdecode(np.frombuffer(blob.data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
        return None
    seen = image[..., 3] > 8
    if not seen.any():
        return None
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    ink = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return GlyphPicture(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA), ink)


def _rate_plainness(family: str) -> int:
    words = set(family.casefold().split())
    odd = {"mono", "serif", "condensed", "narrow", "math", "display", "looped", "symbols"}
    return len(words & odd)


def _read_font_file(path: Path) -> list[FontFace]:
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
            FontFace(
                family=family.strip(),
                weight=round(font.get_style_value(hb.StyleTag.WEIGHT)),
                path=path,
                index=index,
                italic="italic" in style or "oblique" in style,
                color=bool(tables & _COLOR_TABLES) or not tables & _OUTLINE_TABLES,
                pictures=face.has_color_png,
                weights=(round(axis.min_value), round(axis.max_value)) if axis else None,
            )
        )
    return faces
