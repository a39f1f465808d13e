"""Bounds on what is read of others: bytes, kinds of files, and the time of regular expressions."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from pathlib import Path

import pytest
from memory import grown
from openpyxl import Workbook
from pattern_attacks import find_uses, slowest

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.queue_hints import read_hints
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.briefs.source import content_hash, read_signature
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.defs.metadata import code_block
from pytoon_pipeline.files import FileTooLargeError, NotRegularFileError, read_file
from pytoon_pipeline.intake.folders import find_sources, scan_folder
from pytoon_pipeline.stages.compile import check_source
from pytoon_pipeline.telemetry.logs import format_line

BOUNDED = ("tables/number_formats.py", "tables/format_codes.py")
"""Patterns over texts that are cut before: codes of number formats have at most 255 characters."""


def test_regular_expressions_are_linear():
    uses, _ = find_uses()
    assert len(uses) > 100
    slow = []
    for use in uses:
        if any(part in use.place for part in BOUNDED):
            continue
        took, size, text, _ = slowest(use, 0.25)
        if took > 0.25 * max(1, size / 16384):
            slow.append(f"{use.place} {use.method}: {took:.2f} s for {size} characters of {text}")
    assert not slow, "\n".join(slow)


def test_only_regular_files_of_a_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "giant", "wb") as file:
        file.truncate(1_200_000_000)
    with pytest.raises(NotRegularFileError):
        read_file(tmp_path / "pipe", 10)
    with pytest.raises(NotRegularFileError):
        read_file(tmp_path, 10)
    with pytest.raises(FileTooLargeError):
        read_file(tmp_path / "giant", 1_000_000)


def test_bad_documents_cost_only_their_own_brief(tmp_path):
    def folder(name: str) -> Path:
        (tmp_path / "camp" / name).mkdir(parents=True)
        return tmp_path / "camp" / name / "brief.yaml"

    folder("good").write_text("hook: Hello\n")
    folder("blank").write_text("\n" * 400_000)
    folder("nested").write_text("[" * 900_000)
    folder("latin").write_bytes(b"hook: caf\xe9\n")
    os.mkfifo(folder("pipe"))
    with open(folder("giant"), "wb") as file:
        file.truncate(1_200_000_000)
    before = time.process_time()
    sources, _ = scan_folder(tmp_path)
    codes = {}
    for source in sources:
        read_hints(source)
        read_signature(source)
        content_hash(source)
        codes[source.name] = [p.code for p in read_document(source.path, source.shown)[1]]
    assert time.process_time() - before < 20
    assert codes == {
        "good": [],
        "blank": ["file.empty"],
        "nested": ["file.nested"],
        "latin": ["file.encoding"],
        "pipe": ["file.kind"],
        "giant": ["file.too_large"],
    }


def test_a_long_log_line_is_cut_before_it_is_cleaned(monkeypatch):
    monkeypatch.setenv("PYTOON_TOKEN", "secretsecret")
    before = time.process_time()
    said = format_line("message", message="a." * 500_000 + "://")
    assert time.process_time() - before < 2 and len(said) < 9000
    for shift in range(0, 4100, 7):
        assert "secre" not in format_line(
            "message", message="x" * (7990 + shift) + "secretsecret" * 400
        )


def test_a_log_tail_stays_in_its_code_block():
    block = code_block("a\n```\n[link](http://x)")
    assert block.startswith("````\n") and block.endswith("\n````")


def test_a_message_quotes_the_beginning_of_a_long_name():
    _, problems = validate_data(Brief, {"hook": "Hello", "x" * 40_000: 1}, "brief.yaml")
    assert [p.code for p in problems] == ["field.unknown"]
    assert len(str(problems[0])) < 1_000


def _zip(members: int) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for number in range(members):
            archive.writestr(str(number), "")
    return held.getvalue()


_COLUMN = '<c r="XFD{0}" t="inlineStr"><is><t>z</t></is></c>'
_SHEET = (
    '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    '<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>media</t></is></c></row>'
)


def _last_column(rows: int) -> bytes:
    """A workbook with a cell in the last column of each row."""
    held = io.BytesIO()
    Workbook().save(held)
    made = io.BytesIO()
    with zipfile.ZipFile(held) as source, zipfile.ZipFile(made, "w", 8) as target:
        for member in source.infolist():
            data = source.read(member)
            if member.filename == "xl/worksheets/sheet1.xml":
                body = "".join(f'<row r="{n}">{_COLUMN.format(n)}</row>' for n in range(2, rows))
                data = f"{_SHEET}{body}</sheetData></worksheet>".encode()
            target.writestr(member.filename, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("wide.csv", lambda: b"a" + b",a" * 999 + b"\n" * 300_000, "table.columns"),
        ("wide.csv", lambda: b"name,media" + b",a" * 997 + b"\n" * 300_000, None),
        ("tabs.tsv", lambda: b"name\tmedia\n" + b"\t" * 49_000_000, "table.too_large"),
        ("many.xlsx", lambda: _zip(60_000), "table.too_large"),
        ("last.xlsx", lambda: _last_column(20_000), None),
        ("items.xml", lambda: b"<rss><channel>" + b"<item/>" * 300_000 + b"</channel></rss>", None),
        ("deep.xml", lambda: b"<rss>" + b"<a>" * 300_000 + b"</a>" * 300_000 + b"</rss>", None),
    ],
)
def test_a_small_table_takes_little(tmp_path, name, make, code):
    """Memory beyond the bytes of the file and their text, and time."""
    data = make()
    (tmp_path / name).write_bytes(data)
    found = []
    before = time.process_time()
    grown_by = grown(lambda: found.append(scan_folder(tmp_path)))
    assert grown_by < 100_000_000 + 6 * len(data)
    assert time.process_time() - before < 10
    if code is not None:
        assert [p.code for p in found[0][1]] == [code]


def _plan(captions):
    return json.dumps({"segments": [{"media": "a"}], "captions": captions})


_CUE = {"start": 0, "end": 1, "text": "x", "style": "hook", "box": [0, 0, 1, 1]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("brief.yaml", f"media: [{', '.join(['a.jpg'] * 100_000)}]\n"),
        ("brief.yaml", f"media: [{', '.join(f'{n}.jpg' for n in range(19_000))}]\n"),
        ("brief.yaml", f"media: [a.jpg]\nhook: {'word ' * 180_000}\n"),
        ("brief.yaml", f"media: [a.jpg]\n{'k' * 1_000}: 1\n"),
        ("brief.yaml", f"media: [a.jpg]\n{'k' * 40_000}: 1\n"),
        ("brief.yaml", "[" * 900_000),
        ("brief.yaml", "\t" * 900_000),
        ("brief.yaml", "!" * 900_000),
        ("brief.yaml", "- " * 300_000),
        ("brief.yaml", 'media: ["' + '\\"' * 400_000),
        ("brief.yaml", "hook: |\n" + "  x\n" * 200_000),
        ("render_spec.json", _plan([_CUE] * 1_500)),
        ("render_spec.json", _plan([{**_CUE, "text": "x" * 900_000}])),
        ("render_spec.json", '{"a":' * 150_000),
        ("render_spec.json", '{"archetype": ' + "9" * 900_000 + "}"),
    ],
    ids=range(15),
)
def test_a_document_of_any_shape_is_refused_soon_and_shortly(tmp_path, services, name, text):
    (tmp_path / name).write_text(text)
    before = time.process_time()
    plan, problems = check_source(find_sources([tmp_path])[0], services)
    assert time.process_time() - before < 20
    assert plan is None and problems
    assert all(len(str(problem)) < 1_500 for problem in problems)
