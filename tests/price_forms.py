"""Prices as shops write them, of known amounts: made without what reads them, by Babel in many
locales and by hand in the ways of writing that CLDR does not know."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from babel import Locale
from babel.numbers import format_currency

CURRENCIES: dict[str, tuple[int, str, tuple[str, ...], tuple[str, ...]]] = {
    # Decimals, home locale, signs that are its own, signs that others have, too.
    "EUR": (2, "de_DE", ("€",), ()),
    "USD": (2, "en_US", ("US$",), ("$",)),
    "GBP": (2, "en_GB", ("£",), ()),
    "JPY": (0, "ja_JP", ("円",), ("¥", "￥")),
    "CNY": (2, "zh_CN", ("CN¥", "RMB"), ("¥", "元")),
    "INR": (2, "en_IN", ("₹",), ("Rs.", "Rs")),
    "BRL": (2, "pt_BR", ("R$",), ()),
    "AUD": (2, "en_AU", ("A$", "AU$"), ("$",)),
    "CAD": (2, "en_CA", ("CA$",), ("C$", "$")),
    "NZD": (2, "en_NZ", ("NZ$",), ("$",)),
    "HKD": (2, "en_HK", ("HK$",), ("$",)),
    "TWD": (2, "zh_TW", ("NT$",), ("$",)),
    "SGD": (2, "en_SG", ("S$",), ("$",)),
    "MXN": (2, "es_MX", ("MX$",), ("$",)),
    "CLP": (0, "es_CL", ("CLP$",), ("$",)),
    "COP": (2, "es_CO", ("COL$",), ("$",)),
    "ARS": (2, "es_AR", ("AR$",), ("$",)),
    "PLN": (2, "pl_PL", ("zł",), ()),
    "CZK": (2, "cs_CZ", ("Kč",), ()),
    "HUF": (2, "hu_HU", ("Ft",), ()),
    "RON": (2, "ro_RO", (), ("lei",)),
    "BGN": (2, "bg_BG", ("лв.",), ()),
    "SEK": (2, "sv_SE", (), ("kr",)),
    "NOK": (2, "nb_NO", (), ("kr",)),
    "DKK": (2, "da_DK", (), ("kr.", "kr")),
    "ISK": (0, "is_IS", (), ("kr.",)),
    "CHF": (2, "de_CH", ("Fr.", "SFr."), ()),
    "TRY": (2, "tr_TR", ("₺", "TL"), ()),
    "RUB": (2, "ru_RU", ("₽", "руб."), ()),
    "UAH": (2, "uk_UA", ("₴", "грн"), ()),
    "KZT": (2, "ru_KZ", ("₸",), ()),
    "ILS": (2, "he_IL", ("₪",), ()),
    "AED": (2, "ar_AE", ("د.إ", "Dhs."), ()),
    "SAR": (2, "ar_SA", ("ر.س", "SR"), ()),
    "EGP": (2, "ar_EG", ("ج.م", "E£"), ()),
    "KWD": (3, "ar_KW", ("د.ك", "KD"), ()),
    "BHD": (3, "ar_BH", ("BD",), ()),
    "OMR": (3, "ar_OM", ("ر.ع",), ()),
    "JOD": (3, "ar_JO", ("JD",), ()),
    "TND": (3, "fr_TN", ("DT",), ()),
    "KRW": (0, "ko_KR", ("₩", "원"), ()),
    "VND": (0, "vi_VN", ("₫", "đ"), ()),
    "IDR": (2, "id_ID", ("Rp",), ()),
    "THB": (2, "th_TH", ("฿",), ()),
    "MYR": (2, "ms_MY", ("RM",), ()),
    "PHP": (2, "en_PH", ("₱",), ()),
    "ZAR": (2, "en_ZA", ("R",), ()),
    "NGN": (2, "en_NG", ("₦",), ()),
    "KES": (2, "en_KE", ("KSh",), ()),
    "XOF": (0, "fr_SN", (), ("F CFA", "FCFA")),
    "PEN": (2, "es_PE", ("S/",), ()),
    "CRC": (2, "es_CR", ("₡",), ()),
    "PYG": (0, "es_PY", ("Gs.", "₲"), ()),
    "IRR": (2, "fa_IR", ("ریال",), ()),
}
ABROAD = (
    "en",
    "en_US",
    "en_GB",
    "de",
    "de_AT",
    "de_CH",
    "fr",
    "fr_CA",
    "fr_CH",
    "es",
    "es_MX",
    "it",
    "nl",
    "pt",
    "pt_BR",
    "pl",
    "cs",
    "sv",
    "da",
    "nb",
    "fi",
    "tr",
    "ru",
    "ar",
    "ar_EG",
    "he",
    "fa",
    "hi",
    "en_IN",
    "ja",
    "ko",
    "zh",
    "th",
    "vi",
    "id",
    "el",
    "hu",
    "bg",
    "lv",
    "et",
)
STYLES = ("CLDR at home", "CLDR abroad", "code", "feed", "by hand", "dash", "digits", "bare")


@dataclass(frozen=True)
class Written:
    """A price as a shop writes it."""

    text: str
    amount: Decimal
    code: str
    style: str
    currency: str | None
    """Declared beside the cell."""
    locale: str | None
    """Of the row; None where nobody says."""


def make_prices(count: int, seed: int = 1) -> Iterator[Written]:
    """So many prices, always the same ones for a seed."""
    chance = random.Random(seed)
    while count:
        code = chance.choice(list(CURRENCIES))
        style = chance.choice(STYLES)
        made = _write(chance, code, style, _amount(chance, CURRENCIES[code][0]))
        if made is not None:
            count -= 1
            yield made


def _amount(chance: random.Random, decimals: int) -> Decimal:
    value = Decimal(str(round(10 ** chance.uniform(-0.3, 5.3), 3)))
    kind = chance.random()
    if kind < 0.2 or decimals == 0:
        return max(Decimal(1), value.to_integral_value())
    if kind < 0.5:
        ending = chance.choice(["0.99", "0.95", "0.90", "0.50"])
        return value.to_integral_value() + Decimal(ending)
    return max(value.quantize(Decimal(1).scaleb(-decimals)), Decimal("0.05"))


def _write(chance: random.Random, code: str, style: str, amount: Decimal) -> Written | None:
    decimals, home, own, shared = CURRENCIES[code]
    declared = locale = None
    if style in ("CLDR at home", "CLDR abroad", "digits"):
        place = home if style == "CLDR at home" else chance.choice(ABROAD)
        system = "latn"
        if style == "digits":
            place = chance.choice(["ar_EG", "ar_SA", "fa", "mr", "ne", "bn", "my"])
            system = "default"
        text = _by_cldr(amount, decimals, code, place, system, chance.random() < 0.2)
        locale = place if chance.random() < 0.5 else None
        if system == "default":
            text = text.translate(_digits_of(place))
        if style == "CLDR at home" and chance.random() < 0.3:
            declared = code
    elif style == "feed":  # As Google wants it.
        text = f"{amount:.{decimals}f} {code}"
        locale = chance.choice([None, None, "de", "en", home])
    elif style == "bare":  # Of a database, with the currency in the mapping.
        text = f"{amount:.{chance.choice([decimals, 2, 4]) if decimals == 2 else decimals}f}"
        declared = code
    else:
        marks = [*own, *shared] if style == "by hand" else [code]
        if style == "dash":
            if amount != amount.to_integral_value():
                return None
            marks = [*own, *shared, code]
        if not marks:
            return None
        point, group = chance.choice(
            [
                (".", ""),
                (",", ""),
                (".", ","),
                (",", "."),
                (",", " "),
                (",", "\u00a0"),
                (",", "\u202f"),
                (".", "'"),
                (".", "’"),
                (".", "\u2009"),
            ]
        )
        if decimals == 3 and not group and point == "," and code != "TND":
            point = "."
        number = f"{amount:,.{decimals}f}"
        if amount == amount.to_integral_value() and (
            style == "dash" or (chance.random() < 0.4 and (decimals < 3 or group not in (".", ",")))
        ):
            number = f"{amount:,.0f}"
        number = number.translate(str.maketrans({",": group, ".": point}))
        if style == "dash":
            number += chance.choice([",-", ".-", ",–", ".—", ",--", "/-", ":-"])
        mark = chance.choice(marks)
        text = chance.choice(
            [
                f"{mark}{number}",
                f"{mark} {number}",
                f"{number} {mark}",
                f"{number}{mark}",
                f"{mark}\u00a0{number}",
                f"{number}\u00a0{mark}",
                f" {number}  {mark} ",
            ]
        )
        if mark in shared and chance.random() < 0.5:
            declared = code
    if chance.random() < 0.03:
        text = text.replace("€", "&euro;").replace("£", "&pound;").replace("\u00a0", "&nbsp;")
    return Written(text, amount, code, style, declared, locale)


def _digits_of(place: str) -> dict[int, int]:
    """Babel has the separators of a numbering system, and no digits."""
    zeros = {"arab": 0x660, "arabext": 0x6F0, "deva": 0x966, "beng": 0x9E6, "mymr": 0x1040}
    zero = zeros.get(Locale.parse(place).default_numbering_system, 0x30)
    return {0x30 + n: zero + n for n in range(10)}


def _by_cldr(
    amount: Decimal, decimals: int, code: str, place: str, system: str, as_code: bool
) -> str:
    locale = Locale.parse(place)
    pattern = locale.currency_formats["standard"].pattern.split(";")[0]
    fraction = "" if amount == amount.to_integral_value() else "." + "0" * decimals
    if decimals == 3:
        fraction = ".000"
    elif not fraction and amount < 1000:
        fraction = "." + "0" * decimals if decimals else ""
    head, _, tail = pattern.partition("0.00")
    pattern = f"{head}0{fraction}{tail}"
    if as_code:
        pattern = pattern.replace("¤", "¤¤")
    return format_currency(
        amount, code, pattern, locale=locale, currency_digits=False, numbering_system=system
    )
