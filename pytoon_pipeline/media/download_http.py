"""Download a file over http(s): redirects, retries, and what the answers mean."""

from __future__ import annotations

import logging
import ssl
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pytoon_pipeline import __version__
from pytoon_pipeline.errors import FetchRefusedError
from pytoon_pipeline.media.addresses import AddressGuard, redirect_target, strip_query
from pytoon_pipeline.media.answers import declared_length, retry_after
from pytoon_pipeline.media.download import (
    CHUNK,
    DownloadLimits,
    DownloadSink,
    FileDownload,
    FileVersion,
    address_digest,
    check_type,
    too_slow,
)

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("pytoon.fetch")

_LONGEST_MARK = 1000
"""Characters of an ETag or a date that are kept."""
_LATER = (429, 502, 503, 504)
"""Statuses after which it is worth asking again."""


class _RetryError(Exception):
    """It failed, but may not the next time. Holds what to say when it does."""

    def __init__(self, refusal: FetchRefusedError, pause: float | None = None):
        self.refusal, self.pause = refusal, pause


def download_http(
    address: str,
    target: Path,
    guard: AddressGuard,
    limits: DownloadLimits,
    known: FileVersion | None = None,
    tls: ssl.SSLContext | None = None,
) -> FileDownload | None:
    """Download the file at an address to `target`, and return what it is, or None when it still is
    the `known` version.

    Raises FetchRefusedError: all that `AddressGuard` raises, `media.status`, `media.type`,
    `media.too_large`, `media.timeout`, `media.unreachable`. Raises OSError when the target can't be
    written.
    """
    until = time.monotonic() + limits.whole
    for n in range(limits.retries + 1):
        try:
            return _follow_redirects(address, target, guard, limits, known, until, tls)
        except _RetryError as failed:
            pause = limits.pause * 2**n if failed.pause is None else failed.pause
            late = time.monotonic() + pause >= until or pause > limits.longest_pause
            if n == limits.retries or late:
                raise failed.refusal from failed
            log.info("%s Asked again in %.1f s.", failed.refusal.message, pause)
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _follow_redirects(
    address: str,
    target: Path,
    guard: AddressGuard,
    limits: DownloadLimits,
    known: FileVersion | None,
    until: float,
    tls: ssl.SSLContext | None,
) -> FileDownload | None:
    """One try, through all redirects; each is checked as if it had been written in the brief."""
    import httpx

    from pytoon_pipeline.media.client import open_client

    said, url = strip_query(address), guard.check(address)
    for _ in range(limits.redirects + 1):
        left = until - time.monotonic()
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        headers["User-Agent"] = f"pytoon/{__version__}"
        same = known if known and known.asked == address_digest(str(url)) else None
        if same and same.etag:
            headers["If-None-Match"] = same.etag
        if same and same.modified:
            headers["If-Modified-Since"] = same.modified
        try:
            with (
                open_client(
                    guard, connect=limits.connect, silence=limits.silence, whole=left, tls=tls
                ) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                location = answer.extensions.get("location")
                if location is not None:
                    # Checked before the client sees it: httpx takes some for relative.
                    url = _redirect_target(url, guard.check(redirect_target(url, location)))
                    continue
                if answer.status_code == 304 and same:
                    return None
                if answer.status_code != 200:
                    _refuse_status(said, answer)
                return _take_answer(said, answer, target, limits, until, address_digest(str(url)))
        except FetchRefusedError as error:
            # Where a redirect led there, the address of the brief is named, too.
            led = "" if said in error.message else f"{said} leads on: "
            refusal = FetchRefusedError(error.code, led + error.message, error.remedy)
            raise _RetryError(refusal) if error.code == "media.unreachable" else refusal from error
        except httpx.TimeoutException as error:
            raise too_slow(said, limits) from error
        except httpx.HTTPError as error:
            raise _unreachable_error(said, error) from error
    raise FetchRefusedError(
        "media.status",
        f"{said} leads on to other addresses more than {limits.redirects} times.",
        "Give the address at its end.",
    )


def _redirect_target(url: httpx.URL, to: httpx.URL) -> httpx.URL:
    """Where a redirect leads; the client checks it when it is asked."""
    if url.scheme == "https" and to.scheme == "http":
        raise FetchRefusedError(
            "media.scheme",
            f"{strip_query(str(to))} is not encrypted, though the address before it is.",
            "Give an https address that stays so.",
        )
    return to


def _take_answer(
    said: str,
    answer: httpx.Response,
    target: Path,
    limits: DownloadLimits,
    until: float,
    asked: str,
) -> FileDownload:
    check_type(said, answer.headers.get("content-type", ""))
    if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise FetchRefusedError(
            "media.type",
            f"{said} comes packed, though it was asked for as it is.",
            "Have the server send media without Content-Encoding.",
        )
    with DownloadSink(target, said, limits, until) as sink:
        sink.expect(declared_length(answer))
        for chunk in answer.iter_raw(CHUNK):
            sink.write(chunk)
        return sink.finish(
            FileVersion(
                asked, _read_validator(answer, "etag"), _read_validator(answer, "last-modified")
            )
        )


def _read_validator(answer: httpx.Response, name: str) -> str | None:
    """A header that is to be sent back as it is, unless it is one that can't be."""
    text = answer.headers.get(name, "")
    fine = text.isascii() and text.isprintable() and 0 < len(text) <= _LONGEST_MARK
    return text if fine else None


def _refuse_status(said: str, answer: httpx.Response) -> NoReturn:
    status = answer.status_code
    remedy = {
        401: "Use a link that works without a login, or a signed one.",
        403: "A signed link may have run out: make a new one.",
        404: "Check the address.",
        410: "Check the address.",
        429: "Try again later.",
    }.get(status, "Try again later." if status >= 500 else "Give another address.")
    # The usual words for it: the server's own could say anything.
    phrase = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else status
    refusal = FetchRefusedError("media.status", f"{said}: the server answers {phrase}.", remedy)
    if status in _LATER:
        raise _RetryError(refusal, retry_after(answer.headers.get("retry-after", "")))
    raise refusal


def _unreachable_error(said: str, error: httpx.HTTPError) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return FetchRefusedError(
                "media.unreachable",
                f"{said}: the server has no valid certificate: {cause.verify_message}.",
                "Correct the address, or the server's certificate.",
            )
        cause = cause.__cause__ or cause.__context__
    reason = (str(error).partition("] ")[2] or str(error))[:200]
    return _RetryError(
        FetchRefusedError(
            "media.unreachable",
            f"{said} can't be reached, or breaks off: {reason or type(error).__name__}.",
            "Try again; check the address, and this machine's network.",
        )
    )
