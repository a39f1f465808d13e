"""Plans of deletions as data: made without touching anything, shown to people, then carried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from pytoon_pipeline.errors import PytoonError

_WORKERS = 16
"""Deletions side by side: a bucket answers each only after a while."""


@dataclass(frozen=True)
class PlannedDeletion:
    """One thing that is to be deleted."""

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
        """Return the fields as values of JSON."""
        return asdict(self)


@dataclass
class DeletionOutcome:
    """What became of a plan."""

    done: list[PlannedDeletion] = field(default_factory=list)
    spared: list[PlannedDeletion] = field(default_factory=list)
    """Used again since the plan was made."""
    left: list[PlannedDeletion] = field(default_factory=list)
    """There was no time for it."""
    failed: list[tuple[PlannedDeletion, str]] = field(default_factory=list)
    """With the reason."""
    swept: list[str] = field(default_factory=list)
    """What half-finished puts had left."""
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes of everything that was deleted."""
        return sum(d.bytes for d in self.done)

    def add(self, other: DeletionOutcome) -> None:
        """Add the outcome of another plan to this one."""
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))


@dataclass(frozen=True)
class DeletionSum:
    """All things of one kind that are deleted for one reason."""

    what: str
    count: int
    bytes: int
    oldest: float
    """Seconds."""
    reason: str


def sum_by_kind(deletions: Iterable[PlannedDeletion]) -> list[DeletionSum]:
    """Sum up a plan by kind and reason, in the order of the plan."""
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
    hands: int = _WORKERS,
) -> DeletionOutcome:
    """Delete what is planned, `hands` things at a time, for so many seconds at most.

    `delete` returns whether it deleted a thing. A PytoonError or OSError that it raises becomes a
    failure in the outcome, and the others are deleted all the same.
    """
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
