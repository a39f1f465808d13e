"""Reading of YAML and JSON files as mappings of plain values, with every problem named by file and
field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from pytoon_pipeline.briefs.scalars import (
    NotTextError,
    UnclearValue,
    WrittenScalar,
    decode_document,
    quote_text,
    resolve_scalars,
)
from pytoon_pipeline.briefs.validation import MAX_PROBLEMS, field_of_location
from pytoon_pipeline.briefs.yaml_loader import (
    DEEPEST,
    MAX_DIGITS,
    MAX_NODES,
    TOO_DEEP,
    TOO_MANY_VALUES,
    DocumentRefusedError,
    describe_yaml_error,
    parse_yaml,
)
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.files import FileTooLargeError, NotRegularFileError, read_file, show_bytes

MAX_BYTES = 1_000_000
"""Bytes of a file of a brief."""
_UNREAD = ("file.missing", "file.unreadable")


def could_not_read(problems: Iterable[Problem]) -> bool:
    """Return whether one of the problems says that a file could not be read. Its contents are
    unknown then, not wrong, and it may be readable the next time: such an answer must not be
    cached."""
    return any(p.code in _UNREAD for p in problems)


def read_document(
    path: Path, shown: str, model: Any = Any
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """Read a YAML or JSON file. Returns its mapping and the problems of the file, named `shown` in
    them; the mapping is None where the file can't be read as one. It holds only values of JSON that
    every later stage, file and database can take. Nothing is raised for a bad file.

    `model`, a pydantic model, says which fields hold text: those keep the characters that stand in
    the file, `19.90` and `no`. Without a model they become a number and false. The mapping may be
    there beside problems that are errors: it is then what could be read.
    """

    def report_failure(code: str, message: str, remedy: str) -> tuple[None, list[Problem]]:
        return None, [Problem(code, message, remedy, file=shown)]

    text = ""
    try:
        text = decode_document(read_file(path, MAX_BYTES))
    except FileTooLargeError as error:
        return report_failure(
            "file.too_large", f"is over {show_bytes(error.most)}.", "A brief is a page of text."
        )
    except NotRegularFileError as error:
        return report_failure(
            "file.kind", f"is {error.kind}, not a file.", "Write a file of text under this name."
        )
    except FileNotFoundError:
        return report_failure("file.missing", "does not exist.", "Check the path.")
    except NotTextError as error:
        return report_failure("file.encoding", error.message, error.remedy)
    except OSError as error:
        return report_failure(
            "file.unreadable", f"can't be read: {error.strerror}.", "Check its rights."
        )
    try:
        data = _parse_json(text) if path.suffix.lower() == ".json" else parse_yaml(text)
        data = _keep_plain(data)
        found = resolve_scalars(data, model)
        data = _keep_plain(found.data)
    except DocumentRefusedError as refused:
        return report_failure(*refused.args)
    except json.JSONDecodeError as error:
        return report_failure(
            "file.json",
            f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            "Correct that line.",
        )
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return report_failure("file.yaml", *describe_yaml_error(error, text))
    if data is None:
        return report_failure(
            "file.empty", "is empty.", "`pytoon new` writes a brief to start from."
        )
    if not isinstance(data, dict):
        return report_failure(
            "file.shape", "is not a mapping of fields.", "Write `field: value` lines."
        )
    return data, [_unclear_problem(each, shown) for each in found.unclear[:MAX_PROBLEMS]]


def _unclear_problem(each: UnclearValue, shown: str) -> Problem:
    """What is said of a text that YAML reads otherwise than it was most likely meant."""
    field, scalar = field_of_location(each.path), each.scalar
    name = "- " if each.path and isinstance(each.path[-1], int) else f"{field.split('.')[-1]}: "
    if each.kind in ("comment", "lost"):
        whole = f"{scalar.text} {scalar.comment}".strip()
        message = f"YAML takes {scalar.comment!r} for a comment, so " + (
            "the field is empty." if each.kind == "lost" else "it would not be shown."
        )
        return Problem(
            "text.comment",
            message,
            f"Write  {name}{quote_text(whole)}  or, for a comment, leave a space after the #.",
            "error",
            shown,
            field,
        )
    if each.kind == "mark":
        return Problem(
            "text.mark",
            f"YAML takes a leading {scalar.mark} for a sign of its own.",
            f'Put the whole text in quotes:  {name}"{scalar.mark}..." .',
            "error",
            shown,
            field,
        )
    if each.kind == "comma":
        whole = f"{each.scalar.before},{scalar.text}"
        return Problem(
            "text.comma",
            f"YAML parts {whole!r} at its comma, into two lines.",
            f"Write  {quote_text(whole)}  in quotes; where two lines are meant, put a space after "
            "the comma.",
            "error",
            shown,
            field,
        )
    remedy = f"Write  {name}{quote_text(scalar.text)}  if that is meant; for nothing, leave it out."
    what = "is shown as this word" if each.kind == "word" else "means nothing, and is left out"
    return Problem("text.word", f"{scalar.text} {what}.", remedy, "warning", shown, field)


def _parse_json(text: str) -> Any:
    def parse_whole(digits: str) -> WrittenScalar:
        if len(digits) > MAX_DIGITS:
            raise DocumentRefusedError(
                "file.json", f"holds a number of {len(digits):,} digits.", "Write a smaller one."
            )
        return WrittenScalar(digits, int(digits))

    def parse_decimal(digits: str) -> WrittenScalar:
        return WrittenScalar(digits, float(digits))

    try:
        return json.loads(text, parse_int=parse_whole, parse_float=parse_decimal)
    except RecursionError:
        raise DocumentRefusedError(*TOO_DEEP) from None


def _keep_plain(data: Any) -> Any:
    """The same with keys that are text, if all of it can be kept: in JSON, and in a database."""
    seen = 0

    def keep_value(value: Any, depth: int) -> Any:
        nonlocal seen
        seen += 1
        if seen > MAX_NODES:
            raise DocumentRefusedError(*TOO_MANY_VALUES)
        if depth > DEEPEST:
            raise DocumentRefusedError(*TOO_DEEP)
        if isinstance(value, dict):
            return {keep_value(str(k), depth): keep_value(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [keep_value(v, depth + 1) for v in value]
        if isinstance(value, WrittenScalar):
            keep_value(value.text, depth)
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentRefusedError(
                "file.number", f"holds {value!r}, which is no number.", "Write a number."
            )
        if isinstance(value, str) and (unkept := _UNKEPT.search(value)):
            raise DocumentRefusedError(
                "file.text",
                f"holds a character that is none: {unkept[0]!a}.",
                "Take it out; it came of a copy or an export that went wrong.",
            )
        return value

    return keep_value(data, 0)


_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What no database keeps, and halves of characters."""
