"""The states of a brief: which may follow which, and that nothing else is ever written."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.intake.brief_state import ENDED, OPEN, TRANSITIONS, BriefState
from pytoon_pipeline.intake.ledger import Ledger

NEW, REQUESTED, RUNNING, DONE, REFUSED, FAILED, CANCELLED = BriefState

WAYS_TO = {
    NEW: [],
    REQUESTED: [REQUESTED],
    RUNNING: [RUNNING],
    DONE: [RUNNING, DONE],
    REFUSED: [REFUSED],
    FAILED: [RUNNING, FAILED],
    CANCELLED: [CANCELLED],
}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


@pytest.mark.parametrize(("before", "after"), list(product(BriefState, BriefState)))
def test_a_state_is_written_where_the_table_allows_it(
    ledger: Ledger, tmp_path: Path, before: BriefState, after: BriefState
):
    path = tmp_path / "c/b/brief.yaml"
    key = ledger.register(BriefSource(path, "brief", "c", "b", path.parent))
    for state in WAYS_TO[before]:
        assert ledger.set_state(key, state)
    allowed = after in TRANSITIONS[before]
    assert ledger.set_state(key, after, error="x") is allowed
    entry = ledger.find_entry(key)
    assert entry.state == (after if allowed else before)
    assert entry.error == ("x" if allowed else "")
    assert not ledger.set_state(key, after, only_from=[]), "from none of these"


def test_what_is_done_is_not_undone_by_a_run_that_was_given_up():
    """By hand, so that the table is not only compared with itself."""
    assert DONE not in TRANSITIONS[NEW], "a run says that it runs before it is done"
    assert CANCELLED not in TRANSITIONS[DONE] and NEW not in TRANSITIONS[DONE]
    assert {REQUESTED, RUNNING} <= TRANSITIONS[CANCELLED], "it may be asked for again"
    assert set(OPEN) | set(ENDED) | {NEW} == set(BriefState)
