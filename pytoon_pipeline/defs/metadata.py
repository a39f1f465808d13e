"""Documents and failures, as an operator reads them on a run's or an asset's page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from pytoon_pipeline.errors import Problem, PytoonError
from pytoon_pipeline.stages.documents import (
    MetricsDocument,
    SegmentRecord,
    SegmentsDocument,
    VideoDocument,
)

if TYPE_CHECKING:
    from pytoon_pipeline.plan.complete import Plan
    from pytoon_pipeline.report.write import ReportDocument
    from pytoon_pipeline.store import Store

Metadata = dict[str, Any]
_Row = dict[str, str | int | float | bool | None]


def metadata_table(rows: Sequence[_Row], types: dict[str, str]) -> dg.TableMetadataValue:
    """`types` gives name -> `string`, `int`, `float` or `bool`, in the order of the columns."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(n, t) for n, t in types.items()]),
    )


def bullet_list(lines: Iterable[str]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {_escape_markdown(line)}" for line in lines))


def _escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in " ".join(text.split()))


def object_link(store: Store, key: str) -> dg.MetadataValue:
    """The address of an object: of one in a bucket signed and good for a while, or plain where a
    signed one would hold a secret; for a file its path, which can be copied: browsers don't follow
    a page's link to a file."""
    url = store.url(key)
    if url.startswith("file://"):
        return dg.MetadataValue.path(str(store.local(key)))
    return dg.MetadataValue.url(url) if url.startswith("http") else dg.MetadataValue.text(url)


def inline_picture(data_uri: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![thumbnail]({data_uri})")


def problems_table(problems: Sequence[Problem]) -> dg.TableMetadataValue:
    rows: list[_Row] = [
        {
            "severity": p.severity,
            "file": p.file or "",
            "field": p.field or "",
            "what": p.message,
            "remedy": p.remedy,
            "code": p.code,
        }
        for p in problems
    ]
    return metadata_table(rows, dict.fromkeys(rows[0], "string") if rows else {"what": "string"})


# Numbers under names that stay: Dagster plots them over an asset's partitions and runs.


def spec_metadata(spec: Plan) -> Metadata:
    rows: list[_Row] = [
        {
            "segment": s.id,
            "type": s.type or "",
            "seconds": round(s.duration or 0, 3),
            "media": ", ".join(_source_name(spec, m) for m in s.media),
            "motion": s.motion.kind if s.motion else "",
            "then": s.transition.kind if s.transition else "",
        }
        for s in spec.segments
    ]
    types = {
        "segment": "string",
        "type": "string",
        "seconds": "float",
        "media": "string",
        "motion": "string",
        "then": "string",
    }
    found: Metadata = {
        "look": f"{spec.archetype} / {spec.preset or 'default'} / {spec.brand}",
        "seconds": float(spec.duration or sum(s.duration or 0 for s in spec.segments)),
        "segments": metadata_table(rows, types),
        "segment_count": len(spec.segments),
        "caption_count": len(spec.captions),
        "engine_policy": spec.engine_policy,
        "brand_safe": spec.brand_safe,
    }
    if spec.captions:
        found["captions"] = metadata_table(
            [
                {
                    "role": c.role,
                    "from": round(c.start, 2),
                    "to": round(c.end, 2),
                    "text": " ".join(c.text.split()),
                }
                for c in spec.captions
            ],
            {"role": "string", "from": "float", "to": "float", "text": "string"},
        )
    if spec.notes:
        found["notes"] = bullet_list(spec.notes)
    warnings = spec.metadata.get("warnings") or []
    if warnings:
        found["warnings"] = bullet_list(str(Problem(**w)) for w in warnings)
    return found


def _source_name(spec: Plan, asset_id: str) -> str:
    return next((a.source for a in spec.assets if a.id == asset_id), asset_id)


_SEGMENT_COLUMNS = {
    "segment": "string",
    "engine": "string",
    "seconds": "float",
    "frames": "int",
    "cached": "bool",
    "tries": "int",
    "degraded": "bool",
    "remarks": "string",
}


def segments_table(
    records: Sequence[SegmentRecord], failed: Mapping[str, str] | None = None
) -> dg.TableMetadataValue:
    """Finished segments, and those that failed with the reason."""
    rows: list[_Row] = [
        {
            "segment": r.segment_id,
            "engine": r.engine,
            "seconds": round(r.seconds, 2),
            "frames": r.frames,
            "cached": r.cached,
            "tries": max(1, len(r.tries)),
            "degraded": r.degraded,
            "remarks": "; ".join(
                [*(f"{t.engine}: {t.reason}" for t in r.tries if t.reason), *r.notes]
            ),
        }
        for r in records
    ]
    rows += [
        {**dict.fromkeys(_SEGMENT_COLUMNS), "segment": name, "remarks": f"FAILED: {reason}"}
        for name, reason in (failed or {}).items()
    ]
    return metadata_table(rows, _SEGMENT_COLUMNS)


def segments_metadata(document: SegmentsDocument) -> Metadata:
    records = document.segments
    fresh = [r for r in records if not r.cached]
    found: Metadata = {
        "engines": ", ".join(document.engines),
        "segments": segments_table(records),
        "rendered": len(fresh),
        "from_cache": len(records) - len(fresh),
        "cached_share": round((len(records) - len(fresh)) / max(1, len(records)), 3),
        "render_seconds": round(sum(r.seconds for r in fresh), 2),
        "slowest_segment_seconds": round(max((r.seconds for r in fresh), default=0.0), 2),
        "failed_tries": sum(bool(t.reason) for r in fresh for t in r.tries),
        "fallback_segments": sum(r.used_fallback for r in records),
        "degraded_segments": sum(r.degraded for r in records),
    }
    if fresh:
        found["seconds_per_segment"] = round(sum(r.seconds for r in fresh) / len(fresh), 2)
    degraded = [r for r in records if r.degraded]
    if degraded:
        found["degraded"] = bullet_list(
            f"{r.segment_id} is a plain still: "
            + ("; ".join(t.reason for t in r.tries if t.reason) or "no engine could render it")
            for r in degraded
        )
    elif any(r.used_fallback for r in records):
        found["fallback"] = bullet_list(
            f"{r.segment_id} was rendered by {r.engine}, not the first choice"
            for r in records
            if r.used_fallback
        )
    return found


def video_metadata(video: VideoDocument, spec: Plan, store: Store) -> Metadata:
    found: Metadata = {
        "video": object_link(store, video.key),
        "seconds": round(video.seconds, 3),
        "megabytes": round(video.bytes / 1e6, 2),
        "megabits_per_second": round(video.bytes * 8 / 1e6 / video.seconds, 2),
        "picture": f"{video.width}x{video.height}, {video.rate} frames/s, {video.frames} frames",
        "engines": ", ".join(video.engines),
        "cached": video.cached,
        "degraded": video.degraded,
        "assemble_seconds": round(sum(video.seconds_spent.values()), 2),
    }
    sound = video.sound
    if sound.lufs is not None:
        found["loudness_lufs"] = round(sound.lufs, 1)
    if sound.true_peak_db is not None:
        found["true_peak_db"] = round(sound.true_peak_db, 1)
    found["gain_db"] = round(sound.gain_db, 1)
    if video.seconds_spent:
        found["time_spent"] = metadata_table(
            [{"part": k, "seconds": round(v, 2)} for k, v in video.seconds_spent.items()],
            {"part": "string", "seconds": "float"},
        )
    if spec.notes:
        found["notes"] = bullet_list(spec.notes)
    return found


def metrics_metadata(document: MetricsDocument, store: Store) -> Metadata:
    """The page to look at a finished video on."""
    failed = [v for v in document.verdicts if not v.passed]
    errors = [v for v in failed if v.severity == "error"]
    fresh = [s for s in document.segments if not s.cached]
    spent = sum(document.video.seconds_spent.values()) + sum(s.seconds for s in fresh)
    video, segments = document.video, document.segments
    found: Metadata = {
        "video": object_link(store, document.video.key),
        "checks": f"{len(document.verdicts) - len(failed)} of {len(document.verdicts)} passed",
        "failed_checks": len(failed),
        "failed_errors": len(errors),
        "seconds": round(document.video.seconds, 3),
        "work_seconds": round(spent, 2),
        "work_per_second": round(spent / video.seconds, 3),
        "cached_share": round((len(segments) - len(fresh)) / max(1, len(segments)), 3),
        "failed_tries": sum(bool(t.reason) for s in fresh for t in s.tries),
        "fallback_segments": sum(s.used_fallback for s in segments),
        "degraded_segments": sum(s.degraded for s in segments),
        "megabytes": round(video.bytes / 1e6, 2),
        "engines": ", ".join(document.video.engines),
        "degraded": document.video.degraded,
    }
    if video.sound.lufs is not None and math.isfinite(video.sound.lufs):
        found["loudness_lufs"] = round(video.sound.lufs, 1)
    if failed:
        found["what_failed"] = bullet_list(
            f"{v.severity}: {v.name}: {v.message} {v.remedy}".rstrip() for v in failed
        )
    if document.notes:
        found["notes"] = bullet_list(document.notes)
    if document.music:
        found["music"] = dg.MetadataValue.json(_finite_value(document.music))
    found["measurement"] = dg.MetadataValue.json(_finite_value(document.measurement))
    return found


def run_metadata(queue_seconds: float | None, run_seconds: float | None) -> Metadata:
    """Of the run that made it; what is not known is left out."""
    times = {"queue_seconds": queue_seconds, "run_seconds": run_seconds}
    return {name: round(value, 2) for name, value in times.items() if value is not None}


def report_metadata(document: ReportDocument, store: Store) -> Metadata:
    return {
        "page": object_link(store, document.page),
        "table": object_link(store, document.table),
        "briefs": document.briefs,
        "videos": document.videos,
        "failed_checks": document.failed_checks,
        "degraded": document.degraded,
        "used_fallback": document.used_fallback,
        "seconds_of_video": round(document.seconds, 1),
        "states": ", ".join(f"{n} {state}" for state, n in document.counts.items() if n),
    }


def failure_metadata(error: PytoonError) -> Metadata:
    """What stands beside the message of a failed step."""
    from pytoon_pipeline.stages.segments import SegmentsFailedError

    found: Metadata = {"error": type(error).__name__}
    if isinstance(error, SegmentsFailedError):
        found["finished_segments"] = len(error.done)
        found["segments"] = segments_table(error.done, error.failed)
    tail = log_tail(error)
    if tail:
        found["log"] = dg.MetadataValue.md(code_block(tail))
    return found


def code_block(text: str) -> str:
    """A text as a block of code in Markdown. Its fence is longer than any run of backticks in the
    text, so that nothing of the text ends the block."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def measured_values(values: dict[str, Any]) -> Metadata:
    """What a check measured; numbers stay numbers, so that they are plotted."""
    found: Metadata = {}
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, bool | int | str):
            found[name] = value
        elif isinstance(value, float):
            found[name] = value if math.isfinite(value) else str(value)
        else:
            found[name] = dg.MetadataValue.json(_finite_value(value))
    return found


def _finite_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(k): _finite_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_value(v) for v in value]
    return value


def log_tail(error: BaseException) -> str:
    """The last lines of the tool that failed, from this error or one of its causes."""
    seen: BaseException | None = error
    while seen is not None:
        tail = getattr(seen, "log_tail", "")
        if tail:
            return tail
        seen = seen.__cause__ or seen.__context__
    return ""
