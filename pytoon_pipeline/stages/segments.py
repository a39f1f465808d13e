"""The stage `segments`: every segment rendered once, found again by the hash of what it is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pytoon_pipeline.engines.base import Engine, FinishedSegment, Footage
from pytoon_pipeline.engines.policy import (
    ChosenFootage,
    EngineAttempt,
    RenderBudget,
    obtain_footage,
)
from pytoon_pipeline.errors import (
    EngineError,
    EngineFailedError,
    FfmpegError,
    MediaError,
    PytoonError,
    RenderError,
)
from pytoon_pipeline.locks import lock_file
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.media.encode import encode_video
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.trace import TraceRecorder
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_fingerprint, segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.scratch import working_folder
from pytoon_pipeline.stages.documents import EngineTry, SegmentRecord, SegmentsDocument
from pytoon_pipeline.stages.finishing import SegmentFinishing
from pytoon_pipeline.stages.labelling import take_of
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.stages.traces import keep_trace
from pytoon_pipeline.store import ObjectNotFoundError
from pytoon_pipeline.store.reuse import touch_if_present


class SegmentsFailedError(RenderError):
    """Some segments of a video failed; those that are done are kept."""

    def __init__(self, key: str, failed: dict[str, str], done: list[SegmentRecord]):
        self.failed, self.done = failed, done
        lines = [f"{name}: {reason}" for name, reason in failed.items()]
        super().__init__(
            f"{key}: {len(failed)} of {len(failed) + len(done)} segments failed.\n"
            + "\n".join(lines)
            + "\nCorrect the cause and render again (in Dagster: materialize `segments`); what is "
            "finished is kept. `pytoon doctor` tries what a render needs."
        )


REMADE = "Its file in the store was damaged, and it was rendered again."
"""Note of a segment."""


@contextmanager
def open_workdir(services: Services) -> Iterator[Path]:
    """A folder for working files, gone afterwards."""
    with working_folder(services.settings.scratch, "render-") as folder:
        yield folder


def _claim_path(services: Services, fingerprint: str) -> Path:
    """Where the right to work on a segment lies: variants of a brief that are rendered side by side
    have most of theirs in common. There are 4096, whatever is rendered."""
    return services.settings.home / "claims" / fingerprint[:3]


def media_file(asset: Asset, services: Services) -> Path:
    """The local file of a medium. Raises RenderError where the store has no whole one."""
    try:
        return services.store.local(asset.key)
    except ObjectNotFoundError as error:
        raise RenderError(
            f"{asset.source}: the store has no whole copy of it any more. Render the brief again "
            "from its beginning, with the file in its folder: its files are taken into the store "
            "again (in Dagster: materialize `render_spec` and what follows)."
        ) from error


def media_of(job: SegmentJob, services: Services) -> dict[str, Path]:
    """The local files of a segment's media, by the ids of assets. Raises RenderError."""
    return {asset.id: media_file(asset, services) for asset in job.all_assets}


def encoding_look(services: Services) -> dict:
    """What of the encoder decides the bytes of a segment."""
    return {"x264": asdict(services.video_settings), "ffmpeg": ffmpeg.read_version()}


def render_segments(
    spec: Plan,
    services: Services,
    key: str,
    reporter: Reporter | None = None,
    *,
    fresh: bool = False,
) -> SegmentsDocument:
    """All segments of a plan, in threads, each cached and retried alone; with `fresh` none is
    taken from the store.

    Raises SegmentsFailedError when some can't be made even as a plain still; the others are in the
    store and are found there the next time."""
    reporter = reporter or Reporter()
    jobs = segment_jobs(spec, build_timeline(spec))
    reporter.segments(key, sum(j.count for j in jobs), len(jobs))
    done: dict[int, SegmentRecord] = {}
    failed: dict[str, str] = {}

    limits, settings = spec.constraints, services.settings
    budget = RenderBudget(
        seconds=limits.max_engine_seconds or settings.budget_seconds,
        cost=settings.budget_cost if limits.max_cost is None else limits.max_cost,
    )

    def render_one(job: SegmentJob, folder: Path) -> SegmentRecord:
        return render_segment(
            job, services, spec.engine_policy, key, reporter, folder, fresh=fresh, budget=budget
        )

    with open_workdir(services) as folder, ThreadPoolExecutor(services.settings.workers) as pool:
        futures = []
        for i, job in enumerate(jobs):
            own = folder / f"{i:02d}"
            own.mkdir()
            futures.append(pool.submit(render_one, job, own))
        for i, (job, future) in enumerate(zip(jobs, futures, strict=True)):
            try:
                done[i] = future.result()
            except PytoonError as error:
                failed[job.segment_id] = str(error)
            except BaseException:  # a person, or the build system, wants it to stop
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    if failed:
        raise SegmentsFailedError(key, failed, [done[i] for i in sorted(done)])
    # A video with a part missing must never pass for whole.
    if len(done) != len(spec.segments):
        raise RenderError(f"{len(done)} segments came out of a plan of {len(spec.segments)}.")
    return SegmentsDocument(segments=[done[i] for i in range(len(jobs))])


def render_segment(
    job: SegmentJob,
    services: Services,
    policy: str,
    key: str,
    reporter: Reporter,
    folder: Path,
    *,
    fresh: bool = False,
    budget: RenderBudget | None = None,
) -> SegmentRecord:
    """One segment, from the store or by the engines of a policy, its working files in `folder`.

    Its media are to be in the store. Raises RenderError when not even the last resort made it.
    """
    return _SegmentRender(job, services, policy, key, reporter, folder, fresh, budget).run()


class _SegmentRender:
    """The render of one segment: what is known of it, and how far it is."""

    def __init__(
        self,
        job: SegmentJob,
        services: Services,
        policy: str,
        key: str,
        reporter: Reporter,
        folder: Path,
        fresh: bool,
        budget: RenderBudget | None,
    ):
        self.job, self.services, self.policy, self.key = job, services, policy, key
        self.reporter, self.folder, self.fresh, self.budget = reporter, folder, fresh, budget
        self.media = media_of(job, services)
        self.finishing = SegmentFinishing(job, services.fonts, self.media)
        self.look = {**self.finishing.look(), **encoding_look(services)}
        self.engines = services.engines.order(policy, job)
        self.drawn = 0
        """Frames that were reported of the attempt that goes on."""
        self.failed: list[EngineAttempt] = []

    def run(self) -> SegmentRecord:
        """The segment's record, once it is in the store."""
        started = time.monotonic()
        first = self.engines[0] if self.engines else self.services.engines.last_resort
        claim = _claim_path(self.services, self.fingerprint_by(first))
        try:
            with lock_file(claim, lambda: self.report_progress(0)):
                record = None if self.fresh else self.find_ready()
                if record is not None:
                    return record
                chosen = obtain_footage(
                    self.services.engines,
                    self.policy,
                    self.job,
                    self.finish_footage,
                    self.media,
                    self.folder,
                    self.report_progress,
                    self.note_failure,
                    self.budget,
                )
        except EngineError as error:
            last = self.services.engines.last_resort.name
            reasons = [f"{attempt.engine}: {attempt.reason}" for attempt in self.failed]
            message = "\n".join([*reasons, f"{last} (the last resort): {error}"])
            raise RenderError(message) from error
        record = self.make_record(chosen, time.monotonic() - started)
        self.reporter.segment(self.key, record)
        return record

    def fingerprint_by(self, engine: Engine) -> str:
        """The segment's name in the store where this engine makes it."""
        return segment_fingerprint(self.job, self.look, engine.inputs(self.job))

    def find_ready(self) -> SegmentRecord | None:
        """The segment as the best engine that has made it before did."""
        job = self.job
        for rank, engine in enumerate(self.engines):
            fingerprint = self.fingerprint_by(engine)
            if touch_if_present(self.services.store, _segment_location(fingerprint)):
                record = SegmentRecord(
                    segment_id=job.segment_id,
                    fingerprint=fingerprint,
                    key=_segment_location(fingerprint),
                    engine=engine.name,
                    frames=job.count,
                    seconds=0,
                    cached=True,
                    used_fallback=rank > 0,
                    take=take_of(engine, job),
                )
                self.reporter.progress(self.key, job.segment_id, job.count)
                self.reporter.segment(self.key, record)
                return record
        return None

    def report_progress(self, frames: int) -> None:
        self.drawn += frames
        self.reporter.progress(self.key, self.job.segment_id, frames)

    def note_failure(self, attempt: EngineAttempt) -> None:
        """An engine failed: its frames don't count any more."""
        self.failed.append(attempt)
        self.reporter.progress(self.key, self.job.segment_id, -self.drawn)
        self.drawn = 0
        self.reporter.retry(self.key, self.job.segment_id, attempt)

    def finish_footage(self, engine: Engine, footage: Footage | FinishedSegment) -> None:
        """Puts a segment into the store. Raises EngineFailedError where it is not as planned."""
        job, store = self.job, self.services.store
        path = self.folder / "segment.mp4"
        recorder = TraceRecorder()
        _write_segment_file(job, footage, self.finishing, self.services, path, recorder)
        frames = probe_media(path).frames
        if frames != job.count:
            raise EngineFailedError(f"{engine.name} gave {frames} frames of {job.count}")
        fingerprint = self.fingerprint_by(engine)
        # What another machine finished has no trace of its drawing: the linker takes it then.
        if len(recorder.trace.luma):
            keep_trace(store, fingerprint, recorder.trace)
        # Of two machines that made it side by side the first one's stays: videos refer to it.
        store.put(_segment_location(fingerprint), path, once=not self.fresh, move=True)

    def make_record(self, chosen: ChosenFootage, seconds: float) -> SegmentRecord:
        """What is known of the segment that was made."""
        job, fingerprint = self.job, self.fingerprint_by(chosen.engine)
        notes = list(chosen.footage.notes)
        if self.services.store.damaged.pop(_segment_location(fingerprint), None):
            notes.append(REMADE)
        return SegmentRecord(
            segment_id=job.segment_id,
            fingerprint=fingerprint,
            key=_segment_location(fingerprint),
            engine=chosen.engine.name,
            frames=job.count,
            seconds=round(seconds, 3),
            cached=False,
            degraded=chosen.degraded,
            used_fallback=chosen.used_fallback,
            notes=notes,
            take=None if chosen.degraded else take_of(chosen.engine, job),
            tries=[
                EngineTry(engine=t.engine, seconds=round(t.seconds, 3), reason=t.reason)
                for t in chosen.tries
            ],
        )


def _segment_location(fingerprint: str) -> str:
    """The key of a segment file in the store."""
    return f"segments/{fingerprint}.mp4"


def _write_segment_file(
    job: SegmentJob,
    footage: Footage | FinishedSegment,
    finishing: SegmentFinishing,
    services: Services,
    path: Path,
    recorder: TraceRecorder,
) -> None:
    """Footage to a segment file. What fails here is the engine's fault or the encoder's, and the
    policy decides what is tried next."""
    if isinstance(footage, FinishedSegment):
        shutil.move(footage.path, path)
        return
    try:
        encode_video(
            recorder.follow(finishing.over(footage)),
            path,
            size=(job.width, job.height),
            rate=job.rate,
            count=job.count,
            keyframes=job.span.keyframes,
            settings=services.video_settings,
        )
    except FfmpegError as error:
        # A killed or starved encoder may work the next time; a refused option never will.
        killed = error.returncode is not None and error.returncode < 0
        raise EngineFailedError("the encoder failed", error.log_tail, transient=killed) from error
    except MediaError as error:
        raise EngineFailedError(str(error)) from error
