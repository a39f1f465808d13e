"""How fast a campaign goes through, and where its time goes.

    make bench-campaign        (or: python tests/bench/campaign.py --briefs 24 --rounds 3)

Three tables: a look at 5,000 briefs; runs a minute of videos that are all in the store (what
Dagster costs), with Pytoon's launcher and with Dagster's own taking turns; and where a run's
time goes. Real daemons, real runs, 270x480. `--servers` has it all on PostgreSQL, and a worker
that takes its runs over Redis as a third.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dagster as dg
from deployment import Deployment, Postgres, ended, tiny
from ledger_states import force_state
from redis_server import RedisServer
from workers import WorkerProcess

from pytoon_pipeline.briefs.source import content_hash
from pytoon_pipeline.briefs.source import read_signature as source_look
from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.requests import gather_sources, plan_requests
from pytoon_pipeline.settings import load_settings

_WARM = """run_launcher:
  module: pytoon_pipeline.runtime.prefork_launcher
  class: PreforkRunLauncher
  config: {}"""
_CELERY = """run_launcher:
  module: pytoon_pipeline.runtime.celery_launcher
  class: CeleryLauncher
  config: {broker: {env: PYTOON_BROKER}}"""
_PLAIN = """run_launcher:
  module: dagster._core.launcher
  class: DefaultRunLauncher
  config: {}"""


def look(count: int) -> None:
    """A look at so many folders, each with a brief and a picture."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "briefs")
        for i in range(count):
            own = root / f"c{i // 100:03d}/b{i:05d}"
            own.mkdir(parents=True)
            (own / "brief.yaml").write_text(f"media: [a.jpg]\nhook: Line {i}\n")
            (own / "a.jpg").write_bytes(bytes([i % 256]) * 2000)
        settings = load_settings({"PYTOON_HOME": f"{folder}/home", "PYTOON_BRIEFS_DIR": str(root)})
        ledger = Ledger(settings.ledger)
        print(f"\n| look at {count} briefs | s |\n|---|---|")
        later = time.time() + 60
        for name in ("the first, nothing known", "the second", "the third"):
            began = time.monotonic()
            sources, _ = gather_sources(settings)
            found = plan_requests(ledger, sources, now=later)
            spent = time.monotonic() - began
            print(f"| {name}: {len(found.requests)} runs requested | {spent:.2f} |")
        for source in sources:
            values = {"content_hash": content_hash(source), "look": source_look(source)}
            force_state(ledger, ledger.register(source), state="done", **values)
        began = time.monotonic()
        sources, _ = gather_sources(settings)
        gathered = time.monotonic() - began
        found = plan_requests(ledger, sources, confirmed=10**6, now=later)
        spent = time.monotonic() - began
        assert not found.requests and not found.unfinished
        print(f"| when nothing is new ({gathered:.2f} s of it to find them) | {spent:.2f} |")


def use_launcher(place: Deployment, chosen: str) -> None:
    file = place.dagster_home / "dagster.yaml"
    text = file.read_text()
    start = text.index("run_launcher:")
    end = text.index("\n\n", start)
    text = text[:start] + chosen + text[end:]
    text = re.sub(r"max_concurrent_runs: \d+", "max_concurrent_runs: 8", text)
    file.write_text(text)


def prepare(place: Deployment, count: int) -> float:
    """All videos rendered once; returns videos a minute, from the first request to the last."""
    for i in range(count):
        tiny(place.root / f"camp/b{i:03d}", hue=i * 7)
    with place:
        place.wait(lambda es: any(e.serial for e in es), 60)
        began = time.monotonic()
        entries = place.wait(ended(count), 60 + 20 * count)
        spent = time.monotonic() - began
    assert all(e.state == "done" for e in entries), [e.error for e in entries if e.error]
    return 60 * count / spent


def again(place: Deployment, worker: bool) -> tuple[float, list[dg.DagsterRun]]:
    """Runs a minute when all is in the store already, and the runs."""
    with place, beside(place, worker):
        # Until the daemon and its code server are up.
        place.ledger.want([place.ledger.find()[0].key], "render")
        place.wait(lambda es: all(not e.wanted and e.state == "done" for e in es), 60)
        keys = [e.key for e in place.ledger.find()]
        since = time.time()
        began = time.monotonic()
        place.ledger.want(keys, "render")
        place.wait(
            lambda es: all(e.state == "done" and e.updated > since and not e.wanted for e in es),
            60 + 20 * len(keys),
        )
        spent = time.monotonic() - began
        time.sleep(2)
    with place.instance() as instance:
        runs = [r for r in instance.get_runs(limit=len(keys) + 20) if BRIEF_TAG in r.tags]
    return 60 * len(keys) / spent, runs[: len(keys)]


@contextmanager
def beside(place: Deployment, wanted: bool) -> Iterator[None]:
    """A worker with two runs at once, which is what the others have on two cores."""
    if not wanted:
        yield
        return
    worker = WorkerProcess(place.root.parent / "worker", place.environment, "--at-once", "2")
    try:
        worker.wait_for("Ready", 120)
        yield
    finally:
        worker.stop()
        worker.log.unlink()


@contextmanager
def servers(wanted: bool, folder: Path) -> Iterator[dict[str, str]]:
    """What an install is told of them; nothing without."""
    if not wanted:
        yield {}
        return
    postgres = Postgres()
    try:
        with RedisServer(folder / "redis") as redis:
            yield {"PYTOON_DATABASE": postgres.url, "PYTOON_BROKER": redis.url}
    finally:
        postgres.close()


def parts(place: Deployment, runs: list[dg.DagsterRun]) -> dict[str, float]:
    """Median seconds of each part of a run."""
    spent: dict[str, list[float]] = defaultdict(list)
    with place.instance() as instance:
        for run in runs:
            stats = instance.get_run_stats(run.run_id)
            steps = instance.get_run_step_stats(run.run_id)
            inside = {s.step_key: s.end_time - s.start_time for s in steps if s.end_time}
            spent["waiting in the queue"].append(stats.launch_time - stats.enqueued_time)
            spent["from launch to start"].append(stats.start_time - stats.launch_time)
            whole = stats.end_time - stats.start_time
            for name, seconds in inside.items():
                spent[f"step {name}"].append(seconds)
            spent["in the run, outside its steps"].append(whole - sum(inside.values()))
            spent["the whole run"].append(whole)
    return {name: statistics.median(values) for name, values in spent.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--briefs", type=int, default=24)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--look", type=int, default=5000)
    options.add_argument("--servers", action="store_true", help="PostgreSQL, Redis, a worker")
    chosen = options.parse_args()
    look(chosen.look)
    folder = Path(tempfile.mkdtemp(prefix="pytoon-bench-"))
    launchers = {"Pytoon's launcher": _WARM, "Dagster's own": _PLAIN}
    if chosen.servers:
        launchers["a worker"] = _CELERY
    try:
        with servers(chosen.servers, folder) as told:
            compare(Deployment(folder, **told), launchers, chosen.briefs, chosen.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compare(place: Deployment, launchers: dict[str, str], briefs: int, rounds: int) -> None:
    use_launcher(place, _WARM)
    rate = prepare(place, briefs)
    print(f"\n{briefs} briefs of 3 s at 270x480, rendered: {rate:.0f} videos a minute")
    print("\n| all in the store already | round | runs a minute |\n|---|---|---|")
    found: dict[str, list[float]] = defaultdict(list)
    last: dict[str, dict[str, float]] = {}
    for turn in range(rounds):
        for name, launcher in launchers.items():
            use_launcher(place, launcher)
            rate, runs = again(place, launcher == _CELERY)
            found[name].append(rate)
            last[name] = parts(place, runs)
            print(f"| {name} | {turn + 1} | {rate:.0f} |", flush=True)
    middle = {name: statistics.median(rates) for name, rates in found.items()}
    print()
    for name, rate in middle.items():
        ratio = rate / middle["Dagster's own"]
        print(f"Median of {name}: {rate:.0f} runs a minute, {ratio:.1f} of Dagster's own.")
    print("\n| seconds of a run, median | " + " | ".join(last) + " |")
    print("|---" * (len(last) + 1) + "|")
    for name in dict.fromkeys(n for values in last.values() for n in values):
        row = " | ".join(f"{values.get(name, 0):.2f}" for values in last.values())
        print(f"| {name} | {row} |")


if __name__ == "__main__":
    main()
