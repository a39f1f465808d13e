"""The engine `remote` and its other end, on real servers of this machine."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import picture
from peer import Serving, serving
from test_engines import job_of
from test_render import small_spec

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.engines import remote
from pytoon_pipeline.engines.base import FinishedSegment
from pytoon_pipeline.engines.policy import EngineSet
from pytoon_pipeline.engines.remote import RemoteEngine
from pytoon_pipeline.engines.remote.peer import Peer, PeerRefusedError, PeerTimeouts
from pytoon_pipeline.engines.remote.segment_check import check_segment
from pytoon_pipeline.engines.still import StillEngine
from pytoon_pipeline.errors import (
    EngineFailedError,
    EngineTimeoutError,
    EngineUnavailableError,
    SettingsError,
)
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.media.encode import encode_video
from pytoon_pipeline.media.frames import read_frames
from pytoon_pipeline.plan.segment_jobs import SegmentJob, segment_jobs
from pytoon_pipeline.plan.timeline import build_timeline
from pytoon_pipeline.service import segments as service
from pytoon_pipeline.service.app import make_app
from pytoon_pipeline.service.server import open_socket
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.stages.assemble import assemble_video
from pytoon_pipeline.stages.compile import compile_source
from pytoon_pipeline.stages.documents import SegmentRecord
from pytoon_pipeline.stages.fingerprint_inputs import segment_look
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.stages.segments import render_segment, render_segments
from pytoon_pipeline.stages.services import Services

QUICK = PeerTimeouts(connect=2, silence=10, stall=10, whole=60, poll=0.05)
TOKEN = "correct horse"


def looking(services: Services) -> remote.Look:
    return lambda job, media: segment_look(job, media, services.fonts, services.video_settings)


def asking(services: Services, *urls: str, **more: Any) -> Services:
    """The same install with nothing but peers."""
    engine = RemoteEngine(urls, look=looking(services), timeouts=QUICK, **more)
    engines = EngineSet([engine], StillEngine(), pause=lambda s: None)
    return replace(services, engines=engines)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("peer")) as running:
        yield running


def render(
    engine: RemoteEngine, job: SegmentJob, folder: Path, media=None, progress=lambda n: None
):
    folder.mkdir(exist_ok=True)
    return engine.render(job, media or {}, folder, progress)


def held(gate: threading.Event) -> Callable[..., SegmentRecord]:
    """Renders once the gate is open; until then it waits as engines do."""

    def render_later(job, services, policy, key, reporter, folder):
        while not gate.wait(0.02):
            reporter.progress(key, job.segment_id, 0)
        return render_segment(job, services, policy, key, reporter, folder)

    return render_later


# The same segment --------------------------------------------------------------------------------


def test_a_segment_is_the_same_wherever_it_is_rendered(
    services: Services, tmp_path: Path, peer: Serving
) -> None:
    """A picture, a clip, a card of words and a cut-out, with captions, logo and transitions."""
    source = find_sources([small_spec(tmp_path / "camp" / "mixed")])[0]
    spec, puts = compile_source(source, services), peer.count("PUT")
    here = render_segments(spec, services, source.key)
    far = asking(services, peer.url)
    there = render_segments(spec, far, source.key)
    assert [s.engine for s in there.segments] == ["remote"] * 4
    assert not any(s.degraded or s.used_fallback for s in there.segments)
    for job, a, b in zip(
        segment_jobs(spec, build_timeline(spec)), here.segments, there.segments, strict=True
    ):
        assert a.key != b.key
        one, two = (services.store.local(r.key) for r in (a, b))
        pairs = zip(read_frames(one, 0, job.count), read_frames(two, 0, job.count), strict=True)
        for ours, theirs in pairs:
            assert all(np.array_equal(p, q) for p, q in zip(ours, theirs, strict=True))
    video = assemble_video(spec, there, far, source.key)
    assert video.frames == 105
    # Pictures, clip and logo went there once each, whatever number of segments they are in.
    media = {a.key for j in segment_jobs(spec, build_timeline(spec)) for a in j.all_assets}
    assert len(media) == 4 == peer.count("PUT") - puts
    # And never again: another caption on the same picture sends words only.
    text = (source.folder / "render_spec.json").read_text().replace('"One"', '"Won"')
    (source.folder / "render_spec.json").write_text(text)
    edited = render_segments(compile_source(source, services), far, source.key)
    assert [s.cached for s in edited.segments] == [False, True, True, True]
    assert peer.count("PUT") - puts == 4


def test_asking_again_finds_what_is_done(tmp_path: Path, peer: Serving) -> None:
    job = job_of(None, segment_id="twice")
    posts, done = peer.count("POST"), []
    for n in range(2):
        found = render(
            RemoteEngine(peer.url, timeouts=QUICK), job, tmp_path / str(n), None, done.append
        )
        assert isinstance(found, FinishedSegment) and sum(done) == job.count * (n + 1)
        assert found.notes == (f"made by {peer.url} with compositor",)
    assert peer.count("POST") == posts + 2
    assert (tmp_path / "0/remote.mp4").read_bytes() == (tmp_path / "1/remote.mp4").read_bytes()
    assert not list((tmp_path / "0").glob(".*"))


# The connection ----------------------------------------------------------------------------------


def test_a_download_that_breaks_off_is_taken_up_where_it_broke(
    tmp_path: Path, peer: Serving
) -> None:
    ranges: list[str] = []

    def cut(scope, send):
        """The first answer with a file ends after 2000 bytes."""
        headers = dict(scope["headers"])
        if not scope["path"].endswith("/file"):
            return send
        ranges.append(headers.get(b"range", b"").decode())
        if len(ranges) > 1:
            return send

        async def shortened(message):
            if message["type"] == "http.response.body":
                await send({**message, "body": message["body"][:2000], "more_body": True})
                raise ConnectionAbortedError
            await send(message)

        return shortened

    path = picture(tmp_path / "p.png", (90, 160))
    peer.meddle = cut
    try:
        engine = RemoteEngine(peer.url, timeouts=QUICK)
        job = job_of(path, segment_id="cut")
        found = render(engine, job, tmp_path / "w", {"a1": path})
    finally:
        peer.meddle = None
    assert ranges == ["", "bytes=2000-"]
    check_segment(found.path, job, {})


def test_a_peer_that_dies_is_left_alone_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote.remote_job, "_RETRIES", 1)
    job, told, gate = job_of(None), [], threading.Event()
    with serving(tmp_path / "peer", render=held(gate)) as peer:
        port = int(peer.url.rsplit(":", 1)[1])
        engine = RemoteEngine(peer.url, timeouts=QUICK, folder=tmp_path / "lost")
        caught: list[BaseException] = []

        def ask() -> None:
            try:
                render(engine, job, tmp_path / "w", None, told.append)
            except BaseException as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: peer.count("GET") > 1)
    thread.join(15)
    assert [type(e) for e in caught] == [EngineUnavailableError]
    assert "can't be reached" in str(caught[0])
    # Another process is told by a file, and asks nobody.
    other = RemoteEngine(peer.url, timeouts=QUICK, folder=tmp_path / "lost")
    monkeypatch.setattr(remote.circuit_breaker.CircuitBreaker, "_lost", {})
    began = time.monotonic()
    with pytest.raises(EngineUnavailableError, match="left alone"):
        render(other, job, tmp_path / "w")
    assert time.monotonic() - began < 1
    (mark,) = (tmp_path / "lost").iterdir()
    os.utime(mark, (time.time() - 61,) * 2)
    with serving(tmp_path / "peer", port=port):
        assert render(other, job, tmp_path / "w").path.exists()
    assert not list((tmp_path / "lost").iterdir())


@contextmanager
def process(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`pytoon serve --segments` as a process of its own, once it listens."""
    code = (
        "import sys; from pytoon_pipeline.settings import load_settings as load\n"
        "from pytoon_pipeline.service.server import run_server\n"
        "raise SystemExit(run_server(load(), port=int(sys.argv[1]), segments=True))"
    )
    env = os.environ | {"PYTOON_HOME": str(folder)}
    argv = [sys.executable, "-c", code, str(port)]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert "listens at" in running.stdout.readline()
            yield running
        finally:
            if running.poll() is None:
                running.terminate()
    assert running.wait(10) in (0, -signal.SIGKILL)


def test_a_peer_killed_and_started_anew_goes_on(
    tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has forgotten what was asked; the asker asks again, and is told no frame twice."""
    monkeypatch.setattr(remote.remote_job, "_RETRIES", 10)  # A busy machine starts slowly.
    job, told = job_of(None, body=1500), []
    found: list[FinishedSegment] = []
    with open_socket("127.0.0.1", 0) as here:
        port = here.getsockname()[1]
    with process(tmp_path / "peer", port) as first:
        engine = RemoteEngine(f"http://127.0.0.1:{port}", timeouts=QUICK)
        thread = threading.Thread(
            target=lambda: found.append(render(engine, job, tmp_path / "w", None, told.append))
        )
        thread.start()
        until(lambda: sum(told) > 10)
        first.kill()
    before = sum(told)
    with process(tmp_path / "peer", port):
        thread.join(60)
    assert found and 10 < before < job.count == sum(told)


def test_another_peer_is_asked_where_one_fails(tmp_path: Path, peer: Serving) -> None:
    with open_socket("127.0.0.1", 0) as here:
        dead = f"http://127.0.0.1:{here.getsockname()[1]}"
    engine = RemoteEngine([dead, peer.url], timeouts=QUICK)
    render(engine, job_of(None, segment_id="second"), tmp_path / "w")
    assert engine.health().ok and "can't be reached" in engine.health().detail
    calls = len(peer.calls)
    render(engine, job_of(None, segment_id="second"), tmp_path / "w")
    assert peer.calls[calls][0] == "POST"  # The one that was lost comes last.


# Busy and cancelled ------------------------------------------------------------------------------


def test_a_full_peer_is_asked_again_when_it_says(tmp_path: Path) -> None:
    gate, jobs = threading.Event(), [job_of(None, body=n) for n in (8, 9)]
    with serving(tmp_path / "peer", workers=1, waiting=0, retry_after=1, render=held(gate)) as peer:
        engine = RemoteEngine(peer.url, timeouts=QUICK)
        threads = []
        for n, job in enumerate(jobs):
            threads.append(threading.Thread(target=render, args=(engine, job, tmp_path / str(n))))
            threads[-1].start()
            until(lambda n=n: peer.count("POST") == n + 1)
        began = time.monotonic()
        gate.set()
        for thread in threads:
            thread.join(15)
        took = time.monotonic() - began
        assert took > 0.5
        # Two that were taken and one that was not; on a busy machine one more for each second.
        assert 3 <= peer.count("POST") <= 3 + int(took)
    assert all((tmp_path / n / "remote.mp4").exists() for n in "01")


def test_a_cancel_reaches_the_peer(tmp_path: Path) -> None:
    class Cancelled(BaseException):
        pass

    gate, calls = threading.Event(), []
    with serving(tmp_path / "peer", render=held(gate)) as peer:

        def progress(frames: int) -> None:
            calls.append(time.monotonic())
            if peer.count("GET") > 20:
                raise Cancelled

        with pytest.raises(Cancelled):
            render(
                RemoteEngine(peer.url, timeouts=QUICK), job_of(None), tmp_path / "w", None, progress
            )
        assert peer.count("DELETE") == 1
        until(lambda: not list(peer.bench.services.settings.scratch.iterdir()))
        assert peer.bench.taken() == 0
    assert np.diff(calls).max() < 1.5  # It heeds a cancel at least once a second.


def test_what_two_ask_for_ends_when_both_have_left(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path / "peer", render=held(gate)) as peer:
        body = request(job_of(None))
        with httpx.Client(base_url=peer.url, trust_env=False) as client:
            for asker in "ab":
                place = client.post(
                    "/segments", json=body, headers={"Pytoon-Asker": asker}
                ).headers["Location"]
            for asker, after in (("a", 200), ("b", 404)):
                assert client.delete(place, headers={"Pytoon-Asker": asker}).status_code == 204
                assert client.get(place).status_code == after
        assert peer.bench.taken() == 0


def test_nobody_leaves_for_others(tmp_path: Path) -> None:
    """Neither without a name, nor by a guessed one, nor with another token."""
    gate = threading.Event()
    with serving(tmp_path / "peer", token="one,two", render=held(gate)) as peer:
        body = request(job_of(None))

        def client(token: str) -> httpx.Client:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.Client(base_url=peer.url, headers=headers, trust_env=False)

        with client("one") as one, client("two") as two:
            asked = [
                one.post("/segments", json=body, headers={"Pytoon-Asker": "a"}),
                one.post("/segments", json=body),
                one.post("/segments", json=body),
                two.post("/segments", json=body, headers={"Pytoon-Asker": "b"}),
            ]
            names = [answer.headers["Pytoon-Asker"] for answer in asked]
            place = asked[0].headers["Location"]
            assert len(set(names)) == 4 and {a.headers["Location"] for a in asked} == {place}
            assert one.delete(place).status_code == 422
            for caller, name in ((two, "a"), (one, "b"), (one, "nobody"), (two, names[1])):
                for _ in range(4):
                    caller.delete(place, headers={"Pytoon-Asker": name})
                assert one.get(place).status_code == 200, name
            for caller, name in zip((one, one, one, two), names, strict=True):
                assert one.get(place).status_code == 200, name
                left = caller.delete(place, headers={"Pytoon-Asker": name})
                assert left.status_code == 204
            assert one.get(place).status_code == 404, "all have left"


def test_a_peer_without_a_sign_of_life_is_given_up(tmp_path: Path) -> None:
    gate = threading.Event()

    def dead(job, services, policy, key, reporter, folder):
        gate.wait(20)
        reporter.progress(key, job.segment_id, 0)

    with serving(tmp_path / "peer", render=dead) as peer:
        engine = RemoteEngine(peer.url, timeouts=replace(QUICK, stall=0.5))
        with pytest.raises(EngineTimeoutError, match="sign of life"):
            render(engine, job_of(None), tmp_path / "w")
        assert peer.count("DELETE") == 1
        gate.set()


# What is refused ---------------------------------------------------------------------------------


def request(job: SegmentJob) -> dict[str, Any]:
    return {"job": job.model_dump(mode="json"), "version": service.RENDERER_VERSION, "look": {}}


def test_another_version_look_or_font_is_refused_with_words(
    services: Services, tmp_path: Path, peer: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = find_sources([small_spec(tmp_path / "camp" / "mixed")])[0]
    spec = compile_source(source, services)
    job = segment_jobs(spec, build_timeline(spec))[2]
    media = {a.id: services.store.local(a.key) for a in job.all_assets}

    def refusal(look: dict[str, Any]) -> str:
        engine = RemoteEngine(peer.url, timeouts=QUICK, look=lambda j, m: look)
        with pytest.raises(EngineUnavailableError) as error:
            render(engine, job, tmp_path / "w", media)
        return str(error.value)

    x264 = looking(services)(job, media)["x264"]
    assert "x264 crf 18.0, not 30" in refusal({"x264": {**x264, "crf": 30}})
    assert "ffmpeg" in refusal({"ffmpeg": "ffmpeg version 2.8"})
    said = refusal({"fonts": ["f" * 64]})
    assert "ffffffffffff" in said and job.captions[0].style.family in said
    monkeypatch.setattr(remote.remote_job, "RENDERER_VERSION", "99")
    said = refusal({})
    assert "99" in said and "Install the same version" in said
    monkeypatch.setattr(remote, "RENDERER_VERSION", "99")
    health = RemoteEngine(peer.url).health()
    assert not health.ok and "99" in health.detail
    assert f"version {RENDERER_VERSION}" in health.detail


def test_a_token_is_needed_and_never_shown(tmp_path: Path, peer: Serving) -> None:
    wrong = "wrong horse"
    with serving(tmp_path / "peer", token=TOKEN) as guarded:
        engine = RemoteEngine(guarded.url, wrong, timeouts=QUICK)
        with pytest.raises(EngineUnavailableError, match="PYTOON_REMOTE_TOKEN") as error:
            render(engine, job_of(None), tmp_path / "w")
        assert wrong not in str(error.value) and not engine.health().ok
        assert render(
            RemoteEngine(guarded.url, TOKEN, timeouts=QUICK), job_of(None), tmp_path / "w"
        )
    # Over http it goes to no address of the public internet; nothing is even connected to.
    exposed = Peer("http://93.184.216.34", TOKEN, QUICK)
    with pytest.raises(PeerRefusedError, match="https"):
        exposed.about(1)
    assert "https" in RemoteEngine("http://93.184.216.34", TOKEN).health().detail
    for url in ("ftp://a", "http://", f"http://me:{TOKEN}@10.0.0.1", "10.0.0.1"):
        with pytest.raises(SettingsError) as setting:
            RemoteEngine(url)
        assert TOKEN not in str(setting.value)


def lie(job: SegmentJob, count: int, services: Services, folder: Path, **changes: Any) -> str:
    """A segment file of `count` frames of noise under some key of the store."""
    w, h, noise = job.width, job.height, np.random.default_rng(1)
    shapes = ((h, w), (h // 2, w // 2), (h // 2, w // 2))
    frames = [tuple(noise.integers(60, 70, s, np.uint8) for s in shapes) for _ in range(count)]
    encode_video(
        frames,
        folder / "lie.mp4",
        size=(w, h),
        count=count,
        **{"rate": job.rate, "keyframes": job.span.keyframes, **changes},
    )
    services.store.put("segments/lie.mp4", folder / "lie.mp4")
    return "segments/lie.mp4"


LIES: dict[str, Callable[[SegmentJob, Services, Path], str]] = {
    "frames": lambda job, s, d: lie(job, job.count - 1, s, d),
    "rate": lambda job, s, d: lie(job, job.count, s, d, rate=25),
    "keyframe": lambda job, s, d: lie(job, job.count, s, d, keyframes=()),
    "decode": lambda job, s, d: garbled(s, lie(job, job.count, s, d)),
    "does not decode": lambda job, s, d: (s.store.put_bytes("x/y", b"<html>" * 99), "x/y")[1],
}


def garbled(services: Services, key: str) -> str:
    """The same file with a few bytes changed in the middle of a picture: players paint it over."""
    data = bytearray(services.store.read_bytes(key))
    middle = len(data) // 2
    for at in range(middle, middle + 4):
        data[at] ^= 0x55
    services.store.put_bytes(key, bytes(data))
    return key


@pytest.mark.parametrize("what", LIES)
def test_what_is_no_such_segment_is_not_taken(tmp_path: Path, what: str) -> None:
    def lying(job, services, policy, key, reporter, folder):
        return SegmentRecord(
            segment_id="s1",
            fingerprint="f",
            key=LIES[what](job, services, folder),
            seconds=0,
            engine="compositor",
            frames=job.count,
            cached=False,
        )

    with (
        serving(tmp_path / "peer", render=lying) as peer,
        pytest.raises(EngineFailedError, match="not the segment") as error,
    ):
        render(RemoteEngine(peer.url, timeouts=QUICK), job_of(None), tmp_path / "w")
    assert what in str(error.value)
    assert not (tmp_path / "w/remote.mp4").exists()


def test_a_file_that_changed_on_the_way_is_not_taken(tmp_path: Path) -> None:
    job = job_of(None)
    with serving(tmp_path / "peer") as peer:
        render(RemoteEngine(peer.url, timeouts=QUICK), job, tmp_path / "w")
        key = peer.bench.services.store.keys("segments")[0]
        garbled(peer.bench.services, key)
        with pytest.raises(EngineFailedError, match="SHA-256"):
            render(RemoteEngine(peer.url, timeouts=QUICK), job, tmp_path / "w2")


def test_a_peers_failure_is_told_and_its_last_resort_is_not_taken(
    services: Services, tmp_path: Path
) -> None:
    def failing(job, services, *rest):
        class Broken(StillEngine):
            name = "broken"

            def render(self, *_):
                raise EngineFailedError("no memory left", "line one\nline two")

        engines = replace(services.engines, engines=[Broken()], pause=lambda s: None)
        return render_segment(job, replace(services, engines=engines), *rest)

    with serving(tmp_path / "peer", render=failing) as peer:
        far = asking(services, peer.url)
        with pytest.raises(EngineFailedError, match="broken: no memory left") as error:
            render(far.engines.all()[0], job_of(None), tmp_path / "w")
        assert error.value.log_tail == "line one\nline two"
        assert not peer.bench.services.store.keys("segments")
        # The asker's own policy makes the best of it.
        folder = tmp_path / "made"
        folder.mkdir()
        record = render_segment(job_of(None), far, "api_only", "k", Reporter(), folder)
        assert record.degraded and record.engine == "still"
        assert "no memory left" in record.tries[0].reason


def test_what_a_server_is_asked_is_held_against_bounds(tmp_path: Path, peer: Serving) -> None:
    path = picture(tmp_path / "p.png", (90, 160), hue=(30, 60, 200))
    job = job_of(path)
    digest = job.media[0].sha256
    overlay = {"asset": "a9", "box": [0, 0, 9, 9], "opacity": 1, "shadow": 0, "first": 0, "end": 9}
    outside = job.media[0].model_dump(mode="json") | {"suffix": "/../../x"}
    with httpx.Client(base_url=peer.url, trust_env=False) as client:
        for changes, status, word in (
            ({"job": {"type": "image"}}, 422, "needed"),
            ({"version": "1"}, 409, f"renderer {RENDERER_VERSION}, not 1"),
            ({"job": request(job)["job"] | {"width": 100_000}}, 422, "job.width"),
            ({"job": request(job)["job"] | {"body": 10**9}}, 422, "job.body"),
            ({"job": request(job)["job"] | {"type": "generated"}}, 422, "No engine"),
            ({"job": request(job)["job"] | {"overlays": [overlay]}}, 422, "'a9'"),
            ({"job": request(job)["job"] | {"media": [outside]}}, 422, "suffix"),
            ({"look": {"x264": {"crf": [1]}}}, 422, "look"),
            ({}, 422, digest),
        ):
            answer = client.post("/segments", json=request(job) | changes)
            assert (answer.status_code, word in answer.text) == (status, True), answer.text
        media = "/segments/media/"
        assert client.head(media + digest).status_code == 404
        assert client.put(media + digest, content=b"other bytes").status_code == 422
        text = hashlib.sha256(b"words").hexdigest()
        assert client.put(media + text, content=b"words").status_code == 415
        assert client.put(media + "../x", content=b"words").status_code in (404, 405, 422)
        assert client.put(media + digest, params={"suffix": "/../x"}).status_code == 422
        assert client.put(media + digest, content=path.read_bytes()).status_code == 201
        assert client.put(media + digest, content=path.read_bytes()).status_code == 200
        assert client.head(media + digest).status_code == 200
        assert client.post("/segments", json=request(job)).status_code == 202
        unknown = client.get("/segments/" + "0" * 64)
        assert unknown.status_code == 404 and unknown.json()["error"]["code"] == "segment.unknown"
    assert not [p for p in peer.bench.services.settings.scratch.glob("medium-*")]


def test_segments_are_off_unless_asked_for(tmp_path: Path) -> None:
    settings = load_settings({"PYTOON_HOME": str(tmp_path)})
    paths = make_app(settings).openapi()["paths"]
    assert "/segments" not in paths
    described = json.loads((Path(__file__).parents[1] / "docs/openapi.json").read_text())
    assert "/segments/{id}" in described["paths"]


def until(true: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)
