"""Briefs in a database: a real PostgreSQL, and SQLite."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from memory import grown
from sqlalchemy.pool import NullPool

from pytoon_pipeline.briefs.source import BriefSource, content_hash
from pytoon_pipeline.errors import Problem, StoreError, UserError
from pytoon_pipeline.tables import sql_table
from pytoon_pipeline.tables.sql_table import RowState, read_sql_table, write_back


@dataclass
class Database:
    url: str
    engine: sa.Engine

    def run(self, sql: str, **values: object) -> list[tuple]:
        with self.engine.begin() as connection:
            result = connection.execute(sa.text(sql), values)
            return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture(params=["postgresql", "sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        url = request.getfixturevalue("postgres")
    engine = sa.create_engine(url, poolclass=NullPool)
    found = Database(url, engine)
    yield found
    found.run("DROP TABLE IF EXISTS briefs")
    engine.dispose()


def by_name(sources: list[BriefSource]) -> dict[str, BriefSource]:
    return {source.name: source for source in sources}


def test_rows_are_briefs_and_learn_what_became_of_them(database: Database, tmp_path: Path):
    database.run(
        "CREATE TABLE briefs (id INTEGER PRIMARY KEY, name VARCHAR(40), campaign TEXT, media TEXT, "
        '"Brand-Safe" BOOLEAN, hook TEXT, duration NUMERIC(6, 2), priority BIGINT, variants JSON, '
        "status TEXT, error VARCHAR(20), updated_at TIMESTAMP)"
    )
    database.run(
        'INSERT INTO briefs (id, name, media, "Brand-Safe", hook, duration, priority, variants) '
        "VALUES (7, 'kettle', 'a.jpg | b.jpg', :no, '  It''s here ', 15.00, 5, "
        "'{\"hooks\": [\"One\", \"Two\"]}'), (12, 'lamp', 'c.jpg', NULL, NULL, 12.5, NULL, NULL)",
        no=False,
    )
    database.run("INSERT INTO briefs (id, campaign, media) VALUES (30, 'autumn', 'd.jpg')")
    sources, problems = read_sql_table(database.url, tmp_path)
    assert problems == []
    found = by_name(sources)
    assert {n: dict(s.document.data) for n, s in found.items()} == {
        "kettle": {
            "media": ["a.jpg", "b.jpg"],
            "brand_safe": False,
            "hook": "It's here",
            "duration": 15,
            "priority": 5,
            "variants": {"hooks": ["One", "Two"]},
        },
        "lamp": {"media": ["c.jpg"], "duration": 12.5},
        "30": {"media": ["d.jpg"]},
    }
    assert [found[n].campaign for n in ("kettle", "30")] == ["briefs", "autumn"]
    schema = "public" if "postgres" in database.url else "main"
    assert found["kettle"].origin == f"sql:{schema}.briefs#row 7"
    assert found["kettle"].path == found["kettle"].folder == tmp_path
    assert found["lamp"].document.place("duration") == "row 12, column duration"

    before = {n: content_hash(s) for n, s in found.items()}
    told = [
        RowState("row 7", "done", "videos/briefs/kettle/video.mp4", ""),
        RowState("row 12", "refused", "", "media[0]: c.jpg does not exist."),
        RowState("row 99", "done", "", ""),
    ]
    assert write_back(database.url, told) == 2
    rows = database.run("SELECT id, status, error, updated_at IS NULL FROM briefs ORDER BY id")
    assert [r[:3] for r in rows] == [
        (7, "done", None),
        (12, "refused", "media[0]: c.jpg doe…"),
        (30, None, None),
    ]
    assert [bool(r[3]) for r in rows] == [False, False, True]
    again = by_name(read_sql_table(database.url, tmp_path)[0])
    assert {n: content_hash(s) for n, s in again.items()} == before


def test_three_edited_rows_are_three_changed_briefs(database: Database, tmp_path: Path):
    database.run("CREATE TABLE briefs (sku TEXT, media TEXT, hook TEXT)")
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO briefs VALUES (:sku, 'a.jpg', :hook)"),
            [{"sku": f"p-{n:03}", "hook": f"Line {n}"} for n in range(300)],
        )
    url = f"{database.url}#briefs"
    before = {s.origin: content_hash(s) for s in read_sql_table(url, tmp_path)[0]}
    database.run("UPDATE briefs SET hook = 'New' WHERE sku IN ('p-000', 'p-150', 'p-299')")
    database.run("INSERT INTO briefs VALUES ('a-first', 'a.jpg', 'First')")
    after = {s.origin: content_hash(s) for s in read_sql_table(url, tmp_path)[0]}
    assert len(before) == 300 and len(after) == 301
    changed = {o.rpartition(" ")[2] for o in before if before[o] != after[o]}
    assert changed == {"p-000", "p-150", "p-299"}


def test_types_of_postgres(postgres: str, tmp_path: Path):
    engine = sa.create_engine(postgres, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA marketing"))
        connection.execute(
            sa.text(
                'CREATE TABLE marketing."Spring Briefs" (id UUID PRIMARY KEY, media TEXT[], '
                "variants JSONB, metadata JSONB, watermark BOOL, duration REAL, badge NUMERIC, "
                '"metadata.seen" TIMESTAMPTZ, "metadata.ean" BIGINT, created_at TIMESTAMPTZ, '
                "video TEXT)"
            )
        )
        connection.execute(
            sa.text(
                'INSERT INTO marketing."Spring Briefs" (id, media, variants, metadata, watermark, '
                'duration, badge, "metadata.seen", "metadata.ean") VALUES '
                "('00000000-0000-0000-0000-000000000001', ARRAY['a.jpg', NULL, 'b, c.jpg'], "
                '\'{"locales": ["de"]}\', \'{"a": [1, 2.5, null]}\', true, 12.5, 19.90, '
                "'2026-04-01 12:00:00+00', 9007199254740993), "
                "('00000000-0000-0000-0000-000000000002', NULL, NULL, NULL, NULL, NULL, NULL, "
                "NULL, NULL)"
            )
        )
    address = postgres.replace("postgresql://", "postgres://")
    sources, problems = read_sql_table(f"{address}#marketing.Spring Briefs", tmp_path)
    assert problems == []
    first, second = sources
    assert first.document.data == {
        "media": ["a.jpg", "b, c.jpg"],
        "variants": {"locales": ["de"]},
        "watermark": True,
        "duration": 12.5,
        "badge": "19.90",
        "metadata": {
            "a": [1, 2.5, None],
            "seen": "2026-04-01 12:00:00+00:00",
            "ean": 9007199254740993,
        },
    }
    assert second.document.data == {} and first.campaign == "Spring Briefs"
    state = RowState(second.document.part, "failed", "videos/x.mp4", "")
    assert write_back(f"{address}#marketing.Spring Briefs", [state]) == 1
    with engine.begin() as connection:
        query = sa.text('SELECT video FROM marketing."Spring Briefs" ORDER BY id')
        assert [r[0] for r in connection.execute(query)] == [None, "videos/x.mp4"]
        connection.execute(sa.text("DROP SCHEMA marketing CASCADE"))
    engine.dispose()


def test_a_row_refused_by_the_database_writes_none(database: Database):
    database.run(
        "CREATE TABLE briefs (id INTEGER PRIMARY KEY, media TEXT, "
        "status TEXT CHECK (status <> 'failed'))"
    )
    database.run("INSERT INTO briefs (id, media) VALUES (1, 'a.jpg'), (2, 'b.jpg')")
    with pytest.raises(StoreError, match="briefs can't be used"):
        write_back(
            database.url, [RowState(f"row {n}", s, "", "") for n, s in ((1, "done"), (2, "failed"))]
        )
    assert database.run("SELECT status FROM briefs") == [(None,), (None,)]


@pytest.mark.parametrize(
    "url, expected",
    [
        ("postgresql://ann:gehe!m@127.0.0.1:1/shop#briefs", "can't be used"),
        ("postgresql://ann:gehe%21m@127.0.0.1:1/shop?password=gehe!m", "can't be used"),
        ("postgresql://ann:gehe%21m@/shop?host=/nowhere/gehe!m#briefs", "can't be used"),
        ("postgresql://ann:gehe!m#x@127.0.0.1/shop", "a table's name"),
        ("postgresql://ann:gehe!m@127.0.0.1:port/shop#briefs", "not the address"),
        ("nosuch://ann:gehe!m@host/shop#briefs", "driver"),
        ("sqlite:////nowhere/at/all.db#briefs", "does not exist"),
        ("gehe!m", "not the address"),
    ],
)
def test_a_database_that_is_not_there_is_one_problem(url: str, expected: str, tmp_path: Path):
    sources, problems = read_sql_table(url, tmp_path)
    assert sources == [] and len(problems) == 1
    assert expected in str(problems[0]) and problems[0].field == "PYTOON_BRIEFS_TABLE"
    assert "gehe" not in str(problems[0]).replace("%21", "!")
    with pytest.raises((StoreError, UserError)) as raised:
        write_back(url, [RowState("row 1", "done", "", "")])
    assert "gehe" not in str(raised.value)


def test_a_row_too_large_costs_its_own_brief(database: Database, tmp_path: Path):
    many = "repeat('x', {})" if "postgres" in database.url else "hex(zeroblob({} / 2))"
    database.run(
        "CREATE TABLE briefs (id INTEGER PRIMARY KEY, name TEXT, media TEXT, hook TEXT, extra TEXT)"
    )
    database.run(
        "INSERT INTO briefs VALUES (1, 'kettle', 'a.jpg', 'Hot', " + many.format(60_000_000) + "), "
        "(2, 'lamp', 'b.jpg', " + many.format(80_000_000) + ", NULL), "
        "(3, 'vase', 'c.jpg', " + many.format(900_000) + ", NULL)"
    )
    sources: list[BriefSource] = []

    def read() -> None:
        sources.extend(read_sql_table(database.url, tmp_path)[0])

    # SQLite loads a cell to see how long it is.
    assert grown(read) < (50e6 if "postgres" in database.url else 350e6)
    found = by_name(sources)
    assert set(found) == {"kettle", "lamp", "vase"}
    [problem] = [p for s in sources for p in s.document.problems if p.severity == "error"]
    assert found["lamp"].document.problems == (problem,) and found["lamp"].document.data == {}
    assert problem.code == "table.too_large" and "80,000,0" in problem.message
    assert "row 2" in problem.message and found["lamp"].origin.endswith("#row 2")
    # What nobody reads does not count.
    assert found["kettle"].document.data == {"media": ["a.jpg"], "hook": "Hot"}
    assert write_back(database.url, [RowState("row 2", "refused", "", "too large")]) == 0


def test_a_table_too_large_is_refused_while_it_comes(database: Database, tmp_path: Path):
    many = "repeat('x', 900000)" if "postgres" in database.url else "hex(zeroblob(450000))"
    database.run("CREATE TABLE briefs (id INTEGER PRIMARY KEY, media TEXT, hook TEXT)")
    database.run(
        "INSERT INTO briefs WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        f"WHERE i < {500 if 'postgres' in database.url else 100}) SELECT i, 'a.jpg', {many} FROM n"
    )
    found: list[Problem] = []
    # Two times fifty rows, and what they are read in; not the 450 MB that the server has.
    assert grown(lambda: found.extend(read_sql_table(database.url, tmp_path)[1])) < 350e6
    assert [p.code for p in found] == ["table.setting"] and "50 MB" in found[0].message


def test_a_table_that_takes_too_long_is_left(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sql_table, "_QUERY_SECONDS", 1)
    monkeypatch.setattr(sql_table, "_WHOLE_SECONDS", 2.5)
    endless = (
        "CREATE VIEW briefs AS SELECT n AS id, 'a.jpg' AS media, pg_sleep(0.05)::text AS hook "
        "FROM generate_series(1, 9999) n"
        if "postgres" in database.url
        else "CREATE VIEW briefs AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i AS id, 'a.jpg' AS media, 'x' AS hook FROM n WHERE i < 0"
    )
    database.run(endless)
    try:
        started = time.monotonic()
        sources, [problem] = read_sql_table(database.url, tmp_path)
        assert sources == [] and problem.code == "table.database" and "longer than" in str(problem)
        assert time.monotonic() - started < 20
    finally:
        database.run("DROP VIEW briefs")


def test_a_server_that_falls_silent_is_left(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What comes of the server is held back once the table is asked for; the line stays open."""
    monkeypatch.setattr(sql_table, "_WHOLE_SECONDS", 1.0)
    engine = sa.create_engine(postgres, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE silent (id INTEGER PRIMARY KEY, media TEXT)"))
    held, listener = threading.Event(), socket.create_server(("127.0.0.1", 0))

    def forward(source: socket.socket, target: socket.socket, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if asks and b"LIMIT" in data and b"silent" in data:
                    held.set()
                if asks or not held.is_set():
                    target.sendall(data)

    def serve() -> None:
        here, _ = listener.accept()
        there = socket.socket(socket.AF_UNIX)
        there.connect(f"{sa.make_url(postgres).query['host']}/.s.PGSQL.5432")
        threading.Thread(target=forward, args=(there, here, False), daemon=True).start()
        forward(here, there, True)
        there.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=serve, daemon=True).start()
    url = sa.make_url(postgres).set(host="127.0.0.1", port=listener.getsockname()[1])
    address = url.set(query={}).render_as_string(hide_password=False)
    sources, problems = read_sql_table(f"{address}#silent", tmp_path)
    assert held.is_set() and sources == []
    assert "says nothing any more" in problems[0].message
    listener.close()
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE silent"))
    engine.dispose()


def test_a_table_that_is_none(database: Database, tmp_path: Path):
    database.run("CREATE TABLE other (id INTEGER)")
    problem = read_sql_table(f"{database.url}#nothing", tmp_path)[1][0]
    assert "'nothing'" in problem.message
    database.run("DROP TABLE other")
    database.run("CREATE TABLE briefs (id INTEGER PRIMARY KEY, price NUMERIC)")
    sources, problems = read_sql_table(database.url, tmp_path)
    assert sources == [] and [p.code for p in problems] == ["table.columns"]
