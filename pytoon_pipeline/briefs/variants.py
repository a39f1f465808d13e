"""Variants: one brief, many videos.

Each cell of hooks x CTAs x locales x archetypes x presets is a brief of its own; what they have in
common is rendered once, since segments are named by content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, TypeVar

from pytoon_pipeline.briefs.model import ArchetypeCell, Brief, LocaleWords, Variants
from pytoon_pipeline.briefs.reading import MAX_BYTES, could_not_read, read_document
from pytoon_pipeline.briefs.source import BriefSource, SourceDocument
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.files import read_file

_MENTIONED = re.compile(b"v\0?a\0?r\0?i\0?a\0?n\0?t\0?s", re.IGNORECASE)
"""The field in a file, in UTF-8 or UTF-16."""
T = TypeVar("T")


@dataclass(frozen=True)
class VariantCell:
    """One combination, each part with its place in the axis; None where there is no such axis."""

    look: ArchetypeCell | None = None
    preset: str | None = None
    locale: str | None = None
    words: LocaleWords = field(default_factory=LocaleWords)
    hook: tuple[int, str, bool] | None = None
    """Place, words, and whether they are the locale's own."""
    cta: tuple[int, str, bool] | None = None

    @property
    def mark(self) -> str:
        """Part of the cell's name and key. Lines are numbered: their words may change, their place
        stays."""
        parts = [
            self.look and self.look.mark,
            self.preset,
            self.locale,
            self.hook and f"h{self.hook[0] + 1}",
            self.cta and f"c{self.cta[0] + 1}",
        ]
        return "-".join(p for p in parts if p)

    def fields(self, rest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return the brief of this cell, and for each field that comes from the variants where
        there."""
        data, at = dict(rest), {}
        if self.look:
            if self.look.archetype != data.get("archetype", "hero"):
                data.pop("preset", None)  # It is a look of the other archetype.
            data["archetype"], at["archetype"] = self.look.archetype, "archetypes"
            if self.look.preset:
                data["preset"], at["preset"] = self.look.preset, "archetypes"
        if self.preset:
            data["preset"], at["preset"] = self.preset, "presets"
        if self.locale:
            data["locale"], at["locale"] = self.locale, "locales"
            said = self.words.model_dump(exclude_defaults=True, exclude={"hooks", "ctas"})
            data |= said
            at |= {name: f"locales.{self.locale}.{name}" for name in said}
        for name, line in (("hook", self.hook), ("cta", self.cta)):
            if line:
                number, data[name], own = line
                where = f"locales.{self.locale}." if own else ""
                at[name] = f"{where}{name}s[{number}]"
        return data, at


def _or_none(values: Sequence[T]) -> Sequence[T | None]:
    """The values of an axis; a single None for an axis that a brief does not have."""
    return values or [None]


def _iterate_cells(variants: Variants) -> Iterator[VariantCell]:
    locales: Iterable[tuple[str | None, LocaleWords]]
    locales = variants.locales.items() or [(None, LocaleWords())]
    for look, preset, (locale, words) in product(
        _or_none(variants.archetypes), _or_none(variants.presets), locales
    ):
        hooks = [(i, w, bool(words.hooks)) for i, w in enumerate(variants.hooks_of(words))]
        ctas = [(i, w, bool(words.ctas)) for i, w in enumerate(variants.ctas_of(words))]
        for hook, cta in product(_or_none(hooks), _or_none(ctas)):
            yield VariantCell(look, preset, locale, words, hook, cta)


def expand_variants(source: BriefSource) -> list[BriefSource]:
    """Return the cells of a brief that has variants, in order; any other source as it is. A brief
    whose variants are wrong stays one: compiling it reports what is wrong."""
    if source.kind != "brief":
        return [source]
    if source.document is not None:
        if not source.document.data.get("variants"):
            return [source]
        return _expand_cells(source, source.document.data, source.document)
    try:
        info = source.path.stat()
        cells = _of_file(source, info.st_size, info.st_mtime_ns)
    except OSError:
        return [source]
    return list(cells)


@lru_cache(maxsize=32768)
def _of_file(source: BriefSource, _size: int, _mtime_ns: int) -> tuple[BriefSource, ...]:
    if not _MENTIONED.search(read_file(source.path, MAX_BYTES)):
        return (source,)
    data, found = read_document(source.path, source.shown, Brief)
    if could_not_read(found):
        raise OSError(f"{source.path} can't be read now")  # Else this would be remembered.
    if not data or not data.get("variants"):
        return (source,)
    return tuple(_expand_cells(source, data, None, tuple(found)))


def _expand_cells(
    source: BriefSource,
    data: Mapping[str, Any],
    whole: SourceDocument | None,
    found: tuple[Problem, ...] = (),
) -> list[BriefSource]:
    wanted = data["variants"]
    if not isinstance(wanted, dict):
        return [source]
    variants, problems = validate_data(Variants, wanted, source.shown)
    if variants is None or problems:
        return [source]
    rest = {k: v for k, v in data.items() if k != "variants"}
    places = dict(whole.places) if whole else {}
    made = []
    for cell in _iterate_cells(variants):
        changed, at = cell.fields(rest)
        moved = {k: _variant_place(places, "variants", v) for k, v in at.items()}
        part = "-".join(p for p in ((whole.part if whole else ""), cell.mark) if p)
        document = SourceDocument(
            part=part,
            data=changed,
            shown=source.shown,
            of=whole.part if whole else "",
            whole=whole.whole if whole else "",
            places={**places, **moved},
            files=whole.files if whole else {},
            problems=whole.problems if whole else found,
            until=whole.until if whole else "",
        )
        made.append(
            BriefSource(
                source.path,
                "brief",
                source.campaign,
                f"{source.name}-{cell.mark}",
                source.folder,
                document,
            )
        )
    return made


def _variant_place(places: Mapping[str, str], field: str, inner: str) -> str:
    """`variants.hooks[1]`, said of a column where the variants stand in one."""
    whole = f"{field}.{inner}"
    for name in (whole, whole.split("[")[0]):
        if name in places:
            return places[name]
    place = places.get(field)
    return f"{place}: {inner}" if place and place != field else f"{field}.{inner}"
