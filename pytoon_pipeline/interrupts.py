"""Ctrl-C while several threads work under somebody else's signal handlers."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator


class InterruptFlag:
    """Knows whether the process was asked to stop (SIGINT, SIGTERM) while the block runs.

    Dagster replaces the handlers of both during a run and raises in the main thread alone. The
    wakeup descriptor is told of signals whatever their handlers are, and can be asked from the
    threads that render.
    """

    def __init__(self) -> None:
        self._seen = False
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._before = -1

    def __enter__(self) -> InterruptFlag:
        self._seen = False  # A worker's process has one run after another.
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._ends = reader, writer
        with contextlib.suppress(ValueError):  # Outside the main thread there are no signals.
            self._before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(self._before)
        ends, self._ends = self._ends, None
        for end in ends or ():
            end.close()

    def seen(self) -> bool:
        if not self._seen and self._ends is not None:
            with contextlib.suppress(BlockingIOError):
                came = self._ends[0].recv(4096)
                self._seen = any(number in (signal.SIGINT, signal.SIGTERM) for number in came)
        return self._seen

    def heed(self) -> None:
        """KeyboardInterrupt when the process was asked to stop."""
        if self.seen():
            raise KeyboardInterrupt


_sign = InterruptFlag()
"""The process's own, for work that has no other."""


@contextlib.contextmanager
def watch_interrupts() -> Iterator[None]:
    """The process heeds signals while the block runs, wherever `raise_if_interrupted` is called."""
    with _sign:
        yield


def raise_if_interrupted() -> None:
    """KeyboardInterrupt when the process was asked to stop, inside `watch_interrupts`."""
    _sign.heed()
