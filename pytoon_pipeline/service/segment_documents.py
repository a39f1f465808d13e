"""What the calls for segments take and answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pytoon_pipeline.service.segment_queue import (
    WorkState,
)
from pytoon_pipeline.stages.documents import EngineTry

HASH_PATTERN = r"^[0-9a-f]{64}$"


class SegmentModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


_Look = dict[str, str | list[str] | dict[str, str | float]]


class SegmentRequest(SegmentModel):
    """What POST /segments takes."""

    job: dict[str, Any] = Field(description="A segment job, as a RenderSpec is cut into.")
    version: str = Field(description="Of the asker's renderer; only the same one is served.")
    look: _Look = Field(
        default_factory=dict,
        description="What the asker is held to by its other segments: `fonts` (SHA-256 of the "
        "files that draw the words), `x264` (settings), and versions of libraries as GET /segments "
        "names them. What is left out may differ.",
    )


class SegmentsAbout(SegmentModel):
    version: str
    renderer: str = Field(description="Version of what draws; segments of another don't match.")
    libraries: dict[str, str]
    taken: int = Field(description="Segments that are rendered or wait.")
    places: int = Field(description="How many may be.")


class SegmentWork(SegmentModel):
    """A segment that was asked for."""

    id: str = Field(pattern=HASH_PATTERN)
    state: WorkState
    frames: int = Field(description="Done, handles included.")
    total: int
    signs: int = Field(description="Counts up while its engine lives.")
    engine: str | None
    degraded: bool = Field(description="Always false: a plain still is never given to others.")
    tries: list[EngineTry]
    error: str | None = Field(description="Why it failed.")
    log_tail: str | None
    sha256: str | None = Field(description="Of the file, once it is completed.")
    bytes: int | None
    file: str | None = Field(description="Its address below the server's own.")
