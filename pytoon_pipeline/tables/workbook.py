"""XLSX workbooks -> rows of text, each cell as its sheet shows it."""

from __future__ import annotations

import datetime as dt
import os
import posixpath
import re
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pytoon_pipeline.files import open_file
from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.date_formats import to_datetime
from pytoon_pipeline.tables.format_codes import (
    SYSTEM_DATE,
    SYSTEM_MONEY,
    NotShownError,
    built_in_format,
    is_date_format,
)
from pytoon_pipeline.tables.limits import (
    GAP,
    MAX_BYTES,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_LINES,
    MAX_MEMBERS,
    MAX_SHARED,
    MAX_UNPACKED,
    refuse_table,
)
from pytoon_pipeline.tables.number_formats import show_general, show_number, show_text
from pytoon_pipeline.tables.xml_events import (
    XML_ERRORS,
    StopReadingError,
    TooDeepError,
    local_name,
    read_events,
)

_MAX_LINKS = 200_000
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
        """Cells that are one with those below show their value for each row of them; not those
        that begin above a row, which are titles and names of columns."""
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
        """A name over several columns names each of them."""
        cells = self.rows.get(number, [])
        for first, _, column, last in self.merged:
            if first == number and column < len(cells) and last < MAX_COLUMNS:
                cells += [""] * (last + 1 - len(cells))
                for at in range(column + 1, last + 1):
                    cells[at] = cells[at] or cells[column]


def uncounted_formula() -> CellError:
    return CellError(
        "holds a formula whose value was not saved.",
        "Open the table in a spreadsheet program and save it again.",
    )


@contextmanager
def open_archive(path: Path, shown: str, kind: str) -> Iterator[zipfile.ZipFile]:
    """The zip that a workbook is. Raises UserError where it is none, or too large unpacked,
    OSError where it can't be read."""
    with open_file(path, MAX_BYTES) as file:
        number = _count_members(file)
        if number > MAX_MEMBERS:
            raise _too_large(f"holds {number:,} files or more.", shown)
        try:
            archive = zipfile.ZipFile(file)
        except zipfile.BadZipFile as error:
            raise refuse_table(
                "table.xlsx",
                f"is not {kind} workbook.",
                "Save it as XLSX without a password; the older XLS and others can't be read.",
                shown,
            ) from error
        with archive:
            members = archive.infolist()
            size = sum(i.file_size for i in members)
            texts = sum(i.file_size for i in members if "sharedstrings" in i.filename.lower())
            if size > MAX_UNPACKED or texts > MAX_SHARED or len(members) > MAX_MEMBERS:
                raise _too_large(
                    f"holds {size / 1e6:,.0f} MB in {len(members):,} files once unpacked.", shown
                )
            yield archive


def _too_large(message: str, shown: str) -> Exception:
    return refuse_table("table.too_large", message, "Copy the rows into a new workbook.", shown)


def _count_members(file: BinaryIO) -> int:
    """About how many files a zip holds, by the record at its end, before the list of them is read:
    zipfile makes an object of each. 0 where there is no such record."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        return 0
    # The number may be wrong, the length of the list may not; an entry has some 100 bytes.
    number, length = tail[at + 10 : at + 12], tail[at + 12 : at + 16]
    return max(int.from_bytes(number, "little"), int.from_bytes(length, "little") // 200)


def choose_sheet(
    sheets: Sequence[tuple[str, bool]],
    read: Callable[[int], SheetGrid],
    is_meant: Callable[[SheetGrid], bool],
) -> SheetGrid:
    """Of the sheets of a workbook, as names and whether they are hidden, the one named `briefs`;
    else the first of those that are not hidden which `is_meant` takes for a table of briefs, as a
    page of notes may lie before it; else the first. `read_grid` gives a sheet by its position."""
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


def read_workbook(
    path: Path, shown: str, is_meant: Callable[[SheetGrid], bool] = lambda grid: True
) -> SheetGrid:
    """The sheet that `choose_sheet` takes.

    Raises UserError where the file is no workbook, or can't be read, OSError when the file can't.
    """
    with open_archive(path, shown, "an XLSX") as archive:
        try:
            return _WorkbookReader(archive, shown).read(is_meant)
        except (
            *XML_ERRORS,
            TooDeepError,
            KeyError,
            IndexError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
        ) as error:
            what = str(error).strip("'\"").rstrip(".") or type(error).__name__
            raise refuse_table(
                "table.xlsx",
                f"can't be read as a workbook: {what[:200]}.",
                "Open it in a spreadsheet program and save it again.",
                shown,
            ) from error


class _WorkbookReader:
    """The parts of one workbook."""

    def __init__(self, archive: zipfile.ZipFile, shown: str):
        self.archive, self.shown = archive, shown
        self.names = {name.lower().lstrip("/"): name for name in archive.namelist()}
        self.from_1904 = False
        self.texts: list[str] = []
        self.formats: list[str] = []
        self.shown_as: dict[tuple[str, str], tuple[str, CellError | None]] = {}

    def _has_member(self, name: str) -> bool:
        return name.lower().lstrip("/") in self.names

    def _read_part(self, name: str, start, end=lambda name: None, data=lambda text: None) -> None:
        real = self.names[name.lower().lstrip("/")]
        with self.archive.open(real) as part:
            read_events(part, start, end, data)

    def _read_links(self, part: str) -> dict[str, tuple[str, str]]:
        """Of a part to others: id -> kind and target."""
        folder, name = posixpath.split(part)
        path = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, tuple[str, str]] = {}

        def start_element(name: str, attributes: Mapping[str, str]) -> None:
            if local_name(name) != "Relationship":
                return
            target = attributes.get("Target", "")
            if attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id", "")] = (kind, target)

        if self._has_member(path):
            self._read_part(path, start_element)
        return found

    def read(self, is_meant: Callable[[SheetGrid], bool]) -> SheetGrid:
        main = next((t for k, t in self._read_links("").values() if k == "officeDocument"), None)
        if main is None or not self._has_member(main):
            main = "xl/workbook.xml"
        if main.lower().endswith(".bin"):
            raise refuse_table(
                "table.xlsx", "is a binary workbook.", "Save it as XLSX.", self.shown
            )
        sheets: list[tuple[str, str, str]] = []

        def start_element(name: str, attributes: Mapping[str, str]) -> None:
            name = local_name(name)
            if name == "sheet":
                link = next(
                    (v for k, v in attributes.items() if local_name(k) == "id" and ":" in k), ""
                )
                sheets.append(
                    (attributes.get("name", ""), attributes.get("state", "visible"), link)
                )
            elif name == "workbookPr":
                self.from_1904 = attributes.get("date1904") in ("1", "true", "on")

        self._read_part(main, start_element)
        links = self._read_links(main)
        found = [
            (n, s, links[i][1]) for n, s, i in sheets if i in links and links[i][0] == "worksheet"
        ]
        if not found:
            raise ValueError("it has no sheet")
        for kind, target in links.values():
            if kind == "sharedStrings" and self._has_member(target):
                self._read_texts(target)
            elif kind == "styles" and self._has_member(target):
                self._read_formats(target)
        return choose_sheet(
            [(name, state != "visible") for name, state, _ in found],
            lambda at: self._read_sheet(found[at][2]),
            is_meant,
        )

    def _read_texts(self, part: str) -> None:
        pieces: list[str] = []
        inside = phonetic = False

        def start_element(name: str, _: Mapping[str, str]) -> None:
            nonlocal inside, phonetic
            name = local_name(name)
            if name == "si":
                pieces.clear()
            elif name == "rPh":
                phonetic = True
            inside = name == "t" and not phonetic

        def end_element(name: str) -> None:
            nonlocal inside, phonetic
            name = local_name(name)
            inside = False
            if name == "rPh":
                phonetic = False
            elif name == "si":
                self.texts.append(_unescape_text("".join(pieces)))

        def add_text(text: str) -> None:
            if inside:
                pieces.append(text)

        self._read_part(part, start_element, end_element, add_text)

    def _read_formats(self, part: str) -> None:
        own: dict[int, str] = {}
        numbers: list[int] = []
        inside = False

        def start_element(name: str, attributes: Mapping[str, str]) -> None:
            nonlocal inside
            name = local_name(name)
            if name == "numFmt":
                own[int(attributes.get("numFmtId", 0))] = attributes.get("formatCode", "General")
            elif name == "cellXfs":
                inside = True
            elif name == "xf" and inside:
                numbers.append(int(attributes.get("numFmtId", 0)))

        def end_element(name: str) -> None:
            nonlocal inside
            if local_name(name) == "cellXfs":
                inside = False

        self._read_part(part, start_element, end_element)
        # Programs name formats of their own by numbers that are built in, too.
        self.formats = [own.get(n) or built_in_format(n) for n in numbers]

    def _read_sheet(self, part: str) -> SheetGrid:
        grid = SheetGrid()
        links: dict[str, str] = {}
        row = column = cells = empty = kept = 0
        kind = style = ""
        value: list[str] = []
        formula: list[str] = []
        has_formula = has_value = False
        inside = ""
        phonetic = False
        texts: list[str] = []

        def start_element(name: str, attributes: Mapping[str, str]) -> None:
            nonlocal row, column, cells, kind, style, has_formula, has_value, inside, phonetic
            if ":" in name:
                name = local_name(name)
            if name == "c":
                cells += 1
                if cells > 2 * MAX_CELLS:
                    raise self._too_many(2 * MAX_CELLS)
                place = attributes.get("r")
                column = _column_of(place) if place else column + 1
                kind, style = attributes.get("t", "n"), attributes.get("s", "")
                has_formula = has_value = False
                value.clear()
                formula.clear()
            elif name == "v" or (name == "t" and not phonetic):
                inside, has_value = "v", True
            elif name == "f":
                inside, has_formula = "f", True
            elif name == "rPh":
                phonetic = True
            elif name == "row":
                row = int(attributes["r"]) if "r" in attributes else row + 1
                column = 0
                texts.clear()
                if row > MAX_LINES:
                    raise StopReadingError
                if attributes.get("hidden") in ("1", "true") or attributes.get("ht") == "0":
                    grid.hidden_rows.add(row)
            elif name == "col":
                if attributes.get("hidden") in ("1", "true") or attributes.get("width") == "0":
                    first, last = int(attributes["min"]), int(attributes["max"])
                    grid.hidden_columns.update(range(first - 1, min(last, MAX_COLUMNS)))
            elif name == "mergeCell":
                area = _parse_area(attributes.get("ref", ""))
                if area and len(grid.merged) < _MAX_LINKS:
                    grid.merged.append(area)
            elif name == "hyperlink":
                link = next((v for k, v in attributes.items() if local_name(k) == "id"), None)
                if link is not None and len(links) < _MAX_LINKS:
                    links[attributes.get("ref", "")] = link

        def end_element(name: str) -> None:
            nonlocal inside, empty, phonetic, kept
            if ":" in name:
                name = local_name(name)
            inside = ""
            if name == "c":
                if not (has_value or has_formula) or column > MAX_COLUMNS:
                    return
                at = (row, column - 1)
                text, fault = self._show_cell(kind, style, "".join(value) if has_value else None)
                if has_formula:
                    link = _link_of("".join(formula))
                    if link:
                        grid.links[at] = link
                    # A program wrote it, and no spreadsheet has worked it out; one that has says
                    # `str` where the outcome is no text at all.
                    if not "".join(value) and kind == "n":
                        fault = uncounted_formula()
                if fault is not None:
                    grid.faults[at] = fault
                exact = self._exact_text(kind, style, "".join(value), text) if text else text
                if exact != text:
                    grid.exact[at] = exact
                if text:
                    if len(texts) < column:
                        texts.extend([""] * (column - len(texts)))
                    texts[column - 1] = text
                elif fault is not None or at in grid.links:
                    texts.extend([""] * (column - len(texts)))
            elif name == "row":
                empty = 0 if texts else empty + 1
                if texts:
                    grid.rows[row] = list(texts)
                    kept += len(texts)
                    if kept > MAX_CELLS:
                        raise self._too_many(MAX_CELLS)
                elif empty > GAP:
                    raise StopReadingError
            elif name == "rPh":
                phonetic = False

        def add_text(text: str) -> None:
            if inside == "v":
                value.append(text)
            elif inside == "f":
                formula.append(text)

        self._read_part(part, start_element, end_element, add_text)
        targets = self._read_links(part) if links else {}
        for ref, link in links.items():
            area = _parse_area(ref)
            target = targets.get(link, ("", ""))[1]
            if area and target:
                first, last, column, last_column = area
                for number in range(first, min(last, first + 1_000) + 1):
                    for each in range(column, min(last_column, column + 20) + 1):
                        grid.links.setdefault((number, each), target)
        return grid

    def _too_many(self, most: int) -> Exception:
        return refuse_table(
            "table.too_large",
            f"has more than {most:,} cells.",
            "Split it, or copy the rows into a new workbook.",
            self.shown,
        )

    def _show_cell(self, kind: str, style: str, value: str | None) -> tuple[str, CellError | None]:
        """A cell's text, and what is to be said of it."""
        if value is None:
            return "", None
        if kind == "s":
            text = self.texts[int(value)]
            code = self._format_code(style)
            return (text if code == "General" else show_text(text, code)), None
        if kind in ("str", "inlineStr"):
            return _unescape_text(value), None
        if kind == "b":
            return ("TRUE" if value.strip() in ("1", "true") else "FALSE"), None
        if kind == "e":
            return value.strip(), CellError(
                f"holds an error of the spreadsheet ({value.strip()[:40]}) instead of a value.",
                "Correct its formula, or empty the cell.",
            )
        known = self.shown_as.get((style, value))
        if known is None:
            known = self._show_number(kind, self._format_code(style), value.strip())
            if len(self.shown_as) < 100_000:
                self.shown_as[style, value] = known
        return known

    def _exact_text(self, kind: str, style: str, value: str, text: str) -> str:
        """What a number or a date says however it is shown: `1,299 €` is 1299, not 1.299."""
        code = self._format_code(style)
        if kind not in ("n", "d") or code == "General":
            return text
        if not is_date_format(code):
            whole = re.sub(r"(?<=\d),(?=\d{3})", "", text)
            return re.sub(r"(\.\d\d)(\d++)", lambda m: m[1] + m[2].rstrip("0"), whole)
        try:
            number = _serial_of_date(value, self.from_1904) if kind == "d" else float(value)
            moment = to_datetime(number, self.from_1904)
        except (NotShownError, ValueError, OverflowError):
            return text
        is_day = moment.time() == dt.time()
        return moment.date().isoformat() if is_day else moment.isoformat(" ", "seconds")

    def _format_code(self, style: str) -> str:
        at = int(style) if style else 0
        return self.formats[at] if at < len(self.formats) else "General"

    def _show_number(self, kind: str, code: str, value: str) -> tuple[str, CellError | None]:
        number: int | float
        if kind == "d":
            number = _serial_of_date(value, self.from_1904)
        elif not value:
            return "", None
        elif re.fullmatch(r"-?\d{1,19}", value):
            number = int(value)
        else:
            number = float(value)
        if code in ("General", "@"):
            return show_general(number), None
        try:
            text = show_number(number, code, self.from_1904)
            if not code.startswith(SYSTEM_MONEY):
                return text, None
        except NotShownError:
            text = show_general(number)
        if is_date_format(code) or code.startswith(SYSTEM_DATE):
            try:
                moment = to_datetime(number, self.from_1904)
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


def _unescape_text(text: str) -> str:
    """Characters that XML can't hold are written `_x000D_`."""
    if "_x" not in text:
        return text
    text = re.sub(
        r"_x([0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2})_",
        lambda m: chr(int(m[1], 16)),
        text,
    )
    return text.replace("\r\n", "\n").replace("\r", "")


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


def _serial_of_date(value: str, from_1904: bool) -> float:
    """The number of an ISO date."""
    if "-" in value:
        moment = dt.datetime.fromisoformat(value)
    else:
        moment = dt.datetime.combine(dt.date(1899, 12, 30), dt.time.fromisoformat(value))
    start = dt.datetime(1904, 1, 1) if from_1904 else dt.datetime(1899, 12, 30)
    return (moment.replace(tzinfo=None) - start) / dt.timedelta(days=1)
