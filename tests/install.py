"""Several machines on one, for proofs: PostgreSQL, Redis and an S3 server that can be made to fail;
Dagster's page, daemon and code server; workers with homes of their own that share nothing else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import yaml
from shipped import plain_environment

from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import LedgerEntry
from pytoon_pipeline.media.probe import hash_file, probe_media
from pytoon_pipeline.runtime.brief_runs import prepare_home
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages.documents import LinkedDocument, SegmentsDocument
from pytoon_pipeline.store import Store, open_store


@dataclass
class Machine:
    """A machine's own folders and what runs on it, by name."""

    name: str
    home: Path
    environment: dict[str, str]
    settings: Settings
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def dagster_home(self) -> Path:
        return self.settings.dagster_home

    def start(self, part: str, *command: str, **more: str) -> None:
        """A part, as `python -m <command>`; what it says goes to `<home>/<part>.log`."""
        with (self.home / f"{part}.log").open("ab") as log:
            self.parts[part] = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**self.environment, **more},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.home,
                start_new_session=True,
            )

    def stop(self, part: str, seconds: float = 40) -> None:
        """As a service manager ends it."""
        process = self.parts.pop(part, None)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def processes(self, part: str | None = None) -> list[int]:
        """Numbers of all that runs on this machine, or only of a part and what it began."""
        mine = f"PYTOON_HOME={self.settings.home}\0".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mine in (entry / "environ").read_bytes():
                    stat = (entry / "stat").read_text().rpartition(")")[2].split()
                    found[int(entry.name)] = int(stat[1])
        if part is None:
            return sorted(found)
        family, grown = {self.parts[part].pid}, True
        while grown:
            more = {pid for pid, parent in found.items() if parent in family} - family
            family, grown = family | more, bool(more)
        return sorted(family & found.keys())

    def kill(self, part: str, *, family: bool = False) -> None:
        """As the system does when memory is short: without a word. `family`: all it began, too."""
        victims = self.processes(part) if family else [self.parts[part].pid]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.parts.pop(part).wait()

    def encoder(self) -> int | None:
        """The process that encodes a segment on this machine right now, if one does."""
        here = f"file:{self.settings.scratch}/".encode()
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                said = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
                if here in said and b"/.segment.mp4.part" in said:
                    return int(entry.name)
        return None

    def log(self, part: str, tail: int = 3000) -> str:
        path = self.home / f"{part}.log"
        return path.read_text(errors="replace")[-tail:] if path.exists() else ""


def free_port() -> int:
    with socket.socket() as probe_:
        probe_.bind(("127.0.0.1", 0))
        return probe_.getsockname()[1]


class Install:
    """A head (page, daemon, code server; it alone sees the briefs) and workers. `shared` is what
    every machine is told: database, broker, store, keys."""

    def __init__(self, folder: Path, shared: dict[str, str]):
        self.folder, self.shared = folder, shared
        self.briefs = folder / "briefs"
        self.briefs.mkdir(parents=True)
        self.machines: dict[str, Machine] = {}
        self.code_port, self.web_port = free_port(), free_port()
        self.head = self.machine("head", PYTOON_BRIEFS_DIR=str(self.briefs))
        workspace = {
            "load_from": [
                {
                    "grpc_server": {
                        "host": "127.0.0.1",
                        "port": self.code_port,
                        "location_name": "pytoon",
                    }
                }
            ]
        }
        self.workspace = folder / "workspace.yaml"
        self.workspace.write_text(yaml.safe_dump(workspace))
        with _environment(self.head.environment):  # What this process reads the bucket with.
            self.store: Store = open_store(self.head.settings)
        self.ledger = Ledger(self.head.settings.ledger)

    def machine(self, name: str, home: Path | None = None, **environment: str) -> Machine:
        """A machine with folders of its own, in `home` where that is given."""
        home = home or self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        own = {
            "PYTOON_HOME": str(home / "home"),
            "PYTOON_BRIEFS_DIR": str(home / "no-briefs"),
            **self.shared,
            **environment,
        }
        kept = plain_environment(without=("AWS_",))
        settings = load_settings(own)
        with _environment({**kept, **own}):
            dagster_home = prepare_home(settings)
        whole = {
            **kept,
            **own,
            "DAGSTER_HOME": str(dagster_home),
            "PYTHONUNBUFFERED": "1",
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        self.machines[name] = Machine(name, home, whole, settings)
        return self.machines[name]

    # Parts ---------------------------------------------------------------------------------------

    def start_code(self, **more: str) -> None:
        self.head.start(
            "code",
            "dagster",
            "api",
            "grpc",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.code_port),
            "--module-name",
            "pytoon_pipeline.definitions",
            **more,
        )

    def start_daemon(self, **more: str) -> None:
        self.head.start("daemon", "dagster._daemon", "run", "-w", str(self.workspace), **more)

    def start_web(self, **more: str) -> None:
        self.head.start(
            "web",
            "pytoon_pipeline.cli",
            "page",
            "-w",
            str(self.workspace),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.web_port),
            **more,
        )

    def start_worker(self, machine: Machine, at_once: int = 1, **more: str) -> None:
        machine.start(
            "worker",
            "pytoon_pipeline.cli",
            "worker",
            "--at-once",
            str(at_once),
            "--name",
            machine.name,
            **more,
        )

    def stop(self) -> None:
        """Everything, at the end; what does not listen is ended all the same."""
        for machine in self.machines.values():
            for part in list(machine.parts):
                machine.stop(part, 10)
            for pid in machine.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # Looking -------------------------------------------------------------------------------------

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with (
            _environment(self.head.environment),
            dg.DagsterInstance.from_config(str(self.head.dagster_home)) as instance,
        ):
            yield instance

    def wait(
        self, done: Callable[[list[LedgerEntry]], bool], seconds: float, campaign: str | None = None
    ) -> list[LedgerEntry]:
        """The ledger's entries once they are as they should be; AssertionError with what they are
        instead, and the parts' last words, when that takes too long."""
        end = time.monotonic() + seconds
        while True:
            entries = self.ledger.find(campaign=campaign)
            if done(entries):
                return entries
            if time.monotonic() > end:
                states = {e.key: (e.state, e.error[:200]) for e in entries}
                logs = "\n".join(
                    f"--- {m.name} {part}\n{m.log(part, 1500)}"
                    for m in self.machines.values()
                    for part in sorted(p.stem for p in m.home.glob("*.log"))
                )
                raise AssertionError(f"after {seconds} s: {states}\n{logs}")
            time.sleep(0.2)

    def runs(self, campaign: str) -> list[dg.DagsterRun]:
        """Runs of a campaign's briefs, newest first."""
        with self.instance() as instance:
            return [
                r
                for r in instance.get_runs()
                if BRIEF_TAG in r.tags and r.tags[BRIEF_TAG].startswith(f"{campaign}/")
            ]

    def settled(self, campaign: str, seconds: float = 120) -> list[dg.DagsterRun]:
        """The same once all of them have ended: a run that was killed after its last step is taken
        up again, too."""
        end = time.monotonic() + seconds
        while True:
            runs = self.runs(campaign)
            if all(r.is_finished for r in runs) or time.monotonic() > end:
                return runs
            time.sleep(0.5)


def faults_of(
    place: Install, entries: Sequence[LedgerEntry], runs: Sequence[dg.DagsterRun]
) -> list[str]:
    """What is wrong with what a campaign left: briefs lost or delivered twice, files that are not
    whole. Every file of the videos is read from the store and counted."""
    found = []
    good = Counter(r.tags[BRIEF_TAG] for r in runs if r.is_success)
    for entry in entries:
        key = entry.key
        if entry.state != "done":
            found.append(f"{key} is {entry.state}: {entry.error}")
            continue
        if good[key] != 1:
            found.append(f"{key} was delivered by {good[key]} runs")
        store = place.store
        linked = LinkedDocument.model_validate_json(store.read_bytes(f"linked/{key}.json"))
        video = store.local(f"videos/{key}/video.mp4")
        if hash_file(video) != linked.sha256 or probe_media(video).frames != linked.frames:
            found.append(f"{key}: its video is not the one that was linked")
        made = store.read_bytes(f"documents/segments/{key}.json")
        for record in SegmentsDocument.model_validate_json(made).segments:
            if probe_media(store.local(record.key)).frames != record.frames:
                found.append(f"{key}: {record.key} is not whole")
        if not store.exists(f"videos/{key}/metrics.json"):
            found.append(f"{key}: no metrics")
    return found


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """This process's environment for a moment: Dagster and boto3 read theirs from there."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
