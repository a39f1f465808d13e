"""Scalars of YAML and JSON files as their author wrote them, and the encoding and the editor's
slips of such files.

YAML takes `19.90` for a number, `12:30` for 750, `010` for 8 and `no` for false. In a field that
holds text they are text; in one that holds a number they are numbers. So a scalar is read as a
`WrittenScalar`, and `resolve_scalars` decides by the types of a pydantic model.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

# Bytes -> text -----------------------------------------------------------------------------------

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
"""Byte order marks; the longer first."""


class NotTextError(ValueError):
    """Bytes are no text in a known encoding. Holds message and remedy of the problem."""

    def __init__(self, message: str, remedy: str):
        self.message, self.remedy = message, remedy
        super().__init__(message)


def decode_document(data: bytes) -> str:
    """Return the text of a file: UTF-8, or UTF-16 and UTF-32 as Windows saves them, by their byte
    order mark or by their zeros. Raises NotTextError, naming the line that holds other bytes."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_bytes(data[len(mark) :], encoding)
    if b"\0" in data[:400]:
        head = data[:400]
        even, odd = head[::2].count(0), head[1::2].count(0)
        if max(even, odd) > len(head) // 6 and min(even, odd) <= max(even, odd) // 10:
            return _decode_bytes(data, "utf-16-le" if odd > even else "utf-16-be")
    return _decode_bytes(data, "utf-8")


def _decode_bytes(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        byte = data[error.start]
        seen = bytes([byte]).decode("cp1252", "replace")
        meant = f" ({seen!r} in Windows-1252)" if encoding == "utf-8" and byte >= 0xA0 else ""
        raise NotTextError(
            f"is not UTF-8 text: line {line} holds the byte {byte:#04x}{meant}.",
            "Save it as UTF-8; in Notepad: Save as, Encoding: UTF-8.",
        ) from None


# Text -> YAML that says the same -----------------------------------------------------------------

_AFTER_KEY = re.compile(r"(?m)^([ \t\xa0]*(?:- +)*[\w.-]{1,40}:|[ \t\xa0]*-)[\t\xa0][ \t\xa0]*")
_INDENT = re.compile(r"(?m)^[ \t\xa0\u200b\ufeff]+")


def repair_yaml(text: str) -> str:
    """Return the same text without the blanks that editors and web pages put in: tabs and no-break
    spaces become spaces where they indent or follow a name. Lines stay where they are."""
    if not ("\t" in text or "\xa0" in text or "\u200b" in text or "\ufeff" in text):
        return text
    indents = {m[0] for m in _INDENT.finditer(text)}
    # Tabs alone have one meaning; beside spaces nobody knows how wide they were.
    tabs_only = not any("\t" in i and " " in i for i in indents)

    def repair_indent(found: re.Match[str]) -> str:
        blanks = re.sub("[\u200b\ufeff]", "", found[0]).replace("\xa0", " ")
        return blanks.replace("\t", "  ") if tabs_only else blanks

    return _AFTER_KEY.sub(r"\1 ", _INDENT.sub(repair_indent, text))


_UNPRINTED = re.compile("[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML takes in no place."""


def find_unprintable(text: str) -> tuple[int, str] | None:
    """Return line and character of the first character that no YAML file may hold; None where there
    is none."""
    found = _UNPRINTED.search(text)
    return (text.count("\n", 0, found.start()) + 1, found[0]) if found else None


def quote_text(text: str) -> str:
    """Return a text in quotes, as YAML reads it back."""
    text = text.strip()
    return (
        f'"{text}"' if '"' not in text and "\\" not in text else "'" + text.replace("'", "''") + "'"
    )


_LINE = re.compile(r"\s*+((?:- )*)([A-Za-z_][\w.]*+:(?=\s))?\s*+(\S.*)", re.DOTALL)
_MAX_QUOTED = 500
"""Characters of a line that is written out in a message."""


def quoting_remedy(text: str, line: int) -> str:
    """Return what to write in place of a line (counted from 0) that can't be read; empty where it
    is no plain `name: text`."""
    lines = text.splitlines()
    for number in (line, line - 1):
        if not 0 <= number < len(lines) or len(lines[number]) > _MAX_QUOTED:
            continue
        found = _LINE.fullmatch(lines[number])
        if found and (found[1] or found[2]):
            name = f"{found[2]} " if found[2] else ""
            words = found[3].strip()
            if words[0] + words[-1] in ("[]", "{}", '""', "''"):
                continue
            return f"Write  {found[1]}{name}{quote_text(words)}"
    return ""


# Scalars -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WrittenScalar:
    """A scalar without quotes, with its two meanings."""

    text: str
    """The characters."""
    value: Any
    """What YAML or JSON makes of them: a number, true or false, None."""
    comment: str = ""
    """A word with a # before it that YAML takes for a comment: `Tag us #kettle`."""
    mark: str = ""
    """& or !, where YAML takes what follows for a label or a type."""
    before: str = ""
    """What stands before it where a comma between digits parts a list: `Only 12` of
    `[Only 12,90 EUR]`."""


@dataclass
class UnclearValue:
    """A text that YAML reads otherwise than most people mean it."""

    path: tuple[str | int, ...]
    kind: _Doubt
    """A comment after a text, or in its place; a mark; yes, no and the like; null; a decimal
    comma that parts a list."""
    scalar: WrittenScalar


_OTHER_VALUES = re.compile(r"(?i)(yes|no|on|off|true|false)")


@dataclass
class ResolvedData:
    """Data in which every scalar is decided."""

    data: Any
    unclear: list[UnclearValue] = field(default_factory=list)


class AsWrittenText:
    """In an `Annotated` type: every scalar below stays text, whatever it looks like."""


def resolve_scalars(data: Any, annotation: Any = Any, *, drawn_only: bool = False) -> ResolvedData:
    """Decide each `WrittenScalar` of some data by the type of its place: it becomes its characters
    in a text, its value in a number, a yes or no, or where nothing is known of the place (Any).

    `annotation` is a type as pydantic takes it, a model for a whole document. With `drawn_only`
    only what is drawn is text, and a number anywhere else stays one: for programs, which know what
    they send.
    """
    walk = _ScalarResolver(drawn_only)
    return ResolvedData(walk.resolve(data, annotation, ()), walk.unclear)


@dataclass
class _ScalarResolver:
    """On the way through a document."""

    drawn_only: bool
    unclear: list[UnclearValue] = field(default_factory=list)
    names: dict[type[BaseModel], Mapping[str, Any]] = field(default_factory=dict)
    """Fields of the models that were met."""

    def resolve(self, data: Any, kind: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(data, WrittenScalar):
            return self._decide_scalar(data, kind, path)
        if isinstance(data, dict):
            data = _with_own_names(data, kind, self.names)
            return {
                key: self.resolve(value, _mapping_value_type(kind, key, self.names), (*path, key))
                for key, value in data.items()
            }
        if isinstance(data, list):
            kept = []
            for n, value in enumerate(data):
                of = _item_of(kind, n)
                made = self.resolve(value, of, (*path, n))
                # A dash with nothing behind it is no entry of a list of texts or files.
                if made is not None or value is None or not wants_text(of):
                    kept.append(made)
            return kept
        return data

    def _decide_scalar(self, scalar: WrittenScalar, kind: Any, path: tuple[str | int, ...]) -> Any:
        drawn = _is_drawn(kind)
        text = drawn if self.drawn_only else wants_text(kind)
        found = _find_doubt(scalar, text, drawn)
        if found:
            self.unclear.append(UnclearValue(path, found, scalar))
        return scalar.text if text and scalar.value is not None else scalar.value


_Doubt = Literal["comment", "lost", "mark", "word", "null", "comma"]


def _find_doubt(scalar: WrittenScalar, text: bool, drawn: bool) -> _Doubt | None:
    """What may be meant otherwise than YAML reads it, in a text or in one that is drawn."""
    if not text:
        return None
    if scalar.value is None and scalar.comment:
        return "lost"
    if scalar.mark:
        return "mark"
    if scalar.before and drawn:
        return "comma"
    if scalar.value is None:
        return "null" if drawn and scalar.text.isalpha() else None
    if drawn and scalar.comment:
        return "comment"
    return "word" if drawn and _OTHER_VALUES.fullmatch(scalar.text) else None


def _iterate_types(kind: Any) -> Iterator[Any]:
    """A type without its annotations, as the types that it may be."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _iterate_types(get_args(kind)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(kind):
            yield from _iterate_types(part)
    elif kind is not type(None):
        yield kind


def _is_as_written(kind: Any) -> bool:
    return get_origin(kind) is Annotated and any(
        m is AsWrittenText or isinstance(m, AsWrittenText) for m in get_args(kind)[1:]
    )


def wants_text(kind: Any) -> bool:
    """Return whether a scalar in a place of this type is its characters. So it is in texts and
    words to choose from, and where a model or a list has a short form: `media: 010.jpg`."""
    if _is_as_written(kind):
        return True
    parts = list(_iterate_types(kind))
    for part in parts:
        origin = get_origin(part)
        if part is str or (isinstance(part, type) and issubclass(part, BaseModel)):
            return True
        if origin is Literal and any(isinstance(a, str) for a in get_args(part)):
            return True
        if origin in (list, dict):
            inner = get_args(part)[:1] if origin is list else get_args(part)[1:]
            if inner and wants_text(inner[0]) or origin is dict and inner != (Any,):
                return True
    return False


def _is_drawn(kind: Any) -> bool:
    """Is it a text in the author's own words, which no program reads?"""
    if get_origin(kind) is Annotated and any(
        getattr(m, "drawn", False) for m in get_args(kind)[1:]
    ):
        return True
    if get_origin(kind) in (Union, types.UnionType, Annotated, list):
        return any(_is_drawn(part) for part in get_args(kind) if part is not type(None))
    return False


class DrawnText:
    """In an `Annotated` type: a text that is drawn, word for word."""

    drawn = True


def _item_of(kind: Any, n: int) -> Any:
    """The type of an entry of a list."""
    if _is_as_written(kind):
        return kind
    for part in _iterate_types(kind):
        origin, args = get_origin(part), get_args(part)
        if origin is list:
            return args[0]
        if origin is tuple and args:
            return args[n] if n < len(args) and args[-1] is not Ellipsis else args[0]
        if origin is dict:
            return str  # Names alone, in place of a mapping.
    # A list where one thing is expected: the short form of another spelling.
    return kind if any(_iterate_types(kind)) else Any


def _mapping_value_type(kind: Any, key: str, names: dict) -> Any:
    """The type of a value of a mapping."""
    if _is_as_written(kind):
        return kind
    for part in _iterate_types(kind):
        origin, args = get_origin(part), get_args(part)
        if isinstance(part, type) and issubclass(part, BaseModel):
            fields = names.setdefault(part, _field_types(part))
            # A spelling that the model puts right itself: number fields take texts, too.
            return fields.get(key, Annotated[Any, AsWrittenText])
        if origin is dict and args:
            return args[1]
        if origin is list and args:
            found = _mapping_value_type(args[0], key, names)
            if found is not Any:
                return found
    return Any


def _with_own_names(data: dict, kind: Any, names: dict) -> dict[str, Any]:
    """Keys in another case, `Hook` or `Brand safe`, as the model has them."""
    for part in _iterate_types(kind):
        if isinstance(part, type) and issubclass(part, BaseModel):
            fields = names.setdefault(part, _field_types(part))
            made = {}
            for key, value in data.items():
                plain = re.sub(r"[\s_-]+", "_", str(key).strip().lower())
                other = key not in fields and plain in fields and plain not in data
                made[plain if other and plain not in made else key] = value
            return made
    return data


def _field_types(model: type[BaseModel]) -> Mapping[str, Any]:
    """Types of a model's fields by every name that they have."""
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        kind: Any = info.annotation
        if info.metadata:
            kind = Annotated[(kind, *info.metadata)]
        for known in (name, info.alias, info.validation_alias):
            if isinstance(known, str):
                found[known] = kind
    return found


def number_of(text: str, construct: Callable[[], Any]) -> Any:
    """Return the number that YAML found in a text: `010` is ten, whatever YAML 1.1 says.
    `construct` makes the others."""
    plain = text.replace("_", "")
    if re.fullmatch(r"[+-]?0\d+", plain):
        return int(plain)
    return construct()
