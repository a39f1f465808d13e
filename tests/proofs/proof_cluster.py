"""A campaign on several machines that share a bucket, a database and a broker, and nothing else.
`make proof` runs it; it prints what it saw as rows of a table.

Each machine has a home, a Dagster home and working folders of its own; the briefs lie on one that
renders nothing.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dagster as dg
import pytest
from deployment import Postgres, ended, picture, tiny
from install import Install, Machine, faults_of
from redis_server import RedisServer
from s3_server import s3_server

from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.process_tags import WORKER_TAG

_KINDS = ("hero", "overlay", "meme")


def test_a_campaign_on_two_workers_one_of_which_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    postgres = Postgres()
    with RedisServer(tmp_path / "redis", lasting=True) as redis, s3_server() as s3:
        s3.bucket("videos")
        for name, value in s3.environ.items():  # This process reads the bucket, too.
            monkeypatch.setenv(name, value)
        place = Install(
            tmp_path / "machines",
            {
                "PYTOON_DATABASE": postgres.url,
                "PYTOON_BROKER": redis.url,
                "PYTOON_STORE": "s3://videos/pytoon",
                **s3.environ,
            },
        )
        try:
            _campaign(place)
        finally:
            place.stop()
            postgres.close()


def _campaign(place: Install) -> None:
    keys = [_brief(place, i) for i in range(14)]
    one, two, three = (place.machine(name) for name in ("anvil", "bellows", "crucible"))
    began = time.monotonic()
    for machine in (one, two):
        _start(machine)
    place.start_code()
    place.start_daemon()

    def both(entries) -> bool:
        names = _workers(place)
        return sum(e.state == "done" for e in entries) >= 4 and {"anvil", "bellows"} <= names.keys()

    place.wait(both, 400)
    # In the middle of a run of its own.
    while not (lost := _on(place, "bellows")):
        time.sleep(0.2)
    two.kill("worker", family=True)
    killed, at = time.monotonic(), time.time()
    early = _workers(place)
    _say("two workers, each with homes of its own, until one is killed", began, early)

    entries = place.wait(ended(14), 900)
    runs = place.settled("c")
    assert {e.key: e.state for e in entries} == dict.fromkeys(keys, "done")
    assert faults_of(place, entries, runs) == []
    again = [r for r in runs if r.parent_run_id]
    assert {r.parent_run_id for r in again} == set(lost), "what it had was taken up, once"
    assert all(r.tags[WORKER_TAG] == "anvil" for r in again if r.is_success)
    taken = max(r.start_time for r in _records(place, again))
    _say(
        f"one killed (-9) with its children: 14 of 14 videos, {len(again)} run taken up again "
        f"{taken - at:.0f} s later",
        killed,
        _workers(place),
    )

    late = time.monotonic()
    _start(three)
    more = [_brief(place, i) for i in range(14, 20)]
    entries = place.wait(ended(20), 600)
    runs = place.settled("c")
    assert {e.key: e.state for e in entries} == dict.fromkeys([*keys, *more], "done")
    assert faults_of(place, entries, runs) == []
    done = Counter(r.tags[BRIEF_TAG] for r in runs if r.is_success)
    assert done == dict.fromkeys([*keys, *more], 1), "each delivered once"
    assert _workers(place)["crucible"] > 0
    _say("a third joins: 6 more briefs", late, _workers(place))
    for machine in (one, two, three):
        assert not list(machine.home.glob("no-briefs/*")), "briefs come out of the bucket alone"


def _brief(place: Install, i: int) -> str:
    """3 to 6 s, of one or two scenes; every fourth from a brief and not a plan."""
    folder = place.briefs / f"c/b{i:02d}"
    if i % 4 == 3:
        picture(folder / "a.png", 5 * i)
        text = "media: [{path: a.png, duration: 3}]\nhook: Line\nmusic: none\n"
        (folder / "brief.yaml").write_text(text, encoding="utf-8")
    else:
        scenes = [
            {"media": ["a.png"], "duration": 3, "text": f"Part {n}", "motion": "push_in"}
            for n in range(1 + i % 2)
        ]
        tiny(folder, hue=5 * i, archetype=_KINDS[i % 3], segments=scenes)
    return f"c/b{i:02d}"


def _start(machine: Machine) -> None:
    machine.start(
        "worker", "pytoon_pipeline.cli", "worker", "--at-once", "1", "--name", machine.name
    )


def _workers(place: Install) -> Counter[str]:
    """Finished runs of each worker."""
    return Counter(r.tags.get(WORKER_TAG, "?") for r in place.runs("c") if r.is_success)


def _on(place: Install, name: str) -> list[str]:
    """What a worker has now."""
    mine = [r for r in place.runs("c") if r.tags.get(WORKER_TAG) == name]
    return [r.run_id for r in mine if r.status == dg.DagsterRunStatus.STARTED]


def _records(place: Install, runs):
    with place.instance() as instance:
        return [instance.get_run_record_by_id(r.run_id) for r in runs]


def _say(row: str, since: float, workers: Counter[str]) -> None:
    shares = ", ".join(f"{name} {count}" for name, count in sorted(workers.items()))
    print(f"\n| {row} | {time.monotonic() - since:.0f} s | runs done: {shares} |", flush=True)
