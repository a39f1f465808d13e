"""Peers that could not be reached are left alone for a while."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from pathlib import Path


class CircuitBreaker:
    """When each peer was lost last: known to all of this process, and by a small file for each to
    all processes that were given the same folder.

    Times are seconds since 1970, because processes share them. A clock that is set back ends a
    break early, never late.
    """

    _lost: dict[str, float] = {}
    _lock = threading.Lock()

    def __init__(self, folder: Path | None, seconds: float):
        self.folder, self.seconds = folder, seconds

    def lost_at(self, url: str) -> float:
        """When it was lost last, 0 for never since it was reached."""
        with self._lock:
            own = self._lost.get(url, 0.0)
        if self.folder is None:
            return own
        try:
            return max(own, self._state_file(url).stat().st_mtime)
        except OSError:
            return own

    def left(self, url: str) -> float:
        """Seconds that it is still left alone; 0 when it may be asked."""
        passed = time.time() - self.lost_at(url)
        return max(0.0, self.seconds - passed) if passed >= 0 else 0.0

    def lost(self, url: str) -> None:
        with self._lock:
            self._lost[url] = time.time()
        if self.folder is not None:
            with contextlib.suppress(OSError):  # Then the other processes find out themselves.
                self.folder.mkdir(parents=True, exist_ok=True)
                self._state_file(url).touch()

    def reached(self, url: str) -> None:
        if not self.lost_at(url):
            return
        with self._lock:
            self._lost.pop(url, None)
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self._state_file(url).unlink()

    def _state_file(self, url: str) -> Path:
        assert self.folder is not None
        return self.folder / f"lost-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
