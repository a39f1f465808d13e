"""One home, one daemon: locks that say who holds them.

`pytoon dev` holds one in PYTOON_HOME and each Dagster daemon, whoever starts it, one in
DAGSTER_HOME and, where Dagster's runs are in PostgreSQL, one in that database: two daemons on the
same runs render each brief twice. The system releases them when their process ends, however that
ends, and the server when the connection does; no child inherits them.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import sqlalchemy as sa

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake import database
from pytoon_pipeline.locks import try_lock

DEV, DAEMON = "dev.lock", "daemon.lock"
"""Names of the files: of `pytoon dev` in PYTOON_HOME, of a daemon in DAGSTER_HOME."""
PATIENCE_SECONDS = 5.0
"""How long one waits for a holder that may be ending just now, as one that was restarted."""
_NUMBER = 0x707974F4
"""Of the daemon's lock on the server."""
_KEEPALIVE = "tcp_keepalives_idle=10,tcp_keepalives_interval=5,tcp_keepalives_count=3"
"""A server notices within half a minute that the machine of a connection is gone."""


# A file ------------------------------------------------------------------------------------------


def lock_home(
    path: Path, what: str, address: str = "", patience: float = PATIENCE_SECONDS
) -> TextIO | None:
    """The lock at a path, held until the returned file is closed or the process ends. None, with a
    warning, on a file system that has no locks. Raises UserError naming the holder when there is
    one."""
    try:
        file = _wait_for(path, patience)
    except OSError as error:
        warnings.warn(
            f"{path} can't be locked ({error.strerror}): nothing keeps a second daemon from this "
            "home. Start one only.",
            stacklevel=2,
        )
        return None
    if file is None:
        raise _lock_taken_error(path.parent, _describe_process(path))
    file.truncate(0)
    json.dump(
        {
            "what": what,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "address": address,
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        },
        file,
    )
    file.flush()
    return file


def refuse_if_held(path: Path, patience: float = PATIENCE_SECONDS) -> None:
    """Raises UserError naming the holder when another process holds the lock."""
    try:
        file = _wait_for(path, patience)
    except OSError:
        return  # `hold_lock` warns of it.
    if file is None:
        raise _lock_taken_error(path.parent, _describe_process(path))
    file.close()


def _wait_for(path: Path, patience: float) -> TextIO | None:
    end = time.monotonic() + patience
    while (file := try_lock(path)) is None and time.monotonic() < end:
        time.sleep(0.1)
    return file


def _describe_process(path: Path) -> str:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        address = f", at {said['address']}" if said["address"] else ""
        return (
            f"{said['what']} (process {said['pid']} on {said['host']}{address}, started "
            f"{said['started']})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _lock_taken_error(place: object, holder: str) -> UserError:
    return UserError(
        Problem(
            "dev.home",
            f"{place} is in use by {holder}; two daemons would render each brief twice.",
            "End that one first, or set PYTOON_HOME (and PYTOON_DATABASE, where one is set) to a "
            "place of its own. `pytoon render`, `check` and `serve` work beside it.",
            field="PYTOON_HOME",
        )
    )


# A database --------------------------------------------------------------------------------------


class DatabaseLock:
    """A daemon's lock on the server that keeps Dagster's runs. It belongs to a connection, so it is
    free as soon as the server sees that connection end. It is no use behind a pooler that hands a
    session's statements to several connections."""

    def __init__(self, address: str, what: str):
        self._shown = database.describe_address(address)
        name = f"{what}, process {os.getpid()} on {socket.gethostname()}"
        self._engine = sa.create_engine(
            sa.make_url(address).set(drivername="postgresql+psycopg2"),
            poolclass=sa.pool.NullPool,
            isolation_level="AUTOCOMMIT",
            # The server cuts names off after 63 bytes.
            connect_args={"application_name": name[:63], "connect_timeout": 10},
        )
        self._connection: sa.Connection | None = None

    def hold(self, patience: float = PATIENCE_SECONDS) -> None:
        """Take it, or make sure that it is held still. Raises UserError naming the holder when
        there is one, DBAPIError when the server is away."""
        if self._connection is not None:
            try:
                self._connection.execute(sa.text("SELECT 1"))
                return
            except sa.exc.DBAPIError:
                self.close()
        connection = self._engine.connect()
        try:
            for each in _KEEPALIVE.split(","):
                connection.execute(sa.text(f"SET {each}"))
            end = time.monotonic() + patience
            while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_NUMBER))).scalar():
                if time.monotonic() >= end:
                    raise _lock_taken_error(self._shown, _lock_holder(connection))
                time.sleep(0.1)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
        self._engine.dispose()


def _lock_holder(connection: sa.Connection) -> str:
    query = sa.text(
        "SELECT a.application_name, a.client_addr, to_char(a.backend_start, "
        "'YYYY-MM-DD HH24:MI:SS') FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = :number "
        "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    row = connection.execute(query, {"number": _NUMBER}).first()
    if row is None:
        return "another process"
    address = f", at {row[1]}" if row[1] else ""
    return f"{row[0] or 'another process'} ({row[2]} connected{address})"


# A daemon ----------------------------------------------------------------------------------------

_lock = threading.Lock()
_held: list[Any] = []
_refused = False


def hold_as_daemon(home: Path | None, address: str | None) -> None:
    """Called at each heartbeat of each of a daemon's threads, the first of which comes before any
    work. Where another daemon holds the home or the database, this process says so and ends with
    exit code 2."""
    global _refused
    with _lock:
        if not _refused:
            try:
                _hold_database_lock(home, address)
                return
            except UserError as error:
                _refused = True
                print(f"error: {error}", file=sys.stderr, flush=True)
                # Ended in order, so that its code servers end, too; its own exit code would be 0.
                atexit.register(os._exit, 2)
                os.kill(os.getpid(), signal.SIGTERM)
    # Dagster goes on after other exceptions. This one ends the thread.
    raise SystemExit(2)


def _hold_database_lock(home: Path | None, address: str | None) -> None:
    if not _held:
        if home is not None:
            _held.append(lock_home(home / DAEMON, "a Dagster daemon"))
        if address is not None:
            _held.append(DatabaseLock(address, "a Dagster daemon"))
    for each in _held:
        if isinstance(each, DatabaseLock):
            with suppress(sa.exc.DBAPIError):  # A server that is away is waited for elsewhere.
                each.hold()
