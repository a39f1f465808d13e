"""Dagster's real web server behind the guard, started as `pytoon dev` and the images start it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from shipped import plain_environment

PAUSED = "query { instance { autoMaterializePaused } }"
PAUSE = "mutation { setAutoMaterializePaused(paused: true) }"
RESUME = "mutation { setAutoMaterializePaused(paused: false) }"
"""A switch of the instance, which needs no code location."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def guarded_page(folder: Path, *, hosts: str = "") -> Iterator[int]:
    """The port of a web server without code locations, whose home is below the folder; it comes up
    in a few seconds (`wait_for`)."""
    home = folder / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    (folder / "workspace.yaml").write_text("load_from: []\n")
    port, log = free_port(), folder / "page.log"
    environment = {
        **plain_environment(),
        "DAGSTER_HOME": str(home),
        "PYTOON_HOME": str(folder / "home"),
        "PYTOON_PAGE_HOSTS": hosts,
        "PYTHONUNBUFFERED": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytoon_pipeline.cli",
        "page",
        "-w",
        str(folder / "workspace.yaml"),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with started(command, environment, log):
        yield port


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process that is ended at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(address: str, log: Path, seconds: float = 60) -> None:
    """Until a server answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            httpx.get(address, trust_env=False, verify=False)
            return
        except httpx.TransportError:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
