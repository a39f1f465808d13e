"""The states of a brief, and which state may follow which: the only table of transitions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class BriefState(StrEnum):
    """What became of a brief. The values are those of the ledger's column `state`."""

    NEW = "new"
    """No run of it was requested yet, or a run that was lost is to be requested again."""
    REQUESTED = "requested"
    """A run was requested and has not begun."""
    RUNNING = "running"
    DONE = "done"
    """Its video is in the store."""
    REFUSED = "refused"
    """The brief is wrong: its author has to change it."""
    FAILED = "failed"
    """The brief may be right: the render failed."""
    CANCELLED = "cancelled"


OPEN = (BriefState.REQUESTED, BriefState.RUNNING)
"""States that a run is to end."""
ENDED = (BriefState.DONE, BriefState.REFUSED, BriefState.FAILED, BriefState.CANCELLED)

_NEW, _REQUESTED, _RUNNING, _DONE, _REFUSED, _FAILED, _CANCELLED = BriefState
TRANSITIONS: Mapping[BriefState, frozenset[BriefState]] = {
    # A person cancels it before the sensor has seen it; `pytoon render` requests nothing.
    _NEW: frozenset({_REQUESTED, _RUNNING, _REFUSED, _FAILED, _CANCELLED}),
    # New contents are requested again. A run may end, or be found lost, before it says anything.
    _REQUESTED: frozenset(BriefState),
    # Each stage notes `running`. New contents may be requested, or refused, meanwhile.
    _RUNNING: frozenset(BriefState),
    _DONE: frozenset({_REQUESTED, _RUNNING, _REFUSED, _FAILED}),
    _REFUSED: frozenset({_REQUESTED, _RUNNING, _REFUSED, _FAILED}),
    _FAILED: frozenset({_REQUESTED, _RUNNING, _REFUSED, _FAILED}),
    # A run may end in the moment in which it is cancelled, and one that a stopped `pytoon dev`
    # broke off is taken up again.
    _CANCELLED: frozenset(BriefState),
}
"""State -> the states that may follow it. What `Ledger.set_state` is asked for besides is not
written."""


def states_before(state: BriefState) -> tuple[BriefState, ...]:
    """The states from which a brief may come to `state`, in the order of BriefState."""
    return tuple(before for before in BriefState if state in TRANSITIONS[before])
