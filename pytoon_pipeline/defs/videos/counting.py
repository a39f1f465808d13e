"""What a run counts: kept while it goes on, written when it ends, once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

import dagster as dg

from pytoon_pipeline.defs.videos.jobs import ACTION_TAG
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.stages.documents import MetricsDocument
from pytoon_pipeline.stages.reporter import ForwardingReporter, Reporter
from pytoon_pipeline.telemetry import catalogue as c
from pytoon_pipeline.telemetry.counters import CounterBatch, write_counters

if TYPE_CHECKING:
    from pytoon_pipeline.engines.policy import EngineAttempt
    from pytoon_pipeline.errors import PytoonError
    from pytoon_pipeline.stages.documents import SegmentRecord

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext

_KEPT = 64


class RunCounts:
    """Of one run."""

    def __init__(self) -> None:
        self.tally = CounterBatch()
        self.ended = False
        self.queue_seconds: float | None = None
        self.run_seconds: float | None = None

    def times(self, context: Context) -> None:
        """How long the run waited and has been going on, by the clock of Dagster's records."""
        with suppress(Exception):  # The database may be gone just now; it is only a number.
            record = context.instance.get_run_record_by_id(context.run.run_id)
            if record is None or not record.start_time:
                return
            self.run_seconds = max(0.0, time.time() - record.start_time)
            # A run that a process began by itself was never in a queue.
            if context.run.remote_job_origin is not None:
                waited = record.start_time - record.create_timestamp.timestamp()
                self.queue_seconds = max(0.0, waited)

    def end(self, context: Context, ledger: Ledger, outcome: str) -> None:
        """The run ends like this; what else of it ends afterwards changes nothing."""
        if not self.ended:
            self.ended = True
            action = context.run.tags.get(ACTION_TAG, "render")
            self.tally.add(c.RUNS, action, outcome)
            if self.run_seconds is None:
                self.times(context)
            if self.run_seconds is not None:
                self.tally.observe(c.RUN_SECONDS, action, outcome, seconds=self.run_seconds)
            if self.queue_seconds is not None:
                self.tally.observe(c.QUEUE_SECONDS, seconds=self.queue_seconds)
        write_counters(ledger, self.tally)


_RUNS: OrderedDict[str, RunCounts] = OrderedDict()
_lock = threading.Lock()


def run_counts_of(context: Context) -> RunCounts:
    """Those of the run at hand. A process that lives long forgets the oldest."""
    with _lock:
        counts = _RUNS.setdefault(context.run.run_id, RunCounts())
        _RUNS.move_to_end(context.run.run_id)
        while len(_RUNS) > _KEPT:
            _RUNS.popitem(last=False)
        return counts


def count_lost(ledger: Ledger, action: str, outcome: str) -> None:
    """A run that ended without a word, by whoever finds it: its process was killed, or it was
    cancelled in the queue."""
    tally = CounterBatch()
    tally.add(c.RUNS, action or "render", outcome)
    write_counters(ledger, tally)


# Segments ----------------------------------------------------------------------------------------


class CountingReporter(ForwardingReporter):
    """Counts segments, and the tries of engines that failed."""

    def __init__(self, inner: Reporter, tally: CounterBatch):
        super().__init__(inner)
        self._tally = tally

    def segment(self, key: str, record: SegmentRecord) -> None:
        count_segment(self._tally, record)
        self._inner.segment(key, record)

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        self._tally.add(c.ENGINE_FAILURES, attempt.engine, reason_class(attempt.error))
        self._inner.retry(key, segment_id, attempt)

    def failed(self, key: str, error: PytoonError) -> None:
        from pytoon_pipeline.stages.segments import SegmentsFailedError

        if isinstance(error, SegmentsFailedError):
            self._tally.add(c.SEGMENTS_FAILED, amount=len(error.failed))
        self._inner.failed(key, error)


_CLASSES = {
    "OutOfGpuMemoryError": "out_of_memory",
    "BudgetExhaustedError": "budget",
    "EngineTimeoutError": "timeout",
    "EngineUnavailableError": "unavailable",
    "EngineFailedError": "failed",
}
"""Name of an exception, or of one that it derives from -> class of reason."""


def reason_class(error: BaseException | None) -> str:
    """One of `catalogue.REASONS`: a label's values must be few."""
    for kind in type(error).__mro__:
        if kind.__name__ in _CLASSES:
            return _CLASSES[kind.__name__]
    return "other"


def count_segment(tally: CounterBatch, record: SegmentRecord) -> None:
    tally.add(c.SEGMENTS, record.engine, "cached" if record.cached else "rendered")
    if record.cached:
        return
    tally.observe(c.SEGMENT_SECONDS, record.engine, seconds=record.seconds)
    if record.degraded:
        tally.add(c.SEGMENTS_DEGRADED)
    elif record.used_fallback:
        tally.add(c.SEGMENTS_FALLBACK, record.engine)


# Videos ------------------------------------------------------------------------------------------


def count_video(tally: CounterBatch, document: MetricsDocument, action: str) -> None:
    """A finished video and its verdicts. One that is only checked again is not delivered again."""
    failed = [v for v in document.verdicts if not v.passed]
    for verdict in failed:
        tally.add(c.CHECKS_FAILED, verdict.name, verdict.severity)
    if action == "recheck":
        return
    video = document.video
    tally.add(c.VIDEOS)
    tally.add(c.VIDEO_SECONDS, amount=video.seconds)
    tally.add(c.VIDEO_BYTES, amount=video.bytes)
    for applies, figure in (
        (video.cached, c.VIDEOS_UNCHANGED),
        (video.used_fallback, c.VIDEOS_FALLBACK),
        (video.degraded, c.VIDEOS_DEGRADED),
        (any(v.severity == "error" for v in failed), c.VIDEOS_REJECTED),
    ):
        if applies:
            tally.add(figure)
