"""`pytoon report`: the campaign page."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text

from pytoon_pipeline.cli.check import count_of, shown_path
from pytoon_pipeline.cli.files import writable_folder
from pytoon_pipeline.cli.render import describe_location
from pytoon_pipeline.cli.terminal import (
    OK,
    make_visible,
    open_console,
    print_json,
    print_labelled,
    settings_and_logs,
)
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.deletions import mark_deleted
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.report import export_report, write_report
from pytoon_pipeline.report.write import ReportDocument, find_campaign, folder_name
from pytoon_pipeline.store import open_store


def write_reports(campaigns: list[str], out: Path | None, as_json: bool) -> int:
    """Write the pages of some campaigns, or of all; with `out` as folders `<out>/<campaign>` with
    copies of the videos. Raises UserError for an unknown campaign, before anything is written."""
    to = open_console(stderr=as_json)
    settings = settings_and_logs(to)
    ledger, store = Ledger(settings.ledger), open_store(settings)
    mark_deleted(ledger)
    wanted = list(dict.fromkeys(find_campaign(name, ledger) for name in campaigns))
    wanted = wanted or sorted(ledger.campaigns())
    if not wanted:
        raise UserError(
            Problem(
                "report.nothing", "No campaign was rendered yet.", "`pytoon render` renders one."
            )
        )
    if out is not None:
        writable_folder(out)
    for name in wanted:
        if out is None:
            made = write_report(name, ledger, store)
            page, table = describe_location(store, made.page), describe_location(store, made.table)
            # No browser opens s3://; a private store gives links that do, for a while.
            link = store.link(made.page) if page.startswith("s3://") else None
        else:
            made = export_report(name, ledger, store, out / folder_name(name, ledger))
            page, table, link = made.page, made.table, None
        if as_json:
            more = {"link": link} if link else {}
            print_json({**made.model_dump(), "page": page, "table": table, **more})
            continue
        to.print(
            Text(make_visible(name), "bold").append(f"  {_describe_report(made)}", "dim"),
            soft_wrap=True,
        )
        for label, place in (("page", page), ("table", table)):
            local = "://" not in place
            print_labelled(to, label, shown_path(Path(os.path.abspath(place))) if local else place)
        if link:
            print_labelled(to, "link", link)
    return OK


def _describe_report(made: ReportDocument) -> str:
    said = [count_of(made.briefs, "brief"), count_of(made.videos, "video")]
    for number, word in (
        (made.failed_checks, "with a check not passed"),
        (made.degraded, "degraded"),
        (made.counts.get("refused", 0), "refused"),
        (made.counts.get("failed", 0), "failed"),
        (made.counts.get("deleted", 0), "deleted"),
    ):
        said += [f"{number} {word}"] if number else []
    return ", ".join(said)
