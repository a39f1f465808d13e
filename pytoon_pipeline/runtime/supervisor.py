"""Runs one command and leaves none of its processes behind: `python supervise.py COMMAND...`.

This process adopts whatever the command's processes leave (Linux: PR_SET_CHILD_SUBREAPER), so it
finds all of them, whatever session they are in and whatever they did to their environment. It ends
them by SIGKILL, which a process at full load can't ignore, when the command ends, and when its own
standard input ends: whoever started it holds the other end, and is gone then, however it ended.
SIGINT and SIGTERM are passed on to the command.

Of the code servers of a Dagster process only the newest is in use. Dagster starts another when one
does not answer, and waits for the old one to end by itself, which one at full load never does: it
is ended here.

Standard library only, and started as a file: this process costs a few milliseconds and megabytes.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

REPLACED_SECONDS = 60.0
"""An old code server has this long to end after a new one was started; one that still answers
needs 45 at most."""
_LOOK_SECONDS = 2.0
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """Make this process the parent of all orphans below it. False where the system can't."""
    try:
        return ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (AttributeError, OSError, TypeError):
        return False


def _list_processes() -> dict[int, tuple[int, str, float]]:
    """All processes: parent, state, and when it was started, in seconds since the machine was."""
    found, tick = {}, os.sysconf("SC_CLK_TCK")
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            fields = text.rpartition(")")[2].split()
            found[int(entry.name)] = int(fields[1]), fields[0], int(fields[19]) / tick
    return found


def list_descendants(of: int, leave: frozenset[int] = frozenset()) -> list[int]:
    """Processes below one, that have not ended; `leave` are those to leave out with all below."""
    processes = _list_processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    found, pending = [], [of]
    while pending:
        for pid in children.get(pending.pop(), ()):
            if pid not in leave:
                pending.append(pid)
                if processes[pid][1] not in "ZX":
                    found.append(pid)
    return found


def kill_descendants(leave: frozenset[int] = frozenset()) -> None:
    """End all processes below this one by SIGKILL, until none is left: one may have started another
    just now."""
    for _ in range(100):
        found = list_descendants(os.getpid(), leave)
        if not found:
            return
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _reap_children(command: int) -> None:
    """Take note of the end of adopted processes; else their numbers would stay in use."""
    for pid, (parent, state, _) in _list_processes().items():
        if parent == os.getpid() and state == "Z" and pid != command:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def replaced_code_servers(command: int, seconds: float = REPLACED_SECONDS) -> list[int]:
    """Code servers of a Dagster process that were replaced so many seconds ago and have not
    ended."""
    processes = _list_processes()
    servers = sorted(
        (started, pid)
        for pid, (parent, state, started) in processes.items()
        if parent == command and state != "Z" and _is_code_server(pid)
    )
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    return [
        pid
        for (_, pid), (newer, _) in zip(servers, servers[1:], strict=False)
        if now - newer > seconds
    ]


def _is_code_server(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"api" in words and b"grpc" in words


def supervise_command(command: list[str]) -> int:
    adopt_orphans()
    asked: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: object) -> None:
        if child is None:
            asked.append(number)
        elif child.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)

    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, pass_on)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    for number in asked:
        child.send_signal(number)
    looked = time.monotonic()
    while child.poll() is None:
        if select.select([0], [], [], 0.1)[0] and not os.read(0, 4096):
            break  # Whoever started this is gone.
        if time.monotonic() - looked > _LOOK_SECONDS:
            looked = time.monotonic()
            _reap_children(child.pid)
            for pid in replaced_code_servers(child.pid):
                print(
                    f"WARNING: a code server (process {pid}) did not end after it was replaced; "
                    "it is ended by force.",
                    file=sys.stderr,
                    flush=True,
                )
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
    kill_descendants()
    code = child.wait()
    _reap_children(child.pid)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(supervise_command(sys.argv[1:]))
