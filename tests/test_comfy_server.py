"""The ComfyUI of the tests answers as real ones did: `fixtures/comfyui/recorded.json` holds what
servers of version 0.12.1 and 0.3.64 said."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import websocket

from pytoon_pipeline.errors import MediaError
from pytoon_pipeline.media.probe import probe_media
from tests.comfy_graph import FIXTURES
from tests.comfy_server import ComfyServer
from tests.conftest import picture

RECORDED = json.loads((FIXTURES / "recorded.json").read_text())
LEFT_OUT = ("traceback", "tooltip", "multiselect", "current_inputs")


@pytest.fixture
def comfy() -> Iterator[ComfyServer]:
    with ComfyServer(steps=4, run_seconds=0.2, stall_seconds=20) as server:
        yield server


def client(server: ComfyServer, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=10, trust_env=False, **more)


def listen(server: ComfyServer, sid: str, path: str = "/ws?clientId=") -> websocket.WebSocket:
    address = server.url.replace("http", "ws") + path + sid
    return websocket.create_connection(address, timeout=5)


def heard(ws: websocket.WebSocket, seconds: float = 5.0) -> list[Any]:
    """Messages until the run's end, or for so long."""
    found, until = [], time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ws.settimeout(left)
        with suppress(websocket.WebSocketTimeoutException):
            message = ws.recv()
            found.append(message if isinstance(message, bytes) else json.loads(message))
            if (
                found[-1]
                and isinstance(message, str)
                and found[-1]["type"] == "executing"
                and (found[-1]["data"]["node"] is None)
            ):
                break
    return found


def kinds(messages: list[Any]) -> list[str]:
    """`executing:3`, without the noise."""
    found = []
    for message in messages:
        if isinstance(message, bytes) or message["type"] in ("status", "progress_state"):
            continue
        node = message["data"].get("node", "") if message["type"] != "progress" else "-"
        found.append(message["type"] + (f":{node}" if node not in ("", "-") else ""))
    return found


def ended(http: httpx.Client, prompt_id: str, seconds: float = 10.0) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := http.get(f"/history/{prompt_id}").json():
            return found[prompt_id]
        time.sleep(0.02)
    raise AssertionError("The prompt did not end.")


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in LEFT_OUT}
    return [plain(v) for v in value] if isinstance(value, list) else value


def graph(seed: int = 1, prefix: str = "pytoon/a", **size: int) -> dict[str, Any]:
    """Text to video with Wan 2.2 5B."""
    size = {"width": 96, "height": 160, "length": 9} | size

    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    return {
        "37": node(
            "UNETLoader", unet_name="wan2.2_ti2v_5B_fp16.safetensors", weight_dtype="default"
        ),
        "38": node("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan"),
        "39": node("VAELoader", vae_name="wan2.2_vae.safetensors"),
        "6": node("CLIPTextEncode", clip=["38", 0], text="a cup"),
        "55": node("Wan22ImageToVideoLatent", vae=["39", 0], batch_size=1, **size),
        "3": node(
            "KSampler",
            model=["37", 0],
            positive=["6", 0],
            negative=["6", 0],
            latent_image=["55", 0],
            seed=seed,
            steps=20,
            cfg=5.0,
            sampler_name="uni_pc",
            scheduler="simple",
            denoise=1.0,
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["39", 0]),
        "57": node("CreateVideo", images=["8", 0], fps=24.0),
        "58": node(
            "SaveVideo", video=["57", 0], filename_prefix=prefix, format="auto", codec="auto"
        ),
    }


def post(http: httpx.Client, prompt: dict[str, Any], **more: Any) -> str:
    answer = http.post("/prompt", json={"prompt": prompt, "client_id": "me", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["prompt_id"]


def with_picture(server: ComfyServer) -> None:
    picture(server.home / "input" / "pytoon.png", (36, 64))


@pytest.mark.parametrize("version", ["0.12.1", "0.3.64"])
def test_prompts_are_refused_as_recorded(version: str) -> None:
    cases = {c["name"]: c for c in RECORDED["refused"]["0.12.1"]}
    cases |= {c["name"]: c for c in RECORDED["refused"][version]}
    with ComfyServer(version, models=()) as server, client(server) as http:
        with_picture(server)
        for case in cases.values():
            body = case["posted"]
            if isinstance(body, dict) and "changed" in body:
                changed = RECORDED["base"] | body["changed"]
                body = {"prompt": {k: v for k, v in changed.items() if v is not None}}
            text = body if isinstance(body, str) else json.dumps(body)
            answer = http.post("/prompt", content=text)
            assert answer.status_code == case["status"], case["name"]
            if "text" in case:
                assert answer.text == case["text"], case["name"]
            else:
                said = plain(answer.json())
                assert {k: said[k] for k in case["answer"]} == plain(case["answer"]), case["name"]


def test_gets_and_uploads_answer_as_recorded(comfy: ComfyServer) -> None:
    with client(comfy) as http:
        for case in RECORDED["health"]:
            answer = http.request(case["method"], case["path"], json=case["body"])
            assert answer.status_code == case["status"], case
            if case["answer"] is not None:
                said = answer.json() if isinstance(case["answer"], dict) else answer.text
                assert said == case["answer"], case
        assert http.post("/no/such/route").status_code == 405
        for index, case in enumerate(RECORDED["uploads"]):
            data = b"one" if index < 2 or index == 3 else b"other %d" % (index // 2)
            files = {k: (name, data, "image/png") for k, name in case["files"].items()}
            answer = http.post("/upload/image", data=case["fields"], files=files or None)
            assert answer.status_code == case["status"], case
            said = answer.json() if isinstance(case["answer"], dict) else answer.text
            assert said == case["answer"], case
        comfy.max_upload = 1000
        big = http.post("/upload/image", files={"image": ("b.png", bytes(2000), "image/png")})
        assert (big.status_code, big.text) == (413, "Maximum request body size 1000 exceeded.")
    assert [u["name"] for u in comfy.uploads[:2]] == ["pytoon.png", "pytoon.png"]


def test_a_run_says_what_was_recorded(comfy: ComfyServer) -> None:
    """Messages, history, job, cache, and the one that succeeds with nothing to show."""
    with_picture(comfy)
    prompt = RECORDED["base"]
    with client(comfy) as http:
        ws = listen(comfy, "me")
        first = post(http, prompt)
        assert kinds(heard(ws)) == RECORDED["messages"]["success"]
        history, job = ended(http, first), http.get(f"/api/jobs/{first}").json()
        assert set(history) == set(RECORDED["history"]) and set(job) | {"preview_output"} == set(
            RECORDED["job"]
        )
        assert history["outputs"]["5"]["images"][0]["filename"] == "seg_00001_.mp4"
        for key in ("status_str", "completed"):
            assert history["status"][key] == RECORDED["history"]["status"][key]
        assert [m[0] for m in history["status"]["messages"]] == [
            m[0] for m in RECORDED["history"]["status"]["messages"]
        ]
        again = post(http, prompt)
        assert kinds(heard(ws)) == RECORDED["messages"]["cached"]
        assert ended(http, again)["outputs"] == history["outputs"]
        nobody = http.post("/prompt", json={"prompt": prompt}).json()["prompt_id"]
        silent = ended(http, nobody)
        assert silent["status"]["status_str"] == "success" and silent["outputs"] == {}
        other = {
            **prompt,
            "5": {
                **prompt["5"],
                "inputs": prompt["5"]["inputs"] | {"filename_prefix": "pytoon/other"},
            },
        }
        post(http, other)
        assert kinds(heard(ws)) == RECORDED["messages"]["other prefix"]
        (comfy.home / "input" / "pytoon.png").write_bytes(b"not a picture")
        failed = post(http, prompt)
        assert kinds(heard(ws)) == RECORDED["messages"]["node error"]
        error = ended(http, failed)["status"]["messages"][-1][1]
        assert error["exception_type"] == "PIL.UnidentifiedImageError"


@pytest.mark.parametrize(
    ("version", "shown"), [("0.3.64", True), ("0.12.1", False), ("0.38", True)]
)
def test_versions_differ_where_they_do(version: str, shown: bool) -> None:
    with ComfyServer(version, steps=1) as server, client(server) as http:
        prompt = graph()
        if version == "0.38":
            said = http.post("/prompt", json={"prompt": prompt})
            assert said.json()["node_errors"]["58"]["errors"][0]["extra_info"] == {
                "input_name": "format.codec"
            }
            prompt["58"]["inputs"]["format.codec"] = "auto"
        ended(http, post(http, prompt))
        bare = http.post("/prompt", json={"prompt": prompt}).json()["prompt_id"]
        assert bool(ended(http, bare)["outputs"]) is shown
        own = http.post("/prompt", json={"prompt": prompt, "prompt_id": "My-own"})
        assert own.status_code == (400 if version == "0.38" else 200)
        jobs = http.get("/api/jobs").status_code
        cancel = http.post("/api/jobs/x/cancel").status_code
        assert (jobs, cancel) == {"0.3.64": (404, 405), "0.12.1": (200, 405), "0.38": (200, 200)}[
            version
        ]


def test_sizes_are_rounded_silently_and_the_graph_lies_in_the_file(comfy: ComfyServer) -> None:
    import av

    with client(comfy) as http:
        done = ended(http, post(http, graph(width=100, height=150, length=10)))
        item = done["outputs"]["58"]["images"][0]
        assert http.get("/view", params={"filename": item["filename"]}).status_code == 404
        part = http.get("/view", params=item, headers={"Range": "bytes=0-99"})
        assert part.status_code == 206 and len(part.content) == 100
        file = comfy.home / "got.mp4"
        file.write_bytes(http.get("/view", params=item).content)
    video = probe_media(file)
    assert (video.width, video.height, video.frame_rate, video.frames) == (96, 144, 24, 9)
    with av.open(str(file)) as container:
        assert json.loads(container.metadata["prompt"])["3"]["inputs"]["seed"] == 1


def test_the_queue_obeys_and_forgets_as_seen(comfy: ComfyServer) -> None:
    comfy.run_seconds = 5
    with client(comfy) as http:
        running = post(http, graph(1))
        late, gone = post(http, graph(2)), post(http, graph(3))
        front = post(http, graph(4), front=True)
        time.sleep(0.1)
        rows = http.get("/queue").json()
        assert [r[1] for r in rows["queue_running"]] == [running]
        assert [r[1] for r in sorted(rows["queue_pending"])] == [front, late, gone]
        http.post("/queue", json={"delete": [gone, running]})
        http.post("/interrupt", json={"prompt_id": late})
        assert http.get(f"/api/jobs/{gone}").status_code == 404
        assert http.get(f"/history/{gone}").json() == {}
        assert http.get(f"/api/jobs/{running}").json()["status"] == "in_progress"
        comfy.run_seconds = 0
        http.post("/interrupt", json={"prompt_id": running})
        stopped = ended(http, running)
        assert stopped["status"]["status_str"] == "error"
        assert stopped["status"]["messages"][-1][0] == "execution_interrupted"
        assert http.get(f"/api/jobs/{running}").json()["status"] == "cancelled"
        ended(http, late)
    assert comfy.runs == [running, front, late] and len(comfy.cancels) == 3


def test_sockets_surprise_as_seen(comfy: ComfyServer) -> None:
    """Previews, a broadcast, a late comer, and a newer socket that falls silent with the older."""
    comfy.run_seconds, comfy.previews = 1.5, True
    with client(comfy) as http:
        older, other = listen(comfy, "me"), listen(comfy, "other")
        other.send(
            json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
        )
        nobody = http.post("/prompt", json={"prompt": graph(1)}).json()["prompt_id"]
        time.sleep(0.5)
        http.post("/interrupt")
        messages = heard(other, 1)
        frames = [m for m in messages if isinstance(m, bytes)]
        assert frames and frames[0][:4] == b"\0\0\0\4"
        told = [m for m in messages if not isinstance(m, bytes) and "prompt_id" in m["data"]]
        assert {m["data"]["prompt_id"] for m in told} == {nobody}
        assert {m["type"] for m in told} == {"progress_state", "progress", "execution_interrupted"}
        assert any(m[:4] == b"\0\0\0\1" for m in heard(older, 0.3) if isinstance(m, bytes))

        post(http, graph(2))
        time.sleep(0.6)
        newer = listen(comfy, "me")
        assert json.loads(newer.recv())["data"]["sid"] == "me"
        assert json.loads(newer.recv()) == {"type": "executing", "data": {"node": "3"}}
        assert len(heard(newer, 0.5)) > 0
        older.close()
        time.sleep(0.1)
        heard(newer, 0.1)
        assert heard(newer, 0.6) == []


def test_the_hosted_service_wants_its_key_and_gives_files_elsewhere() -> None:
    with ComfyServer(key="geheim", steps=1) as server:
        with client(server) as http:
            assert http.get("/api/queue").status_code == 401
        with client(server, headers={"X-API-Key": "geheim"}) as http:
            assert http.get("/queue").status_code == 404
            ws = listen(server, "geheim", "/ws?clientId=x&token=")
            said = http.post("/api/prompt", json={"prompt": graph(), "client_id": "me"}).json()
            assert "executed:58" in kinds(heard(ws))
            status = f"/api/job/{said['prompt_id']}/status"
            assert http.get(status).json() == {"status": "success"}
            item = http.get(f"/api/history/{said['prompt_id']}").json()[said["prompt_id"]]
            sent = http.get("/api/view", params=item["outputs"]["58"]["images"][0])
            assert sent.status_code == 302 and "127.0.0.2" in sent.headers["location"]
            assert http.get(sent.headers["location"]).status_code == 400
            assert httpx.get(sent.headers["location"], trust_env=False).content[4:8] == b"ftyp"


def test_faults_before_and_in_a_run(comfy: ComfyServer) -> None:
    with client(comfy) as http:
        comfy.fault("missing_model")
        assert (
            http.get("/object_info/UNETLoader").json()["UNETLoader"]["input"]["required"][
                "unet_name"
            ][0]
            == []
        )
        refused = http.post("/prompt", json={"prompt": graph()})
        assert refused.json()["node_errors"]["37"]["errors"][0]["type"] == "value_not_in_list"
        comfy.fault("missing_node")
        said = http.post("/prompt", json={"prompt": graph()}).json()
        assert said["error"]["type"] == "missing_node_type"
        comfy.fault("http_500_on_post")
        assert http.post("/prompt", json={"prompt": graph()}).status_code == 500
        comfy.fault("node_errors_with_200")
        said = http.post("/prompt", json={"prompt": graph(1)}).json()
        assert said["node_errors"] and ended(http, said["prompt_id"])["outputs"]

        for fault, kind in (("oom", "torch.OutOfMemoryError"), ("error_in_node", "RuntimeError")):
            comfy.fault(fault)
            last = ended(http, post(http, graph(2)))["status"]["messages"][-1]
            assert last[0] == "execution_error" and last[1]["exception_type"] == kind
        comfy.fault("interrupted")
        last = ended(http, post(http, graph(3)))["status"]["messages"][-1]
        assert last[0] == "execution_interrupted"
        comfy.fault("stall")
        stalled = post(http, graph(12))
        time.sleep(0.6)
        assert http.get(f"/history/{stalled}").json() == {} and comfy.busy
        http.post("/interrupt", json={"prompt_id": stalled})
        assert ended(http, stalled)["status"]["status_str"] == "error"


def test_faults_after_a_run(comfy: ComfyServer) -> None:
    with client(comfy) as http:
        comfy.fault("cached_without_outputs")
        assert ended(http, post(http, graph(4)))["outputs"] == {}

        def view(prompt_id: str) -> httpx.Response:
            outputs = ended(http, prompt_id)["outputs"]
            return http.get("/view", params=outputs["58"]["images"][0])

        comfy.fault("cached_file_gone")
        assert view(post(http, graph(5))).status_code == 404
        comfy.cut_downloads = 1
        comfy.fault("truncated_download")
        cut = post(http, graph(6, "pytoon/cut"))
        with pytest.raises(httpx.RemoteProtocolError):
            view(cut)
        assert view(cut).content[4:8] == b"ftyp"
        file = comfy.home / "got.mp4"
        for fault, size, frames in (("wrong_size", (48, 80), 9), ("wrong_length", (96, 160), 4)):
            comfy.fault(fault)
            file.write_bytes(view(post(http, graph(7, f"pytoon/{fault}"))).content)
            video = probe_media(file)
            assert ((video.width, video.height), video.frames) == (size, frames)
        comfy.fault("garbage_video")
        file.write_bytes(view(post(http, graph(8, "pytoon/garbage"))).content)
        with pytest.raises(MediaError):
            probe_media(file)


def test_faults_of_time_and_connection(comfy: ComfyServer) -> None:
    with client(comfy) as http:
        comfy.history_lag = 1.0
        comfy.fault("success_before_history")
        ws = listen(comfy, "me")
        early = post(http, graph(8))
        heard(ws)
        assert http.get(f"/history/{early}").json() == {} and not comfy.busy
        assert ended(http, early)["outputs"]

        comfy.queue_seconds = 0.5
        comfy.fault("slow_queue")
        waits = post(http, graph(9))
        time.sleep(0.1)
        assert [r[1] for r in http.get("/queue").json()["queue_pending"]] == [waits]
        ended(http, waits)

        comfy.fault("post_times_out_but_runs")
        with pytest.raises(httpx.ReadTimeout):
            http.post("/prompt", json={"prompt": graph(10), "prompt_id": "mine"}, timeout=0.3)
        assert ended(http, "mine")["outputs"]
        comfy.fault("no_socket")
        with pytest.raises(websocket.WebSocketBadStatusException):
            listen(comfy, "me")
        ended(http, post(http, graph(11)))

        comfy.fault("silent_socket_after_reconnect")
        ws = listen(comfy, "lost")
        lost = post(http, graph(13), client_id="lost")
        with pytest.raises(websocket.WebSocketConnectionClosedException):
            heard(ws, 3)
        ws = listen(comfy, "lost")
        assert json.loads(ws.recv())["type"] == "status"
        ended(http, lost)
        assert [m for m in heard(ws, 0.3) if m["type"] != "executing"] == []

        comfy.fault("restart_amnesia")
        forgotten = post(http, graph(14))
        deadline, refused_once = time.monotonic() + 5, False
        while time.monotonic() < deadline:
            try:
                queue = http.get("/queue").json()
            except httpx.TransportError:
                refused_once = True
            else:
                if refused_once:
                    break
            time.sleep(0.02)
        assert refused_once and queue == {"queue_running": [], "queue_pending": []}
        assert http.get(f"/history/{forgotten}").json() == {}
        comfy.fault("killed_mid_run")
        post(http, graph(15))
        time.sleep(0.6)
        with pytest.raises(httpx.TransportError):
            http.get("/queue")
        comfy.restart()
        assert http.get("/queue").status_code == 200
