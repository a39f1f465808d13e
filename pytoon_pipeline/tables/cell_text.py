"""Cleaning of a table's cells: text without HTML, files by their names, and what is doubtful.

Cells that hold an error of a spreadsheet are refused; doubtful ones are read with a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pytoon_pipeline.briefs.field_names import ColumnTarget
from pytoon_pipeline.briefs.plain_text import (
    LOST,
    clean_file_name,
    find_error_value,
    is_empty_word,
    looks_saved_twice,
    repair_saved_twice,
)
from pytoon_pipeline.errors import quote_text
from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.markup import markup_to_text, unescape_address

_PATHS = ("media", "logo", "voice", "music", "background")
"""Fields that name files."""
_SHOWN_TEXTS = ("hook", "cta", "badge", "beats", "generate")
_SUFFIX = re.compile(
    r"\.(?:jpe?g|png|webp|gif|avif|heic|heif|tiff?|bmp|jxl|apng|jp2|mp4|mov|m4v|webm|mkv|avi|mpe?g|"
    r"m?ts|3gp|ogv|wmv|svg|mp3|wav|m4a|aac|ogg|opus|flac)(?![^?#])",
    re.I,
)
"""Of a file's name, or in an address; what follows it there is not read."""
_BETWEEN = re.compile(r"[,;+&/\s]")
_MARKS = tuple(
    # A match begins where a run of blanks or marks begins, so that a long run is read once.
    re.compile(pattern)
    for pattern in (
        r"(?<![\s,;])(?:\s*+[,;]\s*+)++(?=(?:https?:)?//)",  # An address may have commas in it.
        r"(?<!\s)(?:\s*+;\s*+)++",
        r"(?<!\s)(?:\s*+,\s*+)++",
        r"(?<!\s)(?:\s*+[,;]\s*+)++",
        r"(?<!\s)(?:\s*+[,;+&]\s*+|\s++/\s++)++",
        r"(?<!\s)(?:\s*+[,;+&]\s*+|\s++/\s++|\s++)++",
    )
)
"""What people write between several files."""
_ADDRESS = re.compile(r"(?:https?:)?//[^\s/]\S*+$", re.I)


class CellKind(Enum):
    """What a column's cells are to a brief."""

    MEDIA = "media"
    PATH = "path"
    SHOWN = "shown"
    """Words that a viewer reads."""
    NAME = "name"
    """Of a brief, or of its campaign."""
    OTHER = "other"
    OWN = "own"
    """What is stored with the video, and has no effect on it."""


def kind_of(target: ColumnTarget) -> CellKind:
    """Return what the cells of a column that fills this field are."""
    head = target.path[0]
    if head == "media":
        return CellKind.MEDIA
    if head in _PATHS:
        return CellKind.PATH
    inner = target.path[-1]
    if (
        head in _SHOWN_TEXTS
        or head == "variants"
        and (inner in ("hooks", "ctas") or inner in _SHOWN_TEXTS)
    ):
        return CellKind.SHOWN
    return CellKind.OWN if head == "metadata" else CellKind.OTHER


@dataclass(frozen=True)
class CellReader:
    """Reads the cells of one table."""

    kinds: Mapping[int, CellKind]
    """Position of a column that is used -> what it is."""
    header: Sequence[str]
    links: Mapping[tuple[int, int], str]
    faults: Mapping[tuple[int, int], CellError]
    folder: Path | None = None
    """That of the media, where they lie in one."""
    splits: bool = False
    """Are several files in one cell, with commas between them, to be taken apart?"""
    line_break: str | None = None
    """What stands for a line break in texts."""

    def read(
        self, number: int, cells: Sequence[Any], shown: str
    ) -> tuple[list[Any], list[tuple[str, CellError]]]:
        """Return a row's cells as they are meant, and what is wrong or doubtful about them as pairs
        of place and error. `number` is that of the row, `shown` is its name in messages."""
        tidy = list(cells)
        found: list[tuple[str, CellError]] = []
        for at, kind in self.kinds.items():
            value = cells[at] if at < len(cells) else None
            fault = self.faults.get((number, at))
            link = self.links.get((number, at)) if kind is CellKind.MEDIA else None
            if link and _has_ending(link) and not _is_file(str(value or "")):
                value, fault = link, None
            if value is None or value == "":
                if fault is not None:
                    found.append((f"{shown}, column {self.header[at]}", fault))
                continue
            new: str | list[Any]
            if isinstance(value, str):
                new, notes = self._read_text(value, kind, fault)
            elif isinstance(value, list) and kind not in (CellKind.OTHER, CellKind.OWN):
                new, notes = self._read_list(value, kind)
            else:
                continue
            tidy[at] = new
            found += [(f"{shown}, column {self.header[at]}", note) for note in notes]
        return tidy, found

    def _read_list(self, values: list[Any], kind: CellKind) -> tuple[list[Any], list[CellError]]:
        new, notes = [], []
        for value in values:
            if isinstance(value, str):
                value, more = self._read_text(value, kind, None)
                notes += more
            new.append(value)
        return new, notes

    def _read_text(
        self, value: str, kind: CellKind, fault: CellError | None
    ) -> tuple[str, list[CellError]]:
        notes = [fault] if fault is not None else []
        wrong = find_error_value(value) if "#" in value or len(value) < 40 else None
        if wrong is not None and not (fault and fault.severity == "error"):
            severity = "warning" if kind is CellKind.OWN else "error"
            notes.append(
                CellError(
                    f"holds {wrong!r}, which a spreadsheet writes where it has no value.",
                    "Correct its formula, wait until it is calculated, or empty the cell.",
                    severity,
                )
            )
            return value, notes
        if kind in (CellKind.MEDIA, CellKind.PATH):
            return self._read_path(value, kind, notes)
        value, more = _read_words(value)
        if kind in (CellKind.NAME, CellKind.OTHER):
            value = clean_file_name(value)
        if kind in (CellKind.SHOWN, CellKind.NAME):
            if self.line_break:
                value = value.replace(self.line_break, "\n")
            if is_empty_word(value):
                more.append(
                    CellError(
                        f"holds {quote_text(value)}, which looks as if there were no value.",
                        "Empty the cell where nothing is meant.",
                        "warning",
                    )
                )
            if LOST in value:
                more.append(
                    CellError(
                        f"holds {LOST!r}, which stands for a character that was lost: "
                        f"{quote_text(value[:60])}.",
                        "Type it again, and save the table as 'CSV UTF-8' or XLSX.",
                    )
                )
        return value, notes + more

    def _read_path(
        self, value: str, kind: CellKind, notes: list[CellError]
    ) -> tuple[str, list[CellError]]:
        if value.lstrip()[:1] in ("[", "{"):
            return value, notes  # JSON.
        lines = [clean_file_name(unescape_address(line)) for line in value.split("\n")]
        value = "\n".join(line for line in lines if line)
        if kind is CellKind.MEDIA and self.splits and _BETWEEN.search(value):
            parts = [p.strip() for p in re.split(r"[|\n]", value)]
            value = " | ".join(each for part in parts for each in self._split_files(part, notes))
        if not value.isascii() and self.folder is not None:
            value = self._mend_name(value, notes)
        return value, notes

    def _mend_name(self, value: str, notes: list[CellError]) -> str:
        """The name of a file that was saved in a wrong encoding, where the right one is there."""
        repaired = repair_saved_twice(value)
        if repaired is None or self._file_exists(value) or not self._file_exists(repaired):
            return value
        notes.append(
            CellError(
                f"was saved in a wrong encoding; it is read as {quote_text(repaired[:60])}.",
                "Save the table as 'CSV UTF-8' or XLSX from the program that it was written in.",
                "warning",
            )
        )
        return repaired

    def _split_files(self, text: str, notes: list[CellError]) -> list[str]:
        """`front.jpg, side.jpg`, where each part is a file by its name."""
        if not _BETWEEN.search(text) or self._file_exists(text):
            return [text]
        for mark in _MARKS:
            parts = [p for p in mark.split(text) if p]
            if len(parts) > 1 and all(_is_file(p) for p in parts):
                return parts
        if self.folder is not None and re.search("[,;]", text) and not _ADDRESS.match(text):
            notes.append(
                CellError(
                    f"names no file that there is: {quote_text(text[:80])}.",
                    "Several files are separated by ' | '.",
                    "warning",
                )
            )
        return [text]

    def _file_exists(self, name: str) -> bool:
        if self.folder is None or name.startswith("/") or ".." in name:
            return False
        try:
            return os.path.lexists(self.folder / name)
        except (OSError, ValueError):
            return False


def _read_words(value: str) -> tuple[str, list[CellError]]:
    """A text without HTML, and as it was before it was saved in a wrong encoding."""
    value = markup_to_text(value)
    if value.isascii():
        return value, []
    repaired = repair_saved_twice(value)
    if repaired is not None:
        return repaired, [
            CellError(
                f"was saved in a wrong encoding; it is read as {quote_text(repaired[:60])}.",
                "Save the table as 'CSV UTF-8' or XLSX from the program that it was written in.",
                "warning",
            )
        ]
    if looks_saved_twice(value):
        return value, [
            CellError(
                f"looks as if it was saved in a wrong encoding: {quote_text(value[:60])}.",
                "Type it again, and save the table as 'CSV UTF-8' or XLSX.",
                "warning",
            )
        ]
    return value, []


def _is_file(text: str) -> bool:
    """Is a text a file's name, or an address, by its looks?"""
    text = text.strip()
    return bool(_ADDRESS.match(text)) or _has_ending(text)


def _has_ending(text: str) -> bool:
    """Does the last word of a text have the ending of a medium?"""
    words = text.rsplit(None, 1)
    return bool(words and _SUFFIX.search(words[-1]))
