"""Tables in the files of spreadsheets and shops: CSV and TSV as programs export them, XLSX, ODS,
and product feeds as XML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytoon_pipeline.briefs.plain_text import clean_file_name, strip_unseen
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.files import FileTooLargeError, open_file, read_file, show_bytes
from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.delimited import split_text
from pytoon_pipeline.tables.encodings import decode_text
from pytoon_pipeline.tables.feeds import looks_like_feed, read_feed
from pytoon_pipeline.tables.limits import (
    MAX_BYTES,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    refuse_table,
)
from pytoon_pipeline.tables.open_document import read_open_document
from pytoon_pipeline.tables.sheet_grid import SheetGrid
from pytoon_pipeline.tables.workbook import read_workbook

TABLES = (".csv", ".tsv", ".tab", ".xlsx", ".xlsm", ".xltx", ".ods", ".ots", ".fods", ".xml")
"""Endings of files that are read as tables."""
UNREADABLE = {
    ".xls": "is a workbook of Excel 97, which can't be read",
    ".xlt": "is a template of Excel 97, which can't be read",
    ".xlsb": "is a binary workbook, which can't be read",
    ".numbers": "is a document of Numbers, which can't be read",
    ".gsheet": "only points to a sheet of Google, which can't be read from here",
    ".sxc": "is a workbook of OpenOffice 1, which can't be read",
    ".et": "is a workbook of WPS, which can't be read",
    ".wks": "is a workbook of Works, which can't be read",
    ".dbf": "is a table of dBase, which can't be read",
    ".dif": "is a table in DIF, which can't be read",
    ".slk": "is a table in SYLK, which can't be read",
    ".jsonl": "is a list in JSON, which can't be read",
    ".ndjson": "is a list in JSON, which can't be read",
    ".accdb": "is a database of Access, which can't be read",
    ".mdb": "is a database of Access, which can't be read",
    ".parquet": "is a table in Parquet, which can't be read",
}
"""Endings of files that look like tables and can't be read, and what they are."""
_SAVE_AS = {
    ".numbers": "Export it as CSV or XLSX (File > Export To).",
    ".gsheet": "Download the sheet as XLSX or CSV (File > Download), and put that here.",
}
_ABOVE = 12
"""Rows at the head of a table among which the names of its columns are looked for."""


@dataclass(frozen=True)
class TableSheet:
    """A table's header and those of its rows that hold anything."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    """Number of the row as a spreadsheet shows it, and its cells, at least one per column."""
    problems: list[Problem] = field(default_factory=list)
    faults: Mapping[tuple[int, int], CellError] = field(default_factory=dict)
    """Number of the row and column (from 0) -> what is to be said of the cell if it is used."""
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Number of the row and column -> the address that the cell leads to."""
    unit: str = "row"
    """What a row is called in messages: that of a feed is an `item`."""
    exact: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Number of the row and column -> a number or a date of the cell that can't be misread, where
    the cell shows it otherwise."""


def refuse_unreadable(path: Path, shown: str) -> Problem:
    """Return the problem of a file whose ending says that it is a table which can't be read."""
    suffix = path.suffix.lower()
    what = UNREADABLE[suffix]
    try:
        head = b"" if path.is_dir() else _read_head(path)
    except OSError:
        head = b""
    if suffix == ".xls":
        if looks_like_feed(head) and b"office:spreadsheet" in head:
            what = "is an XML workbook of Excel 2003 that is called .xls, which can't be read"
        elif _is_page(head):
            what = "is a web page that is called .xls, which can't be read"
        elif head and not head.startswith(b"\xd0\xcf\x11\xe0") and b"\0" not in head:
            what = "is text that is called .xls"
    remedy = _SAVE_AS.get(suffix, "Open it in a spreadsheet program and save it as XLSX or CSV.")
    return Problem("table.kind", f"{what}.", remedy, file=shown)


def _read_head(path: Path) -> bytes:
    with open_file(path) as file:
        return file.read(2_000)


def _is_page(head: bytes) -> bool:
    return bool(
        re.match(rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<table|<meta)", head, re.I)
    )


def read_sheet(
    path: Path,
    shown: str,
    encoding: str | None = None,
    is_header: Callable[[Sequence[str]], bool] = lambda names: True,
) -> TableSheet:
    """Read the table in a file; `shown` is its name in messages.

    `encoding` is that of a text file, where a person names it. The names of the columns are in the
    first row that `is_header` accepts (titles and notes may stand above it), else in the first row
    that holds anything. Raises UserError when the file is no table or is too large, OSError when it
    can't be read.
    """
    try:
        return _read_sheet(path, shown, encoding, is_header)
    except FileTooLargeError as error:
        raise refuse_table(
            "table.too_large",
            f"is over {show_bytes(error.most)}.",
            "Split it, or take out columns that no brief needs.",
            shown,
        ) from error


def _read_sheet(
    path: Path, shown: str, encoding: str | None, is_header: Callable[[Sequence[str]], bool]
) -> TableSheet:
    suffix, head = path.suffix.lower(), _read_head(path)
    if suffix in (".xlsx", ".xlsm", ".xltx"):
        grid = read_workbook(path, shown, lambda g: _has_header(g, is_header))
        return _of_grid(grid, shown, is_header)
    if suffix in (".ods", ".ots", ".fods"):
        grid = read_open_document(path, shown, lambda g: _has_header(g, is_header))
        return _of_grid(grid, shown, is_header)
    _refuse_other_kinds(head, shown)
    if suffix == ".xml" or looks_like_feed(head):
        return _of_feed(read_file(path, MAX_BYTES), shown, encoding)
    text, problems = decode_text(read_file(path, MAX_BYTES), shown, encoding)
    return _trim_rows(split_text(text, suffix, shown), shown, is_header, problems)


def _refuse_other_kinds(head: bytes, shown: str) -> None:
    """What is called a table of text, and is none."""
    kinds = (
        (head.startswith(b"PK\x03\x04"), "is a workbook (a zip)", "Call it .xlsx, or save it"),
        (head.startswith(b"\xd0\xcf\x11\xe0"), "is a workbook of Excel 97", "Save it"),
        (head.startswith(b"%PDF"), "is a PDF", "Export the table"),
        (_is_page(head), "is a web page", "Download the table once more, signed in, or save it"),
        (head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")), "is a picture", "Export it"),
    )
    for matches, what, how in kinds:
        if matches:
            raise refuse_table(
                "table.kind", f"{what}, whatever its name says.", f"{how} as CSV or XLSX.", shown
            )


def _trim_rows(
    rows: Iterable[tuple[int, list[str]]],
    shown: str,
    is_header: Callable[[Sequence[str]], bool],
    problems: Sequence[Problem] = (),
) -> TableSheet:
    """The first row that is one of names, else the first that holds anything, is the header."""
    first: list[tuple[int, list[str]]] = []
    kept: list[tuple[int, list[str]]] = []
    header: list[str] | None = None
    header_cells: list[str] = []
    cells_kept = 0
    for number, cells in rows:
        if not any(c and not c.isspace() for c in cells):
            continue
        if header is None:
            first.append((number, cells))
            if is_header(_header_names(cells)):
                header, header_cells = _header_names(cells), cells
            elif len(first) >= _ABOVE:
                header, header_cells = _header_names(first[0][1]), first[0][1]
                kept += first[1:]
            continue
        if cells[0] == header_cells[0] and _header_names(cells) == header:
            continue  # Several exports, one below the other.
        kept.append((number, cells))
        cells_kept += max(len(header), len(cells))
        _check_bounds(len(kept), cells_kept, shown)
    if header is None:
        if not first:
            raise refuse_table(
                "table.empty",
                "holds nothing.",
                "Name columns in the first row: name, media, hook.",
                shown,
            )
        header = _header_names(first[0][1])
        kept += first[1:]
    width = len(header)
    padded = [(n, cells + [""] * (width - len(cells))) for n, cells in kept]
    return TableSheet(header, padded, list(problems))


def _check_bounds(rows: int, cells: int, shown: str) -> None:
    if rows > MAX_ROWS:
        raise refuse_table(
            "table.too_large", f"has more than {MAX_ROWS:,} rows.", "Split it.", shown
        )
    if cells > MAX_CELLS:
        raise refuse_table(
            "table.too_large",
            f"has more than {MAX_CELLS:,} cells.",
            "Split it, or take out columns that no brief needs.",
            shown,
        )


def _header_names(cells: Sequence[str]) -> list[str]:
    names = [" ".join(clean_file_name(c).split()) for c in cells[:MAX_COLUMNS]]
    while names and not names[-1]:
        names.pop()
    return names


def _has_header(grid: SheetGrid, is_header: Callable[[Sequence[str]], bool]) -> bool:
    return any(is_header(_header_names(grid.rows[n])) for n in sorted(grid.rows)[:_ABOVE])


def _of_grid(grid: SheetGrid, shown: str, is_header: Callable[[Sequence[str]], bool]) -> TableSheet:
    """A workbook's sheet: rows that are hidden are left out, and said."""
    visible = sorted(n for n in grid.rows if n not in grid.hidden_rows)
    if not any(is_header(_header_names(grid.rows[n])) for n in visible[:_ABOVE]):
        # Names of columns may be hidden under prettier ones.
        head = sorted(grid.hidden_rows & grid.rows.keys())[:_ABOVE]
        named = next((n for n in head if is_header(_header_names(grid.rows[n]))), None)
        if named is not None:
            grid.hidden_rows.discard(named)
            visible = sorted([*visible, named])
    for number in visible[:_ABOVE]:
        grid.fill_header(number)
    sheet = _trim_rows(((n, grid.rows[n]) for n in visible), shown, is_header)
    numbers = [n for n, _ in sheet.rows]
    grid.fill_merged(above=numbers[0] if numbers else 0)
    padded = [(n, grid.rows[n] + [""] * (len(sheet.header) - len(grid.rows[n]))) for n in numbers]
    problems = [
        *_other_sheets(grid, shown),
        *_hidden_rows(grid, shown),
        *_hidden_columns(grid, sheet, shown),
    ]
    return TableSheet(sheet.header, padded, problems, grid.faults, grid.links, exact=grid.exact)


def _other_sheets(grid: SheetGrid, shown: str) -> list[Problem]:
    if not grid.others:
        return []
    listed = ", ".join(repr(name[:40]) for name in grid.others[:4])
    more = f" and {len(grid.others) - 4} more" if len(grid.others) > 4 else ""
    return [
        Problem(
            "table.sheets",
            f"only the sheet {grid.name[:40]!r} is read, of others there are {listed}{more}.",
            "Put all briefs into one sheet; the one that is called 'briefs' goes first.",
            "info",
            shown,
        )
    ]


def _hidden_rows(grid: SheetGrid, shown: str) -> list[Problem]:
    hidden = sorted(
        n for n in grid.rows if n in grid.hidden_rows and any(strip_unseen(c) for c in grid.rows[n])
    )
    if not hidden:
        return []
    listed = ", ".join(str(n) for n in hidden[:8])
    listed += f" and {len(hidden) - 8} more" if len(hidden) > 8 else ""
    are = "rows {} are" if len(hidden) > 1 else "row {} is"
    return [
        Problem(
            "table.hidden",
            f"{are.format(listed)} hidden and left out.",
            "Show them, or take the filter off, where they are meant.",
            "warning",
            shown,
        )
    ]


def _hidden_columns(grid: SheetGrid, sheet: TableSheet, shown: str) -> list[Problem]:
    hidden = [
        sheet.header[at]
        for at in sorted(grid.hidden_columns)
        if at < len(sheet.header) and sheet.header[at]
    ]
    if not hidden:
        return []
    listed = ", ".join(repr(name[:40]) for name in hidden[:8])
    are = "columns {} are" if len(hidden) > 1 else "column {} is"
    return [
        Problem(
            "table.hidden",
            f"{are.format(listed)} hidden and taken all the same.",
            "Delete what is not meant, or begin its name with _.",
            "warning",
            shown,
        )
    ]


def _of_feed(data: bytes, shown: str, encoding: str | None) -> TableSheet:
    columns, rows, problems = read_feed(data, shown, encoding)
    return TableSheet(columns, list(enumerate(rows, 1)), problems, unit="item")
