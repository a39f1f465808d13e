"""Bounds on what a caller may leave unfinished: how long, how slow, how many connections.

uvicorn bounds none of these itself. Each connection is looked at once a second: what does it wait
for, and how long has it done so? One that waits for its caller for too long is closed. Where all
places are taken, a new connection takes the place of the oldest one that has not sent a whole head;
so many unfinished requests keep nobody else out.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import json
import socket
import struct
import sys
import termios
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

Phase = Literal["head", "idle", "body", "drain", "answer", "work"]


@dataclass(frozen=True)
class ConnectionBounds:
    """What a server allows its callers. Described in docs/api.md."""

    connections: int = 1000
    per_address: int = 250
    """Of one IPv4 address, or of one /64 of IPv6."""
    head_bytes: int = 64 * 1024
    head_seconds: float = 10.0
    """From the connection, or from the first byte of a further request, to the end of its head."""
    idle_seconds: float = 5.0
    """Between two requests on one connection."""
    drain_seconds: float = 5.0
    """For the rest of a body that was answered before it was whole."""
    window_seconds: float = 60.0
    slowest: int = 1024
    """Bytes per second, of a body and of an answer, on the average of each window."""
    whole_seconds: float = 4 * 3600.0
    """For a whole body, and for a whole answer."""
    backlog: int = 128
    """Connections that the system holds until they are accepted."""
    look_seconds: float = 1.0
    """Between two looks at all connections."""

    def within_descriptors(self, descriptors: int) -> ConnectionBounds:
        """The same, with no more connections than fit into so many file descriptors: each may need
        three (itself, a file that is read, one that is written), and the server some of its own."""
        backlog = min(self.backlog, max(8, descriptors // 8))
        places = max(8, (descriptors - 64 - backlog) // 3)
        return replace(
            self,
            connections=min(self.connections, places),
            per_address=min(self.per_address, max(4, places * 3 // 4)),
            backlog=backlog,
        )


def protocol_of(bounds: ConnectionBounds) -> Callable[..., asyncio.Protocol]:
    """What uvicorn takes as `http`: makes the protocol of each connection of one server."""
    return partial(BoundedProtocol, gate=ConnectionGate(bounds))


class ConnectionGate:
    """All connections of a server."""

    def __init__(self, bounds: ConnectionBounds):
        self.bounds = bounds
        self._open: dict[BoundedProtocol, str] = {}
        """Connection -> whose it is; the oldest first."""
        self._looking: asyncio.TimerHandle | None = None

    def admit_connection(self, new: BoundedProtocol) -> bool:
        """Take a new connection in, in place of an unfinished one where need be. False where all
        places are taken by requests that are at work."""
        address, owners = _client_owner(new.client), Counter(self._open.values())
        if owners[address] >= self.bounds.per_address and not self._give_up_oldest(address):
            return False
        if len(self._open) >= self.bounds.connections and not any(
            # Of whoever has the most first, so that nobody's many keep out another's one.
            self._give_up_oldest(owner)
            for owner, _ in owners.most_common()
        ):
            return False
        self._open[new] = address
        if self._looking is None:
            self._look_later(new.loop)
        return True

    def leave(self, gone: BoundedProtocol) -> None:
        self._open.pop(gone, None)

    def _give_up_oldest(self, owner: str) -> bool:
        """Close the oldest connection of an address that waits for its caller, if one does."""
        for connection, whose in self._open.items():
            if whose == owner and connection.may_be_closed:
                connection.transport.abort()
                self.leave(connection)
                return True
        return False

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looking = loop.call_later(
            self.bounds.look_seconds, self._check_connections, loop, loop.time()
        )

    def _check_connections(self, loop: asyncio.AbstractEventLoop, before: float) -> None:
        # A loop that was held up (a machine that slept) has not let callers send anything.
        passed = min(loop.time() - before, 2 * self.bounds.look_seconds)
        for connection in list(self._open):
            connection.look(passed)
        self._looking = None
        if self._open:
            self._look_later(loop)


def _client_owner(client: tuple[str, int] | None) -> str:
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0] if client else "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class BoundedProtocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, gate: ConnectionGate, **more: Any):
        super().__init__(*args, **more)
        self._gate, self._bounds = gate, gate.bounds
        self._request: object = None
        """What tells one request of this connection from the next."""
        self._spent: Counter[Phase] = Counter()
        """Seconds that this request has spent in each phase."""
        self._window: dict[Phase, tuple[float, int]] = {}
        """Seconds spent when the window began -> bytes moved until then."""
        self._received = self._drained = self._unsent = 0

    # What uvicorn and the loop call.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._gate.admit_connection(self):
            self.refuse(503, "server.full", "All connections are taken.", "Ask again later.")

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._received += len(data)
        super().data_received(data)

    def resume_writing(self) -> None:
        # From above the high mark of the buffer, 64 KiB, to below the low one, 16 KiB.
        self._drained += 48 * 1024
        super().resume_writing()

    def _should_upgrade(self) -> bool:
        return False  # There are no websockets; other protocols may be passed over.

    def send_400_response(self, msg: str) -> None:
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            self.refuse(
                431,
                "head.too_large",
                f"The head is over {self._bounds.head_bytes} bytes.",
                "Send fewer or shorter headers.",
            )
        else:
            self.refuse(400, "request.malformed", "This is no HTTP request.", "Correct it.")

    # Bounds.

    @property
    def phase(self) -> Phase:
        """What this connection waits for."""
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            return "answer"
        theirs, ended = self.conn.their_state, self.cycle is None or self.cycle.response_complete
        if theirs is h11.SEND_BODY:
            return "drain" if ended else "body"
        if theirs is h11.IDLE and ended:
            return "head" if self.cycle is None or self.conn.trailing_data[0] else "idle"
        return "drain" if ended else "work"

    @property
    def may_be_closed(self) -> bool:
        """May it be closed where its place is needed? Nothing of it is at work."""
        return self.phase in ("head", "idle", "drain") or self.transport.is_closing()

    def look(self, passed: float) -> None:
        """Called again and again, with the seconds that have passed since."""
        if self._request is not self.cycle:
            self._request = self.cycle
            self._spent.clear()
            self._window.clear()
        unsent = self._unsent_bytes()
        self._drained += max(0, self._unsent - unsent)
        self._unsent = unsent
        phase, bounds = self.phase, self._bounds
        if phase == "body" and (self.flow.read_paused or self.cycle.waiting_for_100_continue):
            return  # It is we who let it wait.
        self._spent[phase] += passed  # type: ignore[assignment]
        spent = self._spent[phase]
        limit = {
            "head": bounds.head_seconds,
            "idle": bounds.idle_seconds,
            "drain": bounds.drain_seconds,
        }.get(phase)
        if limit is not None:
            if spent > limit:
                self._end_connection(phase)
        elif phase in ("body", "answer"):
            moved = self._received if phase == "body" else self._drained
            began, before = self._window.setdefault(phase, (spent - passed, moved))
            if spent > bounds.whole_seconds:
                self._end_connection(phase)
            elif spent - began > bounds.window_seconds:
                if moved - before < (spent - began) * bounds.slowest:
                    self._end_connection(phase)
                self._window[phase] = (spent, moved)

    def _unsent_bytes(self) -> int:
        """Bytes that the caller has not taken, those that the system holds included: it asks for
        more in large steps, between which a slow caller would seem to take nothing."""
        held = 0
        if sys.platform == "linux" and not self.transport.is_closing():
            with suppress(OSError, AttributeError):
                number = self.transport.get_extra_info("socket").fileno()
                answer = fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4))
                held = int.from_bytes(answer, sys.byteorder)
        return held + self.transport.get_write_buffer_size()

    def _end_connection(self, phase: Phase) -> None:
        if phase in ("head", "body"):
            what = {"head": "The head", "body": "The body"}[phase]
            self.refuse(408, f"{phase}.slow", f"{what} came too slowly.", "Send it again.")
        elif phase == "idle":
            self.transport.close()
        else:
            if phase == "answer":  # What the system still holds of it is thrown away, too.
                with suppress(OSError, AttributeError):
                    self.transport.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
            self.transport.abort()

    def refuse(self, status: int, code: str, message: str, remedy: str) -> None:
        """Answer in the place of the app, where there is an answer to give still, and close."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        error = {"code": code, "message": message, "remedy": remedy}
        body = json.dumps({"error": error, "problems": []}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
            *([("Retry-After", "5")] if status == 503 else []),
        ]
        events = (
            h11.Response(status_code=status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
