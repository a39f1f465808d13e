"""A campaign as a table for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence

from pytoon_pipeline.report.formatting import format_iso_time
from pytoon_pipeline.report.rows import ReportRow

Cell = str | int | float | None


def _round_value(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _yes_or_no(value: bool) -> str:
    return "yes" if value else ""


COLUMNS: dict[str, Callable[[ReportRow], Cell]] = {
    "name": lambda r: r.name,
    "state": lambda r: r.state,
    "hook": lambda r: r.hook,
    "archetype": lambda r: r.archetype,
    "preset": lambda r: r.preset,
    "brand": lambda r: r.brand,
    "locale": lambda r: r.locale,
    "variant of": lambda r: r.base,
    "length (s)": lambda r: _round_value(r.seconds, 2),
    "engines": lambda r: ", ".join(r.engines),
    "checks": lambda r: len(r.metrics.verdicts) if r.metrics else None,
    "checks passed": lambda r: len(r.passed) if r.metrics else None,
    "checks not passed": lambda r: "; ".join(f"{v.name}: {v.message}" for v in r.failed),
    "degraded": lambda r: _yes_or_no(r.degraded),
    "fallback": lambda r: _yes_or_no(r.fallback),
    "why": lambda r: "; ".join(r.reasons),
    "render time (s)": lambda r: _round_value(r.spent, 2),
    "from cache": lambda r: r.reuse,
    "loudness (LUFS)": lambda r: _round_value(r.lufs, 1),
    "true peak (dBTP)": lambda r: _round_value(r.true_peak, 1),
    "size (bytes)": lambda r: r.metrics.video.bytes if r.metrics else None,
    "problems": lambda r: "\n".join([*map(str, r.problems), *filter(None, [r.log])]),
    "priority": lambda r: r.priority,
    "updated (UTC)": lambda r: format_iso_time(r.updated),
}
"""Column -> what stands in it."""


def escape_formula(value: Cell) -> Cell:
    """Text that a spreadsheet would take for a formula, made text again. Numbers are numbers."""
    if isinstance(value, str) and value.lstrip().startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return value


def campaign_csv(
    rows: Sequence[ReportRow], links: Callable[[ReportRow], Mapping[str, str]]
) -> bytes:
    """UTF-8 with a byte order mark, without which Excel takes it for another code. `links` gives
    the files of a row: name -> where they lie, seen from the table."""
    to = io.StringIO()
    writer = csv.writer(to)
    writer.writerow([*COLUMNS, "video"])
    for row in rows:
        cells = [*(column(row) for column in COLUMNS.values()), links(row).get("video.mp4", "")]
        writer.writerow([escape_formula(cell) for cell in cells])
    return to.getvalue().encode("utf-8-sig", "replace")
