"""An HTTP client that connects to what a guard has checked, and to nothing else.

Names are looked up once, by the guard; the connection goes to exactly those IP addresses, while
TLS still wants a certificate for the name. So a name that leads elsewhere a moment later gains
nothing. Each request has a connection of its own, checked anew, and a time for all of it.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import httpcore
import httpx

from pytoon_pipeline.errors import FetchRefused
from pytoon_pipeline.media.addresses import Guard, shown

# They write whole addresses to the log, and the keys of signed links with them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_TRIED = 4
"""IP addresses of a host that are tried, at most."""
_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
)


def open_client(
    guard: Guard,
    *,
    connect: float = 10.0,
    silence: float = 20.0,
    whole: float = 120.0,
    tls: ssl.SSLContext | None = None,
) -> httpx.Client:
    """A client whose every request the guard checks; safe to share between threads.

    Seconds: to `connect`, shared by a host's IP addresses, of `silence` while data are awaited,
    and for the `whole` of a request and its answer. `tls` is for tests. No proxies, no redirects,
    no passwords of this machine. Requests raise FetchRefused where the guard says no, and httpx's
    own errors otherwise.
    """
    return httpx.Client(
        transport=_Transport(guard, whole, tls or _certificates()),
        timeout=httpx.Timeout(silence, connect=connect),
        follow_redirects=False,
        trust_env=False,
    )


@lru_cache
def _certificates() -> ssl.SSLContext:
    """The usual authorities, or those that SSL_CERT_FILE names."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise FetchRefused(
            "media.unreachable",
            f"The certificates of this machine's authorities can't be read: {error}.",
            "Check SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error


class _Transport(httpx.BaseTransport):
    def __init__(self, guard: Guard, whole: float, tls: ssl.SSLContext):
        self._guard, self._whole, self._tls = guard, whole, tls

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = self._guard.check(request.url)
        pool = httpcore.ConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=_Network(self._guard, url, time.monotonic() + self._whole),
        )
        asked = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=url.raw_scheme,
                # A final dot is part of no certificate's name.
                host=url.raw_host.rstrip(b"."),
                port=url.port,
                target=url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            with _as_httpx():
                answer = pool.handle_request(asked)
        except BaseException:
            pool.close()
            raise
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream, pool),
            extensions=answer.extensions,
        )


class _Body(httpx.SyncByteStream):
    """An answer's body; its connection is closed with it."""

    def __init__(self, stream: Any, pool: httpcore.ConnectionPool):
        self._stream, self._pool = stream, pool

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._stream

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._pool.close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """httpx has errors of the same names."""
    try:
        yield
    except _FAILURES as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error)) from error


class _Network(httpcore.NetworkBackend):
    """Connects a host's name to the addresses that the guard lets pass, the first that answers."""

    def __init__(self, guard: Guard, url: httpx.URL, until: float):
        self._guard, self._said, self._until = guard, shown(str(url)), until
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError(f"{host} can't be reached")
        found = self._guard.addresses(host, port, self._said)[:_TRIED]
        share = None if timeout is None else timeout / len(found)
        for ip in found:
            left = _left(self._until, share, httpcore.ConnectTimeout)
            try:
                # An IP address: nothing is looked up again.
                stream = self._sockets.connect_tcp(ip, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._until)
        raise failure

    def sleep(self, seconds: float) -> None:
        self._sockets.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection that ends at a given time, even while it trickles."""

    def __init__(self, stream: httpcore.NetworkStream, until: float):
        self._stream, self._until = stream, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._until, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._until, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._until, timeout, httpcore.ConnectTimeout)
        return _Stream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._until
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float, timeout: float | None, over: Callable[[str], Exception]) -> float:
    """Seconds that one step may take; raises `over` when the whole time is used up."""
    left = until - time.monotonic()
    if left <= 0:
        raise over("the whole time is used up")
    return left if timeout is None else min(left, timeout)
