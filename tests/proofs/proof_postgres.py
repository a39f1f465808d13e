"""A campaign whose PostgreSQL server is away for a while, as in a restart or a failover. `make
proof` runs this; it prints what it saw as rows of a table.

`make test` has the same at a smaller size (tests/test_postgres.py).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pytest
from deployment import Deployment, Postgres, ended, tiny

from pytoon_pipeline.defs.videos.jobs import BRIEF_TAG
from pytoon_pipeline.intake import database


@pytest.mark.parametrize("away", [20, 45])
def test_the_server_is_away_in_the_middle(own_postgres: Postgres, tmp_path: Path, away: int):
    place = Deployment(tmp_path, PYTOON_DATABASE=own_postgres.url)
    for i in range(6):
        tiny(place.root / f"camp/b{i}", hue=40 * i)
    with place:
        place.wait(lambda es: any(e.state == "done" for e in es), 120)
        before = place.wait(lambda es: any(e.state == "running" for e in es), 60)
        own_postgres.stop()
        time.sleep(away)
        own_postgres.start()
        began = time.monotonic()
        entries = place.wait(ended(6), 240)
        spent = time.monotonic() - began
        # The sensor and the queue go on by themselves: what comes later is rendered, too.
        tiny(place.root / "camp/later", hue=11)
        place.wait(ended(7), 120)
    assert {e.state for e in entries} == {"done"}, [e.error for e in entries]
    store = Path(place.settings.store)
    assert all((store / f"videos/{e.key}/video.mp4").is_file() for e in entries)
    runs = place.runs()
    assert all(r.is_success for r in runs), [(r.tags[BRIEF_TAG], r.status) for r in runs]
    assert set(Counter(r.tags[BRIEF_TAG] for r in runs).values()) == {1} and len(runs) == 7
    states = Counter(e.state for e in before)
    print(
        f"\n| PostgreSQL stopped for {away} s with 6 briefs: {states['done']} done, "
        f"{states['running']} running | 6 videos, 6 runs, none failed; the rest took {spent:.0f} s "
        "once it was back |",
        flush=True,
    )
    database.dispose_engines(own_postgres.url)
