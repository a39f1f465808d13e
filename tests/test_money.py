"""Prices of tables: read as they are meant or refused, and never an offer that is none."""

from __future__ import annotations

import datetime as dt
import html
import re
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import dagster as dg
import openpyxl
import pytest
from ledger_states import force_state

from pytoon_pipeline.briefs.source import BriefSource, SourceDocument, content_hash
from pytoon_pipeline.briefs.variants import expand_variants
from pytoon_pipeline.defs.videos import sensors
from pytoon_pipeline.defs.videos.resources import SettingsResource
from pytoon_pipeline.defs.videos.sensors import intake
from pytoon_pipeline.errors import BriefError
from pytoon_pipeline.intake import requests
from pytoon_pipeline.intake.folders import find_sources
from pytoon_pipeline.picture.line_breaks import break_opportunities
from pytoon_pipeline.stages.compile import check_source, compile_source, spec_json
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.tables.cells import CellError
from pytoon_pipeline.tables.money import PriceNotation, lowest_price, parse_price
from pytoon_pipeline.tables.offers import read_moment, read_period
from pytoon_pipeline.tables.price_format import format_price
from pytoon_pipeline.tables.table import read_table
from tests.price_forms import CURRENCIES, Written, make_prices

CASES = Path(__file__).parent / "fixtures/cases/prices"
NOW = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
FEED = ("id", "title", "image_link", "price", "sale_price", "sale_price_effective_date")


def feed(path: Path, *rows: tuple[str, ...], header: tuple[str, ...] = FEED) -> Path:
    lines = ["\t".join(header), *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def read(path: Path, now: dt.datetime = NOW) -> dict[str, BriefSource]:
    sources, problems = read_table(path, now)
    assert [p for p in problems if p.severity == "error"] == []
    return {s.name: s for s in sources}


def cta(source: BriefSource) -> str:
    assert source.document is not None
    assert [p for p in source.document.problems if p.severity == "error"] == []
    return source.document.data["cta"]


# The handed cases --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case, words",
    [
        ("sale-is-over", "Yours for €48"),
        ("sale-at-the-same-price", "Yours for ¥9,800"),
        ("three-decimals", "Yours for KWD 18.500"),
        ("real", "Yours for R$ 79,90"),
        ("australian-dollar", "Yours for A$35"),
        ("zloty", "Yours for 149 zł"),
    ],
)
def test_a_price_is_said_as_the_shop_says_it(case: str, words: str, services: Services):
    (source,) = read(CASES / case / "feed.tsv").values()
    assert cta(source) == words
    spec, problems = check_source(source, services)
    assert spec is not None and [p for p in problems if p.severity == "error"] == []
    assert f'"{words}"' in spec_json(spec)
    assert "sale_price" not in spec.metadata


# Reading and writing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, currency, locale, shown",
    [
        # No locale: as in English, or as at home where the sign is a country's own.
        ("1299.00", "EUR", None, "€1,299"),
        ("24.90 USD", "EUR", None, "$24.90"),
        ("£5", None, None, "£5"),
        ("9800.00 JPY", None, None, "¥9,800"),
        ("HK$ 99", None, None, "HK$99"),
        ("NT$1,299", None, None, "NT$1,299"),
        ("US$ 35 USD", None, None, "US$35"),
        ("35 CAD", None, None, "CA$35"),
        ("12 990 Ft", None, None, "12\u00a0990 Ft"),
        ("12,50 Kč", None, None, "12,50 Kč"),
        ("₺1.299,90", None, None, "₺1.299,90"),
        ("1299 SEK", None, None, "SEK 1,299"),
        ("18.5 KWD", None, None, "KWD 18.500"),
        ("0.500 BHD", None, None, "BHD 0.500"),
        # In a locale's way.
        ("1299.5 EUR", None, "de", "1.299,50 €"),
        ("24 USD", None, "de", "24 $"),
        ("1299.50", "EUR", "fr", "1\u00a0299,50 €"),
        ("1299.50 CHF", None, "de-CH", "CHF 1’299.50"),
        ("129999 INR", None, "en-IN", "₹1,29,999"),
        ("79.90 BRL", None, "pt-BR", "R$ 79,90"),
        ("18.500 KWD", None, "ar-KW", "\u200f١٨٫٥٠٠ د.ك.\u200f"),
        ("1299.50 EGP", None, "ar-EG", "\u200f١٬٢٩٩٫٥٠ ج.م.\u200f"),
        ("A$35", None, "en-AU", "A$35"),
        ("35 AUD", None, "en-AU", "$35"),
        # Signs of several currencies: whose, or as they are written.
        ("$ 35.00", None, None, "$35"),
        ("$35", "AUD", None, "A$35"),
        ("1 299 kr", None, None, "1\u00a0299 kr"),
        ("199 kr", "NOK", "nb", "199 kr"),
        ("199,50 kr", None, "da", "199,50 kr."),
        ("¥98.50", None, None, "¥98.50"),
        ("¥98.50", None, "zh", "¥98.50"),
        ("12.50 XYZ", None, None, "12.50 XYZ"),
        ("US $ 35", None, None, "US$35"),
        ("₿ 0.125", None, None, "₿0.125"),
        # Ways of writing.
        ("19,- €", None, None, "€19"),
        ("1.299,-", "EUR", None, "€1,299"),
        ("19.–", "CHF", None, "CHF 19"),
        ("Rs. 500/-", None, None, "Rs. 500"),
        ("19€90", None, None, "€19.90"),
        ("CHF 1'299.50", None, None, "CHF 1,299.50"),
        ("1\u202f299,50\u00a0€", None, None, "€1,299.50"),
        ("₹1,29,999.00", None, None, "₹129,999"),
        ("۱٬۲۹۹٫۵۰ €", None, None, "€1,299.50"),
        ("24&nbsp;&euro;", None, None, "€24"),
        ("'19,90 €*", None, None, "€19.90"),
        ("<b>&amp;euro;24</b>", None, None, "€24"),
        ("19.9000", "EUR", None, "€19.90"),
        ("$.99", None, None, "$0.99"),
        # Three digits after the only separator, and something that tells.
        ("1.299 €", None, "de", "1.299 €"),
        ("$1,299", None, None, "$1,299"),
        ("R$ 1.299", None, None, "R$ 1.299"),
        ("9.800 JPY", None, None, "¥9,800"),
        ("149.000 ₫", None, None, "149.000 ₫"),
        ("18,500 TND", None, None, "TND 18.500"),
    ],
)
def test_a_price_is_written(text: str, currency: str | None, locale: str | None, shown: str):
    made = format_price(parse_price(text, PriceNotation(currency, locale)), locale)
    assert made.replace("'", "’") == shown


@pytest.mark.parametrize(
    "text, currency, locale",
    [
        ("1.234", None, None),
        ("1.234 EUR", None, None),
        ("1,234 €", None, None),
        ("CHF 1,299", None, None),
        ("$1.299", None, None),
        ("18,500 KWD", None, None),
        ("18.500 KWD", None, "de"),
        ("18,500 KWD", None, "de"),
        ("18.500 IQD", None, None),
        ("980.000 JPY", None, None),
        ("19.900 BRL", None, None),
        ("19.900", "EUR", "de"),
        ("19.905 EUR", None, None),
        ("12.34 JPY", None, None),
        ("-5 EUR", None, None),
        ("EUR −5", None, None),
        ("5- EUR", None, None),
        ("(5.00) EUR", None, None),
        ("10-20 EUR", None, None),
        ("10 – 20 €", None, None),
        ("19,90/29,90 €", None, None),
        ("€19 USD", None, None),
        ("UVP 19,90", None, None),
        ("Preis 19,90", None, None),
        ("من 50", None, None),
        ("19.90 TTC", None, None),
        ("ab 19,90 €", None, None),
        ("19,90 €/kg", None, None),
        ("top 19.90", None, None),
        ("1万円", None, None),
        ("1e3 EUR", None, None),
        ("1.5 mio €", None, None),
        ("19.90 %", None, None),
        ("12 99 EUR", None, None),
        ("1,23,45 EUR", None, None),
        ("cheap", None, None),
        ("2 x 19.90 EUR", None, None),
        ("19²⁵ EUR", None, None),
        ("9" * 13 + " EUR", None, None),
        ("1" * 500, None, None),
        ("€\0 &#x110000; <", None, None),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(
    text: str, currency: str | None, locale: str | None
):
    with pytest.raises(CellError) as refused:
        parse_price(text, PriceNotation(currency, locale))
    assert refused.value.message and refused.value.remedy


def problem_with(made: Written) -> str | None:
    """What is wrong with the reading of a price, or with how it is shown; None where it is right,
    `refused` where it is refused."""
    try:
        price = parse_price(made.text, PriceNotation(made.currency, made.locale))
        shown = format_price(price, made.locale)
    except CellError:
        return "refused"
    if price.amount != made.amount:
        return f"read as {price.amount}"
    written = " ".join(html.unescape(made.text).replace("’", "'").split())
    kept = price.code is None and price.sign != "" and price.sign in written and price.sign in shown
    if price.code != made.code and not kept:
        return f"read as {price.code or price.sign}"
    number = re.search(r"\d.*\d|\d", shown)[0]  # type: ignore[index]
    whole = made.amount == made.amount.to_integral_value()
    digits = f"{made.amount:.0f}" if whole else f"{made.amount:.{CURRENCIES[made.code][0]}f}"
    if "".join(str(int(c)) for c in number if c.isdecimal()) != digits.replace(".", ""):
        return f"shown as {shown}"
    mark = re.sub(r"[\d\s.,'’٫٬\u200e\u200f]", "", shown)
    return None if mark else "shown without a currency"


def test_no_price_of_fifty_currencies_is_read_wrong():
    found = [(made, problem_with(made)) for made in make_prices(3000, seed=7)]
    assert [(m, p) for m, p in found if p not in (None, "refused")] == []
    assert sum(p == "refused" for _, p in found) <= 0.03 * len(found)


def test_a_price_reads_as_it_was_written():
    for code, (decimals, home, _, _) in CURRENCIES.items():
        for amount in (Decimal("7"), Decimal("1234567"), Decimal("1234.5")):
            if decimals or amount == amount.to_integral_value():
                price = parse_price(f"{amount} {code}", PriceNotation())
                for locale in (None, home, "de", "fr", "ar", "hi"):
                    again = parse_price(format_price(price, locale), PriceNotation(code, locale))
                    assert (again.amount, again.code) == (amount, code), (code, locale)


@pytest.mark.parametrize(
    "price",
    ["149 zł", "KWD 18.500", "R$ 79,90", "1.299,50 €", "١١٬٢٩٤٫٤٤٩ د.ك.\u200f", "٥ ريال"],
)
def test_no_line_ends_inside_a_price(price: str):
    assert break_opportunities(f"Yours for {price}", phrases=True) == [6, 10]


def test_the_lowest_is_a_price_of_one_currency_above_nothing():
    assert lowest_price(["0.00", "58.50", "0", "49,00", "60"], PriceNotation("EUR")) == "49,00"
    assert lowest_price(["0", "0.00 EUR"]) is None
    with pytest.raises(CellError, match="different currencies"):
        lowest_price(["58.50 EUR", "49.00 USD"])
    with pytest.raises(CellError, match="two ways"):
        lowest_price(["58.50", "1.234"])


# Tables ------------------------------------------------------------------------------------------


def test_a_price_that_is_refused_is_said_with_row_and_column(tmp_path: Path):
    path = feed(
        tmp_path / "feed.tsv",
        ("a", "Cup", "a.jpg", "19.90", "", ""),
        ("b", "Cup", "a.jpg", "1.234 EUR", "", ""),
        ("c", "Cup", "a.jpg", "20 EUR", "15 EUR", "soon"),
        ("d", "Cup", "a.jpg", "20 EUR", "15", ""),
        ("e", "Cup", "a.jpg", "20 EUR", "n/a", "soon"),
        ("f", "Cup", "a.jpg", "0.00 EUR", "0.00 EUR", ""),
    )
    sources, _ = read_table(path, NOW)
    found = [s.document.problems if s.document else () for s in sources]
    assert ["names no currency" in p[0].message for p in found[:1]] == [True]
    assert [p[0].field for p in found[:3]] == [
        "row 2, column price",
        "row 3, column price",
        "row 4, column sale_price_effective_date",
    ]
    assert all(p.remedy for each in found for p in each)
    assert [cta(s) for s in sources[3:]] == ["Now €15", "Yours for €20", "Shop now"]


@pytest.mark.parametrize(
    "price, sale, counts",
    [
        ("20 EUR", "15 EUR", True),
        ("20 EUR", "20.00 EUR", False),
        ("20 EUR", "25 EUR", False),
        ("20 EUR", "0.00 EUR", False),
        ("20 EUR", "15 USD", False),
        ("", "15 EUR", False),
        ("20 EUR", "15,00 €", True),
        ("$20", "$15", True),
    ],
)
def test_a_sale_price_is_above_nothing_and_below_the_price(
    tmp_path: Path, price: str, sale: str, counts: bool
):
    (source,) = read(feed(tmp_path / "f.tsv", ("a", "Cup", "a.jpg", price, sale, ""))).values()
    assert cta(source).startswith("Now") == counts
    assert source.document is not None
    assert ("sale_price" in source.document.data["metadata"]) == counts


@pytest.mark.parametrize(
    "dates, start, end",
    [
        ("2026-03-01T00:00:00Z/2026-03-14T00:00:00Z", "2026-03-01T00:00", "2026-03-14T00:00"),
        ("2026-03-01T11:07+0100 / 2026-03-14T23:07+01:00", "2026-03-01T10:07", "2026-03-14T22:07"),
        ("2026-03-01/2026-03-14", "2026-03-01T00:00", "2026-03-15T00:00"),
        ("2026-03-01T13:00-0800/", "2026-03-01T21:00", None),
        ("/14.03.2026", None, "2026-03-15T00:00"),
        ("20260301T000000Z/2026-03-14 24:00", "2026-03-01T00:00", "2026-03-15T00:00"),
        ("13/03/2026 - 3/14/2026", "2026-03-13T00:00", "2026-03-15T00:00"),
    ],
)
def test_dates_of_an_offer(dates: str, start: str | None, end: str | None):
    period = read_period(dates)
    said = [m and m.strftime("%Y-%m-%dT%H:%M") for m in (period.start, period.end)]
    assert said == [start, end]


def test_dates_that_can_be_read_in_two_ways_are_refused():
    for text in ("03/04/2026/05/04/2026", "2026-02-30/2026-03-01", "tomorrow", "2026-03-14"):
        with pytest.raises(CellError):
            read_period(text)
    day = read_moment("03/04/2026", locale="de")
    assert day is not None and (day.month, day.day) == (4, 3)


def test_a_sale_begins_and_ends_with_its_days(tmp_path: Path):
    header = (
        "SKU",
        "Name",
        "Image",
        "Regular price",
        "Sale price",
        "Date sale price starts",
        "Date sale price ends",
    )
    path = feed(
        tmp_path / "shop.tsv",
        ("mill", "Mill", "a.jpg", "48", "36", "2026-03-12", "2026-03-14"),
        header=header,
    )
    (tmp_path / "shop.mapping.yaml").write_text(
        "name: SKU\n"
        'fields: {media: "{Image}", cta: ["Now {Sale price|price}", "{Regular price|price}"]}\n'
        "prices: {currency: EUR, timezone: Europe/Berlin}\n"
    )

    def at(day: int, hour: int) -> tuple[str, str]:
        (source,) = read(path, dt.datetime(2026, 3, day, hour, 30, tzinfo=dt.UTC)).values()
        assert source.document is not None
        assert source.document.data.get("metadata", {}).get("price_until", "") == (
            source.document.until
        )
        return cta(source), source.document.until

    assert at(11, 22) == ("€48", "2026-03-11T23:00:00+00:00")
    assert at(11, 23) == ("Now €36", "2026-03-14T23:00:00+00:00")
    assert at(14, 22) == ("Now €36", "2026-03-14T23:00:00+00:00")
    assert at(14, 23) == ("€48", "")


def test_a_sale_of_woocommerce_ends_with_its_last_day(tmp_path: Path):
    for name, header in (
        ("en", "SKU,Name,Published,Regular price,Sale price,Date sale price ends,Images,Type"),
        (
            "de",
            "SKU,Name,Veröffentlicht,Regulärer Preis,Angebotspreis,Ende des Angebotspreises,"
            "Bilder,Typ",
        ),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"{header}\nMILL,Mill,1,48,36,2026-03-10,a.jpg,simple\n", encoding="utf-8")
        assert [cta(s) for s in read(path).values()] == ["Shop now"], "nothing names a currency"
        mapping = tmp_path / f"{name}.mapping.yaml"
        mapping.write_text("use: woocommerce\nprices: {currency: EUR}\n")
        days = (NOW, NOW + dt.timedelta(days=1))
        found = [cta(s) for day in days for s in read(path, day).values()]
        assert found == ["Now €36", "Yours for €48"], name


def test_dates_and_prices_of_a_workbook(tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.append(["id", "title", "image_link", "price", "sale_price", "from", "to"])
    for money, day in (
        ("General", "yyyy-mm-dd"),
        ('#,##0\\ "€"', "dd/mm/yyyy"),
        ("[$€-407] #,##0.000", "d. mmm"),
    ):
        book.active.append(
            [money, "Cup", "a.jpg", 1300, 1299, dt.date(2026, 3, 1), dt.datetime(2026, 3, 10)]
        )
        for column, format_ in zip("DEFG", (money, money, day, day), strict=True):
            book.active[f"{column}{book.active.max_row}"].number_format = format_
    book.save(tmp_path / "shop.xlsx")
    (tmp_path / "shop.mapping.yaml").write_text(
        "use: merchant\nprices: {starts: from, ends: to, currency: EUR}\n"
    )
    for day, words in ((0, "Now €1,299"), (1, "Yours for €1,300")):
        found = read(tmp_path / "shop.xlsx", NOW + dt.timedelta(days=day)).values()
        assert [cta(s) for s in found] == [words] * 3


def test_the_former_price_counts_above_the_price_and_drafts_are_no_lowest(tmp_path: Path):
    header = ("Handle", "Title", "Image Src", "Variant Price", "Variant Compare At Price", "Status")
    path = feed(
        tmp_path / "shop.tsv",
        ("cup", "Cup", "a.jpg", "20.00", "25.00", "active"),
        ("cup", "", "", "0.00", "", ""),
        ("cup", "", "", "9.00", "", "draft"),
        ("cup", "", "", "18.00", "18.00", ""),
        ("pot", "Pot", "a.jpg", "20.00", "20.00", "active"),
        header=header,
    )
    assert [cta(s) for s in read(path).values()] == ["Shop now"] * 2, "nothing names a currency"
    (tmp_path / "shop.mapping.yaml").write_text("use: shopify\nprices: {currency: EUR}\n")
    assert [cta(s) for s in read(path).values()] == ["From €18", "From €20"]
    (tmp_path / "shop.mapping.yaml").write_text(
        "use: shopify\nprices: {currency: EUR}\ndefaults: {locale: de}\nfields:\n"
        '  cta: ["{Variant Price|price} statt {Variant Compare At Price|price}", Jetzt]\n'
    )
    assert [cta(s) for s in read(path).values()] == ["20 € statt 25 €", "Jetzt"]


def test_a_mapping_names_columns_of_prices_that_are_there(tmp_path: Path):
    path = feed(tmp_path / "shop.tsv", ("a", "Cup", "a.jpg", "48", "36", ""))
    mapping = tmp_path / "shop.mapping.yaml"
    mapping.write_text("use: merchant\nprices: {ends: Sale end, timezone: Mars}\n")
    assert [p.field for p in read_table(path, NOW)[1]] == ["prices.timezone"]
    mapping.write_text("use: merchant\nprices: {ends: Sale end}\n")
    assert [p.field for p in read_table(path, NOW)[1]] == ["prices.ends"]
    mapping.write_text('use: merchant\nfields: {cta: "{price|price EUO}"}\n')
    assert [p.field for p in read_table(path, NOW)[1]] == ["fields.cta"]


def test_the_plan_says_until_when_and_is_not_made_after(tmp_path: Path, services: Services):
    shutil.copy(CASES / "real/front.jpg", tmp_path / "a.jpg")
    dates = "2026-03-01T00:00Z/2026-03-14T00:00Z"
    path = feed(tmp_path / "f.tsv", ("a", "Cup", "a.jpg", "48 EUR", "36 EUR", dates))
    (source,) = read(path).values()
    spec = compile_source(source, services, NOW)
    assert spec.metadata["price_until"] == "2026-03-14T00:00:00+00:00"
    assert "What it says of the price holds until 2026-03-14 00:00 UTC." in spec.metadata["notes"]
    later = NOW + dt.timedelta(days=4)
    with pytest.raises(BriefError, match="held until"):
        compile_source(source, services, later)
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan/render_spec.json").write_text(spec_json(spec))
    (plan,) = find_sources([tmp_path / "plan"])
    assert "offer.over" not in [p.code for p in check_source(plan, services, NOW)[1]]
    assert "offer.over" in [p.code for p in check_source(plan, services, later)[1]]
    # As `pytoon submit` sends a row: a brief of its own, that may wait in a server's queue.
    assert source.document is not None
    request = SourceDocument(data=dict(source.document.data), part="", shown="brief")
    alone = replace(source, document=request)
    assert alone.is_request
    assert compile_source(alone, services, NOW).metadata["price_until"]
    with pytest.raises(BriefError, match="held until"):
        compile_source(alone, services, later)


# The sensor --------------------------------------------------------------------------------------


def test_a_row_is_rendered_again_when_its_sale_begins_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "briefs"
    root.mkdir()
    shutil.copy(CASES / "real/front.jpg", root / "a.jpg")
    feed(
        root / "f.tsv",
        ("sale", "Cup", "a.jpg", "48 EUR", "36 EUR", "2030-03-12T00:00Z/2030-03-14T00:00Z"),
        ("plain", "Pot", "a.jpg", "20 EUR", "", ""),
    )
    clock = [dt.datetime(2030, 3, 11, tzinfo=dt.UTC).timestamp()]
    monkeypatch.setattr(requests.time, "time", lambda: clock[0])
    monkeypatch.setattr(sensors, "PACE", sensors.TickPace(least=0, share=0))
    ledger = requests.Ledger(tmp_path / "ledger.db")
    settings = SettingsResource(home=str(tmp_path), briefs_dir=str(root))
    cursor, instance = [None], dg.DagsterInstance.ephemeral()

    def rendered() -> dict[str, str]:
        context = dg.build_sensor_context(instance=instance, cursor=cursor[0])
        result = intake(context, settings=settings, ledger=ledger)
        assert isinstance(result, dg.SensorResult)
        cursor[0] = result.cursor
        runs = [r for r in result.run_requests or [] if r.job_name != "report_job"]
        keys = [str(r.partition_key) for r in runs]
        for key in keys:
            force_state(ledger, key, state="done")
        return {key: cta(ledger.source(key)) for key in keys}

    assert rendered() == {"f/sale": "Yours for €48", "f/plain": "Yours for €20"}
    assert rendered() == {}
    clock[0] += 24 * 3600 + 1
    assert rendered() == {"f/sale": "Now €36"}, "it began"
    assert rendered() == {}
    clock[0] += 2 * 24 * 3600
    assert rendered() == {"f/sale": "Yours for €48"}, "it ended"
    instance.dispose()


def test_what_a_row_says_changes_its_contents_and_those_of_its_variants(tmp_path: Path):
    header = (*FEED, "locales")
    dates = "2026-03-01/2026-03-14"
    path = feed(
        tmp_path / "f.tsv",
        ("a", "Cup", "a.jpg", "48 EUR", "36 EUR", dates, "en, de"),
        header=header,
    )
    (tmp_path / "f.mapping.yaml").write_text(
        'use: merchant\nfields: {variants.locales: "{locales}"}\n'
    )
    during, after = (
        [
            each
            for s in read(path, NOW + dt.timedelta(days=d)).values()
            for each in expand_variants(s)
        ]
        for d in (0, 30)
    )
    assert len(during) == len(after) == 2
    assert all(content_hash(a) != content_hash(b) for a, b in zip(during, after, strict=True))
    assert [bool(s.document and s.document.until) for s in (*during, *after)] == [
        True,
        True,
        False,
        False,
    ]
