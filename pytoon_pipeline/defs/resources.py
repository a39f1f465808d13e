"""Resources: the settings of this process, and what is opened by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from pytoon_pipeline.briefs.ledger import Ledger
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages.documents import SegmentRecord
from pytoon_pipeline.stages.reporter import Reporter

if TYPE_CHECKING:
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

    def create_resource(self, context: dg.InitResourceContext) -> Ledger:  # type: ignore[override]
        return Ledger(self.settings.load().ledger)


class ServicesResource(dg.ConfigurableResource):
    """Store, presets, fonts and engines."""

    settings: SettingsResource

    def create_resource(self, context: dg.InitResourceContext) -> Services:  # type: ignore[override]
        from pytoon_pipeline.stages.services import open_services

        return open_services(self.settings.load())


class LogReporter(Reporter):
    """Tells a run's log what happens inside the long steps."""

    def __init__(self, log: dg.DagsterLogManager):
        self._log = log

    def segment(self, key: str, record: SegmentRecord) -> None:
        how = "was in the store" if record.cached else f"took {record.seconds:.1f} s"
        degraded = ", degraded" if record.degraded else ""
        self._log.info(f"Segment {record.segment_id}: {record.engine}, {how}{degraded}")

    def retry(self, key: str, segment_id: str, engine: str, reason: str) -> None:
        self._log.warning(f"Segment {segment_id}: {engine} failed: {reason}")


class ReporterResource(dg.ConfigurableResource):
    """Where progress goes. The command line puts its own reporter in this place."""

    def create_resource(self, context: dg.InitResourceContext) -> Reporter:  # type: ignore[override]
        return LogReporter(context.log) if context.log else Reporter()


_SETTINGS = SettingsResource()

RESOURCES = {
    "settings": _SETTINGS,
    "ledger": LedgerResource(settings=_SETTINGS),
    "services": ServicesResource(settings=_SETTINGS),
    "reporter": ReporterResource(),
}
