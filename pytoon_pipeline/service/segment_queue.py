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

from pytoon_pipeline.engines.base import Engine, EngineHealth, Footage, Media, Progress
from pytoon_pipeline.engines.policy import EngineAttempt
from pytoon_pipeline.errors import EngineFailedError, PytoonError
from pytoon_pipeline.media.probe import hash_file
from pytoon_pipeline.plan.segment_jobs import SegmentJob
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.stages.documents import EngineTry, SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.segments import open_workdir, render_segment
from pytoon_pipeline.stages.services import Services, open_services

log = logging.getLogger("pytoon.service")

WorkState = Literal["pending", "processing", "completed", "failed"]

POLICY = "local_only"
"""A segment for another Pytoon is never passed on to a third, which might be the first."""
ASKERS = 1000
"""Askers that are counted of one segment; with more of them it is not cancelled at all."""
REMEMBERED = 1000
"""Works kept after their end; what they made stays in the store."""


class QueueFullError(PytoonError):
    """All places are taken."""


class SegmentDroppedError(BaseException):
    """Nobody wants this segment any more. No Exception: nothing between an engine and the queue
    may take it for a failure of the engine."""


class _AbsentEngine(Engine):
    """In the last resort's place: whoever asked has a plain still of its own, and its own policy
    decides when that is good enough."""

    name = "nothing"

    def health(self) -> EngineHealth:
        return EngineHealth(True, "")

    def can_render(self, job: SegmentJob) -> bool:
        return False

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        return {"name": self.name}

    def render(self, job: SegmentJob, media: Media, workdir: Path, progress: Progress) -> Footage:
        raise EngineFailedError("a plain still is not given to others")


@dataclass
class SegmentTask:
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


class SegmentQueue:
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
        engines = replace(services.engines, last_resort=_AbsentEngine())
        self.services = replace(services, engines=engines)
        self._patience, self._render = patience, render
        self._works: dict[str, SegmentTask] = {}
        self._lock = threading.Lock()
        self._turns: queue.SimpleQueue[SegmentTask | None] = queue.SimpleQueue()
        # Daemons: an engine that hangs must not keep the server from ending.
        self._threads = [
            threading.Thread(target=self._serve_tasks, name=f"segment-{n}", daemon=True)
            for n in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()
        self._closed = False

    def taken(self) -> int:
        """Places that are taken."""
        with self._lock:
            return self._count_taken()

    def _count_taken(self) -> int:
        return sum(not w.ended for w in self._works.values())

    def ask(self, id_: str, job: SegmentJob, asker: str) -> SegmentTask:
        """The work of this id: the one there is, unless it failed or its file is gone, or a new
        one. Raises QueueFullError."""
        with self._lock:
            ended = self._works.get(id_)
        # The store may take its time: nobody else waits for it.
        there = ended is not None and ended.ended and self._is_present(ended)
        with self._lock:
            work = self._works.get(id_)
            if work is not None and (not work.ended or (there and work is ended)):
                if not work.ended and len(work.askers) <= ASKERS:
                    work.askers.add(asker)
                work.seen = time.monotonic()
                return work
            if self._closed or self._count_taken() >= self.places:
                raise QueueFullError("All places are taken.")
            work = SegmentTask(id_, job, askers={asker})
            self._works.pop(id_, None)  # So that it is the newest.
            self._works[id_] = work
            for old in [w for w in self._works.values() if w.ended][:-REMEMBERED]:
                del self._works[old.id]
            self._turns.put(work)
            return work

    def _is_present(self, work: SegmentTask) -> bool:
        return work.record is not None and self.services.store.exists(work.record.key)

    def get(self, id_: str) -> SegmentTask | None:
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

    def _serve_tasks(self) -> None:
        while (work := self._turns.get()) is not None:
            self._render_task(work)

    def _render_task(self, work: SegmentTask) -> None:
        with self._lock:
            if time.monotonic() - work.seen > self._patience:
                work.dropped = True
                self._works.pop(work.id, None)
            if work.dropped:
                return
            work.state = "processing"
        reporter = _TaskReporter(work)
        try:
            with open_workdir(self.services) as folder:
                record = self._render(
                    work.job, self.services, POLICY, "for another Pytoon", reporter, folder
                )
            path = self.services.store.local(record.key)
            digest, size = hash_file(path), path.stat().st_size
        except SegmentDroppedError:
            return
        except PytoonError as error:
            reason, _, tail = (reporter.last or str(error)).partition("\n")
            self._fail_task(work, reason, tail)
        except Exception as error:
            log.exception("a segment for another Pytoon failed")
            self._fail_task(work, f"a fault of this Pytoon: {type(error).__name__}", "")
        else:
            with self._lock:
                work.record, work.sha256, work.bytes = record, digest, size
                work.frames, work.tries = record.frames, list(record.tries)
                work.state = "completed"

    def _fail_task(self, work: SegmentTask, reason: str, tail: str) -> None:
        with self._lock:
            work.error, work.log_tail, work.state = reason, tail[-4000:], "failed"


class _TaskReporter(Reporter):
    """Follows one work, and ends it when nobody wants it any more."""

    def __init__(self, work: SegmentTask):
        self._work = work
        self.last = ""
        """Why the last engine failed."""

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        if self._work.dropped:
            raise SegmentDroppedError
        self._work.frames += frames
        self._work.signs += 1

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        first = attempt.reason.partition("\n")[0]
        self._work.tries.append(EngineTry(engine=attempt.engine, seconds=0, reason=first))
        self.last = f"{attempt.engine}: {attempt.reason}"


def open_bench(settings: Settings) -> SegmentQueue:
    """Raises what `open_services` raises."""
    return SegmentQueue(open_services(settings))
