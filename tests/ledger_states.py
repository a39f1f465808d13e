"""Bring a brief of a test to any state, by the states that lead there."""

from __future__ import annotations

from typing import Unpack

from pytoon_pipeline.intake.brief_state import BriefState
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import BriefColumns


def force_state(ledger: Ledger, key: str, state: str, **values: Unpack[BriefColumns]) -> None:
    """As a run that began and came to this end."""
    if not ledger.set_state(key, BriefState(state), **values):
        assert ledger.set_state(key, BriefState.RUNNING)
        assert ledger.set_state(key, BriefState(state), **values)
