"""Tables of briefs: CSV, TSV and XLSX files, a brief a row."""

from __future__ import annotations

from pathlib import Path

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.errors import Problem

TABLES = (".csv", ".tsv", ".xlsx")


def read_table(path: Path) -> tuple[list[BriefSource], list[Problem]]:
    """The rows of a table as briefs, and what keeps the table from being read. Never raises."""
    return [], []
