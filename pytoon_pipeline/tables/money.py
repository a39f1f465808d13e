"""Prices: the only place that reads or writes one.

Signs, positions and separators come from CLDR, by way of Babel; how many decimals a currency has
comes from ISO 4217. A price that can be read in two ways is refused, never guessed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.core import get_global
from babel.languages import get_official_languages
from babel.numbers import get_currency_symbol

from pytoon_pipeline.tables.cells import CellError

_MAX_CHARACTERS = 80
"""Of a cell that may be a price."""
_MAX_DIGITS = 12
"""Before the decimal separator."""


class NoCurrencyError(CellError):
    """An amount of which nothing says the currency."""


@dataclass(frozen=True)
class PriceNotation:
    """What is known of a table's prices beside the cells that they stand in."""

    currency: str | None = None
    """ISO 4217, for amounts that name none and to decide what a bare `$` or `kr` is."""
    locale: str | None = None
    """`de-CH`; for reading what is ambiguous, and for writing. None where nobody named one."""


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


# Currencies --------------------------------------------------------------------------------------

_NO_DECIMALS = frozenset(
    {
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    }
)
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_FOUR_DECIMALS = frozenset({"CLF", "UYW"})
"""Of ISO 4217, those that have not two. CLDR says for some (HUF, IQD) what is used in shops."""

_SIGNS: dict[str, str] = {
    "€": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "£": "GBP FKP GIP SHP SSP",
    "₹": "INR",
    "₩": "KRW",
    "원": "KRW",
    "$US": "USD",
    "$ US": "USD",
    "$AU": "AUD",
    "$ AU": "AUD",
    "$CA": "CAD",
    "$ CA": "CAD",
    "$NZ": "NZD",
    "$ NZ": "NZD",
    "$HK": "HKD",
    "$ HK": "HKD",
    "$SG": "SGD",
    "£E": "EGP",
    "US$": "USD",
    "U$S": "USD",
    "USD$": "USD",
    "A$": "AUD",
    "AU$": "AUD",
    "CA$": "CAD",
    "CAN$": "CAD",
    "C$": "CAD NIO",
    "NZ$": "NZD",
    "HK$": "HKD",
    "NT$": "TWD",
    "NT": "TWD",
    "S$": "SGD",
    "R$": "BRL",
    "MX$": "MXN",
    "Mex$": "MXN",
    "RD$": "DOP",
    "J$": "JMD",
    "TT$": "TTD",
    "BZ$": "BZD",
    "Bds$": "BBD",
    "EC$": "XCD",
    "G$": "GYD",
    "L$": "LRD",
    "N$": "NAD",
    "Z$": "ZWL",
    "FJ$": "FJD",
    "SI$": "SBD",
    "WS$": "WST",
    "T$": "TOP",
    "B$": "BND BSD",
    "CI$": "KYD",
    "COL$": "COP",
    "AR$": "ARS",
    "CLP$": "CLP",
    "CL$": "CLP",
    "$U": "UYU",
    "$b": "BOB",
    "MOP$": "MOP",
    "E£": "EGP",
    "LE": "EGP",
    "L.E.": "EGP",
    "$": "USD AUD CAD NZD HKD SGD TWD MXN ARS CLP COP UYU DOP JMD TTD BZD BBD BSD BMD KYD XCD GYD "
    "SRD LRD NAD FJD SBD BND CUP CVE MOP NIO",
    "¥": "JPY CNY",
    "￥": "JPY CNY",
    "円": "JPY",
    "JP¥": "JPY",
    "JPY¥": "JPY",
    "CN¥": "CNY",
    "RMB": "CNY",
    "元": "CNY TWD HKD",
    "圓": "TWD HKD",
    "人民币": "CNY",
    "zł": "PLN",
    "zl": "PLN",
    "zł.": "PLN",
    "zl.": "PLN",
    "Kč": "CZK",
    "Kc": "CZK",
    "Kčs": "CZK",
    "Ft": "HUF",
    "Ft.": "HUF",
    "lei": "RON MDL",
    "leu": "RON MDL",
    "лв": "BGN",
    "лв.": "BGN",
    "lv": "BGN",
    "lv.": "BGN",
    "din": "RSD",
    "din.": "RSD",
    "дин": "RSD",
    "дин.": "RSD",
    "KM": "BAM",
    "КМ": "BAM",
    "ден": "MKD",
    "ден.": "MKD",
    "den": "MKD",
    "den.": "MKD",
    "kr": "SEK NOK DKK ISK",
    "kr.": "SEK NOK DKK ISK",
    "SKr": "SEK",
    "NKr": "NOK",
    "Nkr": "NOK",
    "DKr": "DKK",
    "Dkr": "DKK",
    "IKr": "ISK",
    "Skr": "SEK",
    "Fr.": "CHF",
    "SFr.": "CHF",
    "SFr": "CHF",
    "sFr.": "CHF",
    "Fr": "CHF",
    "₺": "TRY",
    "TL": "TRY",
    "₽": "RUB",
    "руб": "RUB",
    "руб.": "RUB",
    "р.": "RUB BYN",
    "р": "RUB BYN",
    "₴": "UAH",
    "грн": "UAH",
    "грн.": "UAH",
    "₸": "KZT",
    "тг": "KZT",
    "тг.": "KZT",
    "тенге": "KZT",
    "Br": "BYN ETB",
    "₾": "GEL",
    "֏": "AMD",
    "₼": "AZN",
    "сом": "KGS",
    "сўм": "UZS",
    "so'm": "UZS",
    "₮": "MNT",
    "₪": "ILS",
    'ש"ח': "ILS",
    "ש״ח": "ILS",
    "NIS": "ILS",
    "د.إ": "AED",
    "Dhs": "AED",
    "Dhs.": "AED",
    "AED": "AED",
    "DH": "AED MAD",
    "Dh": "AED MAD",
    "ر.س": "SAR",
    "SR": "SAR SCR",
    "Le": "SLE",
    "ريال": "SAR QAR OMR YER",
    "ریال": "IRR",
    "ر.ق": "QAR",
    "QR": "QAR",
    "د.ب": "BHD",
    "BD": "BHD",
    "د.ك": "KWD",
    "KD": "KWD",
    "د.ا": "JOD",
    "د.أ": "JOD",
    "JD": "JOD",
    "د.ت": "TND",
    "DT": "TND",
    "د.ل": "LYD",
    "LD": "LYD",
    "ر.ع": "OMR",
    "د.ج": "DZD",
    "DA": "DZD",
    "د.م": "MAD",
    "ج.م": "EGP",
    "ل.ل": "LBP",
    "د.ع": "IQD",
    "؋": "AFN",
    "৳": "BDT",
    "Tk": "BDT",
    "Tk.": "BDT",
    "฿": "THB",
    "บาท": "THB",
    "₫": "VND",
    "đ": "VND",
    "VNĐ": "VND",
    "₭": "LAK",
    "៛": "KHR",
    "Ks": "MMK",
    "₱": "PHP",
    "Rp": "IDR",
    "Rp.": "IDR",
    "RM": "MYR",
    "₨": "INR PKR LKR NPR MUR SCR",
    "Rs": "INR PKR LKR NPR MUR SCR",
    "Rs.": "INR PKR LKR NPR MUR SCR",
    "रु": "INR NPR",
    "रु.": "INR NPR",
    "₦": "NGN",
    "₵": "GHS",
    "GH₵": "GHS",
    "GH¢": "GHS",
    "KSh": "KES",
    "Ksh": "KES",
    "TSh": "TZS",
    "USh": "UGX",
    "R": "ZAR",
    "FCFA": "XOF XAF",
    "F CFA": "XOF XAF",
    "CFA": "XOF XAF",
    "CFPF": "XPF",
    "₡": "CRC",
    "₲": "PYG",
    "Gs": "PYG",
    "Gs.": "PYG",
    "S/": "PEN",
    "S/.": "PEN",
    "Bs": "BOB VES",
    "Bs.": "BOB VES",
    "B/.": "PAB",
    "Q": "GTQ",
    "L": "HNL MDL",
    "Afl.": "AWG",
}
"""What is written for a currency beside its code and what CLDR knows: sign -> codes, in English and
where the currency is used. A sign of several is decided by a declared currency or a locale."""

_HOMES = {
    "BRL": "pt_BR",
    "PLN": "pl_PL",
    "CZK": "cs_CZ",
    "HUF": "hu_HU",
    "TRY": "tr_TR",
    "UAH": "uk_UA",
    "RUB": "ru_RU",
    "BGN": "bg_BG",
    "VND": "vi_VN",
    "IDR": "id_ID",
    "KZT": "ru_KZ",
    "PYG": "es_PY",
}
"""Currencies whose sign is theirs alone and is not known in English: where no locale is given they
are written as at home, all others as in English."""

_READ_AS = {"$": ("USD",), "₨": ("INR",), "Rs": ("INR",), "Rs.": ("INR",)}
"""How an amount with a bare sign is read where nothing says whose it is: as in those countries that
write a point for decimals. What the others write otherwise is refused."""

_WITHOUT_CODE = frozenset({"تومان", "Toman", "toman"})
"""Names of money that is no currency of ISO 4217 by itself: ten rials are a toman."""

_USUALLY = {"£": ("GBP",)}
"""Whose a sign is where nothing says otherwise: the others are worth the same, or are rare."""

_SPOKEN = (
    "ar",
    "bn",
    "cs",
    "da",
    "de",
    "el",
    "es",
    "es_MX",
    "fa",
    "fi",
    "fr",
    "fr_CA",
    "he",
    "hi",
    "hu",
    "id",
    "it",
    "ja",
    "ko",
    "mr",
    "ms",
    "nb",
    "ne",
    "nl",
    "pl",
    "pt",
    "pt_PT",
    "ro",
    "ru",
    "sv",
    "sw",
    "ta",
    "te",
    "th",
    "tr",
    "uk",
    "ur",
    "vi",
    "zh",
    "zh_TW",
)
"""Languages whose signs for other countries' money are looked at, too: `$AR`, `UK£`."""

_WORDS_NOT_CODES = frozenset(
    {
        "ALL",
        "ANG",
        "BAM",
        "BOB",
        "COP",
        "CUP",
        "GEL",
        "MAD",
        "MOP",
        "PEN",
        "RON",
        "SOS",
        "TOP",
        "TRY",
        "ERN",
    }
)
"""Codes that are words in small letters."""

_NO_SIGNS = frozenset(
    {
        "ttc",
        "ht",
        "pvp",
        "ppc",
        "srp",
        "map",
        "tax",
        "gst",
        "szt",
        "qty",
        "set",
        "box",
        "day",
        "sku",
        "art",
        "neu",
        "just",
        "oz",
        "lb",
        "pos",
        "est",
        "ab",
        "ca",
        "circa",
        "nur",
        "only",
        "from",
        "uvp",
        "rrp",
        "msrp",
        "vk",
        "ek",
        "kg",
        "g",
        "mg",
        "ml",
        "l",
        "cl",
        "m",
        "cm",
        "mm",
        "pcs",
        "pc",
        "stk",
        "st",
        "each",
        "ea",
        "per",
        "pro",
        "x",
        "des",
        "dès",
        "da",
        "od",
        "от",
        "von",
        "bis",
        "to",
        "inkl",
        "incl",
        "excl",
        "inc",
        "zzgl",
        "net",
        "netto",
        "gross",
        "brutto",
        "vat",
        "mwst",
        "tva",
        "iva",
        "btw",
        "k",
        "mio",
        "mln",
        "bn",
        "mrd",
        "tsd",
        "tys",
        "тыс",
        "млн",
        "lakh",
        "crore",
        "cr",
        "ct",
        "cent",
        "cents",
        "c",
        "p",
        "usw",
        "off",
        "sale",
        "new",
        "now",
        "was",
        "old",
        "ref",
        "no",
        "nr",
        "min",
        "max",
    }
)
"""Short words beside an amount that are no currency."""


def _currency_decimals(code: str | None) -> int | None:
    """How many decimals a currency has by ISO 4217; None for an unknown one."""
    if code is None:
        return None
    if code in _NO_DECIMALS:
        return 0
    return 3 if code in _THREE_DECIMALS else 4 if code in _FOUR_DECIMALS else 2


def _decimals_in_shops(code: str) -> int:
    """The same as CLDR has it: HUF has 2 by ISO 4217 and none on any price."""
    fractions = get_global("currency_fractions")
    return fractions.get(code, fractions["DEFAULT"])[0]


@lru_cache(maxsize=1)
def currency_codes() -> frozenset[str]:
    """The codes of all currencies that are in use, or were until a few years ago."""
    found = {"CLF"}
    for currencies in get_global("territory_currencies").values():
        for code, _, end, tender in currencies:
            if tender and (end is None or end[0] >= 2015):
                found.add(code)
    return frozenset(found)


def find_locale(name: str | None) -> Locale | None:
    """The CLDR locale of a name such as `de-CH`; of its language where the whole is unknown."""
    return _parsed_locale(name) if name else None


@lru_cache(maxsize=256)
def _parsed_locale(name: str) -> Locale | None:
    parts = name.replace("-", "_").split("_")
    while parts:
        try:
            return Locale.parse("_".join(parts))
        except (ValueError, TypeError, UnknownLocaleError):
            parts.pop()
    return None


def _locale_territory(locale: Locale) -> str | None:
    if locale.territory:
        return locale.territory
    likely = get_global("likely_subtags").get(locale.language, "")
    last = likely.rpartition("_")[2]
    return last if len(last) == 2 and last.isupper() else None


@lru_cache(maxsize=256)
def _currencies_of(territory: str) -> frozenset[str]:
    found = get_global("territory_currencies").get(territory, ())
    return frozenset(code for code, _, end, tender in found if tender and end is None)


@lru_cache(maxsize=512)
def _home_locales(code: str) -> tuple[Locale, ...]:
    """Those of the country that a currency is of: each of its languages. None for the euro."""
    territory = code[:2]
    known = get_global("territory_currencies").get(territory, ())
    if not any(each[0] == code for each in known):
        return ()
    found = []
    for language in get_official_languages(territory, de_facto=True):
        locale = _parsed_locale(f"{language}_{territory}")
        if locale is not None and locale.language == language.split("_")[0]:
            found.append(locale)
    return tuple(found)


def _bare_sign(sign: str) -> str:
    """A sign in the form that it is looked up in."""
    return sign.strip().rstrip("‏").strip()


@lru_cache(maxsize=1)
def _currency_signs() -> dict[str, tuple[str, ...]]:
    found = {sign: tuple(codes.split()) for sign, codes in _SIGNS.items()}
    for code, sign in Locale("en").currency_symbols.items():
        if code in currency_codes() and not sign.isascii() or "$" in sign:
            found.setdefault(_normalise_digits(sign), (code,))
    return found


@lru_cache(maxsize=1)
def _signs_at_home() -> dict[str, tuple[str, ...]]:
    """What CLDR has for each currency in the languages of its own country, and in those that are
    spoken most. Takes a second or two, and is asked only for a sign that no other list has."""
    found: dict[str, set[str]] = {}
    for name in _SPOKEN:
        for code, sign in Locale.parse(name).currency_symbols.items():
            if code in currency_codes() and _normalise_digits(sign) != code:
                found.setdefault(_bare_sign(_normalise_digits(sign)), set()).add(code)
    for code in sorted(currency_codes()):
        for locale in _home_locales(code):
            sign = _bare_sign(_normalise_digits(locale.currency_symbols.get(code, "")))
            if sign and sign != code:
                found.setdefault(sign, set()).add(code)
    return {sign: tuple(sorted(codes)) for sign, codes in found.items()}


# Reading -----------------------------------------------------------------------------------------

_BLANKS = re.compile(r"[\s\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_UNSEEN = re.compile(r"[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_ALIKE = str.maketrans("’‘ʼʹ′´`＇．，－−–—‒﹣", "''''''''.,------")
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


def _normalise_digits(text: str) -> str:
    """With digits of all scripts as 0-9, one kind of blank, minus and apostrophe, and without
    characters that can't be seen."""
    text = _BLANKS.sub(" ", _UNSEEN.sub("", text)).translate(_ALIKE)
    if text.isascii():
        return text.strip()
    return "".join(
        str(unicodedata.decimal(c)) if not c.isascii() and unicodedata.decimal(c, -1) >= 0 else c
        for c in text
    ).strip()


def _refusal_error(text: str, why: str, remedy: str = _REMEDY) -> CellError:
    return CellError(f"{' '.join(text.split())[:40]!r} {why}.", remedy)


@lru_cache(maxsize=4096)
def parse_price(text: str, writing: PriceNotation = PriceNotation()) -> ParsedPrice:  # noqa: B008 - frozen
    """The price that a cell holds: `1,299.00 USD`, `19,90 €`, `R$ 79,90`, `1.299,-`.

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
        and (not usual[2] or _currency_decimals(usual[3]) == 2)
    ):
        return ParsedPrice(Decimal(f"{usual[1]}.{usual[2] or 0}"), usual[3], before=False)
    plain = html.unescape(html.unescape(text)) if "&" in text else text
    if "<" in plain:
        plain = _TAG.sub(" ", plain)
    plain = _normalise_digits(plain).strip("\"'* ")
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
    read_as = _READ_AS.get(sign, codes) if len(codes) > 1 else codes
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


class _ReadingExcludedError(Exception):
    """An amount can't be one of this currency."""

    def __init__(self, why: CellError):
        self.why = why


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
        return (writing.currency,)  # type: ignore[return-value]
    locale = find_locale(writing.locale)
    territory = _locale_territory(locale) if locale is not None else None
    here = [c for c in codes if territory and c in _currencies_of(territory)]
    return (here[0],) if len(here) == 1 else _USUALLY.get(sign, codes)


def _read_side(text: str, side: str, writing: PriceNotation) -> list[tuple[tuple[str, ...], str]]:
    """What stands on one side of an amount: codes, and the sign where it is one."""
    if not side:
        return []
    known = _lookup_sign(side, writing) or _lookup_sign(side.replace(" ", ""), writing)  # `US $`
    if known is not None:
        return [known]
    parts = side.split(" ")
    if len(parts) == 1:
        attached = re.fullmatch(r"([A-Z]{3})(\W)|(\W)([A-Z]{3})", side)
        parts = [p for p in attached.groups() if p] if attached else parts
    if len(parts) in (2, 3):
        found = [_lookup_sign(part, writing) for part in parts]
        if all(f is not None for f in found):
            return [f for f in found if f is not None]
    if len(parts) == 1 and _may_be_sign(side):
        return [((), side)]
    raise _refusal_error(text, f"has {side[:20]!r} beside the amount, which is no currency")


def _lookup_sign(token: str, writing: PriceNotation) -> tuple[tuple[str, ...], str] | None:
    """The codes of a sign or a code, the longest there is; None for an unknown one."""
    upper = token.rstrip(".").upper()
    if (
        token.isascii()
        and upper in currency_codes()
        and (token.rstrip(".") == upper or upper not in _WORDS_NOT_CODES)
    ):
        return (upper,), ""
    locale = find_locale(writing.locale)
    in_locale = [] if locale is None else _codes_in(locale, token)
    territory = None if locale is None else _locale_territory(locale)
    here = [c for c in in_locale if territory and c in _currencies_of(territory)]
    if here:
        return tuple(here), token
    signs = _currency_signs()
    for form in (token, token.rstrip("."), token.lower(), token.capitalize()):
        if form in signs:
            return signs[form], token
    if in_locale:
        return tuple(in_locale), token
    if token.isascii() and token.isalpha() and token.lower() in _NO_SIGNS:
        return None
    if _may_be_at_home(token):
        there = _signs_at_home().get(token) or _signs_at_home().get(token.rstrip("."))
        if there:
            return tuple(there), token
    return None


def _codes_in(locale: Locale, sign: str) -> list[str]:
    """The currencies that a locale has this sign for."""
    return [
        c for c, s in locale.currency_symbols.items() if _bare_sign(_normalise_digits(s)) == sign
    ]


def _may_be_sign(token: str) -> bool:
    """Whether a word that no list has looks like a sign or a code rather than a word, as `from`."""
    if any(unicodedata.category(c) == "Sc" for c in token):
        return len(token) <= 5 and not any(c in "%/*+=" for c in token)
    if token in _WITHOUT_CODE:
        return True
    if token.isascii():
        return bool(re.fullmatch(r"[A-Z]{3}", token)) and token.lower() not in _NO_SIGNS
    return len(token) <= 4 and token.isalpha() and token[0].isupper()


def _may_be_at_home(token: str) -> bool:
    """Whether a word is short enough for a sign that CLDR may have."""
    return len(token) <= 6 and token.strip(".").lower() not in _NO_SIGNS


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
        most = _currency_decimals(self.code)
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
        at_home = _separator_role(sign, _home_locales(self.code) if self.code else ())
        exact, usual = (
            _currency_decimals(self.code),
            _decimals_in_shops(self.code) if self.code else None,
        )
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


def _ambiguous_error(text: str, number: str) -> CellError:
    digits = re.sub(r"\D", "", number)
    return _refusal_error(
        text,
        "can be read in two ways",
        f"Write {digits} without a separator, or with its decimals, {digits}.00, if that is meant; "
        "or give the row a locale, as de, that says how it is written.",
    )


def lowest_price(values: Iterable[str], writing: PriceNotation = PriceNotation()) -> str | None:  # noqa: B008
    """The cell of the lowest price above zero, as it is written; None where there is none.

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


# Writing -----------------------------------------------------------------------------------------


def format_price(price: ParsedPrice, locale: str | None = None) -> str:
    """A price for people: `€24`, `€19.90`, `¥9,800`, `KWD 18.500`, `149 zł`; in the way of a
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
    home = found or find_locale(_HOMES.get(code)) or Locale("en")
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


_DIGITS = {
    system: {ord("0") + n: zero + n for n in range(10)}
    for system, zero in (("arab", 0x0660), ("arabext", 0x06F0), ("deva", 0x0966))
}
"""Digits of those scripts that fonts are there for; others are written with Latin ones."""


def _digits_of(locale: Locale) -> str:
    usual = locale.default_numbering_system
    return usual if usual in _DIGITS else "latn"


def _shown_decimals(amount: Decimal, code: str | None) -> int:
    if amount == amount.to_integral_value():
        return 0
    exact = -int(amount.normalize().as_tuple().exponent)  # type: ignore[operator]
    return max(exact, _currency_decimals(code) if code else 2)  # type: ignore[type-var]


def _sign_in(locale: Locale, price: ParsedPrice, code: str) -> str:
    """A currency's sign in a locale. One that is of several there stays as narrow as it was
    written: `A$` is not made `$` in Australia."""
    sign = get_currency_symbol(code, locale)
    sign = {"￥": "¥", "￦": "₩"}.get(sign, sign)
    if sign in price.sign and len(_currency_signs().get(price.sign, ())) == 1:
        return price.sign
    if sign == code and _SIGNS.get(price.sign) == code and ord(max(price.sign)) < 0x250:
        return price.sign  # `RM` says more to people than `MYR`.
    return sign


def _as_written(price: ParsedPrice) -> str:
    """With the sign and the separators that it was written with."""
    digits = _shown_decimals(price.amount, price.code)
    text = f"{price.amount:,.{digits}f}"
    attached = unicodedata.category(price.sign[-1]) == "Sc"
    group = price.group or ("," if attached and price.decimal == "." else "")
    text = text.translate(str.maketrans({",": group, ".": price.decimal}))
    if price.before:
        return f"{price.sign}{text}" if attached else f"{price.sign} {text}"
    return f"{text} {price.sign}"


def write_price(text: str, writing: PriceNotation, locale: str | None = None) -> str:
    """The price of a cell, for people; empty for a price of nothing, which is none. `locale` is
    that of writing, `writing.locale` where it is None. Raises as `parse_price` and `format_price`.
    """
    price = parse_price(text, replace(writing, locale=locale or writing.locale))
    return format_price(price, locale or writing.locale) if price.amount else ""
