"""All metrics: name, meaning and labels of each.

Names are a promise: dashboards and alerts depend on them. `docs/observability.md` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

SEGMENT_BUCKETS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)
RUN_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1800.0, 3600.0)
QUEUE_BUCKETS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0)

OUTCOMES = ("done", "refused", "failed", "cancelled")
"""How a run ends: `refused` is the brief's fault, `failed` the machinery's."""
ACTIONS = ("render", "rerender", "recheck")
REASONS = ("unavailable", "timeout", "budget", "out_of_memory", "failed", "other")
"""Why an engine made nothing."""
STATES = ("new", "requested", "running", "done", "refused", "failed", "cancelled", "deleted")
"""Of a brief, in the ledger; `deleted` of one that is gone, whatever became of it before."""

Kind = Literal["counter", "histogram", "summary", "gauge"]


@dataclass(frozen=True)
class MetricDefinition:
    """One metric. Counters, histograms and summaries are in the ledger's database and only ever
    grow, whichever process restarts; a gauge is looked up when it is asked for."""

    name: str
    """As Prometheus knows it; a counter's ends with `_total`."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds, in seconds, of a histogram."""
    known: tuple[tuple[str, ...], ...] = ()
    """Values of `labels` that are told from the first day on, as zero: of a counter that appears
    with its first event, Prometheus misses that event."""


def _all_metrics(*values: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(product(*values))


RUNS = MetricDefinition(
    "pytoon_runs_total",
    "counter",
    "Runs of briefs that ended, by what was asked for and how they ended.",
    ("action", "outcome"),
    known=_all_metrics(ACTIONS, OUTCOMES),
)
RUN_SECONDS = MetricDefinition(
    "pytoon_run_seconds",
    "histogram",
    "Seconds from a run's start to its end.",
    ("action", "outcome"),
    RUN_BUCKETS,
    _all_metrics(("render",), ("done",)),
)
QUEUE_SECONDS = MetricDefinition(
    "pytoon_queue_seconds",
    "histogram",
    "Seconds from a run's entry into the queue to its start. Runs of `pytoon render` wait for "
    "nobody and are left out.",
    buckets=QUEUE_BUCKETS,
    known=((),),
)
STAGE_SECONDS = MetricDefinition(
    "pytoon_stage_seconds", "summary", "Seconds spent in each stage of a run.", ("stage",)
)
VIDEOS = MetricDefinition(
    "pytoon_videos_total",
    "counter",
    "Videos delivered, those found unchanged included.",
    known=((),),
)
VIDEOS_UNCHANGED = MetricDefinition(
    "pytoon_videos_unchanged_total",
    "counter",
    "Videos delivered that were in the store already, as nothing in their brief had changed.",
    known=((),),
)
VIDEOS_FALLBACK = MetricDefinition(
    "pytoon_videos_fallback_total",
    "counter",
    "Videos delivered with a segment that another engine than the first choice made.",
    known=((),),
)
VIDEOS_DEGRADED = MetricDefinition(
    "pytoon_videos_degraded_total",
    "counter",
    "Videos delivered with a segment that is a plain still, because no engine made it.",
    known=((),),
)
VIDEOS_REJECTED = MetricDefinition(
    "pytoon_videos_rejected_total",
    "counter",
    "Videos delivered that failed a check of severity error.",
    known=((),),
)
VIDEO_SECONDS = MetricDefinition(
    "pytoon_video_seconds_total", "counter", "Seconds of video delivered.", known=((),)
)
VIDEO_BYTES = MetricDefinition(
    "pytoon_video_bytes_total", "counter", "Bytes of video delivered.", known=((),)
)
CHECKS_FAILED = MetricDefinition(
    "pytoon_checks_failed_total",
    "counter",
    "Checks that a finished video did not pass, by check and severity.",
    ("check", "severity"),
)
SEGMENTS = MetricDefinition(
    "pytoon_segments_total",
    "counter",
    "Segments that went into videos: newly `rendered`, or found `cached` in the store.",
    ("engine", "source"),
    known=_all_metrics(("compositor",), ("rendered", "cached")),
)
SEGMENTS_FALLBACK = MetricDefinition(
    "pytoon_segments_fallback_total",
    "counter",
    "Segments that were rendered by another engine than the first choice.",
    ("engine",),
)
SEGMENTS_DEGRADED = MetricDefinition(
    "pytoon_segments_degraded_total",
    "counter",
    "Segments rendered as a plain still, because no engine made them.",
    known=((),),
)
SEGMENTS_FAILED = MetricDefinition(
    "pytoon_segments_failed_total",
    "counter",
    "Segments that not even the last resort made.",
    known=((),),
)
SEGMENT_SECONDS = MetricDefinition(
    "pytoon_segment_seconds",
    "histogram",
    "Seconds that a segment took to render, failed tries included, by the engine that made it.",
    ("engine",),
    SEGMENT_BUCKETS,
    (("compositor",),),
)
ENGINE_FAILURES = MetricDefinition(
    "pytoon_engine_failures_total",
    "counter",
    "Tries of engines that failed, by engine and class of reason.",
    ("engine", "reason"),
)

COUNTED = (
    RUNS,
    RUN_SECONDS,
    QUEUE_SECONDS,
    STAGE_SECONDS,
    VIDEOS,
    VIDEOS_UNCHANGED,
    VIDEOS_FALLBACK,
    VIDEOS_DEGRADED,
    VIDEOS_REJECTED,
    VIDEO_SECONDS,
    VIDEO_BYTES,
    CHECKS_FAILED,
    SEGMENTS,
    SEGMENTS_FALLBACK,
    SEGMENTS_DEGRADED,
    SEGMENTS_FAILED,
    SEGMENT_SECONDS,
    ENGINE_FAILURES,
)
"""Those in the ledger's database."""

BUILD = MetricDefinition(
    "pytoon_build_info",
    "gauge",
    "Always 1; the versions are in the labels.",
    ("version", "renderer", "python"),
)
REACHABLE = MetricDefinition(
    "pytoon_reachable",
    "gauge",
    "1 where the ledger, the store or Dagster's database answered in time just now, else 0.",
    ("part",),
)
FREE_BYTES = MetricDefinition(
    "pytoon_free_bytes",
    "gauge",
    "Free room on the disk of PYTOON_HOME, and of a store that is a folder.",
    ("place",),
)
BRIEFS = MetricDefinition("pytoon_briefs", "gauge", "Briefs in the ledger, by state.", ("state",))
CAMPAIGN_BRIEFS = MetricDefinition(
    "pytoon_campaign_briefs",
    "gauge",
    "Briefs of the 50 campaigns that changed last, by state; states without any are left out.",
    ("campaign", "state"),
)
WAITING = MetricDefinition(
    "pytoon_requests_waiting", "gauge", "Briefs whose run was asked for and has not begun."
)
OLDEST = MetricDefinition(
    "pytoon_oldest_request_seconds",
    "gauge",
    "How long the first of them waits; 0 when none does.",
)
RUNS_NOW = MetricDefinition(
    "pytoon_runs",
    "gauge",
    "Runs in Dagster that have not ended: queued, starting or in_progress.",
    ("status",),
)
WORKERS = MetricDefinition(
    "pytoon_workers",
    "gauge",
    "Processes that runs on Celery were seen alive in during the last two minutes.",
)
HEARTBEAT = MetricDefinition(
    "pytoon_daemon_heartbeat_age_seconds",
    "gauge",
    "Since a part of Dagster's daemon was last heard of.",
    ("daemon",),
)
TICK = MetricDefinition(
    "pytoon_sensor_tick_age_seconds",
    "gauge",
    "Since a sensor that is on was last evaluated.",
    ("sensor",),
)
ENGINE_UP = MetricDefinition(
    "pytoon_engine_up",
    "gauge",
    "1 where at least one server of an engine that is reached over the network answers.",
    ("engine",),
)

GAUGES = (
    BUILD,
    REACHABLE,
    FREE_BYTES,
    BRIEFS,
    CAMPAIGN_BRIEFS,
    WAITING,
    OLDEST,
    RUNS_NOW,
    WORKERS,
    HEARTBEAT,
    TICK,
    ENGINE_UP,
)
"""Those that are looked up."""

METRICS = {metric.name: metric for metric in (*COUNTED, *GAUGES)}
