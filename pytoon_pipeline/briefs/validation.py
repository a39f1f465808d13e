"""Mappings of plain values to pydantic models, with every problem named by its field."""

from __future__ import annotations

import copy
import difflib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pytoon_pipeline.briefs.field_names import suggest_field
from pytoon_pipeline.briefs.scalars import quote_text
from pytoon_pipeline.errors import Problem

MAX_PROBLEMS = 200
"""Problems that are reported of one document; nobody reads more."""
_MAX_LINE = 2000
"""Characters of the fields that hold a caption."""
_EXPECTED = {
    "string_type": "text",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of fields",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "int_from_float": "a whole number",
    "tuple_type": "a list of numbers in [ ]",
}
"""Type of an error of pydantic -> what belongs in the field instead."""

M = TypeVar("M", bound=BaseModel)
Location = tuple[str | int, ...]
"""The place of a value in a document: names of fields, and positions in lists from 0."""


def validate_data(
    model: type[M], data: dict[str, Any], shown: str
) -> tuple[M | None, list[Problem]]:
    """Validate a mapping as `model`. Returns the model and every problem of the data; `shown` is
    the name of the file in them.

    With problems the model is built from what is left when the faulty parts are taken out, so that
    later passes find the other problems; it is None where too little is left.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        faults = error.errors()
    problems = _problems_of_errors(faults, model, shown)
    rest = copy.deepcopy(data)
    for _ in range(4):  # What is left of an item can be wrong for the lack of what was taken out.
        for fault in faults:
            _remove_faulty(rest, fault["loc"])
        rest = _without_gaps(rest)
        try:
            return model.model_validate(rest), problems
        except ValidationError as error:
            faults = error.errors()
    return None, problems


def field_of_location(loc: Location) -> str:
    """Return the dotted name of a place: `media[2].path` for `("media", 2, "path")`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


# Errors of pydantic -> problems ------------------------------------------------------------------


def _problems_of_errors(
    faults: list[ErrorDetails], model: type[BaseModel], shown: str
) -> list[Problem]:
    """One problem for each field and code, MAX_PROBLEMS at most."""
    problems: list[Problem] = []
    seen = set()
    for fault in faults:
        if len(problems) == MAX_PROBLEMS:
            problems.append(
                Problem("file.problems", "and more.", "Correct these first.", file=shown)
            )
            break
        if fault["type"] == "literal_error" and fault["ctx"]["expected"] == "False":
            continue  # The other branch of "a mapping, or false" says what is wrong.
        loc = _location_of_error(fault)
        code, message, remedy = _explain_error(fault, model, loc)
        problem = Problem(code, message, remedy, "error", shown, field_of_location(loc))
        if (problem.field, problem.code) not in seen:
            seen.add((problem.field, problem.code))
            problems.append(problem)
    return problems


def _location_of_error(error: ErrorDetails) -> Location:
    """The place of an error as its author knows it, with names of at most 100 characters."""
    # The last part of an unknown key is the person's own, whatever it looks like.
    own = error["loc"][-1:] if error["type"] == "extra_forbidden" else ()
    loc = tuple(
        p
        for p in error["loc"][: len(error["loc"]) - len(own)]
        # A union names the branch it tried; the person named a field.
        if isinstance(p, int) or not (p.startswith(("function-", "literal[")) or p[:1].isupper())
    )
    # A message quotes the beginning of a long name.
    return tuple(p if isinstance(p, int) or len(p) <= 100 else p[:97] + "..." for p in loc + own)


def _explain_error(
    error: ErrorDetails, model: type[BaseModel], loc: Location
) -> tuple[str, str, str]:
    """Code, message and remedy of the problem that an error is."""
    kind, value = error["type"], error["input"]
    if kind == "extra_forbidden":
        return _explain_unknown_field(value, model, loc)
    if kind == "missing":
        return "field.missing", "is needed but missing.", "Add it."
    if kind in ("string_too_short", "too_short"):
        return "field.empty", "is empty.", "Write something, or leave the field out."
    if kind == "string_too_long":
        most = error["ctx"]["max_length"]
        return (
            "caption.too_long" if most == _MAX_LINE else "field.too_long",
            f"has {len(value):,} characters; at most {most:,} are possible.",
            "Shorten it: a caption is a line or two.",
        )
    got = _quote_value(value)
    if kind == "literal_error":
        return _explain_wrong_choice(got, str(value), error["ctx"]["expected"])
    if kind == "string_type" and (whole := _one_text(value)):
        return (
            "field.type",
            f"{got} is not text: YAML takes its signs for a mapping or a list.",
            f"Put it in quotes:  {quote_text(whole)} .",
        )
    expected = _EXPECTED.get(kind)
    if expected:
        return "field.type", f"{got} is not {expected}.", f"Write {expected}."
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return "field.value", f"{got}: {message}.", "Correct the value."


def _quote_value(value: Any) -> str:
    """The beginning of a value as JSON, 60 characters at most."""
    got = json.dumps(value, ensure_ascii=False, default=str)
    return got if len(got) <= 60 else got[:57] + "..."


def _explain_unknown_field(
    value: Any, model: type[BaseModel], loc: Location
) -> tuple[str, str, str]:
    name = str(loc[-1])
    known = _allowed_names(model, loc)
    close = difflib.get_close_matches(name, known, 1, 0.6)
    meant = close[0] if close else suggest_field(name) if len(loc) == 1 else None
    remedy = f"Known here: {', '.join(known)}."
    if meant in known:
        remedy = f"Did you mean {meant!r}?"
    elif isinstance(value, dict) and "path" in known and "." in name:
        remedy = f"Write {{path: {name}, ...}} for a file of which more is said."
    return "field.unknown", f"{loc[-1]!r} is not a known field.", remedy


def _explain_wrong_choice(got: str, value: str, expected: str) -> tuple[str, str, str]:
    choices = expected.replace(" or ", ", ")
    plain = [c.strip("' ") for c in choices.split(",")]
    close = difflib.get_close_matches(value[:100], plain, 1, 0.6)
    remedy = f"Did you mean {close[0]!r}?" if close else "Choose one of these."
    return "field.choice", f"{got} is not one of {choices}.", remedy


def _one_text(value: Any) -> str:
    """The text that YAML made a mapping or a list of: `Note: read this`, `[New]`."""
    if isinstance(value, dict) and len(value) == 1:
        [(name, rest)] = value.items()
        return f"{name}: {rest}" if isinstance(rest, str | int | float) else ""
    if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        return f"[{', '.join(map(str, value))}]"
    return ""


# Fields of a model -------------------------------------------------------------------------------


def _allowed_names(model: type[BaseModel], loc: Location) -> list[str]:
    """Names that would have been allowed in the place of an unknown key."""
    fields = _fields_by_name(model)
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        info = fields.get(part)
        inner = _inner_model(info.annotation) if info else None
        if inner is None:
            return []
        fields = _fields_by_name(inner)
    return list(dict.fromkeys(name for name in fields if name.islower()))


def _fields_by_name(model: type[BaseModel]) -> dict[str, Any]:
    """Fields by their own names and by those of hand-written files."""
    fields = dict(model.model_fields)
    return {**fields, **{i.alias: i for i in fields.values() if i.alias}}


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _inner_model(part)
        if found:
            return found
    return None


# What is left without the faulty parts -----------------------------------------------------------


def _remove_faulty(data: Any, loc: Location) -> None:
    """Take the faulty part out of the data, as near to its place as they allow: an entry of a list
    becomes None, so that the others keep their positions."""
    holder, key = None, None
    for part in loc:
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if inside:
            holder, key = data, part
            data = data[part]
    if isinstance(holder, list) and isinstance(key, int):
        holder[key] = None
    elif isinstance(holder, dict):
        del holder[key]


def _without_gaps(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _without_gaps(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_without_gaps(v) for v in data if v is not None]
    return data
