"""Forgetting of briefs whose videos are no longer wanted: from the ledger and from the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pytoon_pipeline.briefs.source import BriefSource, key_part
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.brief_state import OPEN
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.maintenance.deletions import PlannedDeletion
from pytoon_pipeline.maintenance.live_objects import BRIEFS
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store.base import Store

_PAGES = METADATA.tables["campaign_pages"]
_REASON = "it is to be forgotten"


@dataclass(frozen=True)
class ForgetPlan:
    """What is to be forgotten."""

    briefs: list[str]
    """Keys."""
    campaigns: list[str]
    """Names of those of which nothing is left then."""
    folders: list[str]
    """Names of the folders of their pages."""
    plan: list[PlannedDeletion]
    """Of the store. Segments and the like go with the next tidying, when they are old."""
    remain: list[str]
    """Briefs whose files are still where they came from: they will be rendered again."""


def plan_forgetting(
    names: Sequence[str], settings: Settings, store: Store, ledger: Ledger
) -> ForgetPlan:
    """Plan the deletion of campaigns and briefs, named `CAMPAIGN` or `CAMPAIGN/BRIEF`.

    Raises UserError for a name that nothing is known of, and for a brief that is being worked on.
    """
    entries = {e.key: e for e in ledger.find()}
    stored = {key.removeprefix("videos/").rpartition("/")[0] for key in store.keys("videos")}
    chosen: dict[str, None] = {}
    problems: list[Problem] = []
    for name in names:
        found = sorted(
            {k for k, e in entries.items() if name in (k, *_split_campaign_name(e.source.campaign))}
            | {k for k in stored - entries.keys() if name in (k, k.partition("/")[0])}
        )
        chosen.update(dict.fromkeys(found))
        if not found:
            problems.append(
                Problem(
                    "forget.unknown",
                    f"No brief and no campaign is known as {name!r}.",
                    "`pytoon report` lists the campaigns.",
                    field="--forget",
                )
            )
    for key in chosen:
        if key in entries and (entries[key].state in OPEN or entries[key].wanted):
            problems.append(
                Problem(
                    "forget.open",
                    f"{key} is being worked on.",
                    "Cancel it in Dagster, or wait until it has ended.",
                    field="--forget",
                )
            )
    if problems:
        raise UserError(problems)
    rest = [e for k, e in entries.items() if k not in chosen]
    campaigns = sorted({entries[k].source.campaign for k in chosen if k in entries})
    emptied = [c for c in campaigns if not any(e.source.campaign == c for e in rest)]
    alive = {key_part(e.source.campaign) for e in rest}
    alive |= {k.partition("/")[0] for k in stored - chosen.keys()}
    parts = {k.partition("/")[0] for k in chosen}
    folders = sorted(parts - alive)
    return ForgetPlan(
        briefs=list(chosen),
        campaigns=emptied,
        folders=folders,
        plan=_plan_objects(chosen, folders, store),
        remain=[k for k in chosen if k in entries and _comes_again(entries[k].source, settings)],
    )


def _split_campaign_name(campaign: str) -> tuple[str, str]:
    return campaign, key_part(campaign)


def _comes_again(source: BriefSource, settings: Settings) -> bool:
    document, path = source.document, source.path
    if document is not None and document.whole.startswith("sql:"):
        return True
    return path.exists() and path.is_relative_to(settings.briefs_dir)


def _plan_objects(
    briefs: dict[str, None], folders: list[str], store: Store
) -> list[PlannedDeletion]:
    now, planned = time.time(), []
    assets = sorted({k.split("/")[1] for k in store.keys("documents")} - {"campaign_report"})
    # The sidecar first and the video last: what is broken off is found again by the same name.
    places = [f"linked/{b}.json" for b in briefs]
    places += [f"documents/{a}/{b}.json" for a in assets for b in briefs]
    places += [f"documents/campaign_report/{f}.json" for f in folders]
    found = [known for place in places if (known := store.stat(place))]
    below = [f"briefs/{b}" for b in briefs] + [f"reports/{f}" for f in folders]
    for folder in [*below, *(f"videos/{b}" for b in briefs)]:
        found += [s for s in store.objects(folder) if s.key.startswith(f"{folder}/")]
    for stored in found:
        kind = stored.key.partition("/")[0]
        planned.append(
            PlannedDeletion(
                kind,
                stored.key,
                stored.bytes,
                now - stored.modified,
                _REASON,
                modified=stored.modified,
            )
        )
    return planned


def remove_from_ledger(forgetting: ForgetPlan, ledger: Ledger) -> None:
    """Delete the briefs from the ledger, and the campaigns of which nothing is left. Raises
    StoreError when the ledger can't be written."""
    for start in range(0, len(forgetting.briefs), 500):
        some = forgetting.briefs[start : start + 500]
        rows = sa.delete(BRIEFS).where(BRIEFS.c.key.in_(some), BRIEFS.c.state.not_in(OPEN))
        _execute_deletion(ledger, rows)
    _execute_deletion(ledger, sa.delete(_PAGES).where(_PAGES.c.campaign.in_(forgetting.campaigns)))


def _execute_deletion(ledger: Ledger, rows: sa.Delete) -> None:
    ledger.run_transaction(lambda connection: connection.execute(rows), again=True)
