"""A whole deployment on this machine: Dagster's page and its daemon, with the sensor on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import dagster as dg
import sqlalchemy as sa

from pytoon_pipeline.defs.videos.reconcile import resume_runs
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.process_tags import PROCESS_TAG, is_gone
from pytoon_pipeline.runtime import home_lock, supervisor
from pytoon_pipeline.runtime.brief_runs import instance_ref, open_instance, prepare_home
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.telemetry import logs

LOOK_SECONDS = 300.0
"""Between two looks after what a killed process or a clock that jumped left behind."""
GRACE_SECONDS = 1.5
"""Children that are told to end have this long to do so."""
MARK = "_PYTOON_DEV"
"""In the environment of everything that a deployment starts: which one it is of."""
_SUPERVISED = [sys.executable, "-I", "-S", supervisor.__file__]


def run_dev_server(
    settings: Settings, host: str = "127.0.0.1", port: int = 3000, at_once: int | None = None
) -> int:
    """Runs until Ctrl-C or SIGTERM (returns 0), or until a part of it dies (returns 1). Where runs
    are handed to workers, one is started too, for `at_once` runs at a time (0: none).

    Raises UserError when the port is taken, SettingsError when Dagster's home can't be made.
    """
    home = prepare_home(settings)
    _require_free_port(host, port)
    lock = _claim_home(settings, home, f"http://{host}:{port}")
    settings.briefs_dir.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex
    environment = {**_child_environment(settings, home), MARK: mark}
    where = _workspace_arguments()
    form = "json" if settings.log == "json" else "colored"
    commands = {
        "web": [
            "pytoon_pipeline.cli",
            "page",
            *where,
            "--host",
            host,
            "--port",
            str(port),
            "--dagster-log-level",
            "warning",
            "--code-server-log-level",
            "warning",
            "--log-format",
            form,
        ],
        "daemon": [
            "dagster._daemon",
            "run",
            *where,
            "--log-level",
            "warning",
            "--code-server-log-level",
            "error",
            "--log-format",
            form,
        ],
    }
    if settings.broker and at_once != 0:
        taking = ["--at-once", str(at_once)] if at_once else []
        commands["worker"] = ["pytoon_pipeline.cli", "worker", *taking]
    global _as_json, _ending
    _as_json, _ending = form == "json", False
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host
    _print_line(
        "dev", f"Briefs are taken from {settings.briefs_dir}; videos go to {settings.store}."
    )
    _print_line("dev", f"Dagster comes up at http://{shown}:{port} . Ctrl-C ends it.")
    before = frozenset(supervisor.list_descendants(os.getpid()))
    supervisor.adopt_orphans()
    with lock, _count_signals() as asked:
        children = {
            name: subprocess.Popen(
                [*_SUPERVISED, sys.executable, "-m", *command],
                env=environment,
                # Its end tells the supervisor that this process has ended, however it did.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C is for this process; it ends its children in order.
                start_new_session=True,
            )
            for name, command in commands.items()
        }
        try:
            for name, child in children.items():
                threading.Thread(
                    target=_relay_lines, args=(name, child.stdout), daemon=True
                ).start()
            looked = time.monotonic()
            while not asked.event.wait(0.5):
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    _watch_children(settings)
                for name, child in children.items():
                    if child.poll() is not None:
                        _print_line(
                            "dev", f"{name} ended with {child.returncode}; ending the rest."
                        )
                        return 1
            return 0
        finally:
            _end_children(children, mark, settings, asked, before)


def _claim_home(settings: Settings, home: Path, address: str) -> AbstractContextManager[object]:
    """What this home is held by until this process ends. Raises UserError when another process
    holds it: another `pytoon dev`, or a daemon that was started by hand."""
    lock = home_lock.lock_home(settings.home / home_lock.DEV, "`pytoon dev`", address)
    try:
        home_lock.refuse_if_held(home / home_lock.DAEMON)
        if settings.database:
            database = home_lock.DatabaseLock(settings.database, "`pytoon dev`")
            try:
                database.hold()
            except sa.exc.DBAPIError:
                pass  # The daemon waits for a server that is away, and looks then.
            finally:
                database.close()  # It is the daemon's to hold.
    except BaseException:
        if lock is not None:
            lock.close()
        raise
    return lock or nullcontext()


def _watch_children(settings: Settings) -> None:
    """What nobody else sees to, as long as this goes on."""
    try:
        open_instance(settings).dispose()  # Opening it mends what was left wrong.
    except Exception as error:  # A database that is away is the daemon's to tell.
        _print_line("dev", f"WARNING: {type(error).__name__}: {str(error).splitlines()[0]}")


def _require_free_port(host: str, port: int) -> None:
    """A second server on a port would answer in silence with old code."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise UserError(
            Problem(
                "dev.port",
                f"{host}:{port} can't be listened on: {getattr(error, 'strerror', error)}.",
                "End what runs there, or choose another with --port.",
                field="--port",
            )
        ) from error


def _child_environment(settings: Settings, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        # The children's working folder may not be this one.
        "PYTOON_HOME": str(settings.home),
        "PYTOON_STORE": settings.store,
        "PYTOON_BRIEFS_DIR": str(settings.briefs_dir),
        "PYTOON_PRESETS_DIR": str(settings.presets_dir) if settings.presets_dir.is_dir() else "",
    }


def _workspace_arguments() -> list[str]:
    """`workspace.yaml` of a checkout; an installed package has none and names the module."""
    file = Path(__file__).resolve().parents[2] / "workspace.yaml"
    return ["-w", str(file)] if file.is_file() else ["-m", "pytoon_pipeline.definitions"]


@dataclass
class _StopRequests:
    """Whether, and how often, this process was asked to end."""

    event: threading.Event = field(default_factory=threading.Event)
    times: int = 0

    def again(self, *_: object) -> None:
        self.times += 1
        self.event.set()


@contextmanager
def _count_signals() -> Iterator[_StopRequests]:
    """Counts Ctrl-C and SIGTERM as long as it lasts."""
    asked = _StopRequests()
    before = {
        number: signal.signal(number, asked.again) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HEAD = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ - dagster\S* - (?P<level>\w+) - (__repository__ - )?"
)
_OURS = re.compile(r"^\d\d:\d\d:\d\d \w+ +\| ")
"""A line of a worker, which has its time and its name already."""
_DULL = "ignoring older events"
"""Said once of an empty database."""


_as_json = False
"""Is what this deployment says meant for programs?"""
_ending = False
"""Were its children told to end?"""


def _relay_lines(name: str, stream: IO[str]) -> None:
    """A child's lines, without what says nothing to a person."""
    last = ""
    for raw in stream:
        if _ending:
            continue
        line = _COLOUR.sub("", raw).rstrip()
        if _as_json:
            if line and _DULL not in line:
                logs.write_line(logs.format_relayed(name, line))
            continue
        found = _HEAD.match(line) or _OURS.match(line)
        text = line[found.end() :] if found else line
        if not text or text == last or _DULL in text:
            continue
        last = text
        if found and found.groupdict().get("level", "INFO") != "INFO":
            text = f"{found['level']}: {text}"
        _print_line(name, text)


def _print_line(name: str, text: str) -> None:
    if _as_json:
        logs.write_line(logs.format_line("message", source=name, message=text))
    else:
        print(f"{time.strftime('%H:%M:%S')} {name:<6} | {text}", flush=True)


def _end_children(
    children: dict[str, subprocess.Popen[str]],
    mark: str,
    settings: Settings,
    asked: _StopRequests,
    before: frozenset[int] = frozenset(),
) -> None:
    """Ask all at once, wait a moment, then insist, so that after `GRACE_SECONDS` and a bit nothing
    is left that was started here: code servers and runs included. What was being rendered is begun
    again at the next start, from the scenes that are finished."""
    global _ending
    _ending = True  # What Dagster's processes say of each other's end helps nobody.
    _print_line("dev", "Ending; what is being rendered goes on at the next start.")
    began, asked_before = time.monotonic(), asked.times
    for name, child in children.items():
        _signal_child(child, signal.SIGTERM if name == "worker" else signal.SIGINT)
    insisted = False
    while any(child.poll() is None for child in children.values()):
        waited = time.monotonic() - began
        if waited > GRACE_SECONDS or asked.times > asked_before:
            break
        if waited > GRACE_SECONDS / 2 and not insisted and "worker" in children:
            insisted = True  # It leaves what it still renders to other workers.
            _signal_child(children["worker"], signal.SIGINT)
        time.sleep(0.05)
    for child in children.values():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    supervisor.kill_descendants(before)  # Left by a supervisor that was killed.
    _kill_started(mark)
    if not settings.broker:  # Workers see to their own.
        _ask_again(settings)


def _signal_child(child: subprocess.Popen[str], number: int) -> None:
    if child.poll() is None:
        child.send_signal(number)


def _kill_started(mark: str) -> None:
    """Kill every process that inherited this deployment's mark, whoever its parent is by now. Where
    the system does not tell of other processes' environments, code servers and runs end by
    themselves a little later."""
    wanted = f"{MARK}={mark}\0".encode()
    for _ in range(20):  # One may have started another just now.
        found = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    found += 1
        if not found:
            return
        time.sleep(0.05)


def _ask_again(settings: Settings) -> None:
    """End the runs whose process was killed, and note that their briefs are to be rendered: not as
    runs that failed, of which Dagster retries each only once."""
    try:
        with dg.DagsterInstance.from_ref(instance_ref(settings)) as instance:
            ledger = Ledger(settings.ledger)
            begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
            for run in instance.get_runs(dg.RunsFilter(statuses=begun)):
                if is_gone(run.tags.get(PROCESS_TAG, "")):
                    said = "`pytoon dev` was ended; the brief is rendered at its next start."
                    instance.report_run_canceled(run, said)
                    resume_runs(ledger, run)
    except Exception as error:  # The daemon's own look after runs finds them at the next start.
        _print_line("dev", f"WARNING: {type(error).__name__}: {str(error).splitlines()[0]}")
