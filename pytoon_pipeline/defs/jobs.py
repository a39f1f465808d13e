"""Jobs."""

from __future__ import annotations

import dagster as dg

from pytoon_pipeline.briefs.source import BriefSource

brief_job = dg.define_asset_job(
    "brief_job",
    selection=dg.AssetSelection.groups("video"),
    config={"loggers": {"console": {"config": {}}}},  # Without this Dagster prints every event.
    description="One brief, from its files to the finished video, its checks and its metrics.",
)


def brief_tags(source: BriefSource, key: str) -> dict[str, str]:
    """Tags of a run, to find all runs of a campaign or of a brief by."""
    return {"pytoon/campaign": source.campaign, "pytoon/brief": key}
