"""Presets as their files hold them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pytoon_pipeline.briefs.model import Archetype
from pytoon_pipeline.plan.fields import Box, Fraction01
from pytoon_pipeline.plan.segment import TransitionKind
from pytoon_pipeline.plan.text import Entrance, Shadow, TextBox


class PresetData(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


ColourRole = str
"""A role of the brand kit's `colors`, or a colour."""


ROLES: dict[str, str] = {
    "text": "Words on pictures.",
    "accent": "The plate behind the last line, and badges.",
    "on_accent": "Words on `accent`.",
    "ground": "The ground of overlays and of the end card, where it is light.",
    "ground_deep": "The same ground in its shade, at the lower edge.",
    "on_ground": "Words on `ground` and on `ground_deep`.",
    "deep": "A dark ground, lit from the middle, behind cut-outs.",
    "deep_low": "The same dark ground in its shade, at the edges.",
    "on_deep": "Words on `deep` and on `deep_low`.",
    "paper": "The plate behind words, and the ground of memes.",
    "on_paper": "Words on `paper`.",
    "ink": "Outlines of words, and words on pictures too bright for `text`.",
}
"""Roles of a brand kit's `colors` that the presets use -> what each is seen as."""


PAIRS: tuple[tuple[str, str], ...] = (
    ("on_accent", "accent"),
    ("on_ground", "ground"),
    ("on_ground", "ground_deep"),
    ("on_deep", "deep"),
    ("on_deep", "deep_low"),
    ("text", "deep"),
    ("on_paper", "paper"),
    ("text", "ink"),
    ("paper", "ink"),
)
"""Roles that are read together: the words, and what they stand on."""


class Pacing(PresetData):
    """Seconds on screen."""

    still: float = Field(gt=0, le=60)
    shortest: float = Field(gt=0, le=60)
    clip: float = Field(gt=0, le=60, description="Longest a clip runs when the brief is silent.")


class PresetTransitions(PresetData):
    kinds: list[TransitionKind] = Field(min_length=1)
    seconds: float = Field(ge=0, le=3)
    lively: list[TransitionKind] = Field(
        min_length=1, description="Used when the brief is not brand safe."
    )
    safe: list[TransitionKind] = Field(
        default=["cut", "fade", "fade_black", "slide"],
        description="What a brand-safe brief may ask for by name.",
    )


class PresetMotion(PresetData):
    kinds: list[str] = Field(min_length=1)
    amount: float = Field(ge=0, le=0.5)
    lively: float = Field(ge=0, le=0.5, description="Amount when the brief is not brand safe.")


class PresetMedia(PresetData):
    fit: Literal["auto", "cover", "contain", "frame"] = "auto"
    most_crop: Fraction01 = 0.4
    contain_crop: Fraction01 = Field(
        0.0, description="Share that a picture shown whole may lose, to stand larger."
    )
    box: Box | None = None
    anchor: Literal["top", "middle"] = "middle"
    radius: int = 0
    shadow: Fraction01 = 0.0


class PresetBackground(PresetData):
    kind: Literal["color", "gradient", "blur"]
    colors: list[ColourRole] = Field(default_factory=list)
    light: tuple[Fraction01, Fraction01] | None = Field(
        None, description="Gradient: x, y on the frame where its first colour is brightest."
    )
    darken: Fraction01 = 0.0
    parallax: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.0, description="Travel of a blurred or pictured ground, a share of the frame's height."
    )


class PresetGenerated(PresetData):
    """Footage that a model makes."""

    seconds: float = Field(4.5, gt=0, le=12, description="Of a scene, when the brief is silent.")
    stretch: Literal["ping_pong", "slow_down"] = Field(
        "ping_pong",
        description="Where a take is shorter than its scene: back and forth, or slower.",
    )


class PresetTextBox(TextBox):
    color: ColourRole


class PresetType(PresetData):
    """A style with roles of the brand kit in place of colours and fonts."""

    font: str
    weight: int = 700
    fallback: list[str] = Field(
        default_factory=list,
        description="Families for letters that `font` lacks, before the brand's body font.",
    )
    max_px: int
    min_px: int
    max_lines: int = 2
    max_chars: int = 26
    line_height: float = 1.1
    letter_spacing: float = 0.0
    align: Literal["left", "center", "right"] = "center"
    uppercase: bool = False
    color: ColourRole
    alternate: ColourRole | None = Field(None, description="On pictures too bright for `color`.")
    stroke: float = 0.0
    stroke_color: ColourRole = "ink"
    shadow: Shadow | None = None
    box: PresetTextBox | None = None
    scrim: Fraction01 = 0.0
    place: Literal["top", "middle", "bottom"] = "middle"
    entrance: Entrance = Field(default_factory=Entrance)
    area: Box | None = Field(None, description="Where it goes; the preset's text_area if none.")
    hold: Literal["cue", "segment", "video"] = Field(
        "cue",
        description="cue: as long as a reader needs; segment: until the next line or the end of "
        "the segment; video: all through.",
    )


class PresetTypes(PresetData):
    hook: PresetType
    beat: PresetType
    cta: PresetType


class Preset(PresetData):
    """A named look of an archetype."""

    name: str
    archetype: Archetype
    title: str
    summary: str
    pacing: Pacing
    transitions: PresetTransitions
    motion: PresetMotion
    media: PresetMedia = Field(default_factory=PresetMedia)
    background: PresetBackground
    generated: PresetGenerated = Field(default_factory=PresetGenerated)
    type: PresetTypes
    text_area: Box | None = Field(None, description="Where all text goes; the clear box if none.")
    music: str | None = None
