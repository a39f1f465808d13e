"""What a run prints: a line where a person would want one, instead of every event; or, with
`PYTOON_LOG=json`, a JSON object (`figures.lines`) where a program would."""

from __future__ import annotations

import logging
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from pytoon_pipeline.dagster_private import get_log_record_metadata, has_log_record_metadata
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.telemetry import logs

_EVENTS = {
    dg.DagsterEventType.RUN_START: "started",
    dg.DagsterEventType.RUN_SUCCESS: "done",
    dg.DagsterEventType.RUN_FAILURE: "failed",
    dg.DagsterEventType.RUN_CANCELED: "cancelled",
}


def _format_record(record: logging.LogRecord) -> tuple[str, str] | None:
    """(brief, message) of a record worth a line."""
    if not has_log_record_metadata(record):
        return "", record.getMessage()
    meta = get_log_record_metadata(record)
    brief = meta["job_tags"].get("dagster/partition", "")
    if meta["job_name"] == "report_job":
        brief = f"page of {brief}"
    step = f"{meta['step_key']}: " if meta["step_key"] else ""
    event = meta["dagster_event"]
    if event is None:
        if _follows_failure(meta["orig_message"]):
            return None
        return brief, step + meta["orig_message"]
    if event.event_type in _EVENTS:
        return brief, _EVENTS[event.event_type]
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        return brief, step + _describe_failure(event.step_failure_data)
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        if not check.passed:
            severity = check.severity.value.lower()
            return brief, f"check {check.check_name}: {severity}: {check.description}"
    return None


def _follows_failure(message: str) -> bool:
    """From the failure that was just told."""
    return message.startswith("Dependencies for step")


def _describe_failure(data: Any) -> str:
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    if _was_stopped(data):
        return "stopped"
    return data.error.to_string() if data.error else "failed"


def _was_stopped(data: Any) -> bool:
    return bool(data.error and data.error.cls_name in _STOPPED)


_STOPPED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


class _LineHandler(logging.Handler):
    """For people."""

    def emit(self, record: logging.LogRecord) -> None:
        line = _format_record(record)
        if line is None:
            return
        brief, message = line
        text = (f"{brief}: " if brief else "") + message.replace("\n", "\n  ")
        with suppress(OSError):  # Whoever read this may have ended before the run does.
            print(text, file=sys.stderr, flush=True)


# For programs ------------------------------------------------------------------------------------


@dataclass
class _RunContext:
    """What the last line of a run is to say."""

    began: float | None = None
    made: dict[str, Any] = field(default_factory=dict)
    """Of the video: `cached` and `degraded`."""
    failed: dict[str, Any] = field(default_factory=dict)


_RUNS: OrderedDict[str, _RunContext] = OrderedDict()
"""By id: Dagster makes a logger for the run, and another one for its steps."""


def _run_context(run_id: str) -> _RunContext:
    run = _RUNS.setdefault(run_id, _RunContext())
    while len(_RUNS) > 64:
        _RUNS.popitem(last=False)
    return run


class _JsonHandler(logging.Handler):
    """For programs."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = self._record_fields(record)
            if said is not None:
                logs.write_line(logs.format_line(at=record.created, **said))
        except Exception:
            self.handleError(record)

    def _record_fields(self, record: logging.LogRecord) -> dict[str, Any] | None:
        """What `lines.line` takes, or None where the record says nothing."""
        level = record.levelname.lower()
        given = dict(getattr(record, "fields", {}))
        if not has_log_record_metadata(record):
            return {"event": "message", "level": level, "message": record.getMessage(), **given}
        meta = get_log_record_metadata(record)
        tags, event = meta["job_tags"], meta["dagster_event"]
        partition = tags.get("dagster/partition")
        campaign = tags.get("pytoon/campaign")
        if campaign is None and partition and "/" in partition:
            campaign = partition.partition("/")[0]  # A run that a person launched has no tags yet.
        own = {
            "level": level,
            "logger": "pytoon.run",
            "job": meta["job_name"],
            "run_id": meta["run_id"],
            "partition": partition,
            "campaign": campaign,
            "stage": meta["step_key"],
        }
        if event is not None:
            told = _of_event(event, meta["run_id"] or "", record.created)
            return {**own, "level": "info", **told} if told else None
        message = meta["orig_message"]
        if _follows_failure(message):
            return None
        return {**own, "event": "message", "message": message, **given}


def _of_event(event: dg.DagsterEvent, run_id: str, at: float) -> dict[str, Any] | None:
    kind, run = event.event_type, _run_context(run_id)
    if kind == dg.DagsterEventType.RUN_START:
        run.began = at
        return {"event": "run_started", "message": "started"}
    if kind == dg.DagsterEventType.STEP_SUCCESS:
        seconds = event.step_success_data.duration_ms / 1000
        return {"event": "stage", "seconds": seconds, "message": f"{event.step_key} is done"}
    if kind == dg.DagsterEventType.STEP_FAILURE:
        # Told with the end of the run, which comes at once.
        run.failed = run.failed or _failure_fields(event)
    elif kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
        if event.asset_key and event.asset_key.path[-1] == "assembled_video":
            found = event.step_materialization_data.materialization.metadata
            for name in ("cached", "degraded"):
                run.made[name] = found[name].value
    elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        if not check.passed:
            warns = check.severity == dg.AssetCheckSeverity.WARN
            return {
                "event": "check_failed",
                "level": "warning" if warns else "error",
                "check": check.check_name,
                "reason": logs.first_line(check.description or ""),
                "message": f"check {check.check_name}: {check.description}",
            }
    elif kind == dg.DagsterEventType.RUN_SUCCESS:
        return {
            "event": "run_done",
            "outcome": "done",
            "message": "done",
            **_ended_fields(run_id, at),
        }
    elif kind == dg.DagsterEventType.RUN_CANCELED:
        return {
            "event": "run_cancelled",
            "outcome": "cancelled",
            "message": "cancelled",
            **_ended_fields(run_id, at),
        }
    elif kind == dg.DagsterEventType.RUN_FAILURE:
        why = run.failed or {
            "outcome": "failed",
            "message": event.message or "failed",
            "reason": logs.first_line(event.message or "failed"),
        }
        return {"event": "run_failed", "level": "error", **_ended_fields(run_id, at), **why}
    return None


def _ended_fields(run_id: str, at: float) -> dict[str, Any]:
    run = _RUNS.pop(run_id, _RunContext())
    return {"seconds": None if run.began is None else max(0.0, at - run.began), **run.made}


def _failure_fields(event: dg.DagsterEvent) -> dict[str, Any]:
    """Of a step's failure: where, how the run ends by it, and the reason in short: the code of the
    brief's first problem, or the first line of what failed."""
    data = event.step_failure_data
    message = _describe_failure(data)
    told = {
        "stage": event.step_key,
        "outcome": "failed",
        "message": message,
        "reason": logs.first_line(message),
    }
    if _was_stopped(data):
        return {**told, "outcome": "cancelled"}
    if data.user_failure_data is None:
        if data.error is not None:
            first = logs.first_line(data.error.message)
            told |= {"message": first, "reason": first, "traceback": message}
        return told
    problems = data.user_failure_data.metadata.get("problems")
    if isinstance(problems, dg.TableMetadataValue):
        codes = [str(r.data["code"]) for r in problems.records if r.data["severity"] == "error"]
        told |= {"outcome": "refused", "reason": codes[0] if codes else "brief"}
    return told


@dg.logger(
    config_schema={"silent": dg.Field(bool, is_required=False, default_value=False)},
    description="Start, end, failures and failed checks of a run, a line each.",
)
def console(context: dg.InitLoggerContext) -> logging.Logger:
    """`PYTOON_LOG=json` gives a JSON object per line."""
    logger = logging.Logger("pytoon.run", logging.DEBUG)
    if context.logger_config["silent"]:
        logger.addHandler(logging.NullHandler())
    else:
        logger.addFilter(_worth_a_line)
        logger.addHandler(_JsonHandler() if load_settings().log == "json" else _LineHandler())
    return logger


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Messages from INFO up, and any event; what lies in an event is looked at later."""
    if not has_log_record_metadata(record):
        return record.levelno >= logging.INFO
    event = get_log_record_metadata(record)["dagster_event"]
    return event is not None or record.levelno >= logging.INFO
