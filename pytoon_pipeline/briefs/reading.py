"""Files -> models, with every problem named by file and field."""

from __future__ import annotations

import copy
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pytoon_pipeline.briefs.field_names import suggest_field
from pytoon_pipeline.briefs.file_names import without_unseen
from pytoon_pipeline.briefs.scalars import (
    NotTextError,
    UnclearValue,
    WrittenScalar,
    decode_document,
    find_unprintable,
    number_of,
    quote_text,
    quoting_remedy,
    repair_yaml,
    resolve_scalars,
)
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.files import FileTooLargeError, NotRegularFileError, read_file, show_bytes

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
"""Values of a document, each alias counted as what it stands for. The largest plans have 3,000; a
few lines of aliases of aliases can stand for more than any memory holds."""
DEEPEST = 60
"""Lists and mappings inside each other."""
_MAX_PROBLEMS = 200
"""Of one document; nobody reads more."""
_DIGITS = 40
"""Of a number. Longer ones take for ever to be read (`1:1:1:...` is base 60), and mean nothing."""
M = TypeVar("M", bound=BaseModel)


class _YamlLoader(yaml.SafeLoader):
    """YAML as people write it: what stands without quotes keeps its characters, dates and `=` are
    text, a key twice is a mistake."""

    def __init__(self, text: str, labels: frozenset[str] = frozenset()):
        super().__init__(text)
        self.whole, self.labels = text, labels


_YamlLoader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in pairs
        if tag.rpartition(":")[2] not in ("timestamp", "value")
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# What JSON has, and nothing else: no sets, no bytes, no dates.
_YamlLoader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("map", "seq")
}


def _construct_mapping(loader: _YamlLoader, node: yaml.MappingNode) -> dict:
    seen = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a list or a mapping stands where a name belongs", key.start_mark
            )
        key.value = without_unseen(key.value)
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key.value!r} stands here twice", key.start_mark
            )
        seen.add(key.value)
    loader.flatten_mapping(node)
    # Keys are names: `no` is Norwegian, and `2024` a year.
    return {key.value: loader.construct_object(value, deep=True) for key, value in node.value}


_COMMENT = re.compile(r"[ \t]*(?<=[\s:\-,])(#[^\s#][^\r\n]*)")


def _scalar_constructor(kind: str) -> Callable[[_YamlLoader, yaml.ScalarNode], Any]:
    def construct_scalar(loader: _YamlLoader, node: yaml.ScalarNode) -> Any:
        if kind in ("int", "float") and len(node.value) > _DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value):,} digits stands here", node.start_mark
            )
        make = getattr(loader, f"construct_yaml_{kind}")
        value = number_of(node.value, lambda: make(node)) if kind == "int" else make(node)
        if node.style is not None:
            return value
        begin, end = node.start_mark.index, node.end_mark.index
        comment = _COMMENT.match(loader.whole, end)
        mark = _construct_marked(loader, begin)
        before = _before_comma(loader.whole, begin)
        if kind == "str" and not comment and not mark and not before:
            return value
        return WrittenScalar(node.value, value, comment[1].strip() if comment else "", mark, before)

    return construct_scalar


_DECIMAL = re.compile(r"\d{1,3}(?!\d)|[-\u2013\u2014]")


def _before_comma(text: str, begin: int) -> str:
    """The end of the entry before a text that begins right after a comma between digits. In a list
    in brackets YAML parts `12,90` there, and a wrong price would be shown."""
    if text[begin - 1 : begin] != "," or not text[begin - 2 : begin - 1].isdigit():
        return ""
    if not _DECIMAL.match(text, begin):
        return ""
    return re.split(r"[\[\]{},\n]", text[max(0, begin - 200) : begin - 1])[-1].strip()


def _construct_marked(loader: _YamlLoader, begin: int) -> str:
    """& and ! before a text that was meant to begin with them."""
    found = re.compile(r"&([^\s,\[\]{}]*)|!(?!!)").match(loader.whole, begin)
    return "" if not found or found[1] in loader.labels else found[0][0]


_YamlLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
for _kind in ("str", "int", "float", "bool", "null"):
    _YamlLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _scalar_constructor(_kind))


class _DocumentRefusedError(Exception):
    """Code, message and remedy of a problem."""


_UNREAD = ("file.missing", "file.unreadable")


def could_not_read(problems: Iterable[Problem]) -> bool:
    """Is a file's contents unknown, rather than wrong? It may be readable the next time, so that
    nobody may remember what was said of it."""
    return any(p.code in _UNREAD for p in problems)


_DEEP = ("file.nested", f"is nested more than {DEEPEST} deep.", "Write it flatter.")
_MANY = ("file.too_large", f"holds more than {MAX_NODES:,} values.", "A brief is a page of text.")


def read_document(
    path: Path, shown: str, model: Any = Any
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """A YAML or JSON file as a mapping, or the problems that keep it from being one. What comes
    out are JSON values that every later stage, file and database can take.

    `model`, a pydantic model, says which fields hold text: those keep the characters that stand in
    the file, `19.90` and `no`. Without one they are numbers, and false. With problems that are
    errors the data may still be there, as far as they could be read.
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
        data = _parse_json(text) if path.suffix.lower() == ".json" else _parse_yaml(text)
        data = _keep_plain(data)
        found = resolve_scalars(data, model)
        data = _keep_plain(found.data)
    except _DocumentRefusedError as refused:
        return report_failure(*refused.args)
    except json.JSONDecodeError as error:
        return report_failure(
            "file.json",
            f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            "Correct that line.",
        )
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return report_failure("file.yaml", *_no_yaml(error, text))
    if data is None:
        return report_failure(
            "file.empty", "is empty.", "`pytoon new` writes a brief to start from."
        )
    if not isinstance(data, dict):
        return report_failure(
            "file.shape", "is not a mapping of fields.", "Write `field: value` lines."
        )
    return data, [_unclear_problem(each, shown) for each in found.unclear[:_MAX_PROBLEMS]]


_MAX_SAID = 300
"""Characters of what the parser says."""


def _no_yaml(error: Exception, text: str) -> tuple[str, str]:
    """What keeps a text from being YAML, and what to write instead."""
    odd = find_unprintable(text)
    if isinstance(error, yaml.reader.ReaderError) and odd:
        return (
            f"line {odd[0]} holds the control character {ord(odd[1]):#04x}.",
            "Take it out; it came of a copy from another program.",
        )
    mark = getattr(error, "problem_mark", None)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    what = getattr(error, "problem", None) or "it can't be read"
    if len(what) > _MAX_SAID:  # It quotes names of the document, however long they are.
        what = f"{what[:_MAX_SAID]}..."
    if "another document" in what:
        return (
            f"holds more than one document: the second begins in line {mark.line + 1}.",
            "Make a file for each, and take the lines of --- out.",
        )
    if "\\t" in what:
        return f"is not valid YAML: {place}{what}.", "Indent with spaces instead of tabs."
    written = quoting_remedy(text, mark.line) if mark else ""
    return (
        f"is not valid YAML: {place}{what}.",
        f"{written} ."
        if written
        else 'Correct that line; text with a colon, a # or a leading sign goes in "quotes".',
    )


def _unclear_problem(each: UnclearValue, shown: str) -> Problem:
    """What is said of a text that YAML reads otherwise than it was most likely meant."""
    field, scalar = _field_of_location(each.path), each.scalar
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
    def parse_whole(digits: str) -> int:
        if len(digits) > _DIGITS:
            raise _DocumentRefusedError(
                "file.json", f"holds a number of {len(digits):,} digits.", "Write a smaller one."
            )
        return WrittenScalar(digits, int(digits))

    def parse_decimal(digits: str) -> Any:
        return WrittenScalar(digits, float(digits))

    try:
        return json.loads(text, parse_int=parse_whole, parse_float=parse_decimal)
    except RecursionError:
        raise _DocumentRefusedError(*_DEEP) from None


def _parse_yaml(text: str) -> Any:
    """Looked through before it is built: what PyYAML makes of a deep or self-repeating document
    takes time and memory that grow much faster than the document."""
    text = repair_yaml(text)
    depth = nodes = 0
    labels = []
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent):
            labels.append(event.anchor)
        if depth > DEEPEST:
            raise _DocumentRefusedError(*_DEEP)
        if nodes > MAX_NODES:
            raise _DocumentRefusedError(*_MANY)
        if len(labels) > 100:
            raise _DocumentRefusedError(
                "file.yaml", "uses too many aliases.", "Write the values out."
            )
    loader = _YamlLoader(text, frozenset(labels))
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _measure_node(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _measure_node(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Values and depth of a node when all its aliases are written out."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise _DocumentRefusedError(
                "file.yaml", "has an alias inside of what it stands for.", "Correct it."
            )
        return found
    known[id(node)] = None
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    weighed = [_measure_node(part, known) for part in parts]
    values = 1 + sum(count for count, _ in weighed)
    depth = 1 + max((deep for _, deep in weighed), default=-1)
    if depth > DEEPEST:
        raise _DocumentRefusedError(*_DEEP)
    if values > MAX_NODES:
        raise _DocumentRefusedError(*_MANY)
    known[id(node)] = values, depth
    return values, depth


def _keep_plain(data: Any) -> Any:
    """The same with keys that are text, if all of it can be kept: in JSON, and in a database."""
    seen = 0

    def keep_value(value: Any, depth: int) -> Any:
        nonlocal seen
        seen += 1
        if seen > MAX_NODES:
            raise _DocumentRefusedError(*_MANY)
        if depth > DEEPEST:
            raise _DocumentRefusedError(*_DEEP)
        if isinstance(value, dict):
            return {keep_value(str(k), depth): keep_value(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [keep_value(v, depth + 1) for v in value]
        if isinstance(value, WrittenScalar):
            keep_value(value.text, depth)
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise _DocumentRefusedError(
                "file.number", f"holds {value!r}, which is no number.", "Write a number."
            )
        if isinstance(value, str) and _UNKEPT.search(value):
            raise _DocumentRefusedError(
                "file.text",
                f"holds a character that is none: {_UNKEPT.search(value)[0]!a}.",
                "Take it out; it came of a copy or an export that went wrong.",
            )
        return value

    return keep_value(data, 0)


_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""What no database keeps, and halves of characters."""


def _field_of_location(loc: tuple[str | int, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _allowed_names(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
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


def _problem_of_error(error: dict[str, Any], model: type[BaseModel], shown: str) -> Problem:
    # The last part of an unknown key is the person's own, whatever it looks like.
    own = error["loc"][-1:] if error["type"] == "extra_forbidden" else ()
    loc = tuple(
        p
        for p in error["loc"][: len(error["loc"]) - len(own)]
        # A union names the branch it tried; the person named a field.
        if isinstance(p, int) or not (p.startswith(("function-", "literal[")) or p[:1].isupper())
    )
    # A message quotes the beginning of a long name.
    loc = tuple(p if isinstance(p, int) or len(p) <= 100 else p[:97] + "..." for p in loc + own)
    kind, value, context = error["type"], error.get("input"), error.get("ctx", {})
    got = json.dumps(value, ensure_ascii=False, default=str)
    got = got if len(got) <= 60 else got[:57] + "..."
    if kind == "extra_forbidden":
        known = _allowed_names(model, loc)
        close = difflib.get_close_matches(str(loc[-1]), known, 1, 0.6)
        meant = close[0] if close else suggest_field(str(loc[-1])) if len(loc) == 1 else None
        remedy = f"Known here: {', '.join(known)}."
        if meant in known:
            remedy = f"Did you mean {meant!r}?"
        elif isinstance(value, dict) and "path" in known and "." in str(loc[-1]):
            remedy = f"Write {{path: {loc[-1]}, ...}} for a file of which more is said."
        return Problem(
            "field.unknown",
            f"{loc[-1]!r} is not a known field.",
            remedy,
            "error",
            shown,
            _field_of_location(loc),
        )
    if kind == "missing":
        return Problem(
            "field.missing",
            "is needed but missing.",
            "Add it.",
            "error",
            shown,
            _field_of_location(loc),
        )
    if kind in ("string_too_short", "too_short"):
        return Problem(
            "field.empty",
            "is empty.",
            "Write something, or leave the field out.",
            "error",
            shown,
            _field_of_location(loc),
        )
    if kind == "string_too_long":
        return Problem(
            "caption.too_long" if context.get("max_length") == 2000 else "field.too_long",
            f"has {len(value):,} characters; at most {context.get('max_length'):,} are possible.",
            "Shorten it: a caption is a line or two.",
            "error",
            shown,
            _field_of_location(loc),
        )
    if kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ")
        plain = [c.strip("' ") for c in choices.split(",")]
        close = difflib.get_close_matches(str(value)[:100], plain, 1, 0.6)
        remedy = f"Did you mean {close[0]!r}? " if close else ""
        return Problem(
            "field.choice",
            f"{got} is not one of {choices}.",
            (remedy + "Choose one of these.") if not close else remedy.strip(),
            "error",
            shown,
            _field_of_location(loc),
        )
    expected = {
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
    }.get(kind)
    if kind == "string_type" and (whole := _one_text(value)):
        return Problem(
            "field.type",
            f"{got} is not text: YAML takes its signs for a mapping or a list.",
            f"Put it in quotes:  {quote_text(whole)} .",
            "error",
            shown,
            _field_of_location(loc),
        )
    if expected:
        return Problem(
            "field.type",
            f"{got} is not {expected}.",
            f"Write {expected}.",
            "error",
            shown,
            _field_of_location(loc),
        )
    message = error["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return Problem(
        "field.value",
        f"{got}: {message}.",
        "Correct the value.",
        "error",
        shown,
        _field_of_location(loc),
    )


def _one_text(value: Any) -> str:
    """The text that YAML made a mapping or a list of: `Note: read this`, `[New]`."""
    if isinstance(value, dict) and len(value) == 1:
        [(name, rest)] = value.items()
        return f"{name}: {rest}" if isinstance(rest, str | int | float) else ""
    if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        return f"[{', '.join(map(str, value))}]"
    return ""


def _remove_faulty(data: Any, loc: tuple[str | int, ...]) -> bool:
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


def validate_data(
    model: type[M], data: dict[str, Any], shown: str
) -> tuple[M | None, list[Problem]]:
    """The model, and every problem of the data. With problems the model is what is left when the
    faulty parts are taken out (so that the passes find the rest), or None."""
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        faults = error.errors()
    problems: list[Problem] = []
    seen = set()
    for fault in faults:
        if len(problems) == _MAX_PROBLEMS:
            problems.append(
                Problem("file.problems", "and more.", "Correct these first.", file=shown)
            )
            break
        if fault["type"] == "literal_error" and fault["ctx"]["expected"] == "False":
            continue  # The other branch of "a mapping, or false" says what is wrong.
        problem = _problem_of_error(fault, model, shown)
        if (problem.field, problem.code) not in seen:
            seen.add((problem.field, problem.code))
            problems.append(problem)
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
