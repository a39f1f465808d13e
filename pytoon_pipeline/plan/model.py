"""RenderSpec 1.0: the whole plan of a video, engine-agnostic and reproducible.

Written in snake_case; camelCase is also read. A hand-written minimal spec (an archetype and
segments) is a RenderSpec with most fields left out: the compiler passes fill them, and leave alone
what is there. Times are seconds, places are pixels of `resolution`, fractions say so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pytoon_pipeline.briefs.model import Archetype, EnginePolicy, as_seconds
from pytoon_pipeline.plan import spellings
from pytoon_pipeline.plan.fields import (
    Box,
    Colour,
    SpecModel,
    as_list,
)
from pytoon_pipeline.plan.segment import Segment
from pytoon_pipeline.plan.sound import Audio
from pytoon_pipeline.plan.text import Caption, Overlay, TypeStyle
from pytoon_pipeline.store.base import SUFFIX

SPEC_VERSION = "1.0"


class Asset(SpecModel):
    """A file that the video is made of."""

    id: str
    kind: Literal["image", "video", "audio"]
    source: str = Field(description="The file as its author named it.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    suffix: str = Field("", pattern=SUFFIX, description="Ending of the file, with its dot.")
    bytes: int = 0
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    frame_rate: float | None = None
    has_alpha: bool = False
    has_audio: bool = False
    licence: str | None = None

    @property
    def key(self) -> str:
        """Where the file lies in the store."""
        return f"media/{self.sha256}{self.suffix}"


class Resolution(SpecModel):
    width: int = Field(1080, ge=90, le=2160, multiple_of=2)
    height: int = Field(1920, ge=160, le=3840, multiple_of=2)

    @model_validator(mode="before")
    @classmethod
    def _accept_text(cls, value: Any) -> Any:
        return spellings.parse_resolution(value)

    @model_validator(mode="after")
    def _require_vertical(self) -> Resolution:
        if self.width * 16 != self.height * 9:
            raise ValueError("a vertical video is 9:16: 1080x1920, 720x1280, 540x960 or 270x480")
        return self


class Constraints(SpecModel):
    """What the plan keeps to."""

    max_duration: float = Field(60.0, gt=0, le=60)
    safe_zone: str = "universal_ads"
    clear_box: Box | None = Field(None, description="Where text and logos may stand, pixels.")
    fonts: list[str] = Field(default_factory=list)
    colors: list[Colour] | None = Field(None, description="Of text; any if none are listed.")
    transitions: list[str] = Field(default_factory=list)
    motions: list[str] = Field(default_factory=list)
    watermark: bool = Field(True, description="The brand's mark stands over the video.")
    max_motion: float = 0.5
    allow_regeneration: bool = False
    max_engine_seconds: float | None = Field(
        None, gt=0, description="Of engines that are not this machine's own, for all segments."
    )
    max_cost: float | None = Field(None, ge=0, description="The same, in what they cost.")


class RenderSpec(SpecModel):
    """The whole plan."""

    version: Annotated[
        Literal["1.0"], BeforeValidator(lambda v: "1.0" if str(v) in ("1", "1.0") else v)
    ] = "1.0"
    archetype: Archetype
    preset: str | None = None
    brand: str = "neutral"
    brand_safe: bool = True
    engine_policy: EnginePolicy = "local_preferred"
    duration: Annotated[float | None, BeforeValidator(as_seconds)] = Field(None, gt=0, le=60)
    assets: list[Asset] = Field(default_factory=list, max_length=1000)
    segments: list[Segment] = Field(min_length=1, max_length=60)
    styles: dict[str, TypeStyle] = Field(default_factory=dict, max_length=200)
    captions: list[Caption] | None = Field(None, max_length=1000)
    audio: Audio | None = None
    audio_track: str | bool | dict[str, Any] | None = Field(
        None, description="By hand: a track's path or name, or false; becomes `audio.music`."
    )
    overlays: Annotated[list[Overlay] | None, BeforeValidator(as_list)] = Field(
        None, max_length=100
    )
    resolution: Resolution = Field(default_factory=Resolution)
    aspect_ratio: Annotated[str | None, BeforeValidator(spellings.aspect_ratio)] = Field(
        None, exclude=True, description="By hand: 9:16, the one shape there is."
    )
    frame_rate: Annotated[Literal[24, 25, 30], BeforeValidator(spellings.frame_rate)] = 30
    output_format: Annotated[Literal["mp4"], BeforeValidator(spellings.output_format)] = Field(
        "mp4", description="mp4, or by hand {format: mp4, videoCodec: h264, audioCodec: aac}."
    )
    constraints: Constraints = Field(default_factory=Constraints)
    metadata: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _usual_names(cls, value: Any) -> Any:
        return spellings.whole_plan(value)

    @property
    def locale(self) -> str:
        """The language of the words, a BCP 47 tag; the format keeps it in `metadata`."""
        return str(self.metadata.get("locale", "en"))

    def asset(self, asset_id: str) -> Asset:
        """The asset of this id; KeyError when the plan has none."""
        for asset in self.assets:
            if asset.id == asset_id:
                return asset
        raise KeyError(asset_id)

    @property
    def notes(self) -> list[str]:
        """What the compiler decided that its author should know."""
        return list(self.metadata.get("notes", []))
