"""Cells of XLSX workbooks as the text that their sheet shows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.date_formats import to_datetime
from pytoon_pipeline.tables.format_codes import (
    SYSTEM_DATE,
    SYSTEM_MONEY,
    NotShownError,
    is_date_format,
)
from pytoon_pipeline.tables.number_formats import show_general, show_number, show_text

_MAX_REMEMBERED = 100_000
"""Numbers whose text is kept in memory."""


class CellFormatter:
    """Writes the cells of one workbook as its sheets show them.

    `texts` are the shared texts of the workbook, `formats` the format codes of its styles; with
    `from_1904` its dates are counted from 1904.
    """

    def __init__(self, texts: Sequence[str], formats: Sequence[str], from_1904: bool):
        self._texts, self._formats, self._from_1904 = texts, formats, from_1904
        self._shown: dict[tuple[str, str], tuple[str, CellError | None]] = {}

    def show_cell(self, kind: str, style: str, value: str | None) -> tuple[str, CellError | None]:
        """Return the text of a cell and what is wrong with it, if anything. `kind` and `style` are
        the attributes `t` and `s` of its element; `value` is None for a cell without one."""
        if value is None:
            return "", None
        if kind == "s":
            text = self._texts[int(value)]
            code = self._format_code(style)
            return (text if code == "General" else show_text(text, code)), None
        if kind in ("str", "inlineStr"):
            return unescape_text(value), None
        if kind == "b":
            return ("TRUE" if value.strip() in ("1", "true") else "FALSE"), None
        if kind == "e":
            return value.strip(), CellError(
                f"holds an error of the spreadsheet ({value.strip()[:40]}) instead of a value.",
                "Correct its formula, or empty the cell.",
            )
        known = self._shown.get((style, value))
        if known is None:
            known = self._show_number(kind, self._format_code(style), value.strip())
            if len(self._shown) < _MAX_REMEMBERED:
                self._shown[style, value] = known
        return known

    def exact_text(self, kind: str, style: str, value: str, text: str) -> str:
        """Return what a number or a date is, however it is shown: `1,299 €` is 1299, not 1.299.
        `text` is how it is shown, and is returned for every other cell."""
        code = self._format_code(style)
        if kind not in ("n", "d") or code == "General":
            return text
        if not is_date_format(code):
            whole = re.sub(r"(?<=\d),(?=\d{3})", "", text)
            return re.sub(r"(\.\d\d)(\d++)", lambda m: m[1] + m[2].rstrip("0"), whole)
        try:
            number = _serial_of_date(value, self._from_1904) if kind == "d" else float(value)
            moment = to_datetime(number, self._from_1904)
        except (NotShownError, ValueError, OverflowError):
            return text
        is_day = moment.time() == dt.time()
        return moment.date().isoformat() if is_day else moment.isoformat(" ", "seconds")

    def _format_code(self, style: str) -> str:
        at = int(style) if style else 0
        return self._formats[at] if at < len(self._formats) else "General"

    def _show_number(self, kind: str, code: str, value: str) -> tuple[str, CellError | None]:
        number: int | float
        if kind == "d":
            number = _serial_of_date(value, self._from_1904)
        elif not value:
            return "", None
        elif re.fullmatch(r"-?\d{1,19}", value):
            number = int(value)
        else:
            number = float(value)
        if code in ("General", "@"):
            return show_general(number), None
        try:
            text = show_number(number, code, self._from_1904)
            if not code.startswith(SYSTEM_MONEY):
                return text, None
        except NotShownError:
            text = show_general(number)
        if is_date_format(code) or code.startswith(SYSTEM_DATE):
            try:
                moment = to_datetime(number, self._from_1904)
                text = moment.date().isoformat()
                if number < 1:
                    text = moment.time().isoformat("minutes")
                elif moment.time() != dt.time():
                    text = moment.isoformat(" ", "minutes")
            except NotShownError:
                pass
        what = (
            "is shown in the way of each computer's own settings"
            if code.startswith((SYSTEM_DATE, SYSTEM_MONEY))
            else f"has a number format that can't be followed ({code[:60]})"
        )
        return text, CellError(
            f"{what}; it was read as {text!r}.",
            "Where that is not what is meant, give the cell another format, or write it as text.",
            "warning",
        )


def unescape_text(text: str) -> str:
    """Return a text with the characters that XML can't hold, and XLSX writes as `_x000D_`."""
    if "_x" not in text:
        return text
    text = re.sub(
        r"_x([0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2})_",
        lambda m: chr(int(m[1], 16)),
        text,
    )
    return text.replace("\r\n", "\n").replace("\r", "")


def _serial_of_date(value: str, from_1904: bool) -> float:
    """The number of an ISO date."""
    if "-" in value:
        moment = dt.datetime.fromisoformat(value)
    else:
        moment = dt.datetime.combine(dt.date(1899, 12, 30), dt.time.fromisoformat(value))
    start = dt.datetime(1904, 1, 1) if from_1904 else dt.datetime(1899, 12, 30)
    return (moment.replace(tzinfo=None) - start) / dt.timedelta(days=1)
