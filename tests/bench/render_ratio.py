"""How long `pytoon render` takes against x264 alone, on the same frames and settings.

A 60 s video (six photographs of 10 s, Ken Burns, captions, crossfades, watermark, music) is
rendered by the command in a fresh install, and the same frames, lying ready as raw video, are
encoded by one x264 with the same settings. The two take turns, so that both meet the same machine.

    make bench                 three rounds
    make bench ROUNDS=5
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

PYTHON = sys.executable
BRIEF = """\
archetype: hero
brand: morrow
duration: 60
media:
{media}
hook: Six photographs, one minute
beats: [Every frame moves, Captions all along, Crossfades between, Music under all]
cta: See it measured
"""


def photographs(folder: Path) -> list[str]:
    """Six large pictures with the detail of photographs (seeded noise at all scales)."""
    names = []
    for n in range(6):
        rng = np.random.default_rng(n)
        picture = np.zeros((2400, 1800, 3), np.float32)
        for octave in range(2, 9):
            size = 2**octave
            noise = rng.normal(size=(size * 4 // 3, size, 3)).astype(np.float32)
            layer = [
                np.asarray(Image.fromarray(noise[..., c], "F").resize((1800, 2400), 3))
                for c in range(3)
            ]
            picture += np.stack(layer, axis=2) * (60 / 1.7 ** (octave - 2))
        name = f"photo{n + 1}.jpg"
        Image.fromarray(np.clip(picture + 120, 0, 255).astype(np.uint8)).save(
            folder / name, quality=92
        )
        names.append(name)
    return names


def tree_memory(pid: int) -> int:
    """Resident bytes of a process and its children, now."""
    total, todo = 0, [pid]
    while todo:
        current = todo.pop()
        try:
            status = Path(f"/proc/{current}/smaps_rollup").read_text()
            total += next(int(x.split()[1]) for x in status.splitlines() if x.startswith("Pss:"))
            for task in Path(f"/proc/{current}/task").iterdir():
                todo += [int(c) for c in (task / "children").read_text().split()]
        except (OSError, StopIteration):
            continue
    return total * 1024


def timed(argv: list[str], env: dict[str, str]) -> tuple[float, int]:
    """Seconds and peak memory of a command with its children."""
    peak = 0
    started = time.monotonic()
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.25):
            peak = max(peak, tree_memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    errors = process.stderr.read() if process.stderr else b""
    code = process.wait()
    seconds = time.monotonic() - started
    done.set()
    watcher.join()
    if code:
        sys.exit(f"{' '.join(argv)} ended with {code}:\n{errors.decode()[-2000:]}")
    return seconds, peak


def raw_frames(brief: Path, home: Path, target: Path) -> int:
    """All frames of the video as they are given to x264, without transitions; their number."""
    from pytoon_pipeline.intake.folders import find_sources
    from pytoon_pipeline.plan.segment_jobs import segment_jobs
    from pytoon_pipeline.plan.timeline import build_timeline
    from pytoon_pipeline.settings import load_settings
    from pytoon_pipeline.stages.compile import compile_source
    from pytoon_pipeline.stages.finishing import SegmentFinishing
    from pytoon_pipeline.stages.services import open_services

    services = open_services(load_settings({"PYTOON_HOME": str(home)}))
    spec = compile_source(find_sources([brief])[0], services)
    frames = 0
    with target.open("wb") as out:
        for job in segment_jobs(spec, build_timeline(spec)):
            media = {a.id: services.store.local(a.key) for a in job.all_assets}
            footage = services.engines.all()[0].render(job, media, home, lambda n: None)
            drawn = SegmentFinishing(job, services.fonts, media).over(footage)
            for index, planes in enumerate(drawn):
                if job.head <= index < job.head + job.body:
                    for plane in planes:
                        out.write(np.ascontiguousarray(plane))
                    frames += 1
    return frames


def x264_alone(raw: Path, out: Path) -> list[str]:
    """The encoder's own command, fed from a file instead of a pipe."""
    from pytoon_pipeline.media import ffmpeg
    from pytoon_pipeline.media.encode import encode_graph
    from pytoon_pipeline.settings import load_settings
    from pytoon_pipeline.stages.services import open_services

    services = open_services(load_settings({}))
    graph = encode_graph(
        out, size=(1080, 1920), rate=30, keyframes=[0], settings=services.video_settings
    )
    argv = ffmpeg.build_command(graph)
    at = next(i for i, a in enumerate(argv) if a in ("pipe:", "pipe:0", "-"))
    argv[at] = str(raw)
    return argv


def main() -> None:
    rounds = int(os.environ.get("ROUNDS", "3"))
    work = Path(tempfile.mkdtemp(prefix="pytoon-bench-"))
    try:
        brief = work / "bench" / "minute"
        brief.mkdir(parents=True)
        media = photographs(brief)
        text = BRIEF.format(media="\n".join(f"  - {{path: {m}, duration: 10}}" for m in media))
        (brief / "brief.yaml").write_text(text)
        frames = raw_frames(brief, work / "raw-home", work / "raw.yuv")
        baseline = x264_alone(work / "raw.yuv", work / "alone.mp4")
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTOON_")}
        idle = timed([PYTHON, "-c", "import dagster, time; time.sleep(1)"], env)[1]
        ours, alone, memory, again = [], [], [], []
        for n in range(rounds):
            home = work / f"home{n}"
            env["PYTOON_HOME"] = str(home)
            command = [PYTHON, "-m", "pytoon_pipeline.cli", "render", str(brief), "--quiet"]
            seconds, peak = timed(command, env)
            ours.append(seconds)
            memory.append(peak)
            alone.append(timed(baseline, env)[0])
            again.append(timed(command, env)[0])
            print(
                f"round {n + 1}: pytoon render {ours[-1]:.1f} s, x264 alone {alone[-1]:.1f} s, "
                f"ratio {ours[-1] / alone[-1]:.2f}; unchanged again {again[-1]:.1f} s",
                flush=True,
            )
            shutil.rmtree(home)
        ratio = statistics.median(a / b for a, b in zip(ours, alone, strict=True))
        print(f"\n{frames} frames, {rounds} rounds, load {os.getloadavg()[0]:.1f}")
        print(f"median ratio to x264 alone   {ratio:.2f}   (at most 1.40)")
        part = statistics.median(again) / statistics.median(ours)
        print(f"unchanged, of a full render  {part:.2f}   (at most 0.10)")
        print(f"peak memory over idle Dagster {(max(memory) - idle) / 2**20:.0f} MiB (under 1024)")
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"CPU seconds of all rounds    {children.ru_utime + children.ru_stime:.0f}")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
