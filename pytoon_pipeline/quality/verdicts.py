"""What is expected of a finished file, what was seen on it, and the verdict of one check."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class CheckVerdict(BaseModel):
    """What one quality check found."""

    model_config = ConfigDict(extra="forbid")

    name: str
    passed: bool
    severity: str = Field("error", description="error or warning, when not passed.")
    message: str
    measured: dict[str, Any] = Field(default_factory=dict)
    remedy: str = ""


class SeenText(BaseModel):
    """What was seen of a caption or overlay on one steady frame of the finished file. Boxes are
    x0, y0, x1, y1 in pixels of the frame, of the ink alone."""

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: str = Field(description="caption, badge or overlay")
    text: str = Field(description="Its words; an overlay's file.")
    frame: int
    planned: tuple[int, int, int, int]
    px_of_1080: int = Field(0, description="Size of the type, were the frame 1080 wide.")
    found: tuple[int, int, int, int] | None = Field(
        None, description="None where its shape can't be told from what lies behind it."
    )
    match: float = Field(0.0, description="Correlation of its shape with the frame, 0..1.")
    contrast: float | None = Field(None, description="Of the least legible word.")
    weakest: str = Field("", description="That word.")
    missing: list[str] = Field(
        default_factory=list, description="Words and edges of which most does not show."
    )
    wrong: list[str] = Field(
        default_factory=list, description="Words in which a letter seems to be another one."
    )
    touches: list[str] = Field(
        default_factory=list, description="Sides where its own tile cuts the letters."
    )


class ExplainedStretch(BaseModel):
    """A stretch that is black or still because its material is."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["black", "still"]
    first: int
    end: int
    why: str = Field(description="`the clip a.mp4 is itself black there`")
    warns: bool = Field(True, description="Is it worth a warning? A card of one colour is not.")


class ExpectedFile(BaseModel):
    """What was planned, as far as a check needs it. Spans are (first frame, end frame)."""

    model_config = ConfigDict(extra="forbid")

    width: int
    height: int
    rate: int
    frames: int
    max_mbps: float = 20.0
    max_bytes: int = 300_000_000
    max_gop: int = 30
    max_b_frames: int = 2
    min_seconds: float = 3.0
    target_lufs: float = -14.0
    true_peak_db: float = -1.0
    sound: bool = Field(True, description="Is anything to be heard?")
    silent_files: list[str] = Field(
        default_factory=list, description="Of what is to be heard, files that hold only silence."
    )
    mastered_lufs: float | None = Field(
        None, description="Loudness that mastering came to where the target is out of reach."
    )
    shown: list[ExplainedStretch] = Field(
        default_factory=list, description="What of black or stillness is the material's own."
    )
    black: list[tuple[int, int]] = Field(
        default_factory=list, description="Where black was asked for."
    )
    still: list[tuple[int, int]] = Field(
        default_factory=list, description="Where nothing is meant to move."
    )
    degraded: list[str] = Field(
        default_factory=list, description="Segments that are a plain still for want of an engine."
    )
    clear_box: tuple[int, int, int, int] | None = Field(
        None, description="Where text and logos may stand."
    )
    texts: int = Field(
        0,
        description="Captions and badges of the plan. One that is never at rest, fully in, is not "
        "looked at.",
    )
    source_type: str | None = Field(
        None, description="What the file must say of its picture; None when nothing is generated."
    )
    signer: str | None = Field(None, description="Who signed it, if anybody did.")
    signature_required: bool = False


def make_verdict(
    name: str, faults: list[str], good: str, remedy: str = "", **measured: Any
) -> CheckVerdict:
    return CheckVerdict(
        name=name,
        passed=not faults,
        message="; ".join(faults) if faults else good,
        measured=measured,
        remedy=remedy if faults else "",
    )
