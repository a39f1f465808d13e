"""Processes that runs live in, named so that any other process of the machine can tell whether one
is still there."""

from __future__ import annotations

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

PROCESS_TAG = ".dagster/pytoon_process"
"""Run tag: `<host>~<machine>.<boot>.<pids>:<pid>:<start>` of the process that a run lives in: the
host's name, digests of the machine's id and of its boot, and the namespace of process numbers.
Containers may share a host name, and the same number is another process in each. Dagster's pages
don't show tags of this prefix."""
WORKER_TAG = "pytoon/worker"
"""Run tag: the name of the worker that has or had it."""
_INITIAL = "initial"
"""In place of a namespace: the process is in no container."""


def process_tag(pid: int | None = None) -> str:
    """Value of PROCESS_TAG for a process of this machine; this one where none is named."""
    pid = os.getpid() if pid is None else pid
    return f"{_process_location()}:{pid}:{_start_ticks(pid)}"


def pid_of(tag: str) -> int | None:
    """The process that a tag names, if it is one of this machine and still there."""
    place, _, rest = tag.partition(":")
    pid, _, start = rest.partition(":")
    if not _is_here(place) or not pid.isdigit():
        return None
    return int(pid) if _is_alive(int(pid)) and start in ("", _start_ticks(int(pid))) else None


def is_gone(tag: str) -> bool:
    """Is it known that the process a tag names has ended? Of another machine's or container's
    nothing is known."""
    place = tag.partition(":")[0]
    if _is_here(place):
        return pid_of(tag) is None
    return _was_here_before_boot(place)


@cache
def _machine_identity() -> str:
    """`<machine>.<boot>.<pids>` of this process; parts that the system does not tell are empty."""
    machine = _short_digest(_read_text("/etc/machine-id"))
    boot = _short_digest(_read_text("/proc/sys/kernel/random/boot_id"))
    try:
        number = os.stat("/proc/self/ns/pid").st_ino
        pids = _INITIAL if number == 0xEFFFFFFC else f"{number:x}"  # As in Linux's proc_ns.h.
    except OSError:
        pids = ""
    return f"{machine}.{boot}.{pids}"


def _short_digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest() if text else ""


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _process_location() -> str:
    return f"{socket.gethostname()}~{_machine_identity()}"


def _is_here(place: str) -> bool:
    """Do process numbers of that place mean processes that can be seen from here? Tags of earlier
    versions have the host's name alone."""
    return place in (_process_location(), socket.gethostname())


def _was_here_before_boot(place: str) -> bool:
    """Is it this machine, outside of containers, before it was started anew?"""
    host, _, identity = place.partition("~")
    theirs, ours = identity.split("."), _machine_identity().split(".")
    return (
        host == socket.gethostname()
        and len(theirs) == 3
        and theirs[0] == ours[0] != ""
        and theirs[2] == ours[2] == _INITIAL
        and theirs[1] != ours[1]
    )


def _read_stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on (state, ...); empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _start_ticks(pid: int) -> str:
    """When a process was started, in ticks since the machine was: numbers of processes come again.
    Empty where the system does not tell."""
    fields = _read_stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _is_alive(pid: int) -> bool:
    if _read_stat(pid)[:1] == ["Z"]:  # Ended, and waiting for its parent to notice.
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
