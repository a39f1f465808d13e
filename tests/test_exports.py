"""Tables as shops and other programs write them, and what is wrong with them."""

from __future__ import annotations

import contextlib
import datetime as dt
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytoon_pipeline.briefs.plain_text import (
    find_error_value,
    repair_saved_twice,
)
from pytoon_pipeline.briefs.source import BriefSource, SourceDocument
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.folders import find_sources, scan_folder
from pytoon_pipeline.tables.encodings import decode_text
from pytoon_pipeline.tables.format_codes import NotShownError
from pytoon_pipeline.tables.markup import markup_to_text
from pytoon_pipeline.tables.number_formats import show_number
from pytoon_pipeline.tables.table import read_table

CASES = Path(__file__).parent / "fixtures/cases"
EXPORTS = Path(__file__).parent / "fixtures/exports"


def document(source: BriefSource) -> SourceDocument:
    assert source.document is not None
    return source.document


def briefs(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> what it says, of a table that has nothing wrong with it."""
    sources, problems = read_table(path)
    assert [p for p in problems if p.severity == "error"] == []
    assert [p for s in sources for p in document(s).problems if p.severity == "error"] == []
    return {s.name: dict(document(s).data) for s in sources}


def row_problems(path: Path) -> list[Problem]:
    return [p for s in read_table(path)[0] for p in document(s).problems]


def case(name: str) -> Path:
    return next(p for p in (CASES / name).iterdir() if p.is_file())


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# Shops -------------------------------------------------------------------------------------------


def test_the_exports_of_shops_that_were_handed_in():
    jug = briefs(case("spreadsheets/shopify-new-columns"))["clay-jug"]
    assert jug["media"] == ["front.jpg", "side.jpg"] and jug["beats"] == ["Thrown by hand."]
    ordered = briefs(case("spreadsheets/main-picture-not-first"))["clay-jug"]
    assert ordered["media"] == ["front.jpg", "side.jpg"]
    shop = briefs(case("spreadsheets/woocommerce"))
    assert list(shop) == ["MILL", "BOWL"]
    assert shop["MILL"]["media"] == ["front.jpg", "side.jpg"]
    assert shop["MILL"]["beats"] == ["Turned by hand."]
    (table,) = briefs(case("spreadsheets/xml-feed")).values()
    assert table["hook"] == "Bord till Kök & Hall" and table["beats"] == ["Massiv ek."]
    assert table["media"] == ["front.jpg", "side.jpg", "top.jpg"]
    assert briefs(case("words/escaped-title"))["p1"]["hook"] == 'Salad Bowl & Spoon – 9" Ash'


def test_shopifys_newer_columns_with_markets_and_mixed_rows():
    found = briefs(EXPORTS / "shopify_2025.csv")
    assert list(found) == ["clay-jug"]
    jug = found["clay-jug"]
    assert [m.rsplit("/", 1)[1] for m in jug["media"]] == [
        "front.jpg?v=2",
        "side.jpg?v=2",
        "top.jpg?v=2",
    ]
    assert jug["beats"] == ["Thrown by hand & fired twice."]
    assert jug["metadata"]["price"] == "42.00"
    notes = [p.message for p in read_table(EXPORTS / "shopify_2025.csv")[1]]
    assert any("Status is 'Draft'" in n for n in notes)


def test_a_mapping_that_starts_from_shopify_knows_both_names_of_a_column(tmp_path: Path):
    for name in ("exports/shopify_2025.csv", "tables/shopify_export.csv"):
        path = tmp_path / "shop.csv"
        path.write_bytes((EXPORTS.parent / name).read_bytes())
        for column in ("Variant SKU", "SKU"):
            hook = f"'{{Title}} by {{Vendor}}, {{{column}}}'"
            write(tmp_path / "mapping.yaml", f"use: shopify\nfields: {{hook: {hook}}}\n")
            first = next(iter(briefs(path).values()))
            assert first["hook"] in ("Clay Jug by Morrow, J-S", "Dawn Kettle by Morrow, DK-CREAM")


def test_rows_without_a_handle_continue_the_one_above(tmp_path: Path):
    path = write(
        tmp_path / "shop.csv",
        "Handle,Title,Image Src,Image Position\njug,Jug,a.jpg,2\n,,b.jpg,1\n,Cup,c.jpg,1\n",
    )
    assert {n: b["media"] for n, b in briefs(path).items()} == {
        "jug": ["b.jpg", "a.jpg"],
        "row-0004": ["c.jpg"],
    }


def test_woocommerce_in_german():
    found = briefs(EXPORTS / "woocommerce_de.csv")
    assert list(found) == ["KURS", "KRUG", "34", "EXT"]
    assert len(found["KURS"]["media"]) == 2 and found["KRUG"]["hook"] == "Krug – groß"
    assert found["KURS"]["beats"] == ["Zwei Abende an der Scheibe."]


def test_feeds_of_every_make():
    mug = briefs(EXPORTS / "merchant_rss.xml")["MUG-1"]
    assert mug["hook"] == "Becher – für Tee & Kaffee" and mug["beats"] == ["Fasst 0,3 l."]
    assert mug["media"] == [
        "https://shop.example/mug.jpg?w=900&h=900",
        "https://shop.example/mug-2.jpg",
        "https://shop.example/mug-3.jpg",
    ]
    assert mug["metadata"]["price"] == "19.90 EUR"
    assert mug["metadata"]["link"] == "https://shop.example/mug?a=1&b=2"
    jug = briefs(EXPORTS / "merchant_atom.xml")["JUG-1"]
    assert jug["hook"] == "Jug & Cup" and jug["beats"] == ["Thrown by hand."]
    assert jug["metadata"]["link"] == "https://shop.example/jug" and len(jug["media"]) == 2
    # Tabs, in a file that could be anything, with blanks in the names of columns.
    sources, _ = scan_folder(EXPORTS)
    assert "merchant_spaces/C-1" in {s.key for s in sources}
    candle = briefs(EXPORTS / "merchant_spaces.txt")["C-1"]
    assert candle["hook"] == "Tall Candle & Holder" and len(candle["media"]) == 3


@pytest.mark.parametrize(
    "text, what",
    [
        ('<!DOCTYPE x [<!ENTITY a "lol">]><rss><item><id>&a;</id></item></rss>', "entities"),
        ("<rss><item><id>1</id>", "can't be read as XML"),
        ("<x>" * 200, "nested"),
        ("<rss><channel/></rss>", "without any product"),
        ("<urlset><url/></urlset>", "map of a site"),
        ("<Workbook/>", "Excel 2003"),
    ],
)
def test_xml_that_is_no_feed_is_said(tmp_path: Path, text: str, what: str):
    sources, problems = read_table(write(tmp_path / "feed.xml", text))
    assert sources == [] and what in problems[0].message and problems[0].remedy
    assert problems[0].file == "feed.xml"


def test_files_that_look_like_tables_and_cannot_be_read_are_said_once(tmp_path: Path):
    write(tmp_path / "ok.csv", "name,media\njug,a.jpg\n")
    (tmp_path / "pages.numbers").mkdir()
    write(tmp_path / "pages.numbers/brief.yaml", "media: [a.jpg]\n")
    for name, text in {
        "old.xls": "\xd0\xcf\x11\xe0",
        "page.xls": "<html><table>",
        "b.xlsb": "PK",
        "link.gsheet": "{}",
        "login.csv": "<!DOCTYPE html><html>",
        "zip.csv": "PK\3\4",
        "site.xml": "<svg/>",
        "read me.txt": "Hello, you",
    }.items():
        write(tmp_path / name, text, "latin-1")
    sources, problems = scan_folder(tmp_path)
    assert [s.name for s in sources] == ["jug"]
    said = [str(p.file) for p in problems]
    assert sorted(said) == [
        "b.xlsb",
        "link.gsheet",
        "login.csv",
        "old.xls",
        "page.xls",
        "pages.numbers",
        "site.xml",
        "zip.csv",
    ]
    assert all(p.remedy for p in problems)
    with pytest.raises(UserError, match="Excel 97"):
        find_sources([tmp_path / "old.xls"])


# Text --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, plain",
    [
        ("Bowl &amp; Spoon &ndash; 9&quot;", 'Bowl & Spoon – 9"'),
        ("Bowl &amp;amp;amp; Spoon", "Bowl & Spoon"),
        ("<p>One.</p><p>Two <b>bold</b></p>", "One.\nTwo bold"),
        ("&lt;p&gt;Oak&lt;br&gt;Ash&lt;/p&gt;", "Oak\nAsh"),
        ("5 m<sup>2</sup>, H<sub>2</sub>O", "5 m², H₂O"),
        ("<style>p {}</style>a<!-- no -->b<script>x < y</script>", "a b"),
        ("Caf&#233; &#x2013; &#150;", "Café – –"),
        *(
            (same, same)
            for same in (
                "a < b",
                "AT&T",
                "AT&T; R&D;",
                "I <3 you",
                "x<y and y>z",
                "Tom & Jerry",
                "&copy 2026",
                "<Name>",
                "5 > 3",
                "[NEW] 50%",
                "fish&chips;",
            )
        ),
    ],
)
def test_html_becomes_plain_text_and_nothing_else_is_touched(text: str, plain: str):
    assert markup_to_text(text) == plain


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abc <>&;/#x1pbr\n", max_size=60))
def test_plain_text_stays_as_it_is(text: str):
    once = markup_to_text(markup_to_text(markup_to_text(markup_to_text(text))))
    assert markup_to_text(once) == once


@pytest.mark.parametrize("wrong", ["cp1252", "cp1251", "cp1250", "mac_roman"])
@pytest.mark.parametrize("times", [1, 2])
def test_text_that_was_saved_twice_is_set_right(wrong: str, times: int):
    others = {"cp1251": "Новая коллекция", "cp1250": "Größe für 5 €"}
    meant = others.get(wrong, "Schöne Größe – 5 €")
    text = meant
    try:
        for _ in range(times):
            text = text.encode().decode(wrong)
    except UnicodeDecodeError:
        pytest.skip("this encoding can't hold it")
    assert repair_saved_twice(text) == meant
    for sound in ("CAFÉ»", "„das Ä“", "Größe", "«IRMû", "NÃO À", "新品上市", "Новая", "Ñandú"):
        assert repair_saved_twice(sound) is None


def test_saved_twice_is_said_with_its_row(tmp_path: Path):
    path = case("spreadsheets/saved-twice")
    assert briefs(path)["jug"]["hook"] == "Schöne Größe für 5 €"
    assert [(p.severity, p.field) for p in row_problems(path)] == [
        ("warning", "row 2, column hook")
    ]
    write(tmp_path / "t.csv", "name,media,hook,cta\na,a.jpg,GrÃ¶Ã?e,Sch\ufffdn\n")
    assert [(p.severity, p.field) for p in row_problems(tmp_path / "t.csv")] == [
        ("warning", "row 2, column hook"),
        ("error", "row 2, column cta"),
    ]


ENCODED = {
    "cp1250": "Kubek ręcznie robiony",
    "cp1251": "Кружка ручной работы",
    "cp1252": "Crème brûlée",
    "cp1253": "Χειροποίητη κούπα",
    "cp1254": "El yapımı çömlek, güzel",
    "cp1255": "אוסף חדש לחורף",
    "cp1256": "مجموعة جديدة للشتاء",
    "cp1257": "Naujas puodelis rytui, Šviežia kava",
    "cp932": "手作りのマグカップ",
    "gb18030": "手工制作的杯子，橡木椅子",
    "cp950": "手工製作的杯子，橡木椅子",
    "cp949": "새로운 컬렉션, 수제 머그컵",
    "koi8_r": "Новая коллекция",
    "cp866": "Новая коллекция",
    "mac_roman": "Schöne neue Küche für alle",
    "utf-16": "Größe",
    "utf-16-be": "name",
    "utf-8": "é",
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings_are_told_apart(tmp_path: Path, encoding: str):
    text = f"name;media;hook\r\njug;front.jpg;{ENCODED[encoding]}\r\n"
    path = write(tmp_path / "t.csv", text, encoding)
    assert briefs(path)["jug"]["hook"] == ENCODED[encoding]
    told = [p for p in read_table(path)[1] if p.code == "table.encoding"]
    assert bool(told) == (not encoding.startswith("utf"))
    assert all("encoding: " in p.remedy and p.severity == "warning" for p in told)


WORDS = {
    "cp1252": "Größe|Küche|Süß|Über|Weiß|Crème brûlée|Thé à la menthe|Señor|Niño pequeño|São Paulo"
    "|Coleção de verão|Città più bella|Blåbær og rømme|Hög kvalitet för hemmet|très|après|Garçon"
    "|œuf|lã|naïve|Møbler|El Niño ñandú|Fête des mères",
    "cp1250": "Łóżko|Żółty kubek|Příliš žluťoučký kůň|Čerstvá káva|Őszi kollekció|Šalica za čaj|Dąb"
    "|Świeca zapachowa|stół|Křeslo|Nowa kolekcja jesień|hrníček",
    "cp1251": "Дуб|Кружка|НОВИНКА|Нова чашка|Скидка",
    "cp1254": "Işık|değişik|Şık çanta|Türk kahvesi",
    "cp1257": "Ąžuolas|Jauna krūze|Uus tass hommikuks, täitsa ilus",
    "koi8_r": "Дуб|НОВИНКА",
    "cp932": "木の椅子",
    "gb18030": "新品上市",
    "cp950": "新品上市",
    "cp949": "나무 의자",
    "mac_roman": "Größe|Déjà|Señor",
    "cp850": "Größe|Crème",
    "cp874": "แก้วทำมือ",
}


def test_a_word_alone_is_read_rightly_or_refused_with_the_remedy():
    refused = wrong = right = 0
    for encoding, words in WORDS.items():
        for word in words.split("|"):
            try:
                text, _ = decode_text(f"media;hook\na.jpg;{word}\n".encode(encoding), "t.csv")
            except UserError as error:
                assert "encoding: " in error.problems[0].remedy
                refused += 1
                continue
            right += word in text
            wrong += word not in text
    assert wrong == 0 and refused < 0.5 * right, (right, wrong, refused)


def test_an_encoding_can_be_named(tmp_path: Path):
    path = write(tmp_path / "t.csv", "name;media;hook\njug;a.jpg;œuf\n", "cp1252")
    assert "can't be told" in read_table(path)[1][0].message
    mapping = write(tmp_path / "t.mapping.yaml", "encoding: windows-1252\n")
    assert briefs(path)["jug"]["hook"] == "œuf" and read_table(path)[1] == []
    for name in ("utf-8", "klingon", "rot13", "base64"):
        write(mapping, f"encoding: {name}\n")
        (problem,) = read_table(path)[1]
        assert problem.code == "table.encoding" and name in problem.message
    # A mapping that names nothing else leaves the columns of a shop known.
    shop = write(tmp_path / "shop.csv", "Handle,Title,Image Src\njug,Größe,a.jpg\n", "cp1252")
    write(tmp_path / "shop.mapping.yaml", "encoding: cp1252\n")
    assert briefs(shop)["jug"]["hook"] == "Größe"


def test_a_file_of_two_encodings_is_refused_by_its_line(tmp_path: Path):
    head = "name,media,hook\na,a.jpg,Größe für Küchen\n".encode()
    path = tmp_path / "t.csv"
    path.write_bytes(head + "b,b.jpg,Größe\n".encode("cp1252"))
    (problem,) = read_table(path)[1]
    assert "is UTF-8, but not in line 3" in problem.message and "CSV UTF-8" in problem.remedy
    # UTF-16 without its mark, mostly of letters that are not ASCII.
    text = "name\tmedia\thook\njug\ta.jpg\t" + "Новая коллекция " * 20
    assert briefs(write(path, text, "utf-16-be"))["jug"]["hook"].startswith("Новая")


def test_characters_that_cannot_be_seen_fall_off_names(tmp_path: Path):
    assert briefs(case("spreadsheets/unseen-characters"))["jug"]["media"] == ["front.jpg"]
    path = write(
        tmp_path / "t.csv",
        "\u200bna\u00adme\u00a0,\u2066media\u2069,hook\u3000\n"
        " j\u2060ug,\ufefffront\u200b.jpg\u00a0 | \u200eside.jpg,\u200b Hi \u00a0\n",
    )
    (brief,) = briefs(path).values()
    assert brief == {"media": ["front.jpg", "side.jpg"], "hook": "Hi"}


# Cells -------------------------------------------------------------------------------------------


def test_errors_and_words_for_nothing(tmp_path: Path):
    assert [(p.severity, p.field) for p in row_problems(case("spreadsheets/error-values"))] == [
        ("error", "row 2, column hook"),
        ("error", "row 2, column badge"),
        ("error", "row 3, column hook"),
        ("error", "row 3, column cta"),
    ]
    assert [(p.severity, p.field) for p in row_problems(case("spreadsheets/empty-words"))] == [
        ("warning", "row 2, column hook"),
        ("warning", "row 2, column cta"),
        ("warning", "row 2, column badge"),
    ]
    for text in (
        "#NV",
        "#BEZUG!",
        "#wert!",
        "#¡VALOR!",
        "#Н/Д",
        "#ERROR!",
        "#SPILL!",
        "Err:502",
        "Loading…",
        "Wird geladen...",
        "#####",
        "From #N/A today",
    ):
        assert find_error_value(text), text
    for text in ("#SALE!", "#1", "#new", "Loading the van", "C#", "N/A", "#NATURE"):
        assert find_error_value(text) is None, text
    write(tmp_path / "t.csv", "name,media,metadata.n,brand\n#REF!,a.jpg,#N/A,#N/A\nnan,a.jpg,,\n")
    assert {(p.severity, p.field) for p in row_problems(tmp_path / "t.csv")} == {
        ("warning", "row 2, column metadata.n"),
        ("error", "row 2, column brand"),
        ("error", "row 2, column name"),
        ("warning", "row 3, column name"),
    }
    # Only what is read counts: a column of one's own, and what is no text, may hold anything.
    write(tmp_path / "t.csv", "name,media,music,brand safe,_n,badge\na,a.jpg,none,TRUE,#N/A,-\n")
    assert [p.field for p in row_problems(tmp_path / "t.csv")] == ["row 2, column badge"]


def test_pictures_with_a_comma_between_them(tmp_path: Path):
    path = case("spreadsheets/comma-between-pictures")
    assert briefs(path)["jug"]["media"] == ["front.jpg", "side.jpg"]
    write(
        tmp_path / "t.csv",
        "media;hook\n"
        "a.jpg, b.JPG;x\n"
        '"a.jpg;b.mp4 | c.png";x\n'
        '"https://x.example/w_1,h_2/a.jpg, https://x.example/b?c=1";x\n'
        "Vase, blue.jpg;x\n"
        "a.jpg + b.jpg & c.jpg;x\n"
        "a.jpg b.jpg;x\n"
        "my photo.jpg;x\n"
        "Vase, red.jpg;x\n"
        "a.jpg, b.jpg;x\n"
        "KÃ¼che.jpg;x\n",
    )
    for name in ("Vase, red.jpg", "Küche.jpg"):
        (tmp_path / name).touch()
    rows = [document(s).data["media"] for s in read_table(tmp_path / "t.csv")[0]]
    assert rows == [
        ["a.jpg", "b.JPG"],
        ["a.jpg", "b.mp4", "c.png"],
        ["https://x.example/w_1,h_2/a.jpg", "https://x.example/b?c=1"],
        ["Vase, blue.jpg"],
        ["a.jpg", "b.jpg", "c.jpg"],
        ["a.jpg", "b.jpg"],
        ["my photo.jpg"],
        ["Vase, red.jpg"],
        ["a.jpg", "b.jpg"],
        ["Küche.jpg"],
    ]
    comma, saved_twice = row_problems(tmp_path / "t.csv")
    assert comma.severity == "warning" and "' | '" in comma.remedy
    assert saved_twice.severity == "warning" and "Küche.jpg" in saved_twice.message


@pytest.mark.parametrize(
    "value, code, shown",
    [
        (417, "00000", "00417"),
        (46362, "DD. MMM", "06. Dec"),
        (0.255, "0%", "26%"),
        (24.5, '#,##0.00\\ "€"', "24.50 €"),
        (46362, "[$-407]D. MMMM YYYY", "6. Dezember 2026"),
        (46362, "[$-407]DD. MMM", "06. Dez"),
        (46362, "[$-419]D MMMM", "6 декабря"),
        (46362, "[$-de-DE]dddd", "Sonntag"),
        (46362, "[$-40C]d mmm yyyy", "6 déc. 2026"),
        (1234.5, "#,##0.00 [$€-407]", "1,234.50 €"),
        (1234.5, "[$$-409]#,##0", "$1,235"),
        (-5, "#,##0.00;[Red]-#,##0.00", "-5.00"),
        (-5, "0.00_);(0.00)", "(5.00)"),
        (0, '0;-0;"free"', "free"),
        (0.5, "# ?/?", "1/2"),
        (1.25, "# ?/?", "1 1/4"),
        (12345, "0.00E+00", "1.23E+04"),
        (0.75, "h:mm AM/PM", "6:00 PM"),
        (1.5, "[h]:mm", "36:00"),
        (123456789, "000-00-0000", "123-45-6789"),
        (1500000, '0.0,,"M"', "1.5M"),
        (3, 'General" kg"', "3 kg"),
        (2.5, "0.##", "2.5"),
        (46362.5, "yyyy-mm-dd hh:mm", "2026-12-06 12:00"),
        (5, '[<10]0" few";0" many"', "5 few"),
        (1234, "# ##0", "1 234"),
        (5, '_-* #,##0.00\\ "€"_-;-* #,##0.00\\ "€"_-;_-* "-"??\\ "€"_-;_-@_-', "5.00 €"),
        (2.675, "0.00", "2.68"),
        (46362, 'yyyy"年"m"月"d"日"', "2026年12月6日"),
        (5, ";;;", ""),
        (59, "d/m/yyyy", "28/2/1900"),
        (61, "d/m/yyyy", "1/3/1900"),
        (0.999999, "h:mm", "23:59"),
    ],
)
def test_numbers_are_written_as_their_formats_show_them(value: float, code: str, shown: str):
    assert show_number(value, code) == shown


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False)),
    st.text(alphabet='0#?.,%;@"\\_*[]$-E+/ ydmhsAPM€', max_size=20),
)
def test_any_format_shows_something_or_is_said(value: float, code: str):
    with contextlib.suppress(NotShownError):
        assert isinstance(show_number(value, code), str)


def test_a_workbook_is_read_as_it_is_seen(tmp_path: Path):
    (brief,) = briefs(case("spreadsheets/number-formats")).items()
    assert brief == (
        "00417",
        {"media": ["front.jpg"], "hook": "06. Dec", "badge": "26%", "cta": "24.50 €"},
    )
    hidden = case("spreadsheets/hidden-row")
    assert list(briefs(hidden)) == ["shown"]
    assert [p.message for p in read_table(hidden)[1]] == ["row 2 is hidden and left out."]
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["Spring 2026"])
    sheet.append(["name", "pictures", None, "hook", "brand", "badge", "cta"])
    sheet["B2"] = "media"
    sheet.merge_cells("A1:G1")
    sheet.merge_cells("B2:C2")
    sheet.append(["a", "Front", "b.jpg", "One", "morrow", dt.date(2026, 12, 6), True])
    sheet["B3"].hyperlink = "https://x.example/front.jpg"
    sheet["F3"].number_format = "mm-dd-yy"
    sheet.append(["b", '=HYPERLINK("https://x.example/b.png","Side")', None, "Two"])
    sheet.append(["c", "c.jpg", None, "#DIV/0!"])
    sheet["D5"].data_type = "e"
    sheet["G5"] = 24.5
    sheet["G5"].number_format = '"$"#,##0.00_);[Red]("$"#,##0.00)'
    sheet.merge_cells("E3:E5")
    sheet.column_dimensions["G"].hidden = True
    book.save(tmp_path / "t.xlsx")
    sources, problems = read_table(tmp_path / "t.xlsx")
    first, second, third = (document(s) for s in sources)
    assert first.data["media"] == ["https://x.example/front.jpg", "b.jpg"]
    assert [d.data["brand"] for d in (first, second, third)] == ["morrow"] * 3
    assert second.data["media"] == ["https://x.example/b.png"]
    # How a computer shows that date can't be known from the file.
    assert first.data["badge"] == "2026-12-06"
    assert [(p.severity, p.field) for p in first.problems] == [
        ("warning", "row 3, column badge"),
        ("warning", "row 3, column cta"),
    ]
    assert [(p.severity, p.field) for p in third.problems] == [
        ("error", "row 5, column hook"),
        ("warning", "row 5, column cta"),
    ]
    assert third.data["cta"] == "$24.50"
    assert [p.message for p in problems if p.code == "table.hidden"] == [
        "column 'cta' is hidden and taken all the same."
    ]


def test_names_of_columns_may_be_hidden(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in (["name", "media"], ["Product", "Picture"], ["a", "a.jpg"]):
        book.active.append(row)
    book.active.row_dimensions[1].hidden = True
    book.save(tmp_path / "t.xlsx")
    assert briefs(tmp_path / "t.xlsx")["a"] == {"media": ["a.jpg"]}


CONTENT = """<?xml version="1.0"?><office:document-content xmlns:office="o" xmlns:table="t"
 xmlns:text="x" xmlns:xlink="l"><office:body><office:spreadsheet><table:table table:name="A">
<table:table-row><table:table-cell><text:p>name</text:p></table:table-cell><table:table-cell>
<text:p>media</text:p></table:table-cell><table:table-cell><text:p>hook</text:p></table:table-cell>
<table:table-cell table:number-columns-repeated="16381"/></table:table-row>
<table:table-row table:visibility="filter"><table:table-cell><text:p>no</text:p></table:table-cell>
<table:table-cell><text:p>no.jpg</text:p></table:table-cell></table:table-row>
<table:table-row table:number-rows-repeated="3"><table:table-cell/></table:table-row>
<table:table-row><table:table-cell office:value-type="float" office:value="417">
<text:p>00417</text:p></table:table-cell><table:table-cell><text:p>
<text:a xlink:href="https://x.example/a.jpg">Front</text:a></text:p></table:table-cell>
<table:table-cell office:value-type="float" office:value="24.5">
<office:annotation><text:p>a note</text:p></office:annotation><text:p>24,50<text:s/>€</text:p>
</table:table-cell></table:table-row></table:table></office:spreadsheet></office:body>
</office:document-content>"""


def test_an_ods_workbook_is_read(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", CONTENT.replace("\n", ""))
    assert briefs(tmp_path / "t.ods") == {
        "00417": {"media": ["https://x.example/a.jpg"], "hook": "24,50 €"}
    }
    write(tmp_path / "flat.fods", CONTENT.replace("\n", ""))
    assert briefs(tmp_path / "flat.fods") == briefs(tmp_path / "t.ods")
    sources, problems = read_table(tmp_path / "t.ods")
    assert document(sources[0]).place("hook") == "row 6, column hook"
    assert [p.message for p in problems] == ["row 2 is hidden and left out."]


# Tables of other programs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Table 1\nname;media;hook\njug;a.jpg;Turned, fired, glazed, packed\n",
        'Table 1,,\r\nname,media,hook\r\njug,a.jpg,"Turned, fired, glazed, packed"\r\n',
        "sep=|\nname|media|hook\njug|a.jpg|Turned, fired, glazed, packed\n",
        "sep=\t\nname\tmedia\thook\njug\ta.jpg\tTurned, fired, glazed, packed\n",
        "name|media|hook\njug|a.jpg|Turned, fired, glazed, packed\n",
        '"name","media","hook"\n\n"jug","a.jpg","Turned, fired, glazed, packed"\n',
        "Spring 2026\n\nAll prices in euro\nname\tmedia\thook\njug\ta.jpg\tTurned, fired, glazed, "
        "packed\n",
    ],
)
def test_titles_above_and_every_separator(tmp_path: Path, text: str):
    found = briefs(write(tmp_path / "t.csv", text))
    assert found == {"jug": {"media": ["a.jpg"], "hook": "Turned, fired, glazed, packed"}}


def test_tables_that_would_take_for_ever(tmp_path: Path):
    """Small files that stand for very much: bounded by what is kept, not by what is there."""
    write(tmp_path / "lines.csv", "media,hook" + "," * 997 + "\n" * 300_000)
    assert read_table(tmp_path / "lines.csv")[0] == []
    write(tmp_path / "wide.csv", "media,hook" + "," * 900 + ("\na.jpg" + "," * 900) * 4_000)
    assert "3,000,000 cells" in read_table(tmp_path / "wide.csv")[1][0].message
    rows = "".join(f'<row r="{n}"><c r="ALL{n}"><v>1</v></c></row>' for n in range(2, 5_000))
    kinds = 'xmlns:r="r"'
    with zipfile.ZipFile(tmp_path / "last.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook {kinds}><sheets><sheet name="a" r:id="r1"/></sheets></workbook>',
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels",
            '<Relationships><Relationship Id="r1" '
            'Type="x/worksheet" Target="worksheets/a.xml"/>'
            "</Relationships>",
        )
        archive.writestr(
            "xl/worksheets/a.xml", f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
        )
    assert "3,000,000 cells" in read_table(tmp_path / "last.xlsx")[1][0].message
    feed = "".join(f"<image_link>{n}</image_link>" for n in range(100_000))
    write(tmp_path / "feed.xml", f"<rss><item><id>1</id><title>T</title>{feed}</item></rss>")
    assert len(briefs(tmp_path / "feed.xml")["1"]["media"]) == 1_000


# Several rows, sheets and names of one thing -----------------------------------------------------

SHOPIFY = "Handle,Title,Image Src,Variant Price,Variant Compare At Price,Status\n"
OFFER = (
    "use: shopify\nprices: {currency: EUR}\nfields:\n  cta:\n"
    '    - "Was {Variant Compare At Price|lowest|price}, now {Variant Price|lowest|price}"\n'
    '    - "From {Variant Price|lowest|price}"\n'
)


@pytest.mark.parametrize(
    "variants, words",
    [
        ([("40", "50"), ("39", "70")], "Was €70, now €39"),
        ([("48", ""), ("39", "60")], "Was €60, now €39"),
        ([("48", "60"), ("39", "")], "From €39"),
        ([("48", "48")], "From €48"),
        ([("48", "40")], "From €48"),
    ],
)
def test_what_one_variant_was_and_another_is_makes_no_offer(
    tmp_path: Path, variants: list[tuple[str, str]], words: str
):
    write(tmp_path / "mapping.yaml", OFFER)
    rows = [f"jug,{'' if i else 'Jug'},a.jpg,{p},{w}," for i, (p, w) in enumerate(variants)]
    (jug,) = briefs(write(tmp_path / "p.csv", SHOPIFY + "\n".join(rows))).values()
    assert jug["cta"] == words


def test_a_shop_that_names_no_currency_is_told_how_to(tmp_path: Path):
    path = write(tmp_path / "shop.csv", SHOPIFY + "jug,Jug,a.jpg,48.00,,\nmug,Mug,a.jpg,9.00,,")
    (said,) = read_table(path)[1]
    assert said.code == "table.currency" and said.severity == "info"
    assert "prices: {currency: EUR}" in said.remedy and "shop.mapping.yaml" in said.remedy
    write(tmp_path / "mapping.yaml", "prices: {currency: EURO}\n")
    (wrong,) = read_table(path)[1]
    assert "neither the code of a currency" in wrong.message


@pytest.mark.parametrize(
    "said", ["out_of_stock", "Out of stock", "out-of-stock", "https://schema.org/OutOfStock"]
)
def test_what_is_sold_out_is_passed_over_however_it_is_written(tmp_path: Path, said: str):
    path = write(
        tmp_path / "f.tsv",
        f"id\ttitle\timage_link\tavailability\na\tCup\ta.jpg\t{said}\nb\tCup\ta.jpg\tpreorder\n",
    )
    assert list(briefs(path)) == ["b"]


@pytest.mark.parametrize("first", [True, False])
def test_what_a_feed_says_for_merchants_goes_first(tmp_path: Path, first: bool):
    own = "<g:id>p1</g:id><g:title>Walnut Mill</g:title>"
    other = "<id>tag:example.com,2026:1</id><title>Mill | Example Shop</title>"
    pair = own + other if first else other + own
    path = write(
        tmp_path / "feed.xml",
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><entry>'
        f"{pair}<g:image_link>a.jpg</g:image_link><g:additional_image_link>b.jpg"
        "</g:additional_image_link><g:additional_image_link>c.jpg</g:additional_image_link>"
        "</entry></feed>",
    )
    (name,), (mill,) = briefs(path), briefs(path).values()
    assert name == "p1" and mill["hook"] == "Walnut Mill"
    assert mill["media"] == ["a.jpg", "b.jpg", "c.jpg"]


def test_a_page_of_notes_may_lie_before_the_sheet_of_briefs(tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.append(["How to use this file"])
    for title in ("Products", "Later"):
        sheet = book.create_sheet(title)
        sheet.append(["name", "media", "hook"])
        sheet.append([title, "a.jpg", "New"])
    book.save(tmp_path / "p.xlsx")
    assert list(briefs(tmp_path / "p.xlsx")) == ["Products"]
    (said,) = read_table(tmp_path / "p.xlsx")[1]
    assert said.code == "table.sheets" and "'Later'" in said.message


@pytest.mark.parametrize(
    "text, encoding",
    [
        ("Now £19.90", "cp1252"),
        ("Prix 19,90 €\nœuvre 5 €", "iso8859_15"),
        ("Teraz 19,90 zł\nTylko 49,00 zł", "cp1250"),
        ("Nyní 199 Kč\nJen 99 Kč", "cp1250"),
    ],
)
def test_a_price_tells_the_encoding_of_a_table(text: str, encoding: str):
    data = "name;media;hook\n" + "\n".join(f"a;a.jpg;{line}" for line in text.split("\n"))
    assert decode_text(data.encode(encoding), "p.csv")[0] == data


def test_another_script_that_was_saved_as_western_is_named(tmp_path: Path):
    hook = "Новая коллекция".encode("cp1251").decode("cp1252")
    (said,) = row_problems(write(tmp_path / "p.csv", f"name,media,hook\na,a.jpg,{hook}\n"))
    assert said.severity == "warning" and "wrong encoding" in said.message
    fine = "Größe für Øl, à côté, crème brûlée, Žaluzie, œuvre ÄÖÜ"
    assert row_problems(write(tmp_path / "q.csv", f'name,media,hook\na,a.jpg,"{fine}"\n')) == []
