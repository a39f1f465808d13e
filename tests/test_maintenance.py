"""Retention: what goes, what must stay, and what is left of processes that were killed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from deployment import tiny
from ledger_states import force_state
from shipped import plain_environment
from typer.testing import CliRunner

from pytoon_pipeline import scratch as scratch_module
from pytoon_pipeline.cli import app
from pytoon_pipeline.defs.collect import collect_definitions
from pytoon_pipeline.defs.maintenance import schedules
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.errors import UserError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.locks import try_lock
from pytoon_pipeline.maintenance.lease import hold_lease
from pytoon_pipeline.maintenance.live_objects import LiveObjects
from pytoon_pipeline.maintenance.machine import MachineTidying, plan_machine, tidy_machine
from pytoon_pipeline.maintenance.objects import (
    KINDS,
    LEASE,
    delete_object,
    plan_deletions,
    plan_store,
    tidy_store,
)
from pytoon_pipeline.quality.checks import CHECK_NAMES
from pytoon_pipeline.runtime.brief_runs import BriefResult, open_instance, run_brief
from pytoon_pipeline.scratch import working_folder
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.results import judge_video
from pytoon_pipeline.stages.services import Services, open_services
from pytoon_pipeline.store.base import Store, StoredObject
from pytoon_pipeline.store.reuse import touch_if_present

DAY = 86400.0
TWO_SCENES = {
    "segments": [
        {"media": ["a.png"], "duration": 1.5, "text": "Hello", "transition": "crossfade"},
        {"media": ["a.png"], "duration": 1.5, "text": "Bye"},
    ]
}


class Place:
    """An install of its own, with the briefs that a test asks for."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, **environment: str):
        own = {
            "PYTOON_HOME": str(home / "home"),
            "PYTOON_BRIEFS_DIR": str(home / "briefs"),
            **environment,
        }
        for name in set(os.environ) - set(plain_environment()):
            monkeypatch.delenv(name)
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        self.root = home / "briefs"
        self.settings: Settings = load_settings()
        self.services: Services = open_services(self.settings)
        self.store: Store = self.services.store

    def render(
        self, instance: dg.DagsterInstance, name: str = "a", **changes: object
    ) -> BriefResult:
        folder = tiny(self.root / "camp" / name, **changes)
        result = run_brief(find_sources([folder])[0], self.services, Reporter(), instance)
        assert result.ok, (result.error, result.problems, result.traceback)
        return result

    def age(self, days: float, prefix: str = "") -> None:
        """Everything of the store as if it had been put so long ago."""
        then = time.time() - days * DAY
        for key in self.store.keys(prefix):
            os.utime(self.store.local(key), (then, then))

    def junk(self, key: str, days: float, size: int = 10) -> str:
        self.store.put_bytes(key, b"x" * size)
        then = time.time() - days * DAY
        os.utime(self.store.local(key), (then, then))
        return key


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


@pytest.fixture
def instance(place: Place) -> Iterator[dg.DagsterInstance]:
    with open_instance(place.settings) as opened:
        yield opened


# The store ---------------------------------------------------------------------------------------


def test_old_things_that_nothing_needs_go_and_a_video_keeps_all_of_its_own(
    place: Place, instance: dg.DagsterInstance
) -> None:
    place.render(instance, **TWO_SCENES)
    first = set(place.store.keys(""))
    edited = json.loads(json.dumps(TWO_SCENES))
    edited["segments"][1]["text"] = "Goodbye"
    result = place.render(instance, **edited)
    place.age(31)
    young = place.junk("segments/" + "0" * 64 + ".mp4", days=2)
    strange = place.junk("elsewhere/x.bin", days=400)
    posters = place.junk("posters/p-1.webp", days=31)

    planned, notes = plan_store(place.settings)
    assert notes == []
    there = set(place.store.keys(""))
    outcome = tidy_store(place.settings)
    gone = there - set(place.store.keys(""))
    assert gone == {d.place for d in planned} == {d.place for d in outcome.done}
    # Of the first version: the scene that was changed, its transition, what was drawn of them and
    # of the whole, and what was measured. The sound is the same one.
    kinds = [key.partition("/")[0] for key in sorted(gone - {posters})]
    assert kinds == [
        *["drawn"] * 3,
        *["measurements"] * 2,
        "segments",
        "sightings",
        *["thumbnails"] * 2,
        "windows",
    ]
    assert posters in gone and gone - {posters} < first
    assert {young, strange} <= set(place.store.keys(""))

    again = place.render(instance, **edited)
    assert all(s.cached for s in again.metrics.segments) and again.metrics.video.cached
    assert again.metrics.video.sha256 == result.metrics.video.sha256
    _, verdicts = judge_video(again.spec, again.metrics.video, place.services, again=True)
    assert all(v.passed for v in verdicts)
    # And the parts are there too: with its finished file gone it is linked out of them.
    place.store.delete(again.metrics.video.key)
    linked = place.render(instance, **edited)
    assert linked.metrics.video.sha256 == result.metrics.video.sha256
    assert all(s.cached for s in linked.metrics.segments)
    assert linked.metrics.video.seconds_spent["sound"] < 0.05  # Not laid anew.


def test_a_dry_run_changes_nothing(place: Place, instance: dg.DagsterInstance) -> None:
    place.render(instance)
    old = place.junk("segments/old.mp4", days=40)
    before = {s.key: s for s in place.store.objects("")}
    said = CliRunner().invoke(app, ["tidy", "--dry-run", "--json"])
    assert said.exit_code == 0, said.output
    assert [json.loads(line)["place"] for line in said.stdout.splitlines()] == [old]
    run = (
        collect_definitions()
        .resolve_job_def("tidy_store_job")
        .execute_in_process(
            instance=instance, run_config={"ops": {"store": {"config": {"dry_run": True}}}}
        )
    )
    made = run.asset_materializations_for_node("store")
    assert run.success and made == [] and run.output_for_node("store") == 1
    assert {s.key: s for s in place.store.objects("")} == before
    run = (
        collect_definitions()
        .resolve_job_def("tidy_store_job")
        .execute_in_process(instance=instance)
    )
    output = next(
        e.event_specific_data
        for e in run.all_events
        if e.is_successful_output and e.step_key == "store"
    )
    assert output.metadata["deleted"].value == 1 and output.metadata["deleted_bytes"].value == 10
    assert not place.store.exists(old)


def test_room_is_made_oldest_first_and_never_by_what_is_in_use() -> None:
    now = 1000 * DAY
    objects = [
        StoredObject(f"segments/{age}.mp4", 100, now - age * DAY) for age in (0.5, 2, 3, 5, 40)
    ]
    objects.append(StoredObject("segments/live.mp4", 10_000, now - 50 * DAY))
    live = LiveObjects(keys={"segments/live.mp4"})

    def gone(keep: float, room: int | None, since: float | None = None) -> list[str]:
        if since is not None:
            live.since = since
        made = plan_deletions(objects, live, now, keep * DAY, room)
        return [d.place.removeprefix("segments/").removesuffix(".mp4") for d in made]

    assert gone(30, None) == ["40"]
    assert gone(30, 300) == ["40", "5"]
    assert gone(30, 0) == ["40", "5", "3", "2"] == gone(0, None)  # Never what is of today.
    assert gone(30, 0, since=now - 4 * DAY) == ["40", "5"]  # A run goes on, or the clock jumped.


def test_what_is_taken_up_again_is_not_tidied_away(place: Place) -> None:
    key = place.junk("segments/old.mp4", days=40)
    [planned] = plan_store(place.settings)[0]
    assert touch_if_present(
        place.store, key
    )  # As a run does that finds it, before anything refers to it.
    assert not delete_object(place.store, planned) and place.store.exists(key)
    assert plan_store(place.settings)[0] == []
    assert not touch_if_present(place.store, "segments/none.mp4")


def test_what_cannot_be_known_is_kept(place: Place, instance: dg.DagsterInstance) -> None:
    """A sidecar of an earlier version, and one that is damaged."""
    place.render(instance, **TWO_SCENES)
    sidecar = "linked/camp/a.json"
    said = json.loads(place.store.read_bytes(sidecar))
    earlier = {k: v for k, v in said.items() if k not in ("parts", "takes")}
    for text in (json.dumps(earlier), "{", None):
        if text is None:
            place.store.delete(sidecar)
        else:
            place.store.put_bytes(sidecar, text.encode())
        place.age(40)
        planned, notes = plan_store(place.settings)
        assert planned == [], text
        assert notes and "Render that brief again" in notes[0]
    place.store.put_bytes(sidecar, json.dumps(earlier).encode())
    place.render(instance, **TWO_SCENES)
    assert json.loads(place.store.read_bytes(sidecar)) == said | {"cached": False}
    place.age(40)
    assert plan_store(place.settings) == ([], [])


def test_every_kind_of_the_store_is_looked_through(
    place: Place, instance: dg.DagsterInstance
) -> None:
    from pytoon_pipeline.report import write_report

    place.render(instance, **TWO_SCENES)
    ledger = Ledger(place.settings.ledger)
    write_report("camp", ledger, place.store)
    # Of each brief the parcel last asked for stays, and the newest.
    parcels, media = {}, {}
    for name in ("asked", "older", "newest"):
        medium = {"sha256": hashlib.sha256(name.encode()).hexdigest(), "suffix": ".png"}
        text = {"asked": ledger.find_entry("camp/a").content_hash}.get(name, name)
        parcels[name] = f"briefs/camp/a/{text}.json"
        place.store.put_bytes(parcels[name], json.dumps({"items": [medium]}).encode())
        media[name] = f"media/{medium['sha256']}.png"
        place.store.put_bytes(media[name], name.encode())
    for key in ("briefs/camp/gone/1.json", "documents/segments/camp/gone.json", "linked/x/y.json"):
        place.store.put_bytes(key, b"{}")
    place.store.put_bytes("reports/gone/index.html", b"x")
    take = {"workflow": "w", "models": ["m"], "seed": 1}
    sidecar = json.loads(place.store.read_bytes("linked/camp/a.json"))
    sidecar["takes"] = [take]
    place.store.put_bytes("linked/camp/a.json", json.dumps(sidecar).encode())
    for name, seed in (("live", 1), ("dead", 2)):
        place.store.put_bytes(f"takes/{name}.json", json.dumps({**take, "seed": seed}).encode())
        place.store.put_bytes(f"takes/{name}.mp4", b"x")
    kinds = {key.partition("/")[0] for key in place.store.keys("")}
    assert kinds == {*KINDS, "videos"}, "a kind of object that tidying does not know"
    place.age(40)
    for n, parcel in enumerate(parcels.values()):
        then = time.time() - (60 - 10 * n) * DAY
        os.utime(place.store.local(parcel), (then, then))
    assert sorted(d.place for d in plan_store(place.settings)[0] if d.what != "posters") == [
        parcels["older"],
        "briefs/camp/gone/1.json",
        "documents/segments/camp/gone.json",
        "linked/x/y.json",
        media["older"],
        "reports/gone/index.html",
        "takes/dead.json",
        "takes/dead.mp4",
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def settings_of_either(place: Place, request: pytest.FixtureRequest) -> Settings:
    """With the ledger in a file, and on a server."""
    if request.param == "sqlite":
        return place.settings
    return replace(place.settings, database=request.getfixturevalue("database"))


def test_one_process_tidies_at_a_time(place: Place, settings_of_either: Settings) -> None:
    settings = settings_of_either
    ledger = Ledger(settings.ledger)
    old = place.junk("segments/old.mp4", days=40)
    with hold_lease(ledger, LEASE, 60) as mine:
        assert mine
        with pytest.raises(UserError, match="Another process"):
            tidy_store(settings)
    with hold_lease(ledger, LEASE, -1) as mine:  # It was killed, and its time has passed.
        assert mine
        assert [d.place for d in tidy_store(settings).done] == [old]
    place.junk("segments/old.mp4", days=40)
    assert tidy_store(settings, every=3600).done == []  # That was done just now.
    ledger.dispose()


# Dagster's records -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_deleting_runs_keeps_what_the_pages_tell(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    own = {}
    if kind == "postgresql":
        own = {"PYTOON_DATABASE": request.getfixturevalue("database")}
    place = Place(tmp_path, monkeypatch, **own)
    with open_instance(place.settings) as storage:
        in_files = isinstance(storage.event_log_storage, SqliteEventLogStorage)
        assert in_files == (kind == "sqlite")
        _runs_are_deleted(place, storage)


def _runs_are_deleted(place: Place, storage: dg.DagsterInstance) -> None:
    runs = [place.render(storage).run_id for _ in range(2)]
    recheck = (
        collect_definitions()
        .resolve_job_def("recheck_job")
        .execute_in_process(instance=storage, partition_key="camp/a")
    )
    assert recheck.success
    assert [d.place for d in schedules.plan_runs(storage, 1)] == []
    planned = schedules.plan_runs(storage, 1, now=time.time() + 2 * DAY)
    # The second made all assets but one, the recheck made that one again.
    assert [d.place for d in planned] == runs[:1]
    outcome = schedules.tidy_runs(storage, 0)
    assert [d.place for d in outcome.done] == runs[:1] and not outcome.failed
    assert {r.run_id for r in storage.get_runs()} == {runs[1], recheck.run_id}
    assert storage.all_logs(runs[0]) == [] and storage.all_logs(runs[1])
    for asset in ("render_spec", "segments", "assembled_video", "thumbnail", "metrics"):
        key = dg.AssetKey(asset)
        assert storage.get_materialized_partitions(key) == {"camp/a"}
        assert storage.get_latest_materialization_event(key).run_id in (runs[1], recheck.run_id)
    checks = [dg.AssetCheckKey(dg.AssetKey("assembled_video"), name) for name in CHECK_NAMES]
    latest = storage.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    assert {record.run_id for record in latest.values()} == {recheck.run_id}
    history = storage.event_log_storage.get_asset_check_execution_history(checks[0], limit=10)
    assert [record.run_id for record in history] == [recheck.run_id, runs[1]]
    assert not list(place.settings.dagster_home.rglob(f"{runs[0]}*"))


# Forgetting --------------------------------------------------------------------------------------


def test_a_person_forgets_a_brief(place: Place, instance: dg.DagsterInstance) -> None:
    place.render(instance, "a")
    place.render(instance, "b", hue=40)
    before = {s.key: s for s in place.store.objects("")}
    shown = CliRunner().invoke(app, ["tidy", "--forget", "camp/b", "--dry-run"])
    assert shown.exit_code == 0 and "videos" in shown.output, shown.output
    assert "will be rendered again" in shown.output
    unasked = CliRunner().invoke(app, ["tidy", "--forget", "camp/b"])
    assert unasked.exit_code == 2  # Nobody could be asked.
    assert {s.key: s for s in place.store.objects("")} == before
    ledger = Ledger(place.settings.ledger)
    force_state(ledger, "camp/b", state="running")
    busy = CliRunner().invoke(app, ["tidy", "--forget", "camp", "--yes"])
    assert busy.exit_code == 2 and {s.key: s for s in place.store.objects("")} == before
    force_state(ledger, "camp/b", state="done")

    done = CliRunner().invoke(app, ["tidy", "--forget", "camp/b", "--yes"])
    assert done.exit_code == 0, done.output
    assert [e.key for e in ledger.find()] == ["camp/a"]
    assert instance.get_dynamic_partitions(BRIEFS.name) == ["camp/a"]
    gone = before.keys() - set(place.store.keys(""))
    assert {k.partition("/")[0] for k in gone} == {"videos", "documents", "linked"}
    assert all("camp/b" in key for key in gone)
    # Its run is no longer the newest of a partition, and its parts are nobody's any more.
    assert len(list(schedules.plan_runs(instance, 0))) == 1
    place.age(40)
    assert {d.what for d in plan_store(place.settings)[0]} >= {"segments", "media"}
    assert CliRunner().invoke(app, ["tidy", "--forget", "camp/b", "--yes"]).exit_code == 2


# This machine ------------------------------------------------------------------------------------


def test_a_killed_render_leaves_nothing_and_a_living_one_keeps_its_folder(place: Place) -> None:
    scratch = place.settings.scratch
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pytoon_pipeline.scratch import working_folder\n"
        "with working_folder(Path(sys.argv[1]), 'render-') as folder:\n"
        "    (folder / 'segment.mp4').write_bytes(b'x' * 1000)\n"
        "    print(folder, flush=True); time.sleep(60)\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(scratch)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        folders = [Path(child.stdout.readline().decode().strip()) for child in children]
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        # However long the other one waits for its GPU.
        os.utime(folders[1] / "segment.mp4", (0, 0))
        os.utime(folders[1], (0, 0))
        with working_folder(scratch, "render-") as own:
            [planned] = plan_machine(place.settings)
            assert (planned.place, planned.bytes) == (str(folders[0]), 1000)
            tidy_machine(place.settings)
            assert sorted(scratch.iterdir()) == sorted([folders[1], own])
        assert sorted(scratch.iterdir()) == [folders[1]]
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_tidying_never_takes_the_folder_of_a_run_that_begins(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It holds the new folder's lock before the run does: the run makes another.
    make, taken = scratch_module.tempfile.mkdtemp, []

    def seen_by_tidying(**options: object) -> str:
        folder = make(**options)
        if not taken:
            taken.append(try_lock(Path(folder) / ".held"))
        return folder

    monkeypatch.setattr(scratch_module.tempfile, "mkdtemp", seen_by_tidying)
    with working_folder(place.settings.scratch, "render-") as own:
        assert Path(taken[0].name).parent != own
        taken[0].close()
        assert scratch_module.delete_orphaned(Path(taken[0].name).parent)
        assert not scratch_module.delete_orphaned(own) and own.is_dir()
    # It deletes the lock's file between its being opened and locked: the lock is on a new file.
    lock, flock = place.settings.scratch / "x" / ".held", fcntl.flock
    calls: list[int] = []

    def too_late(*args: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            lock.unlink()
        flock(*args)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with try_lock(lock):
        assert lock.exists() and try_lock(lock) is None


def test_leftovers_go_when_they_are_old(place: Place) -> None:
    home, then = place.settings.home, time.time() - 2 * DAY
    old = [
        home / "scratch/medium-x.mp4",
        home / "fetched/abc/.tmp-1",
        home / "engines/.tmp-2",
        home / "engines/lost-1",
        home / "store/segments/.tmp-3",
        place.settings.dagster_home / ".dagster.yaml-123",
    ]
    kept = [home / "engines/1.lock", home / "fetched/abc/copy.json", home / "claims/abc"]
    new = [home / "scratch/medium-y.mp4", home / "fetched/abc/.tmp-4"]
    for path in (*old, *kept, *new):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        if path not in new:
            os.utime(path, (then, then))
    failed = home / "fetched" / ("0" * 64)  # An address from which nothing could be fetched.
    failed.mkdir()
    (failed / "lock").touch()
    for path in (failed / "lock", failed):
        os.utime(path, (then, then))
    old.append(failed)
    with MachineTidying():  # As `pytoon serve` and workers do.
        end = time.monotonic() + 30
        while any(p.exists() for p in old) and time.monotonic() < end:
            time.sleep(0.1)
    assert [p for p in old if p.exists()] == []
    assert all(p.exists() for p in (*kept, *new))


def test_requests_over_http_go_when_they_have_long_ended(
    place: Place, settings_of_either: Settings
) -> None:
    from pytoon_pipeline.service.documents import RenderRequest
    from pytoon_pipeline.service.jobs import JobStore
    from pytoon_pipeline.service.request import AcceptedRequest

    settings = settings_of_either
    ledger = Ledger(settings.ledger)
    jobs = JobStore(ledger, settings.home / "jobs")
    ids = {}
    for name in ("ended", "fresh", "open", "untold"):
        asked = RenderRequest.model_construct(campaign="camp", name=name)
        with jobs.open_incoming() as folder:
            webhook = "https://example.com/x" if name == "untold" else ""
            ids[name], _ = jobs.create(
                AcceptedRequest(asked, "brief", {"media": ["a.png"]}, {}), folder, webhook=webhook
            )
        force_state(
            ledger, f"camp/{name}", state="running" if name == "open" else "done", wanted=""
        )
    long_ago = time.time() - 40 * DAY
    for path in (settings.home / "jobs").rglob("*"):
        os.utime(path, (long_ago, long_ago))
    for name in ids.keys() - {"fresh"}:
        ledger.note(f"camp/{name}", updated=long_ago)
    orphan = settings.home / "jobs" / "no-row"
    orphan.mkdir()
    os.utime(orphan, (long_ago, long_ago))
    outcome = tidy_machine(settings)
    assert not outcome.failed
    left = {p.name for p in (settings.home / "jobs").iterdir()}
    assert left == {ids["fresh"], ids["open"], ids["untold"]}
    rows, _ = jobs.page(state=None, campaign=None, limit=10, cursor=None)
    assert {row.id for row in rows} == left
    ledger.dispose()
