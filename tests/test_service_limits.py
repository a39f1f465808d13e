"""The HTTP API under what goes wrong: damaged documents, a store that goes away, callers that do
not finish what they begin."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from test_service import CARD, SECRET, TOKEN, codes, receiving, serving

from pytoon_pipeline.briefs.ledger import METADATA, Ledger
from pytoon_pipeline.service import jobs as jobs_module
from pytoon_pipeline.service import results, webhooks
from pytoon_pipeline.settings import Settings, load_settings
from pytoon_pipeline.store import open_store

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
        {"PYTOON_HOME": str(tmp_path / "home"), "PYTOON_TOKEN": TOKEN,
         "PYTOON_WEBHOOK_SECRET": SECRET}
    )  # fmt: skip


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings) as client:
        yield client


def finish(api: httpx.Client, settings: Settings, metrics: bytes, **more: Any) -> str:
    """A completed job whose metrics.json holds this; its address."""
    job = api.post("/render", json={**CARD, **more}).json()
    open_store(settings).put_bytes(f"videos/{job['key']}/metrics.json", metrics)
    Ledger(settings.ledger).note(job["key"], state="done")
    return job["links"]["self"]


# Damaged documents -------------------------------------------------------------------------------

DAMAGED = [
    b"", b"{", b"null", b"[]", b"\xff\xfe", b"{}", b'{"video": null, "verdicts": []}',
    json.dumps({**GOOD, "verdicts": "none"}).encode(),
    json.dumps({**GOOD, "verdicts": [{"passed": True}]}).encode(),
    json.dumps({**GOOD, "video": {**GOOD["video"], "rate": 0}}).encode(),
    json.dumps({**GOOD, "video": {**GOOD["video"], "frames": float("nan")}}).encode(),
    json.dumps(GOOD).encode()[:-9], b"[" * 100_000, b" " * 2_000_001,
]  # fmt: skip


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


@pytest.mark.parametrize("stored", ["", "{", '[{"code": 1, "x": 2}]', "7", '[{"time": [NaN, 1]}]'])
def test_damaged_problems_cost_their_own_job_alone(
    api: httpx.Client, settings: Settings, stored: str
):
    addresses = [api.post("/render", json=CARD).json()["links"]["self"] for _ in range(2)]
    key = api.get(addresses[0]).json()["key"]
    ledger, briefs = Ledger(settings.ledger), METADATA.tables["known_briefs"]
    ledger.note(key, state="refused", error="x")
    with ledger.begin() as connection:
        connection.execute(
            sa.update(briefs).where(briefs.c.key == key).values(problems=stored, updated=1e300)
        )
    listed = api.get("/render")
    assert listed.status_code == 200, listed.text
    assert {j["links"]["self"]: j["state"] for j in listed.json()["jobs"]} == {
        addresses[0]: "failed", addresses[1]: "pending"
    }  # fmt: skip
    assert api.get(addresses[0]).json()["problems"][0]["code"] == "job.unreadable"
    assert len(list(ledger.entries())) == 2, "nor the lists of the command line"


@pytest.mark.parametrize(
    "written", [b"", b"{", b"[]", b'{"brief": 5, "campaign": [], "name": {}, "files": 0}']
)
def test_a_damaged_request_does_not_keep_the_server_from_starting(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, written: bytes
):
    with serving(settings) as api:
        monkeypatch.setattr(jobs_module.Jobs, "_ask", lambda *_: None)
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
                ledger.note(job["key"], state="failed", error="x")
            receiver.wait(1)
            jobs = jobs_module.Jobs(ledger, own.home / "jobs")
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
