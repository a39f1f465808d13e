"""What goes wrong on real machines, done on purpose: `make proof-faults` runs the list and prints
the table of docs/faults.md.

Two workers with homes of their own, Dagster's page, daemon and code server, PostgreSQL, Redis and
an S3 server. Each fault hits a campaign of its own in the middle of a segment; then everything the
campaign left is read and counted (`install.faults_of`). What ended is started again after a few
seconds, as a service manager or Docker does; nothing else is helped along unless the row says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from deployment import Postgres, ended, picture
from install import Install, Machine, faults_of
from power_cut import Disk
from redis_server import RedisServer
from s3_server import s3_server, trouble
from shipped import plain_environment

from pytoon_pipeline.defs.videos.jobs import ACTION_TAG
from pytoon_pipeline.media.probe import hash_file, probe_media
from pytoon_pipeline.runtime.sensor_ticks import repair_sensor_ticks
from pytoon_pipeline.stages.documents import LinkedDocument
from pytoon_pipeline.store import FolderStore

BRIEFS = 6
RESTART = 3.0
"""Seconds after which what ended is started again."""
ROWS: list[str] = []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Install]:
    folder = tmp_path_factory.mktemp("faults")
    postgres = Postgres()
    with s3_server() as s3, trouble(s3.url) as proxy, RedisServer(folder / "redis") as redis:
        s3.bucket("pytoon")
        environ = {**s3.environ, "PYTOON_S3_ENDPOINT": proxy.url}
        os.environ.update({k: v for k, v in environ.items() if k.startswith("AWS_")})
        clock = folder / "clock"
        clock.write_text("0")
        made = Install(
            folder,
            {
                **environ,
                "PYTOON_DATABASE": postgres.url,
                "PYTOON_BROKER": redis.url,
                "PYTOON_STORE": "s3://pytoon/shop",
                "PYTOON_WORKERS": "1",
            },
        )
        made.postgres, made.proxy, made.clock = postgres, proxy, clock
        made.a, made.b = made.machine("a"), made.machine("b")
        for start in (made.start_code, made.start_daemon, made.start_web):
            start()
        for machine in (made.a, made.b):
            made.start_worker(machine)
        try:
            yield made
        finally:
            made.stop()
            print("\n\n" + _HEAD + "\n".join(ROWS), flush=True)
    postgres.close()


_HEAD = (
    "| fault | what happens | what repairs itself | what a person does | videos | runs | s |\n"
    "|---|---|---|---|---|---|---|\n"
)


def _write_briefs(campaign: Path, count: int) -> None:
    """Briefs of two scenes, long enough to be hit in one."""
    name = campaign.name
    for i in range(count):
        folder = campaign / f"b{i}"
        picture(folder / "a.png", 31 * i + len(name))
        picture(folder / "b.png", 31 * i + 7 + len(name))
        plan = {
            "archetype": "hero",
            "resolution": "540x960",
            "segments": [
                {
                    "media": [f"{p}.png"],
                    "duration": 4,
                    "text": f"{name} {i}",
                    "motion": "push_in",
                    "transition": "crossfade",
                }
                for p in ("a", "b")
            ],
            "audio_track": False,
        }
        (folder / "render_spec.json").write_text(json.dumps(plan), encoding="utf-8")


class Campaign:
    """Briefs that are rendered by the deployment."""

    def __init__(self, place: Install, name: str, count: int = BRIEFS):
        self.place, self.name, self.count = place, name, count
        _write_briefs(place.briefs / name, count)
        self.began = time.monotonic()

    def mid_segment(self, *machines: Machine, seconds: float = 90) -> tuple[Machine, int]:
        """Once one of the machines encodes a segment: it, and its encoder."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for machine in machines or (self.place.a, self.place.b):
                pid = machine.encoder()
                if pid is not None:
                    return machine, pid
            time.sleep(0.02)
        raise AssertionError(f"{self.name}: no segment was encoded")

    def finish(
        self,
        fault: str,
        happens: str,
        mends: str,
        person: str,
        seconds: float = 420,
        states: tuple[str, ...] = ("done",),
    ) -> None:
        """Wait for the end, read all that it left, and write the row."""
        entries = self.place.wait(ended(self.count), seconds, self.name)
        runs = self.place.settled(self.name)
        spent = time.monotonic() - self.began
        wrong = faults_of(self.place, entries, runs)
        good = sum(r.is_success for r in runs)
        row = (
            f"| {fault} | {happens} | {mends} | {person} | {len(entries)} of {self.count} "
            f"| {len(runs)}, {good} good | {spent:.0f} |"
        )
        ROWS.append(row)
        print("\n" + row, flush=True)
        assert not wrong, "\n".join(wrong)
        assert {e.state for e in entries} <= set(states)
        assert len(entries) == self.count and good == self.count


def _back(start: Callable[[], None]) -> None:
    time.sleep(RESTART)
    start()


def test_nothing(place: Install) -> None:
    """The measure: the same campaign undisturbed, on both workers."""
    campaign = Campaign(place, "nothing")
    campaign.finish("none", "", "", "", 240)
    hosts = {r.tags[".dagster/pytoon_process"] for r in place.runs("nothing")}
    assert len(hosts) > 1, "one worker did it all"


def test_the_encoder_is_killed(place: Install) -> None:
    campaign = Campaign(place, "ffmpeg")
    _, pid = campaign.mid_segment()
    os.kill(pid, signal.SIGKILL)
    campaign.finish(
        "ffmpeg killed in mid-segment",
        "the segment fails; its run goes on",
        "the segment is rendered again in the same run",
        "nothing",
    )


def test_a_run_is_killed(place: Install) -> None:
    """The worker's child that lives through a run, in mid-segment; the worker itself stays."""
    campaign = Campaign(place, "run")
    _, pid = campaign.mid_segment()
    run = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(run, signal.SIGKILL)
    campaign.finish(
        "run's process killed in mid-segment",
        "the run stays started, its encoder ends",
        "its worker notes it at once; taken up again as a new run, from the finished scenes",
        "nothing",
    )


def test_a_worker_is_killed(place: Install) -> None:
    """A whole machine, as by a power cut, and it comes back."""
    campaign = Campaign(place, "worker")
    machine, _ = campaign.mid_segment()
    machine.kill("worker", family=True)
    _back(lambda: place.start_worker(machine))
    campaign.finish(
        "worker killed with all its runs",
        "the other worker goes on",
        "its runs are found dead by their silence and taken up again by either",
        "start the worker, where nothing else does",
    )


@pytest.mark.parametrize(
    ("part", "called", "happens", "mends"),
    [
        (
            "daemon",
            "daemon",
            "runs go on; nothing new is queued",
            "started again, it goes on where it was",
        ),
        (
            "code",
            "code server",
            "runs go on; the sensor's ticks fail, nothing new is requested",
            "the next tick finds it again",
        ),
        (
            "web",
            "webserver",
            "the page is away; nothing else notices",
            "started again, it is there",
        ),
    ],
)
def test_a_part_of_the_head_is_killed(
    place: Install, part: str, called: str, happens: str, mends: str
) -> None:
    campaign = Campaign(place, part)
    campaign.mid_segment()
    place.head.kill(part, family=True)
    _back(getattr(place, f"start_{part}"))
    campaign.finish(f"{called} killed", happens, mends, "start it, where nothing else does")


def test_postgres_is_stopped(place: Install) -> None:
    campaign = Campaign(place, "postgres")
    campaign.mid_segment()
    place.postgres.stop()
    place.postgres.start_in(20)
    campaign.finish(
        "PostgreSQL stopped for 20 s",
        "runs wait at their next event; the sensor and the queue miss a tick",
        "all go on once it is back",
        "nothing; after more than a minute runs fail and say so: `campaign_job` with `only_failed`",
    )


def test_s3_answers_500(place: Install) -> None:
    campaign = Campaign(place, "s3-500")
    campaign.mid_segment()
    place.proxy.calm()
    place.proxy.fail(100_000)
    time.sleep(25)
    place.proxy.calm()
    campaign.finish(
        "S3 answers every request with 500 for 25 s",
        "requests are repeated, with pauses",
        "runs wait up to a minute more, and go on",
        "nothing; after more than a minute runs fail and say so: `campaign_job` with `only_failed`",
    )


def test_s3_is_slow(place: Install) -> None:
    campaign = Campaign(place, "s3-slow")
    campaign.mid_segment()
    place.proxy.calm()
    place.proxy.delay = 1.0
    time.sleep(25)
    place.proxy.calm()
    campaign.finish(
        "S3 takes a second more for each request, for 25 s",
        "runs take longer",
        "nothing to repair",
        "nothing",
    )


def test_s3_is_away(place: Install) -> None:
    campaign = Campaign(place, "s3-away")
    campaign.mid_segment()
    place.proxy.calm()
    place.proxy.down = True
    time.sleep(25)
    place.proxy.calm()
    campaign.finish(
        "S3 ends every connection without an answer for 25 s",
        "requests are repeated, with pauses",
        "runs wait up to a minute more, and go on",
        "as above",
    )


def test_s3_is_away_for_long(place: Install) -> None:
    campaign = Campaign(place, "s3-long")
    campaign.mid_segment()
    place.proxy.calm()
    place.proxy.down = True
    entries = place.wait(lambda es: any(e.state == "failed" for e in es), 300, "s3-long")
    place.proxy.calm()
    entries = place.wait(ended(BRIEFS), 420, "s3-long")
    failed = [e for e in entries if e.state == "failed"]
    place.settled("s3-long")
    assert all("s3://" in e.error for e in failed), [e.error for e in failed]
    _again(place, "s3-long")
    campaign.finish(
        "S3 is away until runs give up",
        f"{len(failed)} of {BRIEFS} runs fail and say what can't be reached",
        "briefs that wait are packed and requested once it is back",
        "`campaign_job` with `only_failed`, as done here",
    )


def _again(place: Install, campaign: str) -> None:
    keys = [e.key for e in place.ledger.find(campaign=campaign) if e.state != "done"]
    if keys:
        place.ledger.want(keys, "render")
        place.wait(lambda es: not any(e.wanted for e in es), 60, campaign)


def test_the_disk_is_full(place: Install) -> None:
    """A worker's home on a disk of 40 MB that a file fills."""
    home = place.folder / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(home)], check=True)
    try:
        place.a.stop("worker")
        place.b.stop("worker")
        small = place.machine("small", home=home)
        (home / "ballast").write_bytes(bytes(39_500_000))
        place.start_worker(small)
        campaign = Campaign(place, "disk", 3)
        entries = place.wait(ended(3), 240, "disk")
        said = [e.error for e in entries]
        assert all(e.state == "failed" for e in entries), [(e.state, e.error) for e in entries]
        assert all("space" in s.lower() for s in said), said
        (home / "ballast").unlink()
        _again(place, "disk")
        campaign.finish(
            "a worker's disk full",
            "runs there fail and name the folder",
            "what was half-written is removed",
            "make room, then `campaign_job` with `only_failed`, as done here",
        )
        assert not list((home / "home").rglob("render-*")), "working files were left"
    finally:
        small.stop("worker")
        for pid in small.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["umount", "--lazy", str(home)], check=False)
        for machine in (place.a, place.b):
            place.start_worker(machine)


@pytest.mark.parametrize(
    ("jump", "row", "happens", "mends", "person"),
    [
        (
            "7200",
            "two hours ahead",
            "runs seem as old as the jump: past `max_runtime_seconds` they are ended",
            "those are taken up again; beats and ledger go by the database's clock",
            "correct the clock; then `pytoon tidy` lets the sensor tick again at once",
        ),
        (
            "-7200",
            "two hours back",
            "times on Dagster's page are off",
            "beats and ledger go by the database's clock",
            "correct the clock",
        ),
    ],
)
def test_a_clock_jumps(
    place: Install, jump: str, row: str, happens: str, mends: str, person: str
) -> None:
    """The wall clock of one worker and of the daemon; their other clocks go on."""
    library = place.folder / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    preload = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(place.clock)}
    place.clock.write_text("0")
    place.a.stop("worker")
    place.head.stop("daemon")
    place.start_worker(place.a, **preload)
    place.start_daemon(**preload)
    name = f"clock{jump}"
    campaign = Campaign(place, name)
    campaign.mid_segment(place.a)
    place.clock.write_text(jump)
    try:
        campaign.finish(f"clock of a worker and of the daemon jumps {row}", happens, mends, person)
    finally:
        place.a.stop("worker")
        place.head.stop("daemon")
        with place.instance() as instance:
            repair_sensor_ticks(
                instance
            )  # As every command of Pytoon's does that opens the instance.
        place.start_worker(place.a)
        place.start_daemon()


CUTS = (60, 90, 140)
"""Syncs of a render after which the power fails: some 400 are needed for the campaign."""


def test_the_power_is_cut(tmp_path: Path) -> None:
    """One machine with a folder store; all that was not synced of it is gone (tests/power.c), what
    Dagster and the ledger remember is not. After each cut whatever counts as present is whole."""
    began, campaign, home = time.monotonic(), tmp_path / "briefs" / "power", tmp_path / "home"
    _write_briefs(campaign, BRIEFS)
    disk = Disk(home / "store", tmp_path / "disk")
    argv = [sys.executable, "-m", "pytoon_pipeline.cli", "render", str(campaign), "--json"]
    plain = plain_environment(without=("AWS_", "PYTOON_")) | {"PYTOON_HOME": str(home)}

    def render(cut: int | None) -> subprocess.CompletedProcess:
        return subprocess.run(
            argv,
            env={**plain, **disk.environ(cut)},
            capture_output=True,
            text=True,
            start_new_session=True,
            cwd=tmp_path,
            timeout=300,
        )

    left = []
    for cut in CUTS:
        done = render(cut)
        assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
        disk.lose_power()
        store = FolderStore(disk.root)
        keys = store.keys("")
        for key in keys:
            store.read_bytes(key)  # Damaged where it is not what was put.
            if key.endswith(".mp4"):
                assert probe_media(store.local(key)).frames
        left.append(len(keys))
        videos = [k for k in keys if k.endswith("/video.mp4")]
    done = render(None)
    assert done.returncode == 0, done.stderr[-3000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    disk.lose_power()  # As the last one fails, nothing is lost.
    store = FolderStore(disk.root)
    whole = 0
    for i in range(BRIEFS):
        key = f"power/b{i}"
        linked = LinkedDocument.model_validate_json(store.read_bytes(f"linked/{key}.json"))
        video = store.local(f"videos/{key}/video.mp4")
        assert (
            hash_file(video) == linked.sha256 and probe_media(video).frames == linked.frames == 240
        )
        assert store.exists(f"videos/{key}/metrics.json")
        whole += 1
    assert len(results) == whole == BRIEFS
    assert 0 < left[0] < left[-1], left
    row = (
        f"| power cut {len(CUTS)} times; what was not synced is gone | the run ends; half-written "
        f"files are lost, {len(videos)} finished videos are not | nothing counts as present that "
        "is not whole; a new render goes on from the finished scenes | start it, where nothing "
        f"else does | {whole} of {BRIEFS} | {len(CUTS) + 1} renders, the last good "
        f"| {time.monotonic() - began:.0f} |"
    )
    ROWS.append(row)
    print("\n" + row, flush=True)


def test_the_power_is_cut_anywhere(tmp_path: Path) -> None:
    """One brief, cut at places all over its render, each followed by a render that ends it."""
    script = Path(__file__).resolve().parents[1] / "power_cut.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), "20"], check=True, timeout=600)


def test_nothing_is_rendered_twice_by_all_that(place: Install) -> None:
    """After all of it: no brief is open, no rerender was asked for by anybody."""
    assert not place.ledger.find(states=["requested", "running"])
    with place.instance() as instance:
        runs = instance.get_runs()
    assert all(r.is_finished for r in runs)
    assert not any(r.tags.get(ACTION_TAG) == "rerender" for r in runs)
