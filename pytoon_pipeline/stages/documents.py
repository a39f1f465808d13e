"""The small typed documents that travel between the stages; pixels stay in the store."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytoon_pipeline.quality.verdicts import CheckVerdict


class _StageDocument(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EngineTry(_StageDocument):
    """One attempt of one engine at one segment."""

    engine: str
    seconds: float
    reason: str = Field("", description="Why it failed; empty when it did not.")


class SegmentRecord(_StageDocument):
    """A finished segment."""

    segment_id: str
    fingerprint: str
    key: str = Field(description="Of the segment file in the store.")
    engine: str
    frames: int = Field(description="Handles included.")
    seconds: float = Field(description="Spent rendering; 0 when it was there.")
    cached: bool
    degraded: bool = False
    used_fallback: bool = False
    tries: list[EngineTry] = Field(default_factory=list)
    notes: list[str] = Field(
        default_factory=list, description="What its engine has to say of the footage."
    )
    take: dict[str, Any] | None = Field(
        None, description="Of generated footage: the engine's workflow, models and seed."
    )


class SegmentsDocument(_StageDocument):
    """All segments of a video, in order."""

    segments: list[SegmentRecord]

    @property
    def engines(self) -> list[str]:
        """Names of the engines used, each once, in order."""
        return list(dict.fromkeys(s.engine for s in self.segments))


class SoundRepair(_StageDocument):
    """What was put right in one of the sounds of a video."""

    part: str = Field(description="`voice`, `music`, `clip 0` (by its place) or `mix`")
    what: str


class SoundRecord(_StageDocument):
    lufs: float | None
    true_peak_db: float | None
    gain_db: float
    duck_db: float = 0.0
    short_lu: float = Field(0.0, description="LU by which mastering could not reach the target.")
    repairs: list[SoundRepair] = Field(default_factory=list)
    silent: list[str] = Field(
        default_factory=list, description="Parts in which nothing is to be heard."
    )


class VideoDocument(_StageDocument):
    """The finished file."""

    key: str
    sha256: str
    bytes: int
    frames: int
    rate: int
    width: int
    height: int
    fingerprint: str = Field(description="Of all that was linked into it.")
    cached: bool
    degraded: bool
    used_fallback: bool
    engines: list[str]
    sound: SoundRecord
    signer: str | None = Field(None, description="Who signed the file's Content Credentials.")
    seconds_spent: dict[str, float] = Field(description="Part of the work -> seconds.")

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


class LinkedDocument(VideoDocument):
    """The finished file, and what in the store it was made of: the document beside the store's
    other intermediates, by which they are kept."""

    parts: list[str] = Field(description="Keys of segments, windows, sound and media.")
    takes: list[dict[str, Any]] = Field(description="Of its generated footage.")

    @property
    def video(self) -> VideoDocument:
        """Without what is the store's own business."""
        return VideoDocument(**self.model_dump(exclude={"parts", "takes"}))


class ThumbnailDocument(_StageDocument):
    key: str
    frame: int
    width: int
    height: int


class LicenceRecord(_StageDocument):
    """Something that a video is made of, and what allows its use."""

    kind: Literal["picture", "clip", "logo", "music", "voice", "font"]
    name: str = Field(description="File as its author named it, track, or family and weight.")
    licence: str | None = Field(description="None where nothing is known: a font of the system.")
    file: str | None = Field(None, description="Text of the licence, below the presets folder.")
    sha256: str


class TakeRecord(_StageDocument):
    """Generated footage, and what made it. Prompts are not made public: only their hash is."""

    segment: str
    engine: str
    workflow: str | None = None
    models: Any = None
    seed: int | None = None
    prompt_sha256: str | None = None


class DisclosureRecord(_StageDocument):
    """What is said of a video's origin, in the file and here."""

    ai_generated: bool = False
    digital_source_type: str | None = Field(
        None, description="IPTC's name of it; None where nothing is generated."
    )
    segments: list[TakeRecord] = Field(default_factory=list)
    c2pa: Literal["signed", "unsigned", "not_needed"] = "not_needed"
    signer: str | None = None


class MetricsDocument(_StageDocument):
    """`metrics.json`: what is known of a finished video."""

    key: str
    campaign: str
    brief: str
    video: VideoDocument
    segments: list[SegmentRecord]
    verdicts: list[CheckVerdict]
    measurement: dict[str, Any]
    notes: list[str]
    music: dict[str, Any] | None = None
    licences: list[LicenceRecord] = Field(default_factory=list)
    disclosure: DisclosureRecord = Field(default_factory=DisclosureRecord)
    versions: dict[str, str]
