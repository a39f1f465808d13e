"""The end of a job, told to an address that its sender named."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pytoon_pipeline.errors import FetchRefusedError, PytoonError
from pytoon_pipeline.media.addresses import AddressGuard
from pytoon_pipeline.service.errors import ApiError
from pytoon_pipeline.service.jobs import JOBS, JobRow, JobStore, api_state, job_query, job_row

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("pytoon.service")

BACKOFF = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds before it is told again, after each failure; then it is given up."""
LEASE_SECONDS = 60.0
"""One who took a delivery has this long before another may take it."""
AT_ONCE = 4
MAXIMUM = 20
"""Deliveries taken up per look."""


def sign_body(secret: str, timestamp: str, body: bytes) -> str:
    """What `Pytoon-Signature` says of a body told at a Unix time."""
    said = timestamp.encode() + b"." + body
    return "sha256=" + hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()


def check_webhook(address: str, guard: AddressGuard, secret: str | None) -> None:
    """Raises ApiError 422 for an address that is told nothing."""
    if not address:
        return
    if not secret:
        raise ApiError(
            422,
            "webhook.secret",
            "This server tells nobody: it has no secret to sign with.",
            "Whoever runs it can set PYTOON_WEBHOOK_SECRET.",
        )
    try:
        guard.check(address)
    except FetchRefusedError as error:
        code = error.code.replace("media.", "webhook.")
        raise ApiError(422, code, error.message, error.remedy) from None


@dataclass
class WebhookDispatcher:
    """Tells the ends of jobs, in a thread of its own, until it is stopped."""

    jobs: JobStore
    describe: Callable[[JobRow], dict[str, Any]]
    """What GET /render/{id} says of a job."""
    secret: str | None
    client: Callable[[], httpx.Client]
    insist: Callable[[str], None]
    """Ends the run of a cancelled job."""
    backoff: Sequence[float] = BACKOFF
    pause: float = 1.0
    """Seconds between two looks."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def _run_loop(self) -> None:
        with self.client() as client, ThreadPoolExecutor(AT_ONCE) as pool:
            while not self._stop.wait(self.pause):
                try:
                    self._retry_due()
                    if self.secret:
                        list(
                            pool.map(lambda job: self._notify_owner(client, job), self._due_jobs())
                        )
                except Exception:
                    # Whatever is wrong with one look, the next may be well.
                    log.exception("webhooks could not be looked after")

    def _retry_due(self) -> None:
        for key in self.jobs.find_restarted():
            try:
                self.insist(key)
            except Exception:
                # A run that can't be ended now keeps no other, and no webhook, waiting.
                log.exception("the run of %s, which was cancelled, could not be ended", key)

    def _due_jobs(self) -> list[JobRow]:
        query = (
            job_query.where(
                JOBS.c.webhook_state == "waiting",
                JOBS.c.webhook_next <= self.jobs.ledger.now(),
                api_state.in_(["completed", "failed", "cancelled"]),
            )
            .order_by(JOBS.c.webhook_next)
            .limit(MAXIMUM)
        )
        with self.jobs.ledger.begin() as connection:
            return [job_row(r) for r in connection.execute(query)]

    def _notify_owner(self, client: httpx.Client, job: JobRow) -> None:
        if self._stop.is_set() or not self._claim_delivery(job):
            return
        if job.webhook_attempts > len(self.backoff):
            # Each of these tries ended the process, or its end could not be noted.
            log.error("webhook of job %s: given up, no try came to an end", job.id)
            self._note_delivery(job, webhook_state="given_up")
            return
        try:
            reason = self._post_job(client, job)
        except (PytoonError, OSError) as error:
            reason = str(error) or type(error).__name__
        except Exception as error:
            # Whatever it is, it counts as a try: else this delivery would be repeated for ever.
            log.exception("the webhook of job %s could not be made", job.id)
            reason = f"{type(error).__name__}: {error}"
        number = job.webhook_attempts + 1
        if not reason:
            self._note_delivery(job, webhook_state="delivered")
            return
        log.warning("webhook of job %s, try %d: %s", job.id, number, reason)
        if number > len(self.backoff):
            log.error("webhook of job %s: given up after %d tries", job.id, number)
            self._note_delivery(job, webhook_state="given_up")
        else:
            self._note_delivery(job, webhook_next=self.jobs.ledger.now() + self.backoff[number - 1])

    def _post_job(self, client: httpx.Client, job: JobRow) -> str:
        """Why it was not taken; empty when it was."""
        import httpx

        body = json.dumps(self.describe(job), ensure_ascii=False).encode()
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "pytoon",
            "Pytoon-Event": f"job.{job.state}",
            # The same on every try, so that whoever hears of it twice can tell.
            "Pytoon-Delivery": hashlib.sha256(f"{job.id}.{job.state}".encode()).hexdigest()[:32],
            "Pytoon-Timestamp": timestamp,
            "Pytoon-Signature": sign_body(self.secret or "", timestamp, body),
        }
        try:
            with client.stream("POST", job.webhook, content=body, headers=headers) as answer:
                return "" if answer.is_success else f"it answered {answer.status_code}"
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"

    def _claim_delivery(self, job: JobRow) -> bool:
        """Take a delivery, unless another server just did."""
        mine = (
            sa.update(JOBS)
            .where(
                JOBS.c.id == job.id,
                JOBS.c.webhook_state == "waiting",
                JOBS.c.webhook_next == job.webhook_next,
            )
            .values(
                webhook_next=self.jobs.ledger.now() + LEASE_SECONDS,
                webhook_attempts=job.webhook_attempts + 1,
            )
        )
        with self.jobs.ledger.begin() as connection:
            return bool(connection.execute(mine).rowcount)

    def _note_delivery(self, job: JobRow, **values: Any) -> None:
        with self.jobs.ledger.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.id == job.id).values(**values))
