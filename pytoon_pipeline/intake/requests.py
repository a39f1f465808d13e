"""What is to be rendered: what is new in the briefs folder and the briefs table, what a person
asked for, and what was lost. No Dagster here: the sensor asks, and requests the runs."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue

from pytoon_pipeline.briefs.bundle import BriefChangedError, hints_of, is_packed, pack_brief
from pytoon_pipeline.briefs.queue_hints import QueueHints
from pytoon_pipeline.briefs.source import BriefSource, read_signature
from pytoon_pipeline.briefs.variants import expand_variants
from pytoon_pipeline.errors import Problem, PytoonError, StoreError, UserError
from pytoon_pipeline.intake.brief_state import BriefState
from pytoon_pipeline.intake.folders import scan_folder
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import LedgerEntry
from pytoon_pipeline.intake.sandboxed_reader import (
    BriefReader,
    BriefReading,
    FoundSource,
    ReaderBusyError,
    ReaderStuckError,
    read_brief,
)
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import Store, describe_location, open_store

CONTENTS_TAG = "pytoon/contents"
"""On runs whose brief lies in a shared store: the contents that they compile."""
MAX_REQUESTS = 20
"""Runs requested per look; submitting one takes Dagster a good part of a second."""
SETTLED_SECONDS = 5.0
"""Files this long without a change count as copied whole."""
LONGEST = 30.0
"""Seconds after which a look is broken off; Dagster ends a sensor's tick after 60."""
READING = 5.0
"""Seconds after which a brief that is still read is left to the next look."""
PACKING = 10.0
"""Seconds that a look waits for briefs to be packed; the others are requested by the next."""
_PACKERS = 4


@dataclass
class Findings:
    """What one look found."""

    briefs: int | None = None
    """Briefs in the folder and the table; None when they were not looked at."""
    requests: list[LedgerEntry] = field(default_factory=list)
    """To be worked on now, as their `action` says."""
    waiting: list[BriefSource] = field(default_factory=list)
    """Still being copied."""
    reached: str = ""
    """Origin of the last brief that was looked at."""
    unfinished: bool = False
    """More may be new; the next look goes on."""
    problems: list[Problem] = field(default_factory=list)
    confirmed: int = 0
    """Highest serial number asked for so far."""
    generating: set[str] = field(default_factory=set)
    """Keys of requests that generate footage, where the brief itself is on another machine."""


class BundlePacking:
    """Packs briefs into a store that machines share: in the background, so that a large file keeps
    no look from its end, and goes on into the store until the next."""

    def __init__(self, store: Store, scratch: Path):
        self.store, self._scratch = store, scratch
        self._begun: dict[tuple[str, str], Future[None]] = {}
        self._waiting: SimpleQueue = SimpleQueue()
        for n in range(_PACKERS):
            # Whoever ends this process need not wait for them: a put that was cut off is none.
            threading.Thread(target=self._pack_requests, name=f"packing-{n}", daemon=True).start()

    def begin(
        self, key: str, source: BriefSource, roots: Mapping[str, Path], contents: str
    ) -> Future[None]:
        """Pack these contents, or find that they are being packed; `pack` says what it raises."""
        future = self._begun.get((key, contents))
        if future is None:
            future = self._begun[key, contents] = Future()
            self._waiting.put((future, key, source, roots, contents))
        return future

    def forget_ended(self) -> None:
        self._begun = {k: f for k, f in self._begun.items() if not f.done()}

    def _pack_requests(self) -> None:
        while True:
            future, key, source, roots, contents = self._waiting.get()
            try:
                pack_brief(source, self.store, roots, contents, key=key, scratch=self._scratch)
                future.set_result(None)
            except BaseException as error:  # Whoever waits for it hears of it.
                future.set_exception(error)


def shared_packing(settings: Settings) -> BundlePacking | None:
    """What briefs are packed with, one for a store and a process; None where the store is a folder
    of this machine."""
    place = settings.store, settings.s3_endpoint, settings.home
    if place not in _PACKING:
        store = open_store(settings)
        _PACKING[place] = BundlePacking(store, settings.scratch) if store.shared else None
    return _PACKING[place]


_PACKING: dict[tuple[str, str | None, Path], BundlePacking | None] = {}


@dataclass
class GatheredSources:
    """The briefs that there are; `found` is None where that is not known yet."""

    found: list[FoundSource] | None
    problems: list[Problem]

    @property
    def sources(self) -> list[BriefSource] | None:
        return None if self.found is None else [each.source for each in self.found]


def gather_with_reader(settings: Settings, reader: BriefReader, deadline: float) -> GatheredSources:
    """`gather_sources`, read in a process apart and with the looks of the briefs. A file that is
    read for too long is left out, and told of; where it is not done at the deadline
    (time.monotonic()) the next look goes on with it."""
    moment = dt.datetime.fromtimestamp(time.time(), dt.UTC)
    problems: list[Problem] = []
    roots = settings.media_roots
    while True:
        try:
            found, said = reader.find(settings.briefs_dir, moment, roots, deadline)
            if settings.briefs_table:
                from pytoon_pipeline.tables.sql_table import read_sql_table

                rows, wrong = read_sql_table(settings.briefs_table, settings.briefs_dir)
                said += wrong
                each = [each for row in rows for each in expand_variants(row)]
                found += reader.looks(each, roots, deadline)
            return GatheredSources(found, problems + said)
        except ReaderStuckError as stuck:
            problems.append(stuck.as_problem())
            if not stuck.path or time.monotonic() > deadline:
                return GatheredSources(None, problems)
        except ReaderBusyError:
            return GatheredSources(None, problems)


def gather_sources(
    settings: Settings, now: float | None = None
) -> tuple[list[BriefSource], list[Problem]]:
    """All briefs that there are now, in the folder and in the table. A row whose sale has begun or
    ended since the last look says something else, and so counts as changed. `now` is a Unix time,
    the present if left out."""
    moment = dt.datetime.fromtimestamp(time.time() if now is None else now, dt.UTC)
    sources, problems = scan_folder(settings.briefs_dir, moment)
    if settings.briefs_table:
        from pytoon_pipeline.tables.sql_table import read_sql_table

        rows, found = read_sql_table(settings.briefs_table, settings.briefs_dir)
        sources += [each for row in rows for each in expand_variants(row)]
        problems += found
    return sources, problems


def report_back(settings: Settings, ledger: Ledger) -> list[Problem]:
    """Write what became of the rows of the briefs table into it. Returns what kept that from
    being done; it is tried again at the next look."""
    if not settings.briefs_table:
        return []
    from pytoon_pipeline.tables.sql_table import RowState, write_back

    rows: dict[str, list[LedgerEntry]] = {}
    for entry in ledger.find():
        document = entry.source.document
        if document and document.whole.startswith("sql:") and entry.state != BriefState.NEW:
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
                describe_location(store, f"videos/{e.key}/video.mp4")
                for e in entries
                if e.state == BriefState.DONE
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


_ORDER = (
    BriefState.RUNNING,
    BriefState.REQUESTED,
    BriefState.FAILED,
    BriefState.REFUSED,
    BriefState.CANCELLED,
    BriefState.DONE,
)


def _of_all(states: Iterable[str]) -> str:
    """One word for the variants of a row: work that goes on, else the worst."""
    return min(states, key=_ORDER.index)


@dataclass
class _TickPlan:
    """A look under way."""

    ledger: Ledger
    confirmed: int
    roots: Mapping[str, Path]
    packing: BundlePacking | None
    deadline: float
    reader: BriefReader | None = None
    found: Findings = field(default_factory=Findings)
    begun: list[tuple[LedgerEntry, str, str, str, QueueHints, Future[None]]] = field(
        default_factory=list
    )
    """What is being packed: entry, contents, look, what for, and its hints."""

    def read(
        self, source: BriefSource, unmoved: str = "", settled_before: float = math.inf
    ) -> BriefReading:
        """`read_brief`, apart where there is a reader. Raises OSError, ReaderBusyError and
        ReaderStuckError."""
        if self.reader is None:
            return read_brief(source, self.roots, unmoved, settled_before)
        until = self.deadline + READING
        return self.reader.read(source, self.roots, until, unmoved, settled_before)

    def refuse_stuck(self, key: str, seen: str, stuck: ReaderStuckError) -> None:
        """It is read again when it changes."""
        problem = stuck.as_problem()
        self.ledger.set_state(
            key,
            BriefState.REFUSED,
            error=str(problem),
            problems=[problem],
            wanted="",
            waiting="",
            content_hash=f"unread:{seen}",
            look=seen,
        )
        self.found.problems.append(problem)

    @property
    def is_full(self) -> bool:
        return len(self.found.requests) + len(self.begun) >= MAX_REQUESTS

    def ask(
        self, entry: LedgerEntry, contents: str, seen: str, action: str, told: QueueHints
    ) -> None:
        """Request a run of contents that are on this machine; packed first, where others are to
        compile them."""
        if self.packing is None:
            self.request(entry, contents, seen, action, told)
        else:
            future = self.packing.begin(entry.key, entry.source, self.roots, contents)
            self.begun.append((entry, contents, seen, action, told, future))

    def request(
        self, entry: LedgerEntry, contents: str, seen: str, action: str, told: QueueHints
    ) -> None:
        if entry.wanted and self.ledger.find_entry(entry.key).wanted != entry.wanted:
            return  # It was cancelled just now.
        rank = told.priority or entry.priority
        serial = self.ledger.request(entry.key, contents, seen, self.confirmed, rank, action)
        if told.generates:
            self.found.generating.add(entry.key)
        self.found.requests.append(
            replace(
                entry,
                content_hash=contents,
                look=seen,
                serial=serial,
                state=BriefState.REQUESTED,
                action=action,
                wanted="",
                priority=rank,
            )
        )

    def want(self, entry: LedgerEntry) -> None:
        """What a person asked for."""
        source = entry.source
        if entry.wanted == "recheck":
            # Nothing is compiled: what it says by now is left to be found.
            told = QueueHints() if entry.is_deleted else self.read(source).hints
            self.request(entry, entry.content_hash, entry.look, entry.wanted, told)
        elif self._is_from_bundle(entry):
            assert self.packing is not None
            told = hints_of(entry.key, entry.content_hash, self.packing.store)
            self.request(entry, entry.content_hash, entry.look, entry.wanted, told)
        else:
            read = self.read(source)
            self.ask(entry, read.contents, read.look, entry.wanted, read.hints)

    def ask_again(self, entry: LedgerEntry) -> None:
        """A request that was noted and of which Dagster knows nothing."""
        if self.packing is not None and self._is_from_bundle(entry):
            told = hints_of(entry.key, entry.content_hash, self.packing.store)
            self.found.generating |= {entry.key} if told.generates else set()
        self.found.requests.append(entry)

    def _is_from_bundle(self, entry: LedgerEntry) -> bool:
        """Is it to be taken from its parcel? It came by HTTP, or is a brief of another machine, or
        one whose files are gone."""
        if self.packing is None or (entry.source.path.exists() and not entry.source.is_request):
            return False
        return is_packed(entry.key, entry.content_hash, self.packing.store)

    def finish(self, deadline: float) -> None:
        """Request the runs of what has been packed."""
        if self.packing is None:
            return
        left = min(PACKING, deadline - time.monotonic())
        wait([future for *_, future in self.begun], max(0.0, left))
        for entry, contents, seen, action, told, future in self.begun:
            if not future.done():
                self.found.unfinished = True
                continue
            error = future.exception()
            if error is None:
                self.request(entry, contents, seen, action, told)
            elif isinstance(error, BriefChangedError):
                self.found.waiting.append(entry.source)
            elif isinstance(error, UserError):
                self._refuse_brief(entry, contents, seen, error)
            else:
                self.trouble(entry.key, error)
        self.packing.forget_ended()

    def _refuse_brief(self, entry: LedgerEntry, contents: str, seen: str, error: UserError) -> None:
        self.ledger.set_state(
            entry.key,
            BriefState.REFUSED,
            error=str(error),
            problems=error.problems,
            wanted="",
            content_hash=contents,
            look=seen,
        )

    def trouble(self, key: str, error: BaseException) -> None:
        """It is tried again at the next look."""
        self.found.problems.append(
            Problem("brief.packing", f"can't be packed for other machines: {error}", file=key)
        )


def plan_requests(
    ledger: Ledger,
    sources: Iterable[BriefSource] | None,
    confirmed: int = 0,
    roots: Mapping[str, Path] | None = None,
    now: float | None = None,
    packing: BundlePacking | None = None,
    *,
    looks: Mapping[str, FoundSource] | None = None,
    reader: BriefReader | None = None,
    deadline: float | None = None,
    after: str = "",
) -> Findings:
    """Find what is to be rendered, and note in the ledger that its runs are requested.

    `sources` are the briefs that there are, None to look only after what was asked for. `confirmed`
    is the `confirmed` of the last look that Dagster is known to have acted on: requests noted after
    it, by a look that was cut off, are made again. With `shared_packing` a brief is in the store
    before its run is requested. `looks` are those of the sources (by origin) where they are known
    already, `reader` reads the others. The sources are gone through from the one behind `after`,
    which is the `reached` of the last look that was not finished, so that those that take long keep
    none from its turn."""
    now = time.time() if now is None else now
    deadline = time.monotonic() + LONGEST if deadline is None else deadline
    this = _TickPlan(ledger, confirmed, roots or {}, packing, deadline, reader)
    found = this.found
    asked: set[str] = set()
    lost = [e for e in ledger.find(states=[BriefState.REQUESTED]) if e.serial > confirmed]
    wanted = [e for e in ledger.find(wanted=True) if e.key not in {e.key for e in lost}]
    for entry in [*lost, *sorted(wanted, key=lambda e: -e.priority)]:
        if this.is_full:
            found.unfinished = True
            break
        asked.add(entry.source.origin)
        try:
            if entry in lost:
                this.ask_again(entry)
            else:
                this.want(entry)
        except ReaderBusyError:
            found.unfinished = True
            break
        except ReaderStuckError as stuck:
            this.refuse_stuck(entry.key, entry.look or "unknown", stuck)
        except (OSError, StoreError) as error:
            if packing is None:
                raise
            this.trouble(entry.key, error)
    if sources is not None:
        known = ledger.looks()
        found.briefs = 0
        for source in _rotate_from(after, list(sources)):
            found.briefs += 1
            if found.unfinished or source.origin in asked:
                continue
            if this.is_full or time.monotonic() > deadline:
                found.unfinished = True
                continue
            try:
                told = (looks or {}).get(source.origin)
                _examine_source(source, known.get(source.origin), this, now, told)
                found.reached = source.origin
            except ReaderBusyError:
                found.unfinished = True
            except OSError as error:
                # One folder that can't be read keeps no other from its turn.
                found.reached = source.origin
                found.problems.append(
                    Problem("brief.unreadable", f"can't be read: {error}.", file=str(source.path))
                )
    this.finish(deadline)
    found.confirmed = max([confirmed, *(e.serial for e in found.requests)])
    return found


def _rotate_from(after: str, sources: list[BriefSource]) -> list[BriefSource]:
    """The sources in their order, beginning behind one of them and going round."""
    at = next((i for i, source in enumerate(sources, 1) if source.origin == after), 0)
    return sources[at:] + sources[:at]


def _examine_source(
    source: BriefSource,
    entry: LedgerEntry | None,
    this: _TickPlan,
    now: float,
    told: FoundSource | None,
) -> None:
    ledger, roots = this.ledger, this.roots
    seen = (told.look if told else "") or read_signature(source, roots)
    if entry and entry.content_hash and entry.look == seen:
        if entry.waiting:
            ledger.note(entry.key, waiting="")
        return
    try:
        left = told.left_out if told and this.reader else ""
        if this.reader and (stuck := this.reader.why_left_out(left)):
            raise stuck
        unmoved = entry.waiting if entry else ""
        read = this.read(source, unmoved, now - SETTLED_SECONDS)
    except ReaderStuckError as stuck:
        this.refuse_stuck(ledger.register(source), seen, stuck)
        return
    contents, seen = read.contents, read.look
    if not contents:
        ledger.note(ledger.register(source), waiting=read.still.signature)
        this.found.waiting.append(source)
        return
    if entry and entry.content_hash == contents:
        ledger.note(entry.key, look=seen, waiting="")
        return
    this.ask(ledger.find_entry(ledger.register(source)), contents, seen, "render", read.hints)
