"""What the platforms ask of a video, and the words that need a review, as their files hold them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pytoon_pipeline.compiler.preset_model import PresetData
from pytoon_pipeline.plan.fields import Box


class PlatformRules(PresetData):
    title: str
    clear_box: Box
    source: str


class VideoDeliveryRules(PresetData):
    preset: str
    crf: float
    maxrate_kbps: int
    bufsize_kbps: int
    profile: str
    level: str
    gop: int
    bframes: int
    lookahead: int
    threads: int


class DeliveryRules(PresetData):
    max_seconds: float
    min_seconds: float
    max_bytes: int
    max_mbps: float
    video: VideoDeliveryRules
    audio_kbps: int


class FontSizeRules(PresetData):
    hook_min: int
    body_min: int
    floor: int


class CaptionRules(PresetData):
    max_chars_per_second: float
    cue_seconds: tuple[float, float]
    font_px: FontSizeRules


class LoudnessRules(PresetData):
    target_lufs: float
    true_peak_db: float


class PlatformFacts(PresetData):
    profiles: dict[str, PlatformRules]
    delivery: DeliveryRules
    captions: CaptionRules
    loudness: LoudnessRules


class ReviewWord(PresetData):
    """Words that a person should look at, and why."""

    words: list[str] = Field(min_length=1, description="A star at the end: any ending.")
    why: str
    severity: Literal["warning", "info"] = "info"


class ReviewWordList(PresetData):
    languages: dict[str, list[ReviewWord]] = Field(default_factory=dict)
