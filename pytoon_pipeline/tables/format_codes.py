"""Number format codes of spreadsheets, parsed into sections.

The codes are those of ECMA-376, 18.8.31: sections for positive, negative, zero and text, made of
digits, thousands, percent, fractions and powers, or of dates and times, which may name a language.
"""

from __future__ import annotations

import locale as system_locale
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

_LONGEST = 255
"""Characters of a format code, as spreadsheets allow."""


_TOKEN = re.compile(
    r"""
    "(?P<quoted>[^"]*)"? | \\(?P<escaped>.) | _(?P<width>.) | \*(?P<fill>.)
    | \[(?P<bracket>[^\]]*)\]
    | (?P<general>General|Standard)
    | (?P<half>AM/PM|am/pm|A/P|a/p)
    | (?P<fraction>[?#0]+\s*/\s*(?:[?#0]+|\d+))
    | (?P<power>E[+-])
    | (?P<date>y+|m+|d+|h+|s+|g+|e+|b+)
    | (?P<digits>[0#?]+) | (?P<point>\.) | (?P<comma>,) | (?P<percent>%) | (?P<text>@)
    | (?P<literal>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


_BUILT_IN = {
    0: "General",
    1: "0",
    2: "0.00",
    3: "#,##0",
    4: "#,##0.00",
    9: "0%",
    10: "0.00%",
    11: "0.00E+00",
    12: "# ?/?",
    13: "# ??/??",
    15: "d-mmm-yy",
    16: "d-mmm",
    17: "mmm-yy",
    18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM",
    20: "h:mm",
    21: "h:mm:ss",
    37: "#,##0_);(#,##0)",
    38: "#,##0_);[Red](#,##0)",
    39: "#,##0.00_);(#,##0.00)",
    40: "#,##0.00_);[Red](#,##0.00)",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
    48: "##0.0E+0",
    49: "@",
}


SYSTEM_DATE = "[$-F800]"
"""A date that each computer shows in its own way."""


SYSTEM_MONEY = "[$-system]"
"""An amount in the currency that each computer has; dollars, where the format is from."""


_SYSTEM = {
    14: SYSTEM_DATE,
    22: f"{SYSTEM_DATE} h:mm",
    41: "#,##0",
    43: "#,##0.00",
    **dict.fromkeys((5, 6, 42), f'{SYSTEM_MONEY}"$"#,##0'),
    **dict.fromkeys((7, 8, 44), f'{SYSTEM_MONEY}"$"#,##0.00'),
}


class NotShownError(ValueError):
    """A value can't be shown as its format code says."""


@dataclass(frozen=True)
class FormatSection:
    """One section of a format code: the part for positive numbers, for negative ones, ..."""

    tokens: tuple[tuple[str, str], ...]
    """Kind (`digits`, `literal`, `date`, ...) and text."""
    condition: tuple[str, Decimal] | None
    """Comparison and limit, of a section for some numbers only."""
    language: str | None
    """Name of a locale, of the names of months and days."""
    is_date: bool
    is_system: bool
    """Each computer shows such values in its own way."""

    def has(self, kind: str) -> bool:
        """Return whether the section has a token of this kind."""
        return any(k == kind for k, _ in self.tokens)


def built_in_format(number: int) -> str:
    """Return the code of a format that files name by its number only."""
    if number in _SYSTEM:
        return _SYSTEM[number]
    return _BUILT_IN.get(
        number, SYSTEM_DATE if 27 <= number <= 36 or 50 <= number <= 58 else "General"
    )


def is_date_format(code: str) -> bool:
    """Return whether a format shows a number as a date or a time."""
    try:
        return any(s.is_date or s.is_system for s in split_sections(code))
    except NotShownError:
        return False


@lru_cache(maxsize=512)
def split_sections(code: str) -> tuple[FormatSection, ...]:
    """Parse the sections of a format code, four at most. Raises NotShownError for a code that can't
    be followed."""
    if len(code) > _LONGEST:
        raise NotShownError("too long")
    parts = re.findall(r'((?:"[^"]*"?|\\.|\[[^\]]*\]|[^;"\\\[])*)(;|$)', code, re.DOTALL)
    texts = [text for text, _ in parts]
    while len(texts) > 1 and not texts[-1] and len(texts) > code.count(";") + 1:
        texts.pop()
    return tuple(_parse_section(text) for text in texts[:4])


def _parse_section(text: str) -> FormatSection:
    tokens: list[tuple[str, str]] = []
    condition, language, system = None, None, False
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "literal"
        value = found[kind]
        if kind == "bracket":
            elapsed = re.fullmatch(r"(h+|m+|s+)", value, re.I)
            compared = re.fullmatch(r"(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)", value)
            if elapsed:
                tokens.append(("elapsed", value.lower()))
            elif compared:
                condition = (compared[1], Decimal(compared[2]))
            elif value.startswith("$"):
                sign, _, tag = value[1:].partition("-")
                if tag.upper().lstrip("0") in ("F800", "F400") or tag.startswith("x-sys"):
                    system = True
                language = _language_of_tag(tag) or language
                if sign:
                    tokens.append(("literal", sign))
            elif re.fullmatch(r"(?i)dbnum\d|natnum\d+", value):
                raise NotShownError("other digits")
            # Else a colour.
        elif kind in ("quoted", "escaped"):
            tokens.append(("literal", value))
        elif kind == "width":
            tokens.append(("literal", " "))
        elif kind == "fill":
            continue
        elif kind == "date":
            tokens.append(("date", value.lower()))
        else:
            tokens.append((kind, value))
    dated = any(k in ("date", "elapsed", "half") for k, _ in tokens)
    if dated and any(k == "date" and v[0] in "geb" for k, v in tokens):
        raise NotShownError("another calendar")
    return FormatSection(tuple(tokens), condition, language, dated, system)


@lru_cache(maxsize=128)
def _language_of_tag(tag: str) -> str | None:
    """Of the number of a language of Windows (`407`), or its name (`de-DE`)."""
    if re.fullmatch(r"[0-9A-Fa-f]{1,8}", tag):
        number = int(tag, 16) & 0xFFFF
        name = system_locale.windows_locale.get(number)
        if name is None:  # Languages without a country.
            name = system_locale.windows_locale.get(number | 0x400)
        return name
    name = tag.split(",")[0].replace("-", "_")
    return name if re.fullmatch(r"[A-Za-z]{2,3}(_\w{2,8}){0,2}", name) else None


def choose_section(
    sections: Sequence[FormatSection], value: Decimal
) -> tuple[FormatSection | None, str]:
    """Return the section for a number, None where none is for it, and the sign that stands before
    the number."""
    minus = "-" if value < 0 else ""
    numeric = sections[:-1] if len(sections) > 1 and sections[-1].has("text") else sections
    numeric = numeric[:3]
    if any(s.condition for s in numeric):
        for section in numeric:
            if section.condition is None or _condition_holds(section.condition, value):
                return section, minus
        return None, ""
    if len(numeric) == 1:
        return numeric[0], minus
    if value < 0:
        return numeric[1], ""
    if value == 0 and len(numeric) > 2:
        return numeric[2], ""
    return numeric[0], ""


def _condition_holds(condition: tuple[str, Decimal], value: Decimal) -> bool:
    how, limit = condition
    return {
        "<": value < limit,
        ">": value > limit,
        "=": value == limit,
        "<=": value <= limit,
        ">=": value >= limit,
        "<>": value != limit,
    }[how]
