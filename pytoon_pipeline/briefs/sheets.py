"""Files of spreadsheets -> rows of text: CSV and TSV as programs export them, XLSX."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytoon_pipeline.errors import Problem, UserError

MOST_BYTES = 50_000_000
MOST_ROWS = 50_000
MOST_COLUMNS = 1_000
_MOST_UNPACKED = 150_000_000
"""Bytes of a workbook out of its zip: a small file can hold a great deal of nothing. 50,000 rows of
30 columns are some 80 MB."""
_MOST_TEXTS = 50_000_000
"""Of those, bytes of the texts that its cells share: all of them are read and kept."""
_MOST_MEMBERS = 2_000
"""Files in a workbook's zip."""
_GAP = 2_000
"""Empty rows after which a sheet is taken to have ended; formatted ones may go on to a million."""
_SEPARATORS = (",", ";", "\t")


@dataclass(frozen=True)
class Sheet:
    """A table's header and those of its rows that hold anything."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    """Number of the row as a spreadsheet shows it, and its cells, at least one per column."""
    problems: list[Problem] = field(default_factory=list)
    uncounted: frozenset[tuple[int, int]] = frozenset()
    """Row and column (from 0) of formulas whose value was not saved."""


def refusal(
    code: str, message: str, remedy: str, shown: str, place: str | None = None
) -> UserError:
    return UserError(Problem(code, message, remedy, file=shown, field=place))


def read_sheet(path: Path, shown: str) -> Sheet:
    """The table in a file; `shown` is its name in messages.

    Raises UserError when it can't be read or is too large, OSError when the file can't.
    """
    if path.stat().st_size > MOST_BYTES:
        raise refusal(
            "table.too_large", f"is over {MOST_BYTES // 1_000_000} MB.",
            "Split it, or take out columns that no brief needs.", shown,
        )  # fmt: skip
    if path.suffix.lower() == ".xlsx":
        return _workbook(path, shown)
    text, problems = _decode(path.read_bytes(), shown)
    return _trim(_split(text, path.suffix.lower(), shown), shown, problems)


def _trim(
    rows: Iterable[tuple[int, list[str]]],
    shown: str,
    problems: Sequence[Problem] = (),
) -> Sheet:
    """The first row that holds anything is the header."""
    header: list[str] | None = None
    kept: list[tuple[int, list[str]]] = []
    for number, cells in rows:
        if not any(c and not c.isspace() for c in cells):
            continue
        if header is None:
            header = [" ".join(c.split()) for c in cells]
            while not header[-1]:
                header.pop()
            continue
        kept.append((number, cells + [""] * (len(header) - len(cells))))
        if len(kept) > MOST_ROWS:
            raise refusal(
                "table.too_large", f"has more than {MOST_ROWS:,} rows.", "Split it.", shown
            )
    if header is None:
        raise refusal(
            "table.empty", "holds nothing.", "Name columns in the first row: name, media, hook.",
            shown,
        )  # fmt: skip
    return Sheet(header, kept, list(problems))


# CSV, TSV ----------------------------------------------------------------------------------------


def _decode(data: bytes, shown: str) -> tuple[str, list[Problem]]:
    """UTF-8 with or without its mark, UTF-16 as Excel writes "Unicode text", or what Windows
    writes in the west, which can't be told from its neighbours and so is said."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    encoding = next((name for mark, name in marks if data.startswith(mark)), None)
    if encoding is None:
        head = data[:2_000]
        if head[1::2].count(0) > len(head) // 4:
            encoding = "utf-16-le"
        elif head[::2].count(0) > len(head) // 4:
            encoding = "utf-16-be"
    try:
        return data.decode(encoding or "utf-8"), []
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("cp1252") if encoding is None else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise refusal(
            "table.encoding", "is not text in a known encoding.",
            "Save it as 'CSV UTF-8', or as XLSX.", shown,
        )  # fmt: skip
    return text, [
        Problem(
            "table.encoding",
            "is not UTF-8; it was read as Windows-1252.",
            "Where letters look wrong, save it as 'CSV UTF-8', or as XLSX.",
            "warning",
            shown,
        )
    ]


def _plain(line: str) -> str:
    """What stands outside quotes."""
    return re.sub(r'"[^"]*"', "", line)


def _separator(line: str, suffix: str) -> str:
    """The one that stands most often in the header, outside quotes."""
    plain = _plain(line)
    usual = "\t" if suffix == ".tsv" else ","
    return max(_SEPARATORS, key=lambda s: (plain.count(s), s == usual))


def _split(text: str, suffix: str, shown: str) -> Iterator[tuple[int, list[str]]]:
    above, told, at = 0, None, 0
    while at < len(text):
        found = _LINE.match(text, at)
        line = found[1].strip() if found else ""
        hint = re.fullmatch(r'"?sep=(.)"?', line)
        if line and not hint:
            separator = told or _separator(line, suffix)
            if _plain(line).count(separator) >= MOST_COLUMNS:
                raise _too_wide(shown)  # pandas would take minutes for a million of them.
            yield from _parse(text[at:], separator, above, shown)
            return
        # Excel shows no row for its own hint; it does for nothing.
        told, above = (hint[1], above) if hint else (told, above + 1)
        at = found.end() if found else len(text)


_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|$)")


def _too_wide(shown: str) -> UserError:
    return refusal(
        "table.too_large", f"has more than {MOST_COLUMNS:,} columns.",
        "Take out those that no brief needs.", shown,
    )  # fmt: skip


def _parse(text: str, separator: str, above: int, shown: str) -> Iterator[tuple[int, list[str]]]:
    """Rows, all of one width; `above` lines stood before the text."""
    import pandas as pd

    width = 0  # Of the header; then, if a row is wider, of that row.
    while True:
        try:
            frame = pd.read_csv(
                io.StringIO(text, newline=""), sep=separator, header=None,
                names=range(width) if width else None, index_col=False, dtype=str,
                keep_default_na=False, na_filter=False, skip_blank_lines=False,
            )  # fmt: skip
            break
        except pd.errors.ParserError as error:
            more = re.search(r"Expected \d+ fields in line \d+, saw (\d+)", str(error))
            if more and int(more[1]) > MOST_COLUMNS:
                raise _too_wide(shown) from None
            if more and int(more[1]) > width:
                # One row has more; which one is said of that row. Twice as many at least, for
                # each time all is read anew.
                width = min(max(int(more[1]), 2 * width), MOST_COLUMNS)
                continue
            open_quote = re.search(r"EOF inside string starting at row (\d+)", str(error))
            place = f"row {int(open_quote[1]) + 1 + above}" if open_quote else None
            what = (
                "a quotation mark is opened and never closed."
                if open_quote
                else f"can't be read: {error}."
            )
            raise refusal(
                "table.csv", what, "Mend that row, or save the table as XLSX.", shown, place
            ) from error
        except (pd.errors.EmptyDataError, ValueError) as error:
            raise refusal(
                "table.csv", f"can't be read: {error}.", "Save the table as XLSX.", shown
            ) from error
    yield from enumerate(frame.to_numpy(dtype=object).tolist(), 1 + above)


# XLSX --------------------------------------------------------------------------------------------


def _workbook(path: Path, shown: str) -> Sheet:
    import openpyxl

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(i.file_size for i in members)
            texts = sum(i.file_size for i in members if "sharedstrings" in i.filename.lower())
    except zipfile.BadZipFile as error:
        raise refusal(
            "table.xlsx", "is not an XLSX workbook.",
            "Save it as XLSX without a password; the older XLS and others can't be read.", shown,
        ) from error  # fmt: skip
    if size > _MOST_UNPACKED or texts > _MOST_TEXTS or len(members) > _MOST_MEMBERS:
        raise refusal(
            "table.too_large",
            f"holds {size / 1e6:,.0f} MB in {len(members):,} files once unpacked.",
            "Copy the rows into a new workbook.", shown,
        )  # fmt: skip
    books = []
    uncounted: set[tuple[int, int]] = set()
    try:
        for values in (True, False) if _has_formulas(path) else (True,):
            books.append(openpyxl.load_workbook(path, read_only=True, data_only=values))
        rows = _rows([_sheet(book) for book in books], uncounted)
        sheet = _trim(rows, shown)
        return replace(sheet, uncounted=frozenset(uncounted))
    except UserError:
        raise
    except Exception as error:  # openpyxl trips over broken workbooks in every way there is.
        if isinstance(error, OSError) and error.errno:
            raise
        what = str(error).rstrip(".") or type(error).__name__
        raise refusal(
            "table.xlsx", f"can't be read as a workbook: {what}.",
            "Open it in a spreadsheet program and save it again.", shown,
        ) from error  # fmt: skip
    finally:
        for book in books:
            book.close()


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.startswith("xl/worksheets/"):
                continue
            with archive.open(name) as part:
                end = b""
                while chunk := part.read(1 << 20):
                    if re.search(rb"<f[\s/>]", end + chunk):
                        return True
                    end = chunk[-2:]
    return False


def _sheet(book: Any) -> Any:
    """The sheet named `briefs`, else the first that is not hidden."""
    sheets = book.worksheets
    named = [s for s in sheets if s.title.strip().lower() == "briefs"]
    visible = [s for s in sheets if s.sheet_state == "visible"]
    return (named or visible or sheets)[0]


def _rows(
    sheets: Sequence[Any], uncounted: set[tuple[int, int]]
) -> Iterator[tuple[int, list[str]]]:
    """Rows of a sheet of values and, where it has any, of the same sheet with its formulas."""
    for sheet in sheets:
        sheet.reset_dimensions()  # What the file says of its own size is often wrong.
    empty = 0
    aligned = zip(*(sheet.iter_rows() for sheet in sheets), strict=True)
    for number, both in enumerate(aligned, 1):
        texts = [_text(cell) for cell in both[0][:MOST_COLUMNS]]
        if len(both) > 1:
            # A program wrote these and no spreadsheet has worked them out; one that has says
            # `str` where the outcome is no text at all.
            new = {
                (number, column)
                for column, (value, formula) in enumerate(zip(*both, strict=True))
                if formula.data_type == "f" and value.value is None and value.data_type == "n"
            }
            uncounted |= new
        while texts and not texts[-1]:
            texts.pop()
        empty = 0 if texts else empty + 1
        if empty > _GAP:
            return
        if texts:
            yield number, texts


def _text(cell: Any) -> str:
    """A cell's value as a person sees it, or near to it."""
    value = cell.value
    if value is None or cell.data_type == "e":
        return ""
    if isinstance(value, str):
        return value.replace("_x000D_", "")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if str(cell.number_format or "").rstrip().endswith("%"):
            return f"{float(value) * 100:.10g}%"
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    if isinstance(value, dt.datetime):
        whole = value.time() == dt.time()
        return value.date().isoformat() if whole else value.isoformat(" ", "minutes")
    return str(value)
