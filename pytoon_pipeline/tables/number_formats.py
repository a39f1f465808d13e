"""Values of spreadsheets, written as their number formats show them.

Decimals are written with a point and thousands with a comma, as a format code has them; what a
format leaves to the computer that it is opened on is not known.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from pytoon_pipeline.tables.date_formats import format_date
from pytoon_pipeline.tables.format_codes import (
    FormatSection,
    NotShownError,
    choose_section,
    split_sections,
)


def show_general(value: float | int) -> str:
    """Write a number as a cell without a format shows it. Whole numbers keep all their digits:
    those of an article, which a narrow cell shows as 4.00638E+12, are meant in full."""
    if isinstance(value, int) or value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = f"{value:.10g}"
    if "e" in text and 1e-9 <= abs(value) < 1e15:
        text = f"{value:.12f}".rstrip("0")
    return text.upper()


def show_number(value: float | int, code: str, from_1904: bool = False) -> str:
    """Write a number as a format shows it. With `from_1904` dates are counted from 1904.

    Raises NotShownError where the format can't be followed, or says no more than that each computer
    is to show it in its own way.
    """
    if value != value or value in (float("inf"), float("-inf")):
        raise NotShownError("no number")
    sections = split_sections(code)
    if abs(value) >= 1e15:
        raise NotShownError("longer than spreadsheets are exact")
    exact = Decimal(f"{value:.15g}")
    section, sign = choose_section(sections, exact)
    if section is None:
        return ""
    if section.is_system:
        raise NotShownError("system")
    if section.is_date:
        if exact < 0:
            raise NotShownError("before the calendar")
        return format_date(value, section, from_1904)
    return sign + _format_amount(abs(exact), section) if section.tokens else ""


def show_text(value: str, code: str) -> str:
    """Write a text as a format shows it: `@" kg"` adds something. A format that can't be followed
    changes nothing."""
    if "@" not in code or code == "@":
        return value
    try:
        sections = split_sections(code)
    except NotShownError:
        return value
    section = next((s for s in reversed(sections) if s.has("text")), None)
    if section is None:
        return value
    return "".join(
        value if kind == "text" else text
        for kind, text in section.tokens
        if kind in ("text", "literal")
    ).strip()


# Amounts -----------------------------------------------------------------------------------------


def _format_amount(value: Decimal, section: FormatSection) -> str:
    kinds = [kind for kind, _ in section.tokens]
    places = [
        i for i, k in enumerate(kinds) if k in ("digits", "point", "general", "fraction", "text")
    ]
    if not places:
        return "".join(t for k, t in section.tokens if k in ("literal", "percent")).strip()
    value *= Decimal(100) ** kinds.count("percent")
    first, last = places[0], places[-1]
    body = section.tokens[first : last + 1]
    after = section.tokens[last + 1 :]
    # Commas right behind the last digit divide by a thousand each.
    thousands = 0
    while thousands < len(after) and after[thousands][0] == "comma":
        thousands += 1
    value /= Decimal(1000) ** thousands
    before = "".join(t for k, t in section.tokens[:first] if k in ("literal", "percent", "comma"))
    behind = "".join(t for k, t in after[thousands:] if k in ("literal", "percent", "comma"))
    number = _format_digits(value, body)
    return re.sub(r"\s+", lambda m: m[0][0], f"{before}{number}{behind}").strip()


def _format_digits(value: Decimal, body: tuple[tuple[str, str], ...]) -> str:
    kinds = [kind for kind, _ in body]
    if "general" in kinds or "text" in kinds:
        return "".join(
            show_general(float(value)) if k in ("general", "text") else t for k, t in body
        )
    if "fraction" in kinds:
        return _format_fraction(value, body)
    if "power" in kinds:
        return _format_power(value, body)
    point = kinds.index("point") if "point" in kinds else len(kinds)
    whole_part, decimal_part = body[:point], body[point + 1 :]
    most = "".join(t for k, t in decimal_part if k == "digits")
    rounded = value.quantize(Decimal(1).scaleb(-len(most)), rounding=ROUND_HALF_UP)
    whole, _, decimals = f"{rounded:f}".partition(".")
    whole = "" if whole == "0" else whole
    places = "".join(t for k, t in whole_part if k == "digits")
    whole = whole.rjust(len(places), "\0")
    # Literal text may stand among digits: `000-00-0000`.
    filled = list(whole)
    for at, place in enumerate(places, len(filled) - len(places)):
        if filled[at] == "\0":
            filled[at] = {"0": "0", "?": " ", "#": ""}[place]
    grouped = any(k == "comma" for k, _ in whole_part)
    literals = any(k == "literal" for k, _ in whole_part)
    if literals:
        text = _with_literals(filled, whole_part, len(places))
    else:
        text = "".join(filled)
        if grouped and text.strip().isdigit():
            digits = text.strip()
            text = f"{int(digits):,}".rjust(0) if len(digits) == len(str(int(digits))) else digits
    shown = ""
    for digit, place in zip(decimals, most, strict=True):
        shown += digit if place == "0" or digit != "0" else {"#": "\1", "?": " "}[place]
    kept = shown.rstrip("\1").replace("\1", "0")
    tail = "".join(t for k, t in decimal_part if k in ("literal", "percent"))
    return f"{text}{'.' if point < len(kinds) else ''}{kept}{tail}"


def _with_literals(filled: list[str], tokens: tuple[tuple[str, str], ...], places: int) -> str:
    extra = len(filled) - places
    parts = ["".join(filled[:extra])]
    at = extra
    for kind, text in tokens:
        if kind == "digits":
            parts.append("".join(filled[at : at + len(text)]))
            at += len(text)
        elif kind == "literal":
            parts.append(text)
    return "".join(parts)


def _format_fraction(value: Decimal, body: tuple[tuple[str, str], ...]) -> str:
    at = next(i for i, (k, _) in enumerate(body) if k == "fraction")
    over, under = (part.strip() for part in body[at][1].split("/"))
    has_whole = any(k == "digits" for k, _ in body[:at])
    whole = int(value) if has_whole else 0
    rest = Fraction(value) - whole
    if under.isdigit() and under.strip("0"):
        denominator = int(under)
        part = Fraction(round(rest * denominator), 1)
        over_text, under_text = str(int(part)), str(denominator)
        if has_whole and int(part) == denominator:
            whole, over_text = whole + 1, "0"
    else:
        near = rest.limit_denominator(10 ** min(len(under), 4) - 1)
        if has_whole and near == 1:
            whole, near = whole + 1, Fraction(0)
        over_text, under_text = str(near.numerator), str(near.denominator)
    if has_whole and over_text == "0":
        return str(whole)
    lead = f"{whole} " if has_whole and whole else ""
    return f"{lead}{over_text}/{under_text}"


def _format_power(value: Decimal, body: tuple[tuple[str, str], ...]) -> str:
    at = next(i for i, (k, _) in enumerate(body) if k == "power")
    head = body[:at]
    whole = sum(
        len(t) for i, (k, t) in enumerate(head) if k == "digits" and ("point", ".") not in head[:i]
    )
    decimals = sum(
        len(t) for i, (k, t) in enumerate(head) if k == "digits" and ("point", ".") in head[:i]
    )
    least = sum(len(t) for k, t in body[at + 1 :] if k == "digits")
    if whole != 1:
        raise NotShownError("powers in steps")
    mantissa, _, exponent = f"{value:.{decimals}E}".partition("E")
    number = int(exponent or 0)
    sign = "-" if number < 0 else "+" if body[at][1].endswith("+") else ""
    return f"{mantissa}E{sign}{abs(number):0{least}d}"
