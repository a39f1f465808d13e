"""From characters to placed glyphs, in em: nothing here knows a size in pixels but `measure`.

A `Paragraph` is analysed once: bidi levels, scripts and faces of every character. Its lines are
then shaped on demand and kept, so that trying line breaks costs little. Glyphs are not hinted,
so a line shaped once is right at every size.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import uharfbuzz as hb
from bidi import algorithm as bidi

from ..errors import Problem, UserError
from .fonts import Face, FontLibrary

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
    "Zsye": ("emoji", "Noto Emoji"),
    "Zsym": ("symbols", "Noto Sans Symbols 2"),
}

# Characters that a font may lack but that look like, or are as wide as, one that it has.
_STAND_INS = str.maketrans(
    {"\u2010": "-", "\u2011": "-", "\u202f": "\u00a0", "\u2007": "\u00a0", "\ufeff": "\u2060"}
    | {chr(c): " " for c in (*range(0x2000, 0x2007), *range(0x2008, 0x200B), 0x205F)}
)

_KANA = frozenset({"Hira", "Kana"})
_NO_BREAK_SPACES = "\u00a0\u202f\u2007"
BREAKING_SPACES = " \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u205f\u3000"
_NO_LINE_START = set(
    "!?:;,.)]}»”’%‰…·、。，．・：；？！）］｝〉》」』】〕〗〙〟ーゝゞ々ヽヾ‐゠–〜～"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ€£¥$¢°"
)
_NO_LINE_END = set("([{«“‘¿¡（［｛〈《「『【〔〖〘〝＄￥￡#")


class MissingGlyph(UserError):
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
class Glyph:
    """One glyph of a line, in em from the line's left end on the baseline; y points up."""

    face: Face
    id: int
    x: float
    y: float
    cluster: int
    """Index of the character it stands for (the first, of a ligature)."""
    ink: tuple[float, float, float, float] | None
    """x0, y0, x1, y1 of its black in the same coordinates; None of a space."""


@dataclass(frozen=True)
class ShapedLine:
    """A line's glyphs from left to right, in em."""

    glyphs: tuple[Glyph, ...]
    advance: float
    ink: tuple[float, float, float, float] | None
    """x0, y0, x1, y1 of all black; None of a blank line."""


@dataclass(frozen=True)
class _Run:
    start: int
    end: int
    level: int
    script: str
    face: Face


class Paragraph:
    """A text with its levels, scripts and faces. Raises `MissingGlyph`, or `PresetError` where the
    family asked for does not exist."""

    def __init__(self, text: str, spec: FontSpec, library: FontLibrary):
        self.text, self.spec, self.library = text, spec, library
        self.clusters = grapheme_starts(text)
        language = spec.language.replace("_", "-").split("-")[0].lower()
        self.levels = bidi_levels(text, 1 if language in _RTL_LANGUAGES else None)
        self.scripts = _resolve_scripts(text)
        self.faces = _choose_faces(self)
        self._lines: dict[tuple[int, int], ShapedLine] = {}

    def line(self, start: int, end: int) -> ShapedLine:
        """The line that holds text[start:end], shaped. A soft hyphen at its end is drawn."""
        line = self._lines.get((start, end))
        if line is None:
            line = self._lines[start, end] = self._shape(start, end)
        return line

    def _runs(self, start: int, end: int) -> Iterator[_Run]:
        first = start
        for i in range(start, end):
            here = (self.levels[i], self.scripts[i], self.faces[i])
            if i + 1 < end and here == (
                self.levels[i + 1],
                self.scripts[i + 1],
                self.faces[i + 1],
            ):
                continue
            yield _Run(first, i + 1, *here)
            first = i + 1

    def _shape(self, start: int, end: int) -> ShapedLine:
        text = self.text[:end]
        if text.endswith("\u00ad"):
            text = text[:-1] + "-"
        runs = _visual_order(list(self._runs(start, end)))
        glyphs: list[Glyph] = []
        pen = 0.0
        tracking = 0.0
        for run in runs:
            tracking = 0.0 if run.script in _UNTRACKED_SCRIPTS else self.spec.letter_spacing
            pen = self._shape_run(text, run, tracking, pen, glyphs)
        inks = [g.ink for g in glyphs if g.ink]
        ink = None
        if inks:
            left, bottom, right, top = zip(*inks, strict=True)
            ink = (min(left), min(bottom), max(right), max(top))
        return ShapedLine(tuple(glyphs), pen - tracking if glyphs else 0.0, ink)

    def _shape_run(
        self, text: str, run: _Run, tracking: float, pen: float, glyphs: list[Glyph]
    ) -> float:
        font = self.library.font(run.face)
        em = font.face.upem
        drawn = text
        if not self.library.covers(run.face, text[run.start : run.end]):
            drawn = text.translate(_STAND_INS)
        buffer = hb.Buffer()
        buffer.add_codepoints([ord(c) for c in drawn], run.start, run.end - run.start)
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
            glyphs.append(Glyph(run.face, info.codepoint, x, y, info.cluster, ink))
            pen += position.x_advance / em
            if n + 1 == len(infos) or infos[n + 1].cluster != info.cluster:
                pen += tracking
        return pen


def measure(text: str, spec: FontSpec, library: FontLibrary, size: float = 1.0) -> float:
    """Advance width of one line of text at `size` pixels (in em where no size is given)."""
    return Paragraph(text, spec, library).line(0, len(text)).advance * size


def bidi_levels(text: str, base: int | None = None) -> list[int]:
    """Embedding level of each character (odd is right-to-left), by the Unicode Bidirectional
    Algorithm (UAX 9); `base` is the paragraph's level, by its first strong letter where None.

    Isolates are taken as embeddings.
    """
    text = text.replace("\n", " ").translate(
        {0x2066: 0x202A, 0x2067: 0x202B, 0x2068: 0x202A, 0x2069: 0x202C}
    )
    base = bidi.get_base_level(text) if base is None else base
    if base == 0 and not any(
        bidi.bidirectional(c) in {"R", "AL", "AN", "RLE", "RLO"} for c in text
    ):
        return [0] * len(text)
    storage = bidi.get_empty_storage()
    storage["base_level"], storage["base_dir"] = base, "LR"[base]
    bidi.get_embedding_levels(text, storage)
    for index, char in enumerate(storage["chars"]):
        char["index"] = index
    bidi.explicit_embed_and_overrides(storage)
    bidi.resolve_weak_types(storage)
    bidi.resolve_neutral_types(storage, False)
    bidi.resolve_implicit_levels(storage, False)
    levels: list[int | None] = [None] * len(text)
    for char in storage["chars"]:
        levels[char["index"]] = char["level"]
    # What the algorithm removes (rule X9) is invisible: it goes with what stands before it.
    resolved: list[int] = []
    for level in levels:
        resolved.append(level if level is not None else (resolved[-1] if resolved else base))
    # Marks and joiners never part from their letter.
    starts = grapheme_starts(text)
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        resolved[start:end] = [resolved[start]] * (end - start)
    return resolved


def _visual_order(runs: list[_Run]) -> list[_Run]:
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


@lru_cache(maxsize=4096)
def _script(char: str) -> str | None:
    """ISO 15924 tag; None of what scripts share (digits, punctuation, marks)."""
    buffer = hb.Buffer()
    buffer.add_str(char)
    buffer.guess_segment_properties()
    return buffer.script


def _resolve_scripts(text: str) -> list[str]:
    """Shared characters take the script before them, at the start the one after (UAX 24, 5.1)."""
    found = [_script(c) for c in text]
    last = next((s for s in found if s), "Zyyy")
    scripts = []
    for script in found:
        last = script or last
        scripts.append(last)
    return scripts


def is_ignorable(char: str) -> bool:
    """Whether a font need not have the character because nothing of it is drawn."""
    code = ord(char)
    return (
        unicodedata.category(char) in {"Cf", "Cc"}
        or code == 0x034F
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )


def _choose_faces(paragraph: Paragraph) -> list[Face]:
    """A face for each character, the same for a whole cluster."""
    text, spec, library = paragraph.text, paragraph.spec, paragraph.library
    asked = [library.require(spec.family, spec.weight)]
    for family in spec.fallback_families:
        if face := library.find(family, spec.weight):
            asked.append(face)
    faces: list[Face] = []
    missing: dict[str, str] = {}
    starts = paragraph.clusters
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        cluster = text[start:end]
        face = _face_of(cluster, asked, faces[-1] if faces else None, spec.weight, library)
        if face is None:
            script = _script_of_missing(cluster, paragraph.scripts[start])
            if script in {"Hani", "Kana"} and not _KANA.isdisjoint(paragraph.scripts):
                script = "Hira"  # kanji: one font has them all
            known = missing.get(script, "")
            missing[script] = known + "".join(
                c
                for c in dict.fromkeys(cluster)
                if c not in known and not is_ignorable(c) and not library.covers(asked[0], c)
            )
            face = asked[0]
        faces.extend([face] * (end - start))
    if missing:
        problems = [_missing_problem(script, chars) for script, chars in missing.items()]
        names = tuple(_script_name(script, chars)[0] for script, chars in missing.items())
        raise MissingGlyph("".join(missing.values()), names, problems)
    return faces


def _face_of(
    cluster: str, asked: list[Face], before: Face | None, weight: int, library: FontLibrary
) -> Face | None:
    needed = "".join(c for c in cluster if not is_ignorable(c))
    stand_in = needed.translate(_STAND_INS)
    if not stand_in.strip() and before is not None:
        # A space belongs to the words before it: it must not cut a run in two.
        asked = [before, *asked]
    for face in asked:
        if library.covers(face, needed) or library.covers(face, stand_in):
            return face
    if not needed:
        return before or asked[0]
    return library.covering(needed, weight)


def _script_of_missing(cluster: str, script: str) -> str:
    char = cluster[0]
    own = _script(char)
    if own:
        return own
    code = ord(char)
    if 0x1F000 <= code <= 0x1FAFF or "\ufe0f" in cluster:
        return "Zsye"
    return "Zsym" if unicodedata.category(char)[0] == "S" or script == "Zyyy" else script


def _script_name(script: str, chars: str) -> tuple[str, str]:
    if script in _SCRIPTS:
        return _SCRIPTS[script]
    # "OSMANYA LETTER ALEF": Unicode names its letters by their script.
    name = unicodedata.name(chars[0], "unknown letter").split()[0].capitalize()
    return name, f"Noto Sans {name}"


def _missing_problem(script: str, chars: str) -> Problem:
    name, font = _script_name(script, chars)
    listed = ", ".join(f"{c} (U+{ord(c):04X})" for c in chars[:8])
    more = f" and {len(chars) - 8} more" if len(chars) > 8 else ""
    return Problem(
        code="font.missing_glyph",
        message=f"No font has these characters ({name}): {listed}{more}.",
        remedy=f"Put a font that has them, for example {font}, into the fonts folder.",
    )


def grapheme_starts(text: str) -> list[int]:
    """Where user-perceived characters begin (UAX 29, without Hangul jamo, which NFC composes)."""
    starts: list[int] = []
    flags = 0
    for i, char in enumerate(text):
        before = text[i - 1] if i else ""
        flag = 0x1F1E6 <= ord(char) <= 0x1F1FF
        joined = bool(before) and (
            unicodedata.category(char) in {"Mn", "Mc", "Me"}
            or char in "\u200d\u200c"
            or 0x1F3FB <= ord(char) <= 0x1F3FF
            or 0xE0020 <= ord(char) <= 0xE007F
            or (before == "\u200d" and not char.isspace())
            or (unicodedata.combining(before) == 9 and char.isalpha())
            or (flag and flags % 2 == 1)
        )
        flags = flags + 1 if flag else 0
        if not joined or before == "\n":
            starts.append(i)
    return starts


def cells(text: str) -> int:
    """Length as a reader counts it: a cluster is 1, of a wide (CJK) one 2."""
    return sum(
        2 if unicodedata.east_asian_width(text[i]) in "WF" else 1
        for i in grapheme_starts(text)
        if not is_ignorable(text[i])
    )


def break_opportunities(text: str) -> list[int]:
    """Indices before which a new line may start: after spaces and newlines, after hyphens and
    dashes inside words, at soft hyphens and zero-width spaces, and between CJK characters.

    Never inside a cluster or at a non-breaking space; never before closing or after opening
    punctuation (also where French sets a space there). Ends are not listed.
    """
    starts = grapheme_starts(text)
    return [i for i in starts if 0 < i < len(text) and _may_break(text, i)]


def _may_break(text: str, i: int) -> bool:
    before, after = text[i - 1], text[i]
    if before == "\n":
        return True
    if after in BREAKING_SPACES or after in "\n\u200b\u2060\ufeff" or after in _NO_BREAK_SPACES:
        return False
    if before in _NO_BREAK_SPACES or before in "\u2060\ufeff":
        return False
    if before in "\u200b\u00ad":
        return True
    if before in BREAKING_SPACES:
        word_before = text[:i].rstrip(BREAKING_SPACES)
        if not word_before or word_before[-1] in _NO_LINE_END:
            return False
        following = text[i : i + 2]
        if after in "–—-" and (len(following) < 2 or following[1] in BREAKING_SPACES):
            return False  # a dash between spaces stays with what it follows
        return after not in _NO_LINE_START or (
            after in "$£€¥.–'’" and len(following) == 2 and following[1].isalnum()
        )
    if after in _NO_LINE_START or before in _NO_LINE_END:
        return False
    if before in "-\u2010–—":
        sides = text[max(i - 3, 0) : i - 1], text[i : i + 2]
        return all(len(side) == 2 and side.isalpha() for side in sides)
    return _breaks_around(before) or _breaks_around(after)


def _breaks_around(char: str) -> bool:
    """Ideographs and kana, between which lines break anywhere. Korean breaks at its spaces."""
    return _script(char) in _KANA | {"Hani"} or char in "、。，！？」』）】〉》・ー々〜"
