"""Segments rendered for other Pytoons: a bounded queue, a few threads, results by their hash."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pytoon_pipeline.engines.base import Engine, Footage, Health, Media, Progress
from pytoon_pipeline.errors import EngineFailed, PytoonError
from pytoon_pipeline.media.probe import sha256
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.stages.documents import EngineTry, SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.segments import render_segment, workdir
from pytoon_pipeline.stages.services import Services, open_services

log = logging.getLogger("pytoon.service")

WorkState = Literal["pending", "processing", "completed", "failed"]

POLICY = "local_only"
"""A segment for another Pytoon is never passed on to a third, which might be the first."""
ASKERS = 1000
"""Askers that are counted of one segment; with more of them it is not cancelled at all."""
REMEMBERED = 1000
"""Works kept after their end; what they made stays in the store."""


class Full(PytoonError):
    """All places are taken."""


class Dropped(BaseException):
    """Nobody wants this segment any more. No Exception: nothing between an engine and the queue
    may take it for a failure of the engine."""


class _Nothing(Engine):
    """In the last resort's place: whoever asked has a plain still of its own, and its own policy
    decides when that is good enough."""

    name = "nothing"

    def health(self) -> Health:
        return Health(True, "")

    def can_render(self, job: SegmentJob) -> bool:
        return False

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        return {"name": self.name}

    def render(self, job: SegmentJob, media: Media, workdir: Path, progress: Progress) -> Footage:
        raise EngineFailed("a plain still is not given to others")


@dataclass
class Work:
    """A segment that was asked for."""

    id: str
    job: SegmentJob
    state: WorkState = "pending"
    frames: int = 0
    signs: int = 0
    """Counts up while its engine lives."""
    record: SegmentRecord | None = None
    sha256: str | None = None
    bytes: int | None = None
    tries: list[EngineTry] = field(default_factory=list)
    error: str = ""
    log_tail: str = ""
    askers: set[str] = field(default_factory=set)
    seen: float = field(default_factory=time.monotonic)
    """When an asker was heard of last."""
    dropped: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ("completed", "failed")


class Bench:
    """The place where segments are rendered for others.

    `workers` at a time, and `waiting` more that wait for a place; a work that nobody has asked
    after for `patience` seconds when its turn comes is dropped. Everything here is forgotten when
    the process ends, except the segments that are done: they lie in the store, and asking again
    finds them.
    """

    def __init__(
        self,
        services: Services,
        *,
        workers: int | None = None,
        waiting: int | None = None,
        patience: float = 120.0,
        retry_after: int = 5,
        render: Callable[..., SegmentRecord] = render_segment,
    ):
        self.workers = workers or services.settings.workers
        self.places = self.workers + (2 * self.workers if waiting is None else waiting)
        self.retry_after = retry_after
        """Seconds after which one that found all places taken should ask again."""
        engines = replace(services.engines, last_resort=_Nothing())
        self.services = replace(services, engines=engines)
        self._patience, self._render = patience, render
        self._works: dict[str, Work] = {}
        self._lock = threading.Lock()
        self._turns: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        # Daemons: an engine that hangs must not keep the server from ending.
        self._threads = [
            threading.Thread(target=self._serve, name=f"segment-{n}", daemon=True)
            for n in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()
        self._closed = False

    def taken(self) -> int:
        """Places that are taken."""
        with self._lock:
            return self._taken()

    def _taken(self) -> int:
        return sum(not w.ended for w in self._works.values())

    def ask(self, id_: str, job: SegmentJob, asker: str) -> Work:
        """The work of this id: the one there is, unless it failed or its file is gone, or a new
        one. Raises Full."""
        with self._lock:
            ended = self._works.get(id_)
        # The store may take its time: nobody else waits for it.
        there = ended is not None and ended.ended and self._there(ended)
        with self._lock:
            work = self._works.get(id_)
            if work is not None and (not work.ended or (there and work is ended)):
                if not work.ended and len(work.askers) <= ASKERS:
                    work.askers.add(asker)
                work.seen = time.monotonic()
                return work
            if self._closed or self._taken() >= self.places:
                raise Full("All places are taken.")
            work = Work(id_, job, askers={asker})
            self._works.pop(id_, None)  # So that it is the newest.
            self._works[id_] = work
            for old in [w for w in self._works.values() if w.ended][:-REMEMBERED]:
                del self._works[old.id]
            self._turns.put(work)
            return work

    def _there(self, work: Work) -> bool:
        return work.record is not None and self.services.store.exists(work.record.key)

    def get(self, id_: str) -> Work | None:
        with self._lock:
            work = self._works.get(id_)
            if work is not None:
                work.seen = time.monotonic()
            return work

    def leave(self, id_: str, asker: str) -> bool:
        """This asker wants it no more; when none is left that does, it ends. One that did not ask
        for it changes nothing. False where there is no such work. What is completed stays."""
        with self._lock:
            work = self._works.get(id_)
            if work is None:
                return False
            if asker not in work.askers or len(work.askers) > ASKERS:
                return True
            work.askers.discard(asker)
            if not work.askers and work.state != "completed":
                work.dropped = True
                del self._works[id_]
            return True

    def close(self, seconds: float = 10.0) -> None:
        """Ends all work, and waits for it so long at most."""
        with self._lock:
            self._closed = True
            for work in self._works.values():
                work.dropped = True
        until = time.monotonic() + seconds
        for _ in self._threads:
            self._turns.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _serve(self) -> None:
        while (work := self._turns.get()) is not None:
            self._do(work)

    def _do(self, work: Work) -> None:
        with self._lock:
            if time.monotonic() - work.seen > self._patience:
                work.dropped = True
                self._works.pop(work.id, None)
            if work.dropped:
                return
            work.state = "processing"
        reporter = _Watch(work)
        try:
            with workdir(self.services) as folder:
                record = self._render(
                    work.job, self.services, POLICY, "for another Pytoon", reporter, folder
                )
            path = self.services.store.local(record.key)
            digest, size = sha256(path), path.stat().st_size
        except Dropped:
            return
        except PytoonError as error:
            reason, _, tail = (reporter.last or str(error)).partition("\n")
            self._fail(work, reason, tail)
        except Exception as error:
            log.exception("a segment for another Pytoon failed")
            self._fail(work, f"a fault of this Pytoon: {type(error).__name__}", "")
        else:
            with self._lock:
                work.record, work.sha256, work.bytes = record, digest, size
                work.frames, work.tries = record.frames, list(record.tries)
                work.state = "completed"

    def _fail(self, work: Work, reason: str, tail: str) -> None:
        with self._lock:
            work.error, work.log_tail, work.state = reason, tail[-4000:], "failed"


class _Watch(Reporter):
    """Follows one work, and ends it when nobody wants it any more."""

    def __init__(self, work: Work):
        self._work = work
        self.last = ""
        """Why the last engine failed."""

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        if self._work.dropped:
            raise Dropped
        self._work.frames += frames
        self._work.signs += 1

    def retry(self, key: str, segment_id: str, engine: str, reason: str) -> None:
        first, _, tail = reason.partition("\n")
        self._work.tries.append(EngineTry(engine=engine, seconds=0, reason=first))
        self.last = f"{engine}: {reason}"


def open_bench(settings: Settings) -> Bench:
    """Raises what `open_services` raises."""
    return Bench(open_services(settings))
