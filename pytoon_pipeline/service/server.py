"""`pytoon serve`."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.maintenance.machine import MachineTidying
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.telemetry.logs import format_line, setup_logging, write_line

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pytoon_pipeline.service.connections import ConnectionBounds


def run_server(
    settings: Settings, host: str = "127.0.0.1", port: int = 8321, segments: bool = False
) -> int:
    """Runs until Ctrl-C or SIGTERM; returns 0. With `segments` it renders segments for other
    Pytoons, too.

    Raises UserError when the port is taken, or when others could call it without a token;
    SettingsError or StoreError for what can't be opened.
    """
    from pytoon_pipeline.service.app import make_app
    from pytoon_pipeline.service.connections import ConnectionBounds
    from pytoon_pipeline.service.guard import is_loopback, tokens_of

    if not tokens_of(settings.token) and not is_loopback(host):
        raise UserError(
            Problem(
                "serve.token",
                f"{host} can be reached by others, and no token is set.",
                "Set PYTOON_TOKEN, or listen on 127.0.0.1.",
                field="--host",
            )
        )
    bench = None
    if segments:
        from pytoon_pipeline.service.segment_queue import open_bench

        bench = open_bench(settings)
    app: ASGIApp = make_app(settings, bench=bench)
    as_json = setup_logging(settings, also=("uvicorn",))
    if as_json:
        app = RequestLines(app)
    with open_socket(host, port) as here:
        server = server_of(
            app, ConnectionBounds().within_descriptors(raise_descriptors()), own_lines=as_json
        )
        shown = f"[{host}]" if ":" in host else host
        port = here.getsockname()[1]
        print(f"Pytoon listens at http://{shown}:{port} . Ctrl-C ends it.", flush=True)
        if bench is not None:
            _print_message(
                f"It renders segments for other Pytoons, {bench.workers} at a time.", as_json
            )
        _print_message("Videos are made by a daemon beside it: `pytoon dev`.", as_json)
        with MachineTidying(), _ended_by_signals(), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[here])
    return 0


def server_of(app: ASGIApp, bounds: ConnectionBounds, *, own_lines: bool = False) -> uvicorn.Server:
    """The server of an app, which holds its callers to the bounds. With `own_lines` its
    log has the lines that `setup_logging` set up."""
    import uvicorn

    from pytoon_pipeline.service.connections import protocol_of

    config = uvicorn.Config(
        app,
        # This parser bounds the bytes of a head; the other one that uvicorn knows does not.
        http=protocol_of(bounds),  # type: ignore[arg-type]
        h11_max_incomplete_event_size=bounds.head_bytes,
        loop="asyncio",
        ws="none",
        backlog=bounds.backlog,
        timeout_keep_alive=max(1, round(bounds.idle_seconds)),
        timeout_graceful_shutdown=10,
        access_log=False,
        # Its own set-up would put words between the lines.
        log_config=None if own_lines else uvicorn.config.LOGGING_CONFIG,
        log_level="warning",
        server_header=False,
    )
    return uvicorn.Server(config)


DESCRIPTORS = 8192
"""As many as a busy server may need."""


def raise_descriptors() -> int:
    """Have the system allow this process more file descriptors, where it may; how many it has."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft


def _print_message(text: str, as_json: bool) -> None:
    if as_json:
        write_line(format_line("message", source="serve", message=text))
    else:
        print(text, file=sys.stderr, flush=True)


class RequestLines:
    """A line for each request, when it is answered: never its query, its headers or its body."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def note_message(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_message)
        finally:
            said = {"method": scope["method"], "path": scope["path"], "status": status or 500}
            write_line(
                format_line(
                    "request",
                    level="error" if said["status"] >= 500 else "info",
                    source="serve",
                    seconds=time.monotonic() - began,
                    **said,
                    message=f"{said['method']} {said['path']} {said['status']}",
                )
            )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Uvicorn raises the signal that ended it once more when all is closed."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a taken port is known before anything else begins."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(128)
        except BaseException:
            made.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(
            Problem(
                "serve.port",
                f"{host}:{port} can't be listened on: {getattr(error, 'strerror', error)}.",
                "End what runs there, or choose another with --port.",
                field="--port",
            )
        ) from error
    return made
