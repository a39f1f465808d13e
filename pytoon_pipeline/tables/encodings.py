"""Decoding of text files whose encoding nobody names.

A file that is not Unicode is decoded in every usual encoding, and each reading is judged as
language: by letter pairs of some forty languages, taken from the names of languages, countries,
months, units and currencies that CLDR has in them (through Babel). Where two readings are about as
good, or the best one is like no language, the file is refused: no encoding is a fallback.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from unicodedata import category

from pytoon_pipeline.errors import Problem, UserError

_SAMPLE = 200
"""Cells that are judged."""
_OTHER_LANGUAGE = 4.0
"""What it costs a cell to be of another language than the table."""
_MAX_JUDGED = 400_000
"""Bytes that they are looked for in."""

_WESTERN = ("en", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "nb", "fi", "is", "ca")
_CENTRAL = ("pl", "cs", "sk", "hu", "ro", "hr", "sl", "sq", "de")
_CYRILLIC = ("ru", "uk", "bg", "sr", "mk", "be")
_BALTIC = ("lt", "lv", "et")


@dataclass(frozen=True)
class _Candidate:
    codec: str
    shown: str
    languages: tuple[str, ...]
    prior: float
    """Natural logarithm of how often such files come, near enough."""

    @property
    def worst(self) -> float:
        """Mean logarithm of the likelihood of a letter, under which a reading is like no
        language."""
        return -10.2 if self.languages[0] in _CHARSETS else -6.2


_CANDIDATES = (
    _Candidate("cp1252", "Windows-1252 (Western)", _WESTERN, 0),
    _Candidate("cp1250", "Windows-1250 (Central European)", _CENTRAL, -1),
    _Candidate("cp1251", "Windows-1251 (Cyrillic)", _CYRILLIC, -1),
    _Candidate("cp1253", "Windows-1253 (Greek)", ("el",), -2),
    _Candidate("cp1254", "Windows-1254 (Turkish)", ("tr", "az"), -2),
    _Candidate("cp1255", "Windows-1255 (Hebrew)", ("he",), -2),
    _Candidate("cp1256", "Windows-1256 (Arabic)", ("ar", "fa"), -2),
    _Candidate("cp1257", "Windows-1257 (Baltic)", _BALTIC, -2),
    _Candidate("cp1258", "Windows-1258 (Vietnamese)", ("vi",), -4),
    _Candidate("cp874", "Windows-874 (Thai)", ("th",), -2),
    _Candidate("cp932", "Shift-JIS (Japanese)", ("ja",), -2),
    _Candidate("euc_jp", "EUC-JP (Japanese)", ("ja",), -4),
    _Candidate("gb18030", "GBK (simplified Chinese)", ("zh",), -2),
    _Candidate("cp950", "Big5 (traditional Chinese)", ("zh_Hant",), -2),
    _Candidate("cp949", "EUC-KR (Korean)", ("ko",), -2),
    _Candidate("koi8_r", "KOI8-R (Cyrillic)", ("ru", "bg"), -4),
    _Candidate("koi8_u", "KOI8-U (Cyrillic)", ("uk",), -5),
    _Candidate("mac_roman", "MacRoman", _WESTERN, -4),
    _Candidate("mac_cyrillic", "MacCyrillic", ("ru", "uk"), -5),
    _Candidate("mac_latin2", "MacCentralEurope", _CENTRAL, -7),
    _Candidate("iso8859_2", "ISO 8859-2 (Central European)", _CENTRAL, -3),
    _Candidate("iso8859_15", "ISO 8859-15 (Western)", _WESTERN, -4),
    _Candidate("cp850", "DOS 850 (Western)", _WESTERN, -6),
    _Candidate("cp852", "DOS 852 (Central European)", _CENTRAL, -6),
    _Candidate("cp866", "DOS 866 (Cyrillic)", ("ru",), -6),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CLEAR = 3.0
"""The best reading must be e^3 times likelier than any other that says something else."""
_CLEAR_OF_FEW = 5.5
"""Where one or two characters are all there is to tell by, and they are not Western ones."""


def decode_text(data: bytes, shown: str, encoding: str | None = None) -> tuple[str, list[Problem]]:
    """Return the text of a file, and the problems of how it was decoded. `shown` is the file's name
    in messages.

    `encoding` is the one that a person names. Raises UserError where that is wrong, or where none
    is named and the encoding can't be determined.
    """
    if encoding is not None:
        return _decode_as(data, shown, encoding), []
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _decode_as(data, shown, name), []
    unmarked = _decode_unmarked_utf16(data)
    if unmarked is not None:
        return _decode_as(data, shown, unmarked), []
    if b"\x1b$" in data[:_MAX_JUDGED] and data.isascii():
        return _decode_as(data, shown, "iso2022_jp"), []
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError:
        pass
    _refuse_mixed(data, shown)
    readings = _rank_readings(data)
    if not readings:
        raise _encoding_error(shown, "is not text in a known encoding.")
    best = readings[0]
    clear = _CLEAR if best.candidate.prior == 0 or best.signs > 2 else _CLEAR_OF_FEW
    others = [r for r in readings[1:] if r.score > best.score - clear]
    if best.per_letter < best.candidate.worst or others:
        likely = [best, *others][:3]
        could = " or ".join(f"{r.candidate.shown} ({r.sample!r})" for r in likely)
        raise _encoding_error(
            shown,
            f"is not UTF-8, and which encoding it is in can't be told: {could}."
            if others
            else "is not UTF-8, and read in any usual encoding it is like no language: "
            f"{best.sample!r}.",
            best.candidate.codec,
        )
    text = data.decode(best.candidate.codec, "replace")
    return text, [
        Problem(
            "table.encoding",
            f"is not UTF-8; it was read as {best.candidate.shown}: {best.sample!r}.",
            f"Where letters look wrong, {_encoding_remedy(best.candidate.codec)}",
            "warning",
            shown,
        )
    ]


def _refuse_mixed(data: bytes, shown: str) -> None:
    """A file that is UTF-8 in most places: rows of two programs were put together."""
    text = data[:_MAX_JUDGED].decode("utf-8", "surrogateescape")
    other = [c for c in text if c > "\x7f"]
    wrong = sum("\udc80" <= c <= "\udcff" for c in other)
    if wrong and len(other) - wrong > wrong:
        at = next(i for i, c in enumerate(text) if "\udc80" <= c <= "\udcff")
        line = text.count("\n", 0, at) + 1
        raise _encoding_error(shown, f"is UTF-8, but not in line {line}.")


_PUBLIC = {
    "cp932": "shift-jis",
    "gb18030": "gbk",
    "cp950": "big5",
    "cp949": "euc-kr",
    "koi8_r": "koi8-r",
    "koi8_u": "koi8-u",
    "mac_roman": "macroman",
    "mac_cyrillic": "x-mac-cyrillic",
    "euc_jp": "euc-jp",
    "cp874": "windows-874",
    "mac_latin2": "mac-latin2",
}


def _encoding_remedy(codec: str) -> str:
    return (
        "save it as 'CSV UTF-8' or as XLSX, or name its encoding in a mapping file beside it "
        f"(encoding: {_PUBLIC.get(codec, codec.replace('cp125', 'windows-125'))})."
    )


def _encoding_error(shown: str, message: str, codec: str = "cp1252") -> UserError:
    remedy = _encoding_remedy(codec)
    return UserError(Problem("table.encoding", message, remedy[0].upper() + remedy[1:], file=shown))


def _decode_as(data: bytes, shown: str, encoding: str) -> str:
    try:
        codec = codecs.lookup(_ALIASES.get(re.sub(r"[\W_]+", "", encoding.lower()), encoding))
        if codec.name == "utf-8":
            codec = codecs.lookup("utf-8-sig")
        if codec.name.startswith(("idna", "punycode", "unicode_", "raw_unicode", "undefined")):
            raise LookupError
        text, _ = codec.decode(data, "strict")
        if not isinstance(text, str):
            raise LookupError
        return text
    except UnicodeDecodeError as error:
        raise _encoding_error(
            shown,
            f"is not in {encoding}: the byte {data[error.start]:#04x} at {error.start:,} "
            "means nothing there.",
        ) from error
    except (LookupError, ValueError, TypeError) as error:
        raise _encoding_error(shown, f"{encoding[:40]!r} is no encoding that is known.") from error


_ALIASES = {
    "ansi": "cp1252",
    "western": "cp1252",
    "cyrillic": "cp1251",
    "macroman": "mac_roman",
    "macintosh": "mac_roman",
    "xmacroman": "mac_roman",
    "maccyrillic": "mac_cyrillic",
    "xmaccyrillic": "mac_cyrillic",
    "shiftjis": "cp932",
    "sjis": "cp932",
    "windows31j": "cp932",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "euckr": "cp949",
    "ksc56011987": "cp949",
    "uhc": "cp949",
    "big5": "cp950",
    "unicode": "utf-16",
    "windows874": "cp874",
    "tis620": "cp874",
    "iso88591": "cp1252",
    "latin1": "cp1252",  # What is called so is what Windows writes.
}


def _decode_unmarked_utf16(data: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of most scripts is nought, or one and the same."""
    head = data[:2_000]
    # Names of columns are mostly ASCII, whatever stands below them.
    if head[1::2].count(0) > len(head) // 4 or head[1:8:2] == b"\0\0\0\0" != head[:7:2]:
        return "utf-16-le"
    if head[::2].count(0) > len(head) // 4 or head[:7:2] == b"\0\0\0\0" != head[1:8:2]:
        return "utf-16-be"
    return None


# Readings ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _DecodedText:
    candidate: _Candidate
    score: float
    per_letter: float
    signs: int
    """Characters that are not ASCII."""
    sample: str


_RUN = re.compile(r"[A-Za-z\x80-\U0010ffff]+")
"""What stands between blanks, digits and signs of ASCII, which all encodings read alike."""
_PHRASE = re.compile(r"[^;,\t|\"\r\n<>]+")
"""A cell, or a part of one, whose words are of one language."""
_WORD = re.compile(r"[^\W\d_]+")
_PRICE = re.compile(r"(?<!\w)[£€¥₪](?=\s?\d)|(?<=\d)\s?(?:[£€¥₪]|zł|Kč|лв|грн|руб)(?!\w)")
"""A sign of money beside a digit: `£19` is that, and `Ł19`, from the same bytes, is nothing."""
_FOR_PRICE = 4.0
_MAX_PRICES = 10


def _rank_readings(data: bytes) -> list[_DecodedText]:
    """Readings that say different things, the likeliest first."""
    part = data[:_MAX_JUDGED]
    if len(data) > len(part):  # Not in the midst of a character.
        part = part[: part.rfind(b"\n") + 1] or part
    lines = [line for line in re.split(rb"[\r\n]+", part) if not line.isascii()]
    sample = b"\n".join(lines[:_SAMPLE])
    found: dict[str, _DecodedText] = {}
    for candidate in _CANDIDATES:
        try:
            text = sample.decode(candidate.codec)
            part.decode(candidate.codec)
        except UnicodeDecodeError:
            continue
        phrases = [
            _RUN.findall(phrase) for phrase in _PHRASE.findall(text) if not phrase.isascii()
        ][:_SAMPLE]
        words = [word for phrase in phrases for word in phrase]
        if not words or any(_is_control(c) for w in words for c in w):
            continue
        score, letters = _score_all(phrases, candidate.languages)
        prices = min(len(_PRICE.findall(text)), _MAX_PRICES)
        reading = _DecodedText(
            candidate,
            score + candidate.prior + _FOR_PRICE * prices,
            score / max(1, letters),
            sum(c > "\x7f" for w in words for c in w),
            _shown_sample(text),
        )
        known = found.get(text)
        if known is None or known.score < reading.score:
            found[text] = reading
    return sorted(found.values(), key=lambda r: -r.score)


def _is_control(character: str) -> bool:
    return "\x80" <= character <= "\x9f" or "\ue000" <= character <= "\uf8ff"


def _shown_sample(text: str) -> str:
    """Some words around the first character that is not ASCII."""
    at = next((i for i, c in enumerate(text) if ord(c) > 0x7F and c.isalpha()), 0)
    at = at or next((i for i, c in enumerate(text) if ord(c) > 0x7F), 0)
    start = max(text.rfind(mark, 0, at) for mark in ';,\t\n"') + 1
    end = min((e for mark in ';,\t\n"\r' if (e := text.find(mark, at)) >= 0), default=len(text))
    return text[max(start, at - 20) : min(end, at + 30)].strip()


def _score_all(phrases: list[list[str]], languages: tuple[str, ...]) -> tuple[float, int]:
    """As `_score_words`, in the language that fits best; single phrases may be of another one, as
    in a table of several locales."""
    by_language = [[_score_words(words, name) for words in phrases] for name in languages]
    best = [max(scores) for scores in zip(*by_language, strict=True)]
    totals = [
        sum(max(own[0], other[0] - _OTHER_LANGUAGE) for own, other in zip(row, best, strict=True))
        for row in by_language
    ]
    return max(totals), sum(letters for _, letters in best)


def _score_words(words: list[str], language: str) -> tuple[float, int]:
    """Logarithm of the likelihood of some words in a language, and how many letters they have."""
    model = _load_model(language)
    total, letters = 0.0, 0
    for word in words:
        before = "  "  # The two characters before.
        for at, character in enumerate(word):
            letters += 1
            if category(character)[0] not in "LM":
                total += _SIGNS.get(character, _RARE_SIGN)
                if _is_between_letters(word, at):
                    total -= 6.0  # `Gr÷e`: signs stand beside words, not within.
                elif character not in _BESIDE and len(word) > 3:
                    total -= 3.0
                if before[1] != " ":
                    total += model.pair_likelihood(before, " ")
                before = "  "
                continue
            lower = character.lower()
            total += model.pair_likelihood(before, lower)
            if at and character.isupper() and word[at - 1].islower():
                total -= 6.0  # `вЫ`, `éTÉ`: a capital begins a word, or all are.
            before = before[1] + lower[-1]
        if before[1] != " ":
            total += model.pair_likelihood(before, " ")
            letters += 1
        if not word.isascii() and _is_mixed(word):
            total -= 8.0
    return total, letters


def _is_between_letters(word: str, at: int) -> bool:
    return 0 < at < len(word) - 1 and word[at - 1].isalpha() and word[at + 1].isalpha()


def _is_mixed(word: str) -> bool:
    """Are there letters of Latin beside those of another script?"""
    kinds = {c < "\u0250" or "\u1e00" <= c < "\u1f00" for c in word if c.isalpha()}
    return len(kinds) > 1


_BESIDE = frozenset("–—“”„’‘«»…®™©°€\u00a0")
"""Signs that stand right beside a word."""
_SIGNS = {
    **dict.fromkeys("–—“”„’‘«»…®™©°€£§·•×¡¿²³½¼´\u00a0、。・「」，！？：；（）％", -5.5),
    **dict.fromkeys("×¡¿€°", -3.0),
    **dict.fromkeys("‚‹›†‡‰¢¥¤¦¨¬¯±µ¶¹º¾÷№", -8.0),
}
_RARE_SIGN = -12.0


@dataclass(frozen=True)
class _LetterModel:
    triples: dict[str, float]
    pairs: dict[str, float]
    singles: dict[str, float]
    charset: str
    """Of a script with thousands of characters: where its usual ones stand."""
    other: float
    """Of a character that never came."""

    def pair_likelihood(self, before: str, character: str) -> float:
        found = self.triples.get(before + character)
        if found is None:
            found = self.pairs.get(before[1] + character)
        if found is None:
            found = self.singles.get(character)
        return found if found is not None else self._unknown_likelihood(character)

    def _unknown_likelihood(self, character: str) -> float:
        if not self.charset or character < "\u2e80":
            return self.other
        try:
            lead = character.encode(self.charset)[0]
        except UnicodeEncodeError:
            return self.other
        first, last = _USUAL[self.charset]
        return -9.0 if first <= lead <= last else -11.0


_CHARSETS = {"ja": "euc_jp", "zh": "gb2312", "zh_Hant": "big5", "ko": "euc_kr"}
_USUAL = {
    "euc_jp": (0xA4, 0xCF),
    "gb2312": (0xB0, 0xD7),
    "big5": (0xA4, 0xC6),
    "euc_kr": (0xB0, 0xC8),
}
"""First bytes of the characters that a charset has in its first, common part."""
_KOREAN = (
    "이다에의는로하을가고지서한은기으년대사시를리도인스일자그해어라나제수들부정전여보장적과있것조만주아"
    "상니마동비면구원세성소안우공신관선경유치문실바화오회방행무생중생용분위물발모거연계트없양국내게되식"
    "재개학당까때말들알간명목업당민강산심감품새컬렉션머그컵의목무핸드메이드커피선물할인판매신상품특가"
)


def _common_characters(language: str) -> Iterator[str]:
    names = {"ja": "ja", "zh": "zh-hans", "zh_Hant": "zh-hant"}
    if language == "ko":
        yield from set(_KOREAN)
    if language not in names:
        return
    import budoux

    path = Path(budoux.__file__).parent / "models" / f"{names[language]}.json"
    features = json.loads(path.read_text(encoding="utf-8"))
    yield from sorted({c for table in features.values() for text in table for c in text})


@lru_cache(maxsize=64)
def _load_model(language: str) -> _LetterModel:
    """Of pairs of letters, from the words that CLDR has in a language."""
    words = [w for phrase in _iterate_phrases(language) for w in _WORD.findall(phrase)]
    spaced = [f"  {word.lower()} " for word in words]
    triples = Counter(text[i : i + 3] for text in spaced for i in range(len(text) - 2))
    pairs = Counter(text[i : i + 2] for text in spaced for i in range(1, len(text) - 1))
    singles = Counter("".join(text[2:] for text in spaced))
    # Scripts with thousands of characters: their commonest are known from elsewhere, too.
    for character in _common_characters(language):
        singles[character] += 2
    total = sum(singles.values())
    before_one: Counter[str] = Counter()
    before_two: Counter[str] = Counter()
    for text, count in pairs.items():
        before_one[text[0]] += count
    for text, count in triples.items():
        before_two[text[:2]] += count
    alone = {c: n / total for c, n in singles.items()}
    two = {
        pair: 0.85 * n / (before_one[pair[0]] + 2) + 0.15 * alone[pair[1]]
        for pair, n in pairs.items()
    }
    three = {
        text: 0.7 * n / (before_two[text[:2]] + 3) + 0.3 * two[text[1:]]
        for text, n in triples.items()
    }
    charset = _CHARSETS.get(language, "")
    # Where there are thousands of characters, few pairs of them ever come.
    least = (0.05, 0.3) if not charset else (0.6, 0.7)
    return _LetterModel(
        {} if charset else {text: math.log(p) for text, p in three.items()},
        {text: math.log(least[1] * p) for text, p in two.items()},
        {text: math.log(least[0] * p) for text, p in alone.items()},
        charset,
        -12.0,
    )


def _iterate_phrases(language: str) -> Iterator[str]:
    from babel import Locale

    locale = Locale.parse(language)
    for names in (locale.languages, locale.territories, locale.currencies):
        yield from (str(text) for text in names.values())
    for table in (locale.months["format"], locale.days["format"]):
        for width in ("wide", "abbreviated"):
            yield from (str(text) for text in table[width].values())
    for widths in dict(locale.unit_display_names).values():
        yield from (str(text) for text in dict(widths).values())
