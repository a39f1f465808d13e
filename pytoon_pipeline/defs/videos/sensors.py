"""The sensor that requests runs of new and changed briefs.

(No postponed annotations here: Dagster looks at the classes themselves.)
"""

import time
from dataclasses import dataclass

import dagster as dg

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.defs import metadata
from pytoon_pipeline.defs.campaigns.pages import PageWriter
from pytoon_pipeline.defs.partitions import BRIEFS, CAMPAIGNS
from pytoon_pipeline.defs.videos.jobs import GPU_TAG, JOBS, brief_job, brief_tags, recheck_job
from pytoon_pipeline.defs.videos.reconcile import reconcile_states
from pytoon_pipeline.defs.videos.resources import SettingsResource
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.intake.deletions import mark_deleted
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.requests import (
    CONTENTS_TAG,
    LONGEST,
    Findings,
    gather_with_reader,
    plan_requests,
    report_back,
    shared_packing,
)
from pytoon_pipeline.intake.sandboxed_reader import FoundSource, shared_reader
from pytoon_pipeline.report.write import folder_name
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store

TICK_SECONDS = 3
REPORT_SETTLE, REPORT_EVERY = 5.0, 60.0
"""Seconds between two pages of a campaign at rest, and of one that is being worked on."""


@dataclass
class TickPace:
    """When to look at the folder and the table again. Looking is cheap, but at thousands of briefs
    not as cheap as asking what was wished for."""

    least: float = 8.0
    """Seconds between two looks ..."""
    share: float = 10.0
    """... and so many times what the last one took."""
    due: float = 0.0
    """time.monotonic() of the next."""
    after: str = ""
    """Origin of the brief that the last look ended with, where it did not come to all."""

    def now(self) -> bool:
        return time.monotonic() >= self.due

    def note_tick(self, began: float, unfinished: bool) -> None:
        ended = time.monotonic()
        self.due = 0.0 if unfinished else ended + max(self.least, self.share * (ended - began))


PACE = TickPace()
PAGES = PageWriter()


@dg.sensor(
    jobs=[brief_job, recheck_job],
    minimum_interval_seconds=TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Renders each brief that is new in the folder or the table of briefs, or whose "
    "contents changed, and what was asked for; keeps the campaigns' pages up to date.",
)
def intake(
    context: dg.SensorEvaluationContext,
    settings: SettingsResource,
    ledger: dg.ResourceParam[Ledger],
) -> dg.SensorResult:
    """The cursor is the number of the last request; all else is in the ledger."""
    loaded = settings.load()
    cursor = context.cursor or ""
    confirmed = int(cursor) if cursor.isdigit() else 0
    reconcile_states(context.instance, ledger, confirmed)
    began = time.monotonic()
    sources: list[BriefSource] | None = None
    looks: dict[str, FoundSource] = {}
    problems: list[Problem] = []
    if PACE.now():
        gathered = gather_with_reader(loaded, shared_reader(), began + LONGEST)
        sources, problems = gathered.sources, gathered.problems
        looks = {each.source.origin: each for each in gathered.found or ()}
        if sources is None:
            PACE.note_tick(began, unfinished=True)
    parcels = shared_packing(loaded)
    found = plan_requests(
        ledger,
        sources,
        confirmed,
        loaded.media_roots,
        packing=parcels,
        looks=looks,
        reader=shared_reader(),
        deadline=began + LONGEST,
        after=PACE.after,
    )
    problems += found.problems
    if sources is not None:
        mark_deleted(ledger, sources, loaded.briefs_dir)
        problems += report_back(loaded, ledger)
        PACE.note_tick(began, found.unfinished)
        PACE.after = found.reached if found.unfinished else ""
    _ask_for_pages(ledger, loaded)
    written = PAGES.take_written()
    problems += [
        Problem(
            "report.unwritten",
            f"the page of {page.campaign} was not written: {page.error}",
            severity="warning",
        )
        for page in written
        if page.document is None
    ]
    for problem in problems:
        context.log.warning(str(problem))
    message = _summarise_tick(found, loaded, problems)
    if found.requests or found.waiting:
        context.log.info(message)
    adding = []
    if found.requests:
        adding.append(BRIEFS.build_add_request([e.key for e in found.requests]))
    pages = [
        dg.AssetMaterialization(
            "campaign_report",
            partition=folder_name(page.campaign, ledger),
            metadata=metadata.report_metadata(page.document, open_store(loaded)),
        )
        for page in written
        if page.document is not None
    ]
    if pages:
        adding.append(CAMPAIGNS.build_add_request([str(p.partition) for p in pages]))
    runs = [
        dg.RunRequest(
            # The number lets a brief that was changed back be rendered again.
            run_key=f"{entry.key}:{entry.content_hash}:{entry.serial}",
            job_name=JOBS[entry.action].name,
            partition_key=entry.key,
            tags=brief_tags(entry.source, entry.key, entry.action, entry.priority)
            | ({GPU_TAG: "1"} if entry.key in found.generating else {})
            | ({CONTENTS_TAG: entry.content_hash} if parcels else {}),
        )
        for entry in found.requests
    ]
    return dg.SensorResult(
        dynamic_partitions_requests=adding,
        asset_events=pages,
        run_requests=runs or None,
        skip_reason=None if runs else message,
        cursor=str(found.confirmed),
    )


def _ask_for_pages(ledger: Ledger, settings: Settings) -> None:
    """Have the pages written that are out of date, or soon lead nowhere: a bucket's links end."""
    now = ledger.now()
    good_for = settings.link_seconds / 2 if settings.store.startswith("s3://") else None
    for name in ledger.stale_pages(now, REPORT_SETTLE, REPORT_EVERY, good_for):
        ledger.note_page(name, asked=now)
        PAGES.begin(name, ledger, open_store(settings))


def _summarise_tick(found: Findings, settings: Settings, problems: list[Problem]) -> str:
    if found.briefs is None:
        parts = ["Nothing was asked for" if not found.requests else "Asked for"]
        parts[0] += f": {len(found.requests)} runs" if found.requests else ""
        return "; ".join(parts) + "."
    where = str(settings.briefs_dir) + (" and the table" if settings.briefs_table else "")
    parts = [f"{found.briefs} briefs in {where}: {len(found.requests)} new or changed"]
    if found.waiting:
        parts.append(f"{len(found.waiting)} still being copied")
    if found.unfinished:
        parts.append("the next look goes on")
    if problems:
        parts.append(str(problems[0]))
    return "; ".join(parts) + "."
