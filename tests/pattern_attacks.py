# ruff: noqa: E501, B007
"""Every regular expression of the package, and texts that are hard for it.

Patterns are found in the source code, so that a new one is tested as soon as it is written. Texts
are derived from the parsed pattern: runs of each character that it can match, with what comes
before them in the pattern and without what comes behind.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytoon_pipeline

METHODS = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")


@dataclass(frozen=True)
class Use:
    """A pattern, and a way in which it is applied to text."""

    place: str
    """`pytoon_pipeline/briefs/source.py:35`"""
    pattern: re.Pattern[Any]
    method: str

    def apply(self, text: str) -> None:
        given: Any = (
            text if isinstance(self.pattern.pattern, str) else text.encode("latin-1", "replace")
        )
        if self.method in ("sub", "subn"):
            getattr(self.pattern, self.method)("" if given is text else b"", given)
        elif self.method == "finditer":
            for _ in self.pattern.finditer(given):
                pass
        else:
            getattr(self.pattern, self.method)(given)


# Finding -----------------------------------------------------------------------------------------


def modules() -> Iterator[tuple[str, Any]]:
    """Name and module of all of the package."""
    yield "pytoon_pipeline", pytoon_pipeline
    for found in pkgutil.walk_packages(pytoon_pipeline.__path__, "pytoon_pipeline."):
        if not found.name.endswith("__main__"):
            yield found.name, importlib.import_module(found.name)


def find_uses() -> tuple[list[Use], list[str]]:
    """All uses of patterns in the package, and the places of patterns that are built from values
    of a function, which can't be known from here."""
    uses: dict[tuple[str, int, str], Use] = {}
    unknown: list[str] = []
    called: dict[str, set[str]] = {}
    compiled: list[tuple[str, str, re.Pattern[Any]]] = []
    for name, module in modules():
        file = module.__file__ or ""
        with open(file, encoding="utf-8") as source:
            tree = ast.parse(source.read())
        place = file[file.index("pytoon_pipeline/") :]
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            method, value = node.func.attr, node.func.value
            if isinstance(value, ast.Name) and value.id == "re":
                if method not in (*METHODS, "compile"):
                    continue
                where = f"{place}:{node.lineno}"
                made = _evaluate(node, module)
                if made is None:
                    unknown.append(where)
                elif method != "compile":
                    uses[made.pattern, made.flags, method] = Use(where, made, method)
                else:
                    compiled.append((where, ast.unparse(node), made))
            elif method in METHODS:
                holder = value
                while isinstance(holder, ast.Subscript):
                    holder = holder.value
                if isinstance(holder, ast.Name | ast.Attribute):
                    name = getattr(holder, "id", getattr(holder, "attr", ""))
                    called.setdefault(_owned(place, name), set()).add(method)
        for attribute, held in vars(module).items():
            for pattern in _patterns(held):
                compiled.append((f"{place} {attribute}", _owned(place, attribute), pattern))
    names: dict[tuple[Any, int], set[str]] = {}
    for _, name, pattern in compiled:
        names.setdefault((pattern.pattern, pattern.flags), set()).add(name)
    for where, _, pattern in compiled:
        ways = set().union(*(called.get(n, set()) for n in names[pattern.pattern, pattern.flags]))
        for method in ways or {"search", "fullmatch"}:
            uses.setdefault((pattern.pattern, pattern.flags, method), Use(where, pattern, method))
    return list(uses.values()), unknown


def _owned(place: str, name: str) -> str:
    """A name by which a pattern is known: that of a private one is its module's own."""
    return f"{place} {name}" if name.startswith("_") else name


def _patterns(held: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(held, re.Pattern):
        yield held
    elif type(held) is dict:
        for value in held.values():
            yield from _patterns(value)
    elif type(held) in (list, tuple):
        for value in held:
            yield from _patterns(value)


def _evaluate(node: ast.Call, module: Any) -> re.Pattern[Any] | None:
    method = node.func.attr  # type: ignore[attr-defined]
    given = {
        "search": 2,
        "match": 2,
        "fullmatch": 2,
        "findall": 2,
        "finditer": 2,
        "split": 3,
        "sub": 4,
        "subn": 4,
        "compile": 1,
    }[method]
    flags = next((k.value for k in node.keywords if k.arg == "flags"), None)
    if flags is None and len(node.args) > given:
        flags = node.args[given]
    try:
        text = eval(compile(ast.Expression(node.args[0]), "", "eval"), vars(module))
        value = eval(compile(ast.Expression(flags), "", "eval"), vars(module)) if flags else 0
    except NameError:
        return None
    return text if isinstance(text, re.Pattern) else re.compile(text, value)


# Texts -------------------------------------------------------------------------------------------

_TAILS = ("", "\x00", "\n", "!", " ", "a", "0", "1", "é", "<", '"', " a", "\x01\x01")
_ALWAYS = (
    " ",
    "\n",
    "\t",
    "a",
    "A",
    "0",
    ".",
    ",",
    "/",
    "-",
    "_",
    ":",
    "<",
    ">",
    "&",
    '"',
    "'",
    "é",
    "\u00a0",
    "\\",
    "[",
    "(",
    "{",
    "|",
    "=",
    "#",
    "@",
    "a.",
    "a-",
    "a ",
    "0.",
    "0,",
    "0 ",
    " \n",
    "a\n",
    "<a",
    "://",
    "a@",
    "'\"",
)


def attacks(pattern: re.Pattern[Any]) -> list[Callable[[int], str]]:
    """Texts of a length, hard for the pattern."""
    tree = parser.parse(
        pattern.pattern,
        pattern.flags & ~re.UNICODE
        if isinstance(pattern.pattern, bytes)
        else pattern.flags & ~re.TEMPLATE
        if hasattr(re, "TEMPLATE")
        else pattern.flags,
    )
    found: dict[tuple[str, str, str], None] = {}
    for unit in _ALWAYS:
        found["", unit, ""] = None
        found["", unit, "\x00"] = None
    for before, items in _sequences(tree, ""):
        samples = [_sample(item) for item in items]
        for at, item in enumerate(items):
            lead = before + "".join(samples[:at])
            for unit in _units(item):
                for tail in _TAILS:
                    found[lead, unit, tail] = None
                for later in samples[at + 1 : at + 2] or [""]:
                    found[lead, unit, later] = None
        for start in range(len(items)):
            for end in range(start + 1, len(items) + 1):
                unit = "".join(samples[start:end])
                if unit:
                    for tail in ("", "\x00", " ", "\n", "a"):
                        found[before + "".join(samples[:start]), unit, tail] = None
                        found["", unit, tail] = None
    return [_builder(*parts) for parts in found]


def _builder(before: str, unit: str, tail: str) -> Callable[[int], str]:
    def build(size: int) -> str:
        return before + unit * max(1, (size - len(before) - len(tail)) // len(unit)) + tail

    build.__doc__ = f"{before!r} + n * {unit!r} + {tail!r}"
    return build


def _sequences(tree: Any, before: str) -> Iterator[tuple[str, list[Any]]]:
    """Each sequence of the pattern, with a text that the pattern takes before it."""
    items = list(tree)
    yield before, items
    for item in items:
        for inner in _inner(item):
            yield from _sequences(inner, before)
        before += _sample(item)


def _inner(item: Any) -> list[Any]:
    code, value = item
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [value[2]]
    if code is codes.SUBPATTERN:
        return [value[3]]
    if code is codes.ATOMIC_GROUP:
        return [value]
    if code is codes.BRANCH:
        return list(value[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [value[1]]
    if code is codes.GROUPREF_EXISTS:
        return [v for v in value[1:] if v is not None]
    return []


def _units(item: Any) -> list[str]:
    """What a part can match once, if it is repeated, or as itself."""
    code, value = item
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        found = []
        for inner in value[2]:
            found += _units(inner)
        return [u for u in dict.fromkeys([*found, _whole(value[2])]) if u]
    if code in (codes.IN, codes.CATEGORY, codes.ANY, codes.NOT_LITERAL, codes.LITERAL):
        return [c for c in _characters(item) if c]
    found = []
    for inner in _inner(item):
        for part in inner:
            found += _units(part)
        found.append(_whole(inner))
    return [u for u in dict.fromkeys(found) if u]


def _whole(items: Any) -> str:
    return "".join(_sample(item) for item in items)


_PROBES = [
    *" \n\ta0A.,-_:/<>\"'&=#@()[]{}|\\!?;+*%$",
    "é",
    "\u00a0",
    "٣",
    "€",
    "漢",
    "\u200b",
    "\x00",
    "\x85",
]


def _characters(item: Any) -> list[str]:
    """Some characters that a part of one character matches."""
    code, value = item
    if code is codes.LITERAL:
        return [chr(value)]
    if code is codes.ANY:
        return ["a", " ", "\n"]
    if code is codes.NOT_LITERAL:
        return [c for c in _PROBES if ord(c) != value][:4]
    one = [c for c in _PROBES if _in(value, c)][:8]
    first = next(
        (
            chr(v if isinstance(v, int) else v[0])
            for o, v in value
            if o in (codes.LITERAL, codes.RANGE)
        ),
        None,
    )
    if first is not None and _in(value, first) and first not in one:
        one.append(first)
    return one


def _in(parts: Any, character: str) -> bool:
    negated, found = False, False
    for code, value in parts:
        if code is codes.NEGATE:
            negated = True
        elif code is codes.LITERAL:
            found = found or ord(character) == value
        elif code is codes.RANGE:
            found = found or value[0] <= ord(character) <= value[1]
        elif code is codes.CATEGORY:
            text = {
                codes.CATEGORY_DIGIT: r"\d",
                codes.CATEGORY_NOT_DIGIT: r"\D",
                codes.CATEGORY_SPACE: r"\s",
                codes.CATEGORY_NOT_SPACE: r"\S",
                codes.CATEGORY_WORD: r"\w",
                codes.CATEGORY_NOT_WORD: r"\W",
            }[value]
            found = found or bool(re.fullmatch(text, character))
    return found is not negated


def _sample(item: Any) -> str:
    """A short text that a part matches."""
    code, value = item
    if code in (codes.LITERAL, codes.IN, codes.ANY, codes.NOT_LITERAL):
        return next(iter(_characters(item)), "")
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return _whole(value[2]) * min(max(1, value[0]), 50)
    if code is codes.BRANCH:
        return _whole(value[1][0])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return ""
    return "".join(_whole(inner) for inner in _inner(item)[:1])


# Time --------------------------------------------------------------------------------------------

_SIZES = (16, 20, 24, 28, 32, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


def seconds_of(use: Use, text: str) -> float:
    before = time.process_time()
    use.apply(text)
    return time.process_time() - before


def slowest(use: Use, limit: float = 0.05) -> tuple[float, int, str, Callable[[int], str]]:
    """Seconds for the hardest text at the largest size that was tried, the size, and the text; the
    size grows until the limit is passed, so that no pattern runs for ever."""
    worst = (0.0, 0, "", lambda size: "a" * size)
    tried = attacks(use.pattern)
    for size in _SIZES[:-1]:
        small = size < 4096
        for build in tried:
            if small and size not in (16, 20, 24, 28, 32, 128, 1024):
                continue
            took = seconds_of(use, build(size))
            if took > limit:
                return took, size, build.__doc__ or "", build
            if size == _SIZES[-2] and took > worst[0]:
                worst = took, size, build.__doc__ or "", build
    for size in (1 << 17, 1 << 20):  # What grows with the square of the size is found on the way.
        took = seconds_of(use, worst[3](size))
        if took > limit * size / _SIZES[-2]:
            return took, size, worst[2], worst[3]
    return worst
