"""Writing a campaign's page: into the store beside the videos, or as a folder to send."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from pytoon_pipeline.briefs.source import key_part
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import LedgerEntry
from pytoon_pipeline.report.page import campaign_page, progress_of
from pytoon_pipeline.report.rows import ReportRow, gather_rows
from pytoon_pipeline.report.table import campaign_csv
from pytoon_pipeline.store.base import Store
from pytoon_pipeline.store.publish import publish_folder

PAGE, TABLE = "index.html", "campaign.csv"
_FOLDERS = {
    "video.mp4": "videos",
    "captions.vtt": "captions",
    "captions.srt": "captions",
    "thumbnail.jpg": "thumbnails",
    "render_spec.json": "plans",
}
"""What an export holds -> the folder it is in, under the brief's name."""


class ReportDocument(BaseModel):
    """What was written of a campaign."""

    model_config = ConfigDict(extra="forbid")

    campaign: str
    page: str = Field(description="Key of the page in the store; of an export its path.")
    table: str = Field(description="The same of the CSV.")
    briefs: int = Field(description="All that are known, deleted ones included.")
    videos: int = Field(description="Briefs with a video, earlier ones included; no deleted ones.")
    counts: dict[str, int] = Field(
        description="State -> briefs in it; those that are gone are `deleted` whatever they were."
    )
    failed_checks: int = Field(description="Videos with a check that did not pass.")
    degraded: int
    used_fallback: int
    seconds: float = Field(description="Length of all videos together.")
    progress: float | None = Field(description="0..1 while work goes on, else None.")


def find_campaign(name: str, ledger: Ledger) -> str:
    """The campaign that a person named, by its name or by its part of the keys.

    Raises UserError, naming those that there are.
    """
    known = sorted(ledger.campaigns())
    found = [c for c in known if c == name] or [c for c in known if key_part(c) == name]
    if found:
        return found[0]
    raise UserError(
        Problem(
            "report.unknown",
            f"No campaign is known as {name!r}.",
            f"Known are: {', '.join(known)}."
            if known
            else "None was rendered yet; `pytoon render` renders one.",
        )
    )


def folder_name(campaign: str, ledger: Ledger) -> str:
    """Name of the folder of a campaign's page. Of two whose names come to the same, such as `a/b`
    and `a_b`, the second has six digits more."""
    part = key_part(campaign)
    first = min(c for c in [campaign, *ledger.campaigns()] if key_part(c) == part)
    if campaign == first:
        return part
    return f"{part}~{hashlib.sha256(campaign.encode()).hexdigest()[:6]}"


def write_report(
    campaign: str, ledger: Ledger, store: Store, title: str | None = None
) -> ReportDocument:
    """Write `reports/<campaign>/index.html` and `campaign.csv` into the store; the videos are
    linked where they lie: in a folder by their place beside the page, in a private bucket by signed
    links that are good for a while, or by their addresses there where a link would hold a secret.

    Raises UserError for an unknown campaign, StoreError when the store can't be used.
    """
    campaign = find_campaign(campaign, ledger)
    entries = ledger.find(campaign=campaign)
    rows = gather_rows(entries, store)
    place = f"reports/{folder_name(campaign, ledger)}"

    until = store.links_until()
    beside = store.url(f"{place}/{TABLE}").startswith("file:")
    addresses = {
        row.key: {n: store.url(k) for n, k in row.files.items() if n in _FOLDERS}
        for row in (() if beside else rows)
    }

    def video_links(row: ReportRow) -> Mapping[str, str]:
        if not beside:
            return addresses[row.key]
        return {name: f"../../{quote(key)}" for name, key in row.files.items()}

    # The page leads to the table, so the table comes first.
    store.put_bytes(f"{place}/{TABLE}", campaign_csv(rows, video_links))
    table = TABLE if beside else store.url(f"{place}/{TABLE}")
    page = campaign_page(title or campaign, rows, video_links, table, until)
    store.put_bytes(f"{place}/{PAGE}", page)
    return _report_document(campaign, entries, rows, f"{place}/{PAGE}", f"{place}/{TABLE}")


def export_report(
    campaign: str, ledger: Ledger, store: Store, out: Path, title: str | None = None
) -> ReportDocument:
    """Write the page with copies of all it leads to into a folder that can be packed and sent. It
    appears whole, in place of an earlier one.

    Raises UserError for an unknown campaign or a folder that is no earlier report, StoreError when
    something can't be read or written.
    """
    campaign = find_campaign(campaign, ledger)
    entries = ledger.find(campaign=campaign)
    target = Path(os.path.abspath(out))
    _may_replace(target)
    rows = gather_rows(entries, store)
    copies = _export_names(rows)

    def exported_links(row: ReportRow) -> Mapping[str, str]:
        return {name: quote(place) for name, place in copies[row.key].items()}

    files: dict[str, Path | bytes] = {
        place: store.local(row.files[name])
        for row in rows
        for name, place in copies[row.key].items()
    }
    files[TABLE] = campaign_csv(rows, exported_links)
    files[PAGE] = campaign_page(title or campaign, rows, exported_links, TABLE)
    publish_folder(target, files)
    return _report_document(campaign, entries, rows, str(target / PAGE), str(target / TABLE))


def _may_replace(target: Path) -> None:
    if not os.path.lexists(target):
        return
    names = {p.name for p in target.iterdir()} if target.is_dir() else {target.name}
    ours = {PAGE, TABLE, *_FOLDERS.values()}
    if target.is_symlink() or names - ours or (names and PAGE not in names):
        raise UserError(
            Problem(
                "out.taken",
                "is there already and is no earlier report.",
                "Choose another folder for --out.",
                file=str(target),
                field="--out",
            )
        )


def _export_names(rows: Sequence[ReportRow]) -> dict[str, dict[str, str]]:
    """Key of a brief -> its files' names -> places in an export. Names that any system unpacks:
    without the signs that Windows refuses, and told apart without regard to case."""
    taken: Counter[str] = Counter()
    places = {}
    for row in rows:
        name = re.sub(r'[<>:"|?*\x00-\x1f]', "_", row.name).rstrip(". ") or "_"
        taken[name.casefold()] += 1
        if taken[name.casefold()] > 1:
            name = f"{name}~{hashlib.sha256(row.key.encode()).hexdigest()[:6]}"
        places[row.key] = {
            file: f"{folder}/{name}{Path(file).suffix}"
            for file, folder in _FOLDERS.items()
            if file in row.files
        }
    return places


def _report_document(
    campaign: str, entries: Sequence[LedgerEntry], rows: Sequence[ReportRow], page: str, table: str
) -> ReportDocument:
    live = [row for row in rows if not row.deleted]
    states = Counter("deleted" if entry.is_deleted else entry.state for entry in entries)
    return ReportDocument(
        campaign=campaign,
        page=page,
        table=table,
        briefs=len(rows),
        videos=sum(row.video for row in live),
        counts=dict(sorted(states.items())),
        failed_checks=sum(bool(row.failed) for row in live),
        degraded=sum(row.degraded for row in live),
        used_fallback=sum(row.fallback for row in live),
        seconds=round(sum(row.seconds or 0 for row in live), 3),
        progress=progress_of(rows),
    )
