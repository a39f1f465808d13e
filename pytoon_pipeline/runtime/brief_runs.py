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

from pytoon_pipeline.briefs.bundle import BundleStore
from pytoon_pipeline.briefs.source import BriefSource, content_hash, read_signature
from pytoon_pipeline.dagster_private import (
    ConfigurableClassData,
    DagsterExecutionInterruptedError,
    InstanceRef,
)
from pytoon_pipeline.defs.collect import collect_definitions
from pytoon_pipeline.defs.metadata import log_tail
from pytoon_pipeline.defs.partitions import BRIEFS_NAME
from pytoon_pipeline.defs.videos.jobs import brief_job, brief_tags
from pytoon_pipeline.defs.videos.run_process import run_is_gone
from pytoon_pipeline.durable import replace_file
from pytoon_pipeline.errors import Problem, PytoonError, SettingsError, StoreError, UserError
from pytoon_pipeline.intake.brief_state import BriefState
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import BriefColumns
from pytoon_pipeline.intake.requests import CONTENTS_TAG
from pytoon_pipeline.process_tags import PROCESS_TAG, process_tag
from pytoon_pipeline.runtime.planned_checks import forget_planned_checks_of_ended_runs
from pytoon_pipeline.runtime.sensor_ticks import repair_sensor_ticks
from pytoon_pipeline.settings import Settings, project_data
from pytoon_pipeline.stages.documents import MetricsDocument
from pytoon_pipeline.stages.reporter import ForwardingReporter, Reporter

if TYPE_CHECKING:
    from pytoon_pipeline.plan.complete import Plan
    from pytoon_pipeline.stages.services import Services

_SQLITE = ("DagsterSqliteStorage", "PooledSqliteStorage", "KeptSqliteStorage")
_POSTGRES = ("DagsterPostgresStorage", "PooledPostgresStorage", "KeptPostgresStorage")
_PREFORK = ("PreforkRunLauncher", "WarmRunLauncher")
"""Of each the last is the name in files of earlier versions."""


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
    spec: Plan | None = None


# Dagster's home ----------------------------------------------------------------------------------


def prepare_home(settings: Settings) -> Path:
    """DAGSTER_HOME of this install, made on first use with the `dagster.yaml` that fits the
    settings.

    Raises SettingsError when it can't be made, or when one that is there does not fit.
    """
    home = settings.dagster_home.expanduser().absolute()
    target = home / "dagster.yaml"
    if settings.broker and not settings.database:
        raise SettingsError(
            Problem(
                "settings.broker",
                "needs a database that all machines share, and PYTOON_DATABASE is not set.",
                "Set PYTOON_DATABASE to postgresql://user:password@host/name, or leave "
                "PYTOON_BROKER out to run on this machine alone.",
                field="PYTOON_BROKER",
            )
        )
    variant = "dagster.yaml"
    if settings.database:
        variant = "dagster.celery.yaml" if settings.broker else "dagster.postgres.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            temporary = home / f".dagster.yaml-{os.getpid()}"
            shutil.copyfile(project_data("deploy") / variant, temporary)
            replace_file(temporary, target)
        _check_fit(target, settings, variant)
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


def _check_fit(file: Path, settings: Settings, variant: str) -> None:
    """A `dagster.yaml` of other settings would put runs where nobody looks for them. One with a
    storage or a launcher that Pytoon knows nothing of is its owner's business."""
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        storage, launcher = said.get("storage") or {"sqlite": {}}, said.get("run_launcher") or {}
        kept = (storage.get("custom") or {}).get("class")
        celery = "Celery" in str(launcher.get("class"))
    except (yaml.YAMLError, ValueError, AttributeError):
        return  # Dagster says what is wrong with it.
    wrong = name = ""
    if settings.database and ("sqlite" in storage or kept in _SQLITE):
        wrong, name = "keeps Dagster's runs in SQLite files, and a database is set", "DATABASE"
    elif not settings.database and ("postgres" in storage or kept in _POSTGRES):
        wrong, name = "keeps Dagster's runs in PostgreSQL, and no database is set", "DATABASE"
    elif settings.broker and launcher.get("class") in _PREFORK:
        wrong, name = "starts runs on this machine, and a broker for workers is set", "BROKER"
    elif not settings.broker and celery:
        wrong, name = "hands runs to Celery workers, and no broker is set", "BROKER"
    if wrong:
        raise SettingsError(
            Problem(
                "settings.dagster_yaml",
                f"{wrong}.",
                f"Put it aside, and one that fits is made; carry over what you changed in it (the "
                f"new one is deploy/{variant}). Or correct PYTOON_{name}.",
                file=str(file),
                field=f"PYTOON_{name}",
            )
        )


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The Dagster instance of this install, for runs in this process.

    Its runs are those that `pytoon dev` shows; what they print is not captured, so that progress
    reaches the terminal. Use it as a context manager, or dispose of it.
    """
    instance = dg.DagsterInstance.from_ref(instance_ref(settings))
    _end_dead_runs(instance)
    repair_sensor_ticks(instance)
    forget_planned_checks_of_ended_runs(instance)
    return instance


def instance_ref(settings: Settings) -> InstanceRef:
    """Where the Dagster instance of this install is, for who opens it without mending anything."""
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
            "pytoon_pipeline.runtime.sqlite_storage",
            "PooledSqliteStorage",
            yaml.dump({"base_dir": home}),
        )
        ref = ref._replace(storage_data=kept)
    elif settings.database and os.environ.get("PYTOON_DATABASE") != settings.database:
        named = {"postgres_url": settings.database}
        kept = ConfigurableClassData(
            "pytoon_pipeline.runtime.postgres_storage", "PooledPostgresStorage", yaml.dump(named)
        )
        ref = ref._replace(storage_data=kept)
    return ref


def _end_dead_runs(instance: dg.DagsterInstance) -> None:
    """A process that was killed leaves its run as started, which would hold back the next one of
    the same brief."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if run_is_gone(instance, run):
            instance.report_run_failed(run, "The process that this run lived in was killed.")


# A run -------------------------------------------------------------------------------------------


class _FailureCapture(ForwardingReporter):
    """Keeps what failed."""

    def __init__(self, inner: Reporter):
        super().__init__(inner)
        self.error: PytoonError | None = None

    def failed(self, key: str, error: PytoonError) -> None:
        self.error = error
        self._inner.failed(key, error)


@cache
def _brief_job() -> dg.JobDefinition:
    return collect_definitions().resolve_job_def(brief_job.name)


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
    heard = _FailureCapture(reporter)
    named: dict[str, str] = {}
    try:
        contents = _bundle_contents(source, key, services)
    except (PytoonError, OSError) as fault:
        return _not_packed(fault, key, ledger, heard)
    if services.store.shared:
        named[CONTENTS_TAG] = contents["content_hash"]
    if not instance.has_dynamic_partition(BRIEFS_NAME, key):
        instance.add_dynamic_partitions(BRIEFS_NAME, [key])
    try:
        result = _brief_job().execute_in_process(
            instance=instance,
            partition_key=key,
            raise_on_error=False,
            resources={"services": services, "ledger": ledger, "reporter": heard},
            run_config=None if verbose else _SILENT,
            tags={**brief_tags(source, key), PROCESS_TAG: process_tag(), **named, **(tags or {})},
        )
    except DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    problems: list[Problem] = []
    error: str | None = None
    traceback: str | None = None
    if isinstance(heard.error, UserError):
        problems = heard.error.problems
    elif heard.error is not None:
        error, tail = str(heard.error), log_tail(heard.error)
        error = error if tail in error else f"{error}\n{tail}"
    elif not result.success:
        error, traceback = _run_failure(result)
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


def _bundle_contents(source: BriefSource, key: str, services: Services) -> BriefColumns:
    """What is rendered, as the ledger notes it. Where machines share the store it is packed into
    it: whoever renders the brief again need not have its files."""
    roots = services.settings.media_roots
    if not services.store.shared:
        return {"content_hash": content_hash(source, roots), "look": read_signature(source, roots)}
    parcels = BundleStore(services.store, roots, services.settings.scratch)
    parcel = parcels.pack(source)
    parcels.file(key, parcel)
    return {"content_hash": parcel.contents, "look": parcel.look}


def _not_packed(
    error: PytoonError | OSError, key: str, ledger: Ledger, reporter: Reporter
) -> BriefResult:
    problems = list(error.problems) if isinstance(error, UserError) else []
    said = str(error) if isinstance(error, PytoonError) else f"{key} can't be read: {error}"
    reporter.failed(key, error if isinstance(error, PytoonError) else StoreError(said))
    state = BriefState.REFUSED if problems else BriefState.FAILED
    ledger.set_state(key, state, error=said, problems=problems)
    return BriefResult(key, False, None, problems, None if problems else said)


_SILENT = {"loggers": {"console": {"config": {"silent": True}}}}


def _run_failure(result: dg.ExecuteInProcessResult) -> tuple[str, str | None]:
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
