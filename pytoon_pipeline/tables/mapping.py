"""Mappings applied to tables: finds the mapping for a table, and lays it over its columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytoon_pipeline.briefs.field_names import (
    ColumnTarget,
    normalise_name,
    suggest_field,
    target_of,
)
from pytoon_pipeline.briefs.plain_text import clean_file_name
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.tables.mapping_file import (
    MappingFile,
    built_in_mappings,
    merge_base,
    read_built_in,
)
from pytoon_pipeline.tables.offers import (
    find_offers,
)
from pytoon_pipeline.tables.table_plan import TablePlan, skip_form
from pytoon_pipeline.tables.templates import TemplateCell, TextTemplate, parse_template


def plan_for(
    header: Sequence[str], own: MappingFile | None, shown: str
) -> tuple[TablePlan | None, list[Problem]]:
    """Return the plan for a table with these columns, and the problems of its mapping.

    The mapping is `own`, the one beside the table, named `shown` in messages; else the built-in one
    that knows the columns, to which one without fields of its own only adds. The plan is None where
    there is no mapping, or where it has problems.
    """
    if own is not None and (own.use is not None or own.fields or _is_plain(header)):
        return _apply_mapping(own, header, shown)
    if _is_plain(header):
        return None, []
    for name, path in built_in_mappings().items():
        given, problems = read_built_in(path)
        if problems or given is None:
            return None, problems
        if _matches_header(given, header):
            if own is not None:
                return _apply_mapping(own.model_copy(update={"use": name}), header, shown)
            return _apply_mapping(given, header, f"presets/mappings/{path.name}")
    return (None, []) if own is None else _apply_mapping(own, header, shown)


def _is_plain(header: Sequence[str]) -> bool:
    return any(normalise_name(name) == "media" for name in header)


def _matches_header(mapping: MappingFile, header: Sequence[str]) -> bool:
    known = {_squeeze_name(name) for name in header}
    return bool(mapping.match) and all(
        known & _column_spellings(name, mapping.aliases) for name in mapping.match
    )


def knows_header(own: MappingFile | None, header: Sequence[str]) -> bool:
    """Return whether a mapping knows these names of columns: a built-in one, or `own`, the one
    beside the table."""
    mappings = [m for path in built_in_mappings().values() if (m := read_built_in(path)[0])]
    if any(_matches_header(mapping, header) for mapping in mappings):
        return True
    if own is None or not (own.fields or own.match):
        return False
    known = {_squeeze_name(name) for name in header}
    texts = [t for texts in own.fields.values() for t in texts]
    columns = {c for t in texts for c in re.findall(r"\{([^{}|]+)", t)} | set(own.match)
    found = [c for c in columns if known & _column_spellings(c.strip(), own.aliases)]
    return len(found) >= min(2, len(columns))


def _squeeze_name(name: str) -> str:
    """A column's name without what people and programs write it with or without."""
    name = re.sub(r"^g:", "", clean_file_name(name).casefold())
    return re.sub(r"[\W_]+", "", name)


def _column_spellings(column: str, aliases: Mapping[str, Sequence[str]]) -> set[str]:
    """All names of a column, squeezed."""
    own = _squeeze_name(column)
    found = {own}
    for name, others in aliases.items():
        group = {_squeeze_name(name), *map(_squeeze_name, others)}
        if own in group:
            found |= group
    return found


def _apply_mapping(
    own: MappingFile, header: Sequence[str], shown: str
) -> tuple[TablePlan | None, list[Problem]]:
    """The plan of a mapping over these columns, and its problems; None where there is one."""
    whole, problems = merge_base(own, shown)
    if whole is None:
        return None, problems
    laid = _MappingOnTable(header, shown, own, whole)
    fields, defaults = laid.fields(), laid.defaults()
    laid.find_row_columns()
    used = [p for _, ts in fields for t in ts for p in t.pieces if isinstance(p, TemplateCell)]
    plan = TablePlan(
        offers=find_offers(whole.prices, laid.has_price_column),
        lowest=frozenset(p.column for p in used if p.lowest),
        columns=laid.columns,
        name=laid.naming_templates("name", whole.name or []),
        campaign=next(
            iter(laid.naming_templates("campaign", [whole.campaign] if whole.campaign else [])),
            None,
        ),
        group_by=whole.group_by,
        order_by=whole.order_by,
        separator=whole.separator,
        line_break=whole.line_break,
        fields=tuple(sorted(fields, key=lambda f: (len(f[0].path), f[0].place or 0))),
        defaults=tuple(sorted(defaults, key=lambda d: len(d[0].path))),
        skip={c: frozenset(map(skip_form, vs)) for c, vs in whole.skip.items()},
    )
    return (None if laid.problems else plan), laid.problems


@dataclass
class _MappingOnTable:
    """What a mapping names, looked up in a table."""

    header: Sequence[str]
    shown: str
    own: MappingFile
    """As a person wrote it."""
    whole: MappingFile
    """With the mapping that it starts from."""
    columns: dict[str, int] = field(default_factory=dict)
    """Column as the mapping names it -> its position."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def strict(self) -> bool:
        """Whether columns that a person named must be there. Exports come with more columns or
        fewer: only what a person wrote must be there."""
        return self.own.use is not None or not self.own.match

    def fields(self) -> list[tuple[ColumnTarget, tuple[TextTemplate, ...]]]:
        """The templates of each field."""
        fields = []
        for name, texts in self.whole.fields.items():
            where, needed = f"fields.{name}", self.strict and name in self.own.fields
            target = self.target(name, where)
            made = [self.template(text, where, needed) for text in texts]
            if target is not None:
                fields.append((target, tuple(t for t in made if t is not None)))
        return fields

    def defaults(self) -> list[tuple[ColumnTarget, Any, str]]:
        """The default of each field, and the place where it stands."""
        defaults = []
        for name, value in self.whole.defaults.items():
            target = self.target(name, f"defaults.{name}")
            if target is not None:
                defaults.append((target, value, f"{self.shown}: defaults.{name}"))
        return defaults

    def naming_templates(self, part: str, texts: Sequence[str]) -> tuple[TextTemplate, ...]:
        """The templates of `name` or `campaign`; a text without braces is a column."""
        needed = self.strict and part in self.own.model_fields_set and len(texts) == 1
        made = [self.template(t if "{" in t else f"{{{t}}}", part, needed) for t in texts]
        return tuple(t for t in made if t is not None)

    def find_row_columns(self) -> None:
        """Find the columns that rows are grouped, ordered and skipped by."""
        own, whole, strict = self.own, self.whole, self.strict
        if whole.group_by is not None:
            self.find(whole.group_by, "group_by", strict and own.group_by is not None)
        if whole.order_by is not None:
            self.find(whole.order_by, "order_by", strict and "order_by" in own.model_fields_set)
        for column in whole.skip:
            self.find(column, f"skip.{column}", strict and column in own.skip)

    def has_price_column(self, part: str, column: str, needed: bool) -> bool:
        """Whether the table has a column of prices, for `find_offers`."""
        needed = needed and self.strict and part in self.own.prices.model_fields_set
        before = len(self.problems)
        self.find(column, f"prices.{part}", needed)
        if part == "currency" and len(self.problems) > before:
            del self.problems[before:]
            self._report_problem(
                "mapping.currency",
                f"{column!r} is neither the code of a currency nor a column of the table.",
                "Write its code of three letters, as EUR.",
                "prices.currency",
            )
        return column in self.columns

    def _report_problem(self, code: str, message: str, remedy: str, where: str) -> None:
        self.problems.append(Problem(code, message, remedy, file=self.shown, field=where))

    def find(self, column: str, where: str, needed: bool) -> None:
        """A column, spelled as in the table, or nearly, or by another of its names."""
        for at, name in enumerate(self.header):
            if name == column:
                self.columns[column] = at
                return
        own, spellings = (
            {_squeeze_name(column)} - {""},
            _column_spellings(column, self.whole.aliases) - {""},
        )
        for wanted in (own, spellings):
            for at, name in enumerate(self.header):
                if _squeeze_name(name) in wanted:
                    self.columns[column] = at
                    return
        if needed:
            close = difflib.get_close_matches(column, self.header, 1, 0.6)
            had = ", ".join(name for name in self.header[:30] if name)
            self._report_problem(
                "mapping.column",
                f"names the column {column!r}, which is not in the table.",
                f"Did you mean {close[0]!r}?" if close else f"The table has: {had}.",
                where,
            )

    def template(self, text: str, where: str, needed: bool) -> TextTemplate | None:
        try:
            made = parse_template(text)
        except ValueError as error:
            self._report_problem("mapping.template", f"{error}.", "Correct it.", where)
            return None
        for column in made.columns:
            self.find(column, where, needed)
        return made

    def target(self, name: str, where: str) -> ColumnTarget | None:
        found = target_of(name)
        if found is None:
            meant = suggest_field(name)
            remedy = f"Did you mean {meant!r}?" if meant else "Fields are those of a brief.yaml."
            self._report_problem(
                "mapping.field", f"{name!r} is no field of a brief.", remedy, where
            )
        return found
