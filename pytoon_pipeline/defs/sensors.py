"""Sensors."""

import dagster as dg

from pytoon_pipeline.briefs.ledger import Ledger
from pytoon_pipeline.defs.jobs import brief_job, brief_tags
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.defs.resources import SettingsResource
from pytoon_pipeline.defs.watch import Findings, gather, look_around
from pytoon_pipeline.errors import Problem


@dg.sensor(
    job=brief_job,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Renders each brief that is new in the briefs folder, or whose contents changed.",
)
def briefs_folder(
    context: dg.SensorEvaluationContext,
    settings: SettingsResource,
    ledger: dg.ResourceParam[Ledger],
) -> dg.SensorResult:
    """The cursor is the number of the last request; all else is in the ledger."""
    loaded = settings.load()
    confirmed = int(context.cursor) if (context.cursor or "").isdigit() else 0
    sources, problems = gather(loaded.briefs_dir)
    found = look_around(ledger, sources, confirmed, loaded.media_roots)
    for problem in problems + found.problems:
        context.log.warning(str(problem))
    message = _summary(found, str(loaded.briefs_dir), problems + found.problems)
    if found.requests or found.waiting or found.unfinished:
        context.log.info(message)
    if not found.requests:
        return dg.SensorResult(skip_reason=message, cursor=str(found.confirmed))
    return dg.SensorResult(
        dynamic_partitions_requests=[BRIEFS.build_add_request([e.key for e in found.requests])],
        run_requests=[
            dg.RunRequest(
                # The number lets a brief that was changed back be rendered again.
                run_key=f"{entry.key}:{entry.content_hash}:{entry.serial}",
                partition_key=entry.key,
                tags=brief_tags(entry.source, entry.key),
            )
            for entry in found.requests
        ],
        cursor=str(found.confirmed),
    )


def _summary(found: Findings, folder: str, problems: list[Problem]) -> str:
    parts = [f"{found.briefs} briefs in {folder}: {len(found.requests)} new or changed"]
    if found.waiting:
        parts.append(f"{len(found.waiting)} still being copied")
    if found.unfinished:
        parts.append("the next look goes on")
    if problems:
        parts.append(str(problems[0]))
    return "; ".join(parts) + "."
