"""Templates: text with the cells of a table in it, `From {Variant Price|lowest|price EUR}`."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pytoon_pipeline.tables.currencies import currency_codes, find_locale
from pytoon_pipeline.tables.markup import without_hidden
from pytoon_pipeline.tables.money import (
    NO_NOTATION,
    NoCurrencyError,
    PriceNotation,
    lowest_price,
)
from pytoon_pipeline.tables.price_format import write_price

_MAX_HTML = 20_000
"""Characters of a cell that are looked at for text: a caption needs a line of it."""


# Filters -----------------------------------------------------------------------------------------


def _plain_text(value: str, _: str) -> str:
    text = without_hidden(value[:_MAX_HTML])
    text = re.sub(r"(?i)<br[^<>]*>|</(p|div|li|h\d|tr|ul|ol)\s*>", "\n", text)
    text = html.unescape(re.sub(r"<[^<>]*>", "", text))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _first_sentence(value: str, _: str) -> str:
    """The first sentence. A full stop before a small letter or a digit ends none: `approx. 5`."""
    line = value[:_MAX_HTML].strip().split("\n")[0]
    for end in re.finditer(r"(?<![.!?…])[.!?…]++(?=\s+[^\W\d_])|[。！？]", line):
        after = line[end.end() :].lstrip()[:1]
        if not after or not after.islower():
            return line[: end.end()]
    return line


def _shorten_text(value: str, most: str) -> str:
    """At most so many characters, whole words, with an ellipsis where something is left out."""
    limit, text = int(most), " ".join(value.split())
    if len(text) <= limit:
        return text
    cut = text[:limit]
    head = cut[: cut.rfind(" ")] if " " in cut else cut[:-1]
    return head.rstrip(" ,;:-–—.&+/") + "…"


def _format_price(value: str, how: str, writing: PriceNotation) -> str:
    """`24.00` -> `€24` with `price EUR`, `24 €` with `price EUR de`; the cell's own currency goes
    first. Empty for a price of nothing."""
    currency, locale = _price_words(how)
    return write_price(value, replace(writing, currency=currency or writing.currency), locale)


def _price_if_known(value: str, how: str, writing: PriceNotation) -> str:
    """The same, and empty where nothing says the currency."""
    try:
        return _format_price(value, how, writing)
    except NoCurrencyError:
        return ""


def _price_words(how: str) -> tuple[str | None, str | None]:
    """Currency and locale after `price`. Raises ValueError."""
    currency = locale = None
    for word in how.split():
        if currency is None and locale is None and word.upper() in currency_codes():
            currency = word.upper()
        elif locale is None and find_locale(word) is not None:
            locale = word
        else:
            raise ValueError(f"{word!r} is no currency and no locale")
    return currency, locale


_PRICES = (_format_price, _price_if_known)
_Filter = Callable[[str, str, PriceNotation], str]
_NOTHING = re.compile("")
_OF_PRICE = re.compile(r"([A-Za-z]{3})?( ?[A-Za-z]{2,3}([-_][^\W_]++)*+)?")
_FILTERS: dict[str, tuple[_Filter, re.Pattern[str]]] = {
    "text": (lambda value, how, _: _plain_text(value, how), _NOTHING),
    "first": (lambda value, how, _: _first_sentence(value, how), _NOTHING),
    "upper": (lambda value, _, __: value.upper(), _NOTHING),
    "short": (lambda value, how, _: _shorten_text(value, how), re.compile(r"[1-9]\d{0,3}")),
    "price": (_format_price, _OF_PRICE),
    "price?": (_price_if_known, _OF_PRICE),
}
"""Name -> what it does, and what may stand after the name. `lowest` goes over all rows."""


# Templates ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TemplateCell:
    """A cell in a template, and the filters that are applied to it."""

    column: str
    lowest: bool
    filters: tuple[tuple[_Filter, str], ...]

    def price_notation(self, known: PriceNotation) -> PriceNotation:
        """Return what is known of prices, with the currency and the locale that the cell's own
        `price` names."""
        for apply, how in self.filters:
            if apply in _PRICES:
                currency, locale = _price_words(how)
                return PriceNotation(currency or known.currency, locale or known.locale)
        return known


@dataclass(frozen=True)
class TextTemplate:
    """A text with cells in it."""

    pieces: tuple[str | TemplateCell, ...]

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns in the template."""
        return list(dict.fromkeys(p.column for p in self.pieces if isinstance(p, TemplateCell)))

    @property
    def is_bare(self) -> bool:
        """Whether the template is a cell and nothing else."""
        return (
            len(self.pieces) == 1
            and isinstance(self.pieces[0], TemplateCell)
            and not (self.pieces[0].filters or self.pieces[0].lowest)
        )

    @cached_property
    def price_columns(self) -> list[str]:
        """Columns that are read as prices."""
        taken = [p for p in self.pieces if isinstance(p, TemplateCell)]
        return [p.column for p in taken if p.lowest or any(f in _PRICES for f, _ in p.filters)]

    @cached_property
    def lowest_columns(self) -> list[str]:
        """Columns of which the lowest price is taken."""
        return [p.column for p in self.pieces if isinstance(p, TemplateCell) and p.lowest]

    @cached_property
    def hidden_prices(self) -> list[str]:
        """Columns whose prices are left out where their currency is not known."""
        taken = [p for p in self.pieces if isinstance(p, TemplateCell)]
        return [p.column for p in taken if any(f is _price_if_known for f, _ in p.filters)]

    def fill(
        self,
        cells: Callable[[str], Sequence[str]],
        writing: PriceNotation = NO_NOTATION,
    ) -> str | None:
        """Return the text; None when a cell in it is empty. `cells` gives the values of a column
        that are not empty; `writing` is what is known of prices. Raises CellError."""
        text = ""
        for piece in self.pieces:
            if isinstance(piece, str):
                text += piece
                continue
            values = cells(piece.column)
            if not values:
                return None
            value = values[0]
            if piece.lowest:
                value = lowest_price(values, piece.price_notation(writing)) or ""
            for apply, how in piece.filters if value else ():
                value = apply(value, how, writing)
            if not value.strip():
                return None
            text += value
        return text


def parse_template(text: str) -> TextTemplate:
    """Parse a template. Raises ValueError with a message for people."""
    pieces: list[str | TemplateCell] = []
    for part in re.split(r"(\{\{|\}\}|\{[^{}]*\})", text):
        if part in ("{{", "}}"):
            pieces.append(part[0])
        elif part.startswith("{"):
            if not part.endswith("}"):
                raise ValueError(f"{text!r} has a brace that is never closed")
            pieces.append(_parse_cell(part[1:-1], text))
        elif "{" in part or "}" in part:
            raise ValueError(f"{text!r} has a brace without its other; write {{{{ for a brace")
        elif part:
            pieces.append(part)
    return TextTemplate(tuple(pieces))


def _parse_cell(inside: str, text: str) -> TemplateCell:
    column, *names = (part.strip() for part in inside.split("|"))
    if not column:
        raise ValueError(f"{text!r} has braces with no column between them")
    filters: list[tuple[_Filter, str]] = []
    lowest = False
    for said in names:
        name, _, how = said.partition(" ")
        if name == "lowest" and not how and not filters:
            lowest = True
            continue
        if name not in _FILTERS:
            known = ", ".join([*_FILTERS, "lowest"])
            raise ValueError(f"{said!r} in {text!r} is no filter; there are {known}")
        apply, allowed = _FILTERS[name]
        if not allowed.fullmatch(how.strip()):
            raise ValueError(f"{said!r} in {text!r} is not complete; write short 40 or price EUR")
        if name.startswith("price"):
            _price_words(how)
        filters.append((apply, how.strip()))
    return TemplateCell(column, lowest, tuple(filters))
