"""The client of a running : its address, its token, its answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from pytoon_pipeline.cli.terminal import (
    make_visible,
)
from pytoon_pipeline.errors import FetchRefusedError, Problem, PytoonError, UserError
from pytoon_pipeline.media.addresses import server_guard, strip_query
from pytoon_pipeline.media.answers import (
    AnswerRefusedError,
    parse_document,
    read_answer,
    remove_secrets,
)
from pytoon_pipeline.media.client import checked_token, open_client
from pytoon_pipeline.service.guard import tokens_of
from pytoon_pipeline.settings import Settings

_MAX_ANSWER = 16 << 20
"""Bytes of a document that is answered."""


MAX_FILE_BYTES = 8 << 30


_ANSWER_SECONDS = 300.0
"""For a question and all of its answer."""


FILE_SECONDS = 4 * 3600.0
"""The same where files go there or come from there."""


class ServiceError(PytoonError):
    """The deployment can't be reached, or failed to answer."""


@dataclass
class ServiceClient:
    """A running `pytoon serve`. Calls raise UserError for what it refuses, with its problems, and
    ServiceError where it can't be reached or fails."""

    client: httpx.Client
    url: str
    """As it may be shown."""

    def call(self, method: str, path: str, **more: Any) -> Any:
        """The JSON of an answer."""
        whole = FILE_SECONDS if "files" in more else _ANSWER_SECONDS
        with (
            self.translate_failures(),
            self.client.stream(method, path, extensions={"whole": whole}, **more) as answer,
        ):
            data = read_answer(answer, _MAX_ANSWER)
        self.heed(answer, data)
        try:
            return parse_document(data)
        except ValueError:
            raise ServiceError(f"{self.url} does not answer as a `pytoon serve` does.") from None

    def job(self, job_id: str) -> dict[str, Any]:
        return self.call("GET", f"/render/{safe_job_id(job_id)}")

    @contextmanager
    def translate_failures(self) -> Iterator[None]:
        try:
            yield
        except AnswerRefusedError as error:
            raise ServiceError(
                f"{self.url} does not answer as a `pytoon serve` does: {error}."
            ) from None
        except (httpx.ConnectError, FetchRefusedError) as error:
            raise ServiceError(
                f"{self.url} can't be reached: {error}. Start `pytoon serve` there, and `pytoon "
                "dev` beside it, or set PYTOON_URL."
            ) from None
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise ServiceError(f"{self.url} did not answer: {what}.") from error

    def heed(self, answer: httpx.Response, data: bytes) -> None:
        """Raises for an answer that is no success; `data` is what it holds."""
        if answer.is_success:
            return
        try:
            sent = self.client.headers.get("Authorization", "").rpartition(" ")[2]
            said = parse_document(remove_secrets([sent], data))
            error = said["error"]
            problems = [problem_of(p) for p in said["problems"]]
            problems = problems or [Problem(error["code"], error["message"], error["remedy"])]
        except (ValueError, KeyError, TypeError):
            raise ServiceError(f"{self.url} answered {answer.status_code}.") from None
        if answer.status_code >= 500:
            raise ServiceError(f"{self.url}: {error['message']} {error['remedy']}")
        if answer.status_code == 401:
            problems = [
                Problem(
                    "auth.token",
                    f"{self.url} does not know this token.",
                    "Set it to the one that `pytoon serve` was started with.",
                    field="PYTOON_TOKEN",
                )
            ]
        raise UserError(problems)


def problem_of(said: dict[str, Any]) -> Problem:
    known = {k: v for k, v in said.items() if k in Problem.__dataclass_fields__}
    return Problem(**known)


def safe_job_id(job_id: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", job_id):
        raise UserError(
            Problem(
                "job.unknown",
                f"{make_visible(job_id)!r} is no job.",
                "`pytoon submit` prints them.",
            )
        )
    return job_id


def _raise_settings(error: UserError) -> None:
    """Raises what is wrong for every job alike."""
    if any(p.code in ("auth.token", "settings.url") for p in error.problems):
        raise error


@contextmanager
def open_service_client(settings: Settings) -> Iterator[ServiceClient]:
    tokens = tokens_of(settings.token)
    token = checked_token(tokens[0], "PYTOON_TOKEN") if tokens else None
    try:
        guard = server_guard(settings.url, "PYTOON_URL")
    except FetchRefusedError:
        raise UserError(
            Problem(
                "settings.url",
                f"{strip_query(settings.url)!r} is not an http address.",
                "Set it to where `pytoon serve` listens.",
                field="PYTOON_URL",
            )
        ) from None
    with open_client(guard, connect=10.0, silence=120.0, whole=_ANSWER_SECONDS) as client:
        client.base_url = httpx.URL(settings.url)
        client.headers["Accept-Encoding"] = "identity"
        if token:
            client.headers["Authorization"] = f"Bearer {token}"
        yield ServiceClient(client, strip_query(settings.url))
