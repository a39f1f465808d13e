"""Segments for other Pytoons over HTTP: the other end of the engine `remote`."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from pytoon_pipeline import RENDERER_VERSION, __version__
from pytoon_pipeline.engines.remote import library_versions
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.service import openapi, upload
from pytoon_pipeline.service.errors import ApiError
from pytoon_pipeline.service.files import file_response
from pytoon_pipeline.service.guard import owner_of
from pytoon_pipeline.service.segment_acceptance import SUFFIX_PATTERN, accept_segment
from pytoon_pipeline.service.segment_documents import (
    HASH_PATTERN,
    SegmentRequest,
    SegmentsAbout,
    SegmentWork,
)
from pytoon_pipeline.service.segment_queue import (
    QueueFullError,
    SegmentQueue,
    SegmentTask,
)
from pytoon_pipeline.store.reuse import touch_if_present

MEDIUM_BYTES = 2_000_000_000
"""As much as a brief may name."""
JOB = upload.UploadLimits()
MEDIUM = upload.UploadLimits(file=MEDIUM_BYTES, body=MEDIUM_BYTES)


# Documents ---------------------------------------------------------------------------------------


# What a request must be --------------------------------------------------------------------------


# Media -------------------------------------------------------------------------------------------


async def take_medium(request: Request, bench: SegmentQueue, sha256: str, suffix: str) -> bool:
    """A medium into the store, its hash found out while it comes. False where it was there.

    Raises ApiError: 408, 413, 415 for what is no medium, 422 for another hash.
    """
    services, key = bench.services, f"media/{sha256}{suffix}"
    if await run_in_threadpool(touch_if_present, services.store, key):
        return False
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MEDIUM.file:
        raise upload.too_large("The medium", MEDIUM.file)
    services.settings.scratch.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(
        prefix="medium-", suffix=suffix, dir=services.settings.scratch
    ) as file:

        def write_chunk(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        async for chunk in upload.iterate_chunks(request, MEDIUM):
            await anyio.to_thread.run_sync(write_chunk, chunk)
        file.flush()
        if digest.hexdigest() != sha256:
            raise ApiError(
                422,
                "media.hash",
                f"What came has the SHA-256 {digest.hexdigest()}.",
                "Send it again, whole.",
            )

        def store_medium() -> None:
            try:
                probe_media(file.name)
            except UnreadableMediaError as error:
                raise ApiError(415, error.code, error.message, error.remedy) from error
            services.store.put(key, Path(file.name))

        await run_in_threadpool(store_medium)
    return True


# The calls ---------------------------------------------------------------------------------------


def _describe_task(work: SegmentTask) -> SegmentWork:
    return SegmentWork(
        id=work.id,
        state=work.state,
        frames=min(work.frames, work.job.count),
        total=work.job.count,
        signs=work.signs,
        engine=work.record.engine if work.record else None,
        degraded=work.record.degraded if work.record else False,
        tries=work.tries,
        error=work.error or None,
        log_tail=work.log_tail or None,
        sha256=work.sha256,
        bytes=work.bytes,
        file=f"/segments/{work.id}/file" if work.state == "completed" else None,
    )


def _known_task(bench: SegmentQueue, id_: str) -> SegmentTask:
    work = bench.get(id_)
    if work is None:
        raise ApiError(
            404,
            "segment.unknown",
            "No segment of this id is asked for.",
            "Ask for it again with POST /segments: what was finished is found.",
        )
    return work


def _asker_identity(request: Request, asker: str) -> str:
    """An asker as it is counted: those of one token can't leave for those of another."""
    return f"{owner_of(request.headers)} {asker}"


def _error_responses(**reasons: str) -> dict[int | str, dict[str, Any]]:
    """Answers that are no success: status, as `s409`, -> what it means here."""
    found = openapi.error_responses(*(int(status[1:]) for status in reasons))
    return found | {
        int(status[1:]): {**found[int(status[1:])], "description": reason}
        for status, reason in reasons.items()
    }


Id = Annotated[str, InPath(pattern=HASH_PATTERN, description="The `id` that POST /segments gave.")]
Hash = Annotated[str, InPath(pattern=HASH_PATTERN, description="SHA-256 of the file, in hex.")]
Suffix = Annotated[
    str, Query(pattern=SUFFIX_PATTERN, description="Ending of the file, as the job's asset has it.")
]
_ASKER = "Pytoon-Asker"
Asker = Annotated[
    str,
    Header(
        alias=_ASKER,
        max_length=64,
        description="Tells askers of the same segment apart: it is cancelled when all have left. "
        "One that sends none is given one in the answer.",
    ),
]
Leaver = Annotated[
    str,
    Header(
        alias=_ASKER,
        min_length=1,
        max_length=64,
        description="Who leaves: what was sent to, or given by, POST /segments.",
    ),
]
_UNKNOWN = "No segment has this id: it was cancelled, or the server was restarted."


def add_segment_routes(app: FastAPI, bench: SegmentQueue, *, secured: bool) -> None:
    """Adds the calls by which another Pytoon has segments rendered here; with `secured` their
    description names the token."""
    bearer = HTTPBearer(auto_error=False, description="The server's PYTOON_TOKEN.")
    own: dict[str, Any] = {"dependencies": [Depends(bearer)]} if secured else {}
    own["tags"] = ["segments"]
    _add_request_routes(app, bench, own)
    _add_state_routes(app, bench, own)
    _add_medium_routes(app, bench, own)
    _add_file_route(app, bench, own)


def _add_request_routes(app: FastAPI, bench: SegmentQueue, own: dict[str, Any]) -> None:
    @app.get(
        "/segments",
        response_model=SegmentsAbout,
        responses=openapi.error_responses(),
        operation_id="about_segments",
        **own,
    )
    def about() -> SegmentsAbout:
        """What renders segments here, and how busy it is."""
        return SegmentsAbout(
            version=__version__,
            renderer=RENDERER_VERSION,
            libraries=library_versions(),
            taken=bench.taken(),
            places=bench.places,
        )

    @app.post(
        "/segments",
        status_code=202,
        response_model=SegmentWork,
        responses=_error_responses(
            s400="The body can't be read.",
            s408="The body stopped coming.",
            s409="Another version of the renderer, of the encoder or of its settings.",
            s413="The JSON is over 1 MB.",
            s415="The body is not JSON.",
            s422="The job is wrong in itself, or fonts, media or an engine for it are not here; "
            "`problems` names the media as `segment.media`, with hash and ending as the field.",
            s503="All places are taken: `Retry-After` says when to ask again.",
        ),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": SegmentRequest.model_json_schema()}},
            }
        },
        operation_id="ask_segment",
        **own,
    )
    async def ask(request: Request, asker: Asker = "") -> Response:
        """Have a segment rendered. The same request always has the same id, and stands for the
        same work."""
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise ApiError(415, "body.type", "The body is not JSON.", "Send application/json.")
        received = await upload.receive_request(request, bench.services.settings.scratch, JOB)
        name = asker or secrets.token_hex(16)

        def take_request() -> SegmentTask:
            id_, job = accept_segment(received.data, bench)
            return bench.ask(id_, job, _asker_identity(request, name))

        try:
            work = await run_in_threadpool(take_request)
        except QueueFullError as error:
            raise ApiError(
                503,
                "segments.full",
                str(error),
                "Ask again a little later.",
                headers={"Retry-After": str(bench.retry_after)},
            ) from None
        said = _describe_task(work)
        headers = {"Location": f"/segments/{work.id}", _ASKER: name}
        return JSONResponse(said.model_dump(mode="json"), 202, headers)


def _add_state_routes(app: FastAPI, bench: SegmentQueue, own: dict[str, Any]) -> None:
    @app.get(
        "/segments/{id}",
        response_model=SegmentWork,
        responses=_error_responses(s404=_UNKNOWN, s422="That is no id."),
        operation_id="get_segment",
        **own,
    )
    def get(id: Id) -> SegmentWork:
        """How far a segment is."""
        return _describe_task(_known_task(bench, id))

    @app.delete(
        "/segments/{id}",
        status_code=204,
        responses=_error_responses(
            s404=_UNKNOWN, s422="That is no id, or `Pytoon-Asker` is missing."
        ),
        operation_id="leave_segment",
        **own,
    )
    def leave(request: Request, id: Id, asker: Leaver) -> Response:
        """Not wanted any more. It is cancelled, unless somebody else asked for the same; what is
        finished stays. Of somebody who did not ask for it, it changes nothing."""
        if not bench.leave(id, _asker_identity(request, asker)):
            _known_task(bench, id)
        return Response(status_code=204)


def _add_medium_routes(app: FastAPI, bench: SegmentQueue, own: dict[str, Any]) -> None:
    def has(sha256: Hash, suffix: Suffix = "") -> Response:
        """Is this medium here?"""
        if not touch_if_present(bench.services.store, f"media/{sha256}{suffix}"):
            raise ApiError(404, "media.unknown", "This medium is not here.", "PUT it here.")
        return Response(status_code=200)

    @app.put(
        "/segments/media/{sha256}",
        status_code=201,
        responses=_error_responses(
            s400="The body broke off.",
            s408="The body stopped coming.",
            s413="The file is over 2 GB.",
            s415="It can't be read as a picture or clip.",
            s422="Its SHA-256 is another, or the address is wrong.",
        )
        | {200: {"description": "It was here already."}, 201: {"description": "It is here now."}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                },
            }
        },
        operation_id="put_medium",
        **own,
    )
    async def put(request: Request, sha256: Hash, suffix: Suffix = "") -> Response:
        """A picture or clip that segments are made of, kept by its hash."""
        new = await take_medium(request, bench, sha256, suffix)
        return JSONResponse({"sha256": sha256}, 201 if new else 200)

    app.add_api_route(
        "/segments/media/{sha256}",
        has,
        methods=["HEAD"],
        # An answer to HEAD has no body, whatever it is.
        responses={
            200: {"description": "It is here."},
            404: {"description": "It is not."},
            **{
                status: {"description": answer["description"]}
                for status, answer in _error_responses(s422="The address is wrong.").items()
            },
        },
        operation_id="has_medium",
        **own,
    )


def _add_file_route(app: FastAPI, bench: SegmentQueue, own: dict[str, Any]) -> None:
    def file(request: Request, id: Id) -> Response:
        """The segment: an MP4 in the delivery settings, without sound."""
        work = _known_task(bench, id)
        if work.record is None or not bench.services.store.exists(work.record.key):
            raise ApiError(
                409,
                "segment.not_completed",
                f"The segment is {work.state}.",
                "Ask GET /segments/{id} until it is completed.",
            )
        path = bench.services.store.local(work.record.key)
        return file_response(request, path, "video/mp4", f"{work.job.segment_id}.mp4")

    answers = openapi.file_responses("video/mp4") | _error_responses(
        s404=_UNKNOWN, s409="It is not completed.", s422="That is no id."
    )
    for method in ("GET", "HEAD"):
        app.add_api_route(
            "/segments/{id}/file",
            file,
            methods=[method],
            response_class=Response,
            responses=answers,
            operation_id=f"{method.lower()}_segment_file",
            include_in_schema=method == "GET",
            **own,
        )
