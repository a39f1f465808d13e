"""Hands runs to workers on any machine, over Redis.

Redis carries the run's id and nothing else. Who has a run, and whether it goes on, lies in the
ledger's database (`beats`), so what Redis loses is sent again and what comes twice does nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from celery import Celery
from dagster import Field, StringSource
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG
from kombu.exceptions import OperationalError

from pytoon_pipeline.dagster_private import (
    CheckRunHealthResult,
    ConfigurableClassData,
    LaunchRunContext,
    ResumeRunContext,
    WorkerStatus,
)
from pytoon_pipeline.defs.videos.jobs import GPU_TAG
from pytoon_pipeline.errors import PytoonError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.process_tags import PROCESS_TAG
from pytoon_pipeline.runtime.heartbeats import BEAT_SECONDS, DEAD_SECONDS, heartbeat_ages
from pytoon_pipeline.settings import load_settings

TASK = "pytoon.run"
QUEUE, GPU_QUEUE = "pytoon", "pytoon-gpu"
"""Where runs wait for a worker; those that generate footage in a queue of their own, so that
machines near the GPU servers can be the ones to take them."""
LOST_SECONDS = 30.0
"""A run that no worker has and that waits in no queue is sent again after this long."""
_RANKS = 10


class BrokerError(PytoonError):
    """The broker, which hands runs to workers, can't be reached."""


@cache
def broker_app(broker: str) -> Celery:
    """The Celery application on a broker; what sends and what works have the same."""
    app = Celery("pytoon", broker=broker, set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        accept_content=["json"],
        # A run is taken out of the queue by the worker that begins it, and by no other before.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        task_acks_late=False,
        # Redis comes and goes; the runs under way need it for nothing.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={
            "priority_steps": list(range(_RANKS)),
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
        },
        # How workers are is asked of the database.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        # The parent has all that a run needs; even so a busy machine may be slow to fork.
        worker_proc_alive_timeout=60.0,
    )
    return app


@cache
def open_ledger(place: str | Path) -> Ledger:
    """The ledger of this process."""
    return Ledger(place)


class CeleryLauncher(CeleryRunLauncher):
    """For `run_launcher:` of `dagster.yaml`. `pytoon worker` on any machine takes the runs.

    A run without a beat for `dead_after_seconds` is dead (workers beat every `beat_seconds`), and
    Dagster's monitoring takes it up again as a new run. A broker that can't be reached fails no
    run: it waits and is sent later (`look_after`).
    """

    def __init__(
        self,
        broker: str,
        default_queue: str = QUEUE,
        beat_seconds: float = BEAT_SECONDS,
        dead_after_seconds: float = DEAD_SECONDS,
        inst_data: ConfigurableClassData | None = None,
    ):
        super().__init__(default_queue=default_queue, broker=broker, inst_data=inst_data)
        self.beat_seconds, self.dead_after_seconds = beat_seconds, dead_after_seconds
        self.celery = broker_app(broker)

    @classmethod
    def config_type(cls) -> Any:
        return {
            "broker": Field(StringSource),
            "default_queue": Field(StringSource, is_required=False),
            "beat_seconds": Field(float, is_required=False),
            "dead_after_seconds": Field(float, is_required=False),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> CeleryLauncher:
        return cls(inst_data=inst_data, **config_value)

    @property
    def _open_ledger(self) -> Ledger:
        return open_ledger(load_settings().ledger)

    def launch_run(self, context: LaunchRunContext) -> None:
        run = context.dagster_run
        if run.tags.get(PROCESS_TAG):
            # Of the run that this one takes up again.
            self._instance.add_run_tags(run.run_id, {PROCESS_TAG: ""})
        self._send_run(run)

    def _send_run(self, run: dg.DagsterRun) -> None:
        queue = self._queue_of(run)
        try:
            # The task has the run's id, to be found by where it waits.
            self.celery.send_task(
                TASK,
                (run.run_id,),
                task_id=run.run_id,
                queue=queue,
                priority=priority_rank(run.tags),
            )
        except OperationalError as error:
            said = "The broker can't be reached; the run is sent to the workers once it can be."
            self._instance.report_engine_event(f"{said} ({_first_line(error)})", run)
        else:
            self._instance.report_engine_event(f"Waits in queue {queue} for a worker.", run)

    def _queue_of(self, run: dg.DagsterRun) -> str:
        named = run.tags.get(DAGSTER_CELERY_QUEUE_TAG)
        return named or (GPU_QUEUE if run.tags.get(GPU_TAG) else self.default_queue)

    def look_after(self, runs: Sequence[dg.DagsterRun]) -> None:
        """Of runs that have not started: ends those whose worker died at once, and sends those
        again that Redis has lost."""
        claimed = heartbeat_ages(self._open_ledger, [run.run_id for run in runs])
        waiting = []
        for run in runs:
            age = claimed.get(run.run_id)
            if age is None:
                waiting.append(run)
            elif age > self.dead_after_seconds:
                self._instance.report_run_failed(run, "The worker that took this run was killed.")
        now = time.monotonic()
        for gone in _WAITING.keys() - {run.run_id for run in waiting}:
            del _WAITING[gone]
        due = [r for r in waiting if now - _WAITING.setdefault(r.run_id, now) > LOST_SECONDS]
        if not due:
            return
        try:
            there = self._waiting_runs({self._queue_of(run) for run in due})
        except (OperationalError, OSError):
            return
        for run in due:
            _WAITING[run.run_id] = now
            if run.run_id not in there:
                self._send_run(run)

    def _waiting_runs(self, queues: set[str]) -> set[str]:
        """The ids of the runs that lie in these queues."""
        found = set()
        with self.celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            channel = connection.default_channel
            for queue in queues:
                for step in channel.priority_steps:
                    for text in channel.client.lrange(channel._q_for_pri(queue, step), 0, -1):
                        found.add(json.loads(text)["headers"]["id"])
        return found

    def terminate(self, run_id: str) -> bool:
        """Ask a run to end, from any machine and to any: its worker sees it at its next beat. False
        when it has ended."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        age = heartbeat_ages(self._open_ledger, [run_id]).get(run_id)
        if age is None or age > self.dead_after_seconds:
            # A worker that finds its run ended does nothing.
            self._instance.report_run_canceled(run, "No worker had it yet, or none any more.")
        elif run.status != dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """A run that died is taken up as a new one; it finds its finished scenes in the store."""
        return False

    def resume_run(self, context: ResumeRunContext) -> None:
        run_id = context.dagster_run.run_id
        raise BrokerError(f"Run {run_id} is not gone on with; it is taken up again as a new one.")

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        age = heartbeat_ages(self._open_ledger, [run.run_id]).get(run.run_id)
        if age is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "no worker knows of it")
        if age > self.dead_after_seconds:
            heard = "its worker lost it" if age > 1e6 else f"not heard of for {age:.0f} s"
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, heard)
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        return f"Process: {run.tags.get(PROCESS_TAG) or 'none yet'}; queue: {self._queue_of(run)}."


_WAITING: dict[str, float] = {}
"""Runs that no worker has, and when this process first saw or last sent them; time.monotonic()."""


def priority_rank(tags: Mapping[str, str]) -> int:
    """Place in Redis's order, 0 first, of a run: those of higher `dagster/priority` come first.
    Beyond 5 and -4 there is no difference here; Dagster's own queue makes it."""
    try:
        priority = int(tags.get("dagster/priority", "0"))
    except ValueError:
        priority = 0
    return min(max(5 - priority, 0), _RANKS - 1)


def connect_broker(app: Celery) -> None:
    """Raises BrokerError when the broker can't be reached."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except (OperationalError, OSError) as error:
        raise BrokerError(
            f"PYTOON_BROKER: the Redis server can't be reached: {_first_line(error)}. See that it "
            "runs, and that this machine may speak to it."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
