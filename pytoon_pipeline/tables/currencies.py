"""Currencies and locales: which codes a sign may stand for, and where a currency is at home."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.languages import get_official_languages

from pytoon_pipeline.tables.currency_signs import (
    FOUR_DECIMALS,
    NO_DECIMALS,
    NOT_SIGNS,
    SIGNS,
    THREE_DECIMALS,
    WIDELY_SPOKEN,
    WITHOUT_CODE,
    WORDS_NOT_CODES,
)

_BLANKS = re.compile(r"[\s\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_UNSEEN = re.compile(r"[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ALIKE = str.maketrans("’‘ʼʹ′´`＇．，－−–—‒﹣", "''''''''.,------")


def normalise_digits(text: str) -> str:
    """Return a text with digits of all scripts as 0-9, one kind of blank, minus and apostrophe, and
    without characters that can't be seen."""
    text = _BLANKS.sub(" ", _UNSEEN.sub("", text)).translate(_ALIKE)
    if text.isascii():
        return text.strip()
    return "".join(
        str(unicodedata.decimal(c)) if not c.isascii() and unicodedata.decimal(c, -1) >= 0 else c
        for c in text
    ).strip()


def currency_decimals(code: str) -> int:
    """Return how many decimals a currency has by ISO 4217."""
    if code in NO_DECIMALS:
        return 0
    return 3 if code in THREE_DECIMALS else 4 if code in FOUR_DECIMALS else 2


def decimals_in_shops(code: str) -> int:
    """Return how many decimals the prices of a currency have by CLDR: HUF has 2 by ISO 4217, and
    none on any price."""
    fractions = get_global("currency_fractions")
    return fractions.get(code, fractions["DEFAULT"])[0]


@lru_cache(maxsize=1)
def currency_codes() -> frozenset[str]:
    """Return the codes of all currencies that are in use, or were until a few years ago."""
    found = {"CLF"}
    for currencies in get_global("territory_currencies").values():
        for code, _, end, tender in currencies:
            if tender and (end is None or end[0] >= 2015):
                found.add(code)
    return frozenset(found)


# Locales -----------------------------------------------------------------------------------------


def find_locale(name: str | None) -> Locale | None:
    """Return the CLDR locale of a name such as `de-CH`, or of its language where the whole name is
    unknown; None where that is unknown, too."""
    return _parsed_locale(name) if name else None


@lru_cache(maxsize=256)
def _parsed_locale(name: str) -> Locale | None:
    parts = name.replace("-", "_").split("_")
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (ValueError, TypeError, UnknownLocaleError):
            parts.pop()
    return None


def locale_territory(locale: Locale) -> str | None:
    """Return the code of a locale's country, or of the one where its language is most spoken."""
    if locale.territory:
        return locale.territory
    likely = get_global("likely_subtags").get(locale.language, "")
    last = likely.rpartition("_")[2]
    return last if len(last) == 2 and last.isupper() else None


@lru_cache(maxsize=256)
def currencies_of(territory: str) -> frozenset[str]:
    """Return the codes of the currencies that a country uses today."""
    found = get_global("territory_currencies").get(territory, ())
    return frozenset(code for code, _, end, tender in found if tender and end is None)


@lru_cache(maxsize=512)
def home_locales(code: str) -> tuple[Locale, ...]:
    """Return the locales of a currency's country, one for each of its languages; empty for a
    currency of several countries, as the euro."""
    territory = code[:2]
    known = get_global("territory_currencies").get(territory, ())
    if not any(each[0] == code for each in known):
        return ()
    found = []
    for language in get_official_languages(territory, de_facto=True):
        locale = _parsed_locale(f"{language}_{territory}")
        if locale is not None and locale.language == language.split("_")[0]:
            found.append(locale)
    return tuple(found)


# Signs -------------------------------------------------------------------------------------------


def lookup_sign(token: str, locale_name: str | None) -> tuple[tuple[str, ...], str] | None:
    """Look up a sign or a code in a locale and in all tables. Returns the codes that it may stand
    for and the sign, which is empty for a code; None for an unknown one."""
    upper = token.rstrip(".").upper()
    if (
        token.isascii()
        and upper in currency_codes()
        and (token.rstrip(".") == upper or upper not in WORDS_NOT_CODES)
    ):
        return (upper,), ""
    locale = find_locale(locale_name)
    in_locale = [] if locale is None else _codes_in(locale, token)
    territory = None if locale is None else locale_territory(locale)
    here = [c for c in in_locale if territory and c in currencies_of(territory)]
    if here:
        return tuple(here), token
    signs = currency_signs()
    for form in (token, token.rstrip("."), token.lower(), token.capitalize()):
        if form in signs:
            return signs[form], token
    if in_locale:
        return tuple(in_locale), token
    if token.isascii() and token.isalpha() and token.lower() in NOT_SIGNS:
        return None
    if _may_be_at_home(token):
        there = _signs_at_home().get(token) or _signs_at_home().get(token.rstrip("."))
        if there:
            return tuple(there), token
    return None


def may_be_sign(token: str) -> bool:
    """Return whether a word that no table has looks like the sign or the code of a currency, rather
    than a word as `from`."""
    if any(unicodedata.category(c) == "Sc" for c in token):
        return len(token) <= 5 and not any(c in "%/*+=" for c in token)
    if token in WITHOUT_CODE:
        return True
    if token.isascii():
        return bool(re.fullmatch(r"[A-Z]{3}", token)) and token.lower() not in NOT_SIGNS
    return len(token) <= 4 and token.isalpha() and token[0].isupper()


def _may_be_at_home(token: str) -> bool:
    """Whether a word is short enough for a sign that CLDR may have."""
    return len(token) <= 6 and token.strip(".").lower() not in NOT_SIGNS


def _codes_in(locale: Locale, sign: str) -> list[str]:
    """The currencies that a locale has this sign for."""
    return [
        c for c, s in locale.currency_symbols.items() if _bare_sign(normalise_digits(s)) == sign
    ]


def _bare_sign(sign: str) -> str:
    """A sign in the form that it is looked up in."""
    return sign.strip().rstrip("‏").strip()


@lru_cache(maxsize=1)
def currency_signs() -> dict[str, tuple[str, ...]]:
    """Return the signs of the tables here and of CLDR in English, with the codes of each."""
    found = {sign: tuple(codes.split()) for sign, codes in SIGNS.items()}
    for code, sign in Locale("en").currency_symbols.items():
        if code in currency_codes() and not sign.isascii() or "$" in sign:
            found.setdefault(normalise_digits(sign), (code,))
    return found


@lru_cache(maxsize=1)
def _signs_at_home() -> dict[str, tuple[str, ...]]:
    """What CLDR has for each currency in the languages of its own country, and in those that are
    spoken most. Takes a second or two, and is asked only for a sign that no other list has."""
    found: dict[str, set[str]] = {}
    for name in WIDELY_SPOKEN:
        for code, sign in Locale.parse(name).currency_symbols.items():
            if code in currency_codes() and normalise_digits(sign) != code:
                found.setdefault(_bare_sign(normalise_digits(sign)), set()).add(code)
    for code in sorted(currency_codes()):
        for locale in home_locales(code):
            sign = _bare_sign(normalise_digits(locale.currency_symbols.get(code, "")))
            if sign and sign != code:
                found.setdefault(sign, set()).add(code)
    return {sign: tuple(sorted(codes)) for sign, codes in found.items()}
