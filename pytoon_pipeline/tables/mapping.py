"""Mappings: tables of other programs, said in the fields of a brief."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pytoon_pipeline.briefs.field_names import (
    ColumnTarget,
    normalise_name,
    suggest_field,
    target_of,
)
from pytoon_pipeline.briefs.plain_text import clean_file_name
from pytoon_pipeline.briefs.reading import could_not_read, read_document
from pytoon_pipeline.briefs.scalars import AsWrittenText
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.settings import load_settings
from pytoon_pipeline.tables.cell_text import CellKind, kind_of
from pytoon_pipeline.tables.cells import CellError, clean_value
from pytoon_pipeline.tables.money import PriceNotation, lowest_price, parse_price
from pytoon_pipeline.tables.offers import (
    UNTIL,
    OfferColumnNames,
    OfferReader,
    find_offers,
    first_change,
)
from pytoon_pipeline.tables.rows import RowBrief, TableRow, add_defaults, as_name, read_row
from pytoon_pipeline.tables.templates import TemplateCell, TextTemplate, parse_template


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | int | float) or value is None else value


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


_Text = Annotated[str, BeforeValidator(_as_text)]
_Texts = Annotated[list[_Text], BeforeValidator(_as_list)]
_Templates = Annotated[list[_Text], BeforeValidator(lambda v: [] if v is None else _as_list(v))]
_Names = Annotated[
    list[_Text] | None, BeforeValidator(lambda v: None if v is None else _as_list(v))
]


class MappingFile(BaseModel):
    """`<table>.mapping.yaml`, or `mapping.yaml` for all tables of a folder."""

    model_config = ConfigDict(extra="forbid")

    use: str | None = Field(None, description="A mapping of presets/mappings to start from.")
    match: list[str] = Field(
        default_factory=list, description="Columns that a table must have to be taken by itself."
    )
    aliases: dict[str, _Texts] = Field(
        default_factory=dict,
        description="Column -> other names that it has; each stands for all of them.",
    )
    encoding: str | None = Field(
        None,
        min_length=1,
        max_length=40,
        description="Of a table of text that is not UTF-8: windows-1251, shift-jis, gbk.",
    )
    name: _Names = Field(
        None, description="Column that names a brief, or a template; the first that is filled."
    )
    campaign: str | None = Field(None, description="Column that names its campaign, or a template.")
    group_by: str | None = Field(
        None,
        description="Column whose rows of one value are one brief; capitals and blanks "
        "make no difference.",
    )
    order_by: str | None = Field(
        None, description="Column of numbers that the media of a group are ordered by."
    )
    line_break: str | None = Field(
        None, min_length=1, description="What stands for a line break in texts."
    )
    separator: str | None = Field(
        None, min_length=1, description="Between several values in a cell of a list."
    )
    fields: dict[str, _Templates] = Field(
        default_factory=dict,
        description="Field -> template. Of several for one line the first that is filled counts; "
        "lists take all of them.",
    )
    defaults: Annotated[dict[str, Any], AsWrittenText] = Field(
        default_factory=dict, description="What a brief says where the table says nothing."
    )
    skip: dict[str, _Texts] = Field(
        default_factory=dict, description="Column -> values; rows that hold one are passed over."
    )
    prices: OfferColumnNames = Field(
        default_factory=OfferColumnNames,
        description="Columns of prices and of a sale's dates, and the currency of those without.",
    )


# A mapping for a table ---------------------------------------------------------------------------


Cells = tuple[int, list[Any]]
"""A row: its number, and its cells, at least one per column."""


@dataclass(frozen=True)
class TablePlan:
    """A mapping, laid over the columns of a table."""

    columns: Mapping[str, int]
    """Column as the mapping names it -> its position."""
    name: tuple[TextTemplate, ...]
    campaign: TextTemplate | None
    group_by: str | None
    order_by: str | None
    separator: str | None
    line_break: str | None
    fields: tuple[tuple[ColumnTarget, tuple[TextTemplate, ...]], ...]
    """Empty where the table's columns are fields already."""
    defaults: tuple[tuple[ColumnTarget, Any, str], ...]
    skip: Mapping[str, frozenset[str]]
    unit: str = "row"
    """What a row is called in messages."""
    now: dt.datetime | None = None
    """When its offers are to be true; None where nobody asks for them."""
    offers: OfferReader | None = None
    lowest: frozenset[str] = frozenset()
    """Columns of which the lowest price is taken."""

    def kinds(self) -> dict[int, CellKind]:
        """Position of each column that is used -> what its cells are."""
        kinds = dict.fromkeys(self.columns.values(), CellKind.OWN)
        names = [*self.name, *([self.campaign] if self.campaign else [])]
        said = [(kind_of(target), templates) for target, templates in self.fields]
        used = [
            (kind, c)
            for kind, templates in [*said, (CellKind.NAME, tuple(names))]
            for template in templates
            for c in template.columns
        ]
        used += [(CellKind.OTHER, column) for column in (self.group_by, *self.skip) if column]
        order = list(CellKind)
        for kind, column in used:
            at = self.columns.get(column)
            if at is not None and order.index(kind) < order.index(kinds[at]):
                kinds[at] = kind
        return kinds

    def price_columns(self) -> list[int]:
        """Positions of columns of prices and of their dates: what counts there is a cell's value,
        not how its sheet shows it."""
        said = [t for _, templates in self.fields for t in templates]
        names = {c for template in said for c in template.price_columns}
        names |= set(self.offers.columns.values()) if self.offers else set()
        return sorted({at for name in names if (at := self.columns.get(name)) is not None})

    def groups(
        self, rows: Iterable[Cells], passed: dict[str, list[int]] | None = None
    ) -> Iterator[list[Cells]]:
        """The rows of each brief, in order; those that are passed over are added to `passed`, by
        the reason."""
        where = None if self.group_by is None else self.columns.get(self.group_by)
        groups: dict[Any, list[Cells]] = {}
        above: list[Cells] | None = None
        for number, cells in rows:
            value = "".join(as_name(cells[where]).casefold().split()) if where is not None else ""
            if (
                not value
                and above is not None
                and where is not None
                and self._continues_group(cells)
            ):
                above.append((number, cells))
                continue
            above = groups.setdefault(value or number, [])
            above.append((number, cells))
        for group in groups.values():
            reason = self._reason_to_skip(group)
            if reason is None:
                yield group
            elif passed is not None:
                passed.setdefault(reason, []).append(group[0][0])

    def _continues_group(self, cells: Sequence[Any]) -> bool:
        """Does a row without a group say more of the one above? It has no title of its own."""
        titles = [
            c
            for target, templates in self.fields
            if target.path == ("hook",)
            for template in templates
            for c in template.columns
        ]
        places = [at for c in titles if (at := self.columns.get(c)) is not None]
        return bool(places) and not any(clean_value(str(cells[at] or "")) for at in places)

    def _in_order(self, group: Sequence[Cells]) -> Sequence[Cells]:
        """Rows by the number that the table gives them; those without one stay behind."""
        where = None if self.order_by is None else self.columns.get(self.order_by)
        if where is None:
            return group

        def row_place(row: Cells) -> float:
            found = re.fullmatch(r"\s*(\d{1,9})(?:[.,]0+)?\s*", str(row[1][where]))
            return int(found[1]) if found else float("inf")

        return sorted(group, key=row_place)

    def _column_values(
        self, group: Sequence[Cells], column: str, locale: str | None = None
    ) -> list[str]:
        """What a column says in each row that it says something in. A sale price that does not hold
        is nothing. Raises CellError."""
        where = self.columns.get(column)
        if where is None:
            return []
        part = self._offer_columns.get(where)
        found = []
        for _, cells in group:
            text = clean_value(cells[where])
            if not text or (part and not self._is_price_current(part, cells, locale)):
                continue
            found.append((cells, text))
        if column in self.lowest:  # Drafts have prices, too, and nobody can pay them.
            found = [(c, t) for c, t in found if not self._is_passed_over(c)]
        return [text for _, text in found]

    def _is_price_current(self, part: str, cells: Sequence[Any], locale: str | None) -> bool:
        """Whether a row's sale price, or its former price, is true now."""
        if self.offers is None or self.now is None:
            return False
        return self.offers.counts(part, lambda c: self._cell_of(cells, c), locale, self.now)

    @cached_property
    def _offer_columns(self) -> dict[int, str]:
        """Position of the columns of sale prices and of former prices, under whichever name a
        template has them -> which it is."""
        named = self.offers.columns if self.offers else {}
        return {self.columns[named[part]]: part for part in ("was", "sale") if part in named}

    def _cell_of(self, cells: Sequence[Any], column: str) -> str:
        where = self.columns.get(column)
        return "" if where is None else clean_value(cells[where])

    def _is_passed_over(self, cells: Sequence[Any]) -> bool:
        return any(
            _skip_form(self._cell_of(cells, column)) in refused
            for column, refused in self.skip.items()
        )

    def _group_locale(self, group: Sequence[Cells]) -> str | None:
        """Of a row; None where neither it nor the mapping names one."""
        for target, templates in self.fields:
            if target.path == ("locale",):
                for template in templates:
                    with suppress(CellError):  # Said where the field itself is filled.
                        text = template.fill(lambda c: self._column_values(group, c))
                        if text:
                            return text
        named = (value for target, value, _ in self.defaults if target.path == ("locale",))
        return next((value for value in named if isinstance(value, str)), None)

    def _next_change(self, group: Sequence[Cells], locale: str | None) -> dt.datetime | None:
        """When something that is said of the group's prices may be true no more."""
        offers, now = self.offers, self.now
        if offers is None or now is None or not self._says_sale:
            return None

        def change_of(cells: Sequence[Any]) -> dt.datetime | None:
            return offers.next_change(lambda c: self._cell_of(cells, c), locale, now)

        return first_change(change_of(cells) for _, cells in group)

    @cached_property
    def _says_sale(self) -> bool:
        said = [c for _, templates in self.fields for t in templates for c in t.columns]
        return any(
            self._offer_columns.get(self.columns.get(column, -1)) == "sale" for column in said
        )

    def _reason_to_skip(self, group: Sequence[Cells]) -> str | None:
        for column, refused in self.skip.items():
            values = self._column_values(group, column)
            if not values:
                continue
            # WooCommerce writes several into one cell: `variation, virtual`.
            said = {_skip_form(part) for part in (values[0], *values[0].split(","))}
            if refused & said:
                return f"{column} is {values[0][:40]!r}"
        return None

    def row(self, group: Sequence[Cells]) -> TableRow:
        """The brief of some rows."""
        number = group[0][0]
        errors: list[tuple[str, CellError]] = []
        locale = self._group_locale(group)
        said = read_row(self._given_values(group, errors, locale), self.separator)
        seen: set[tuple[str, str]] = set()
        for place, error in errors:  # A price may stand in several fields.
            if (place, error.message) not in seen:
                seen.add((place, error.message))
                said.problems.append((place, error))
        until = self._next_change(group, locale)
        if until is not None and isinstance(said.data.setdefault("metadata", {}), dict):
            said.data["metadata"][UNTIL] = until.isoformat()
        row = self.finish(said, group, number)
        return row if until is None else replace(row, until=until.isoformat())

    def finish(
        self,
        said: RowBrief,
        group: Sequence[Cells],
        number: int,
        name: str = "",
        campaign: str = "",
    ) -> TableRow:
        """With what the mapping says of every row."""
        add_defaults(said, self.defaults)
        wanted = [(template, True) for template in self.name]
        wanted += [(self.campaign, False)] if self.campaign else []
        own_name = ""
        for template, is_name in wanted:
            try:
                text = template.fill(lambda c: self._column_values(group, c))
            except CellError as error:
                place = f"{self.unit} {number}, {_format_columns(template.columns)}"
                said.problems.append((place, error))
                continue
            if text and is_name:
                own_name = own_name or as_name(text)
            elif text:
                campaign = as_name(text)
        return TableRow(f"{self.unit} {number}", number, own_name or name, campaign, said)

    def _price_writing(self, group: Sequence[Cells], locale: str | None) -> PriceNotation:
        """What is known of the prices of a group. Raises CellError."""
        if self.offers is None:
            return PriceNotation(None, locale)
        column = self.offers.columns.get("currency", "")
        named = {text.upper() for _, cells in group if (text := self._cell_of(cells, column))}
        if len(named) > 1:
            raise CellError(
                f"prices of one brief are in {' and in '.join(sorted(named))}.",
                "Write them in one currency.",
            )
        return self.offers.price_notation(lambda c: self._cell_of(group[0][1], c), locale)

    def hides_price(self, group: Sequence[Cells]) -> str | None:
        """The column of a price that is shown nowhere because nothing says its currency."""
        locale = self._group_locale(group)
        hidden = [c for _, templates in self.fields for t in templates for c in t.hidden_prices]
        for column in dict.fromkeys(hidden):
            for _, cells in group:
                with suppress(CellError):  # Said where the field itself is filled.
                    price = parse_price(
                        self._cell_of(cells, column), self._price_writing(group, locale)
                    )
                    if price.amount and not price.currency:
                        return column
        return None

    def _fill_template(
        self, template: TextTemplate, part: Sequence[Cells], locale: str | None
    ) -> str | None:
        """A template with the cells of some rows. Raises CellError."""
        if not template.price_columns:
            return template.fill(lambda c: self._column_values(part, c, locale))
        rows = part if len(template.price_columns) < 2 else self._one_offer(template, part, locale)
        return template.fill(
            lambda c: self._column_values(rows if c in template.price_columns else part, c, locale),
            self._price_writing(part, locale),
        )

    def _one_offer(
        self, template: TextTemplate, part: Sequence[Cells], locale: str | None
    ) -> Sequence[Cells]:
        """The row that several prices of one sentence are taken from, as what one variant was and
        another is now make no offer: that of the lowest price where the sentence says the lowest,
        else the first that has all of them. Raises CellError."""
        columns = template.price_columns
        former = {c for c in columns if self._offer_columns.get(self.columns.get(c, -1)) == "was"}
        now = [c for c in template.lowest_columns if c not in former]
        if now:
            lowest = lowest_price(
                self._column_values(part, now[0], locale), self._price_writing(part, locale)
            )
            part = [row for row in part if lowest in self._column_values([row], now[0], locale)]
        whole = [row for row in part if all(self._column_values([row], c, locale) for c in columns)]
        return whole[:1] or part[:1]

    def _given_values(
        self, group: Sequence[Cells], errors: list[tuple[str, CellError]], locale: str | None
    ) -> Iterator[tuple[ColumnTarget, Any, str]]:
        for target, templates in self.fields:
            # One line is of the whole group; a list has something of each row.
            rows = self._in_order(group) if target.path == ("media",) else group
            parts = [[row] for row in rows] if target.kind == "list" else [group]
            seen = set()
            for template in templates:
                for part in parts:
                    place = f"{self.unit} {part[0][0]}, {_format_columns(template.columns)}"
                    try:
                        text = self._fill_template(template, part, locale)
                    except CellError as error:
                        if error.column is not None:
                            place = f"{self.unit} {part[0][0]}, column {error.column}"
                        errors.append((place, error))
                        continue
                    if text and text not in seen:
                        seen.add(text)
                        # Only a cell as it is can hold several; what is made of one is one.
                        many = target.kind == "list" and not template.is_bare
                        yield target, [text] if many else text, place
                if seen and target.kind != "list":
                    break


def _skip_form(value: str) -> str:
    """A value in the form that those of `skip` are compared in: `out_of_stock`, `Out of stock` and
    `https://schema.org/OutOfStock` are one. Numbers stay as they are."""
    said = re.sub(r"^https?://schema\.org/", "", value.strip().lower())
    return re.sub(r"[\W_]+", "", said) if any(c.isalpha() for c in said) else said


def _format_columns(names: Sequence[str]) -> str:
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


def read_mapping(beside: Path | None) -> tuple[MappingFile | None, list[Problem]]:
    """The mapping file beside a table; None where there is none, or it has problems."""
    return _read_mapping(beside, beside.name) if beside is not None else (None, [])


@lru_cache(maxsize=64)
def _read_once(
    path: Path, shown: str, _mtime_ns: int
) -> tuple[MappingFile | None, tuple[Problem, ...]]:
    mapping, problems = _read_mapping(path, shown)
    return mapping, tuple(problems)


def _read_built_in(path: Path) -> tuple[MappingFile | None, list[Problem]]:
    shown = f"presets/mappings/{path.name}"
    mapping, problems = _read_once(path, shown, path.stat().st_mtime_ns)
    if could_not_read(problems):
        _read_once.cache_clear()
    return mapping, list(problems)


def plan_for(
    header: Sequence[str], own: MappingFile | None, shown: str
) -> tuple[TablePlan | None, list[Problem]]:
    """The mapping for a table with these columns: the one beside it, of the name `shown`, else the
    built-in one that knows them, to which one without fields of its own only adds; None where there
    is none, or where it has problems."""
    if own is not None and (own.use is not None or own.fields or _is_plain(header)):
        return _apply_mapping(own, header, shown)
    if _is_plain(header):
        return None, []
    for name, path in _built_in().items():
        given, problems = _read_built_in(path)
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
    """Are these names of columns that a mapping knows: the one beside the table, else one of those
    that are built in?"""
    mappings = [m for path in _built_in().values() if (m := _read_built_in(path)[0])]
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


def _read_mapping(path: Path, shown: str) -> tuple[MappingFile | None, list[Problem]]:
    data, unclear = read_document(path, shown, MappingFile)
    if data is None:
        return None, unclear
    mapping, problems = validate_data(MappingFile, data, shown)
    return mapping, [p for p in unclear if p.severity == "error"] + problems


def _apply_mapping(
    own: MappingFile, header: Sequence[str], shown: str
) -> tuple[TablePlan | None, list[Problem]]:
    whole, problems = _with_base(own, shown)
    if whole is None:
        return None, problems
    # Exports come with more columns or fewer: only what a person wrote must be there.
    strict = own.use is not None or not own.match
    laid = _MappingOnTable(header, shown, whole.aliases)

    def naming_templates(part: str, texts: Sequence[str]) -> tuple[TextTemplate, ...]:
        needed = strict and part in own.model_fields_set and len(texts) == 1
        made = [laid.template(t if "{" in t else f"{{{t}}}", part, needed) for t in texts]
        return tuple(t for t in made if t is not None)

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
    if whole.order_by is not None:
        laid.find(whole.order_by, "order_by", strict and "order_by" in own.model_fields_set)
    for column in whole.skip:
        laid.find(column, f"skip.{column}", strict and column in own.skip)

    def has_column(part: str, column: str, needed: bool) -> bool:
        needed = needed and strict and part in own.prices.model_fields_set
        before = len(laid.problems)
        laid.find(column, f"prices.{part}", needed)
        if part == "currency" and len(laid.problems) > before:
            laid.problems[before:] = [
                Problem(
                    "mapping.currency",
                    f"{column!r} is neither the code of a currency nor a column of the table.",
                    "Write its code of three letters, as EUR.",
                    file=shown,
                    field="prices.currency",
                )
            ]
        return column in laid.columns

    taken = [p for _, ts in fields for t in ts for p in t.pieces if isinstance(p, TemplateCell)]
    plan = TablePlan(
        offers=find_offers(whole.prices, has_column),
        lowest=frozenset(p.column for p in taken if p.lowest),
        columns=laid.columns,
        name=naming_templates("name", whole.name or []),
        campaign=next(
            iter(naming_templates("campaign", [whole.campaign] if whole.campaign else [])), None
        ),
        group_by=whole.group_by,
        order_by=whole.order_by,
        separator=whole.separator,
        line_break=whole.line_break,
        fields=tuple(sorted(fields, key=lambda f: (len(f[0].path), f[0].place or 0))),
        defaults=tuple(sorted(defaults, key=lambda d: len(d[0].path))),
        skip={c: frozenset(map(_skip_form, vs)) for c, vs in whole.skip.items()},
    )
    return (None if laid.problems else plan), laid.problems


def _with_base(own: MappingFile, shown: str) -> tuple[MappingFile | None, list[Problem]]:
    """With what it starts from."""
    if own.use is None:
        return own, []
    known = _built_in()
    if own.use not in known:
        return None, [
            Problem(
                "mapping.use",
                f"{own.use!r} is no mapping of presets/mappings.",
                f"There are {', '.join(known)}.",
                file=shown,
                field="use",
            )
        ]
    base, problems = _read_built_in(known[own.use])
    if base is None or problems:
        return None, problems
    said = own.model_dump(exclude_unset=True)
    if own.prices.model_fields_set:
        said["prices"] = {**base.prices.model_dump(exclude_unset=True), **said.get("prices", {})}
    for part in ("fields", "defaults", "skip", "aliases"):
        said[part] = {**getattr(base, part), **getattr(own, part)}
    return MappingFile.model_validate({**base.model_dump(exclude_unset=True), **said}), []


@dataclass
class _MappingOnTable:
    """What a mapping names, looked for in a table."""

    header: Sequence[str]
    shown: str
    aliases: Mapping[str, Sequence[str]]
    columns: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

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
            _column_spellings(column, self.aliases) - {""},
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
