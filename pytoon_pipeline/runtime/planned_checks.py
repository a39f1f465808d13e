"""Checks that were planned and never made.

Dagster notes the checks of a run as planned when the run is created, and shows each that is still
planned when the run has failed as failed, in red. A run that was refused, cancelled or killed
before its checks has judged nothing: with the note gone, Dagster shows what an earlier run judged,
or that the check has never run.
"""

from __future__ import annotations

import dagster as dg
from dagster import EventLogEntry

from pytoon_pipeline.dagster_private import (
    FINISHED_STATUSES,
    AssetCheckExecutionRecordStatus,
    AssetCheckExecutionsTable,
    SqlEventLogStorage,
)

_ROWS = AssetCheckExecutionsTable.c
_IS_PLANNED = _ROWS.execution_status == AssetCheckExecutionRecordStatus.PLANNED.value


def ends_without_checks(event: EventLogEntry) -> bool:
    """Is this the end of a run that may not have come to its checks?"""
    return event.is_dagster_event and event.dagster_event_type in (
        dg.DagsterEventType.RUN_FAILURE,
        dg.DagsterEventType.RUN_CANCELED,
    )


def forget_planned_checks(storage: SqlEventLogStorage, run_id: str) -> None:
    """Delete the notes of the checks that a run planned and did not make."""
    with storage.index_connection() as connection:
        connection.execute(
            AssetCheckExecutionsTable.delete().where(_ROWS.run_id == run_id, _IS_PLANNED)
        )


def forget_planned_checks_of_ended_runs(instance: dg.DagsterInstance) -> int:
    """The same for all runs that have ended, such as those of an earlier version. Returns of how
    many runs."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage) or not storage.supports_asset_checks:
        return 0
    with storage.index_connection() as connection:
        planned = AssetCheckExecutionsTable.select().with_only_columns(_ROWS.run_id)
        ids = list(connection.execute(planned.where(_IS_PLANNED).distinct()).scalars())
    ended = instance.get_runs(dg.RunsFilter(run_ids=ids, statuses=FINISHED_STATUSES)) if ids else []
    for run in ended:
        forget_planned_checks(storage, run.run_id)
    return len(ended)
