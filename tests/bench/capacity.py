"""How many finished videos an hour a machine gives, with one render at a time and with many.

    python tests/bench/capacity.py                          one process, two, four, ... each core
    python tests/bench/capacity.py --processes 1x8,8x2,16x1 --seconds 60
    python tests/bench/capacity.py --store s3://bucket/bench    (AWS_* and PYTOON_S3_ENDPOINT set)

Each process renders copies of briefs in briefs/, one after the other, by the stages that a run in
Dagster calls, but without Dagster: nothing is asked of it that a machine for rendering alone would
not have. Each copy has its own hook and its own tint, and nothing is taken from the store. A small
video comes first, so that no figure has imports or cold files in it; what a process has in hand
when the time is up is left out, so that all that counts was rendered beside all others.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import yaml
from render_ratio import tree_memory

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.settings import count_cpus, load_settings
from pytoon_pipeline.store import Store
from pytoon_pipeline.store.base import StoredObject

ROOT = Path(__file__).resolve().parents[2]
MIX = "kettle,candle-offer,monday"
WARM = "monday"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass
class Video:
    """One finished video, as the process that made it tells of it."""

    process: int
    brief: str
    seconds: float
    long: float
    """Seconds of picture."""
    own_cpu: float
    """CPU seconds of Python: compiling, drawing, transitions, measuring."""
    ffmpeg_cpu: float
    """CPU seconds of the ffmpeg processes: x264, sound, loudness."""
    failed: list[str]
    """Quality checks that did not pass."""
    written: int
    read: int
    """Bytes put into the store, and bytes of objects taken from it, each object once."""
    objects: int


class Counting(Store):
    """A store that counts what goes in and out."""

    def __init__(self, store: Store):
        super().__init__()
        self._store, self.shared, self.damaged = store, store.shared, store.damaged
        self.reset()

    def reset(self) -> None:
        self.written, self._puts, self._reads = 0, set(), {}

    @property
    def read(self) -> int:
        return sum(self._reads.values())

    @property
    def count(self) -> int:
        return len(self._puts)

    def put(self, key: str, source: Path, *, once: bool = False, move: bool = False) -> bool:
        self.written += source.stat().st_size
        self._puts.add(key)
        return self._store.put(key, source, once=once, move=move)

    def put_bytes(self, key: str, data: bytes, *, once: bool = False) -> bool:
        self.written += len(data)
        self._puts.add(key)
        return self._store.put_bytes(key, data, once=once)

    def local(self, key: str) -> Path:
        path = self._store.local(key)
        self._reads[key] = path.stat().st_size
        return path

    def read_bytes(self, key: str) -> bytes:
        data = self._store.read_bytes(key)
        self._reads[key] = len(data)
        return data

    def exists(self, key: str) -> bool:
        return self._store.exists(key)

    def stat(self, key: str) -> StoredObject | None:
        return self._store.stat(key)

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        return self._store.objects(prefix)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    def sweep(self, older: float) -> list[str]:
        return self._store.sweep(older)

    def url(self, key: str) -> str:
        return self._store.url(key)


# --- briefs of its own for each video


def copy(brief: Path, folder: Path, number: int, **changes: object) -> BriefSource:
    """The brief with other words in its hook and its pictures in another tint."""
    folder.mkdir(parents=True)
    document = yaml.safe_load((brief / "brief.yaml").read_text())
    document = {**document, "hook": f"{document['hook']} {number}", **changes}
    tint = 0.94 + 0.06 * np.random.default_rng(number).random(3)
    for path in brief.iterdir():
        if path.suffix not in PICTURES:
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        picture[..., :3] = (picture[..., :3] * tint).astype(np.uint8)
        cv2.imwrite(str(folder / path.name), picture)
    (folder / "brief.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
    return find_sources([folder])[0]


# --- a process that renders


def render(source: BriefSource, services) -> tuple[float, list[str]]:
    """A brief from its folder to its last document; the video's seconds, and the checks that did
    not pass."""
    from pytoon_pipeline.stages.assemble import assemble_video
    from pytoon_pipeline.stages.compile import compile_source
    from pytoon_pipeline.stages.results import make_thumbnail, write_metrics
    from pytoon_pipeline.stages.segments import render_segments

    spec = compile_source(source, services)
    segments = render_segments(spec, services, source.key, fresh=True)
    video = assemble_video(spec, segments, services, source.key, fresh=True)
    make_thumbnail(spec, video, services, source.key)
    metrics = write_metrics(spec, segments, video, services, source.key)
    return video.frames / video.rate, [v.name for v in metrics.verdicts if not v.passed]


def work(process: int, threads: int, briefs: list[str], place: str, ready, start, done) -> None:
    """Renders until it is ended from outside, or alone in the world."""
    parent = os.getppid()
    os.setpgrp()  # So that its encoders end with it.
    from pytoon_pipeline.stages.services import open_services

    settings = load_settings({**os.environ, "PYTOON_WORKERS": str(threads)})
    services = open_services(settings)
    services = replace(services, store=Counting(services.store))
    folders, mix = Path(place), [ROOT / "briefs/morrow" / name for name in briefs]

    def fresh(number: int) -> BriefSource:
        # The processes begin at different briefs, so that the mix is the same at all times.
        brief = mix[(process + number) % len(mix)]
        name = f"{brief.name}-{process}-{number}"
        return copy(brief, folders / "bench" / name, 1000 * process + number)

    warm = copy(
        ROOT / "briefs/morrow" / WARM, folders / "warm" / f"w-{process}", process, duration=4
    )
    render(warm, services)
    source, number = fresh(0), 0
    ready.put(process)
    start.wait()
    while os.getppid() == parent:
        services.store.reset()
        began, own, children = time.monotonic(), *spent()
        long, failed = render(source, services)
        seconds, (own_now, children_now) = time.monotonic() - began, spent()
        store = services.store
        brief = mix[(process + number) % len(mix)].name
        done.put(
            Video(
                process,
                brief,
                seconds,
                long,
                own_now - own,
                children_now - children,
                failed,
                store.written,
                store.read,
                store.count,
            )
        )
        number += 1
        source = fresh(number)


def spent() -> tuple[float, float]:
    """CPU seconds of this process, and of its children that ended, so far."""
    usage = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return usage[0].ru_utime + usage[0].ru_stime, usage[1].ru_utime + usage[1].ru_stime


# --- many of them


@dataclass
class Row:
    """What came of so many processes with so many threads each."""

    processes: int
    threads: int
    videos: list[Video]
    peak: int
    """Bytes of the largest process with its encoders; 0 where the system doesn't tell."""

    def each(self, name: str) -> float:
        """Mean of a field over an equal mix of the briefs."""
        kinds: dict[str, list[float]] = {}
        for video in self.videos:
            kinds.setdefault(video.brief, []).append(getattr(video, name))
        return statistics.mean(statistics.mean(values) for values in kinds.values())

    @property
    def an_hour(self) -> float:
        """All processes are busy all the time, so each gives one video in a video's mean time."""
        return 3600 * self.processes / self.each("seconds")


def measure(processes: int, threads: int, options: argparse.Namespace) -> Row:
    """Renders in so many processes for at least so long and at least so many videos in each."""
    work_folder = Path(tempfile.mkdtemp(prefix="pytoon-capacity-", dir=options.work))
    os.environ["PYTOON_HOME"] = str(work_folder / "home")
    if options.store:
        os.environ["PYTOON_STORE"] = options.store
    spawn = multiprocessing.get_context("spawn")
    ready, done, start = spawn.Queue(), spawn.Queue(), spawn.Event()
    briefs = options.mix.split(",")
    places = str(work_folder / "briefs")
    workers = [
        spawn.Process(target=work, args=(n, threads, briefs, places, ready, start, done))
        for n in range(processes)
    ]
    videos: list[Video] = []
    peaks = [0] * processes
    try:
        for worker in workers:
            worker.start()
        for _ in workers:
            if told(ready, workers, 600) is None:
                sys.exit("The processes were not ready after ten minutes.")
        start.set()
        began, turn = time.monotonic(), 0
        counts = [0] * processes
        while time.monotonic() - began < options.seconds or min(counts) < options.briefs:
            video = told(done, workers, 0.1)
            if video is not None:
                videos.append(video)
                counts[video.process] += 1
            # One at a time: reading it costs the kernel something.
            peaks[turn] = max(peaks[turn], tree_memory(workers[turn].pid))
            turn = (turn + 1) % processes
    finally:
        for worker in workers:
            with suppress(OSError, TypeError):
                os.killpg(worker.pid, signal.SIGKILL)
            if worker.pid:
                worker.join()
        shutil.rmtree(work_folder, ignore_errors=True)
    return Row(processes, threads, videos, max(peaks))


def told(box, workers: list, seconds: float):
    """The next of a queue, None when none comes in time. Ends all when a process has ended."""
    until = time.monotonic() + seconds
    while True:
        with suppress(queue.Empty):
            return box.get(timeout=min(1.0, seconds))
        dead = [w.exitcode for w in workers if w.pid and not w.is_alive()]
        if dead:
            sys.exit(f"A process ended by itself, with {dead[0]}; its error is above.")
        if time.monotonic() > until:
            return None


def rows(text: str) -> list[tuple[int, int]]:
    """`1,4x4,16x1` -> processes and threads each; threads left out share the cores."""
    if not text:
        counts = [2**n for n in range(8) if 2**n < count_cpus()] + [count_cpus()]
        text = ",".join(map(str, counts))
    found = []
    for item in text.split(","):
        processes, _, threads = item.partition("x")
        found.append((int(processes), int(threads or max(1, count_cpus() // int(processes)))))
    return found


HEAD = (
    "| processes | threads each | videos an hour | video seconds a second "
    "| seconds a video, median | CPU seconds a video | of it ffmpeg | cores busy "
    "| peak of a process, MiB | videos |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def line(row: Row) -> str:
    cpu = row.each("own_cpu") + row.each("ffmpeg_cpu")
    return (
        f"| {row.processes} | {row.threads} | {row.an_hour:.0f} "
        f"| {row.an_hour * row.each('long') / 3600:.2f} "
        f"| {statistics.median(v.seconds for v in row.videos):.1f} | {cpu:.1f} "
        f"| {row.each('ffmpeg_cpu') / cpu:.0%} | {row.an_hour / 3600 * cpu:.1f} "
        f"| {row.peak / 2**20:.0f} | {len(row.videos)} |"
    )


def report(found: list[Row]) -> None:
    """What a video is, by brief, from all rows."""
    videos = [v for row in found for v in row.videos]
    print(
        "\n| brief | videos | long, s | seconds with the first row's processes "
        "| store: written, MB | read, MB | objects | checks that failed |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name in dict.fromkeys(v.brief for v in videos):
        own = [v for v in videos if v.brief == name]
        first = [v.seconds for v in found[0].videos if v.brief == name]
        failed = sorted({check for v in own for check in v.failed})

        def mean(field: str, of: list[Video] = own) -> float:
            return statistics.mean(getattr(v, field) for v in of)

        print(
            f"| {name} | {len(own)} | {mean('long'):.1f} "
            f"| {statistics.mean(first) if first else 0:.1f} | {mean('written') / 1e6:.2f} "
            f"| {mean('read') / 1e6:.2f} | {mean('objects'):.0f} | {', '.join(failed) or 'none'} |"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--processes", default="", help="1,2,4 or 1x8,4x4: processes x threads")
    options.add_argument("--briefs", type=int, default=3, help="videos in each process, at least")
    options.add_argument("--seconds", type=float, default=30, help="of each row, at least")
    options.add_argument("--mix", default=MIX, help="briefs of briefs/morrow")
    options.add_argument("--store", default="", help="a folder or s3://bucket/prefix")
    options.add_argument("--work", default=None, help="a folder for working files")
    options.add_argument("--raw", default="", help="a file for each video's figures, as JSON lines")
    chosen = options.parse_args()
    # A time limit from outside ends the processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"{count_cpus()} cores, load before {os.getloadavg()[0]:.1f}; 1080x1920, {chosen.mix}\n")
    print(HEAD, flush=True)
    found = []
    for processes, threads in rows(chosen.processes):
        found.append(measure(processes, threads, chosen))
        print(line(found[-1]), flush=True)
        if chosen.raw:
            import json

            with open(chosen.raw, "a") as out:
                for video in found[-1].videos:
                    of = {"processes": processes, "threads": threads, "peak": found[-1].peak}
                    out.write(json.dumps({**of, **asdict(video)}) + "\n")
    report(found)


if __name__ == "__main__":
    main()
