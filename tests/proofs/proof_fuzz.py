"""Thousands of broken files and documents, each in a process that may be ended: `make proof`.

No input may end in anything but a result or a refusal that says what, where and what to do; none
may take for ever, end the process, or take much memory. What is found is kept, with its number.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import fuzz  # noqa: E402
import fuzz_work  # noqa: E402
import pytest  # noqa: E402
from hypothesis import given, seed, settings  # noqa: E402

from pytoon_pipeline.settings import load_settings  # noqa: E402
from pytoon_pipeline.stages.services import open_services  # noqa: E402

SEED = int(os.environ.get("FUZZ_SEED", "20"))
SCALE = float(os.environ.get("FUZZ_SCALE", "1"))
LONGEST = 60.0
"""Seconds of one input; a whole video may take some of them on a busy machine."""
MAX_MB = 1024
SIZES = {"media": 3200, "documents": 2400, "requests": 1000, "renders": 192}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fuzz")
    for name, data in fuzz.make_sound_files(made / "good").items():
        (made / "good" / name).write_bytes(data)
    shutil.copy(made / "good" / "picture.png", made / "a.png")
    shutil.copy(made / "good" / "clip.mp4", made / "b.mp4")
    return made


def run(kind: str, count: int, folder: Path) -> list[dict]:
    """What became of each input. A process that hangs or dies is replaced, and that is a fault."""
    seen: list[dict] = []
    done = 0
    while done < count:
        log = (folder / f"{kind}.log").open("ab")
        work = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "faulthandler",
                str(TESTS / "fuzz_work.py"),
                kind,
                str(SEED),
                str(done),
                str(count),
                str(folder),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
        )
        assert work.stdout is not None
        label, rest, fault = "", b"", ""
        while True:
            if not select.select([work.stdout], [], [], LONGEST)[0]:
                fault = f"fault: nothing for {LONGEST:.0f} s"
                break
            more = os.read(work.stdout.fileno(), 65536)
            if not more:
                code = work.wait()
                fault = f"fault: the process ended with {code}" if code else ""
                break
            *lines, rest = (rest + more).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if "began" in said:
                    done, label = said["began"], said["label"]
                else:
                    seen.append(said)
                    done += 1
        work.kill()
        work.wait()
        log.close()
        if fault:
            shutil.copytree(folder / "input", folder / f"found-{kind}-{done}", dirs_exist_ok=True)
            seen.append({"label": label, "outcome": fault, "seconds": LONGEST, "rss": 0})
            done += 1
    return seen


@pytest.mark.parametrize("kind", SIZES)
def test_nothing_but_results_and_refusals(kind: str, folder: Path) -> None:
    seen = run(kind, round(SIZES[kind] * SCALE), folder)
    groups: dict[str, list[dict]] = defaultdict(list)
    for each in seen:
        groups[each["label"]].append(each)
    print(f"\n\nseed {SEED}\n| {kind} | inputs | outcomes | slowest | peak MB |")
    print("|---|---|---|---|---|")
    for label, each in sorted([*groups.items(), ("all", seen)]):
        outcomes = Counter(e["outcome"].partition(":")[0] for e in each)
        said = ", ".join(f"{n} {what}" for what, n in sorted(outcomes.items()))
        slowest, most = max(e["seconds"] for e in each), max(e["rss"] for e in each)
        print(f"| {label} | {len(each)} | {said} | {slowest:.1f} s | {most} |", flush=True)
    faults = [e for e in seen if e["outcome"].startswith("fault")]
    assert not faults, f"{faults[:5]} (see {folder})"
    assert len(seen) == round(SIZES[kind] * SCALE)
    assert max(e["rss"] for e in seen) < MAX_MB


def test_briefs_by_hypothesis(folder: Path, tmp_path: Path) -> None:
    """2,000 of them, in this process: what it finds it makes small."""
    services = open_services(load_settings({"PYTOON_HOME": str(tmp_path / "home")}))
    seen: Counter[str] = Counter()

    @seed(SEED)
    @settings(max_examples=int(2000 * SCALE), deadline=None, database=None)
    @given(fuzz.briefs())
    def each(data: dict) -> None:
        place = folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        said = fuzz_work.document(services, place, "brief.yaml", fuzz.as_json(data))
        assert said in ("accepted", "refused")
        seen[said] += 1

    each()
    print(f"\n| briefs by hypothesis | {seen.total()} | {dict(seen)} |", flush=True)
