"""The API's own description."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from pytoon_pipeline.briefs import model as briefs
from pytoon_pipeline.service.documents import ErrorDocument, RenderRequest

_REASONS = {
    400: "The body can't be read.",
    401: "No token that is known here.",
    403: "A server without a token was called by another name than localhost, by a web page, or "
    "through a proxy.",
    404: "No job has this id.",
    408: "The body stopped coming.",
    409: "That can't be done in the state the job is in.",
    413: "Too large: a file over 200 MB, all over 500 MB, the JSON over 1 MB, or over 40 files.",
    415: "Neither JSON nor a form; or a file that is no picture, clip or sound.",
    416: "The range begins behind the end of the file.",
    422: "Wrong in itself; `problems` names everything that is, with its field and a remedy.",
    500: "A fault of the server.",
    503: "The store or the table of jobs can't be used now.",
}
_TEXT = {"type": "string"}
_LIST = {"type": "array"}
_SHORT_FORMS: dict[Any, dict[str, Any]] = {
    briefs._as_text: {"type": "number"},
    briefs._as_many: {"type": ["string", "object"]},
}
"""What a brief may say in short, other than as a text: the function that spells it out -> what it
takes."""


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers that are no success, for FastAPI. Those that any call can get are among them."""
    found = {401, 403, 500, 503, *statuses}
    return {s: {"model": ErrorDocument, "description": _REASONS[s]} for s in sorted(found)}


def file_responses(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a call for a file."""
    content = {k: {"schema": {"type": "string", "format": "binary"}} for k in kinds}
    headers = {
        name: {"schema": _TEXT, "required": True}
        for name in ("ETag", "Last-Modified", "Content-Disposition")
    }
    return {
        200: {"description": "The file.", "content": content, "headers": headers},
        206: {"description": "The part asked for with `Range`.", "content": content},
        304: {"description": "Unchanged since the `ETag` of `If-None-Match`."},
        **error_responses(404, 409, 416),
    }


class _SentSchema(GenerateJsonSchema):
    """What is taken, short forms included."""

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        full = super().function_before_schema(schema)
        function = schema["function"]["function"]
        short = _SHORT_FORMS.get(function)
        if short is None:
            short = _TEXT if function.__name__ != "<lambda>" else {"type": ["string", "array"]}
        return {"anyOf": [full, short]}


def _brief_schemas() -> dict[str, Any]:
    """`Brief` and all that is in it, as components."""
    schema = briefs.Brief.model_json_schema(
        ref_template="#/components/schemas/{model}", schema_generator=_SentSchema
    )
    inner = schema.pop("$defs")
    schema["properties"].pop("variants")  # A job is one video.
    for unused in ("Variants", "ArchetypeCell", "LocaleWords"):
        inner.pop(unused, None)
    return {**inner, "Brief": schema}


def _request_schema() -> dict[str, Any]:
    schema = RenderRequest.model_json_schema()
    properties = schema["properties"]
    for name in properties:
        properties[name].pop("default", None)
    properties["campaign"]["default"] = "api"
    properties["priority"]["default"] = 0
    properties["brief"] = {"$ref": "#/components/schemas/Brief"}
    properties["spec"] = {
        "type": "object",
        "required": ["archetype", "segments"],
        "description": "A RenderSpec in place of a brief: docs/render_spec.schema.json. Both "
        "snake_case and camelCase are taken.",
    }
    schema["oneOf"] = [{"required": ["brief"]}, {"required": ["spec"]}]
    return schema


def render_body() -> dict[str, Any]:
    """The body of POST /render."""
    request = {"$ref": "#/components/schemas/RenderRequest"}
    example = {
        "brief": {
            "media": ["https://cdn.example.com/kettle.jpg"],
            "hook": "Slow mornings, well poured",
            "cta": "Meet the Dawn kettle",
        },
        "campaign": "spring",
    }
    form = {
        "type": "object",
        "required": ["brief"],
        "additionalProperties": False,
        "properties": {
            "brief": {**request, "description": "The request as JSON."},
            "media": {
                "type": "array",
                "maxItems": 40,
                "items": {"type": "string", "format": "binary"},
                "description": "Files, each with the `filename` that the brief names it by.",
            },
        },
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": request, "example": example},
            "multipart/form-data": {
                "schema": form,
                "encoding": {"brief": {"contentType": "application/json"}},
            },
        },
    }


def complete_openapi(schema: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's description with the components of the request, and without its own error."""
    components = schema.setdefault("components", {}).setdefault("schemas", {})
    for own in ("HTTPValidationError", "ValidationError"):
        components.pop(own, None)
    for path in schema["paths"].values():
        for operation in path.values():
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422", "")):
                del operation["responses"]["422"]
    components |= _brief_schemas()
    components["RenderRequest"] = _request_schema()
    schema["components"]["schemas"] = dict(sorted(components.items()))
    return schema


def as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
