"""The engine `remote`: another Pytoon (`pytoon serve --segments`) renders a segment, captions and
all. The protocol is described in docs/remote.md."""

from __future__ import annotations

import itertools
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import freetype
import uharfbuzz as hb
from PIL import Image

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.engines.base import Engine, EngineHealth, FinishedSegment, Media, Progress
from pytoon_pipeline.engines.remote.circuit_breaker import CircuitBreaker
from pytoon_pipeline.engines.remote.peer import Peer, PeerError, PeerTimeouts, quote_answer
from pytoon_pipeline.engines.remote.remote_job import MediaSending, RemoteJob
from pytoon_pipeline.errors import EngineError, EngineUnavailableError, PytoonError
from pytoon_pipeline.media import ffmpeg
from pytoon_pipeline.plan.segment_jobs import SegmentJob

Look = Callable[[SegmentJob, Media], dict[str, Any]]
"""What beside its job decides a segment's bytes here: `stages.look.segment_look`."""

_HEARTBEAT = 0.5
_HEALTH_SECONDS = 2.0


def library_versions() -> dict[str, str]:
    """What decodes, draws and encodes, beside Pytoon's own code: a peer with other versions would
    give slightly other pixels."""
    return {
        "ffmpeg": ffmpeg.read_version(),
        "freetype": ".".join(str(n) for n in freetype.version()),
        "harfbuzz": hb.version_string(),
        "opencv": cv2.__version__,
        "pillow": Image.__version__,
        "pyav": av.__version__,
    }


class RemoteEngine(Engine):
    """`urls`: of the peers, or one. `segment_status`: what they are held to, beside the renderer's
    version and the libraries; None holds them to those alone. `folder`: where processes tell each
    other which peers can't be reached, for `skip_seconds`.

    Raises SettingsError for an address that is none.
    """

    name = "remote"
    local = False
    spends = True

    def __init__(
        self,
        urls: str | Sequence[str],
        token: str | None = None,
        *,
        look: Look | None = None,
        folder: Path | None = None,
        timeouts: PeerTimeouts | None = None,
        skip_seconds: float = 60.0,
    ):
        timeouts = timeouts or PeerTimeouts()
        urls = [urls] if isinstance(urls, str) else list(dict.fromkeys(urls))
        self._peers = [Peer(url, token, timeouts) for url in urls]
        self._look = look
        self._breaker = CircuitBreaker(folder, skip_seconds)
        self._sending = MediaSending()
        self._busy: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._turn = itertools.count()

    def health(self) -> EngineHealth:
        if not self._peers:
            return EngineHealth(False, "no peer is set up: set PYTOON_REMOTE_URL")
        with ThreadPoolExecutor(len(self._peers)) as pool:
            found = list(pool.map(_check_peer_health, self._peers))
        said = "; ".join(f"{p.shown}: {h.detail}" for p, h in zip(self._peers, found, strict=True))
        return EngineHealth(any(h.ok for h in found), said)

    def can_render(self, job: SegmentJob) -> bool:
        return bool(self._peers)

    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        """A peer takes a job only where everything that decides the pixels is as it is here: its
        engine's inputs are these. What a model makes of a `generate` prompt over there is the
        exception: which one it was is not known here, and what came first is kept."""
        return {"name": self.name, **library_versions()}

    def render(
        self, job: SegmentJob, media: Media, workdir: Path, progress: Progress
    ) -> FinishedSegment:
        try:
            look = {} if self._look is None else self._look(job, media)
        except EngineError:
            raise
        except PytoonError as error:
            raise EngineUnavailableError(str(error)) from error
        told: queue.SimpleQueue[Callable[[], FinishedSegment | None]] = queue.SimpleQueue()

        def report_progress(frames: int) -> None:
            told.put(lambda: progress(frames))

        target = workdir / "remote.mp4"
        errand = RemoteJob(
            job,
            media,
            library_versions() | look,
            target,
            self._breaker,
            self._sending,
            report_progress,
        )

        def run_job() -> None:
            try:
                with self._in_order() as peers:
                    made = errand.run(peers)
            except BaseException as error:
                told.put(_make_raiser(error))
            else:
                told.put(lambda: made)

        # A thread of its own, so that however long a peer is silent, this one calls `progress`.
        thread = threading.Thread(target=run_job, name=f"remote-{job.segment_id}", daemon=True)
        thread.start()
        try:
            while True:
                try:
                    heard = told.get(timeout=_HEARTBEAT)
                except queue.Empty:
                    progress(0)
                else:
                    done = heard()
                    if done is not None:
                        return done
        finally:
            errand.end()  # Nothing where all is done.
            thread.join(1.0)

    @contextmanager
    def _in_order(self) -> Iterator[list[Peer]]:
        """The peers in the order to ask them: those never lost, or longest ago, first; of these the
        one with the least to do for this process; of these by turns."""
        turn = next(self._turn)
        count = len(self._peers)
        ranked = sorted(
            enumerate(self._peers),
            key=lambda p: (
                self._breaker.lost_at(p[1].url),
                self._busy[p[1].url],
                (p[0] - turn) % count,
            ),
        )
        peers = [peer for _, peer in ranked]
        first = peers[0].url if peers else ""
        with self._lock:
            self._busy[first] += 1
        try:
            yield peers
        finally:
            with self._lock:
                self._busy[first] -= 1


def _make_raiser(error: BaseException) -> Callable[[], None]:
    def raise_error() -> None:
        raise error

    return raise_error


def _check_peer_health(peer: Peer) -> EngineHealth:
    try:
        said = peer.about(_HEALTH_SECONDS)
    except (PeerError, PytoonError) as error:
        return EngineHealth(False, str(error))
    except Exception as error:  # A health check tells; it never fails.
        return EngineHealth(False, f"{type(error).__name__}: {error}")
    theirs = quote_answer(str(said.get("renderer")), 40)
    if theirs != RENDERER_VERSION:
        return EngineHealth(
            False,
            f"its renderer has version {theirs}, this one {RENDERER_VERSION}. Install the same "
            "Pytoon on both",
        )
    ours = library_versions()
    other = [n for n in ours if said.get("libraries", {}).get(n) != ours[n]]
    if other:
        return EngineHealth(
            False, f"it has another version of {', '.join(other)} than this machine"
        )
    taken, places = said.get("taken"), said.get("places")
    return EngineHealth(True, f"{taken} of {places} places taken")
