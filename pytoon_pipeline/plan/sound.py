"""The sound of a plan: music, voice, ducking and loudness."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from pytoon_pipeline.briefs.model import is_none
from pytoon_pipeline.plan import spellings
from pytoon_pipeline.plan.fields import (
    Seconds,
    SpecModel,
    with_gain,
)


class Music(SpecModel):
    media: str = Field(description="Id of an asset; a path or a track's name by hand.")
    gain_db: float = Field(0.0, ge=-60, le=12)
    fade_in: Seconds = 0.0
    fade_out: Seconds = 1.5

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        return with_gain(_normalise_track(value))


def _normalise_track(value: Any) -> Any:
    """A sound file by its name alone, or by other names of the field."""
    if isinstance(value, str):
        return {"media": value}
    names = ("src", "path", "source", "url", "file", "track", "name")
    made = spellings.rename_fields(value, dict.fromkeys(names, "media"))
    if isinstance(made, dict) and made.get("loop") is True:
        made = {k: v for k, v in made.items() if k != "loop"}  # All music does.
    return made


class Voice(SpecModel):
    media: str
    start: Seconds = 0.3
    gain_db: float = Field(0.0, ge=-60, le=12)

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        return with_gain(_normalise_track(value))


class Ducking(SpecModel):
    """How far and how fast other sound makes room for the voice."""

    depth_db: float = Field(-12.0, ge=-40, le=0)
    attack: Seconds = 0.15
    release: Seconds = 0.5


class Loudness(SpecModel):
    target_lufs: float = Field(-14.0, ge=-30, le=-8)
    true_peak_db: float = Field(-1.0, ge=-6, le=0)


class Audio(SpecModel):
    music: Music | None = None
    voice: Voice | None = None
    ducking: Ducking = Field(default_factory=Ducking)
    loudness: Loudness = Field(default_factory=Loudness)

    @model_validator(mode="before")
    @classmethod
    def _accept_shapes(cls, value: Any) -> Any:
        """Nothing, a track alone, and other names of its parts."""
        if is_none(value) or value in ([], ""):
            return {}
        names = {
            "background_music": "music",
            "soundtrack": "music",
            "voiceover": "voice",
            "voice_over": "voice",
            "narration": "voice",
        }
        made = spellings.rename_fields(value, names)
        if isinstance(made, dict) and set(made) & {"src", "path", "source", "url", "file", "track"}:
            made = {"music": made}
        if isinstance(made, dict):
            made = {
                k: None if k in ("music", "voice") and is_none(v) else v for k, v in made.items()
            }
        return made
