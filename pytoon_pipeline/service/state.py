"""What the calls of the API work with, and jobs as the documents that they answer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter
from fastapi import Request, Response

from pytoon_pipeline.briefs.bundle import BundleStore
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.media.addresses import AddressGuard as Addresses
from pytoon_pipeline.service.documents import (
    Job,
)
from pytoon_pipeline.service.errors import (
    ApiError,
    without_places,
)
from pytoon_pipeline.service.files import file_gone_error, file_response
from pytoon_pipeline.service.jobs import JobRow, JobStore, stop_dagster_run
from pytoon_pipeline.service.results import ResultReader, StoreAwayError, UnreadableResultError
from pytoon_pipeline.service.upload import UploadLimits
from pytoon_pipeline.service.webhooks import WebhookDispatcher
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import ObjectNotFoundError, Store, open_store

if TYPE_CHECKING:
    pass


log = logging.getLogger("pytoon.service")


class ServiceState:
    """What the calls work with."""

    def __init__(self, settings: Settings, limits: UploadLimits, allow_private: bool):
        self.settings, self.limits = settings, limits
        self.hosts = Addresses(
            settings.webhook_hosts, "PYTOON_WEBHOOK_HOSTS", allow_private=allow_private
        )
        self.store: Store = open_store(settings)
        self.ledger = Ledger(settings.ledger)
        parcels = BundleStore(self.store, settings.media_roots, settings.scratch)
        self.jobs = JobStore(
            self.ledger, settings.home / "jobs", parcels if self.store.shared else None
        )
        quick = open_store(settings)
        quick.patience = 0.0  # Whoever asks for a job is told at once that the store is away.
        self.results = ResultReader(quick)
        self.for_health = CapacityLimiter(2)

    def make_dispatcher(self, backoff: Sequence[float], pause: float) -> WebhookDispatcher:
        from pytoon_pipeline.media.client import open_client

        return WebhookDispatcher(
            self.jobs,
            self.describe_for_webhook,
            self.settings.webhook_secret,
            lambda: open_client(self.hosts, connect=5.0, silence=15.0, whole=30.0),
            lambda key: self.jobs.stop(key, self.stop_run),
            backoff,
            pause,
        )

    def stop_run(self, key: str) -> None:
        stop_dagster_run(self.settings, key)

    def _without_places(self, job: JobRow) -> JobRow:
        """The job with folders of this machine called by the settings that name them."""

        def without_paths(text: str) -> str:
            return without_places(text, self.settings)

        texts = ("message", "remedy", "file", "field")
        problems = []
        for p in job.problems:
            changed: dict[str, Any] = {
                n: without_paths(getattr(p, n)) for n in texts if isinstance(getattr(p, n), str)
            }
            problems.append(replace(p, **changed))
        return replace(job, error=without_paths(job.error), problems=tuple(problems))

    def describe(self, job: JobRow) -> Job:
        """What is known of a job. What can't be read of it is said in its `problems`."""
        return self.describe_all([job])[0]

    def describe_all(self, jobs: Sequence[JobRow]) -> list[Job]:
        """The same for several. A job that can't be described costs itself, no other; a store that
        does not answer is asked once."""
        described: list[Job] = []
        away: StoreAwayError | None = None
        for job in jobs:
            try:
                figures = self._result_fields(job, away)
                described.append(_job_document(self._without_places(job), **figures))
            except UnreadableResultError as error:
                log.warning("job %s: %s (%s)", job.id, error, error.__cause__ or "no other cause")
                away = error if isinstance(error, StoreAwayError) else away
                described.append(_job_document(self._without_places(job), error.problem))
            except Exception:
                log.exception("job %s can't be described", job.id)
                described.append(_undescribed_job(job))
        return described

    def describe_for_webhook(self, job: JobRow) -> dict[str, Any]:
        """What a webhook is told. Raises StoreAwayError, for it is told again, and with the results
        then."""
        try:
            document = _job_document(self._without_places(job), **self._result_fields(job))
        except UnreadableResultError as error:
            if isinstance(error, StoreAwayError):
                raise
            document = _job_document(self._without_places(job), error.problem)
        return document.model_dump(mode="json")

    def _result_fields(self, job: JobRow, away: StoreAwayError | None = None) -> dict[str, Any]:
        if job.state != "completed":
            return {}
        if away is not None:
            raise away
        return self.results.of(job.key, job.updated)

    def file(self, request: Request, job_id: str, name: str, kind: str) -> Response:
        job = self.jobs.get(job_id)
        if job.state != "completed":
            raise ApiError(
                409,
                "job.not_completed",
                f"The job is {job.state}.",
                "Ask GET /render/{job_id} until it is completed."
                if job.state in ("pending", "processing")
                else "It has no files.",
            )
        key = f"videos/{job.key}/{name}"
        try:
            path = self.store.local(key)
        except ObjectNotFoundError as error:
            raise file_gone_error() from error
        return file_response(request, path, kind, job.name + path.suffix)


def _job_document(job: JobRow, unreadable: Problem | None = None, **figures: Any) -> Job:
    """The answer's document of a job; `unreadable` is why its figures are lacking."""
    place = f"/render/{job.id}"
    done = job.state == "completed"
    links = {"self": place, "cancel": place}
    if done:
        links |= {n: f"{place}/{n}" for n in ("video", "thumbnail", "captions")}
    error = job.error if job.state == "failed" else ""
    if unreadable is not None and unreadable.severity == "error":
        error = unreadable.message
    problems = [*job.problems, *([unreadable] if unreadable else [])]
    return Job.model_validate(
        {
            "job_id": job.id,
            "state": job.state,
            "progress": 1.0 if done else min(1.0, max(0.0, job.progress)),
            "key": job.key or None,
            "campaign": job.campaign,
            "name": job.name,
            "error": error or None,
            "problems": [p.as_dict() for p in problems],
            "created": _format_time(job.created / 1e6),
            "updated": _format_time(job.updated),
            "run_id": job.run_id or None,
            "links": links,
            **figures,
        }
    )


def _undescribed_job(job: JobRow) -> Job:
    """A job whose row holds what can't be shown."""
    problem = Problem(
        "job.unreadable",
        "What is stored of this job can't be read.",
        "The log of the server says more; send the brief again.",
    )
    safe = replace(job, problems=(), progress=0.0, error="", created=0, updated=0.0)
    return _job_document(safe, problem)


def _format_time(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
