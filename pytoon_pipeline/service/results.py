"""What `metrics.json` of a finished video says of it, for the answers of the API."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from pydantic import BaseModel, Field

from pytoon_pipeline.errors import Problem, StoreError
from pytoon_pipeline.service.documents import Checks
from pytoon_pipeline.store import ObjectNotFoundError, Store

METRICS_BYTES = 16_000_000
"""A larger `metrics.json` is not read: an ordinary one has some 100 KB."""
REMEMBERED = 2048
"""Results kept in memory."""


class _VerdictModel(BaseModel):
    name: str
    passed: bool
    severity: str
    message: str


class _VideoModel(BaseModel):
    used_fallback: bool
    degraded: bool
    frames: int = Field(ge=0, le=10**9)
    rate: int = Field(ge=1, le=1000)


class _MetricsModel(BaseModel):
    """The part of the document that is shown. Other fields may be of any version."""

    video: _VideoModel
    verdicts: list[_VerdictModel]


class UnreadableResultError(Exception):
    """The results of one job can't be told; `problem` says why. The job itself is not in doubt."""

    def __init__(self, problem: Problem):
        super().__init__(str(problem))
        self.problem = problem


class StoreAwayError(UnreadableResultError):
    """The store could not be asked: the next time it may answer."""


class ResultReader:
    """Reads results, and remembers what it could read. A failure is never remembered."""

    def __init__(self, store: Store):
        self._store = store
        self._known: OrderedDict[tuple[str, float], dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: str, updated: float) -> dict[str, Any]:
        """The fields of a job that `metrics.json` gives. `updated` is when the job was finished:
        a later render of the same key is read again. Raises UnreadableResultError."""
        with self._lock:
            found = self._known.get((key, updated))
            if found is not None:
                self._known.move_to_end((key, updated))
                return found
        found = self._read_metrics(key)
        with self._lock:
            self._known[key, updated] = found
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _read_metrics(self, key: str) -> dict[str, Any]:
        place = f"videos/{key}/metrics.json"
        try:
            stored = self._store.stat(place)
            if stored is None:
                raise UnreadableResultError(_result_problem("is not in the store any more"))
            if stored.bytes > METRICS_BYTES:
                raise UnreadableResultError(
                    _result_problem(f"has {stored.bytes} bytes, which is too large")
                )
            data = self._store.read_bytes(place)
        except ObjectNotFoundError:
            raise UnreadableResultError(_result_problem("is not in the store any more")) from None
        except (StoreError, OSError) as error:
            raise StoreAwayError(
                Problem(
                    "metrics.away",
                    "The store can't be read now, so the results are not shown.",
                    "Ask again later.",
                    "warning",
                    file="metrics.json",
                )
            ) from error
        try:
            metrics = _MetricsModel.model_validate_json(data)
        except ValueError as error:
            raise UnreadableResultError(
                _result_problem("is not a whole document of this version")
            ) from error
        bad = [v for v in metrics.verdicts if not v.passed]
        failed = [v for v in bad if v.severity == "error"]
        return {
            "used_fallback": metrics.video.used_fallback,
            "degraded": metrics.video.degraded,
            "seconds": metrics.video.frames / metrics.video.rate,
            "checks": Checks(
                passed=len(metrics.verdicts) - len(bad),
                failed=len(failed),
                warnings=len(bad) - len(failed),
                problems=[f"{v.name}: {v.message}" for v in bad],
            ),
        }


def _result_problem(what: str) -> Problem:
    return Problem(
        "metrics.unreadable",
        f"The results of this video can't be read: metrics.json {what}.",
        "Render the brief again.",
        file="metrics.json",
    )
