"""How work tells of itself while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytoon_pipeline.engines.policy import EngineAttempt
    from pytoon_pipeline.errors import PytoonError
    from pytoon_pipeline.stages.documents import MetricsDocument, SegmentRecord


class Reporter:
    """Says nothing. Subclasses override what they want to hear; calls come from several threads."""

    def stage(self, key: str, stage: str) -> None:
        """A stage begins: render_spec, segments, assembled_video, quality, thumbnail, metrics."""

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        """So much is to be rendered."""

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        """So many more frames are done."""

    def segment(self, key: str, record: SegmentRecord) -> None:
        """A segment is finished."""

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        """An engine failed at a segment; it or the next one is tried."""

    def failed(self, key: str, error: PytoonError) -> None:
        """The brief ends here."""

    def finished(self, key: str, metrics: MetricsDocument) -> None:
        """The brief is done."""


class ForwardingReporter(Reporter):
    """Passes everything on to another."""

    def __init__(self, inner: Reporter):
        self._inner = inner

    def stage(self, key: str, stage: str) -> None:
        self._inner.stage(key, stage)

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        self._inner.segments(key, total_frames, segments)

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        self._inner.progress(key, segment_id, frames)

    def segment(self, key: str, record: SegmentRecord) -> None:
        self._inner.segment(key, record)

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        self._inner.retry(key, segment_id, attempt)

    def failed(self, key: str, error: PytoonError) -> None:
        self._inner.failed(key, error)

    def finished(self, key: str, metrics: MetricsDocument) -> None:
        self._inner.finished(key, metrics)
