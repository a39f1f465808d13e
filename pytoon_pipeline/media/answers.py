"""Answers of other servers, read within bounds: of bytes as they come and as they unpack, of values
in a document and of how deep they lie. Their time is bounded by `media.client`."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from pytoon_pipeline.errors import PytoonError

if TYPE_CHECKING:
    import httpx

MAX_VALUES = 2_000_000
"""Of a document. The nodes of a ComfyUI server with many extensions are some 200,000; each takes
about 100 bytes once it is read."""
MAX_LEVELS = 100
_CHUNK = 1 << 16


class AnswerRefusedError(PytoonError):
    """An answer is too large, or packed in a way that was not asked for."""


def declared_length(answer: httpx.Response) -> int | None:
    """Return the bytes that an answer says it has; None where it does not say so."""
    text = answer.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def read_answer(answer: httpx.Response, most: int) -> bytes:
    """Return the body of a streamed answer, unpacked. Raises AnswerRefusedError where it has, or
    says that it has, more than `most` bytes, before or after it is unpacked; httpx's own errors
    otherwise."""
    if (declared_length(answer) or 0) > most:
        raise _too_large(most)
    unpack = _make_unpacker(answer.headers.get("content-encoding", ""))
    found = bytearray()
    for piece in answer.iter_raw(_CHUNK):
        found += unpack(piece, most + 1 - len(found))
        if len(found) > most:
            raise _too_large(most)
    return bytes(found)


def remove_secrets(secrets: Iterable[str], data: bytes) -> bytes:
    """Return an answer that is no success, without what was sent with the request: some hold all of
    it again, and their words are quoted."""
    for secret in filter(None, secrets):
        data = data.replace(secret.encode("utf-8", "surrogateescape"), b"***")
    return data


def _too_large(most: int) -> AnswerRefusedError:
    return AnswerRefusedError(f"its answer has more than the {most:,} bytes that are read")


def _make_unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Unpacks the next piece to no more than so many bytes."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return lambda piece, _: piece
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise AnswerRefusedError("its answer is packed, though it was asked for as it is")
    inflate = zlib.decompressobj(wbits=47)  # The header says which of the two it is.

    def unpack_piece(piece: bytes, most: int) -> bytes:
        try:
            # What goes beyond `most` is not unpacked, and the caller gives up.
            return inflate.decompress(piece, most)
        except zlib.error as error:
            raise AnswerRefusedError(f"its answer can't be unpacked ({error})") from None

    return unpack_piece


def parse_document(data: bytes) -> Any:
    """Return the JSON of an answer. Raises ValueError for what is none, or has too many values or
    levels: what is read here is copied, compared and printed, each with a call for each level."""
    # No value without one of these before or after it; those inside of texts count as well.
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    too_deep = ValueError(f"more than {MAX_LEVELS} levels inside each other")
    try:
        found = json.loads(data)
    except RecursionError:
        raise too_deep from None
    level = [found] if isinstance(found, (dict, list)) else []
    for _ in range(MAX_LEVELS):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
    if level:
        raise too_deep
    return found


def retry_after(text: str) -> float | None:
    """Return the seconds of a header `Retry-After`, which has seconds or a date."""
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text[:100]).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError, OSError):
        return None
