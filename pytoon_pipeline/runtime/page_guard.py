"""What Dagster's page answers: requests of its own pages and of programs, and none that a page of
another site causes in an operator's browser.

Dagster's web server has no such check of its own. It executes a mutation that comes as a GET
request or as a form, whatever Host and Origin say: an image on any web page could stop a sensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pytoon_pipeline.origins import is_cross_site, is_known_host
from pytoon_pipeline.settings import PAGE_HOSTS


@dataclass(frozen=True)
class PageRefusal:
    """Why a request is not answered."""

    status: int
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}\n"


class PageGuard:
    """ASGI middleware. `hosts` are the names that the page is known by, besides localhost and IP
    addresses."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()):
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):  # The server starts or ends.
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                add_security_headers(MutableHeaders(scope=message))
            await send(message)

        refusal = self.refuse(scope)
        if refusal is None:
            await self.app(scope, receive, send_with_headers)
            return
        answer = PlainTextResponse(str(refusal), refusal.status)
        if scope["type"] == "websocket":
            socket = WebSocket(scope, receive, send_with_headers)
            await socket.receive()  # The handshake.
            await socket.send_denial_response(answer)
        else:
            await answer(scope, receive, send_with_headers)

    def refuse(self, scope: Scope) -> PageRefusal | None:
        """Why a request is refused; None when it is answered."""
        headers = Headers(scope=scope)
        named = headers.getlist("host")
        if len(named) != 1 or not is_known_host(named[0], self.hosts):
            return PageRefusal(
                421,
                "This server does not know the host name that it was called by.",
                f"Call it by localhost or its IP address, or add the name to {PAGE_HOSTS}.",
            )
        # A handshake is a GET request, and its connection can then do everything.
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        if is_cross_site(method, headers):
            return PageRefusal(
                403,
                "A page of another site caused this request.",
                f"Open this page itself. Behind a proxy: it has to pass Host on unchanged, and "
                f"the name has to be in {PAGE_HOSTS}.",
            )
        return None if scope["type"] == "websocket" else _refuse_method(scope, headers)


def _refuse_method(scope: Scope, headers: Headers) -> PageRefusal | None:
    """Only what browsers do not send to other sites unasked may change anything: a POST request
    with JSON."""
    method = scope["method"]
    if method in ("GET", "HEAD"):
        if not scope["path"].rstrip("/").endswith("/graphql"):
            return None
        # What is left is the page to try queries out with.
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if "query" not in query and "text/html" in headers.get("accept", ""):
            return None
        return PageRefusal(
            405, "GraphQL is not executed by GET.", "Send it by POST as application/json."
        )
    if method != "POST":
        return PageRefusal(405, f"{method} is not answered.", "Use GET or POST.")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return PageRefusal(415, "The body is not JSON.", "Send it as application/json.")
    return None


def add_security_headers(headers: MutableHeaders) -> None:
    """Keeps other sites from framing the page, and browsers from guessing types and telling others
    where a person comes from."""
    # Pages that have a policy keep it: browsers hold to both.
    headers.append("Content-Security-Policy", "frame-ancestors 'self'")
    headers["X-Frame-Options"] = "SAMEORIGIN"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
