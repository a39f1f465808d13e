"""A server that behaves like a real ComfyUI, as recorded from versions 0.3.64 and 0.12.1 and read
of 0.38, surprises included; and on demand like one in trouble.

    with ComfyServer(version="0.12.1", steps=4, run_seconds=0.2) as comfy:
        comfy.fault("oom")            # the next prompt runs out of memory
        ...                           # a client works against comfy.url
        assert comfy.uploads and not comfy.asked("POST", "/interrupt")

It is a real HTTP and websocket server on one loopback port, runs one prompt at a time, and makes
real H.264 of the size, length and rate that the graph asks for.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import shutil
import socket
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests import comfy_graph
from tests.comfy_graph import OFFICIAL, Graph, Shot, numbers
from tests.comfy_run import (
    Interrupted,
    NodeFailed,
    Prompt,
    Run,
    Stopped,
    holds,
    now,
    outcome,
    status_of,
)
from tests.comfy_take import take

FAULTS = frozenset(
    {
        # Before the prompt is taken.
        "missing_model",
        "missing_node",
        "http_500_on_post",
        "post_times_out_but_runs",
        "node_errors_with_200",
        # While it waits or runs.
        "slow_queue",
        "stall",
        "oom",
        "error_in_node",
        "interrupted",
        "killed_mid_run",
        "restart_amnesia",
        "no_socket",
        "silent_socket_after_reconnect",
        # After it.
        "success_before_history",
        "cached_without_outputs",
        "cached_file_gone",
        "garbage_video",
        "wrong_size",
        "wrong_length",
        "truncated_download",
    }
)

_GIB = 1 << 30


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    """The JSON of it, the fields of a form with `name` and `sha256` of its file, or text."""
    at: float = field(default_factory=time.monotonic)

    @property
    def route(self) -> str:
        """The path without the `/api` that every route may have in front."""
        return self.path.removeprefix("/api") or "/"


@dataclass
class _Socket:
    ws: WebSocket
    sid: str
    out: asyncio.Queue[str | bytes | None]
    metadata: bool = False
    """Did it say that it understands previews with metadata?"""


class ComfyServer:
    """`times` of a fault counts prompts that arrive; `missing_model` and `missing_node` can also
    be seen in `/object_info` for as long as they are next in line."""

    def __init__(
        self,
        version: str = "0.12.1",
        *,
        models: Iterable[str] | Mapping[str, Iterable[str]] | None = None,
        without_nodes: Iterable[str] = (),
        device: str = "cuda",
        vram_total: int = 24 * _GIB,
        vram_free: int = 22 * _GIB,
        run_seconds: float = 0.05,
        steps: int | None = None,
        load_seconds: float = 0.0,
        answer_delay: float = 0.0,
        previews: bool = False,
        take: Callable[[Shot, Graph, Path], None] = take,
        max_upload: int = 100 << 20,
        queue_seconds: float = 3.0,
        stall_seconds: float = 60.0,
        post_hang: float = 30.0,
        history_lag: float = 0.4,
        down_seconds: float = 0.4,
        cut_downloads: int = 1000,
        key: str | None = None,
    ):
        """`steps` of every sampler (the graph's own number if None) are spread over `run_seconds`;
        `load_seconds` pass in silence before the first. With a `key` it is the hosted service:
        routes only under `/api`, `X-API-Key` on each, its own status route, downloads elsewhere."""
        self.version, self.models = version, _by_folder(models)
        self.without_nodes = tuple(without_nodes)
        self.device, self.vram_total, self.vram_free = device, vram_total, vram_free
        self.run_seconds, self.steps, self.load_seconds = run_seconds, steps, load_seconds
        self.answer_delay, self.previews, self.take = answer_delay, previews, take
        self.max_upload, self.key, self.cut_downloads = max_upload, key, cut_downloads
        self.queue_seconds, self.stall_seconds = queue_seconds, stall_seconds
        self.post_hang, self.history_lag, self.down_seconds = post_hang, history_lag, down_seconds
        self.requests: list[Asked] = []
        self.faults: deque[str] = deque()
        self.runs: list[str] = []
        """Ids of the prompts that began to run, in order."""
        self.posted: list[Prompt] = []
        """All prompts that were taken, also those of a server that went down since."""
        self.lock = threading.RLock()
        self.wake = threading.Condition(self.lock)
        self.sockets: dict[str, _Socket] = {}
        self._signed: dict[str, Path] = {}
        self._threads: list[threading.Thread] = []
        self._helpers: list[threading.Thread] = []
        self._up = False
        self._forget()

    # ---- what a test says and asks -----------------------------------------------------------

    def __enter__(self) -> ComfyServer:
        self.home = Path(tempfile.mkdtemp(prefix="comfy-"))
        for name in ("input", "output", "temp"):
            (self.home / name).mkdir()
        self._port = 0
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for helper in self._helpers:
            helper.join(10)
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def fault(self, name: str, times: int = 1) -> None:
        """Let the next `times` prompts meet this fault."""
        if name not in FAULTS:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(FAULTS))}")
        self.faults.extend([name] * times)

    def clear_faults(self) -> None:
        self.faults.clear()

    def asked(self, method: str, route: str) -> list[Asked]:
        """Requests so far of one method whose route is, or lies below, `route`."""
        return [
            a
            for a in list(self.requests)
            if a.method == method and (a.route == route or a.route.startswith(route + "/"))
        ]

    @property
    def uploads(self) -> list[dict[str, Any]]:
        return [a.body for a in self.asked("POST", "/upload/image") if isinstance(a.body, dict)]

    @property
    def prompts(self) -> list[dict[str, Any]]:
        """Bodies of what was posted as a prompt."""
        return [a.body for a in self.asked("POST", "/prompt") if isinstance(a.body, dict)]

    @property
    def cancels(self) -> list[Asked]:
        found = (
            self.asked("POST", "/interrupt")
            + [a for a in self.asked("POST", "/queue") if "delete" in a.body]
            + [a for a in self.asked("POST", "/jobs") if a.route.endswith("/cancel")]
        )
        return sorted(found, key=lambda a: a.at)

    @property
    def busy(self) -> bool:
        """Does anything run or wait?"""
        with self.lock:
            return bool(self._running or self._pending)

    @property
    def running_or_waiting(self) -> list[str]:
        """Ids of the prompts in the queue, the running one included."""
        with self.lock:
            return [p.id for p in (self._running, *self._pending) if p]

    def output_files(self) -> list[Path]:
        return sorted(p for p in (self.home / "output").rglob("*") if p.is_file())

    # ---- up and down -------------------------------------------------------------------------

    def start(self) -> None:
        hosts = ["127.0.0.1"] + (["127.0.0.2"] if self.key else [])
        sockets = []
        for host in hosts:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, self._port))
            self._port = listener.getsockname()[1]
            sockets.append(listener)
        config = uvicorn.Config(
            self._app(),
            log_config=None,
            log_level="critical",
            ws="websockets-sansio",
            lifespan="off",
            timeout_graceful_shutdown=0,
        )
        self._server = server = uvicorn.Server(config)
        self._up = True
        generation = self.generation
        ready = threading.Event()

        def serve() -> None:
            async def main() -> None:
                self.loop = asyncio.get_running_loop()
                serving = asyncio.ensure_future(server.serve(sockets))
                while not server.started and not serving.done():
                    await asyncio.sleep(0.005)
                ready.set()
                await serving

            with suppress(asyncio.CancelledError):
                asyncio.run(main())

        self._threads = [
            threading.Thread(target=serve, daemon=True),
            threading.Thread(target=self._work, args=(generation,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        if not ready.wait(10) or not server.started:
            raise RuntimeError("The ComfyUI of the tests did not start.")

    def kill(self) -> None:
        """Down at once, as by SIGKILL: connections are lost, and later ones refused. All that lay
        in memory is forgotten; files stay."""
        with self.lock:
            if not self._up:
                return
            self._up = False
            self._forget()
            self.wake.notify_all()
        done = threading.Event()

        def down() -> None:
            for listener in self._server.servers:
                listener.close()
            self._lose()
            self._server.force_exit = self._server.should_exit = True
            done.set()

        self.loop.call_soon_threadsafe(down)
        done.wait(5)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(10)

    def restart(self) -> None:
        """Up again on the same port, remembering nothing."""
        self.kill()
        self.start()

    def _forget(self) -> None:
        self.generation = getattr(self, "generation", 0) + 1
        self._running: Prompt | None = None
        self._pending: list[Prompt] = []
        self._history: dict[str, Prompt] = {}
        self.cache: dict[str, Any] = {}
        self._count = 0
        self.interrupt = False
        self.last: tuple[str | None, str | None] = (None, None)
        self.muted: set[str] = set()
        self.sockets = {}

    # ---- messages ----------------------------------------------------------------------------

    def say(self, kind: str, data: dict[str, Any], sid: str | None = None) -> None:
        """To one client, or to all."""
        self.put(json.dumps({"type": kind, "data": data}), sid)

    def put(self, message: str | bytes, sid: str | None) -> None:
        with self.lock:
            if not self._up:
                return
            to = (
                list(self.sockets.values())
                if sid is None
                else [s for s in [self.sockets.get(sid)] if s]
            )
            for socket_ in to:
                if socket_.sid not in self.muted:
                    self.loop.call_soon_threadsafe(socket_.out.put_nowait, message)

    def cut(self, sid: str) -> None:
        """A client's connection is lost, and the one it opens next is never told anything."""
        with self.lock:
            gone = self.sockets.pop(sid, None)
            self.muted.add(sid)
        if gone:
            self.loop.call_soon_threadsafe(self._lose, tuple(gone.ws.scope["client"]))

    def _lose(self, peer: tuple[str, int] | None = None) -> None:
        """Connections break off without a word: one, or all. On the server's own thread."""
        for protocol in list(self._server.server_state.connections):
            transport = getattr(protocol, "transport", None)
            if transport and peer in (None, transport.get_extra_info("peername")):
                transport.abort()

    def _say_status(self) -> None:
        self.say("status", {"status": {"exec_info": {"queue_remaining": self._remaining()}}})

    def _remaining(self) -> int:
        with self.lock:
            return len(self._pending) + bool(self._running)

    async def _socket(self, ws: WebSocket) -> None:
        with self.lock:
            near = [p.fault for p in (self._running, *self._pending) if p]
        refused = "no_socket" in (*list(self.faults)[:1], *near)
        if refused or (self.key and ws.query_params.get("token") != self.key):
            await ws.close()  # Before it is accepted: 403.
            return
        await ws.accept()
        sid = "hosted" if self.key else ws.query_params.get("clientId") or uuid.uuid4().hex
        mine = _Socket(ws, sid, asyncio.Queue())
        with self.lock:
            self.sockets[sid] = mine
            last = self.last
        hello = {"status": {"exec_info": {"queue_remaining": self._remaining()}}, "sid": sid}
        mine.out.put_nowait(json.dumps({"type": "status", "data": hello}))
        if last[0] == sid and last[1] is not None:
            mine.out.put_nowait(json.dumps({"type": "executing", "data": {"node": last[1]}}))
        sender = asyncio.ensure_future(self._send(mine))
        try:
            first = True
            while True:
                text = await ws.receive_text()
                with suppress(ValueError):
                    message = json.loads(text)
                    if first and message.get("type") == "feature_flags":
                        mine.metadata = bool(message["data"].get("supports_preview_metadata"))
                        mine.out.put_nowait(
                            json.dumps({"type": "feature_flags", "data": self._features()})
                        )
                first = False
        except (WebSocketDisconnect, KeyError, RuntimeError):
            pass
        finally:
            sender.cancel()
            with self.lock:
                # By its id, whoever holds that by now: a newer socket falls silent too.
                self.sockets.pop(sid, None)

    async def _send(self, to: _Socket) -> None:
        with suppress(Exception):
            while (message := await to.out.get()) is not None:
                if isinstance(message, bytes):
                    await to.ws.send_bytes(message)
                else:
                    await to.ws.send_text(message)

    # ---- running -----------------------------------------------------------------------------

    def _work(self, generation: int) -> None:
        while True:
            with self.lock:
                while self.generation == generation and not self._pending:
                    self.wake.wait(1)
                if self.generation != generation:
                    return
                prompt = min(self._pending, key=lambda p: p.number)
                self._pending.remove(prompt)
                self._running, self.interrupt = prompt, False
            self._say_status()
            try:
                self._run(prompt, generation)
            except Stopped:
                return
            with self.lock:
                if self.generation != generation:
                    return
                self._history[prompt.id] = prompt
                self._running = None
                self.last = (self.last[0], None)
            self._say_status()
            if prompt.client:
                self.say("executing", {"node": None, "prompt_id": prompt.id}, prompt.client)

    def _run(self, prompt: Prompt, generation: int) -> None:
        self.runs.append(prompt.id)
        fault = prompt.fault
        run = Run(self, prompt, generation)
        run.note("execution_start", {})
        if prompt.only_seconds:
            with suppress(Interrupted):
                run.pause(prompt.only_seconds)
            run.note("execution_success", {})
            prompt.status = "success"
            return
        try:
            run.nodes()
            prompt.status = "success"
            if fault == "success_before_history":
                prompt.visible = time.monotonic() + self.history_lag
            run.note("execution_success", {})
        except Interrupted:
            prompt.status = "error"
            run.note("execution_interrupted", run.where, to_all=prompt.client is None)
        except NodeFailed as failed:
            prompt.status = "error"
            run.note(
                "execution_error",
                run.where
                | {
                    "exception_message": failed.message + "\n",
                    "exception_type": failed.kind,
                    "traceback": ['  File "execution.py", line 527, in execute\n'],
                    "current_inputs": {},
                    "current_outputs": list(prompt.graph),
                },
            )
        finally:
            if prompt.status != "success":
                prompt.result = {}

    def go_down(self, again: bool) -> None:
        """From the worker's own thread, so that another one has to do it."""

        def down() -> None:
            self.kill()
            if again:
                time.sleep(self.down_seconds)
                self.start()

        helper = threading.Thread(target=down, daemon=True)
        self._helpers.append(helper)
        helper.start()

    # ---- answers -----------------------------------------------------------------------------

    def _app(self) -> Starlette:
        front = ["/api"] if self.key else ["", "/api"]
        table: list[tuple[str, str, Callable]] = [
            ("GET", "/system_stats", self._system_stats),
            ("GET", "/features", self._get_features),
            ("GET", "/prompt", self._get_prompt),
            ("POST", "/prompt", self._post_prompt),
            ("GET", "/queue", self._get_queue),
            ("POST", "/queue", self._post_queue),
            ("GET", "/history", self._get_history),
            ("GET", "/history/{id}", self._get_history),
            ("POST", "/history", self._post_history),
            ("POST", "/interrupt", self._post_interrupt),
            ("POST", "/free", self._post_free),
            ("POST", "/upload/image", self._upload),
            ("GET", "/view", self._view),
            ("GET", "/models", self._get_models),
            ("GET", "/models/{folder}", self._get_models),
            ("GET", "/object_info", self._object_info),
            ("GET", "/object_info/{name}", self._object_info),
        ]
        routes: list[Any] = [
            Route(prefix + path, self._answer(handler), methods=[method])
            for prefix in front
            for method, path, handler in table
        ]
        new = numbers(self.version)
        if new >= (0, 12):
            routes += [
                Route("/api/jobs", self._answer(self._jobs), methods=["GET"]),
                Route("/api/jobs/{id}", self._answer(self._jobs), methods=["GET"]),
            ]
        if new >= (0, 38):
            routes.append(
                Route("/api/jobs/{id}/cancel", self._answer(self._cancel_job), methods=["POST"])
            )
        if self.key:
            routes += [
                Route("/api/job/{id}/status", self._answer(self._hosted_status), methods=["GET"]),
                Route("/signed/{name}", self._answer(self._from_signed, free=True)),
            ]
        routes += [WebSocketRoute(prefix + "/ws", self._socket) for prefix in ("", "/api")]
        routes.append(
            Route(
                "/{rest:path}",
                self._answer(self._unknown, free=True),
                methods=["GET", "POST", "PUT", "DELETE"],
            )
        )
        return Starlette(routes=routes)

    def _answer(self, handler: Callable, free: bool = False) -> Callable:
        """Record the request, ask for the key, turn what goes wrong into the server's own 500."""

        async def answer(request: Request) -> Response:
            length = int(request.headers.get("content-length", 0))
            too_big = length > self.max_upload
            body = None if too_big else await _body(request)
            self.requests.append(
                Asked(
                    request.method,
                    request.url.path,
                    dict(request.query_params),
                    dict(request.headers),
                    body.shown if isinstance(body, _Form) else body,
                )
            )
            if self.answer_delay:
                await asyncio.sleep(self.answer_delay)
            if self.key and not free and request.headers.get("x-api-key") != self.key:
                return JSONResponse({"error": "Invalid API key"}, 401)
            if too_big:
                return Response(
                    f"Maximum request body size {self.max_upload} exceeded.",
                    413,
                    media_type="text/plain",
                )
            try:
                return await handler(request, body)
            except Exception:
                return Response(
                    "500 Internal Server Error\n\nServer got itself in trouble",
                    500,
                    media_type="text/plain",
                )

        return answer

    async def _unknown(self, request: Request, body: Any) -> Response:
        return Response(
            b"", 404 if request.method == "GET" else 405, media_type="application/octet-stream"
        )

    async def _system_stats(self, request: Request, body: Any) -> Response:
        on_cpu = self.device == "cpu"
        return JSONResponse(
            {
                "system": {
                    "os": "linux",
                    "ram_total": 64 * _GIB,
                    "ram_free": 48 * _GIB,
                    "comfyui_version": self.version,
                    "python_version": "3.11.7",
                    "pytorch_version": "2.13.0",
                    "embedded_python": False,
                    "argv": ["main.py", "--listen", "127.0.0.1"],
                },
                "devices": [
                    {
                        "name": "cpu" if on_cpu else "cuda:0 Test GPU : native",
                        "type": self.device,
                        "index": None if on_cpu else 0,
                        "vram_total": self.vram_total,
                        "vram_free": self.vram_free,
                        "torch_vram_total": self.vram_total,
                        "torch_vram_free": self.vram_free,
                    }
                ],
            }
        )

    def _features(self) -> dict[str, Any]:
        return {"supports_preview_metadata": True, "max_upload_size": self.max_upload}

    async def _get_features(self, request: Request, body: Any) -> Response:
        return JSONResponse(self._features())

    async def _get_prompt(self, request: Request, body: Any) -> Response:
        return JSONResponse({"exec_info": {"queue_remaining": self._remaining()}})

    async def _get_models(self, request: Request, body: Any) -> Response:
        folder = request.path_params.get("folder")
        if folder is None:
            return JSONResponse(list(self.models))
        if folder not in self.models:
            return Response(b"", 404)
        return JSONResponse(list(self.models[folder]))

    def _nodes(self, next_fault: str | None = None) -> dict[str, Any]:
        """The node definitions; a missing model or node is missing here too."""
        ahead = next_fault if next_fault is not None else (list(self.faults) or [""])[0]
        models = dict(self.models)
        if ahead == "missing_model":
            models |= {f: () for f in ("diffusion_models", "checkpoints")}
        without = self.without_nodes
        if ahead == "missing_node":
            without += (
                "Wan22ImageToVideoLatent",
                "WanImageToVideo",
                "EmptyHunyuanLatentVideo",
                "EmptyLTXVLatentVideo",
            )
        files = sorted(p.name for p in (self.home / "input").iterdir() if p.is_file())
        return comfy_graph.definitions(self.version, models, tuple(files), without)

    async def _object_info(self, request: Request, body: Any) -> Response:
        nodes = self._nodes()
        name = request.path_params.get("name")
        if name is not None:
            nodes = {name: nodes[name]} if name in nodes else {}
        return JSONResponse(nodes)

    async def _post_prompt(self, request: Request, body: Any) -> Response:
        fault = self.faults.popleft() if self.faults else ""
        if fault == "http_500_on_post":
            raise RuntimeError(fault)
        if isinstance(body, str):
            raise ValueError("not JSON")
        with self.lock:
            number = self._count
            self._count += 1
        if "number" in body:
            number = body["number"]
        elif body.get("front"):
            number = -number
        if "prompt" not in body:
            missing = "No prompt provided"
            return _refused(comfy_graph.problem("no_prompt", missing, missing), {})
        prompt_id = str(body.get("prompt_id") or uuid.uuid4())
        if numbers(self.version) >= (0, 38) and not _is_uuid(prompt_id):
            return _refused(
                comfy_graph.problem(
                    "invalid_prompt_id", "prompt_id must be a canonical lowercase UUID", prompt_id
                ),
                {},
            )
        graph = body["prompt"]
        if numbers(self.version) < (0, 12) and isinstance(graph, dict):
            for name, node in graph.items():
                if not isinstance(node, dict):
                    return _refused(comfy_graph.no_such_node(name, {}, True), {})
        verdict = comfy_graph.check(graph, self._nodes(fault), self.version, self._has_input)
        if verdict.error:
            return _refused(verdict.error, verdict.node_errors)
        extra = dict(body.get("extra_data") or {})
        if body.get("client_id"):
            extra["client_id"] = "hosted" if self.key else body["client_id"]
        if numbers(self.version) >= (0, 12):
            extra["create_time"] = now()
        errors = verdict.node_errors
        if fault == "node_errors_with_200":
            errors = errors | {
                "999": {
                    "errors": [
                        comfy_graph.problem(
                            "value_not_in_list",
                            "Value not in list",
                            "format: 'nope' not in ['auto', 'mp4']",
                        )
                    ],
                    "dependent_outputs": ["999"],
                    "class_type": "SaveVideo",
                }
            }
        prompt = Prompt(number, prompt_id, graph, extra, verdict.outputs, fault)
        with self.lock:
            if fault == "slow_queue":
                other = Prompt(
                    number - 1, str(uuid.uuid4()), {}, {}, [], only_seconds=self.queue_seconds
                )
                self._pending.append(other)
            self._pending.append(prompt)
            self.posted.append(prompt)
            self.wake.notify_all()
        self._say_status()
        if fault == "post_times_out_but_runs":
            await asyncio.sleep(self.post_hang)
        return JSONResponse({"prompt_id": prompt_id, "number": number, "node_errors": errors})

    def _has_input(self, name: Any) -> bool:
        path = (self.home / "input" / str(name)).resolve()
        return path.is_file() and path.is_relative_to((self.home / "input").resolve())

    async def _get_queue(self, request: Request, body: Any) -> Response:
        with self.lock:
            running = [self._running.row] if self._running else []
            # As a heap lies: the next first, the others in no order.
            pending = sorted(self._pending, key=lambda p: p.number)
            rows = [p.row for p in pending[:1] + pending[:0:-1]]
        return JSONResponse({"queue_running": running, "queue_pending": rows})

    async def _post_queue(self, request: Request, body: Any) -> Response:
        with self.lock:
            gone = set(body.get("delete", ()))
            self._pending = (
                [] if body.get("clear") else [p for p in self._pending if p.id not in gone]
            )
        self._say_status()
        return Response(b"")

    async def _post_interrupt(self, request: Request, body: Any) -> Response:
        wanted = body.get("prompt_id") if isinstance(body, dict) else None
        with self.lock:
            if self._running and wanted in (None, self._running.id):
                self.interrupt = True
                self.wake.notify_all()
        return Response(b"")

    async def _post_free(self, request: Request, body: Any) -> Response:
        if body.get("free_memory"):
            self.cache = {}
        return Response(b"")

    def _past(self) -> dict[str, Prompt]:
        now = time.monotonic()
        with self.lock:
            return {i: p for i, p in self._history.items() if p.visible <= now}

    async def _get_history(self, request: Request, body: Any) -> Response:
        wanted = request.path_params.get("id")
        return JSONResponse(
            {
                p.id: {
                    "prompt": p.row,
                    "outputs": p.result,
                    "status": status_of(p),
                    "meta": {
                        n: {"node_id": n, "display_node": n, "parent_node": None, "real_node_id": n}
                        for n in p.result
                    },
                }
                for p in self._past().values()
                if wanted in (None, p.id)
            }
        )

    async def _post_history(self, request: Request, body: Any) -> Response:
        with self.lock:
            for gone in list(self._history) if body.get("clear") else body.get("delete", ()):
                self._history.pop(gone, None)
        return Response(b"")

    async def _jobs(self, request: Request, body: Any) -> Response:
        with self.lock:
            past = list(self._past().values())
            jobs = [_job(p, "pending") for p in sorted(self._pending, key=lambda p: -p.number)]
            jobs += [_job(self._running, "in_progress")] if self._running else []
            jobs += [_job(p, outcome(p)) for p in reversed(past)]
        wanted = request.path_params.get("id")
        if wanted is not None:
            for job, prompt in ((j, p) for j in jobs for p in past if p.id == j["id"] == wanted):
                return JSONResponse(
                    job
                    | {
                        "outputs": prompt.result,
                        "execution_status": status_of(prompt),
                        "workflow": {"prompt": prompt.graph, "extra_data": prompt.extra},
                    }
                )
            for job in jobs:
                if job["id"] == wanted:
                    return JSONResponse(job)
            return JSONResponse({"error": "Job not found"}, 404)
        valid = ("pending", "in_progress", "completed", "failed", "cancelled")
        asked = [s for s in request.query_params.get("status", "").split(",") if s]
        if bad := [s for s in asked if s not in valid]:
            return JSONResponse(
                {
                    "error": f"Invalid status value(s): {', '.join(bad)}. Valid "
                    f"values: {', '.join(valid)}"
                },
                400,
            )
        jobs = [j for j in jobs if not asked or j["status"] in asked]
        return JSONResponse(
            {
                "jobs": jobs,
                "pagination": {"offset": 0, "limit": None, "total": len(jobs), "has_more": False},
            }
        )

    async def _cancel_job(self, request: Request, body: Any) -> Response:
        wanted = request.path_params["id"]
        with self.lock:
            left = [p for p in self._pending if p.id != wanted]
            hit = len(left) != len(self._pending)
            self._pending = left
            if self._running and self._running.id == wanted:
                hit = self.interrupt = True
                self.wake.notify_all()
        return JSONResponse({"cancelled": hit})

    async def _hosted_status(self, request: Request, body: Any) -> Response:
        wanted = request.path_params["id"]
        past = self._past()
        with self.lock:
            if self._running and self._running.id == wanted:
                return JSONResponse({"status": "in_progress"})
            if any(p.id == wanted for p in self._pending):
                return JSONResponse({"status": "waiting_to_dispatch"})
        if wanted not in past:
            return JSONResponse({"status": "lost"})
        ended = outcome(past[wanted])
        return JSONResponse(
            {"status": {"completed": "success", "failed": "error"}.get(ended, ended)}
        )

    async def _upload(self, request: Request, body: Any) -> Response:
        if not isinstance(body, _Form) or body.name is None:
            return Response(b"", 400)
        where = body.fields.get("type", "input")
        root = {"input": "input", "temp": "temp", "output": "output"}[where]  # Else: 500.
        if not body.name:
            return Response(b"", 400)
        if "/" in body.name:
            raise FileNotFoundError(body.name)
        subfolder = "" if self.key else body.fields.get("subfolder", "")
        name = (
            f"{hashlib.sha256(body.data).hexdigest()}{Path(body.name).suffix}"
            if self.key
            else (body.name)
        )
        base = (self.home / root).resolve()
        folder = (base / subfolder).resolve()
        if not folder.is_relative_to(base):
            return Response(b"", 400)
        folder.mkdir(parents=True, exist_ok=True)
        stem, suffix = Path(name).stem, Path(name).suffix
        count = 0
        if body.fields.get("overwrite") not in ("true", "1"):
            while (folder / name).exists() and (folder / name).read_bytes() != body.data:
                count += 1
                name = f"{stem} ({count}){suffix}"
        (folder / name).write_bytes(body.data)
        return JSONResponse({"name": name, "subfolder": subfolder, "type": where})

    async def _view(self, request: Request, body: Any) -> Response:
        name = request.query_params.get("filename", "")
        where = request.query_params.get("type", "output")
        if where not in ("input", "output", "temp") or name.startswith("/") or ".." in name:
            return Response(b"", 400)
        base = (self.home / where).resolve()
        path = (base / request.query_params.get("subfolder", "") / name).resolve()
        if not path.is_relative_to(base):
            return Response(b"", 403)
        if not path.is_file():
            return Response(b"", 404)
        if self.key:
            token = secrets.token_urlsafe(16)
            self._signed[token] = path
            return Response(
                b"",
                302,
                {"Location": f"http://127.0.0.2:{self._port}/signed/{path.name}?signature={token}"},
            )
        return self._file(path)

    async def _from_signed(self, request: Request, body: Any) -> Response:
        path = self._signed.get(request.query_params.get("signature", ""))
        # Storage with a signature in the address takes no second credential.
        if "x-api-key" in request.headers or "authorization" in request.headers:
            return Response("Only one auth mechanism allowed", 400, media_type="text/plain")
        return self._file(path) if path else Response(b"", 403)

    def _file(self, path: Path) -> Response:
        headers = {"Content-Disposition": f'filename="{path.name}"'}
        broken = any(p.fault == "truncated_download" and holds(p, path.name) for p in self.posted)
        if broken and self.cut_downloads > 0:
            self.cut_downloads -= 1
            data = path.read_bytes()

            async def half():
                yield data[: len(data) // 2]
                raise ConnectionResetError("The connection is lost here.")

            headers |= {"Content-Length": str(len(data)), "Accept-Ranges": "bytes"}
            return StreamingResponse(half(), 200, headers, media_type="video/mp4")
        return FileResponse(path, headers=headers)


@dataclass
class _Form:
    name: str | None
    data: bytes
    fields: dict[str, str]

    @property
    def shown(self) -> dict[str, Any]:
        return self.fields | {
            "name": self.name,
            "size": len(self.data),
            "sha256": hashlib.sha256(self.data).hexdigest(),
        }


async def _body(request: Request) -> Any:
    """JSON, a form, or the text that it is; {} for none."""
    if "multipart/form-data" in request.headers.get("content-type", ""):
        async with request.form() as form:
            file = form.get("image")
            data = await file.read() if hasattr(file, "read") else b""
            return _Form(
                getattr(file, "filename", None),
                data,
                {k: v for k, v in form.items() if isinstance(v, str)},
            )
    raw = await request.body()
    if not raw:
        return {}
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")


def _by_folder(models: Iterable[str] | Mapping[str, Iterable[str]] | None) -> dict[str, tuple]:
    if models is None:
        return dict(OFFICIAL)
    if isinstance(models, Mapping):
        return {f: tuple(models.get(f, ())) for f in {**OFFICIAL, **models}}
    wanted = set(models)
    found = {f: tuple(n for n in names if n in wanted) for f, names in OFFICIAL.items()}
    known = {n for names in OFFICIAL.values() for n in names}
    found["diffusion_models"] += tuple(sorted(wanted - known))
    return found


def _refused(error: dict[str, Any], node_errors: dict[str, Any]) -> Response:
    return JSONResponse({"error": error, "node_errors": node_errors}, 400)


def _is_uuid(text: str) -> bool:
    with suppress(ValueError):
        return str(uuid.UUID(text)) == text
    return False


def _job(prompt: Prompt, status: str) -> dict[str, Any]:
    items = [i for output in prompt.result.values() for i in output.get("images", ())]
    job: dict[str, Any] = {
        "id": prompt.id,
        "status": status,
        "priority": prompt.number,
        "create_time": prompt.extra.get("create_time"),
    }
    if status in ("completed", "failed", "cancelled"):
        job |= {
            "execution_start_time": prompt.messages[0][1]["timestamp"],
            "execution_end_time": prompt.messages[-1][1]["timestamp"],
        }
    if status == "failed":
        job["execution_error"] = prompt.messages[-1][1]
    return job | {"outputs_count": len(items)}
