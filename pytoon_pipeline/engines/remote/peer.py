"""One peer: what is said to it over HTTP, and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytoon_pipeline.errors import FetchRefusedError, Problem, SettingsError
from pytoon_pipeline.media.addresses import is_public, resolve_host, server_guard, strip_query
from pytoon_pipeline.media.answers import (
    AnswerRefusedError,
    parse_document,
    read_answer,
    remove_secrets,
    retry_after,
)

if TYPE_CHECKING:
    import httpx

_ANSWER = 1_000_000
"""Bytes of a document that a peer may answer with."""
_QUOTED = 600
"""Characters of a peer's words in a message."""
_PASSING = (408, 429, 500, 502, 503, 504)


class PeerError(Exception):
    """A peer did not do what it was asked."""


class PeerRefusedError(PeerError):
    """It will not, however often it is asked."""


class UnknownSegmentError(PeerError):
    """It knows nothing of this segment: it was started anew, or has forgotten."""


class MissingMediaError(PeerError):
    """It needs media first."""

    def __init__(self, keys: Sequence[str]):
        self.keys = keys
        super().__init__("it lacks media")


class PeerLostError(PeerError):
    """It can't be reached, or fails; it may be well later."""

    def __init__(self, reason: str, seconds: float | None = None, *, never: bool = False):
        self.seconds, self.never = seconds, never
        """Seconds after which it wants to be asked again; and whether no connection was made."""
        super().__init__(reason)


class PeerFullError(PeerError):
    """All its places are taken."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        super().__init__("all its places are taken")


@dataclass(frozen=True)
class PeerTimeouts:
    """Seconds."""

    connect: float = 5.0
    silence: float = 15.0
    """While an answer or its next piece is awaited."""
    stall: float = 300.0
    """That a peer may work on a segment without a sign of life from its engine."""
    whole: float = 3600.0
    """For a segment, waiting for a place included."""
    document: float = 120.0
    """For a question and all of its answer."""
    poll: float = 0.5
    """Between two looks at its progress."""


class Peer:
    """A `pytoon serve --segments`. Raises SettingsError for an address that is none."""

    def __init__(self, url: str, token: str | None, timeouts: PeerTimeouts):
        from pytoon_pipeline.media.client import checked_token

        self.url, self.timeouts = url.rstrip("/"), timeouts
        self._token = token = checked_token(token, "PYTOON_REMOTE_TOKEN")
        self.shown = strip_query(self.url)
        self._made: httpx.Client | None = None
        readable = self.url.lower().startswith("http:") and token
        try:
            self._guard = server_guard(
                self.url,
                "PYTOON_REMOTE_URL",
                resolver=self._require_local_http if readable else resolve_host,
            )
        except FetchRefusedError as error:
            raise SettingsError(
                Problem(
                    "settings.url",
                    f"{self.shown!r} is not the address of a Pytoon: {error}",
                    "Write for example https://render.example.com or http://10.0.0.7:8321, "
                    "separated by commas; the token goes into PYTOON_REMOTE_TOKEN.",
                    field="PYTOON_REMOTE_URL",
                )
            ) from error

    def _require_local_http(self, host: str, port: int) -> Sequence[str]:
        """Where a name leads over http, which anyone on the way can read: to no public address, for
        the token would go along. The connection is made to what was looked up here."""
        found = resolve_host(host, port)
        if any(is_public(ip) for ip in found):
            raise PeerRefusedError(
                "it lies on the public internet, and http would show the token to everyone on the "
                "way. Give its https address in PYTOON_REMOTE_URL"
            )
        return found

    # Calls --------------------------------------------------------------------------------------

    def about(self, seconds: float) -> dict[str, Any]:
        """What it is and how busy. Quick, by a client of its own."""
        with self._open_client(seconds, seconds, seconds * 2) as client, self._translate_failures():
            return self._request_document(client, "GET", "/segments")

    def begin(self, request: bytes, asker: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Pytoon-Asker": asker}
        return self._call_json("POST", "/segments", content=request, headers=headers)

    def look(self, work: str) -> dict[str, Any]:
        return self._call_json("GET", f"/segments/{work}")

    def has(self, sha256: str, suffix: str) -> bool:
        with self._translate_failures():
            answer = self._client().head(
                f"{self.url}/segments/media/{sha256}", params={"suffix": suffix}
            )
        if answer.status_code == 404:
            return False
        self._raise_for_answer(answer.status_code, answer.headers, b"")
        return True

    def send(self, sha256: str, suffix: str, content: Iterator[bytes], size: int) -> None:
        self._call_json(
            "PUT",
            f"/segments/media/{sha256}",
            params={"suffix": suffix},
            content=content,
            headers={"Content-Length": str(size), "Content-Type": "application/octet-stream"},
            extensions={"whole": self.timeouts.whole},
        )

    def cancel(self, work: str, asker: str) -> None:
        """Never raises: whoever cancels has no use for an answer."""
        try:
            with self._open_client(2.0, 3.0, 4.0) as client:
                headers = {"Pytoon-Asker": asker}
                with client.stream("DELETE", f"{self.url}/segments/{work}", headers=headers):
                    pass  # Whatever it says.
        except Exception:
            return

    @contextmanager
    def file(self, work: str, first: int, etag: str) -> Iterator[httpx.Response]:
        """The segment file from byte `first` on, if it is still the one of `etag`; else whole."""
        headers = {"Range": f"bytes={first}-", "If-Range": etag} if first else {}
        with (
            self._translate_failures(),
            self._client().stream(
                "GET",
                f"{self.url}/segments/{work}/file",
                headers=headers,
                extensions={"whole": self.timeouts.whole},
            ) as answer,
        ):
            if not answer.is_success:
                self._raise_for_answer(
                    answer.status_code, answer.headers, read_answer(answer, _ANSWER)
                )
            if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                raise PeerRefusedError("it packs a file that was asked for as it is")
            yield answer

    # How it is asked ----------------------------------------------------------------------------

    def _open_client(self, connect: float, silence: float, whole: float) -> httpx.Client:
        from pytoon_pipeline.media.client import open_client

        client = open_client(self._guard, connect=connect, silence=silence, whole=whole)
        client.headers["User-Agent"] = "pytoon"
        client.headers["Accept-Encoding"] = "identity"
        if self._token:
            client.headers["Authorization"] = f"Bearer {self._token}"
        return client

    def _client(self) -> httpx.Client:
        if self._made is None:
            t = self.timeouts
            self._made = self._open_client(t.connect, t.silence, t.document)
        return self._made

    def _call_json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        with self._translate_failures():
            return self._request_document(self._client(), method, path, **more)

    def _request_document(
        self, client: httpx.Client, method: str, path: str, **more: Any
    ) -> dict[str, Any]:
        with client.stream(method, f"{self.url}{path}", **more) as answer:
            data = read_answer(answer, _ANSWER)
            self._raise_for_answer(answer.status_code, answer.headers, data)
        try:
            said = parse_document(data)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise PeerRefusedError("it does not answer as a `pytoon serve --segments` does")
        return said

    @contextmanager
    def _translate_failures(self) -> Iterator[None]:
        """Failures of the connection as what they mean. No message holds more of an address than
        may be shown."""
        import httpx

        try:
            yield
        except FetchRefusedError as error:
            raise PeerLostError(f"it can't be reached: {error.message}", never=True) from error
        except AnswerRefusedError as error:
            raise PeerRefusedError(str(error)) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            why = "no connection within the time" if "imeout" in type(error).__name__ else error
            raise PeerLostError(f"it can't be reached: {why}", never=True) from error
        except httpx.TimeoutException as error:
            raise PeerLostError(f"it says nothing any more ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise PeerLostError(f"the connection broke: {error or type(error).__name__}") from error

    def _raise_for_answer(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        """Raises what an answer that is no success means."""
        if 200 <= status < 300:
            return
        code, words, problems = _read_complaint(remove_secrets([self._token or ""], data))
        if status in (401, 403):
            raise PeerRefusedError(
                "it does not know this token. Set PYTOON_REMOTE_TOKEN to its PYTOON_TOKEN"
            )
        if code == "segment.unknown":
            raise UnknownSegmentError("it knows nothing of this segment")
        if status in (404, 405):
            raise PeerRefusedError("it renders no segments for others: start it with --segments")
        lacking = [p.get("field") for p in problems if p.get("code") == "segment.media"]
        if lacking and len(lacking) == len(problems):
            raise MissingMediaError([str(field) for field in lacking])
        after = retry_after(headers.get("retry-after", ""))
        if code == "segments.full":
            raise PeerFullError(5.0 if after is None else after)
        if status in _PASSING:
            raise PeerLostError(f"it answers {status}" + (f": {words}" if words else ""), after)
        raise PeerRefusedError(words or f"it answers {status}")


def _read_complaint(data: bytes) -> tuple[str, str, list[dict[str, Any]]]:
    """Code, words and problems of an answer that is no success."""
    try:
        said = parse_document(data)
        error, problems = said["error"], [p for p in said["problems"] if isinstance(p, dict)]
        code, words = str(error["code"]), [f"{error['message']} {error['remedy']}"]
        if len(problems) > 1:
            words = [f"{p['message']} {p.get('remedy', '')}" for p in problems]
    except (ValueError, KeyError, TypeError):
        return "", "", []
    return code, quote_answer(" ".join(w.strip() for w in words)), problems


def quote_answer(text: str, most: int = _QUOTED) -> str:
    """A peer's words, on one line and not too many."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= most else text[: most - 3] + "..."
