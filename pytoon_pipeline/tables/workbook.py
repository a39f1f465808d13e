"""Rows of text from XLSX workbooks, each cell as its sheet shows it."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytoon_pipeline.tables.format_codes import built_in_format
from pytoon_pipeline.tables.limits import refuse_table
from pytoon_pipeline.tables.sheet_grid import SheetGrid, choose_sheet
from pytoon_pipeline.tables.workbook_archive import open_archive
from pytoon_pipeline.tables.workbook_cells import CellFormatter, unescape_text
from pytoon_pipeline.tables.worksheet import WorksheetReader
from pytoon_pipeline.tables.xml_events import XML_ERRORS, TooDeepError, local_name, read_events


def read_workbook(
    path: Path, shown: str, is_meant: Callable[[SheetGrid], bool] = lambda grid: True
) -> SheetGrid:
    """Read the sheet that `choose_sheet` chooses by `is_meant`. `shown` is the file's name in
    messages.

    Raises UserError where the file is no workbook or a damaged one, OSError when the file can't be
    read.
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

    def _has_member(self, name: str) -> bool:
        return name.lower().lstrip("/") in self.names

    def _read_part(
        self,
        name: str,
        start: Callable[[str, Mapping[str, str]], Any],
        end: Callable[[str], Any] = lambda name: None,
        data: Callable[[str], Any] = lambda text: None,
    ) -> None:
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
        cells = CellFormatter(self.texts, self.formats, self.from_1904)
        return choose_sheet(
            [(name, state != "visible") for name, state, _ in found],
            lambda at: self._read_sheet(found[at][2], cells),
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
                self.texts.append(unescape_text("".join(pieces)))

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

    def _read_sheet(self, part: str, cells: CellFormatter) -> SheetGrid:
        sheet = WorksheetReader(cells, self.shown)
        self._read_part(part, sheet.start_element, sheet.end_element, sheet.add_text)
        if sheet.links:
            sheet.add_links(self._read_links(part))
        return sheet.grid
