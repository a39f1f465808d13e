"""`pytoon serve`."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.settings import Settings


def serve(
    settings: Settings, host: str = "127.0.0.1", port: int = 8321, segments: bool = False
) -> int:
    """Runs until Ctrl-C or SIGTERM; returns 0. With `segments` it renders segments for other
    Pytoons, too.

    Raises UserError when the port is taken, or when others could call it without a token;
    SettingsError or StoreError for what can't be opened.
    """
    import uvicorn

    from pytoon_pipeline.service.app import make_app
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
        from pytoon_pipeline.service.segment_work import open_bench

        bench = open_bench(settings)
    app = make_app(settings, bench=bench)
    with listen(host, port) as here:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        shown = f"[{host}]" if ":" in host else host
        port = here.getsockname()[1]
        print(f"Pytoon listens at http://{shown}:{port} . Ctrl-C ends it.", flush=True)
        if bench is not None:
            print(
                f"It renders segments for other Pytoons, {bench.workers} at a time.",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        print("Videos are made by a daemon beside it: `pytoon dev`.", file=sys.stderr, flush=True)
        with _ended_by_signals(), contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[here])
    return 0


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more when all is closed."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
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
