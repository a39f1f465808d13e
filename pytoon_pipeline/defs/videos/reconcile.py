"""The ledger held against the runs: what was killed, cancelled or lost is noted there."""

from __future__ import annotations

from typing import Unpack

import dagster as dg

from pytoon_pipeline.defs.videos.counting import count_lost
from pytoon_pipeline.defs.videos.jobs import ACTION_TAG, BRIEF_TAG
from pytoon_pipeline.defs.videos.run_process import run_is_gone
from pytoon_pipeline.intake.brief_state import OPEN, BriefState
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import BriefColumns, LedgerEntry

GRACE_SECONDS = 30.0
"""A run that was killed is taken up again within this time, where it is."""

_LIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def reconcile_states(
    instance: dg.DagsterInstance, ledger: Ledger, confirmed: int, now: float | None = None
) -> int:
    """Correct the state of briefs whose run ended without saying so: its process was killed, a
    person cancelled it in the queue, it was deleted. Returns how many.

    `confirmed` is the serial of the last request that Dagster acted on.
    """
    now = ledger.now() if now is None else now
    _settle_unstarted(instance)
    stale = [
        entry
        for entry in ledger.find(states=OPEN)
        if now - entry.updated > GRACE_SECONDS and entry.serial <= confirmed
    ]
    if not stale:
        return 0
    live = {run.tags.get(BRIEF_TAG) for run in instance.get_runs(dg.RunsFilter(statuses=_LIVE))}
    return sum(_settle_entry(instance, ledger, e, now) for e in stale if e.key not in live)


def _settle_unstarted(instance: dg.DagsterInstance) -> None:
    """A run that waits for its process, in one that was killed or in a queue that was lost, waits
    for ever: Dagster's own monitoring looks after runs that have begun."""
    runs = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
    if not runs:
        return
    look_after = getattr(instance.run_launcher, "look_after", None)
    if look_after is not None:
        look_after(runs)
        return
    for run in runs:
        if run_is_gone(instance, run):
            instance.report_run_failed(run, "The process that was to start this run was killed.")


def _settle_entry(
    instance: dg.DagsterInstance, ledger: Ledger, entry: LedgerEntry, now: float
) -> bool:
    records = instance.get_run_records(dg.RunsFilter(tags={BRIEF_TAG: entry.key}), limit=1)
    if not records:
        # Requested, and no run is known of it: it is asked for again.
        return ledger.set_state(
            entry.key, BriefState.NEW, only_from=OPEN, wanted=entry.action or "render"
        )
    record, run = records[0], records[0].dagster_run
    if now - (record.end_time or 0) < GRACE_SECONDS:
        return False
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return ledger.set_state(entry.key, BriefState.DONE, only_from=OPEN, error="", progress=1.0)
    if run.status == dg.DagsterRunStatus.CANCELED:
        return _note_lost(ledger, entry, BriefState.CANCELLED, error="")
    said = "The run ended without a message; its process was killed. Run it again, or see its log."
    return _note_lost(ledger, entry, BriefState.FAILED, error=said, run_id=run.run_id)


def resume_runs(ledger: Ledger, run: dg.DagsterRun) -> bool:
    """Have the brief of a run that was broken off rendered by a new one."""
    key = run.tags.get(BRIEF_TAG)
    action = run.tags.get(ACTION_TAG, "render")
    return key is not None and ledger.set_state(
        key,
        BriefState.NEW,
        only_from=(*OPEN, BriefState.CANCELLED),
        wanted=action,
        progress=0.0,
    )


def _note_lost(
    ledger: Ledger, entry: LedgerEntry, outcome: BriefState, **values: Unpack[BriefColumns]
) -> bool:
    """Note what became of a run that could not say so itself."""
    settled = ledger.set_state(entry.key, outcome, only_from=OPEN, **values)
    if settled:
        count_lost(ledger, entry.action, outcome)
    return settled
