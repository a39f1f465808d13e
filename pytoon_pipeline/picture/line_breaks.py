"""Characters as readers know them: grapheme clusters, scripts, and the places where lines may
break."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

import budoux
import uharfbuzz as hb
from icu4py.breakers import LineBreaker

# Emoji_Presentation=Yes (Unicode 17, emoji-data.txt), in hexadecimal: pictures where nothing else
# is said. Regional indicators, which flags are made of, are among them.
_EMOJI = """
231a-231b 23e9-23ec 23f0 23f3 25fd-25fe 2614-2615 2648-2653 267f 2693 26a1 26aa-26ab 26bd-26be
26c4-26c5 26ce 26d4 26ea 26f2-26f3 26f5 26fa 26fd 2705 270a-270b 2728 274c 274e 2753-2755 2757
2795-2797 27b0 27bf 2b1b-2b1c 2b50 2b55 1f004 1f0cf 1f18e 1f191-1f19a 1f1e6-1f1ff 1f201 1f21a 1f22f
1f232-1f236 1f238-1f23a 1f250-1f251 1f300-1f320 1f32d-1f335 1f337-1f37c 1f37e-1f393 1f3a0-1f3ca
1f3cf-1f3d3 1f3e0-1f3f0 1f3f4 1f3f8-1f43e 1f440 1f442-1f4fc 1f4ff-1f53d 1f54b-1f54e 1f550-1f567
1f57a 1f595-1f596 1f5a4 1f5fb-1f64f 1f680-1f6c5 1f6cc 1f6d0-1f6d2 1f6d5-1f6d8 1f6dc-1f6df
1f6eb-1f6ec 1f6f4-1f6fc 1f7e0-1f7eb 1f7f0 1f90c-1f93a 1f93c-1f945 1f947-1f9ff 1fa70-1fa7c
1fa80-1fa8a 1fa8e-1fac6 1fac8 1facd-1fadc 1fadf-1faea 1faef-1faf8
"""
EMOJI_CODES = frozenset(
    code
    for first, last in (
        part.split("-") * 2 if "-" not in part else part.split("-") for part in _EMOJI.split()
    )
    for code in range(int(first, 16), int(last, 16) + 1)
)
AS_TEXT, AS_PICTURE, KEYCAP = "\ufe0e", "\ufe0f", "\u20e3"
KANA = frozenset({"Hira", "Kana"})
_WORDS_UNPARTED = frozenset({"Khmr", "Laoo", "Mymr", "Lana", "Talu", "Tale", "Tavt", "Cham"})
"""Scripts of South-East Asia that set no blanks between words; ICU has the words of the first
three. (Thai, of the same kind, is BudouX's.)"""
_SYLLABLES_PARTED = frozenset({"Tibt", "Java", "Bali", "Sund"})
"""Scripts whose lines end after any syllable."""
_LEADING_VOWELS = set("\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4")
_TRAILING_VOWELS = set("\u0e30\u0e32\u0e33\u0e45\u0e46\u0eb0\u0eb2\u0eb3\u0ebd\u0ec6")
_UNITS = frozenset(
    """% ‰ ° °C °F € $ £ ¥ ₹ ₽ ₺ ₴ ₩ ₪ ₫ zł kr Kč Ft lei лв руб грн din RON EUR USD GBP CHF PLN CZK
    HUF SEK NOK DKK TRY JPY INR kg g mg µg t l dl cl ml L mL cm mm m km m² m³ cm² cm³ ha in ft oz lb
    lbs W kW kWh V A Ah mAh Hz kHz MHz GHz K dB GB MB TB KB px s ms min h Min Std Uhr st tr pcs Stk
    szt pm am x кг г мг л мл см мм м км ч мин шт""".split()  # noqa: SIM905
)
_NO_BREAK_SPACES = "\u00a0\u202f\u2007"
BREAKING_SPACES = " \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a\u205f\u3000"
_NO_LINE_START = set(
    "!?:;,.)]}»”’%‰…·、。，．・：；？！）］｝〉》」』】〕〗〙〟ーゝゞ々ヽヾ‐゠–〜～"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ€£¥$¢°ๆฯ"
)
_CJK_STOPS = "、，。．！？；：…」』）】〉》〕"
_GLUE = set(" \n\u1680\u3000\u00a0\u202f\u2007\u200b\u2060\ufeff\u00ad") | {
    chr(c) for c in range(0x2000, 0x200B)
}
_CURRENCY_SIGNS = set("€$£¥₹₽₺₴₩₪₫₦₱฿")
_SIGN_BEFORE = re.compile(
    r"[A-Z]{1,3}\$|RM|Rp|Rs\.?|S/|KSh|AED|BHD|EGP|IDR|ILS|JOD|KES|KWD|MYR|NGN|OMR|PEN|QAR|RON|SAR|TND"
)
"""What stands before an amount with a blank between them, beside signs of one character."""
_ARABIC_CURRENCY = re.compile(
    r"[\u0600-\u06ff]\.[\u0600-\u06ff]|(?:ريال|ریال|درهم|دينار|جنيه|ليرة|تومان|روپے)$"
)
"""What stands after an amount in Arabic script: `د.ك.` and the like, or the word. Source of the
abbreviations: CLDR."""
_NO_LINE_END = set("([{«“‘¿¡（［｛〈《「『【〔〖〘〝＄￥￡#")


@lru_cache(maxsize=4096)
def script_of(char: str) -> str | None:
    """Return the ISO 15924 tag of a character; None of what scripts share (digits, punctuation,
    marks)."""
    buffer = hb.Buffer()
    buffer.add_str(char)
    buffer.guess_segment_properties()
    return buffer.script


def is_ignorable(char: str) -> bool:
    """Return whether a font need not have the character because nothing of it is drawn."""
    code = ord(char)
    return (
        unicodedata.category(char) in {"Cf", "Cc"}
        or code == 0x034F
        or 0xFE00 <= code <= 0xFE0F
        or 0xE0100 <= code <= 0xE01EF
    )


def is_visible(text: str) -> bool:
    """Return whether anything of the text can be seen."""
    return any(not c.isspace() and not is_ignorable(c) for c in text)


def is_emoji(cluster: str) -> bool:
    """Return whether the cluster asks for a picture: by itself, or by what is joined to it (UTS
    51)."""
    if AS_TEXT in cluster:
        return False
    marked = AS_PICTURE in cluster or KEYCAP in cluster
    return marked or any(ord(c) in EMOJI_CODES for c in cluster)


def is_traditional(tags: list[str]) -> bool:
    """Return whether the parts of a language tag name traditional Chinese."""
    return tags[0] in {"zh", "yue"} and not {"hant", "tw", "hk", "mo"}.isdisjoint(tags)


def grapheme_starts(text: str) -> list[int]:
    """Return where user-perceived characters begin (UAX 29)."""
    starts: list[int] = []
    flags = 0
    for i, char in enumerate(text):
        before = text[i - 1] if i else ""
        flag = 0x1F1E6 <= ord(char) <= 0x1F1FF
        joined = bool(before) and (
            unicodedata.category(char) in {"Mn", "Mc", "Me"}
            or char in "\u200d\u200c\u0e33\u0eb3"
            or (_is_jamo_tail(char) and script_of(before) == "Hang")
            or 0x1F3FB <= ord(char) <= 0x1F3FF
            or 0xE0020 <= ord(char) <= 0xE007F
            or (before == "\u200d" and not char.isspace())
            or (_joins_letters(before, char) and char.isalpha())
            or (flag and flags % 2 == 1)
        )
        flags = flags + 1 if flag else 0
        if not joined or before == "\n":
            starts.append(i)
    return starts


def _joins_letters(sign: str, after: str) -> bool:
    """Whether a vowel-killing sign makes one cluster of the letters around it (UAX 29, GB9c). That
    of Burmese, Thai, Lao and Tibetan ends a syllable; that of Tamil does but in ksha and sri."""
    if sign == "\u0bcd":
        return after in "\u0bb7\u0bb0"
    return unicodedata.combining(sign) == 9 and sign not in "\u103a\u0e3a\u0eba\u0f84"


def _is_jamo_tail(char: str) -> bool:
    """A Hangul vowel or final consonant, as old spellings have them apart."""
    return "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb"


def count_cells(text: str) -> int:
    """Return the length as a reader counts it: a cluster is 1, of a wide (CJK) one 2."""
    return sum(cells_at(text, grapheme_starts(text)))


def cells_at(text: str, starts: Collection[int]) -> list[int]:
    """Return what each character adds to the length: nothing but for the first of a cluster."""
    counted = [0] * len(text)
    for i in starts:
        if not is_ignorable(text[i]):
            counted[i] = 2 if unicodedata.east_asian_width(text[i]) in "WF" else 1
    return counted


def break_opportunities(text: str, language: str = "", phrases: bool = False) -> list[int]:
    """Return the indices before which a new line may start: after spaces and newlines, after
    hyphens and dashes inside words, at soft hyphens and zero-width spaces, between CJK characters,
    between Thai words and between emoji.

    With `phrases`, those between CJK characters only where a phrase ends, and none between emoji:
    where a reader of the language would break. Never inside a cluster or at a non-breaking space;
    never before closing or after opening punctuation (also where French sets a space there). Ends
    are not listed.
    """
    return list(_break_opportunities(text, language, phrases))


@lru_cache(maxsize=4096)
def _break_opportunities(text: str, language: str, phrases: bool) -> tuple[int, ...]:
    starts = [i for i in grapheme_starts(text) if 0 < i < len(text)]
    scripts = {script_of(c) for c in set(text)}
    ends: frozenset[int] = frozenset()
    if phrases and not scripts.isdisjoint(KANA | {"Hani"}):
        ends = _phrase_ends(_cjk_model(language, scripts), text)
    thai = _phrase_ends("thai", text) if "Thai" in scripts else frozenset()
    unspaced = frozenset[int]()
    if not scripts.isdisjoint(_WORDS_UNPARTED | _SYLLABLES_PARTED):
        unspaced = frozenset(end for _, end in LineBreaker(text, language or "en").segments())
    found: list[int] = []
    for i in starts:
        if not (
            _may_break(text, i)
            or _may_break_inside(text, i, phrases, ends)
            or (i in thai and script_of(text[i - 1]) == "Thai" == script_of(text[i]))
            or (i in unspaced and _ends_unspaced_word(text, i))
        ):
            continue
        if phrases and text[i - 1] in BREAKING_SPACES and _is_figure_of(text, i):
            continue
        # A line of nothing but invisible characters is none.
        if is_visible(text[found[-1] if found else 0 : i]):
            found.append(i)
        elif text[i - 1] == "\n" and found:
            found[-1] = i
    if found and not is_visible(text[found[-1] :]):
        found.pop()
    return tuple(found)


def _ends_unspaced_word(text: str, i: int) -> bool:
    before, after = text[i - 1], text[i]
    if before in _GLUE or after in _GLUE or before in _NO_LINE_END or after in _NO_LINE_START:
        return False
    scripts = {script_of(before), script_of(after)}
    return not scripts.isdisjoint(_WORDS_UNPARTED | _SYLLABLES_PARTED)


def _is_figure_of(text: str, i: int) -> bool:
    """Whether the blank before `i` stands between a figure and its unit or its currency, or between
    the thousands of a figure."""
    words = text[:i].rstrip(BREAKING_SPACES).replace("\n", " ").split(" ")
    before, earlier = words[-1], words[-2] if len(words) > 1 else ""
    after = text[i:].replace("\n", " ").split(" ")[0]
    if not before or not after:
        return False
    figure = before[-1].isdigit()
    if figure and after.rstrip(".,;:!?)»”\"'") in _UNITS | {after[:1]} & _CURRENCY_SIGNS:
        return not after[1:2].isdigit()
    if figure and _ARABIC_CURRENCY.match(after.strip("\u200e\u200f.,;:!؟")):
        return True
    if figure and before.lstrip("€$£¥-−(").isdigit() and len(before.lstrip("€$£¥-−(")) <= 3:
        thousands = re.match(r"\d{3}(?!\d)", after)
        if thousands:
            return True
    currency = before in _CURRENCY_SIGNS or (len(before) == 3 and before in _UNITS)
    currency = currency or _SIGN_BEFORE.fullmatch(before) is not None
    return currency and after[0].isdigit() and not earlier[-1:].isdigit()


def may_part(text: str, i: int) -> bool:
    """Return whether the clusters beside `i` may stand on two lines where there is no other way:
    not a vowel of Thai or Lao from its consonant, no mark of punctuation at a line's start."""
    before, after = text[i - 1], text[i]
    if before in _LEADING_VOWELS or after in _TRAILING_VOWELS:
        return False
    return after not in _NO_LINE_START and before not in _NO_LINE_END


def spaces_words(char: str) -> bool:
    """Return whether the script of the character sets blanks between words."""
    unspaced = _WORDS_UNPARTED | _SYLLABLES_PARTED | KANA | {"Hani", "Thai"}
    return script_of(char) not in unspaced


def _cjk_model(language: str, scripts: set[str | None]) -> str:
    tags = language.replace("_", "-").lower().split("-")
    if tags[0] == "ja" or not KANA.isdisjoint(scripts):
        return "japanese"
    return "traditional_chinese" if is_traditional(tags) else "simplified_chinese"


@lru_cache(maxsize=8)
def _load_parser(model: str) -> budoux.Parser:
    return getattr(budoux, f"load_default_{model}_parser")()


def _phrase_ends(model: str, text: str) -> frozenset[int]:
    """Where BudouX, a small model of the language, sees the end of a phrase (of a Thai word)."""
    ends, at = [], 0
    for part in _load_parser(model).parse(text):
        at += len(part)
        ends.append(at)
    return frozenset(ends)


def _may_break_inside(text: str, i: int, phrases: bool, ends: frozenset[int]) -> bool:
    """Breaks where no space stands: between ideographs, and between emoji."""
    before, after = text[i - 1], text[i]
    if before in _GLUE or after in _GLUE or before in "-\u2010–—":
        return False  # a matter of spaces and hyphens
    if before in _NO_LINE_END or after in _NO_LINE_START:
        return False
    if _breaks_around(before) or _breaks_around(after):
        return not phrases or i in ends or before in _CJK_STOPS
    return not phrases and ord(after) in EMOJI_CODES and _ends_emoji(before)


def _ends_emoji(char: str) -> bool:
    return ord(char) in EMOJI_CODES or char in (AS_PICTURE, KEYCAP)


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
        return (
            after not in _NO_LINE_START
            or (after in "$£€¥.–'’" and len(following) == 2 and following[1].isalnum())
            or _opens_a_word(text, i)
        )
    if after in _NO_LINE_START or before in _NO_LINE_END:
        return False
    if before in "-\u2010–—":
        sides = text[max(i - 3, 0) : i - 1], text[i : i + 2]
        return all(len(side) == 2 and side.isalpha() for side in sides)
    return False


def _opens_a_word(text: str, i: int) -> bool:
    """Whether a sign that commonly closes stands before a word here: `%d`, `%{name}`, `!important`,
    `:smile:`, `?q=1`, `€ 20`."""
    if text[i] in _CURRENCY_SIGNS:
        before = text[:i].rstrip(BREAKING_SPACES)
        spaced = re.match("[ \u00a0\u202f][0-9]", text[i + 1 :])
        return spaced is not None and not before[-1:].isdigit()
    following = text[i + 1 : i + 2]
    return text[i] in "%!?:." and (following.isalnum() or following in set("({[<$_"))


def _breaks_around(char: str) -> bool:
    """Ideographs and kana, between which lines break anywhere. Korean breaks at its spaces."""
    return script_of(char) in KANA | {"Hani"} or char in "、。，！？」』）】〉》・ー々〜"
