"""Mappings: tables of other programs, said in the fields of a brief."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pytoon_pipeline.briefs.cells import CellError, Target, clean, hint, plain, target_of
from pytoon_pipeline.briefs.reading import read_document, validate
from pytoon_pipeline.briefs.rows import Row, Said, add_defaults, as_name, read_row
from pytoon_pipeline.briefs.templates import Template, parse
from pytoon_pipeline.briefs.written import AsWritten
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.settings import load_settings


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) or value is None else value


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


_Text = Annotated[str, BeforeValidator(_as_text)]
_Texts = Annotated[list[_Text], BeforeValidator(_listed)]
_Templates = Annotated[
    list[_Text], BeforeValidator(lambda v: [] if v is None else _listed(v))
]


class MappingFile(BaseModel):
    """`<table>.mapping.yaml`, or `mapping.yaml` for all tables of a folder."""

    model_config = ConfigDict(extra="forbid")

    use: str | None = Field(None, description="A mapping of presets/mappings to start from.")
    match: list[str] = Field(
        default_factory=list, description="Columns that a table must have to be taken by itself."
    )
    name: str | None = Field(None, description="Column that names a brief, or a template.")
    campaign: str | None = Field(None, description="Column that names its campaign, or a template.")
    group_by: str | None = Field(
        None, description="Column whose rows of one value are one brief."
    )
    separator: str | None = Field(
        None, min_length=1, description="Between several values in a cell of a list."
    )
    fields: dict[str, _Templates] = Field(
        default_factory=dict,
        description="Field -> template. Of several for one line the first that is filled counts; "
        "lists take all of them.",
    )
    defaults: Annotated[dict[str, Any], AsWritten] = Field(
        default_factory=dict, description="What a brief says where the table says nothing."
    )
    skip: dict[str, _Texts] = Field(
        default_factory=dict, description="Column -> values; rows that hold one are passed over."
    )


# A mapping for a table ---------------------------------------------------------------------------


Cells = tuple[int, list[Any]]
"""A row: its number, and its cells, at least one per column."""


@dataclass(frozen=True)
class Plan:
    """A mapping, laid over the columns of a table."""

    columns: Mapping[str, int]
    """Column as the mapping names it -> its position."""
    name: Template | None
    campaign: Template | None
    group_by: str | None
    separator: str | None
    fields: tuple[tuple[Target, tuple[Template, ...]], ...]
    """Empty where the table's columns are fields already."""
    defaults: tuple[tuple[Target, Any, str], ...]
    skip: Mapping[str, frozenset[str]]

    def groups(self, rows: Iterable[Cells]) -> Iterator[list[Cells]]:
        """The rows of each brief, in order."""
        where = None if self.group_by is None else self.columns.get(self.group_by)
        groups: dict[Any, list[Cells]] = {}
        for number, cells in rows:
            value = as_name(cells[where]) if where is not None else ""
            groups.setdefault(value or number, []).append((number, cells))
        for group in groups.values():
            if not self._skipped(group):
                yield group

    def _values(self, group: Sequence[Cells], column: str) -> list[str]:
        where = self.columns.get(column)
        if where is None:
            return []
        return [text for _, cells in group if (text := clean(cells[where]))]

    def _skipped(self, group: Sequence[Cells]) -> bool:
        for column, refused in self.skip.items():
            values = self._values(group, column)
            if values and values[0].lower() in refused:
                return True
        return False

    def row(self, group: Sequence[Cells]) -> Row:
        """The brief of some rows."""
        number = group[0][0]
        errors: list[tuple[str, CellError]] = []
        said = read_row(self._given(group, errors), self.separator)
        said.problems += errors
        return self.finish(said, group, number)

    def finish(
        self, said: Said, group: Sequence[Cells], number: int,
        name: str = "", campaign: str = "",
    ) -> Row:  # fmt: skip
        """With what the mapping says of every row."""
        add_defaults(said, self.defaults)
        for template, is_name in ((self.name, True), (self.campaign, False)):
            try:
                text = template.fill(lambda c: self._values(group, c)) if template else None
            except CellError as error:
                said.problems.append((f"row {number}, {_columns(template.columns)}", error))
                continue
            if text and is_name:
                name = as_name(text)
            elif text:
                campaign = as_name(text)
        return Row(f"row {number}", number, name, campaign, said)

    def _given(
        self, group: Sequence[Cells], errors: list[tuple[str, CellError]]
    ) -> Iterator[tuple[Target, Any, str]]:
        for target, templates in self.fields:
            # One line is of the whole group; a list has something of each row.
            parts = [[row] for row in group] if target.kind == "list" else [group]
            seen = set()
            for template in templates:
                for part in parts:
                    place = f"row {part[0][0]}, {_columns(template.columns)}"
                    try:
                        text = template.fill(lambda c, part=part: self._values(part, c))
                    except CellError as error:
                        errors.append((place, error))
                        continue
                    if text and text not in seen:
                        seen.add(text)
                        # Only a cell as it is can hold several; what is made of one is one.
                        many = target.kind == "list" and not template.bare
                        yield target, [text] if many else text, place
                if seen and target.kind != "list":
                    break


def _columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else "mapping"


def mapping_path(table: Path) -> Path | None:
    """The mapping that lies beside a table, if there is one."""
    for name in (f"{table.stem}.mapping", "mapping"):
        for suffix in (".yaml", ".yml"):
            path = table.with_name(name + suffix)
            if path.is_file():
                return path
    return None


def _built_in() -> dict[str, Path]:
    """Mappings by name, one's own before those that Pytoon carries."""
    found: dict[str, Path] = {}
    for folder in load_settings().presets_dirs:
        for path in sorted((folder / "mappings").glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def plan_for(
    header: Sequence[str], beside: Path | None
) -> tuple[Plan | None, list[Problem]]:
    """The mapping for a table with these columns: the one beside it, else the built-in one that
    knows them; None where there is none, or where it has problems."""
    if beside is not None:
        given, problems = _read(beside, beside.name)
        if given is None or problems:
            return None, problems
        return _lay(given, header, beside.name)
    known = {plain(name) for name in header}
    if "media" in known:
        return None, []
    for path in _built_in().values():
        shown = f"presets/mappings/{path.name}"
        given, problems = _read(path, shown)
        if problems or given is None:
            return None, problems
        if given.match and {plain(name) for name in given.match} <= known:
            return _lay(given, header, shown)
    return None, []


def _read(path: Path, shown: str) -> tuple[MappingFile | None, list[Problem]]:
    data, unclear = read_document(path, shown, MappingFile)
    if data is None:
        return None, unclear
    mapping, problems = validate(MappingFile, data, shown)
    return mapping, [p for p in unclear if p.severity == "error"] + problems


def _lay(own: MappingFile, header: Sequence[str], shown: str) -> tuple[Plan | None, list[Problem]]:
    whole, problems = _whole(own, shown)
    if whole is None:
        return None, problems
    # Exports come with more columns or fewer: only what a person wrote must be there.
    strict = own.use is not None or not own.match
    laid = _Laid(header, shown)

    def naming(part: str) -> Template | None:
        text = getattr(whole, part)
        if text is None:
            return None
        needed = strict and part in own.model_fields_set
        return laid.template(text if "{" in text else f"{{{text}}}", part, needed)

    fields = []
    for name, texts in whole.fields.items():
        where, needed = f"fields.{name}", strict and name in own.fields
        target = laid.target(name, where)
        made = [laid.template(text, where, needed) for text in texts]
        if target is not None:
            fields.append((target, tuple(t for t in made if t is not None)))
    defaults = []
    for name, value in whole.defaults.items():
        target = laid.target(name, f"defaults.{name}")
        if target is not None:
            defaults.append((target, value, f"{shown}: defaults.{name}"))
    if whole.group_by is not None:
        laid.find(whole.group_by, "group_by", strict and own.group_by is not None)
    for column in whole.skip:
        laid.find(column, f"skip.{column}", strict and column in own.skip)
    plan = Plan(
        columns=laid.columns,
        name=naming("name"),
        campaign=naming("campaign"),
        group_by=whole.group_by,
        separator=whole.separator,
        fields=tuple(sorted(fields, key=lambda f: (len(f[0].path), f[0].place or 0))),
        defaults=tuple(sorted(defaults, key=lambda d: len(d[0].path))),
        skip={c: frozenset(v.strip().lower() for v in vs) for c, vs in whole.skip.items()},
    )
    return (None if laid.problems else plan), laid.problems


def _whole(own: MappingFile, shown: str) -> tuple[MappingFile | None, list[Problem]]:
    """With what it starts from."""
    if own.use is None:
        return own, []
    known = _built_in()
    if own.use not in known:
        return None, [
            Problem(
                "mapping.use", f"{own.use!r} is no mapping of presets/mappings.",
                f"There are {', '.join(known)}.", file=shown, field="use",
            )
        ]  # fmt: skip
    base, problems = _read(known[own.use], f"presets/mappings/{own.use}.yaml")
    if base is None or problems:
        return None, problems
    said = own.model_dump(exclude_unset=True)
    for part in ("fields", "defaults", "skip"):
        said[part] = {**getattr(base, part), **getattr(own, part)}
    return MappingFile.model_validate({**base.model_dump(exclude_unset=True), **said}), []


@dataclass
class _Laid:
    """What a mapping names, looked for in a table."""

    header: Sequence[str]
    shown: str
    columns: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def _wrong(self, code: str, message: str, remedy: str, where: str) -> None:
        self.problems.append(Problem(code, message, remedy, file=self.shown, field=where))

    def find(self, column: str, where: str, needed: bool) -> None:
        """A column, spelled as in the table or nearly."""
        for alike in (str, plain):
            for at, name in enumerate(self.header):
                if alike(name) == alike(column):
                    self.columns[column] = at
                    return
        if needed:
            close = difflib.get_close_matches(column, self.header, 1, 0.6)
            had = ", ".join(name for name in self.header[:30] if name)
            self._wrong(
                "mapping.column",
                f"names the column {column!r}, which the table has not.",
                f"Did you mean {close[0]!r}?" if close else f"The table has: {had}.",
                where,
            )

    def template(self, text: str, where: str, needed: bool) -> Template | None:
        try:
            made = parse(text)
        except ValueError as error:
            self._wrong("mapping.template", f"{error}.", "Correct it.", where)
            return None
        for column in made.columns:
            self.find(column, where, needed)
        return made

    def target(self, name: str, where: str) -> Target | None:
        found = target_of(name)
        if found is None:
            meant = hint(name)
            remedy = f"Did you mean {meant!r}?" if meant else "Fields are those of a brief.yaml."
            self._wrong("mapping.field", f"{name!r} is no field of a brief.", remedy, where)
        return found
