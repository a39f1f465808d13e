"""The campaign page: one HTML file that needs nothing but the videos beside it.

What briefs say is text from outside. Jinja escapes all of it; the page's policy names its own
script and style by their hashes, so nothing else could run even if something slipped through.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pytoon_pipeline import __version__
from pytoon_pipeline.report import formatting, plots
from pytoon_pipeline.report.rows import GROUPS, ReportRow

Links = Callable[[ReportRow], Mapping[str, str]]
"""The files of a row: name -> address, seen from the page."""

_TONES = {
    "done": "good",
    "running": "busy",
    "waiting": "idle",
    "refused": "bad",
    "failed": "bad",
    "cancelled": "idle",
    "deleted": "idle",
}
_SIGNS = {
    "done": "check",
    "running": "gear",
    "waiting": "clock",
    "refused": "cross",
    "failed": "cross",
    "cancelled": "stop",
    "deleted": "bin",
}
_LINKS = (
    ("Video", "video.mp4"),
    ("Captions", "captions.vtt"),
    ("Thumbnail", "thumbnail.jpg"),
    ("Plan", "render_spec.json"),
)
_FACETS = (
    ("archetype", "Archetype"),
    ("preset", "Preset"),
    ("locale", "Locale"),
    ("engine", "Engine"),
)
_HEADS = (
    ("name", "Name"),
    ("state", "State"),
    ("checks", "Checks"),
    ("length", "Length"),
    ("archetype", "Archetype"),
    ("preset", "Preset"),
    ("brand", "Brand"),
    ("locale", "Locale"),
    ("engine", "Engine"),
    ("render", "Render, s"),
    ("loudness", "LUFS"),
    ("peak", "dBTP"),
    ("updated", "Updated"),
    ("files", "Files"),
)
_SORTABLE = ("name", "length", "render", "loudness", "updated")
_NUMERIC = ("length", "render", "loudness", "peak")


class ReportPage:
    """A row as the page shows it."""

    def __init__(self, row: ReportRow, links: Mapping[str, str]):
        self._row = row
        self.tone, self.sign = _TONES[row.group], _SIGNS[row.group]
        self.grave = any(v.severity == "error" for v in row.failed)
        kind = (row.archetype, row.preset, row.brand, row.locale, ", ".join(row.engines))
        self.kind = [k for k in kind if k]
        self.links = [
            (word, links[name], PurePosixPath(name).suffix)
            for word, name in _LINKS
            if name in links
        ]
        self.marks = [
            mark
            for mark, holds in (
                ("checks", bool(row.failed)),
                ("degraded", row.degraded),
                ("fallback", row.fallback),
            )
            if holds
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


@dataclass(frozen=True)
class _PageParts:
    template: Any
    css: str
    boot: str
    script: str


@cache
def _load_parts() -> _PageParts:
    import jinja2

    folder = files("pytoon_pipeline.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return _PageParts(
        environment.from_string((folder / "page.html").read_text("utf-8")),
        (folder / "page.css").read_text("utf-8"),
        "document.documentElement.classList.add('js')",
        (folder / "page.js").read_text("utf-8"),
    )


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _list_chips(rows: Sequence[ReportRow]) -> list[tuple[str, str, int, str]]:
    """What can be picked: value, word, count, tone; only what there is."""
    groups = Counter(row.group for row in rows)
    found = [(f"state:{g}", word, groups[g], _TONES[g]) for g, word in GROUPS.items()]
    found[1:1] = [
        ("mark:checks", "Checks not passed", sum(bool(r.failed) for r in rows), "warn"),
        ("mark:degraded", "Degraded", sum(r.degraded for r in rows), "warn"),
        ("mark:fallback", "Fallback", sum(r.fallback for r in rows), "note"),
    ]
    return [chip for chip in found if chip[2]]


def _campaign_shares(rows: Sequence[ReportRow]) -> list[tuple[str, int, int]]:
    """The whole campaign as a bar: tone, where it starts, how many briefs."""
    tones = Counter(
        "warn" if row.group == "done" and row.failed else _TONES[row.group] for row in rows
    )
    found, start = [], 0
    for tone in ("good", "warn", "busy", "idle", "bad"):
        if tones[tone]:
            found.append((tone, start, tones[tone]))
            start += tones[tone]
    return found


def _list_facets(rows: Sequence[ReportRow]) -> list[tuple[str, str, list[str]]]:
    """Name, label and values of the filters that have something to choose from."""
    found = []
    for name, label in _FACETS:
        values = {v for r in rows for v in (r.engines if name == "engine" else [getattr(r, name)])}
        values.discard("")
        if len(values) > 1:
            found.append((name, label, sorted(values)))
    return found


def _address_origin(href: str) -> str:
    """`https://host:port` of an address, empty for one that is no browser's or is seen from the
    page."""
    parts = urlsplit(href)
    web = parts.netloc and parts.scheme in ("http", "https")
    return f"{parts.scheme}://{parts.netloc}" if web else ""


def progress_of(rows: Sequence[ReportRow]) -> float | None:
    """0..1 while a run goes on or is asked for, else None. Briefs that nobody asked for don't
    count."""
    if not any(row.open for row in rows):
        return None
    counted = [row for row in rows if row.open or row.group != "waiting"]
    ended = sum(not row.open for row in counted)
    going = sum(row.progress for row in counted if row.group == "running")
    return (ended + going) / len(counted)


def campaign_page(
    title: str, rows: Sequence[ReportRow], links: Links, csv: str, until: float | None = None
) -> bytes:
    """The page as UTF-8. `csv` is the address of the table, seen from the page; `until` the Unix
    time up to which links are good, None for ever."""
    from markupsafe import Markup

    parts = _load_parts()
    shown = [ReportPage(row, links(row)) for row in rows]
    # What was made of briefs that are gone is shown, and not counted.
    live = [row for row in rows if not row.deleted]
    judged = [row for row in live if row.metrics]
    drawn = None
    if judged:
        drawn = {
            "times": Markup(plots.render_times(judged)),
            "loudness": Markup(plots.plot_loudness(judged)),
            "lengths": Markup(plots.plot_lengths(judged)),
        }
    html = parts.template.render(
        title=title,
        version=__version__,
        css=Markup(parts.css),
        boot=Markup(parts.boot),
        script=Markup(parts.script),
        style_hash=_csp_hash(parts.css),
        script_hashes=Markup(" ").join(
            Markup("'{}'").format(_csp_hash(text)) for text in (parts.boot, parts.script)
        ),
        rows=shown,
        # Where the page itself lies elsewhere than its videos, saved to a disk for example.
        origins=sorted({_address_origin(href) for row in shown for _, href, _ in row.links} - {""}),
        until=until,
        live=len(live),
        made=sum(row.video for row in live),
        judged=len(judged),
        clean=sum(not row.failed for row in judged),
        length=formatting.format_duration(sum(row.seconds or 0 for row in live)),
        updated=max((row.updated for row in rows), default=0),
        progress=progress_of(rows),
        chips=_list_chips(rows),
        shares=_campaign_shares(rows),
        facets=_list_facets(rows),
        variants=Counter(row.base for row in rows if row.base),
        heads=_HEADS,
        sortable=_SORTABLE,
        numeric=_NUMERIC,
        plots=drawn,
        csv=csv,
        links=links,
        off_target=plots.off_target,
        none_is=lambda value: "" if value is None else value,
        clock=formatting.format_clock,
        number=formatting.format_number,
        megabytes=formatting.format_megabytes,
        iso=formatting.format_iso_time,
        moment=formatting.format_moment,
    )
    return html.encode("utf-8", "replace")
