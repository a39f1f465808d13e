"""A table of briefs in a database: its rows are read like those of a file, and their states are
written back."""

from __future__ import annotations

import datetime as dt
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from pytoon_pipeline.briefs.field_names import OURS, normalise_name
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import Problem, PytoonError, StoreError, UserError
from pytoon_pipeline.tables.cell_text import CellReader
from pytoon_pipeline.tables.limits import MAX_BYTES, MAX_CELLS, MAX_COLUMNS, MAX_ROWS
from pytoon_pipeline.tables.rows import TableNote, TableRow, sources_of
from pytoon_pipeline.tables.sql_values import digest_key, fit_column, format_key, to_json_value
from pytoon_pipeline.tables.table import TableColumns, read_columns, row_of

SETTING = "PYTOON_BRIEFS_TABLE"
MAX_ROW = 1_000_000
"""Bytes of a row, in the columns that are read: as of a brief in a file. What is larger stays
on the server."""
_CHUNK = 50
"""Rows read at a time; each may have MAX_ROW bytes."""
_SHORT = 300
"""Characters that are read of the names of a row that is too large."""
_CONNECT_SECONDS = 5
_QUERY_SECONDS = 20
"""For one statement: the server ends it then."""
_READ_ONLY = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_WHOLE_SECONDS = 60.0
"""For all of a piece of work. The connection is cut then, however silent the server is."""
_SQLITE_CELL = 100_000_000
"""Bytes of a cell of SQLite, which has to load one to know how long it is."""
_OWN = ("created_at", "created", "modified_at")
"""Columns that tables have for themselves."""


@dataclass(frozen=True)
class RowState:
    """The state of a row's brief, as it is written back."""

    part: str
    """Of its source's document, as `read_sql_table` gave it: `row 17`."""
    status: str
    video: str
    """Where the video lies; empty while there is none."""
    error: str


@dataclass(frozen=True)
class _TableLocation:
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
    """Return the rows of a table as briefs, and the problems that keep it from being read. Never
    raises.

    `url` is a SQLAlchemy URL with the table's name after a `#`; media are relative to `folder`.
    """
    try:
        place = _parse_location(url)
        with _open_connection(place, reads=True) as connection:
            return _read_rows(place, connection, Path(folder))
    except PytoonError as error:
        return [], error.problems if isinstance(error, UserError) else [
            _unreachable_problem(str(error))
        ]


def write_back(url: str, rows: Sequence[RowState]) -> int:
    """Write the states of some rows into those of the columns `status`, `video`, `error` and
    `updated_at` that the table has, in one transaction. Returns how many rows there were.

    Raises UserError for a wrong setting, StoreError when the database can't be written; then
    nothing was written.
    """
    place = _parse_location(url)
    with _open_connection(place) as connection:
        table = _reflect_table(place, connection)
        columns = {normalise_name(c.name): c for c in table.columns}
        ours = {name: columns[name] for name in OURS if name in columns}
        keys = _key_columns(table)
        if not ours or not keys or not rows:
            return 0
        wanted = {row.part: row for row in rows}
        dialect = connection.dialect.name
        known = _limit_query(
            sa.select(*keys), _row_size_expression(keys, dialect), MAX_ROW
        ).order_by(*keys)
        found = [
            (tuple(key), wanted[part])
            for key in connection.execute(known.limit(MAX_ROWS))
            if (part := f"row {digest_key(key)}") in wanted
        ]
        changed = 0
        now = dt.datetime.now(dt.UTC)
        for key, state in dict(found).items():
            said = {
                "status": state.status,
                "video": state.video,
                "error": state.error,
                "updated_at": now,
            }
            values = {column: fit_column(column, said[name]) for name, column in ours.items()}
            where = [column == value for column, value in zip(keys, key, strict=True)]
            changed += connection.execute(sa.update(table).where(*where).values(values)).rowcount
        connection.commit()
        return changed


# The database ------------------------------------------------------------------------------------


def _setting_error(message: str, remedy: str) -> UserError:
    return UserError(Problem("table.setting", message, remedy, field=SETTING))


def _unreachable_problem(message: str) -> Problem:
    return Problem(
        "table.database",
        message,
        "Briefs of the table are looked at again when it answers.",
        field=SETTING,
    )


def _parse_location(setting: str) -> _TableLocation:
    address, _, name = setting.rpartition("#") if "#" in setting else (setting, "", "briefs")
    if not name or any(sign in name for sign in "@/:?"):
        # A sign of the password, more likely: nothing of it is shown.
        raise _setting_error(
            "does not end in '#' and a table's name.",
            "Write postgresql://user:password@host/database#schema.table; signs such as # in a "
            "password are written %23.",
        )
    try:
        url = sa.make_url(address)
    except (ArgumentError, ValueError):
        raise _setting_error(
            "is not the address of a database.",
            "Write postgresql://user:password@host/database#table.",
        ) from None
    if url.drivername == "postgres":  # As other tools spell it.
        url = url.set(drivername="postgresql")
    schema, _, table = name.rpartition(".")
    return _TableLocation(url, schema or None, table)


@contextmanager
def _open_connection(place: _TableLocation, reads: bool = False) -> Iterator[sa.Connection]:
    """A connection for one piece of work; what isn't committed is undone. It sees one state of the
    table, and can't change it, where it only `reads`.

    Raises StoreError, never with the password, and UserError when the setting is wrong.
    """
    url, options = place.url, {}
    try:
        backend = url.get_backend_name()
        if backend == "postgresql":
            options = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": 20_000}
            options = {k: v for k, v in options.items() if k not in url.query}
        elif backend == "sqlite":
            if not url.database or not Path(url.database).is_file():
                # Connecting would make an empty one.
                raise _setting_error(
                    f"the file {url.database!r} does not exist.", "Check the path."
                )
            options = {"timeout": _CONNECT_SECONDS}
        engine = sa.create_engine(url, poolclass=NullPool, connect_args=options)
    except (ArgumentError, ImportError) as error:
        raise _setting_error(
            f"needs a database driver that is not there: {place.without_secrets(error)}.",
            "PostgreSQL and SQLite work as they are; for others install the driver.",
        ) from None
    try:
        with engine.connect() as connection, _ended_in_time(connection, backend):
            if backend == "postgresql":  # For this transaction: poolers pass no options on.
                if reads:
                    connection.execute(sa.text(_READ_ONLY))
                connection.execute(sa.text(f"SET LOCAL statement_timeout = '{_QUERY_SECONDS}s'"))
            yield connection
    except (SQLAlchemyError, OSError, ValueError) as error:
        what = _driver_error(error)
        if getattr(what, "pgcode", None) == "57014":
            raise StoreError(
                f"the table {place.shown} takes longer than {_QUERY_SECONDS} s to be read or "
                "written. Name a smaller table or a faster view"
            ) from None
        raise StoreError(
            f"the table {place.shown} can't be used: {place.without_secrets(what)}"
        ) from None
    finally:
        engine.dispose()


def _driver_error(error: BaseException) -> BaseException:
    """What the driver said; pandas and SQLAlchemy put their own words around it."""
    while True:
        inner = getattr(error, "orig", None) or (
            error.__cause__ if type(error).__module__.startswith("pandas") else None
        )
        if not isinstance(inner, BaseException):
            return error
        error = inner


@contextmanager
def _ended_in_time(connection: sa.Connection, backend: str) -> Iterator[None]:
    """Cuts the connection when the time for all of its work is over. StoreError then."""
    driver: Any = connection.connection.driver_connection  # sqlite3's or psycopg2's own.
    cut = threading.Event()

    def end_connection() -> None:
        cut.set()
        with suppress(Exception):
            if backend == "sqlite":
                driver.interrupt()
            elif backend == "postgresql":
                # Closing it would not wake up who waits for an answer.
                with socket.socket(fileno=os.dup(driver.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)

    if backend == "sqlite" and hasattr(driver, "setlimit"):
        import sqlite3

        driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SQLITE_CELL)
    timer = threading.Timer(_WHOLE_SECONDS, end_connection)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (SQLAlchemyError, OSError):
        if cut.is_set():
            raise StoreError(
                f"the table takes longer than {_WHOLE_SECONDS:g} s to be read or written, or its "
                "server says nothing any more. Name a smaller table or a faster view"
            ) from None
        raise
    finally:
        timer.cancel()


_SHORT_KINDS = (sa.Integer, sa.Float, sa.Boolean, sa.DateTime, sa.Date, sa.Time, sa.Uuid)
"""Types whose values are a few bytes."""


def _row_size_expression(columns: Iterable[sa.Column[Any]], dialect: str) -> Any:
    """The bytes of these columns of a row, as the server counts them; None where its
    language has no expression for that."""
    if dialect not in ("postgresql", "sqlite", "mysql", "mariadb"):
        return None
    sizes: list[Any] = []
    for column in columns:
        size: sa.ColumnElement[int]
        if dialect == "sqlite":  # Any column may hold anything there.
            size = sa.func.length(sa.cast(column, sa.LargeBinary))
        elif isinstance(column.type, _SHORT_KINDS):
            continue
        else:
            # Of a text that lies packed elsewhere nothing is unpacked for it.
            count = sa.func.octet_length if dialect == "postgresql" else sa.func.length
            # Three cells of 1 GB have more than an ordinary number of PostgreSQL holds.
            size = sa.cast(count(sa.cast(column, sa.Text)), sa.BigInteger)
        sizes.append(sa.func.coalesce(size, 0))
    while len(sizes) > 1:  # In pairs: a sum of a thousand, one inside the other, is too deep.
        pairs = zip(sizes[::2], sizes[1::2], strict=False)
        sizes = [a + b for a, b in pairs] + (sizes[-1:] if len(sizes) % 2 else [])
    return sizes[0] if sizes else sa.literal(0)


def _limit_query(query: sa.Select[Any], size: Any, most: int) -> sa.Select[Any]:
    return query if size is None else query.where(size <= most)


def _reflect_table(place: _TableLocation, connection: sa.Connection) -> sa.Table:
    try:
        return sa.Table(
            place.name,
            sa.MetaData(),
            schema=place.schema,
            autoload_with=connection,
            resolve_fks=False,
        )
    except NoSuchTableError:
        raise _setting_error(
            f"the database has no table {place.shown!r}.",
            "Name it after a '#' at the end: #schema.table.",
        ) from None


def _key_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that tell rows apart: the primary key, else one that names them."""
    primary = list(table.primary_key.columns)
    if primary:
        return primary
    spelled = {normalise_name(c.name): c for c in table.columns}
    return [spelled[name] for name in ("id", "name", "sku", "handle") if name in spelled][:1]


# Rows --------------------------------------------------------------------------------------------


def _read_rows(
    place: _TableLocation, connection: sa.Connection, folder: Path
) -> tuple[list[BriefSource], list[Problem]]:
    table = _reflect_table(place, connection)
    keys = _key_columns(table)
    if not keys:
        raise _setting_error(
            f"the rows of {place.shown} can't be told apart.",
            "Give the table a primary key, or a column id or name.",
        )
    known = [c.name for c in table.columns if c.primary_key or normalise_name(c.name) in _OWN]
    wanted = [c for c in table.columns if normalise_name(c.name) not in OURS]
    names = [c.name for c in wanted]
    if len(names) > MAX_COLUMNS:
        raise _setting_error(
            f"the table has more than {MAX_COLUMNS:,} columns.", "Name a view of fewer."
        )
    columns = read_columns(names, place.shown, silent=known)
    if columns.hopeless:
        return [], [columns.hopeless]
    at = [names.index(key.name) for key in keys]
    # Columns that nobody reads, pictures say, stay where they are.
    naming = {n for n in (columns.name, columns.campaign) if n is not None} | set(at)
    used = {n for n, _, _ in columns.fields} | {n for n, _ in columns.slips}
    read = sorted(used | naming)
    size = _row_size_expression([wanted[n] for n in read], connection.dialect.name)
    reader = CellReader(kinds=columns.kinds(), header=names, links={}, faults={})

    def make_row(found: dict[int, Any], number: int) -> TableRow:
        values = [found.get(n) for n in range(len(names))]
        return _row_of_values(columns, reader, values, at, number)

    rows = [
        _too_large(make_row(found, number), bytes_, place.shown)
        for number, (found, bytes_) in enumerate(
            _iterate_large_rows(connection, wanted, keys, naming, size), 1
        )
    ]
    total = 0
    for chunk, bytes_ in _iterate_chunks(connection, wanted, keys, read, size):
        total += bytes_
        for found in chunk:
            rows.append(make_row(found, len(rows) + 1))
        if len(rows) > MAX_ROWS or len(rows) * len(read) > MAX_CELLS or total > MAX_BYTES:
            raise _setting_error(
                f"the table has more than {MAX_ROWS:,} rows, {MAX_CELLS:,} cells or "
                f"{MAX_BYTES // 1_000_000} MB.",
                "Name a view of fewer rows, or of fewer columns.",
            )
    schema = place.schema or connection.dialect.default_schema_name
    whole = TableNote(
        path=folder,
        folder=folder,
        campaign=place.name,
        shown=place.shown,
        whole=f"sql:{schema}.{place.name}" if schema else f"sql:{place.name}",
    )
    sources, problems = sources_of(whole, rows)
    return sources, [*columns.problems, *problems]


def _iterate_chunks(
    connection: sa.Connection,
    wanted: Sequence[sa.Column[Any]],
    keys: Sequence[sa.Column[Any]],
    read: Sequence[int],
    size: Any,
) -> Iterator[tuple[list[dict[int, Any]], int]]:
    """The rows that are not too large, some at a time: their values of the columns at the positions
    `read` (position -> value), and the bytes of all of them."""
    import pandas as pd

    # Whole numbers beside nothing become floats in pandas, which have no room for long ones.
    whole_numbers = {n for n in read if isinstance(wanted[n].type, sa.Integer)}
    taken = [
        (sa.cast(wanted[n], sa.Text) if n in whole_numbers else wanted[n]).label(f"c{n}")
        for n in read
    ]
    counted = sa.literal(0) if size is None else size
    query = _limit_query(sa.select(*taken, counted.label("bytes")), size, MAX_ROW)
    query = query.order_by(*keys).limit(MAX_ROWS + 1)
    # Rows come as they are asked for, not all at once when the server has them.
    connection.execution_options(stream_results=True, max_row_buffer=_CHUNK)
    for frame in pd.read_sql(query, connection, chunksize=_CHUNK, coerce_float=False):
        lists = [
            [to_json_value(v, n in whole_numbers) for v in frame.iloc[:, i].tolist()]
            for i, n in enumerate(read)
        ]
        rows = [dict(zip(read, values, strict=True)) for values in zip(*lists, strict=True)]
        yield rows, int(frame.iloc[:, -1].sum())


def _iterate_large_rows(
    connection: sa.Connection,
    wanted: Sequence[sa.Column[Any]],
    keys: Sequence[sa.Column[Any]],
    naming: set[int],
    size: Any,
) -> Iterator[tuple[dict[int, Any], int]]:
    """Of each row that is too large what names it (position -> value, cut off), and its bytes."""
    if size is None:
        return
    names = sorted(naming)
    short = [sa.func.substr(sa.cast(wanted[n], sa.Text), 1, _SHORT).label(f"c{n}") for n in names]
    query = sa.select(*short, size.label("bytes")).where(size > MAX_ROW).order_by(*keys)
    for *values, bytes_ in connection.execute(query.limit(MAX_ROWS)):
        yield dict(zip(names, values, strict=True)), bytes_


def _too_large(row: TableRow, bytes_: int, shown: str) -> TableRow:
    problem = Problem(
        "table.too_large",
        f"{row.place} has {bytes_:,} bytes; {MAX_ROW:,} are the most.",
        "Shorten its texts; pictures and clips are named in a table, not kept in it.",
        file=shown,
        field=row.place,
    )
    return replace(row, problems=(*row.problems, problem))


def _row_of_values(
    columns: TableColumns, reader: CellReader, values: list[Any], keys: Sequence[int], number: int
) -> TableRow:
    identity = digest_key([values[k] for k in keys])
    for at in (columns.name, columns.campaign):
        if at is not None:
            values[at] = format_key(values[at])
    values, found = reader.read(number, values, f"row {identity}")
    row = row_of(columns, [(number, values)], identity=identity)
    row.said.problems += found
    return row if row.name else replace(row, name="-".join(format_key(values[k]) for k in keys))
