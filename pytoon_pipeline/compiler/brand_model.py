"""Brand kits as their files hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pytoon_pipeline.briefs.model import Text
from pytoon_pipeline.compiler.preset_model import ROLES, PresetData
from pytoon_pipeline.plan.fields import Colour, Fraction01


class BrandFonts(PresetData):
    """Families, as the fonts' own name tables have them; `pytoon doctor` lists those there are."""

    heading: str
    body: str


class BrandLogo(PresetData):
    """Pictures with a transparent ground, beside the kit."""

    on_pictures: str = Field(description="The light version, for pictures and dark grounds.")
    on_ground: str | None = Field(
        None, description="The dark version, for light grounds; the other one if none is given."
    )


class Watermark(PresetData):
    """Where the logo stands over the video."""

    place: Literal["top_left", "top_right", "bottom_left", "bottom_right", "top", "bottom"] = (
        "top_left"
    )
    width: Fraction01 = Field(0.2, description="Share of the frame's width.")
    opacity: Fraction01 = 0.92


class EndCard(PresetData):
    """How the brand's videos close: its logo on its ground, with a line or two."""

    seconds: float = Field(1.6, ge=0.8, le=10)
    headline: Text | None = None
    line: Text | None = Field(None, description="Small, below: an address, a claim.")


class Brand(PresetData):
    """A brand's logo, colours and fonts. Files are relative to the kit's folder."""

    name: str = Field(description="As people write it.")
    colors: dict[str, Colour] = Field(
        default_factory=dict,
        description='Role -> colour, in quotes: "#B8462F". What is left out is the neutral kit\'s.',
        json_schema_extra={
            "properties": {
                role: {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$", "description": seen_as}
                for role, seen_as in ROLES.items()
            }
        },
    )
    fonts: BrandFonts | None = None
    logo: BrandLogo | None = None
    watermark: Watermark = Field(default_factory=Watermark)
    end_card: EndCard | None = None
    folder: Path = Field(default=Path("."), exclude=True)

    def color(self, role: str) -> str | None:
        """The colour of a role, or the colour itself; None when the kit has no such role."""
        return role if role.startswith("#") else self.colors.get(role)
