"""A prompt of the ComfyUI of the tests, and its run through its nodes."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests import comfy_graph
from tests.comfy_graph import Graph, numbers
from tests.comfy_take import garbage

if TYPE_CHECKING:
    from tests.comfy_server import ComfyServer

_PREVIEW = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


@dataclass
class Prompt:
    """One prompt in the queue, running, or in the history."""

    number: int
    id: str
    graph: Graph
    extra: dict[str, Any]
    outputs: list[str]
    fault: str = ""
    only_seconds: float = 0.0
    """Somebody else's work that just takes this long."""
    messages: list[list[Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    status: str = ""
    visible: float = 0.0
    """From when the history tells of it."""

    @property
    def client(self) -> str | None:
        return self.extra.get("client_id")

    @property
    def row(self) -> list[Any]:
        return [self.number, self.id, self.graph, self.extra, self.outputs]


class Stopped(Exception):
    """The server went down under the prompt."""


class Interrupted(Exception):
    pass


class NodeFailed(Exception):
    def __init__(self, kind: str, message: str):
        self.kind, self.message = kind, message


class Run:
    """One prompt on its way through its nodes."""

    def __init__(self, server: ComfyServer, prompt: Prompt, generation: int):
        self.server, self.prompt, self.generation = server, prompt, generation
        self.executed: list[str] = []
        self.node = ""
        self.states: dict[str, dict[str, Any]] = {}
        self.met = False
        """Has its fault, of those that strike half way, struck?"""

    @property
    def where(self) -> dict[str, Any]:
        kind = self.prompt.graph.get(self.node, {}).get("class_type", "")
        return {"node_id": self.node, "node_type": kind, "executed": list(self.executed)}

    def note(self, kind: str, data: dict[str, Any], to_all: bool = False) -> None:
        """A message that the history keeps too."""
        if kind == "execution_cached":
            data = data | {"prompt_id": self.prompt.id}
        else:
            data = {"prompt_id": self.prompt.id} | data
        data["timestamp"] = now()
        self.prompt.messages.append([kind, data])
        if self.prompt.client or to_all:
            self.server.say(kind, data, self.prompt.client)

    def tell(self, kind: str, data: dict[str, Any], to_all: bool = False) -> None:
        """A message of the moment. Without a client some go to everyone, others to no one."""
        if self.prompt.client or to_all:
            self.server.say(kind, data, self.prompt.client)

    def pause(self, seconds: float) -> None:
        """Work for so long. Raises when interrupted, or when the server goes down."""
        server, until = self.server, time.monotonic() + seconds
        with server.lock:
            while True:
                if server.generation != self.generation:
                    raise Stopped
                if server.interrupt:
                    raise Interrupted
                left = until - time.monotonic()
                if left <= 0:
                    return
                server.wake.wait(left)

    def nodes(self) -> None:
        server, prompt = self.server, self.prompt
        inputs_dir = server.home / "input"
        graph, fault = prompt.graph, prompt.fault
        keys = {
            n: comfy_graph.signature(graph, n, inputs_dir)
            for n in comfy_graph.order(graph, prompt.outputs)
        }
        if fault == "cached_without_outputs":
            self.note("execution_cached", {"nodes": list(keys)})
            return
        cache = server.cache
        known = {n for n, key in keys.items() if key in cache}
        self.note("execution_cached", {"nodes": [n for n in graph if n in known]})
        loses = server.version.startswith("0.12") and prompt.client is None
        for node_id, key in keys.items():
            output = cache.get(key)
            if node_id not in known:
                output = cache[key] = self._execute(node_id)
                self.executed.append(node_id)
            if output and not (loses and node_id in known):
                prompt.result[node_id] = output
                self.tell(
                    "executed",
                    {
                        "node": node_id,
                        "display_node": node_id,
                        "output": output,
                        "prompt_id": prompt.id,
                    },
                )
            if node_id not in known:
                self._state(node_id, 1.0, 1.0, "finished")
        # Only what the last prompt used stays in the cache.
        server.cache = {key: cache[key] for key in keys.values()}
        if fault == "cached_file_gone":
            for output in prompt.result.values():
                for item in output["images"]:
                    (server.home / item["type"] / item["subfolder"] / item["filename"]).unlink()

    def _state(self, node_id: str, value: float, most: float, state: str) -> None:
        prompt_id = self.prompt.id
        self.states[node_id] = {
            "value": value,
            "max": most,
            "state": state,
            "node_id": node_id,
            "prompt_id": prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self.tell("progress_state", {"prompt_id": prompt_id, "nodes": self.states}, to_all=True)

    def _execute(self, node_id: str) -> Any:
        """Run one node. What an output node leaves behind, else None (which the cache keeps)."""
        server, prompt = self.server, self.prompt
        node = prompt.graph[node_id]
        kind, inputs = node["class_type"], node["inputs"]
        self.node = node_id
        if prompt.client:
            server.last = (prompt.client, node_id)
        self._state(node_id, 0.0, 1.0, "running")
        self.tell("executing", {"node": node_id, "display_node": node_id, "prompt_id": prompt.id})
        self.pause(0)
        if "Sampler" in kind and kind != "KSamplerSelect":
            self._sample(node_id, inputs)
        if kind in ("VAEDecode", "VAEDecodeTiled") and prompt.fault == "error_in_node":
            raise NodeFailed(
                "RuntimeError",
                "Given groups=1, weight of size [16, 16, 1, 1, 1], expected "
                "input[1, 48, 3, 10, 6] to have 16 channels, but got 48 channels instead",
            )
        if kind == "LoadImage":
            try:
                comfy_graph.shot(prompt.graph, node_id, server.home / "input")
            except OSError as error:
                name = type(error).__name__
                raise NodeFailed(
                    f"PIL.{name}", f"cannot identify image file 'COMFYUI/input/{inputs['image']}'"
                ) from error
        if kind == "SaveVideo":
            return self._save_video(node_id, inputs)
        if kind in ("SaveImage", "PreviewImage"):
            where = "temp" if kind == "PreviewImage" else "output"
            return self._save_images(node_id, inputs, where)
        return None

    def _sample(self, node_id: str, inputs: dict[str, Any]) -> None:
        server, prompt = self.server, self.prompt
        own = inputs.get("steps", 8)
        if "end_at_step" in inputs:  # One of several samplers in a row.
            own = max(1, min(own, inputs["end_at_step"]) - inputs["start_at_step"])
        steps = server.steps or own
        self.pause(server.load_seconds)
        for step in range(1, steps + 1):
            self.pause(server.run_seconds / steps)
            self._state(node_id, step, steps, "running")
            if server.previews or prompt.extra.get("preview_method"):
                self._preview(node_id)
            self.tell(
                "progress",
                {"value": step, "max": steps, "prompt_id": prompt.id, "node": node_id},
                to_all=True,
            )
            if step == (steps + 1) // 2 and not self.met:
                self.met = True
                self._trouble()

    def _trouble(self) -> None:
        """Half way through the first sampler is where things go wrong."""
        server, prompt = self.server, self.prompt
        match prompt.fault:
            case "oom":
                raise NodeFailed(
                    "torch.OutOfMemoryError",
                    "CUDA out of memory. Tried to allocate "
                    "2.44 GiB. GPU 0 has a total capacity of 23.64 GiB.",
                )
            case "interrupted":  # By somebody who named no prompt.
                raise Interrupted
            case "killed_mid_run" | "restart_amnesia":
                server.go_down(again=prompt.fault == "restart_amnesia")
                self.pause(60)
            case "stall":
                self.pause(server.stall_seconds)
            case "silent_socket_after_reconnect" if prompt.client:
                server.cut(prompt.client)

    def _preview(self, node_id: str) -> None:
        server, sid = self.server, self.prompt.client
        meta = json.dumps(
            {
                "node_id": node_id,
                "prompt_id": self.prompt.id,
                "display_node_id": node_id,
                "parent_node_id": None,
                "real_node_id": node_id,
                "image_type": "image/jpeg",
            }
        ).encode()
        with server.lock:
            sids = [sid] if sid else list(server.sockets)
            new = {s: server.sockets[s].metadata for s in sids if s in server.sockets}
        for to, metadata in new.items():
            frame = (
                struct.pack(">II", 4, len(meta)) + meta if metadata else struct.pack(">II", 1, 1)
            ) + _PREVIEW
            server.put(frame, to)

    def _place(self, prefix: str, where: str, suffix: str) -> tuple[Path, str]:
        """The next free name below a prefix; counters begin again where files were removed."""
        base = (self.server.home / where).resolve()
        folder = (base / prefix).resolve().parent
        if not folder.is_relative_to(base):
            raise NodeFailed(
                "Exception", "**** ERROR: Saving image outside the output folder is not allowed."
            )
        folder.mkdir(parents=True, exist_ok=True)
        stem = Path(prefix).name
        counts = [
            int(n)
            for p in folder.glob(f"{stem}_*")
            if (n := p.stem[len(stem) + 1 :].rstrip("_")).isdigit()
        ]
        name = f"{stem}_{max(counts, default=0) + 1:05}_{suffix}"
        return folder / name, "" if folder == base else str(folder.relative_to(base))

    def _save_video(self, node_id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        server, fault = self.server, self.prompt.fault
        if numbers(server.version) >= (0, 38) and inputs.get("format") not in (
            "auto",
            "mp4",
            "mkv",
            "webm",
        ):
            raise NodeFailed("TypeError", "SaveVideo.execute() got an unknown format")
        shot = comfy_graph.shot(self.prompt.graph, node_id, server.home / "input")
        path, subfolder = self._place(inputs["filename_prefix"], "output", ".mp4")
        if shot.width % 2 or shot.height % 2:
            raise NodeFailed(
                "av.error.ExternalError",
                "[Errno 542398533] Generic error in an "
                "external library: 'avcodec_open2(\"libx264\", {})'",
            )
        if fault == "wrong_size":
            shot = replace(shot, width=shot.width // 4 * 2, height=shot.height // 4 * 2)
        if fault == "wrong_length":
            shot = replace(shot, frames=max(1, shot.frames // 2))
        make = garbage if fault == "garbage_video" else server.take
        unfinished = path.with_suffix(".part")
        make(shot, self.prompt.graph, unfinished)
        unfinished.rename(path)
        item = {"filename": path.name, "subfolder": subfolder, "type": "output"}
        return {"images": [item], "animated": [True]}

    def _save_images(self, node_id: str, inputs: dict[str, Any], where: str) -> dict[str, Any]:
        shot = comfy_graph.shot(self.prompt.graph, node_id, self.server.home / "input")
        prefix = inputs.get("filename_prefix", f"ComfyUI_temp_{self.prompt.id[:5]}")
        items = []
        for index in range(shot.frames):
            path, subfolder = self._place(prefix, where, ".png")
            Image.new("RGB", (shot.width, shot.height), (index % 256, 80, 160)).save(path)
            items.append({"filename": path.name, "subfolder": subfolder, "type": where})
        return {"images": items}


def now() -> int:
    return int(time.time() * 1000)


def status_of(prompt: Prompt) -> dict[str, Any]:
    return {
        "status_str": prompt.status,
        "completed": prompt.status == "success",
        "messages": prompt.messages,
    }


def outcome(prompt: Prompt) -> str:
    if prompt.status == "success":
        return "completed"
    kinds = {kind for kind, _ in prompt.messages}
    return "cancelled" if "execution_interrupted" in kinds else "failed"


def holds(prompt: Prompt, name: str) -> bool:
    return any(i["filename"] == name for o in prompt.result.values() for i in o["images"])
