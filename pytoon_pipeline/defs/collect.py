"""Everything Dagster is to know of, in one place."""

from __future__ import annotations

from functools import cache

import dagster as dg

from pytoon_pipeline.defs.campaigns import assets as campaign_assets
from pytoon_pipeline.defs.loggers import console
from pytoon_pipeline.defs.maintenance import schedules
from pytoon_pipeline.defs.videos import assets as video_assets
from pytoon_pipeline.defs.videos import checks, jobs, sensors
from pytoon_pipeline.defs.videos.io_manager import documents
from pytoon_pipeline.defs.videos.resources import RESOURCES


@cache
def collect_definitions() -> dg.Definitions:
    """One process per run: the steps of a brief pass small documents, and `segments` uses the
    cores by itself."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([video_assets, campaign_assets]),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[
            jobs.brief_job,
            jobs.recheck_job,
            jobs.campaign_job,
            jobs.report_job,
            schedules.tidy_store_job,
            schedules.tidy_machine_job,
        ],
        schedules=[schedules.tidy_store_schedule, schedules.tidy_machine_schedule],
        sensors=[sensors.intake],
        resources={**RESOURCES, "documents": documents},
        loggers={"console": console},
        executor=dg.in_process_executor,
    )
