"""What is seen of renders while they go on: a live line on a terminal, plain lines elsewhere, or
JSON log lines."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from pytoon_pipeline.cli.terminal import make_visible
from pytoon_pipeline.interrupts import InterruptFlag
from pytoon_pipeline.stages.documents import SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.telemetry.logs import retry_fields, segment_fields

if TYPE_CHECKING:
    from pytoon_pipeline.engines.policy import EngineAttempt

log = logging.getLogger("pytoon.render")

STAGES = {
    "render_spec": "compile",
    "segments": "segments",
    "assembled_video": "assemble",
    "quality": "check",
    "thumbnail": "thumbnail",
    "metrics": "check",
}
"""Stage -> what it is called here. The metrics hold the verdicts: whichever of the two comes first
measures the file."""


@dataclass
class BriefProgress:
    """How far one brief is."""

    began: float
    stage: str = ""
    since: float = 0.0
    """When the stage began."""
    spent: dict[str, float] = field(default_factory=dict)
    """Stage -> seconds, of the stages that are over."""
    frames: int = 0
    done: int = 0
    rendered: int = 0
    """Frames done that were not found ready."""
    segments: int = 0
    ready: int = 0
    rendering_since: float | None = None

    def enter(self, stage: str, now: float) -> None:
        if self.stage:
            self.spent[self.stage] = self.spent.get(self.stage, 0.0) + now - self.since
        self.stage, self.since = stage, now

    def fps(self, now: float) -> float | None:
        """Frames rendered per second since the first came."""
        if self.rendering_since is None or now - self.rendering_since < 0.5:
            return None
        return self.rendered / (now - self.rendering_since)


class ProgressWatch(Reporter):
    """Keeps count of the brief at work. Calls come from several threads; where the process was
    asked to stop, they raise KeyboardInterrupt, so that no thread renders on."""

    def __init__(self) -> None:
        self.work: dict[str, BriefProgress] = {}
        self.lock = threading.RLock()
        self.sign = InterruptFlag()

    def __enter__(self) -> ProgressWatch:
        self.sign.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.sign.__exit__()

    def begin(self, name: str, place: str = "") -> None:
        """A brief is taken up. `place` says which one of how many."""

    def end(self, key: str) -> BriefProgress:
        """A brief is over, well or not; what is known of it."""
        with self.lock:
            work = self._progress_of(key)
            work.enter("", time.monotonic())
            return work

    def _progress_of(self, key: str) -> BriefProgress:
        return self.work.setdefault(key, BriefProgress(began=time.monotonic()))

    def stage(self, key: str, stage: str) -> None:
        self.sign.heed()
        with self.lock:
            self._progress_of(key).enter(stage, time.monotonic())

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        with self.lock:
            work = self._progress_of(key)
            work.frames, work.segments = total_frames, segments

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        self.sign.heed()
        with self.lock:
            work = self._progress_of(key)
            work.done += frames
            work.rendered += frames
            if work.rendering_since is None:
                work.rendering_since = time.monotonic()

    def segment(self, key: str, record: SegmentRecord) -> None:
        with self.lock:
            work = self._progress_of(key)
            work.ready += 1
            if record.cached:
                # Its frames came in one go; they say nothing of how fast frames are rendered.
                work.rendered -= record.frames

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        # Ctrl-C on a terminal ends ffmpeg too; that is no fault of an engine's.
        self.sign.heed()


def said_of(record: SegmentRecord) -> str:
    """A finished segment in a line."""
    if record.cached:
        return f"segment {record.segment_id}: unchanged, {record.frames} frames"
    marks = ", degraded" if record.degraded else ", fallback" if record.used_fallback else ""
    return (
        f"segment {record.segment_id}: {record.frames} frames in {record.seconds:.1f} s"
        f" ({record.engine}{marks})"
    )


class LineWatch(ProgressWatch):
    """Plain lines, without times of day, so that two logs of the same work are alike."""

    def __init__(self, to: Console, quiet: bool, verbose: bool):
        super().__init__()
        self.to, self.quiet, self.verbose = to, quiet, verbose

    def _print_line(self, key: str, text: str) -> None:
        if not self.quiet:
            self.to.print(Text(make_visible(f"{key}: {text}")), soft_wrap=True)

    def stage(self, key: str, stage: str) -> None:
        super().stage(key, stage)
        if stage in ("render_spec", "assembled_video", "quality") or self.verbose:
            self._print_line(key, STAGES.get(stage, stage))

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        super().segments(key, total_frames, segments)
        self._print_line(key, f"render {segments} segments, {total_frames} frames")

    def segment(self, key: str, record: SegmentRecord) -> None:
        super().segment(key, record)
        self._print_line(key, said_of(record))

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        super().retry(key, segment_id, attempt)
        self._print_line(
            key, f"segment {segment_id}: {attempt.engine} failed: {attempt.first_line}"
        )


def _text_column(text: str, style: str = "", **column: Any) -> TextColumn:
    made = Column(no_wrap=True, **column)
    return TextColumn(text, style=style or "none", markup=False, table_column=made)


class LiveWatch(ProgressWatch):
    """One line on a terminal: which brief, what is done to it, how far, how fast."""

    def __init__(self, to: Console, verbose: bool):
        super().__init__()
        self.to, self.verbose = to, verbose
        self.bar = Progress(
            SpinnerColumn(style="cyan"),
            _text_column("{task.description}", max_width=34, overflow="ellipsis"),
            _text_column("{task.fields[stage]}", style="cyan", min_width=9),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            _text_column("{task.fields[frames]}", justify="right"),
            _text_column("{task.fields[rate]}", justify="right", min_width=5),
            _text_column("{task.fields[parts]}", justify="right"),
            console=to,
            transient=True,
            refresh_per_second=8,
            expand=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> LiveWatch:
        super().__enter__()
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        super().__exit__()

    def begin(self, name: str, place: str = "") -> None:
        label = f"{name} ({place})" if place else name
        self.task = self.bar.add_task(
            make_visible(label), total=None, stage="start", frames="", rate="", parts=""
        )

    def end(self, key: str) -> BriefProgress:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
            # What is printed next must not carry the line of this brief along.
            self.bar.refresh()
        return super().end(key)

    def _update_row(self, key: str) -> None:
        if self.task is None:
            return
        work = self.work[key]
        fields: dict[str, Any] = {"stage": STAGES.get(work.stage, work.stage) or "start"}
        if work.frames:
            fps = work.fps(time.monotonic())
            fields["rate"] = f"{fps:.0f}/s" if fps and work.stage == "segments" else ""
            fields["frames"] = f"{max(0, work.done)}/{work.frames} frames"
            fields["parts"] = f"{work.ready}/{work.segments} segments"
            # One more than there are, so that the spinner turns until the brief is over.
            self.bar.update(self.task, total=work.frames + 1, completed=max(0, work.done), **fields)
        else:
            self.bar.update(self.task, **fields)

    def _print_line(self, text: str) -> None:
        self.to.print(Text(make_visible(text), "dim"), soft_wrap=True)

    def stage(self, key: str, stage: str) -> None:
        with self.lock:
            super().stage(key, stage)
            self._update_row(key)

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        with self.lock:
            super().segments(key, total_frames, segments)
            self._update_row(key)

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        with self.lock:
            super().progress(key, segment_id, frames)
            self._update_row(key)

    def segment(self, key: str, record: SegmentRecord) -> None:
        with self.lock:
            super().segment(key, record)
            self._update_row(key)
        if self.verbose:
            self._print_line(f"{key}: {said_of(record)}")

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        super().retry(key, segment_id, attempt)
        self._print_line(
            f"{key}: segment {segment_id}: {attempt.engine} failed: {attempt.first_line}"
        )


class LogWatch(ProgressWatch):
    """Log records with fields, for `PYTOON_LOG=json`. The run's own logger says how it begins, goes
    from stage to stage, and ends."""

    def _write_record(
        self, key: str, message: str, fields: dict[str, Any], level: int = logging.INFO
    ) -> None:
        campaign, slash, _ = key.partition("/")
        about = {"partition": key, "campaign": campaign if slash else None, "stage": "segments"}
        log.log(level, message, extra={"fields": {**about, **fields}})

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        super().segments(key, total_frames, segments)
        self._write_record(
            key, "segments to render", {"frames": total_frames, "segments": segments}
        )

    def segment(self, key: str, record: SegmentRecord) -> None:
        super().segment(key, record)
        self._write_record(key, "segment finished", segment_fields(record))

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        super().retry(key, segment_id, attempt)
        self._write_record(
            key,
            f"{attempt.engine} failed: {attempt.reason}",
            retry_fields(segment_id, attempt.engine, attempt.reason),
            logging.WARNING,
        )


def open_watch(to: Console, *, log_format: str, quiet: bool, verbose: bool) -> ProgressWatch:
    """The fitting way to show work going on."""
    if log_format == "json":
        return LogWatch()
    if to.is_terminal and not to.is_dumb_terminal and not quiet:
        return LiveWatch(to, verbose)
    return LineWatch(to, quiet, verbose)
