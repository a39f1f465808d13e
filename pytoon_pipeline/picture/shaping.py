"""From characters to placed glyphs, in em: nothing here knows a size in pixels but
`measure_advance`.

A `ShapedParagraph` is analysed once: bidi levels, scripts and faces of every character. Its lines
are then shaped on demand and kept, so that trying line breaks costs little. Glyphs are not hinted,
so a line shaped once is right at every size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import uharfbuzz as hb

from pytoon_pipeline.picture import bidi
from pytoon_pipeline.picture.font_choice import (
    AnalysedText,
    FontSpec,
    choose_faces,
    nearest_form,
    strip_selectors,
)
from pytoon_pipeline.picture.fonts import FontFace, FontLibrary
from pytoon_pipeline.picture.line_breaks import cells_at, grapheme_starts, script_of

# Joined or hung from one line: tracking would tear the letters apart (CSS Text 3, 8.2.1 and 8.3).
_UNTRACKED_SCRIPTS = frozenset(
    {"Arab", "Syrc", "Mong", "Nkoo", "Phag", "Mand", "Mani", "Adlm", "Rohg"}
    | {"Deva", "Beng", "Guru", "Tibt"}
)
_RTL_LANGUAGES = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "syr", "ug", "ur", "yi"})

_CONTEXT = 5
"""Characters on either side that decide how a run is shaped: as many as HarfBuzz looks at."""
_PICTURE_EM = 1.1
"""Em that an emoji's picture is high: a little more than letters, as in system text."""
_PICTURE_SIDE_EM = 0.06


@dataclass(frozen=True)
class ShapedGlyph:
    """One glyph of a line, in em from the line's left end on the baseline; y points up."""

    face: FontFace
    id: int
    x: float
    y: float
    cluster: int
    """Index of the character it stands for (the first, of a ligature)."""
    ink: tuple[float, float, float, float] | None
    """x0, y0, x1, y1 of its black in the same coordinates; None of a space."""
    picture: bool = False
    """An emoji, drawn in its own colours into `ink`."""


@dataclass(frozen=True)
class ShapedLine:
    """A line's glyphs from left to right, in em."""

    glyphs: tuple[ShapedGlyph, ...]
    advance: float
    ink: tuple[float, float, float, float] | None
    """x0, y0, x1, y1 of all black; None of a blank line."""


@dataclass(frozen=True)
class _TextRun:
    start: int
    end: int
    level: int
    script: str
    face: FontFace


class ShapedParagraph:
    """A text with its levels, scripts and faces. Raises `MissingGlyphError`, or `PresetError` where
    the family does not exist."""

    def __init__(self, text: str, spec: FontSpec, library: FontLibrary):
        self.text, self.spec, self.library = text, spec, library
        self.clusters = grapheme_starts(text)
        language = spec.language.replace("_", "-").split("-")[0].lower()
        self.base = 1 if language in _RTL_LANGUAGES else bidi.base_level(text)
        self.levels = bidi_levels(text, self.base)
        self.scripts = _resolve_scripts(text)
        analysed = AnalysedText(text, spec, library, self.clusters, self.scripts)
        self.faces = choose_faces(analysed)
        main = library.require(spec.family, spec.weight)
        self._middle = library.metrics(main).cap_height / 2
        self._lines: dict[tuple[int, int], ShapedLine] = {}
        self._cells = [0, *accumulate(cells_at(text, self.clusters))]

    def cells(self, start: int, end: int) -> int:
        """Return the length of text[start:end] as a reader counts it; both indices lie between
        clusters."""
        return self._cells[end] - self._cells[start]

    def line(self, start: int, end: int) -> ShapedLine:
        """Return the line that holds text[start:end], shaped. A soft hyphen at its end is drawn."""
        line = self._lines.get((start, end))
        if line is None:
            line = self._lines[start, end] = self._shape_range(start, end)
        return line

    def _iterate_runs(self, start: int, end: int) -> Iterator[_TextRun]:
        first = start
        for i in range(start, end):
            here = (self.levels[i], self.scripts[i], self.faces[i])
            if i + 1 < end and here == (
                self.levels[i + 1],
                self.scripts[i + 1],
                self.faces[i + 1],
            ):
                continue
            yield _TextRun(first, i + 1, *here)
            first = i + 1

    def _shape_range(self, start: int, end: int) -> ShapedLine:
        text = self.text[:end]
        if text.endswith("\u00ad"):
            text = text[:-1] + self._hyphen_at(end - 1)
        runs = _visual_order(list(self._iterate_runs(start, end)))
        glyphs: list[ShapedGlyph] = []
        pen = 0.0
        tracking = 0.0
        for run in runs:
            if run.face.color:
                tracking = self.spec.letter_spacing
                pen = self._set_pictures(run, tracking, pen, glyphs)
                continue
            tracking = 0.0 if run.script in _UNTRACKED_SCRIPTS else self.spec.letter_spacing
            pen = self._shape_run(text, run, tracking, pen, glyphs)
        inks = [g.ink for g in glyphs if g.ink]
        ink = None
        if inks:
            left, bottom, right, top = zip(*inks, strict=True)
            ink = (min(left), min(bottom), max(right), max(top))
        return ShapedLine(tuple(glyphs), pen - tracking if glyphs else 0.0, ink)

    def _hyphen_at(self, at: int) -> str:
        """What a soft hyphen is drawn as at the end of a line."""
        armenian = self.scripts[at] == "Armn" and self.library.covers_characters(
            self.faces[at], "\u058a"
        )
        return "\u058a" if armenian else "-"

    def _shape_run(
        self, text: str, run: _TextRun, tracking: float, pen: float, glyphs: list[ShapedGlyph]
    ) -> float:
        font = self.library.font(run.face)
        em = font.face.upem
        # With what stands beside the run, which joined letters are shaped by.
        first = max(0, run.start - _CONTEXT)
        drawn = text[first : run.end + _CONTEXT]
        if not self.library.covers_characters(run.face, text[run.start : run.end]):
            drawn = "".join(nearest_form(c, run.face, self.library) for c in drawn)
        buffer = hb.Buffer()
        buffer.add_codepoints([ord(c) for c in drawn], run.start - first, run.end - run.start)
        buffer.direction = "rtl" if run.level % 2 else "ltr"
        if run.script != "Zyyy":
            buffer.script = run.script
        if self.spec.language:
            buffer.language = self.spec.language
        plain = tracking == 0
        features = {"kern": True, "liga": plain, "clig": plain, "case": self.spec.all_caps}
        hb.shape(font, buffer, features)
        infos, positions = buffer.glyph_infos, buffer.glyph_positions
        for n, (info, position) in enumerate(zip(infos, positions, strict=True)):
            x, y = pen + position.x_offset / em, position.y_offset / em
            extents = font.get_glyph_extents(info.codepoint)
            ink = None
            if extents and extents.width and extents.height:
                left, top = x + extents.x_bearing / em, y + extents.y_bearing / em
                ink = (left, top + extents.height / em, left + extents.width / em, top)
            glyphs.append(ShapedGlyph(run.face, info.codepoint, x, y, info.cluster + first, ink))
            pen += position.x_advance / em
            ends_cluster = n + 1 == len(infos) or infos[n + 1].cluster != info.cluster
            if ends_cluster and drawn[info.cluster] not in "\u00ad\u200b\u2060":
                pen += tracking
        return pen

    def _set_pictures(
        self, run: _TextRun, tracking: float, pen: float, glyphs: list[ShapedGlyph]
    ) -> float:
        """Emoji: one picture for each cluster, in the middle of the capitals' height."""
        starts = [i for i in self.clusters if run.start <= i < run.end]
        spans = list(zip(starts, [*starts[1:], run.end], strict=True))
        for start, end in reversed(spans) if run.level % 2 else spans:
            cluster = self.text[start:end]
            glyph = self.library.picture_id(run.face, cluster)
            if glyph is None:  # asked for as text, which no font has it as
                glyph = self.library.picture_id(run.face, strip_selectors(cluster))
            picture = None if glyph is None else self.library.picture(run.face, glyph)
            if glyph is None or picture is None:
                raise AssertionError(f"{run.face} was chosen for {cluster!r} but has no picture")
            em = _PICTURE_EM / picture.rgba.shape[0]
            x0, y0, x1, y1 = picture.ink
            left, top = pen + _PICTURE_SIDE_EM, self._middle + _PICTURE_EM / 2
            right = left + (x1 - x0) * em
            ink = (left, top - y1 * em, right, top - y0 * em)
            glyphs.append(ShapedGlyph(run.face, glyph, left, 0.0, start, ink, picture=True))
            pen = right + _PICTURE_SIDE_EM + tracking
        return pen


def measure_advance(text: str, spec: FontSpec, library: FontLibrary, size: float = 1.0) -> float:
    """Return the advance width of one line of text at `size` pixels, by default in em."""
    return ShapedParagraph(text, spec, library).line(0, len(text)).advance * size


def bidi_levels(text: str, base: int | None = None) -> list[int]:
    """Return the embedding level of each character (odd is right-to-left), the same for a whole
    cluster. `base` is the text's level; where it is None, the first strong letter decides."""
    levels = bidi.resolve_levels(text, base)
    # Marks and joiners never part from their letter.
    starts = grapheme_starts(text)
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        levels[start:end] = [levels[start]] * (end - start)
    return levels


def _visual_order(runs: list[_TextRun]) -> list[_TextRun]:
    """Runs from left to right (UAX 9, rule L2)."""
    order = list(runs)
    highest = max((r.level for r in runs), default=0)
    for level in range(highest, 0, -1):
        i = 0
        while i < len(order):
            j = i
            while j < len(order) and order[j].level >= level:
                j += 1
            if j > i:
                order[i:j] = reversed(order[i:j])
            i = max(j, i + 1)
    return order


def _resolve_scripts(text: str) -> list[str]:
    """Shared characters take the script before them, at the start the one after (UAX 24, 5.1)."""
    found = [script_of(c) for c in text]
    last = next((s for s in found if s), "Zyyy")
    scripts = []
    for script in found:
        last = script or last
        scripts.append(last)
    return scripts
