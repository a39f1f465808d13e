"""Tables of briefs: what people and other programs put into spreadsheets."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytoon_pipeline.briefs.source import BriefSource, SourceDocument, content_hash, read_signature
from pytoon_pipeline.briefs.variants import expand_variants
from pytoon_pipeline.compiler.compile import compile_file
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.stages.services import Services
from pytoon_pipeline.tables import workbook_archive
from pytoon_pipeline.tables.table import read_table
from tests.conftest import picture

FIXTURES = Path(__file__).parent / "fixtures/tables"


def table(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    """A table with these rows, the first its header."""
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(list(row))
        book.save(path)
        return path
    text = io.StringIO()
    csv.writer(text, delimiter="\t" if path.suffix == ".tsv" else ",").writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def said(path: Path) -> dict[str, dict]:
    """What the rows of a table say, by their keys; there is nothing wrong with any."""
    sources, problems = read_table(path)
    assert [p for p in problems if p.severity == "error"] == []
    assert [p for s in sources for p in document(s).problems] == []
    return {s.key: dict(document(s).data) for s in sources}


def document(source: BriefSource) -> SourceDocument:
    assert source.document is not None
    return source.document


def only_problem(path: Path) -> Problem:
    sources, problems = read_table(path)
    assert sources == [] and len(problems) == 1 and problems[0].severity == "error"
    return problems[0]


# Columns and cells -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx"])
def test_columns_are_fields_however_they_are_spelled(tmp_path: Path, ending: str):
    path = table(
        tmp_path / f"spring{ending}",
        [
            [
                "Name",
                "MEDIA",
                "beat 2",
                "Beat 1",
                "Brand-Safe",
                "duration",
                "music",
                "Priority",
                "music.volume_db",
                "metadata.Order No",
                "Hooks",
                "locales",
                "campaign",
                "badge",
            ],
            [
                "kettle",
                "a.jpg | b.jpg",
                "two",
                "one",
                "no",
                "12,5",
                "warm",
                "5",
                "-3",
                "A-1",
                "Yes | No | Why|Not",
                "en, de",
                "",
                "[NEW] 50%",
            ],
            [],
            [
                "lamp",
                '["c.jpg", {"path": "d.jpg", "text": "New"}]',
                "",
                "",
                "TRUE",
                "15.0",
                "FALSE",
                "",
                "",
                "",
                "",
                "",
                "autumn",
                "",
            ],
        ],
    )
    assert said(path) == {
        "spring/kettle": {
            "media": ["a.jpg", "b.jpg"],
            "beats": ["one", "two"],
            "brand_safe": False,
            "duration": 12.5,
            "music": {"name": "warm", "volume_db": -3},
            "priority": 5,
            "metadata": {"Order No": "A-1"},
            "badge": "[NEW] 50%",
            "variants": {"hooks": ["Yes", "No", "Why|Not"], "locales": {"en": {}, "de": {}}},
        },
        "autumn/lamp": {
            "media": ["c.jpg", {"path": "d.jpg", "text": "New"}],
            "brand_safe": True,
            "duration": 15,
            "music": False,
        },
    }
    kettle, lamp = read_table(path)[0]
    assert document(kettle).place("beats[0]") == "row 2, column Beat 1"
    assert document(lamp).place("media[1].text") == "row 4, column MEDIA"
    assert document(lamp).place("hook") == "row 4, hook"
    names = [s.name for s in expand_variants(kettle)]
    assert names == [f"kettle-{place}-h{n}" for place in ("en", "de") for n in (1, 2, 3)]


def test_what_a_workbook_holds_besides_text(tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["not", "this"])
    sheet = book.create_sheet("Briefs")
    sheet.append(["id", "media", "duration", "badge", "metadata.day", "hook", "cta"])
    sheet.append([4006381333931, "a.jpg", 15.0, 0.5, dt.date(2026, 4, 1), 0.1 + 0.2, True])
    sheet["D2"].number_format = "0%"
    sheet.append(["sum", "a.jpg", "=3*5"])
    book.save(tmp_path / "spring.xlsx")
    first, second = read_table(tmp_path / "spring.xlsx")[0]
    assert first.name == "4006381333931"
    assert document(first).data == {
        "media": ["a.jpg"],
        "duration": 15,
        "badge": "50%",
        "metadata": {"day": "2026-04-01"},
        "hook": "0.3",
        "cta": "TRUE",
    }
    # No spreadsheet program has worked this one out; a video without it would be a wrong one.
    assert [p.field for p in document(second).problems] == ["row 3, column duration"]


@pytest.mark.parametrize(
    "name, row, data",
    [
        ("a.csv", 2, "﻿name,media,hook\r\nkettle,a.jpg,Schön\r\n".encode()),
        ("a.csv", 4, "\n\nname;media;hook\nkettle;a.jpg;Schön\n".encode()),
        ("a.csv", 2, "sep=;\r\nname;media;hook\r\nkettle;a.jpg;Schön\r\n".encode("cp1252")),
        ("a.csv", 2, "name\tmedia\thook\rkettle\ta.jpg\tSchön\r".encode()),
        ("a.csv", 2, 'name,media,"hook","_a\nb, c"\nkettle,a.jpg,Schön,x,,\n'.encode()),
        ("a.tsv", 2, "name\tmedia\thook\r\nkettle\ta.jpg\tSchön\r\n".encode("utf-16")),
        ("a.tsv", 2, "name\tmedia\thook\r\nkettle\ta.jpg\tSchön\r\n".encode("utf-16-be")),
    ],
)
def test_exports_of_many_programs_are_read(tmp_path: Path, name: str, row: int, data: bytes):
    (tmp_path / name).write_bytes(data)
    assert said(tmp_path / name) == {"a/kettle": {"media": ["a.jpg"], "hook": "Schön"}}
    sources, problems = read_table(tmp_path / name)
    assert document(sources[0]).place(None) == f"row {row}"
    doubtful = [p.code for p in problems]
    assert doubtful == (["table.encoding"] if data.startswith(b"sep") else [])


def test_problems_name_row_and_column(tmp_path: Path, services: Services):
    picture(tmp_path / "a.jpg")
    (tmp_path / "spring.csv").write_text(
        "name,media,Length,archetype,duration,hoook,brand safe\n"
        "good,a.jpg,,hero,,,\n"
        "bad,a.jpg | b.jpg,x,herro,long,Hi,perhaps\n"
        'json,"[""a.jpg"", {",,,,,\n'
        "wide,a.jpg,,,,,,too,many\n",
        encoding="utf-8",
    )
    sources, problems = read_table(tmp_path / "spring.csv")
    assert [(p.code, p.severity) for p in problems] == [("table.column", "warning")]
    assert "'Length' 'duration'" in problems[0].remedy

    def errors(source: BriefSource) -> list[str]:
        found = compile_file(
            source.path,
            source.folder,
            source.kind,
            source.shown,
            services.compile_context,
            source.document,
        ).problems
        return [str(p) for p in found if p.severity == "error"]

    good, bad, broken, wide = map(errors, sources)
    assert good == []
    for expected in (
        'row 3, column archetype: "herro" is not one of',
        'row 3, column duration: "long"',
        "row 3, column hoook: 'hoook' is not a known field. Did you mean 'hook'?",
        'row 3, column brand safe: "perhaps"',
        "row 3, column media: ",
    ):
        assert any(e.startswith(f"spring.csv: {expected}") for e in bad), (expected, bad)
    assert any(e.startswith("spring.csv: row 4, column media: begins like JSON") for e in broken)
    assert any(e.startswith("spring.csv: row 5: has more cells") for e in wide)


# Identity ----------------------------------------------------------------------------------------


def edited(path: Path, rows: Sequence[Sequence[str]], tick: int) -> dict[str, str]:
    """Origin -> content hash, of a table written anew."""
    os.utime(table(path, rows), ns=(tick, tick))
    sources, problems = read_table(path)
    assert problems == [] and len(sources) == len(rows) - 1
    return {s.origin: content_hash(s) for s in sources}


def test_only_edited_rows_change(tmp_path: Path):
    picture(tmp_path / "a.jpg", size=(60, 60))
    rows = [["sku", "media", "hook", "duration"]]
    rows += [[f"p-{n:03}", "a.jpg", f"Line {n}", "12"] for n in range(300)]
    before = edited(tmp_path / "spring.csv", rows, 1)
    for n in (1, 150, 300):
        rows[n] = [*rows[n][:2], "New", "12"]
    after = edited(tmp_path / "spring.csv", rows, 2)
    changed = {o for o in before if before[o] != after[o]}
    assert {o.rpartition(" ")[2] for o in changed} == {"p-000", "p-149", "p-299"}
    rows.insert(1, ["a-first", "a.jpg", "First", ""])
    moved = edited(tmp_path / "spring.csv", rows, 3)
    assert {o: moved[o] for o in after} == after and len(moved) == 301


def test_a_changed_picture_changes_the_rows_that_name_it(tmp_path: Path):
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / name, size=(60, 60))
    rows = [["sku", "media"], ["one", "a.jpg"], ["two", "b.jpg"]]
    path = table(tmp_path / "spring.csv", rows)
    one, two = read_table(path)[0]
    before = [read_signature(one), read_signature(two)]
    picture(tmp_path / "b.jpg", size=(80, 60))
    assert [read_signature(one) == before[0], read_signature(two) == before[1]] == [True, False]


def test_two_rows_of_one_name(tmp_path: Path):
    path = table(
        tmp_path / "spring.csv",
        [
            ["name", "media", "campaign"],
            ["cup", "a.jpg", ""],
            ["cup", "a.jpg", ""],
            ["cup", "b.jpg", ""],
            ["cup", "b.jpg", "autumn"],
            ["", "c.jpg", ""],
        ],
    )
    sources, problems = read_table(path)
    assert [s.key for s in sources] == [
        "spring/cup",
        "spring/cup~row-4",
        "autumn/cup",
        "spring/row-0006",
    ]
    assert len({s.origin for s in sources}) == 4
    assert [(p.code, p.severity) for p in problems] == [("table.repeated", "info")]
    wrong = [p for s in sources for p in document(s).problems]
    assert [p.field for p in wrong] == ["row 4"] and "row 2 and row 4" in wrong[0].message


def test_a_table_is_read_again_when_it_or_its_mapping_changes(tmp_path: Path):
    path = table(tmp_path / "spring.csv", [["name", "media"], ["cup", "a.jpg"]])
    first = read_table(path)[0][0]
    assert read_table(path)[0][0] is first
    (tmp_path / "mapping.yaml").write_text("defaults: {brand: morrow, media: z.jpg}\n")
    assert said(path) == {"spring/cup": {"media": ["a.jpg"], "brand": "morrow"}}
    table(path, [["name", "media"], ["pot", ""]])
    assert said(path) == {"spring/pot": {"media": ["z.jpg"], "brand": "morrow"}}


# Mappings ----------------------------------------------------------------------------------------


def test_a_shops_export_needs_nothing_beside_it():
    found = said(FIXTURES / "shopify_export.csv")
    kettle, candle = found.values()
    assert list(found) == ["shopify_export/dawn-kettle", "shopify_export/tall-candle"]
    assert [m.rsplit("/", 1)[1] for m in kettle["media"]] == [
        "kettle-front.jpg?v=1712",
        "kettle-side.jpg?v=1712",
        "kettle-pour.jpg?v=1712",
    ]
    assert kettle["hook"] == "Dawn Kettle" and kettle["metadata"]["price"] == "58.50"
    assert kettle["beats"] == ["Matte enamel, a wooden grip & a slow spout."]
    assert candle["beats"] == ["Forty hours of beeswax light."]
    kettle_source = read_table(FIXTURES / "shopify_export.csv")[0][0]
    assert document(kettle_source).place("media[2]") == "row 4, column Image Src"


def test_a_product_feed_needs_nothing_beside_it():
    found = said(FIXTURES / "merchant_feed.tsv")
    assert list(found) == ["merchant_feed/SKU-1", "merchant_feed/SKU-2"]
    assert [len(b["media"]) for b in found.values()] == [3, 1]
    assert [b["cta"] for b in found.values()] == ["Now €58.50", "Yours for €19"]


def test_a_mapping_of_ones_own(tmp_path: Path):
    export = (FIXTURES / "shopify_export.csv").read_bytes()
    (tmp_path / "shop.csv").write_bytes(export)
    (tmp_path / "shop.mapping.yaml").write_text(
        "use: shopify\n"
        "campaign: Vendor\n"
        "fields:\n"
        '  hook: "{title|upper} {{new}}"\n'
        '  cta: ["From {Variant Price|lowest|price EUR de}", Shop now]\n'
        '  beats: ["In {Option1 Value}", "{Body (HTML)|text|short 30}"]\n'
        "  metadata.price: null\n"
        "defaults: {archetype: overlay, duration: 12}\n"
        'skip: {Variant SKU: TC-1, Published: "false"}\n',
        encoding="utf-8",
    )
    found = said(tmp_path / "shop.csv")
    assert list(found) == ["Morrow/dawn-kettle"]
    kettle = found["Morrow/dawn-kettle"]
    assert kettle["hook"] == "DAWN KETTLE {new}" and kettle["cta"] == "From 58,50 €"
    assert kettle["beats"] == ["In Cream", "In Ink", "In Moss", "Matte enamel, a wooden grip…"]
    assert kettle["archetype"] == "overlay" and kettle["duration"] == 12
    assert "price" not in kettle["metadata"]


def test_the_page_for_people_is_true(tmp_path: Path):
    page = (Path(__file__).parent.parent / "docs/tables.md").read_text(encoding="utf-8")
    (tmp_path / "spring.csv").write_bytes((FIXTURES / "shopify_export.csv").read_bytes())
    (tmp_path / "spring.mapping.yaml").write_text(
        page.split("```yaml\n")[1].split("```")[0], encoding="utf-8"
    )
    found = said(tmp_path / "spring.csv")
    assert [b["cta"] for b in found.values()] == ["From 58,50 €", "From 19,90 €"]
    fields = [line.split("|") for line in page.splitlines() if line.startswith("| name")][0]
    sources, problems = read_table(table(tmp_path / "page.csv", [fields[1:-1], [*"abcdef"]]))
    assert problems == [] and len(document(sources[0]).data) == len(fields) - 3


def test_a_mapping_that_is_wrong_is_said_by_file_and_field(tmp_path: Path):
    table(tmp_path / "shop.csv", [["Title", "Pic", "Cost"], ["Cup", "a.jpg", "cheap"]])
    mapping = tmp_path / "shop.mapping.yaml"
    mapping.write_text("nam: Title\n")
    assert str(only_problem(tmp_path / "shop.csv")).startswith("shop.mapping.yaml: nam: ")
    mapping.write_text(
        "name: Titel\n"
        'fields: {media: "{Pic}", hok: "{Title}", cta: "{Cost|prize EUR}", hook: "{Title"}\n'
        "skip: {Hidden: yes}\n"
    )
    sources, problems = read_table(tmp_path / "shop.csv")
    assert sources == [] and {(p.file, p.field) for p in problems} == {
        ("shop.mapping.yaml", f)
        for f in ("name", "fields.hok", "fields.cta", "fields.hook", "skip.Hidden")
    }
    assert "Did you mean 'Title'?" in str(next(p for p in problems if p.field == "name"))
    mapping.write_text('name: Title\nfields: {media: "{Pic}", cta: "{Cost|price EUR}"}\n')
    (source,) = read_table(tmp_path / "shop.csv")[0]
    assert [p.field for p in document(source).problems] == ["row 2, column Cost"]


# What is no table, and what is too much ----------------------------------------------------------


def test_a_table_that_is_none_is_one_problem(tmp_path: Path):
    table(tmp_path / "stock.csv", [["id", "image", "count"], ["1", "a.jpg", "3"]])
    problem = only_problem(tmp_path / "stock.csv")
    assert "stock.mapping.yaml" in problem.remedy and "'image'" in problem.remedy
    (tmp_path / "open.csv").write_text('name,media\ncup,"a.jpg\n')
    assert only_problem(tmp_path / "open.csv").field == "row 2"
    (tmp_path / "fake.xlsx").write_bytes(b"\xd0\xcf\x11\xe0 an old one")
    assert "XLS" in only_problem(tmp_path / "fake.xlsx").remedy
    (tmp_path / "empty.csv").write_bytes(b"\n\n")
    assert only_problem(tmp_path / "empty.csv").code == "table.empty"
    assert only_problem(tmp_path / "gone.csv").code == "table.unreadable"
    (tmp_path / "~$spring.xlsx").write_bytes(b"Excel's own")
    assert read_table(tmp_path / "~$spring.xlsx") == ([], [])


def test_too_much_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workbook_archive, "MAX_UNPACKED", 20_000_000)
    (tmp_path / "long.csv").write_text("media\n" + "a.jpg\n" * 50_001)
    assert "50,000 rows" in only_problem(tmp_path / "long.csv").message
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(50_000_001)
    assert "50 MB" in only_problem(tmp_path / "large.csv").message
    bomb = table(tmp_path / "bomb.xlsx", [["name", "media"]])
    with (
        zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet2.xml", "w") as part,
    ):
        for _ in range(21):
            part.write(bytes(1_000_000))
    assert bomb.stat().st_size < 100_000
    assert "unpacked" in only_problem(bomb).message


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from(
            [
                "name",
                "media",
                "beat 1",
                "variants",
                "locales",
                "metadata.x",
                "music",
                "music.volume_db",
                "variants.locales.de.hook",
                "hoook",
                "duration",
            ]
        )
        | st.text(max_size=8),
        min_size=1,
        max_size=8,
    ),
    st.lists(
        st.lists(
            st.text(max_size=20)
            | st.sampled_from(
                [
                    '{"hooks": "x"}',
                    '["\\ud800"]',
                    "[" * 3000,
                    '{"locales": ["en"]}',
                    "1e999",
                    "[1e999]",
                ]
            ),
            max_size=9,
        ),
        max_size=5,
    ),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
@example(["media"], [['["\\ud800", "\\u0000a.jpg"]'], ["b\0.jpg"]], "utf-8")
def test_any_text_is_read_or_refused_in_words(
    tmp_path: Path, header: list[str], rows: list[list[str]], encoding: str
):
    lines = io.StringIO()
    csv.writer(lines).writerows([header, *rows])
    path = tmp_path / "any.csv"
    path.write_bytes(lines.getvalue().encode(encoding, "replace"))
    sources, problems = read_table(path)
    for source in sources:
        for each in expand_variants(source):
            text = document(each).as_json()
            assert SourceDocument.from_json(text) == each.document
            assert text.encode() and "\\u0000" not in text
            assert len(content_hash(each)) == 64 and each.key.encode()
    for problem in problems:
        assert problem.file == "any.csv" and problem.message
