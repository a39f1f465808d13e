"""A websocket that is listened to, within bounds: the connection is one of `media.client`, what
comes over it is read by the frames of the library `websocket-client`, whose own connection knows no
bound on headers and frames and takes the token along to where a server redirects it."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from contextlib import ExitStack, suppress
from typing import Any

import httpcore
import httpx
from websocket import ABNF, WebSocketException, frame_buffer

_MAX_BYTES = 16 << 20
"""Of a message, all its frames together. Previews of pictures are some megabytes."""
_READ = 1 << 16
_ANSWER_SECONDS = 5.0
"""To send what the protocol wants sent: answers to pings, the word of closing; beyond the time to
receive, for all of them together."""
_ID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 4.2.2
_DATA = (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY)


class SocketLostError(Exception):
    """There is no websocket, or it is one no more."""


class _NoDataYetError(Exception):
    """There are no bytes, and the time to wait for some is over."""


class _BoundedBytes:
    """What a connection sends, as frames ask for it: in any number, until a time."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._data = memoryview(b"")
        self.until = 0.0
        """Time (time.monotonic()) until which bytes are waited for."""

    def take(self, most: int) -> bytes:
        """At least one byte. Raises _NoDataYetError, which loses nothing, and SocketLostError."""
        if not self._data:
            left = self.until - time.monotonic()
            if left <= 0:
                raise _NoDataYetError
            try:
                self._data = memoryview(self._stream.read(_READ, timeout=left))
            except httpcore.TimeoutException:
                raise _NoDataYetError from None
            except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                raise SocketLostError(str(error)) from error
            if not self._data:
                raise SocketLostError("the server closed it")
        taken, self._data = self._data[:most], self._data[most:]
        return bytes(taken)


class _FrameReader(frame_buffer):
    """Frames, none of which is read whose message would grow too long."""

    def __init__(self, source: _BoundedBytes):
        super().__init__(source.take, skip_utf8_validation=True)
        self.message = 0
        """Bytes of the frames of a message that has not ended."""
        self._pending = bytearray()

    def recv_header(self) -> None:
        super().recv_header()
        if self.has_mask():  # RFC 6455, 5.1
            raise SocketLostError("a server's frame has a mask")

    def recv_length(self) -> None:
        super().recv_length()
        assert self.header is not None and self.length is not None
        if self.header[_OPCODE] >= ABNF.OPCODE_CLOSE:
            if self.length > 125 or not self.header[0]:  # RFC 6455, 5.5
                raise SocketLostError("a control frame is too long, or in parts")
        elif self.message + self.length > _MAX_BYTES:
            raise SocketLostError(f"a message exceeds {_MAX_BYTES >> 20} MB")

    def recv_strict(self, bufsize: int) -> bytes:
        """So many bytes, kept as one text while they come: the library keeps each piece, and pieces
        of a byte take sixty times their length."""
        while len(self._pending) < bufsize:
            self._pending += self.recv(bufsize - len(self._pending))
        found, self._pending = bytes(self._pending), bytearray()
        return found


_OPCODE = 4
"""Its place in `frame_buffer.header`, after `fin` and three reserved bits."""
_BOUNDED_BY = ("recv_header", "recv_length", "recv_strict")
if not all(hasattr(frame_buffer, name) for name in _BOUNDED_BY):
    raise ImportError(
        "websocket-client reads frames in another way, and nothing would bound them. Install the "
        "version that constraints.txt names."
    )


class BoundedSocket:
    """Opened by a GET of `client`; raises SocketLostError where the server opens none,
    FetchRefusedError and httpx's errors where it can't be reached."""

    def __init__(self, client: httpx.Client, path: str, params: dict[str, str], seconds: float):
        key = base64.b64encode(os.urandom(16))
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key.decode(),
        }
        with ExitStack() as stack:
            answer = stack.enter_context(
                client.stream(
                    "GET", path, params=params, headers=headers, extensions={"whole": seconds}
                )
            )
            if answer.status_code != 101:
                raise SocketLostError(f"it answers {answer.status_code}, not with a websocket")
            accepted = base64.b64encode(hashlib.sha1(key + _ID).digest()).decode()
            if answer.headers.get("sec-websocket-accept") != accepted:
                raise SocketLostError("it does not answer as a websocket does")
            self.listen(answer.extensions["network_stream"])
            self._open = stack.pop_all()

    def listen(self, stream: Any) -> None:
        """Begin with what comes over a connection, as httpcore has it."""
        self._stream = stream
        self._bytes = _BoundedBytes(stream)
        self._frames = _FrameReader(self._bytes)
        self._begun: int | None = None
        """Kind of a message whose last frame has not come; None while there is none."""
        self._text = bytearray()
        self._closed = False
        self._answer_until = 0.0
        """Time until which all answers of one call have to be sent."""

    def receive(self, seconds: float) -> list[bytes]:
        """Texts, as soon as there are any; waits no longer than this, and a moment where answers
        have to be sent. Raises SocketLostError."""
        self._bytes.until = time.monotonic() + seconds
        self._answer_until = self._bytes.until + _ANSWER_SECONDS
        texts: list[bytes] = []
        while not self._closed:
            try:
                frame = self._frames.recv_frame()
                text = self._take_frame(frame)
            except _NoDataYetError:
                return texts
            except (SocketLostError, WebSocketException) as error:
                self._closed = True
                if texts:
                    return texts  # The next call finds it closed.
                raise SocketLostError(str(error)) from error
            if text is not None:
                texts.append(text)
                self._bytes.until = 0.0  # What has come already is read as well.
        if texts:
            return texts
        raise SocketLostError("the server closed it")

    def _take_frame(self, frame: ABNF) -> bytes | None:
        """A text that is whole with this frame."""
        data = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
        if frame.opcode == ABNF.OPCODE_PING:
            self._send_frame(data, ABNF.OPCODE_PONG)
        elif frame.opcode == ABNF.OPCODE_CLOSE:
            self._closed = True
        if frame.opcode not in (*_DATA, ABNF.OPCODE_CONT):
            return None  # Such frames come between those of a message.
        if (frame.opcode == ABNF.OPCODE_CONT) == (self._begun is None):
            raise SocketLostError("its frames are out of order")
        if self._begun is None:
            self._begun, self._text = frame.opcode, bytearray()
        self._frames.message += len(data)
        if self._begun == ABNF.OPCODE_TEXT:  # The others are previews.
            self._text += data
        if not frame.fin:
            return None
        begun, self._begun, self._frames.message = self._begun, None, 0
        return bytes(self._text) if begun == ABNF.OPCODE_TEXT else None

    def _send_frame(self, data: bytes, opcode: int) -> None:
        try:
            frame = ABNF.create_frame(data, opcode).format()
            left = self._answer_until - time.monotonic()
            if left <= 0:
                raise SocketLostError("it does not take what it asks for")
            self._stream.write(frame, timeout=left)
        except (httpcore.TimeoutException, httpcore.NetworkError, OSError) as error:
            raise SocketLostError(str(error)) from error

    def close(self) -> None:
        self._answer_until = time.monotonic() + _ANSWER_SECONDS
        with suppress(Exception):
            self._send_frame((1000).to_bytes(2, "big"), ABNF.OPCODE_CLOSE)
        with suppress(Exception):
            self._open.close()
