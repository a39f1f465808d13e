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

from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
)
from dagster._core.storage.dagster_run import DagsterRun
from dagster._serdes import ConfigurableClass, serialize_value
from dagster._serdes.config_class import ConfigurableClassData

from pytoon_pipeline.defs.process import PROCESS_TAG, is_gone, pid_of


class WarmRunLauncher(RunLauncher, ConfigurableClass):
    """For `run_launcher:` of `dagster.yaml`. Unlike Dagster's own it knows whether the process of a
    run is still there, so a run that was killed is found by the run monitoring, and any process
    of the machine can end a run. Runs outlive the daemon that launched them."""

    def __init__(self, inst_data: ConfigurableClassData | None = None):
        self._inst_data = inst_data
        self._lock = threading.Lock()
        self._warm: subprocess.Popen[str] | None = None
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> Any:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> WarmRunLauncher:
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises DagsterLaunchFailedError when no process can be had."""
        asked = {
            "run_id": context.dagster_run.run_id,
            "instance": serialize_value(self._instance.get_ref()),
        }
        with self._lock:
            said = self._ask(asked)
        if "pid" not in said:
            raise DagsterLaunchFailedError(f"Run {asked['run_id']}: {said.get('error')}")

    def _ask(self, asked: dict[str, str]) -> dict[str, Any]:
        for _ in range(2):  # A warm process that was killed is replaced.
            if self._warm is None or self._warm.poll() is not None:
                self._warm = subprocess.Popen(
                    [sys.executable, "-m", "pytoon_pipeline.defs.warm"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                )
            assert self._warm.stdin and self._warm.stdout
            try:
                self._warm.stdin.write(json.dumps(asked) + "\n")
                self._warm.stdin.flush()
                line = self._warm.stdout.readline()
            except OSError:
                line = ""
            if line:
                return json.loads(line)
            self._warm.kill()
            self._warm.wait()
        return {"error": "the process that starts runs ends at once; its last lines say why."}

    def terminate(self, run_id: str) -> bool:
        """Ask the run's process to end, from any process of its machine. False when it has."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        tag = run.tags.get(PROCESS_TAG, "")
        if is_gone(tag):
            self._instance.report_run_canceled(run, "Its process was gone already.")
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
        if is_gone(tag):
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
