"""Another Pytoon, for tests: a real `pytoon serve --segments` on a port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from pytoon_pipeline.service.app import make_app
from pytoon_pipeline.service.segment_queue import SegmentQueue
from pytoon_pipeline.service.server import open_socket
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.services import open_services


@dataclass
class Serving:
    """A peer that runs."""

    url: str
    bench: SegmentQueue
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request, in order."""
    meddle: Callable[[dict[str, Any], Any], Any] | None = None
    """May stand between the server and what it sends: scope and send -> another send."""

    def count(self, method: str, start: str = "/segments") -> int:
        return sum(m == method and p.startswith(start) for m, p in self.calls)


@contextmanager
def serving(
    folder: Path, *, token: str | None = None, port: int = 0, **options: Any
) -> Iterator[Serving]:
    """A `pytoon serve --segments` with an install of its own in `folder`."""
    env = {"PYTOON_HOME": str(folder)} | ({"PYTOON_TOKEN": token} if token else {})
    settings = load_settings(env)
    bench = SegmentQueue(open_services(settings), **{"workers": 2, **options})
    app = make_app(settings, bench=bench)
    with open_socket("127.0.0.1", port) as here:
        peer = Serving(f"http://127.0.0.1:{here.getsockname()[1]}", bench)

        async def watched(scope, receive, send):
            if scope["type"] == "http":
                peer.calls.append((scope["method"], scope["path"]))
                send = peer.meddle(scope, send) if peer.meddle else send
            await app(scope, receive, send)

        config = uvicorn.Config(
            watched, log_level="critical", access_log=False, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([here],), daemon=True)
        thread.start()
        try:
            yield peer
        finally:
            server.should_exit = True
            thread.join(15)
            assert not thread.is_alive()
