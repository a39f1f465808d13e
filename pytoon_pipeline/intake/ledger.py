"""The ledger: every brief known to this install, under its key."""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from pytoon_pipeline.briefs.source import BriefSource, SourceDocument
from pytoon_pipeline.errors import Problem, StoreError, UserError
from pytoon_pipeline.intake import database

_T = TypeVar("_T")

METADATA = sa.MetaData()
"""Of all tables beside the briefs, too."""
SCHEMA = "pytoon"
"""Where they lie on PostgreSQL: Dagster, in the same database, has a table `jobs` of its own. A
statement made of these tables finds them there; SQL in plain words has to name the schema."""

_BRIEFS = sa.Table(
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
_FRESH: dict[str, Any] = {
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

ACTIONS = ("render", "rerender", "recheck")
"""What can be wanted of a brief: its video; its video with nothing taken from the store; its checks
and metrics alone."""
OPEN = ("requested", "running")
"""States that a run is to end."""


@dataclass(frozen=True)
class LedgerEntry:
    """What the ledger knows of a brief."""

    key: str
    source: BriefSource
    content_hash: str
    """Of the contents that a run was last requested for; empty when never."""
    look: str
    """Cheap signature of the files when they had that hash."""
    waiting: str
    """Signature of a copy that was not finished when last looked at; empty when none is."""
    serial: int
    """Number of the last request, counted over all briefs; 0 when never requested."""
    state: str
    """`new`, `requested`, `running`, `done`, `refused` (the brief is wrong), `failed` or
    `cancelled`."""
    error: str
    problems: tuple[Problem, ...]
    """What is wrong with the brief, when it is refused."""
    action: str
    """One of ACTIONS: what the last run was requested for."""
    wanted: str
    """One of ACTIONS that a person asked for and no run was requested for yet, or empty."""
    priority: int
    """Of its runs; higher comes first."""
    run_id: str
    """Of the run that works or worked on it last; empty before the first began."""
    progress: float
    """0..1, of the work of its last run."""
    reported: str
    """What was last written back to the table it comes from."""
    host: str
    """The machine that its files are on; empty where that is not known."""
    deleted: float
    """Unix time when its files, or its row, were found to be gone; 0 while they are there."""
    updated: float
    """Unix time."""

    @property
    def is_deleted(self) -> bool:
        """Is it gone, with no run of it under way any more?"""
        return bool(self.deleted) and self.state not in OPEN


_PAGES = sa.Table(
    "campaign_pages",
    METADATA,
    sa.Column("campaign", sa.Text, primary_key=True),
    sa.Column("asked", sa.Float, nullable=False, default=0.0),
    sa.Column("made", sa.Float, nullable=False, default=0.0),
    sa.Column("seen", sa.Float, nullable=False, default=0.0),
)
"""When a campaign's page was last asked for and made, and up to which change of its briefs."""
_LOST_SECONDS = 120.0
"""A page that was asked for and not made in this time is asked for again."""


class Ledger:
    """Tables in a SQLite file, or on a PostgreSQL server (`postgresql://...`) that several machines
    share. Safe to use from several threads and processes; every method is one transaction.

    A server that is away is waited for, up to `database.PATIENCE` seconds. Raises StoreError when
    the tables can't be read or written.
    """

    def __init__(self, address: Path | str):
        self._address = str(address) if database.is_postgres(address) else None
        if self._address:
            self.path: Path | None = None
            """The file; None on a server."""
            self.name = database.describe_address(self._address)
            """For people: the file, or the server's host and database."""
            engine = database.open_engine(self._address)
            self._engine = engine.execution_options(schema_translate_map={None: SCHEMA})
            self.run_transaction(_make_on_server, again=True)
            return
        self.path = Path(address)
        self.name = str(self.path)
        self._engine = sa.create_engine(
            f"sqlite:///{self.path}", poolclass=NullPool, connect_args={"timeout": 30}
        )
        sa.event.listen(self._engine, "connect", _set_pragmas)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The ledger {self.name} can't be created: {error}") from error
        self.run_transaction(_make_in_file)

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction, for this table and its neighbours. Its beginning waits for a server that
        is away; `run_transaction` does so to the end."""
        try:
            if self._address:
                connection = database.retry_while_away(self._engine.connect, self.name)
            else:
                connection = self._engine.connect()
            with connection, connection.begin():
                yield connection
        except IntegrityError:
            raise
        except (DBAPIError, sa.exc.TimeoutError) as error:
            raise self._unusable_error(error) from error

    def run_transaction(self, work: Callable[[sa.Connection], _T], *, again: bool = False) -> _T:
        """A transaction that is begun anew when the server went away in the middle of it: `work`
        may be called several times, and all but its last call is undone. When the server went at
        the very end nobody knows whether it was; then it is done once more only where `again` says
        that twice is as good as once."""
        ending = False

        def run_once() -> _T:
            nonlocal ending
            ending = False
            with self._engine.connect() as connection, connection.begin():
                result = work(connection)
                ending = True
            return result

        try:
            if not self._address:
                return run_once()
            return database.retry_while_away(run_once, self.name, again=lambda: again or not ending)
        except IntegrityError:
            raise
        except (DBAPIError, sa.exc.TimeoutError) as error:
            raise self._unusable_error(error) from error

    def _unusable_error(self, error: Exception) -> StoreError:
        return StoreError(f"The ledger {self.name} can't be used: {database.shorten_error(error)}")

    def dispose(self) -> None:
        """Close what is open and not in use; a method called later opens it again."""
        if self._address:
            database.dispose_engines(self._address)

    def now(self) -> float:
        """Unix time by the one clock that all users of this ledger share."""
        if not self._address:
            return time.time()

        def ask_server() -> float:
            return self.run_transaction(lambda c: c.execute(_SERVER_TIME).scalar_one(), again=True)

        return database.database_clock(self._address).now(ask_server)

    def _timestamp_expression(self) -> Any:
        """The same, for a statement."""
        return database.SERVER_TIME if self._address else time.time()

    def _fetch_rows(self, query: sa.Select[Any]) -> list[Any]:
        return self.run_transaction(lambda connection: list(connection.execute(query)), again=True)

    def register(self, source: BriefSource) -> str:
        """The partition key of a source, from now on and for ever.

        A key that another source has already gets `~` and six digits of this one's origin. A key
        of a file that is gone goes over to the new one. What a document says now is kept.
        """
        while True:
            try:
                return self.run_transaction(
                    lambda c: _register_key(c, source, self._timestamp_expression()), again=True
                )
            except IntegrityError:
                continue  # Another process registered it, or took the key, just now.

    def source(self, key: str) -> BriefSource:
        """Where the brief of a key comes from. UserError for an unknown key."""
        return self.find_entry(key).source

    def find_entry(self, key: str) -> LedgerEntry:
        """All that is known of a key. UserError for an unknown one."""
        rows = self._fetch_rows(sa.select(_BRIEFS).where(_BRIEFS.c.key == key))
        if not rows:
            raise UserError(
                Problem(
                    "brief.unknown",
                    f"No brief is known as {key!r}.",
                    "Put its folder where the briefs lie; keys are made from folders' names.",
                )
            )
        return _entry_of_row(rows[0])

    def list_entries(self) -> list[LedgerEntry]:
        """All of them, by key."""
        return self.find()

    def looks(self) -> dict[str, LedgerEntry]:
        """All of them by origin, without what their documents say: enough to see what changed."""
        columns = [c for c in _BRIEFS.c if c.name != "document"]
        rows = self._fetch_rows(sa.select(*columns, sa.literal("").label("document")))
        return {row.origin: _entry_of_row(row) for row in rows}

    def find(
        self,
        *,
        campaign: str | None = None,
        states: Sequence[str] = (),
        wanted: bool = False,
        after: float | None = None,
    ) -> list[LedgerEntry]:
        """Entries by key that fit all that is given; `after` is a time of their last change."""
        query = sa.select(_BRIEFS)
        if campaign is not None:
            query = query.where(_BRIEFS.c.campaign == campaign)
        if states:
            query = query.where(_BRIEFS.c.state.in_(states))
        if wanted:
            query = query.where(_BRIEFS.c.wanted != "")
        if after is not None:
            query = query.where(_BRIEFS.c.updated > after)
        # Sorted here: how a server sorts text depends on where it was set up.
        return sorted(
            (_entry_of_row(row) for row in self._fetch_rows(query)), key=lambda entry: entry.key
        )

    def campaigns(self) -> dict[str, float]:
        """Each campaign, and when one of its briefs last changed its state (Unix time)."""
        query = sa.select(_BRIEFS.c.campaign, sa.func.max(_BRIEFS.c.updated)).group_by("campaign")
        return {name: float(last) for name, last in self._fetch_rows(query)}

    def stale_pages(
        self, now: float, settle: float, at_least: float, good_for: float | None = None
    ) -> list[str]:
        """Campaigns whose page is older than what became of their briefs and is not being made. One
        with work going on has its page made at most every `at_least` seconds, and any at most every
        `note_if_state`; `good_for` is how long the links of a page lead somewhere. `now` is that of
        `self.now()`."""

        def read_pages(connection: sa.Connection) -> tuple[dict[str, Any], set[str], list[Any]]:
            pages = {r.campaign: r for r in connection.execute(sa.select(_PAGES))}
            busy = sa.select(_BRIEFS.c.campaign).where(_BRIEFS.c.state.in_(OPEN)).distinct()
            changed = (
                sa.select(_BRIEFS.c.campaign, sa.func.max(_BRIEFS.c.updated))
                .where(_BRIEFS.c.state.not_in(("new", "requested")))
                .group_by(_BRIEFS.c.campaign)
                .order_by(_BRIEFS.c.campaign)
            )
            return (
                pages,
                set(connection.execute(busy).scalars()),
                list(connection.execute(changed)),
            )

        pages, busy, changed = self.run_transaction(read_pages, again=True)
        stale = []
        for name, last in changed:
            page = pages.get(name)
            if page is not None:
                pause = at_least if name in busy else settle
                under_way = page.asked > page.made and now - page.asked < _LOST_SECONDS
                fresh = good_for is None or now - page.made < good_for
                if (page.seen >= last and fresh) or under_way or now - page.made < pause:
                    continue
            stale.append(name)
        return stale

    def note_page(self, campaign: str, **values: float) -> None:
        """Set `asked`, or `made` and `seen`, of a campaign's page; times of `self.now()`."""
        here = sa.update(_PAGES).where(_PAGES.c.campaign == campaign).values(**values)
        while not self.run_transaction(lambda c: c.execute(here).rowcount, again=True):
            first = sa.insert(_PAGES).values(campaign=campaign, **values)
            with suppress(IntegrityError):  # Another process noted it just now.
                self.run_transaction(lambda c, first=first: c.execute(first))
                return

    def want(self, keys: Sequence[str], action: str) -> int:
        """Ask for one of ACTIONS for some briefs; the sensor requests the runs. Returns for how
        many."""
        if action not in ACTIONS:
            raise ValueError(f"{action!r} is not one of {', '.join(ACTIONS)}")
        # All in the same order, so that two who ask at once don't wait for each other.
        asked = sorted(set(keys))

        def mark_wanted(connection: sa.Connection) -> int:
            changed = 0
            for start in range(0, len(asked), 500):
                some = asked[start : start + 500]
                changed += connection.execute(
                    sa.update(_BRIEFS).where(_BRIEFS.c.key.in_(some)).values(wanted=action)
                ).rowcount
            return changed

        return self.run_transaction(mark_wanted, again=True)

    def request(
        self,
        key: str,
        content_hash: str,
        look: str,
        after: int = 0,
        priority: int = 0,
        action: str = "render",
    ) -> int:
        """Note that a run of these contents is asked for. Returns the request's serial number,
        higher than all others and than `after`."""
        highest = sa.select(sa.func.coalesce(sa.func.max(_BRIEFS.c.serial), 0)).scalar_subquery()
        note = (
            sa.update(_BRIEFS)
            .where(_BRIEFS.c.key == key)
            .values(
                content_hash=content_hash,
                look=look,
                waiting="",
                serial=sa.case((highest > after, highest), else_=after) + 1,
                state="requested",
                error="",
                problems="",
                action=action,
                wanted="",
                priority=priority,
                progress=0.0,
                updated=self._timestamp_expression(),
            )
        )

        def next_number(connection: sa.Connection) -> int:
            if self._address:  # One at a time; a SQLite file has one writer anyway.
                connection.execute(_advisory_lock(_NUMBERING))
            connection.execute(note)
            return connection.execute(
                sa.select(_BRIEFS.c.serial).where(_BRIEFS.c.key == key)
            ).scalar_one()

        return self.run_transaction(next_number, again=True)

    def note(self, key: str, **values: Any) -> None:
        """Set columns of a brief: `state`, `error`, `problems`, `run_id`, `progress`, `look`,
        `waiting`, `content_hash`, `wanted`, `reported`, `deleted`. What a person sees makes it
        `updated`."""
        if "problems" in values:
            values["problems"] = json.dumps([p.as_dict() for p in values["problems"]])
        if values.keys() & {"state", "error", "deleted"}:
            values["updated"] = self._timestamp_expression()
        change = sa.update(_BRIEFS).where(_BRIEFS.c.key == key).values(**_storable_values(values))
        self.run_transaction(lambda connection: connection.execute(change), again=True)

    def note_if_state(self, key: str, was: Sequence[str], **values: Any) -> bool:
        """`note`, only where the state is still one of `was`. Returns whether it was."""
        change = (
            sa.update(_BRIEFS)
            .where(_BRIEFS.c.key == key, _BRIEFS.c.state.in_(was))
            .values(updated=self._timestamp_expression(), **_storable_values(values))
        )
        return bool(self.run_transaction(lambda connection: connection.execute(change).rowcount))


def _set_pragmas(connection: Any, _record: Any) -> None:
    """Readers and a writer at once; a power cut can cost the last moments, never the file."""
    with suppress(sqlite3.DatabaseError):  # What is no database is said by the first statement.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


def _storable_values(values: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL takes no NUL in a text; what tools print may hold one."""
    return {k: v.replace("\0", "\ufffd") if isinstance(v, str) else v for k, v in values.items()}


def _register_key(connection: sa.Connection, source: BriefSource, now: Any) -> str:
    here = socket.gethostname()
    values = {
        "origin": source.origin,
        "path": str(source.path),
        "kind": source.kind,
        "folder": str(source.folder),
        "host": here,
        "campaign": source.campaign,
        "name": source.name,
        "document": source.document.as_json() if source.document else "",
    }
    known = connection.execute(
        sa.select(_BRIEFS.c.key, _BRIEFS.c.kind, _BRIEFS.c.document, _BRIEFS.c.deleted).where(
            _BRIEFS.c.origin == values["origin"]
        )
    ).first()
    if known:
        if (known.kind, known.document, known.deleted) != (source.kind, values["document"], 0):
            connection.execute(
                sa.update(_BRIEFS)
                .where(_BRIEFS.c.key == known.key)
                .values(deleted=0.0, **values, **({"updated": now} if known.deleted else {}))
            )
        return known.key
    for key in _iterate_keys(source):
        holder = connection.execute(
            sa.select(_BRIEFS.c.path, _BRIEFS.c.origin, _BRIEFS.c.host).where(_BRIEFS.c.key == key)
        ).first()
        if holder is None:
            connection.execute(sa.insert(_BRIEFS).values(key=key, updated=now, **values))
            return key
        # Of another machine's files nothing is known here.
        if holder.host in ("", here) and not Path(holder.path).exists():
            taken = connection.execute(
                sa.update(_BRIEFS)
                .where(_BRIEFS.c.key == key, _BRIEFS.c.origin == holder.origin)
                .values(updated=now, **_FRESH, **values)
            )
            if taken.rowcount:
                return key
    raise AssertionError("unreachable: the keys of a source do not end")


def _iterate_keys(source: BriefSource) -> Iterator[str]:
    yield source.key
    digest = hashlib.sha256(source.origin.encode()).hexdigest()
    for length in range(6, len(digest)):
        yield f"{source.key}~{digest[:length]}"


def _entry_of_row(row: Any) -> LedgerEntry:
    document = SourceDocument.from_json(row.document) if row.document else None
    source = BriefSource(
        Path(row.path), row.kind, row.campaign, row.name, Path(row.folder), document
    )
    return LedgerEntry(
        key=row.key,
        source=source,
        problems=read_problems(row.problems),
        **{
            name: getattr(row, name)
            for name in LedgerEntry.__dataclass_fields__
            if name not in _MADE
        },
    )


_MADE = ("key", "source", "problems")


def read_problems(text: str) -> tuple[Problem, ...]:
    """What the column `problems` holds. One that can't be read costs itself: it is said in place
    of what it held, so that lists of briefs go on."""
    try:
        return tuple(
            Problem(**{k: tuple(v) if isinstance(v, list) else v for k, v in said.items()})
            for said in json.loads(text or "[]", parse_constant=_no_constant)
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        message = "The problems that were noted for this brief can't be read."
        return (Problem("ledger.problems", message, "Render the brief again."),)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


# Making the tables -------------------------------------------------------------------------------

_NUMBERING, _TABLES = 0x707974F1, 0x707974F2
"""Numbers of locks on the server: of the requests' serials, and of the tables."""
_LOCK_MILLISECONDS = 3000
_SERVER_TIME = sa.select(database.SERVER_TIME)


def _advisory_lock(number: int) -> sa.Select[Any]:
    """Held until the transaction ends."""
    return sa.select(sa.func.pg_advisory_xact_lock(number))


def _make_in_file(connection: sa.Connection) -> None:
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        there = {c["name"] for c in sa.inspect(connection).get_columns(table.name)}
        _add_columns(connection, table, there)
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    _take_over(connection)


def _make_on_server(connection: sa.Connection) -> None:
    """Only a look where all is there, which is nearly always: a change of a table waits for all
    who use it, and all others wait behind it."""
    if not _missing_parts(_existing_schema(connection)):
        return
    # Rather than keep others waiting behind this one it gives up, and is tried again a bit later.
    connection.execute(sa.text(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}"))
    connection.execute(_advisory_lock(_TABLES))
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
    if column.default is not None and column.default.is_scalar:
        return f"NOT NULL DEFAULT {column.default.arg!r}"
    return "" if column.nullable else f"NOT NULL DEFAULT {column.type.python_type()!r}"


def _take_over(connection: sa.Connection) -> None:
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
