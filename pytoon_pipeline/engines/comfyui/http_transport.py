"""A ComfyUI server over HTTP: what a server of one's own and the hosted service share."""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytoon_pipeline.engines.comfyui.errors import NoAnswerError, NoFileError, PromptRefusedError
from pytoon_pipeline.engines.comfyui.json_values import as_mapping, as_number, as_text
from pytoon_pipeline.engines.comfyui.transport import ComfyTransport, PostedPrompt, TransportLimits
from pytoon_pipeline.engines.comfyui.workflows import Graph
from pytoon_pipeline.errors import (
    EngineFailedError,
    FetchRefusedError,
)
from pytoon_pipeline.media.addresses import (
    AddressGuard,
    is_public,
    resolve_host,
    server_guard,
    strip_query,
)
from pytoon_pipeline.media.answers import (
    AnswerRefusedError,
    declared_length,
    parse_document,
    read_answer,
    remove_secrets,
)

if TYPE_CHECKING:
    import httpx

    from pytoon_pipeline.engines.comfyui.socket import BoundedSocket

HOSTED = "hosted+"
SERVER_SETTING = "PYTOON_COMFYUI_URL"
_MAX_DOCUMENT = 64 << 20
"""Bytes of an answer. The list of all nodes, and a long queue with its graphs, have tens of
megabytes."""
_MAX_BYTES = 2 << 30
"""Of a take."""
_TAIL = 1500
"""Characters of a server's words in a message."""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer, read whole."""

    status_code: int
    data: bytes

    @property
    def document(self) -> dict[str, Any] | None:
        """The object that it is in JSON; None where it is none."""
        try:
            found = parse_document(self.data)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    @property
    def text(self) -> str:
        return self.data[: 4 * _TAIL].decode("utf-8", "replace")[:_TAIL]


def split_server_address(url: str) -> tuple[str, str, AddressGuard]:
    """The address of a server without the name and password in it, these, and a guard that lets
    only this server pass. FetchRefusedError or ValueError for what is no address."""
    parts = urlsplit(url)
    secret, _, host = parts.netloc.rpartition("@")
    plain = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    return plain, secret, server_guard(plain, SERVER_SETTING)


def is_local(url: str) -> bool:
    """Is a server on this machine or its own network, by its address? What can't be looked up, or
    is the hosted service, is not."""
    if url.startswith(HOSTED):
        return False
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        try:
            found = resolve_host(host, 0)
        except (OSError, UnicodeError):
            return False
    return bool(found) and not any(is_public(ip) for ip in found)


class HttpTransport(ComfyTransport):
    """What both forms have in common."""

    _api = ""
    """Before every route."""

    def __init__(self, url: str, token: str | None, limits: TransportLimits):
        self.url, self._basic, self._guard = split_server_address(url)
        self.name = strip_query(self.url)
        self._scheme = urlsplit(self.url).scheme
        self._token, self._limits = token, limits

    @property
    def _is_local(self) -> bool:
        return is_local(self.url)  # Not kept: a name may not be found for a moment.

    @cached_property
    def _build_headers(self) -> dict[str, str]:
        """A token goes to every server over https, and unencrypted only within one's own network.
        Raises Refused where it would travel readable over the internet."""
        if not (self._token or self._basic):
            return {}
        if self._scheme != "https" and not self._is_local:
            raise PromptRefusedError(
                f"{self.name} is on the internet (or unknown) and its address begins with http://, "
                "so the token would be readable on its way. Use https://."
            )
        return self._credentials()

    def _credentials(self) -> dict[str, str]:
        if self._basic:
            said = self._basic.encode("utf-8", "surrogateescape")
            return {"Authorization": "Basic " + base64.b64encode(said).decode()}
        return {"Authorization": f"Bearer {self._token}"}

    @cached_property
    def _client(self) -> httpx.Client:
        client = self._open_client(self._guard, self.url, self._limits.document_seconds)
        client.base_url = self.url
        client.headers.update(self._build_headers)
        return client

    def _open_client(self, guard: AddressGuard, url: str, whole: float) -> httpx.Client:
        from pytoon_pipeline.media.client import environment_proxy, open_client

        client = open_client(
            guard,
            connect=self._limits.connect,
            silence=self._limits.answer,
            whole=whole,
            # A proxy of the environment is for the internet, not for one's own network.
            proxy=None if self._is_local else environment_proxy(url),
        )
        client.headers["Accept-Encoding"] = "identity"
        return client

    def _send_request(
        self,
        method: str,
        path: str,
        *,
        silence: float | None = None,
        whole: float | None = None,
        **more: Any,
    ) -> HttpAnswer:
        """A request and its answer, read whole. Statuses up to 499 are the caller's, 401 and 403
        apart. `silence` and `whole` are seconds other than the usual ones."""
        silence, whole = silence or self._limits.answer, whole or self._limits.document_seconds
        timeout = (min(self._limits.connect, silence), silence, silence, None)
        with (
            self._translate_failures(method, path, silence, whole),
            self._client.stream(
                method, self._api + path, timeout=timeout, extensions={"whole": whole}, **more
            ) as answer,
        ):
            data = read_answer(answer, _MAX_DOCUMENT)
        if answer.status_code >= 400:
            sent = "".join(self._build_headers.values())
            data = remove_secrets([self._token or "", self._basic, sent.rpartition(" ")[2]], data)
        found = HttpAnswer(answer.status_code, data)
        self._check_status(found.status_code, method, path)
        return found

    @contextmanager
    def _translate_failures(
        self, method: str, path: str, silence: float, whole: float
    ) -> Iterator[None]:
        import httpx

        try:
            yield
        except FetchRefusedError as error:
            raise NoAnswerError(f"{self.name} can't be reached: {error}") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NoAnswerError(
                f"{self.name} can't be reached: {_error_payload(error)}."
            ) from error
        except httpx.TimeoutException as error:
            raise NoAnswerError(
                f"{self.name} does not answer {method} {path} within {silence:g} s, or not all of "
                f"it within {whole:g} s.",
                arrived=True,
            ) from error
        except AnswerRefusedError as error:
            raise NoAnswerError(
                f"{self.name} answers {method} {path} unlike a ComfyUI server: {error}.",
                arrived=True,
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswerError(
                f"{self.name} broke off {method} {path}: {_error_payload(error)}.",
                arrived=True,
                again=True,
            ) from error

    def _check_status(self, status: int, method: str, path: str) -> None:
        if status in (401, 403):
            raise PromptRefusedError(
                f"{self.name} refuses {method} {path} ({status}). Set PYTOON_COMFYUI_TOKEN to its "
                "token."
            )
        if status == 429:
            raise NoAnswerError(f"{self.name} is asked too often ({status}).")
        if status in (502, 503, 504) or (status >= 500 and method == "GET"):
            raise NoAnswerError(
                f"{self.name} answers {method} {path} with {status}.", arrived=True, again=True
            )
        if 300 <= status < 400:
            raise NoAnswerError(
                f"{self.name} answers {method} {path} with a redirect: something stands in front "
                "of it. Use the address of the server itself."
            )

    def _get(self, path: str, **more: Any) -> Any:
        """A GET for JSON; asked once more where the server stumbles."""
        try:
            answer = self._send_request("GET", path, **more)
        except NoAnswerError as error:
            if not error.again:
                raise
            time.sleep(0.1)
            answer = self._send_request("GET", path, **more)
        if answer.status_code == 404:
            return {}
        return self._parse_object(answer, path)

    def _parse_object(self, answer: HttpAnswer, path: str) -> dict[str, Any]:
        body = answer.document
        if body is None or answer.status_code >= 400:
            raise NoAnswerError(
                f"{self.name} answers GET {path} ({answer.status_code}) unlike a ComfyUI server. "
                "Check the address."
            )
        return body

    def stats(self, seconds: float | None = None) -> dict[str, Any]:
        found = self._get("/system_stats", silence=seconds, whole=seconds)
        if not isinstance(found.get("system"), dict):
            raise NoAnswerError(f"{self.name} is no ComfyUI server: it has no /system_stats.")
        return found

    def waiting(self) -> int:
        return int(
            as_number(as_mapping(self._get("/prompt").get("exec_info")).get("queue_remaining"))
        )

    def upload(self, name: str, folder: str, data: bytes) -> str:
        answer = self._send_request(
            "POST",
            "/upload/image",
            files={"image": (name, data, "image/png")},
            # Only these words overwrite; without it, other bytes would get another name.
            data={"subfolder": folder, "type": "input", "overwrite": "true"},
            whole=self._limits.transfer_seconds,
        )
        body = answer.document or {}
        if answer.status_code != 200 or not isinstance(body.get("name"), str):
            raise EngineFailedError(
                f"{self.name} does not take the picture {name} ({answer.status_code}).",
                answer.text,
                transient=answer.status_code >= 500,
            )
        return "/".join(part for part in (as_text(body.get("subfolder")), body["name"]) if part)

    def post(self, graph: Graph, client_id: str, prompt_id: str) -> PostedPrompt:
        said = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        answer = self._send_request("POST", "/prompt", json=said)
        return PostedPrompt(answer.status_code, answer.document or {}, answer.text)

    def download(self, item: dict[str, Any], path: Path, tick: Callable[[], None]) -> None:
        params = {k: as_text(item.get(k)) for k in ("filename", "subfolder", "type")}
        whole = self._limits.transfer_seconds
        with (
            self._translate_failures("GET", "/view", self._limits.answer, whole),
            self._client.stream(
                "GET", self._api + "/view", params=params, extensions={"whole": whole}
            ) as answer,
            self._follow_answer(answer, time.monotonic() + whole) as final,
        ):
            if final.status_code == 404:
                raise NoFileError(f"{self.name} has lost the file {params['filename']}.")
            if "location" in final.extensions:
                raise NoAnswerError(f"{self.name} sends a download in circles.")
            self._check_status(final.status_code, "GET", "/view")
            self._save_answer(final, path, tick)

    @contextmanager
    def _follow_answer(self, answer: httpx.Response, until: float) -> Iterator[httpx.Response]:
        """The answer that holds the file; all of it has to be there at a time."""
        yield answer

    def _save_answer(self, answer: httpx.Response, path: Path, tick: Callable[[], None]) -> None:
        if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise AnswerRefusedError("the file is packed, though it was asked for as it is")
        too_large = EngineFailedError(f"{self.name} sends more than {_MAX_BYTES} bytes.")
        if (declared_length(answer) or 0) > _MAX_BYTES:
            raise too_large
        got, told = 0, time.monotonic()
        with open(path, "wb") as file:
            # A body that ends before its Content-Length is an error of httpx.
            for chunk in answer.iter_raw():  # As they come, so that `tick` is called.
                got += len(chunk)
                if got > _MAX_BYTES:
                    raise too_large
                file.write(chunk)
                if time.monotonic() - told > 0.5:
                    tick()
                    told = time.monotonic()

    def open_socket(self, client_id: str) -> BoundedSocket:
        return self._open_socket({"clientId": client_id})

    def _open_socket(self, params: dict[str, str]) -> BoundedSocket:
        from pytoon_pipeline.engines.comfyui.socket import BoundedSocket

        seconds = self._limits.connect
        with self._translate_failures("GET", "/ws", seconds, seconds):
            return BoundedSocket(self._client, "/ws", params, seconds)


def _error_payload(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
