"""Media at addresses, from real servers on this machine: who is asked, what is taken, what is kept.

Loopback is a private network, so most tests allow it; those about private networks take one
loopback address for a public one and leave the others what they are.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytoon_pipeline.errors import FetchRefusedError, SettingsError
from pytoon_pipeline.locks import try_lock
from pytoon_pipeline.media import addresses
from pytoon_pipeline.media.addresses import AddressGuard, is_public, strip_query
from pytoon_pipeline.media.client import open_client
from pytoon_pipeline.media.download import DownloadLimits
from pytoon_pipeline.media.fetch import MediaFetcher
from pytoon_pipeline.media.fetch_cache import find_unneeded, remove_fetched, tidy_cache
from pytoon_pipeline.media.kinds import suffix_of
from pytoon_pipeline.media.probe import probe_media
from tests.conftest import clip, picture, tone

QUICK = DownloadLimits(connect=5, silence=5, whole=20, bytes=50_000, pause=0.01, longest_pause=0.1)
STALE = DownloadLimits(connect=5, silence=5, whole=20, pause=0.01, fresh=0)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20

Answer = Callable[[BaseHTTPRequestHandler], None]


class Web:
    """A server on loopback. `pages` are answered by path, `asked` is what came in."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None):
        self.pages: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                self.body = self.rfile.read(size)
                web.asked.append((self.command, self.path, dict(self.headers.items())))
                self.close_connection = True
                page = web.pages.get(self.path.partition("?")[0], give(b"no", "text/plain", 404))
                with suppress(OSError):  # The client may have had enough.
                    page(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((host, 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http://{host}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def give(body: bytes, kind: str = "image/jpeg", status: int = 200, **headers: str) -> Answer:
    def answer(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        sent = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
        for name, value in sent.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(body)

    return answer


def send(to: str) -> Answer:
    return give(b"", status=302, Location=to)


def trickle(first: bytes, then: bytes, pause: float, times: int) -> Answer:
    """Raw bytes on the wire, slowly."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(first)
        for _ in range(times):
            time.sleep(pause)
            to.wfile.write(then)
            to.wfile.flush()

    return answer


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.stop()


@pytest.fixture
def inside() -> Iterator[Web]:
    """A server that only this machine should reach."""
    server = Web("127.0.0.2")
    server.pages["/secret.png"] = give(PNG)
    yield server
    server.stop()


def fetcher(tmp_path: Path, *servers: Web, limits: DownloadLimits = QUICK, **more) -> MediaFetcher:
    hosts = more.pop("hosts", [f"127.0.0.1:{s.port}" for s in servers])
    more.setdefault("allow_private", True)
    return MediaFetcher(tmp_path / "cache", hosts=hosts, limits=limits, **more)


def refused(fetch: MediaFetcher, address: str) -> FetchRefusedError:
    with pytest.raises(FetchRefusedError) as caught:
        fetch.fetch(address)
    assert caught.value.remedy and "geheim" not in str(caught.value)
    return caught.value


def kept(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and p.name not in ("lock", "swept")]


def test_a_file_comes_once_and_is_named_by_what_it_is(
    web: Web,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # No proxy of the environment is asked.
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    made = picture(tmp_path / "made.png").read_bytes()
    web.pages["/a%20b.jpg"] = give(made)
    fetch = fetcher(tmp_path, web, limits=DownloadLimits())
    address = f"{web.url}/a b.jpg?key=geheim"
    path = fetch.fetch(address)
    assert path.read_bytes() == made and path.suffix == ".png" and probe_media(path).kind == "image"
    assert fetch.fetch(address) == path
    assert len(web.asked) == 1
    assert web.asked[0][1] == "/a%20b.jpg?key=geheim"
    assert web.asked[0][2]["Accept-Encoding"] == "identity"
    for file in kept(fetch.cache):
        assert b"geheim" not in file.read_bytes()
    assert "geheim" not in caplog.text


def test_a_copy_is_asked_about_before_it_is_used_again(web: Web, tmp_path: Path) -> None:
    def page(to: BaseHTTPRequestHandler) -> None:
        if to.headers.get("If-None-Match") == '"v1"' and to.headers.get("If-Modified-Since"):
            give(b"", status=304)(to)
        else:
            give(PNG, ETag='"v1"', Last_Modified="Tue, 01 Jul 2025 10:00:00 GMT")(to)

    web.pages["/a.png"] = page
    web.pages["/to"] = send("/a.png")
    fetch = fetcher(tmp_path, web, limits=STALE)
    for address in (f"{web.url}/a.png", f"{web.url}/to"):
        first = fetch.fetch(address)
        web.asked.clear()
        assert fetch.fetch(address) == first
        assert web.asked[-1][2]["If-None-Match"] == '"v1"'
    # A redirect to another file must not be answered by the time of the first one.
    web.pages["/to"] = send("/b.png")
    web.pages["/b.png"] = give(PNG + b"b", ETag='"v1"')
    assert fetch.fetch(f"{web.url}/to").read_bytes() == PNG + b"b"
    assert "If-None-Match" not in web.asked[-1][2]
    # What was handed out stays readable when it has been replaced.
    assert first.read_bytes() == PNG


def test_a_copy_that_nobody_vouches_for_is_not_used(web: Web, tmp_path: Path) -> None:
    web.pages["/a.png"] = give(PNG)
    path = fetcher(tmp_path, web).fetch(f"{web.url}/a.png")
    web.stop()
    error = refused(fetcher(tmp_path, web, limits=STALE), f"{web.url}/a.png")
    assert error.code == "media.unreachable" and web.url in error.message
    assert fetcher(tmp_path, web).fetch(f"{web.url}/a.png") == path  # Within the five minutes.


def test_half_a_copy_is_fetched_again(web: Web, tmp_path: Path) -> None:
    web.pages["/a.png"] = give(PNG)
    fetch = fetcher(tmp_path, web)
    path = fetch.fetch(f"{web.url}/a.png")
    path.write_bytes(PNG[:100])
    (path.parent / ".tmp-left").write_bytes(b"by a process that was ended")
    assert fetch.fetch(f"{web.url}/a.png").read_bytes() == PNG
    assert {p.name for p in path.parent.iterdir()} == {"copy.json", "lock", path.name}


def test_copies_that_nobody_asks_for_go(web: Web, tmp_path: Path) -> None:
    web.pages["/a.png"] = give(PNG)
    fetch = fetcher(tmp_path, web)
    old, used = (fetch.fetch(f"{web.url}/a.png?{n}") for n in range(2))
    note = old.parent / "copy.json"
    said = json.loads(note.read_text())
    note.write_text(json.dumps({**said, "checked": said["checked"] - 31 * 86400}))
    (fetch.cache / "swept").unlink()
    fetch.fetch(f"{web.url}/a.png?2")
    assert used.exists() and not old.exists() and not note.exists()
    assert fetch.fetch(f"{web.url}/a.png?0").read_bytes() == PNG


def _age(folder: Path, seconds: float) -> None:
    """As if it had all been so much longer ago."""
    note = folder / "copy.json"
    if note.exists():
        said = json.loads(note.read_text())
        note.write_text(json.dumps({**said, "checked": said["checked"] - seconds}))
    then = time.time() - seconds
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))


def test_the_cache_keeps_within_its_bounds(web: Web, tmp_path: Path) -> None:
    web.pages["/a.png"] = give(PNG)
    fetch = fetcher(tmp_path, web, most_bytes=4 * len(PNG) + 4000, most_addresses=5)

    def sweep() -> set[str]:
        """What is left of the addresses, locks and all."""
        (fetch.cache / "swept").unlink(missing_ok=True)
        refused(fetch, f"{web.url}/none.png?now")
        return {name for name, folder in made.items() if folder.exists()} | {
            "none" for f in fetch.cache.iterdir() if f.is_dir() and f not in made.values()
        }

    made = {n: fetch.fetch(f"{web.url}/a.png?{n}").parent for n in "12345678"}
    # More than there is room for, but asked for within the hour.
    assert sweep() == {*made, "none"}
    for n, hours in {"1": 2, "2": 3, "3": 9, "4": 5, "5": 31 * 24, "6": 4}.items():
        _age(made[n], hours * 3600)
    # The newest two may be in use; of the others two fit by their bytes.
    assert sweep() == {"1", "2", "7", "8", "none"}
    fetch.most_bytes, fetch.most_addresses = 10**9, 3
    assert sweep() == {"7", "8", "none"}
    # Addresses that fail leave nothing for long.
    for folder in fetch.cache.iterdir():
        if folder.is_dir() and folder not in made.values():
            _age(folder, 7200)
    assert find_unneeded(fetch.cache, time.time()) != []
    tidy_cache(fetch.cache)
    assert find_unneeded(fetch.cache, time.time()) == [] and sweep() >= {"7", "8"}


def test_a_lock_that_is_deleted_locks_nobody_out_and_two_never_in(tmp_path: Path) -> None:
    """Some hold the lock and delete it with its folder, as the tidying does; none ever meet."""
    path, meetings, rounds = tmp_path / "a" / "lock", [], [0]
    inside, stop = threading.Lock(), time.monotonic() + 1.5

    def work(deleting: bool) -> None:
        while time.monotonic() < stop:
            file = try_lock(path)
            if file is None:
                continue
            with file:
                if not inside.acquire(blocking=False):
                    meetings.append(deleting)
                    continue
                rounds[0] += 1
                inside.release()
                if deleting:  # The last thing that is done.
                    path.unlink()
                    with suppress(OSError):
                        path.parent.rmdir()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [True, False, True, False, True, False]))
    assert meetings == [] and rounds[0] > 50


def test_fetching_and_tidying_at_once_lose_nothing(web: Web, tmp_path: Path) -> None:
    """Copies that count as unneeded at any time are taken away while others ask for them."""
    web.pages["/a.png"] = give(PNG)
    fetch, stop = fetcher(tmp_path, web, limits=STALE), time.monotonic() + 2
    address = f"{web.url}/a.png"
    folder = fetch.fetch(address).parent

    def ask(_: int) -> None:
        while time.monotonic() < stop:
            fetch.fetch(address)

    def take_away() -> None:
        while time.monotonic() < stop:
            remove_fetched(folder, time.time() + 7200)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, n) for n in range(3)]
        take_away()
        for each in asking:
            each.result()
    assert fetch.fetch(address).read_bytes() == PNG


def test_many_at_once_download_once(web: Web, tmp_path: Path) -> None:
    def slow(to: BaseHTTPRequestHandler) -> None:
        time.sleep(0.6)
        give(PNG)(to)

    web.pages["/a.png"] = web.pages["/b.png"] = slow
    fetch = fetcher(tmp_path, web)
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(fetch.fetch, [f"{web.url}/a.png"] * 8))
    assert len(paths) == 1 and len(web.asked) == 1
    web.asked.clear()
    script = (
        "import sys; from pathlib import Path\n"
        "from pytoon_pipeline.media.fetch import MediaFetcher\n"
        "f = MediaFetcher(Path(sys.argv[1]), hosts=[sys.argv[2]], allow_private=True)\n"
        "print(f.fetch(sys.argv[3]).read_bytes().hex())"
    )
    argv = [sys.executable, "-c", script, str(fetch.cache), f"127.0.0.1:{web.port}"]
    runs = [
        subprocess.Popen([*argv, f"{web.url}/b.png"], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [run.communicate(timeout=30)[0].strip() for run in runs] == [PNG.hex()] * 3
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    "body, kind, more, word",
    [
        (b"<!doctype html><title>Log in</title>" * 200, "image/jpeg", {}, "web page"),
        (PNG, "text/html; charset=utf-8", {}, "web page"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "image/png", {}, "SVG"),
        (PNG, "image/svg+xml", {}, "SVG"),
        (PNG, "application/json", {}, "application/json"),
        (b"%PDF-1.7", "application/octet-stream", {}, "no picture"),
        (b"", "image/png", {}, "empty"),
        (PNG, "image/png", {"Content_Encoding": "gzip"}, "packed"),
    ],
)
def test_what_is_no_media_is_refused(
    web: Web, tmp_path: Path, body: bytes, kind: str, more: dict[str, str], word: str
) -> None:
    web.pages["/a.jpg"] = give(body, kind, **more)
    error = refused(fetcher(tmp_path, web), f"{web.url}/a.jpg?key=geheim")
    assert error.code == "media.type" and word in error.message
    assert kept(tmp_path) == []


def test_kinds_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    made = [picture(tmp_path / f"p.{e}", (64, 64)) for e in ("jpg", "png", "webp", "gif", "avif")]
    made += [clip(tmp_path / f"c.{e}", size=(64, 64), seconds=0.2) for e in ("mp4", "mov", "mkv")]
    made += [tone(tmp_path / f"t.{e}", 0.2) for e in ("wav", "mp3", "flac", "ogg", "m4a", "aac")]
    for path in made:
        assert suffix_of(path.read_bytes()[:4096]) == path.suffix
    # An MP3 without tags, and what only begins like one.
    assert suffix_of(b"\xff\xfb\x90\x64" + bytes(60)) == ".mp3"
    assert suffix_of("ÿþtext".encode("utf-16")) is None


def test_size_is_checked_before_and_while_it_comes(web: Web, tmp_path: Path) -> None:
    fetch = fetcher(tmp_path, web)

    def never(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Type", "image/png")
        to.send_header("Content-Length", "60000")
        to.end_headers()

    web.pages["/said.png"] = never
    assert refused(fetch, f"{web.url}/said.png").code == "media.too_large"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
    web.pages["/silent.png"] = trickle(head + b"\r\n" + PNG, PNG, 0, 200)
    chunk = b"%x\r\n%s\r\n" % (len(PNG), PNG)
    web.pages["/chunks.png"] = trickle(
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk, chunk, 0, 200
    )
    for path in ("/silent.png", "/chunks.png"):
        assert refused(fetch, web.url + path).code == "media.too_large"
    assert kept(tmp_path) == []


def test_slow_servers_are_left(web: Web, tmp_path: Path) -> None:
    fetch = fetcher(tmp_path, web, limits=DownloadLimits(silence=0.3, whole=0.8, pause=0.01))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999\r\n\r\n"
    web.pages["/silence.png"] = trickle(head + PNG[:50], b"", 2, 1)
    web.pages["/body.png"] = trickle(head + PNG[:50], b"x", 0.1, 30)
    web.pages["/head.png"] = trickle(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.1, 30)
    for path in ("/silence.png", "/body.png", "/head.png"):
        assert refused(fetch, web.url + path).code == "media.timeout"
    assert kept(tmp_path) == []


def test_what_may_pass_is_tried_again(web: Web, tmp_path: Path) -> None:
    fetch = fetcher(tmp_path, web)
    busy = [give(b"", status=503), give(b"", status=429, Retry_After="0")]
    web.pages["/busy.png"] = lambda to: (busy.pop(0) if busy else give(PNG))(to)
    assert fetch.fetch(f"{web.url}/busy.png").read_bytes() == PNG
    broken = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999\r\n\r\n" + PNG
    web.pages["/broken.png"] = trickle(broken, b"", 0, 0)
    web.pages["/later.png"] = give(b"", status=429, Retry_After="2")
    web.pages["/down.png"] = give(b"", status=502)
    for path, code, tries in [
        ("/down.png", "media.status", 3),
        ("/broken.png", "media.unreachable", 3),
        ("/later.png", "media.status", 1),
        ("/gone.png", "media.status", 1),
    ]:
        web.asked.clear()
        assert refused(fetch, f"{web.url}{path}?geheim").code == code
        assert len(web.asked) == tries
    assert len(kept(tmp_path / "cache")) == 2  # The one that came, and its note.


def test_redirects_are_followed_and_counted(web: Web, tmp_path: Path) -> None:
    web.pages["/0.png"] = give(PNG)
    for n in range(1, 5):
        web.pages[f"/{n}.png"] = send(f"/{n - 1}.png")
    fetch = fetcher(tmp_path, web)
    assert fetch.fetch(f"{web.url}/3.png").read_bytes() == PNG
    error = refused(fetch, f"{web.url}/4.png")
    assert error.code == "media.status" and "3 times" in error.message


def test_redirects_are_checked_like_addresses(
    web: Web, inside: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda ip: ip == "127.0.0.1")
    names = {
        "cdn.test": ["127.0.0.1"],
        "lan.test": ["127.0.0.2"],
        "both.test": ["127.0.0.1", "127.0.0.2"],
    }
    fetch = fetcher(
        tmp_path,
        hosts=[f"cdn.test:{web.port}", *(f"{n}:{inside.port}" for n in names)],
        allow_private=False,
        resolver=lambda host, port: names[host],
    )
    for to, code in [
        (f"http://lan.test:{inside.port}/secret.png?geheim", "media.private"),
        (f"http://both.test:{inside.port}/secret.png", "media.private"),
        (f"http://127.0.0.2:{inside.port}/secret.png", "media.host"),
        (f"http://u:geheim@lan.test:{inside.port}/secret.png", "media.address"),
        ("file:///etc/passwd", "media.scheme"),
        ("http://h:x/", "media.address"),
    ]:
        web.pages["/a.png"] = send(to)
        error = refused(fetch, f"http://cdn.test:{web.port}/a.png?key=geheim")
        assert error.code == code and f"cdn.test:{web.port}/a.png" in error.message
    assert len(web.asked) == 6 and inside.asked == []


_TARGETS = [
    "http://xn--/",
    "http://xn--a/",
    "http://xn--a.listed.test/",
    "http:\\\\host\\x",
    "mailto:x",
    "http://h:99999/",
    "http://h:0/",
    "http://h:-1/",
    "http://h:x/",
    "http://u:geheim@h/",
    "http://[fe80::1%25eth0]/",
    "http://[::1%lo]/",
    "http://[",
    "http://.",
    "http://a..b/",
    "http://①/",
    "http://a b/",
    "http:///",
    "//",
    "",
    "?",
    "#",
    ":",
    "\x01",
    "\x7f",
    "\xa0",
    "http://\udcff/",
    "x" * 70_000,
    "http://" + "a" * 60_000,
    "https://" + "a" * 70,
    "a" * 2_000_000,
]


@pytest.mark.parametrize("to", _TARGETS, ids=lambda to: ascii(to[:20]))
def test_a_malformed_redirect_is_a_refusal(web: Web, tmp_path: Path, to: str) -> None:
    said = to.encode("utf-8", "surrogateescape")
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + said + b"\r\n\r\n"
    web.pages["/a.png"] = trickle(head, b"", 0, 0)
    hosts = [f"127.0.0.1:{web.port}", "*.listed.test"]
    fetch = fetcher(
        tmp_path, hosts=hosts, limits=DownloadLimits(retries=0, connect=2, silence=2, whole=9)
    )
    error = refused(fetch, f"{web.url}/a.png")
    assert error.code.startswith("media.") and f"{web.url}/a.png" in error.message
    assert len(str(error)) < 1000 and str(error).isprintable()
    # A client that follows nothing, as for webhooks, does not stumble over it either.
    guard = AddressGuard(hosts, allow_private=True)
    with open_client(guard, whole=9) as client, suppress(httpx.HTTPError):
        assert client.get(f"{web.url}/a.png").status_code == 302


@pytest.fixture(scope="module")
def leading() -> Iterator[Web]:
    server = Web()
    yield server
    server.stop()


def test_a_name_that_changes_gains_nothing(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name leads to a public address when it is checked, and inside ever after."""
    monkeypatch.setattr(addresses, "is_public", lambda ip: ip == "127.0.0.1")
    looked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["127.0.0.1" if len(looked) == 1 else "127.0.0.2"]

    # Both servers on one port, so that only the IP address tells them apart.
    server = socket.create_server(("127.0.0.2", web.port))
    web.pages["/a.png"] = give(PNG)
    fetch = fetcher(
        tmp_path,
        hosts=[f"turn.test:{web.port}"],
        limits=STALE,
        allow_private=False,
        resolver=resolver,
    )
    assert fetch.fetch(f"http://turn.test:{web.port}/a.png").read_bytes() == PNG
    assert looked == ["turn.test"] and web.asked[0][2]["Host"] == f"turn.test:{web.port}"
    assert refused(fetch, f"http://turn.test:{web.port}/a.png").code == "media.private"
    server.settimeout(0.1)
    with pytest.raises(TimeoutError):
        server.accept()
    server.close()


def _nobody(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


@pytest.mark.parametrize(
    "address, code",
    [
        ("https://other.test/a.jpg?key=geheim", "media.host"),
        ("https://example.com.other.test/a.jpg", "media.host"),
        ("https://cdn.example.com.evil/a.jpg", "media.host"),
        ("https://example.com/only-below-it-is-listed.jpg", "media.host"),
        ("https://cdn.example.com:8080/a.jpg", "media.host"),
        ("https://ported.test/a.jpg", "media.host"),
        ("https://user:geheim@cdn.example.com/a.jpg", "media.address"),
        ("https://cdn.example.com\\@other.test/a.jpg", "media.address"),
        ("https://cdn.example.com@other.test/a.jpg", "media.address"),
        ("http://2130706433/a.jpg", "media.host"),
        ("http://[::ffff:127.0.0.1]/a.jpg", "media.host"),
        ("ftp://cdn.example.com/a.jpg", "media.scheme"),
        ("file:///etc/passwd", "media.scheme"),
        ("data:image/png;base64,AAAA", "media.scheme"),
        ("https:///a.jpg", "media.address"),
        ("https://cdn.example.com:99999/a.jpg", "media.address"),
        ("https://cdn.example.com\r\nX: y/a.jpg", "media.address"),
        ("https://xn--a.example.com/a.jpg", "media.address"),
        ("https://xn--.example.com/a.jpg", "media.address"),
        ("s3://other/a.jpg", "media.host"),
        ("s3://shop/teamwork/a.jpg", "media.host"),
        ("s3://shop/team/../secret.jpg", "media.address"),
        ("s3://shop", "media.address"),
    ],
)
def test_what_is_not_listed_is_not_even_looked_up(tmp_path: Path, address: str, code: str) -> None:
    fetch = MediaFetcher(
        tmp_path / "cache",
        hosts=["*.example.com", "ported.test:8443"],
        buckets=["shop/team"],
        resolver=_nobody,
    )
    assert refused(fetch, address).code == code
    assert not fetch.cache.exists()


def test_lists_say_what_to_set(tmp_path: Path) -> None:
    fetch = MediaFetcher(tmp_path / "cache", resolver=_nobody)
    assert "PYTOON_MEDIA_HOSTS=cdn.example.com " in str(refused(fetch, "https://cdn.example.com/a"))
    assert "PYTOON_MEDIA_BUCKETS=shop " in str(refused(fetch, "s3://shop/a.jpg"))
    for wrong in ("*", "https://cdn.example.com", "cdn.example.com/a", "a b", "h:0", "[::1"):
        with pytest.raises(SettingsError, match="PYTOON_MEDIA_HOSTS"):
            MediaFetcher(tmp_path, hosts=[wrong])
    guard = AddressGuard(["CDN.Example.com.", "*.shop.test:8443", "bücher.test", "[::1]:80"])
    for address in (
        "http://cdn.example.com/a",
        "https://cdn.example.com.:443/a",
        "https://a.b.shop.test:8443/",
        "https://BÜCHER.test/a",
        "http://[0:0::1]/a",
    ):
        guard.check(address)


@pytest.mark.parametrize(
    "address, public",
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::5db8:d822", True),
        ("2002:5db8:d822::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("100.100.100.200", False),
        ("168.63.129.16", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.0.192", False),
        ("198.18.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
        ("2001:0:1::1", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::1", False),
        ("2002:a9fe:a9fe::1", False),
        ("::ffff:169.254.169.254", False),
        ("nonsense", False),
    ],
)
def test_what_counts_as_public(tmp_path: Path, address: str, public: bool) -> None:
    assert is_public(address) is public
    guard = AddressGuard(["cdn.test"], resolver=lambda host, port: ["93.184.216.34", address])
    if public:
        assert address in guard.addresses("cdn.test", 443, "x")
    else:
        with pytest.raises(FetchRefusedError, match="private"):
            guard.addresses("cdn.test", 443, "x")


def _certificate(tmp_path: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS of a server of that name, and of a client that trusts it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(pem))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return server, ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))


def test_tls_is_checked_for_the_name(tmp_path: Path) -> None:
    server, client = _certificate(tmp_path, "cdn.test")
    web = Web(tls=server)
    web.pages["/a.png"] = give(PNG)
    web.pages["/down.png"] = send(f"http://cdn.test:{web.port}/a.png")
    names = ["cdn.test", "other.test"]
    more = {
        "hosts": [f"{n}:{web.port}" for n in names],
        "resolver": lambda host, port: ["127.0.0.1"],
    }
    fetch = fetcher(tmp_path, tls=client, **more)
    try:
        good = f"https://cdn.test:{web.port}/a.png"
        assert fetch.fetch(good).read_bytes() == PNG
        error = refused(fetch, f"https://other.test:{web.port}/a.png")
        assert error.code == "media.unreachable" and "no valid certificate" in error.message
        error = refused(fetcher(tmp_path / "new", **more), good)
        assert error.code == "media.unreachable" and "no valid certificate" in error.message
        assert refused(fetch, f"https://cdn.test:{web.port}/down.png").code == "media.scheme"
        assert [path for _, path, _ in web.asked] == ["/a.png", "/down.png"]
    finally:
        web.stop()


def test_objects_come_out_of_listed_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="shop")

        def put(key: str, body: bytes, kind: str = "binary/octet-stream") -> None:
            s3.put_object(Bucket="shop", Key=key, Body=body, ContentType=kind)

        put("team/a ü?.jpg", PNG)
        put("team/big.png", PNG * 20)
        put("team/page.jpg", b"<html>", "text/html")
        fetch = fetcher(tmp_path, buckets=["shop/team", "nowhere"], limits=QUICK)
        stale = fetcher(tmp_path, buckets=["shop/team"], limits=STALE)
        address = "s3://shop/team/a ü?.jpg"
        path = fetch.fetch(address)
        assert path.read_bytes() == PNG and path.suffix == ".png"
        before = path.stat()
        assert stale.fetch(address) == path and path.stat().st_mtime_ns == before.st_mtime_ns
        put("team/a ü?.jpg", PNG + b"new")
        assert stale.fetch(address).read_bytes() == PNG + b"new"
        for name, code, word in [
            ("shop/team/none.jpg", "media.status", "no such object"),
            ("nowhere/a.jpg", "media.status", "no bucket"),
            ("shop/team/big.png", "media.too_large", "50,000 bytes"),
            ("shop/team/page.jpg", "media.type", "web page"),
        ]:
            error = refused(fetch, f"s3://{name}")
            assert error.code == code and word in error.message and name in error.message
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        assert "no credentials" in refused(stale, address).message
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        assert refused(stale, address).code == "media.unreachable"
    finally:
        server.stop()


def test_permission_is_said_in_plain_words(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    web.pages["/shop/a.jpg"] = give(body, "application/xml", 403)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", web.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    error = refused(fetcher(tmp_path, buckets=["shop"]), "s3://shop/a.jpg")
    assert error.code == "media.status" and "no permission" in error.message


def test_a_bucket_that_trickles_is_left(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 99999\r\n\r\n"
    web.pages["/shop/a.png"] = trickle(head + PNG[:50], b"x", 0.05, 200)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "a")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", web.url)
    limits = DownloadLimits(silence=1, whole=1, retries=0)
    started = time.monotonic()
    error = refused(fetcher(tmp_path, buckets=["shop"], limits=limits), "s3://shop/a.png")
    assert error.code == "media.timeout" and time.monotonic() - started < 8


def test_a_cache_that_takes_nothing_is_named(web: Web, tmp_path: Path) -> None:
    web.pages["/a.png"] = give(PNG)
    (tmp_path / "cache").write_text("a file, not a folder")
    error = refused(fetcher(tmp_path, web), f"{web.url}/a.png")
    assert error.code == "media.cache" and str(tmp_path / "cache") in error.message


def test_a_client_for_webhooks_keeps_to_its_list(
    web: Web, inside: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda ip: ip == "127.0.0.1")
    web.pages["/hook"] = give(b"ok")
    guard = AddressGuard(
        [f"127.0.0.1:{web.port}", f"127.0.0.2:{inside.port}"],
        "PYTOON_WEBHOOK_HOSTS",
    )
    with open_client(guard, whole=5) as client:
        assert client.post(f"{web.url}/hook", json={"a": 1}).text == "ok"
        assert web.asked[0][0] == "POST"
        with pytest.raises(FetchRefusedError, match="PYTOON_WEBHOOK_HOSTS"):
            client.post("http://other.test/hook")
        with pytest.raises(FetchRefusedError, match="private"):
            client.post(f"{inside.url}/secret.png")
        web.stop()
        with pytest.raises(httpx.ConnectError):
            client.post(f"{web.url}/hook")
    assert inside.asked == []


_HOSTS = st.sampled_from(
    [
        "cdn.example.com",
        "CDN.example.com.",
        "127.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "0x7f.1",
        "",
        "a..b",
        "xn--",
        "xn--a",
        "xn--a.cdn.test",
        "xn--.cdn.test",
        "bücher.test",
        "①.test",
        "a%2eb",
        "-",
        "[",
        "]",
        "a" * 70,
    ]
)
_ADDRESSES = st.one_of(
    st.text(max_size=60),
    st.builds(
        lambda scheme, user, host, port, rest: f"{scheme}{user}{host}{port}{rest}",
        st.sampled_from(["http://", "https://", "HTTPS://", "s3://", "http:/", "//", "gopher://"]),
        st.sampled_from(["", "", "u@", "u:p@", "@", "a@b@"]),
        _HOSTS | st.text(max_size=20),
        st.sampled_from(["", ":", ":80", ":0", ":-1", ":99999999", ":x", ":８０"]),
        st.text(max_size=40).map(lambda t: f"/{t}") | st.text(max_size=40),
    ),
)


@settings(deadline=None)
@given(address=_ADDRESSES)
def test_odd_addresses_are_refused_and_lead_nowhere(
    tmp_path_factory: pytest.TempPathFactory, address: str
) -> None:
    cache = tmp_path_factory.getbasetemp() / "never"
    fetch = MediaFetcher(cache, hosts=["listed.test", "*.cdn.test"], resolver=_nobody)
    error = refused(fetch, address)
    assert error.code in ("media.address", "media.scheme", "media.host")
    assert "\n" not in str(error) and len(error.message) < 600 and not cache.exists()


@settings(deadline=None)
@given(address=_ADDRESSES)
def test_addresses_of_a_listed_host_raise_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, address: str
) -> None:
    """The host is listed, and its name leads to where nothing listens."""

    def resolver(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no such host")

    cache = tmp_path_factory.getbasetemp() / "nowhere"
    fetch = MediaFetcher(
        cache,
        hosts=["cdn.example.com", "xn--bcher-kva.test"],
        resolver=resolver,
        limits=DownloadLimits(retries=0),
    )
    refused(fetch, address)


@settings(deadline=None, max_examples=150)
@given(to=_ADDRESSES.map(lambda a: a.encode("utf-8", "replace")) | st.binary(max_size=40))
def test_any_redirect_ends_in_an_answer_or_a_refusal(
    leading: Web, tmp_path_factory: pytest.TempPathFactory, to: bytes
) -> None:
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
    leading.pages["/a.png"] = trickle(head + to.replace(b"\n", b" ") + b"\r\n\r\n", b"", 0, 0)
    fetch = MediaFetcher(
        tmp_path_factory.getbasetemp() / "led",
        hosts=["*.test", f"127.0.0.1:{leading.port}"],
        limits=DownloadLimits(retries=0),
        allow_private=True,
        resolver=lambda host, port: ["127.0.0.1"] if host == "127.0.0.1" else [],
    )
    error = refused(fetch, f"{leading.url}/a.png")
    assert error.code.startswith("media.") and str(error).isprintable()


def test_a_strange_mark_is_not_sent_back(web: Web, tmp_path: Path) -> None:
    """An ETag that no header may hold; the next time the file is simply fetched again."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n" % len(PNG)
    marks = b"ETag: \xc3\xbc\xff\r\nLast-Modified: " + b"9" * 5000 + b"\r\n\r\n"
    web.pages["/a.png"] = trickle(head + marks + PNG, b"", 0, 0)
    fetch = fetcher(tmp_path, web, limits=STALE)
    for _ in range(2):
        assert fetch.fetch(f"{web.url}/a.png").read_bytes() == PNG
    assert not {"If-None-Match", "If-Modified-Since"} & web.asked[-1][2].keys()


def test_answers_against_the_protocol_are_refusals(web: Web, tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
    wrong = {
        "http 0.9": b"<html>hello</html>",
        "no number": b"HTTP/1.1 ten OK\r\n\r\n",
        "length of letters": head + b"Content-Length: many\r\n\r\n" + PNG,
        "length below nothing": head + b"Content-Length: -1\r\n\r\n" + PNG,
        "length of 6000 digits": head + b"Content-Length: " + b"9" * 6000 + b"\r\n\r\n" + PNG,
        "two lengths": head + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + PNG,
        "less than it says": head + b"Content-Length: 99999\r\n\r\n" + PNG,
        "no chunk": head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + PNG,
        "a chunk without end": head + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 200_000,
        "headers without end": head + b"X: y\r\n" * 400_000,
        "nothing": b"",
    }
    limits = DownloadLimits(connect=5, silence=5, whole=9, retries=0, bytes=50_000)
    fetch = fetcher(tmp_path, web, limits=limits)
    for what, raw in wrong.items():
        web.pages["/a.png"] = trickle(raw, b"", 0, 0)
        error = refused(fetch, f"{web.url}/a.png")
        assert error.code in ("media.unreachable", "media.too_large"), what
    # Interim answers without end, and without memory: until the time is over.
    web.pages["/a.png"] = trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0.01, 10_000)
    short = fetcher(tmp_path, web, limits=DownloadLimits(connect=2, silence=2, whole=1, retries=0))
    assert refused(short, f"{web.url}/a.png").code == "media.timeout"
    assert kept(tmp_path) == []


def test_addresses_are_shown_without_their_secrets() -> None:
    for odd in (
        "http://u:gehe/im@h.test/",
        "http://u:gehe?im@h.test",
        "u:gehe#im@h.test/a",
        "hosted+https://u:gehe/im@h.test",
    ):
        assert "ge" not in strip_query(odd).removeprefix("https") and "im" not in strip_query(odd)
    assert strip_query("https://cdn.test:8443/a@2x.jpg") == "https://cdn.test:8443/a@2x.jpg"
    assert strip_query("https://h:x/") == "https://h:x/"
    assert strip_query("https://u:p@h.test/a.jpg?X-Amz-Signature=k#f") == "https://h.test/a.jpg"
    assert strip_query("s3://b/what?.jpg") == "s3://b/what?.jpg"
    assert len(strip_query("https://h.test/" + "a" * 999)) == 200 and "\n" not in strip_query(
        "a\nb"
    )
