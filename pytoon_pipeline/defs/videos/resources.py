"""Resources: the settings of this process, and what is opened by them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from pytoon_pipeline.defs.videos.failures import PROGRESS
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.interrupts import raise_if_interrupted
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages.documents import SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.telemetry.logs import retry_fields, segment_fields

if TYPE_CHECKING:
    from pytoon_pipeline.engines.policy import EngineAttempt
    from pytoon_pipeline.stages.services import Services
else:
    # Dagster resolves annotations at import; the real class would bring OpenCV and PyAV in.
    Services = Any


class SettingsResource(dg.ConfigurableResource):
    """Settings from the environment (`PYTOON_...`); what is set here wins over it."""

    home: str | None = None
    store: str | None = None
    briefs_dir: str | None = None
    presets_dir: str | None = None

    def load(self) -> Settings:
        """Raises SettingsError naming the variable that can't be used."""
        settings = load_settings()
        if self.home:
            home = Path(self.home).expanduser().absolute()
            beside = settings.store == str(settings.home / "store")
            store = str(home / "store") if beside else settings.store
            settings = replace(settings, home=home, store=store)
        if self.store:
            settings = replace(settings, store=self.store)
        if self.briefs_dir:
            settings = replace(settings, briefs_dir=Path(self.briefs_dir).expanduser().absolute())
        if self.presets_dir:
            settings = replace(settings, presets_dir=Path(self.presets_dir).expanduser().absolute())
        return settings


class LedgerResource(dg.ConfigurableResource):
    """The ledger of briefs."""

    settings: SettingsResource

    def create_resource(self, context: dg.InitResourceContext) -> Ledger:
        return Ledger(self.settings.load().ledger)


class ServicesResource(dg.ConfigurableResource):
    """Store, presets, fonts and engines."""

    settings: SettingsResource

    def create_resource(self, context: dg.InitResourceContext) -> Services:
        from pytoon_pipeline.stages.services import open_services

        return open_services(self.settings.load())


class RunReporter(Reporter):
    """Tells a run's log what happens inside the long steps, and the ledger how far they are. Ends
    them when the run's process is asked to end: Dagster itself only reaches its main thread."""

    EVERY = 1.0
    """Seconds between two notes of the progress."""

    def __init__(self, log: dg.DagsterLogManager, ledger: Ledger):
        self._log, self._ledger = log, ledger
        self._lock = threading.Lock()
        self._frames = self._done = 0
        self._noted = time.monotonic()

    def segments(self, key: str, total_frames: int, segments: int) -> None:
        with self._lock:
            self._frames, self._done = total_frames, 0

    def progress(self, key: str, segment_id: str, frames: int) -> None:
        raise_if_interrupted()
        with self._lock:
            self._done += frames
            now = time.monotonic()
            if now - self._noted < self.EVERY or not self._frames:
                return
            self._noted = now
            share = min(1.0, self._done / self._frames)
        first, last = PROGRESS["segments"], PROGRESS["assembled_video"]
        self._ledger.note(key, progress=round(first + (last - first) * share, 3))

    def segment(self, key: str, record: SegmentRecord) -> None:
        how = "was in the store" if record.cached else f"took {record.seconds:.1f} s"
        degraded = ", degraded" if record.degraded else ""
        self._log.info(
            f"Segment {record.segment_id}: {record.engine}, {how}{degraded}",
            extra={"fields": {"stage": "segments", **segment_fields(record)}},
        )

    def retry(self, key: str, segment_id: str, attempt: EngineAttempt) -> None:
        self._log.warning(
            f"Segment {segment_id}: {attempt.engine} failed: {attempt.reason}",
            extra={
                "fields": {
                    "stage": "segments",
                    **retry_fields(segment_id, attempt.engine, attempt.reason),
                }
            },
        )


class ReporterResource(dg.ConfigurableResource):
    """Where progress goes. The command line puts its own reporter in this place."""

    settings: SettingsResource

    def create_resource(self, context: dg.InitResourceContext) -> Reporter:
        if context.log is None:
            return Reporter()
        return RunReporter(context.log, Ledger(self.settings.load().ledger))


_SETTINGS = SettingsResource()

RESOURCES = {
    "settings": _SETTINGS,
    "ledger": LedgerResource(settings=_SETTINGS),
    "services": ServicesResource(settings=_SETTINGS),
    "reporter": ReporterResource(settings=_SETTINGS),
}
