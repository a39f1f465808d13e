"""What is to be rendered: what is new in the briefs folder and the briefs table, what a person
asked for, and what was lost. No Dagster here: the sensor asks, and requests the runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytoon_pipeline.briefs.folder import scan
from pytoon_pipeline.briefs.ledger import Entry, Ledger
from pytoon_pipeline.briefs.source import BriefSource, content_hash, hints, look, stillness
from pytoon_pipeline.briefs.variants import expand
from pytoon_pipeline.errors import Problem, PytoonError
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store, where

MOST_REQUESTS = 20
"""Runs requested per look; submitting one takes Dagster a good part of a second."""
SETTLED_SECONDS = 5.0
"""Files this long without a change count as copied whole."""
LONGEST = 30.0
"""Seconds after which a look is broken off; Dagster ends a sensor's tick after 60."""


@dataclass
class Findings:
    """What one look found."""

    briefs: int | None = None
    """Briefs in the folder and the table; None when they were not looked at."""
    requests: list[Entry] = field(default_factory=list)
    """To be worked on now, as their `action` says."""
    waiting: list[BriefSource] = field(default_factory=list)
    """Still being copied."""
    unfinished: bool = False
    """More may be new; the next look goes on."""
    problems: list[Problem] = field(default_factory=list)
    confirmed: int = 0
    """Highest serial number asked for so far."""


def gather(settings: Settings) -> tuple[list[BriefSource], list[Problem]]:
    """All briefs that there are now, in the folder and in the table."""
    sources, problems = scan(settings.briefs_dir)
    if settings.briefs_table:
        from pytoon_pipeline.briefs.sqltable import read_sql_table

        rows, found = read_sql_table(settings.briefs_table, settings.briefs_dir)
        sources += [each for row in rows for each in expand(row)]
        problems += found
    return sources, problems


def report_back(settings: Settings, ledger: Ledger) -> list[Problem]:
    """Write what became of the rows of the briefs table into it. Returns what kept that from
    being done; it is tried again at the next look."""
    if not settings.briefs_table:
        return []
    from pytoon_pipeline.briefs.sqltable import RowState, write_back

    rows: dict[str, list[Entry]] = {}
    for entry in ledger.find():
        document = entry.source.document
        if document and document.whole.startswith("sql:") and entry.state != "new":
            rows.setdefault(document.of or document.part, []).append(entry)
    changed = {
        part: entries
        for part, entries in rows.items()
        if any(e.reported != f"{e.state} {e.updated}" for e in entries)
    }
    if not changed:
        return []
    store = open_store(settings)
    states = [
        RowState(
            part=part,
            status=_of_all(e.state for e in entries),
            video="\n".join(
                where(store, f"videos/{e.key}/video.mp4")
                for e in entries
                if e.state == "done"
            ),
            error="\n".join(e.error for e in entries if e.error),
        )
        for part, entries in changed.items()
    ]
    try:
        write_back(settings.briefs_table, states)
    except PytoonError as error:
        return [Problem("table.write_back", str(error), severity="warning")]
    for entry in (e for entries in changed.values() for e in entries):
        ledger.note(entry.key, reported=f"{entry.state} {entry.updated}")
    return []


_ORDER = ("running", "requested", "failed", "refused", "cancelled", "done")


def _of_all(states: Iterable[str]) -> str:
    """One word for the variants of a row: work that goes on, else the worst."""
    return min(states, key=_ORDER.index)


def look_around(
    ledger: Ledger,
    sources: Iterable[BriefSource] | None,
    confirmed: int = 0,
    roots: Mapping[str, Path] | None = None,
    now: float | None = None,
) -> Findings:
    """Find what is to be rendered, and note in the ledger that its runs are requested.

    `sources` are the briefs that there are, None to look only after what was asked for.
    `confirmed` is the `confirmed` of the last look that Dagster is known to have acted on:
    requests noted after it, by a look that was cut off, are made again.
    """
    now = time.time() if now is None else now
    deadline = time.monotonic() + LONGEST
    found = Findings()
    asked: set[str] = set()
    lost = [e for e in ledger.find(states=["requested"]) if e.serial > confirmed]
    wanted = [e for e in ledger.find(wanted=True) if e.key not in {e.key for e in lost}]
    for entry in [*lost, *sorted(wanted, key=lambda e: -e.priority)]:
        if len(found.requests) >= MOST_REQUESTS:
            found.unfinished = True
            break
        asked.add(entry.source.origin)
        if entry in lost:
            found.requests.append(entry)
            continue
        seen = look(entry.source, roots)
        contents = content_hash(entry.source, roots)
        if ledger.entry(entry.key).wanted != entry.wanted:
            continue  # It was cancelled just now.
        found.requests.append(_request(ledger, entry, contents, seen, confirmed, entry.wanted))
    if sources is not None:
        known = ledger.looks()
        found.briefs = 0
        for source in sources:
            found.briefs += 1
            if found.unfinished or source.origin in asked:
                continue
            if len(found.requests) >= MOST_REQUESTS or time.monotonic() > deadline:
                found.unfinished = True
                continue
            try:
                _look_at(source, known.get(source.origin), ledger, confirmed, roots, now, found)
            except OSError as error:
                # One folder that can't be read keeps no other from its turn.
                found.problems.append(
                    Problem("brief.unreadable", f"can't be read: {error}.", file=str(source.path))
                )
    found.confirmed = max([confirmed, *(e.serial for e in found.requests)])
    return found


def _request(
    ledger: Ledger, entry: Entry, contents: str, seen: str, confirmed: int, action: str
) -> Entry:
    rank = hints(entry.source).priority or entry.priority
    serial = ledger.request(entry.key, contents, seen, confirmed, rank, action)
    return replace(
        entry, content_hash=contents, look=seen, serial=serial, state="requested", action=action,
        wanted="", priority=rank,
    )  # fmt: skip


def _look_at(
    source: BriefSource,
    entry: Entry | None,
    ledger: Ledger,
    confirmed: int,
    roots: Mapping[str, Path] | None,
    now: float,
    found: Findings,
) -> None:
    seen = look(source, roots)
    if entry and entry.content_hash and entry.look == seen:
        if entry.waiting:
            ledger.note(entry.key, waiting="")
        return
    still = stillness(source, roots)
    unmoved = entry is not None and entry.waiting == still.signature
    if not unmoved and now - still.newest <= SETTLED_SECONDS:
        ledger.note(ledger.register(source), waiting=still.signature)
        found.waiting.append(source)
        return
    contents = content_hash(source, roots)
    if entry and entry.content_hash == contents:
        ledger.note(entry.key, look=seen, waiting="")
        return
    entry = ledger.entry(ledger.register(source))
    found.requests.append(_request(ledger, entry, contents, seen, confirmed, "render"))
