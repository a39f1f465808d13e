"""The body of a request, streamed into a folder of its own, with limits held while it comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import anyio
from anyio.to_thread import run_sync
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.scalars import WrittenScalar, resolve_scalars
from pytoon_pipeline.media.kinds import HEAD_BYTES, suffix_of
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.service.errors import ApiError

USUAL = "Send JPEG, PNG, WebP, GIF, AVIF, MP4, MOV, WebM, WAV, MP3, FLAC, OGG, M4A or AAC."

DEEPEST = 60
"""Lists and mappings inside each other that a document may have."""


@dataclass(frozen=True)
class UploadLimits:
    document: int = 1_000_000
    """Bytes of JSON."""
    file: int = 200_000_000
    """Bytes of one file."""
    body: int = 500_000_000
    """Bytes of a whole request."""
    files: int = 40
    idle_seconds: float = 60.0
    """A sender that is silent this long is left."""


@dataclass(frozen=True)
class UploadedFile:
    """A file that came with a request."""

    name: str
    """As its sender calls it. Never a path to anything here."""
    stored: str
    """Its name in the job's folder: `media-01.jpg`."""
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class ReceivedRequest:
    data: dict[str, Any]
    uploads: list[UploadedFile] = field(default_factory=list)


async def receive_request(request: Request, folder: Path, limits: UploadLimits) -> ReceivedRequest:
    """The document of a request, its files written to `folder`.

    Raises ApiError: 400 for what can't be read, 408, 413, 415, 422.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.body:
        raise too_large("The request", limits.body)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind == b"application/json":
        if length.isdigit() and int(length) > limits.document:
            raise too_large("The document", limits.document)
        text = bytearray()
        async for chunk in iterate_chunks(request, limits):
            text += chunk
            if len(text) > limits.document:
                raise too_large("The document", limits.document)
        return ReceivedRequest(await run_sync(read_json, bytes(text)))
    if kind != b"multipart/form-data":
        raise ApiError(
            415,
            "body.type",
            "The body is neither JSON nor a form with files.",
            "Send application/json, or multipart/form-data with the parts `brief` and `media`.",
            headers={"Accept-Post": "application/json, multipart/form-data"},
        )
    form = _FormReader(options.get(b"boundary", b""), folder, limits)
    try:
        async for chunk in iterate_chunks(request, limits):
            await run_sync(form.feed, chunk)
        return await run_sync(form.result)
    finally:
        form.close()


async def iterate_chunks(request: Request, limits: UploadLimits) -> AsyncIterator[bytes]:
    stream, seen = request.stream(), 0
    while True:
        try:
            with anyio.fail_after(limits.idle_seconds):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ApiError(408, "body.slow", "Nothing came for too long.", "Send it again.") from (
                None
            )
        except ClientDisconnect:
            raise ApiError(400, "body.cut", "The request broke off.", "Send it again.") from None
        seen += len(chunk)
        if seen > limits.body:
            raise too_large("The request", limits.body)
        yield chunk


def too_large(what: str, most: int) -> ApiError:
    return ApiError(
        413,
        "body.too_large",
        f"{what} is over {most / 1e6:g} MB.",
        "Send less; media may also lie in a named media root of the server.",
    )


# JSON --------------------------------------------------------------------------------------------


_WRITTEN = {"brief": Brief, "spec": RenderSpec}


def read_json(data: bytes) -> dict[str, Any]:
    """A JSON object of text that can be stored and numbers that are numbers. Raises ApiError."""

    def json_error(message: str, remedy: str = "Correct it.") -> ApiError:
        return ApiError(400, "body.json", f"The document {message}", remedy)

    def build_object(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            raise ValueError("a key stands there twice")
        return made

    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=build_object,
            parse_int=lambda digits: WrittenScalar(digits, int(digits)),
            parse_float=lambda digits: WrittenScalar(digits, float(digits)),
        )
        if _deeper_than(value, DEEPEST):
            raise json_error(f"is nested more than {DEEPEST} deep.")
        # A number where a line belongs keeps its digits: 19.90.
        value = (
            {
                k: resolve_scalars(v, _WRITTEN.get(k, Any), drawn_only=True).data
                for k, v in value.items()
            }
            if isinstance(value, dict)
            else resolve_scalars(value).data
        )
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeDecodeError:
        raise json_error("is not UTF-8 text.", "Send it as UTF-8.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise json_error(f"is not valid JSON: {place}: {error.msg}.") from None
    except UnicodeEncodeError:
        raise json_error("has half of a character: a lone surrogate.") from None
    except RecursionError:
        raise json_error(f"is nested more than {DEEPEST} deep.") from None
    except ValueError as error:
        raise json_error(f"is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ApiError(
            422, "body.shape", "The document is not an object.", 'Send {"brief": {...}}.'
        )
    return value


def _deeper_than(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most + 1):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner += each.values()
            elif isinstance(each, list):
                inner += each
        if not inner:
            return False
        level = inner
    return True


# Forms -------------------------------------------------------------------------------------------


class _FormReader:
    """A form as it comes in: the part `brief` in memory, each part `media` into a file."""

    def __init__(self, boundary: bytes, folder: Path, limits: UploadLimits):
        self.folder, self.limits = folder, limits
        self.uploads: list[UploadedFile] = []
        self.document: bytearray | None = None
        self._ended = False
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value = b"", b""
        self._part = ""
        self._file: IO[bytes] | None = None
        self._name, self._size, self._head = "", 0, b""
        self._hash = hashlib.sha256()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._on_field,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._open_file,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._finish_form,
                },
            )
        except FormParserError as error:
            raise _malformed_form_error(error) from None
        if not boundary:
            raise _malformed_form_error("its boundary is missing")

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed_form_error(error) from None

    def result(self) -> ReceivedRequest:
        if not self._ended:
            raise _malformed_form_error("it breaks off")
        if self.document is None:
            raise ApiError(
                422,
                "body.brief",
                "The form has no part `brief`.",
                'Send the JSON {"brief": {...}} as the part `brief`.',
            )
        return ReceivedRequest(read_json(bytes(self.document)), self.uploads)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    # What the parser calls, in order.

    def _begin_part(self) -> None:
        self._headers, self._part = {}, ""

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _open_file(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._part = options.get(b"name", b"").decode(errors="replace")
        if self._part == "brief":
            if self.document is not None:
                raise ApiError(422, "body.brief", "There are two parts `brief`.", "Send one.")
            self.document = bytearray()
            return
        if self._part != "media":
            raise ApiError(
                422,
                "body.part",
                f"{self._part[:60]!r} is not a part that is known here.",
                "Send the parts `brief` and `media`.",
            )
        try:
            self._name = options.get(b"filename", b"").decode()
        except UnicodeDecodeError:
            self._name = ""
        if not self._name:
            raise ApiError(
                422,
                "media.name",
                "A part `media` has no file name in UTF-8.",
                "Send `filename=` as the brief names the file.",
            )
        if len(self.uploads) >= self.limits.files:
            raise ApiError(
                413,
                "media.too_many",
                f"There are more than {self.limits.files} files.",
                "Send fewer.",
            )
        self._size, self._head, self._hash = 0, b"", hashlib.sha256()
        self._file = (self.folder / f"part-{len(self.uploads) + 1:02d}").open("xb")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._part == "brief":
            assert self.document is not None
            self.document += piece
            if len(self.document) > self.limits.document:
                raise too_large("The document", self.limits.document)
            return
        assert self._file is not None
        self._size += len(piece)
        if self._size > self.limits.file:
            raise too_large(f"The file {self._name[:60]!r}", self.limits.file)
        if len(self._head) < HEAD_BYTES:
            self._head += piece[: HEAD_BYTES - len(self._head)]
            if len(self._head) == HEAD_BYTES:
                self._part_kind()  # A large file of a wrong kind is refused before the rest comes.
        self._hash.update(piece)
        self._file.write(piece)

    def _end_part(self) -> None:
        if self._file is None:
            return
        kind = self._part_kind()
        self._file.close()
        written, self._file = Path(self._file.name), None
        stored = f"media-{len(self.uploads) + 1:02d}{kind}"
        written.rename(self.folder / stored)
        self.uploads.append(UploadedFile(self._name, stored, self._hash.hexdigest(), self._size))

    def _finish_form(self) -> None:
        self._ended = True

    def _part_kind(self) -> str:
        kind = suffix_of(self._head)
        if kind is None:
            raise ApiError(
                415, "media.type", f"{self._name[:60]!r} is no picture, clip or sound.", USUAL
            )
        return kind


def _malformed_form_error(reason: object) -> ApiError:
    return ApiError(400, "body.form", f"The form can't be read: {reason}.", "Send it again.")
