"""Campaigns through a real daemon with real runs: dropped, broken, mended, killed, cancelled."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from comfy_server import ComfyServer
from deployment import Deployment, ended, picture, tiny

from pytoon_pipeline import process_tags
from pytoon_pipeline.defs.videos import run_process
from pytoon_pipeline.defs.videos.jobs import ACTION_TAG, BRIEF_TAG, GPU_TAG, campaign_job
from pytoon_pipeline.defs.videos.reconcile import reconcile_states
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.process_tags import PROCESS_TAG, pid_of, process_tag


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.stop()


def runs(place: Deployment, **tags: str) -> list[dg.DagsterRun]:
    """Runs of briefs, newest first."""
    with place.instance() as instance:
        found = instance.get_runs(dg.RunsFilter(tags=tags or None))
    return [r for r in found if BRIEF_TAG in r.tags]


def states(place: Deployment) -> dict[str, str]:
    return {e.key: e.state for e in place.ledger.find()}


def test_a_campaign_survives_the_daemons_death(place: Deployment):
    """Eight videos and two briefs that are wrong; the daemon is killed in the middle."""
    for i in range(4):
        tiny(place.root / f"camp/b{i} é🎉", hue=10 * i)
    source = tiny(place.root / "camp/many", hue=90)
    (source / "render_spec.json").unlink()
    (source / "brief.yaml").write_text(
        "media: [{path: a.png, duration: 3}]\nmusic: none\nvariants: {hooks: [One, Two]}\n"
    )
    tiny(place.root / "camp/urgent", hue=120)
    (place.root / "camp/urgent/render_spec.json").unlink()
    (place.root / "camp/urgent/brief.yaml").write_text(
        "media: [{path: a.png, duration: 3}]\nmusic: none\npriority: 5\n"
    )
    tiny(place.root / "camp/gone", segments=[{"media": ["nowhere.png"], "duration": 3}])
    (place.root / "camp/torn").mkdir()
    (place.root / "camp/torn/brief.yaml").write_text("media: [a.png\n")
    place.start()
    place.wait(lambda es: sum(e.state == "done" for e in es) >= 2, 90)
    place.kill()
    place.start()
    entries = place.wait(ended(9), 120)
    done = {e.key for e in entries if e.state == "done"}
    assert done == {
        "camp/b0 é🎉",
        "camp/b1 é🎉",
        "camp/b2 é🎉",
        "camp/b3 é🎉",
        "camp/many-h1",
        "camp/many-h2",
        "camp/urgent",
    }
    wrong = {e.key: e.error for e in entries if e.state == "refused"}
    assert wrong.keys() == {"camp/gone", "camp/torn"}
    assert "nowhere.png does not exist" in wrong["camp/gone"]
    assert "line 2" in wrong["camp/torn"]
    assert Counter(r.tags[BRIEF_TAG] for r in runs(place)) == dict.fromkeys(states(place), 1)
    (first,) = runs(place, **{BRIEF_TAG: "camp/urgent"})
    assert first.tags["dagster/priority"] == "5"
    store = Path(place.settings.store)
    assert all((store / f"videos/{key}/video.mp4").is_file() for key in done)

    # What was wrong runs by itself once it is mended; nothing else does.
    shutil.copyfile(place.root / "camp/many/a.png", place.root / "camp/gone/nowhere.png")
    place.wait(lambda es: {e.key: e.state for e in es}["camp/gone"] == "done", 60)
    assert Counter(r.tags[BRIEF_TAG] for r in runs(place))["camp/b1 é🎉"] == 1

    # A person wants all finished videos checked again, then one rendered anew.
    before = time.time()
    _ask(place, "camp", "recheck")
    place.ledger.want(["camp/b0 é🎉"], "rerender")
    place.wait(
        lambda es: (
            sum(e.state == "done" and e.updated > before for e in es) == 8
            and not any(e.wanted for e in es)
        ),
        60,
    )
    actions = Counter(r.tags.get(ACTION_TAG, "render") for r in runs(place))
    assert actions["recheck"] == 7 and actions["rerender"] == 1


def _ask(place: Deployment, campaign: str, action: str) -> None:
    """The campaign's job, as the launch pad runs it."""
    config = {"campaign": campaign, "action": action}
    with place.instance() as instance:
        result = campaign_job.execute_in_process(
            run_config={"ops": {"ask_for_campaign": {"config": config}}},
            instance=instance,
            resources={"ledger": place.ledger},
        )
    assert result.success


def test_a_run_is_cancelled_wherever_it_is(place: Deployment):
    """One that renders, and one that waits behind it. What it had started ends with it."""
    segments = [
        {"media": ["a.png"], "duration": 30, "text": f"Part {i}", "motion": "push_in"}
        for i in (1, 2)
    ]
    for name in ("long", "longer", "last"):
        tiny(place.root / f"camp/{name}", resolution="1080x1920", segments=segments)
    place.environment["PYTOON_WORKERS"] = "1"
    place.start()
    place.wait(lambda es: any(e.progress > 0.05 for e in es), 90)
    running = next(e for e in place.ledger.find() if e.progress > 0.05)
    waiting = [r for r in runs(place) if r.status != dg.DagsterRunStatus.STARTED][-1:]
    (run,) = runs(place, **{BRIEF_TAG: running.key})
    pid = pid_of(run.tags[PROCESS_TAG])
    assert pid is not None and run.run_id == running.run_id
    with place.instance() as instance:
        for each in [run, *waiting]:
            instance.run_coordinator.cancel_run(each.run_id)
    place.wait(lambda es: {e.key: e.state for e in es}[running.key] == "cancelled", 30)
    end = time.monotonic() + 20
    while pid_of(run.tags[PROCESS_TAG]) and time.monotonic() < end:
        time.sleep(0.2)
    assert pid_of(run.tags[PROCESS_TAG]) is None, "its process is gone"
    assert not _children(pid), "and its encoder"
    with place.instance() as instance:
        for each in [run, *waiting]:
            assert instance.get_run_by_id(each.run_id).status == dg.DagsterRunStatus.CANCELED
        for each in instance.get_runs():
            if not each.is_finished:
                instance.run_coordinator.cancel_run(each.run_id)


def _children(pid: int) -> list[int]:
    """Processes of the group that this one led."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == pid:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def test_what_was_killed_or_lost_is_noted(place: Deployment):
    """The ledger against the runs, without a daemon."""
    ledger: Ledger = place.ledger
    for name in ("killed", "cancelled", "done", "lost"):
        ledger.register(find_sources([tiny(place.root / f"c/{name}")])[0])
        ledger.request(f"c/{name}", "h", "l")
    tags = {name: {BRIEF_TAG: f"c/{name}"} for name in ("killed", "cancelled", "done")}
    with place.instance() as instance:
        made = {n: instance.create_run_for_job(_nothing, tags=t) for n, t in tags.items()}
        instance.report_run_failed(made["killed"])
        instance.report_run_canceled(made["cancelled"])
        for kind in ("RUN_START", "RUN_SUCCESS"):
            event = dg.DagsterEvent(dg.DagsterEventType[kind].value, "_nothing")
            instance.report_dagster_event(event, made["done"].run_id)
        assert reconcile_states(instance, ledger, 4) == 0, "it may be taken up again yet"
        assert reconcile_states(instance, ledger, 4, now=time.time() + 60) == 4
    assert states(place) == {
        "c/killed": "failed",
        "c/cancelled": "cancelled",
        "c/done": "done",
        "c/lost": "new",
    }
    assert ledger.find_entry("c/lost").wanted == "render"


@dg.job
def _nothing() -> None: ...


def test_a_tag_tells_whether_its_process_is_there():
    assert pid_of(process_tag()) == os.getpid()
    host, pid, start = process_tag().split(":")
    assert pid_of(f"{host}:{pid}:{int(start) + 1}") is None, "the number came again"
    assert pid_of(f"elsewhere:{pid}:{start}") is None
    child = os.fork()
    if child == 0:
        signal.pause()
    tag = process_tag(child)
    assert pid_of(tag) == child
    os.kill(child, signal.SIGKILL)
    time.sleep(0.2)
    assert pid_of(tag) is None, "though nobody has asked how it ended"
    os.waitpid(child, 0)


def test_containers_that_share_a_host_name_do_not_end_each_others_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = process_tag()
    place, pid, start = own.split(":")
    machine, boot, pids = place.rpartition("~")[2].split(".")
    host = place.rpartition("~")[0]
    other = f"{host}~{machine}.{boot}.beef:{10**8}:1"
    assert pid_of(other) is None and not process_tags.is_gone(other), "another container's"
    assert process_tags.is_gone(f"{place}:{10**8}:1"), "of this one it is known"
    monkeypatch.setattr(process_tags, "_machine_identity", lambda: "m.new.initial")
    assert process_tags.is_gone(f"{host}~m.old.initial:{pid}:{start}"), (
        "the machine was started anew"
    )
    assert not process_tags.is_gone(f"{host}~m.old.beef:{pid}:{start}")
    assert not process_tags.is_gone(f"{host}~n.old.initial:{pid}:{start}"), "another machine"
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(_nothing, tags={PROCESS_TAG: other})
        event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "_nothing")
        instance.report_dagster_event(event, run.run_id)
        assert not run_process.run_is_gone(instance, run)
        monkeypatch.setattr(run_process, "QUIET_SECONDS", 0.0)
        assert run_process.run_is_gone(instance, run), "it has said nothing for long"


@dg.job
def _nothing() -> None: ...


def test_a_cancelled_run_leaves_no_prompt_behind(tmp_path: Path):
    """Footage of a model is asked for and waited for; what ends the run ends the wait, and the
    server is free for others."""
    with ComfyServer(steps=200, run_seconds=60) as comfy:
        place = Deployment(tmp_path, PYTOON_COMFYUI_URL=comfy.url)
        picture(place.root / "camp/steam/a.png")
        (place.root / "camp/steam/brief.yaml").write_text(
            "media: [a.png]\nmusic: none\ngenerate: steam rises\n"
        )
        with place:
            end = time.monotonic() + 60
            while not comfy.runs and time.monotonic() < end:
                time.sleep(0.2)
            assert comfy.runs, place.log.read_text(errors="replace")[-2000:]
            (run,) = runs(place)
            assert run.tags[GPU_TAG] == "1"
            with place.instance() as instance:
                instance.run_coordinator.cancel_run(run.run_id)
            place.wait(lambda es: [e.state for e in es] == ["cancelled"], 30)
            end = time.monotonic() + 20
            while comfy.busy and time.monotonic() < end:
                time.sleep(0.2)
        assert comfy.cancels and not comfy.busy
        with place.instance() as instance:
            said = [e.message or "" for e in instance.all_logs(run.run_id)]
        assert any(line.endswith("is cancelled") for line in said), "engines are heard"
