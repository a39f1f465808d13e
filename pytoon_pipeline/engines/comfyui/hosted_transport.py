"""The hosted ComfyUI service."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytoon_pipeline.engines.comfyui.http_transport import (
    SERVER_SETTING,
    HttpTransport,
)
from pytoon_pipeline.engines.comfyui.json_values import as_mapping, as_text
from pytoon_pipeline.engines.comfyui.transport import PromptStatus
from pytoon_pipeline.errors import (
    EngineUnavailableError,
)
from pytoon_pipeline.media.addresses import (
    redirect_target,
    server_guard,
)

if TYPE_CHECKING:
    import httpx

    from pytoon_pipeline.engines.comfyui.socket import BoundedSocket

_REDIRECTS = 3


class HostedTransport(HttpTransport):
    """The hosted service, first version of its interface: a key in a header of its own, another
    source of the status, and downloads from signed addresses elsewhere."""

    _api = "/api"
    _running = ("in_progress", "executing", "running")
    _ended = {
        "success": "done",
        "completed": "done",
        "cancelled": "interrupted",
        "error": "failed",
        "failed": "failed",
        "non_retryable_error": "failed",
        "lost": "absent",
    }

    def _credentials(self) -> dict[str, str]:
        return {"X-API-Key": self._token or ""}

    def stats(self, seconds: float | None = None) -> dict[str, Any]:
        found = self._get("/system_stats", silence=seconds, whole=seconds)
        # Whose machine it is, and how large, is the service's own business.
        return {**found, "system": {"comfyui_version": "hosted", **as_mapping(found.get("system"))}}

    def node_definitions(self, classes: Sequence[str]) -> dict[str, Any]:
        found = self._get("/object_info")
        return {name: found[name] for name in classes if name in found}

    def look(self, prompt_id: str) -> PromptStatus:
        name = quote(prompt_id, safe="")
        status = as_text(self._get(f"/job/{name}/status").get("status"))
        if not status:
            return PromptStatus("absent")
        state = self._ended.get(status, "running" if status in self._running else "waiting")
        if state not in ("done", "failed"):
            return PromptStatus(state)
        job = self._get(f"/jobs/{name}")
        outputs = as_mapping(job.get("outputs"))
        if state == "done" and not outputs:
            record = as_mapping(self._get(f"/history/{name}").get(prompt_id))
            outputs = as_mapping(record.get("outputs"))
        return PromptStatus(state, outputs, as_mapping(job.get("execution_error")))

    def cancel(self, prompt_id: str) -> None:
        # Its /interrupt ends all that the account runs: other people's work too.
        answer = self._send_request("POST", f"/jobs/{quote(prompt_id, safe='')}/cancel")
        if answer.status_code in (404, 405):
            self._send_request("POST", "/queue", json={"delete": [prompt_id]})

    def open_socket(self, client_id: str) -> BoundedSocket:
        # Its protocol wants the key in the address here. No library that quotes addresses in its
        # errors sees it, and what is shown of an address has no query.
        key = {"token": self._token or ""} if self._build_headers else {}
        return self._open_socket({"clientId": client_id, **key})

    @contextmanager
    def _follow_answer(self, answer: httpx.Response, until: float) -> Iterator[httpx.Response]:
        with ExitStack() as stack:
            for _ in range(_REDIRECTS):
                location = answer.extensions.get("location")
                if location is None:
                    break
                answer.close()
                target = redirect_target(answer.request.url, location)
                if target.scheme != "https" and self._scheme == "https":
                    raise EngineUnavailableError(f"{self.name} sends a download to plain http.")
                # A client of its own: the key must not go where the signed address leads; nor may
                # that be inside of a network that the service is not in.
                guard = server_guard(str(target), SERVER_SETTING, allow_private=self._is_local)
                whole = max(0.1, until - time.monotonic())
                plain = stack.enter_context(self._open_client(guard, str(target), whole))
                answer = stack.enter_context(plain.stream("GET", target))
            yield answer
