"""Dates and times of spreadsheets: the moment of a serial number, written as its format shows it.

The names of months and days are those of CLDR, in the language that a format names.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from pytoon_pipeline.tables.format_codes import (
    FormatSection,
    NotShownError,
)


def to_datetime(value: float, from_1904: bool = False) -> dt.datetime:
    """Return the moment that a serial number (days, from 1900 or 1904) stands for. Raises
    NotShownError outside of the calendar."""
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


def format_date(value: float, section: FormatSection, from_1904: bool) -> str:
    """Write a serial number as a section of a format code shows it. Raises NotShownError where the
    section can't be followed."""
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
                _format_minutes(moment, text)
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


def _format_minutes(moment: dt.datetime, text: str) -> str:
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
