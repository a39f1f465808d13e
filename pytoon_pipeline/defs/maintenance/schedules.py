"""Upkeep on a schedule: the store, this machine's disk, and Dagster's own records of old runs.

(No postponed annotations here: Dagster looks at the classes themselves.)
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from pytoon_pipeline.dagster_private import (
    FINISHED_STATUSES,
    PARTITION_NAME_TAG,
    AssetCheckExecutionsTable,
    RunTagsTable,
    SqlEventLogStorage,
    SqliteEventLogStorage,
    SqlRunStorage,
)
from pytoon_pipeline.defs.partitions import BRIEFS_NAME, CAMPAIGNS_NAME
from pytoon_pipeline.defs.videos.resources import SettingsResource
from pytoon_pipeline.errors import UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.maintenance.deletions import (
    DeletionOutcome,
    PlannedDeletion,
    carry_out,
    sum_by_kind,
)
from pytoon_pipeline.maintenance.forget import ForgetPlan, remove_from_ledger
from pytoon_pipeline.maintenance.machine import plan_machine, tidy_machine
from pytoon_pipeline.maintenance.objects import delete_object, plan_store, tidy_store
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store

BATCH = 100
"""Runs looked at together."""
SECONDS = 300.0
"""The longest that one tidying deletes runs."""
_DAY = 86400.0

# Runs --------------------------------------------------------------------------------------------


def plan_runs(
    instance: dg.DagsterInstance, keep_days: float, now: float | None = None
) -> Iterator[PlannedDeletion]:
    """The runs that ended more than so many days ago, oldest first, without those that Dagster's
    pages still need: of each partition the newest run, and the newest that made each asset."""
    now = time.time() if now is None else now
    cutoff = now - keep_days * _DAY
    before = datetime.fromtimestamp(cutoff, tz=UTC)
    wanted = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before)
    known = {
        *instance.get_dynamic_partitions(BRIEFS_NAME),
        *instance.get_dynamic_partitions(CAMPAIGNS_NAME),
    }
    assets = instance.all_asset_keys()
    cursor = None
    while True:
        records = instance.get_run_records(wanted, limit=BATCH, cursor=cursor, ascending=True)
        if not records:
            return
        cursor = records[-1].dagster_run.run_id
        partitions = {
            p for r in records if (p := r.dagster_run.tags.get(PARTITION_NAME_TAG)) in known
        }
        needed = _needed_runs(instance, assets, partitions) if partitions else set()
        for record in records:
            run, ended = record.dagster_run, record.end_time or record.update_timestamp.timestamp()
            if run.run_id not in needed and ended < cutoff:
                yield PlannedDeletion(
                    "runs",
                    run.run_id,
                    _run_bytes(instance, run.run_id),
                    now - ended,
                    f"it ended over {keep_days:g} days ago",
                )


def _run_bytes(instance: dg.DagsterInstance, run_id: str) -> int:
    """Of the run's own file on SQLite; a server does not tell."""
    log = instance.event_log_storage
    with suppress(OSError):
        if isinstance(log, SqliteEventLogStorage):
            return Path(log.path_for_shard(run_id)).stat().st_size
    return 0


def _needed_runs(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey], partitions: set[str]
) -> set[str]:
    """Runs of some partitions that are to stay."""
    needed: set[str] = set()
    for partition in partitions:
        newest = instance.get_run_records(
            dg.RunsFilter(tags={PARTITION_NAME_TAG: partition}), limit=1
        )
        needed.update(r.dagster_run.run_id for r in newest)
    log = instance.event_log_storage
    for asset in assets:
        made = log.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION, partitions
        )
        if made:
            found = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(made.values())),
                limit=len(made),
            )
            needed.update(record.run_id for record in found.records)
    return needed


def delete_run(instance: dg.DagsterInstance, run_id: str) -> bool:
    """A run with its events, by Dagster's own means, and what these leave: what the checks of the
    run said, which would otherwise pile up, and on SQLite its tags and its own file."""
    log, runs = instance.event_log_storage, instance.run_storage
    instance.delete_run(run_id)
    if isinstance(log, SqlEventLogStorage):
        said = AssetCheckExecutionsTable
        with log.index_connection() as connection:
            connection.execute(said.delete().where(said.c.run_id == run_id))
    if isinstance(runs, SqlRunStorage):
        with runs.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))
    if isinstance(log, SqliteEventLogStorage):
        _delete_shard(log, run_id)
    return True


def _delete_shard(log: SqliteEventLogStorage, run_id: str) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            Path(log.path_for_shard(run_id) + ending).unlink(missing_ok=True)


def tidy_runs(
    instance: dg.DagsterInstance, keep_days: float, seconds: float = SECONDS
) -> DeletionOutcome:
    """Delete the records of old runs, for so many seconds at most."""
    began, planned = time.monotonic(), []
    # The whole plan first: its cursor would get lost among runs that go.
    for each in plan_runs(instance, keep_days):
        planned.append(each)
        if time.monotonic() - began > seconds / 2:
            break  # The next tidying goes on.
    left = max(0.0, began + seconds - time.monotonic())
    # One at a time: SQLite takes no more.
    return carry_out(planned, lambda each: delete_run(instance, each.place), left, hands=1)


# Forgetting --------------------------------------------------------------------------------------


def carry_out_forgetting(
    forgetting: ForgetPlan, settings: Settings, instance: dg.DagsterInstance
) -> DeletionOutcome:
    """Carry out what was planned: Dagster's partitions, the ledger's rows, files."""
    store, ledger = open_store(settings), Ledger(settings.ledger)
    # The videos come last: as long as one is there its brief can be named again.
    for partitions, names in (
        (BRIEFS_NAME, forgetting.briefs),
        (CAMPAIGNS_NAME, forgetting.folders),
    ):
        for name in names:
            instance.delete_dynamic_partition(partitions, name)
    remove_from_ledger(forgetting, ledger)
    return carry_out(forgetting.plan, lambda each: delete_object(store, each), hands=1)


# Jobs and schedules ------------------------------------------------------------------------------


class TidyConfig(dg.Config):
    """How to tidy."""

    dry_run: bool = False
    """Only say what would go."""


def _tidy_metadata(
    planned: Sequence[PlannedDeletion], done: DeletionOutcome | None
) -> dict[str, object]:
    """Numbers, so that Dagster plots them."""
    gone = planned if done is None else done.done
    rows = [
        dg.TableRecord(
            {
                "what": s.what,
                "count": s.count,
                "bytes": s.bytes,
                "oldest_days": round(s.oldest / _DAY, 1),
                "reason": s.reason,
            }
        )
        for s in sum_by_kind(gone)
    ]
    schema = dg.TableSchema(
        [
            dg.TableColumn("what"),
            dg.TableColumn("count", "int"),
            dg.TableColumn("bytes", "int"),
            dg.TableColumn("oldest_days", "float"),
            dg.TableColumn("reason"),
        ]
    )
    found: dict[str, object] = {
        "deleted": 0 if done is None else len(gone),
        "deleted_bytes": 0 if done is None else sum(d.bytes for d in gone),
        "would_delete": len(gone) if done is None else 0,
        "table": dg.TableMetadataValue(rows, schema),
    }
    if done is not None:
        found |= {
            "spared": len(done.spared),
            "left": len(done.left),
            "failed": len(done.failed),
            "swept": len(done.swept),
        }
    return found


def _report_tidying(
    context: dg.OpExecutionContext, planned: Sequence[PlannedDeletion], done: DeletionOutcome | None
) -> int:
    context.add_output_metadata(_tidy_metadata(planned, done))
    if done is None:
        context.log.info(f"{len(planned)} would be deleted.")
        return len(planned)
    context.log.info(f"{len(done.done)} deleted, {done.bytes} bytes.")
    for note in done.notes:
        context.log.warning(note)
    for each, reason in done.failed:
        context.log.warning(f"{each.place} can't be deleted: {reason}")
    return len(done.done)


@dg.op(description="Intermediates in the store that nothing needs.")
def store(context: dg.OpExecutionContext, config: TidyConfig, settings: SettingsResource) -> int:
    loaded = settings.load()
    if config.dry_run:
        planned, notes = plan_store(loaded)
        for note in notes:
            context.log.warning(note)
        return _report_tidying(context, planned, None)
    try:
        return _report_tidying(context, [], tidy_store(loaded))
    except UserError as error:
        context.log.info(str(error))  # Another one does it.
        return 0


@dg.op(description="Dagster's records of runs that ended long ago.")
def runs(context: dg.OpExecutionContext, config: TidyConfig, settings: SettingsResource) -> int:
    keep = settings.load().keep_runs_days
    if config.dry_run:
        return _report_tidying(context, list(plan_runs(context.instance, keep)), None)
    return _report_tidying(context, [], tidy_runs(context.instance, keep))


@dg.op(description="What killed processes left on this machine, and requests long answered.")
def machine(context: dg.OpExecutionContext, config: TidyConfig, settings: SettingsResource) -> int:
    loaded = settings.load()
    if config.dry_run:
        return _report_tidying(context, plan_machine(loaded), None)
    return _report_tidying(context, [], tidy_machine(loaded))


@dg.job(
    name="tidy_store_job",
    config={"ops": {"store": {"config": {}}, "runs": {"config": {}}}},
    tags={"dagster/priority": "-2"},
    description="Deletes intermediates that no video needs, and Dagster's records of old runs.",
)
def tidy_store_job() -> None:
    store()
    runs()


@dg.job(
    name="tidy_machine_job",
    config={"ops": {"machine": {"config": {}}}},
    tags={"dagster/priority": "-2"},
    description="Deletes what killed processes left on the machine that runs it.",
)
def tidy_machine_job() -> None:
    machine()


tidy_store_schedule = dg.ScheduleDefinition(
    name="tidy_store",
    job=tidy_store_job,
    cron_schedule="40 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once a day, at a quiet hour (UTC).",
)
tidy_machine_schedule = dg.ScheduleDefinition(
    name="tidy_machine",
    job=tidy_machine_job,
    cron_schedule="17 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Once an hour, on one machine; workers and `pytoon serve` tidy their own.",
)
