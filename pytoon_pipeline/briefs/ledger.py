"""The ledger: every brief known to this install, under its key."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from pytoon_pipeline.briefs.source import BriefSource, Document
from pytoon_pipeline.errors import Problem, StoreError, UserError

METADATA = sa.MetaData()
"""Of all tables beside the briefs, too."""

_BRIEFS = sa.Table(
    "known_briefs",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False, unique=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
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
    sa.Column("updated", sa.Float, nullable=False),
)
_FRESH: dict[str, Any] = {
    "content_hash": "", "look": "", "waiting": "", "state": "new", "error": "", "problems": "",
    "action": "", "wanted": "", "priority": 0, "run_id": "", "progress": 0.0, "reported": "",
}  # fmt: skip

ACTIONS = ("render", "rerender", "recheck")
"""What can be wanted of a brief: its video; its video with nothing taken from the store; its checks
and metrics alone."""
OPEN = ("requested", "running")
"""States that a run is to end."""


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
    updated: float
    """Unix time."""


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
    """A SQLite table. Safe to use from several processes; every method is one transaction.

    Raises StoreError when the file can't be read or written.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._engine = sa.create_engine(
            f"sqlite:///{self.path}", poolclass=NullPool, connect_args={"timeout": 30}
        )
        sa.event.listen(self._engine, "connect", _relax)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The ledger {self.path} can't be created: {error}") from error
        with self.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))
            _upgrade(connection)

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction, for this table and its neighbours."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise StoreError(f"The ledger {self.path} can't be used: {error.orig}") from error

    def register(self, source: BriefSource) -> str:
        """The partition key of a source, from now on and for ever.

        A key that another source has already gets `~` and six digits of this one's origin. A key
        of a file that is gone goes over to the new one. What a document says now is kept.
        """
        while True:
            try:
                with self.begin() as connection:
                    return _register(connection, source)
            except IntegrityError:
                continue  # Another process registered it, or took the key, just now.

    def source(self, key: str) -> BriefSource:
        """Where the brief of a key comes from. UserError for an unknown key."""
        return self.entry(key).source

    def entry(self, key: str) -> Entry:
        """All that is known of a key. UserError for an unknown one."""
        with self.begin() as connection:
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
        with self.begin() as connection:
            return [_entry(r) for r in connection.execute(sa.select(_BRIEFS).order_by("key"))]

    def looks(self) -> dict[str, Entry]:
        """All of them by origin, without what their documents say: enough to see what changed."""
        columns = [c for c in _BRIEFS.c if c.name != "document"]
        with self.begin() as connection:
            rows = connection.execute(sa.select(*columns, sa.literal("").label("document")))
            return {row.origin: _entry(row) for row in rows}

    def find(
        self,
        *,
        campaign: str | None = None,
        states: Sequence[str] = (),
        wanted: bool = False,
        after: float | None = None,
    ) -> list[Entry]:
        """Entries by key that fit all that is given; `after` is a time of their last change."""
        query = sa.select(_BRIEFS).order_by("key")
        if campaign is not None:
            query = query.where(_BRIEFS.c.campaign == campaign)
        if states:
            query = query.where(_BRIEFS.c.state.in_(states))
        if wanted:
            query = query.where(_BRIEFS.c.wanted != "")
        if after is not None:
            query = query.where(_BRIEFS.c.updated > after)
        with self.begin() as connection:
            return [_entry(r) for r in connection.execute(query)]

    def campaigns(self) -> dict[str, float]:
        """Each campaign, and when one of its briefs last changed its state (Unix time)."""
        query = sa.select(_BRIEFS.c.campaign, sa.func.max(_BRIEFS.c.updated)).group_by("campaign")
        with self.begin() as connection:
            return {name: float(last) for name, last in connection.execute(query)}

    def stale_pages(self, now: float, settle: float, at_least: float) -> list[str]:
        """Campaigns whose page is older than what became of their briefs and is not being made.
        One with work going on has its page made at most every `at_least` seconds, and any at most
        every `settle`."""
        with self.begin() as connection:
            pages = {r.campaign: r for r in connection.execute(sa.select(_PAGES))}
            busy = set(
                connection.execute(
                    sa.select(_BRIEFS.c.campaign).where(_BRIEFS.c.state.in_(OPEN)).distinct()
                ).scalars()
            )
            changed = connection.execute(
                sa.select(_BRIEFS.c.campaign, sa.func.max(_BRIEFS.c.updated))
                .where(_BRIEFS.c.state.not_in(("new", "requested")))
                .group_by(_BRIEFS.c.campaign)
            ).all()
        stale = []
        for name, last in changed:
            page = pages.get(name)
            if page is not None:
                pause = at_least if name in busy else settle
                under_way = page.asked > page.made and now - page.asked < _LOST_SECONDS
                if page.seen >= last or under_way or now - page.made < pause:
                    continue
            stale.append(name)
        return stale

    def note_page(self, campaign: str, **values: float) -> None:
        """Set `asked`, or `made` and `seen`, of a campaign's page."""
        with self.begin() as connection:
            changed = connection.execute(
                sa.update(_PAGES).where(_PAGES.c.campaign == campaign).values(**values)
            )
            if not changed.rowcount:
                connection.execute(sa.insert(_PAGES).values(campaign=campaign, **values))

    def want(self, keys: Sequence[str], action: str) -> int:
        """Ask for one of ACTIONS for some briefs; the sensor requests the runs. Returns for how
        many."""
        if action not in ACTIONS:
            raise ValueError(f"{action!r} is not one of {', '.join(ACTIONS)}")
        changed = 0
        with self.begin() as connection:
            for start in range(0, len(keys), 500):
                some = list(keys[start : start + 500])
                changed += connection.execute(
                    sa.update(_BRIEFS).where(_BRIEFS.c.key.in_(some)).values(wanted=action)
                ).rowcount
        return changed

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
        with self.begin() as connection:
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
                    problems="",
                    action=action,
                    wanted="",
                    priority=priority,
                    progress=0.0,
                    updated=time.time(),
                )
            )
            return connection.execute(
                sa.select(_BRIEFS.c.serial).where(_BRIEFS.c.key == key)
            ).scalar_one()

    def note(self, key: str, **values: Any) -> None:
        """Set columns of a brief: `state`, `error`, `problems`, `run_id`, `progress`, `look`,
        `waiting`, `content_hash`, `wanted`, `reported`. What a person sees makes it `updated`."""
        if "problems" in values:
            values["problems"] = json.dumps([p.as_dict() for p in values["problems"]])
        if values.keys() & {"state", "error"}:
            values["updated"] = time.time()
        with self.begin() as connection:
            connection.execute(sa.update(_BRIEFS).where(_BRIEFS.c.key == key).values(**values))

    def settle(self, key: str, was: Sequence[str], **values: Any) -> bool:
        """`note`, only where the state is still one of `was`. Returns whether it was."""
        with self.begin() as connection:
            return bool(
                connection.execute(
                    sa.update(_BRIEFS)
                    .where(_BRIEFS.c.key == key, _BRIEFS.c.state.in_(was))
                    .values(updated=time.time(), **values)
                ).rowcount
            )


def _relax(connection: Any, _record: Any) -> None:
    """Readers and a writer at once; a power cut can cost the last moments, never the file."""
    with suppress(sqlite3.DatabaseError):  # What is no database is said by the first statement.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")


def _register(connection: sa.Connection, source: BriefSource) -> str:
    values = {
        "origin": source.origin,
        "path": str(source.path),
        "kind": source.kind,
        "folder": str(source.folder),
        "campaign": source.campaign,
        "name": source.name,
        "document": source.document.as_json() if source.document else "",
    }
    known = connection.execute(
        sa.select(_BRIEFS.c.key, _BRIEFS.c.kind, _BRIEFS.c.document).where(
            _BRIEFS.c.origin == values["origin"]
        )
    ).first()
    if known:
        if (known.kind, known.document) != (source.kind, values["document"]):
            connection.execute(
                sa.update(_BRIEFS).where(_BRIEFS.c.key == known.key).values(**values)
            )
        return known.key
    for key in _keys(source):
        holder = connection.execute(
            sa.select(_BRIEFS.c.path, _BRIEFS.c.origin).where(_BRIEFS.c.key == key)
        ).first()
        if holder is None:
            connection.execute(sa.insert(_BRIEFS).values(key=key, updated=time.time(), **values))
            return key
        if not Path(holder.path).exists():
            taken = connection.execute(
                sa.update(_BRIEFS)
                .where(_BRIEFS.c.key == key, _BRIEFS.c.origin == holder.origin)
                .values(updated=time.time(), **_FRESH, **values)
            )
            if taken.rowcount:
                return key
    raise AssertionError("unreachable: the keys of a source do not end")


def _keys(source: BriefSource) -> Iterator[str]:
    yield source.key
    digest = hashlib.sha256(source.origin.encode()).hexdigest()
    for length in range(6, len(digest)):
        yield f"{source.key}~{digest[:length]}"


def _entry(row: Any) -> Entry:
    document = Document.from_json(row.document) if row.document else None
    source = BriefSource(
        Path(row.path), row.kind, row.campaign, row.name, Path(row.folder), document
    )
    return Entry(
        key=row.key,
        source=source,
        problems=read_problems(row.problems),
        **{name: getattr(row, name) for name in Entry.__dataclass_fields__ if name not in _MADE},
    )


_MADE = ("key", "source", "problems")


def read_problems(text: str) -> tuple[Problem, ...]:
    """What the column `problems` holds."""
    return tuple(
        Problem(**{k: tuple(v) if isinstance(v, list) else v for k, v in said.items()})
        for said in json.loads(text or "[]")
    )


def _upgrade(connection: sa.Connection) -> None:
    """What an earlier version knew is kept: briefs of its table, which had other columns, keep
    their keys, and columns that came later are added."""
    for table in METADATA.sorted_tables:
        there = {c["name"] for c in sa.inspect(connection).get_columns(table.name)}
        for column in (c for c in table.columns if c.name not in there):
            empty = column.default.arg if column.default is not None else ""
            kind = column.type.compile(connection.dialect)
            # Names and values are this module's own; SQLite takes no parameters here.
            connection.execute(
                sa.text(f"ALTER TABLE {table} ADD COLUMN {column.name} {kind} DEFAULT {empty!r}")
            )
    if not sa.inspect(connection).has_table("briefs"):
        return
    kept = "key, path, kind, folder, campaign, name, content_hash, look, serial, state, error"
    connection.execute(
        sa.text(
            f"INSERT INTO known_briefs (origin, document, waiting, problems, action, wanted, "
            f"priority, run_id, progress, reported, updated, {kept}) "
            f"SELECT path, '', '', '', '', '', 0, '', 0, '', updated, {kept} FROM briefs"
        )
    )
    connection.execute(sa.text("DROP TABLE briefs"))
