"""`pytoon tidy`: what is no longer needed, shown and deleted; briefs forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytoon_pipeline.cli.check import count_of
from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    make_visible,
    open_console,
    print_json,
    print_labelled,
    settings_and_logs,
)
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.maintenance.deletions import DeletionOutcome, PlannedDeletion, sum_by_kind
from pytoon_pipeline.maintenance.forget import plan_forgetting
from pytoon_pipeline.maintenance.machine import plan_machine, tidy_machine
from pytoon_pipeline.maintenance.objects import plan_store, tidy_store
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store


def tidy_install(dry_run: bool, forget: Sequence[str], yes: bool, as_json: bool) -> int:
    """Tidy the store, this machine and Dagster's records, or only say what would go; or forget
    briefs. Raises UserError for an unknown brief, and while another process tidies the store."""
    to = open_console(stderr=as_json)
    settings = settings_and_logs(to)
    if forget:
        return _forget_briefs(settings, forget, dry_run, yes, as_json, to)
    from pytoon_pipeline.defs.maintenance.schedules import plan_runs, tidy_runs
    from pytoon_pipeline.runtime.brief_runs import open_instance

    with open_instance(settings) as instance:
        if dry_run:
            planned, notes = plan_store(settings)
            planned += plan_machine(settings)
            planned += plan_runs(instance, settings.keep_runs_days)
            _print_deletions(planned, notes, as_json, to, "would be deleted")
            return OK
        outcome = tidy_store(settings)
        outcome.add(tidy_machine(settings))
        outcome.add(tidy_runs(instance, settings.keep_runs_days))
    return _exit_code(outcome, as_json, to)


def _forget_briefs(
    settings: Settings,
    names: Sequence[str],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    to: Console,
) -> int:
    store, ledger = open_store(settings), Ledger(settings.ledger)
    planned = plan_forgetting(names, settings, store, ledger)
    notes = [
        f"{key} is still where it came from, and will be rendered again: remove it there."
        for key in planned.remain
    ]
    if dry_run or not yes:
        _print_deletions(planned.plan, notes, as_json and dry_run, to, "would be deleted")
    if dry_run:
        return OK
    if not yes:
        if as_json or not to.is_terminal:
            raise UserError(
                Problem("forget.ask", "Nobody can be asked here.", "Add --yes.", field="--forget")
            )
        said = count_of(len(planned.briefs), "brief")
        if not typer.confirm(f"Forget {said} for ever?", default=False):
            return OK
        planned = plan_forgetting(names, settings, store, ledger)  # Its run may have begun.
    from pytoon_pipeline.defs.maintenance.schedules import carry_out_forgetting
    from pytoon_pipeline.runtime.brief_runs import open_instance

    with open_instance(settings) as instance:
        outcome = carry_out_forgetting(planned, settings, instance)
    outcome.notes += notes if yes else []
    return _exit_code(outcome, as_json, to)


def _exit_code(outcome: DeletionOutcome, as_json: bool, to: Console) -> int:
    _print_deletions(outcome.done, outcome.notes, as_json, to, "deleted")
    for label, some in (("in use", outcome.spared), ("left", outcome.left)):
        if some and not as_json:
            print_labelled(to, label, count_of(len(some), "object"))
    if outcome.swept and not as_json:
        print_labelled(to, "swept", f"{count_of(len(outcome.swept), 'put')} that nobody finished")
    for each, reason in outcome.failed:
        if as_json:
            print_json({**each.as_dict(), "failed": reason})
        else:
            print_labelled(to, "failed", f"{each.place}: {reason}", "bold red")
    return FAILED if outcome.failed else OK


def _print_deletions(
    deletions: Sequence[PlannedDeletion],
    notes: Iterable[str],
    as_json: bool,
    to: Console,
    done: str,
) -> None:
    """A table of kinds, or an object a line for programs."""
    for note in notes:
        print_labelled(to, "note", note, "cyan")
    if as_json:
        for each in deletions:
            print_json(each.as_dict())
        return
    if not deletions:
        to.print(f"Nothing {done}.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("what", "count", "size", "oldest", "why"):
        table.add_column(title, justify="right" if title in ("count", "size", "oldest") else "left")
    for kind in sum_by_kind(deletions):
        table.add_row(
            kind.what,
            f"{kind.count:,}",
            format_size(kind.bytes),
            f"{kind.oldest / 86400:.1f} d",
            Text(make_visible(kind.reason)),
        )
    to.print(table)
    total = sum(d.bytes for d in deletions)
    to.print(f"{len(deletions):,} {done}, {format_size(total)}.")


def format_size(count: int) -> str:
    """Bytes for a person: `1.2 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
