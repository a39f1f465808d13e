"""Segments for other Pytoons over HTTP: the other end of the engine `remote`."""

from __future__ import annotations

import hashlib
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from pytoon_pipeline import RENDERER_VERSION, __version__
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.engines.remote import library_versions
from pytoon_pipeline.errors import Problem, RenderError, UserError
from pytoon_pipeline.media.probe import probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_fingerprint
from pytoon_pipeline.service import openapi, upload
from pytoon_pipeline.service.errors import ApiError, refusal_error
from pytoon_pipeline.service.files import file_response
from pytoon_pipeline.service.guard import owner_of
from pytoon_pipeline.service.segment_queue import (
    POLICY,
    QueueFullError,
    SegmentQueue,
    SegmentTask,
    WorkState,
)
from pytoon_pipeline.stages.documents import EngineTry
from pytoon_pipeline.stages.fingerprint_inputs import segment_look
from pytoon_pipeline.store.reuse import touch_if_present

MEDIUM_BYTES = 2_000_000_000
"""As much as a brief may name."""
JOB = upload.UploadLimits()
MEDIUM = upload.UploadLimits(file=MEDIUM_BYTES, body=MEDIUM_BYTES)
_SUFFIX = r"^(\.[A-Za-z0-9_-]{1,6})?$"
_HASH = r"^[0-9a-f]{64}$"
_SIDE, _FRAMES, _LAYERS = 4096, 120 * 60, 200


# Documents ---------------------------------------------------------------------------------------


class _SegmentModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


_Look = dict[str, str | list[str] | dict[str, str | float]]


class SegmentRequest(_SegmentModel):
    """What POST /segments takes."""

    job: dict[str, Any] = Field(description="A segment job, as a RenderSpec is cut into.")
    version: str = Field(description="Of the asker's renderer; only the same one is served.")
    look: _Look = Field(
        default_factory=dict,
        description="What the asker is held to by its other segments: `fonts` (SHA-256 of the "
        "files that draw the words), `x264` (settings), and versions of libraries as GET /segments "
        "names them. What is left out may differ.",
    )


class SegmentsAbout(_SegmentModel):
    version: str
    renderer: str = Field(description="Version of what draws; segments of another don't match.")
    libraries: dict[str, str]
    taken: int = Field(description="Segments that are rendered or wait.")
    places: int = Field(description="How many may be.")


class SegmentWork(_SegmentModel):
    """A segment that was asked for."""

    id: str = Field(pattern=_HASH)
    state: WorkState
    frames: int = Field(description="Done, handles included.")
    total: int
    signs: int = Field(description="Counts up while its engine lives.")
    engine: str | None
    degraded: bool = Field(description="Always false: a plain still is never given to others.")
    tries: list[EngineTry]
    error: str | None = Field(description="Why it failed.")
    log_tail: str | None
    sha256: str | None = Field(description="Of the file, once it is completed.")
    bytes: int | None
    file: str | None = Field(description="Its address below the server's own.")


# What a request must be --------------------------------------------------------------------------


def accept_segment(data: dict[str, Any], bench: SegmentQueue) -> tuple[str, SegmentJob]:
    """A request's id and job, if it can be rendered here exactly as it would be over there.

    Raises ApiError: 409 for another version or look, 422 for what is wrong in itself or lacking.
    """
    _require_same(
        "segment.version", {"renderer": data.get("version")}, {"renderer": RENDERER_VERSION}
    )
    request, problems = validate_data(SegmentRequest, data, "the request")
    if request is None or problems:
        raise refusal_error(problems)
    job, problems = validate_data(SegmentJob, request.job, "the job")
    if job is None or problems:
        raise refusal_error(problems)
    problems = list(_iterate_bound_problems(job))
    if problems:
        raise refusal_error(problems)
    if not bench.services.engines.order(POLICY, job):
        raise ApiError(
            422,
            "segment.engine",
            f"No engine here renders a segment of the type {job.type!r}.",
            "Set one up there, or ask another Pytoon.",
        )
    _hold_to(request.look, job, bench)
    store = bench.services.store
    lacking = {a.sha256 + a.suffix for a in job.all_assets if not touch_if_present(store, a.key)}
    if lacking:
        raise refusal_error(
            [
                Problem(
                    "segment.media",
                    "This medium is not here.",
                    "PUT it to /segments/media/{sha256}?suffix=..., and ask again.",
                    field=name,
                )
                for name in sorted(lacking)
            ]
        )
    return segment_fingerprint(job, request.look, {"name": "asked for"}), job


def _iterate_bound_problems(job: SegmentJob) -> Iterator[Problem]:
    """What no plan made by Pytoon has, and what a server should not be made to try."""
    limits = {
        "width": (2, job.width, _SIDE),
        "height": (2, job.height, _SIDE),
        "rate": (1, job.rate, 120),
        "head": (0, job.head, job.body),
        "tail": (0, job.tail, job.body),
        "body": (1, job.body, _FRAMES),
        "clip_start": (0, job.clip_start, 10**6),
        "captions": (0, len(job.captions), _LAYERS),
        "overlays": (0, len(job.overlays), _LAYERS),
        "badges": (0, len(job.badges), _LAYERS),
        "media": (0, len(job.media), _LAYERS),
    }
    for name, (least, value, most) in limits.items():
        if not least <= value <= most:
            yield Problem(
                "segment.bounds",
                f"{value} is not from {least} to {most}.",
                "Correct it.",
                field=f"job.{name}",
            )
    if job.width % 2 or job.height % 2:
        yield Problem("segment.bounds", "The size is odd.", "Give an even one.", field="job.width")
    known = {a.id for a in job.all_assets}
    named = [overlay.asset for overlay in job.overlays]
    if job.generate and job.generate.from_media:
        named.append(job.generate.from_media)
    if job.background.media or job.background_asset:
        named.append(job.background.media or "")
    for name in named:
        if name not in known:
            yield Problem(
                "segment.bounds",
                f"{name!r} is none of the job's assets.",
                "Add it.",
                field="job",
            )
    for asset in job.all_assets:
        if not re.fullmatch(_SUFFIX, asset.suffix):
            yield Problem(
                "segment.bounds",
                f"{asset.suffix!r} is no ending of a file.",
                "Give a short one.",
                field="job.media",
            )


def _hold_to(look: dict[str, Any], job: SegmentJob, bench: SegmentQueue) -> None:
    """Raises ApiError where a segment would look other here than where it was asked for. What the
    request does not say, it does not care about."""
    services = bench.services
    try:
        ours = segment_look(job, {}, services.fonts, services.video_settings)
    except UserError as error:  # A family of fonts that is not here at all.
        raise refusal_error(error.problems) from error
    except RenderError as error:
        raise ApiError(
            422, "segment.font", str(error), "Give both Pytoons the same fonts."
        ) from error
    theirs: dict[str, Any] = dict(look)
    wanted = theirs.pop("fonts", None)
    if wanted is not None and wanted != ours["fonts"]:
        styles = [cue.style for cue in job.captions] + [badge.style for badge in job.badges]
        families = sorted({f for s in styles for f in (s.family, *s.fallback)})
        missing = ", ".join(f"{h[:12]}..." for h in wanted if h not in ours["fonts"]) or "none"
        raise ApiError(
            422,
            "segment.font",
            "Other font files draw these words here than over there. Not here: SHA-256 "
            f"{missing}, of the families {', '.join(families)} or what stands in for them.",
            "Give both Pytoons the same version, presets and PYTOON_FONTS_DIR.",
        )
    _require_same("segment.look", theirs, ours | library_versions())


def _require_same(code: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    theirs, ours = _flatten_inputs(theirs), _flatten_inputs(ours)
    other = [n for n in sorted(theirs) if theirs[n] != ours.get(n)]
    if other:
        said = "; ".join(f"{n} {str(ours.get(n))[:80]}, not {str(theirs[n])[:80]}" for n in other)
        raise ApiError(
            409,
            code,
            f"This Pytoon has {said}.",
            "Install the same version, with the same presets, on both.",
        )


def _flatten_inputs(look: dict[str, Any]) -> dict[str, Any]:
    """`{"x264": {"crf": 18}}` as `{"x264 crf": 18}`."""
    inner = look.get("x264")
    if not isinstance(inner, dict):
        return look
    return {k: v for k, v in look.items() if k != "x264"} | {
        f"x264 {k}": v for k, v in inner.items()
    }


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


Id = Annotated[str, InPath(pattern=_HASH, description="The `id` that POST /segments gave.")]
Hash = Annotated[str, InPath(pattern=_HASH, description="SHA-256 of the file, in hex.")]
Suffix = Annotated[
    str, Query(pattern=_SUFFIX, description="Ending of the file, as the job's asset has it.")
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
    bearer = HTTPBearer(auto_error=False, description="The server's PYTOON_TOKEN.")
    own: dict[str, Any] = {"dependencies": [Depends(bearer)]} if secured else {}
    own["tags"] = ["segments"]

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
