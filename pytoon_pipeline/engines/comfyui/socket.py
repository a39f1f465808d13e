"""A websocket that is listened to, within bounds: the connection is one of `media.client`, what
comes over it is read by the protocol of the library `websockets`."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import time
from contextlib import ExitStack, suppress
from typing import Any

import httpcore
import httpx
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

_MOST_BYTES = 16 << 20
"""Of a message, all its frames together. Previews of pictures are some megabytes."""
_READ = 1 << 16
_ANSWER_SECONDS = 5.0
"""To send what the protocol wants sent: answers to pings, the word of closing."""
_ID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 4.2.2

# It writes what every frame holds.
_log = logging.getLogger("pytoon.comfyui.frames")
_log.setLevel(logging.WARNING)


class SocketLost(Exception):
    """There is no websocket, or it is one no more."""


class Socket:
    """Opened by a GET of `client`; raises SocketLost where the server opens none, FetchRefused and
    httpx's errors where it can't be reached."""

    def __init__(self, client: httpx.Client, path: str, params: dict[str, str], seconds: float):
        key = base64.b64encode(os.urandom(16))
        headers = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key.decode(),
        }  # fmt: skip
        with ExitStack() as stack:
            answer = stack.enter_context(
                client.stream(
                    "GET", path, params=params, headers=headers, extensions={"whole": seconds}
                )
            )
            if answer.status_code != 101:
                raise SocketLost(f"it answers {answer.status_code}, not with a websocket")
            accepted = base64.b64encode(hashlib.sha1(key + _ID).digest()).decode()
            if answer.headers.get("sec-websocket-accept") != accepted:
                raise SocketLost("it does not answer as a websocket does")
            self._stream: Any = answer.extensions["network_stream"]
            self._open = stack.pop_all()
        self._protocol = Protocol(CLIENT, state=OPEN, max_size=_MOST_BYTES, logger=_log)
        self._begun: bytearray | None = None
        """Of a text whose last frame has not come; None while there is none."""

    def receive(self, seconds: float) -> list[bytes]:
        """Texts, as soon as there are any; waits no longer than this. Raises SocketLost."""
        until = time.monotonic() + seconds
        texts: list[bytes] = []
        while not texts:
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                data = self._stream.read(_READ, timeout=left)
            except httpcore.TimeoutException:
                break
            except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                raise SocketLost(str(error)) from error
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            texts = self._texts()
            self._answer()
            if not data or self._protocol.close_expected():
                if texts:
                    break  # The next call finds it closed.
                raise SocketLost(str(self._protocol.parser_exc or "the server closed it"))
        return texts

    def _texts(self) -> list[bytes]:
        found = []
        for frame in self._protocol.events_received():
            if frame.opcode is Opcode.TEXT:
                self._begun = bytearray(frame.data)
            elif frame.opcode is Opcode.CONT and self._begun is not None:
                self._begun += frame.data
            elif frame.opcode is Opcode.BINARY:
                self._begun = None  # Previews.
            else:
                continue  # Pings and the like come between the frames of a message.
            if frame.fin and self._begun is not None:
                found.append(bytes(self._begun))
                self._begun = None
        return found

    def _answer(self) -> None:
        """Send what the protocol wants sent."""
        try:
            for data in self._protocol.data_to_send():
                if data:
                    self._stream.write(data, timeout=_ANSWER_SECONDS)
        except (httpcore.TimeoutException, httpcore.NetworkError, OSError) as error:
            raise SocketLost(str(error)) from error

    def close(self) -> None:
        with suppress(Exception):
            self._protocol.send_close(1000)
            self._answer()
        with suppress(Exception):
            self._open.close()
