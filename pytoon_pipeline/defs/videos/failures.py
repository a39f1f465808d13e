"""Failures, told so that a person can act on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from pytoon_pipeline.dagster_private import DagsterExecutionInterruptedError
from pytoon_pipeline.defs import metadata
from pytoon_pipeline.defs.videos import counting
from pytoon_pipeline.errors import PytoonError, UserError
from pytoon_pipeline.intake.brief_state import BriefState
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.stages.reporter import Reporter
from pytoon_pipeline.telemetry import logs
from pytoon_pipeline.telemetry.catalogue import STAGE_SECONDS

PROGRESS = {
    "render_spec": 0.0,
    "segments": 0.05,
    "assembled_video": 0.8,
    "quality": 0.88,
    "thumbnail": 0.95,
    "metrics": 0.97,
}
"""How far a run is when a stage begins, of 1: rough shares of a first render."""


@contextmanager
def run_stage(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    stage: str,
    reporter: Reporter,
    ledger: Ledger,
) -> Iterator[None]:
    """Run one stage of a brief. A failure of Pytoon becomes a `dagster.Failure` that says what is
    wrong and what to do, with what was done until then; the ledger, the reporter and the figures
    hear of it.

    Nothing is retried by Dagster: what can pass was tried again inside, and a wrong brief stays
    wrong until it changes.
    """
    key = context.partition_key
    counts, began = counting.run_counts_of(context), time.monotonic()
    logs.set_run_context(key, context.run.run_id, context.run.job_name)
    reporter.stage(key, stage)
    ledger.set_state(
        key,
        BriefState.RUNNING,
        error="",
        problems=(),
        run_id=context.run.run_id,
        progress=PROGRESS[stage],
    )
    try:
        yield
    except UserError as error:
        reporter.failed(key, error)
        ledger.set_state(key, BriefState.REFUSED, error=str(error), problems=error.problems)
        counts.end(context, ledger, "refused")
        _show_reason(
            context,
            "refused",
            _first_problem(error),
            {
                "refused": metadata.bullet_list(_all_problems(error).splitlines()),
                "problems": metadata.problems_table(error.problems),
            },
        )
        raise dg.Failure(
            description=_all_problems(error),
            metadata={"problems": metadata.problems_table(error.problems)},
            allow_retries=False,
        ) from None
    except PytoonError as error:
        reporter.failed(key, error)
        ledger.set_state(key, BriefState.FAILED, error=str(error))
        counts.end(context, ledger, "failed")
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        _show_reason(
            context, "failed", first, {"failed": first, **metadata.failure_metadata(error)}
        )
        raise dg.Failure(
            description=str(error), metadata=metadata.failure_metadata(error), allow_retries=False
        ) from None
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        # One that was declared dead says nothing over the run that took its place.
        if ledger.find_entry(key).run_id == context.run.run_id:
            ledger.set_state(key, BriefState.CANCELLED, error="")
        counts.end(context, ledger, "cancelled")
        raise
    except BaseException as error:  # A fault of the program.
        ledger.set_state(key, BriefState.FAILED, error=f"{type(error).__name__}: {error}")
        counts.end(context, ledger, "failed")
        raise
    counts.tally.observe(STAGE_SECONDS, stage, seconds=time.monotonic() - began)


_TAG_CHARS = 120


def _show_reason(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
    outcome: str,
    line: str,
    found: metadata.Metadata,
) -> None:
    """Say why there is no video on the partition's own page, where Dagster itself shows only that
    a run failed, and in the list of runs: as the tag `pytoon/refused` or `pytoon/failed`."""
    line = " ".join(line.split())
    line = line if len(line) <= _TAG_CHARS else f"{line[: _TAG_CHARS - 3]}..."
    context.instance.add_run_tags(context.run.run_id, {f"pytoon/{outcome}": line})
    if isinstance(context, dg.AssetExecutionContext):
        context.log_event(
            dg.AssetObservation(
                asset_key=context.asset_key,
                partition=context.partition_key,
                description=f"{outcome}: {line}",
                metadata=found,
            )
        )


def _first_problem(error: UserError) -> str:
    """For a line: the field and what is wrong with it. The brief itself is named beside it."""
    errors = [p for p in error.problems if p.severity == "error"] or error.problems
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return (f"{first.field}: " if first.field else "") + first.message + more


def _all_problems(error: UserError) -> str:
    errors = [p for p in error.problems if p.severity == "error"] or error.problems
    if len(errors) == 1:
        return str(errors[0])
    return f"{len(errors)} problems:\n" + "\n".join(f"{i}. {p}" for i, p in enumerate(errors, 1))
