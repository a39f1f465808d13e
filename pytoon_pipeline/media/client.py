"""An HTTP client that connects to what a guard has checked, and to nothing else.

Names are looked up once, by the guard; the connection goes to exactly those IP addresses, while
TLS still wants a certificate for the name. So a name that leads elsewhere a moment later gains
nothing. Each request has a connection of its own, checked anew, and a time for all of it.

Redirects are never followed, nor are their targets parsed here: httpx would do so even where nobody
follows them, and raises whatever a malformed target makes it raise. The text of `Location` is in
`answer.extensions["location"]`; `media.addresses.redirect_target` reads it.
"""

from __future__ import annotations

import logging
import math
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from pytoon_pipeline.errors import FetchRefusedError, Problem, SettingsError
from pytoon_pipeline.media.addresses import AddressGuard, strip_query

# They write whole addresses to the log, and the keys of signed links with them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_PIECE = 1 << 16
"""Bytes that are sent in one step."""
_TRIED = 4
"""IP addresses of a host that are tried, at most."""
_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.ConnectionNotAvailable,
)
_REDIRECTS = (301, 302, 303, 307, 308)


def open_client(
    guard: AddressGuard,
    *,
    connect: float = 10.0,
    silence: float = 20.0,
    whole: float = 120.0,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
) -> httpx.Client:
    """Return a client whose every request the guard checks; safe to share between threads.

    Seconds: to `connect`, shared by a host's IP addresses, of `silence` while data are awaited, and
    for the `whole` of a request and its answer; a request may have another `whole` by its extension
    of that name. After an answer 101 the time is the caller's. `tls` is for tests. No redirects, no
    passwords of this machine, no proxy but the one that is given; it looks names up itself.
    Requests raise FetchRefusedError where the guard says no, and httpx's own errors otherwise.
    """
    return httpx.Client(
        transport=_GuardedTransport(guard, whole, tls or load_certificates(), proxy),
        timeout=httpx.Timeout(silence, connect=connect),
        follow_redirects=False,
        trust_env=False,
    )


def checked_token(token: str | None, setting: str) -> str | None:
    """Return a token as it can be sent in a header, without the line end that files add. Raises
    SettingsError, never with the token, for one that can't: libraries would quote it."""
    token = (token or "").strip()
    if token.isascii() and token.isprintable():
        return token or None
    raise SettingsError(
        Problem(
            "settings.token",
            "has letters that can't be sent: line ends, or others than those of ASCII.",
            "Copy the token again, in one line.",
            field=setting,
        )
    )


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment (`HTTPS_PROXY`, `NO_PROXY` and so on) names for an
    address."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    found = urllib.request.getproxies()
    proxy = found.get(parts.scheme) or found.get("all") or ""
    return (proxy if "://" in proxy else f"http://{proxy}") if proxy else None


@lru_cache
def load_certificates() -> ssl.SSLContext:
    """Return the usual authorities, or those that SSL_CERT_FILE names."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise FetchRefusedError(
            "media.unreachable",
            f"The certificates of this machine's authorities can't be read: {error}.",
            "Check SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error


class _GuardedTransport(httpx.BaseTransport):
    def __init__(self, guard: AddressGuard, whole: float, tls: ssl.SSLContext, proxy: str | None):
        self._guard, self._whole, self._tls, self._proxy = guard, whole, tls, proxy

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = self._guard.check(request.url)
        until = time.monotonic() + request.extensions.get("whole", self._whole)
        network = _GuardedNetwork(None if self._proxy else self._guard, url, until)
        pool = self._pool_for(network)
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
        headers, extensions = answer.headers, dict(answer.extensions)
        if answer.status in _REDIRECTS:
            named = [value for name, value in headers if name.lower() == b"location"]
            headers = [(name, value) for name, value in headers if name.lower() != b"location"]
            if named:
                extensions["location"] = _decode_header(named[0])
        if answer.status == 101:
            network.until = math.inf
        return httpx.Response(
            status_code=answer.status,
            headers=headers,
            stream=_ResponseBody(answer.stream, pool),
            extensions=extensions,
        )

    def _pool_for(self, network: _GuardedNetwork) -> httpcore.ConnectionPool:
        more: dict[str, Any] = {
            "ssl_context": self._tls,
            "max_connections": 1,
            "max_keepalive_connections": 0,
            "network_backend": network,
        }
        if self._proxy is None:
            return httpcore.ConnectionPool(**more)
        try:
            proxy = httpx.Proxy(self._proxy)
            if proxy.url.scheme not in ("http", "https") or not proxy.url.host:
                raise ValueError
        except (httpx.InvalidURL, ValueError):
            raise FetchRefusedError(
                "media.unreachable",
                "The proxy that the environment names is no http or https address.",
                "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.",
            ) from None
        address = httpcore.URL(
            scheme=proxy.url.raw_scheme,
            host=proxy.url.raw_host,
            port=proxy.url.port,
            target=b"/",
        )
        return httpcore.HTTPProxy(
            proxy_url=address,
            proxy_auth=proxy.raw_auth,
            proxy_ssl_context=(self._tls if proxy.url.scheme == "https" else None),
            **more,
        )


def _decode_header(header: bytes) -> str:
    try:
        return header.decode("utf-8")
    except UnicodeDecodeError:
        return header.decode("latin-1")


class _ResponseBody(httpx.SyncByteStream):
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
    """Httpx has errors of the same names. Where the text of one quotes what came or was to be sent
    (an answer may hold the request again, with its token), it is left out."""
    try:
        yield
    except _FAILURES as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        if isinstance(error, httpcore.ProxyError):
            raise kind(f"the proxy answers {str(error)[:3]}") from None
        if "b'" in str(error) or 'b"' in str(error):
            raise kind("what is sent is no HTTP") from None
        raise kind(str(error)) from error


class _GuardedNetwork(httpcore.NetworkBackend):
    """Connects a host's name to the addresses that the guard lets pass, the first that answers.
    Without a guard it is a proxy's name, which the environment gives. `until`: when all that goes
    over its connections has to be done."""

    def __init__(self, guard: AddressGuard | None, url: httpx.URL, until: float):
        self._guard, self._said, self.until = guard, strip_query(str(url)), until
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
        found = [host]
        if self._guard is not None:
            found = self._guard.addresses(host, port, self._said)[:_TRIED]
        share = None if timeout is None else timeout / len(found)
        for ip in found:
            left = _remaining_seconds(self.until, share, httpcore.ConnectTimeout)
            try:
                # An IP address: nothing is looked up again.
                stream = self._sockets.connect_tcp(ip, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _TimedStream(stream, self)
        raise failure

    def sleep(self, seconds: float) -> None:
        self._sockets.sleep(seconds)


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends at its network's time, even while it trickles."""

    def __init__(self, stream: httpcore.NetworkStream, network: _GuardedNetwork):
        self._stream, self._network = stream, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _remaining_seconds(self._network.until, timeout, httpcore.ReadTimeout)
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: sending all of a large buffer, a bit at a time, would be one step.
        view = memoryview(buffer)
        while view:
            left = _remaining_seconds(self._network.until, timeout, httpcore.WriteTimeout)
            self._stream.write(bytes(view[:_PIECE]), left)
            view = view[_PIECE:]

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _remaining_seconds(self._network.until, timeout, httpcore.ConnectTimeout)
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._network
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining_seconds(
    until: float, timeout: float | None, over: Callable[[str], Exception]
) -> float:
    """Seconds that one step may take; raises `over` when the whole time is used up."""
    left = until - time.monotonic()
    if left <= 0:
        raise over("the whole time is used up")
    least = left if timeout is None else min(left, timeout)
    return threading.TIMEOUT_MAX if math.isinf(least) else least
