"""The Dagster layer: definitions, a real run with its checks, failures."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from ledger_states import force_state

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.defs import metadata
from pytoon_pipeline.defs.collect import collect_definitions
from pytoon_pipeline.defs.partitions import BRIEFS, CAMPAIGNS
from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG, brief_job
from pytoon_pipeline.errors import EngineFailedError, UserError
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.process_tags import PROCESS_TAG, is_gone, process_tag
from pytoon_pipeline.quality.checks import CHECK_NAMES
from pytoon_pipeline.runtime import dev_server as dev_module
from pytoon_pipeline.runtime.brief_runs import BriefResult, open_instance, run_brief
from pytoon_pipeline.runtime.dev_server import run_dev_server
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages import results, segments
from pytoon_pipeline.stages.documents import SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import Services, open_services


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Definitions -------------------------------------------------------------------------------------


def test_all_definitions_load_wherever_they_are(tmp_path: Path):
    """Under settings that point nowhere, without the heavy libraries, and without a warning."""
    code = (
        "import sys; from pytoon_pipeline.definitions import defs; import dagster as dg;"
        "dg.Definitions.validate_loadable(defs);"
        "print([m for m in ('cv2', 'av', 'numpy', 'PIL', 'pandas', 'boto3') if m in sys.modules])"
    )
    environment = {
        **os.environ,
        "PYTOON_HOME": str(tmp_path / "gone"),
        "PYTOON_BRIEFS_DIR": "/nowhere",
        "PYTOON_STORE": "s3://placeholder/x",
    }
    ended = subprocess.run(
        [sys.executable, "-W", "error::dagster.PreviewWarning", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended.stderr


def test_every_asset_says_what_it_is():
    graph = collect_definitions().resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {
        "render_spec",
        "segments",
        "assembled_video",
        "thumbnail",
        "metrics",
        "campaign_report",
    }
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description and node.kinds and node.owners
        own = CAMPAIGNS if key.path[-1] == "campaign_report" else BRIEFS
        assert node.partitions_def == own
    checks = {key.name: graph.get(key) for key in graph.asset_check_keys}
    assert sorted(checks) == sorted(CHECK_NAMES)
    assert all(check.description and check.partitions_def == BRIEFS for check in checks.values())


# A real run --------------------------------------------------------------------------------------


class Place:
    """An install of its own in a temporary folder, with a campaign of tiny briefs."""

    def __init__(self, home: Path):
        self.root = home / "briefs"
        self.settings: Settings = load_settings(
            {"PYTOON_HOME": str(home / "home"), "PYTOON_BRIEFS_DIR": str(self.root)}
        )
        self.services: Services = open_services(self.settings)

    def brief(self, name: str, **changes: object) -> BriefSource:
        """Two seconds of 270x480 with a moving picture and a caption."""
        import cv2
        import numpy as np

        folder = self.root / "camp" / name
        folder.mkdir(parents=True, exist_ok=True)
        y, x = np.mgrid[0:480, 0:270]
        picture = np.dstack([x % 256, y % 256, (x // 20 + y // 20) % 2 * 200]).astype(np.uint8)
        cv2.imwrite(str(folder / "a.png"), picture)
        spec = {
            "archetype": "hero",
            "resolution": "270x480",
            "segments": [{"media": ["a.png"], "duration": 2, "text": "Hello", "motion": "push_in"}],
            "audio_track": False,
            **changes,
        }
        write(folder / "render_spec.json", json.dumps(spec))
        return find_sources([folder])[0]

    def run(self, source: BriefSource, reporter: Reporter | None = None) -> BriefResult:
        with open_instance(self.settings) as instance:
            return run_brief(source, self.services, reporter or Reporter(), instance)

    def logs(self, run_id: str, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        with open_instance(self.settings) as instance:
            entries = instance.all_logs(run_id, of_type=kind)
        return [e.dagster_event for e in entries if e.dagster_event]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for all tests, which name their briefs differently."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        yield Place(tmp_path_factory.mktemp("place"))


def test_a_brief_goes_through_all_assets_and_checks(place: Place, capfd: pytest.CaptureFixture):
    stages: list[str] = []

    class Eye(Reporter):
        def stage(self, key: str, stage: str) -> None:
            stages.append(stage)

        def finished(self, key: str, metrics: object) -> None:
            stages.append("finished")

    result = place.run(place.brief("smörgås 夏"), Eye())
    assert (result.ok, result.key, result.problems, result.error) == (
        True,
        "camp/smörgås 夏",
        [],
        None,
    )
    assert stages == [
        "render_spec",
        "segments",
        "assembled_video",
        "quality",
        "thumbnail",
        "metrics",
        "finished",
    ]
    assert capfd.readouterr() == ("", ""), "the terminal belongs to the command line"
    assert [v.name for v in result.metrics.verdicts] == list(CHECK_NAMES)
    assert place.services.store.exists(f"videos/{result.key}/video.mp4")
    assert place.services.store.exists(f"documents/metrics/{result.key}.json")

    evaluations = [
        e.asset_check_evaluation_data
        for e in place.logs(result.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    assert [e.check_name for e in evaluations] == list(CHECK_NAMES)
    assert {e.partition for e in evaluations} == {result.key}
    shown = {
        e.asset_key.to_user_string(): e.step_materialization_data.materialization.metadata
        for e in place.logs(result.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    }
    (row,) = shown["segments"]["segments"].records
    assert row.data["engine"] == "compositor" and row.data["frames"] == 60
    assert shown["thumbnail"]["preview"].value.startswith("![thumbnail](data:image/")
    assert shown["assembled_video"]["seconds"].value == 2.0
    assert Ledger(place.settings.ledger).find_entry(result.key).state == "done"

    with open_instance(place.settings) as instance:
        run = instance.get_run_by_id(result.run_id)
        assert run.tags["pytoon/campaign"] == "camp" and run.tags["pytoon/brief"] == result.key
        # Dagster's own storage reads what ours has written.
        plain = DagsterSqliteStorage.from_local(str(place.settings.dagster_home))
        assert len(plain.event_log_storage.get_logs_for_run(run.run_id)) == len(
            instance.all_logs(run.run_id)
        )


def test_processes_that_start_together_share_a_new_home(tmp_path: Path):
    """As webserver, daemon and their code servers do on the first day."""
    code = (
        "import sys, time\n"
        "from pytoon_pipeline.runtime.sqlite_storage import PooledSqliteStorage as S\n"
        "import dagster._core.storage.schedules.sqlite.sqlite_schedule_storage as tables\n"
        "stamp = tables.stamp_alembic_rev\n"
        "tables.stamp_alembic_rev = lambda *a, **k: (time.sleep(0.5), stamp(*a, **k))\n"
        "sys.stdin.readline(); S(sys.argv[1]).run_storage.get_runs()"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "home")],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    ended = [each.communicate(timeout=60)[1] for each in started]
    assert [each.returncode for each in started] == [0, 0, 0], ended


def test_an_unchanged_brief_is_found_whole(place: Place):
    source = place.brief("again")
    assert not place.run(source).metrics.video.cached
    again = place.run(source).metrics
    assert again.video.cached and all(s.cached for s in again.segments)


def test_a_wrong_brief_fails_with_all_its_problems(place: Place, capfd: pytest.CaptureFixture):
    source = place.brief("wrong", archetype="heroo", colour="red")
    result = place.run(source)
    assert not result.ok and result.error is None and result.metrics is None
    assert {p.field for p in result.problems} == {"archetype", "colour"}
    (failure,) = place.logs(result.run_id, dg.DagsterEventType.STEP_FAILURE)
    told = failure.step_failure_data.user_failure_data
    assert "2 problems" in told.description and "'hero'" in told.description
    assert [r.data["field"] for r in told.metadata["problems"].records] == ["archetype", "colour"]
    entry = Ledger(place.settings.ledger).find_entry(result.key)
    assert entry.state == "refused" and "heroo" in entry.error
    assert capfd.readouterr() == ("", "")
    assert place.run(place.brief("wrong")).ok, "it is mended"


def test_checks_that_did_not_run_are_not_shown_as_failed(place: Place):
    """What Dagster shows of a check is the last row of its history: one that is still planned when
    its run has failed is shown red."""
    assert place.run(place.brief("judged")).ok
    assert not place.run(place.brief("judged", archetype="heroo")).ok
    assert not place.run(place.brief("never", archetype="heroo")).ok
    key = dg.AssetCheckKey(dg.AssetKey("assembled_video"), CHECK_NAMES[0])
    states = {}
    with open_instance(place.settings) as instance:
        for name in ("judged", "never"):
            history = instance.event_log_storage.get_asset_check_execution_history(
                key, limit=5, partition_filter=PartitionKeyFilter(key=f"camp/{name}")
            )
            states[name] = [record.status.value for record in history]
    assert states == {"judged": ["SUCCEEDED"], "never": []}


def test_why_a_brief_was_refused_is_said_on_its_partition_and_run(place: Place):
    result = place.run(place.brief("why", archetype="heroo", colour="red"))
    with open_instance(place.settings) as instance:
        run = instance.get_run_by_id(result.run_id)
        (seen,) = instance.fetch_observations(dg.AssetKey("render_spec"), 5).records[:1]
    assert run.tags["pytoon/refused"].startswith('archetype: "heroo" is not one of')
    assert run.tags["pytoon/refused"].endswith("(and 1 more)")
    shown = seen.asset_observation
    assert shown.partition == "camp/why" and "heroo" in shown.description
    assert [r.data["field"] for r in shown.metadata["problems"].records] == ["archetype", "colour"]


def test_a_failed_engine_is_told_with_what_was_done(place: Place, monkeypatch: pytest.MonkeyPatch):
    done = SegmentRecord(
        segment_id="s1",
        fingerprint="f",
        key="k",
        engine="compositor",
        frames=30,
        seconds=1.5,
        cached=False,
    )

    def fail(*_: object, **__: object) -> None:
        cause = EngineFailedError("no memory", "x264 [error]: malloc failed")
        failed = {"s2": "compositor: no memory"}
        raise segments.SegmentsFailedError("camp/unlucky", failed, [done]) from cause

    monkeypatch.setattr(segments, "render_segments", fail)
    result = place.run(place.brief("unlucky"))
    assert not result.ok and result.problems == []
    assert "s2: compositor: no memory" in result.error and "malloc failed" in result.error
    (failure,) = place.logs(result.run_id, dg.DagsterEventType.STEP_FAILURE)
    told = failure.step_failure_data.user_failure_data.metadata
    assert [r.data["segment"] for r in told["segments"].records] == ["s1", "s2"]
    assert "malloc failed" in told["log"].value
    assert Ledger(place.settings.ledger).find_entry(result.key).state == "failed"


def test_a_fault_of_the_program_comes_with_its_traceback(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(segments, "render_segments", lambda *_, **__: 1 / 0)
    result = place.run(place.brief("bug"))
    assert result.error == "ZeroDivisionError: division by zero"
    assert "render_segments" in result.traceback


def test_ctrl_c_ends_the_run_and_is_raised(place: Place, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(segments, "render_segments", interrupt)
    with pytest.raises(KeyboardInterrupt):
        place.run(place.brief("stopped"))
    entry = Ledger(place.settings.ledger).find_entry("camp/stopped")
    assert entry.content_hash == "", "the sensor will take it up"
    assert entry.state == "cancelled"
    with open_instance(place.settings) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"pytoon/brief": "camp/stopped"}))
    assert [r.status for r in runs] == [dg.DagsterRunStatus.FAILURE]


def test_a_failing_check_shows(place: Place, monkeypatch: pytest.MonkeyPatch):
    judge = results.judge_video

    def harsh(*arguments: object, **more: object) -> tuple:
        measurement, verdicts = judge(*arguments, **more)
        bad = {"passed": False, "severity": "error", "message": "too long", "remedy": "Cut it."}
        measured = {"seconds": 70.5, "peak": float("inf"), "spans": [(1, 2)]}
        return measurement, [verdicts[0].model_copy(update={**bad, "measured": measured})] + [
            *verdicts[1:]
        ]

    monkeypatch.setattr(results, "judge_video", harsh)
    result = place.run(place.brief("long"))
    first = place.logs(result.run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)[0]
    shown = first.asset_check_evaluation_data
    assert (shown.passed, shown.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert shown.description == "too long"
    assert shown.metadata["seconds"].value == 70.5
    assert shown.metadata["remedy"].value == "Cut it."
    assert shown.metadata["peak"].value == "inf", "JSON has no infinity"


def test_the_daemons_own_resources_render_too(place: Place, monkeypatch: pytest.MonkeyPatch):
    """As a run worker does it: everything from the environment."""
    source = place.brief("worker")
    monkeypatch.setenv("PYTOON_HOME", str(place.settings.home))
    key = Ledger(place.settings.ledger).register(source)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(BRIEFS.name, [key])
        job = collect_definitions().resolve_job_def(brief_job.name)
        result = job.execute_in_process(instance=instance, partition_key=key)
        assert instance.get_run_by_id(result.run_id).tags["pytoon/campaign"] == "camp"
    assert place.services.store.exists(f"videos/{key}/video.mp4")


def test_a_run_whose_process_was_killed_is_ended(place: Place):
    with open_instance(place.settings) as instance:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        runs = {}
        for name, pid in (("dead", gone.pid), ("alive", os.getpid())):
            tags = {PROCESS_TAG: f"{socket.gethostname()}:{pid}"}
            run = instance.create_run_for_job(_empty, tags=tags)
            runs[name] = run.run_id
            instance.report_dagster_event(
                dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "_empty"), run.run_id
            )
    with open_instance(place.settings) as instance:
        states = {name: instance.get_run_by_id(i).status for name, i in runs.items()}
    assert states == {
        "dead": dg.DagsterRunStatus.FAILURE,
        "alive": dg.DagsterRunStatus.STARTED,
    }


@dg.job
def _empty() -> None: ...


def test_text_of_a_note_is_not_markup():
    shown = metadata.bullet_list(["50 % *off* [now](http://x)", "<b>two\nlines</b>"])
    assert shown.value == ("- 50 % \\*off\\* \\[now\\](http://x)\n- \\<b\\>two lines\\</b\\>")


def test_a_taken_port_is_said(place: Place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match="--port"):
            run_dev_server(place.settings, port=other.getsockname()[1])


_STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
if len(sys.argv) == 1:
    run = subprocess.Popen([sys.executable, __file__, "run"], start_new_session=True)
    print(run.pid, flush=True)
    time.sleep(60)
time.sleep(60)
"""


def test_the_end_of_a_deployment_leaves_no_process_and_loses_no_brief(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    """A part that does not end, and a run in a session of its own that it has started."""
    monkeypatch.setattr(dev_module, "GRACE_SECONDS", 0.2)
    script = write(tmp_path / "stubborn.py", _STUBBORN)
    child = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, dev_module.MARK: "abc"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    pid = int(child.stdout.readline())
    ledger = Ledger(place.settings.ledger)
    key = ledger.register(place.brief("broken off"))
    force_state(ledger, key, state="running")
    with open_instance(place.settings) as instance:
        tags = {PROCESS_TAG: process_tag(pid), BRIEF_TAG: key}
        run = instance.create_run_for_job(_empty, tags=tags)
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "_empty"), run.run_id
        )
    dev_module._end_children({"web": child}, "abc", place.settings, dev_module._StopRequests())
    assert child.returncode is not None and is_gone(tags[PROCESS_TAG])
    with open_instance(place.settings) as instance:
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
    entry = ledger.find_entry(key)
    assert (entry.state, entry.wanted) == ("new", "render"), "the next start takes it up"
    out, error = capfd.readouterr()
    assert out.count("\n") == 1 and "Ending" in out and error == ""


def test_a_sensor_ticks_again_after_its_clock_ran_ahead(settings: Settings) -> None:
    """Dagster waits until the time of the last tick comes once more: two hours, if it was so far
    ahead."""
    from dagster._core.definitions.run_request import InstigatorType
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import (
        InstigatorState,
        InstigatorStatus,
        SensorInstigatorData,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    place = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="m"), location_name="m")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(place, "r"), "intake")
    ahead = time.time() + 7200
    with open_instance(settings) as instance:
        data = SensorInstigatorData(last_tick_timestamp=ahead, last_tick_start_timestamp=ahead)
        instance.add_instigator_state(
            InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)
        )
    with open_instance(settings) as instance:
        [state] = instance.all_instigator_state()
        assert state.instigator_data.last_tick_start_timestamp < time.time() + 1
        assert state.status == InstigatorStatus.RUNNING
