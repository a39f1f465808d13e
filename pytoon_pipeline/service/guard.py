"""Who may call: tokens, and for a server without one the names that browsers may call it by."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pytoon_pipeline.origins import is_cross_site, is_loopback, split_authority
from pytoon_pipeline.service.errors import ApiError, error_response, from_exception

OPEN_PATHS = ("/health", "/openapi.json")
"""Answered without a token: they say nothing of any job."""


METRICS_PATH = "/metrics"
"""Answered without a token to whoever is on this machine."""


def tokens_of(setting: str | None) -> tuple[str, ...]:
    """The tokens of `PYTOON_TOKEN`, separated by commas."""
    return tuple(t.strip() for t in (setting or "").split(",") if t.strip())


def _calls_by_loopback(headers: Headers) -> bool:
    """Is this server called by a name of this machine's own?"""
    found = split_authority(headers.get("host", ""))
    return found is not None and is_loopback(found[0])


def _is_passed_on(headers: Headers) -> bool:
    """Does a proxy pass this request on? Then it may come from anywhere."""
    return any(
        name in ("forwarded", "via", "x-real-ip") or name.startswith("x-forwarded-")
        for name in headers
    )


def _from_here(scope: Scope, headers: Headers) -> bool:
    """Does a program of this machine call by this machine's own name?"""
    client = scope.get("client")
    return (
        client is not None
        and is_loopback(client[0])
        and _calls_by_loopback(headers)
        and not _is_passed_on(headers)
        and "origin" not in headers
        and not is_cross_site(scope["method"], headers)
    )


def token_of(headers: Headers) -> str | None:
    """The token that a request shows."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def owner_of(headers: Headers) -> str:
    """Stands for the token of a request in the table of jobs; empty where there is none."""
    token = token_of(headers)
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest() if token else ""


class RequestGuard:
    """Lets through what may be served, before anything of a body is read, and puts on every answer
    the headers that keep browsers from guessing."""

    def __init__(self, app: ASGIApp, tokens: Sequence[str]):
        self.app = app
        self._tokens = [hashlib.sha256(t.encode()).digest() for t in tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        error = self._find_objection(scope, Headers(scope=scope))
        if error is None:
            try:
                await self.app(scope, receive, send_with_headers)
                return
            except Exception as fault:
                if begun:
                    raise
                error = from_exception(Request(scope), fault)
        await error_response(error)(scope, receive, send_with_headers)

    def _find_objection(self, scope: Scope, headers: Headers) -> ApiError | None:
        if "transfer-encoding" in headers and "content-length" in headers:
            # A proxy may take the other one for the length, and another request for the rest.
            return ApiError(
                400,
                "request.length",
                "The body has two lengths.",
                "Send Content-Length or Transfer-Encoding, not both.",
                headers={"Connection": "close"},
            )
        if not self._tokens:
            return self._find_foreign_host(scope, headers)
        if scope["path"] in OPEN_PATHS:
            return None
        if scope["path"] == METRICS_PATH and _from_here(scope, headers):
            return None
        shown = hashlib.sha256((token_of(headers) or "").encode("utf-8", "replace")).digest()
        # All are compared, so that the time taken tells nothing.
        if any([hmac.compare_digest(shown, known) for known in self._tokens]):
            return None
        return ApiError(
            401,
            "auth.token",
            "This request shows no token that is known here.",
            "Send `Authorization: Bearer ...` with the server's PYTOON_TOKEN.",
            headers={"WWW-Authenticate": 'Bearer realm="pytoon"'},
        )

    def _find_foreign_host(self, scope: Scope, headers: Headers) -> ApiError | None:
        """A page of the web may lead a browser here by a name of its own that points to this
        machine, or post to it unasked; a proxy lets in whoever reaches it."""
        if not _calls_by_loopback(headers):
            return ApiError(
                403,
                "auth.host",
                "Without a token this server answers to localhost only.",
                "Call it as 127.0.0.1, or set PYTOON_TOKEN.",
            )
        if _is_passed_on(headers):
            return ApiError(
                403,
                "auth.proxy",
                "Without a token this server answers nothing that a proxy passes on.",
                "Call it directly, or set PYTOON_TOKEN.",
            )
        if is_cross_site(scope["method"], headers):
            return ApiError(
                403,
                "auth.origin",
                "Without a token this server takes nothing from web pages.",
                "Set PYTOON_TOKEN, and send it.",
            )
        return None
