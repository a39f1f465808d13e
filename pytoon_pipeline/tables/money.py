"""Prices as they are written in cells: the only module that reads one.

How many decimals a currency has comes from ISO 4217, its separators from CLDR, by way of Babel. A
price that can be read in two ways is refused, never guessed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from babel import Locale

from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.currencies import (
    currencies_of,
    currency_codes,
    currency_decimals,
    decimals_in_shops,
    find_locale,
    home_locales,
    locale_territory,
    lookup_sign,
    may_be_sign,
    normalise_digits,
)
from pytoon_pipeline.tables.currency_signs import READ_AS, USUAL_CURRENCIES

_MAX_CHARACTERS = 80
"""Of a cell that may be a price."""
_MAX_DIGITS = 12
"""Before the decimal separator."""
_MINUS = re.compile(r"-")
_TAG = re.compile(r"<[^<>]*>")
_WHOLE = re.compile(r"\s?(?:[.,:]\s?-{1,2}|/[-=])")
"""After an amount without decimals: `19,-`, `19.–`, `19:-`, `500/-`."""
_NUMBER = re.compile(r"\d+(?:[ .,'٫٬]\d+)*")
_POINT_FIRST = re.compile(r"(?<![^\s$£€¥])[.,٫](\d{1,2})(?!\d|[.,٫]\d)")
_SIGN_AS_POINT = re.compile(r"(\d)\s?([€£])\s?(\d\d)$")
_OLD_SWEDISH = re.compile(r"(\d):(\d\d)(?!\d)")
_IN_A_FEED = re.compile(r"([0-9]{1,12})(?:\.([0-9]{2}))? ([A-Z]{3})")
"""What most cells of a feed are, and nothing has to be found out of: `1299.00 EUR`."""
_REMEDY = "Write one amount with its currency, as 19.90 EUR."


class NoCurrencyError(CellError):
    """An amount whose currency is not known."""


@dataclass(frozen=True)
class PriceNotation:
    """What is known of a table's prices beside the cells that they stand in."""

    currency: str | None = None
    """ISO 4217, for amounts that name none and to decide what a bare `$` or `kr` is."""
    locale: str | None = None
    """`de-CH`; for reading what is ambiguous, and for writing. None where nobody named one."""


NO_NOTATION = PriceNotation()
"""Nothing is known beside the cells."""


@dataclass(frozen=True)
class ParsedPrice:
    """An amount and its currency."""

    amount: Decimal
    code: str | None
    """ISO 4217; None where the sign stands for several currencies, or for none that is known."""
    sign: str = ""
    """As it was written; empty where the currency was written as its code, or not at all."""
    before: bool = True
    """Whether the sign stood before the amount."""
    decimal: str = "."
    group: str = ""
    """Separators as they were written, for signs that are shown as they were written."""

    @property
    def currency(self) -> str:
        """The code, or the sign where there is no code; empty where no currency is known."""
        return self.code or self.sign


@lru_cache(maxsize=4096)
def parse_price(text: str, writing: PriceNotation = NO_NOTATION) -> ParsedPrice:
    """Read the price that a cell holds: `1,299.00 USD`, `19,90 €`, `R$ 79,90`, `1.299,-`.

    The currency is the cell's own, else `writing.currency`; a sign of several currencies (`$`) is
    decided by that or by the locale, and else kept as it is written. The code of a price without
    any currency is None and its sign empty.

    Raises CellError for what is no single price from zero up, and for what can be read in two ways:
    three digits after the only separator, where neither the currency nor the locale tells.
    """
    usual = _IN_A_FEED.fullmatch(text)
    if (
        usual
        and usual[3] in currency_codes()
        and (not usual[2] or currency_decimals(usual[3]) == 2)
    ):
        return ParsedPrice(Decimal(f"{usual[1]}.{usual[2] or 0}"), usual[3], before=False)
    plain = html.unescape(html.unescape(text)) if "&" in text else text
    if "<" in plain:
        plain = _TAG.sub(" ", plain)
    plain = normalise_digits(plain).strip("\"'* ")
    if len(plain) > _MAX_CHARACTERS or not any(c.isdigit() for c in plain):
        raise _refusal_error(text, "is no price")
    plain = _OLD_SWEDISH.sub(r"\1,\2", plain) if re.search(r"(?i)kr|SEK", plain) else plain
    plain = _SIGN_AS_POINT.sub(r"\1,\3 \2", plain)
    plain = _POINT_FIRST.sub(r"0.\1", plain)
    numbers = list(_NUMBER.finditer(plain))
    if len(numbers) != 1 or sum(c.isdigit() for c in plain) != sum(map(str.isdigit, numbers[0][0])):
        raise _refusal_error(text, "holds more than one amount")
    number = numbers[0]
    before, after = plain[: number.start()], plain[number.end() :]
    whole = _WHOLE.match(after)
    after = after[whole.end() :] if whole else after
    if _MINUS.search(before) or _MINUS.search(after) or (before + after).strip()[:1] == "(":
        raise _refusal_error(text, "is less than nothing, or no single price")
    codes, sign, sign_before = _find_currency(text, before, after, writing)
    amounts = {}
    read_as = READ_AS.get(sign, codes) if len(codes) > 1 else codes
    for code in read_as or (None,):
        read = _NumberReading(text, number[0], code, writing.locale, whole is not None, bool(sign))
        try:
            amounts[code] = read.amount()
        except _ReadingExcludedError as error:
            excluded = error
    if not amounts:
        raise excluded.why
    if len(set(amounts.values())) > 1:
        raise _ambiguous_error(text, number[0])
    amount = next(iter(amounts.values()))
    code = codes[0] if len(codes) == 1 else None
    point, group = _written_separators(number[0], amount)
    return ParsedPrice(amount, code, sign, sign_before, point, group)


def lowest_price(values: Iterable[str], writing: PriceNotation = NO_NOTATION) -> str | None:
    """Return the cell of the lowest price above zero, as it is written; None where there is none.

    Raises CellError for a cell that is no price, and where they are of several currencies.
    """
    least: tuple[ParsedPrice, str] | None = None
    for value in values:
        price = parse_price(value, writing)
        if not price.amount:
            continue
        if least is not None and price.currency != least[0].currency:
            raise CellError(
                f"{least[1][:20]!r} and {value[:20]!r} are of different currencies, so none is the "
                "lowest.",
                "Write all prices of one product in one currency.",
            )
        if least is None or price.amount < least[0].amount:
            least = (price, value)
    return least[1] if least else None


def _refusal_error(text: str, why: str, remedy: str = _REMEDY) -> CellError:
    return CellError(f"{' '.join(text.split())[:40]!r} {why}.", remedy)


def _ambiguous_error(text: str, number: str) -> CellError:
    digits = re.sub(r"\D", "", number)
    return _refusal_error(
        text,
        "can be read in two ways",
        f"Write {digits} without a separator, or with its decimals, {digits}.00, if that is meant; "
        "or give the row a locale, as de, that says how it is written.",
    )


# Currency ----------------------------------------------------------------------------------------


def _find_currency(
    text: str, before: str, after: str, writing: PriceNotation
) -> tuple[tuple[str, ...], str, bool]:
    """The codes that the signs around an amount may stand for, the sign as it is written, and
    whether it stands before the amount."""
    found: list[tuple[tuple[str, ...], str, bool]] = []
    for side, is_before in ((before, True), (after, False)):
        found += [
            (codes, sign, is_before) for codes, sign in _read_side(text, side.strip(), writing)
        ]
    if not found:
        return ((writing.currency,) if writing.currency else ()), "", True
    unknown = [f for f in found if not f[0]]
    if unknown:
        if len(found) > 1:
            raise _refusal_error(text, "names a currency and something else")
        return found[0]
    common = set(found[0][0]).intersection(*(f[0] for f in found[1:]))
    if not common:
        raise _refusal_error(text, "names two currencies")
    signs = [f for f in found if f[1]] or found
    codes = tuple(c for c in found[0][0] if c in common)
    if len(codes) > 1:
        codes = _decide_currency(signs[0][1], codes, writing)
    return codes, signs[0][1], signs[0][2]


def _decide_currency(sign: str, codes: tuple[str, ...], writing: PriceNotation) -> tuple[str, ...]:
    """Of the currencies that a sign stands for, the one that is declared or that the locale's
    country has; all where nothing tells."""
    if writing.currency in codes:
        return (writing.currency,)
    locale = find_locale(writing.locale)
    territory = locale_territory(locale) if locale is not None else None
    here = [c for c in codes if territory and c in currencies_of(territory)]
    return (here[0],) if len(here) == 1 else USUAL_CURRENCIES.get(sign, codes)


def _read_side(text: str, side: str, writing: PriceNotation) -> list[tuple[tuple[str, ...], str]]:
    """What stands on one side of an amount: codes, and the sign where it is one."""
    if not side:
        return []
    known = lookup_sign(side, writing.locale)
    known = known or lookup_sign(side.replace(" ", ""), writing.locale)  # `US $`
    if known is not None:
        return [known]
    parts = side.split(" ")
    if len(parts) == 1:
        attached = re.fullmatch(r"([A-Z]{3})(\W)|(\W)([A-Z]{3})", side)
        parts = [p for p in attached.groups() if p] if attached else parts
    if len(parts) in (2, 3):
        found = [lookup_sign(part, writing.locale) for part in parts]
        if all(f is not None for f in found):
            return [f for f in found if f is not None]
    if len(parts) == 1 and may_be_sign(side):
        return [((), side)]
    raise _refusal_error(text, f"has {side[:20]!r} beside the amount, which is no currency")


# Amount ------------------------------------------------------------------------------------------


class _ReadingExcludedError(Exception):
    """An amount can't be one of this currency."""

    def __init__(self, why: CellError):
        self.why = why


@dataclass(frozen=True)
class _NumberReading:
    """A number as an amount of one currency."""

    text: str
    number: str
    code: str | None
    locale: str | None
    whole: bool
    """Whether it is marked as having no decimals: `1.299,-`."""
    has_sign: bool
    """Whether a sign stands beside it, rather than a code or nothing."""

    @property
    def _exact_decimals(self) -> int | None:
        return currency_decimals(self.code) if self.code else None

    def amount(self) -> Decimal:
        """Raises CellError where it can be read in two ways, _ReadingExcludedError where it is no
        amount of this currency."""
        head, tail = self._split_decimals()
        digits = re.sub(r"\D", "", head)
        if len(digits.lstrip("0")) > _MAX_DIGITS:
            raise _refusal_error(self.text, "is too large for a price")
        if tail and self.whole:
            raise _refusal_error(self.text, "has decimals and a dash for none")
        amount = Decimal(f"{digits}.{tail or 0}")
        most = self._exact_decimals
        kept = tail.rstrip("0")
        if most is not None and len(kept) > most:
            raise _ReadingExcludedError(
                _refusal_error(
                    self.text,
                    f"has {len(kept)} decimal{'s' if len(kept) > 1 else ''}, and {self.code} has "
                    f"{most or 'none'}",
                    f"Write an amount that there is in {self.code}, or correct the currency.",
                )
            )
        if most is None and len(kept) > 8:
            raise _refusal_error(self.text, "has too many decimals for a price")
        return amount

    def _split_decimals(self) -> tuple[str, str]:
        """The number before its decimal separator, and the decimals."""
        number = self.number
        signs = [c for c in number if not c.isdigit()]
        sure = [c for c in signs if c not in ".,"]
        either = [c for c in signs if c in ".,"]
        if "٫" in sure or len(set(either)) == 2:
            point = "٫" if "٫" in sure else either[-1]
            head, _, tail = number.rpartition(point)
            if point in head or not tail.isdigit():
                raise self._no_number()
            return self._require_groups(head), tail
        if not either:
            return self._require_groups(number), ""
        point = either[0]
        head, _, tail = number.rpartition(point)
        if len(either) > 1:
            return self._require_groups(number), ""
        if not tail.isdigit():
            raise self._no_number()
        if sure or not self.whole and (len(tail) != 3 or len(head) > 3 or head[0] == "0"):
            return self._require_groups(head), tail
        if self.whole or self._is_group(point):
            return self._require_groups(number), ""
        return head, tail

    def _require_groups(self, head: str) -> str:
        """The part before the decimals, its groups of digits as they should be: of three, or in
        India of two before the last three; all separated by one sign."""
        groups = re.split(r"\D", head)
        signs = {c for c in head if not c.isdigit()}
        if len(groups) == 1:
            return head
        sizes = [len(g) for g in groups]
        thousands = 1 <= sizes[0] <= 3 and set(sizes[1:]) == {3}
        lakhs = sizes[-1] == 3 and 1 <= sizes[0] <= 2 and set(sizes[1:-1]) == {2}
        if len(signs) > 1 or not (thousands or lakhs) or groups[0].startswith("0"):
            raise self._no_number()
        return head

    def _no_number(self) -> CellError:
        return _refusal_error(self.text, "is no number of a usual form")

    def _is_group(self, sign: str) -> bool:
        """Whether the only separator, with three digits after it, is one of thousands. Raises
        CellError where that is not sure."""
        tail = self.number[-3:]
        by_locale = _separator_role(sign, [find_locale(self.locale)])
        at_home = _separator_role(sign, home_locales(self.code) if self.code else ())
        exact = self._exact_decimals
        usual = decimals_in_shops(self.code) if self.code else None
        if usual == 0 and exact != 3:
            # `980.000 JPY`: a program may have written yen with three decimals.
            if by_locale == "group" or at_home != "point" or tail != "000":
                return True
        elif exact == 3 and usual == 3:
            if by_locale != "group" and (
                sign == "." or ("point" in (by_locale, at_home) and at_home != "group")
            ):
                return False
        # `19.900 BRL`: the same; people write a sign, programs a point and a code or nothing.
        elif (by_locale or (at_home if exact == 2 else None)) == "group" and (
            sign != "." or self.has_sign or tail[-1] != "0"
        ):
            return True
        raise _ambiguous_error(self.text, self.number)


def _separator_role(sign: str, locales: Sequence[Locale | None]) -> str | None:
    """What a separator is in all of some locales: `point`, `group`, or None where they disagree or
    don't use it."""
    roles = set()
    for locale in locales:
        if locale is not None:
            symbols = locale.number_symbols.get("latn", {})
            roles |= {
                n
                for n, key in (("point", "decimal"), ("group", "group"))
                if symbols.get(key) == sign
            }
    return roles.pop() if len(roles) == 1 else None


def _written_separators(number: str, amount: Decimal) -> tuple[str, str]:
    """Those that a number was written with: of decimals, and of thousands."""
    signs = [c for c in number if not c.isdigit()]
    if not signs:
        return ".", ""
    tail = len(number) - 1 - max(number.rindex(c) for c in signs)
    is_point = amount != amount.to_integral_value() or tail != 3
    point = signs[-1] if is_point else "." if signs[-1] == "," else ","
    group = signs[0] if len(signs) > 1 or not is_point else ""
    shown = {"٫": ".", "٬": ",", " ": "\u00a0"}  # Digits are Latin by now.
    return shown.get(point, point), shown.get(group, group)
