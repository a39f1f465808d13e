"""The HTTP API: a job is a brief like all others, put where the daemon's sensor finds it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from pytoon_pipeline import __version__
from pytoon_pipeline.errors import Problem, PytoonError
from pytoon_pipeline.service import openapi
from pytoon_pipeline.service.documents import (
    CURSOR_PATTERN,
    NAME_PATTERN,
    Health,
    Job,
    JobPage,
    State,
)
from pytoon_pipeline.service.errors import (
    ApiError,
    error_response,
    from_exception,
    refusal_error,
)
from pytoon_pipeline.service.guard import RequestGuard, owner_of, tokens_of
from pytoon_pipeline.service.metrics import add_metrics_route
from pytoon_pipeline.service.request import accept_request
from pytoon_pipeline.service.state import ServiceState
from pytoon_pipeline.service.upload import ReceivedRequest, UploadLimits, receive_request
from pytoon_pipeline.service.webhooks import BACKOFF, check_webhook
from pytoon_pipeline.settings import Settings

if TYPE_CHECKING:
    from pytoon_pipeline.service.segment_queue import SegmentQueue

log = logging.getLogger("pytoon.service")

_ABOUT = """Videos from briefs. A job is made with `POST /render`, looked at with
`GET /render/{job_id}`, and its files are fetched when it is completed."""


def make_app(
    settings: Settings,
    *,
    limits: UploadLimits | None = None,
    backoff: Sequence[float] = BACKOFF,
    pause: float = 1.0,
    allow_private: bool = False,
    bench: SegmentQueue | None = None,
) -> FastAPI:
    """The API of an install. `backoff` and `pause` are those of the webhooks; `allow_private` lets
    them go to this machine, for tests. With a `bench`, segments are rendered for other Pytoons.

    Raises SettingsError for hosts or a store that can't be used, StoreError for the ledger.
    """
    desk = ServiceState(settings, limits or UploadLimits(), allow_private)
    tokens = tokens_of(settings.token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        courier = desk.make_dispatcher(backoff, pause)
        courier.start()
        yield
        await run_in_threadpool(courier.stop)
        if bench is not None:
            await run_in_threadpool(bench.close)

    app = FastAPI(lifespan=lifespan, **_DESCRIBED)
    _add_routes(app, desk, secured=bool(tokens))
    add_metrics_route(app, settings)
    if bench is not None:
        from pytoon_pipeline.service.segments import add_segment_routes

        add_segment_routes(app, bench, secured=bool(tokens))
    app.add_middleware(RequestGuard, tokens=tokens)
    for kind in (PytoonError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _error_response)
    return app


def openapi_text() -> str:
    """`docs/openapi.json`: the description of a server with a token that renders segments, too."""
    from pytoon_pipeline.service.segments import add_segment_routes

    app = FastAPI(**_DESCRIBED)
    _add_routes(app, None, secured=True)  # type: ignore[arg-type]
    add_segment_routes(app, None, secured=True)  # type: ignore[arg-type]
    return openapi.as_text(app.openapi())


_DESCRIBED: dict[str, Any] = {
    "title": "Pytoon",
    "description": _ABOUT,
    "version": __version__,
    # Their pages take scripts from elsewhere.
    "docs_url": None,
    "redoc_url": None,
    "redirect_slashes": False,
}


# What the calls do -------------------------------------------------------------------------------


def _body_hash(received: ReceivedRequest) -> str:
    said = [received.data, sorted([u.name, u.sha256] for u in received.uploads)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


async def _error_response(request: Request, error: Exception) -> Response:
    """A failure in the one shape that all have."""
    if isinstance(error, RequestValidationError):
        faults = error.errors()
        error = refusal_error(
            [
                Problem(
                    "parameter.value",
                    f"{f['msg']}.",
                    "Correct it.",
                    field=".".join(str(p) for p in f["loc"][1:]),
                )
                for f in faults
            ]
        )
    elif isinstance(error, HTTPException):
        code = {404: "path.unknown", 405: "method.unknown"}.get(error.status_code, "request.wrong")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed_methods(request))
        error = ApiError(
            error.status_code,
            code,
            f"{error.detail}.",
            "GET /openapi.json says what there is.",
            headers=headers,
        )
    return error_response(from_exception(request, error))


def _allowed_methods(request: Request) -> list[str]:
    """What can be done with a path, by all of its routes."""
    found = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            found |= route.methods or set()
    return sorted(found)


# The calls ---------------------------------------------------------------------------------------

_JOB_ID = "The `job_id` that POST /render gave."


def _add_routes(app: FastAPI, desk: ServiceState, *, secured: bool) -> None:
    bearer = HTTPBearer(auto_error=False, description="The server's PYTOON_TOKEN.")
    own: dict[str, Any] = {"dependencies": [Depends(bearer)]} if secured else {}
    described = app.openapi

    def complete_schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.complete_openapi(described())
        return app.openapi_schema

    app.openapi = complete_schema  # type: ignore[method-assign]
    _add_submit_route(app, desk, own)
    _add_job_routes(app, desk, own)
    _add_file_routes(app, desk, own)
    _add_health_route(app, desk)


def _add_submit_route(app: FastAPI, desk: ServiceState, own: dict[str, Any]) -> None:
    @app.post(
        "/render",
        status_code=202,
        response_model=Job,
        responses=openapi.error_responses(400, 408, 409, 413, 415, 422)
        | {
            202: {
                "description": "The job, which is pending.",
                "headers": {
                    "Location": {"schema": {"type": "string"}, "required": True},
                    "Idempotent-Replay": {
                        "schema": {"const": "true"},
                        "description": "The job was there already under this Idempotency-Key.",
                    },
                },
            }
        },
        openapi_extra={"requestBody": openapi.render_body()},
        operation_id="submit",
        **own,
    )
    async def submit(
        request: Request,
        idempotency_key: Annotated[
            str | None,
            Header(
                alias="Idempotency-Key",
                min_length=1,
                max_length=200,
                description="Sent again within 24 hours with the same body, it stands for the "
                "same job; with another body it is refused.",
            ),
        ] = None,
    ) -> Response:
        """Make a video of a brief or a RenderSpec. Answers at once."""
        with desk.jobs.open_incoming() as folder:
            received = await receive_request(request, folder, desk.limits)

            def make_job() -> tuple[Job, bool]:
                accepted = accept_request(received, desk.settings.media_roots)
                check_webhook(accepted.request.webhook, desk.hosts, desk.settings.webhook_secret)
                job_id, again = desk.jobs.create(
                    accepted,
                    folder,
                    owner=owner_of(request.headers),
                    idempotency_key=idempotency_key,
                    body_hash=_body_hash(received),
                    webhook=accepted.request.webhook,
                )
                return desk.describe(desk.jobs.get(job_id)), again

            job, again = await run_in_threadpool(make_job)
        headers = {"Location": job.links.self}
        if again:
            headers["Idempotent-Replay"] = "true"
        return JSONResponse(job.model_dump(mode="json"), 202, headers)


def _add_job_routes(app: FastAPI, desk: ServiceState, own: dict[str, Any]) -> None:
    @app.get(
        "/render",
        response_model=JobPage,
        responses=openapi.error_responses(422),
        operation_id="list_jobs",
        **own,
    )
    def list_jobs(
        state: Annotated[State | None, Query()] = None,
        campaign: Annotated[str | None, Query(max_length=100, pattern=NAME_PATTERN)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[
            str | None, Query(pattern=CURSOR_PATTERN, description="`next` of the page before.")
        ] = None,
    ) -> JobPage:
        """Jobs, newest first."""
        rows, following = desk.jobs.page(state=state, campaign=campaign, limit=limit, cursor=cursor)
        return JobPage(jobs=desk.describe_all(rows), next=following)

    @app.get(
        "/render/{job_id}",
        response_model=Job,
        responses=openapi.error_responses(404),
        operation_id="get_job",
        **own,
    )
    def get_job(job_id: str) -> Job:
        """What is known of a job."""
        return desk.describe(desk.jobs.get(job_id))

    @app.delete(
        "/render/{job_id}",
        response_model=Job,
        responses=openapi.error_responses(404, 409),
        operation_id="cancel_job",
        **own,
    )
    def cancel_job(job_id: str) -> Job:
        """Cancel a job. One that failed or was cancelled before stays as it is; a completed one
        can't be cancelled (409)."""
        return desk.describe(desk.jobs.cancel(job_id, desk.stop_run))


def _add_file_routes(app: FastAPI, desk: ServiceState, own: dict[str, Any]) -> None:
    def video(request: Request, job_id: str) -> Response:
        """The MP4."""
        return desk.file(request, job_id, "video.mp4", "video/mp4")

    def thumbnail(request: Request, job_id: str) -> Response:
        """The picture that stands for the video."""
        return desk.file(request, job_id, "thumbnail.jpg", "image/jpeg")

    def captions(
        request: Request,
        job_id: str,
        format: Annotated[Literal["srt", "vtt"], Query()] = "srt",
    ) -> Response:
        """The words with their times."""
        kind = {"srt": "application/x-subrip", "vtt": "text/vtt"}[format]
        return desk.file(request, job_id, f"captions.{format}", f"{kind}; charset=utf-8")

    for function, kinds, more in (
        (video, ("video/mp4",), ()),
        (thumbnail, ("image/jpeg",), ()),
        (captions, ("application/x-subrip", "text/vtt"), (422,)),
    ):
        path = f"/render/{{job_id}}/{function.__name__}"
        answers = openapi.file_responses(*kinds) | openapi.error_responses(*more)
        for method in ("GET", "HEAD"):
            app.add_api_route(
                path,
                function,
                methods=[method],
                response_class=Response,
                responses=answers,
                operation_id=f"{method.lower()}_{function.__name__}",
                include_in_schema=method == "GET",
                **own,
            )


def _add_health_route(app: FastAPI, desk: ServiceState) -> None:
    @app.get(
        "/health",
        response_model=Health,
        responses={
            403: openapi.error_responses()[403],
            503: {"model": Health, "description": "The table of jobs can't be reached."},
        },
        operation_id="health",
    )
    async def health(response: Response) -> Health:
        """Is this server well? Answered without a token."""

        def ask_ledger() -> bool:
            try:
                desk.ledger.campaigns()
            except PytoonError:
                return False
            return True

        # In threads of its own: calls that wait for a store that is away may take all others.
        if not await run_sync(ask_ledger, limiter=desk.for_health):
            response.status_code = 503
            return Health(status="failing", version=__version__, ledger="it can't be reached")
        return Health(status="ok", version=__version__, ledger="ok")
