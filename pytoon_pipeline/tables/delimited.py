"""Rows of text from CSV and TSV files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from pytoon_pipeline.tables.limits import MAX_COLUMNS, MAX_LINES, refuse_table

_SEPARATORS = (",", ";", "\t")
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|$)")
_MAX_ABOVE = 30
"""Lines at the head of a file that its separator is looked for in."""
_END = "\x00end\x00"


def split_text(text: str, suffix: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a table, each with its number as a spreadsheet shows it.

    The separator is the one that the first lines have, or the one that Excel's own hint (`sep=;`)
    names. `suffix` is the ending of the file's name, `shown` its name in messages. Raises UserError
    for a quotation mark that is never closed, and for too many lines or columns.
    """
    separator, start, above = _detect_layout(text, suffix)
    for number, cells in _parse_rows(text[start:], separator, above, shown):
        if len(cells) > MAX_COLUMNS:
            raise _too_many_columns(shown, f"row {number}")
        yield number, cells


def _too_many_columns(shown: str, place: str) -> Exception:
    return refuse_table(
        "table.too_large",
        f"has more than {MAX_COLUMNS:,} columns.",
        "Take out those that no brief needs.",
        shown,
        place,
    )


_MAX_SEPARATORS = 100 * MAX_COLUMNS
"""In one line, those in quoted texts included: each cell takes more memory than its character."""


def _bound_lines(lines: Iterable[str], separator: str, shown: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > _MAX_SEPARATORS and line.count(separator) > _MAX_SEPARATORS:
            raise _too_many_columns(shown, f"line {number}")
        yield line


def _detect_layout(text: str, suffix: str) -> tuple[str, int, int]:
    """The separator, where the table begins, and how many lines that count stand above."""
    usual = "\t" if suffix in (".tsv", ".tab", ".txt") else ","
    at = above = seen = 0
    start: int | None = None
    while at < len(text) and seen < _MAX_ABOVE:
        found = _LINE.match(text, at)
        line, end = (found[1], found.end()) if found else ("", len(text))
        hint = re.fullmatch(r'"?sep=(.)"?\s*', line) if start is None else None
        if hint:
            return hint[1], end, above  # Excel shows no row for its own hint; it does for nothing.
        if not line.strip():
            above += start is None
        else:
            if start is None:
                start = at
            plain = re.sub(r'"[^"]*"', "", line[:100_000])
            counts = {mark: plain.count(mark) for mark in _SEPARATORS}
            # A title may stand above the columns.
            if any(counts.values()):
                best = max(_SEPARATORS, key=lambda mark: (counts[mark], mark == usual))
                return best, start, above
            if " | " not in plain and plain.count("|") >= 2:
                return "|", start, above
            seen += 1
        at = end
    return usual, start if start is not None else len(text), above


def _parse_rows(
    text: str, separator: str, above: int, shown: str
) -> Iterator[tuple[int, list[str]]]:
    """Rows as they stand; `above` lines stood before the text."""
    # A last row of its own shows whether a quotation mark is still open there.
    closed = text if text.endswith(("\n", "\r")) else f"{text}\n"
    lines = io.StringIO(f"{closed}{_END}\n", newline="")
    reader = csv.reader(_bound_lines(lines, separator, shown), delimiter=separator)
    number = above
    try:
        for number, cells in enumerate(reader, above + 1):
            if number > MAX_LINES:
                raise refuse_table(
                    "table.too_large", f"has more than {MAX_LINES:,} lines.", "Split it.", shown
                )
            if cells == [_END]:
                return
            if cells and cells[-1].endswith(f"{_END}\n"):
                raise _open_quote(shown, number)
            yield number, cells
    except csv.Error as error:
        if "field larger" in str(error):
            raise _open_quote(shown, number + 1) from error
        raise refuse_table(
            "table.csv",
            f"can't be read: {error}.",
            "Correct that row, or save the table as XLSX.",
            shown,
            f"row {number + 1}",
        ) from error


def _open_quote(shown: str, number: int) -> Exception:
    return refuse_table(
        "table.csv",
        "a quotation mark is opened and never closed.",
        "Correct that row, or save the table as XLSX.",
        shown,
        f"row {number}",
    )
