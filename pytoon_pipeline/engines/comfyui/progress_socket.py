"""What a server tells of a run while it runs. It makes waiting quicker and shows progress; nothing
depends on it: messages get lost, and a socket may stay open and silent for good."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pytoon_pipeline.engines.comfyui.socket import BoundedSocket, SocketLostError
from pytoon_pipeline.engines.comfyui.transport import ComfyTransport
from pytoon_pipeline.errors import EngineError
from pytoon_pipeline.media.answers import parse_document

log = logging.getLogger("pytoon.comfyui")

_TRY_AGAIN = 5.0
"""Seconds between two tries to open the socket."""


class ProgressSocket:
    """The socket of one prompt."""

    def __init__(
        self,
        transport: ComfyTransport,
        client_id: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ):
        self._transport, self._client = transport, client_id
        self._clock, self._sleep = clock, sleep
        self._socket: BoundedSocket | None = None
        self._next_try = clock()
        self.opened: float | None = None
        """When the socket was opened; None while there is none."""

    def open(self) -> None:
        """Try to; a failure is no failure. The server must have closed an older socket first: it
        takes the end of that one for the end of this."""
        self.close()
        self._next_try = self._clock() + _TRY_AGAIN
        try:
            self._socket = self._transport.open_socket(self._client)
        except (EngineError, SocketLostError) as error:
            log.debug("%s: no socket: %s", self._transport.name, error)
        else:
            self.opened = self._clock()

    def close(self) -> None:
        socket, self._socket, self.opened = self._socket, None, None
        if socket is not None:
            socket.close()

    def listen(self, seconds: float) -> list[dict[str, Any]]:
        """Messages, as soon as there are any; waits no longer than this."""
        if self._socket is None and self._clock() >= self._next_try:
            self.open()
        if self._socket is None:
            self._sleep(seconds)
            return []
        found: list[Any] = []
        try:
            for text in self._socket.receive(max(0.01, seconds)):
                with suppress(ValueError):  # What is no JSON tells nothing.
                    found.append(parse_document(text))
        except SocketLostError as error:
            log.debug("%s: the socket broke: %s", self._transport.name, error)
            self.close()
        return [m for m in found if isinstance(m, dict) and isinstance(m.get("data"), dict)]
