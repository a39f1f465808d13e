"""The ledger: every brief known to this install, under its key."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, Unpack

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import Problem, StoreError, UserError
from pytoon_pipeline.intake import database
from pytoon_pipeline.intake.brief_state import OPEN, BriefState, states_before
from pytoon_pipeline.intake.ledger_rows import (
    BriefColumns,
    LedgerEntry,
    entry_of_row,
    storable_values,
)
from pytoon_pipeline.intake.ledger_tables import (
    BRIEFS_TABLE,
    FRESH_VALUES,
    NUMBERING_LOCK,
    PAGES_TABLE,
    SCHEMA,
    make_tables_in_file,
    make_tables_on_server,
    set_sqlite_pragmas,
    take_advisory_lock,
)

_T = TypeVar("_T")

ACTIONS = ("render", "rerender", "recheck")
"""What can be wanted of a brief: its video; its video with nothing taken from the store; its checks
and metrics alone."""


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
            self._engine: sa.Engine = engine.execution_options(schema_translate_map={None: SCHEMA})
            self.run_transaction(make_tables_on_server, again=True)
            return
        self.path = Path(address)
        self.name = str(self.path)
        self._engine = sa.create_engine(
            f"sqlite:///{self.path}", poolclass=NullPool, connect_args={"timeout": 30}
        )
        sa.event.listen(self._engine, "connect", set_sqlite_pragmas)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The ledger {self.name} can't be created: {error}") from error
        self.run_transaction(make_tables_in_file)

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
        rows = self._fetch_rows(sa.select(BRIEFS_TABLE).where(BRIEFS_TABLE.c.key == key))
        if not rows:
            raise UserError(
                Problem(
                    "brief.unknown",
                    f"No brief is known as {key!r}.",
                    "Put its folder where the briefs lie; keys are made from folders' names.",
                )
            )
        return entry_of_row(rows[0])

    def list_entries(self) -> list[LedgerEntry]:
        """All of them, by key."""
        return self.find()

    def looks(self) -> dict[str, LedgerEntry]:
        """All of them by origin, without what their documents say: enough to see what changed."""
        columns = [c for c in BRIEFS_TABLE.c if c.name != "document"]
        rows = self._fetch_rows(sa.select(*columns, sa.literal("").label("document")))
        return {row.origin: entry_of_row(row) for row in rows}

    def find(
        self,
        *,
        campaign: str | None = None,
        states: Sequence[str] = (),
        wanted: bool = False,
        after: float | None = None,
    ) -> list[LedgerEntry]:
        """Entries by key that fit all that is given; `after` is a time of their last change."""
        query = sa.select(BRIEFS_TABLE)
        if campaign is not None:
            query = query.where(BRIEFS_TABLE.c.campaign == campaign)
        if states:
            query = query.where(BRIEFS_TABLE.c.state.in_(states))
        if wanted:
            query = query.where(BRIEFS_TABLE.c.wanted != "")
        if after is not None:
            query = query.where(BRIEFS_TABLE.c.updated > after)
        # Sorted here: how a server sorts text depends on where it was set up.
        return sorted(
            (entry_of_row(row) for row in self._fetch_rows(query)), key=lambda entry: entry.key
        )

    def campaigns(self) -> dict[str, float]:
        """Each campaign, and when one of its briefs last changed its state (Unix time)."""
        query = sa.select(BRIEFS_TABLE.c.campaign, sa.func.max(BRIEFS_TABLE.c.updated)).group_by(
            "campaign"
        )
        return {name: float(last) for name, last in self._fetch_rows(query)}

    def stale_pages(
        self, now: float, settle: float, at_least: float, good_for: float | None = None
    ) -> list[str]:
        """Campaigns whose page is older than what became of their briefs and is not being made. One
        with work going on has its page made at most every `at_least` seconds, and any at most every
        `note_if_state`; `good_for` is how long the links of a page lead somewhere. `now` is that of
        `self.now()`."""

        def read_pages(connection: sa.Connection) -> tuple[dict[str, Any], set[str], list[Any]]:
            pages = {r.campaign: r for r in connection.execute(sa.select(PAGES_TABLE))}
            busy = (
                sa.select(BRIEFS_TABLE.c.campaign).where(BRIEFS_TABLE.c.state.in_(OPEN)).distinct()
            )
            changed = (
                sa.select(BRIEFS_TABLE.c.campaign, sa.func.max(BRIEFS_TABLE.c.updated))
                .where(BRIEFS_TABLE.c.state.not_in((BriefState.NEW, BriefState.REQUESTED)))
                .group_by(BRIEFS_TABLE.c.campaign)
                .order_by(BRIEFS_TABLE.c.campaign)
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
        here = sa.update(PAGES_TABLE).where(PAGES_TABLE.c.campaign == campaign).values(**values)
        first = sa.insert(PAGES_TABLE).values(campaign=campaign, **values)
        while not self.run_transaction(lambda c: c.execute(here).rowcount, again=True):
            with suppress(IntegrityError):  # Another process noted it just now.
                self.run_transaction(lambda c: c.execute(first))
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
                    sa.update(BRIEFS_TABLE)
                    .where(BRIEFS_TABLE.c.key.in_(some))
                    .values(wanted=action)
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
        highest = sa.select(
            sa.func.coalesce(sa.func.max(BRIEFS_TABLE.c.serial), 0)
        ).scalar_subquery()
        note = (
            sa.update(BRIEFS_TABLE)
            .where(BRIEFS_TABLE.c.key == key)
            .values(
                content_hash=content_hash,
                look=look,
                waiting="",
                serial=sa.case((highest > after, highest), else_=after) + 1,
                state=BriefState.REQUESTED,
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
                connection.execute(take_advisory_lock(NUMBERING_LOCK))
            connection.execute(note)
            return connection.execute(
                sa.select(BRIEFS_TABLE.c.serial).where(BRIEFS_TABLE.c.key == key)
            ).scalar_one()

        return self.run_transaction(next_number, again=True)

    def note(self, key: str, **values: Unpack[BriefColumns]) -> None:
        """Set columns of a brief other than its state. What a person sees makes it `updated`."""
        self._update(key, self._column_values(values), again=True)

    def set_state(
        self,
        key: str,
        state: BriefState,
        *,
        only_from: Sequence[BriefState] | None = None,
        **values: Unpack[BriefColumns],
    ) -> bool:
        """Bring a brief to a state, and set other columns with it: the only place that writes a
        state, `request` besides.

        Nothing is written, and False returned, where the brief is in a state from which this one
        can't be reached by `brief_state.TRANSITIONS`, or in none of `only_from`.
        """
        before = [s for s in states_before(state) if only_from is None or s in only_from]
        columns = {**self._column_values(values), "state": state.value}
        columns["updated"] = self._timestamp_expression()
        return self._update(key, columns, before, again=only_from is None)

    def _column_values(self, values: BriefColumns) -> dict[str, Any]:
        columns: dict[str, Any] = dict(values)
        if "problems" in values:
            columns["problems"] = json.dumps([p.as_dict() for p in values["problems"]])
        if columns.keys() & {"error", "deleted"}:
            columns["updated"] = self._timestamp_expression()
        return columns

    def _update(
        self,
        key: str,
        columns: dict[str, Any],
        before: Sequence[BriefState] | None = None,
        *,
        again: bool,
    ) -> bool:
        """Write columns of a brief, only in one of these states where some are given. Returns
        whether there was such a brief. `again` as in `run_transaction`."""
        change = sa.update(BRIEFS_TABLE).where(BRIEFS_TABLE.c.key == key)
        if before is not None:
            change = change.where(BRIEFS_TABLE.c.state.in_(before))
        change = change.values(**storable_values(columns))
        return bool(
            self.run_transaction(
                lambda connection: connection.execute(change).rowcount, again=again
            )
        )


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
        sa.select(
            BRIEFS_TABLE.c.key, BRIEFS_TABLE.c.kind, BRIEFS_TABLE.c.document, BRIEFS_TABLE.c.deleted
        ).where(BRIEFS_TABLE.c.origin == values["origin"])
    ).first()
    if known:
        if (known.kind, known.document, known.deleted) != (source.kind, values["document"], 0):
            connection.execute(
                sa.update(BRIEFS_TABLE)
                .where(BRIEFS_TABLE.c.key == known.key)
                .values(deleted=0.0, **values, **({"updated": now} if known.deleted else {}))
            )
        return known.key
    for key in _iterate_keys(source):
        holder = connection.execute(
            sa.select(BRIEFS_TABLE.c.path, BRIEFS_TABLE.c.origin, BRIEFS_TABLE.c.host).where(
                BRIEFS_TABLE.c.key == key
            )
        ).first()
        if holder is None:
            connection.execute(sa.insert(BRIEFS_TABLE).values(key=key, updated=now, **values))
            return key
        # Of another machine's files nothing is known here.
        if holder.host in ("", here) and not Path(holder.path).exists():
            taken = connection.execute(
                sa.update(BRIEFS_TABLE)
                .where(BRIEFS_TABLE.c.key == key, BRIEFS_TABLE.c.origin == holder.origin)
                .values(updated=now, **FRESH_VALUES, **values)
            )
            if taken.rowcount:
                return key
    raise AssertionError("unreachable: the keys of a source do not end")


def _iterate_keys(source: BriefSource) -> Iterator[str]:
    yield source.key
    digest = hashlib.sha256(source.origin.encode()).hexdigest()
    for length in range(6, len(digest)):
        yield f"{source.key}~{digest[:length]}"


# Making the tables -------------------------------------------------------------------------------

_SERVER_TIME = sa.select(database.SERVER_TIME)
