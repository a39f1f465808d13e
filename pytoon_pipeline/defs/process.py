"""Processes that runs live in, named so that any other process of the machine can tell whether one
is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

PROCESS_TAG = ".dagster/pytoon_process"
"""Run tag: `<host>:<pid>:<start>` of the process that a run lives in. Dagster's pages don't show
tags of this prefix."""
WORKER_TAG = "pytoon/worker"
"""Run tag: the name of the worker that has or had it."""


def process_tag(pid: int | None = None) -> str:
    """Value of PROCESS_TAG for a process of this machine; this one where none is named."""
    pid = os.getpid() if pid is None else pid
    return f"{socket.gethostname()}:{pid}:{_start(pid)}"


def pid_of(tag: str) -> int | None:
    """The process that a tag names, if it is one of this machine and still there."""
    host, _, rest = tag.partition(":")
    pid, _, start = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return None
    return int(pid) if _alive(int(pid)) and start in ("", _start(int(pid))) else None


def is_gone(tag: str) -> bool:
    """Is it known that the process a tag names has ended? Of another machine's nothing is known."""
    return tag.partition(":")[0] == socket.gethostname() and pid_of(tag) is None


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on (state, ...); empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _start(pid: int) -> str:
    """When a process was started, in ticks since the machine was: numbers of processes come again.
    Empty where the system does not tell."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _alive(pid: int) -> bool:
    if _stat(pid)[:1] == ["Z"]:  # Ended, and waiting for its parent to notice.
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def alive_file(home: Path, name: str) -> Path:
    """The file that a worker of an install touches every few seconds while it is there."""
    return home / "workers" / "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
