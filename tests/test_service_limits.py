"""The HTTP API under what goes wrong: damaged documents, a store that goes away, callers that do
not finish what they begin."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from ledger_states import force_state
from test_service import CARD, SECRET, TOKEN, codes, receiving, serving

from pytoon_pipeline.briefs import source, variants
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.compiler.kit_findings import brand_findings
from pytoon_pipeline.compiler.presets import open_presets
from pytoon_pipeline.intake import folders
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.media import download_s3
from pytoon_pipeline.media.download import DownloadLimits as FetchLimits
from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.report import rows
from pytoon_pipeline.service import jobs as jobs_module
from pytoon_pipeline.service import results, webhooks
from pytoon_pipeline.service.connections import ConnectionBounds
from pytoon_pipeline.settings import Settings, load_settings, project_data
from pytoon_pipeline.store import open_store, s3_client
from pytoon_pipeline.tables import table
from pytoon_pipeline.telemetry import counters

PRESETS = project_data("presets")
GOOD = {
    "video": {"used_fallback": False, "degraded": False, "frames": 60, "rate": 30},
    "verdicts": [
        {"name": "size", "passed": True, "severity": "error", "message": "270x480"},
        {"name": "loudness", "passed": False, "severity": "warning", "message": "quiet"},
    ],
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return load_settings(
        {
            "PYTOON_HOME": str(tmp_path / "home"),
            "PYTOON_TOKEN": TOKEN,
            "PYTOON_WEBHOOK_SECRET": SECRET,
        }
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as client:
        yield client


def finish(api: httpx.Client, settings: Settings, metrics: bytes, **more: Any) -> str:
    """A completed job whose metrics.json holds this; its address."""
    job = api.post("/render", json={**CARD, **more}).json()
    open_store(settings).put_bytes(f"videos/{job['key']}/metrics.json", metrics)
    force_state(Ledger(settings.ledger), job["key"], state="done")
    return job["links"]["self"]


# Damaged documents -------------------------------------------------------------------------------

DAMAGED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b"{}",
    b'{"video": null, "verdicts": []}',
    json.dumps({**GOOD, "verdicts": "none"}).encode(),
    json.dumps({**GOOD, "verdicts": [{"passed": True}]}).encode(),
    json.dumps({**GOOD, "video": {**GOOD["video"], "rate": 0}}).encode(),
    json.dumps({**GOOD, "video": {**GOOD["video"], "frames": float("nan")}}).encode(),
    json.dumps(GOOD).encode()[:-9],
    b"[" * 100_000,
    b" " * 2_000_001,
]


def test_a_damaged_document_costs_its_own_job_alone(
    api: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(results, "METRICS_BYTES", 2_000_000)
    good = finish(api, settings, json.dumps(GOOD).encode())
    bad = [finish(api, settings, data) for data in DAMAGED]
    gone = finish(api, settings, b"x")
    key = api.get(gone).json()["key"]
    open_store(settings).delete(f"videos/{key}/metrics.json")

    listed = api.get("/render", params={"limit": 200})
    assert listed.status_code == 200
    shown = {j["links"]["self"]: j for j in listed.json()["jobs"]}
    assert shown[good]["seconds"] == 2 and shown[good]["error"] is None
    assert shown[good]["checks"]["problems"] == ["loudness: quiet"]
    for address in (*bad, gone):
        job = shown[address]
        assert job["state"] == "completed" and job["checks"] is None
        assert "metrics.json" in job["error"], "the job itself says it"
        assert [p["code"] for p in job["problems"]] == ["metrics.unreadable"]
        assert api.get(address).json() == job
    assert api.get("/metrics").status_code == 200


def test_lists_and_counts_go_on_without_a_damaged_entry(api: httpx.Client, settings: Settings):
    finish(api, settings, json.dumps(GOOD).encode())
    store, ledger = open_store(settings), Ledger(settings.ledger)
    key = api.get("/render").json()["jobs"][0]["key"]
    for name in ("render_spec.json", "metrics.json"):
        store.put_bytes(f"videos/{key}/{name}", b"[" * 100_000)
    (row,) = rows.gather_rows(list(ledger.list_entries()), store)
    assert [w.code for w in row.warnings] == ["report.unreadable"] * 2
    name = next(n for n, figure in counters.METRICS.items() if figure in counters.COUNTED)
    before = counters.read_counters(ledger)
    with ledger.begin() as connection:
        values = {"name": name, "labels": "[", "value": 1.0}
        connection.execute(sa.insert(counters._COUNTERS_TABLE).values(values))
    assert counters.read_counters(ledger) == before
    assert "pytoon_" in api.get("/metrics").text


@pytest.mark.parametrize("stored", ["", "{", '[{"code": 1, "x": 2}]', "7", '[{"time": [NaN, 1]}]'])
def test_damaged_problems_cost_their_own_job_alone(
    api: httpx.Client, settings: Settings, stored: str
):
    addresses = [api.post("/render", json=CARD).json()["links"]["self"] for _ in range(2)]
    key = api.get(addresses[0]).json()["key"]
    ledger, briefs = Ledger(settings.ledger), METADATA.tables["known_briefs"]
    force_state(ledger, key, state="refused", error="x")
    with ledger.begin() as connection:
        connection.execute(
            sa.update(briefs).where(briefs.c.key == key).values(problems=stored, updated=1e300)
        )
    listed = api.get("/render")
    assert listed.status_code == 200, listed.text
    assert {j["links"]["self"]: j["state"] for j in listed.json()["jobs"]} == {
        addresses[0]: "failed",
        addresses[1]: "pending",
    }
    assert api.get(addresses[0]).json()["problems"][0]["code"] == "job.unreadable"
    assert len(list(ledger.list_entries())) == 2, "nor the lists of the command line"


@pytest.mark.parametrize(
    "written", [b"", b"{", b"[]", b'{"brief": 5, "campaign": [], "name": {}, "files": 0}']
)
def test_a_damaged_request_does_not_keep_the_server_from_starting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, written: bytes
):
    with serving(settings) as api:
        monkeypatch.setattr(jobs_module.JobStore, "_request_video", lambda *_: None)
        cut, whole = (api.post("/render", json=CARD).json() for _ in range(2))
    monkeypatch.undo()
    (settings.home / "jobs" / cut["job_id"] / "request.json").write_bytes(written)
    with serving(settings) as api:
        assert api.get(cut["links"]["self"]).status_code == 404
        assert api.get(whole["links"]["self"]).json()["key"]


def test_a_webhook_that_cannot_be_made_is_given_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """And keeps no other from being delivered."""
    made: list[str] = []

    def dumps(value: Any, **more: Any) -> str:
        if isinstance(value, dict) and value.get("campaign") == "broken":
            made.append(value["job_id"])
            raise KeyError("frames")
        return json.dumps(value, **more)

    monkeypatch.setattr(webhooks, "json", SimpleNamespace(dumps=dumps))
    with receiving(failures=0) as receiver:
        own = replace(settings, webhook_hosts=(receiver.address,))
        hook = {**CARD, "webhook": f"http://{receiver.address}/"}
        with serving(own, allow_private=True, pause=0.02, backoff=(0, 0)) as api:
            broken = api.post("/render", json={**hook, "campaign": "broken"}).json()
            whole = api.post("/render", json={**hook, "campaign": "whole"}).json()
            ledger = Ledger(own.ledger)
            for job in (broken, whole):
                force_state(ledger, job["key"], state="failed", error="x")
            receiver.wait(1)
            jobs = jobs_module.JobStore(ledger, own.home / "jobs")
            until = time.monotonic() + 10
            while jobs.get(broken["job_id"]).webhook_state == "waiting":
                assert time.monotonic() < until
                time.sleep(0.02)
            row = jobs.get(broken["job_id"])
    assert (row.webhook_state, row.webhook_attempts, len(made)) == ("given_up", 3, 3)
    assert json.loads(receiver.heard[0][1])["job_id"] == whole["job_id"]


# A store that goes away --------------------------------------------------------------------------


def test_a_moment_without_the_store_is_not_remembered(api: httpx.Client, settings: Settings):
    address = finish(api, settings, json.dumps(GOOD).encode())
    store = Path(settings.store)
    moved = store.with_name("elsewhere")
    store.rename(moved)
    store.write_bytes(b"a mount that fell off")
    away = api.get(address)
    assert away.status_code == 200 and away.json()["checks"] is None
    assert away.json()["problems"], "that they are lacking is said"
    assert codes(api.get(address + "/video")) & {"file.gone", "service.unavailable"}
    store.unlink()
    moved.rename(store)
    back = api.get(address).json()
    assert (back["seconds"], back["problems"], back["error"]) == (2, [], None)
    shutil.rmtree(store / "videos")
    assert api.get(address).json()["seconds"] == 2, "what was read is kept"


def test_the_hash_of_a_file_is_that_of_what_is_sent(api: httpx.Client, settings: Settings):
    """Also where another file takes its name with the same size and time."""
    address = finish(api, settings, json.dumps(GOOD).encode())
    place = Path(settings.store) / "videos" / api.get(address).json()["key"] / "video.mp4"
    tags = []
    for data in (b"one", b"two"):
        place.with_name("new").write_bytes(data)
        os.utime(place.with_name("new"), (1, 1))
        place.with_name("new").rename(place)
        answer = api.get(f"{address}/video")
        assert answer.content == data
        tags.append(answer.headers["ETag"].strip('"'))
    assert tags == [hashlib.sha256(data).hexdigest()[:32] for data in (b"one", b"two")]


# What is remembered of files ---------------------------------------------------------------------


@contextmanager
def unreadable() -> Iterator[None]:
    """For a moment no file can be read: the process has too many open."""

    def fail(*_: Any, **__: Any) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("read_bytes", "read_text", "open"):
            patch.setattr(Path, name, fail)
        patch.setattr(os, "open", fail)
        yield


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again(tmp_path: Path):
    plan, feed = tmp_path / "x.yaml", tmp_path / "feed.txt"
    plan.write_text("segments: [{media: [a.jpg]}]\n")
    feed.write_text("hook\tmedia\nKettle\ta.jpg\n")
    presets, fonts = open_presets(PRESETS), FontLibrary([PRESETS / "fonts"])
    kit = tmp_path / "brand.yaml"
    kit.write_text("name: x\n")
    cases: list[Callable[[], Any]] = [
        lambda: folders._document_kind(plan),
        lambda: source._words_of(str(plan), plan.stat()),
        lambda: table.looks_like_table(feed),
        lambda: variants.expand_variants(BriefSource(plan, "brief", "c", "x", tmp_path)),
        lambda: brand_findings(presets, kit, fonts),
    ]
    with unreadable():
        without = [case() for case in cases]
    found = [case() for case in cases]
    assert without[:3] == ["brief", (), False] and found[:3] == [
        "spec",
        ("segments", "media", "a.jpg"),
        True,
    ]
    assert [p.code for p in without[4]] == ["file.unreadable"]
    assert "file.unreadable" not in [p.code for p in found[4]]


def test_a_table_is_known_by_the_mapping_that_lies_beside_it_now(tmp_path: Path):
    feed, mapping = tmp_path / "feed.txt", tmp_path / "feed.mapping.yaml"
    feed.write_text("aaa\tbbb\nKettle\tx\n")
    assert not table.looks_like_table(feed)
    mapping.write_text('fields:\n  hook: "{aaa}"\n')
    assert table.looks_like_table(feed)


def test_a_font_that_was_replaced_has_another_hash(tmp_path: Path):
    own, one, two = tmp_path / "own.ttf", *sorted((PRESETS / "fonts").rglob("*.ttf"))[:2]
    hashes = []
    for font in (one, two):
        shutil.copyfile(font, own)
        library = FontLibrary([tmp_path])
        hashes.append(library.find(library.families()[0]).sha256)
    assert hashes == [hashlib.sha256(f.read_bytes()).hexdigest() for f in (one, two)]


def test_credentials_that_were_lacking_are_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    login = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(login))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert s3_client.open_tools(None).credentials is None
    before = download_s3._s3_now(FetchLimits())
    assert before._request_signer._credentials is None
    login.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    assert s3_client.open_tools(None).credentials.access_key == "a"
    assert s3_client.open_tools(None) is s3_client.open_tools(None), "which is kept"
    after = download_s3._s3_now(FetchLimits())
    assert after._request_signer._credentials.access_key == "a"
    assert download_s3._s3_now(FetchLimits()) is after


# Callers that do not finish ----------------------------------------------------------------------

QUICK = ConnectionBounds(
    head_seconds=0.4,
    idle_seconds=1,
    drain_seconds=0.4,
    window_seconds=0.6,
    look_seconds=0.05,
    slowest=1000,
)
HALF = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-More: "


def connect(api: httpx.Client) -> socket.socket:
    made = socket.create_connection((api.base_url.host, api.base_url.port), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the server closes: a reset is an end, too."""
    found = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            found += piece
    return found


def trickle(connection: socket.socket, pause: float = 0.05) -> bytes:
    """Send a byte now and then, until the server closes; what it answered."""
    until = time.monotonic() + 10
    with suppress(ConnectionError):
        while time.monotonic() < until:
            connection.settimeout(pause)
            try:
                if (said := connection.recv(65536)) or not said:
                    connection.settimeout(10)
                    return said + rest(connection)
            except TimeoutError:
                connection.sendall(b"x")
        raise AssertionError("the server still listens to it")
    return b""


def head(api: httpx.Client, method: str = "POST", path: str = "/render", *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *more, "", ""]
    return "\r\n".join(lines).encode()


AUTH, JSON = f"Authorization: Bearer {TOKEN}", "Content-Type: application/json"


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer in the one shape."""
    top, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in top, answer
    said = json.loads(body)
    assert set(said) == {"error", "problems"} and said["error"]["remedy"]
    return int(top.split()[1]), said["error"]["code"]


def test_unfinished_requests_keep_nobody_out(settings: Settings):
    bounds = ConnectionBounds(connections=60, per_address=40)
    with serving(settings, bounds) as api, ExitStack() as stack:
        half = [stack.enter_context(connect(api)) for _ in range(300)]
        for number, connection in enumerate(half):
            with suppress(ConnectionError):
                connection.sendall(HALF)
            if number % 60 == 0:
                assert api.get("/health").json()["status"] == "ok"
        assert httpx.get(f"{api.base_url}/health", trust_env=False).status_code == 200
        ended = 0
        for connection in half:
            connection.settimeout(0.01)
            with suppress(TimeoutError):
                ended += rest(connection) == b""
    assert ended >= 300 - 40, "of one address no more are held"


def test_a_server_with_few_descriptors_answers(settings: Settings):
    code = (
        "import sys; from pytoon_pipeline.service.server import run_server;"
        "from pytoon_pipeline.settings import load_settings;"
        "sys.exit(run_server(load_settings(), port=0))"
    )
    few = (200, 200)
    environment = {**os.environ, "PYTOON_HOME": str(settings.home), "PYTOON_TOKEN": TOKEN}
    with ExitStack() as stack:
        served = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", code],
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few),
            )
        )
        stack.callback(served.kill)
        port = int(re.search(r"http://127.0.0.1:(\d+)", served.stdout.readline())[1])
        most = 0
        for _ in range(400):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            with suppress(ConnectionError):
                connection.sendall(HALF)
            most = max(most, len(os.listdir(f"/proc/{served.pid}/fd")))
        health = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=20)
        assert health.json()["status"] == "ok"
        served.terminate()
        assert served.wait(15) == 0
        assert "Too many open files" not in served.stderr.read()
    assert most < 150, "descriptors are left for files"


def test_descriptors_are_raised_as_far_as_they_may_be():
    code = "from pytoon_pipeline.service.server import raise_descriptors as r; print(r(), r())"
    said = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1000)),
    )
    assert said.stdout.split() == ["1000", "1000"]
    assert ConnectionBounds().within_descriptors(8192) == ConnectionBounds()
    tight = ConnectionBounds().within_descriptors(200)
    assert 3 * tight.connections + tight.backlog < 200 and tight.per_address < tight.connections


def test_a_head_has_a_time_and_a_size(settings: Settings):
    with serving(settings, QUICK) as api:
        with connect(api) as silent:
            assert refusal(rest(silent)) == (408, "head.slow")
        with connect(api) as slow:
            slow.sendall(HALF)
            assert refusal(trickle(slow)) == (408, "head.slow")
        with connect(api) as second:
            second.sendall(head(api, "GET", "/health") + HALF)
            answer = trickle(second)
            assert answer.startswith(b"HTTP/1.1 200") and b"head.slow" in answer
        with connect(api) as idle:
            idle.sendall(head(api, "GET", "/health"))
            assert rest(idle).startswith(b"HTTP/1.1 200")
        with connect(api) as long:
            long.sendall(HALF + b"x" * QUICK.head_bytes)
            assert refusal(rest(long)) == (431, "head.too_large")


def test_a_body_has_a_least_rate(settings: Settings):
    with serving(settings, QUICK) as api:
        with connect(api) as slow:
            slow.sendall(head(api, "POST", "/render", AUTH, JSON, "Content-Length: 9000"))
            assert refusal(trickle(slow)) == (408, "body.slow")
        with connect(api) as chunked:
            chunked.sendall(head(api, "POST", "/render", AUTH, JSON, "Transfer-Encoding: chunked"))
            chunked.sendall(b"2000\r\n")
            assert refusal(trickle(chunked)) == (408, "body.slow")
        with connect(api) as steady:
            body = json.dumps(CARD).encode() + b" " * 3000
            steady.sendall(head(api, "POST", "/render", AUTH, JSON, f"Content-Length: {len(body)}"))
            for start in range(0, len(body), 200):
                steady.sendall(body[start : start + 200])
                time.sleep(0.1)
            assert steady.recv(65536).startswith(b"HTTP/1.1 202"), "it took longer than a window"
        for more in ((), (AUTH,)):  # Answered before the body is whole: it is not waited for.
            with connect(api) as refused:
                refused.sendall(head(api, "PUT", "/nothing", *more, "Content-Length: 900000000"))
                assert trickle(refused).startswith(b"HTTP/1.1 40")
        assert not list((settings.home / "jobs").glob(".tmp-*")), "nothing is left behind"


def test_an_answer_that_is_not_read_is_given_up(settings: Settings):
    with serving(settings, replace(QUICK, window_seconds=1)) as api:
        address = finish(api, settings, json.dumps(GOOD).encode())
        key, size = api.get(address).json()["key"], 30_000_000
        open_store(settings).put_bytes(f"videos/{key}/video.mp4", bytes(size))
        asked = head(api, "GET", f"{address}/video", AUTH)
        with connect(api) as steady, connect(api) as stuck:
            for connection in (steady, stuck):
                connection.sendall(asked)
            seen = []
            for _ in range(60):
                time.sleep(0.05)
                seen.append(len(steady.recv(20_000)))
            assert 0 not in seen, "over several windows: slow is not stuck"
            assert len(rest(stuck)) < size


def test_requests_at_work_are_not_given_up_for_new_ones(settings: Settings):
    bounds = ConnectionBounds(connections=6, per_address=6)
    with serving(settings, bounds) as api, ExitStack() as stack:
        begun = [stack.enter_context(connect(api)) for _ in range(6)]
        body = json.dumps(CARD).encode()
        for connection in begun:
            connection.sendall(
                head(api, "POST", "/render", AUTH, JSON, f"Content-Length: {len(body)}") + body[:9]
            )
        time.sleep(0.3)
        with connect(api) as late:
            assert refusal(rest(late)) == (503, "server.full")
        for connection in begun:
            connection.sendall(body[9:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 202")
        assert api.get("/health").status_code == 200


_BODY = json.dumps(CARD).encode()
_LENGTH = f"Content-Length: {len(_BODY)}"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/render", (AUTH, JSON, _LENGTH, "Content-Length: 3"), _BODY, 400),
        ("POST", "/render", (AUTH, JSON, "Content-Length: -1"), _BODY, 400),
        ("POST", "/render", (AUTH, JSON, _LENGTH, "Transfer-Encoding: chunked"), b"0\r\n\r\n", 400),
        ("POST", "/render", (AUTH, JSON, "Transfer-Encoding: chunked"), b"zz\r\nabc\r\n", 400),
        ("POST", "/render", (AUTH, JSON, "Transfer-Encoding: chunked"), b"3\r\nabcd\r\n", 400),
        ("POST", "/render", (AUTH, JSON, _LENGTH, "Idempotency-Key: "), _BODY, 422),
        ("POST", "/render", (AUTH, JSON, _LENGTH, "Idempotency-Key: " + "k" * 201), _BODY, 422),
        ("GET", "/health", ("Host: elsewhere",), b"", 400),
        ("GET", "/health", ("X : space",), b"", 400),
        ("GET", "http://localhost/render", (AUTH,), b"", 404),
        ("OPTIONS", "*", (AUTH,), b"", 404),
        ("GET", "/render/" + "a" * 60_000, (AUTH,), b"", 404),
        ("GET", "/render/%2e%2e%2f%00", (AUTH,), b"", 404),
        ("GET", "/render/AAAAAAAAAAAAAAAAAAAAAA%0a", (AUTH,), b"", 404),
        ("GET", "/render?campaign=%00", (AUTH,), b"", 422),
        ("GET", "/render?limit=" + "9" * 5000, (AUTH,), b"", 422),
        ("GET", "/render", ("Authorization: Bearer \xff\xfe",), b"", 401),
        ("GET", "/render", ("Authorization: Bearer x", AUTH), b"", 401),
    ],
)
def test_odd_requests_are_refused_in_the_one_shape(
    api: httpx.Client, method: str, path: str, headers: tuple[str, ...], body: bytes, status: int
):
    with connect(api) as odd:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
        odd.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        assert refusal(rest(odd))[0] == status


def test_an_offer_of_another_protocol_is_passed_over(api: httpx.Client):
    with connect(api) as offering:
        offering.sendall(
            head(api, "GET", "/health", "Connection: Upgrade, close", "Upgrade: websocket")
        )
        assert rest(offering).startswith(b"HTTP/1.1 200")
