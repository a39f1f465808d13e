"""JSON Schemas of what people and programs write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from rich.text import Text

from pytoon_pipeline.briefs import model as briefs
from pytoon_pipeline.cli.files import write_text
from pytoon_pipeline.cli.terminal import OK, open_console
from pytoon_pipeline.compiler.brand_model import Brand
from pytoon_pipeline.compiler.preset_model import Preset
from pytoon_pipeline.plan.model import RenderSpec

SCHEMAS: dict[str, type[BaseModel]] = {
    "brief.schema.json": briefs.Brief,
    "render_spec.schema.json": RenderSpec,
    "brand.schema.json": Brand,
    "preset.schema.json": Preset,
}
"""File name -> model."""

SHORT_FORMS: dict[Callable[[Any], Any], dict[str, Any]] = {
    briefs._as_text: {"type": "number"},
    briefs._normalise_item: {"type": "string"},
    briefs._normalise_voice: {"type": "string"},
    briefs._normalise_prompt: {"type": "string"},
    briefs._normalise_music: {"type": "string"},
    briefs._as_many: {"type": ["string", "object"]},
}
"""What a brief may say in short: the function that spells it out -> what it takes. An editor that
checks a brief by the schema must not mark these as wrong."""


_FROM_PLACE: dict[type[BaseModel], tuple[str, ...]] = {Brand: ("folder",), Preset: ("name",)}


class _InputSchema(GenerateJsonSchema):
    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        full = super().function_before_schema(schema)
        short = SHORT_FORMS.get(schema["function"]["function"])
        return {"anyOf": [full, short]} if short else full


def schema_text(model: type[BaseModel]) -> str:
    """The JSON Schema of a document, names in snake_case, as a file's text."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=False, schema_generator=_InputSchema),
    }
    # Known from where the file lies, and not written in it.
    for name in _FROM_PLACE.get(model, ()):
        schema["properties"].pop(name, None)
        schema["required"] = [n for n in schema["required"] if n != name]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> int:
    to = open_console()
    for name, model in SCHEMAS.items():
        write_text(folder / name, schema_text(model))
        to.print(Text(str(folder / name)), soft_wrap=True)
    from pytoon_pipeline.service.app import openapi_text

    write_text(folder / "openapi.json", openapi_text())
    to.print(Text(str(folder / "openapi.json")), soft_wrap=True)
    return OK
