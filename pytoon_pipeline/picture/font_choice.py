"""Choose the font that each character of a text is drawn from, and report characters that no font
has."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.picture.fonts import FontFace, FontLibrary
from pytoon_pipeline.picture.line_breaks import (
    KANA,
    is_emoji,
    is_ignorable,
    is_traditional,
    script_of,
)

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
class AnalysedText:
    """A text and what is known of it before its faces are chosen."""

    text: str
    spec: FontSpec
    library: FontLibrary
    clusters: list[int]
    """Index of the first character of each grapheme cluster."""
    scripts: list[str]
    """ISO 15924 code of each character."""


def choose_faces(paragraph: AnalysedText) -> list[FontFace]:
    """Return a face for each character, the same for a whole cluster. Raises MissingGlyphError."""
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

    def __init__(self, paragraph: AnalysedText):
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

    def _plan_letters(self, paragraph: AnalysedText) -> None:
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

    def _face_of_all(self, paragraph: AnalysedText, starts: list[int]) -> FontFace | None:
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

    def _plan_figures(self, paragraph: AnalysedText) -> None:
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


def _words_by_script(paragraph: AnalysedText) -> dict[str, list[list[int]]]:
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
    """Return the character, or what the face has in its place."""
    if library.covers_characters(face, char):
        return char
    stand_in = char.translate(_STAND_INS)
    return stand_in if library.covers_characters(face, stand_in) else char.translate(_PLAIN_FORMS)


def strip_selectors(cluster: str) -> str:
    """Return a cluster without the characters that nothing is drawn for."""
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
    """Return the name of a script and the font to get for it."""
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
