"""A table of briefs in a database: read like any other, and told what became of its rows."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from pytoon_pipeline.briefs.cell_text import CellReader
from pytoon_pipeline.briefs.cells import OURS, clean, plain
from pytoon_pipeline.briefs.rows import Row, Whole, as_name, sources_of
from pytoon_pipeline.briefs.sheets import MOST_ROWS
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.briefs.table import Columns, read_columns, row_of
from pytoon_pipeline.errors import Problem, PytoonError, StoreError, UserError

SETTING = "PYTOON_BRIEFS_TABLE"
_CHUNK = 5_000
"""Rows read at a time."""
_CONNECT_SECONDS = 5
_QUERY_SECONDS = 20
_OWN = ("created_at", "created", "modified_at")
"""Columns that tables have for themselves."""


@dataclass(frozen=True)
class RowState:
    """What is written back of a row."""

    part: str
    """Of its source's document, as `read_sql_table` gave it: `row 17`."""
    status: str
    video: str
    """Where the video lies; empty while there is none."""
    error: str


@dataclass(frozen=True)
class _Place:
    """A database and the table in it."""

    url: sa.URL
    schema: str | None
    name: str

    @property
    def shown(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name

    def without_secrets(self, text: object) -> str:
        """A driver's message, on one line."""
        line = " ".join(str(text).split())
        query = self.url.query.get("password", "")
        for secret in (self.url.password, query if isinstance(query, str) else "".join(query)):
            if secret:
                for form in sorted({secret, quote(secret), quote_plus(secret)}, key=len)[::-1]:
                    line = line.replace(form, "***")
        return line if len(line) <= 400 else line[:400] + "…"


def read_sql_table(url: str, folder: Path) -> tuple[list[BriefSource], list[Problem]]:
    """The rows of a table as briefs, and what keeps it from being read. Never raises.

    `url` is a SQLAlchemy URL with the table's name after a `#`; media are relative to `folder`.
    """
    try:
        place = _place(url)
        with _connected(place) as connection:
            return _read(place, connection, Path(folder))
    except PytoonError as error:
        return [], error.problems if isinstance(error, UserError) else [_down(str(error))]


def write_back(url: str, rows: Sequence[RowState]) -> int:
    """Write what became of some rows into those of the columns `status`, `video`, `error` and
    `updated_at` that there are, in one transaction. Returns how many rows there were.

    Raises UserError for a setting that is wrong, StoreError when the database can't be written;
    then nothing was.
    """
    place = _place(url)
    with _connected(place) as connection:
        table = _reflect(place, connection)
        columns = {plain(c.name): c for c in table.columns}
        ours = {name: columns[name] for name in OURS if name in columns}
        keys = _keys(table)
        if not ours or not keys or not rows:
            return 0
        wanted = {row.part: row for row in rows}
        found = [
            (tuple(key), wanted[part])
            for key in connection.execute(sa.select(*keys))
            if (part := f"row {_identity(key)}") in wanted
        ]
        changed = 0
        now = dt.datetime.now(dt.UTC)
        for key, state in dict(found).items():
            said = {"status": state.status, "video": state.video, "error": state.error,
                    "updated_at": now}  # fmt: skip
            values = {column: _fitting(column, said[name]) for name, column in ours.items()}
            where = [column == value for column, value in zip(keys, key, strict=True)]
            changed += connection.execute(sa.update(table).where(*where).values(values)).rowcount
        connection.commit()
        return changed


# The database ------------------------------------------------------------------------------------


def _wrong(message: str, remedy: str) -> UserError:
    return UserError(Problem("table.setting", message, remedy, field=SETTING))


def _down(message: str) -> Problem:
    return Problem(
        "table.database", message, "Briefs of the table are looked at again when it answers.",
        field=SETTING,
    )  # fmt: skip


def _place(setting: str) -> _Place:
    address, _, name = setting.rpartition("#") if "#" in setting else (setting, "", "briefs")
    if not name or any(sign in name for sign in "@/:?"):
        # A sign of the password, more likely: nothing of it is shown.
        raise _wrong(
            "does not end in '#' and a table's name.",
            "Write postgresql://user:password@host/database#schema.table; signs such as # in a "
            "password are written %23.",
        )
    try:
        url = sa.make_url(address)
    except (ArgumentError, ValueError):
        raise _wrong(
            "is not the address of a database.",
            "Write postgresql://user:password@host/database#table.",
        ) from None
    if url.drivername == "postgres":  # As other tools spell it.
        url = url.set(drivername="postgresql")
    schema, _, table = name.rpartition(".")
    return _Place(url, schema or None, table)


@contextmanager
def _connected(place: _Place) -> Iterator[sa.Connection]:
    """A connection for one piece of work; what isn't committed is undone.

    Raises StoreError, never with the password, and UserError when the setting is wrong.
    """
    url, options = place.url, {}
    try:
        backend = url.get_backend_name()
        if backend == "postgresql":
            options = {"connect_timeout": _CONNECT_SECONDS}
        elif backend == "sqlite":
            if not url.database or not Path(url.database).is_file():
                # Connecting would make an empty one.
                raise _wrong(f"the file {url.database!r} does not exist.", "Check the path.")
            options = {"timeout": _CONNECT_SECONDS}
        engine = sa.create_engine(url, poolclass=NullPool, connect_args=options)
    except (ArgumentError, ImportError) as error:
        raise _wrong(
            f"needs a database driver that is not there: {place.without_secrets(error)}.",
            "PostgreSQL and SQLite work as they are; for others install the driver.",
        ) from None
    try:
        with engine.connect() as connection:
            if backend == "postgresql":  # For this transaction: poolers pass no options on.
                connection.execute(sa.text(f"SET LOCAL statement_timeout = '{_QUERY_SECONDS}s'"))
            yield connection
    except (SQLAlchemyError, OSError, ValueError) as error:
        what = getattr(error, "orig", None) or error
        raise StoreError(
            f"the table {place.shown} can't be used: {place.without_secrets(what)}"
        ) from None
    finally:
        engine.dispose()


def _reflect(place: _Place, connection: sa.Connection) -> sa.Table:
    try:
        return sa.Table(
            place.name, sa.MetaData(), schema=place.schema, autoload_with=connection,
            resolve_fks=False,
        )  # fmt: skip
    except NoSuchTableError:
        raise _wrong(
            f"the database has no table {place.shown!r}.",
            "Name it after a '#' at the end: #schema.table.",
        ) from None


def _keys(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that tell rows apart: the primary key, else one that names them."""
    primary = list(table.primary_key.columns)
    if primary:
        return primary
    spelled = {plain(c.name): c for c in table.columns}
    return [spelled[name] for name in ("id", "name", "sku", "handle") if name in spelled][:1]


def _identity(key: Sequence[Any]) -> str:
    values = [as_name(_written(value)) for value in key]
    return values[0] if len(values) == 1 else json.dumps(values, ensure_ascii=False)


def _written(value: Any) -> str:
    said = _value(value)
    if isinstance(said, Decimal):
        said = f"{said.normalize():f}"
    return "" if said is None else said if isinstance(said, str) else json.dumps(said)


def _value(value: Any, whole: bool = False) -> Any:
    """A value of a database as one of JSON; None for none. `whole` numbers come as text."""
    if whole and isinstance(value, str):
        return int(value) if value.lstrip("-").isdecimal() and len(value) < 40 else value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, list | tuple | set):
        return [_value(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _value(v) for k, v in value.items()}
    if type(value).__name__ in ("NAType", "NaTType"):
        return None  # What pandas puts for nothing.
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, float):
        return None if not math.isfinite(value) else int(value) if value.is_integer() else value
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if hasattr(value, "item"):
        return _value(value.item())  # A number of numpy's.
    if isinstance(value, dt.datetime):
        whole = value.time() == dt.time()
        return value.date().isoformat() if whole else value.isoformat(" ", "seconds")
    return str(value)


def _fitting(column: sa.Column[Any], value: Any) -> Any:
    """A value as its column takes it."""
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
    text = clean(value)
    most = getattr(kind, "length", None)
    return text[: most - 1] + "…" if most and len(text) > most else text


# Rows --------------------------------------------------------------------------------------------


def _read(
    place: _Place, connection: sa.Connection, folder: Path
) -> tuple[list[BriefSource], list[Problem]]:
    import pandas as pd

    table = _reflect(place, connection)
    keys = _keys(table)
    if not keys:
        raise _wrong(
            f"the rows of {place.shown} can't be told apart.",
            "Give the table a primary key, or a column id or name.",
        )
    known = [c.name for c in table.columns if c.primary_key or plain(c.name) in _OWN]
    wanted = [c for c in table.columns if plain(c.name) not in OURS]
    names = [c.name for c in wanted]
    columns = read_columns(names, place.shown, silent=known)
    if columns.hopeless:
        return [], [columns.hopeless]
    # Whole numbers beside nothing become floats in pandas, which have no room for long ones.
    whole_numbers = [isinstance(c.type, sa.Integer) for c in wanted]
    taken = [
        sa.cast(c, sa.Text).label(c.name) if whole else c
        for c, whole in zip(wanted, whole_numbers, strict=True)
    ]
    query = sa.select(*taken).order_by(*keys).limit(MOST_ROWS + 1)
    rows: list[Row] = []
    at = [names.index(key.name) for key in keys]
    reader = CellReader(kinds=columns.kinds(), header=names, links={}, faults={})
    for frame in pd.read_sql(query, connection, chunksize=_CHUNK, coerce_float=False):
        lists = [
            [_value(v, whole) for v in frame.iloc[:, i].tolist()]
            for i, whole in enumerate(whole_numbers)
        ]
        for values in zip(*lists, strict=True):
            rows.append(_row(columns, reader, list(values), at, len(rows) + 1))
    if len(rows) > MOST_ROWS:
        raise _wrong(f"the table has more than {MOST_ROWS:,} rows.", "Name a view of fewer.")
    schema = place.schema or connection.dialect.default_schema_name
    whole = Whole(
        path=folder,
        folder=folder,
        campaign=place.name,
        shown=place.shown,
        whole=f"sql:{schema}.{place.name}" if schema else f"sql:{place.name}",
    )
    sources, problems = sources_of(whole, rows)
    return sources, [*columns.problems, *problems]


def _row(
    columns: Columns, reader: CellReader, values: list[Any], keys: Sequence[int], number: int
) -> Row:
    identity = _identity([values[k] for k in keys])
    for at in (columns.name, columns.campaign):
        if at is not None:
            values[at] = _written(values[at])
    values, found = reader.read(number, values, f"row {identity}")
    row = row_of(columns, [(number, values)], identity=identity)
    row.said.problems += found
    return row if row.name else replace(row, name="-".join(_written(values[k]) for k in keys))
