"""PostgreSQL, for the ledger and for Dagster's storage: few connections, kept open, and patience
while the server is away."""

from __future__ import annotations

import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from pytoon_pipeline.errors import StoreError

# Not below the logger `pytoon`: Dagster stores what that one says in this very database.
log = logging.getLogger("pytoon_pipeline.database")

PATIENCE = 60.0
"""Seconds that a server which restarts or fails over is waited for."""
KEPT = 1
"""Connections that a process keeps open for each of its two uses ..."""
AT_MAX = 16
"""... and may have in all, for a moment."""
_CLOCK_SECONDS = 60.0

_T = TypeVar("_T")


def is_postgres(address: object) -> bool:
    return isinstance(address, str) and address.startswith(("postgresql://", "postgresql+"))


def describe_address(address: str) -> str:
    """Host and database of an address, for people; never who or the password."""
    url = _parse_url(address)
    host = url.host or url.query.get("host") or "localhost"
    host = host if isinstance(host, str) else ",".join(host)
    return f"postgresql://{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def _parse_url(address: str) -> sa.URL:
    try:
        url = sa.make_url(address)
    except (ArgumentError, ValueError):
        url = None
    # An @ in a password that is not written as %40 would make a part of it the host.
    if url is None or "@" in (url.host or ""):
        raise StoreError(
            "The address of the database can't be read. Write PYTOON_DATABASE as "
            "postgresql://user:password@host/name, with signs like @ / : # % of the password as "
            "%40 %2F %3A %23 %25."
        )
    return url


# Connections -------------------------------------------------------------------------------------

_ENGINES: dict[tuple[Any, ...], sa.Engine] = {}
_lock = threading.Lock()


def open_engine(address: str, **options: Any) -> sa.Engine:
    """The pool of this process for a database; all that use the same `options` (of SQLAlchemy's
    create_engine) share it. Raises StoreError for an address that can't be read."""
    made_of = (address, *sorted((k, repr(v)) for k, v in options.items()))
    with _lock:
        if made_of not in _ENGINES:
            _ENGINES[made_of] = _make_engine(_parse_url(address), options)
        return _ENGINES[made_of]


def _make_engine(url: sa.URL, options: dict[str, Any]) -> sa.Engine:
    # A server that vanished without a word is noticed after 20 s, not after hours.
    arguments = {
        "connect_timeout": 5,
        "application_name": "pytoon",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 20_000,
    }
    chosen: dict[str, Any] = {
        "pool_size": KEPT,
        "max_overflow": AT_MAX - KEPT,
        "pool_pre_ping": True,
        "pool_use_lifo": True,
        "hide_parameters": True,
        **options,
        "connect_args": {
            **{k: v for k, v in arguments.items() if k not in url.query},
            **options.get("connect_args", {}),
        },
    }
    return sa.create_engine(url, **chosen)


def dispose_engines(address: str) -> None:
    """Close what lies unused in the pools of a database; they are opened again when needed."""
    with _lock:
        mine = [pool for made_of, pool in _ENGINES.items() if made_of[0] == address]
    for pool in mine:
        pool.dispose()


def _forget_connections() -> None:
    """The connections are the parent's; this process opens its own."""
    global _lock
    _lock = threading.Lock()
    for pool in _ENGINES.values():
        pool.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections)

# Patience ----------------------------------------------------------------------------------------

_PASSING = {
    "57P01",
    "57P02",
    "57P03",  # The server is ended, has crashed, or is not up yet.
    "25006",  # It is a standby; another one takes over.
    "53300",  # All of its connections are taken.
    "40001",
    "40P01",
    "55P03",  # Two transactions stood in each other's way.
}
_REFUSED = re.compile(r"authentication failed|does not exist|no pg_hba\.conf entry|no password")


def is_transient(error: Exception) -> bool:
    """May the same work well a little later? Whatever the transaction did is undone."""
    if isinstance(error, sa.exc.TimeoutError):  # All connections of this process are taken.
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "pgcode", None)
    if code:
        return code in _PASSING or code.startswith("08")
    if error.connection_invalidated:
        return True
    # No connection came about. That has no code; what time does not mend is told by its words.
    return isinstance(error, OperationalError) and not _REFUSED.search(str(error.orig))


def retry_while_away(
    work: Callable[[], _T],
    name: str,
    *,
    again: Callable[[], bool] = lambda: True,
    seconds: float | None = None,
) -> _T:
    """Do some work, and do it again while the server is away, for up to PATIENCE seconds. `again`
    is asked whether that is safe. Raises the last error."""
    end = time.monotonic() + (PATIENCE if seconds is None else seconds)
    pause, waiting = 0.1, False
    while True:
        try:
            result = work()
        except (DBAPIError, sa.exc.TimeoutError) as error:
            left = end - time.monotonic()
            if not is_transient(error) or not again() or left <= 0:
                raise
            if not waiting and pause > 0.2:
                waiting = True
                log.warning("%s: %s; trying again for %.0f s", name, shorten_error(error), left)
        else:
            if waiting:
                log.warning("%s is back", name)
            return result
        # Many processes wait for the same server: not all at once.
        time.sleep(min(left, pause * random.uniform(0.5, 1.0)))
        pause = min(1.0, 2 * pause)


def shorten_error(error: Exception) -> str:
    """What a server or a pool said, in a line and without the statement."""
    said = str(getattr(error, "orig", None) or error).strip()
    return " ".join(said.split())


# The clock ---------------------------------------------------------------------------------------

SERVER_TIME = sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)
"""Unix time by the server's clock, inside a statement."""


@dataclass
class DatabaseClock:
    """The server's clock, read once in a while and carried on by this machine's steady one."""

    ahead: float = 0.0
    """Of time.monotonic()."""
    read: float | None = None
    """time.monotonic() of that."""

    def now(self, ask: Callable[[], float]) -> float:
        """Unix time; `ask` asks the server."""
        if self.read is None or time.monotonic() - self.read > _CLOCK_SECONDS:
            before = time.monotonic()
            said = ask()
            self.read = time.monotonic()
            self.ahead = said - (before + self.read) / 2
        return time.monotonic() + self.ahead


@lru_cache(maxsize=64)
def database_clock(address: str) -> DatabaseClock:
    """That of a database, one for the whole process."""
    return DatabaseClock()
