"""From characters to placed glyphs, in em: nothing here knows a size in pixels but
`measure_advance`.

A `ShapedParagraph` is analysed once: bidi levels, scripts and faces of every character. Its lines
are then shaped on demand and kept, so that trying line breaks costs little. Glyphs are not hinted,
so a line shaped once is right at every size."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import uharfbuzz as hb

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.picture import bidi
from pytoon_pipeline.picture.fonts import FontFace, FontLibrary
from pytoon_pipeline.picture.line_breaks import (
    KANA,
    cells_at,
    grapheme_starts,
    is_emoji,
    is_ignorable,
    is_traditional,
    script_of,
)

# Joined or hung from one line: tracking would tear the letters apart (CSS Text 3, 8.2.1 and 8.3).
_UNTRACKED_SCRIPTS = frozenset(
    {"Arab", "Syrc", "Mong", "Nkoo", "Phag", "Mand", "Mani", "Adlm", "Rohg"}
    | {"Deva", "Beng", "Guru", "Tibt"}
)
_RTL_LANGUAGES = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "syr", "ug", "ur", "yi"})

# Script (ISO 15924) -> its name and the free fonts that have it.
_SCRIPTS = {
    "Arab": ("Arabic", "Noto Sans Arabic"),
    "Hebr": ("Hebrew", "Noto Sans Hebrew"),
    "Deva": ("Devanagari", "Noto Sans Devanagari"),
    "Beng": ("Bengali", "Noto Sans Bengali"),
    "Guru": ("Gurmukhi", "Noto Sans Gurmukhi"),
    "Gujr": ("Gujarati", "Noto Sans Gujarati"),
    "Taml": ("Tamil", "Noto Sans Tamil"),
    "Telu": ("Telugu", "Noto Sans Telugu"),
    "Knda": ("Kannada", "Noto Sans Kannada"),
    "Mlym": ("Malayalam", "Noto Sans Malayalam"),
    "Sinh": ("Sinhala", "Noto Sans Sinhala"),
    "Thai": ("Thai", "Noto Sans Thai"),
    "Laoo": ("Lao", "Noto Sans Lao"),
    "Khmr": ("Khmer", "Noto Sans Khmer"),
    "Mymr": ("Myanmar", "Noto Sans Myanmar"),
    "Hira": ("Japanese", "Noto Sans JP"),
    "Kana": ("Japanese", "Noto Sans JP"),
    "Hani": ("Chinese or Japanese", "Noto Sans SC or Noto Sans JP"),
    "Hang": ("Korean", "Noto Sans KR"),
    "Cyrl": ("Cyrillic", "Noto Sans"),
    "Grek": ("Greek", "Noto Sans"),
    "Latn": ("Latin", "Noto Sans"),
    "Armn": ("Armenian", "Noto Sans Armenian"),
    "Geor": ("Georgian", "Noto Sans Georgian"),
    "Ethi": ("Ethiopic", "Noto Sans Ethiopic"),
    "Zsye": ("emoji", "Noto Color Emoji"),
    "Zsym": ("symbols", "Noto Sans Symbols 2"),
}

# Characters that a font may lack but that look like, or are as wide as, one that it has.
_STAND_INS = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u202f": "\u00a0", "\u2007": "\u00a0", "\ufeff": "\u2060"}
    | {"\u02bb": "\u2018", "\u02bc": "\u2019"}
    | {chr(c): " " for c in (*range(0x2000, 0x2007), *range(0x2008, 0x200B), 0x205F)}
)
# The same letter in another form (full width, mathematical bold): drawn plainly where no font has
# the form.
_PLAIN_FORMS = str.maketrans(
    {
        chr(c): plain
        for c in (*range(0xFF01, 0xFF5F), *range(0x1D400, 0x1D800))
        if len(plain := unicodedata.normalize("NFKC", chr(c))) == 1 and plain != chr(c)
    }
)

_CONTEXT = 5
"""Characters on either side that decide how a run is shaped: as many as HarfBuzz looks at."""
_PICTURE_EM = 1.1
"""Em that an emoji's picture is high: a little more than letters, as in system text."""
_PICTURE_SIDE_EM = 0.06


class MissingGlyphError(UserError):
    """No font that was given has these characters. Nothing is drawn rather than empty boxes."""

    def __init__(self, characters: str, scripts: tuple[str, ...], problems: list[Problem]):
        self.characters, self.script, self.scripts = characters, scripts[0], scripts
        self.remedy = " ".join(p.remedy for p in problems)
        super().__init__(problems)


@dataclass(frozen=True)
class FontSpec:
    """What decides the shape of a text, whatever its size and colour."""

    family: str
    weight: int = 400
    fallback_families: tuple[str, ...] = ()
    letter_spacing: float = 0.0
    """Tracking in em between clusters; ligatures are off where it is not 0."""
    language: str = ""
    """BCP 47. Picks local letter forms, and the base direction where it is a right-to-left one."""
    all_caps: bool = False
    """The text is in capitals: hyphens, dashes and brackets in their capital form (`case`)."""


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
    the family asked for does not exist."""

    def __init__(self, text: str, spec: FontSpec, library: FontLibrary):
        self.text, self.spec, self.library = text, spec, library
        self.clusters = grapheme_starts(text)
        language = spec.language.replace("_", "-").split("-")[0].lower()
        self.base = 1 if language in _RTL_LANGUAGES else bidi.base_level(text)
        self.levels = bidi_levels(text, self.base)
        self.scripts = _resolve_scripts(text)
        self.faces = choose_faces(self)
        main = library.require(spec.family, spec.weight)
        self._middle = library.metrics(main).cap_height / 2
        self._lines: dict[tuple[int, int], ShapedLine] = {}
        self._cells = [0, *accumulate(cells_at(text, self.clusters))]

    def cells(self, start: int, end: int) -> int:
        """Length of text[start:end] as a reader counts it; both lie between clusters."""
        return self._cells[end] - self._cells[start]

    def line(self, start: int, end: int) -> ShapedLine:
        """The line that holds text[start:end], shaped. A soft hyphen at its end is drawn."""
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
            picture = self.library.picture(run.face, glyph)  # type: ignore[arg-type]
            assert glyph is not None and picture is not None
            em = _PICTURE_EM / picture.rgba.shape[0]
            x0, y0, x1, y1 = picture.ink
            left, top = pen + _PICTURE_SIDE_EM, self._middle + _PICTURE_EM / 2
            right = left + (x1 - x0) * em
            ink = (left, top - y1 * em, right, top - y0 * em)
            glyphs.append(ShapedGlyph(run.face, glyph, left, 0.0, start, ink, picture=True))
            pen = right + _PICTURE_SIDE_EM + tracking
        return pen


def measure_advance(text: str, spec: FontSpec, library: FontLibrary, size: float = 1.0) -> float:
    """Advance width of one line of text at `size` pixels (in em where no size is given)."""
    return ShapedParagraph(text, spec, library).line(0, len(text)).advance * size


def bidi_levels(text: str, base: int | None = None) -> list[int]:
    """Embedding level of each character (odd is right-to-left), the same for a whole cluster;
    `base` is the text's level, by its first strong letter where None."""
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


def choose_faces(paragraph: ShapedParagraph) -> list[FontFace]:
    """A face for each character, the same for a whole cluster."""
    chooser = _Chooser(paragraph)
    faces: list[FontFace] = []
    missing: dict[str, list[str]] = {}
    starts, text = paragraph.clusters, paragraph.text
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        cluster = text[start:end]
        face = chooser.planned.get(start)
        if face is None:
            face = chooser.face(cluster, faces[-1] if faces else None)
        if face is None:
            script = _script_of_missing(cluster, paragraph.scripts[start])
            if script in {"Hani", "Kana"} and not KANA.isdisjoint(paragraph.scripts):
                script = "Hira"  # kanji: one font has them all
            face = chooser.asked[0]
            lost = missing.setdefault(script, [])
            parts = [cluster] if script == "Zsye" else cluster
            lost += [
                c
                for c in dict.fromkeys(parts)
                if c not in lost
                and (script == "Zsye" or not is_ignorable(c))
                and not (len(c) == 1 and paragraph.library.covers_characters(face, c))
            ]
        faces.extend([face] * (end - start))
    if missing:
        problems = [_missing_problem(script, lost) for script, lost in missing.items()]
        names = tuple(script_name(script, lost[0])[0] for script, lost in missing.items())
        characters = "".join(c for lost in missing.values() for c in lost)
        raise MissingGlyphError(characters, names, problems)
    return faces


class _Chooser:
    """Which face a cluster is drawn from.

    All letters of a script are drawn from one face, so that no word changes its look from letter to
    letter: the first of those asked for that has all of them, else one of the library that has
    them, else so for each word. A figure with its currency sign is drawn from one face, too.
    Figures, punctuation and signs go with the letters that there are most of.
    """

    def __init__(self, paragraph: ShapedParagraph):
        spec, self.library = paragraph.spec, paragraph.library
        main = self.library.require(spec.family, spec.weight)
        self.weight = spec.weight
        looks = self.library.measure_heaviness(main)
        if looks >= main.weight + 200:
            self.weight = max(spec.weight, looks)
        others = [self.library.find(f, self.weight) for f in spec.fallback_families]
        self.asked = [main, *(f for f in others if f is not None)]
        self.narrow = self.library.is_narrow(main)
        self.region = _font_region(spec.language, paragraph.scripts)
        self.found: list[FontFace] = []
        self.planned: dict[int, FontFace] = {}
        """Index of a cluster -> its face, of letters and figures."""
        self._plan_letters(paragraph)
        self._plan_figures(paragraph)

    def _plan_letters(self, paragraph: ShapedParagraph) -> None:
        words = _words_by_script(paragraph)
        counts: dict[FontFace, int] = {}
        for script in words:
            whole = [index for word in words[script] for index in word]
            face = self._face_of_all(paragraph, whole)
            for word in [whole] if face else words[script]:
                word_face = face or self._face_of_all(paragraph, word)
                if word_face is None:
                    continue  # letter by letter
                self.planned |= dict.fromkeys(word, word_face)
                counts[word_face] = counts.get(word_face, 0) + len(word)
        if counts:
            # Of equals, the one asked for first.
            ranked = [f for f in self.asked if f in counts] + list(counts)
            home = max(ranked, key=lambda f: (counts[f], -ranked.index(f)))
            self.asked = [home, *(f for f in self.asked if f != home)]

    def _face_of_all(self, paragraph: ShapedParagraph, starts: list[int]) -> FontFace | None:
        """The face that all of these clusters are drawn from."""
        ends = dict(
            zip(paragraph.clusters, [*paragraph.clusters[1:], len(paragraph.text)], strict=True)
        )
        needed = "".join(
            dict.fromkeys(strip_selectors("".join(paragraph.text[i : ends[i]] for i in starts)))
        )
        return self._face_with(needed)

    def _face_with(self, needed: str) -> FontFace | None:
        stand_in = needed.translate(_STAND_INS)
        for face in self.asked:
            if self.library.covers_characters(face, needed) or self.library.covers_characters(
                face, stand_in
            ):
                return face
        plain = stand_in.translate(_PLAIN_FORMS)
        for chars in dict.fromkeys((needed, stand_in, plain)):
            for face in self.asked if chars == plain else self.found:
                if self.library.covers_characters(face, chars):
                    return face
            other = self.library.find_covering_face(
                chars, self.weight, self.region, narrow=self.narrow
            )
            if other is not None:
                self.found.append(other)
                return other
        return None

    def _plan_figures(self, paragraph: ShapedParagraph) -> None:
        text = paragraph.text
        for match in _FIGURE.finditer(text):
            signs = [i for i in paragraph.clusters if match.start() <= i < match.end()]
            if not any(unicodedata.category(text[i]) == "Sc" for i in signs):
                continue
            if any(i in self.planned or is_emoji(text[i : i + 3]) for i in signs):
                continue
            face = self._face_with(strip_selectors(match.group().translate(_STAND_INS)))
            if face is not None:
                self.planned |= dict.fromkeys(signs, face)

    def face(self, cluster: str, before: FontFace | None) -> FontFace | None:
        """The face of a cluster for which none is planned; None where no font has it."""
        needed = strip_selectors(cluster)
        if before is None or before.color:
            before = self.asked[0]
        if "\u00ad" in cluster and not self.library.covers_characters(before, "-"):
            return self.face("-", before)
        if not needed:
            return before
        picture = is_emoji(cluster)
        if picture and (face := self.library.find_emoji_face(cluster)):
            return face
        stand_in = needed.translate(_STAND_INS)
        # A space belongs to the words before it: it must not cut a run in two.
        for face in self.asked if stand_in.strip() else [before, *self.asked]:
            if self.library.covers_characters(face, needed) or self.library.covers_characters(
                face, stand_in
            ):
                return face
        if picture:
            return None  # the outline of some other font is not what was written
        for face in self.found:
            if self.library.covers_characters(face, needed):
                return face
        face = self.library.find_covering_face(
            needed, self.weight, self.region, pictures=True, narrow=self.narrow
        )
        if face is not None and not face.color:
            self.found.append(face)
        plain = stand_in.translate(_PLAIN_FORMS)
        if face is None and plain != stand_in:
            return self.face(plain, before)
        return face


_FIGURE_PART = r"\d.,'\u2019\u066b\u066c\u00bc-\u00be\u00b2\u00b3\u00b9%+\u2212\u2013/-"
_SIGNS = "$\u00a2-\u00a5\u058f\u060b\u09f2\u09f3\u0e3f\u17db\u20a0-\u20cf\ufdfc"
_FIGURE = re.compile(
    rf"(?:[{_SIGNS}][ \u00a0\u202f]?)?[+\u2212-]?\d(?:[{_FIGURE_PART}]|[ \u00a0\u202f](?=\d))*"
    rf"(?:[ \u00a0\u202f]?[{_SIGNS}])?"
)
"""A figure with the sign of a currency before or after it."""


def _words_by_script(paragraph: ShapedParagraph) -> dict[str, list[list[int]]]:
    """Of each script the words: the indices of the clusters of their letters."""
    text, starts = paragraph.text, paragraph.clusters
    japanese = not KANA.isdisjoint(paragraph.scripts)
    words: dict[str, list[list[int]]] = {}
    before: tuple[str, int] | None = None
    for n, start in enumerate(starts):
        cluster = text[start : starts[n + 1] if n + 1 < len(starts) else len(text)]
        if not cluster[0].isalpha() or is_emoji(cluster):
            before = None
            continue
        script = paragraph.scripts[start]
        if japanese and script in {"Hani", *KANA}:
            script = "Hira"
        if before == (script, n - 1):
            words[script][-1].append(start)
        else:
            words.setdefault(script, []).append([start])
        before = script, n
    return words


def nearest_form(char: str, face: FontFace, library: FontLibrary) -> str:
    """The character, or what the face has in its stead."""
    if library.covers_characters(face, char):
        return char
    stand_in = char.translate(_STAND_INS)
    return stand_in if library.covers_characters(face, stand_in) else char.translate(_PLAIN_FORMS)


def strip_selectors(cluster: str) -> str:
    return "".join(c for c in cluster if not is_ignorable(c))


def _font_region(language: str, scripts: list[str]) -> tuple[str, ...]:
    """Words in the names of fonts that draw ideographs as the text's readers know them."""
    tags = language.replace("_", "-").lower().split("-")
    if tags[0] == "ja" or not KANA.isdisjoint(scripts):
        return ("JP", "CJKjp", "Gothic")
    if tags[0] == "ko" or "Hang" in scripts:
        return ("KR", "CJKkr")
    if is_traditional(tags):
        return ("HK", "TC") if "hk" in tags else ("TC", "CJKtc")
    return ("SC", "CJKsc")


def _script_of_missing(cluster: str, script: str) -> str:
    char = cluster[0]
    if is_emoji(cluster) or 0x1F000 <= ord(char) <= 0x1FAFF:
        return "Zsye"
    own = script_of(char)
    if own:
        return own
    return "Zsym" if unicodedata.category(char)[0] == "S" or script == "Zyyy" else script


def script_name(script: str, char: str) -> tuple[str, str]:
    if script in _SCRIPTS:
        return _SCRIPTS[script]
    # "OSMANYA LETTER ALEF": Unicode names its letters by their script.
    name = unicodedata.name(char[0], "unknown letter").split()[0].capitalize()
    return name, f"Noto Sans {name}"


def _missing_problem(script: str, lost: list[str]) -> Problem:
    name, font = script_name(script, lost[0])
    shown = [f"{c} ({' '.join(f'U+{ord(part):04X}' for part in c)})" for c in lost[:8]]
    more = f" and {len(lost) - 8} more" if len(lost) > 8 else ""
    remedy = f"Put a font that has them, for example {font}, into a folder of PYTOON_FONTS_DIR."
    if script == "Zsye":
        remedy = (
            f"Put {font} (NotoColorEmoji.ttf, the one with bitmaps) into a folder of "
            "PYTOON_FONTS_DIR, or take another emoji."
        )
    return Problem(
        code="font.missing_glyph",
        message=f"No font has these characters ({name}): {', '.join(shown)}{more}.",
        remedy=remedy,
    )
