"""Rows of the ledger as entries, and entries' values as columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from pytoon_pipeline.briefs.source import BriefSource, SourceDocument
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.intake.brief_state import OPEN, BriefState


class BriefColumns(TypedDict, total=False):
    """Columns of a brief that `Ledger.note` and `Ledger.set_state` write."""

    content_hash: str
    look: str
    waiting: str
    error: str
    problems: Sequence[Problem]
    wanted: str
    priority: int
    run_id: str
    progress: float
    reported: str
    deleted: float


@dataclass(frozen=True)
class LedgerEntry:
    """What the ledger knows of a brief."""

    key: str
    source: BriefSource
    content_hash: str
    """Of the contents that a run was last requested for; empty when never."""
    look: str
    """Cheap signature of the files when they had that hash."""
    waiting: str
    """Signature of a copy that was not finished when last looked at; empty when none is."""
    serial: int
    """Number of the last request, counted over all briefs; 0 when never requested."""
    state: BriefState
    error: str
    problems: tuple[Problem, ...]
    """What is wrong with the brief, when it is refused."""
    action: str
    """One of ACTIONS: what the last run was requested for."""
    wanted: str
    """One of ACTIONS that a person asked for and no run was requested for yet, or empty."""
    priority: int
    """Of its runs; higher comes first."""
    run_id: str
    """Of the run that works or worked on it last; empty before the first began."""
    progress: float
    """0..1, of the work of its last run."""
    reported: str
    """What was last written back to the table it comes from."""
    host: str
    """The machine that its files are on; empty where that is not known."""
    deleted: float
    """Unix time when its files, or its row, were found to be gone; 0 while they are there."""
    updated: float
    """Unix time."""

    @property
    def is_deleted(self) -> bool:
        """Is it gone, with no run of it under way any more?"""
        return bool(self.deleted) and self.state not in OPEN


def storable_values(values: dict[str, Any]) -> dict[str, Any]:
    """PostgreSQL takes no NUL in a text; what tools print may hold one."""
    return {k: v.replace("\0", "\ufffd") if isinstance(v, str) else v for k, v in values.items()}


def entry_of_row(row: Any) -> LedgerEntry:
    document = SourceDocument.from_json(row.document) if row.document else None
    source = BriefSource(
        Path(row.path), row.kind, row.campaign, row.name, Path(row.folder), document
    )
    return LedgerEntry(
        key=row.key,
        source=source,
        state=BriefState(row.state),
        problems=read_problems(row.problems),
        **{
            name: getattr(row, name)
            for name in LedgerEntry.__dataclass_fields__
            if name not in _MADE
        },
    )


_MADE = ("key", "source", "state", "problems")


def read_problems(text: str) -> tuple[Problem, ...]:
    """What the column `problems` holds. One that can't be read costs itself: it is said in place
    of what it held, so that lists of briefs go on."""
    try:
        return tuple(
            _problem_from_json(said)
            for said in json.loads(text or "[]", parse_constant=_no_constant)
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
        message = "The problems that were noted for this brief can't be read."
        return (Problem("ledger.problems", message, "Render the brief again."),)


def _problem_from_json(said: dict[str, Any]) -> Problem:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    return Problem(**values)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")
