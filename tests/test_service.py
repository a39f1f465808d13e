"""The HTTP API, on a real server."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from ledger_states import force_state
from PIL import Image

import pytoon_pipeline
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.media.kinds import suffix_of
from pytoon_pipeline.runtime.brief_runs import open_instance, run_brief
from pytoon_pipeline.service import jobs as jobs_module
from pytoon_pipeline.service.app import make_app, openapi_text
from pytoon_pipeline.service.connections import ConnectionBounds
from pytoon_pipeline.service.jobs import stop_dagster_run
from pytoon_pipeline.service.server import open_socket, run_server, server_of
from pytoon_pipeline.service.upload import UploadLimits
from pytoon_pipeline.service.webhooks import WebhookDispatcher
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.services import open_services

DOCS = Path(pytoon_pipeline.__file__).parents[1] / "docs"
TOKEN, SECRET = "correct horse", "battery staple"
LIMITS = UploadLimits(document=20_000, file=200_000, body=500_000, files=4, idle_seconds=2)


@contextmanager
def serving(
    settings: Settings, bounds: ConnectionBounds | None = None, **more: Any
) -> Iterator[httpx.Client]:
    """The API on a port of its own, and a client that has the token."""
    app = make_app(settings, **more)
    with open_socket("127.0.0.1", 0) as here:
        server = server_of(app, bounds or ConnectionBounds())
        thread = threading.Thread(target=server.run, args=([here],), daemon=True)
        thread.start()
        headers = {"Authorization": f"Bearer {TOKEN}"} if settings.token else {}
        address = f"http://127.0.0.1:{here.getsockname()[1]}"
        with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=20) as client:
            yield client
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    roots = tmp_path_factory.mktemp("products")
    loaded = load_settings(
        {
            "PYTOON_HOME": str(tmp_path_factory.mktemp("api")),
            "PYTOON_TOKEN": f"old, {TOKEN}",
            "PYTOON_WEBHOOK_SECRET": SECRET,
            "PYTOON_MEDIA_ROOTS": f"products={roots}",
        }
    )
    return loaded


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DAGSTER_HOME", raising=False)
        with serving(settings, limits=LIMITS) as client:
            yield client


@pytest.fixture(scope="module")
def ledger(settings: Settings, api: httpx.Client) -> Ledger:
    return Ledger(settings.ledger)


def jpeg(size: tuple[int, int] = (270, 480)) -> bytes:
    made = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(made, "JPEG")
    return made.getvalue()


JPEG = jpeg()
CARD = {"brief": {"media": [{"text": "A card of words"}]}}


def form(brief: Any, *files: tuple[str, bytes]) -> dict[str, Any]:
    text = json.dumps(brief).encode()
    parts: list[Any] = [("brief", (None, text, "application/json"))]
    return {"files": parts + [("media", (name, data, "image/jpeg")) for name, data in files]}


def codes(answer: httpx.Response) -> set[str]:
    """Codes of a refusal, which always has the one shape."""
    said = answer.json()
    assert set(said) == {"error", "problems"} and said["error"]["message"], said
    assert "Traceback" not in answer.text
    return {p["code"] for p in said["problems"]} or {said["error"]["code"]}


# A job, from brief to video ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(api: httpx.Client, ledger: Ledger, settings: Settings) -> dict[str, Any]:
    """A job with a real video, made as the daemon makes it."""
    spec = {
        "archetype": "hero",
        "resolution": "270x480",
        "segments": [{"media": ["a b.jpg"], "duration": 2, "text": "Hello"}],
        "audio_track": False,
    }
    answer = api.post("/render", **form({"spec": spec, "name": 'Käse "x"'}, ("a b.jpg", JPEG)))
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["state"], job["progress"], job["links"]["video"]) == ("pending", 0, None)
    entry = ledger.find_entry(job["key"])
    assert (entry.wanted, entry.state) == ("render", "new"), "the sensor will see it"
    assert api.get(job["links"]["self"] + "/video").status_code == 409
    with open_instance(settings) as instance:
        result = run_brief(entry.source, open_services(settings), Reporter(), instance)
    assert result.ok, (result.problems, result.error, result.traceback)
    return api.get(answer.headers["Location"]).json()


def test_a_job_becomes_a_video(api: httpx.Client, done: dict[str, Any]):
    assert (done["state"], done["progress"], done["seconds"]) == ("completed", 1, 2)
    assert (done["degraded"], done["used_fallback"], done["error"]) == (False, False, None)
    assert done["checks"]["passed"] >= 10 and done["run_id"]
    video = api.get(done["links"]["video"])
    assert video.headers["Content-Type"] == "video/mp4" and video.content[4:8] == b"ftyp"
    assert video.headers["Content-Disposition"] == (
        "attachment; filename=\"K_se _x_.mp4\"; filename*=UTF-8''K%C3%A4se%20_x_.mp4"
    )
    assert api.get(done["links"]["thumbnail"]).content[:3] == b"\xff\xd8\xff"
    assert "Hello" in api.get(done["links"]["captions"]).text
    vtt = api.get(done["links"]["captions"], params={"format": "vtt"})
    assert vtt.text.startswith("WEBVTT") and vtt.headers["Content-Type"].startswith("text/vtt")
    assert api.get(done["links"]["captions"], params={"format": "ass"}).status_code == 422
    late = api.delete(done["links"]["cancel"])
    assert late.status_code == 409 and codes(late) == {"job.completed"}


def test_files_come_in_parts(api: httpx.Client, done: dict[str, Any]):
    address = done["links"]["video"]
    whole = api.get(address)
    size, etag = len(whole.content), whole.headers["ETag"]
    assert etag == f'"{hashlib.sha256(whole.content).hexdigest()[:32]}"'

    def part(text: str, **more: str) -> tuple[int, bytes, str | None]:
        answer = api.get(address, headers={"Range": text, **more})
        return answer.status_code, answer.content, answer.headers.get("Content-Range")

    data = whole.content
    assert part("bytes=0-0") == (206, data[:1], f"bytes 0-0/{size}")
    assert part(f"bytes=100-{size * 9}") == (206, data[100:], f"bytes 100-{size - 1}/{size}")
    assert part("bytes=-7") == (206, data[-7:], f"bytes {size - 7}-{size - 1}/{size}")
    assert part("bytes=9-", **{"If-Range": etag})[0] == 206
    assert part("bytes=9-", **{"If-Range": '"other"'}) == (200, data, None)
    for odd in ("bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=-", "bytes=a-b"):
        assert part(odd) == (200, data, None), odd
    status, _, place = part(f"bytes={size}-")
    assert (status, place) == (416, f"bytes */{size}")
    assert part("bytes=-0")[0] == 416
    head = api.head(address)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(size))
    same = api.get(address, headers={"If-None-Match": f'"x", {etag}'})
    assert (same.status_code, same.content) == (304, b"")


def test_states_are_those_of_the_ledger(api: httpx.Client, ledger: Ledger):
    job = api.post("/render", json=CARD).json()

    def now() -> dict[str, Any]:
        return api.get(job["links"]["self"]).json()

    force_state(ledger, job["key"], state="running", progress=0.4, run_id="run")
    assert (now()["state"], now()["progress"], now()["run_id"]) == ("processing", 0.4, "run")
    force_state(ledger, job["key"], state="failed", error="no memory")
    assert (now()["state"], now()["error"], now()["problems"]) == ("failed", "no memory", [])
    wrong = Problem("caption.too_long", "too long.", "Cut it.", file="the request", field="hook")
    force_state(ledger, job["key"], state="refused", error=str(wrong), problems=[wrong])
    assert [(p["code"], p["field"]) for p in now()["problems"]] == [("caption.too_long", "hook")]
    assert codes(api.get(job["links"]["self"] + "/video")) == {"job.not_completed"}


def test_no_folder_of_the_server_is_told(api: httpx.Client, ledger: Ledger, settings: Settings):
    job = api.post("/render", json=CARD).json()
    home = str(settings.home)
    error = f"media/x.png can't be written to {settings.store}: no space; see {home}/scratch."
    wrong = Problem("media.missing", f"{home}/jobs/x/a.png is gone.", f"Look into {home}.")
    force_state(ledger, job["key"], state="failed", error=error, problems=[wrong])
    answer = api.get(job["links"]["self"])
    assert home not in answer.text and settings.store not in answer.text
    said = answer.json()["error"]
    assert said.startswith("media/x.png can't be written to PYTOON_STORE: no space")
    assert said.endswith("see PYTOON_HOME/scratch.")


def test_jobs_of_one_name_are_different(api: httpx.Client, ledger: Ledger, settings: Settings):
    brief = {**CARD, "campaign": "twins", "name": "../same", "priority": 7}
    first, second = (api.post("/render", json=brief).json() for _ in range(2))
    assert first["job_id"] != second["job_id"] and first["key"] == "twins/.._same"
    assert second["key"].startswith("twins/.._same~")
    assert ledger.find_entry(first["key"]).source.document.data["priority"] == 7
    force_state(ledger, first["key"], state="failed", error="x")
    assert api.get(second["links"]["self"]).json()["state"] == "pending"
    shutil.rmtree(settings.home / "jobs" / first["job_id"])
    third = api.post("/render", json=brief).json()
    assert third["key"] == first["key"] and third["state"] == "pending"
    assert api.get(first["links"]["self"]).status_code == 404, "its place is another's now"


# What is refused ---------------------------------------------------------------------------------


def test_every_problem_of_a_request_is_named(api: httpx.Client):
    brief = {
        "media": ["gone.jpg", "products:a.jpg", "https://cdn.example.com/b.jpg", "/etc/passwd"],
        "hookk": "x",
        "duration": "15",
        "brand": "kit.yaml",
    }
    answer = api.post("/render", **form({"brief": brief}, ("other.jpg", JPEG)))
    assert answer.status_code == 422
    found = {(p["code"], p.get("field")) for p in answer.json()["problems"]}
    assert found == {
        ("field.unknown", "hookk"),
        ("field.type", "duration"),
        ("media.missing", "media[0]"),
        ("media.missing", "media[3]"),
        ("brand.file", "brand"),
        ("media.unused", "media"),
    }
    assert all(p["remedy"] for p in answer.json()["problems"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "body.json")),
        (b'{"brief": {"metadata": {"x": NaN}}}', (422, None)),
        (b'{"brief": {"metadata": {"x": 1e999}}}', (400, "body.json")),
        (b'{"brief": {"hook": "\\ud800"}}', (400, "body.json")),
        (b'{"brief": {}, "brief": {}}', (400, "body.json")),
        (b'{"brief": ' + b"[" * 3000 + b"]" * 3000 + b"}", (400, "body.json")),
        (b"\xff", (400, "body.json")),
        (b"[]", (422, "body.shape")),
        (b"{}", (422, "field.missing")),
        (b'{"brief": {}, "spec": {}}', (422, "field.value")),
        (b'{"brief": {}, "campaign": "a\\u0000"}', (422, "field.value")),
        (b'{"brief": {"media": ["a"], "variants": {"hooks": ["a", "b"]}}}', (422, None)),
        (b'{"spec": {"archetype": "hero", "segments": []}}', (422, "field.empty")),
        (b'{"brief": {}, "webhook": "http://169.254.169.254/"}', (422, "webhook.host")),
        (b" " * 20_001, (413, "body.too_large")),
    ],
)
def test_a_wrong_document_is_refused(api: httpx.Client, body: bytes, expected: tuple):
    answer = api.post("/render", content=body, headers={"Content-Type": "application/json"})
    status, code = expected
    if b"NaN" in body:
        status, code = 400, "body.json"
    assert answer.status_code == status, answer.text
    assert code is None or codes(answer) == {code}


def test_other_calls_are_refused_in_the_same_shape(api: httpx.Client):
    for answer, expected in (
        (api.get("/render/nobody"), (404, "job.unknown")),
        (api.get("/render/" + "A" * 22), (404, "job.unknown")),
        (api.delete("/render/..%2f..%2fx"), (404, None)),
        (api.get("/nothing"), (404, "path.unknown")),
        (api.put("/render"), (405, "method.unknown")),
        (api.get("/render", params={"limit": 0}), (422, "parameter.value")),
        (api.get("/render", params={"cursor": "x"}), (422, "parameter.value")),
        (api.post("/render", content=b"brief"), (415, "body.type")),
    ):
        assert answer.status_code == expected[0], answer.text
        assert expected[1] is None or codes(answer) == {expected[1]}
    assert api.put("/render").headers["Allow"] == "GET, POST"


# Uploads -----------------------------------------------------------------------------------------


HOSTILE = [
    "../../x.jpg",
    "/etc/cron.d/x.jpg",
    "..\\x.jpg",
    "📷 夏.jpg",
    'a"b.jpg',
    "x" * 300 + ".jpg",
]


def test_names_of_files_are_never_paths(api: httpx.Client, settings: Settings, ledger: Ledger):
    before = {p for p in settings.home.rglob("*") if "jobs" not in p.parts}
    for name in HOSTILE:
        answer = api.post("/render", **form({"brief": {"media": [name]}}, (name, JPEG)))
        assert answer.status_code == 202, (name, answer.text)
        job = answer.json()
        folder = settings.home / "jobs" / job["job_id"]
        assert {p.name for p in folder.iterdir()} == {"media-01.jpg", "request.json"}
        document = ledger.find_entry(job["key"]).source.document
        assert document.files == {name: "media-01.jpg"}
        assert document.data["media"] == [name]
    assert {p for p in settings.home.rglob("*") if "jobs" not in p.parts} == before
    part = b'--b\r\nContent-Disposition: form-data; name="media"; filename="a\0.jpg"\r\n\r\n'
    text = b'--b\r\nContent-Disposition: form-data; name="brief"\r\n\r\n{"brief":{"hook":"x"}}\r\n'
    answer = api.post(
        "/render",
        content=text + part + JPEG + b"\r\n--b--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert answer.status_code in (400, 422), "a NUL"


def test_an_upload_is_what_its_bytes_say(api: httpx.Client):
    brief = {"brief": {"media": ["a.jpg"]}}
    for data in (b"", b"#!/bin/sh", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"):
        answer = api.post("/render", **form(brief, ("a.jpg", data)))
        assert (answer.status_code, codes(answer)) == (415, {"media.type"}), data
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    assert api.post("/render", **form(brief, ("a.jpg", png.getvalue()))).status_code == 202
    twice = api.post("/render", **form(brief, ("a.jpg", JPEG), ("a.jpg", JPEG)))
    assert "media.twice" in codes(twice)


def test_kinds_of_files():
    assert suffix_of(b"RIFF\0\0\0\0WEBPVP8 ") == ".webp"
    assert suffix_of(b"\0\0\0\x20ftypavif\0\0\0\0") == ".avif"
    assert suffix_of(b"\0\0\0\x20ftypqt  \0\0\0\0") == ".mov"
    assert suffix_of(b"\0\0\0\x20ftypM4A \0\0\0\0") == ".m4a"
    assert suffix_of(b"\x1aE\xdf\xa3\x01\0\0\0B\x82\x84webm") == ".webm"
    assert suffix_of(b"\xff\xfb\x90\x64") == ".mp3" and suffix_of(b"\xff\xf1\x50\x80") == ".aac"
    assert suffix_of(b"RIFF\0\0\0\0AVI ") == ".avi"
    assert suffix_of(b"\xff\xff\xff\xff") is None and suffix_of(b"RIFF\0\0\0\0CDXA") is None


def test_limits_hold_while_it_streams(api: httpx.Client, settings: Settings):
    big = JPEG + b"\0" * 200_001
    brief = {"brief": {"media": ["a.jpg"]}}
    whole = api.post("/render", **form(brief, ("a.jpg", big)))
    assert (whole.status_code, codes(whole)) == (413, {"body.too_large"})

    def chunks(data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), 10_000):
            yield data[start : start + 10_000]

    three = [(f"{i}.jpg", big[:190_000]) for i in range(3)]
    for files in ([("a.jpg", big)], three):
        request = api.build_request("POST", "/render", **form(brief, *files))
        data, kind = request.read(), {"Content-Type": request.headers["Content-Type"]}
        # Without a Content-Length.
        answer = api.post("/render", content=chunks(data), headers=kind)
        assert (answer.status_code, codes(answer)) == (413, {"body.too_large"})
    many = api.post("/render", **form(brief, *((f"{i}.jpg", JPEG) for i in range(5))))
    assert (many.status_code, codes(many)) == (413, {"media.too_many"})
    with socket.create_connection((api.base_url.host, api.base_url.port)) as slow:
        slow.sendall(
            f"POST /render HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        slow.settimeout(10)
        assert b" 408 " in slow.recv(4096)
    assert not list((settings.home / "jobs").glob(".tmp-*")), "nothing is left behind"


# Twice the same ----------------------------------------------------------------------------------


def test_the_same_request_twice_is_one_job(
    api: httpx.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    def post(brief: Any, key: str, token: str = TOKEN) -> httpx.Response:
        headers = {"Idempotency-Key": key, "Authorization": f"Bearer {token}"}
        return api.post("/render", headers=headers, **form(brief, ("a.jpg", JPEG)))

    brief = {"brief": {"media": ["a.jpg"]}, "campaign": "twice"}
    before = {p.name for p in (settings.home / "jobs").iterdir()}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(brief, "k"), range(8)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["job_id"] for a in answers}) == 1
    assert sum("Idempotent-Replay" not in a.headers for a in answers) == 1
    listed = api.get("/render", params={"campaign": "twice"}).json()["jobs"]
    assert len(listed) == 1
    folders = {p.name for p in (settings.home / "jobs").iterdir()} - before
    assert folders == {listed[0]["job_id"]}, "of the others nothing is left"
    other = post({**brief, "name": "other"}, "k")
    assert (other.status_code, codes(other)) == (409, {"idempotency.other"})
    assert "Idempotent-Replay" not in post(brief, "k", "old").headers, "each token has its own"
    monkeypatch.setattr(jobs_module, "IDEMPOTENCY_SECONDS", 0)
    assert "Idempotent-Replay" not in post(brief, "k").headers, "a day later"


def test_pages_hold_every_job_once(api: httpx.Client, ledger: Ledger):
    sent = [
        api.post("/render", json={**CARD, "campaign": "pages"}).json()["job_id"] for _ in range(7)
    ]
    seen, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = api.get("/render", params={"campaign": "pages", "limit": 3, **more}).json()
        seen += [j["job_id"] for j in page["jobs"]]
        if len(seen) == 3:
            # What comes in between belongs before the first page.
            api.post("/render", json={**CARD, "campaign": "pages"})
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == sent[::-1]
    key = api.get(f"/render/{sent[2]}").json()["key"]
    force_state(ledger, key, state="running")
    found = api.get("/render", params={"campaign": "pages", "state": "processing"}).json()
    assert [j["job_id"] for j in found["jobs"]] == [sent[2]] and found["next"] is None


# Cancelling --------------------------------------------------------------------------------------


def test_a_pending_job_is_cancelled(api: httpx.Client, ledger: Ledger):
    job = api.post("/render", json=CARD).json()
    for _ in range(2):
        answer = api.delete(job["links"]["cancel"])
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    entry = ledger.find_entry(job["key"])
    assert (entry.state, entry.wanted) == ("cancelled", ""), "the sensor will not see it"


@dg.job
def _empty() -> None: ...


def test_a_requested_job_is_cancelled_with_its_run(
    api: httpx.Client, ledger: Ledger, settings: Settings
):
    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "videos"), "_empty"
    )
    job = api.post("/render", json=CARD).json()
    ledger.request(job["key"], "hash", "look")
    with open_instance(settings) as instance:
        run = instance.create_run_for_job(
            _empty,
            tags={"pytoon/brief": job["key"]},
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=origin,
        )
    assert api.delete(job["links"]["cancel"]).json()["state"] == "cancelled"
    with open_instance(settings) as instance:
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED
    # A run that was on its way comes up all the same.
    force_state(ledger, job["key"], state="running")
    deadline = time.monotonic() + 15
    while ledger.find_entry(job["key"]).state != "cancelled" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ledger.find_entry(job["key"]).state == "cancelled"
    stop_dagster_run(settings, "nobody/knows")


# Who may call ------------------------------------------------------------------------------------


def test_only_who_has_a_token_may_call(api: httpx.Client):
    job = api.post("/render", json=CARD).json()
    for method, path in (
        ("GET", "/render"),
        ("POST", "/render"),
        ("GET", job["links"]["self"]),
        ("DELETE", job["links"]["self"]),
        ("GET", job["links"]["self"] + "/video"),
    ):
        for shown in ("", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
            answer = api.request(method, path, headers={"Authorization": shown})
            assert answer.status_code == 401, (method, path, shown)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert api.get("/health", headers={"Authorization": ""}).json()["ledger"] == "ok"
    assert api.get("/render", headers={"Authorization": "bearer old"}).status_code == 200
    headers = api.get("/render").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_without_a_token_only_this_machine_may_call(settings: Settings, tmp_path: Path):
    plain = replace(settings, token=None, home=tmp_path)
    with serving(plain) as api:
        assert api.post("/render", json=CARD).status_code == 202
        for headers, code in (
            ({"Host": "rebound.example.com"}, "auth.host"),
            ({"Host": "127.0.0.1.example.com:80"}, "auth.host"),
            ({"Origin": "https://example.com"}, "auth.origin"),
            ({"Origin": "null"}, "auth.origin"),
            ({"Origin": "http://localhost:3000"}, "auth.origin"),  # Another program's page.
            ({"Sec-Fetch-Site": "cross-site"}, "auth.origin"),
            ({"Sec-Fetch-Site": "same-site"}, "auth.origin"),
            ({"Host": "localhost", "X-Forwarded-For": "203.0.113.9"}, "auth.proxy"),
            ({"Host": "localhost", "X-Forwarded-Prefix": "/api"}, "auth.proxy"),
        ):
            answer = api.post("/render", json=CARD, headers=headers)
            assert (answer.status_code, codes(answer)) == (403, {code})
            # Browsers send a form to other sites without asking first.
            parts = {"brief": (None, json.dumps(CARD))}
            answer = api.post("/render", files=parts, headers=headers)
            assert (answer.status_code, codes(answer)) == (403, {code})
            for path in ("/render", "/health", "/metrics", "/openapi.json"):
                assert api.get(path, headers=headers).status_code == 403, (path, headers)
        own = str(api.base_url).rstrip("/")
        for headers in ({"Host": "localhost"}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}):
            assert api.post("/render", json=CARD, headers=headers).status_code == 202
        told = api.post("/render", json={**CARD, "webhook": "https://hooks.example.com/"})
    with serving(replace(plain, webhook_secret=None)) as api:
        silent = api.post("/render", json={**CARD, "webhook": "https://hooks.example.com/"})
    assert (codes(told), codes(silent)) == ({"webhook.host"}, {"webhook.secret"})
    with pytest.raises(UserError, match="PYTOON_TOKEN"):
        run_server(plain, "0.0.0.0", 0)
    with open_socket("127.0.0.1", 0) as taken, pytest.raises(UserError, match="--port"):
        run_server(plain, "127.0.0.1", taken.getsockname()[1])


def test_serve_ends_when_it_is_told_to(settings: Settings, tmp_path: Path):
    code = (
        "import sys; from pytoon_pipeline.service.server import run_server;"
        "from pytoon_pipeline.settings import load_settings;"
        "sys.exit(run_server(load_settings(), port=0))"
    )
    home = {"PYTOON_HOME": str(tmp_path), "PYTOON_TOKEN": "", "DAGSTER_HOME": ""}
    environment = {**os.environ, **home}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as served:
        line = served.stdout.readline()
        address = re.search(r"http://127.0.0.1:\d+", line)[0]
        assert httpx.get(f"{address}/health", trust_env=False).json()["status"] == "ok"
        served.terminate()
        assert served.wait(10) == 0


def test_a_fault_tells_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with serving(replace(settings, home=tmp_path)) as api:
        monkeypatch.setattr(jobs_module.JobStore, "get", lambda *_: 1 / 0)
        answer = api.get("/render/" + "A" * 22)
        assert (answer.status_code, codes(answer)) == (500, {"service.fault"})
        assert "division" not in answer.text
        (tmp_path / "briefs.db").unlink()
        for other in tmp_path.glob("briefs.db*"):
            other.unlink()
        (tmp_path / "briefs.db").mkdir()
        assert api.get("/health").status_code == 503
        assert codes(api.get("/render")) == {"service.unavailable"}


# Webhooks, restarts ------------------------------------------------------------------------------


class Receiver(ThreadingHTTPServer):
    """Hears of jobs; fails as often as it is told to."""

    def __init__(self, failures: int):
        self.heard: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append((dict(self.headers), body))
                self.send_response(500 if len(receiver.heard) <= failures else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.heard) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.heard) == count, self.heard


@contextmanager
def receiving(failures: int) -> Iterator[Receiver]:
    with Receiver(failures) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        yield receiver
        receiver.shutdown()


def test_the_end_of_a_job_is_told_until_it_is_heard(settings: Settings, tmp_path: Path):
    quick = {"allow_private": True, "pause": 0.05}
    with receiving(failures=2) as receiver:
        own = replace(settings, home=tmp_path, webhook_hosts=(receiver.address,))
        brief = {**CARD, "webhook": f"http://{receiver.address}/hook?x=1"}
        with serving(own, backoff=(0.05, 60), **quick) as api:
            job = api.post("/render", json=brief).json()
            ledger = Ledger(own.ledger)
            time.sleep(0.3)
            assert not receiver.heard, "it has not ended"
            force_state(ledger, job["key"], state="failed", error="no memory")
            receiver.wait(2)
        # Two servers come up after the one that died; one of them tells it.
        with ledger.begin() as connection:
            connection.execute(jobs_module.JOBS.update().values(webhook_next=0))
        with serving(own, backoff=(0, 0, 0), **quick) as api, serving(own, **quick):
            receiver.wait(3)
            time.sleep(0.4)
            final = api.get(job["links"]["self"]).json()
        assert len(receiver.heard) == 3
    assert final["state"] == "failed"
    assert len({headers["Pytoon-Delivery"] for headers, _ in receiver.heard}) == 1
    for headers, body in receiver.heard:
        assert headers["Pytoon-Event"] == "job.failed"
        said = headers["Pytoon-Timestamp"].encode() + b"." + body
        expected = hmac.new(SECRET.encode(), said, "sha256").hexdigest()
        assert headers["Pytoon-Signature"] == f"sha256={expected}"
        assert json.loads(body)["error"] == "no memory"


def test_a_delivery_is_taken_once(settings: Settings, tmp_path: Path):
    own = replace(settings, home=tmp_path, webhook_hosts=("hooks.example.com",))
    with serving(own, pause=60) as api:
        brief = {**CARD, "webhook": "https://hooks.example.com/"}
        job_id = api.post("/render", json=brief).json()["job_id"]
    jobs = jobs_module.JobStore(Ledger(own.ledger), own.home / "jobs")
    job = jobs.get(job_id)
    couriers = [
        WebhookDispatcher(jobs, lambda _: {}, SECRET, httpx.Client, print) for _ in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda c: c._claim_delivery(job), couriers)) == 1


def test_webhooks_do_not_reach_into_this_network(settings: Settings, tmp_path: Path):
    with receiving(failures=0) as receiver:
        own = replace(settings, home=tmp_path, webhook_hosts=(receiver.address,))
        with serving(own, pause=0.05, backoff=()) as api:
            brief = {**CARD, "webhook": f"http://{receiver.address}/"}
            job = api.post("/render", json=brief).json()
            force_state(Ledger(own.ledger), job["key"], state="failed")
            jobs = jobs_module.JobStore(Ledger(own.ledger), own.home / "jobs")
            deadline = time.monotonic() + 10
            while jobs.get(job["job_id"]).webhook_state == "waiting":
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert jobs.get(job["job_id"]).webhook_state == "given_up"
        assert not receiver.heard


def test_jobs_outlive_the_server(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = replace(settings, home=tmp_path)
    with serving(own) as api:
        kept = api.post("/render", json=CARD).json()
        # Killed before its video was asked for.
        monkeypatch.setattr(jobs_module.JobStore, "_request_video", lambda *_: None)
        cut = api.post("/render", json={**CARD, "name": "cut"}).json()
        assert cut["key"] is None and cut["state"] == "pending"
    monkeypatch.undo()
    with serving(own) as api:
        assert api.get(kept["links"]["self"]).json() == kept
        mended = api.get(cut["links"]["self"]).json()
        assert mended["key"] == "api/cut"
        assert Ledger(own.ledger).find_entry("api/cut").wanted == "render"


# The description ---------------------------------------------------------------------------------


def test_the_description_is_current():
    assert (DOCS / "openapi.json").read_text(encoding="utf-8") == openapi_text()


CONFIG = """
[checks]
# A schema can't say that every file that is named has to be sent.
positive_data_acceptance.expected-statuses = [
    "2xx", "3xx", "401", "403", "404", "409", "413", "415", "422"
]
"""


def test_it_keeps_to_its_description(settings: Settings, tmp_path: Path):
    """Hundreds of calls, right and wrong, made up from the description."""
    (tmp_path / "config.toml").write_text(CONFIG)
    with serving(replace(settings, home=tmp_path / "home")) as api:
        tool = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
        command = [
            *tool,
            "--config-file",
            "config.toml",
            "run",
            f"{api.base_url}/openapi.json",
            "--header",
            f"Authorization: Bearer {TOKEN}",
            "--no-color",
            "--checks",
            "all",
            # DELETE cancels a job, and of a cancelled job that is known ever after.
            "--exclude-checks",
            "use_after_free",
            "--max-examples",
            "8",
            "--seed",
            "1",
            "--request-timeout",
            "20",
        ]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        made = api.get("/render").json()["jobs"]
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert made, "some of the calls made jobs"
