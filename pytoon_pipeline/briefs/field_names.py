"""Names of fields: which field of a brief a column, or a misspelled field, means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.plain_text import clean_file_name

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
    "image": "media",
    "images": "media",
    "picture": "media",
    "pictures": "media",
    "photo": "media",
    "photos": "media",
    "image_link": "media",
    "file": "media",
    "files": "media",
    "headline": "hook",
    "title": "hook",
    "call_to_action": "cta",
    "lines": "beats",
    "look": "preset",
    "style": "preset",
    "language": "locale",
    "sound": "music",
    "length": "duration",
}
"""What people call fields."""


_MAX_NAME = 200
"""Characters of a column's name that may be a field."""


@dataclass(frozen=True)
class ColumnTarget:
    """The field that a column fills."""

    path: tuple[str, ...]
    kind: str
    """`text`, `yes`, `number`, `list` or `thing` (a mapping, or a word that stands for one)."""
    place: int | None = None
    """Of numbered columns: `media_2`."""

    @property
    def field(self) -> str:
        """Dotted name of the field: `music.volume_db`."""
        return ".".join(self.path)


def normalise_name(name: str) -> str:
    """Return a column's name, however it is spelled, as names of fields are: `Brand-safe` ->
    `brand_safe`."""
    return re.sub(r"[\s\-_]+", "_", clean_file_name(name).lower()).strip("_")


@lru_cache(maxsize=1)
def _brief_schema() -> dict[str, Any]:
    return Brief.model_json_schema()


def _resolve_branches(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a value may be, references followed."""
    found = []
    for branch in node.get("anyOf", [node]):
        if "$ref" in branch:
            branch = _brief_schema()["$defs"][branch["$ref"].rsplit("/", 1)[-1]]
        if branch.get("type") != "null" and "const" not in branch:
            found.append(branch)
    return found


def _kind_at(path: Sequence[str]) -> str | None:
    """Of the value at a path inside a brief; None where there is no such field."""
    nodes: list[Mapping[str, Any]] = [_brief_schema()]
    for name in path:
        inside = []
        for node in nodes:
            if name in node.get("properties", {}):
                inside += _resolve_branches(node["properties"][name])
            elif node.get("additionalProperties") is True:
                inside.append({"type": "string", "additionalProperties": True})
            else:
                patterns = node.get("patternProperties", {}).items()
                inside += [
                    b for p, n in patterns if re.search(p, name) for b in _resolve_branches(n)
                ]
        nodes = inside
    if not nodes:
        return None
    if path[-1] == "locales":
        return "list"  # Their names are enough.
    kinds = {
        "boolean": "yes",
        "number": "number",
        "integer": "number",
        "array": "list",
        "object": "thing",
    }
    return kinds.get(nodes[0].get("type", ""), "text")


@lru_cache(maxsize=4096)
def target_of(name: str) -> ColumnTarget | None:
    """Return what a column of this name fills; None when the name means no field."""
    if len(name) > _MAX_NAME:
        return None
    head, dot, rest = name.strip().partition(".")
    head = normalise_name(head)
    path: tuple[str, ...]
    if dot and head in ("metadata", "variants"):
        inner = [part.strip() for part in rest.split(".")] if head == "variants" else [rest.strip()]
        if head == "variants":
            inner[0] = normalise_name(inner[0])
        path = (head, *inner)  # Names below are the person's own: locales, keys.
    elif dot:
        path = (head, *(normalise_name(part) for part in rest.split(".")))
    else:
        path = _VARIANTS.get(head, (_field_named(head),))
    kind = _kind_at(path) if all(path) else None
    if kind is not None:
        return ColumnTarget(path, kind)
    numbered = _NUMBERED.search(name.strip())
    head = name.strip()[: numbered.start()].rstrip(" \t\n-_.") if numbered else ""
    if numbered and head and not head[-1].isdigit():
        base = normalise_name(head)
        listed = target_of(base)
        if listed is not None and listed.kind != "list":
            listed = target_of(f"{base}s")  # hook_1, hook_2: these are its variants.
        if listed is not None and listed.kind == "list" and listed.place is None:
            return ColumnTarget(listed.path, "list", int(numbered[0]))
    return None


_NUMBERED = re.compile(r"(?<!\d)\d{1,4}\Z")
"""The number of a numbered column, at the end of its name."""


def _field_named(head: str) -> str:
    fields = Brief.model_fields
    for name in (head, f"{head}s", head.removesuffix("s")):
        if name in fields:
            return name
    return head


def similar_field(name: str) -> str | None:
    """Return the field whose name a column's name is most likely a misspelling of; None where there
    is none."""
    if len(name) > _MAX_NAME:
        return None
    head, dot, _ = name.partition(".")
    if dot and target_of(head):
        return normalise_name(head)
    found = difflib.get_close_matches(
        normalise_name(head), [*Brief.model_fields, *_VARIANTS], 1, 0.75
    )
    return found[0] if found else None


def suggest_field(name: str) -> str | None:
    """Return the field that people may mean by a name that is no field; None where there is
    none."""
    head = normalise_name(name[:_MAX_NAME])
    longer = [f for f in Brief.model_fields if head.startswith(f"{f}_")]
    others = difflib.get_close_matches(head, [*NAMES, CAMPAIGN], 1, 0.75)
    return similar_field(name) or _MEANT.get(head) or next(iter(longer + others), None)
