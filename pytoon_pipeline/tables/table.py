"""Tables of briefs: CSV, TSV, XLSX and ODS files and product feeds, with a brief in each row."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pytoon_pipeline.briefs.field_names import (
    CAMPAIGN,
    NAMES,
    OURS,
    SHOWN,
    ColumnTarget,
    normalise_name,
    similar_field,
    suggest_field,
    target_of,
)
from pytoon_pipeline.briefs.reading import could_not_read
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.files import FileRefusedError, open_file
from pytoon_pipeline.tables.cell_text import CellKind, CellReader, kind_of
from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.mapping import knows_header, plan_for
from pytoon_pipeline.tables.mapping_file import MappingFile, mapping_path, read_mapping
from pytoon_pipeline.tables.offers import OfferPeriod, first_change
from pytoon_pipeline.tables.rows import RowBrief, TableNote, TableRow, as_name, read_row, sources_of
from pytoon_pipeline.tables.sheets import (
    TABLES,
    UNREADABLE,
    TableSheet,
    read_sheet,
    refuse_unreadable,
)
from pytoon_pipeline.tables.table_plan import Cells, TablePlan

TABLE_LIKE = (*TABLES, *UNREADABLE)
"""Endings of files that are tables, or look like it: what can't be read is said."""
_MAYBE = ".txt"
"""Ending of tables in tabs (feeds, Excel's Unicode text) and of much else: its columns tell."""
_MAX_KNOWN = 256
_KNOWN: dict[Path, tuple[Any, OfferPeriod, tuple[BriefSource, ...], tuple[Problem, ...]]] = {}
"""What was last read of each table, as long as it and its mapping stand as they did and no offer of
it begins or ends. Entries are replaced whole, so threads need no lock."""


def looks_like_table(path: Path) -> bool:
    """Return whether a file is to be read as a table, or reported as one that can't be read."""
    suffix = path.suffix.lower()
    if suffix != _MAYBE:
        return suffix in TABLE_LIKE
    try:
        info = path.stat()
        beside = mapping_path(path)
        state = beside and _file_state(beside)
        return _has_columns(path, info.st_size, info.st_mtime_ns, beside, state)
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _has_columns(
    path: Path, size: int, _mtime_ns: int, beside: Path | None, _mapping_state: object
) -> bool:
    with open_file(path) as file:
        head = file.read(4_000)
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    lines = head.decode(encoding, "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    mapping, problems = read_mapping(beside)
    if could_not_read(problems):
        raise OSError(f"{beside} can't be read now")  # Else this would be remembered.
    return "\t" in first and _is_header(first.split("\t"), mapping)


def read_table(
    path: Path, now: dt.datetime | None = None
) -> tuple[list[BriefSource], list[Problem]]:
    """Return the rows of a table as briefs, and the problems that keep the table from being read.
    Offers are those of `now`, by default of the present. Never raises."""
    path = Path(path)
    now = dt.datetime.now(dt.UTC) if now is None else now
    if path.name.startswith("~$"):
        return [], []  # Excel keeps one beside each workbook that is open.
    if path.suffix.lower() in UNREADABLE:
        return [], [refuse_unreadable(path, path.name)]
    try:
        beside = mapping_path(path)
        state = (_file_state(path), beside, beside and _file_state(beside))
        known = _KNOWN.get(path)
        if known is None or known[0] != state or not known[1].is_current(now):
            sources, problems = _read_table(path, beside, now)
            known = _KNOWN[path] = (state, _validity_period(sources, now), sources, problems)
            for old in list(_KNOWN)[:-_MAX_KNOWN]:
                _KNOWN.pop(old, None)
            if could_not_read(problems):
                _KNOWN.pop(path, None)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        refused = isinstance(error, FileRefusedError)
        remedy = "Save a table under this name." if refused else "Check its rights."
        shown = os.fsencode(path.name).decode(errors="replace")
        return [], [Problem("table.unreadable", f"can't be read: {what}.", remedy, file=shown)]
    return list(known[2]), list(known[3])


def _file_state(path: Path) -> tuple[int, ...]:
    info = path.stat()
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def _validity_period(sources: Sequence[BriefSource], now: dt.datetime) -> OfferPeriod:
    """From when until when the rows say what they say now."""
    ends = (s.document.until for s in sources if s.document and s.document.until)
    return OfferPeriod(now, first_change(dt.datetime.fromisoformat(end) for end in ends))


def _read_table(
    path: Path, beside: Path | None, now: dt.datetime
) -> tuple[tuple[BriefSource, ...], tuple[Problem, ...]]:
    whole = TableNote(path, path.parent, path.stem, path.name)
    own, problems = read_mapping(beside)
    if problems:
        return (), tuple(problems)
    try:
        sheet = read_sheet(
            path,
            path.name,
            own.encoding if own else None,
            lambda names: _is_header(names, own),
        )
    except UserError as error:
        return (), tuple(error.problems)
    plan, problems = plan_for(sheet.header, own, beside.name if beside else "")
    if problems:
        return (), tuple(problems)
    if plan is not None:
        plan = replace(plan, unit=sheet.unit, now=now)
    columns = None
    if plan is None or not plan.fields:
        columns = read_columns(sheet.header, path.name)
        if columns.hopeless and (plan is None or not plan.defaults):
            return (), (columns.hopeless,)
        problems = [*columns.problems, *_nameless_problems(sheet, path.name)]
    passed: dict[str, list[int]] = {}
    priceless: list[str] = []
    sources, found = sources_of(
        whole, _iterate_rows(sheet, columns, plan, path.parent, passed, priceless)
    )
    notes = [*_passed_over(passed, sheet.unit, path.name), *_no_currency(priceless, path, beside)]
    return tuple(sources), (*sheet.problems, *problems, *found, *notes)


def _is_header(names: Sequence[str], own: MappingFile | None) -> bool:
    """Are these names of columns that are known?"""
    spelled = [normalise_name(name) for name in names if name]
    targets = [target for name in spelled if (target := target_of(name)) is not None]
    if any(target.path[0] in SHOWN for target in targets) and len(set(spelled)) > 1:
        return True
    named = [name for name in spelled if name in (*NAMES, CAMPAIGN)]
    return len(targets) + len(named) > 1 or knows_header(own, names)


def _passed_over(passed: dict[str, list[int]], unit: str, shown: str) -> list[Problem]:
    """Of rows that a mapping leaves out, once for each reason."""
    found = []
    for reason, numbers in passed.items():
        listed = ", ".join(str(n) for n in numbers[:8])
        listed += f" and {len(numbers) - 8} more" if len(numbers) > 8 else ""
        are = f"{unit}s" if len(numbers) > 1 else unit
        found.append(
            Problem(
                "table.skipped",
                f"{are} {listed} passed over: {reason}.",
                "A mapping file beside the table says what is passed over.",
                "info",
                shown,
            )
        )
    return found


def _no_currency(columns: Sequence[str], path: Path, beside: Path | None) -> list[Problem]:
    if not columns:
        return []
    where = beside.name if beside is not None else f"{path.stem}.mapping.yaml"
    own = "to" if beside is not None else "in a file"
    return [
        Problem(
            "table.currency",
            "names no currency for its prices, so no price is shown.",
            f"Write `prices: {{currency: EUR}}` {own} {where} beside the table, with the code of "
            "the shop's currency.",
            "info",
            path.name,
            f"column {columns[0]}",
        )
    ]


# Columns -----------------------------------------------------------------------------------------


@dataclass
class TableColumns:
    """What the columns of a table are."""

    fields: list[tuple[int, ColumnTarget, str]] = field(default_factory=list)
    """Position, what it fills, and its name; in the order that rows are read in."""
    slips: list[tuple[int, str]] = field(default_factory=list)
    """Position and name of columns that are nearly a field: an error where they say anything."""
    name: int | None = None
    campaign: int | None = None
    problems: list[Problem] = field(default_factory=list)
    """Worth saying of the table as a whole."""
    hopeless: Problem | None = None
    """It is no table of briefs."""

    def kinds(self) -> dict[int, CellKind]:
        """Return what the cells of each used column are, by the position of the column."""
        kinds = {at: kind_of(target) for at, target, _ in self.fields}
        for at in (self.name, self.campaign):
            if at is not None:
                kinds[at] = CellKind.NAME
        return kinds


def read_columns(header: Sequence[str], shown: str, silent: Sequence[str] = ()) -> TableColumns:
    """Return the meaning of columns by their names. Names in `silent` are known to be no fields,
    and are not reported."""
    columns = TableColumns()
    spelled = [normalise_name(name) for name in header]
    columns.name = next((spelled.index(n) for n in NAMES if n in spelled), None)
    columns.campaign = spelled.index(CAMPAIGN) if CAMPAIGN in spelled else None
    unknown: list[str] = []
    first: dict[ColumnTarget, str] = {}
    for at, name in enumerate(header):
        if not name or name.startswith(("_", "#")) or name in silent:
            continue
        if spelled[at] in (*NAMES, CAMPAIGN, *OURS):
            continue
        target = target_of(name)
        if target is None:
            if similar_field(name):
                columns.slips.append((at, name))
            else:
                unknown.append(name)
            continue
        if target in first and target.kind != "list":
            columns.problems.append(_same_column_problem(first[target], name, target, shown))
        first.setdefault(target, name)
        columns.fields.append((at, target, name))
    columns.fields.sort(key=lambda f: (len(f[1].path), f[1].place or 0))
    known = {target.path[0] for _, target, _ in columns.fields}
    known |= {target.path[-1].removesuffix("s") for _, target, _ in columns.fields}
    known |= {
        close.partition("_")[0] for _, name in columns.slips if (close := similar_field(name))
    }
    if not known & set(SHOWN):
        columns.hopeless = _no_columns_problem(header, shown)
    if unknown:
        columns.problems.append(_unknown_columns_problem(unknown, shown))
    return columns


def _same_column_problem(first: str, second: str, target: ColumnTarget, shown: str) -> Problem:
    return Problem(
        "table.columns",
        f"columns {first!r} and {second!r} both say {target.field}; the first that is filled "
        "counts.",
        "Take one of them out.",
        "warning",
        shown,
        f"column {second}",
    )


def _no_columns_problem(header: Sequence[str], shown: str) -> Problem:
    had = ", ".join(repr(name[:40]) for name in header[:6] if name)
    more = ", ..." if len(header) > 6 else ""
    hints = {m: name for name in header if (m := suggest_field(name)) in SHOWN}
    meant = f" Is {hints['media']!r} the pictures? Call it 'media'." if "media" in hints else ""
    return Problem(
        "table.columns",
        f"is no table of briefs: no column is called media or hook (there are {had}{more}).",
        f"Name the columns like the fields of a brief, or say in {Path(shown).stem}.mapping.yaml "
        f"what they mean; a name that begins with _ is passed over.{meant}",
        file=shown,
    )


def _unknown_columns_problem(names: Sequence[str], shown: str) -> Problem:
    listed = ", ".join(repr(name[:40]) for name in names[:8])
    listed += f" and {len(names) - 8} more" if len(names) > 8 else ""
    hints = [f"{name!r} {meant!r}" for name in names if (meant := suggest_field(name))]
    meant = f"Did you mean by {', by '.join(hints[:3])}? " if hints else ""
    are = "columns that are no fields of a brief and are" if len(names) > 1 else "a column that is "
    are += "" if len(names) > 1 else "no field of a brief and is"
    return Problem(
        "table.column",
        f"has {are} passed over: {listed}.",
        f"{meant}Names that begin with _ or metadata. are known to be your own.",
        "warning",
        shown,
    )


def _nameless_problems(sheet: TableSheet, shown: str) -> list[Problem]:
    """Of columns that hold something under no name."""
    bare = [at for at, name in enumerate(sheet.header) if not name]
    return [
        Problem(
            "table.column",
            f"column {_column_letter(at)} has no name and is passed over.",
            "Name it in the first row.",
            "warning",
            shown,
            f"column {_column_letter(at)}",
        )
        for at in bare
        if any(cells[at].strip() for _, cells in sheet.rows)
    ]


def _column_letter(at: int) -> str:
    """As a spreadsheet names the column at a position: 0 -> A, 26 -> AA."""
    text, at = "", at + 1
    while at:
        at, rest = divmod(at - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


# Rows --------------------------------------------------------------------------------------------


def _iterate_rows(
    sheet: TableSheet,
    columns: TableColumns | None,
    plan: TablePlan | None,
    folder: Path,
    passed: dict[str, list[int]],
    priceless: list[str],
) -> Iterator[TableRow]:
    """The briefs of a table; the first column of prices that no currency is known for is added to
    `priceless`."""
    make_row: Callable[[Sequence[Cells]], TableRow]
    if columns is not None:
        make_row = partial(row_of, columns, plan=plan)
    elif plan is not None:
        make_row = plan.row
    else:
        raise ValueError("a table is read by the names of its columns or by a mapping")
    kinds = columns.kinds() if columns is not None else {}
    reader = CellReader(
        kinds={**(plan.kinds() if plan is not None else {}), **kinds},
        header=sheet.header,
        links=sheet.links,
        faults=sheet.faults,
        folder=folder,
        splits=plan is None or plan.separator is None,
        line_break=plan.line_break if plan is not None else None,
    )
    of_money = plan.price_columns() if plan is not None else ()
    groups = plan.groups(sheet.rows, passed) if plan else ([row] for row in sheet.rows)
    for group in groups:
        tidy, found = [], []
        for number, cells in group:
            place = f"{sheet.unit} {number}"
            new, notes = reader.read(number, cells, place)
            for at in of_money:
                new[at] = sheet.exact.get((number, at), new[at])
            tidy.append((number, new))
            found += notes
        if plan is not None and columns is None and not priceless:
            priceless += [c for c in [plan.hides_price(tidy)] if c]
        row = make_row(tidy)
        row.said.problems += found
        for number, cells in group:
            _check_width(row.said, len(sheet.header), number, cells)
        yield row


def _check_width(said: RowBrief, width: int, number: int, cells: Sequence[str]) -> None:
    if len(cells) > width and any(c.strip() for c in cells[width:]):
        said.problems.append(
            (
                f"row {number}",
                CellError(
                    f"has more cells than the table has columns ({width}).",
                    'Text with the separator in it goes in "quotes".',
                ),
            )
        )


def row_of(
    columns: TableColumns, group: Sequence[Cells], plan: TablePlan | None = None, identity: str = ""
) -> TableRow:
    """Return the brief of a row, or of several rows of one group, with what `plan` says of every
    row. `identity` is the key of a row of a database, which tells it from others."""
    number, cells = group[0]
    place = f"row {identity or number}"
    said = read_row(_given_values(columns, group, identity), plan.separator if plan else None)
    name = as_name(cells[columns.name]) if columns.name is not None else ""
    campaign = as_name(cells[columns.campaign]) if columns.campaign is not None else ""
    if plan is not None:
        return plan.finish(said, group, number, name, campaign)
    return TableRow(place, number, name, campaign, said, identity)


def _given_values(
    columns: TableColumns, group: Sequence[Cells], identity: str
) -> Iterator[tuple[ColumnTarget, Any, str]]:
    seen = set()
    for at, target, name in columns.fields:
        for number, cells in group:
            value = cells[at]
            if value is None or value == "":
                continue
            if len(group) > 1:
                if (target, value) in seen:
                    continue
                seen.add((target, value))
            yield target, value, f"row {identity or number}, column {name}"
    for at, name in columns.slips:
        for number, cells in group:
            if str(cells[at] or "").strip():
                # As it stands, for the compiler to say what was meant.
                place = f"row {identity or number}, column {name}"
                yield ColumnTarget((normalise_name(name),), "text"), cells[at], place
