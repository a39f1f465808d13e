"""Jobs of videos and campaigns.

(No postponed annotations here: Dagster looks at the classes themselves.)
"""

import json
import os
from enum import Enum
from typing import Any

import dagster as dg

from pytoon_pipeline.briefs.queue_hints import read_hints
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.intake.brief_state import OPEN, BriefState
from pytoon_pipeline.intake.ledger import ACTIONS, Ledger
from pytoon_pipeline.stages.documents import SegmentsDocument

ACTION_TAG = "pytoon/action"
BRIEF_TAG = "pytoon/brief"
CAMPAIGN_TAG = "pytoon/campaign"
GPU_TAG = "pytoon/gpu"
"""On runs that generate footage; `dagster.yaml` says how many of them there may be at once."""

POD_TAG = "dagster-k8s/config"
"""On runs in a Kubernetes cluster that need less than the chart's values give each run."""


def pod_tags(cpu: str, memory: str) -> dict[str, Any]:
    """What a run asks its cluster for, in Kubernetes' units; nothing outside of one. A pod may use
    more processor time than it asks for, where there is some, but not much more memory."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return {}
    wanted = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}
    return {POD_TAG: {"container_config": {"resources": wanted}}}


_CONSOLE: dict[str, Any] = {
    "loggers": {"console": {"config": {}}}
}  # Without this Dagster prints every event.

brief_job = dg.define_asset_job(
    "brief_job",
    selection=dg.AssetSelection.groups("video"),
    config=_CONSOLE,
    description="One brief, from its files to the finished video, its checks and its metrics.",
)

recheck_job = dg.define_asset_job(
    "recheck_job",
    selection=dg.AssetSelection.assets("metrics")
    | dg.AssetSelection.checks_for_assets(dg.AssetKey("assembled_video")),
    config=_CONSOLE,
    tags=pod_tags("1", "1Gi"),
    description="Measures a finished video again and holds it against every promise; nothing is "
    "rendered.",
)

report_job = dg.define_asset_job(
    "report_job",
    selection=dg.AssetSelection.assets("campaign_report"),
    config=_CONSOLE,
    tags=pod_tags("250m", "1Gi"),
    description="The page of a campaign.",
)


class ActionConfig(Enum):
    """What can be wanted of a campaign."""

    render = "render"
    rerender = "rerender"
    recheck = "recheck"


class CampaignConfig(dg.Config):
    """What is to be done to which briefs."""

    campaign: str
    """The campaign's name."""
    action: ActionConfig = ActionConfig.render
    """`render`: all briefs, what is in the store is taken from there. `rerender`: nothing is taken
    from the store. `recheck`: only the checks of finished videos."""
    only_failed: bool = False
    """Leave out the briefs that are done."""


@dg.op(description="Asks for a run of each brief of a campaign; the sensor `intake` starts them.")
def ask_for_campaign(
    context: dg.OpExecutionContext, config: CampaignConfig, ledger: dg.ResourceParam[Ledger]
) -> int:
    entries = ledger.find(campaign=config.campaign)
    if not entries:
        known = ", ".join(sorted(ledger.campaigns())) or "none yet"
        raise dg.Failure(
            f"There is no campaign {config.campaign!r}. Known: {known}.", allow_retries=False
        )
    action = config.action.value
    chosen = [
        e.key
        for e in entries
        if e.state not in OPEN
        and not e.deleted
        and not (config.only_failed and e.state == BriefState.DONE)
        and not (action == "recheck" and e.state != BriefState.DONE)
    ]
    count = ledger.want(chosen, action)
    context.log.info(f"{count} of {len(entries)} briefs of {config.campaign}: {action}.")
    return count


@dg.job(
    name="campaign_job",
    config=dg.RunConfig(ops={"ask_for_campaign": CampaignConfig(campaign="")}),
    description="Renders a whole campaign, renders it afresh, or only checks it again.",
)
def campaign_job() -> None:
    ask_for_campaign()


JOBS = {"render": brief_job, "rerender": brief_job, "recheck": recheck_job}
"""What is wanted of a brief -> the job that does it."""
assert tuple(JOBS) == ACTIONS == tuple(a.value for a in ActionConfig)


def outcome_tags(document: SegmentsDocument) -> dict[str, str]:
    """Tags of a run that did not get the engines it was planned with, to find it by."""
    tags = {}
    if any(s.used_fallback for s in document.segments):
        tags["pytoon/used_fallback"] = "true"
    if any(s.degraded for s in document.segments):
        tags["pytoon/degraded"] = "true"
    return tags


def brief_tags(
    source: BriefSource, key: str, action: str = "render", priority: int | None = None
) -> dict[str, str]:
    """Tags of a run: to find all runs of a campaign or of a brief by, and for the queue. The
    priority is the brief's own where none is given."""
    told = read_hints(source)
    tags = {CAMPAIGN_TAG: source.campaign, BRIEF_TAG: key}
    rank = told.priority if priority is None else priority
    if rank:
        tags["dagster/priority"] = str(rank)
    if told.generates:
        tags[GPU_TAG] = "1"
        # It mostly waits for the GPU's server. Run tags are texts.
        tags.update({k: json.dumps(v) for k, v in pod_tags("1", "2Gi").items()})
    if action != "render":
        tags[ACTION_TAG] = action
    return tags
