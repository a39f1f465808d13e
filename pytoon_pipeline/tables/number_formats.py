"""Values of spreadsheets, written as their number formats show them.

The format codes are those of ECMA-376, 18.8.31: sections for positive, negative, zero and text;
digits, thousands, percent, fractions, powers; dates and times, with the names of months and days
in the language that a format names (CLDR). Decimals are written with a point and thousands with a
comma, as a format code has them; what a format leaves to the computer it is opened on is not known.
"""

from __future__ import annotations

import datetime as dt
import locale as system_locale
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
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
    """A format that can't be followed."""


@dataclass(frozen=True)
class _FormatSection:
    tokens: tuple[tuple[str, str], ...]
    condition: tuple[str, Decimal] | None
    language: str | None
    is_date: bool
    is_system: bool

    def has(self, kind: str) -> bool:
        return any(k == kind for k, _ in self.tokens)


def built_in_format(number: int) -> str:
    """The code of a format that files name by its number only."""
    if number in _SYSTEM:
        return _SYSTEM[number]
    return _BUILT_IN.get(
        number, SYSTEM_DATE if 27 <= number <= 36 or 50 <= number <= 58 else "General"
    )


def is_date_format(code: str) -> bool:
    """Does a format show a number as a date or a time?"""
    try:
        return any(s.is_date or s.is_system for s in _split_sections(code))
    except NotShownError:
        return False


def show_general(value: float | int) -> str:
    """A number as a cell without a format shows it. Whole numbers keep all their digits: those of
    an article, which a narrow cell shows as 4.00638E+12, are meant in full."""
    if isinstance(value, int) or value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = f"{value:.10g}"
    if "e" in text and 1e-9 <= abs(value) < 1e15:
        text = f"{value:.12f}".rstrip("0")
    return text.upper()


def show_number(value: float | int, code: str, from_1904: bool = False) -> str:
    """A number as a format shows it.

    Raises NotShownError where the format can't be followed, or says no more than that each computer
    is to show it in its own way."""
    if value != value or value in (float("inf"), float("-inf")):
        raise NotShownError("no number")
    sections = [s for s in _split_sections(code)]
    if abs(value) >= 1e15:
        raise NotShownError("longer than spreadsheets are exact")
    exact = Decimal(f"{value:.15g}")
    section, sign = _choose_section(sections, exact)
    if section is None:
        return ""
    if section.is_system:
        raise NotShownError("system")
    if section.is_date:
        if exact < 0:
            raise NotShownError("before the calendar")
        return _format_date(value, section, from_1904)
    return sign + _format_amount(abs(exact), section) if section.tokens else ""


def show_text(value: str, code: str) -> str:
    """A text as a format shows it: `@" kg"` adds something."""
    if "@" not in code or code == "@":
        return value
    try:
        sections = _split_sections(code)
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


def to_datetime(value: float, from_1904: bool = False) -> dt.datetime:
    """The moment that a serial number stands for. Raises NotShownError outside of the calendar."""
    if not 0 <= value < 2_958_466:
        raise NotShownError("outside of the calendar")
    milliseconds = round(value * 86_400_000)
    days, rest = divmod(milliseconds, 86_400_000)
    if from_1904:
        start = dt.datetime(1904, 1, 1)
    else:
        # Spreadsheets believe that 1900 had a 29th of February.
        start = dt.datetime(1899, 12, 31) if days < 60 else dt.datetime(1899, 12, 30)
    try:
        return start + dt.timedelta(days=days, milliseconds=rest)
    except OverflowError as error:
        raise NotShownError("outside of the calendar") from error


# Codes -------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _split_sections(code: str) -> tuple[_FormatSection, ...]:
    if len(code) > _LONGEST:
        raise NotShownError("too long")
    parts = re.findall(r'((?:"[^"]*"?|\\.|\[[^\]]*\]|[^;"\\\[])*)(;|$)', code, re.DOTALL)
    texts = [text for text, _ in parts]
    while len(texts) > 1 and not texts[-1] and len(texts) > code.count(";") + 1:
        texts.pop()
    return tuple(_parse_section(text) for text in texts[:4])


def _parse_section(text: str) -> _FormatSection:
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
    return _FormatSection(tuple(tokens), condition, language, dated, system)


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


def _choose_section(
    sections: list[_FormatSection], value: Decimal
) -> tuple[_FormatSection | None, str]:
    """The section for a number, and the sign that stands before it."""
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


# Amounts -----------------------------------------------------------------------------------------


def _format_amount(value: Decimal, section: _FormatSection) -> str:
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


# Dates -------------------------------------------------------------------------------------------


def _format_date(value: float, section: _FormatSection, from_1904: bool) -> str:
    tokens = list(section.tokens)
    fine = _fraction_of_second(tokens)
    # Spreadsheets round to what they show.
    step = 86_400 * 10**fine
    has_seconds = any(k in ("date", "elapsed") and v[0] == "s" for k, v in tokens)
    rounded = round(value * step) / step if has_seconds else value
    elapsed = any(k == "elapsed" for k, _ in tokens)
    moment = to_datetime(rounded + (0 if has_seconds else 1e-9), from_1904 or elapsed)
    seconds_all = round(rounded * 86_400, 3)
    half = any(k == "half" for k, _ in tokens)
    shown = []
    last = ""
    for at, (kind, text) in enumerate(tokens):
        if kind == "date":
            minutes = (
                text[0] == "m"
                and len(text) < 3
                and (last.startswith("h") or _next_date(tokens, at).startswith("s"))
            )
            shown.append(
                _is_minutes(moment, text)
                if minutes
                else _format_date_part(moment, text, half, section.language)
            )
            last = text
        elif kind == "elapsed":
            unit = {"h": 3600, "m": 60, "s": 1}[text[0]]
            shown.append(f"{int((seconds_all + 1e-6) // unit):0{len(text)}d}")
            last = text
        elif kind == "half":
            is_pm = moment.hour >= 12
            word = text.split("/")[is_pm]
            shown.append(word)
        elif kind == "subsecond":
            shown.append(f"{moment.microsecond / 1e6:.{len(text)}f}"[2:] or "0")
        elif kind in ("literal", "point", "comma", "percent", "digits"):
            shown.append(text)
        elif kind == "fraction":
            raise NotShownError("a fraction in a date")
        elif kind == "text":
            continue
        else:
            raise NotShownError(kind)
    return "".join(shown).strip()


def _fraction_of_second(tokens: list[tuple[str, str]]) -> int:
    """Marks the digits behind `ss.`; returns how many there are."""
    for at in range(1, len(tokens) - 1):
        if (
            tokens[at][0] == "point"
            and tokens[at + 1][0] == "digits"
            and (tokens[at - 1][1][:1] == "s")
        ):
            tokens[at + 1] = ("subsecond", tokens[at + 1][1][:3])
            return len(tokens[at + 1][1])
    return 0


def _next_date(tokens: list[tuple[str, str]], at: int) -> str:
    return next((v for k, v in tokens[at + 1 :] if k in ("date", "elapsed")), "")


def _is_minutes(moment: dt.datetime, text: str) -> str:
    return f"{moment.minute:0{len(text)}d}"


def _format_date_part(moment: dt.datetime, text: str, half: bool, language: str | None) -> str:
    kind, length = text[0], len(text)
    if kind == "y":
        return f"{moment.year % 100:02d}" if length < 3 else f"{moment.year:04d}"
    if kind == "d":
        if length > 2:
            return _date_names(language, "days", "wide" if length > 3 else "abbreviated")[
                moment.weekday()
            ]
        return f"{moment.day:0{length}d}"
    if kind == "m":
        if length > 2:
            width = {3: "abbreviated", 5: "wide"}.get(length, "wide")
            name = _date_names(language, "months", width)[moment.month - 1]
            return name[0] if length == 5 else name
        return f"{moment.month:0{length}d}"
    if kind == "h":
        hour = moment.hour % 12 or 12 if half else moment.hour
        return f"{hour:0{min(length, 2)}d}"
    return f"{moment.second:0{min(length, 2)}d}"


@lru_cache(maxsize=64)
def _date_names(language: str | None, what: str, width: str) -> tuple[str, ...]:
    """Of months or days, in English where a format names no language that is known."""
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale.parse(language or "en")
    except (ValueError, UnknownLocaleError):
        locale = Locale.parse((language or "en").split("_")[0])
    table = locale.months if what == "months" else locale.days
    form = "format" if width == "wide" else "stand-alone"
    found = table[form].get(width) or table["format"][width]
    names = [str(found[key]) for key in sorted(found)]
    # Spreadsheets take those of Windows, which has no full stop behind them but in French.
    if width == "abbreviated" and locale.language != "fr":
        names = [name.rstrip(".") for name in names]
    if locale.language == "en" and width == "abbreviated":
        names = [name[:3] for name in names]
    return tuple(names)
