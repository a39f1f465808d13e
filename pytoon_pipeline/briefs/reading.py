"""Files -> models, with every problem named by file and field."""

from __future__ import annotations

import copy
import difflib
import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pytoon_pipeline.errors import Problem

MAX_BYTES = 1_000_000
M = TypeVar("M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML as people write it: dates and times stay text, a key twice is a mistake."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a list or a mapping stands where a name belongs", key.start_mark
            )
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key.value!r} stands here twice", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_document(path: Path, shown: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    """A YAML or JSON file as a mapping, or the problems that keep it from being one."""

    def fail(code: str, message: str, remedy: str) -> tuple[None, list[Problem]]:
        return None, [Problem(code, message, remedy, file=shown)]

    try:
        if path.stat().st_size > MAX_BYTES:
            return fail("file.too_large", "is over 1 MB.", "A brief is a page of text.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return fail("file.missing", "does not exist.", "Check the path.")
    except UnicodeDecodeError:
        return fail("file.encoding", "is not UTF-8 text.", "Save it as UTF-8.")
    except OSError as error:
        return fail("file.unreadable", f"can't be read: {error.strerror}.", "Check its rights.")
    try:
        if path.suffix.lower() == ".json":
            data = json.loads(text)
        else:
            if sum(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, _Loader)) > 100:
                return fail("file.yaml", "uses too many aliases.", "Write the values out.")
            data = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except json.JSONDecodeError as error:
        return fail(
            "file.json",
            f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            "Mend that line.",
        )
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or "it can't be read"
        return fail(
            "file.yaml",
            f"is not valid YAML: {place}{what}.",
            'Mend that line; text with a colon or a leading sign goes in "quotes".',
        )
    if data is None:
        return fail("file.empty", "is empty.", "`pytoon new` writes a brief to start from.")
    if not isinstance(data, dict):
        return fail("file.shape", "is not a mapping of fields.", "Write `field: value` lines.")
    return {str(k): v for k, v in data.items()}, []


def _field(loc: tuple[str | int, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _names(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Names that would have been allowed in the place of an unknown key."""
    fields = _fields(model)
    for part in loc[:-1]:
        if isinstance(part, int):
            continue
        info = fields.get(part)
        inner = _inner_model(info.annotation) if info else None
        if inner is None:
            return []
        fields = _fields(inner)
    return list(dict.fromkeys(name for name in fields if name.islower()))


def _fields(model: type[BaseModel]) -> dict[str, Any]:
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


def _problem(error: dict[str, Any], model: type[BaseModel], shown: str) -> Problem:
    # The last part of an unknown key is the person's own, whatever it looks like.
    own = error["loc"][-1:] if error["type"] == "extra_forbidden" else ()
    loc = tuple(
        p
        for p in error["loc"][: len(error["loc"]) - len(own)]
        # A union names the branch it tried; the person named a field.
        if isinstance(p, int) or not (p.startswith(("function-", "literal[")) or p[:1].isupper())
    )
    loc += own
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    got = json.dumps(value, ensure_ascii=False, default=str)
    got = got if len(got) <= 60 else got[:57] + "..."
    if kind == "extra_forbidden":
        known = _names(model, loc)
        close = difflib.get_close_matches(str(loc[-1]), known, 1, 0.6)
        remedy = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(known)}."
        return Problem(
            "field.unknown", f"{loc[-1]!r} is not a known field.", remedy, "error", shown,
            _field(loc),
        )
    if kind == "missing":
        return Problem(
            "field.missing", "is needed but missing.", "Add it.", "error", shown, _field(loc)
        )
    if kind in ("string_too_short", "too_short"):
        return Problem(
            "field.empty", "is empty.", "Write something, or leave the field out.", "error", shown,
            _field(loc),
        )
    if kind == "string_too_long":
        return Problem(
            "caption.too_long" if context.get("max_length") == 2000 else "field.too_long",
            f"has {len(value):,} characters; at most {context.get('max_length'):,} are possible.",
            "Shorten it: a caption is a line or two.", "error", shown, _field(loc),
        )
    if kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ")
        plain = [c.strip("' ") for c in choices.split(",")]
        close = difflib.get_close_matches(str(value), plain, 1, 0.6)
        remedy = f"Did you mean {close[0]!r}? " if close else ""
        return Problem(
            "field.choice", f"{got} is not one of {choices}.", (remedy + "Choose one of these.")
            if not close else remedy.strip(), "error", shown, _field(loc),
        )
    expected = {
        "string_type": "text", "int_parsing": "a whole number", "float_parsing": "a number",
        "float_type": "a number", "int_type": "a whole number", "bool_parsing": "true or false",
        "bool_type": "true or false", "list_type": "a list", "dict_type": "a mapping of fields",
        "model_type": "a mapping of fields", "model_attributes_type": "a mapping of fields",
        "int_from_float": "a whole number",
    }.get(kind)
    if expected:
        return Problem(
            "field.type", f"{got} is not {expected}.", f"Write {expected}.", "error", shown,
            _field(loc),
        )
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return Problem(
        "field.value", f"{got}: {message}.", "Correct the value.", "error", shown, _field(loc)
    )


def _remove(data: Any, loc: tuple[str | int, ...]) -> bool:
    """Take the faulty part out, as near to its place as the data allow."""
    path = []
    for part in loc:
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if not inside:
            continue
        path.append((data, part))
        data = data[part]
    if not path:
        return False
    holder, part = path[-1]
    if isinstance(holder, list):
        holder[part] = None
    else:
        del holder[part]
    return True


def _without_gaps(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _without_gaps(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_without_gaps(v) for v in data if v is not None]
    return data


def validate(
    model: type[M], data: dict[str, Any], shown: str
) -> tuple[M | None, list[Problem]]:
    """The model, and every problem of the data. With problems the model is what is left when the
    faulty parts are taken out (so that the passes find the rest), or None."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        faults = error.errors()
    problems: list[Problem] = []
    for fault in faults:
        if fault["type"] == "literal_error" and fault["ctx"]["expected"] == "False":
            continue  # The other branch of "a mapping, or false" says what is wrong.
        problem = _problem(fault, model, shown)
        if (problem.field, problem.code) not in {(p.field, p.code) for p in problems}:
            problems.append(problem)
    rest = copy.deepcopy(data)
    for _ in range(4):  # What is left of an item can be wrong for the lack of what was taken out.
        for fault in faults:
            _remove(rest, fault["loc"])
        rest = _without_gaps(rest)
        try:
            return model.model_validate(rest), problems
        except ValidationError as error:
            faults = error.errors()
    return None, problems
