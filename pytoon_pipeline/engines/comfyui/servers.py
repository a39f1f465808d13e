"""Several servers behind one engine: one prompt at a time each, the least busy first, and one that
failed is left alone for a while by all processes of this install."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pytoon_pipeline.engines.base import Progress
from pytoon_pipeline.engines.comfyui.errors import NoAnswerError, PromptStalledError
from pytoon_pipeline.engines.comfyui.transport import ComfyTransport, TransportLimits
from pytoon_pipeline.errors import EngineError, EngineUnavailableError
from pytoon_pipeline.locks import PAUSE, try_lock


class ComfyServer:
    """A server, its lock and its rest."""

    def __init__(self, transport: ComfyTransport, url: str, folder: Path, limits: TransportLimits):
        self.transport = transport
        self._limits = limits
        mark = hashlib.sha256(url.encode()).hexdigest()[:16]
        self.lock = folder / f"{mark}.lock"
        self._note = folder / f"{mark}.rest"

    @property
    def name(self) -> str:
        return self.transport.name

    def resting_reason(self) -> str | None:
        """Why it is not asked now; None where it may be."""
        try:
            note = json.loads(self._note.read_text())
            left = float(note["until"]) - time.time()
            reason = str(note["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        # A clock that was set back must not keep a server out for days.
        if not 0 < left <= max(self._limits.rest_seconds, self._limits.stall_rest_seconds):
            return None
        return f"{reason} It is asked again in {left:.0f} s."

    def rest_after_error(self, error: EngineError) -> None:
        """It failed: nobody asks it for a while."""
        stalled = isinstance(error, PromptStalledError)
        seconds = self._limits.stall_rest_seconds if stalled else self._limits.rest_seconds
        note = json.dumps({"until": time.time() + seconds, "reason": str(error)})
        self._note.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=self._note.parent)
        with open(handle, "w") as file:
            file.write(note)
        os.replace(temporary, self._note)

    def clear_rest(self) -> None:
        """It did its work."""
        with suppress(OSError):
            self._note.unlink(missing_ok=True)


@contextmanager
def one_of(
    servers: Sequence[ComfyServer], progress: Progress, sleep: Callable[[float], None]
) -> Iterator[ComfyServer]:
    """The least busy of the servers that may be asked, held for this caller alone; waits while all
    are held by others. Raises EngineUnavailableError, with each one's reason, when none may be
    asked."""
    while True:
        progress(0)
        why = {server.name: server.resting_reason() for server in servers}
        awake = [server for server in servers if why[server.name] is None]
        if not awake:
            raise EngineUnavailableError("\n".join(reason for reason in why.values() if reason))
        mine: list[tuple[ComfyServer, TextIO]] = []
        try:
            for server in awake:
                file = try_lock(server.lock)
                if file is not None:
                    mine.append((server, file))
            chosen = _least_busy([server for server, _ in mine])
            if chosen is not None:
                for other, file in mine:
                    if other is not chosen:
                        file.close()
                yield chosen
                return
        finally:
            for _, file in mine:
                file.close()
        sleep(PAUSE)


def _least_busy(servers: list[ComfyServer]) -> ComfyServer | None:
    if len(servers) < 2:
        return servers[0] if servers else None
    queues: list[tuple[int, int]] = []
    for place, server in enumerate(servers):
        try:
            queues.append((server.transport.waiting(), place))
        except NoAnswerError as error:
            server.rest_after_error(error)
        except EngineError:
            queues.append((0, place))  # whoever asks it next says what is wrong
    return servers[min(queues)[1]] if queues else None
