"""Briefs from the rows of a table, whatever file or database the table is in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

from pydantic import BeforeValidator

from pytoon_pipeline.briefs.field_names import ColumnTarget
from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.source import BriefSource, SourceDocument
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.tables.cells import CellError, clean_value, parse_cell


@dataclass
class RowBrief:
    """The brief of a row, as plain data, and its problems."""

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """Field -> where a person finds it."""
    problems: list[tuple[str, CellError]] = field(default_factory=list)
    """Where, and what is wrong or doubtful there."""

    @property
    def is_wrong(self) -> bool:
        """Whether a problem of the row is an error."""
        return any(error.severity == "error" for _, error in self.problems)


def read_row(
    given: Iterable[tuple[ColumnTarget, Any, str]], separator: str | None = None
) -> RowBrief:
    """Return the brief of some values, each with the field that it fills and the place where it
    stands (`row 12, column Title`).

    The values of list fields are joined in order; of other fields the first value is used. Fields
    must come before those inside them (`music` before `music.volume_db`). `separator` stands
    between several values in a cell of a list.
    """
    said = RowBrief()
    for target, value, place in given:
        try:
            found = parse_cell(target, value, separator)
        except CellError as error:
            said.problems.append((place, error))
            continue
        if found is not None:
            _put_value(said, target, found, place)
    return said


def _put_value(said: RowBrief, target: ColumnTarget, value: Any, place: str) -> None:
    holder = said.data
    for depth, name in enumerate(target.path[:-1], 1):
        inner = _mapping_of(target.path[:depth], holder.get(name))
        if inner is None:
            return  # `music: none`, and its volume.
        holder[name] = inner
        holder = inner
    name, known = target.path[-1], holder.get(target.path[-1])
    if name == "locales" and target.kind == "list":
        known, new = _read_locales(known) or {}, _read_locales(value) or {}
        merged = {n: known.get(n) or words for n, words in new.items()}
        holder[name] = merged | {n: words for n, words in known.items() if n not in new}
    elif target.kind == "list":
        listed = [] if known is None else known if isinstance(known, list) else [known]
        added = [v for v in value if v is not None]
        for index in range(len(listed), len(listed) + len(added)):
            said.places[f"{target.field}[{index}]"] = place
        holder[name] = listed + added
    elif known is None:
        holder[name] = value
    else:
        return
    said.places.setdefault(target.field, place)


def _read_locales(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str | list):
        return {str(name): {} for name in ([value] if isinstance(value, str) else value)}
    return value if isinstance(value, dict) else None


def _mapping_of(path: tuple[str, ...], value: Any) -> dict[str, Any] | None:
    """A field's value as a mapping that more can be put in; None where it is none."""
    if value is None:
        return {}
    if path[-1] == "locales":
        return _read_locales(value)
    if isinstance(value, str) and len(path) == 1:
        for part in Brief.model_fields[path[0]].metadata:
            if isinstance(part, BeforeValidator):
                value = part.func(value)  # type: ignore[call-arg]  # Ours take no info.
    return value if isinstance(value, dict) else None


def add_defaults(said: RowBrief, defaults: Iterable[tuple[ColumnTarget, Any, str]]) -> None:
    """Add values for those fields that a row does not fill itself."""
    for target, value, place in defaults:
        holder: Any = said.data
        for name in target.path:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if holder is not None:
            continue
        try:
            found = parse_cell(target, value)
        except CellError as error:
            said.problems.append((place, error))
            continue
        if found is not None:
            _put_value(said, target, found, place)


# Rows of a table ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableNote:
    """The table that rows belong to."""

    path: Path
    folder: Path
    campaign: str
    shown: str
    whole: str = ""
    """`sql:public.briefs`; empty for files."""


@dataclass(frozen=True)
class TableRow:
    """A row of a table, read as a brief."""

    place: str
    """`row 12`."""
    number: int
    name: str
    """As the person wrote it; empty where nothing names the row."""
    campaign: str
    """Empty for the table's own."""
    said: RowBrief
    identity: str = ""
    """Tells it from others where the name does not."""
    problems: tuple[Problem, ...] = ()
    until: str = ""
    """When what it says may be true no more (ISO 8601); empty for never."""


def as_name(value: str) -> str:
    """Return a text as the name of a brief or a campaign: NFC, with single spaces."""
    return normalize("NFC", " ".join(clean_value(value).split()))


def sources_of(
    whole: TableNote, rows: Iterable[TableRow]
) -> tuple[list[BriefSource], list[Problem]]:
    """Return a source for each row, and notes on equal rows. Equal rows of one name become one
    source; of different ones of one name, those below the first get an error."""
    sources: list[BriefSource] = []
    seen: dict[str, tuple[TableRow, dict[str, Any]]] = {}
    equal: list[str] = []
    for row in rows:
        campaign = row.campaign or whole.campaign
        name = row.name or f"row-{row.number:04d}"
        part = row.identity or (name if campaign == whole.campaign else f"{campaign}/{name}")
        problems = list(row.problems)
        first = seen.get(part)
        if first is None:
            seen[part] = (row, row.said.data)
        elif first[1] == row.said.data and not row.said.is_wrong:
            equal.append(f"{row.place} ({name})")
            continue
        else:
            problems.append(
                Problem(
                    "table.twice",
                    f"{first[0].place} and {row.place} are both named {name!r} and say different "
                    "things.",
                    "Give one of them another name.",
                    file=whole.shown,
                    field=row.place,
                )
            )
            name, part = f"{name}~row-{row.number}", f"{part} ({row.place})"
        for place, error in row.said.problems:
            problems.append(
                Problem(
                    "table.cell", error.message, error.remedy, error.severity, whole.shown, place
                )
            )
        places = {"": row.place, **row.said.places}
        if "variants" in row.said.data:
            places.setdefault("variants", row.place)
        document = SourceDocument(
            part=f"row {part}",
            data=row.said.data,
            shown=whole.shown,
            whole=whole.whole,
            places=places,
            problems=tuple(problems),
            until=row.until,
        )
        sources.append(BriefSource(whole.path, "brief", campaign, name, whole.folder, document))
    return sources, _equal_name_problems(equal, whole.shown)


def _equal_name_problems(places: Sequence[str], shown: str) -> list[Problem]:
    if not places:
        return []
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return [
        Problem(
            "table.repeated",
            f"{', '.join(places[:5])}{more}: said above in the same words; rendered once.",
            "Delete what is there twice.",
            "info",
            shown,
        )
    ]
