"""Prices as people read them: the only module that writes one.

Signs, positions and separators come from CLDR, by way of Babel; how many decimals a currency has
comes from ISO 4217.
"""

from __future__ import annotations

import re
import unicodedata
from copy import copy
from dataclasses import replace
from decimal import Decimal

from babel import Locale
from babel.numbers import get_currency_symbol

from pytoon_pipeline.tables.currencies import currency_decimals, currency_signs, find_locale
from pytoon_pipeline.tables.currency_signs import HOME_LOCALES, SIGNS
from pytoon_pipeline.tables.money import NoCurrencyError, ParsedPrice, PriceNotation, parse_price

_DIGITS = {
    system: {ord("0") + n: zero + n for n in range(10)}
    for system, zero in (("arab", 0x0660), ("arabext", 0x06F0), ("deva", 0x0966))
}
"""Digits of those scripts that fonts are there for; others are written with Latin ones."""


def format_price(price: ParsedPrice, locale: str | None = None) -> str:
    """Write a price for people: `€24`, `€19.90`, `¥9,800`, `KWD 18.500`, `149 zł`; in the way of a
    locale (`24 €` in German) where one is given. Whole amounts have no decimals; nothing is ever
    rounded.

    A sign that may be of several currencies, or is not known, is shown as it was written. Raises
    NoCurrencyError for a price without one.
    """
    if not price.currency:
        raise NoCurrencyError(
            f"{price.amount:f} names no currency.",
            "Write it with its currency, as 19.90 EUR; or name the currency of all prices in the "
            "mapping: prices: {currency: EUR}.",
        )
    if price.code is None:
        return _as_written(price)
    code = price.code
    found = find_locale(locale)
    home = found or find_locale(HOME_LOCALES.get(code)) or Locale("en")
    sign = _sign_in(home, price, code)
    pattern = copy(home.currency_formats["standard"])
    digits = _shown_decimals(price.amount, code)
    pattern.frac_prec = (digits, digits)
    system = _digits_of(home)
    written = pattern.apply(
        price.amount, home, currency=None, currency_digits=False, numbering_system=system
    )
    # Babel has the separators of a numbering system, and no digits.
    return _put_sign(written, sign).translate(_DIGITS.get(system, {}))


def write_price(text: str, writing: PriceNotation, locale: str | None = None) -> str:
    """Write the price of a cell for people; a price of zero is none, and gives an empty text.

    The price is written in `locale`, in `writing.locale` where that is None. Raises as
    `parse_price` and `format_price`.
    """
    price = parse_price(text, replace(writing, locale=locale or writing.locale))
    return format_price(price, locale or writing.locale) if price.amount else ""


def _put_sign(written: str, sign: str) -> str:
    """A blank stands between an amount and letters, as CLDR wants it: `KWD 18`. It is a plain one:
    lines are not broken there in any case; the blanks of thousands are hard ones."""
    at = written.index("¤")
    before, after = written[:at], written[at + 1 :]
    if after[:1].isdigit() and unicodedata.category(sign[-1]) != "Sc":
        sign += " "
    if before[-1:].isdigit() and unicodedata.category(sign[0]) != "Sc":
        sign = f" {sign}"
    text = re.sub(r"(?<!\d)[\u00a0\u202f]|[\u00a0\u202f](?!\d)", " ", f"{before}{sign}{after}")
    return text.replace("\u202f", "\u00a0").strip()


def _digits_of(locale: Locale) -> str:
    usual = locale.default_numbering_system
    return usual if usual in _DIGITS else "latn"


def _shown_decimals(amount: Decimal, code: str | None) -> int:
    if amount == amount.to_integral_value():
        return 0
    exact = -int(amount.normalize().as_tuple().exponent)
    return max(exact, currency_decimals(code) if code else 2)


def _sign_in(locale: Locale, price: ParsedPrice, code: str) -> str:
    """A currency's sign in a locale. One that is of several there stays as narrow as it was
    written: `A$` is not made `$` in Australia."""
    sign = get_currency_symbol(code, locale)
    sign = {"￥": "¥", "￦": "₩"}.get(sign, sign)
    if sign in price.sign and len(currency_signs().get(price.sign, ())) == 1:
        return price.sign
    if sign == code and SIGNS.get(price.sign) == code and ord(max(price.sign)) < 0x250:
        return price.sign  # `RM` says more to people than `MYR`.
    return sign


def _as_written(price: ParsedPrice) -> str:
    """With the sign and the separators that it was written with."""
    digits = _shown_decimals(price.amount, price.code)
    text = f"{price.amount:,.{digits}f}"
    attached = unicodedata.category(price.sign[-1]) == "Sc"
    group = price.group or ("," if attached and price.decimal == "." else "")
    text = "".join({",": group, ".": price.decimal}.get(c, c) for c in text)
    if price.before:
        return f"{price.sign}{text}" if attached else f"{price.sign} {text}"
    return f"{text} {price.sign}"
