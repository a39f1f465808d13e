"""Dagster's page answers its own pages and programs; what other sites cause through an operator's
browser is refused. On the real web server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from guarded_page import PAUSE, PAUSED, RESUME, free_port, guarded_page, wait_for
from needs import need_browser
from websocket import WebSocketBadStatusException, create_connection

from pytoon_pipeline.errors import SettingsError
from pytoon_pipeline.origins import is_cross_site, is_known_host, is_same_origin
from pytoon_pipeline.runtime import dev_server
from pytoon_pipeline.settings import Settings, load_settings

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("page")
    with (
        guarded_page(folder, hosts="pytoon.example.com") as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
    ):
        wait_for(f"http://127.0.0.1:{port}/server_info", folder / "page.log")
        yield client


def ask(page: httpx.Client, query: str, **headers: str) -> httpx.Response:
    return page.post("/graphql", json={"query": query}, headers=headers)


def is_paused(page: httpx.Client) -> bool:
    return ask(page, PAUSED).json()["data"]["instance"]["autoMaterializePaused"]


def test_the_page_itself_and_programs_are_answered(page: httpx.Client):
    here = str(page.base_url).rstrip("/")
    port = page.base_url.port
    own = {"Origin": here, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    typed = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert "<!DOCTYPE html>" in page.get("/", headers=typed).text
    assert ask(page, RESUME, **own).status_code == 200 and not is_paused(page)
    assert ask(page, PAUSE, **own).status_code == 200 and is_paused(page)
    assert ask(page, RESUME).status_code == 200 and not is_paused(page)  # A program.
    for host in (f"localhost:{port}", "10.1.2.3", "[::1]:3000", "pytoon.example.com"):
        assert page.get("/server_info", headers={"Host": host}).status_code == 200, host
    proxied = {"Host": "pytoon.example.com", "Origin": "https://pytoon.example.com"}
    assert ask(page, PAUSED, **proxied).status_code == 200
    # A link on another site leads here, to be looked at.
    link = {**typed, "Sec-Fetch-Site": "cross-site"}
    assert page.get("/runs", headers=link).status_code == 200
    assert "GraphiQL" in page.get("/graphql", headers={"Accept": "text/html"}).text


CROSS_SITE_IMAGE = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "image",
}
ATTACKS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "mutation by GET": (405, "GET", {"params": {"query": PAUSE}}),
    "mutation by GET, as a page": (
        405,
        "GET",
        {"params": {"query": PAUSE}, "headers": {"Accept": "text/html"}},
    ),
    "mutation by GET, from an image": (
        403,
        "GET",
        {"params": {"query": PAUSE}, "headers": CROSS_SITE_IMAGE},
    ),
    "mutation by HEAD": (405, "HEAD", {"params": {"query": PAUSE}}),
    "mutation by PUT": (405, "PUT", {"json": {"query": PAUSE}}),
    "form": (415, "POST", {"params": {"query": PAUSE}, "data": {"a": "b"}}),
    "form with files": (415, "POST", {"params": {"query": PAUSE}, "files": {"a": b"b"}}),
    "JSON called text": (
        415,
        "POST",
        {
            "content": json.dumps({"query": PAUSE}),
            "headers": {"Content-Type": "text/plain; application/json"},
        },
    ),
    "POST without a type": (415, "POST", {"params": {"query": PAUSE}}),
    "name that leads here": (
        421,
        "POST",
        {"json": {"query": PAUSE}, "headers": {"Host": "rebound.example.com:3000"}},
    ),
    "name that begins like ours": (
        421,
        "POST",
        {"json": {"query": PAUSE}, "headers": {"Host": "localhost.example.com"}},
    ),
    "name that is no name": (
        421,
        "POST",
        {"json": {"query": PAUSE}, "headers": {"Host": "localhost:3000@a"}},
    ),
    "foreign origin": (
        403,
        "POST",
        {"json": {"query": PAUSE}, "headers": {"Origin": "https://evil.example.com"}},
    ),
    "origin of nobody": (403, "POST", {"json": {"query": PAUSE}, "headers": {"Origin": "null"}}),
    "another port of this machine": (
        403,
        "POST",
        {"json": {"query": PAUSE}, "headers": {"Origin": "http://127.0.0.1:8080"}},
    ),
    "same site": (
        403,
        "POST",
        {"json": {"query": PAUSE}, "headers": {"Sec-Fetch-Site": "same-site"}},
    ),
    "form that opens a window": (
        403,
        "POST",
        {
            "json": {"query": PAUSE},
            "headers": {
                "Sec-Fetch-Site": "cross-site",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            },
        },
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_other_sites_cause_is_refused(page: httpx.Client, attack: str):
    status, method, request = ATTACKS[attack]
    assert ask(page, RESUME).status_code == 200
    answer = page.request(method, "/graphql", **request)
    assert answer.status_code == status and not is_paused(page)
    if status == 421:
        assert "PYTOON_PAGE_HOSTS" in answer.text


def test_the_other_ways_in_are_guarded_too(page: httpx.Client):
    foreign = {"Origin": "https://evil.example.com"}
    for path in ("/report_asset_materialization/a", "/report_asset_check/a", "/graphql/"):
        assert page.post(path, json={}, headers=foreign).status_code == 403, path
        assert page.post(path, data={"a": "b"}).status_code == 415, path
    frame = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "iframe",
    }
    for path in ("/", "/logs/a/out", "/download_debug/a", "/server_info"):
        assert page.get(path, headers=frame).status_code == 403, path


def test_every_answer_keeps_other_sites_from_framing_it(page: httpx.Client):
    answers = [
        page.get("/"),
        page.get("/server_info"),
        page.get("/logs/a/out"),
        ask(page, PAUSED),
        ask(page, "{"),
        page.get("/graphql"),
        page.get("/", headers={"Host": "a.example"}),
    ]
    assert {a.status_code for a in answers} == {200, 400, 404, 405, 421}
    for answer in answers:
        headers = answer.headers
        assert headers["X-Frame-Options"] == "SAMEORIGIN", answer
        assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers and "Server" not in headers
    assert "script-src" in answers[0].headers["Content-Security-Policy"]  # Dagster's own stays.


def subscribe(page: httpx.Client, query: str, **headers: str) -> list[dict[str, Any]]:
    """What comes over a WebSocket until the operation has ended."""
    url = f"ws://127.0.0.1:{page.base_url.port}/graphql"
    suppressed = {"suppress_origin": True} if "Origin" not in headers else {}
    socket = create_connection(
        url,
        timeout=20,
        subprotocols=["graphql-ws"],
        origin=headers.pop("Origin", None),
        host=headers.pop("Host", None),
        header=headers,
        **suppressed,
    )
    try:
        start = {"type": "start", "id": "1", "payload": {"query": query}}
        for message in ({"type": "connection_init"}, start):
            socket.send(json.dumps(message))
        received = []
        while not received or received[-1]["type"] not in ("data", "error"):
            received.append(json.loads(socket.recv()))
        return received
    finally:
        socket.close()


def test_websockets_of_other_sites_are_refused(page: httpx.Client):
    logs = 'subscription { pipelineRunLogs(runId: "a") { __typename } }'
    here = str(page.base_url).rstrip("/")
    for headers in ({"Origin": here}, {}):  # The page, and a program.
        messages = subscribe(page, logs, **headers)
        assert [m["type"] for m in messages] == ["connection_ack", "data"]
    for status, headers in (
        (403, {"Origin": "https://evil.example.com"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": here, "Sec-Fetch-Site": "cross-site"}),
        (421, {"Host": "rebound.example.com", "Origin": "http://rebound.example.com"}),
    ):
        with pytest.raises(WebSocketBadStatusException) as refused:
            subscribe(page, logs, **headers)
        assert refused.value.status_code == status, headers
    assert ask(page, RESUME).status_code == 200
    assert subscribe(page, PAUSE, Origin=here)[-1]["type"] == "error"  # Subscriptions only.
    assert not is_paused(page)


@pytest.fixture
def other_site() -> Iterator[str]:
    """The address of another site's page, with an empty form."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<form method=post></form>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_browser_shows_the_page_and_another_site_can_not_command_it(
    page: httpx.Client, other_site: str
):
    from playwright.sync_api import sync_playwright

    found, here = need_browser(), f"http://localhost:{page.base_url.port}"
    assert ask(page, RESUME).status_code == 200
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            tab = browser.new_page()
            wrong: list[str] = []
            sockets: list[str] = []
            tab.on("websocket", lambda socket: sockets.append(socket.url))
            tab.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.on(
                "response",
                lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None,
            )
            with tab.expect_response(lambda r: "/graphql" in r.url and r.status == 200):
                tab.goto(f"{here}/deployment/daemons")
            tab.get_by_text("Daemons").first.wait_for()
            assert not wrong and sockets == [f"ws://localhost:{page.base_url.port}/graphql"]
            # A page of another origin: an image, a form in a window of its own, a WebSocket.
            tab.close()
            tab = browser.new_page()
            refused: list[int] = []
            tab.on("response", lambda r: refused.append(r.status) if here in r.url else None)
            tab.goto(other_site)
            opened = tab.evaluate(
                """async ([here, pause]) => {
                    const url = `${here}/graphql?query=${encodeURIComponent(pause)}`;
                    const ended = (made) => new Promise((done) => {
                        made.onload = made.onopen = () => done(true);
                        made.onerror = () => done(false);
                    });
                    const image = new Image();
                    image.src = url;
                    await ended(image);
                    const body = JSON.stringify({query: pause});
                    await fetch(url, {method: 'POST', mode: 'no-cors', body});
                    const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-ws');
                    return ended(socket);
                }""",
                [here, PAUSE],
            )
            assert not opened and set(refused) == {403}
            with tab.expect_navigation(url=lambda url: here in url):
                tab.evaluate(
                    """(url) => { const form = document.forms[0];
                                  form.action = url; form.submit(); }""",
                    f"{here}/graphql?query={PAUSE}",
                )
            assert "A page of another site" in tab.content()
            assert not is_paused(page)
        finally:
            browser.close()


def test_hosts_and_origins_are_compared_as_browsers_write_them():
    for host in ("LOCALHOST:3000", "127.0.0.1", "[::1]:80", "a.example.", "A.example:8443"):
        assert is_known_host(host, ["a.example"]), host
    for host in (
        "",
        "a.example.com",
        "localhost.",
        "a.example:",
        "a.example:x",
        "user@localhost",
        "localhost/",
        "127.0.0.1.example.com",
        "[::1",
    ):
        assert is_known_host(host, ["a.example"]) == (host == "localhost."), host
    assert is_same_origin("https://a.example", "a.example")
    assert is_same_origin("http://a.example", "A.example:80")
    assert is_same_origin("http://[::1]:3000", "[::1]:3000")
    for origin, host in (
        ("http://a.example", "a.example:443"),
        ("http://a.example:81", "a.example"),
        ("https://b.example", "a.example"),
        ("null", "null"),
        ("file://", ""),
        ("chrome-extension://a", "a"),
        ("https://a.example/", "a.example"),
    ):
        assert not is_same_origin(origin, host), origin
    assert not is_cross_site("POST", {})
    assert is_cross_site("GET", {"sec-fetch-site": "a value of the future"})


def test_names_of_the_page_are_names():
    read = load_settings({"PYTOON_PAGE_HOSTS": "Pytoon.example.com, web"})
    assert read.page_hosts == ("pytoon.example.com", "web")
    for wrong in ("https://a.example", "a.example:443", "*.example", "a b"):
        with pytest.raises(SettingsError, match="PYTOON_PAGE_HOSTS"):
            load_settings({"PYTOON_PAGE_HOSTS": wrong})


def test_dev_starts_the_guarded_page(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    class Started(Exception):
        pass

    def start(command: list[str], **_: object) -> None:
        raise Started(command)

    monkeypatch.setattr(dev_server.subprocess, "Popen", start)
    with pytest.raises(Started) as caught:
        dev_server.run_dev_server(
            replace(settings, briefs_dir=tmp_path / "briefs"), port=free_port()
        )
    command = caught.value.args[0]  # Behind what ends all of its processes.
    first = command.index(sys.executable, 1)
    assert command[first : first + 4] == [sys.executable, "-m", "pytoon_pipeline.cli", "page"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("del cli.host_dagster_ui_with_workspace_process_context", "would not be guarded"),
        # It starts in another way than the guard knows.
        ("cli.cli = lambda **_: cli.create_app_from_workspace_process_context()", "without"),
    ],
)
def test_a_web_server_that_can_not_be_guarded_is_not_started(change: str, said: str):
    code = (
        "from dagster_webserver import cli\nfrom pytoon_pipeline.cli import run_program\n"
        f"{change}\nrun_program()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "page"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr
