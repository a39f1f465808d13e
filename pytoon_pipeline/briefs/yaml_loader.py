"""Parsing of YAML as people write it.

Scalars without quotes keep their characters (`WrittenScalar`), a key that stands twice is an error,
and a document that would take too much time or memory is refused before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml

from pytoon_pipeline.briefs.file_names import without_unseen
from pytoon_pipeline.briefs.scalars import (
    WrittenScalar,
    find_unprintable,
    number_of,
    quoting_remedy,
    repair_yaml,
)

MAX_NODES = 20_000
"""Values of a document, each alias counted as what it stands for. The largest plans have 3,000; a
few lines of aliases of aliases can stand for more than any memory holds."""
DEEPEST = 60
"""Lists and mappings inside each other."""
MAX_DIGITS = 40
"""Digits of a number. Longer ones take very long to be read (`1:1:1:...` is base 60), and have no
use."""
_MAX_ALIASES = 100
"""Aliases in one document."""
TOO_DEEP = ("file.nested", f"is nested more than {DEEPEST} deep.", "Write it flatter.")
TOO_MANY_VALUES = (
    "file.too_large",
    f"holds more than {MAX_NODES:,} values.",
    "A brief is a page of text.",
)


class DocumentRefusedError(Exception):
    """A document is not read. Its arguments are the code, message and remedy of the problem."""


def parse_yaml(text: str) -> Any:
    """Parse a YAML text into mappings, lists and scalars; None for an empty one.

    The events are counted before anything is built, as what PyYAML makes of a deep or
    self-repeating document takes time and memory that grow much faster than the document. Raises
    DocumentRefusedError for a document over the limits, yaml.YAMLError for a text that is no YAML.
    """
    text = repair_yaml(text)
    depth = nodes = 0
    labels: list[str] = []
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent) and event.anchor is not None:
            labels.append(event.anchor)
        if depth > DEEPEST:
            raise DocumentRefusedError(*TOO_DEEP)
        if nodes > MAX_NODES:
            raise DocumentRefusedError(*TOO_MANY_VALUES)
        if len(labels) > _MAX_ALIASES:
            raise DocumentRefusedError(
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
            raise DocumentRefusedError(
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
        raise DocumentRefusedError(*TOO_DEEP)
    if values > MAX_NODES:
        raise DocumentRefusedError(*TOO_MANY_VALUES)
    known[id(node)] = values, depth
    return values, depth


# Building ----------------------------------------------------------------------------------------


class _YamlLoader(yaml.SafeLoader):
    """Keeps the characters of what stands without quotes, reads dates and `=` as text, and refuses
    a key that stands twice. `labels` are the names of the aliases in the text."""

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
        if kind in ("int", "float") and len(node.value) > MAX_DIGITS:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value):,} digits stands here", node.start_mark
            )
        make = getattr(loader, f"construct_yaml_{kind}")
        value = number_of(node.value, lambda: make(node)) if kind == "int" else make(node)
        if node.style is not None:
            return value
        begin, end = node.start_mark.index, node.end_mark.index
        comment = _COMMENT.match(loader.whole, end)
        mark = _leading_mark(loader, begin)
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


def _leading_mark(loader: _YamlLoader, begin: int) -> str:
    """`&` or `!` before a text that was meant to begin with it; empty where there is none."""
    found = re.compile(r"&([^\s,\[\]{}]*)|!(?!!)").match(loader.whole, begin)
    return "" if not found or found[1] in loader.labels else found[0][0]


_YamlLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)
for _kind in ("str", "int", "float", "bool", "null"):
    _YamlLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _scalar_constructor(_kind))


# Errors ------------------------------------------------------------------------------------------


_MAX_SAID = 300
"""Characters of what the parser says."""


def describe_yaml_error(error: Exception, text: str) -> tuple[str, str]:
    """Return message and remedy of the problem that an error of PyYAML is."""
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
    if mark and "another document" in what:
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
