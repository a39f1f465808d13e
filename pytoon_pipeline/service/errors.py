"""Answers that are no success: one shape for all of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from pytoon_pipeline.errors import Problem, PytoonError, UserError
from pytoon_pipeline.settings import Settings

log = logging.getLogger("pytoon.service")


class ApiError(PytoonError):
    """A request that can't be served: HTTP status, stable code, a sentence and a remedy."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        remedy: str = "",
        *,
        problems: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ):
        self.status, self.code, self.message, self.remedy = status, code, message, remedy
        self.problems, self.headers = list(problems), dict(headers or {})
        super().__init__(f"{message} {remedy}".rstrip())


def refusal_error(problems: Sequence[Problem]) -> ApiError:
    """422 with all problems of a request."""
    first = problems[0]
    if len(problems) > 1:
        return ApiError(
            422,
            "request.refused",
            f"The request has {len(problems)} problems.",
            "Correct all of them; `problems` names each.",
            problems=problems,
        )
    place = f"{first.field}: " if first.field else ""
    return ApiError(422, first.code, f"{place}{first.message}", first.remedy, problems=problems)


def error_response(error: ApiError) -> Response:
    body = {
        "error": {"code": error.code, "message": error.message, "remedy": error.remedy},
        "problems": [p.as_dict() for p in error.problems],
    }
    # Surrogates may stand in what is quoted from the request.
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    headers = {**error.headers, "Cache-Control": "no-store"}
    return Response(data, error.status, headers, "application/json")


def from_exception(request: Request, error: Exception) -> ApiError:
    """What a caller is told of any exception: never more than is theirs to know."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserError):
        return refusal_error(error.problems)
    where = f"{request.method} {request.url.path}"
    if isinstance(error, PytoonError):
        log.error("%s: %s", where, error)
        return ApiError(
            503,
            "service.unavailable",
            "The store or the table of jobs can't be used now.",
            "Try again later; the log of this server says more.",
            headers={"Retry-After": "10"},
        )
    log.error("%s failed", where, exc_info=error)
    return ApiError(500, "service.fault", "This is a fault of the server.", "Its log says more.")


def without_places(text: str, settings: Settings) -> str:
    """A text for a caller: folders of this machine are called by the settings that name them."""
    folders = {
        settings.store: "PYTOON_STORE",
        str(settings.briefs_dir): "PYTOON_BRIEFS_DIR",
        str(settings.home): "PYTOON_HOME",
    } | {str(path): name for name, path in settings.media_roots.items()}
    # The store lies in the home by itself, so longer names come first.
    for folder in sorted((f for f in folders if f.startswith("/")), key=len, reverse=True):
        text = text.replace(folder, folders[folder])
    return text
