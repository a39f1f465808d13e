"""Campaigns at the size they have: a real daemon, real runs, many briefs. `make proof` runs these;
each prints what it saw as rows of a table.

`make test` has the same at a smaller size (tests/test_campaign.py).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dagster as dg
import pytest
from deployment import Deployment, ended, picture, tiny

from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG


@pytest.fixture
def place(tmp_path: Path):
    made = Deployment(tmp_path)
    yield made
    made.stop()


def runs(place: Deployment) -> Counter[str]:
    with place.instance() as instance:
        return Counter(r.tags[BRIEF_TAG] for r in instance.get_runs() if BRIEF_TAG in r.tags)


def say(row: str, seconds: float) -> None:
    print(f"\n| {row} | {seconds:.0f} s |", flush=True)


_BRIEF = """archetype: {archetype}
media: [{{path: a.png, duration: 3}}]
hook: Line {i}
music: none
"""
WRONG = {
    "no-yaml": ("brief.yaml", "media: [a.png\n", "is not valid YAML"),
    "missing": ("brief.yaml", "media: [gone.jpg]\n", "gone.jpg does not exist"),
    "unknown": ("brief.yaml", "media: [a.png]\ncolour: red\n", "'colour' is not a known field"),
    "torn": ("brief.yaml", "media: [torn.png]\n", "torn.png"),
    "outside": ("brief.yaml", "media: ['../../secret.png']\n", "leads out of the folder"),
    "preset": ("brief.yaml", "media: [a.png]\npreset: nonesuch\n", "nonesuch"),
}


def test_sixty_briefs_dropped_at_once(place: Deployment):
    """Mixed archetypes, plans and variants, names of all kinds; six are wrong in different ways."""
    names = [f"b{i:02d} {'夏🎉' if i % 7 == 0 else 'é'}" for i in range(54)]
    for i, name in enumerate(names):
        folder = place.root / f"spring {i % 3}" / name
        if i % 3:
            tiny(folder, hue=5 * i, archetype=("hero", "overlay", "meme")[i % 3])
        else:
            picture(folder / "a.png", 5 * i)
            text = _BRIEF.format(archetype=("hero", "overlay", "meme")[i // 3 % 3], i=i)
            (folder / "brief.yaml").write_text(text, encoding="utf-8")
    for name, (file, text, _) in WRONG.items():
        picture(place.root / "wrong" / name / "a.png")
        (place.root / "wrong" / name / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
        (place.root / "wrong" / name / file).write_text(text, encoding="utf-8")
    began = time.monotonic()
    place.start()
    entries = place.wait(ended(60), 1500)
    spent = time.monotonic() - began
    done = [e for e in entries if e.state == "done"]
    assert len(done) == 54 and len(entries) == 60
    store = Path(place.settings.store)
    assert all((store / f"videos/{e.key}/video.mp4").is_file() for e in done)
    wrong = {e.source.name: e for e in entries if e.state == "refused"}
    assert wrong.keys() == WRONG.keys()
    for name, (_, _, said) in WRONG.items():
        assert said in wrong[name].error, wrong[name].error
        assert wrong[name].problems[0].remedy
    assert runs(place) == dict.fromkeys((e.key for e in entries), 1)
    place.wait(
        lambda es: all(
            (store / f"reports/{c}/index.html").is_file()
            for c in ("spring 0", "spring 1", "spring 2", "wrong")
        ),
        120,
    )
    say(f"60 briefs dropped at once: {len(done)} videos, {len(wrong)} refused, 60 runs", spent)


def test_the_daemon_is_killed_three_times(place: Deployment):
    """In the middle of a campaign of 40; each brief is rendered once."""
    for i in range(40):
        tiny(place.root / f"camp/b{i:02d}", hue=5 * i)
    began = time.monotonic()
    for enough in (5, 15, 28):
        place.start()
        place.wait(lambda es, n=enough: sum(e.state == "done" for e in es) >= n, 240)
        place.kill()
    place.start()
    entries = place.wait(ended(40), 400)
    assert {e.state for e in entries} == {"done"}
    assert runs(place) == dict.fromkeys((e.key for e in entries), 1)
    with place.instance() as instance:
        statuses = Counter(r.status for r in instance.get_runs() if BRIEF_TAG in r.tags)
    assert statuses == {dg.DagsterRunStatus.SUCCESS: 40}
    say(
        "daemon killed (-9) three times in a campaign of 40: 40 videos, 40 runs",
        time.monotonic() - began,
    )


def test_everything_is_killed_at_once(place: Deployment):
    """The daemon, the process that starts runs and the runs themselves, as a machine's power cut
    does; what was being rendered is taken up again."""
    for i in range(12):
        tiny(place.root / f"camp/b{i:02d}", hue=5 * i)
    began = time.monotonic()
    place.start()
    place.wait(lambda es: sum(e.state == "done" for e in es) >= 4, 120)
    victims = place.processes()
    assert place.daemon.pid in victims and len(victims) > 2
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    place.kill()
    place.start()
    entries = place.wait(ended(12), 400)
    assert {e.state for e in entries} == {"done"}
    end = time.monotonic() + 120
    while True:  # A run that was killed after its last step is taken up again too.
        with place.instance() as instance:
            found = [r for r in instance.get_runs() if BRIEF_TAG in r.tags]
        good = Counter(r.tags[BRIEF_TAG] for r in found if r.is_success)
        if all(r.is_finished for r in found) and len(good) == 12 or time.monotonic() > end:
            break
        time.sleep(0.5)
    assert good == dict.fromkeys((e.key for e in entries), 1)
    say(
        "daemon, starter of runs and runs killed (-9) at once, 12 briefs: 12 videos, "
        f"{len(found) - 12} runs taken up again",
        time.monotonic() - began,
    )


def test_a_broken_brief_runs_by_itself_once_mended(place: Deployment):
    picture(place.root / "c/b/a.png")
    (place.root / "c/b/brief.yaml").write_text("media: [{path: b.png, duration: 3}]\nmusic: none\n")
    place.start()
    place.wait(lambda es: [e.state for e in es] == ["refused"], 60)
    began = time.monotonic()
    shutil.copyfile(place.root / "c/b/a.png", place.root / "c/b/b.png")
    place.wait(lambda es: [e.state for e in es] == ["done"], 90)
    say("a missing picture comes: seconds until its video is there", time.monotonic() - began)
