"""Values of a database's rows: as values of JSON, as keys, and as a column accepts them."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pytoon_pipeline.tables.cells import clean_value
from pytoon_pipeline.tables.rows import as_name


def digest_key(key: Sequence[Any]) -> str:
    """Return the values of a row's key columns as one text: the value itself, or a JSON list."""
    values = [as_name(format_key(value)) for value in key]
    return values[0] if len(values) == 1 else json.dumps(values, ensure_ascii=False)


def format_key(value: Any) -> str:
    """Return a value as text that names a row, the same for `1` and `1.0`; empty for none."""
    said = to_json_value(value)
    if isinstance(said, Decimal):
        said = f"{said.normalize():f}"
    return "" if said is None else said if isinstance(said, str) else json.dumps(said)


def to_json_value(value: Any, whole: bool = False) -> Any:
    """Return a value of a database as one of JSON, a Decimal as it is; None for none.

    With `whole` the column holds whole numbers, which come as text.
    """
    if whole and isinstance(value, str):
        return int(value) if value.lstrip("-").isdecimal() and len(value) < 40 else value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, list | tuple | set):
        return [to_json_value(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_json_value(v) for k, v in value.items()}
    if type(value).__name__ in ("NAType", "NaTType"):
        return None  # What pandas puts for nothing.
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if hasattr(value, "item"):
        return to_json_value(value.item())  # A number of numpy's.
    if isinstance(value, dt.datetime):
        whole = value.time() == dt.time()
        return value.date().isoformat() if whole else value.isoformat(" ", "seconds")
    return str(value)


def fit_column(column: sa.Column[Any], value: Any) -> Any:
    """Return a value as its column accepts it: a moment as the column's type has it, and a text no
    longer than the column; None in place of an empty value where the column takes that."""
    kind = column.type
    if isinstance(value, dt.datetime):
        if isinstance(kind, sa.DateTime):
            return value if kind.timezone else value.replace(tzinfo=None)
        if isinstance(kind, sa.Date):
            return value.date()
        if isinstance(kind, sa.Numeric | sa.Integer):
            return int(value.timestamp())
        value = value.isoformat(timespec="seconds")
    if not value and column.nullable:
        return None
    text = clean_value(value)
    most = getattr(kind, "length", None)
    return text[: most - 1] + "…" if most and len(text) > most else text
