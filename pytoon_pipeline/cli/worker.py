"""`pytoon worker`."""

from __future__ import annotations

import socket
import time

from pytoon_pipeline.cli.terminal import FAILED, OK, open_console, settings_and_logs
from pytoon_pipeline.errors import Problem, SettingsError

SILENT_SECONDS = 30.0
"""A worker that was not heard of for so long is not there, or hangs."""


def run_worker_command(at_once: int | None, queues: str | None, name: str | None) -> int:
    settings = settings_and_logs()
    try:
        import dagster_celery  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            Problem(
                "worker.missing",
                f"{error.name} is not installed.",
                "Install Pytoon with what workers need: the wheel file as 'pytoon_pipeline-....whl"
                "[cluster]', or '.[cluster]' in a checkout.",
            )
        ) from error
    from pytoon_pipeline.runtime.worker import run_worker

    named = [q.strip() for q in (queues or "").split(",") if q.strip()]
    return run_worker(settings, at_once, named, name)


def ping_worker(name: str | None) -> int:
    """Is the worker of this install there? For a container's health check: quick, and asks neither
    the broker nor the database, whose absence is no fault of the worker's."""
    from pytoon_pipeline.process_tags import alive_file
    from pytoon_pipeline.settings import load_settings

    name = name or socket.gethostname()
    file = alive_file(load_settings().home, name)
    try:
        silent = max(0.0, time.time() - file.stat().st_mtime)
    except OSError:
        open_console().print(f"No worker {name} runs here.")
        return FAILED
    if silent > SILENT_SECONDS:
        open_console().print(f"The worker {name} was last heard of {silent:.0f} s ago.")
        return FAILED
    open_console().print(f"The worker {name} is there.")
    return OK
