"""Values of fields, read from the cells of a table."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from pytoon_pipeline.briefs.field_names import _LISTED_NAMES, _LISTED_TEXTS, ColumnTarget
from pytoon_pipeline.briefs.plain_text import strip_unseen

_DEEPEST = 20
"""Levels of JSON in a cell."""
_MAX_JSON = 100_000
"""Characters of JSON in a cell; spreadsheets take 32,767."""
_MAX_PARTS = 1_000
"""Values of a list in a cell; what is beyond is one too many for every field."""


class CellError(ValueError):
    """A cell can't be what its column says, or is doubtful (severity `warning`)."""

    def __init__(
        self, message: str, remedy: str, severity: str = "error", column: str | None = None
    ):
        self.message, self.remedy, self.severity = message, remedy, severity
        self.column = column
        """The column that is at fault, where it is another than the one that is read."""
        super().__init__(message)


def clean_value(value: str) -> str:
    """Text that every later stage, file and database can take."""
    text = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:  # Halves of characters, from JSON.
        text = text.encode("utf-8", "replace").decode()
    return strip_unseen(text)


def _tidy_json(value: Any, depth: int = 0) -> Any:
    """JSON that every later stage can take."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        return clean_value(value)
    if isinstance(value, dict):
        return {clean_value(str(k)): _tidy_json(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_tidy_json(v, depth + 1) for v in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _parse_whole(digits: str) -> int:
    if len(digits) > 40:
        raise ValueError(f"a number of {len(digits):,} digits stands in it")
    return int(digits)


def _parse_json(text: str) -> Any:
    try:
        if len(text) > _MAX_JSON:
            raise ValueError(f"it is over {_MAX_JSON:,} characters long")
        return _tidy_json(json.loads(text, parse_constant=_no_constant, parse_int=_parse_whole))
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise CellError(
            f"begins like JSON and can't be read: {what}.",
            'Write for example ["a.jpg", {"path": "b.jpg", "text": "New"}].',
        ) from error


def _parse_number(text: str) -> Any:
    """`15`, `12,5`, `15 s`; anything else stays text, for the compiler to name."""
    found = re.fullmatch(r"([+-]?\d{1,9})(?:[.,](\d{1,9}))?\s*(?:s|sec|secs|seconds)?", text, re.I)
    if not found or not text.isascii():
        return text
    number = float(f"{found[1]}.{found[2] or 0}")
    return int(number) if number.is_integer() else number


_YES = {
    "yes": True,
    "true": True,
    "1": True,
    "y": True,
    "on": True,
    "no": False,
    "false": False,
    "0": False,
    "n": False,
    "off": False,
}


def _split_parts(text: str, name: str, separator: str | None) -> list[str]:
    if separator is not None:
        parts = re.split(rf"{re.escape(separator)}|\n", text)
    elif name in _LISTED_NAMES:
        parts = re.split(r"[|,;\n]", text)
    elif name in _LISTED_TEXTS:
        parts = re.split(r"\s\|\s|\n", text)
    else:
        parts = re.split(r"[|\n]", text)
    return [p.strip() for p in parts[:_MAX_PARTS] if p.strip()]


def parse_cell(target: ColumnTarget, value: Any, separator: str | None = None) -> Any:
    """Return what a cell's value is in its column: None for nothing, a list for fields of lists.

    Text is read as a person writes it, split at `separator` where that is given; other values (of a
    database, of a mapping's defaults) are taken as they are. Raises CellError.
    """
    if not isinstance(value, str):
        return _convert_value(target, value)
    text = clean_value(value)
    if not text:
        return None
    if target.kind == "yes":
        return _YES.get(text.lower(), text)
    if target.kind == "number":
        return _parse_number(text)
    if target.kind == "thing":
        if text[0] in "[{":
            return _parse_json(text)
        return False if target.path[-1] == "music" and text.lower() in ("false", "0") else text
    if target.kind == "list":
        return _parse_list(text, target.path[-1], separator)
    return text


def _convert_value(target: ColumnTarget, value: Any) -> Any:
    """A value that is no text, as its column holds it."""
    if isinstance(value, Decimal) and _is_text(target):
        return f"{value:f}"  # `19.90` keeps its zero.
    if isinstance(value, int | float) and _is_text(target):
        return json.dumps(value)
    if target.kind == "yes" and value in (0, 1):
        return bool(value)
    try:
        value = _tidy_json(value)
    except ValueError as error:
        raise CellError(f"can't be used: {error}.", "Write it flatter.") from error
    if isinstance(value, dict) and target.path[-1] == "locales":
        return value
    return [value] if target.kind == "list" and not isinstance(value, list | None) else value


def _parse_list(text: str, name: str, separator: str | None) -> Any:
    """The entries that a text of a list field holds, None for none; of locales a mapping, too."""
    if text[0] in "[{":
        try:
            said = _parse_json(text)
        except CellError:
            if name not in _LISTED_TEXTS:
                raise  # A text may begin with a bracket; a file or a name does not.
        else:
            if isinstance(said, dict) and name != "locales":
                return [said]
            return said or None
    return _split_parts(text, name, separator) or None


def _is_text(target: ColumnTarget) -> bool:
    """Of metadata nothing is known: there a number stays one."""
    return target.kind == "text" and target.path[0] != "metadata"
