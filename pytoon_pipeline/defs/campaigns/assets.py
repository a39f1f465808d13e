"""The page of a campaign, as an asset.

(No postponed annotations here: Dagster looks at the classes themselves.)
"""

import dagster as dg

from pytoon_pipeline.defs import metadata
from pytoon_pipeline.defs.partitions import CAMPAIGNS
from pytoon_pipeline.defs.videos.resources import Services
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.report.write import ReportDocument, folder_name, write_report


@dg.asset(
    partitions_def=CAMPAIGNS,
    io_manager_key="documents",
    group_name="campaigns",
    owners=["team:pytoon"],
    kinds={"html", "csv"},
)
def campaign_report(
    context: dg.AssetExecutionContext,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
) -> ReportDocument:
    """The page of a campaign for people who never open Dagster: its videos, their checks, what
    failed and why, and the same as a table."""
    campaign, seen = _find_campaign(context.partition_key, ledger)
    document = write_report(campaign, ledger, services.store)
    ledger.note_page(campaign, made=ledger.now(), seen=seen)
    context.add_output_metadata(metadata.report_metadata(document, services.store))
    return document


def _find_campaign(partition: str, ledger: Ledger) -> tuple[str, float]:
    """Its name, and when one of its briefs last changed."""
    for name, last in ledger.campaigns().items():
        if folder_name(name, ledger) == partition:
            return name, last
    raise UserError(
        Problem("report.unknown", f"No campaign is known as {partition!r}.", "Render one first.")
    )
