"""A ComfyUI server of one's own, on this machine, in its network or behind a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from pytoon_pipeline.engines.comfyui.http_transport import (
    HttpTransport,
)
from pytoon_pipeline.engines.comfyui.json_values import as_list, as_mapping
from pytoon_pipeline.engines.comfyui.transport import PromptStatus


class DirectTransport(HttpTransport):
    """A server of one's own. Where it wants a token: `Authorization: Bearer`, or the name and
    password of the address."""

    def node_definitions(self, classes: Sequence[str]) -> dict[str, Any]:
        # One by one: with many custom nodes the whole list is tens of megabytes.
        found: dict[str, Any] = {}
        for name in classes:
            found |= self._get(f"/object_info/{quote(name, safe='')}")
        return {name: found[name] for name in classes if name in found}

    def look(self, prompt_id: str) -> PromptStatus:
        # What leaves the queue enters the history, a moment later: so it is read again.
        return (
            self._status_in_history(prompt_id)
            or self._status_in_queue(prompt_id)
            or (self._status_in_history(prompt_id) or PromptStatus("absent"))
        )

    def _status_in_history(self, prompt_id: str) -> PromptStatus | None:
        record = self._get(f"/history/{quote(prompt_id, safe='')}").get(prompt_id)
        if not isinstance(record, dict):
            return None
        status = as_mapping(record.get("status"))
        messages = {
            m[0]: m[1]
            for m in as_list(status.get("messages"))
            if isinstance(m, list) and len(m) == 2 and isinstance(m[0], str)
        }
        if status.get("completed") and status.get("status_str") == "success":
            return PromptStatus("done", as_mapping(record.get("outputs")))
        # An interrupted one is an error too, but for this message.
        if "execution_interrupted" in messages:
            return PromptStatus("interrupted")
        return PromptStatus("failed", error=as_mapping(messages.get("execution_error")))

    def _status_in_queue(self, prompt_id: str) -> PromptStatus | None:
        queue = self._get("/queue")
        for place, state in (("queue_running", "running"), ("queue_pending", "waiting")):
            entries = (entry for entry in as_list(queue.get(place)) if isinstance(entry, list))
            if any(entry[1:2] == [prompt_id] for entry in entries):
                return PromptStatus(state)
        return None

    def cancel(self, prompt_id: str) -> None:
        # In this order: one that begins to run in between is met by the second. Without an id the
        # second would end anybody's run.
        self._send_request("POST", "/queue", json={"delete": [prompt_id]})
        self._send_request("POST", "/interrupt", json={"prompt_id": prompt_id})
