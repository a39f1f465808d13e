"""The sensor `intake`: what is new in folders and tables, what is wanted, what was lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from ledger_states import force_state

from pytoon_pipeline.briefs.queue_hints import QueueHints, read_hints
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.defs.campaigns.pages import WrittenPage, write_page
from pytoon_pipeline.defs.videos import reconcile, sensors
from pytoon_pipeline.defs.videos.resources import SettingsResource
from pytoon_pipeline.defs.videos.sensors import intake
from pytoon_pipeline.intake import requests, sandboxed_reader
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.store import open_store


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


class Folder:
    """A briefs folder, and a sensor that watches it. Time is the test's own."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch):
        self.root = home / "briefs"
        self.root.mkdir()
        self.ledger = Ledger(home / "ledger.db")
        self.settings = SettingsResource(home=str(home), briefs_dir=str(self.root))
        self.cursor: str | None = None
        self.later = 60.0
        self.instance = dg.DagsterInstance.ephemeral()
        monkeypatch.setattr(requests.time, "time", lambda: self._now() + self.later)
        monkeypatch.setattr(sensors, "PACE", sensors.TickPace(least=0, share=0))
        self.asked: list[str] = []
        self.written: list[WrittenPage] = []
        writer = sensors.PageWriter()
        monkeypatch.setattr(writer, "begin", lambda name, *_: self.asked.append(name))
        monkeypatch.setattr(writer, "take_written", lambda: [*self.written])
        monkeypatch.setattr(sensors, "PAGES", writer)

    _now = staticmethod(time.time)

    def brief(self, key: str, text: str = "media: [a.jpg]\n") -> Path:
        write(self.root / key / "a.jpg", f"pixels of {key}")
        return write(self.root / key / "brief.yaml", text)

    def tick(self, *, acted_on: bool = True) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = intake(context, settings=self.settings, ledger=self.ledger)
        assert isinstance(result, dg.SensorResult)
        self.skipped = result.skip_reason.skip_message if result.skip_reason else ""
        added = [k for r in result.dynamic_partitions_requests or [] for k in r.partition_keys]
        requests = list(result.run_requests or [])
        self.shown = [str(e.partition) for e in result.asset_events]
        assert added == [r.partition_key for r in requests] + self.shown
        if acted_on:
            self.cursor = result.cursor
        return requests

    @property
    def pages(self) -> list[str]:
        """Campaigns whose pages were asked for since this was last looked at."""
        asked, self.asked[:] = list(self.asked), []
        return asked

    def rendered(self) -> list[str]:
        return [r.partition_key for r in self.tick()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    made = Folder(tmp_path, monkeypatch)
    yield made
    made.instance.dispose()


def test_a_new_brief_is_rendered_once(folder: Folder):
    folder.brief("spring/lamp 夏🎉")
    (request,) = folder.tick()
    assert request.partition_key == "spring/lamp 夏🎉"
    assert request.tags == {"pytoon/campaign": "spring", "pytoon/brief": "spring/lamp 夏🎉"}
    assert folder.tick() == []


def test_a_brief_is_rendered_again_when_its_contents_change(folder: Folder):
    path = folder.brief("c/b")
    first = folder.tick()[0].run_key
    os.utime(path)
    assert folder.tick() == [], "a touch is no change"
    write(folder.root / "c/b/a.jpg", "other pixels")
    second = folder.tick()[0].run_key
    write(folder.root / "c/b/a.jpg", "pixels of c/b")
    third = folder.tick()[0].run_key
    assert len({first, second, third}) == 3, "a brief changed back is a change too"


def test_a_brief_waits_until_it_is_copied_whole(folder: Folder):
    folder.brief("c/b")
    folder.later = 1.0
    assert folder.tick() == []
    assert "1 still being copied" in folder.skipped
    write(folder.root / "c/b/a.jpg", "more and more pixels")
    assert folder.tick() == [], "it grew since the last look"
    assert folder.rendered() == ["c/b"], "it stood still between two looks"


def test_a_brief_that_waited_long_enough_need_not_wait(folder: Folder):
    folder.brief("c/b")
    folder.later = 6.0
    assert folder.rendered() == ["c/b"]


def test_a_broken_brief_keeps_no_other_from_its_turn(folder: Folder):
    folder.brief("c/1", "media: [\x00")
    write(folder.root / "c/2/brief.yaml", "media: [gone.jpg]")
    (folder.root / "c/3").mkdir(parents=True)
    (folder.root / "c/4").symlink_to("nowhere")
    folder.brief("c/5")
    assert folder.rendered() == ["c/1", "c/2", "c/5"]
    write(folder.root / "c/2/gone.jpg", "here now")
    assert folder.rendered() == ["c/2"], "the missing picture came"


def test_a_folder_that_is_missing_is_said(folder: Folder):
    folder.root.rmdir()
    assert folder.tick() == []
    assert "is not a folder" in folder.skipped


def test_a_tick_asks_for_a_bounded_number_of_runs(folder: Folder):
    for i in range(45):
        folder.brief(f"c/{i:02d}")
    ticks = [folder.rendered() for _ in range(4)]
    assert [len(t) for t in ticks] == [20, 20, 5, 0]
    assert sorted(k for t in ticks for k in t) == [f"c/{i:02d}" for i in range(45)]


def test_nothing_is_lost_or_done_twice_over_a_restart(folder: Folder):
    folder.brief("c/1")
    lost = folder.tick(acted_on=False)
    folder.brief("c/2")
    folder.ledger = Ledger(folder.ledger.path)
    again = folder.tick()
    assert [r.partition_key for r in again] == ["c/1", "c/2"]
    assert again[0].run_key == lost[0].run_key, "Dagster drops what it has already run"
    folder.ledger = Ledger(folder.ledger.path)
    assert folder.tick() == []


def test_a_campaign_has_its_page_made_when_something_became_of_it(folder: Folder):
    folder.brief("spring/a")
    folder.brief("spring/b")
    folder.tick()
    assert folder.pages == [], "nothing is done yet"
    for name in "ab":
        force_state(folder.ledger, f"spring/{name}", state="done")
    assert folder.tick() == [] and folder.pages == ["spring"]
    assert folder.tick() == [] and folder.pages == [], "it is being made"
    made_at, seen = time.time(), folder.ledger.campaigns()["spring"]
    folder.ledger.note_page("spring", made=made_at, seen=seen)
    folder.later += 100
    assert folder.tick() == [] and folder.pages == [], "it is up to date"
    force_state(folder.ledger, "spring/b", state="refused", error="wrong")
    assert folder.tick() == [] and folder.pages == ["spring"]
    folder.later += 60
    assert folder.tick() == [] and folder.pages == []
    folder.later += 100
    assert folder.tick() == [] and folder.pages == ["spring"], "whoever wrote it was killed"


def test_a_page_is_shown_as_an_asset_without_a_run(folder: Folder):
    folder.brief("spring/a")
    folder.tick()
    force_state(folder.ledger, "spring/a", state="done")
    store = open_store(folder.settings.load())
    folder.written = [write_page(name, folder.ledger, store) for name in ("spring", "?")]
    assert [p.document is not None for p in folder.written] == [True, False]
    assert store.exists("reports/spring/index.html")
    assert folder.tick() == [] and folder.shown == ["spring"], "no run is asked for"
    assert "the page of ? was not written" in folder.skipped
    assert folder.pages == [], "the ledger knows that it was made"


def test_what_is_gone_is_marked_until_it_is_back(folder: Folder):
    folder.brief("c/kept")
    folder.brief("c/gone")
    folder.brief("c/many", "media: [a.jpg]\nvariants: {hooks: [One, Two]}\n")
    table = write(folder.root / "c/spring.csv", "name,media\nlamp,kept/a.jpg\npot,kept/a.jpg\n")
    folder.tick()
    rows = {e.key for e in folder.ledger.find() if e.source.path == table}
    assert len(rows) == 2
    for entry in folder.ledger.find():
        force_state(folder.ledger, entry.key, state="done")

    def deleted() -> set[str]:
        folder.tick()
        return {e.key for e in folder.ledger.find() if e.is_deleted}

    assert deleted() == set()
    shutil.rmtree(folder.root / "c/gone")
    folder.brief("c/many", "media: [a.jpg]\nvariants: {hooks: [One]}\n")
    write(table, "name,media\nlamp,kept/a.jpg\n")
    assert len(deleted() & rows) == 1 and {"c/gone", "c/many-h2"} <= deleted()
    assert len(deleted()) == 3
    table.write_bytes(b"\xff\xfe\x00broken")
    assert len(deleted() & rows) == 1, "a table that can't be read has lost nothing more"
    aside = folder.root.rename(folder.root.with_name("aside"))
    assert len(deleted()) == 3, "nor has a folder that is not mounted"
    aside.rename(folder.root)
    folder.brief("c/gone")
    folder.tick()
    assert not folder.ledger.find_entry("c/gone").deleted


def test_what_a_person_wants_is_requested_by_priority(folder: Folder):
    for name, rank in (("a", 0), ("b", 7), ("c", -3)):
        folder.brief(f"c/{name}", f"media: [a.jpg]\npriority: {rank}\n")
    assert len(folder.tick()) == 3
    for name in "abc":
        force_state(folder.ledger, f"c/{name}", state="done")
    assert folder.ledger.want(["c/a", "c/c"], "recheck") == 2
    folder.ledger.want(["c/b"], "rerender")
    requests = folder.tick()
    assert [(r.partition_key, r.job_name) for r in requests] == [
        ("c/b", "brief_job"),
        ("c/a", "recheck_job"),
        ("c/c", "recheck_job"),
    ]
    assert requests[0].tags["pytoon/action"] == "rerender"
    assert requests[0].tags["dagster/priority"] == "7"
    assert folder.tick() == []


def test_thousands_of_briefs_are_looked_at_well_inside_a_tick(folder: Folder):
    """Dagster ends a tick after a minute; a look is broken off by itself before that. (How long
    it takes is measured by `make bench-campaign`.)"""
    for i in range(5000):
        write(folder.root / f"c{i // 100:02d}/b{i:04d}/brief.yaml", f"media: [a{i}.jpg]\n")
    first = folder.tick()
    assert len(first) == 20
    for entry in folder.ledger.find():
        force_state(folder.ledger, entry.key, state="done")
    second = folder.tick()
    assert len({r.partition_key for r in first + second}) == 40
    sources, problems = requests.gather_sources(folder.settings.load())
    assert (len(sources), problems) == (5000, [])


# Tables ------------------------------------------------------------------------------------------


def rows(count: int, **changed: str) -> str:
    lines = [f"p{i:03d},a.jpg,{changed.get(f'p{i:03d}', f'Line {i}')}" for i in range(count)]
    return "\n".join(["name,media,hook", *lines]) + "\n"


def test_of_a_table_only_changed_rows_are_rendered(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    # No run is launched here, and a request that no run is known of is made again after a while.
    monkeypatch.setattr(reconcile, "GRACE_SECONDS", 3600.0)
    table = write(folder.root / "spring.csv", rows(300))
    write(folder.root / "a.jpg", "pixels")
    ticks = [folder.rendered() for _ in range(16)]
    assert sum(map(len, ticks)) == 300 and ticks[-1] == []
    assert ticks[0][0] == "spring/p000"
    write(table, rows(300, p007="Other", p100="words", p299="here"))
    assert folder.rendered() == ["spring/p007", "spring/p100", "spring/p299"]
    assert folder.rendered() == []


def test_a_table_that_is_being_written_is_waited_for(folder: Folder):
    folder.later = 1.0
    write(folder.root / "spring.csv", rows(2))
    assert folder.rendered() == [] and "2 still being copied" in folder.skipped
    write(folder.root / "spring.csv", rows(3))
    assert folder.rendered() == [], "it grew"
    assert len(folder.rendered()) == 3


def test_rows_of_a_database_learn_what_became_of_them(
    folder: Folder, postgres: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTOON_BRIEFS_TABLE", f"{postgres}#shop")
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)

    def run(text: str) -> list:
        with engine.begin() as connection:
            result = connection.execute(sa.text(text))
            return [tuple(r) for r in result] if result.returns_rows else []

    run("DROP TABLE IF EXISTS shop")
    run(
        "CREATE TABLE shop (id int PRIMARY KEY, name text, hook text, media text[], "
        "variants jsonb, status text, video text, error text)"
    )
    run(
        "INSERT INTO shop VALUES (1, 'cup', 'One', '{a.jpg}', NULL), (2, 'pot', 'Two', '{a.jpg}', "
        '\'{"ctas": ["Buy", "Get"]}\')'
    )
    write(folder.root / "a.jpg", "pixels")
    assert folder.rendered() == ["shop/cup", "shop/pot-c1", "shop/pot-c2"]
    force_state(folder.ledger, "shop/cup", state="refused", error="shop: row 1: too long")
    force_state(folder.ledger, "shop/pot-c1", state="done")
    assert folder.rendered() == []
    said = "SELECT status, video, error FROM shop ORDER BY id"
    first, second = run(said)
    assert first == ("refused", None, "shop: row 1: too long")
    assert second[0] == "requested", "its other variant is not done yet"
    force_state(folder.ledger, "shop/pot-c2", state="done")
    assert folder.rendered() == [], "what is written back is no change"
    status, video, error = run(said)[1]
    assert (status, error) == ("done", None)
    assert [v.rsplit("/", 2)[1] for v in video.split("\n")] == ["pot-c1", "pot-c2"]
    run("UPDATE shop SET hook = 'Three' WHERE id = 1")
    assert folder.rendered() == ["shop/cup"]
    engine.dispose()


def test_a_database_that_is_down_keeps_no_folder_waiting(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTOON_BRIEFS_TABLE", "postgresql://me:secret@127.0.0.1:9/db")
    folder.brief("c/b")
    assert folder.rendered() == ["c/b"]
    assert folder.rendered() == [] and "secret" not in folder.skipped
    assert "127.0.0.1" in folder.skipped


# Reading apart -----------------------------------------------------------------------------------


@pytest.fixture
def spinning(monkeypatch: pytest.MonkeyPatch) -> Iterator[sandboxed_reader.BriefReader]:
    """A reader whose helper spins, or dies, over files that say so."""
    start = sandboxed_reader._START.replace(
        "serve_requests()",
        "import os, re\n"
        "read = sandboxed_reader.content_hash\n"
        "def content_hash(source, roots):\n"
        "    text = source.path.read_text()\n"
        "    if 'spins' in text:\n"
        "        re.match('(a*)*b', 'a' * 1000)  # In C, and with Python's lock held.\n"
        "    if 'dies' in text:\n"
        "        os._exit(9)\n"
        "    return read(source, roots)\n"
        "sandboxed_reader.content_hash = content_hash\n"
        "sandboxed_reader.serve_requests()",
    ).replace(
        "import serve_requests",
        "import serve_requests\nfrom pytoon_pipeline.intake import sandboxed_reader",
    )
    monkeypatch.setattr(sandboxed_reader, "_START", start)
    monkeypatch.setattr(sandboxed_reader, "FILE_SECONDS", 1.0)
    made = sandboxed_reader.BriefReader()
    monkeypatch.setattr(sensors, "shared_reader", lambda: made)
    yield made
    made.close()


def test_a_brief_that_can_not_be_read_in_time_costs_itself_only(
    folder: Folder, spinning: sandboxed_reader.BriefReader
):
    folder.brief("c/1", "media: [a.jpg]\nhook: spins\n")
    folder.brief("c/2", "media: [a.jpg]\nhook: dies\n")
    folder.brief("c/3")
    rendered = [key for _ in range(3) for key in folder.rendered()]
    assert rendered == ["c/3"]
    entries = {e.key: e for e in folder.ledger.find()}
    for key, said in (("c/1", "takes too long"), ("c/2", "ended with 9")):
        assert entries[key].state == "refused" and said in entries[key].error
    assert folder.tick() == [], "they are left out until they change"
    folder.brief("c/1", "media: [a.jpg]\nhook: Stands still\n")
    assert folder.rendered() == ["c/1"]


def test_a_brief_that_is_being_copied_is_not_read_through(folder: Folder):
    """A large file would be read from its beginning at each look while it grows."""
    path = folder.brief("c/b")
    source = find_sources([path.parent])[0]
    with closing(sandboxed_reader.BriefReader()) as reader:
        until = time.monotonic() + 60
        copied = reader.read(source, {}, until, settled_before=0.0)
        assert copied.contents == "" and copied.still.newest > 0
        settled = reader.read(source, {}, until, unmoved=copied.still.signature, settled_before=0.0)
        assert settled == sandboxed_reader.read_brief(source, {}) and settled.contents


def test_briefs_that_take_long_keep_none_from_its_turn(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
):
    """A look has time for two briefs. Those that come first are changed before each."""
    monkeypatch.setattr(requests, "MAX_REQUESTS", 2)
    for number in range(6):
        folder.brief(f"c/{number}")
    turns = 0
    while len({e.key for e in folder.ledger.find() if e.content_hash}) < 6 and turns < 6:
        folder.brief("c/0", f"media: [a.jpg]\nhook: {turns}\n")
        folder.brief("c/1", f"media: [a.jpg]\nhook: {turns}\n")
        folder.tick()
        turns += 1
    assert turns <= 4


@pytest.mark.parametrize(
    ("name", "text", "priority", "generates"),
    [
        ("brief.yaml", "media: [a.jpg]\n", 0, False),
        ("brief.yaml", "priority: 7\ngenerate: [steam]\n", 7, True),
        ("brief.yaml", "{media: [a.jpg], priority: 7, generate: [steam]}\n", 7, True),
        ("brief.yaml", '"priority" : 7\n? generate\n: - steam\n', 7, True),
        ("brief.yaml", "media: [a.jpg]\nhook: |\n  generate: nothing\n  priority: 9\n", 0, False),
        ("brief.yaml", "generate: []\npriority: 700\n", 0, False),
        ("brief.yaml", "generate: [steam", 0, False),
        ("brief.json", '{"generate":["steam"],"priority":-3}', -3, True),
        ("render_spec.json", '{"segments":[{"type":"generated"}]}', 0, True),
        ("render_spec.json", '{"segments":[{"generate":{"prompt":"steam"}}]}', 0, True),
        ("render_spec.json", '{"segments":[{"text":"type: generated"}]}', 0, False),
    ],
)
def test_the_queue_reads_the_parsed_document(
    tmp_path: Path, name: str, text: str, priority: int, generates: bool
):
    """However it is laid out: a brief that a GPU works for never escapes the limit of those."""
    path = tmp_path / name
    path.write_text(text)
    kind = "spec" if name.startswith("render_spec") else "brief"
    source = BriefSource(path, kind, "c", "b", tmp_path)
    assert read_hints(source) == QueueHints(priority, generates)
