"""The ledger: every brief known to this install, under its key."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from pytoon_pipeline.briefs.folder import BriefSource
from pytoon_pipeline.errors import Problem, StoreError, UserError

_BRIEFS = sa.Table(
    "briefs",
    sa.MetaData(),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False, default=""),
    sa.Column("look", sa.Text, nullable=False, default=""),
    sa.Column("waiting", sa.Text, nullable=False, default=""),
    sa.Column("serial", sa.Integer, nullable=False, default=0),
    sa.Column("state", sa.Text, nullable=False, default="new"),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("updated", sa.Float, nullable=False),
)


@dataclass(frozen=True)
class Entry:
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
    """`new`, `requested`, `running`, `done`, `refused` (the brief is wrong) or `failed`."""
    error: str
    updated: float
    """Unix time."""


class Ledger:
    """A SQLite table. Safe to use from several processes; every method is one transaction.

    Raises StoreError when the file can't be read or written.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._engine = sa.create_engine(
            f"sqlite:///{self.path}", poolclass=NullPool, connect_args={"timeout": 30}
        )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The ledger {self.path} can't be created: {error}") from error
        with self._begin() as connection:
            connection.execute(CreateTable(_BRIEFS, if_not_exists=True))

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise StoreError(f"The ledger {self.path} can't be used: {error.orig}") from error

    def register(self, source: BriefSource) -> str:
        """The partition key of a source, from now on and for ever.

        A key that another file has already gets `~` and six digits of this file's path. A key of
        a file that is gone goes over to the new one.
        """
        while True:
            try:
                return self._register(source)
            except IntegrityError:
                continue  # Another process registered it, or took the key, just now.

    def _register(self, source: BriefSource) -> str:
        values = {
            "path": str(source.path),
            "kind": source.kind,
            "folder": str(source.folder),
            "campaign": source.campaign,
            "name": source.name,
        }
        with self._begin() as connection:
            known = connection.execute(
                sa.select(_BRIEFS.c.key, _BRIEFS.c.kind).where(_BRIEFS.c.path == values["path"])
            ).first()
            if known:
                if known.kind != source.kind:
                    connection.execute(
                        sa.update(_BRIEFS).where(_BRIEFS.c.key == known.key).values(**values)
                    )
                return known.key
            for key in _keys(source):
                holder = connection.execute(
                    sa.select(_BRIEFS.c.path).where(_BRIEFS.c.key == key)
                ).scalar()
                if holder is None:
                    connection.execute(
                        sa.insert(_BRIEFS).values(key=key, updated=time.time(), **values)
                    )
                    return key
                if not Path(holder).exists():
                    fresh = dict(content_hash="", look="", waiting="", state="new", error="")
                    taken = connection.execute(
                        sa.update(_BRIEFS)
                        .where(_BRIEFS.c.key == key, _BRIEFS.c.path == holder)
                        .values(updated=time.time(), **fresh, **values)
                    )
                    if taken.rowcount:
                        return key
        raise AssertionError("unreachable: the keys of a source do not end")

    def source(self, key: str) -> BriefSource:
        """Where the brief of a key comes from. UserError for an unknown key."""
        return self.entry(key).source

    def entry(self, key: str) -> Entry:
        """All that is known of a key. UserError for an unknown one."""
        with self._begin() as connection:
            row = connection.execute(sa.select(_BRIEFS).where(_BRIEFS.c.key == key)).first()
        if row is None:
            raise UserError(
                Problem(
                    "brief.unknown",
                    f"No brief is known as {key!r}.",
                    "Put its folder where the briefs lie; keys are made from folders' names.",
                )
            )
        return _entry(row)

    def entries(self) -> list[Entry]:
        """All of them, by key."""
        with self._begin() as connection:
            return [_entry(r) for r in connection.execute(sa.select(_BRIEFS).order_by("key"))]

    def request(self, key: str, content_hash: str, look: str, after: int = 0) -> int:
        """Note that a run of these contents is asked for. Returns the request's serial number,
        higher than all others and than `after`."""
        with self._begin() as connection:
            highest = sa.select(sa.func.max(_BRIEFS.c.serial)).scalar_subquery()
            serial = sa.func.max(highest, after) + 1
            connection.execute(
                sa.update(_BRIEFS)
                .where(_BRIEFS.c.key == key)
                .values(
                    content_hash=content_hash,
                    look=look,
                    waiting="",
                    serial=serial,
                    state="requested",
                    error="",
                    updated=time.time(),
                )
            )
            return connection.execute(
                sa.select(_BRIEFS.c.serial).where(_BRIEFS.c.key == key)
            ).scalar_one()

    def note(self, key: str, **values: Any) -> None:
        """Set columns of a brief: `state`, `error`, `look`, `waiting`, `content_hash`."""
        with self._begin() as connection:
            connection.execute(
                sa.update(_BRIEFS).where(_BRIEFS.c.key == key).values(updated=time.time(), **values)
            )


def _keys(source: BriefSource) -> Iterator[str]:
    yield source.key
    digest = hashlib.sha256(str(source.path).encode()).hexdigest()
    for length in range(6, len(digest)):
        yield f"{source.key}~{digest[:length]}"


def _entry(row: Any) -> Entry:
    source = BriefSource(Path(row.path), row.kind, row.campaign, row.name, Path(row.folder))
    return Entry(
        row.key,
        source,
        row.content_hash,
        row.look,
        row.waiting,
        row.serial,
        row.state,
        row.error,
        row.updated,
    )
