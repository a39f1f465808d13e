"""`pytoon submit`, `status`, `fetch` and `cancel`, against a real server."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from conftest import picture
from ledger_states import force_state
from test_service import TOKEN, serving

from pytoon_pipeline.cli import remote
from pytoon_pipeline.cli.service_client import ServiceError
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store

VIDEO = bytes(range(256)) * 4000


@pytest.fixture
def api(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[httpx.Client]:
    """A server; the settings of the environment lead to it."""
    with serving(replace(settings, token=TOKEN)) as client:
        monkeypatch.setenv("PYTOON_URL", str(client.base_url))
        monkeypatch.setenv("PYTOON_TOKEN", f"{TOKEN}, another")
        monkeypatch.setattr(remote, "POLL_SECONDS", 0.05)
        monkeypatch.chdir(tmp_path)
        yield client


@pytest.fixture
def ledger(api: httpx.Client, settings: Settings) -> Ledger:
    return Ledger(settings.ledger)


def brief(folder: Path, text: str, *pictures: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "brief.yaml").write_text(text, encoding="utf-8")
    for name in pictures:
        picture(folder / name, (90, 160))
    return folder


def objects(capsys: pytest.CaptureFixture) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def finished(job: dict, settings: Settings) -> None:
    """As if the daemon had made its video."""
    store = open_store(settings)
    for name, data in (
        ("video.mp4", VIDEO),
        ("thumbnail.jpg", b"\xff\xd8\xff"),
        ("captions.srt", b""),
        ("captions.vtt", b"WEBVTT\n"),
    ):
        store.put_bytes(f"videos/{job['key']}/{name}", data)
    force_state(Ledger(settings.ledger), job["key"], state="done")


def test_briefs_are_sent_with_their_files(
    api: httpx.Client, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture
):
    text = "media: [pictures/é 1.jpg, {path: b.jpg, text: 5}, pictures/é 1.jpg]\nduration: '9'\n"
    brief(tmp_path / "spring/kettle", text, "pictures/é 1.jpg", "b.jpg", "unused.jpg")
    brief(tmp_path / "spring/cup", "media: [c.jpg]\nvariants: {hooks: [One, Two]}\n", "c.jpg")
    plan = tmp_path / "spring/plan/render_spec.json"
    picture(plan.parent / "d.png", (90, 160))
    plan.write_text('{"archetype": "meme", "segments": [{"media": "d.png"}], "audioTrack": "warm"}')
    assert remote.submit_briefs([tmp_path / "spring"], as_json=True, priority=3) == 0
    jobs = {j["key"]: j for j in objects(capsys)}
    assert set(jobs) == {"spring/kettle", "spring/cup-h1", "spring/cup-h2", "spring/plan"}
    source = ledger.source("spring/kettle")
    assert source.document.data["duration"] == 9.0 and source.document.data["priority"] == 3
    assert source.document.data["media"][1] == {"path": "b.jpg", "text": "5"}
    assert source.document.files == {"pictures/é 1.jpg": "media-01.jpg", "b.jpg": "media-02.jpg"}
    sent = (source.folder / "media-01.jpg").read_bytes()
    assert sent == (tmp_path / "spring/kettle/pictures/é 1.jpg").read_bytes()
    assert ledger.source("spring/cup-h2").document.data["hook"] == "Two"
    assert ledger.source("spring/plan").kind == "spec"


def test_a_wrong_brief_keeps_no_other_from_being_sent(
    api: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff")
    brief(tmp_path / "c/1", "media: [gone.jpg, ../secret.jpg]\nhookk: x\n")
    brief(tmp_path / "c/2", "media: [a.jpg]\n", "a.jpg")
    brief(tmp_path / "c/3", "media: [a.jpg]\n")
    (tmp_path / "c/3/a.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "c/4").mkdir()
    (tmp_path / "c/4/brief.yaml").write_text("media: [a.jpg]\n")
    (tmp_path / "c/4/a.jpg").write_text("no picture")
    assert remote.submit_briefs([tmp_path / "c", tmp_path / "nothing"]) == 2
    said = capsys.readouterr().out
    assert "gone.jpg is no file" in said and "../secret.jpg is no file" in said
    assert "'hookk' is not a known field" in said and "does not exist" in said
    assert "no picture, clip or sound" in said, "the server says so"
    assert [j["key"] for j in api.get("/render").json()["jobs"]] == ["c/2"]


def test_status_says_what_became_of_jobs(
    api: httpx.Client, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture
):
    for name in ("a", "b", "c"):
        brief(tmp_path / "c" / name, "media: [{text: Hello}]\n")
    remote.submit_briefs([tmp_path / "c"], as_json=True)
    a, b, c = (j["job_id"] for j in objects(capsys))
    assert remote.print_status([a]) == 0
    force_state(ledger, "c/a", state="done")
    force_state(ledger, "c/b", state="failed", error="no \x1b[31m memory\nx264: malloc")
    assert remote.print_status([a, b]) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said and "no \\x1b[31m memory" in said
    wrong = Problem("caption.too_long", "too long.", file="the request", field="hook")
    force_state(ledger, "c/c", state="refused", error=str(wrong), problems=[wrong])
    assert remote.print_status([a, b, c], as_json=True) == 2
    assert [j["state"] for j in objects(capsys)] == ["completed", "failed", "failed"]
    assert remote.print_status([]) == 0
    assert capsys.readouterr().out.count("c/") == 3
    for wrong in ("A" * 22, "../health"):
        assert remote.print_status([wrong, a]) == 2
        assert "unknown" in capsys.readouterr().err


def test_watching_ends_with_the_jobs(
    api: httpx.Client, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture
):
    brief(tmp_path / "c/a", "media: [{text: Hello}]\n")

    def work() -> None:
        while not ledger.list_entries():
            time.sleep(0.05)
        for state in ("running", "done"):
            time.sleep(0.4)
            force_state(ledger, "c/a", state=state)

    worker = threading.Thread(target=work)
    worker.start()
    assert remote.submit_briefs([tmp_path / "c"], watch=True) == 0
    worker.join()
    said = capsys.readouterr().out
    steps = [said.index(f"c/a: {state}") for state in ("pending", "processing", "completed")]
    assert steps == sorted(steps)


def test_files_are_fetched_and_gone_on_with(
    api: httpx.Client, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture
):
    brief(tmp_path / "c/a", "media: [{text: Hello}]\n")
    remote.submit_briefs([tmp_path / "c"], as_json=True)
    (job,) = objects(capsys)
    out = tmp_path / "out"
    assert remote.fetch_videos([job["job_id"]], out=out, as_json=True) == 1, "it is not completed"
    finished(job, settings)
    assert remote.fetch_videos([job["job_id"]], out=out, as_json=True) == 0
    assert objects(capsys)[-1]["files"]["video.mp4"] == str(out / "c/a/video.mp4")
    folder = out / "c/a"
    assert (folder / "video.mp4").read_bytes() == VIDEO
    assert {p.name for p in folder.iterdir()} == set(remote.FILES)

    def left(data: bytes, of: bytes = VIDEO) -> Path:
        (folder / "video.mp4").unlink(missing_ok=True)
        mark = hashlib.sha256(of).hexdigest()[:32]
        part = folder / f".video.mp4.{mark}.part"
        part.write_bytes(data)
        return part

    for data in (VIDEO[:5000], VIDEO):
        left(data)
        assert remote.fetch_videos([job["job_id"]], out=out) == 0
        assert (folder / "video.mp4").read_bytes() == VIDEO
    left(b"other", of=b"other video")  # Rendered anew since.
    assert remote.fetch_videos([job["job_id"]], out=out) == 0
    assert (folder / "video.mp4").read_bytes() == VIDEO
    part = left(b"damaged")  # It is gone on with, and then seen.
    with pytest.raises(ServiceError, match="damaged"):
        remote.fetch_videos([job["job_id"]], out=out)
    assert not part.exists() and not (folder / "video.mp4").exists()
    assert remote.fetch_videos([job["job_id"]], out=out) == 0
    before = (folder / "video.mp4").stat().st_mtime_ns
    assert remote.fetch_videos([job["job_id"]], out=out) == 0
    assert (folder / "video.mp4").stat().st_mtime_ns == before, "it was left as it is"
    assert {p.name for p in folder.iterdir()} == set(remote.FILES)


def test_jobs_are_cancelled(
    api: httpx.Client, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture
):
    for name in ("a", "b"):
        brief(tmp_path / "c" / name, "media: [{text: Hello}]\n")
    remote.submit_briefs([tmp_path / "c"], as_json=True)
    a, b = objects(capsys)
    assert remote.cancel_jobs([a["job_id"], a["job_id"]]) == 0
    assert capsys.readouterr().out.startswith("cancelled")
    finished(b, settings)
    assert remote.cancel_jobs([a["job_id"], b["job_id"]]) == 1
    assert remote.cancel_jobs(["A" * 22]) == 2
    assert remote.print_status([a["job_id"], b["job_id"]]) == 1


def test_a_server_that_is_not_there_is_said(api: httpx.Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTOON_TOKEN", "wrong")
    with pytest.raises(UserError, match="PYTOON_TOKEN"):
        remote.print_status([])
    with pytest.raises(UserError, match="PYTOON_TOKEN"):
        remote.cancel_jobs(["A" * 22])
    monkeypatch.setenv("PYTOON_URL", "http://127.0.0.1:9")
    with pytest.raises(ServiceError, match="Start `pytoon serve`"):
        remote.print_status([])
    monkeypatch.setenv("PYTOON_URL", "somewhere")
    with pytest.raises(UserError, match="PYTOON_URL"):
        remote.print_status(["A" * 22])
