"""What a sheet of an XLSX workbook shows, read event by event from its XML."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytoon_pipeline.errors import UserError
from pytoon_pipeline.tables.limits import GAP, MAX_CELLS, MAX_COLUMNS, MAX_LINES, refuse_table
from pytoon_pipeline.tables.sheet_grid import SheetGrid, uncounted_formula
from pytoon_pipeline.tables.workbook_cells import CellFormatter
from pytoon_pipeline.tables.xml_events import StopReadingError, local_name

_MAX_LINKS = 200_000
"""Links of a sheet, and areas of merged cells."""
_LINKED_ROWS, _LINKED_COLUMNS = 1_000, 20
"""Rows and columns of one link; a link of more cells leads from the first of them."""


class WorksheetReader:
    """Collects what a sheet shows from the events of its XML.

    `start_element`, `end_element` and `add_text` are for `read_events`; `grid` is the result, to
    which `add_links` adds the addresses that cells lead to. The events raise StopReadingError where
    the rest of a sheet is empty, and UserError for a sheet of too many cells.
    """

    def __init__(self, cells: CellFormatter, shown: str):
        self.grid = SheetGrid()
        self.links: dict[str, str] = {}
        """Area of cells -> id of the relationship that names their address."""
        self._cells, self._shown = cells, shown
        self._row = self._column = 0
        self._seen = self._kept = self._empty_rows = 0
        self._texts: list[str] = []
        """Of the row that is read."""
        self._kind = self._style = ""
        """Of the cell that is read, as the next six."""
        self._value: list[str] = []
        self._formula: list[str] = []
        self._has_value = self._has_formula = False
        self._inside = ""
        """`v` within a value, `f` within a formula."""
        self._is_phonetic = False
        self._starts = {
            "c": self._start_cell,
            "v": self._start_value,
            "t": self._start_text,
            "f": self._start_formula,
            "rPh": self._start_phonetic,
            "row": self._start_row,
            "col": self._add_column,
            "mergeCell": self._add_merged,
            "hyperlink": self._add_hyperlink,
        }

    def start_element(self, name: str, attributes: Mapping[str, str]) -> None:
        """Take the start of an element."""
        start = self._starts.get(local_name(name) if ":" in name else name)
        if start is not None:
            start(attributes)

    def end_element(self, name: str) -> None:
        """Take the end of an element."""
        if ":" in name:
            name = local_name(name)
        self._inside = ""
        if name == "c":
            self._end_cell()
        elif name == "row":
            self._end_row()
        elif name == "rPh":
            self._is_phonetic = False

    def add_text(self, text: str) -> None:
        """Take characters between elements."""
        if self._inside == "v":
            self._value.append(text)
        elif self._inside == "f":
            self._formula.append(text)

    def add_links(self, targets: Mapping[str, tuple[str, str]]) -> None:
        """Add the addresses of the sheet's links. `targets`: id -> kind and address."""
        for ref, link in self.links.items():
            area = _parse_area(ref)
            target = targets.get(link, ("", ""))[1]
            if area and target:
                first, last, column, last_column = area
                for number in range(first, min(last, first + _LINKED_ROWS) + 1):
                    for each in range(column, min(last_column, column + _LINKED_COLUMNS) + 1):
                        self.grid.links.setdefault((number, each), target)

    # Starts of elements

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        self._seen += 1
        if self._seen > 2 * MAX_CELLS:
            raise self._too_many(2 * MAX_CELLS)
        place = attributes.get("r")
        self._column = _column_of(place) if place else self._column + 1
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")
        self._has_formula = self._has_value = False
        self._value.clear()
        self._formula.clear()

    def _start_value(self, _: Mapping[str, str]) -> None:
        self._inside, self._has_value = "v", True

    def _start_text(self, _: Mapping[str, str]) -> None:
        if not self._is_phonetic:
            self._inside, self._has_value = "v", True

    def _start_formula(self, _: Mapping[str, str]) -> None:
        self._inside, self._has_formula = "f", True

    def _start_phonetic(self, _: Mapping[str, str]) -> None:
        self._is_phonetic = True

    def _start_row(self, attributes: Mapping[str, str]) -> None:
        self._row = int(attributes["r"]) if "r" in attributes else self._row + 1
        self._column = 0
        self._texts.clear()
        if self._row > MAX_LINES:
            raise StopReadingError
        if attributes.get("hidden") in ("1", "true") or attributes.get("ht") == "0":
            self.grid.hidden_rows.add(self._row)

    def _add_column(self, attributes: Mapping[str, str]) -> None:
        if attributes.get("hidden") in ("1", "true") or attributes.get("width") == "0":
            first, last = int(attributes["min"]), int(attributes["max"])
            self.grid.hidden_columns.update(range(first - 1, min(last, MAX_COLUMNS)))

    def _add_merged(self, attributes: Mapping[str, str]) -> None:
        area = _parse_area(attributes.get("ref", ""))
        if area and len(self.grid.merged) < _MAX_LINKS:
            self.grid.merged.append(area)

    def _add_hyperlink(self, attributes: Mapping[str, str]) -> None:
        link = next((v for k, v in attributes.items() if local_name(k) == "id"), None)
        if link is not None and len(self.links) < _MAX_LINKS:
            self.links[attributes.get("ref", "")] = link

    # Ends of elements

    def _end_cell(self) -> None:
        if not (self._has_value or self._has_formula) or self._column > MAX_COLUMNS:
            return
        at = (self._row, self._column - 1)
        value = "".join(self._value)
        text, fault = self._cells.show_cell(
            self._kind, self._style, value if self._has_value else None
        )
        if self._has_formula:
            link = _link_of("".join(self._formula))
            if link:
                self.grid.links[at] = link
            # A program wrote it, and no spreadsheet has worked it out; one that has says
            # `str` where the outcome is no text at all.
            if not value and self._kind == "n":
                fault = uncounted_formula()
        if fault is not None:
            self.grid.faults[at] = fault
        exact = self._cells.exact_text(self._kind, self._style, value, text) if text else text
        if exact != text:
            self.grid.exact[at] = exact
        if text or fault is not None or at in self.grid.links:
            self._texts.extend([""] * (self._column - len(self._texts)))
        if text:
            self._texts[self._column - 1] = text

    def _end_row(self) -> None:
        self._empty_rows = 0 if self._texts else self._empty_rows + 1
        if self._texts:
            self.grid.rows[self._row] = list(self._texts)
            self._kept += len(self._texts)
            if self._kept > MAX_CELLS:
                raise self._too_many(MAX_CELLS)
        elif self._empty_rows > GAP:
            raise StopReadingError

    def _too_many(self, most: int) -> UserError:
        return refuse_table(
            "table.too_large",
            f"has more than {most:,} cells.",
            "Split it, or copy the rows into a new workbook.",
            self._shown,
        )


def _column_of(place: str) -> int:
    """`AB12` -> 28."""
    number = 0
    for character in place:
        code = ord(character) & ~0x20
        if not 65 <= code <= 90:
            break
        number = number * 26 + code - 64
    return number


def _parse_area(ref: str) -> tuple[int, int, int, int] | None:
    found = re.fullmatch(r"\$?([A-Za-z]{1,3})\$?(\d{1,7})(?::\$?([A-Za-z]{1,3})\$?(\d{1,7}))?", ref)
    if not found:
        return None
    column, row = _column_of(found[1]) - 1, int(found[2])
    return row, int(found[4] or row), column, _column_of(found[3] or found[1]) - 1


def _link_of(formula: str) -> str | None:
    found = re.match(r'(?i)\s*(?:_xlfn\.)?(?:HYPERLINK|IMAGE)\(\s*"([^"]{1,2000})"', formula)
    return found[1] if found else None
