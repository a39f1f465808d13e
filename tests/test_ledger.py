"""The ledger: one contract, on a SQLite file and on a real PostgreSQL server."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from deployment import Postgres, connections
from ledger_states import force_state

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import Problem, StoreError, UserError
from pytoon_pipeline.intake import database as databases
from pytoon_pipeline.intake.brief_state import BriefState
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA, SCHEMA
from pytoon_pipeline.service.documents import RenderRequest
from pytoon_pipeline.service.jobs import JobStore
from pytoon_pipeline.service.request import AcceptedRequest
from pytoon_pipeline.service.webhooks import WebhookDispatcher


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    if request.param == "sqlite":
        yield tmp_path / "l.db"
        return
    url = request.getfixturevalue("database")
    yield url
    databases.dispose_engines(url)


@pytest.fixture
def ledger(address: Path | str) -> Ledger:
    return Ledger(address)


def brief(path: Path) -> BriefSource:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("media: [a.jpg]\n")
    (source,) = find_sources([path])
    return source


def at_once(*calls: Callable[[], object]) -> list[object]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [f.result() for f in [pool.submit(call) for call in calls]]


def test_a_source_has_one_key_and_a_key_one_source(ledger: Ledger, tmp_path: Path):
    first, second = (brief(tmp_path / f"{n}/c/b/brief.yaml") for n in ("one", "two"))
    others = [Ledger(ledger.path or ledger._address) for _ in range(4)]
    found = at_once(*[lambda o=o, s=s: o.register(s) for o in others for s in (first, second)])
    assert len(set(found[::2])) == len(set(found[1::2])) == 1
    plain, other = sorted(set(found), key=len)
    assert plain == "c/b" and other.startswith("c/b~") and len(other) == len("c/b~") + 6
    assert {ledger.source(plain), ledger.source(other)} == {first, second}
    with pytest.raises(UserError, match="No brief is known as 'c/x'"):
        ledger.find_entry("c/x")


def test_a_key_goes_over_only_where_its_file_is_known_to_be_gone(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    moved, kept = (brief(tmp_path / f"one/c/{n}/brief.yaml") for n in ("moved", "kept"))
    ledger.register(moved)
    monkeypatch.setattr("socket.gethostname", lambda: "another-machine")
    ledger.register(kept)
    monkeypatch.undo()
    for key in ("c/moved", "c/kept"):
        force_state(ledger, key, state="done", content_hash="old")
    (tmp_path / "one").rename(tmp_path / "two")
    again = [brief(tmp_path / f"two/c/{n}/brief.yaml") for n in ("moved", "kept")]
    assert ledger.register(again[0]) == "c/moved"
    assert ledger.find_entry("c/moved").content_hash == ""
    assert ledger.register(again[1]).startswith("c/kept~")
    assert ledger.find_entry("c/kept").content_hash == "old"


def test_requests_are_numbered_one_by_one(ledger: Ledger, tmp_path: Path):
    keys = [ledger.register(brief(tmp_path / f"c/{i}/brief.yaml")) for i in range(8)]
    others = [Ledger(ledger.path or ledger._address) for _ in range(8)]

    def ask(own: Ledger, key: str) -> list[int]:
        return [own.request(key, "h", "l") for _ in range(5)]

    numbers = at_once(*[lambda o=o, k=k: ask(o, k) for o, k in zip(others, keys, strict=True)])
    assert all(each == sorted(each) for each in numbers)
    assert sorted(n for each in numbers for n in each) == list(range(1, 41))
    assert ledger.request(keys[0], "h2", "l2", after=90, priority=3, action="recheck") == 91
    entry = ledger.find_entry(keys[0])
    assert (entry.state, entry.serial, entry.priority, entry.action) == (
        "requested",
        91,
        3,
        "recheck",
    )
    assert (entry.content_hash, entry.look) == ("h2", "l2")


def test_states_are_noted_and_found(ledger: Ledger, tmp_path: Path):
    keys = [ledger.register(brief(tmp_path / f"{c}/b/brief.yaml")) for c in "Bac"]
    assert [e.key for e in ledger.find()] == [e.key for e in ledger.list_entries()] == sorted(keys)
    before = ledger.now()
    wrong = Problem("media.missing", "x.jpg is missing", "Add it.", box=(0, 0, 9, 9))
    force_state(ledger, "a/b", state="refused", error="no \0 'x'", problems=[wrong], progress=0.25)
    entry = ledger.find_entry("a/b")
    assert entry.problems == (wrong,) and entry.progress == 0.25
    assert entry.error.startswith("no ") and entry.error.endswith("'x'")
    assert before - 0.05 <= entry.updated <= ledger.now() + 0.05
    assert ledger.want([*keys, "no/such"] * 300, "rerender") == 3
    assert [e.key for e in ledger.find(wanted=True, states=["new"])] == ["B/b", "c/b"]
    assert [e.key for e in ledger.find(after=before)] == ["a/b"]
    assert ledger.find(campaign="c")[0].wanted == "rerender"
    assert ledger.looks()[entry.source.origin].state == "refused"
    assert ledger.campaigns()["a"] == entry.updated
    won = at_once(
        *[lambda: ledger.set_state("c/b", BriefState.FAILED, only_from=[BriefState.NEW], error="x")]
        * 6
    )
    assert Counter(won) == {True: 1, False: 5}
    assert not ledger.set_state("c/b", BriefState.DONE, only_from=[BriefState.NEW])
    assert ledger.find_entry("c/b").state == "failed"


def test_pages_are_asked_for_once_they_are_stale(ledger: Ledger, tmp_path: Path):
    for name in "ab":
        force_state(ledger, ledger.register(brief(tmp_path / f"{name}/b/brief.yaml")), state="done")
    now, last = ledger.now(), ledger.campaigns()["a"]
    assert ledger.stale_pages(now, 5, 60) == ["a", "b"]
    at_once(*[lambda i=i: ledger.note_page("a", asked=now + i) for i in range(6)])
    assert ledger.stale_pages(now, 5, 60) == ["b"]
    ledger.note_page("a", made=now + 6, seen=last)
    assert ledger.stale_pages(now + 100, 5, 60) == ["b"]
    force_state(ledger, "a/b", state="running")
    assert ledger.stale_pages(now + 50, 5, 60) == ["b"]
    assert ledger.stale_pages(now + 70, 5, 60) == ["a", "b"]


_OPEN = """
import sys
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.folders import find_sources
from pathlib import Path
import pytoon_pipeline.service.jobs
(source,) = find_sources([Path(sys.argv[2])])
print("ready", flush=True); sys.stdin.readline()
print(Ledger(sys.argv[1]).register(source))
"""


def test_processes_that_start_together_make_the_tables_once(address: Path | str, tmp_path: Path):
    source = brief(tmp_path / "c/b/brief.yaml")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, str(address), str(source.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for each in started:
        assert each.stdout.readline() == "ready\n", each.stderr.read()
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60) for each in started]
    assert [out for out, _ in said] == ["c/b\n"] * 4, said


def test_columns_and_indexes_that_came_later_are_added(address: Path | str, tmp_path: Path):
    ledger = Ledger(address)
    key = ledger.register(brief(tmp_path / "c/b/brief.yaml"))
    force_state(ledger, key, state="done", run_id="r")
    entry = ledger.find_entry(key)
    table = "known_briefs" if ledger.path else f"{SCHEMA}.known_briefs"
    with ledger.begin() as connection:
        index = "ix_known_briefs_wanted"
        connection.execute(sa.text(f"DROP INDEX {'' if ledger.path else SCHEMA + '.'}{index}"))
        for column in ("wanted", "progress", "priority", "host", "deleted"):
            connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
    again = Ledger(address)
    assert again.find_entry(key) == replace(entry, host="")
    assert again.want([key], "render") == 1
    with again.begin() as connection:
        inspector = sa.inspect(connection)
        found = inspector.get_indexes("known_briefs", None if ledger.path else SCHEMA)
    assert index in {each["name"] for each in found}


def test_jobs_of_the_api_are_kept_there_too(ledger: Ledger, tmp_path: Path):
    jobs = JobStore(ledger, tmp_path / "jobs")

    def make(name: str, **more: object) -> tuple[str, bool]:
        request = RenderRequest.model_construct(campaign="api", name=name, priority=2)
        accepted = AcceptedRequest(request, "brief", {"media": ["a.jpg"]}, {})
        with jobs.open_incoming() as folder:
            (folder / "a.jpg").write_bytes(b"x")
            return jobs.create(accepted, folder, **more)

    ids = [make(f"b{i}", webhook="https://x.example/")[0] for i in range(5)]
    once = at_once(*[lambda: make("once", owner="o", idempotency_key="k", body_hash="h")] * 4)
    assert len({job for job, _ in once}) == 1 and [there for _, there in once].count(False) == 1
    first, cursor = jobs.page(state="pending", campaign="api", limit=4, cursor=None)
    rest, end = jobs.page(state="pending", campaign="api", limit=4, cursor=cursor)
    assert [j.id for j in first + rest] == [once[0][0], *reversed(ids)] and end is None
    job = jobs.get(ids[0])
    assert (
        ledger.find_entry(job.key).wanted == "render" and ledger.find_entry(job.key).priority == 2
    )
    force_state(ledger, job.key, state="done")
    assert jobs.get(ids[0]).state == "completed" and jobs.get(ids[1]).state == "pending"
    assert abs(jobs.get(ids[1]).updated - ledger.now()) < 30
    assert jobs.cancel(ids[1], lambda key: None).state == "cancelled"
    courier = WebhookDispatcher(jobs, lambda job: {}, "secret", lambda: None, lambda key: None)
    due = courier._due_jobs()
    assert [j.id for j in due] == [ids[0], ids[1]]
    assert Counter(at_once(*[lambda: courier._claim_delivery(due[0])] * 4)) == {True: 1, False: 3}
    force_state(ledger, jobs.get(ids[1]).key, state="running")
    assert jobs.find_restarted() == [jobs.get(ids[1]).key]


# A server ----------------------------------------------------------------------------------------


def test_machines_share_the_servers_clock(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ledger = Ledger(database)
    true = time.time
    key = ledger.register(brief(tmp_path / "c/b/brief.yaml"))
    monkeypatch.setattr(time, "time", lambda: true() + 3600)
    force_state(ledger, key, state="done")
    assert abs(ledger.find_entry(key).updated - true()) < 5
    assert abs(ledger.now() - true()) < 5


def test_a_database_holds_others_tables_beside(database: str, tmp_path: Path):
    """Dagster's own table `jobs`, and a shop's `briefs`."""
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        for name in ("jobs", "briefs"):
            connection.execute(sa.text(f"CREATE TABLE {name} (id INTEGER)"))
    Ledger(database).register(brief(tmp_path / "c/b/brief.yaml"))
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        assert sorted(inspector.get_table_names()) == ["briefs", "jobs"]
        assert set(METADATA.tables) <= set(inspector.get_table_names(SCHEMA))
        assert [c["name"] for c in inspector.get_columns("jobs")] == ["id"]
    engine.dispose()


def test_connections_are_few_and_a_forked_process_opens_its_own(database: str, tmp_path: Path):
    ledgers = [Ledger(database) for _ in range(5)]
    key = ledgers[0].register(brief(tmp_path / "c/b/brief.yaml"))
    at_once(*[lambda e=e: e.note(key, progress=0.5) for e in ledgers])
    assert connections(database, databases.KEPT) == databases.KEPT
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ledgers[0].note(key, progress=0.75)
            both = 2 * databases.KEPT
            code = 0 if connections(database, both) == both else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ledgers[0].find_entry(key).progress == 0.75
    ledgers[0].dispose()
    assert connections(database, 0) == 0


def test_a_server_that_restarts_is_waited_for(own_postgres: Postgres, tmp_path: Path):
    ledger = Ledger(own_postgres.url)
    key = ledger.register(brief(tmp_path / "c/b/brief.yaml"))
    tries = []

    def work(connection: sa.Connection) -> int:
        """The server goes in the middle of the first try, which is undone."""
        table = METADATA.tables["known_briefs"]
        connection.execute(sa.update(table).values(priority=table.c.priority + 1))
        tries.append(1)
        if len(tries) == 1:
            own_postgres.stop()
            own_postgres.start_in(1.0)
        return connection.execute(sa.select(table.c.priority)).scalar_one()

    assert ledger.run_transaction(work) == 1 and len(tries) > 1
    own_postgres.stop()
    own_postgres.start_in(1.0)
    assert at_once(lambda: ledger.request(key, "h", "l"), ledger.now)[0] == 1


def test_what_cannot_be_reached_is_said_without_the_password(
    postgres: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(databases, "PATIENCE", 0.3)
    server = sa.make_url(postgres)
    wrong = {
        "nobody listens": server.set(
            username="me", password="s3cret", query={}, host="127.0.0.1", port=9, database="d"
        ),
        "no such database": server.set(username="postgres", password="s3cret", database="none"),
    }
    for url in wrong.values():
        with pytest.raises(StoreError) as told:
            Ledger(url.render_as_string(hide_password=False))
        assert "s3cret" not in str(told.value) and f"/{url.database} " in str(told.value)
    for text in ("postgresql://me:s3@cret@host/d", "postgresql://me:s3cret"):
        with pytest.raises(StoreError, match="PYTOON_DATABASE") as told:
            Ledger(text)
        assert "cret" not in str(told.value)
    # Time does not mend a name that is wrong.
    monkeypatch.setattr(databases, "PATIENCE", 600)
    with pytest.raises(StoreError, match="does not exist"):
        Ledger(wrong["no such database"].render_as_string(hide_password=False))


def test_a_table_of_the_first_version_beside_the_new_one_is_taken_over_once(tmp_path: Path):
    """An old version of the program was started once more, or a start was killed half way."""
    path = tmp_path / "ledger.db"
    source = brief(tmp_path / "camp" / "a.yaml")
    ledger = Ledger(path)
    key = ledger.register(source)
    force_state(ledger, key, state="done")
    place = str(source.path), "brief", str(source.folder), "camp"
    row = (key, *place, "a", "h", "l", 3, "new", "", 1)
    names = "key, path, kind, folder, campaign, name, content_hash, look, serial, state, error"
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE briefs ({names}, updated)")
        for each in (row, ("camp/b", "/gone/b", *row[2:])):
            connection.execute(f"INSERT INTO briefs VALUES ({', '.join('?' * 12)})", each)
    connection.close()
    for _ in range(2):
        ledger = Ledger(path)
        assert [(e.key, e.state) for e in ledger.find()] == [(key, "done"), ("camp/b", "new")]
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE briefs (id, title)")
    connection.close()
    assert len(Ledger(path).find()) == 2, "somebody else's table is left alone"
