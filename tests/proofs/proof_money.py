"""Ten thousand prices as shops write them, read and written again. `make proof-money` runs this and
writes docs/money.md; `make test` has fewer of them (tests/test_money.py)."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import babel

from tests.price_forms import ABROAD, CURRENCIES, STYLES, Written, make_prices
from tests.test_money import problem_with

ROOT = Path(__file__).resolve().parents[2]
COUNT = 10_000
SAID = {
    "CLDR at home": "as CLDR writes them in the currency's own country",
    "CLDR abroad": f"as CLDR writes them in one of {len(ABROAD)} other languages and countries",
    "code": "with the code, before or after, ten pairs of separators",
    "feed": "as product feeds have them: `1234.50 EUR`",
    "by hand": "with a sign, before or after, with or without a blank, ten pairs of separators",
    "dash": "`19,-` `19.–` `500/-` and the like",
    "digits": "in Arabic, Persian, Devanagari, Bengali and Burmese digits",
    "bare": "without a currency, which the mapping declares",
}
PAGE = """# Prices, measured

`make proof-money` writes this page: {count:,} prices of {currencies} currencies, made by Babel
{babel} and by hand in the ways below (tests/price_forms.py), read and written by
`pytoon_pipeline/tables/money.py` and `price_format.py`. Half of them come with a locale, as a row
may have one. A price is wrong if its amount, its currency, the digits that are shown or the sign
that is shown is another than what was meant. "Sign kept" counts, of those that are right, signs
that may be of several currencies (`$`, `kr`) and are shown as they are written.

| written | prices | right | sign kept | refused | wrong |
|---|---|---|---|---|---|
{rows}

Refused are, nearly all, amounts with three digits after the only separator where neither the
currency nor a locale says what it is. By currency: {refused}.

{examples}
"""


def test_ten_thousand_prices_and_none_wrong():
    made = list(make_prices(COUNT))
    assert len({m.code for m in made}) == len(CURRENCIES) >= 40
    found = [(m, problem_with(m)) for m in made]
    wrong = [(m, p) for m, p in found if p not in (None, "refused")]
    refused = [m for m, p in found if p == "refused"]
    (ROOT / "docs/money.md").write_text(_page(found, refused), encoding="utf-8")
    assert wrong == []
    assert len(refused) <= 0.03 * COUNT


def _page(found: list[tuple[Written, str | None]], refused: list[Written]) -> str:
    rows = []
    for style in (*STYLES, None):
        some = [(m, p) for m, p in found if style in (None, m.style)]
        right = [m for m, p in some if p is None]
        kept = sum(_is_kept(m) for m in right)
        gone = sum(p == "refused" for _, p in some)
        share = f"{gone} ({100 * gone / len(some):.1f} %)"
        name = SAID[style] if style else "all"
        counts = (len(some), len(right), kept, share, len(some) - len(right) - gone)
        rows.append(f"| {name} | {' | '.join(str(c) for c in counts)} |")
    counted = Counter(m.code for m in refused).most_common(12)
    examples = dict.fromkeys(f"`{' '.join(m.text.split())}`" for m in refused[:16])
    return PAGE.format(
        count=COUNT,
        currencies=len(CURRENCIES),
        babel=babel.__version__,
        rows="\n".join(rows),
        refused=", ".join(f"{code} {n}" for code, n in counted) + ", others fewer",
        examples="The first of them: " + ", ".join(examples) + ".",
    )


def _is_kept(made: Written) -> bool:
    from pytoon_pipeline.tables.money import PriceNotation, parse_price

    return parse_price(made.text, PriceNotation(made.currency, made.locale)).code is None
