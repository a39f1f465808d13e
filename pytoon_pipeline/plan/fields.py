"""The kinds of fields that the models of a plan share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pytoon_pipeline.plan import spellings

Fraction01 = Annotated[float, Field(ge=0, le=1)]


Seconds = Annotated[float, Field(ge=0, le=600)]


Colour = Annotated[
    str, BeforeValidator(spellings.parse_colour), Field(pattern=r"^#[0-9A-Fa-f]{6}$")
]


Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""


class SpecModel(BaseModel):
    model_config = ConfigDict(
        extra="forbid", alias_generator=to_camel, populate_by_name=True, validate_assignment=False
    )


def with_gain(value: Any) -> Any:
    """A volume as gain in dB."""
    value = spellings.rename_fields(value, {"volume_db": "gain_db"})
    if not isinstance(value, dict) or "volume" not in value:
        return value
    rest = {k: v for k, v in value.items() if k != "volume"}
    return {**rest, "gain_db": spellings.volume_to_decibels(value["volume"])}


def as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value
