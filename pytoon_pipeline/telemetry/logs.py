"""Log lines in JSON: with `PYTOON_LOG=json` every process of Pytoon writes what happens as JSON
objects to stderr, one a line, all with the same fields. `docs/observability.md` lists them."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

from pytoon_pipeline.settings import Settings

EVENTS = (
    "run_started",
    "stage",
    "segment",
    "retry",
    "check_failed",
    "run_done",
    "run_failed",
    "run_cancelled",
    "request",
    "message",
)
"""What a line can be of. These words stay as they are."""

FIELDS = (
    "time",
    "level",
    "event",
    "source",
    "job",
    "run_id",
    "partition",
    "campaign",
    "stage",
    "segment",
    "engine",
    "check",
    "seconds",
    "cached",
    "degraded",
    "outcome",
    "reason",
    "method",
    "path",
    "status",
    "frames",
    "segments",
    "message",
    "logger",
    "traceback",
)
"""In the order in which a line has them; those that don't apply are left out."""

_LONGEST = 8000
"""Characters of a text that a line keeps."""
_MAX_ITEMS = 500
"""Entries of a list or a mapping that a line keeps."""
_DEEPEST = 20
"""Lists and mappings inside each other that a line keeps."""


def format_line(event: str, *, level: str = "info", at: float | None = None, **fields: Any) -> str:
    """Return one object as text. `at` is a Unix time, by default now. Fields that are None or empty
    are left out; secrets are removed."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    said = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "event": event,
        **fields,
    }
    shown = {
        name: _to_json_value(said[name])
        for name in (*FIELDS, *(n for n in said if n not in FIELDS))
        if name in said and said[name] is not None and said[name] != ""
    }
    return json.dumps(shown, ensure_ascii=False, default=lambda value: _shorten_text(str(value)))


def _to_json_value(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, float):
        # JSON has no infinity.
        return round(value, 3) if abs(value) < 1e15 else str(value)
    if isinstance(value, str):
        return _shorten_text(value)
    if isinstance(value, Mapping):
        pairs = islice(value.items(), _MAX_ITEMS)
        return {_shorten_text(str(k)): _to_json_value(v, depth + 1) for k, v in pairs}
    if isinstance(value, list | tuple):
        return [_to_json_value(v, depth + 1) for v in value[:_MAX_ITEMS]]
    return value


_MARGIN = 4000
"""Characters behind those that are kept, of which nothing is shown. A secret that the first cut
parts is not found by `remove_secrets`; what is left of it lies among these."""


def _shorten_text(text: str) -> str:
    """The beginning of a text, without secrets. It is cut before it is cleaned: however long it is,
    the work is that of a few thousand characters."""
    if len(text) <= _LONGEST:
        return remove_secrets(text)
    margin = max(_MARGIN, *map(len, _known_secrets()), 0)
    if len(text) <= _LONGEST + margin:
        return remove_secrets(text)[:_LONGEST]
    return remove_secrets(text[: _LONGEST + margin])[:-margin][:_LONGEST]


def first_line(text: str) -> str:
    """Return the first line of a reason, 300 characters at most."""
    return text.strip().partition("\n")[0][:300]


def segment_fields(record: Any) -> dict[str, Any]:
    """Return the fields of a line about a finished segment. `record` is a SegmentRecord, which
    belongs to a higher layer."""
    return {
        "event": "segment",
        "segment": record.segment_id,
        "engine": record.engine,
        "seconds": record.seconds,
        "cached": record.cached,
        "degraded": record.degraded,
    }


def retry_fields(segment_id: str, engine: str, reason: str) -> dict[str, Any]:
    """Return the fields of a line about an engine that failed at a segment."""
    return {
        "event": "retry",
        "segment": segment_id,
        "engine": engine,
        "reason": first_line(reason),
    }


_ABOUT: OrderedDict[str, dict[str, str]] = OrderedDict()


def set_run_context(partition: str, run_id: str, job: str) -> None:
    """Name the run that works on a brief in this process: lines about the brief have its fields
    from now on."""
    _ABOUT[partition] = {"job": job, "run_id": run_id}
    _ABOUT.move_to_end(partition)
    while len(_ABOUT) > 64:
        _ABOUT.popitem(last=False)


# What is not said --------------------------------------------------------------------------------

_ADDRESS = re.compile(r"://[^\s\"'<>]*+")
"""An address from the end of its scheme on, to its end: no part of a text is read twice."""
_LOGIN = re.compile(r"://[^\s/@\"'<>]++@")
_BEARER = re.compile(r"(\b(?:bearer|basic)\s++)[A-Za-z0-9._~+/=-]{4,}+", re.IGNORECASE)
_SECRET_NAMES = (
    "PYTOON_TOKEN",
    "PYTOON_REMOTE_TOKEN",
    "PYTOON_COMFYUI_TOKEN",
    "PYTOON_WEBHOOK_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
_ADDRESS_NAMES = ("PYTOON_DATABASE", "PYTOON_BROKER", "PYTOON_BRIEFS_TABLE", "PYTOON_S3_ENDPOINT")
"""Settings whose addresses may hold a password."""


def _known_secrets() -> list[str]:
    found = []
    for name in _SECRET_NAMES:
        text = os.environ.get(name, "")
        found += [text, *(part.strip() for part in text.split(","))]
    for name in _ADDRESS_NAMES:
        with suppress(ValueError):
            word = urlsplit(os.environ.get(name, "")).password or ""
            found += [word, unquote(word)]
    # Anything shorter is no secret, and would blot out words.
    return sorted({f for f in found if len(f) >= 4}, key=len, reverse=True)


def _without_query(address: re.Match[str]) -> str:
    head, mark, _ = address[0].partition("?")
    return f"{head}{mark}***" if mark else head


def remove_secrets(text: str) -> str:
    """Return a text without what nobody may read: logins and queries of addresses (a presigned link
    is a key for whoever has it), tokens, and the secrets of the environment wherever they stand."""
    if "://" in text:
        text = _LOGIN.sub("://***@", text)
        text = _ADDRESS.sub(_without_query, text)
    text = _BEARER.sub(r"\1***", text)
    for secret in _known_secrets():
        text = text.replace(secret, "***")
    return text


# Logging -----------------------------------------------------------------------------------------


_LEVELS = {"warn": "warning", "fatal": "critical"}


def format_relayed(source: str, text: str) -> str:
    """Return a line of another process in this form: one that has it already stays as it is, one of
    Dagster's is converted, and anything else becomes a message."""
    said: Any = None
    if text.startswith("{"):
        with suppress(ValueError, RecursionError):
            said = json.loads(text)
    if not isinstance(said, dict):
        return format_line("message", source=source, message=text)
    if said.get("event") in EVENTS and "time" in said and "level" in said:
        return text
    level = str(said.get("level", "info")).lower()
    message = said.get("event") or said.get("message") or text
    trace = said.get("exception") or said.get("exc_info")
    return format_line(
        "message",
        level=_LEVELS.get(level, level),
        source=source,
        message=str(message),
        logger=said.get("logger"),
        traceback=str(trace) if trace else None,
    )


class JsonFormatter(logging.Formatter):
    """Formats a log record as a line. `extra={"fields": {...}}` gives it fields; without `event`
    among them it is a `message`."""

    def format(self, record: logging.LogRecord) -> str:
        given = dict(getattr(record, "fields", {}))
        given = {**_ABOUT.get(given.get("partition") or "", {}), **given}
        event = str(given.pop("event", "message"))
        if record.exc_info and record.exc_info[0] is not None:
            given["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        given.setdefault("message", record.getMessage())
        return format_line(
            event, level=record.levelname.lower(), at=record.created, logger=record.name, **given
        )


class JsonLineHandler(logging.Handler):
    """Writes lines to `stream`, by default to what stderr is at that moment."""

    def __init__(self, stream: TextIO | None = None):
        super().__init__()
        self._stream = stream
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_line(self.format(record), self._stream)
        except Exception:
            self.handleError(record)


_writing = threading.Lock()


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Write a line in one piece. Nothing is raised where the reader has ended before the work
    does."""
    with _writing, suppress(OSError, ValueError):
        to = stream or sys.stderr
        to.write(text + "\n")
        to.flush()


def setup_logging(settings: Settings, *, verbose: bool = False, also: Iterable[str] = ()) -> bool:
    """With `PYTOON_LOG=json`, send all loggers of this process to stderr as lines: Pytoon's and
    those named in `also` from INFO up (DEBUG when `verbose`), all others from WARNING. Returns
    whether it did; plain logs are left as they are.

    For each process that is no run: `pytoon serve`, `pytoon worker`, the command line. Runs write
    through Dagster's logger `console`.
    """
    root = logging.getLogger()
    for ours in [h for h in root.handlers if isinstance(h, JsonLineHandler)]:
        root.removeHandler(ours)
    as_json = settings.log == "json"
    logging.captureWarnings(as_json)
    if not as_json:
        return False
    handler = JsonLineHandler()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("pytoon", "pytoon_pipeline", *also):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(logging.DEBUG if verbose else logging.INFO)
        logger.propagate = False
    return True
