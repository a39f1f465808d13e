"""Dagster's own PostgreSQL storage, with connections that are kept, and with patience.

Dagster opens and closes a connection for every statement, some 500 times in the run of a brief, and
gives up when the server is away for more than some seconds: the run that logs an event just then is
lost. The tables here are Dagster's; a process that uses Dagster's class reads and writes the same.

What is overridden here is private to Dagster in places, and was read in dagster-postgres 0.29.27;
the tests hold what is relied on.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from dagster import EventLogEntry
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from dagster_postgres.utils import pg_url_from_config

from pytoon_pipeline.dagster_private import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    ConfigurableClassData,
    DaemonHeartbeat,
    PostgresStorageConfig,
    SqlEventLogStorageTable,
)
from pytoon_pipeline.intake import database
from pytoon_pipeline.runtime.home_lock import hold_as_daemon
from pytoon_pipeline.runtime.planned_checks import ends_without_checks, forget_planned_checks

_PAGES_PATIENCE = 8.0
"""Seconds that a page waits for the server, of Dagster's webserver."""
_TABLES = 0x707974F3
"""Number of the lock under which Dagster's tables are made."""
_UNHURRIED = sa.func.set_config("synchronous_commit", "off", True)
"""Of this one transaction: its end is not waited for until it is on disk. A server that crashes can
lose the events of its last half second, but none from before a change of a run's state or of the
ledger, which wait for the disk, and so for all that came before."""
_ARE_YOU_THERE = sa.select(1)
_T = TypeVar("_T")


_PAGE_ENGINES: weakref.WeakSet[sa.Engine] = weakref.WeakSet()
"""Pools of Dagster's web server: its pages wait less long for a server that is away."""


class _RetryingConnection(sa.Connection):
    """Statements commit by themselves here, each alone, so one whose connection was lost is sent
    again. It can have been carried out all the same when the server went in the very moment: then
    an event stands in the log twice, which does less harm than one that is missing. What is inside
    a real transaction is left to whoever began it."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        def send_statement() -> Any:
            result = super(_RetryingConnection, self).execute(*args, **kwargs)
            # Rows are taken out at once: they would be gone with the connection when a later
            # statement of the same work has to be sent over another one. What was inserted is
            # asked for by keys, which such rows don't have.
            keeps = result.returns_rows and not result.context.isinsert
            return result.freeze()() if keeps else result

        if self.get_execution_options().get("isolation_level"):
            return send_statement()
        try:
            return send_statement()
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if not database.is_transient(error):
                raise
        return self._with_retries(send_statement)

    def _with_retries(self, send: Callable[[], _T]) -> _T:
        def call_again() -> _T:
            # SQLAlchemy keeps a transaction of its own, even where the server has none.
            if self.in_transaction():
                self.rollback()
            if not self.invalidated and not self.closed:
                self.invalidate()
            return send()

        return _retry_work(call_again, self.engine)


def _pooled_engine(address: str, **options: Any) -> sa.Engine:
    """The pool of this process; runs, events and schedules share it."""
    # Not asked whether it is still there before each use: its statements are sent again anyway.
    engine = database.open_engine(
        address, isolation_level="AUTOCOMMIT", pool_pre_ping=False, **options
    )
    engine._connection_cls = _RetryingConnection
    return engine


def _retry_work(work: Callable[[], _T], engine: sa.Engine) -> _T:
    seconds = _PAGES_PATIENCE if engine in _PAGE_ENGINES else None
    name = database.describe_address(engine.url.render_as_string(hide_password=False))
    return database.retry_while_away(work, name, seconds=seconds)


@contextmanager
def _open_connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    connection = _retry_work(engine.connect, engine)
    try:
        yield connection
    finally:
        connection.close()


class _PooledConnections:
    """What the three storages have in common."""

    postgres_url: str
    _engine: sa.Engine

    def optimize_for_webserver(
        self, statement_timeout: int, pool_recycle: int, max_overflow: int
    ) -> None:
        """Dagster's webserver asks for more connections at once, and for an end of slow queries."""
        own = sa.make_url(self.postgres_url).query.get("options", "")
        limit = f"{own} -c statement_timeout={int(statement_timeout)}".strip()
        engine = _pooled_engine(
            self.postgres_url,
            pool_recycle=pool_recycle,
            max_overflow=max_overflow,
            connect_args={"options": limit},
        )
        _PAGE_ENGINES.add(engine)
        self._engine = engine

    def _remember_known(self, what: str, ask: Callable[[], bool]) -> bool:
        """Dagster asks for tables and columns over and over; none that is there goes away."""
        there: set[str] = self.__dict__.setdefault("_there", set())
        if what not in there and ask():
            there.add(what)
        return what in there


class PooledPostgresRunStorage(_PooledConnections, PostgresRunStorage):
    def connect(self) -> Any:
        return _open_connection(self._engine)

    def add_daemon_heartbeat(self, daemon_heartbeat: DaemonHeartbeat) -> None:
        home = os.environ.get("DAGSTER_HOME")
        hold_as_daemon(Path(home) if home else None, self.postgres_url)
        super().add_daemon_heartbeat(daemon_heartbeat)

    def has_run_stats_index_cols(self) -> bool:
        return self._remember_known("run_stats", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        return self._remember_known("backfill_id", super().has_backfill_id_column)


class PooledPostgresScheduleStorage(_PooledConnections, PostgresScheduleStorage):
    def connect(self, run_id: str | None = None) -> Any:
        return _open_connection(self._engine)


class PooledPostgresEventLogStorage(_PooledConnections, PostgresEventLogStorage):
    def _connect(self) -> Any:
        return _open_connection(self._engine)

    def has_table(self, table_name: str) -> bool:
        ask = super().has_table
        return self._remember_known(f"table {table_name}", lambda: ask(table_name))

    def _has_asset_key_col_on_connection(self, conn: sa.Connection, column_name: str) -> bool:
        ask = super()._has_asset_key_col_on_connection
        return self._remember_known(column_name, lambda: ask(conn, column_name))

    @contextmanager
    def index_transaction(self) -> Iterator[sa.Connection]:
        with self._connect() as connection:
            connection.execute(_ARE_YOU_THERE)  # If not, another connection takes its place here.
            connection.rollback()
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                yield connection

    def store_event(self, event: EventLogEntry) -> None:
        """As Dagster's, but that the second part, a transaction, is done again when the server goes
        away in its middle; that nothing waits for the disk; and without the NOTIFY that nobody
        listens to any more."""
        insert = self.prepare_insert_event(event).returning(
            SqlEventLogStorageTable.c.id, _UNHURRIED
        )
        with self._connect() as connection:
            event_id = int(connection.execute(insert).scalar_one())
        said = event.dagster_event
        if said is None:
            return
        if said.event_type in ASSET_EVENTS and said.asset_key:
            _retry_work(lambda: self._store_of_asset(event, event_id), self._engine)
        if said.event_type in ASSET_CHECK_EVENTS:
            self.store_asset_check_event(event, event_id)
        if ends_without_checks(event):
            forget_planned_checks(self, event.run_id)

    def _store_of_asset(self, event: EventLogEntry, event_id: int) -> None:
        with self.index_transaction() as connection:
            connection.execute(sa.select(_UNHURRIED))
            self._store_asset_event_tags(connection, [event], [event_id])
            self._store_asset_event(connection, event, event_id)


class PooledPostgresStorage(DagsterPostgresStorage):
    """For `storage: {custom: ...}` of `dagster.yaml`; configured as `{postgres: ...}` is. The
    tables are the same. Raises StoreError for an address that can't be read."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
    ):
        self.postgres_url = postgres_url
        self.should_autocreate_tables = should_autocreate_tables
        self._inst_data = inst_data
        engine = _pooled_engine(postgres_url)
        if should_autocreate_tables:
            _make_tables(engine, postgres_url)
        self._run_storage = PooledPostgresRunStorage(postgres_url, False)
        self._event_log_storage = PooledPostgresEventLogStorage(postgres_url, False)
        self._schedule_storage = PooledPostgresScheduleStorage(postgres_url, False)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine
        # The parent would open connections in its own way.
        super(DagsterPostgresStorage, self).__init__()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresStorage:
        return cls(
            pg_url_from_config(cast(PostgresStorageConfig, config_value)),
            bool(config_value.get("should_autocreate_tables", True)),
            inst_data,
        )


_ALL = ("runs", "instance_info", "event_logs", "jobs")
"""Each storage makes all of its tables when the first of its own is not there."""


def _make_tables(engine: sa.Engine, address: str) -> None:
    """Webserver, daemon and code servers start together: the first to come makes the tables, the
    others wait for it."""

    def are_tables_complete(connection: sa.Connection) -> bool:
        query = sa.text(
            "SELECT count(*) FROM pg_class WHERE relname = ANY(:names) AND pg_table_is_visible(oid)"
        )
        return connection.execute(query, {"names": list(_ALL)}).scalar_one() == len(_ALL)

    def create_tables() -> None:
        with _open_connection(engine) as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(_TABLES)))
            try:
                if not are_tables_complete(connection):
                    DagsterPostgresStorage(address)
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(_TABLES)))

    with _open_connection(engine) as connection:
        if are_tables_complete(connection):
            return
    create_tables()
