"""The text of a plan: type styles, captions and what stays over the video."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pytoon_pipeline.briefs.model import Text, as_seconds
from pytoon_pipeline.plan import spellings
from pytoon_pipeline.plan.fields import (
    Box,
    Colour,
    Fraction01,
    Seconds,
    SpecModel,
)


class Shadow(SpecModel):
    dx: float = 0.0
    dy: float = 0.04
    blur: float = 0.12
    color: Colour = "#000000"
    opacity: Fraction01 = 0.6


class TextBox(SpecModel):
    """A plate behind the text; lengths in em."""

    color: Colour
    opacity: Fraction01 = 1.0
    pad_x: float = 0.5
    pad_y: float = 0.3
    radius: float = 0.3
    per_line: bool = False


class Entrance(SpecModel):
    kind: Literal["none", "fade", "rise", "pop", "slide", "words"] = Field(
        "fade", description="slide: from the side; words: one after the other."
    )
    seconds: Seconds = Field(
        0.35, description="Until all of it is in. Words take less where they are few."
    )


class TypeStyle(SpecModel):
    """How a caption is set. Sizes in pixels of the frame, the rest in em."""

    family: str
    weight: int = Field(700, ge=100, le=900)
    fallback: list[str] = Field(default_factory=list)
    max_px: int = Field(gt=0)
    min_px: int = Field(gt=0)
    max_lines: int = Field(2, ge=1, le=12)
    max_chars: int = Field(26, ge=4, le=80, description="Per line.")
    line_height: float = Field(1.1, ge=0.8, le=2)
    letter_spacing: float = Field(0.0, ge=-0.1, le=0.5)
    align: Literal["left", "center", "right"] = "center"
    uppercase: bool = False
    color: Colour = "#FFFFFF"
    stroke: float = Field(0.0, ge=0, le=0.3)
    stroke_color: Colour = "#000000"
    shadow: Shadow | None = None
    box: TextBox | None = None
    scrim: Fraction01 = Field(
        0.0, description="Most darkness that a soft shade may lay behind the text for contrast."
    )
    alternate: Colour | None = Field(
        None, description="Colour on pictures that are too bright for `color`."
    )
    place: Literal["top", "middle", "bottom"] = "middle"
    entrance: Entrance = Field(default_factory=Entrance)


CaptionRole = Literal["hook", "beat", "cta"]


class Caption(SpecModel):
    """One cue, set: what stands where, when and how."""

    id: str = ""
    role: CaptionRole = "beat"
    start: Seconds
    end: Seconds
    text: str = Field(max_length=2000)
    style: str = Field(description="Key into `styles`.")
    box: Box = Field(description="Area the text is set in.")
    align_y: Literal["top", "middle", "bottom"] = "middle"
    entrance: bool = Field(True, description="False where it follows on a cue without a pause.")


class Overlay(SpecModel):
    """A picture or a badge that stays over the whole video, or a part of it."""

    type: Literal["watermark", "logo", "image", "badge"] = "watermark"
    media: str = Field("", description="Id of an asset; a path by hand. A badge has none.")
    text: Text | None = Field(None, description="Of a badge.")
    style: str | None = Field(None, description="Of a badge: key into `styles`.")
    shape: Literal["round", "pill"] | None = Field(
        None, description="Of a badge; the one that suits its text when left out."
    )
    color: Colour | None = Field(
        None, description="Of a badge's ground; the brand's accent when left out."
    )
    rotation: Annotated[float, Field(ge=0, le=20)] | None = Field(
        None, description="Of a badge: degrees that it is turned, its right side up."
    )
    place: Literal[
        "top_left",
        "top",
        "top_right",
        "left",
        "center",
        "right",
        "bottom_left",
        "bottom",
        "bottom_right",
    ] = Field("top_left", validation_alias="position")
    corner: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="x, y of its upper left corner in place of `place`: pixels, or shares of the "
        "frame up to 1.",
    )
    opacity: Annotated[Fraction01, BeforeValidator(spellings.parse_share)] = 0.9
    width: Annotated[float, BeforeValidator(spellings.parse_width)] = Field(
        0.22, gt=0, le=2160, description="Share of the frame's width up to 1; pixels beyond."
    )
    shadow: Fraction01 = Field(0.5, description="Soft shadow that sets it off from the picture.")
    box: Box | None = None
    start: Annotated[Seconds | None, BeforeValidator(as_seconds)] = None
    end: Annotated[Seconds | None, BeforeValidator(as_seconds)] = None

    @model_validator(mode="before")
    @classmethod
    def _accept_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"media": value}
        if not isinstance(value, dict):
            return value
        # A picture that another program lays over the video is a logo by its name, or a picture.
        given = next((value[k] for k in ("image", "logo") if k in value), None)
        made = spellings.rename_fields(
            spellings.parse_timing(value),
            {
                "src": "media",
                "path": "media",
                "source": "media",
                "url": "media",
                "file": "media",
                "image": "media",
                "logo": "media",
                "place": "position",
                "anchor": "position",
                "placement": "position",
                "scale": "width",
                "alpha": "opacity",
            },
        )
        if given is not None and "type" not in made:
            logo = "logo" in value or re.search("logo|brand|watermark", str(given), re.IGNORECASE)
            # A mark is kept small; a width that was asked for is kept.
            made["type"] = "logo" if logo and "width" not in made else "image"
        if "position" not in made and {"x", "y"} <= set(made):
            made["position"] = {"x": made.pop("x"), "y": made.pop("y")}
        if "duration" in made and "end" not in made:
            length = spellings.parse_seconds(made.pop("duration"))
            start = spellings.parse_seconds(made.get("start") or 0)
            if not (isinstance(start, int | float) and isinstance(length, int | float)):
                raise ValueError("start and duration of an overlay are seconds")
            made["end"] = start + length
        return spellings.overlay_place(made)

    @model_validator(mode="after")
    def _require_content(self) -> Overlay:
        if self.type == "badge" and (not self.text or self.media):
            raise ValueError("a badge has a text, and no media")
        if self.type != "badge" and (not self.media or self.text):
            raise ValueError("an overlay needs media; only a badge has a text")
        return self
