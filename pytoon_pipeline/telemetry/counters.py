"""Counters that many short-lived processes on many machines add to: a table in the ledger's
database. They only ever grow, and no process holds any."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Mapping
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.telemetry.catalogue import COUNTED, METRICS, MetricDefinition

log = logging.getLogger("pytoon.figures")

_COUNTERS_TABLE = sa.Table(
    "figures",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("labels", sa.Text, primary_key=True),
    sa.Column("value", sa.Float, nullable=False, default=0.0),
)
"""`labels` is a JSON list of their values in the metric's order; after these, for a histogram or
summary, what the row holds: a bucket's upper bound (of which only those that fell between it and
the one below are counted here), or `sum`, or `count`."""

_Row = tuple[str, str]
_ROWS_AT_ONCE = 200


class CounterBatch:
    """Counts of one piece of work, not written yet. Safe to use from several threads."""

    def __init__(self) -> None:
        self._rows: dict[_Row, float] = {}
        self._lock = threading.Lock()

    def add(self, metric: MetricDefinition, *labels: str, amount: float = 1.0) -> None:
        """Add to a counter."""
        assert metric.kind == "counter" and len(labels) == len(metric.labels), metric.name
        with self._lock:
            self._add_amount(metric, labels, amount)

    def observe(self, metric: MetricDefinition, *labels: str, seconds: float) -> None:
        """Add to a histogram or summary. A clock that was set back counts as no time."""
        assert metric.kind in ("histogram", "summary") and len(labels) == len(metric.labels)
        seconds = max(0.0, seconds)
        with self._lock:
            if metric.kind == "histogram":
                bound = next((b for b in metric.buckets if seconds <= b), math.inf)
                self._add_amount(metric, (*labels, _format_bound(bound)), 1.0)
            else:
                self._add_amount(metric, (*labels, "count"), 1.0)
            self._add_amount(metric, (*labels, "sum"), seconds)

    def _add_amount(self, metric: MetricDefinition, labels: tuple[str, ...], amount: float) -> None:
        if amount > 0:
            row = metric.name, json.dumps(labels, ensure_ascii=False)
            self._rows[row] = self._rows.get(row, 0.0) + amount

    def take(self) -> dict[_Row, float]:
        """Return what was counted since the last call, and empty the batch."""
        with self._lock:
            rows, self._rows = self._rows, {}
            return rows


def _format_bound(value: float) -> str:
    return "+Inf" if math.isinf(value) else repr(value)


def write_counters(ledger: Ledger, tally: CounterBatch) -> bool:
    """Add what a batch holds to the table, all of it or nothing, and empty it. Counting never fails
    the work that is counted: where the database can't be used, this is logged and False is
    returned."""
    rows = tally.take()
    if not rows:
        return True
    try:
        _make_table(ledger)
        # Not tried again where nobody knows whether it was done: nothing is counted twice.
        ledger.run_transaction(lambda connection: _add_rows(connection, rows))
    except (StoreError, SQLAlchemyError) as error:
        log.warning("What was done could not be counted: %s", error)
        return False
    return True


_MADE: WeakSet[Ledger] = WeakSet()
"""Ledgers whose database is known to have the table: one may have been opened before this module
was imported."""


def _make_table(ledger: Ledger) -> None:
    if ledger in _MADE:
        return
    try:
        ledger.run_transaction(
            lambda connection: connection.execute(CreateTable(_COUNTERS_TABLE, if_not_exists=True)),
            again=True,
        )
    except (StoreError, SQLAlchemyError):
        # PostgreSQL objects when two make it at the same moment; then it is there.
        with ledger.begin() as connection:
            connection.execute(sa.select(_COUNTERS_TABLE).limit(1))
    _MADE.add(ledger)


def _add_rows(connection: sa.Connection, rows: Mapping[_Row, float]) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    # In the same order everywhere, so that two that write at once never wait for each other.
    values = [
        {"name": name, "labels": labels, "value": amount}
        for (name, labels), amount in sorted(rows.items())
    ]
    for start in range(0, len(values), _ROWS_AT_ONCE):
        wanted = insert(_COUNTERS_TABLE).values(values[start : start + _ROWS_AT_ONCE])
        connection.execute(
            wanted.on_conflict_do_update(
                index_elements=[_COUNTERS_TABLE.c.name, _COUNTERS_TABLE.c.labels],
                set_={"value": _COUNTERS_TABLE.c.value + wanted.excluded.value},
            )
        )


CounterValues = dict[str, dict[tuple[str, ...], float]]
"""Metric -> labels, with what the row holds last where there is such a thing -> value."""


def read_counters(ledger: Ledger) -> CounterValues:
    """Return all that was ever counted. Raises StoreError."""
    _make_table(ledger)
    found: CounterValues = {metric.name: {} for metric in COUNTED}
    with ledger.begin() as connection:
        for name, labels, value in connection.execute(sa.select(_COUNTERS_TABLE)):
            # A metric of another version is nobody's here.
            if name in found and METRICS[name].kind != "gauge":
                try:
                    found[name][tuple(json.loads(labels))] = float(value)
                except (ValueError, TypeError, RecursionError):
                    log.warning("a count of %s can't be read and is left out", name)
    return found
