"""`pytoon worker`: takes runs from the broker's queues, several at a time, on any machine.

A Celery worker whose parent process has everything imported before it forks its children; a child
has one run after another. What machines need to know of each other lies in the database.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
from celery import signals
from celery.apps.worker import Worker
from celery.worker import state as celery_state

from pytoon_pipeline import interrupts
from pytoon_pipeline.dagster_private import _execute_run_command_body, capture_interrupts
from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.errors import Problem, PytoonError, SettingsError, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.locks import try_lock
from pytoon_pipeline.maintenance.machine import MachineTidying
from pytoon_pipeline.process_tags import PROCESS_TAG, WORKER_TAG, alive_file, is_gone, process_tag
from pytoon_pipeline.runtime import heartbeats, prefork
from pytoon_pipeline.runtime.brief_runs import prepare_home
from pytoon_pipeline.runtime.celery_launcher import (
    GPU_QUEUE,
    QUEUE,
    TASK,
    CeleryLauncher,
    connect_broker,
    open_ledger,
)
from pytoon_pipeline.settings import Settings, runs_at_once, scenes_at_once
from pytoon_pipeline.store import open_store
from pytoon_pipeline.telemetry import logs

ALIVE_SECONDS = 5
"""A worker says so often, in a file, that it is there."""
RUNS_PER_CHILD, CHILD_BYTES = 50, 2 * 2**30
"""A child is replaced after so many runs, or when it holds more memory after one."""


def run_worker(
    settings: Settings,
    at_once: int | None = None,
    queues: Sequence[str] = (),
    name: str | None = None,
) -> int:
    """Runs until it is told to end. SIGTERM: what runs is finished, nothing new is taken. A second
    one, or SIGINT: what runs is broken off and left to other workers. Returns 0, or 1 when Celery
    gave up.

    Raises SettingsError, StoreError or BrokerError when something that it needs is not there, and
    UserError when a worker of this name runs already.
    """
    name = name or socket.gethostname()
    at_once = at_once or runs_at_once()
    _require_servers(settings)
    home = prepare_home(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    # The runs share the cores; a person may have said otherwise.
    os.environ.setdefault("PYTOON_WORKERS", str(scenes_at_once(at_once)))
    ledger = open_ledger(settings.ledger)
    store = open_store(settings)
    store.patience = 0.0
    store.exists("segments/none")
    launcher = _configured_launcher(home)
    connect_broker(launcher.celery)
    try:
        lock = try_lock(alive_file(settings.home, name))
    except OSError as error:
        raise SettingsError(
            Problem(
                "settings.home",
                f"{settings.home} can't be used: {error.strerror}.",
                "Set PYTOON_HOME to a folder that can be written to.",
                field="PYTOON_HOME",
            )
        ) from error
    if lock is None:
        raise UserError(
            Problem(
                "worker.name",
                f"A worker {name} runs already with {settings.home}.",
                "Give this one another name, or a PYTOON_HOME of its own.",
                field="--name",
            )
        )
    with lock:
        return _serve_queues(
            settings, launcher, ledger, name, at_once, queues or (QUEUE, GPU_QUEUE)
        )


def _require_servers(settings: Settings) -> None:
    """Workers meet in a database and at a broker."""
    for value, variable, example in (
        (settings.database, "PYTOON_DATABASE", "postgresql://user:password@host/pytoon"),
        (settings.broker, "PYTOON_BROKER", "redis://host:6379/0"),
    ):
        if value is None:
            raise SettingsError(
                Problem(
                    "worker.settings",
                    "is not set; a worker takes its runs from there.",
                    f"Set it to what the daemon has, for example {example}.",
                    field=variable,
                )
            )


def _configured_launcher(home: Path) -> CeleryLauncher:
    """As the file in Dagster's home says; SettingsError when that is not for workers, or its
    database can't be used."""
    try:
        with dg.DagsterInstance.get() as instance:
            launcher = instance.run_launcher
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[-1].strip()
        raise SettingsError(
            Problem(
                "worker.dagster",
                f"can't be used: {type(error).__name__}: {said}",
                "See that the database it names can be reached; deploy/dagster.celery.yaml is a "
                "file that fits.",
                file=str(home / "dagster.yaml"),
            )
        ) from error
    if not isinstance(launcher, CeleryLauncher):
        raise SettingsError(
            Problem(
                "worker.dagster",
                "does not hand runs to workers.",
                "Take run_launcher from deploy/dagster.celery.yaml.",
                file=str(home / "dagster.yaml"),
                field="run_launcher",
            )
        )
    return launcher


# The parent --------------------------------------------------------------------------------------


def _serve_queues(
    settings: Settings,
    launcher: CeleryLauncher,
    ledger: Ledger,
    name: str,
    at_once: int,
    queues: Sequence[str],
) -> int:
    say = _WorkerLog(settings.log == "json", name)
    app = launcher.celery
    app.conf.update(
        worker_max_tasks_per_child=RUNS_PER_CHILD,
        worker_max_memory_per_child=CHILD_BYTES // 1024,
    )
    child = _WorkerChild(ledger, name, launcher.beat_seconds, launcher.dead_after_seconds, say)
    app.task(child.run, name=TASK, ignore_result=True)

    @signals.setup_logging.connect(weak=False)
    def _redirect_logs(**_: Any) -> None:
        """What Celery logs goes where the rest of the program's does."""

    @signals.worker_process_init.connect(weak=False)
    def _begin_process(**_: Any) -> None:
        child.begin()

    @signals.task_failure.connect(weak=False)
    def _note_lost_task(task_id: str, **_: Any) -> None:
        # In the parent: a child was killed, and others need not wait for its beats.
        with suppress(PytoonError):
            held = heartbeats.find_holder(ledger, task_id)
            if held and is_gone(held):
                heartbeats.release_runs(ledger, processes=[held])

    warnings.filterwarnings("ignore", message="You're running the worker with superuser")
    worker = app.Worker(
        hostname=f"pytoon@{name}",
        concurrency=at_once,
        pool="prefork",
        optimization="fair",
        queues=list(queues),
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )

    @signals.worker_ready.connect(weak=False)
    def _announce_ready(**_: Any) -> None:
        _handle_signals(worker, ledger, say)
        say(f"Ready: {at_once} runs at once, from {', '.join(queues)}.")

    prefork.import_everything()
    gc.collect()
    gc.freeze()  # What lies here now is shared by all children, and never collected.
    with MachineTidying(), _keep_alive_file(alive_file(settings.home, name)):
        worker.start()
    say("Ended.")
    return int(worker.exitcode or 0)


def _handle_signals(worker: Worker, ledger: Ledger, say: _WorkerLog) -> None:
    asked = False

    def end_on_signal(number: int, _frame: object) -> None:
        nonlocal asked
        if number == signal.SIGTERM and not asked:
            asked = True
            say("Finishing what runs, and taking nothing new.")
            celery_state.should_stop = 0
            return
        say("Ending; what runs is left to other workers.")
        pids = [child.pid for child in worker.pool._pool._pool] if worker.pool._pool else []
        processes = [process_tag(pid) for pid in pids]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        with suppress(PytoonError):
            heartbeats.release_runs(ledger, processes=processes)
        os._exit(0)

    signal.signal(signal.SIGTERM, end_on_signal)
    signal.signal(signal.SIGINT, end_on_signal)


class _WorkerLog:
    """A worker's lines, as `pytoon dev` has them, or JSON."""

    def __init__(self, as_json: bool, name: str):
        self._json, self._name = as_json, name

    def __call__(self, text: str, **fields: Any) -> None:
        if self._json:
            source = f"worker {self._name}"
            logs.write_line(logs.format_line("message", source=source, message=text, **fields))
        else:
            logs.write_line(f"{time.strftime('%H:%M:%S')} worker | {text}")


# Is it there? ------------------------------------------------------------------------------------


@contextmanager
def _keep_alive_file(file: Path) -> Iterator[None]:
    """Touches a file every few seconds, as long as this process's main thread gets anywhere. By a
    timer's signal: a thread would not notice, and would be missing after a fork."""

    def touch_file(*_: object) -> None:
        with suppress(OSError):
            os.utime(file)

    signal.signal(signal.SIGALRM, touch_file)
    signal.setitimer(signal.ITIMER_REAL, 0.01, ALIVE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(OSError):
            file.unlink()


# A child -----------------------------------------------------------------------------------------


class _WorkerChild:
    """What a child process does: runs, one after another."""

    def __init__(self, ledger: Ledger, name: str, every: float, dead: float, say: _WorkerLog):
        self._ledger, self._name, self._say = ledger, name, say
        self._every, self._dead = every, dead
        self._instance: dg.DagsterInstance | None = None

    def begin(self) -> None:
        # A group of its own: Ctrl-C on a terminal and a service manager's signals are for the
        # parent, and a run that must end at once ends with its encoders.
        with suppress(OSError):
            os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def run(self, run_id: str) -> None:
        """The task. A run that is somebody's already, has ended or is unknown is left alone."""
        ledger, process = self._ledger, process_tag()
        if self._instance is None:
            self._instance = dg.DagsterInstance.get()
        instance = self._instance
        run = instance.get_run_by_id(run_id)
        if run is None or run.status != dg.DagsterRunStatus.STARTING:
            self._say(f"Run {run_id[:8]} is not waiting for a worker any more.")
            return
        if not heartbeats.claim_run(ledger, run_id, process):
            self._say(f"Run {run_id[:8]} is another worker's.")
            return
        brief = run.tags.get(BRIEF_TAG) or f"{run.job_name} {run.tags.get('dagster/partition', '')}"
        began = time.monotonic()
        self._say(f"{brief} begins.", run_id=run_id)
        heart = heartbeats.Heartbeat(
            lambda: heartbeats.record_heartbeat(ledger, run_id, process),
            lambda: _run_fate(instance, run_id),
            self._every,
            self._dead,
        )
        try:
            with _allow_interrupt(), heart:
                instance.add_run_tags(run_id, {PROCESS_TAG: process, WORKER_TAG: self._name})
                _execute_run_command_body(
                    run_id,
                    instance,
                    lambda e: _note_run_event(heart, e),
                    set_exit_code_on_failure=True,
                )
        except BaseException:
            # Whatever ended it, this process has it no more.
            with suppress(PytoonError):
                heartbeats.release_runs(ledger, runs=[run_id])
            raise
        finally:
            spent = time.monotonic() - began
            self._say(f"{brief} has ended, {spent:.1f} s.", run_id=run_id, seconds=spent)


def _note_run_event(heart: heartbeats.Heartbeat, event: dg.DagsterEvent) -> None:
    if event.is_run_failure or event.is_job_success or event.event_type == _CANCELED:
        heart.over()


_CANCELED = dg.DagsterEventType.RUN_CANCELED


def _run_fate(instance: dg.DagsterInstance, run_id: str) -> heartbeats.RunFate:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        canceling = run.status == dg.DagsterRunStatus.CANCELING
        return heartbeats.RunFate.cancelled if canceling else heartbeats.RunFate.on
    if run is not None and run.status == dg.DagsterRunStatus.CANCELED:
        return heartbeats.RunFate.cancelled
    return heartbeats.RunFate.ended


@contextmanager
def _allow_interrupt() -> Iterator[None]:
    """SIGINT ends the run, its threads too, and nothing but the run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with capture_interrupts(), interrupts.watch_interrupts():
            yield
    finally:
        signal.signal(signal.SIGINT, before)
