"""Metrics in Prometheus' text format: what was counted, and gauges that are looked up."""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pytoon_pipeline import RENDERER_VERSION, __version__
from pytoon_pipeline.intake.brief_state import OPEN
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import Store
from pytoon_pipeline.telemetry import catalogue as c
from pytoon_pipeline.telemetry.catalogue import COUNTED, MetricDefinition
from pytoon_pipeline.telemetry.counters import CounterValues, read_counters

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log = logging.getLogger("pytoon.figures")

_CAMPAIGNS = 50
_PATIENCE = 5.0
"""Seconds that a part may take to answer, of the ten that Prometheus gives."""


@dataclass
class GaugeValues:
    """Values that were looked up."""

    values: dict[MetricDefinition, dict[tuple[str, ...], float]] = field(default_factory=dict)
    counts: CounterValues | None = None
    """What was counted, where that was looked up."""

    def set(self, metric: MetricDefinition, *labels: str, value: float) -> None:
        """Set the value of a gauge for these labels."""
        assert metric.kind == "gauge" and len(labels) == len(metric.labels), metric.name
        self.values.setdefault(metric, {})[labels] = float(value)


class TimedQuestions:
    """Asks parts of the install that may not answer, each in a thread of its own, and waits
    `seconds` at most for all of them. A part that has not answered yet is not asked again."""

    def __init__(self, seconds: float = _PATIENCE):
        self.seconds = seconds
        self._asked: dict[str, tuple[threading.Thread, list[GaugeValues]]] = {}
        self._lock = threading.Lock()

    def ask(self, parts: Mapping[str, Callable[[], GaugeValues]]) -> dict[str, GaugeValues]:
        """Return what each part answered, of those that did in time. `parts`: name -> what asks
        it."""
        end = time.monotonic() + self.seconds
        with self._lock:
            for name, function in parts.items():
                if name not in self._asked or not self._asked[name][0].is_alive():
                    answer: list[GaugeValues] = []
                    thread = threading.Thread(
                        target=self._try_question, args=(name, function, answer), daemon=True
                    )
                    thread.start()
                    self._asked[name] = thread, answer
            asked = {name: self._asked[name] for name in parts}
        for thread, _ in asked.values():
            thread.join(max(0.0, end - time.monotonic()))
        return {name: answer[0] for name, (_, answer) in asked.items() if answer}

    @staticmethod
    def _try_question(
        name: str, function: Callable[[], GaugeValues], answer: list[GaugeValues]
    ) -> None:
        try:
            answer.append(function())
        except Exception as error:  # Whatever it is, the others are told all the same.
            log.warning("%s can't be asked for figures: %s", name, error)


# What the core knows -----------------------------------------------------------------------------


def collect_gauges(settings: Settings, gauges: GaugeValues) -> None:
    """Set the gauges of versions and of free room on this machine."""
    gauges.set(c.BUILD, __version__, RENDERER_VERSION, platform.python_version(), value=1)
    places = {"home": str(settings.home)}
    if "://" not in settings.store:
        places["store"] = settings.store
    for place, folder in places.items():
        free = _free_bytes(Path(folder).expanduser())
        if free is not None:
            gauges.set(c.FREE_BYTES, place, value=free)


def _free_bytes(folder: Path) -> int | None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def store_answers(store: Store, settings: Settings) -> bool:
    """Return True when the store can be used. Raises StoreError or OSError where it can't."""
    if "://" not in settings.store:
        folder = Path(settings.store).expanduser()
        # One that nothing was put in yet is made with the first object.
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(f"{folder} can't be written to")
        return True
    store.exists("documents/answers")
    return True


def ledger_gauges(ledger: Ledger) -> GaugeValues:
    """Return what was counted, and the gauges of briefs. Raises StoreError."""
    gauges = GaugeValues(counts=read_counters(ledger))
    briefs = METADATA.tables["known_briefs"].c
    now = ledger.now()
    shown = sa.case(
        (sa.and_(briefs.deleted > 0, briefs.state.not_in(OPEN)), "deleted"), else_=briefs.state
    ).label("shown_state")
    with ledger.begin() as connection:
        states = connection.execute(sa.select(shown, sa.func.count()).group_by("shown_state"))
        found = {state: count for state, count in states}
        recent = (
            sa.select(briefs.campaign)
            .group_by(briefs.campaign)
            .order_by(sa.func.max(briefs.updated).desc())
            .limit(_CAMPAIGNS)
        )
        campaigns = connection.execute(
            sa.select(briefs.campaign, shown, sa.func.count())
            .where(briefs.campaign.in_(recent))
            .group_by(briefs.campaign, "shown_state")
        ).all()
        wanted = connection.execute(
            sa.select(sa.func.count()).where(briefs.wanted != "", briefs.state != "requested")
        ).scalar_one()
        first = connection.execute(
            sa.select(sa.func.min(briefs.updated)).where(briefs.state == "requested")
        ).scalar_one()
    for state in (*c.STATES, *(s for s in found if s not in c.STATES)):
        gauges.set(c.BRIEFS, state, value=found.get(state, 0))
    for campaign, state, count in campaigns:
        gauges.set(c.CAMPAIGN_BRIEFS, campaign, state, value=count)
    gauges.set(c.WAITING, value=found.get("requested", 0) + wanted)
    gauges.set(c.OLDEST, value=max(0.0, now - first) if first is not None else 0)
    return gauges


# As text -----------------------------------------------------------------------------------------


def render_text(gauges: Sequence[GaugeValues]) -> str:
    """Return metrics in Prometheus' text format. Counters whose values are not known are left out:
    a counter that falls to zero would be taken for one that started again."""
    from prometheus_client import CollectorRegistry, generate_latest

    families = [
        f for some in gauges if some.counts is not None for f in _counted_metrics(some.counts)
    ]
    families += _gauge_metrics(gauges)

    class AllMetrics:
        def collect(self) -> list[Metric]:
            return families

    registry = CollectorRegistry(auto_describe=False)
    registry.register(AllMetrics())
    return generate_latest(registry).decode("utf-8")


def _counted_metrics(counts: CounterValues) -> Iterator[Metric]:
    from prometheus_client.core import (
        CounterMetricFamily,
        HistogramMetricFamily,
        SummaryMetricFamily,
    )

    for metric in COUNTED:
        rows = counts.get(metric.name, {})
        wide = len(metric.labels)
        keys = sorted({labels[:wide] for labels in rows} | set(metric.known))
        # One of another version has other labels.
        keys = [k for k in keys if len(k) == wide]
        if metric.kind == "counter":
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for key in keys:
                counter.add_metric(key, rows.get(key, 0.0))
            yield counter
        elif metric.kind == "histogram":
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for key in keys:
                fallen = {k[wide]: v for k, v in rows.items() if k[:wide] == key and len(k) > wide}
                total = fallen.pop("sum", 0.0)
                histogram.add_metric(key, _cumulative_buckets(metric.buckets, fallen), total)
            yield histogram
        else:
            summary = SummaryMetricFamily(metric.name, metric.help, labels=metric.labels)
            for key in keys:
                count, total = rows.get((*key, "count"), 0.0), rows.get((*key, "sum"), 0.0)
                summary.add_metric(key, int(count), total)
            yield summary


def _cumulative_buckets(
    buckets: Sequence[float], fallen: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Upper bound -> how many fell at or below it. What an earlier version counted under a bound
    that is no more goes to the next higher one."""
    parts = [(float(bound), count) for bound, count in fallen.items()]
    bounds = [*buckets, math.inf]
    names = [*(repr(float(b)) for b in buckets), "+Inf"]
    return [
        (name, sum(count for at, count in parts if at <= bound))
        for name, bound in zip(names, bounds, strict=True)
    ]


def _gauge_metrics(gauges: Iterable[GaugeValues]) -> list[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    found: dict[MetricDefinition, dict[tuple[str, ...], float]] = {}
    for some in gauges:
        for metric, values in some.values.items():
            found.setdefault(metric, {}).update(values)
    families: list[Metric] = []
    for metric in c.GAUGES:
        if metric in found:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in sorted(found[metric].items()):
                family.add_metric(labels, value)
            families.append(family)
    return families
