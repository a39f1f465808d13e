"""Starts runs on this machine: each in a process of its own, forked from one that has imported
everything already. Imports are most of what a small run costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dagster import DagsterRun, DagsterRunStatus, Field

from pytoon_pipeline.dagster_private import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    DagsterLaunchFailedError,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
    serialize_value,
)
from pytoon_pipeline.defs.videos.run_process import run_is_gone
from pytoon_pipeline.process_tags import PROCESS_TAG, pid_of, process_tag
from pytoon_pipeline.settings import runs_at_once


class PreforkRunLauncher(RunLauncher, ConfigurableClass):
    """For `run_launcher:` of `dagster.yaml`. Unlike Dagster's own it knows whether the process of a
    run is still there, so a run that was killed is found by the run monitoring, and any process
    of the machine can end a run. Runs outlive the daemon that launched them.

    `at_once` runs go on at a time, half as many as cores where it is left out; let the queue's
    `max_concurrent_runs` be a few more, so that the next is at hand when one ends: the queue itself
    looks only every second.
    """

    def __init__(self, at_once: int | None = None, inst_data: ConfigurableClassData | None = None):
        self._inst_data = inst_data
        self._at_once = at_once or runs_at_once()
        self._lock = threading.Lock()
        self._warm: subprocess.Popen[str] | None = None
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        return {"at_once": Field(int, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> PreforkRunLauncher:
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises DagsterLaunchFailedError when no process can be had."""
        run_id = context.dagster_run.run_id
        asked = {"run_id": run_id, "instance": serialize_value(self._instance.get_ref())}
        with self._lock:
            for _ in range(2):  # A warm process that was killed is replaced.
                warm = self._ready_server()
                # Until the run has a process of its own it lives in this one.
                self._instance.add_run_tags(run_id, {PROCESS_TAG: process_tag(warm.pid)})
                if _send_request(warm, asked):
                    return
        raise DagsterLaunchFailedError(
            f"Run {run_id}: the process that starts runs ended at once; the daemon's log says why."
        )

    def _ready_server(self) -> subprocess.Popen[str]:
        if self._warm is None or self._warm.poll() is not None:
            self._warm = subprocess.Popen(
                [sys.executable, "-m", "pytoon_pipeline.runtime.prefork", str(self._at_once)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        return self._warm

    def terminate(self, run_id: str) -> bool:
        """Ask the run's process to end, from any process of its machine. False when it has."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        tag = run.tags.get(PROCESS_TAG, "")
        if run.status == DagsterRunStatus.STARTING or run_is_gone(self._instance, run):
            # A process that finds its run ended does nothing.
            self._instance.report_run_canceled(run, "It had no process yet, or none any more.")
            return True
        pid = pid_of(tag)
        if pid is None:
            self._instance.report_engine_event(
                f"The process of this run can't be reached from here ({tag or 'none is known'}).",
                run,
            )
            return False
        self._instance.report_run_canceling(run)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        tag = run.tags.get(PROCESS_TAG, "")
        if run_is_gone(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"its process {tag} was killed")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def dispose(self) -> None:
        """The warm process ends; the runs that it began go on."""
        with self._lock:
            warm, self._warm = self._warm, None
        if warm is not None and warm.stdin is not None:
            with suppress(OSError):
                warm.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                warm.wait(5)


def _send_request(warm: subprocess.Popen[str], asked: dict[str, str]) -> bool:
    assert warm.stdin and warm.stdout
    try:
        warm.stdin.write(json.dumps(asked) + "\n")
        warm.stdin.flush()
        if warm.stdout.readline():
            return True
    except OSError:
        pass
    warm.kill()
    warm.wait()
    return False
