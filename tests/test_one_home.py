"""One home, one daemon, and nothing left of it afterwards: with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deployment import Deployment, ended, tiny
from shipped import plain_environment

from pytoon_pipeline.errors import UserError
from pytoon_pipeline.maintenance.machine import tidy_machine
from pytoon_pipeline.runtime import home_lock, supervisor


def wait_until(true: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


class Dev:
    """`pytoon dev` of an install."""

    def __init__(self, place: Deployment, name: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = place.root.parent / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytoon_pipeline.cli", "dev", "--port", str(self.port)],
                env={**plain_environment(), **place.own},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=place.root.parent,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Deployment]:
    place = Deployment(tmp_path)
    yield place
    place.stop()
    for pid in place.processes():
        os.kill(pid, signal.SIGKILL)


def test_a_second_deployment_on_a_home_says_who_holds_it(place: Deployment):
    for i in range(3):
        tiny(place.root / "camp" / f"b{i}", hue=i * 40)
    first = Dev(place, "first")
    wait_until(lambda: (place.settings.home / home_lock.DEV).exists())
    second = Dev(place, "second")
    assert second.process.wait(60) == 2
    said = " ".join(second.said().split())
    assert f"process {first.process.pid}" in said and str(first.port) in said
    assert "Traceback" not in said
    # A daemon that is started by hand ends, too; the first one's lock is its daemon's by then.
    wait_until(lambda: (place.dagster_home / home_lock.DAEMON).exists(), 60)
    place.start()
    assert place.daemon is not None and place.daemon.wait(90) == 2
    assert f"{place.dagster_home} is in use by a Dagster daemon" in place.log.read_text()
    place.wait(ended(3), 240)
    assert len(place.runs()) == 3, "one run for each brief"
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    wait_until(lambda: not place.processes())
    home_lock.lock_home(place.settings.home / home_lock.DEV, "a test", patience=0).close()


def test_a_lock_ends_with_its_process_and_no_child_has_it(tmp_path: Path):
    path = tmp_path / "dev.lock"
    code = (
        "import subprocess, sys, time; from pathlib import Path\n"
        "from pytoon_pipeline.runtime.home_lock import lock_home\n"
        "lock = lock_home(Path(sys.argv[1]), 'a test', 'http://x')\n"
        "print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(UserError, match=f"process {holder.pid} on .*http://x"):
            home_lock.lock_home(path, "another", patience=0)
    finally:
        holder.kill()
        holder.wait()
    assert Path(f"/proc/{child}").exists()
    with home_lock.lock_home(path, "another", patience=0):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    os.kill(child, signal.SIGKILL)


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.warns(UserWarning, match="Start one only"):
        assert home_lock.lock_home(tmp_path / "dev.lock", "a test") is None


def test_one_daemon_works_on_a_database(database: str):
    one, two = home_lock.DatabaseLock(database, "one"), home_lock.DatabaseLock(database, "two")
    one.hold()
    one.hold()
    with pytest.raises(UserError, match=f"in use by one, process {os.getpid()}"):
        two.hold(patience=0)
    one.close()
    two.hold(patience=5)  # As a container that was started again.
    two.close()


_STUCK = """
import os, signal, subprocess, sys, time
if sys.argv[1:] == ["stuck"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpid(), flush=True)
    while True: pass
subprocess.Popen(  # An orphan soon, of another session, and nothing in its environment.
    [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:], env={}, "
     "start_new_session=True)", sys.executable, __file__, "stuck"])
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["command ends", "starter is killed"])
def test_a_stuck_process_is_ended_with_its_command(tmp_path: Path, how: str):
    script = tmp_path / "stuck.py"
    script.write_text(_STUCK)
    supervised = subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    stuck = int(supervised.stdout.readline())
    if how == "command ends":
        supervised.send_signal(signal.SIGTERM)
    else:
        supervised.stdin.close()
    supervised.wait(20)
    assert not Path(f"/proc/{stuck}").exists()


def test_code_servers_that_were_replaced_do_not_pile_up():
    code = "import sys, time; time.sleep(60)"
    servers = []
    try:
        for _ in range(3):
            servers.append(subprocess.Popen([sys.executable, "-c", code, "api", "grpc"]))
            time.sleep(0.15)
        other = subprocess.Popen([sys.executable, "-c", code])
        servers.append(other)
        pids = [s.pid for s in servers]
        wait_until(lambda: supervisor.replaced_code_servers(os.getpid(), 0.1) == pids[:2])
        assert supervisor.replaced_code_servers(os.getpid()) == [], "it has time to end by itself"
    finally:
        for server in servers:
            server.kill()
            server.wait()


_STOPPED = """
import os, signal, sys
from pathlib import Path
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.runtime import prefork
from pytoon_pipeline.runtime.brief_runs import open_instance, run_brief
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import open_services

prefork.import_everything()

def render(at, number):
    # The signal comes when a file of that stage is about to get its name in the store.
    class Eye(Reporter):
        now = ""
        def stage(self, key, stage):
            Eye.now = stage

    def stopping(give_name):
        def give(source, target, **options):
            if Eye.now == at and os.path.realpath(target).startswith(store):
                Eye.now = ""
                os.kill(os.getpid(), number)
            return give_name(source, target, **options)
        return give

    settings = load_settings()
    store = os.path.realpath(settings.store)
    os.link, os.replace = stopping(os.link), stopping(os.replace)
    with open_instance(settings) as instance:
        [source] = find_sources([settings.briefs_dir])
        result = run_brief(source, open_services(settings), Eye(), instance)
    return 0 if result.ok else 3

for line in sys.stdin:
    at, number = line.split()
    pid = os.fork()
    if pid == 0:
        code = 4
        try:
            code = render(at, int(number))
        finally:
            os._exit(code)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
_STAGES = ("render_spec", "segments", "assembled_video", "thumbnail")


def _stored(place: Deployment) -> dict[str, bytes]:
    """What has its final name in the store, without documents that tell of times."""
    store = Path(place.settings.store)
    return {
        str(path.relative_to(store)): (
            path.read_bytes() if path.name != "metrics.json" else bytes(path.stat().st_size > 0)
        )
        for path in store.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(store).parts)
        and path.relative_to(store).parts[0] not in ("documents", "linked")
    }


def test_a_run_that_is_stopped_leaves_nothing_half_written(tmp_path: Path):
    """In each stage, by each signal; what is left is the start of the next run."""
    places = {name: Deployment(tmp_path / name) for name in ("whole", "stopped")}
    processes = {}
    for name, place in places.items():
        tiny(place.root / "camp" / "b", resolution="180x320")
        processes[name] = subprocess.Popen(
            [sys.executable, "-c", _STOPPED],
            text=True,
            cwd=tmp_path,
            env={**place.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ended_with(name: str, at: str, number: int) -> int:
        process = processes[name]
        process.stdin.write(f"{at} {number}\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    try:
        assert ended_with("whole", "none", 0) == 0
        whole = _stored(places["whole"])
        assert any(name.endswith("video.mp4") for name in whole)
        for at in _STAGES:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                assert ended_with("stopped", at, number) != 0, (at, number)
                for name, data in _stored(places["stopped"]).items():
                    assert whole.get(name) == data, (at, number, name)
        assert ended_with("stopped", "none", 0) == 0
        assert _stored(places["stopped"]) == whole
        tidy_machine(places["stopped"].settings)
        assert list(places["stopped"].settings.scratch.glob("*")) == []
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
