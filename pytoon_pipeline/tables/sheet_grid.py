"""What a sheet of a workbook shows, and which sheet of a workbook holds the briefs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.limits import MAX_CELLS, MAX_COLUMNS

_MAX_TRIED = 20
"""Sheets among which that of the briefs is looked for."""


@dataclass
class SheetGrid:
    """What a sheet shows."""

    rows: dict[int, list[str]] = field(default_factory=dict)
    """Number, from 1 -> cells; rows that hold nothing are left out."""
    faults: dict[tuple[int, int], CellError] = field(default_factory=dict)
    """Row, and column from 0 -> what is to be said of a cell."""
    links: dict[tuple[int, int], str] = field(default_factory=dict)
    """Row, and column from 0 -> the address that a cell leads to."""
    exact: dict[tuple[int, int], str] = field(default_factory=dict)
    """Row, and column from 0 -> a number without separators of thousands, or a date in ISO 8601,
    where the cell shows it otherwise."""
    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    """First and last row, first and last column, from 0, of cells that are one."""
    name: str = ""
    """Of the sheet."""
    others: list[str] = field(default_factory=list)
    """Names of the workbook's other sheets that are not hidden."""

    def fill_merged(self, above: int) -> None:
        """Put the value of merged cells into each row of them, but not of those that begin above
        the row `above`: they are titles and names of columns."""
        numbers = sorted(self.rows)
        filled = 0
        for first, last, column, _ in self.merged:
            cells = self.rows.get(first, [])
            value = cells[column] if column < len(cells) else ""
            if not value or first == last or first < above:
                continue
            fault, link = self.faults.get((first, column)), self.links.get((first, column))
            for at in range(bisect_right(numbers, first), bisect_right(numbers, last)):
                row = self.rows[numbers[at]]
                row += [""] * (column + 1 - len(row))
                row[column] = row[column] or value
                if fault is not None:
                    self.faults.setdefault((numbers[at], column), fault)
                if link is not None:
                    self.links.setdefault((numbers[at], column), link)
                filled += 1
                if filled > MAX_CELLS:
                    return

    def fill_header(self, number: int) -> None:
        """Put a name that stands over several columns into each of them, in the row of names."""
        cells = self.rows.get(number, [])
        for first, _, column, last in self.merged:
            if first == number and column < len(cells) and last < MAX_COLUMNS:
                cells += [""] * (last + 1 - len(cells))
                for at in range(column + 1, last + 1):
                    cells[at] = cells[at] or cells[column]


def uncounted_formula() -> CellError:
    """Return what is said of a cell with a formula and no value."""
    return CellError(
        "holds a formula whose value was not saved.",
        "Open the table in a spreadsheet program and save it again.",
    )


def choose_sheet(
    sheets: Sequence[tuple[str, bool]],
    read: Callable[[int], SheetGrid],
    is_meant: Callable[[SheetGrid], bool],
) -> SheetGrid:
    """Return the sheet of the briefs: the one named `briefs`; else the first of those that are not
    hidden which `is_meant` accepts as a table of briefs, as a page of notes may lie before it; else
    the first. An empty grid where there is no sheet.

    `sheets` are names, and whether each is hidden; `read` gives a sheet by its position.
    """
    every = range(len(sheets))
    named = [i for i in every if sheets[i][0].strip().lower() == "briefs"]
    visible = [i for i in every if not sheets[i][1]]
    wanted = named or visible or list(every)
    if not wanted:
        return SheetGrid()
    chosen = wanted[0]
    grid = read(chosen)
    if len(wanted) > 1 and not named and not is_meant(grid):
        for at in wanted[1:_MAX_TRIED]:
            other = read(at)
            if is_meant(other):
                chosen, grid = at, other
                break
    grid.name = sheets[chosen][0]
    grid.others = [sheets[i][0] for i in visible if i != chosen]
    return grid
