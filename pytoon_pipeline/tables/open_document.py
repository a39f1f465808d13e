"""Rows of text from ODS workbooks (of LibreOffice and others): the file holds what each cell
shows."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from pytoon_pipeline.files import open_file
from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.limits import (
    GAP,
    MAX_BYTES,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_LINES,
    MAX_ROWS,
    refuse_table,
)
from pytoon_pipeline.tables.number_formats import show_general
from pytoon_pipeline.tables.sheet_grid import SheetGrid, choose_sheet, uncounted_formula
from pytoon_pipeline.tables.workbook_archive import open_archive
from pytoon_pipeline.tables.xml_events import (
    XML_ERRORS,
    StopReadingError,
    TooDeepError,
    local_name,
    read_events,
)


def read_open_document(
    path: Path, shown: str, is_meant: Callable[[SheetGrid], bool] = lambda grid: True
) -> SheetGrid:
    """Read the sheet that `choose_sheet` chooses by `is_meant`. `shown` is the file's name in
    messages.

    Raises UserError where the file is no workbook or a damaged one, OSError when the file can't be
    read.
    """
    sheets = _SheetHandler()
    with ExitStack() as stack:
        if path.suffix.lower() == ".fods":  # The same, not packed.
            part: IO[bytes] = stack.enter_context(open_file(path, MAX_BYTES))
        else:
            archive = stack.enter_context(open_archive(path, shown, "an ODS"))
        try:
            if path.suffix.lower() != ".fods":
                part = stack.enter_context(archive.open("content.xml"))
            read_events(part, sheets.start, sheets.end, sheets.data)
        except (
            *XML_ERRORS,
            TooDeepError,
            KeyError,
            ValueError,
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
        ) as error:
            what = str(error).strip("'\"").rstrip(".") or type(error).__name__
            raise refuse_table(
                "table.ods",
                f"can't be read as a workbook: {what[:200]}.",
                "Save it without a password, or as XLSX.",
                shown,
            ) from error
    if sheets.too_many:
        raise refuse_table(
            "table.too_large", f"has more than {MAX_CELLS:,} cells.", "Split it.", shown
        )
    found = sheets.found
    return choose_sheet(
        [(name, hidden) for name, hidden, _ in found], lambda at: found[at][2], is_meant
    )


class _SheetHandler:
    """Takes the events of `content.xml`."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bool, SheetGrid]] = []
        self.hidden_styles: set[str] = set()
        self.style = ""
        self.grid = SheetGrid()
        self.row = self.empty = self.kept = 0
        self.repeat_row = self.repeat_cell = self.column = 0
        self.cells: list[str] = []
        self.hidden = self.in_cell = self.too_many = False
        self.note = self.paragraphs = 0
        self.pieces: list[str] = []
        self.cell: Mapping[str, str] = {}
        self.ended = False
        self.header_column = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        name = local_name(name)
        get = {local_name(k): v for k, v in attributes.items()}.get
        if name == "table":
            self.grid = SheetGrid()
            hidden = get("style-name", "") in self.hidden_styles or get("display") == "false"
            self.found.append((get("name", ""), hidden, self.grid))
            self.row = self.empty = self.header_column = 0
            self.ended = False
        elif name == "style":
            self.style = get("name", "")
        elif name == "table-properties" and get("display") == "false":
            self.hidden_styles.add(self.style)
        elif name == "table-column":
            count = _parse_count(get("number-columns-repeated"))
            if get("visibility") in ("collapse", "filter"):
                last = min(self.header_column + count, MAX_COLUMNS)
                self.grid.hidden_columns.update(range(self.header_column, last))
            self.header_column += count
        elif name == "table-row":
            self.cells, self.column = [], 0
            self.repeat_row = _parse_count(get("number-rows-repeated"))
            self.hidden = get("visibility") in ("collapse", "filter")
        elif name in ("table-cell", "covered-table-cell"):
            self.in_cell, self.pieces, self.paragraphs = True, [], 0
            self.repeat_cell = _parse_count(get("number-columns-repeated"))
            self.cell = {local_name(k): v for k, v in attributes.items()}
        elif name in ("annotation", "detective", "shapes", "frame"):
            self.note += 1
        elif self.in_cell and not self.note:
            if name == "p":
                self.pieces += ["\n"] if self.paragraphs else []
                self.paragraphs += 1
            elif name == "s":
                self.pieces.append(" " * min(_parse_count(get("c")), 100))
            elif name == "tab":
                self.pieces.append("\t")
            elif name == "line-break":
                self.pieces.append("\n")
            elif name == "a" and get("href"):
                self.grid.links.setdefault((self.row + 1, self.column), get("href", ""))

    def data(self, text: str) -> None:
        if self.in_cell and self.paragraphs and not self.note:
            self.pieces.append(text)

    def end(self, name: str) -> None:
        name = local_name(name)
        if name in ("annotation", "detective", "shapes", "frame"):
            self.note -= 1
        elif name in ("table-cell", "covered-table-cell"):
            self._end_cell()
        elif name == "table-row":
            self._end_row()

    def _end_cell(self) -> None:
        self.in_cell = False
        at, get = (self.row + 1, self.column), self.cell.get
        text = "".join(self.pieces)
        kind = get("value-type", "")
        if not text and kind in ("float", "percentage", "currency") and get("value"):
            text = show_general(float(get("value", "0")))
        elif not text and kind == "date":
            text = get("date-value", "").removesuffix("T00:00:00")
        elif not text and kind == "boolean":
            text = get("boolean-value", "").upper()
        if text and kind == "date" and get("date-value"):
            self.grid.exact[at] = get("date-value", "").removesuffix("T00:00:00")
        elif text and kind == "currency" and get("value") and get("currency"):
            self.grid.exact[at] = f"{show_general(float(get('value', '0')))} {get('currency')}"
        elif text and kind == "float" and re.fullmatch(r"[\d.,'\s]+", text) and get("value"):
            self.grid.exact[at] = show_general(float(get("value", "0")))
        if get("formula") and not kind and not text and self.column < MAX_COLUMNS:
            self.grid.faults[at] = uncounted_formula()
        if "value-type" in self.cell and get("value-type") == "error" or text.startswith("Err:"):
            self.grid.faults[at] = CellError(
                f"holds an error of the spreadsheet ({text[:40]}) instead of a value.",
                "Correct its formula, or empty the cell.",
            )
        down, across = (
            _parse_count(get("number-rows-spanned")),
            _parse_count(get("number-columns-spanned")),
        )
        if down > 1 or across > 1:
            self.grid.merged.append((at[0], at[0] + down - 1, at[1], at[1] + across - 1))
        count = min(self.repeat_cell, MAX_COLUMNS - self.column)
        if (text or at in self.grid.faults) and count > 0:
            self.cells += [""] * (self.column - len(self.cells)) + [text] * count
        self.column += self.repeat_cell

    def _end_row(self) -> None:
        count = self.repeat_row
        if not self.cells or self.ended:
            self.row += count
            self.empty += count
            self.ended = self.ended or self.empty > GAP
            return
        self.empty = 0
        for number in range(self.row + 1, self.row + 1 + min(count, MAX_ROWS + 2)):
            self.grid.rows[number] = list(self.cells)
            if self.hidden:
                self.grid.hidden_rows.add(number)
            self.kept += len(self.cells)
            if self.kept > 2 * MAX_CELLS or number > MAX_LINES:
                self.too_many = True
                raise StopReadingError
        self.row += count


def _parse_count(value: str | None) -> int:
    return max(1, int(value)) if value and value.isdigit() and len(value) < 9 else 1
