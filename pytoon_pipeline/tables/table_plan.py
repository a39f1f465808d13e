"""The plan of a table: which columns and templates fill the fields of each row's brief."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pytoon_pipeline.briefs.field_names import (
    ColumnTarget,
)
from pytoon_pipeline.tables.cell_text import CellKind, kind_of
from pytoon_pipeline.tables.cells import CellError, clean_value
from pytoon_pipeline.tables.money import PriceNotation, lowest_price, parse_price
from pytoon_pipeline.tables.offers import (
    UNTIL,
    OfferReader,
    first_change,
)
from pytoon_pipeline.tables.rows import RowBrief, TableRow, add_defaults, as_name, read_row
from pytoon_pipeline.tables.templates import TextTemplate

Cells = tuple[int, list[Any]]
"""A row: its number, and its cells, at least one per column."""


@dataclass(frozen=True)
class TablePlan:
    """A mapping applied to the columns of a table."""

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
        """Return what the cells of each used column are, by the position of the column."""
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
        """Return the positions of the columns of prices and of their dates: there a cell's value is
        read, not how its sheet shows it."""
        said = [t for _, templates in self.fields for t in templates]
        names = {c for template in said for c in template.price_columns}
        names |= set(self.offers.columns.values()) if self.offers else set()
        return sorted({at for name in names if (at := self.columns.get(name)) is not None})

    def groups(
        self, rows: Iterable[Cells], passed: dict[str, list[int]] | None = None
    ) -> Iterator[list[Cells]]:
        """Yield the rows of each brief, in order. The numbers of rows that are passed over are
        added to `passed`, by the reason."""
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
            skip_form(self._cell_of(cells, column)) in refused
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
            said = {skip_form(part) for part in (values[0], *values[0].split(","))}
            if refused & said:
                return f"{column} is {values[0][:40]!r}"
        return None

    def row(self, group: Sequence[Cells]) -> TableRow:
        """Return the brief of the rows of one group. What is wrong with their cells is in its
        problems."""
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
        """Return the row of a brief with the mapping's defaults, its name and its campaign. `name`
        and `campaign` are those of the row itself, `number` is that of its first row."""
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
        """Return the column of a price that is not shown because its currency is not known; None
        where there is none."""
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


def skip_form(value: str) -> str:
    """Return a value in the form that those of `skip` are compared in: `out_of_stock`, `Out of
    stock` and `https://schema.org/OutOfStock` are one. Numbers stay as they are."""
    said = re.sub(r"^https?://schema\.org/", "", value.strip().lower())
    return re.sub(r"[\W_]+", "", said) if any(c.isalpha() for c in said) else said


def _format_columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else "mapping"
