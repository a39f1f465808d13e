"""Bring a text into the form in which it is drawn: normalised, in capitals, with emoji that a font
has."""

from __future__ import annotations

import re
import unicodedata

from pytoon_pipeline.picture.emoji import replace_unknown_emoji
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.line_breaks import BREAKING_SPACES, is_visible
from pytoon_pipeline.picture.styles import TextStyle


def shown_text(text: str, style: TextStyle, library: FontLibrary) -> str:
    """Return the text as it is drawn on one line: normalised, in capitals where the style says so,
    with emoji that no font has replaced. The result is empty where nothing can be seen."""
    return display_form(normalise_text(text), style, library)[0]


def normalise_text(text: str) -> str:
    """Return the text composed (NFC), with one space between words and without blank lines and
    control characters."""
    text = unicodedata.normalize("NFC", text)
    text = re.sub("\r\n?|[\u2028\u2029\v\f\x85]", "\n", text).replace("\t", " ")
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc")
    lines = (re.sub(f"[{BREAKING_SPACES[:-1]}]+", " ", ln) for ln in text.split("\n"))
    return "\n".join(ln.strip(BREAKING_SPACES) for ln in lines if is_visible(ln))


def display_form(text: str, style: TextStyle, library: FontLibrary) -> tuple[str, list[int]]:
    """Return the text as it is drawn, and for each of its indices (its end too) the index in the
    original."""
    text, places, _ = replace_unknown_emoji(text, library)
    if not style.uppercase:
        return text, places
    turkish = _has_dotted_capitals(text, style.language)
    shown, origin = "", []
    for i, char in enumerate(text):
        capital = "İ" if turkish and char == "i" else _capitalise(text, i)
        shown += capital
        origin += [places[i]] * len(capital)
    return shown, [*origin, places[len(text)]]


def _has_dotted_capitals(text: str, language: str) -> bool:
    """Whether the capital of i keeps its dot: in Turkish and Azerbaijani, by the brief's locale, or
    where that is left at English by letters that only these have."""
    tag = language.replace("_", "-").split("-")[0].lower()
    return tag in {"tr", "az"} or (tag in {"", "en"} and not set("ğıĞİ").isdisjoint(text))


_GREEK_ACCENT, _DIAERESIS = "\u0301", "\u0308"


def _capitalise(text: str, i: int) -> str:
    """The capital of a letter of the text, in any language but Turkish.

    Greek capitals carry no accent but keep, or take, the diaeresis that parts two vowels: `μάιος`
    becomes `ΜΑΪΟΣ`. The word `ή` (or) keeps its accent, so as not to be read as an article.
    """
    char = text[i]
    # Capitals of Georgian are for headlines in print; few fonts have them, and none is missed.
    if "\u10d0" <= char <= "\u10ff":
        return char
    capital = char.upper()
    if not ("\u0370" <= char <= "\u03ff" or "\u1f00" <= char <= "\u1fff"):
        return capital
    before, after = text[i - 1 : i] if i else "", text[i + 1 : i + 2]
    if char in "ήΉ" and not before.isalpha() and not after.isalpha():
        return "Ή"
    bare = unicodedata.normalize("NFD", capital).replace(_GREEK_ACCENT, "")
    if char in "ιυΙΥ" and before and before in "άέόύΆΈΌΎ" and not (char in "υΥ" and before in "ύΎ"):
        bare += _DIAERESIS
    return unicodedata.normalize("NFC", bare)
