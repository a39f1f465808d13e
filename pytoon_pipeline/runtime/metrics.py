"""All figures of an install as text: what was counted, and what Dagster, its daemon, the engines
and the store say when asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pytoon_pipeline.errors import PytoonError, StoreError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store
from pytoon_pipeline.telemetry import catalogue as c
from pytoon_pipeline.telemetry.prometheus import (
    GaugeValues,
    TimedQuestions,
    collect_gauges,
    ledger_gauges,
    render_text,
    store_answers,
)

if TYPE_CHECKING:
    import dagster as dg

    from pytoon_pipeline.engines.base import Engine

log = logging.getLogger("pytoon.figures")

_SEEN_SECONDS = 120.0
_ENGINES_EVERY = 30.0
"""Seconds that an engine's answer is good for: it costs a request to each of its servers."""


class MetricsReader:
    """Reads the figures of an install again and again. Never raises: a part that does not answer
    is said to be away, and its figures are left out."""

    def __init__(self, settings: Settings, patience: float | None = None):
        self._settings = settings
        self._patience = TimedQuestions() if patience is None else TimedQuestions(patience)
        self._instance: dg.DagsterInstance | None = None
        self._engines_asked = 0.0
        self._engines_said = GaugeValues()

    @cached_property
    def _open_ledger(self) -> Ledger:
        return Ledger(self._settings.ledger)

    def text(self) -> str:
        """Prometheus' text format."""
        parts: dict[str, Callable[[], GaugeValues]] = {
            "ledger": self._of_ledger,
            "store": self._of_store,
            "dagster": self._of_dagster,
        }
        networked = bool(self._settings.comfyui_urls or self._settings.remote_urls)
        if networked:
            parts["engines"] = self._of_engines
        answers = self._patience.ask(parts)
        own = GaugeValues()
        collect_gauges(self._settings, own)
        for part in ("ledger", "store", "dagster"):
            own.set(c.REACHABLE, part, value=part in answers)
        if networked:
            # What was heard last, where the engines take their time.
            answers.setdefault("engines", self._engines_said)
        return render_text([own, *answers.values()])

    def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.dispose()

    # Each of these is called in a thread of its own.

    def _of_ledger(self) -> GaugeValues:
        gauges = ledger_gauges(self._open_ledger)
        if self._settings.broker:
            with suppress(StoreError):
                gauges.set(c.WORKERS, value=_count_workers(self._open_ledger))
        return gauges

    def _of_store(self) -> GaugeValues:
        store = open_store(self._settings)
        store.patience = 0.0
        store_answers(store, self._settings)
        return GaugeValues()

    def _of_dagster(self) -> GaugeValues:
        from pytoon_pipeline.runtime.brief_runs import open_instance

        if self._instance is None:
            self._instance = open_instance(self._settings)
        try:
            return instance_gauges(self._instance)
        except Exception:
            self._instance = None  # Opened anew the next time: this one may be of no more use.
            raise

    @cached_property
    def _open_engines(self) -> list[Engine]:
        from pytoon_pipeline.stages.services import open_services

        engines = open_services(self._settings).engines
        return [e for e in engines.all() if e.name != "compositor" and e.name not in engines.off]

    def _of_engines(self) -> GaugeValues:
        if time.monotonic() - self._engines_asked > _ENGINES_EVERY or not self._engines_asked:
            said = GaugeValues()
            for engine in self._open_engines:
                said.set(c.ENGINE_UP, engine.name, value=engine.health().ok)
            self._engines_said, self._engines_asked = said, time.monotonic()
        return self._engines_said


def _count_workers(ledger: Ledger) -> int:
    """Processes whose runs on Celery were heard of lately."""
    import pytoon_pipeline.runtime.heartbeats  # noqa: F401 - names the table

    beats = METADATA.tables["run_beats"].c
    lately = ledger.now() - _SEEN_SECONDS
    with ledger.begin() as connection:
        return connection.execute(
            sa.select(sa.func.count(beats.process.distinct())).where(beats.seen > lately)
        ).scalar_one()


def instance_gauges(instance: dg.DagsterInstance) -> GaugeValues:
    """What Dagster's database knows of now."""
    import dagster as dg

    from pytoon_pipeline.dagster_private import InstigatorType

    gauges, status, now = GaugeValues(), dg.DagsterRunStatus, time.time()
    for name, statuses in (
        ("queued", [status.QUEUED]),
        ("starting", [status.NOT_STARTED, status.STARTING]),
        ("in_progress", [status.STARTED, status.CANCELING]),
    ):
        count = instance.get_runs_count(dg.RunsFilter(statuses=statuses))
        gauges.set(c.RUNS_NOW, name, value=count)
    for name, daemon in instance.get_daemon_statuses().items():
        if daemon.last_heartbeat is not None:
            age = max(0.0, now - daemon.last_heartbeat.timestamp)
            gauges.set(c.HEARTBEAT, name.lower(), value=age)
    for state in instance.all_instigator_state():
        if state.instigator_type == InstigatorType.SENSOR and state.is_running:
            last = getattr(state.instigator_data, "last_tick_timestamp", None)
            if last:
                gauges.set(c.TICK, state.instigator_name, value=max(0.0, now - last))
    return gauges


def format_metrics(settings: Settings) -> str:
    """All figures, once."""
    meter = MetricsReader(settings)
    try:
        return meter.text()
    finally:
        with suppress(PytoonError):
            meter.close()
