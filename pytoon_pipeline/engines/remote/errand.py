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
from pytoon_pipeline.engines.remote.breaker import Breaker
from pytoon_pipeline.engines.remote.check import check_segment
from pytoon_pipeline.engines.remote.peer import Full, Lacks, Lost, Peer, PeerError, Unknown, quoted
from pytoon_pipeline.errors import EngineError, EngineFailed, EngineTimeout, EngineUnavailable
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.plan.segment_jobs import SegmentJob

T = TypeVar("T")
_CHUNK = 256 * 1024
_RETRIES = 5
"""Times in a row that a peer which was reached is tried again, 15 s in all."""
_LONGEST_PAUSE = 60.0
_ANEW = 3
"""Times that a peer may forget a segment before it is left."""


class Stalled(EngineTimeout):
    """A peer works, or says so, and nothing comes of it."""


class Sending:
    """Media on their way: two segments with the same picture must not send it twice."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._own = threading.Lock()

    def alone(self, peer: str, key: str) -> threading.Lock:
        with self._own:
            return self._locks.setdefault((peer, key), threading.Lock())


class Errand:
    """The way of one segment job to a peer and back. `run` goes it; `end`, from another thread,
    breaks it off and tells the peer."""

    def __init__(
        self,
        job: SegmentJob,
        media: Media,
        look: dict[str, Any],
        target: Path,
        breaker: Breaker,
        sending: Sending,
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
        self._abandon()

    def run(self, peers: list[Peer]) -> FinishedSegment:
        """The segment, checked. Raises EngineUnavailable when no peer can be reached or will do
        it, EngineTimeout, or EngineFailed when one tried and failed."""
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
                    return self._with(peer, until)
                except Full as full:
                    pauses.append(full.seconds)
                except PeerError as error:
                    reasons[peer.shown] = str(error)
                except (EngineFailed, Stalled) as error:
                    # Disks fill up and GPUs fall over: another may still manage.
                    failed.append(error)
                    reasons[peer.shown] = str(error)
                finally:
                    self._abandon()
            if not pauses:
                if len(failed) == len(reasons) == 1:
                    raise failed[0]
                said = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
                if failed:
                    raise EngineFailed(said)
                raise EngineUnavailable(said or "no peer is set up: PYTOON_REMOTE_URL is empty")
            self._pause(min(pauses), until)

    def _with(self, peer: Peer, until: float) -> FinishedSegment:
        """By one peer. Raises PeerError where another may be asked."""
        for _ in range(_ANEW):
            try:
                work = self._begin(peer, until)
                self._breaker.reached(peer.url)
                said = self._follow(peer, work, until)
                self._take(peer, work, said, until)
            except Unknown:
                continue
            with self._lock:
                self._begun = None
            self._more(self._job.count)
            made = f"made by {peer.shown} with {quoted(str(said.get('engine')), 40)}"
            return FinishedSegment(self._target, (made,))
        raise Lost(f"it forgot the segment {_ANEW} times")

    # Steps --------------------------------------------------------------------------------------

    def _begin(self, peer: Peer, until: float) -> str:
        """Asks for the segment, and sends what media the peer lacks. Its name there."""
        for _ in range(2):
            try:
                said = self._patiently(peer, lambda: peer.begin(self._request, self._asker), until)
                break
            except Lacks as lacks:
                for asset in self._job.all_assets:
                    if asset.sha256 + asset.suffix in lacks.keys:
                        self._send(peer, asset, until)
        else:
            raise Lost("it lacks media that were just sent")
        work = str(said.get("id", ""))
        if len(work) != 64 or not work.isalnum():
            raise Lost("it does not answer as a `pytoon serve --segments` does")
        with self._lock:
            self._begun = (peer, work)
        self._heed()
        return work

    def _send(self, peer: Peer, asset: Asset, until: float) -> None:
        path = self._media[asset.id]

        def pieces() -> Iterator[bytes]:
            with open(path, "rb") as file:
                while piece := file.read(_CHUNK):
                    self._heed()
                    yield piece

        def send() -> None:
            if not peer.has(asset.sha256, asset.suffix):
                peer.send(asset.sha256, asset.suffix, pieces(), path.stat().st_size)

        with self._sending.alone(peer.url, asset.key):
            self._patiently(peer, send, until)

    def _follow(self, peer: Peer, work: str, until: float) -> dict[str, Any]:
        """What the peer says of the segment once it is completed."""
        signs, since = None, time.monotonic()
        while True:
            said = self._patiently(peer, lambda: peer.look(work), until)
            state = said.get("state")
            frames = said.get("frames")
            self._more(frames if isinstance(frames, int) else 0)
            if state == "completed":
                return said
            if state == "failed":
                tail = said.get("log_tail")
                why = quoted(str(said.get("error") or "it does not say why"))
                # What may pass was tried again over there.
                raise EngineFailed(why, str(tail)[-4000:] if tail else "")
            if said.get("signs") != signs or state == "pending":
                signs, since = said.get("signs"), time.monotonic()
            elif time.monotonic() - since > peer.timeouts.stall:
                raise Stalled(f"no sign of life for {peer.timeouts.stall:.0f} s")
            self._pause(peer.timeouts.poll, until)

    def _take(self, peer: Peer, work: str, said: dict[str, Any], until: float) -> None:
        """The finished file, taken up where it broke when the connection is lost, and checked."""
        size, digest = said.get("bytes"), said.get("sha256")
        if not isinstance(size, int) or not 0 < size < 2**31 or not isinstance(digest, str):
            raise EngineFailed("it does not say what its segment file is")
        part = self._target.with_name(f".{self._target.name}.part")
        try:
            for _ in range(2):
                part.unlink(missing_ok=True)
                self._download(peer, work, part, size, until)
                with open(part, "rb") as file:
                    same = hashlib.file_digest(file, "sha256").hexdigest() == digest
                if same:
                    check_segment(part, self._job, self._look.get("x264", {}))
                    os.replace(part, self._target)
                    return
        finally:
            part.unlink(missing_ok=True)
        raise EngineFailed("it sent another file than it said (SHA-256 differs), twice")

    def _download(self, peer: Peer, work: str, part: Path, size: int, until: float) -> None:
        etag = ""

        def rest() -> None:
            nonlocal etag
            first = part.stat().st_size if part.exists() and etag else 0
            with peer.file(work, first, etag) as answer:
                ranged = answer.status_code == 206
                if ranged:
                    begins = answer.headers.get("content-range", "").startswith(f"bytes {first}-")
                    if not first or not begins:
                        raise Lost("it sent another part of the file than was asked for")
                etag = answer.headers.get("etag", "")
                etag = etag if etag.isascii() and etag.isprintable() else ""
                with open(part, "ab" if ranged else "wb") as file:
                    # As they come: what waits for a full chunk is lost with the connection.
                    for piece in answer.iter_raw():
                        self._heed()
                        if time.monotonic() > until:
                            raise EngineTimeout("no peer had it done within the time for a segment")
                        if file.tell() + len(piece) > size:
                            raise EngineFailed("it sent more than it said")
                        file.write(piece)
            if part.stat().st_size != size:
                raise Lost("the file broke off")

        def came() -> int:
            return part.stat().st_size if part.exists() else 0

        self._patiently(peer, rest, until, came)

    # How it goes --------------------------------------------------------------------------------

    def _patiently(
        self,
        peer: Peer,
        step: Callable[[], T],
        until: float,
        came: Callable[[], int] = lambda: 0,
    ) -> T:
        """A step, tried again while the peer may be well again; as long as `came` grows it is not
        counted. Raises Lost, and has the peer left alone for a while, when it is not."""
        failures, had = 0, 0
        while True:
            self._heed()
            try:
                return step()
            except Lost as lost:
                had, before = came(), had
                failures = 0 if had > before else failures + 1
                # One that never answered costs one attempt.
                if failures > _RETRIES or (lost.never and self._begun is None):
                    self._breaker.lost(peer.url)
                    raise
                growing = min(8.0, 0.5 * 2 ** max(0, failures - 1))
                self._pause(growing if lost.seconds is None else lost.seconds, until)

    def _pause(self, seconds: float, until: float) -> None:
        left, seconds = until - time.monotonic(), min(seconds, _LONGEST_PAUSE)
        if self._stop.wait(max(0.05, min(seconds, left))):
            raise EngineUnavailable("it was cancelled")
        if left <= seconds:
            raise EngineTimeout("no peer had it done within the time for a segment")

    def _heed(self) -> None:
        if self._stop.is_set():
            raise EngineUnavailable("it was cancelled")

    def _more(self, frames: int) -> None:
        """So many are done, all in all. Some are told twice by a peer that was started anew."""
        new = min(frames, self._job.count) - self._told
        if new > 0:
            self._told += new
            self._tell(new)

    def _abandon(self) -> None:
        """What was begun at a peer and not brought home is cancelled there."""
        with self._lock:
            begun, self._begun = self._begun, None
        if begun is not None:
            begun[0].cancel(begun[1], self._asker)
