"""One segment, brought back from one of several peers."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.engines.base import FinishedSegment, Media
from pytoon_pipeline.engines.remote.circuit_breaker import CircuitBreaker
from pytoon_pipeline.engines.remote.peer import (
    MissingMediaError,
    Peer,
    PeerError,
    PeerFullError,
    PeerLostError,
    UnknownSegmentError,
    quote_answer,
)
from pytoon_pipeline.engines.remote.segment_check import check_segment
from pytoon_pipeline.errors import (
    EngineError,
    EngineFailedError,
    EngineTimeoutError,
    EngineUnavailableError,
)
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment_jobs import SegmentJob

T = TypeVar("T")
_CHUNK = 256 * 1024
_RETRIES = 5
"""Times in a row that a peer which was reached is tried again, 15 s in all."""
_LONGEST_PAUSE = 60.0
_ANEW = 3
"""Times that a peer may forget a segment before it is left."""


class PeerStalledError(EngineTimeoutError):
    """A peer works, or says so, and nothing comes of it."""


class MediaSending:
    """Media on their way: two segments with the same picture must not send it twice."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._own = threading.Lock()

    def sending_lock(self, peer: str, key: str) -> threading.Lock:
        with self._own:
            return self._locks.setdefault((peer, key), threading.Lock())


class RemoteJob:
    """The way of one segment job to a peer and back. `run` goes it; `end`, from another thread,
    breaks it off and tells the peer."""

    def __init__(
        self,
        job: SegmentJob,
        media: Media,
        look: dict[str, Any],
        target: Path,
        breaker: CircuitBreaker,
        sending: MediaSending,
        tell: Callable[[int], None],
    ):
        self._job, self._media, self._look, self._target = job, media, look, target
        self._breaker, self._sending, self._tell = breaker, sending, tell
        said = {"job": job.model_dump(mode="json"), "version": RENDERER_VERSION, "look": look}
        self._request = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        self._asker = secrets.token_hex(8)
        self._told = 0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._begun: tuple[Peer, str] | None = None

    def end(self) -> None:
        self._stop.set()
        self._cancel_at_peers()

    def run(self, peers: list[Peer]) -> FinishedSegment:
        """The segment, checked. Raises EngineUnavailableError when no peer can be reached or will
        do it, EngineTimeoutError, or EngineFailedError when one tried and failed."""
        until = time.monotonic() + (peers[0].timeouts.whole if peers else 0)
        reasons: dict[str, str] = {}
        failed: list[EngineError] = []
        while True:
            pauses = []
            for peer in peers:
                if peer.shown in reasons:
                    continue
                left = self._breaker.left(peer.url)
                if left:
                    reasons[peer.shown] = (
                        f"it could not be reached and is left alone for {left:.0f} s more"
                    )
                    continue
                try:
                    return self._run_with_peer(peer, until)
                except PeerFullError as full:
                    pauses.append(full.seconds)
                except PeerError as error:
                    reasons[peer.shown] = str(error)
                except (EngineFailedError, PeerStalledError) as error:
                    # Disks fill up and GPUs fall over: another may still manage.
                    failed.append(error)
                    reasons[peer.shown] = str(error)
                finally:
                    self._cancel_at_peers()
            if not pauses:
                if len(failed) == len(reasons) == 1:
                    raise failed[0]
                said = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
                if failed:
                    raise EngineFailedError(said)
                raise EngineUnavailableError(
                    said or "no peer is set up: PYTOON_REMOTE_URL is empty"
                )
            self._pause_until(min(pauses), until)

    def _run_with_peer(self, peer: Peer, until: float) -> FinishedSegment:
        """By one peer. Raises PeerError where another may be asked."""
        for _ in range(_ANEW):
            try:
                work = self._begin_segment(peer, until)
                self._breaker.reached(peer.url)
                said = self._follow_segment(peer, work, until)
                self._take_file(peer, work, said, until)
            except UnknownSegmentError:
                continue
            with self._lock:
                self._begun = None
            self._report_frames(self._job.count)
            made = f"made by {peer.shown} with {quote_answer(str(said.get('engine')), 40)}"
            return FinishedSegment(self._target, (made,))
        raise PeerLostError(f"it forgot the segment {_ANEW} times")

    # Steps --------------------------------------------------------------------------------------

    def _begin_segment(self, peer: Peer, until: float) -> str:
        """Asks for the segment, and sends what media the peer lacks. Its name there."""
        for _ in range(2):
            try:
                said = self._retry_step(peer, lambda: peer.begin(self._request, self._asker), until)
                break
            except MissingMediaError as lacks:
                for asset in self._job.all_assets:
                    if asset.sha256 + asset.suffix in lacks.keys:
                        self._send_asset(peer, asset, until)
        else:
            raise PeerLostError("it lacks media that were just sent")
        work = str(said.get("id", ""))
        if len(work) != 64 or not work.isalnum():
            raise PeerLostError("it does not answer as a `pytoon serve --segments` does")
        with self._lock:
            self._begun = (peer, work)
        self._raise_if_ended()
        return work

    def _send_asset(self, peer: Peer, asset: Asset, until: float) -> None:
        path = self._media[asset.id]

        def iterate_pieces() -> Iterator[bytes]:
            with open(path, "rb") as file:
                while piece := file.read(_CHUNK):
                    self._raise_if_ended()
                    yield piece

        def send_content() -> None:
            if not peer.has(asset.sha256, asset.suffix):
                peer.send(asset.sha256, asset.suffix, iterate_pieces(), path.stat().st_size)

        with self._sending.sending_lock(peer.url, asset.key):
            self._retry_step(peer, send_content, until)

    def _follow_segment(self, peer: Peer, work: str, until: float) -> dict[str, Any]:
        """What the peer says of the segment once it is completed."""
        signs, since = None, time.monotonic()
        while True:
            said = self._retry_step(peer, lambda: peer.look(work), until)
            state = said.get("state")
            frames = said.get("frames")
            self._report_frames(frames if isinstance(frames, int) else 0)
            if state == "completed":
                return said
            if state == "failed":
                tail = said.get("log_tail")
                why = quote_answer(str(said.get("error") or "it does not say why"))
                # What may pass was tried again over there.
                raise EngineFailedError(why, str(tail)[-4000:] if tail else "")
            if said.get("signs") != signs or state == "pending":
                signs, since = said.get("signs"), time.monotonic()
            elif time.monotonic() - since > peer.timeouts.stall:
                raise PeerStalledError(f"no sign of life for {peer.timeouts.stall:.0f} s")
            self._pause_until(peer.timeouts.poll, until)

    def _take_file(self, peer: Peer, work: str, said: dict[str, Any], until: float) -> None:
        """The finished file, taken up where it broke when the connection is lost, and checked."""
        size, digest = said.get("bytes"), said.get("sha256")
        if not isinstance(size, int) or not 0 < size < 2**31 or not isinstance(digest, str):
            raise EngineFailedError("it does not say what its segment file is")
        part = self._target.with_name(f".{self._target.name}.part")
        try:
            for _ in range(2):
                part.unlink(missing_ok=True)
                self._download_file(peer, work, part, size, until)
                with open(part, "rb") as file:
                    same = hashlib.file_digest(file, "sha256").hexdigest() == digest
                if same:
                    check_segment(part, self._job, self._look.get("x264", {}))
                    os.replace(part, self._target)
                    return
        finally:
            part.unlink(missing_ok=True)
        raise EngineFailedError("it sent another file than it said (SHA-256 differs), twice")

    def _download_file(self, peer: Peer, work: str, part: Path, size: int, until: float) -> None:
        etag = ""

        def download_rest() -> None:
            nonlocal etag
            first = part.stat().st_size if part.exists() and etag else 0
            with peer.file(work, first, etag) as answer:
                ranged = answer.status_code == 206
                if ranged:
                    begins = answer.headers.get("content-range", "").startswith(f"bytes {first}-")
                    if not first or not begins:
                        raise PeerLostError("it sent another part of the file than was asked for")
                etag = answer.headers.get("etag", "")
                etag = etag if etag.isascii() and etag.isprintable() else ""
                with open(part, "ab" if ranged else "wb") as file:
                    # As they come: what waits for a full chunk is lost with the connection.
                    for piece in answer.iter_raw():
                        self._raise_if_ended()
                        if time.monotonic() > until:
                            raise EngineTimeoutError(
                                "no peer had it done within the time for a segment"
                            )
                        if file.tell() + len(piece) > size:
                            raise EngineFailedError("it sent more than it said")
                        file.write(piece)
            if part.stat().st_size != size:
                raise PeerLostError("the file broke off")

        def count_received() -> int:
            return part.stat().st_size if part.exists() else 0

        self._retry_step(peer, download_rest, until, count_received)

    # How it goes --------------------------------------------------------------------------------

    def _retry_step(
        self,
        peer: Peer,
        step: Callable[[], T],
        until: float,
        came: Callable[[], int] = lambda: 0,
    ) -> T:
        """A step, tried again while the peer may be well again; as long as `came` grows it is not
        counted. Raises PeerLostError, and has the peer left alone for a while, when it is not."""
        failures, had = 0, 0
        while True:
            self._raise_if_ended()
            try:
                return step()
            except PeerLostError as lost:
                had, before = came(), had
                failures = 0 if had > before else failures + 1
                # One that never answered costs one attempt.
                if failures > _RETRIES or (lost.never and self._begun is None):
                    self._breaker.lost(peer.url)
                    raise
                growing = min(8.0, 0.5 * 2 ** max(0, failures - 1))
                self._pause_until(growing if lost.seconds is None else lost.seconds, until)

    def _pause_until(self, seconds: float, until: float) -> None:
        left, seconds = until - time.monotonic(), min(seconds, _LONGEST_PAUSE)
        if self._stop.wait(max(0.05, min(seconds, left))):
            raise EngineUnavailableError("it was cancelled")
        if left <= seconds:
            raise EngineTimeoutError("no peer had it done within the time for a segment")

    def _raise_if_ended(self) -> None:
        if self._stop.is_set():
            raise EngineUnavailableError("it was cancelled")

    def _report_frames(self, frames: int) -> None:
        """So many are done, all in all. Some are told twice by a peer that was started anew."""
        new = min(frames, self._job.count) - self._told
        if new > 0:
            self._told += new
            self._tell(new)

    def _cancel_at_peers(self) -> None:
        """What was begun at a peer and not brought home is cancelled there."""
        with self._lock:
            begun, self._begun = self._begun, None
        if begun is not None:
            begun[0].cancel(begun[1], self._asker)
