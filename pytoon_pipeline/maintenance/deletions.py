"""What is to be deleted, as data: made without touching anything, shown, and then carried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from pytoon_pipeline.errors import PytoonError

_HANDS = 16
"""Deletions side by side: a bucket answers each only after a while."""


@dataclass(frozen=True)
class PlannedDeletion:
    """One thing that is to go."""

    what: str
    """Kind: `segments`, `media`, `scratch` ..."""
    place: str
    """Key in the store, path on this machine, or a run's id."""
    bytes: int
    age: float
    """Seconds."""
    reason: str
    modified: float = 0.0
    """Unix time; of what has changed since, nothing is deleted."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class DeletionOutcome:
    """What became of a plan."""

    done: list[PlannedDeletion] = field(default_factory=list)
    spared: list[PlannedDeletion] = field(default_factory=list)
    """Taken up again since the plan was made."""
    left: list[PlannedDeletion] = field(default_factory=list)
    """There was no time for it."""
    failed: list[tuple[PlannedDeletion, str]] = field(default_factory=list)
    """With the reason."""
    swept: list[str] = field(default_factory=list)
    """What half-finished puts had left."""
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(d.bytes for d in self.done)

    def add(self, other: DeletionOutcome) -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))


@dataclass(frozen=True)
class DeletionSum:
    """All of one kind that goes for one reason."""

    what: str
    count: int
    bytes: int
    oldest: float
    """Seconds."""
    reason: str


def sum_by_kind(deletions: Iterable[PlannedDeletion]) -> list[DeletionSum]:
    """A plan in a few lines, in its own order."""
    groups: dict[tuple[str, str], list[PlannedDeletion]] = {}
    for each in deletions:
        groups.setdefault((each.what, each.reason), []).append(each)
    return [
        DeletionSum(what, len(g), sum(d.bytes for d in g), max(d.age for d in g), reason)
        for (what, reason), g in groups.items()
    ]


def carry_out(
    plan: Sequence[PlannedDeletion],
    delete: Callable[[PlannedDeletion], bool],
    seconds: float | None = None,
    hands: int = _HANDS,
) -> DeletionOutcome:
    """Delete what is planned, several at a time, for so many seconds at most. `delete` says whether
    it did; what it raises is told, and keeps no other from being deleted."""
    outcome = DeletionOutcome()
    until = None if seconds is None else time.monotonic() + seconds

    def carry_out_one(each: PlannedDeletion) -> bool | str | None:
        if until is not None and time.monotonic() > until:
            return None
        try:
            return delete(each)
        except (PytoonError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(hands) as pool:
        for each, said in zip(plan, pool.map(carry_out_one, plan), strict=True):
            if isinstance(said, str):
                outcome.failed.append((each, said))
            elif said is None:
                outcome.left.append(each)
            else:
                (outcome.done if said else outcome.spared).append(each)
    return outcome
