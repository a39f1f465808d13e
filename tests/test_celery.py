"""Runs on workers: a real Redis, a real PostgreSQL, a daemon, and `pytoon worker` beside it."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import WorkerStatus
from dagster._core.launcher.base import LaunchRunContext
from deployment import Deployment, tiny
from redis_server import RedisServer
from workers import WorkerProcess

from pytoon_pipeline.cli.worker import ping_worker
from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.defs.videos.reconcile import reconcile_states
from pytoon_pipeline.errors import SettingsError, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.locks import try_lock
from pytoon_pipeline.process_tags import PROCESS_TAG, WORKER_TAG, alive_file, pid_of
from pytoon_pipeline.runtime import celery_launcher, heartbeats
from pytoon_pipeline.runtime.celery_launcher import BrokerError
from pytoon_pipeline.runtime.worker import run_worker
from pytoon_pipeline.settings import project_data


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def place(
    tmp_path: Path, database: str, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deployment]:
    made = Deployment(tmp_path, PYTOON_DATABASE=database, PYTOON_BROKER=redis.url)
    file = made.dagster_home / "dagster.yaml"
    settings = yaml.safe_load(file.read_text())
    assert settings["run_launcher"]["class"] == "CeleryLauncher"
    # What is a minute for a person is a moment here.
    settings["run_launcher"]["config"] |= {"beat_seconds": 0.5, "dead_after_seconds": 6.0}
    settings["run_monitoring"]["poll_interval_seconds"] = 1
    file.write_text(yaml.safe_dump(settings))
    for name, value in made.own.items():
        monkeypatch.setenv(name, value)
    yield made
    made.stop()


def runs(place: Deployment, key: str) -> list[dg.DagsterRun]:
    """Of a brief, the first first."""
    with place.instance() as instance:
        return instance.get_runs(dg.RunsFilter(tags={BRIEF_TAG: key}))[::-1]


def until(place: Deployment, seconds: float, true) -> None:
    place.wait(lambda entries: bool(true({e.key: e for e in entries})), seconds)


def test_a_worker_renders_and_what_dies_on_it_is_taken_up_once(place: Deployment, tmp_path: Path):
    """A run's process is killed, and the run that follows it is cancelled; a task that comes twice
    does nothing; told to end, the worker finishes what it renders."""
    parts = [
        {"media": ["a.png"], "duration": 30, "text": f"Part {i}", "motion": "push_in"}
        for i in (1, 2)
    ]
    tiny(place.root / "c/long", resolution="1080x1920", segments=parts)
    tiny(place.root / "c/short", hue=50)
    worker = WorkerProcess(
        tmp_path / "worker", place.environment, "--at-once", "2", "--name", "anvil"
    )
    place.start()
    try:
        until(place, 60, lambda es: "c/long" in es and es["c/long"].progress > 0.05)
        (first,) = runs(place, "c/long")
        assert first.tags[WORKER_TAG] == "anvil"
        os.kill(pid_of(first.tags[PROCESS_TAG]), signal.SIGKILL)

        until(place, 40, lambda es: es["c/long"].run_id != first.run_id)
        until(place, 40, lambda es: es["c/long"].progress > 0.05)
        first, second = runs(place, "c/long")
        assert first.status == dg.DagsterRunStatus.FAILURE
        assert second.parent_run_id == first.run_id
        process = second.tags[PROCESS_TAG]
        assert pid_of(process) != pid_of(first.tags[PROCESS_TAG])
        with place.instance() as instance:
            health = instance.run_launcher.check_run_worker_health(second)
            assert health.status == WorkerStatus.RUNNING
            assert instance.run_coordinator.cancel_run(second.run_id)
        until(place, 30, lambda es: es["c/long"].state == "cancelled")

        until(place, 60, lambda es: "c/short" in es and es["c/short"].state == "done")
        (short,) = runs(place, "c/short")
        assert (Path(place.settings.store) / "videos/c/short/video.mp4").is_file()
        app = celery_launcher.broker_app(place.settings.broker)
        app.send_task(celery_launcher.TASK, (short.run_id,), queue=celery_launcher.QUEUE)
        worker.wait_for(f"Run {short.run_id[:8]} is not waiting for a worker any more")
        assert len(runs(place, "c/short")) == 1 and len(runs(place, "c/long")) == 2

        place.ledger.want(["c/short"], "rerender")
        until(place, 40, lambda es: es["c/short"].state == "running")
        worker.stop()
        assert worker.process.returncode == 0, worker.said()[-2000:]
        assert place.ledger.find_entry("c/short").state == "done"
    finally:
        worker.stop()


def test_what_redis_loses_is_sent_again(place: Deployment, redis: RedisServer, monkeypatch):
    monkeypatch.setattr(celery_launcher, "LOST_SECONDS", -1.0)
    with place.instance() as instance:
        launcher = instance.run_launcher
        made = {p: _starting(instance, p) for p in ("0", "-1", "5")}
        for run in made.values():
            launcher.launch_run(LaunchRunContext(run, None))
        ids = {run.run_id for run in made.values()}
        assert launcher._waiting_runs({celery_launcher.QUEUE}) == ids
        reconcile_states(instance, place.ledger, 0)
        assert _lengths(redis) == 3, "what waits is not sent again"

        redis.kill()
        redis.start()
        assert launcher._waiting_runs({celery_launcher.QUEUE}) == set()
        # One of them was taken by a worker just before.
        assert heartbeats.claim_run(place.ledger, made["-1"].run_id, "elsewhere:1:1")
        reconcile_states(instance, place.ledger, 0)
        assert launcher._waiting_runs({celery_launcher.QUEUE}) == ids - {made["-1"].run_id}

        # Without a broker a run waits; it is not failed.
        redis.kill()
        late = _starting(instance, "100")
        launcher.launch_run(LaunchRunContext(late, None))
        reconcile_states(instance, place.ledger, 0)
        assert instance.get_run_by_id(late.run_id).status == dg.DagsterRunStatus.STARTING
        redis.start()
        reconcile_states(instance, place.ledger, 0)
        with launcher.celery.connection_for_read() as connection:
            queue = connection.SimpleQueue(celery_launcher.QUEUE)
            order = [queue.get(timeout=5).headers["id"] for _ in range(3)]
        assert set(order[:2]) == {made["5"].run_id, late.run_id}, "higher comes first"
        assert order[2] == made["0"].run_id

        # The worker that took one is silent: its run is taken for dead, and is no longer its own.
        heartbeats.release_runs(place.ledger, processes=["elsewhere:1:1"])
        reconcile_states(instance, place.ledger, 0)
        assert instance.get_run_by_id(made["-1"].run_id).status == dg.DagsterRunStatus.FAILURE
        assert not heartbeats.record_heartbeat(place.ledger, made["-1"].run_id, "elsewhere:1:1")
        # One that nobody has yet is cancelled at once.
        assert launcher.terminate(late.run_id)
        assert instance.get_run_by_id(late.run_id).status == dg.DagsterRunStatus.CANCELED


@dg.job
def _nothing() -> None: ...


def _starting(instance: dg.DagsterInstance, priority: str) -> dg.DagsterRun:
    run = instance.create_run_for_job(_nothing, tags={"dagster/priority": priority})
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, "_nothing")
    instance.report_dagster_event(event, run.run_id)
    return instance.get_run_by_id(run.run_id)


def _lengths(redis: RedisServer) -> int:
    with redis.client() as client:
        names = [k for k in client.keys("pytoon*") if client.type(k) == b"list"]
        return sum(client.llen(k) for k in names)


def test_a_run_is_claimed_once(database: str, tmp_path: Path, monkeypatch):
    for ledger in (Ledger(database), Ledger(tmp_path / "briefs.db")):
        with ThreadPoolExecutor(8) as pool:
            claims = list(
                pool.map(lambda i, at=ledger: heartbeats.claim_run(at, "r", f"p{i}"), range(8))
            )
        assert claims.count(True) == 1
        mine = f"p{claims.index(True)}"
        assert heartbeats.record_heartbeat(ledger, "r", mine) and not heartbeats.record_heartbeat(
            ledger, "r", "p9"
        )
        assert 0 <= heartbeats.heartbeat_ages(ledger, ["r", "other"])["r"] < 5
        heartbeats.release_runs(ledger, runs=["r"])
        assert heartbeats.heartbeat_ages(ledger, ["r"])[
            "r"
        ] > 1e6 and not heartbeats.record_heartbeat(ledger, "r", mine)
        assert not heartbeats.claim_run(ledger, "r", "another"), "once and for all"
        assert (
            heartbeats.claim_run(ledger, "s", mine) and heartbeats.find_holder(ledger, "r") == mine
        )
        monkeypatch.setattr(heartbeats, "FORGET_SECONDS", -1.0)
        assert (
            heartbeats.claim_run(ledger, "t", mine)
            and heartbeats.heartbeat_ages(ledger, ["r", "s", "t"]) == {}
        )
        monkeypatch.undo()


@pytest.mark.parametrize(
    "beat, fate, how",
    [
        (lambda: True, lambda: heartbeats.RunFate.ended, signal.SIGKILL),
        (lambda: False, lambda: heartbeats.RunFate.on, signal.SIGKILL),
        (lambda: time.sleep(60), lambda: heartbeats.RunFate.on, signal.SIGKILL),
        (lambda: True, lambda: heartbeats.RunFate.cancelled, signal.SIGINT),
    ],
    ids=["declared dead", "another's", "cut off", "cancelled"],
)
def test_a_run_that_is_no_longer_its_own_ends(beat, fate, how):
    """With what it had started; cancelled, it is asked first."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        encoder = os.fork()
        if encoder == 0:
            time.sleep(60)
            os._exit(0)
        os.write(writer, b"%d" % encoder)
        signal.signal(signal.SIGINT, lambda *_: os._exit(7))
        with heartbeats.Heartbeat(beat, fate, every=0.1, dead=1.5):
            time.sleep(30)
        os._exit(0)
    encoder = int(os.read(reader, 20))
    _, status = os.waitpid(child, 0)
    os.close(reader), os.close(writer)
    if how == signal.SIGINT:
        assert os.waitstatus_to_exitcode(status) == 7
        os.kill(encoder, signal.SIGKILL)
        return
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    end = time.monotonic() + 5
    while _alive(encoder) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(encoder)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_workers_need_is_the_only_difference_of_the_settings():
    one, other = (
        yaml.safe_load((project_data("deploy") / f"dagster.{n}.yaml").read_text())
        for n in ("postgres", "celery")
    )
    assert one["run_launcher"]["class"] != other["run_launcher"]["class"]
    for settings in (one, other):
        del settings["run_launcher"], settings["run_retries"]["max_retries"]
        del settings["concurrency"]["runs"]["max_concurrent_runs"]
        del settings["run_monitoring"]["start_timeout_seconds"]
    assert one == other


def test_a_worker_says_what_it_lacks(
    place: Deployment, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, capsys
):
    for name in ("DAGSTER_HOME", "PYTOON_WORKERS"):
        monkeypatch.setenv(name, place.environment.get(name, "1"))  # Put back afterwards.
    for name in ("broker", "database"):
        with pytest.raises(SettingsError, match=f"PYTOON_{name.upper()}: is not set"):
            run_worker(dataclasses.replace(place.settings, **{name: None}))
    with try_lock(alive_file(place.settings.home, "anvil")):
        assert ping_worker("anvil") == 0
        with pytest.raises(UserError, match="A worker anvil runs already"):
            run_worker(place.settings, name="anvil")
    os.utime(alive_file(place.settings.home, "anvil"), (0, 0))
    assert ping_worker("anvil") == 1 and ping_worker("nobody") == 1
    assert "was last heard of" in capsys.readouterr().out
    redis.stop()
    with pytest.raises(BrokerError, match="PYTOON_BROKER: the Redis server can't be reached"):
        run_worker(place.settings)
