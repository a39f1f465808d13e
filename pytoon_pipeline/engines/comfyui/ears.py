"""What a server tells of a run while it runs. It makes waiting quicker and shows progress; nothing
depends on it: messages get lost, and a socket may stay open and silent for good."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pytoon_pipeline.engines.comfyui.transport import Transport
from pytoon_pipeline.errors import EngineError

log = logging.getLogger("pytoon.comfyui")

_TRY_AGAIN = 5.0
"""Seconds between two tries to open the socket."""
_AT_ONCE = 200
"""Messages taken in before the caller has a look at them."""


class Ears:
    """The socket of one prompt."""

    def __init__(
        self,
        transport: Transport,
        client_id: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ):
        self._transport, self._client = transport, client_id
        self._clock, self._sleep = clock, sleep
        self._socket: Any = None
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
        except (EngineError, OSError, ValueError) as error:
            log.debug("%s: no socket: %s", self._transport.name, error)
        except Exception as error:  # websocket-client has a family of its own
            log.debug("%s: no socket: %s", self._transport.name, error)
        else:
            self.opened = self._clock()

    def close(self) -> None:
        socket, self._socket, self.opened = self._socket, None, None
        if socket is not None:
            with suppress(Exception):
                socket.close(timeout=1)

    def listen(self, seconds: float) -> list[dict[str, Any]]:
        """Messages, as soon as there are any; waits no longer than this."""
        if self._socket is None and self._clock() >= self._next_try:
            self.open()
        if self._socket is None:
            self._sleep(seconds)
            return []
        import websocket

        found: list[dict[str, Any]] = []
        wait = max(0.01, seconds)
        try:
            while len(found) < _AT_ONCE:
                self._socket.settimeout(wait)
                code, data = self._socket.recv_data()
                if code == websocket.ABNF.OPCODE_TEXT:  # what is binary are previews
                    found.append(json.loads(data))
                    wait = 0.01
        except websocket.WebSocketTimeoutException:
            pass
        except Exception as error:
            log.debug("%s: the socket broke: %s", self._transport.name, error)
            self.close()
        return [m for m in found if isinstance(m, dict) and isinstance(m.get("data"), dict)]
