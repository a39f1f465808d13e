"""A brief rendered in this process, by the same assets and checks that a deployment runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import yaml
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import ConfigurableClassData

from pytoon_pipeline.briefs.ledger import Ledger
from pytoon_pipeline.briefs.source import BriefSource, content_hash, look
from pytoon_pipeline.defs.collect import collect
from pytoon_pipeline.defs.jobs import brief_job, brief_tags
from pytoon_pipeline.defs.metadata import log_tail
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.defs.process import PROCESS_TAG, is_gone, process_tag
from pytoon_pipeline.errors import Problem, PytoonError, SettingsError, UserError
from pytoon_pipeline.settings import Settings, project_data
from pytoon_pipeline.stages.documents import MetricsDocument, SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter

if TYPE_CHECKING:
    from pytoon_pipeline.spec.model import RenderSpec
    from pytoon_pipeline.stages.services import Services

_SQLITE = ("DagsterSqliteStorage", "KeptSqliteStorage")


@dataclass(frozen=True)
class BriefResult:
    """What became of one brief."""

    key: str
    ok: bool
    """The run ended well. Its checks may have failed all the same: see `metrics.verdicts`."""
    run_id: str | None
    problems: list[Problem] = field(default_factory=list)
    """What is wrong with the brief, when that ended the run."""
    error: str | None = None
    """What failed, with the last lines of the tool that did, when the brief is not to blame."""
    traceback: str | None = None
    """Of a fault of the program itself, for its report."""
    metrics: MetricsDocument | None = None
    spec: RenderSpec | None = None


# Dagster's home ----------------------------------------------------------------------------------


def prepare_home(settings: Settings) -> Path:
    """DAGSTER_HOME of this install, made with its `dagster.yaml` on first use.

    Raises SettingsError when it can't be made.
    """
    home = settings.dagster_home.expanduser().absolute()
    target = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            temporary = home / f".dagster.yaml-{os.getpid()}"
            shutil.copyfile(project_data("deploy") / "dagster.yaml", temporary)
            os.replace(temporary, target)
    except OSError as error:
        raise SettingsError(
            Problem(
                "settings.home",
                f"{home} can't be used: {error.strerror}.",
                "Set PYTOON_HOME (or DAGSTER_HOME) to a folder that can be written to.",
                field="PYTOON_HOME",
            )
        ) from error
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of this install, for runs in this process.

    Its runs are those that `pytoon dev` shows; what they print is not captured, so that progress
    reaches the terminal. Use it as a context manager, or dispose of it.
    """
    silent = {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
    home = str(prepare_home(settings))
    # What the engines say goes to the terminal by itself.
    heard = {"python_log_level": "INFO"}
    ref = InstanceRef.from_dir(home, overrides={"compute_logs": silent, "python_logs": heard})
    if ref.storage_data and ref.storage_data.class_name in _SQLITE:
        # Named outright: this process need not have DAGSTER_HOME in its environment.
        kept = ConfigurableClassData(
            "pytoon_pipeline.defs.storage", "KeptSqliteStorage", yaml.dump({"base_dir": home})
        )
        ref = ref._replace(storage_data=kept)
    instance = dg.DagsterInstance.from_ref(ref)
    _end_dead_runs(instance)
    return instance


def _end_dead_runs(instance: dg.DagsterInstance) -> None:
    """A process that was killed leaves its run as started, which would hold back the next one of
    the same brief."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if is_gone(run.tags.get(PROCESS_TAG, "")):
            instance.report_run_failed(run, "The process that this run lived in was killed.")


# A run -------------------------------------------------------------------------------------------


class _Heard(Reporter):
    """Passes everything on, and keeps what failed."""

    def __init__(self, inner: Reporter):
        self._inner = inner
        self.error: PytoonError | None = None

    def stage(self, key: str, stage: str) -> None:
        self._inner.stage(key, stage)

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        self._inner.segments(key, total_frames, segments)

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        self._inner.progress(key, segment_id, frames)

    def segment(self, key: str, record: SegmentRecord) -> None:
        self._inner.segment(key, record)

    def retry(self, key: str, segment_id: str, engine: str, reason: str) -> None:
        self._inner.retry(key, segment_id, engine, reason)

    def failed(self, key: str, error: PytoonError) -> None:
        self.error = error
        self._inner.failed(key, error)


@cache
def _job() -> dg.JobDefinition:
    return collect().resolve_job_def(brief_job.name)


def run_brief(
    source: BriefSource,
    services: Services,
    reporter: Reporter,
    instance: dg.DagsterInstance,
    *,
    tags: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> BriefResult:
    """Render one brief in this process, as a run of `instance` with its assets and checks.

    Failures of the brief or of rendering are in the result; nothing is printed unless `verbose`.
    Raises StoreError when the ledger can't be used, and KeyboardInterrupt.
    """
    settings = services.settings
    ledger = Ledger(settings.ledger)
    key = ledger.register(source)
    contents = {
        "content_hash": content_hash(source, settings.media_roots),
        "look": look(source, settings.media_roots),
    }
    if not instance.has_dynamic_partition(BRIEFS.name, key):
        instance.add_dynamic_partitions(BRIEFS.name, [key])
    heard = _Heard(reporter)
    try:
        result = _job().execute_in_process(
            instance=instance,
            partition_key=key,
            raise_on_error=False,
            resources={"services": services, "ledger": ledger, "reporter": heard},
            run_config=None if verbose else _SILENT,
            tags={**brief_tags(source, key), PROCESS_TAG: process_tag(), **(tags or {})},
        )
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    problems: list[Problem] = []
    error = traceback = None
    if isinstance(heard.error, UserError):
        problems = heard.error.problems
    elif heard.error is not None:
        error, tail = str(heard.error), log_tail(heard.error)
        error = error if tail in error else f"{error}\n{tail}"
    elif not result.success:
        error, traceback = _fault(result)
    # The sensor need not render what has just been rendered.
    ledger.note(key, **contents)
    spec = metrics = None
    with suppress(dg.DagsterInvariantViolationError):  # The step made nothing.
        spec = result.output_for_node("render_spec")
        metrics = result.output_for_node("metrics")
    if result.success and metrics is not None:
        reporter.finished(key, metrics)
    return BriefResult(
        key=key,
        ok=result.success,
        run_id=result.run_id,
        problems=problems,
        error=error,
        traceback=traceback,
        metrics=metrics,
        spec=spec,
    )


_SILENT = {"loggers": {"console": {"config": {"silent": True}}}}


def _fault(result: dg.ExecuteInProcessResult) -> tuple[str, str | None]:
    """Message and traceback of what ended a run, other than a failure that Pytoon knows.

    Raises KeyboardInterrupt when it was that: Dagster takes it for a failure of the step.
    """
    for event in result.all_events:
        error = None
        if event.is_step_failure:
            error = event.step_failure_data.error
        elif event.is_job_failure:
            error = event.job_failure_data.error
        if error is not None:
            # Dagster's own error stands in front of the one that says what happened.
            inner = error
            while inner.cause is not None:
                inner = inner.cause
            if inner.cls_name == "KeyboardInterrupt":
                raise KeyboardInterrupt
            return inner.message.strip(), error.to_string()
    return "The run failed without saying why.", None
