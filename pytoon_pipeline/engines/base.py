"""What an engine is: it makes footage, the moving picture under the captions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytoon_pipeline.picture.yuv import Planes
from pytoon_pipeline.plan.segment_jobs import SegmentJob

Media = Mapping[str, Path]
"""Asset id -> local file."""
Progress = Callable[[int], None]
"""Called with the number of frames newly done."""


NOBODY = "nobody"
"""Stands for an engine in the record of a segment that none could be asked for."""


@dataclass(frozen=True)
class EngineHealth:
    ok: bool
    detail: str


@dataclass(frozen=True)
class Footage:
    """A source of frames: `count` of them, `width` x `height`, `rate` a second.

    `frames` starts the iterator of YUV planes (BT.709, limited range, 4:2:0). The planes of a frame
    are the caller's to draw upon until it asks for the next.
    """

    width: int
    height: int
    rate: int
    count: int
    frames: Callable[[], Iterator[Planes]]
    at: Callable[[int], Planes] | None = None
    """Any one frame, where that is cheap: captions are coloured by what lies behind them."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FinishedSegment:
    """A segment file in the delivery settings, from an engine that does the finishing too."""

    path: Path
    notes: tuple[str, ...] = ()


class Engine(ABC):
    """One contract test runs over all engines."""

    name: str
    local: bool = True
    """On this machine or its own network, by the policy's meaning."""
    spends: bool = False
    """Its time is somebody's GPU or money, and counts against a brief's budget."""

    @abstractmethod
    def health(self) -> EngineHealth:
        """Can it render now? Never raises."""

    @abstractmethod
    def can_render(self, job: SegmentJob) -> bool:
        """Is this a segment it knows how to make?"""

    @abstractmethod
    def inputs(self, job: SegmentJob) -> dict[str, Any]:
        """All of its own that goes into the pixels (name, workflow, models, seed), as plain data
        for the fingerprint."""

    @abstractmethod
    def render(
        self, job: SegmentJob, media: Media, workdir: Path, progress: Progress
    ) -> Footage | FinishedSegment:
        """Make the footage. Raises EngineUnavailableError, EngineTimeoutError or EngineFailedError.

        One that waits for somebody else calls `progress(0)` every second or so: what that raises
        (KeyboardInterrupt, when the run is cancelled) ends the wait, and what was begun elsewhere
        is cancelled there on the way out.
        """
