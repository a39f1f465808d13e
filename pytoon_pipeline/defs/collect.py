"""Everything Dagster is to know of, in one place."""

from __future__ import annotations

from functools import cache

import dagster as dg

from pytoon_pipeline.defs import assets, campaigns, checks, jobs, sensors, upkeep
from pytoon_pipeline.defs.console import console
from pytoon_pipeline.defs.documents import documents
from pytoon_pipeline.defs.resources import RESOURCES


@cache
def collect() -> dg.Definitions:
    """One process per run: the steps of a brief pass small documents, and `segments` uses the
    cores by itself."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([assets, campaigns]),
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[
            jobs.brief_job, jobs.recheck_job, jobs.campaign_job, jobs.report_job,
            upkeep.tidy_store_job, upkeep.tidy_machine_job,
        ],
        schedules=[upkeep.tidy_store_schedule, upkeep.tidy_machine_schedule],
        sensors=[sensors.intake],
        resources={**RESOURCES, "documents": documents},
        loggers={"console": console},
        executor=dg.in_process_executor,
    )
