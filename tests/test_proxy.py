"""The proxy of `deploy/`, as a real nginx runs it, before a real page and a real API."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import os
import re
import secrets
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from guarded_page import PAUSE, PAUSED, RESUME, free_port, guarded_page, started, wait_for
from needs import give_up, need_browser, need_nginx
from shipped import ROOT, plain_environment
from websocket import WebSocketBadStatusException, create_connection

CONF = ROOT / "deploy" / "nginx" / "pytoon.conf"
NAME, TOKEN, LOGIN = "pytoon.example.com", "correct-horse", ("ann", "battery staple")
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class Proxy:
    port: int
    name: str
    log: Path

    @property
    def origin(self) -> str:
        return f"https://{self.name}:{self.port}"

    def client(self, **more: object) -> httpx.Client:
        """A browser or a program that calls the proxy by its name; `address` is its own."""
        more.setdefault("headers", {"Host": f"{self.name}:{self.port}"})
        address = more.pop("address", "127.0.0.1")
        transport = httpx.HTTPTransport(verify=False, local_address=address)
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", transport=transport, timeout=20, **more
        )


def write_tls(folder: Path) -> None:
    """What an operator puts there: a certificate, its key, and who may log in."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        name,
        name,
        key.public_key(),
        x509.random_serial_number(),
        now,
        now + datetime.timedelta(days=1),
    ).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(made.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(pem, *plain))
    digest = base64.b64encode(hashlib.sha1(LOGIN[1].encode()).digest()).decode()
    (folder / "htpasswd").write_text(f"{LOGIN[0]}:{{SHA}}{digest}\n")


def write_conf(folder: Path, port: int, api: int, web: int, **variables: str) -> Path:
    """The shipped file with other ports and places, and a second to send headers in."""
    text = CONF.read_text()
    for variable, value in variables.items():
        text = text.replace(f"${{{variable}}}", value)
    for shipped, here in {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/etc/nginx/tls": str(folder / "tls"),
        "http://api:8321": f"http://127.0.0.1:{api}",
        "http://web:3000": f"http://127.0.0.1:{web}",
        "client_header_timeout 10s": "client_header_timeout 1s",
    }.items():
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    version = subprocess.run([need_nginx(), "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", version.stderr)
    if tuple(map(int, found.groups())) < (1, 25, 1):  # It has no word for it of its own yet.
        text = text.replace("http2 on;", "")
        text = re.sub(r"(listen .* ssl)", r"\1 http2", text)
    (folder / "server.conf").write_text(text)
    places = "\n".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"""{"user root;" if os.geteuid() == 0 else ""}
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
        events {{ worker_connections 1024; }}
        http {{ access_log off; {places} include {folder}/server.conf; }}
        """
    )
    return main


@contextmanager
def running_proxy(folder: Path, name: str, api: int, web: int) -> Iterator[Proxy]:
    folder.mkdir()
    write_tls(folder / "tls")
    port, log = free_port(), folder / "nginx.log"
    conf = write_conf(
        folder, port, api, web, PYTOON_SERVER_NAME=name, PYTOON_LOGIN_SECRET=secrets.token_hex(24)
    )
    with started([need_nginx(), "-c", str(conf), "-p", str(folder)], dict(os.environ), log):
        wait_for(f"https://127.0.0.1:{port}/", log, 10)
        yield Proxy(port, name, log)


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it was sent; `/slow` waits until `released`."""

    released = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.released.wait(30)
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class EchoServer(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def need_loopback_addresses() -> None:
    """Callers have an address each."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.2", 0))
    except OSError:
        give_up("the addresses 127.0.0.2 to 127.0.0.7", "add them to the loopback interface")


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Proxy]]:
    """One as it is meant, and one before an API without a token and a page that says what it was
    sent."""
    folder = tmp_path_factory.mktemp("proxy")
    need_nginx()
    need_loopback_addresses()
    with ExitStack() as stack:
        apis = {}
        for token in (TOKEN, ""):
            apis[token] = free_port()
            home, log = folder / f"home-{bool(token)}", folder / f"api-{bool(token)}.log"
            environment = {
                **plain_environment(),
                "PYTOON_HOME": str(home),
                "PYTOON_TOKEN": token,
            }
            command = [
                sys.executable,
                "-m",
                "pytoon_pipeline.cli",
                "serve",
                "--port",
                str(apis[token]),
            ]
            stack.enter_context(started(command, environment, log))
        web = stack.enter_context(guarded_page(folder / "page", hosts=NAME))
        echo = stack.enter_context(EchoServer(("127.0.0.1", 0), Echo))
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        stack.callback(echo.shutdown)
        real = running_proxy(folder / "real", NAME, apis[TOKEN], web)
        echoing = running_proxy(folder / "echoing", "localhost", apis[""], echo.server_port)
        found = stack.enter_context(real), stack.enter_context(echoing)
        for token, port in apis.items():
            wait_for(f"http://127.0.0.1:{port}/health", folder / f"api-{bool(token)}.log")
        wait_for(f"http://127.0.0.1:{web}/server_info", folder / "page" / "page.log")
        yield found


@pytest.fixture(scope="module")
def proxy(proxies: tuple[Proxy, Proxy]) -> Proxy:
    return proxies[0]


@pytest.fixture(scope="module")
def echoing(proxies: tuple[Proxy, Proxy]) -> Proxy:
    return proxies[1]


@pytest.fixture(scope="module")
def browser(proxy: Proxy) -> Iterator[httpx.Client]:
    """Has logged in, and remembers the password as browsers do."""
    with proxy.client(auth=LOGIN) as client:
        assert client.get("/").status_code == 200
        yield client


# The API ------------------------------------------------------------------------------------------


def test_the_api_knows_who_comes_through_the_proxy(proxy: Proxy, echoing: Proxy):
    with proxy.client() as anyone:
        assert anyone.get("/api/health").status_code == 200
        for path in ("/api/metrics", "/api/render", "/api//metrics", "/api/%6Detrics"):
            assert anyone.get(path).status_code in (401, 404), path
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert anyone.get("/api/metrics").status_code == 401
        assert anyone.get("/api/metrics", headers=own).status_code == 200
        brief = {"brief": {"media": [{"text": "Hello"}]}}
        assert anyone.post("/api/render", json=brief).status_code == 401
        assert anyone.post("/api/render", json=brief, headers=own).status_code == 202
    # Even where the proxy's own name is this machine's.
    with echoing.client() as anyone:
        for path in ("/api/health", "/api/metrics", "/api/render"):
            answer = anyone.get(path)
            assert answer.status_code == 403 and "auth.proxy" in answer.text, path


def test_the_page_is_sent_what_the_proxy_knows_and_nothing_that_a_caller_makes_up(echoing: Proxy):
    forged = {
        "Host": f"localhost:{echoing.port}",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "a",
        "X-Forwarded-Prefix": "/a",
        "X-Forwarded-Port": "1",
        "X-Real-IP": "127.0.0.1",
        "Forwarded": "for=127.0.0.1",
        "Via": "a",
        "Cookie": "a=b",
        "Upgrade": "h2c",
        "Connection": "Upgrade",
    }
    with echoing.client(auth=LOGIN, address="127.0.0.7") as caller:
        sent = caller.get("/", headers=forged).json()
    for own in ("accept", "accept-encoding", "user-agent"):
        sent.pop(own, None)
    assert sent == {
        "host": f"localhost:{echoing.port}",
        "x-forwarded-for": "127.0.0.7",
        "x-forwarded-proto": "https",
        "connection": "close",
    }


# The page -----------------------------------------------------------------------------------------


def test_the_page_works_through_the_proxy(proxy: Proxy, browser: httpx.Client):
    own = {"Origin": proxy.origin, "Sec-Fetch-Site": "same-origin"}
    for query, paused in ((RESUME, False), (PAUSE, True), (RESUME, False)):
        assert browser.post("/graphql", json={"query": query}, headers=own).status_code == 200
        answer = browser.post("/graphql", json={"query": PAUSED}, headers=own).json()
        assert answer["data"]["instance"]["autoMaterializePaused"] is paused
    assert connect(proxy, proxy.origin)["type"] == "connection_ack"


def test_another_site_can_not_use_a_login_that_a_browser_remembers(
    proxy: Proxy, browser: httpx.Client
):
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert browser.get("/graphql", params={"query": PAUSE}).status_code == 405
    assert browser.get("/graphql", params={"query": PAUSE}, headers=image).status_code == 403
    for headers in (
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        image,
        {"Origin": f"https://{NAME}"},
    ):  # The last is another port's.
        answer = browser.post("/graphql", json={"query": PAUSE}, headers=headers)
        assert answer.status_code == 403, headers
    assert browser.post("/graphql", params={"query": PAUSE}, data={"a": "b"}).status_code == 415
    with pytest.raises(WebSocketBadStatusException) as refused:
        connect(proxy, "https://evil.example.com")
    assert refused.value.status_code == 403
    answer = browser.post("/graphql", json={"query": PAUSED}).json()
    assert answer["data"]["instance"]["autoMaterializePaused"] is False


def test_a_browser_shows_the_page_through_the_proxy(proxy: Proxy):
    from playwright.sync_api import sync_playwright

    found = need_browser()
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            credentials = {"username": LOGIN[0], "password": LOGIN[1]}
            with browser.new_context(
                ignore_https_errors=True, http_credentials=credentials
            ) as context:
                tab = context.new_page()
                answers: list[tuple[int, str]] = []
                sockets: list[str] = []
                tab.on("websocket", lambda socket: sockets.append(socket.url))
                tab.on("response", lambda r: answers.append((r.status, r.url)))
                for path in ("/deployment/daemons", "/overview/activity"):
                    tab.goto(proxy.origin + path)
                    tab.wait_for_load_state("networkidle")
                assert len(answers) > 50
                assert [a for a in answers if a[0] >= 400] == []
                assert set(sockets) == {f"wss://{NAME}:{proxy.port}/graphql"}
        finally:
            browser.close()


def connect(proxy: Proxy, origin: str) -> dict[str, str]:
    """The first word of the page's WebSocket."""
    shown = base64.b64encode(":".join(LOGIN).encode()).decode()
    made = create_connection(
        f"wss://127.0.0.1:{proxy.port}/graphql",
        timeout=20,
        subprotocols=["graphql-ws"],
        origin=origin,
        host=f"{proxy.name}:{proxy.port}",
        header={"Authorization": f"Basic {shown}"},
        sslopt={"cert_reqs": ssl.CERT_NONE, "check_hostname": False},
    )
    try:
        made.send(json.dumps({"type": "connection_init"}))
        return json.loads(made.recv())
    finally:
        made.close()


def test_every_answer_has_the_headers_of_security(
    proxy: Proxy, browser: httpx.Client, echoing: Proxy
):
    with proxy.client() as anyone, echoing.client(auth=LOGIN, address="127.0.0.6") as other:
        answers = {
            "page": browser.get("/"),
            "query": browser.post("/graphql", json={"query": PAUSED}),
            "missing": browser.get("/logs/a/out"),
            "login": anyone.get("/"),
            "API": anyone.get("/api/health"),
            "token": anyone.get("/api/render"),
            "API, missing": anyone.get("/api/a", headers={"Authorization": f"Bearer {TOKEN}"}),
            "moved": anyone.get("/api"),
            "too large": browser.post("/graphql", content=b"a" * 10_500_000),
            "without headers of its own": other.get("/"),
            "another name": anyone.get("/", headers={"Host": "a.example"}),
        }
    expected = [200, 200, 404, 401, 200, 401, 404, 301, 413, 200, 421]
    assert [a.status_code for a in answers.values()] == expected
    for what, answer in answers.items():
        for name, value in SECURITY_HEADERS.items():
            if what in ("API", "token", "API, missing") and name == "Referrer-Policy":
                value = "no-referrer"
            assert answer.headers.get_list(name) == [value], (what, name)
        assert answer.headers.get("Server") in ("nginx", None), what


def test_only_one_name_is_answered(proxy: Proxy):
    with proxy.client() as anyone:
        for host in ("a.example", f"{NAME}.example", "127.0.0.1", "localhost", f"a.{NAME}"):
            for path in ("/", "/api/health", "/graphql"):
                answer = anyone.get(path, headers={"Host": host}, auth=LOGIN)
                assert answer.status_code == 421 and "PYTOON_SERVER_NAME" in answer.text, host


# Guessing and holding -----------------------------------------------------------------------------


def test_passwords_can_not_be_guessed_quickly(proxy: Proxy, browser: httpx.Client):
    def guess(client: httpx.Client, password: str, **headers: str) -> int:
        return client.get("/", auth=("ann", password), headers=headers).status_code

    with (
        proxy.client(address="127.0.0.2") as attacker,
        proxy.client(address="127.0.0.2", auth=LOGIN) as colleague,
        ThreadPoolExecutor(8) as pool,
    ):
        first = colleague.get("/")
        cookie = first.headers["Set-Cookie"]
        for word in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
            assert word in cookie
        codes = list(pool.map(lambda n: guess(attacker, f"guess {n}"), range(60)))
        assert codes.count(401) <= 13 and codes.count(429) == 60 - codes.count(401)
        assert "Set-Cookie" not in attacker.get("/", auth=("ann", "no")).headers
        # The right one is not found either, and a cookie made up does not help.
        assert guess(attacker, LOGIN[1]) == 429
        for made_up in ("pytoon_login=", "pytoon_login=" + "0" * 48, "pytoon_login=:"):
            assert guess(attacker, "no", Cookie=made_up) == 429
        assert attacker.get("/").status_code == 401  # Asked for a password, none is tried.
        # Whoever has logged in works on, with all that a page loads at once.
        codes = list(pool.map(lambda _: colleague.get("/server_info").status_code, range(150)))
        assert set(codes) == {200} and "Set-Cookie" not in colleague.get("/").headers
        # The cookie alone opens nothing.
        assert attacker.get("/", headers={"Cookie": cookie.partition(";")[0]}).status_code == 401
    assert browser.get("/").status_code == 200


def test_unfinished_and_many_requests_of_an_address_are_bounded(echoing: Proxy):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def opened(address: str, request: str) -> ssl.SSLSocket:
        plain = socket.create_connection(
            ("127.0.0.1", echoing.port), timeout=20, source_address=(address, 0)
        )
        made = context.wrap_socket(plain, server_hostname="localhost")
        made.sendall(request.encode())
        return made

    head = f"GET /slow HTTP/1.1\r\nHost: localhost:{echoing.port}\r\n"
    with opened("127.0.0.3", head) as unfinished:
        assert unfinished.recv(100) == b""  # Left after a second; ten in the shipped file.
    with echoing.client(auth=LOGIN, address="127.0.0.4") as client:
        cookie = client.get("/").headers["Set-Cookie"].partition(";")[0]
    shown = base64.b64encode(":".join(LOGIN).encode()).decode()
    whole = f"{head}Authorization: Basic {shown}\r\nCookie: {cookie}\r\n\r\n"
    with ExitStack() as stack:
        sockets = [stack.enter_context(opened("127.0.0.4", whole)) for _ in range(205)]
        assert [s.recv(12) for s in sockets[-5:]] == [b"HTTP/1.1 429"] * 5
        with echoing.client(auth=LOGIN, address="127.0.0.5") as other:
            assert other.get("/").status_code == 200
        Echo.released.set()
        assert sockets[0].recv(12) == b"HTTP/1.1 200"


def test_without_its_variables_the_proxy_does_not_start(tmp_path: Path):
    write_tls(tmp_path / "tls")
    conf = write_conf(tmp_path, free_port(), 1, 2)
    argv = [need_nginx(), "-t", "-c", str(conf), "-p", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and 'unknown "pytoon_login_secret" variable' in done.stderr.lower()
