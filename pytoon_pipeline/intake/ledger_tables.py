"""The tables of the ledger: their columns, and how they are made and kept up to date."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

METADATA = sa.MetaData()
"""Of all tables beside the briefs, too."""


SCHEMA = "pytoon"
"""Where they lie on PostgreSQL: Dagster, in the same database, has a table `jobs` of its own. A
statement made of these tables finds them there; SQL in plain words has to name the schema."""


BRIEFS_TABLE = sa.Table(
    "known_briefs",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False, unique=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False, default=""),
    sa.Column("campaign", sa.Text, nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False, default=""),
    sa.Column("content_hash", sa.Text, nullable=False, default=""),
    sa.Column("look", sa.Text, nullable=False, default=""),
    sa.Column("waiting", sa.Text, nullable=False, default=""),
    sa.Column("serial", sa.Integer, nullable=False, default=0, index=True),
    sa.Column("state", sa.Text, nullable=False, default="new", index=True),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("problems", sa.Text, nullable=False, default=""),
    sa.Column("action", sa.Text, nullable=False, default=""),
    sa.Column("wanted", sa.Text, nullable=False, default="", index=True),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("run_id", sa.Text, nullable=False, default=""),
    sa.Column("progress", sa.Float, nullable=False, default=0.0),
    sa.Column("reported", sa.Text, nullable=False, default=""),
    sa.Column("deleted", sa.Float, nullable=False, default=0.0),
    sa.Column("updated", sa.Float, nullable=False),
)


FRESH_VALUES: dict[str, Any] = {
    "content_hash": "",
    "look": "",
    "waiting": "",
    "state": "new",
    "error": "",
    "problems": "",
    "action": "",
    "wanted": "",
    "priority": 0,
    "run_id": "",
    "progress": 0.0,
    "reported": "",
    "deleted": 0.0,
}


PAGES_TABLE = sa.Table(
    "campaign_pages",
    METADATA,
    sa.Column("campaign", sa.Text, primary_key=True),
    sa.Column("asked", sa.Float, nullable=False, default=0.0),
    sa.Column("made", sa.Float, nullable=False, default=0.0),
    sa.Column("seen", sa.Float, nullable=False, default=0.0),
)
"""When a campaign's page was last asked for and made, and up to which change of its briefs."""


def set_sqlite_pragmas(connection: Any, _record: Any) -> None:
    """Readers and a writer at once; a power cut can cost the last moments, never the file."""
    with suppress(sqlite3.DatabaseError):  # What is no database is said by the first statement.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


NUMBERING_LOCK, _TABLES_LOCK = 0x707974F1, 0x707974F2
"""Numbers of locks on the server: of the requests' serials, and of the tables."""


_LOCK_MILLISECONDS = 3000


def take_advisory_lock(number: int) -> sa.Select[Any]:
    """Held until the transaction ends."""
    return sa.select(sa.func.pg_advisory_xact_lock(number))


def make_tables_in_file(connection: sa.Connection) -> None:
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        there = {c["name"] for c in sa.inspect(connection).get_columns(table.name)}
        _add_columns(connection, table, there)
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    _migrate_first_version(connection)


def make_tables_on_server(connection: sa.Connection) -> None:
    """Only a look where all is there, which is nearly always: a change of a table waits for all
    who use it, and all others wait behind it."""
    if not _missing_parts(_existing_schema(connection)):
        return
    # Rather than keep others waiting behind this one it gives up, and is tried again a bit later.
    connection.execute(sa.text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
    connection.execute(take_advisory_lock(_TABLES_LOCK))
    there = _existing_schema(connection)  # Another process may have made it all in the meantime.
    for name in _missing_parts(there):
        if name == SCHEMA:
            connection.execute(CreateSchema(SCHEMA))
            continue
        table = METADATA.tables[name]
        if name not in there:
            connection.execute(CreateTable(table))
        else:
            _add_columns(connection, table, there[name])
        for index in table.indexes:
            if index.name not in there:
                connection.execute(CreateIndex(index))


def _existing_schema(connection: sa.Connection) -> dict[str, set[str]]:
    """Columns of each table and index of the schema, and the schema's own name if it is there."""
    rows = connection.execute(
        sa.text(
            "SELECT n.nspname, c.relname, a.attname FROM pg_namespace n "
            "LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'i', 'I') "
            "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
            "AND NOT a.attisdropped WHERE n.nspname = :schema"
        ),
        {"schema": SCHEMA},
    )
    there: dict[str, set[str]] = {}
    for schema, name, column in rows:
        there.setdefault(schema, set())
        if name is not None:
            there.setdefault(name, set()).add(column)
    return there


def _missing_parts(there: dict[str, set[str]]) -> list[str]:
    """The schema and the tables of which something is not there."""
    missing = [] if SCHEMA in there else [SCHEMA]
    for table in METADATA.sorted_tables:
        columns = {c.name for c in table.columns} <= there.get(table.name, set())
        if not columns or any(i.name not in there for i in table.indexes):
            missing.append(table.name)
    return missing


def _add_columns(connection: sa.Connection, table: sa.Table, there: set[str]) -> None:
    """What an earlier version knew is kept; columns that came later are added, with a value that is
    noted once, not in each row."""
    place = f"{SCHEMA}.{table}" if connection.dialect.name == "postgresql" else str(table)
    for column in (c for c in table.columns if c.name not in there):
        kind = column.type.compile(connection.dialect)
        # Names and values are this program's own; a definition takes no parameters.
        connection.execute(
            sa.text(f"ALTER TABLE {place} ADD COLUMN {column.name} {kind} {_empty_default(column)}")
        )


def _empty_default(column: sa.Column[Any]) -> str:
    if isinstance(column.default, sa.ColumnDefault) and column.default.is_scalar:
        return f"NOT NULL DEFAULT {column.default.arg!r}"
    return "" if column.nullable else f"NOT NULL DEFAULT {column.type.python_type()!r}"


def _migrate_first_version(connection: sa.Connection) -> None:
    """Briefs of the first version's table, which had other columns, keep their keys. It was in
    SQLite files alone; on a server a table of that name is somebody else's. A brief that the new
    table knows already, by its key or its file, stays as it is there: an earlier start may have
    been killed, or an old version of the program may have made the old table again."""
    if not sa.inspect(connection).has_table("briefs"):
        return
    kept = "key, path, kind, folder, campaign, name, content_hash, look, serial, state, error"
    there = {c["name"] for c in sa.inspect(connection).get_columns("briefs")}
    if not {*kept.split(", "), "updated"} <= there:
        return  # Not the first version's: somebody else's table.
    connection.execute(
        sa.text(
            f"INSERT OR IGNORE INTO known_briefs (origin, host, document, waiting, problems, "
            f"action, wanted, priority, run_id, progress, reported, deleted, updated, {kept}) "
            f"SELECT path, '', '', '', '', '', '', 0, '', 0, '', 0, updated, {kept} FROM briefs"
        )
    )
    connection.execute(sa.text("DROP TABLE briefs"))
