"""The stages of a video, as assets. Each calls one function of the core and says what came out.

(No postponed annotations here: Dagster looks at the classes themselves.)
"""

from collections.abc import Callable
from typing import Any

import dagster as dg

from pytoon_pipeline import RENDERER_VERSION
from pytoon_pipeline.defs import metadata
from pytoon_pipeline.defs.partitions import BRIEFS
from pytoon_pipeline.defs.videos import counting
from pytoon_pipeline.defs.videos.failures import run_stage
from pytoon_pipeline.defs.videos.jobs import ACTION_TAG, brief_tags, outcome_tags
from pytoon_pipeline.defs.videos.resources import Services
from pytoon_pipeline.intake.brief_state import BriefState
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.requests import CONTENTS_TAG
from pytoon_pipeline.plan.complete import Plan
from pytoon_pipeline.stages.documents import (
    MetricsDocument,
    SegmentsDocument,
    ThumbnailDocument,
    VideoDocument,
)
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.telemetry.counters import write_counters


def stage_asset(*kinds: str) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declares a stage of a video as an asset of its brief, with what all stages share."""
    return dg.asset(
        partitions_def=BRIEFS,
        io_manager_key="documents",
        group_name="video",
        owners=["team:pytoon"],
        code_version=RENDERER_VERSION,
        kinds=set(kinds),
    )


def _is_fresh_asked(context: dg.AssetExecutionContext) -> bool:
    """Did a person ask that nothing be taken from the store?"""
    return context.run.tags.get(ACTION_TAG) == "rerender"


@stage_asset("yaml", "json")
def render_spec(
    context: dg.AssetExecutionContext,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
    reporter: dg.ResourceParam[Reporter],
) -> Plan:
    """The whole plan of the video, compiled from the brief. Problems of a brief come all at once,
    each with its file, field and remedy. With a store that machines share it is compiled from the
    contents that the run was requested for, as they were packed then."""
    from pytoon_pipeline.stages.compile import compile_parcel, compile_source

    key = context.partition_key
    with run_stage(context, "render_spec", reporter, ledger):
        entry = ledger.find_entry(key)
        source = entry.source
        missing = {t: v for t, v in brief_tags(source, key).items() if not context.run.tags.get(t)}
        if missing:
            context.instance.add_run_tags(context.run.run_id, missing)
        if services.store.shared:
            contents = context.run.tags.get(CONTENTS_TAG) or entry.content_hash
            spec = compile_parcel(key, contents, services, source.folder)
            brief: dg.MetadataValue = dg.MetadataValue.text(source.origin)
        else:
            spec = compile_source(source, services)
            brief = dg.MetadataValue.path(str(source.path))
    context.add_output_metadata({"brief": brief, **metadata.spec_metadata(spec)})
    return spec


@stage_asset("python", "video")
def segments(
    context: dg.AssetExecutionContext,
    render_spec: Plan,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
    reporter: dg.ResourceParam[Reporter],
) -> SegmentsDocument:
    """The scenes, each rendered by the first engine that can, several at a time. A scene lies in
    the store under the hash of all that went into it, so a run taken up again finds what is
    finished; to render a failed scene again, materialize this asset again."""
    from pytoon_pipeline.stages.segments import render_segments

    key = context.partition_key
    counts = counting.run_counts_of(context)
    reporter = counting.CountingReporter(reporter, counts.tally)
    with run_stage(context, "segments", reporter, ledger):
        document = render_segments(
            render_spec, services, key, reporter, fresh=_is_fresh_asked(context)
        )
    # Now, not only at the end of the run: its process may be killed, and these are rendered.
    write_counters(ledger, counts.tally)
    marks = outcome_tags(document)
    if marks:
        context.instance.add_run_tags(context.run.run_id, marks)
    context.add_output_metadata(metadata.segments_metadata(document))
    return document


@stage_asset("python", "video")
def assembled_video(
    context: dg.AssetExecutionContext,
    render_spec: Plan,
    segments: SegmentsDocument,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
    reporter: dg.ResourceParam[Reporter],
) -> VideoDocument:
    """The finished MP4: scenes linked, transitions between them, sound laid and levelled. Its
    quality is judged by the checks."""
    from pytoon_pipeline.stages.assemble import assemble_video

    key = context.partition_key
    with run_stage(context, "assembled_video", reporter, ledger):
        video = assemble_video(
            render_spec, segments, services, key, reporter, fresh=_is_fresh_asked(context)
        )
    context.add_output_metadata(metadata.video_metadata(video, render_spec, services.store))
    return video


@stage_asset("python", "image")
def thumbnail(
    context: dg.AssetExecutionContext,
    render_spec: Plan,
    assembled_video: VideoDocument,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
    reporter: dg.ResourceParam[Reporter],
) -> ThumbnailDocument:
    """The picture that stands for the video."""
    from pytoon_pipeline.stages.results import make_thumbnail, preview_data_uri

    key = context.partition_key
    with run_stage(context, "thumbnail", reporter, ledger):
        document = make_thumbnail(render_spec, assembled_video, services, key)
        preview = preview_data_uri(document, services)
    context.add_output_metadata(
        {
            "preview": metadata.inline_picture(preview),
            "thumbnail": metadata.object_link(services.store, document.key),
            "frame": document.frame,
            "at_second": round(document.frame / assembled_video.rate, 2),
        }
    )
    return document


@stage_asset("json")
def metrics(
    context: dg.AssetExecutionContext,
    render_spec: Plan,
    segments: SegmentsDocument,
    assembled_video: VideoDocument,
    thumbnail: ThumbnailDocument,
    services: dg.ResourceParam[Services],
    ledger: dg.ResourceParam[Ledger],
    reporter: dg.ResourceParam[Reporter],
) -> MetricsDocument:
    """What is known of the finished video: how it was made, what was measured, what was judged.
    Comes last: with it the brief is done."""
    from pytoon_pipeline.stages.results import preview_data_uri, write_metrics

    key = context.partition_key
    with run_stage(context, "metrics", reporter, ledger):
        document = write_metrics(render_spec, segments, assembled_video, services, key)
        preview = preview_data_uri(thumbnail, services)
        ledger.set_state(key, BriefState.DONE, error="", progress=1.0)
    counts = counting.run_counts_of(context)
    counting.count_video(counts.tally, document, context.run.tags.get(ACTION_TAG, "render"))
    counts.end(context, ledger, "done")
    context.add_output_metadata(
        {
            "preview": metadata.inline_picture(preview),
            **metadata.metrics_metadata(document, services.store),
            **metadata.run_metadata(counts.queue_seconds, counts.run_seconds),
        }
    )
    return document
