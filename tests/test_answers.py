"""Servers that misbehave, on loopback: what they answer is bounded in bytes, time and number, every
failure has a name, and no secret stands in its words, in what led to it, or in the log."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import socket
import struct
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import grown
from test_fetch import _ADDRESSES, Web, _certificate

from pytoon_pipeline.cli import service_client
from pytoon_pipeline.engines.comfyui import TransportLimits, nodes, open_transport
from pytoon_pipeline.engines.comfyui.progress_socket import ProgressSocket
from pytoon_pipeline.engines.comfyui.prompt import PromptRun
from pytoon_pipeline.engines.comfyui.socket import BoundedSocket, SocketLostError
from pytoon_pipeline.engines.comfyui.workflows import load_workflow
from pytoon_pipeline.engines.remote import RemoteEngine
from pytoon_pipeline.engines.remote.peer import Peer, PeerError, PeerTimeouts
from pytoon_pipeline.errors import EngineError, PytoonError, SettingsError, UserError
from pytoon_pipeline.media.addresses import AddressGuard
from pytoon_pipeline.media.answers import MAX_LEVELS, MAX_VALUES, parse_document, retry_after
from pytoon_pipeline.settings import load_settings, project_data

SECRET = "geh3im-Wort"
QUICK = TransportLimits(
    connect=2, answer=1, document_seconds=1.5, transfer_seconds=1.5, health_seconds=1, poll=0.05
)
PATIENT = TransportLimits(connect=5, answer=5, document_seconds=30, transfer_seconds=30)

Script = Callable[[socket.socket, bytes], None]


class Raw:
    """A server that does to each connection what its script says; it reads the head first."""

    def __init__(self) -> None:
        self.script: Script = say(b"")
        self.heads: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.settimeout(20)
            head = b""
            while b"\r\n\r\n" not in head:
                more = sock.recv(65536)
                if not more:
                    return
                head += more
            self.heads.append(head)
            self.script(sock, head)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    def stop(self) -> None:
        self._listener.close()


@pytest.fixture
def raw() -> Iterator[Raw]:
    server = Raw()
    yield server
    server.stop()


def say(*parts: bytes, times: int = 1, pause: float = 0.0) -> Script:
    """The first part, then the others so many times."""

    def script(sock: socket.socket, head: bytes) -> None:
        sock.sendall(parts[0])
        for _ in range(times):
            for part in parts[1:]:
                sock.sendall(part)
                if pause:
                    time.sleep(pause)

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def whole(body: bytes, *headers: bytes) -> bytes:
    said = b"".join(h + b"\r\n" for h in (*headers, b"Content-Length: %d" % len(body)))
    return OK + said + b"\r\n" + body


def bomb() -> tuple[bytes, bytes]:
    """Begin of a gzip stream, and a kilobyte that unpacks to a megabyte, any number of times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", block


BEGIN, BLOCK = bomb()
ANSWERS: dict[str, tuple[Script, str]] = {
    # What is sent -> a word of what is said of it.
    "endless JSON": (say(OK + b"\r\n[", b"1234567," * 8192, times=2000), "bytes"),
    "a large length": (say(OK + b"Content-Length: 99999999999\r\n\r\n{"), "bytes"),
    "a bomb": (
        say(OK + b"Content-Encoding: gzip\r\n\r\n" + BEGIN, BLOCK * 10, times=1000),
        "bytes",
    ),
    "a bomb in a bomb": (
        say(OK + b"Content-Encoding: gzip, gzip, gzip\r\n\r\n" + BEGIN, BLOCK),
        "packed",
    ),
    "no gzip": (say(whole(b"{}", b"Content-Encoding: gzip")), "unpacked"),
    "many values": (say(whole(b"[" + b"[]," * MAX_VALUES + b"1]")), "unlike"),
    "many levels": (say(whole(b"[" * 100_000 + b"]" * 100_000)), "unlike"),
    "some levels": (say(whole(b'{"a":' * 500 + b"1" + b"}" * 500)), "unlike"),
    "a long number": (say(whole(b'{"system": ' + b"9" * 50_000 + b"}")), "unlike"),
    "no text": (say(whole(b'{"system": "\xff\xfe"}')), "unlike"),
    "drip": (say(OK + b"Content-Length: 9999\r\n\r\n", b" ", times=200, pause=0.05), "within"),
    "drip of headers": (say(b"HTTP/1.1 200 OK\r\nX: ", b"y", times=200, pause=0.05), "within"),
    "interim answers": (
        say(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99, times=200, pause=0.05),
        "within",
    ),
    "endless headers": (say(b"HTTP/1.1 200 OK\r\n", b"X: yyyyyyyy\r\n" * 999, times=999), "broke"),
    "a long header": (say(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 9999, times=999), "broke"),
    "less than it says": (say(OK + b"Content-Length: 9999\r\n\r\n{"), "broke"),
    "HTTP 0.9": (say(b"<html>"), "broke"),
    "nothing": (say(b""), "broke"),
    "a redirect": (say(b"HTTP/1.1 302 Found\r\nLocation: http://xn--/\r\n\r\n"), "redirect"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_of_comfyui_without_measure_is_a_named_failure(raw: Raw, what: str) -> None:
    raw.script, word = ANSWERS[what]
    transport = open_transport(raw.url, SECRET, QUICK if word == "within" else PATIENT)

    def ask() -> None:
        with pytest.raises(EngineError, match=word):
            transport.stats()

    started = time.monotonic()
    # The document itself, and what it is collected and read in.
    assert grown(ask) < 350e6
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_of_a_peer_without_measure_is_a_named_failure(raw: Raw, what: str) -> None:
    raw.script, word = ANSWERS[what]
    quick = word == "within"
    times = PeerTimeouts(connect=2, silence=1 if quick else 5, document=1.5 if quick else 30)
    peer = Peer(raw.url, SECRET, times)
    said = {
        "unlike": "does not answer as|bytes",
        "within": "nothing any more",
        "broke": "broke",
        "redirect": "302",
    }.get(word, word)

    def ask() -> None:
        with pytest.raises(PeerError, match=said):
            peer.look("0" * 64)

    assert grown(ask) < 30e6


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_of_a_deployment_without_measure_is_a_named_failure(
    raw: Raw, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raw.script, word = ANSWERS[what]
    monkeypatch.setattr(service_client, "_ANSWER_SECONDS", 1.5 if word == "within" else 30.0)
    env = {"PYTOON_HOME": str(tmp_path), "PYTOON_URL": raw.url, "PYTOON_TOKEN": SECRET}

    def ask() -> None:
        with (
            service_client.open_service_client(load_settings(env)) as there,
            pytest.raises(PytoonError),
        ):
            there.call("GET", "/render")

    assert grown(ask) < 150e6


def test_a_download_is_bounded(raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytoon_pipeline.engines.comfyui.http_transport._MAX_BYTES", 1 << 20)
    item = {"filename": "a.mp4", "subfolder": ["x"], "type": None}
    head = b"HTTP/1.1 200 OK\r\n"
    for sent, word in {
        say(head + b"\r\n", bytes(1 << 16), times=999): "more than",
        say(head + b"Content-Length: 1048577\r\n\r\n"): "more than",
        say(head + b"Content-Encoding: gzip\r\n\r\n" + BEGIN, BLOCK, times=99): "packed",
        say(head + b"Content-Length: 500\r\n\r\n" + bytes(100)): "broke",
        say(head + b"\r\n", b"a", times=200, pause=0.05): "within",
        say(b"HTTP/1.1 302 Found\r\nLocation: http://xn--/\r\n\r\n"): "circles|read as an address",
    }.items():
        raw.script = sent
        for kind in ("", "hosted+"):
            transport = open_transport(kind + raw.url, SECRET, QUICK)
            with pytest.raises(EngineError, match=word):
                transport.download(item, tmp_path / "a", lambda: None)
            assert not (tmp_path / "a").exists() or (tmp_path / "a").stat().st_size <= 1 << 20


def test_a_download_leads_round_and_round_no_longer_than_it_may(raw: Raw, tmp_path: Path) -> None:
    raw.script = say(
        b"HTTP/1.1 302 Found\r\nLocation: /again?signature="
        + SECRET.encode()
        + b"\r\nContent-Length: 0\r\n\r\n"
    )
    with pytest.raises(EngineError, match="circles") as caught:
        open_transport("hosted+" + raw.url, "k", PATIENT).download({}, tmp_path / "a", lambda: None)
    assert len(raw.heads) == 4 and SECRET not in told(caught.value)
    assert b"x-api-key" in raw.heads[0].lower()
    assert all(b"x-api-key" not in head.lower() for head in raw.heads[1:])


def test_a_hosted_service_leads_nobody_inside(
    raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the service were on the internet: then a download does not come from this machine."""
    inside = Raw()
    raw.script = say(b"HTTP/1.1 302 Found\r\nLocation: " + inside.url.encode() + b"/a\r\n\r\n")
    transport = open_transport("hosted+" + raw.url, None, PATIENT)
    monkeypatch.setattr(
        "pytoon_pipeline.engines.comfyui.http_transport.is_local", lambda url: False
    )
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(EngineError, match="private network"):
        transport.download({}, tmp_path / "a", lambda: None)
    assert len(raw.heads) == 1 and inside.heads == []
    inside.stop()


# Sockets ------------------------------------------------------------------------------------------


def upgraded(*frames: bytes, times: int = 1) -> Script:
    """A websocket is opened, then these frames are sent."""

    def script(sock: socket.socket, head: bytes) -> None:
        key = head.lower().partition(b"sec-websocket-key:")[2]
        key = head[len(head) - len(key) :].partition(b"\r\n")[0].strip()
        mark = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(mark) + b"\r\n\r\n"
        )
        for _ in range(times):
            for frame in frames:
                sock.sendall(frame)

    return script


def frame(data: bytes, opcode: int = 1, fin: bool = True, announced: int | None = None) -> bytes:
    size = len(data) if announced is None else announced
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return head + bytes([size]) + data
    return head + b"\x7f" + struct.pack(">Q", size) + data


def heard(open_socket: Callable[[str], BoundedSocket]) -> tuple[list[bytes], str]:
    """All that comes, and why it ended."""
    texts: list[bytes] = []
    with suppress(TimeoutError):
        listening = open_socket("me")
        try:
            for _ in range(10_000):
                texts += listening.receive(2)
        except SocketLostError as lost:
            return texts, str(lost)
        finally:
            listening.close()
    return texts, ""


def test_a_socket_tells_and_is_bounded(raw: Raw) -> None:
    transport = open_transport(raw.url, SECRET, PATIENT)
    small = frame(b'{"type":"x","data":{}}')
    raw.script = upgraded(
        small,
        frame(b"p", 9),
        frame(b"ab", 1, False),
        frame(b"", 9),
        frame(b"cd", 0),
        frame(b"\x00" * 70_000, 2),
    )
    assert heard(transport.open_socket)[0] == [b'{"type":"x","data":{}}', b"abcd"]
    assert b"authorization: bearer " + SECRET.encode().lower() in raw.heads[0].lower()

    raw.script = upgraded(small * 1000, times=100)
    assert len(heard(transport.open_socket)[0]) == 100_000
    part = frame(b"a" * 65536, 0, False)
    for frames, word in [
        (upgraded(frame(b"x", announced=2**63 - 1)), "exceeds|too big|limit"),
        (upgraded(frame(b"x" * 100, announced=2**40)), "exceeds|too big|limit"),
        (upgraded(frame(b"", 1, False), *[part] * 5000), "exceeds|too big|limit"),
        (upgraded(frame(b"", 1, False), *[frame(b"", 0, False) * 1000] * 1000), "closed"),
        (upgraded(frame(b"a" * 5000, 9)), "control frame"),
        (upgraded(b"\xff" * 100), "reserved|mask|opcode|rsv"),
        (upgraded(frame(b"x", announced=2**63)), "exceeds"),
        (upgraded(b"\x81\x82\x00\x00\x00\x00hi"), "mask"),
        (upgraded(frame(b"", 8)), "closed"),
    ]:
        raw.script = frames
        ends: list[tuple[list[bytes], str]] = []
        assert grown(lambda: ends.append(heard(transport.open_socket))) < 100e6  # noqa: B023
        assert ends[0][0] == [] and re.search(word, ends[0][1]), ends[0][1]


def test_pieces_of_a_frame_take_no_more_than_it_and_answers_have_a_time() -> None:
    class Stream:
        """So many bytes at a time, and nobody who takes what is sent."""

        def __init__(self, data: bytes, step: int):
            self.data, self.step, self.at, self.writes = data, step, 0, 0

        def read(self, most: int, timeout: float) -> bytes:
            self.at += self.step
            return self.data[self.at - self.step : self.at]

        def write(self, data: bytes, timeout: float) -> None:
            self.writes += 1
            time.sleep(0.2)

    def listening(data: bytes, step: int) -> BoundedSocket:
        made = BoundedSocket.__new__(BoundedSocket)
        made.listen(Stream(data, step))
        return made

    text = b"a" * 1_000_000
    found: list[list[bytes]] = []
    assert grown(lambda: found.append(listening(frame(text), 1).receive(60))) < 20e6
    assert found == [[text]]
    flooded = listening(frame(b"", 9) * 1000, 2000)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SocketLostError, match="take"):
        patch.setattr("pytoon_pipeline.engines.comfyui.socket._ANSWER_SECONDS", 0.5)
        flooded.receive(0.1)
    assert flooded._stream.writes < 6


def test_a_server_that_opens_no_socket_is_no_failure(raw: Raw) -> None:
    other = Raw()
    to = b"HTTP/1.1 302 Found\r\nLocation: " + other.url.replace("http", "ws").encode()
    transport = open_transport(raw.url, SECRET, QUICK)
    for script in (
        say(to + b"/ws\r\n\r\n"),
        say(whole(b"{}")),
        say(b""),
        say(b"HTTP/1.1 101 x\r\n\r\n"),
        say(b"HTTP/1.1 101 x\r\n", b"X: yyyyyyyy\r\n" * 999, times=999),
        say(b"HTTP/1.1 101 x\r\nX: ", b"y", times=100, pause=0.05),
    ):
        raw.script = script
        ears = ProgressSocket(transport, "me", time.monotonic, time.sleep)
        ears.open()
        assert ears.opened is None
    # A redirect is not followed, least of all with the token.
    assert other.heads == []
    other.stop()


def test_what_a_socket_says_ends_no_listening(raw: Raw) -> None:
    odd = [
        b"{",
        b"[1]",
        b"[" * 9999,
        b'{"data": 5}',
        b'{"type": [1], "data": {}}',
        b"\xc3\xa4",
        b'{"type":"progress","data":{"prompt_id":"me","value":{},"max":{}}}',
    ]
    raw.script = upgraded(*[frame(text) for text in odd])
    ears = ProgressSocket(open_transport(raw.url, None, PATIENT), "me", time.monotonic, time.sleep)
    ears.open()
    found: list[dict[str, Any]] = []
    while ears.opened is not None:
        found += ears.listen(1)
    assert [m.get("type") for m in found] == [[1], "progress"]


# Shapes -------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        "system",
        "devices",
        "exec_info",
        "queue_remaining",
        "queue_running",
        "queue_pending",
        "me",
        "status",
        "messages",
        "completed",
        "status_str",
        "success",
        "outputs",
        "execution_error",
        "node_errors",
        "errors",
        "error",
        "extra_info",
        "input_name",
        "type",
        "filename",
        "input",
        "required",
        "optional",
        "options",
        "key",
        "inputs",
        "COMBO",
        "COMFY_DYNAMICCOMBO_V3",
        "value_not_in_list",
        "traceback",
        "output",
        "prompt_id",
        "58",
        "images",
        "vram_total",
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _WORDS
_JSON = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=5)
)


class Answering:
    """A transport's server that answers everything with one document."""

    def __init__(self) -> None:
        self.raw = Raw()
        self.document: Any = None
        self.raw.script = self._answer

    def _answer(self, sock: socket.socket, head: bytes) -> None:
        sock.sendall(whole(json.dumps(self.document).encode()))


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    server = Answering()
    yield server
    server.raw.stop()


@settings(deadline=None, max_examples=150)
@given(document=st.dictionaries(_WORDS, _JSON, max_size=6))
def test_documents_of_any_shape_are_understood_or_refused(
    answering: Answering, tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    answering.document = document
    workflow = load_workflow(project_data("presets") / "workflows", "wan22_5b_i2v")
    for kind in ("", "hosted+"):
        transport = open_transport(kind + answering.raw.url, None, PATIENT)
        run = PromptRun(transport, workflow, workflow.graph, "me", PATIENT, lambda n: None)
        everything = dict.fromkeys(nodes.list_node_classes(workflow), document)
        for call, *more in (
            (transport.stats,),
            (transport.waiting,),
            (transport.cancel, "me"),
            (transport.upload, "a.png", "b", b"c"),
            (transport.node_definitions, ["KSampler"]),
            (nodes.adapt_to_server, workflow, everything, "it"),
        ):
            with suppress(EngineError):
                call(*more)
        with suppress(EngineError):
            run._note_accepted(transport.post(workflow.graph, "me", "me"))
        with suppress(EngineError):
            run._read_outcome(transport.look("me"))
    engine = RemoteEngine(answering.raw.url)
    assert engine.health().detail
    peer = Peer(answering.raw.url, None, PeerTimeouts())
    with suppress(PeerError):
        peer.look("0" * 64)


def test_documents_have_bounds() -> None:
    deep = b"[" * MAX_LEVELS + b"]" * MAX_LEVELS
    assert parse_document(deep) and parse_document(b" null ") is None
    for wrong in (b"[" + deep + b"]", b"[" * 200_000, b"{", b"", b"9" * 9999):
        with pytest.raises(ValueError):
            parse_document(wrong)
    assert retry_after("7") == 7 and retry_after("Mon, 01 Jan 1990 00:00:00 GMT") == 0
    assert retry_after("٣") is None and retry_after("9" * 9999) is not None


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            ["Mon,", "01", "Jan", "99999", "-0000", "+9999", "24:61:61", "GMT", "(", ":", "\x00"]
        )
    ).map(" ".join)
)
def test_any_retry_after_is_seconds_or_none(text: str) -> None:
    seconds = retry_after(text)
    assert seconds is None or seconds >= 0


# Secrets ------------------------------------------------------------------------------------------


def told(error: BaseException) -> str:
    """All that a log or Dagster's page would show of it."""
    return "".join(traceback.format_exception(error))


def echo(sock: socket.socket, head: bytes) -> None:
    """The request again, as its answer."""
    sock.sendall(head)


def echo_as(status: bytes) -> Script:
    """The request again, in the answer's words, headers and body."""

    def script(sock: socket.socket, head: bytes) -> None:
        line = head.replace(b"\r\n", b" ")
        sock.sendall(
            b"HTTP/1.1 " + status + b" " + line + b"\r\nX-Echo: " + line + b"\r\n"
            b"Content-Length: %d\r\n\r\n" % len(head) + head
        )

    return script


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}"


def _comfy(url: str) -> list[Callable[[], object]]:
    basic = url.replace("http://", f"http://ann:{SECRET}@").replace(
        "https://", f"https://ann:{SECRET}@"
    )
    calls: list[Callable[[], object]] = []
    for address, token in ((url, SECRET), (basic, None), (f"hosted+{url}", SECRET)):
        transport = open_transport(address, token, QUICK)
        calls += [
            transport.stats,
            lambda t=transport: t.look("me"),
            lambda t=transport: t.upload("a", "b", b"c"),
            lambda t=transport: t.open_socket("me").receive(1),
            lambda t=transport: t.download({}, Path("/dev/null"), lambda: None),
        ]
    return calls


def _peer(url: str) -> list[Callable[[], object]]:
    peer = Peer(url, SECRET, PeerTimeouts(connect=2, silence=1, document=2))

    def file() -> None:
        with peer.file("0" * 64, 0, "") as answer:
            list(answer.iter_raw())

    return [
        lambda: peer.about(1),
        lambda: peer.look("0" * 64),
        file,
        lambda: peer.send("0" * 64, ".png", iter([b"x"]), 1),
    ]


def _cli(url: str) -> list[Callable[[], object]]:
    def ask(env: dict[str, str]) -> None:
        with service_client.open_service_client(
            load_settings({"PYTOON_HOME": "/nowhere", **env})
        ) as there:
            there.call("GET", "/render")

    named = url.replace("://", f"://ann:{SECRET}@")
    return [
        lambda: ask({"PYTOON_URL": url, "PYTOON_TOKEN": SECRET}),
        lambda: ask({"PYTOON_URL": named, "PYTOON_TOKEN": "x"}),
    ]


@pytest.mark.parametrize("clients", [_comfy, _peer, _cli])
@pytest.mark.parametrize(
    "trouble", ["nobody", "certificate", "echo", "401", "500", "302", "breaks off"]
)
def test_no_secret_is_told_when_a_client_fails(
    raw: Raw,
    clients: Callable[[str], list[Callable[[], object]]],
    trouble: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    url, hidden = raw.url, [SECRET, base64.b64encode(f"ann:{SECRET}".encode()).decode()]
    raw.script = {
        "echo": echo,
        "401": echo_as(b"401"),
        "500": echo_as(b"500"),
        "302": echo_as(b"302"),
        "breaks off": say(OK + b"Content-Length: 99\r\n\r\n{"),
    }.get(trouble, say(b""))
    if trouble == "nobody":
        with nobody() as url:
            pass
    if trouble == "certificate":
        tls, _ = _certificate(tmp_path, "other.test")
        web = Web(tls=tls)
        url = f"https://127.0.0.1:{web.port}"
    for call in clients(url):
        with pytest.raises((PytoonError, PeerError, SocketLostError)) as caught:
            call()
        said = told(caught.value) + caplog.text
        assert not any(secret in said for secret in hidden), said
    if trouble == "certificate":
        assert web.asked == []
        web.stop()


def test_a_proxy_of_the_environment_is_for_the_internet(
    raw: Raw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HTTP_PROXY", raw.url.replace("://", f"://ann:{SECRET}@"))
    monkeypatch.setenv("https_proxy", f"ann:{SECRET}@127.0.0.1:{raw.port}")
    raw.script = say(whole(b'{"system": {"comfyui_version": "0.12"}}'))
    far = open_transport("http://8.8.8.8:8188", None, QUICK)
    assert far.stats()["system"] == {"comfyui_version": "0.12"}
    assert raw.heads[0].startswith(b"GET http://8.8.8.8:8188/system_stats HTTP/1.1")
    proof = base64.b64encode(f"ann:{SECRET}".encode())
    assert b"Proxy-Authorization: Basic " + proof in raw.heads[0]
    assert open_transport(raw.url, None, QUICK).stats()
    assert raw.heads[1].startswith(b"GET /system_stats")
    for script in (echo, echo_as(b"407"), say(b"")):
        raw.script = script
        with pytest.raises(EngineError) as caught:
            open_transport("https://8.8.8.8", "token", QUICK).stats()
        assert raw.heads[-1].startswith(b"CONNECT 8.8.8.8:443") and b"token" not in raw.heads[-1]
        said = told(caught.value) + caplog.text
        assert SECRET not in said and proof.decode() not in said
    for odd in (f"socks5://u:{SECRET}@h", f"http://u:{SECRET}/x@h", "http://", "::"):
        monkeypatch.setenv("HTTP_PROXY", odd)
        with pytest.raises(EngineError) as caught:
            far.stats()
        assert SECRET not in told(caught.value)


@pytest.mark.parametrize("token", [f"{SECRET}\nX: y", f"{SECRET}\r", f"{SECRET}ü", f"{SECRET}\0"])
def test_a_token_that_no_header_holds_is_named_not_told(raw: Raw, token: str) -> None:
    raw.script = say(whole(b'{"system": {}}'))
    env = {"PYTOON_HOME": "/nowhere", "PYTOON_URL": raw.url, "PYTOON_TOKEN": token}
    made: list[tuple[str, Callable[[], object]]] = [
        ("PYTOON_COMFYUI_TOKEN", lambda: open_transport(raw.url, token, PATIENT)),
        ("PYTOON_REMOTE_TOKEN", lambda: Peer(raw.url, token, PeerTimeouts())),
        (
            "PYTOON_TOKEN",
            lambda: service_client.open_service_client(load_settings(env)).__enter__(),
        ),
    ]
    if token == f"{SECRET}\r":  # An end of line that a file adds is left out.
        assert open_transport(raw.url, token, PATIENT).stats()
        assert f"Bearer {SECRET}\r\n".encode() in raw.heads[0]
        return
    for setting, make in made:
        with pytest.raises(SettingsError, match=setting) as caught:
            make()
        assert SECRET not in told(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://ann:{SECRET}/x@h.test",
        f"http://ann:{SECRET}?x@h.test:80",
        "http://[::1",
        "http://",
        f"http://ann:{SECRET}#x@h.test",
        f"http://ann:x{SECRET}@h.test:99999",
        "http://xn--/",
        f"nonsense:{SECRET}@h",
        "http:\\\\h",
        "http://h:-1",
        "http://a b/",
        "\x00",
    ],
)
def test_an_address_of_a_setting_is_refused_by_name(url: str) -> None:
    env = {"PYTOON_HOME": "/nowhere", "PYTOON_URL": url}
    for setting, make in {
        "PYTOON_COMFYUI_URL": lambda: open_transport(url, None, PATIENT),
        "PYTOON_REMOTE_URL": lambda: Peer(url, None, PeerTimeouts()),
        "PYTOON_URL": lambda: service_client.open_service_client(load_settings(env)).__enter__(),
    }.items():
        with pytest.raises(UserError, match=setting) as caught:
            make()
        assert SECRET not in told(caught.value) and str(caught.value).isprintable()


@settings(deadline=None)
@given(_ADDRESSES | _ADDRESSES.map(lambda address: f"hosted+{address}"))
def test_any_address_of_a_setting_is_taken_or_refused_by_name(url: str) -> None:
    env = {"PYTOON_HOME": "/nowhere", "PYTOON_URL": url}
    for setting, make in {
        "PYTOON_COMFYUI_URL": lambda: open_transport(url, None, PATIENT),
        "PYTOON_REMOTE_URL": lambda: Peer(url, None, PeerTimeouts()),
        "PYTOON_URL": lambda: service_client.open_service_client(load_settings(env)).__enter__(),
        "PYTOON_MEDIA_HOSTS": lambda: AddressGuard([url]),
    }.items():
        try:
            make()
        except UserError as error:
            assert setting in str(error)


def test_no_secret_is_told_when_a_database_or_bucket_fails(
    raw: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pytoon_pipeline.errors import FetchRefusedError
    from pytoon_pipeline.intake import database
    from pytoon_pipeline.intake.ledger import Ledger
    from pytoon_pipeline.media.fetch import MediaFetcher

    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with nobody() as url:
        host = url.removeprefix("http://")
    said = ""
    for address in (
        f"postgresql://ann:{SECRET}@{host}/shop",
        f"postgresql://ann:{SECRET}@{host}/a?sslmode=odd",
        f"postgresql://ann:{SECRET}@{host}/shop?odd={SECRET}",
        f"postgresql://ann:{SECRET}/x@h/s",
        f"postgresql://ann@{host}/shop?password={SECRET}",
        f"postgresql://ann:{SECRET}@h:port/s",
    ):
        with pytest.raises(PytoonError) as caught:
            Ledger(address).begin().__enter__()
        said += told(caught.value)
    raw.script = echo
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "x",
        "AWS_SESSION_TOKEN": SECRET,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for endpoint in (f"http://ann:{SECRET}@{host}", f"http://ann:{SECRET}/x@h", raw.url):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(FetchRefusedError) as refused:
            MediaFetcher(tmp_path / "cache", buckets=["shop"]).fetch("s3://shop/a.png")
        said += told(refused.value)
    assert SECRET not in said and SECRET not in caplog.text
