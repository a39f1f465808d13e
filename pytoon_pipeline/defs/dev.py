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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pytoon_pipeline.defs.run import open_instance, prepare_home
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.figures import lines
from pytoon_pipeline.settings import Settings

LOOK_SECONDS = 300.0
"""Between two looks after what a killed process or a clock that jumped left behind."""
GRACE_SECONDS = 20.0
"""A child that is told to end has this long to do so."""


def dev(
    settings: Settings, host: str = "127.0.0.1", port: int = 3000, at_once: int | None = None
) -> int:
    """Runs until Ctrl-C or SIGTERM (returns 0), or until a part of it dies (returns 1). Where runs
    are handed to workers, one is started too, for `at_once` runs at a time (0: none).

    Raises UserError when the port is taken, SettingsError when Dagster's home can't be made.
    """
    home = prepare_home(settings)
    _claim(host, port)
    settings.briefs_dir.mkdir(parents=True, exist_ok=True)
    environment = _environment(settings, home)
    where = _workspace()
    form = "json" if settings.log == "json" else "colored"
    commands = {
        "web": [
            "dagster_webserver", *where, "--host", host, "--port", str(port),
            "--dagster-log-level", "warning", "--code-server-log-level", "warning",
            "--log-format", form,
        ],
        "daemon": [
            "dagster._daemon", "run", *where, "--log-level", "warning",
            "--code-server-log-level", "error", "--log-format", form,
        ],
    }  # fmt: skip
    if settings.broker and at_once != 0:
        taking = ["--at-once", str(at_once)] if at_once else []
        commands["worker"] = ["pytoon_pipeline.cli", "worker", *taking]
    global _as_json
    _as_json = form == "json"
    shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::") else host
    _say("dev", f"Briefs are taken from {settings.briefs_dir}; videos go to {settings.store}.")
    _say("dev", f"Dagster comes up at http://{shown}:{port} . Ctrl-C ends it.")
    with _signals() as asked:
        children = {
            name: subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment,
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
                threading.Thread(target=_relay, args=(name, child.stdout), daemon=True).start()
            looked = time.monotonic()
            while not asked.wait(0.5):
                if time.monotonic() - looked > LOOK_SECONDS:
                    looked = time.monotonic()
                    _look_after(settings)
                for name, child in children.items():
                    if child.poll() is not None:
                        _say("dev", f"{name} ended with {child.returncode}; ending the rest.")
                        return 1
            return 0
        finally:
            _end(children)


def _look_after(settings: Settings) -> None:
    """What nobody else sees to, as long as this goes on."""
    try:
        open_instance(settings).dispose()  # Opening it mends what was left wrong.
    except Exception as error:  # A database that is away is the daemon's to tell.
        _say("dev", f"WARNING: {type(error).__name__}: {str(error).splitlines()[0]}")


def _claim(host: str, port: int) -> None:
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


def _environment(settings: Settings, home: Path) -> dict[str, str]:
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


def _workspace() -> list[str]:
    """`workspace.yaml` of a checkout; an installed package has none and names the module."""
    file = Path(__file__).resolve().parents[2] / "workspace.yaml"
    return ["-w", str(file)] if file.is_file() else ["-m", "pytoon_pipeline.definitions"]


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Set when this process is asked to end."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM)
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


def _relay(name: str, stream: IO[str]) -> None:
    """A child's lines, without what says nothing to a person."""
    last = ""
    for raw in stream:
        line = _COLOUR.sub("", raw).rstrip()
        if _as_json:
            if line and _DULL not in line:
                lines.say(lines.relayed(name, line))
            continue
        found = _HEAD.match(line) or _OURS.match(line)
        text = line[found.end() :] if found else line
        if not text or text == last or _DULL in text:
            continue
        last = text
        if found and found.groupdict().get("level", "INFO") != "INFO":
            text = f"{found['level']}: {text}"
        _say(name, text)


def _say(name: str, text: str) -> None:
    if _as_json:
        lines.say(lines.line("message", source=name, message=text))
    else:
        print(f"{time.strftime('%H:%M:%S')} {name:<6} | {text}", flush=True)


def _end(children: dict[str, subprocess.Popen[str]]) -> None:
    """Ask, wait, and only then insist; runs under way are left to finish by themselves, those of a
    worker for a while."""
    for name, child in children.items():
        if child.poll() is None:
            child.send_signal(signal.SIGTERM if name == "worker" else signal.SIGINT)
    for name, child in children.items():
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            if name == "worker":  # What it still renders is begun again with the next start.
                child.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(GRACE_SECONDS)
                    continue
            _say("dev", f"{name} does not end; killing it.")
            child.kill()
            child.wait()
