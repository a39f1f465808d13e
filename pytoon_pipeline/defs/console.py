"""What a run prints: a line where a person would want one, instead of every event."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from typing import Any

import dagster as dg
from dagster._core.log_manager import get_log_record_metadata, has_log_record_metadata

from pytoon_pipeline.settings import load_settings

_EVENTS = {
    dg.DagsterEventType.RUN_START: "started",
    dg.DagsterEventType.RUN_SUCCESS: "done",
    dg.DagsterEventType.RUN_FAILURE: "failed",
    dg.DagsterEventType.RUN_CANCELED: "cancelled",
}


def _line(record: logging.LogRecord) -> tuple[str, str] | None:
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
        if meta["orig_message"].startswith("Dependencies for step"):
            return None  # Follows from the failure that was just told.
        return brief, step + meta["orig_message"]
    if event.event_type in _EVENTS:
        return brief, _EVENTS[event.event_type]
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        return brief, step + _failure(event.step_failure_data)
    if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        if not check.passed:
            severity = check.severity.value.lower()
            return brief, f"check {check.check_name}: {severity}: {check.description}"
    return None


def _failure(data: Any) -> str:
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    if data.error and data.error.cls_name in _STOPPED:
        return "stopped"
    return data.error.to_string() if data.error else "failed"


_STOPPED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


class _Lines(logging.Handler):
    def __init__(self, as_json: bool):
        super().__init__()
        self._json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        line = _line(record)
        if line is None:
            return
        brief, message = line
        if self._json:
            values = {"level": record.levelname.lower(), "brief": brief, "message": message}
            text = json.dumps({"time": record.created, **values}, ensure_ascii=False)
        else:
            text = (f"{brief}: " if brief else "") + message.replace("\n", "\n  ")
        with suppress(OSError):  # Whoever read this may have ended before the run does.
            print(text, file=sys.stderr, flush=True)


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
        logger.addHandler(_Lines(load_settings().log == "json"))
    return logger


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Messages from INFO up, and any event; what lies in an event is looked at later."""
    if not has_log_record_metadata(record):
        return record.levelno >= logging.INFO
    event = get_log_record_metadata(record)["dagster_event"]
    return event is not None or record.levelno >= logging.INFO
