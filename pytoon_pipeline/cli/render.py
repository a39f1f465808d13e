"""`pytoon render`: the same assets that a deployment runs, in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.cli.check import count_of, gather_briefs, show_brief, shown_path
from pytoon_pipeline.cli.files import writable_folder
from pytoon_pipeline.cli.progress import STAGES, BriefProgress, ProgressWatch, log, open_watch
from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    REFUSED,
    crash_line,
    make_visible,
    open_console,
    print_json,
    print_labelled,
    problem_of,
    settings_and_logs,
    show_error,
    show_problem,
)
from pytoon_pipeline.engines.base import NOBODY
from pytoon_pipeline.errors import Problem, PytoonError, UserError
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.stages.documents import MetricsDocument
from pytoon_pipeline.store import Store, describe_location
from pytoon_pipeline.store.publish import publish_folder

if TYPE_CHECKING:
    from pytoon_pipeline.runtime.brief_runs import BriefResult

RESULTS = (
    "video.mp4",
    "thumbnail.jpg",
    "captions.srt",
    "captions.vtt",
    "render_spec.json",
    "metrics.json",
)
"""The files of a finished brief."""


@dataclass
class RenderOutcome:
    """What became of one brief, for people and for programs."""

    name: str
    """Its key, or what was named where there is none."""
    path: Path
    source: BriefSource | None = None
    exit_code: int = OK
    problems: list[Problem] = field(default_factory=list)
    error: str | None = None
    metrics: MetricsDocument | None = None
    run_id: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    """Result's name -> where it lies, as a path (or an address)."""
    spent: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    """Of the whole brief."""


def render_briefs(
    paths: Sequence[Path], *, out: Path | None, as_json: bool, quiet: bool, verbose: bool
) -> int:
    """Exit code: 2 when a brief was refused, else 1 when one failed, else 0."""
    to = open_console(stderr=as_json)
    settings = settings_and_logs(to, verbose)
    sources, refused = gather_briefs(paths)
    if out is not None and sources:
        writable_folder(out)
    began = time.monotonic()
    outcomes: list[RenderOutcome] = []

    def note_outcome(outcome: RenderOutcome) -> None:
        if outcomes and not quiet:
            to.print()
        outcomes.append(outcome)
        show_outcome(to, outcome, quiet)
        said = as_object(outcome)
        log.info(
            "brief ended",
            extra={
                "fields": {
                    "partition": said["key"],
                    "campaign": said["campaign"],
                    "run_id": said["run_id"],
                    "degraded": said["degraded"],
                    "cached": said["cached"],
                    "seconds": said["seconds_spent"]["total"],
                }
            },
        )
        if as_json:
            print_json(said)

    for path, problems in refused:
        note_outcome(RenderOutcome(make_visible(path), path, exit_code=REFUSED, problems=problems))
    if sources:
        _render_all(sources, settings, to, out, quiet, verbose, note_outcome)
    if len(outcomes) > 1 and not quiet:
        to.print()
        to.print(_summarise(outcomes, time.monotonic() - began), soft_wrap=True)
    codes = {o.exit_code for o in outcomes}
    return REFUSED if REFUSED in codes else FAILED if FAILED in codes else OK


def _render_all(
    sources: Sequence[BriefSource],
    settings: Settings,
    to: Console,
    out: Path | None,
    quiet: bool,
    verbose: bool,
    done: Callable[[RenderOutcome], None],
) -> None:
    with open_watch(to, log_format=settings.log, quiet=quiet, verbose=verbose) as eye:
        # These imports take seconds, so something is seen before them.
        eye.begin(sources[0].key)
        from pytoon_pipeline.runtime.brief_runs import open_instance, run_brief
        from pytoon_pipeline.stages.services import open_services

        services = open_services(settings)
        with open_instance(settings) as instance:
            eye.end(sources[0].key)
            for number, source in enumerate(sources, 1):
                outcome = RenderOutcome(source.key, source.path, source)
                place = f"{number} of {len(sources)}" if len(sources) > 1 else ""
                started = time.monotonic()
                try:
                    if out is not None:
                        _may_publish(out, source, source.key)
                    eye.work.pop(source.key, None)
                    eye.begin(source.key, place)
                    result = run_brief(
                        source, services, eye, instance, verbose=settings.log == "json"
                    )
                    # Dagster takes being stopped for a failed run.
                    eye.sign.heed()
                    outcome.seconds = time.monotonic() - started
                    _take_result(outcome, result, eye, services.store, out)
                except PytoonError as error:
                    outcome.exit_code = REFUSED if isinstance(error, UserError) else FAILED
                    outcome.problems += problem_of(error)
                    outcome.error = None if isinstance(error, UserError) else str(error)
                finally:
                    eye.end(source.key)
                outcome.seconds = time.monotonic() - started
                done(outcome)


def _take_result(
    outcome: RenderOutcome, result: BriefResult, eye: ProgressWatch, store: Store, out: Path | None
) -> None:
    """What came of a run."""
    outcome.name, outcome.run_id = result.key, result.run_id
    outcome.problems = [Problem(**p) for p in _list_warnings(result)] + list(result.problems)
    outcome.error, outcome.metrics = result.error, result.metrics
    if result.traceback:
        outcome.error = crash_line(result.error or "", result.traceback)
    work = eye.end(result.key)
    outcome.spent = time_spent(work, result.metrics, outcome.seconds)
    metrics = result.metrics
    if metrics is None:
        refused = any(p.severity == "error" for p in result.problems)
        outcome.exit_code = REFUSED if refused else FAILED
        if not refused and not outcome.error:
            outcome.error = "The run ended without a video."
        return
    broken = [v for v in metrics.verdicts if not v.passed and v.severity == "error"]
    outcome.exit_code = OK if result.ok and not broken else FAILED
    outcome.files = {
        name: describe_location(store, f"videos/{result.key}/{name}")
        for name in RESULTS
        if store.exists(f"videos/{result.key}/{name}")
    }
    # A video that breaks a promise is not handed out: it stays in the store to be looked at.
    if out is not None and outcome.exit_code != OK:
        outcome.problems.append(
            Problem(
                "out.withheld",
                f"The video was not copied to {out}, because it failed a check.",
                "Look at it in the store, named below.",
                "info",
            )
        )
    elif out is not None:
        assert outcome.source is not None
        target = _may_publish(out, outcome.source, result.key)
        publish_folder(target, {n: store.local(f"videos/{result.key}/{n}") for n in outcome.files})
        outcome.files = {n: str(target / n) for n in outcome.files}


def _list_warnings(result: BriefResult) -> list[dict[str, Any]]:
    found = result.spec.metadata.get("warnings", []) if result.spec else []
    return [{k: tuple(v) if isinstance(v, list) else v for k, v in w.items()} for w in found]


def _may_publish(out: Path, source: BriefSource, key: str) -> Path:
    """`<out>/<campaign>/<brief>`. A folder there is replaced only if all that is in it is an
    earlier result, never a brief's own.

    Raises UserError.
    """
    target = Path(os.path.abspath(out.joinpath(*key.split("/"))))

    def refusal_error(message: str) -> UserError:
        return UserError(
            Problem(
                "out.taken",
                message,
                "Choose another folder for --out.",
                file=str(target),
                field="--out",
            )
        )

    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise refusal_error("is there already and is not a folder.")
    if target.is_dir():
        if source.folder.resolve().is_relative_to(target.resolve()):
            raise refusal_error("holds the brief itself, which would be lost.")
        names = {p.name for p in target.iterdir()}
        other = sorted(names - set(RESULTS))
        if other or (names and "video.mp4" not in names):
            raise refusal_error(
                f"holds files that are no earlier result ({', '.join(other or sorted(names))})."
            )
    return target


# Where the time went -----------------------------------------------------------------------------


PARTS = (
    "compile",
    "segments",
    "assemble",
    "transitions",
    "sound",
    "link",
    "check",
    "thumbnail",
    "dagster",
)
"""Parts of the work in the order of the pipeline. `assemble` stands for the three after it where
they were not done anew."""


def time_spent(
    work: BriefProgress, metrics: MetricsDocument | None, whole: float
) -> dict[str, float]:
    """Part of the work -> seconds, of this run. What the stages did not take, Dagster did."""
    spent: dict[str, float] = {}
    for stage, seconds in work.spent.items():
        part = STAGES.get(stage, stage)
        spent[part] = spent.get(part, 0.0) + seconds
    if metrics is not None and not metrics.video.cached:
        # Assembly knows its own parts.
        parts = metrics.video.seconds_spent
        spent.pop(STAGES["assembled_video"], None)
        spent |= parts
    spent["dagster"] = max(0.0, whole - sum(spent.values()))
    order = {part: place for place, part in enumerate(PARTS)}
    return {
        part: round(spent[part], 3)
        for part in sorted(spent, key=lambda p: order.get(p, len(order)))
        if spent[part] >= 0.0005
    }


def _time_line(spent: Mapping[str, float], whole: float) -> str:
    parts = ", ".join(f"{part} {seconds:.1f}" for part, seconds in spent.items() if seconds >= 0.05)
    return f"{whole:.1f} s: {parts}" if parts else f"{whole:.1f} s"


# For programs ------------------------------------------------------------------------------------


def as_object(o: RenderOutcome) -> dict[str, Any]:
    """One brief as one JSON object; every key is always there."""
    m = o.metrics
    problems = [p.as_dict() for p in o.problems]
    if o.error and not problems:
        problems.append(Problem("failed.render", o.error).as_dict())
    return {
        "brief": str(o.path),
        "key": o.name if o.source else None,
        "campaign": o.source.campaign if o.source else None,
        "ok": o.exit_code == OK,
        "exit_code": o.exit_code,
        "video": o.files.get("video.mp4"),
        "thumbnail": o.files.get("thumbnail.jpg"),
        "captions": o.files.get("captions.srt"),
        "seconds": round(m.video.seconds, 3) if m else None,
        "engines": m.video.engines if m else [],
        "degraded": m.video.degraded if m else None,
        "used_fallback": m.video.used_fallback if m else None,
        "cached": m.video.cached if m else None,
        "checks": [v.model_dump() for v in m.verdicts] if m else [],
        "problems": problems,
        "notes": m.notes if m else [],
        "run_id": o.run_id,
        "seconds_spent": {**o.spent, "total": round(o.seconds, 3)},
    }


# For people --------------------------------------------------------------------------------------


def show_outcome(to: Console, o: RenderOutcome, quiet: bool) -> None:
    state, style = {
        OK: ("done", "bold green"),
        FAILED: ("FAILED", "bold red"),
        REFUSED: ("refused", "bold red"),
    }[o.exit_code]
    if quiet and o.exit_code == OK:
        to.print(Text(o.files.get("video.mp4", o.name)), soft_wrap=True)
        return
    show_brief(to, o.name, o.path, state, style, o.problems)
    if o.error:
        show_error(to, o.error)
    m = o.metrics
    if m is None:
        return
    for label, name in (
        ("video", "video.mp4"),
        ("thumbnail", "thumbnail.jpg"),
        ("captions", "captions.srt"),
    ):
        if name in o.files:
            print_labelled(
                to,
                label,
                shown_path(Path(o.files[name])) if "://" not in o.files[name] else o.files[name],
            )
    print_labelled(to, "length", _describe_metrics(m))
    for segment in m.segments:
        if segment.degraded or segment.used_fallback:
            reasons = "; ".join(
                t.reason.splitlines()[0]
                if t.engine == NOBODY
                else f"{t.engine}: {t.reason.splitlines()[0]}"
                for t in segment.tries
                if t.reason
            )
            word = "degraded to a plain still" if segment.degraded else f"by {segment.engine}"
            print_labelled(
                to,
                "warning",
                f"segment {segment.segment_id} {word}" + (f" ({reasons})" if reasons else ""),
                "bold yellow",
            )
    failed = [v for v in m.verdicts if not v.passed]
    passed = len(m.verdicts) - len(failed)
    print_labelled(
        to,
        "quality",
        f"{passed} of {len(m.verdicts)} checks passed",
        "" if not failed else "bold yellow" if o.exit_code == OK else "bold red",
    )
    for verdict in failed:
        show_problem(
            to,
            Problem(verdict.name, verdict.message, verdict.remedy, verdict.severity),
        )
    from pytoon_pipeline.compiler.passes.brand_safety import REVIEWED

    for note in m.notes:
        if not note.startswith(REVIEWED):  # said above, with its field and remedy
            print_labelled(to, "note", note, "cyan")
    print_labelled(to, "time", _time_line(o.spent, o.seconds), "dim")


def _describe_metrics(m: MetricsDocument) -> str:
    ready = sum(s.cached for s in m.segments)
    reuse = ""
    if m.video.cached:
        reuse = ", unchanged since the last render"
    elif ready:
        reuse = f", {ready} of {len(m.segments)} segments unchanged"
    return (
        f"{m.video.seconds:.1f} s, {m.video.width}x{m.video.height},"
        f" {m.video.bytes / 1e6:.1f} MB, by {', '.join(m.video.engines)}{reuse}"
    )


def _summarise(outcomes: Sequence[RenderOutcome], seconds: float) -> str:
    words = ((OK, "done"), (FAILED, "failed"), (REFUSED, "refused"))
    counts = [
        f"{n} {word}" for code, word in words if (n := sum(o.exit_code == code for o in outcomes))
    ]
    return f"{count_of(len(outcomes), 'brief')}: {', '.join(counts)}, in {seconds:.1f} s."
