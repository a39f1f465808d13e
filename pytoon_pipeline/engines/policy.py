"""Which engines are asked for a segment, in which order, and what happens when all fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pytoon_pipeline.engines.base import (
    NOBODY,
    Engine,
    FinishedSegment,
    Footage,
    Media,
    Progress,
)
from pytoon_pipeline.errors import BudgetExhaustedError, EngineError, EngineFailedError
from pytoon_pipeline.plan.segment_jobs import SegmentJob

LAST_RESORT = "still"


@dataclass(frozen=True)
class EngineAttempt:
    """One engine's attempt at a segment. It stays an object until a person reads of it."""

    engine: str
    seconds: float
    error: EngineError | None = None
    """Why it failed; None of one that succeeded, and where no engine could be asked."""
    note: str = ""
    """Why no engine could be asked."""

    @property
    def reason(self) -> str:
        """Why it failed, with the end of the log where there is one; empty when it did not."""
        if self.error is None:
            return self.note
        return str(self.error) or type(self.error).__name__

    @property
    def first_line(self) -> str:
        """The reason without the log."""
        return (self.reason.strip().splitlines() or ["no reason given"])[0]

    @property
    def log_tail(self) -> str:
        """The end of what the engine logged; empty where it logged nothing."""
        return self.error.log_tail if isinstance(self.error, EngineFailedError) else ""

    @property
    def is_transient(self) -> bool:
        """May the same engine succeed with the same segment later?"""
        return self.error is not None and self.error.transient


@dataclass
class EngineSet:
    """The engines of this install, in order of preference, and the last resort: an engine that
    renders anything, plainly."""

    engines: Sequence[Engine]
    last_resort: Engine
    tries: int = 2
    """Attempts of each engine, where the fault may pass."""
    pause: Callable[[float], None] = field(default=time.sleep)
    off: frozenset[str] = frozenset()
    """Names of engines that are not asked."""
    only: frozenset[str] = frozenset()
    """Names of the only engines that are asked; empty means all."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """What a second of an engine costs, by its name."""

    def all(self) -> list[Engine]:
        return list(self.engines)

    def order(self, policy: str, job: SegmentJob) -> list[Engine]:
        """Engines to ask, by policy: local ones first, local ones only, or remote ones only. None
        may redraw a product or a person unless the brief says so in words: the compiler plans for
        that, and here it is held."""
        if job.is_redrawn and not job.allow_regeneration:
            return []
        asked = [e for e in self.engines if e.name not in self.off]
        if self.only:
            asked = [e for e in asked if e.name in self.only]
        willing = [e for e in asked if e.can_render(job)]
        local = [e for e in willing if e.local]
        remote = [e for e in willing if not e.local]
        return {"local_only": local, "api_only": remote}.get(policy, local + remote)


@dataclass
class RenderBudget:
    """What engines that spend may still take for a video. Shared by the threads of its segments."""

    seconds: float | None = None
    cost: float | None = None
    used_seconds: float = 0.0
    used_cost: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, seconds: float, rate: float) -> None:
        with self._lock:
            self.used_seconds += seconds
            self.used_cost += seconds * rate

    def exhausted_reason(self, seconds: float = 0.0, rate: float = 0.0) -> str:
        """Why no more may be spent, `seconds` of a try under way counted; empty when some may."""
        if self.seconds is not None and self.used_seconds + seconds >= self.seconds:
            return f"the video's budget of {self.seconds:g} s of engines' time is used up"
        if self.cost is not None and rate and self.used_cost + seconds * rate >= self.cost:
            return f"the video's budget of {self.cost:g} is used up"
        return ""


def why_nobody(engines: EngineSet, policy: str, job: SegmentJob) -> str:
    """Why `order_engines` is empty, in words for a person."""
    if job.is_redrawn and not job.allow_regeneration:
        return "its own picture would be redrawn, and the brief has no `allow_regeneration: true`"
    set_up = [e for e in engines.engines if e.can_render(job)]
    if policy == "api_only":
        set_up = [e for e in set_up if not e.local]
        if not set_up:
            return "the policy is api_only and no remote engine is set up (PYTOON_REMOTE_URL)"
    if not set_up:
        return "no engine that generates footage is set up (PYTOON_COMFYUI_URL, PYTOON_REMOTE_URL)"
    if policy == "local_only" and all(not e.local for e in set_up):
        return "the policy is local_only and only remote engines could make it"
    return "the engines that could are switched off (PYTOON_ENGINES_OFF, PYTOON_ENGINES_ONLY)"


@dataclass(frozen=True)
class ChosenFootage:
    """What came of a segment's tries."""

    engine: Engine
    footage: Footage | FinishedSegment
    tries: tuple[EngineAttempt, ...]
    degraded: bool
    used_fallback: bool


@contextmanager
def _watch_budget(
    engine: Engine,
    engines: EngineSet,
    budget: RenderBudget | None,
    progress: Progress,
    started: float,
) -> Iterator[Progress]:
    """Progress that ends a try whose budget is used up, by BudgetExhaustedError; the try's time is
    taken from the budget however it ends."""
    if budget is None or not engine.spends:
        yield progress
        return
    rate = engines.costs.get(engine.name, 0.0)
    reason = budget.exhausted_reason(rate=rate)
    if reason:
        raise BudgetExhaustedError(reason)

    def watch_progress(frames: int) -> None:
        over = budget.exhausted_reason(time.monotonic() - started, rate)
        if over:
            raise BudgetExhaustedError(over)
        progress(frames)

    try:
        yield watch_progress
    finally:
        budget.take(time.monotonic() - started, rate)


def obtain_footage(
    engines: EngineSet,
    policy: str,
    job: SegmentJob,
    finish: Callable[[Engine, Footage | FinishedSegment], None],
    media: Media,
    workdir: Path,
    progress: Progress,
    on_failure: Callable[[EngineAttempt], None] = lambda attempt: None,
    budget: RenderBudget | None = None,
) -> ChosenFootage:
    """Footage of a segment, carried through `finish`, from the first engine that manages it.

    Footage is a promise until its frames are drawn, so an engine counts as failed when finishing
    its footage raises an EngineError too. Every try is recorded. When all fail the last resort
    renders, and the segment is marked degraded; only its own failure is raised.
    """
    done: list[EngineAttempt] = []
    order = engines.order(policy, job)
    for place, engine in enumerate(order):
        for attempt in range(engines.tries):
            started = time.monotonic()
            try:
                with _watch_budget(engine, engines, budget, progress, started) as watched:
                    footage = engine.render(job, media, workdir, watched)
                    finish(engine, footage)
            except EngineError as error:
                # Without its traceback, whose frames hold pictures.
                seconds = time.monotonic() - started
                failed = EngineAttempt(engine.name, seconds, error.with_traceback(None))
                done.append(failed)
                on_failure(failed)
                if not failed.is_transient or attempt + 1 == engines.tries:
                    break
                engines.pause(min(8.0, 0.5 * 2**attempt))
            else:
                done.append(EngineAttempt(engine.name, time.monotonic() - started))
                return ChosenFootage(engine, footage, tuple(done), False, place > 0)
    if not order:
        done.append(EngineAttempt(NOBODY, 0.0, note=why_nobody(engines, policy, job)))
    started = time.monotonic()
    last = engines.last_resort
    footage = last.render(job, media, workdir, progress)
    finish(last, footage)
    done.append(EngineAttempt(last.name, time.monotonic() - started))
    return ChosenFootage(last, footage, tuple(done), True, True)
