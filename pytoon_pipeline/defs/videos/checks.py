"""Promises about the finished file, each an asset check of `assembled_video`."""

import warnings
from collections.abc import Iterator

import dagster as dg

from pytoon_pipeline.defs import metadata
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.defs.videos.failures import run_stage
from pytoon_pipeline.defs.videos.jobs import ACTION_TAG
from pytoon_pipeline.defs.videos.resources import Services
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.quality.checks import CHECKS, check_name
from pytoon_pipeline.quality.verdicts import CheckVerdict
from pytoon_pipeline.stages.documents import SegmentsDocument, VideoDocument
from pytoon_pipeline.stages.reporter import Reporter

_SEVERITIES = {"error": dg.AssetCheckSeverity.ERROR, "warning": dg.AssetCheckSeverity.WARN}


def _check_specs() -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # Checks per partition are a preview; the pinned version is the one that was tried.
        warnings.filterwarnings("ignore", message=".*partitions_def", category=dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                check_name(check),
                asset="assembled_video",
                description=check.__doc__,
                additional_deps=["render_spec", "segments"],
                partitions_def=BRIEFS,
            )
            for check in CHECKS
        ]


def check_result(verdict: CheckVerdict) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it."""
    found = metadata.measured_values(verdict.measured)
    if verdict.remedy and not verdict.passed:
        found["remedy"] = verdict.remedy
    return dg.AssetCheckResult(
        check_name=verdict.name,
        asset_key="assembled_video",
        passed=verdict.passed,
        severity=_SEVERITIES[verdict.severity],
        description=verdict.message,
        metadata=found,
    )


@dg.multi_asset_check(
    name="quality",
    specs=_check_specs(),
    ins={
        "spec": dg.AssetIn("render_spec"),
        "segments": dg.AssetIn("segments"),
        "video": dg.AssetIn("assembled_video"),
    },
    op_tags={"dagster/priority": "1"},  # What is wrong with a video is said first.
    description="Measures the finished file once and holds it against every promise.",
)
def quality(
    context: dg.AssetCheckExecutionContext,
    spec: Plan,
    segments: SegmentsDocument,
    video: VideoDocument,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
    reporter: dg.ResourceParam[Reporter],
) -> Iterator[dg.AssetCheckResult]:
    from pytoon_pipeline.stages.results import judge_video

    again = context.run.tags.get(ACTION_TAG) == "recheck"
    with run_stage(context, "quality", reporter, ledger):
        _, verdicts = judge_video(spec, video, services, segments, again=again)
    for verdict in verdicts:
        yield check_result(verdict)
