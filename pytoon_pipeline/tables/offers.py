"""Offers: when a sale price of a table is valid, and until when what is said of a price is true."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.currencies import currency_codes, find_locale
from pytoon_pipeline.tables.money import ParsedPrice, PriceNotation, parse_price

UNTIL = "price_until"
"""In a brief's metadata: when what it says of a price may be true no more."""


class OfferColumnNames(BaseModel):
    """What a mapping says of the columns of prices. Those of shops' exports are known by their
    names, and need not be said."""

    model_config = ConfigDict(extra="forbid")

    price: str | None = Field(None, description="Column of the usual price.")
    sale: str | None = Field(
        None,
        description="Column of the sale price: counts within its dates, above zero and below the "
        "usual price, and is empty otherwise.",
    )
    was: str | None = Field(
        None,
        description="Column of a former price: counts where it is above the price, and is empty "
        "otherwise.",
    )
    dates: str | None = Field(None, description="Column of the sale's dates, as start/end.")
    starts: str | None = Field(None, description="Column of the sale's first day or moment.")
    ends: str | None = Field(None, description="Column of the sale's last day, or its end.")
    currency: str | None = Field(
        None, description="Of prices that name none: a code such as EUR, or a column."
    )
    timezone: str | None = Field(
        None, description="Of dates that name none, as Europe/Berlin; UTC if left out."
    )

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, name: str | None) -> str | None:
        if name is not None:
            _parse_zone(name)
        return name


_NAMES = {
    "price": ("price", "regular_price", "variant_price"),
    "sale": ("sale_price",),
    "was": ("compare_at_price", "variant_compare_at_price"),
    "dates": ("sale_price_effective_date",),
    "starts": ("date_sale_price_starts",),
    "ends": ("date_sale_price_ends",),
}
"""How the exports of shops name these columns."""


def _parse_zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; write one as Europe/Berlin") from None


# Dates -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OfferPeriod:
    """The time from one moment until just before another; None for a side that is open."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def is_current(self, now: dt.datetime) -> bool:
        """Return whether a moment is within the period."""
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)

    def next_change(self, now: dt.datetime) -> dt.datetime | None:
        """Return the first moment after `now` at which the period begins or ends; None for
        never."""
        if self.start and self.end and self.end <= self.start:
            return None
        return min((t for t in (self.start, self.end) if t is not None and t > now), default=None)


@lru_cache(maxsize=4096)
def read_period(text: str, zone: dt.tzinfo = dt.UTC, locale: str | None = None) -> OfferPeriod:
    """Read the dates of an offer, `start/end` in ISO 8601 as Google Merchant takes them; either
    side may be empty. A day without a time counts from its beginning, or until its end. `zone` is
    that of moments that name none, `locale` says how dates are written.

    Raises CellError for dates that can't be read or can be read in two ways.
    """
    if not text.strip():
        return OfferPeriod()
    sides = _split_period(text.strip())
    if sides is None:
        raise _no_date(text, "2026-03-01T00:00+01:00/2026-03-14T23:59+01:00")
    start = read_moment(sides[0], zone, locale)
    return OfferPeriod(start, read_moment(sides[1], zone, locale, end=True))


def _split_period(text: str) -> tuple[str, str] | None:
    """Start and end: a stroke stands between them, which may stand in a date, too."""
    for separator in (" / ", " - ", " – ", "--", "/"):
        if text.count(separator) == 1:
            start, _, end = text.partition(separator)
            return start, end
    strokes = [m.start() for m in re.finditer("/", text)]
    if len(strokes) == 5:  # 01/03/2026/14/03/2026
        return text[: strokes[2]], text[strokes[2] + 1 :]
    return None


@lru_cache(maxsize=4096)
def read_moment(
    text: str, zone: dt.tzinfo = dt.UTC, locale: str | None = None, *, end: bool = False
) -> dt.datetime | None:
    """Read a date or a moment. Returns it in UTC; None for an empty text. Of a day without a time
    it is the first moment, or with `end` the first one after the day. `zone` is that of moments
    that name none.

    Raises CellError for a text that can't be read, or can be read in two ways.
    """
    said = " ".join(text.split())
    if not said or said in ("..", "-"):
        return None
    if re.fullmatch(r"1\d{9}", said):
        return dt.datetime.fromtimestamp(int(said), dt.UTC)
    day, _, time = re.sub(r"(?<=\d)[Tt](?=\d)", " ", said).partition(" ")
    date = _parse_date(day, locale)
    try:
        if date is None:
            raise ValueError
        if not time:
            moment = dt.datetime.combine(date, dt.time(), zone)
            return (moment + dt.timedelta(days=1) if end else moment).astimezone(dt.UTC)
        # `24:00` is the end of a day; ISO 8601 has it and Python has not.
        late = re.match(r"24:?00(:?00)?", time)
        time = re.sub(r"^24", "00", time) if late else time
        moment = dt.datetime.fromisoformat(f"{date.isoformat()}T{_iso_time(time)}")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return (moment + dt.timedelta(days=1) if late else moment).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise _no_date(text, "2026-03-14 or 2026-03-14T18:00+01:00") from None


def _iso_time(text: str) -> str:
    """A time of day as Python reads it: `11:07 +0100`, `11:07 UTC`, `6:00 PM`."""
    text = re.sub(r"\s?(UTC|GMT|Z)$", "+00:00", text.strip(), flags=re.IGNORECASE)
    half = re.fullmatch(r"(?i)(\d{1,2})(:\d\d(?::\d\d)?)?\s?([ap])\.?m\.?(.*)", text)
    if half:
        hour = int(half[1]) % 12 + (12 if half[3].lower() == "p" else 0)
        text = f"{hour:02}{half[2] or ':00'}{half[4]}"
    text = re.sub(r"^(\d):", r"0\1:", text.replace(" ", ""))
    # Python 3.11 takes an offset of hours and minutes alone.
    return re.sub(r"([+-])(\d\d)$", r"\1\2:00", text)


def _parse_date(text: str, locale: str | None) -> dt.date | None:
    """`2026-03-14`, `20260314`, `2026/03/14`, `14.03.2026`, `14/03/2026` where it is clear which is
    the month, else by the locale."""
    found = re.fullmatch(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})", text)
    try:
        if found:
            return dt.date(int(found[1]), int(found[3]), int(found[4]))
        found = re.fullmatch(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", text)
        if not found:
            return None
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        if found[2] == "." or first == second or first > 12:
            return dt.date(year, second, first)
        if second > 12:
            return dt.date(year, first, second)
        known = find_locale(locale)
        if known is None or (known.language == "en" and known.territory is None):
            return None
        pattern = known.date_formats["short"].pattern
        month_first = pattern.index("M") < pattern.index("d")
        return dt.date(year, first, second) if month_first else dt.date(year, second, first)
    except ValueError:
        return None


def _no_date(text: str, form: str) -> CellError:
    return CellError(
        f"{' '.join(text.split())[:60]!r} is no date of an offer, or can be read in two ways.",
        f"Write {form}.",
    )


# A table's offers --------------------------------------------------------------------------------

Cell = Callable[[str], str]
"""Column -> the text of a row in it."""


@dataclass(frozen=True)
class OfferReader:
    """Reads the columns of prices of a table."""

    columns: Mapping[str, str]
    """What OfferColumns names -> the column, as the mapping names it."""
    currency: str | None = None
    """ISO 4217, of prices that name none."""
    zone: dt.tzinfo = dt.UTC

    def counts(self, part: str, cell: Cell, locale: str | None, now: dt.datetime) -> bool:
        """Return whether a row's `sale` or `was`, whichever `part` names, is true now: a sale price
        within its dates that is below the price, a former price above it. `cell` gives the text of
        a column. Raises CellError."""
        if part == "was":
            return self._is_below("price", "was", cell, locale)
        return self._is_sale(cell, locale) and self._read_period(cell, locale).is_current(now)

    def next_change(self, cell: Cell, locale: str | None, now: dt.datetime) -> dt.datetime | None:
        """Return when what a row says of its price changes next; None for never. Cells that can't
        be read are passed over here: they are reported where they are used."""
        try:
            if "sale" not in self.columns or not self._is_sale(cell, locale):
                return None
            return self._read_period(cell, locale).next_change(now)
        except CellError:
            return None

    def price_notation(self, cell: Cell, locale: str | None) -> PriceNotation:
        """Return what is known of the prices of a row. One that names no currency has that of the
        row's usual price. Raises CellError."""
        said = cell(self.columns["currency"]) if "currency" in self.columns else ""
        code = said.strip().upper() or self.currency
        if code and code not in currency_codes():
            raise CellError(f"{said[:20]!r} is no currency.", "Write its code, as EUR.")
        if not code and "price" in self.columns:
            code = _code_of(cell(self.columns["price"]), locale)
        return PriceNotation(code or None, locale)

    def _is_sale(self, cell: Cell, locale: str | None) -> bool:
        return self._is_below("sale", "price", cell, locale)

    def _is_below(self, low: str, high: str, cell: Cell, locale: str | None) -> bool:
        texts = []
        for name in (low, high):
            column = self.columns.get(name)
            text = cell(column) if column else ""
            if not any(c.isdigit() for c in text):
                return False  # Nothing, or `none`, `-`.
            texts.append(text)
        writing = self.price_notation(cell, locale)
        prices: list[ParsedPrice] = []
        for name, text in zip((low, high), texts, strict=True):
            try:
                prices.append(parse_price(text, writing))
            except CellError as error:
                raise CellError(error.message, error.remedy, column=self.columns[name]) from error
        lower, higher = prices
        # One of them may name the currency of both.
        same = lower.currency == higher.currency or not (lower.currency and higher.currency)
        return same and 0 < lower.amount < higher.amount

    def _read_period(self, cell: Cell, locale: str | None) -> OfferPeriod:
        whole = OfferPeriod()
        for name in ("dates", "starts", "ends"):
            column = self.columns.get(name)
            text = cell(column).strip() if column else ""
            if not text:
                continue
            try:
                if name == "dates":
                    whole = read_period(text, self.zone, locale)
                elif name == "starts":
                    whole = OfferPeriod(read_moment(text, self.zone, locale), whole.end)
                else:
                    whole = OfferPeriod(whole.start, read_moment(text, self.zone, locale, end=True))
            except CellError as error:
                raise CellError(error.message, error.remedy, column=column) from error
        return whole


@lru_cache(maxsize=4096)
def _code_of(text: str, locale: str | None) -> str | None:
    """The currency that a price names; None where it names none, or is none."""
    with suppress(CellError):
        return parse_price(text, PriceNotation(None, locale)).code
    return None


def find_offers(given: OfferColumnNames, has: Callable[[str, str, bool], bool]) -> OfferReader:
    """Return the reader of a table's offers.

    `has` returns whether the table has a column; its arguments are the part of `prices`, the
    column, and whether a person named it. Columns that are not named are found by the names that
    exports of shops have.
    """
    columns = {}
    for part, usual in _NAMES.items():
        wanted = getattr(given, part)
        names = (wanted,) if wanted else usual
        found = next((name for name in names if has(part, name, bool(wanted))), None)
        if found is not None:
            columns[part] = found
    code = (given.currency or "").upper()
    if given.currency and code not in currency_codes() and has("currency", given.currency, True):
        columns["currency"] = given.currency
    zone = _parse_zone(given.timezone) if given.timezone else dt.UTC
    return OfferReader(columns, code if code in currency_codes() else None, zone)


def first_change(moments: Iterable[dt.datetime | None]) -> dt.datetime | None:
    """Return the first of some moments; None where there is none."""
    return min((m for m in moments if m is not None), default=None)
