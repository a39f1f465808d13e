"""Jobs: briefs that came over HTTP. What becomes of one is in the ledger, under its key; here is
what only the API knows of it."""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import IntegrityError

from pytoon_pipeline.briefs.bundle import BriefBundle, BundleStore
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.durable import sync_folder, sync_tree
from pytoon_pipeline.errors import Problem, PytoonError, StoreError, UserError
from pytoon_pipeline.intake.brief_state import OPEN, BriefState
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import read_problems
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.service.documents import (
    CURSOR_PATTERN,
    ID_PATTERN,
    RenderRequest,
    State,
)
from pytoon_pipeline.service.errors import ApiError
from pytoon_pipeline.service.request import AcceptedRequest
from pytoon_pipeline.service.upload import UploadLimits, read_json
from pytoon_pipeline.settings import Settings

log = logging.getLogger("pytoon.service")

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, default="", index=True),
    sa.Column("created", sa.BigInteger, nullable=False, index=True),
    sa.Column("campaign", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("cancelled", sa.Float, nullable=False, default=0.0, index=True),
    sa.Column("owner", sa.Text, nullable=False, default=""),
    sa.Column("idempotency_key", sa.Text, nullable=True),
    sa.Column("body_hash", sa.Text, nullable=False, default=""),
    sa.Column("webhook", sa.Text, nullable=False, default=""),
    sa.Column("webhook_state", sa.Text, nullable=False, default="", index=True),
    sa.Column("webhook_attempts", sa.Integer, nullable=False, default=0),
    sa.Column("webhook_next", sa.Float, nullable=False, default=0.0),
    sa.UniqueConstraint("owner", "idempotency_key"),
)
"""`created` in microseconds of Unix time; `request` is the request's file, which tells a job's
brief from another that took its key over; `cancelled` is when that was asked for, or 0."""
_BRIEFS = METADATA.tables["known_briefs"]

IDEMPOTENCY_SECONDS = 24 * 3600.0
STALE_SECONDS = 24 * 3600.0
"""A folder of a request that never ended is removed when it is this old."""
INSISTING_SECONDS = 60.0
"""A run that comes up this long after its job was cancelled is cancelled, too."""

STATES: Mapping[BriefState, State] = {
    BriefState.NEW: "pending",
    BriefState.REQUESTED: "pending",
    BriefState.RUNNING: "processing",
    BriefState.DONE: "completed",
    BriefState.REFUSED: "failed",
    BriefState.FAILED: "failed",
    BriefState.CANCELLED: "cancelled",
}
"""State of the ledger -> state of the API."""

api_state = sa.case(
    # A run that is stopped from outside may note that it failed.
    (
        sa.and_(
            _BRIEFS.c.state.in_([BriefState.NEW, BriefState.FAILED]),
            JOBS.c.cancelled > _BRIEFS.c.updated - INSISTING_SECONDS,
        ),
        "cancelled",
    ),
    *((_BRIEFS.c.state == was, state) for was, state in STATES.items()),
    else_="pending",
)


@dataclass(frozen=True)
class JobRow:
    """A job as it stands."""

    id: str
    key: str
    """Empty for a moment, until the ledger knows it."""
    created: int
    campaign: str
    name: str
    state: str
    """Of the API."""
    error: str
    problems: tuple[Problem, ...]
    """What is wrong with the brief, when it is refused."""
    progress: float
    run_id: str
    updated: float
    webhook: str
    webhook_state: str
    """`waiting`, `delivered`, `given_up`, or empty where there is none."""
    webhook_attempts: int
    webhook_next: float
    """Unix time, not before which it is tried (again)."""

    @property
    def cursor(self) -> str:
        return f"{self.created}.{self.id}"


class JobStore:
    """The table of jobs and the folders of their requests. Safe to use from several threads and
    processes. Raises StoreError when the table or a folder can't be used.

    With `parcels`, of a store that machines share, a request is packed into it before it becomes a
    job: any machine can render it, and of its folder here only `request.json` stays.
    """

    def __init__(self, ledger: Ledger, folder: Path, parcels: BundleStore | None = None):
        self.ledger, self.folder, self.parcels = ledger, folder, parcels
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder} can't be made: {error.strerror}.") from error
        self._repair_leftovers()

    # Making --------------------------------------------------------------------------------------

    @contextmanager
    def open_incoming(self) -> Iterator[Path]:
        """A folder for what comes with a request; gone afterwards unless it became a job's."""
        try:
            folder = Path(tempfile.mkdtemp(prefix=".tmp-", dir=self.folder))
        except OSError as error:
            raise StoreError(f"{self.folder} can't be written to: {error.strerror}.") from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def create(
        self,
        accepted: AcceptedRequest,
        folder: Path,
        *,
        owner: str = "",
        idempotency_key: str | None = None,
        body_hash: str = "",
        webhook: str = "",
    ) -> tuple[str, bool]:
        """Make a job of a request whose files lie in `folder`, and ask for its video.

        Returns its id, and whether it was there already under this idempotency key. ApiError 409
        where that key stands for another body.
        """
        if idempotency_key is not None:
            known = self._find_replayed(owner, idempotency_key, body_hash)
            if known is not None:
                return known, True
        job_id = secrets.token_urlsafe(16)
        target = self.folder / job_id
        try:
            (folder / "request.json").write_text(accepted.as_json(), encoding="utf-8")
            folder.chmod(0o755)
            sync_tree(folder)
            folder.rename(target)
            sync_folder(target.parent)
        except OSError as error:
            raise StoreError(f"{target} can't be written: {error.strerror}.") from error
        source = accepted.source(target)
        try:
            parcel = self._pack_request(source)
        except StoreError:
            shutil.rmtree(target, ignore_errors=True)
            raise
        row = {
            "id": job_id,
            "created": int(self.ledger.now() * 1e6),
            "campaign": source.campaign,
            "name": source.name,
            "request": str(source.path),
            "owner": owner,
            "idempotency_key": idempotency_key,
            "body_hash": body_hash,
            "webhook": webhook,
            "webhook_state": "waiting" if webhook else "",
        }
        try:
            with self.ledger.begin() as connection:
                connection.execute(sa.insert(JOBS).values(**row))
        except IntegrityError:
            # The same request, sent twice at once, came first.
            shutil.rmtree(target, ignore_errors=True)
            known = self._find_replayed(owner, idempotency_key or "", body_hash)
            if known is None:
                raise StoreError("A job could not be noted.") from None
            return known, True
        try:
            self._request_video(job_id, source, accepted.request.priority, parcel)
        except StoreError:
            # Whoever sends it again is not told of a job that nobody asked for.
            shutil.rmtree(target, ignore_errors=True)
            self._drop_job(job_id)
            raise
        return job_id, False

    def _pack_request(self, source: BriefSource) -> BriefBundle | None:
        """The request with its files in the store, where it is shared."""
        if self.parcels is None:
            return None
        try:
            return self.parcels.pack(source)
        except OSError as error:
            raise StoreError(f"{source.shown} can't be packed: {error}.") from error

    def _request_video(
        self, job_id: str, source: BriefSource, priority: int, parcel: BriefBundle | None = None
    ) -> None:
        key = self.ledger.register(source)
        if self.parcels is not None and parcel is not None:
            self.parcels.file(key, parcel)
            self.ledger.note(key, content_hash=parcel.contents, look=parcel.look)
        if priority:
            self.ledger.note(key, priority=priority)
        # Its key last: for a job without one the next start asks again.
        self.ledger.want([key], "render")
        with self.ledger.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(key=key))
        if parcel is not None:
            for file in source.folder.iterdir():
                if file != source.path:
                    file.unlink(missing_ok=True)

    def _has_key(self, job_id: str) -> bool:
        with self.ledger.begin() as connection:
            query = sa.select(JOBS.c.key).where(JOBS.c.id == job_id)
            return bool(connection.execute(query).scalar())

    def _drop_job(self, job_id: str) -> None:
        with self.ledger.begin() as connection:
            connection.execute(sa.delete(JOBS).where(JOBS.c.id == job_id))

    def _find_replayed(self, owner: str, idempotency_key: str, body_hash: str) -> str | None:
        """The job that this key stands for."""
        mine = sa.and_(JOBS.c.owner == owner, JOBS.c.idempotency_key == idempotency_key)
        oldest = int((self.ledger.now() - IDEMPOTENCY_SECONDS) * 1e6)
        with self.ledger.begin() as connection:
            connection.execute(
                sa.update(JOBS).where(mine, JOBS.c.created < oldest).values(idempotency_key=None)
            )
            row = connection.execute(sa.select(JOBS.c.id, JOBS.c.body_hash).where(mine)).first()
        if row is None:
            return None
        if row.body_hash != body_hash:
            raise ApiError(
                409,
                "idempotency.other",
                "This Idempotency-Key came with another request before.",
                "Use a new key for a new request.",
            )
        return row.id

    def _repair_leftovers(self) -> None:
        """What a process that was killed left: folders of requests, and jobs whose video was not
        asked for yet."""
        for folder in self.folder.glob(".tmp-*"):
            try:
                if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue
        with self.ledger.begin() as connection:
            query = sa.select(JOBS.c.id, JOBS.c.created).where(JOBS.c.key == "")
            rows = connection.execute(query).all()
        for row in rows:
            try:
                self._mend_job(row)
            except Exception:
                log.exception("job %s, which was cut off, can't be mended", row.id)

    def _mend_job(self, row: Any) -> None:
        again = _read_request(self.folder / row.id)
        if again is not None:
            with suppress(PytoonError):  # The store is away: the next start asks again.
                parcel = self._pack_request(again)
                # Whoever made it just now may be taking its files away.
                if not self._has_key(row.id):
                    self._request_video(row.id, again, 0, parcel)
        elif self.ledger.path or self.ledger.now() - row.created / 1e6 > STALE_SECONDS:
            # In a ledger of several machines it may be another's, which makes it right now.
            self._drop_job(row.id)

    # Looking -------------------------------------------------------------------------------------

    def get(self, job_id: str) -> JobRow:
        """ApiError 404 for one that is not known."""
        if re.fullmatch(ID_PATTERN, job_id):
            with self.ledger.begin() as connection:
                row = connection.execute(job_query.where(JOBS.c.id == job_id)).first()
            if row is not None:
                return job_row(row)
        raise ApiError(
            404, "job.unknown", "No job has this id.", "Use the `job_id` that POST /render gave."
        )

    def page(
        self, *, state: str | None, campaign: str | None, limit: int, cursor: str | None
    ) -> tuple[list[JobRow], str | None]:
        """Jobs, newest first, and the cursor of the next page."""
        query = job_query.order_by(JOBS.c.created.desc(), JOBS.c.id.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(api_state == state)
        if campaign is not None:
            query = query.where(JOBS.c.campaign == campaign)
        if cursor is not None:
            assert re.fullmatch(CURSOR_PATTERN, cursor)
            created, _, job_id = cursor.partition(".")
            place = sa.tuple_(sa.literal(int(created)), sa.literal(job_id))
            query = query.where(sa.tuple_(JOBS.c.created, JOBS.c.id) < place)
        with self.ledger.begin() as connection:
            rows = [job_row(r) for r in connection.execute(query)]
        more = len(rows) > limit
        return rows[:limit], rows[limit - 1].cursor if more else None

    # Cancelling ----------------------------------------------------------------------------------

    def cancel(self, job_id: str, stop_run: Callable[[str], None]) -> JobRow:
        """Cancel a job that has not ended; of one that has, what became of it. `stop_run` ends the
        Dagster run of a key. ApiError 404, or 409 for a completed one."""
        job = self.get(job_id)
        if job.state == "completed":
            raise ApiError(
                409, "job.completed", "The job is completed.", "Its video can be fetched."
            )
        if job.state in ("failed", "cancelled"):
            return job
        self._mark_cancelled(job_id, self.ledger.now())
        if job.key and not self.ledger.set_state(
            job.key, BriefState.CANCELLED, only_from=[BriefState.NEW], wanted=""
        ):
            self.stop(job.key, stop_run)
        job = self.get(job_id)
        if job.state == "completed":
            self._mark_cancelled(job_id, 0.0)
            raise ApiError(
                409, "job.completed", "The job was completed just now.", "Fetch its video."
            )
        return job

    def stop(self, key: str, stop_run: Callable[[str], None]) -> None:
        """End the run of a key, and note it."""
        stop_run(key)
        self.ledger.note(key, wanted="")
        self.ledger.set_state(key, BriefState.CANCELLED, only_from=OPEN)

    def _mark_cancelled(self, job_id: str, when: float) -> None:
        with self.ledger.begin() as connection:
            connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(cancelled=when))

    def find_restarted(self) -> list[str]:
        """Keys of jobs that were cancelled a moment ago and whose run came up all the same: it was
        on its way through Dagster's daemon."""
        query = (
            sa.select(JOBS.c.key)
            .join(_BRIEFS, _BRIEFS.c.key == JOBS.c.key)
            .where(
                JOBS.c.cancelled > self.ledger.now() - INSISTING_SECONDS,
                _BRIEFS.c.state.in_(OPEN),
                _BRIEFS.c.path == JOBS.c.request,
            )
        )
        with self.ledger.begin() as connection:
            return [row.key for row in connection.execute(query)]


def job_row(row: Any) -> JobRow:
    """A row of `job_query`."""
    return JobRow(**{**row._mapping, "problems": read_problems(row.problems)})


def _job_columns() -> list[Any]:
    own = [
        JOBS.c[n]
        for n in (
            "id",
            "key",
            "created",
            "campaign",
            "name",
            "webhook",
            "webhook_state",
            "webhook_attempts",
            "webhook_next",
        )
    ]
    of_brief = [
        sa.func.coalesce(_BRIEFS.c[column], default).label(name)
        for name, column, default in (
            ("error", "error", ""),
            ("problems", "problems", ""),
            ("progress", "progress", 0.0),
            ("run_id", "run_id", ""),
        )
    ]
    updated = sa.func.coalesce(_BRIEFS.c.updated, JOBS.c.created / 1e6).label("updated")
    return [*own, *of_brief, updated, api_state.label("state")]


job_query = (
    sa.select(*_job_columns())
    .select_from(
        JOBS.outerjoin(
            _BRIEFS, sa.and_(_BRIEFS.c.key == JOBS.c.key, _BRIEFS.c.path == JOBS.c.request)
        )
    )
    .where(sa.or_(JOBS.c.key == "", _BRIEFS.c.key.is_not(None)))
)
"""Of jobs; without those whose folder was deleted and whose key, and so whose place in the store,
another brief has taken over since."""
assert set(STATES.values()) == set(get_args(State))


class _WrittenJob(BaseModel):
    """A job's `request.json`."""

    model_config = ConfigDict(strict=True)

    brief: dict[str, Any] | None = None
    spec: dict[str, Any] | None = None
    campaign: str
    name: str
    files: dict[str, str]


def _read_request(folder: Path) -> BriefSource | None:
    """The brief of a job from its folder; None where there is none that can be read."""
    try:
        path = folder / "request.json"
        if path.stat().st_size > _REQUEST_BYTES:
            return None
        said = _WrittenJob.model_validate(read_json(path.read_bytes()))
    except (OSError, ValueError, ApiError, UserError):
        return None
    kind: Literal["brief", "spec"] = "brief" if said.brief is not None else "spec"
    data = said.brief if said.brief is not None else said.spec
    if data is None:
        return None
    request = RenderRequest.model_construct(campaign=said.campaign, name=said.name)
    return AcceptedRequest(request, kind, data, said.files).source(folder)


_REQUEST_BYTES = 10 * UploadLimits.document
"""A larger `request.json` is none of ours: what comes is bounded, and grows little in writing."""


def stop_dagster_run(settings: Settings, key: str) -> None:
    """Ask Dagster to end the newest unfinished run of a brief, where there is one."""
    import dagster as dg

    from pytoon_pipeline.runtime.brief_runs import open_instance

    unfinished = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
    ]
    with open_instance(settings) as instance:
        wanted = dg.RunsFilter(tags={"pytoon/brief": key}, statuses=unfinished)
        for run in instance.get_runs(wanted, limit=1):
            instance.run_coordinator.cancel_run(run.run_id)
