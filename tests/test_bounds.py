"""Bounds on what is read of others: bytes, kinds of files, and the time of regular expressions."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pattern_attacks import find_uses, slowest

from pytoon_pipeline.briefs.folder import scan
from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.reading import read_document, validate
from pytoon_pipeline.briefs.source import content_hash, hints, look
from pytoon_pipeline.defs.metadata import code_block
from pytoon_pipeline.figures.lines import line
from pytoon_pipeline.files import FileTooLarge, NoRegularFile, read_file

BOUNDED = ("briefs/number_formats.py",)
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
    with pytest.raises(NoRegularFile):
        read_file(tmp_path / "pipe", 10)
    with pytest.raises(NoRegularFile):
        read_file(tmp_path, 10)
    with pytest.raises(FileTooLarge):
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
    sources, _ = scan(tmp_path)
    codes = {}
    for source in sources:
        hints(source)
        look(source)
        content_hash(source)
        codes[source.name] = [p.code for p in read_document(source.path, source.shown)[1]]
    assert time.process_time() - before < 20
    assert codes == {
        "good": [], "blank": ["file.empty"], "nested": ["file.nested"],
        "latin": ["file.encoding"], "pipe": ["file.kind"], "giant": ["file.too_large"],
    }  # fmt: skip


def test_a_long_log_line_is_cut_before_it_is_cleaned(monkeypatch):
    monkeypatch.setenv("PYTOON_TOKEN", "secretsecret")
    before = time.process_time()
    said = line("message", message="a." * 500_000 + "://")
    assert time.process_time() - before < 2 and len(said) < 9000
    for shift in range(0, 4100, 7):
        assert "secre" not in line("message", message="x" * (7990 + shift) + "secretsecret" * 400)


def test_a_log_tail_stays_in_its_code_block():
    block = code_block("a\n```\n[link](http://x)")
    assert block.startswith("````\n") and block.endswith("\n````")


def test_a_message_quotes_the_beginning_of_a_long_name():
    _, problems = validate(Brief, {"hook": "Hello", "x" * 40_000: 1}, "brief.yaml")
    assert [p.code for p in problems] == ["field.unknown"]
    assert len(str(problems[0])) < 1_000
