"""Where a word that fits no line may be parted: its own separators, its syllables, its letters.

Each function takes a stretch of text without blanks and gives, for the places found, what is set
there: a soft hyphen, drawn as a hyphen where the line ends, or a zero-width space, of which nothing
is seen. A hyphen is never set where it would be read as a part of what is written: addresses, names
of accounts, hashtags, codes with figures, scripts that have none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from itertools import pairwise

import pyphen

from pytoon_pipeline.picture.languages import language_of
from pytoon_pipeline.picture.line_breaks import grapheme_starts, may_part, script_of

SOFT_HYPHEN, UNSEEN_BREAK = "\u00ad", "\u200b"
_HYPHENATED_SCRIPTS = {"Latn", "Cyrl", "Grek", "Armn", "Geor", "Copt", "Cher"}
_SYLLABIC_SCRIPTS = {
    "Deva",
    "Beng",
    "Guru",
    "Gujr",
    "Orya",
    "Taml",
    "Telu",
    "Knda",
    "Mlym",
    "Sinh",
    "Ethi",
}
"""Every cluster is a syllable, after which a line may end; in the first five with a hyphen."""
_SYLLABIC_WITH_HYPHEN = {"Deva", "Beng", "Guru", "Gujr", "Orya"}
_FIXED_BLANKS = "\u00a0\u202f\u2007"
_VOWELLESS = set("\u0d54\u0d55\u0d56\u0d7a\u0d7b\u0d7c\u0d7d\u0d7e\u0d7f\u09ce")
"""Letters of Malayalam and Bengali for a consonant alone."""
_MIN_SYLLABLES = 2
_MINIMUM = 3
"""Letters of a word before and after a hyphen."""
_MIN_BEFORE_SEAM = 5
_LINKING = {"de", "nl", "sv", "da", "nb", "nn"}
_BREAK_AFTER = "/\\_?&=:~+|;,–—…-\u2010"
_BREAK_BEFORE = ".@#%([{<"
_VOWELS = set(
    "aeiouyäöüåæøœàáâãèéêëìíîïòóôõùúûýÿāēīōūăąęėįųűőıəŵŷ"
    "аеёиоуыэюяіїєөү"
    "αεηιουωάέήίόύώϊϋΐΰ"
    "աեէըիոօ"
    "აეიოუ"
)
_ONE_SOUND = {"ch", "sh", "th", "ph", "gh", "ck", "ll", "dd", "ff", "rh", "ng", "qu", "gn"}
"""Pairs of consonants that stay together, but in the languages below."""
_PARTED_PAIRS = {"fi", "et", "tr", "az"}


def separator_breaks(text: str, start: int, end: int, language: str) -> dict[int, str]:
    """Return breaks at blanks that should not break, but beside a figure; after `/ - _ ? & =` and
    their like, before `.` and `@` within an address or code, before the capitals inside a hashtag
    or a name written in one; never inside a figure."""
    found = {}
    for i in range(start + 1, end):
        if text[i - 1] in _FIXED_BLANKS and text[i] not in _FIXED_BLANKS:
            beside = text[i - 2 : i - 1] + text[i]
            if not any(c.isdigit() for c in beside):
                found[i] = UNSEEN_BREAK
    if found:
        return found
    for i in _inner_positions(text, start, end):
        before, after = text[i - 1], text[i]
        if before == "/" and after == "/":
            continue
        pair = before.isdigit() and i + 1 < end and text[i + 1].isdigit()
        parted = before in _BREAK_AFTER and after not in _BREAK_AFTER
        parted = parted and not (before in ",:" and after.isdigit())
        parted = parted or (after in _BREAK_BEFORE and before.isalnum() and not pair)
        inner_capital = before.islower() and after.isupper()
        if parted or inner_capital:
            found[i] = UNSEEN_BREAK
    return found


def seam_breaks(text: str, start: int, end: int, language: str) -> dict[int, str]:
    """Return those of `syllable_breaks` that lie between the words of a compound, as far as its
    linking s shows them (German, Dutch, the Nordic languages)."""
    return {
        i: mark
        for i, mark in syllable_breaks(text, start, end, language).items()
        if i - start > _MIN_BEFORE_SEAM
        and re.search(r"[bdfghklmnprt]s$", text[:i].lower())
        and language_of(text[start:end], text, language) in _LINKING
    }


def syllable_breaks(text: str, start: int, end: int, language: str) -> dict[int, str]:
    """Return breaks where the language of the word hyphenates it."""
    mark = UNSEEN_BREAK if _is_written_exactly(text[start:end]) else SOFT_HYPHEN
    found: dict[int, str] = {}
    for match in re.finditer(r"[^\W\d_]+", _marks_as_letters(text[start:end])):
        a, b = start + match.start(), start + match.end()
        word = text[a:b]
        script = next((s for s in map(script_of, word) if s), None)
        if script in _SYLLABIC_SCRIPTS:
            hyphen = mark if script in _SYLLABIC_WITH_HYPHEN else UNSEEN_BREAK
            found |= {a + at: hyphen for at in _clusters_apart(word)}
        if script not in _HYPHENATED_SCRIPTS:
            continue
        for at in _split_syllables(_lower_each_letter(word), language_of(word, text, language)):
            if _MINIMUM <= at <= len(word) - _MINIMUM:
                found[a + at] = mark
    inner = set(_inner_positions(text, start, end))
    return {i: set_there for i, set_there in found.items() if i in inner}


def letter_breaks(text: str, start: int, end: int, language: str) -> dict[int, str]:
    """Return breaks between any two clusters, where nothing better is left."""
    exactly = _is_written_exactly(text[start:end])
    found = {}
    for i in _inner_positions(text, start, end):
        if not may_part(text, i):
            continue
        sides = text[max(start, i - 2) : i] + text[i : min(end, i + 2)]
        letters = all(c.isalpha() and script_of(c) in _HYPHENATED_SCRIPTS for c in sides)
        if letters and len(sides) == 4 and not exactly:
            found[i] = SOFT_HYPHEN
        elif exactly or not letters:
            found[i] = UNSEEN_BREAK
    return found


def cluster_breaks(text: str, start: int, end: int, language: str) -> dict[int, str]:
    """Return breaks between any two clusters whatever they are: rows of exclamation marks, glued
    figures."""
    return {i: UNSEEN_BREAK for i in grapheme_starts(text) if start < i < end}


def _inner_positions(text: str, start: int, end: int) -> list[int]:
    """Places between two clusters of which both show."""
    glue = "\u2060\ufeff\u200b\u00ad\u200c\u200d"
    return [
        i
        for i in grapheme_starts(text)
        if start < i < end
        and text[i] not in glue
        and text[i - 1] not in glue
        and not text[i].isspace()
        and not text[i - 1].isspace()
    ]


def _is_written_exactly(token: str) -> bool:
    """Whether a hyphen would change what it says: addresses, accounts, hashtags, codes."""
    bare = token.strip("\"'“”„‚‘’«»()[]{}<>.,;:!?…")
    return bool(
        re.search(r"[#@_/\\=&{}$%~^+*|<>]|\w\.\w|\d", bare) or re.search(r"[a-zà-ÿ][A-ZÀ-Ý]", bare)
    )


def _clusters_apart(word: str) -> list[int]:
    """Between the clusters of a word, but near its ends and before a consonant without a vowel,
    which belongs to the syllable before it."""
    starts = grapheme_starts(word)
    spans = list(pairwise([*starts, len(word)]))[_MIN_SYLLABLES : 1 - _MIN_SYLLABLES]
    return [
        start
        for start, end in spans
        if unicodedata.combining(word[end - 1]) != 9 and word[start] not in _VOWELLESS
    ]


def _marks_as_letters(text: str) -> str:
    return "".join("a" if unicodedata.category(c)[0] == "M" else c for c in text)


def _lower_each_letter(word: str) -> str:
    """In small letters, letter by letter, so that places stay where they are."""
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in word)


@lru_cache(maxsize=4096)
def _split_syllables(word: str, language: str) -> tuple[int, ...]:
    dictionary = _load_dictionary(language)
    if dictionary is None:
        return tuple(_sounded_syllables(word, () if language in _PARTED_PAIRS else _ONE_SOUND))
    # Places where the spelling would change with the hyphen are left out.
    return tuple(int(at) for at in dictionary.positions(word) if at.data is None)


@lru_cache(maxsize=32)
def _load_dictionary(language: str) -> pyphen.Pyphen | None:
    name = pyphen.language_fallback(language) if language else None
    return pyphen.Pyphen(lang=name, left=_MINIMUM, right=_MINIMUM) if name else None


def _sounded_syllables(word: str, one_sound: Collection[str]) -> list[int]:
    """For languages without a dictionary (Finnish, Turkish, Welsh, Georgian ...): before the last
    consonant of those that precede a vowel, or before a pair of them that is one sound."""
    vowels = [_is_vowel(word, i) for i in range(len(word))]
    found = []
    for i in range(2, len(word)):
        if vowels[i - 1] or not vowels[i] or not word[i - 1].isalpha():
            continue
        at = i - 1
        if not vowels[at - 1] and word[at - 1 : at + 1] in one_sound:
            at -= 1
        if any(vowels[:at]):
            found.append(at)
    return found


def _is_vowel(word: str, i: int) -> bool:
    if word[i] == "w":  # in Welsh, between consonants
        return not any(c in _VOWELS for c in word[max(0, i - 1) : i] + word[i + 1 : i + 2])
    return word[i] in _VOWELS
