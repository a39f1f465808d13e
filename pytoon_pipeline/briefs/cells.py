"""Columns and cells: which field a column is, and what a cell says in it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.plain_text import clean_file_name, strip_unseen

NAMES = ("name", "id", "sku", "handle")
"""Columns that name a row, the first of these that there is."""
CAMPAIGN = "campaign"
OURS = ("status", "video", "error", "updated_at")
"""Columns that Pytoon writes to; they say nothing of a brief."""
SHOWN = ("media", "generate", "hook", "beats", "cta")
"""Fields of which a table of briefs has at least one."""

_VARIANTS = {n: ("variants", n) for n in ("hooks", "ctas", "locales", "archetypes", "presets")}
_LISTED_NAMES = ("locales", "archetypes", "presets", "colors")
"""Lists of names, which hold no commas: there a comma separates, too."""
_LISTED_TEXTS = ("beats", "hooks", "ctas", "generate")
"""Lists of texts, which may hold a stroke: only one between spaces separates."""
_MEANT = {
    "image": "media", "images": "media", "picture": "media", "pictures": "media",
    "photo": "media", "photos": "media", "image_link": "media", "file": "media", "files": "media",
    "headline": "hook", "title": "hook", "call_to_action": "cta", "lines": "beats",
    "look": "preset", "style": "preset", "language": "locale", "sound": "music",
    "length": "duration",
}  # fmt: skip
"""What people call fields."""
_DEEPEST = 20
"""Levels of JSON in a cell."""
_MOST_JSON = 100_000
"""Characters of JSON in a cell; spreadsheets take 32,767."""
_MOST_PARTS = 1_000
"""Values of a list in a cell; what is beyond is one too many for every field."""
_MOST_NAME = 200
"""Characters of a column's name that may be a field."""


# What a column is --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """What a column fills."""

    path: tuple[str, ...]
    kind: str
    """`text`, `yes`, `number`, `list` or `thing` (a mapping, or a word that stands for one)."""
    place: int | None = None
    """Of numbered columns: `media_2`."""

    @property
    def field(self) -> str:
        return ".".join(self.path)


def plain(name: str) -> str:
    """A column's name, however it is spelled: `Brand-safe` -> `brand_safe`."""
    return re.sub(r"[\s\-_]+", "_", clean_file_name(name).lower()).strip("_")


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return Brief.model_json_schema()


def _branches(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a value may be, references followed."""
    found = []
    for branch in node.get("anyOf", [node]):
        if "$ref" in branch:
            branch = _schema()["$defs"][branch["$ref"].rsplit("/", 1)[-1]]
        if branch.get("type") != "null" and "const" not in branch:
            found.append(branch)
    return found


def _kind(path: Sequence[str]) -> str | None:
    """Of the value at a path inside a brief; None where there is no such field."""
    nodes: list[Mapping[str, Any]] = [_schema()]
    for name in path:
        inside = []
        for node in nodes:
            if name in node.get("properties", {}):
                inside += _branches(node["properties"][name])
            elif node.get("additionalProperties") is True:
                inside.append({"type": "string", "additionalProperties": True})
            else:
                patterns = node.get("patternProperties", {}).items()
                inside += [b for p, n in patterns if re.search(p, name) for b in _branches(n)]
        nodes = inside
    if not nodes:
        return None
    if path[-1] == "locales":
        return "list"  # Their names are enough.
    kinds = {"boolean": "yes", "number": "number", "integer": "number", "array": "list",
             "object": "thing"}  # fmt: skip
    return kinds.get(nodes[0].get("type", ""), "text")


@lru_cache(maxsize=4096)
def target_of(name: str) -> Target | None:
    """What a column of this name fills; None when no field is meant."""
    if len(name) > _MOST_NAME:
        return None
    head, dot, rest = name.strip().partition(".")
    head = plain(head)
    path: tuple[str, ...]
    if dot and head in ("metadata", "variants"):
        inner = [part.strip() for part in rest.split(".")] if head == "variants" else [rest.strip()]
        if head == "variants":
            inner[0] = plain(inner[0])
        path = (head, *inner)  # Names below are the person's own: locales, keys.
    elif dot:
        path = (head, *(plain(part) for part in rest.split(".")))
    else:
        path = _VARIANTS.get(head, (_field_named(head),))
    kind = _kind(path) if all(path) else None
    if kind is not None:
        return Target(path, kind)
    numbered = _NUMBERED.search(name.strip())
    head = name.strip()[: numbered.start()].rstrip(" \t\n-_.") if numbered else ""
    if numbered and head and not head[-1].isdigit():
        base = plain(head)
        listed = target_of(base)
        if listed is not None and listed.kind != "list":
            listed = target_of(f"{base}s")  # hook_1, hook_2: these are its variants.
        if listed is not None and listed.kind == "list" and listed.place is None:
            return Target(listed.path, "list", int(numbered[0]))
    return None


_NUMBERED = re.compile(r"(?<!\d)\d{1,4}\Z")
"""The number of a numbered column, at the end of its name."""


def _field_named(head: str) -> str:
    fields = Brief.model_fields
    for name in (head, f"{head}s", head.removesuffix("s")):
        if name in fields:
            return name
    return head


def close_to(name: str) -> str | None:
    """The field that a column's name is most likely a slip of."""
    if len(name) > _MOST_NAME:
        return None
    head, dot, _ = name.partition(".")
    if dot and target_of(head):
        return plain(head)
    found = difflib.get_close_matches(plain(head), [*Brief.model_fields, *_VARIANTS], 1, 0.75)
    return found[0] if found else None


def hint(name: str) -> str | None:
    """The field that people may mean by a column that is none."""
    head = plain(name[:_MOST_NAME])
    longer = [f for f in Brief.model_fields if head.startswith(f"{f}_")]
    others = difflib.get_close_matches(head, [*NAMES, CAMPAIGN], 1, 0.75)
    return close_to(name) or _MEANT.get(head) or next(iter(longer + others), None)


# What a cell says --------------------------------------------------------------------------------


class CellError(ValueError):
    """A cell can't be what its column says, or is doubtful."""

    def __init__(
        self, message: str, remedy: str, severity: str = "error", column: str | None = None
    ):
        self.message, self.remedy, self.severity = message, remedy, severity
        self.column = column
        """The column that is at fault, where it is another than the one that is read."""
        super().__init__(message)


def clean(value: str) -> str:
    """Text that every later stage, file and database can take."""
    text = value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:  # Halves of characters, from JSON.
        text = text.encode("utf-8", "replace").decode()
    return strip_unseen(text)


def _tidy(value: Any, depth: int = 0) -> Any:
    """JSON that every later stage can take."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(k)): _tidy(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [_tidy(v, depth + 1) for v in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _whole(digits: str) -> int:
    if len(digits) > 40:
        raise ValueError(f"a number of {len(digits):,} digits stands in it")
    return int(digits)


def _json(text: str) -> Any:
    try:
        if len(text) > _MOST_JSON:
            raise ValueError(f"it is over {_MOST_JSON:,} characters long")
        return _tidy(json.loads(text, parse_constant=_no_constant, parse_int=_whole))
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise CellError(
            f"begins like JSON and can't be read: {what}.",
            'Write for example ["a.jpg", {"path": "b.jpg", "text": "New"}].',
        ) from error


def _number(text: str) -> Any:
    """`15`, `12,5`, `15 s`; anything else stays text, for the compiler to name."""
    found = re.fullmatch(r"([+-]?\d{1,9})(?:[.,](\d{1,9}))?\s*(?:s|sec|secs|seconds)?", text, re.I)
    if not found or not text.isascii():
        return text
    number = float(f"{found[1]}.{found[2] or 0}")
    return int(number) if number.is_integer() else number


_YES = {"yes": True, "true": True, "1": True, "y": True, "on": True,
        "no": False, "false": False, "0": False, "n": False, "off": False}  # fmt: skip


def _parts(text: str, name: str, separator: str | None) -> list[str]:
    if separator is not None:
        parts = re.split(rf"{re.escape(separator)}|\n", text)
    elif name in _LISTED_NAMES:
        parts = re.split(r"[|,;\n]", text)
    elif name in _LISTED_TEXTS:
        parts = re.split(r"\s\|\s|\n", text)
    else:
        parts = re.split(r"[|\n]", text)
    return [p.strip() for p in parts[: _MOST_PARTS] if p.strip()]


def cell(target: Target, value: Any, separator: str | None = None) -> Any:
    """What a cell's value says in its column: None for nothing; a list for lists.

    Text is read as a person writes it; other values (of a database, of a mapping's defaults) are
    taken as they are. Raises CellError.
    """
    name = target.path[-1]
    if not isinstance(value, str):
        if isinstance(value, Decimal) and _is_text(target):
            return f"{value:f}"  # `19.90` keeps its zero.
        if isinstance(value, int | float) and _is_text(target):
            return json.dumps(value)
        if target.kind == "yes" and value in (0, 1):
            return bool(value)
        try:
            value = _tidy(value)
        except ValueError as error:
            raise CellError(f"can't be used: {error}.", "Write it flatter.") from error
        if isinstance(value, dict) and name == "locales":
            return value
        return [value] if target.kind == "list" and not isinstance(value, list | None) else value
    text = clean(value)
    if not text:
        return None
    if target.kind == "yes":
        return _YES.get(text.lower(), text)
    if target.kind == "number":
        return _number(text)
    if target.kind == "thing":
        if text[0] in "[{":
            return _json(text)
        return False if name == "music" and text.lower() in ("false", "0") else text
    if target.kind == "list":
        said: Any = None
        if text[0] in "[{":
            try:
                said = _json(text)
            except CellError:
                if name not in _LISTED_TEXTS:
                    raise  # A text may begin with a bracket; a file or a name does not.
        if said is None:
            said = _parts(text, name, separator)
        elif isinstance(said, dict) and name != "locales":
            said = [said]
        return said or None
    return text


def _is_text(target: Target) -> bool:
    """Of metadata nothing is known: there a number stays one."""
    return target.kind == "text" and target.path[0] != "metadata"
