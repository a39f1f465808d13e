"""A real S3 server (moto's) in a process of its own, and a proxy before it that makes trouble.

    with s3_server() as server:           # Ends with the block, or with this process, even killed.
        server.bucket("shop")
        monkeypatch.setenv(...)           # server.environ: endpoint, credentials, region
        with trouble(server.url) as proxy:  # Point PYTOON_S3_ENDPOINT at proxy.url.
            proxy.fail(2)                   # The next two requests are answered with 500 ...
            proxy.fail(1, 503, "PUT")       # ... the next PUT with 503
            proxy.lose(1, "PUT")            # It is done, but answered with 500.
            proxy.cut(1)                    # Half a body, then the connection ends.
            proxy.spoil(1)                  # A body with one bit turned.
            proxy.delay = 0.2               # Seconds before each request.
            proxy.down = True               # Connections end without an answer.
            proxy.requests                  # What came: ["PUT /shop/a.mp4", ...]; may be cleared.

Faults hit only requests for objects whose `METHOD /path?query` the given pattern (a regular
expression, searched for) fits; those set first are used up first.

What moto lacks is added in the server's process: conditional writes are atomic, and links end.

Alone: `python tests/s3_server.py` prints its address and serves until its input ends.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
REGION = "us-east-1"


# The server --------------------------------------------------------------------------------------


@dataclass
class S3Server:
    url: str

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to use it; a bucket apart."""
        return {
            **KEYS,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "PYTOON_S3_ENDPOINT": self.url,
        }

    def client(self) -> Any:
        """A boto3 client, whatever the environment says."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )

    def bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def s3_server() -> Iterator[S3Server]:
    argv = [sys.executable, str(Path(__file__).resolve())]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), "the S3 server did not start"
        yield S3Server(url)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe and pipe.close()


def _serve() -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = DomainDispatcherApplication(create_backend_app)
    alone = threading.Lock()

    def app(environ: dict[str, Any], start: Any) -> Any:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if "X-Amz-Expires" in query:
            made = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if time.time() > made.timestamp() + int(query["X-Amz-Expires"][0]):
                start("403 Forbidden", [("Content-Type", "application/xml")])
                return [
                    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
                    b"</Error>"
                ]
        if "HTTP_IF_NONE_MATCH" in environ and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            # moto looks, then writes: two threads could both find nothing.
            with alone:
                return list(moto(environ, start))
        return moto(environ, start)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # Until whoever started it ends.


# The proxy ---------------------------------------------------------------------------------------

_ERROR = (
    "<?xml version='1.0'?><Error><Code>{0}</Code><Message>It is not your fault.</Message></Error>"
)
_CODES = {
    500: "InternalError",
    503: "SlowDown",
    501: "NotImplemented",
    403: "AccessDenied",
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
}


class Trouble:
    def __init__(self, upstream: str):
        self.upstream = urlsplit(upstream)
        self.delay, self.down = 0.0, False
        self.requests: list[str] = []
        self._faults: list[list[Any]] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"trouble": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, times: int, status: int = 500, pattern: str = "") -> None:
        self._add(("fail", status), times, pattern)

    def lose(self, times: int, pattern: str = "") -> None:
        self._add(("lose", 500), times, pattern)

    def cut(self, times: int, pattern: str = "^GET") -> None:
        self._add(("cut", 0), times, pattern)

    def spoil(self, times: int, pattern: str = "^GET") -> None:
        self._add(("spoil", 0), times, pattern)

    def _add(self, what: tuple[str, int], times: int, pattern: str) -> None:
        with self._lock:
            self._faults.append([what, times, pattern])

    def calm(self) -> None:
        """No more trouble, and nothing counted."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()
            self.delay, self.down = 0.0, False

    def arrived(self, line: str) -> tuple[str, int]:
        with self._lock:
            self.requests.append(line)
            for fault in self._faults:
                what, left, pattern = fault
                if left > 0 and re.search(pattern, line):
                    fault[1] -= 1
                    return what
        return ("", 0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # Head and body in one go: two small packets cost 40 ms.
    trouble: Trouble

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def _any(self) -> None:
        trouble = self.trouble
        # Read whole, whatever becomes of it: the connection goes on.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if trouble.down:
            self.close_connection = True
            return
        time.sleep(trouble.delay)
        what, status = trouble.arrived(f"{self.command} {self.path}")
        if what == "fail":
            return self._error(status)
        upstream = http.client.HTTPConnection(trouble.upstream.netloc, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
            upstream.request(self.command, self.path, body or None, headers)
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        if what == "lose":
            return self._error(status)
        if what == "spoil":
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if what == "cut":
            data, self.close_connection = data[: len(data) // 2], True
        self.wfile.write(data)

    def _error(self, status: int) -> None:
        data = _ERROR.format(_CODES.get(status, "InternalError")).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def trouble(upstream: str) -> Iterator[Trouble]:
    made = Trouble(upstream)
    threading.Thread(target=made._server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        with suppress(Exception):
            made._server.shutdown()
        made._server.server_close()


if __name__ == "__main__":
    _serve()
