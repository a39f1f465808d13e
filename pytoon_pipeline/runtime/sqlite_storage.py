"""Dagster's own SQLite storage, with connections that are kept.

Dagster opens and closes a SQLite file for every statement, some 500 times in the run of a brief,
and each close checkpoints the file's log: seconds of a run that has nothing to render. The files
and tables here are Dagster's; a process that uses Dagster's class reads and writes the same ones.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster
import sqlalchemy as sa
from dagster import EventLogEntry

from pytoon_pipeline.dagster_private import (
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    ConfigurableClassData,
    DaemonHeartbeat,
    DagsterSqliteStorage,
    SqliteEventLogStorage,
    SqliteRunStorage,
    SqliteScheduleStorage,
    _event_logs_directory,
    _runs_directory,
    _schedule_directory,
)
from pytoon_pipeline.durable import link_file, replace_file
from pytoon_pipeline.runtime.home_lock import hold_as_daemon
from pytoon_pipeline.runtime.planned_checks import ends_without_checks, forget_planned_checks


def _open_engine(address: str) -> sa.Engine:
    engine = sa.create_engine(
        address, max_overflow=-1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def _set_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        # With a write-ahead log this can lose the last moments at a power cut, never the file.
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """One open connection to the index, and one to the log of the run at hand."""

    def __init__(self, base_dir: str):
        self._engines: dict[str, sa.Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir)

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _initdb(self, engine: sa.Engine, for_index_shard: bool = False) -> None:
        """The empty log of a new run is a copy of one made before: its tables and their version
        take longer to make than a small run to log."""
        path = Path(engine.url.database or "")
        if for_index_shard or path.name == f"{INDEX_SHARD_NAME}.db" or path.exists():
            super()._initdb(engine, for_index_shard)
            return
        try:
            with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
                fresh, empty = Path(folder, "log.db"), path.parent / f".empty-{dagster.__version__}"
                if not empty.exists():
                    maker = _open_engine(f"sqlite:///{fresh}")
                    super()._initdb(maker)
                    maker.dispose()
                    replace_file(fresh, empty)
                shutil.copyfile(empty, fresh)
                link_file(fresh, path)
        except OSError:
            # Another process made it just now, or this file system has no links.
            super()._initdb(engine)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engines.get(shard)
            if engine is None:
                if shard != INDEX_SHARD_NAME:
                    for other in [s for s in self._engines if s != INDEX_SHARD_NAME]:
                        self._engines.pop(other).dispose()
                engine = self._engines[shard] = _open_engine(self.conn_string_for_shard(shard))
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def store_event(self, event: EventLogEntry) -> None:
        super().store_event(event)
        if ends_without_checks(event):
            forget_planned_checks(self, event.run_id)

    def dispose(self) -> None:
        super().dispose()
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


class PooledSqliteRunStorage(SqliteRunStorage):
    home: Path | None = None
    """Whose runs these are: only one daemon may work on it."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None):
        super().__init__(conn_string, inst_data)
        self._kept = _open_engine(conn_string)

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        with self._kept.begin() as connection:
            yield connection

    def add_daemon_heartbeat(self, daemon_heartbeat: DaemonHeartbeat) -> None:
        hold_as_daemon(self.home, None)
        super().add_daemon_heartbeat(daemon_heartbeat)

    def dispose(self) -> None:
        super().dispose()
        self._kept.dispose()


@contextmanager
def _one_at_a_time(base_dir: str) -> Iterator[None]:
    """Webserver, daemon and code servers start together, and the first to come makes the tables:
    two at once would both fail."""
    os.makedirs(base_dir, exist_ok=True)
    with open(os.path.join(base_dir, ".tables.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class PooledSqliteStorage(DagsterSqliteStorage):
    """For `storage: {custom: ...}` of `dagster.yaml`. The files are those of `{sqlite: ...}`."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None):
        self.base_dir = base_dir
        with _one_at_a_time(base_dir):
            self._run_storage = PooledSqliteRunStorage.from_local(_runs_directory(base_dir))
            self._run_storage.home = Path(base_dir)
            self._event_log_storage = PooledSqliteEventLogStorage(_event_logs_directory(base_dir))
            self._schedule_storage = SqliteScheduleStorage.from_local(_schedule_directory(base_dir))
        self._inst_data = inst_data
        # The parent would open the same files in its own way.
        super(DagsterSqliteStorage, self).__init__()

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> PooledSqliteStorage:
        return cls.from_local(inst_data=inst_data, **config_value)
