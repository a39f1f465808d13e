"""How a ComfyUI server is reached: one small interface, and the forms it takes.

`http(s)://host` is a server of one's own, on this machine or behind a proxy that wants a token;
`hosted+https://host` is the hosted service, whose routes, key and downloads differ a little.
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import socket as sockets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pytoon_pipeline.engines.comfyui.errors import NoAnswer, NoFile, Refused
from pytoon_pipeline.engines.comfyui.workflows import Graph
from pytoon_pipeline.errors import EngineFailed, EngineUnavailable, Problem, SettingsError
from pytoon_pipeline.media.addresses import is_public, resolve, shown

# They write whole addresses to the log, and the keys of signed links with them.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

HOSTED = "hosted+"
_MOST_BYTES = 2 << 30
"""Of a take."""
_REDIRECTS = 3
_TAIL = 1500
"""Characters of a server's words in a message."""


@dataclass(frozen=True)
class Limits:
    """Seconds, all of them."""

    connect: float = 5
    answer: float = 10
    """Until a server that was reached answers a question."""
    queue_seconds: float = 900
    """Waiting behind other prompts of the server."""
    run_seconds: float = 1800
    """From the begin of the run to its end."""
    stall_seconds: float = 600
    """Without any sign of work. Loading a model and decoding a video are silent for minutes: less
    than 300 breaks healthy runs."""
    restart_seconds: float = 120
    """For a server that went away in the middle of a run to come back."""
    poll: float = 3
    """Between two looks at the history."""
    rest_seconds: float = 60
    """That a server which can't be reached is left alone, by all processes."""
    stall_rest_seconds: float = 300
    """The same for one that did not get done."""
    cancel_seconds: float = 5
    """For a cancelled prompt to be gone."""
    health_seconds: float = 2


@dataclass(frozen=True)
class Look:
    """Where a prompt is."""

    state: str
    """`absent`, `waiting`, `running`, `done`, `failed` or `interrupted`."""
    outputs: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    """Of a failed one: the server's `execution_error`."""


@dataclass(frozen=True)
class Posted:
    """The server's answer to a prompt."""

    status: int
    body: dict[str, Any]
    text: str


class Transport(ABC):
    """One server. Everything here raises NoAnswer where it can't be reached or answers nonsense,
    Refused where it wants another token."""

    name: str
    """Its address without secrets, for messages."""

    @abstractmethod
    def stats(self, seconds: float | None = None) -> dict[str, Any]:
        """Version and devices. `seconds` bounds the wait."""

    @abstractmethod
    def definitions(self, classes: Sequence[str]) -> dict[str, Any]:
        """What the server says of these nodes; those it lacks are left out."""

    @abstractmethod
    def waiting(self) -> int:
        """Prompts in its queue, the running one included."""

    @abstractmethod
    def upload(self, name: str, folder: str, data: bytes) -> str:
        """Put a picture there; what a graph calls it."""

    @abstractmethod
    def post(self, graph: Graph, client_id: str, prompt_id: str) -> Posted:
        """Hand in a prompt."""

    @abstractmethod
    def look(self, prompt_id: str) -> Look:
        """Where a prompt is: what the server's records say, the only truth."""

    @abstractmethod
    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or end its run. Hit or miss, no server says."""

    @abstractmethod
    def download(self, item: dict[str, Any], path: Path, tick: Callable[[], None]) -> None:
        """A file of the outputs, whole, to `path`. NoFile where the server has lost it."""

    @abstractmethod
    def open_socket(self, client_id: str) -> Any:
        """A websocket (of websocket-client) on which it tells of progress; any exception."""


def open_transport(url: str, token: str | None, limits: Limits) -> Transport:
    """The transport of a server by its address. Raises SettingsError where it is none."""
    try:
        parts = urlsplit(url.removeprefix(HOSTED))
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise SettingsError(
            Problem(
                "settings.comfyui_url",
                f"{shown(url)!r} is not the address of a server.",
                "Write for example http://127.0.0.1:8188.",
                field="PYTOON_COMFYUI_URL",
            )
        )
    if url.startswith(HOSTED):
        return Hosted(url.removeprefix(HOSTED), token, limits)
    return Direct(url, token, limits)


def is_local(url: str) -> bool:
    """Is a server on this machine or its own network, by its address? What can't be looked up, or
    is the hosted service, is not."""
    if url.startswith(HOSTED):
        return False
    host = urlsplit(url).hostname or ""
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        try:
            found = resolve(host, 0)
        except (OSError, UnicodeError):
            return False
    return bool(found) and not any(is_public(ip) for ip in found)


class _Http(Transport):
    """What both forms have in common."""

    _api = ""
    """Before every route."""

    def __init__(self, url: str, token: str | None, limits: Limits):
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self.name = shown(self.url)
        self._scheme = parts.scheme
        self._basic = parts.netloc.rpartition("@")[0]
        self._token, self._limits = token, limits

    @property
    def _local(self) -> bool:
        return is_local(self.url)  # Not kept: a name may not be found for a moment.

    @cached_property
    def _headers(self) -> dict[str, str]:
        """A token goes to every server over https, and unencrypted only within one's own network.
        Raises Refused where it would travel readable over the internet."""
        if not (self._token or self._basic):
            return {}
        if self._scheme != "https" and not self._local:
            raise Refused(
                f"{self.name} is on the internet (or unknown) and its address begins with http://, "
                "so the token would be readable on its way. Use https://."
            )
        return self._credentials()

    def _credentials(self) -> dict[str, str]:
        if self._basic:
            return {"Authorization": "Basic " + base64.b64encode(self._basic.encode()).decode()}
        return {"Authorization": f"Bearer {self._token}"}

    @cached_property
    def _client(self) -> Any:
        import httpx

        return httpx.Client(
            base_url=self.url,
            headers=self._headers,
            timeout=httpx.Timeout(self._limits.answer, connect=self._limits.connect),
            follow_redirects=False,
            # A proxy of the environment is for the internet, not for one's own network.
            trust_env=not self._local,
        )

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        """A request and its answer, read whole. Statuses up to 499 are the caller's, 401 and 403
        apart."""
        with self._failures(method, path, more.get("timeout", self._limits.answer)):
            answer = self._client.request(method, self._api + path, **more)
        return self._checked(answer, method, path)

    @contextmanager
    def _failures(self, method: str, path: str, seconds: float) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoAnswer(f"{self.name} can't be reached: {_said(error)}.") from error
        except httpx.TimeoutException as error:
            raise NoAnswer(
                f"{self.name} does not answer {method} {path} within {seconds:g} s.",
                arrived=True,
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(
                f"{self.name} broke off {method} {path}: {_said(error)}.", arrived=True, again=True
            ) from error

    def _checked(self, answer: Any, method: str, path: str) -> Any:
        status = answer.status_code
        if status in (401, 403):
            raise Refused(
                f"{self.name} refuses {method} {path} ({status}). Set PYTOON_COMFYUI_TOKEN to its "
                "token."
            )
        if status == 429:
            raise NoAnswer(f"{self.name} is asked too often ({status}).")
        if status in (502, 503, 504) or (status >= 500 and method == "GET"):
            raise NoAnswer(
                f"{self.name} answers {method} {path} with {status}.", arrived=True, again=True
            )
        if 300 <= status < 400:
            raise NoAnswer(
                f"{self.name} answers {method} {path} with a redirect: something stands in front "
                "of it. Use the address of the server itself."
            )
        return answer

    def _get(self, path: str, **more: Any) -> Any:
        """A GET for JSON; asked once more where the server stumbles."""
        try:
            answer = self._ask("GET", path, **more)
        except NoAnswer as error:
            if not error.again:
                raise
            time.sleep(0.1)
            answer = self._ask("GET", path, **more)
        if answer.status_code == 404:
            return {}
        return self._json(answer, path)

    def _json(self, answer: Any, path: str) -> dict[str, Any]:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict) or answer.status_code >= 400:
            raise NoAnswer(
                f"{self.name} answers GET {path} ({answer.status_code}) unlike a ComfyUI server. "
                "Check the address."
            )
        return body

    def stats(self, seconds: float | None = None) -> dict[str, Any]:
        more = {} if seconds is None else {"timeout": seconds}
        found = self._get("/system_stats", **more)
        if not isinstance(found.get("system"), dict):
            raise NoAnswer(f"{self.name} is no ComfyUI server: it has no /system_stats.")
        return found

    def waiting(self) -> int:
        found = self._get("/prompt").get("exec_info") or {}
        return int(found.get("queue_remaining") or 0)

    def upload(self, name: str, folder: str, data: bytes) -> str:
        answer = self._ask(
            "POST", "/upload/image",
            files={"image": (name, data, "image/png")},
            # Only these words overwrite; without it, other bytes would get another name.
            data={"subfolder": folder, "type": "input", "overwrite": "true"},
        )  # fmt: skip
        body = _body(answer)
        if answer.status_code != 200 or not isinstance(body.get("name"), str):
            raise EngineFailed(
                f"{self.name} does not take the picture {name} ({answer.status_code}).",
                answer.text[:_TAIL],
                transient=answer.status_code >= 500,
            )
        return "/".join(part for part in (body.get("subfolder"), body["name"]) if part)

    def post(self, graph: Graph, client_id: str, prompt_id: str) -> Posted:
        said = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        answer = self._ask("POST", "/prompt", json=said)
        return Posted(answer.status_code, _body(answer), answer.text[:_TAIL])

    def download(self, item: dict[str, Any], path: Path, tick: Callable[[], None]) -> None:
        params = {k: item.get(k) or "" for k in ("filename", "subfolder", "type")}
        with self._failures("GET", "/view", self._limits.answer):
            request = self._client.build_request("GET", self._api + "/view", params=params)
            answer = self._client.send(request, stream=True)
            try:
                with self._followed(answer) as final:
                    if final.status_code == 404:
                        raise NoFile(f"{self.name} has lost the file {params['filename']}.")
                    if final.is_redirect:
                        raise NoAnswer(f"{self.name} sends a download in circles.")
                    self._save(self._checked(final, "GET", "/view"), path, tick)
            finally:
                answer.close()

    @contextmanager
    def _followed(self, answer: Any) -> Iterator[Any]:
        """The answer that holds the file."""
        yield answer

    def _save(self, answer: Any, path: Path, tick: Callable[[], None]) -> None:
        got, told = 0, time.monotonic()
        with open(path, "wb") as file:
            # A body that ends before its Content-Length is an error of httpx.
            for chunk in answer.iter_bytes():
                file.write(chunk)
                got += len(chunk)
                if got > _MOST_BYTES:
                    raise EngineFailed(f"{self.name} sends more than {_MOST_BYTES} bytes.")
                if time.monotonic() - told > 0.5:
                    tick()
                    told = time.monotonic()

    def open_socket(self, client_id: str) -> Any:
        return self._connect(f"clientId={quote(client_id)}", self._headers)

    def _connect(self, query: str, headers: dict[str, str]) -> Any:
        import websocket

        return websocket.create_connection(
            f"ws{self.url.removeprefix('http')}/ws?{query}",
            timeout=self._limits.connect,
            header=headers,
            # A browser's habit; servers on this machine refuse a strange one.
            suppress_origin=True,
            http_no_proxy=["*"] if self._local else None,
            sockopt=[(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, 1)],
        )


class Direct(_Http):
    """A server of one's own. Where it wants a token: `Authorization: Bearer`, or the name and
    password of the address."""

    def definitions(self, classes: Sequence[str]) -> dict[str, Any]:
        # One by one: with many custom nodes the whole list is tens of megabytes.
        found: dict[str, Any] = {}
        for name in classes:
            found |= self._get(f"/object_info/{quote(name, safe='')}")
        return {name: found[name] for name in classes if name in found}

    def look(self, prompt_id: str) -> Look:
        # What leaves the queue enters the history, a moment later: so it is read again.
        return self._recorded(prompt_id) or self._queued(prompt_id) or (
            self._recorded(prompt_id) or Look("absent")
        )

    def _recorded(self, prompt_id: str) -> Look | None:
        record = self._get(f"/history/{prompt_id}").get(prompt_id)
        if not isinstance(record, dict):
            return None
        status = record.get("status") or {}
        messages = {m[0]: m[1] for m in status.get("messages") or [] if len(m) == 2}
        if status.get("completed") and status.get("status_str") == "success":
            return Look("done", record.get("outputs") or {})
        # An interrupted one is an error too, but for this message.
        if "execution_interrupted" in messages:
            return Look("interrupted")
        return Look("failed", error=messages.get("execution_error") or {})

    def _queued(self, prompt_id: str) -> Look | None:
        queue = self._get("/queue")
        for place, state in (("queue_running", "running"), ("queue_pending", "waiting")):
            if any(entry[1] == prompt_id for entry in queue.get(place) or []):
                return Look(state)
        return None

    def cancel(self, prompt_id: str) -> None:
        # In this order: one that begins to run in between is met by the second. Without an id the
        # second would end anybody's run.
        self._ask("POST", "/queue", json={"delete": [prompt_id]})
        self._ask("POST", "/interrupt", json={"prompt_id": prompt_id})


class Hosted(_Http):
    """The hosted service, first version of its interface: a key in a header of its own, another
    source of the status, and downloads from signed addresses elsewhere."""

    _api = "/api"
    _running = ("in_progress", "executing", "running")
    _ended = {
        "success": "done", "completed": "done", "cancelled": "interrupted", "error": "failed",
        "failed": "failed", "non_retryable_error": "failed", "lost": "absent",
    }  # fmt: skip

    def _credentials(self) -> dict[str, str]:
        return {"X-API-Key": self._token or ""}

    def stats(self, seconds: float | None = None) -> dict[str, Any]:
        more = {} if seconds is None else {"timeout": seconds}
        # Whose machine it is, and how large, is the service's own business.
        return {"system": {"comfyui_version": "hosted"}, **self._get("/system_stats", **more)}

    def definitions(self, classes: Sequence[str]) -> dict[str, Any]:
        found = self._get("/object_info")
        return {name: found[name] for name in classes if name in found}

    def look(self, prompt_id: str) -> Look:
        status = str(self._get(f"/job/{prompt_id}/status").get("status") or "")
        if not status:
            return Look("absent")
        state = self._ended.get(status, "running" if status in self._running else "waiting")
        if state not in ("done", "failed"):
            return Look(state)
        job = self._get(f"/jobs/{prompt_id}")
        outputs = job.get("outputs") or {}
        if state == "done" and not outputs:
            record = self._get(f"/history/{prompt_id}").get(prompt_id) or {}
            outputs = record.get("outputs") or {}
        return Look(state, outputs, job.get("execution_error") or {})

    def cancel(self, prompt_id: str) -> None:
        # Its /interrupt ends all that the account runs: other people's work too.
        answer = self._ask("POST", f"/jobs/{prompt_id}/cancel")
        if answer.status_code in (404, 405):
            self._ask("POST", "/queue", json={"delete": [prompt_id]})

    def open_socket(self, client_id: str) -> Any:
        key = f"&token={quote(self._token or '', safe='')}" if self._headers else ""
        return self._connect(f"clientId={quote(client_id)}{key}", {})

    @contextmanager
    def _followed(self, answer: Any) -> Iterator[Any]:
        import httpx

        # A client of its own: the key must not go where the signed address leads.
        seconds = httpx.Timeout(self._limits.answer, connect=self._limits.connect)
        with httpx.Client(timeout=seconds, trust_env=not self._local) as plain:
            for _ in range(_REDIRECTS):
                if not answer.is_redirect:
                    break
                target = answer.request.url.join(answer.headers["Location"])
                answer.close()
                if target.scheme != "https" and self._scheme == "https":
                    raise EngineUnavailable(f"{self.name} sends a download to plain http.")
                answer = plain.send(plain.build_request("GET", target), stream=True)
            try:
                yield answer
            finally:
                answer.close()


def _body(answer: Any) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _said(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
