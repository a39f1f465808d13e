"""What is new in the briefs folder. No Dagster here: the sensor asks, and requests the runs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytoon_pipeline.briefs.folder import BriefSource, content_hash, look, scan, stillness
from pytoon_pipeline.briefs.ledger import Entry, Ledger
from pytoon_pipeline.errors import Problem

MOST_REQUESTS = 20
"""Runs requested per look; submitting a run takes Dagster about half a second."""
SETTLED_SECONDS = 5.0
"""Files this long without a change count as copied whole."""
LONGEST = 30.0
"""Seconds after which a look is broken off; Dagster ends a sensor's tick after 60."""


@dataclass
class Findings:
    """What one look at the folder found."""

    briefs: int = 0
    """Briefs in the folder."""
    requests: list[Entry] = field(default_factory=list)
    """To be rendered now."""
    waiting: list[BriefSource] = field(default_factory=list)
    """Still being copied."""
    unfinished: bool = False
    """More may be new; the next look goes on."""
    problems: list[Problem] = field(default_factory=list)
    confirmed: int = 0
    """Highest serial number asked for so far."""


def look_around(
    root: Path,
    ledger: Ledger,
    confirmed: int = 0,
    roots: dict[str, Path] | None = None,
    now: float | None = None,
) -> Findings:
    """Find new and changed briefs, and note in the ledger that their runs are requested.

    `confirmed` is the `confirmed` of the last look that Dagster is known to have acted on:
    requests noted after it, by a look that was cut off, are made again.
    """
    now = time.time() if now is None else now
    deadline = time.monotonic() + LONGEST
    sources, problems = scan(root)
    entries = ledger.entries()
    known = {entry.source.path: entry for entry in entries}
    lost = [e for e in entries if e.state == "requested" and e.serial > confirmed]
    found = Findings(len(sources), lost[:MOST_REQUESTS], problems=problems)
    found.unfinished = len(lost) > MOST_REQUESTS
    lost_paths = {e.source.path for e in lost}
    for source in sources:
        if len(found.requests) >= MOST_REQUESTS or time.monotonic() > deadline:
            found.unfinished = True
            break
        if source.path in lost_paths:
            continue
        try:
            _look_at(source, known.get(source.path), ledger, confirmed, roots or {}, now, found)
        except OSError as error:
            # One folder that can't be read keeps no other from its turn.
            found.problems.append(
                Problem("brief.unreadable", f"can't be read: {error}.", file=str(source.path))
            )
    found.confirmed = max([confirmed, *(e.serial for e in found.requests)])
    return found


def _look_at(
    source: BriefSource,
    entry: Entry | None,
    ledger: Ledger,
    confirmed: int,
    roots: dict[str, Path],
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
    key = ledger.register(source)
    if not unmoved and now - still.newest <= SETTLED_SECONDS:
        ledger.note(key, waiting=still.signature)
        found.waiting.append(source)
        return
    contents = content_hash(source, roots)
    if entry and entry.content_hash == contents:
        ledger.note(key, look=seen, waiting="")
        return
    serial = ledger.request(key, contents, seen, after=confirmed)
    found.requests.append(
        replace(
            entry or ledger.entry(key),
            key=key,
            source=source,
            content_hash=contents,
            look=seen,
            serial=serial,
            state="requested",
        )
    )
