"""`pytoon submit`, `status`, `fetch` and `cancel`: work given to a running `pytoon serve`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pytoon_pipeline.briefs.file_names import find_path, is_address, leads_out, without_unseen
from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.briefs.validation import validate_data
from pytoon_pipeline.cli.check import gather_briefs, show_brief
from pytoon_pipeline.cli.job_files import download_file, relative_path
from pytoon_pipeline.cli.service_client import (
    ServiceClient,
    ServiceError,
    _raise_settings,
    open_service_client,
    problem_of,
    safe_job_id,
)
from pytoon_pipeline.cli.terminal import (
    FAILED,
    OK,
    REFUSED,
    make_visible,
    open_console,
    print_json,
    print_labelled,
    settings_and_logs,
    show_problem,
)
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.plan.model import RenderSpec
from pytoon_pipeline.service.request import named_files
from pytoon_pipeline.settings import Settings

ENDED = ("completed", "failed", "cancelled")
FILES = {
    "video.mp4": "video",
    "thumbnail.jpg": "thumbnail",
    "captions.srt": "captions?format=srt",
    "captions.vtt": "captions?format=vtt",
}
"""What a job's files are called here -> where they are below its address."""
POLL_SECONDS = 1.0
_PATIENCE = 10
"""Looks in a row that may fail while a job is watched: a server may be started anew."""
_STYLES = {"completed": "bold green", "failed": "bold red", "cancelled": "yellow"}


# The other side ----------------------------------------------------------------------------------


# Submit ------------------------------------------------------------------------------------------


def submit_briefs(
    paths: Sequence[Path],
    *,
    campaign: str | None = None,
    priority: int | None = None,
    watch: bool = False,
    as_json: bool = False,
) -> int:
    """Send briefs with the files that they name; print the jobs they became.

    Exit code: 2 when a brief was refused; with `watch` also that of `status`.
    """
    settings = settings_and_logs()
    sources, refused = gather_briefs(paths)
    to = open_console(stderr=as_json)
    code, jobs = OK, []

    def print_refusal(name: str, path: Path, problems: Sequence[Problem]) -> None:
        nonlocal code
        code = REFUSED
        show_brief(to, name, path, "refused", "bold red", problems)
        if as_json:
            print_json({"brief": str(path), "problems": [p.as_dict() for p in problems]})

    for path, problems in refused:
        print_refusal(make_visible(path), path, problems)
    with open_service_client(settings) as there:
        for source in sources:
            try:
                job = _send_brief(there, settings, source, campaign, priority)
            except UserError as error:
                _raise_settings(error)
                print_refusal(source.key, source.path, error.problems)
                continue
            jobs.append(job["job_id"])
            if as_json and not watch:
                print_json(job)
            elif not as_json:
                row = (
                    Text()
                    .append("sent     ", "bold green")
                    .append(make_visible(source.key), "bold")
                )
                to.print(row.append(f"  {job['job_id']}"), soft_wrap=True)
        if watch and jobs:
            code = max(code, _watch_jobs(there, jobs, to, as_json))
    return code


def _send_brief(
    there: ServiceClient,
    settings: Settings,
    source: BriefSource,
    campaign: str | None,
    priority: int | None,
) -> dict[str, Any]:
    """One brief to the server. Raises UserError with its problems."""
    data, files = _prepare_brief(settings, source)
    request: dict[str, Any] = {
        source.kind: data,
        "campaign": _api_name(campaign or source.campaign),
        "name": _api_name(source.name),
    }
    if priority is not None:
        request["priority"] = priority
    text = json.dumps(request, ensure_ascii=False, default=str).encode("utf-8", "replace")
    # Sent twice where the first answer is lost, it is one job all the same.
    headers = {"Idempotency-Key": secrets.token_urlsafe(16)}
    if not files:
        headers["Content-Type"] = "application/json"
        return _post_twice(lambda: there.call("POST", "/render", content=text, headers=headers))

    def post_brief() -> dict[str, Any]:
        with ExitStack() as stack:
            parts: list[Any] = [("brief", (None, text, "application/json"))]
            for name, path in files.items():
                try:
                    file = stack.enter_context(path.open("rb"))
                except OSError as error:
                    reason = f"can't be read: {error.strerror}."
                    raise UserError(
                        Problem("media.unreadable", reason, "Check its rights.", file=name)
                    ) from error
                parts.append(("media", (name, file, "application/octet-stream")))
            return there.call("POST", "/render", files=parts, headers=headers)

    return _post_twice(post_brief)


def _post_twice(post: Any) -> dict[str, Any]:
    try:
        return post()
    except ServiceError as error:
        if not isinstance(error.__cause__, httpx.ReadError | httpx.RemoteProtocolError):
            raise
        return post()


def _api_name(text: str) -> str:
    """A name as the API takes it."""
    return "".join(c if ord(c) > 31 and ord(c) != 127 else "_" for c in text)[:100] or "_"


def _prepare_brief(
    settings: Settings, source: BriefSource
) -> tuple[dict[str, Any], dict[str, Path]]:
    """What a brief says, as JSON, and the files of this machine that it names."""
    document = source.document
    if document is None:
        kind = Brief if source.kind == "brief" else RenderSpec
        data, problems = read_document(source.path, source.shown, kind)
        problems = [p for p in problems if p.severity == "error"]
    else:
        data = dict(document.data)
        problems = [p for p in document.problems if p.severity == "error"]
    if data is None or problems:
        raise UserError(problems)
    kind_model: type[Brief] | type[RenderSpec] = Brief if source.kind == "brief" else RenderSpec
    model, problems = validate_data(kind_model, data, source.shown)
    if isinstance(model, Brief) and not problems:
        # In JSON `"15"` is no number, as it is in YAML.
        data = model.model_dump(mode="json", exclude_unset=True)
    files: dict[str, Path] = {}
    for each in named_files(model) if model is not None else ():
        root, colon, _ = without_unseen(each.name).partition(":")
        if is_address(each.name) or (colon and root in settings.media_roots):
            continue  # The server takes these from there.
        known = document.files.get(each.name, each.name) if document else each.name
        found = _file_inside(source.folder, known)
        if found is not None:
            files[each.name] = found
        elif each.needed:
            problems.append(
                Problem(
                    "media.missing",
                    f"{each.name} is no file in the folder of this brief.",
                    "Check the spelling, or copy the file there.",
                    file=source.shown,
                    field=each.field,
                )
            )
    if problems:
        raise UserError([document.locate_problem(p) for p in problems] if document else problems)
    return data, files


def _file_inside(folder: Path, name: str) -> Path | None:
    """A file inside the folder of a brief; links that lead out are followed by nobody."""
    path = folder / find_path(folder, name).path
    try:
        inside = not leads_out(without_unseen(name).replace("\\", "/")) and path.is_file()
        if inside and path.resolve().is_relative_to(folder.resolve()):
            return path
    except (OSError, ValueError):
        pass
    return None


# Status ------------------------------------------------------------------------------------------


def print_status(jobs: Sequence[str], *, watch: bool = False, as_json: bool = False) -> int:
    """What became of jobs, or of the newest ones when none is named.

    Exit code: 2 for one that is unknown or whose brief was refused, else 1 for one that failed or
    was cancelled, else 0; of jobs that were not named 0.
    """
    settings = settings_and_logs()
    to = open_console(stderr=as_json)
    with open_service_client(settings) as there:
        if not jobs:
            found = there.call("GET", "/render", params={"limit": 50})["jobs"]
            if watch:
                found = [j for j in found if j["state"] not in ENDED]
                if found:
                    return _watch_jobs(there, [j["job_id"] for j in found], to, as_json)
            _print_jobs(found, to, as_json)
            if not found and not as_json:
                to.print("No jobs." if not watch else "No jobs at work.")
            return OK
        if watch:
            return _watch_jobs(there, list(dict.fromkeys(jobs)), to, as_json)
        found, code = _ask_jobs(there, list(dict.fromkeys(jobs)))
        _print_jobs(list(found.values()), to, as_json)
    return max([code, *map(_exit_code, found.values())])


def _ask_jobs(there: ServiceClient, jobs: Sequence[str]) -> tuple[dict[str, dict[str, Any]], int]:
    """Jobs by id, and 2 where one of them is unknown, which is said."""
    found, code = {}, OK
    for job_id in jobs:
        try:
            found[job_id] = there.job(job_id)
        except UserError as error:
            _raise_settings(error)
            code = REFUSED
            for problem in error.problems:
                row = Text().append("unknown  ", "bold red").append(make_visible(job_id), "bold")
                open_console(stderr=True).print(row, soft_wrap=True)
                show_problem(open_console(stderr=True), problem)
    return found, code


def _exit_code(job: dict[str, Any]) -> int:
    if job["state"] == "failed":
        return REFUSED if job["problems"] else FAILED
    return FAILED if job["state"] == "cancelled" else OK


def _print_jobs(jobs: Sequence[dict[str, Any]], to: Console, as_json: bool) -> None:
    if as_json:
        for job in jobs:
            print_json(job)
        return
    if jobs:
        to.print(_jobs_table(jobs))
    for job in jobs:
        _show_end(job, to)


def _show_end(job: dict[str, Any], to: Console) -> None:
    """What a failed job is to be told of."""
    if job["state"] != "failed":
        return
    to.print(Text(make_visible(job["job_id"]), "bold"), soft_wrap=True)
    for problem in job["problems"]:
        show_problem(to, problem_of(problem))
    if not job["problems"]:
        print_labelled(
            to, "failed", make_visible(job["error"] or "It does not say why."), "bold red"
        )


def _jobs_table(jobs: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("JOB", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    table.add_column("DONE", justify="right", no_wrap=True)
    table.add_column("VIDEO", overflow="fold")
    table.add_column("", overflow="fold")
    for job in jobs:
        state = job["state"]
        table.add_row(
            Text(make_visible(job["job_id"])),
            Text(make_visible(state), _STYLES.get(state, "cyan")),
            Text(f"{job['progress']:.0%}"),
            Text(make_visible(job["key"] or job["name"])),
            Text(_job_remarks(job), "dim"),
        )
    return table


def _job_remarks(job: dict[str, Any]) -> str:
    checks = job["checks"] or {"failed": 0, "warnings": 0}
    said = [
        f"{job['seconds']:.1f} s" if job["seconds"] else "",
        "degraded" if job["degraded"] else "fallback" if job["used_fallback"] else "",
        f"{checks['failed']} checks failed" if checks["failed"] else "",
    ]
    return ", ".join(s for s in said if s)


def _watch_jobs(there: ServiceClient, jobs: Sequence[str], to: Console, as_json: bool) -> int:
    """Until all have ended: a table that moves on a terminal, else a line for each change."""
    found, code = _ask_jobs(there, jobs)
    live = None
    if to.is_terminal and not to.is_dumb_terminal and not as_json:
        live = Live(console=to, refresh_per_second=4, transient=True)
    told: dict[str, str] = {}
    with live or ExitStack():
        while True:
            for job_id, job in found.items():
                if told.get(job_id) != job["state"] and not live:
                    label = (
                        f"{make_visible(job['key'] or job['name'])}: {make_visible(job['state'])}"
                    )
                    to.print(Text(label), soft_wrap=True)
                told[job_id] = job["state"]
            if live:
                live.update(_jobs_table(list(found.values())))
            open_jobs = [i for i, j in found.items() if j["state"] not in ENDED]
            if not open_jobs:
                break
            time.sleep(POLL_SECONDS)
            found |= {i: _fetch_job_retrying(there, i) for i in open_jobs}
    _print_jobs(list(found.values()), to, as_json)
    return max([code, *map(_exit_code, found.values())])


def _fetch_job_retrying(there: ServiceClient, job_id: str) -> dict[str, Any]:
    for left in reversed(range(_PATIENCE)):
        try:
            return there.job(job_id)
        except ServiceError:
            if not left:
                raise
            time.sleep(POLL_SECONDS)
    raise AssertionError("unreachable: the last look returns or raises")


# Fetch -------------------------------------------------------------------------------------------


def fetch_videos(jobs: Sequence[str], *, out: Path, as_json: bool = False) -> int:
    """Bring the files of completed jobs to `<out>/<campaign>/<brief>/`. What was fetched in part
    is gone on with; what is there already is left.

    Exit code: 2 for a job that is unknown or whose brief was refused, else 1 for one that is not
    completed, else 0.
    """
    settings = settings_and_logs()
    to = open_console(stderr=as_json)
    with open_service_client(settings) as there:
        found, code = _ask_jobs(there, list(dict.fromkeys(jobs)))
        for job in found.values():
            if job["state"] != "completed":
                code = max(code, _exit_code(job), FAILED)
                row = Text().append(f"{job['state']:<11}", _STYLES.get(job["state"], "cyan"))
                to.print(row.append(make_visible(job["job_id"]), "bold"), soft_wrap=True)
                _show_end(job, to)
                continue
            folder = out / relative_path(job["key"])
            paths = {}
            for name, address in FILES.items():
                path = folder / name
                download_file(there, f"/render/{safe_job_id(job['job_id'])}/{address}", path)
                paths[name] = str(path)
            if as_json:
                print_json({"job_id": job["job_id"], "key": job["key"], "files": paths})
            else:
                row = (
                    Text()
                    .append("fetched    ", "bold green")
                    .append(make_visible(job["key"]), "bold")
                )
                to.print(row.append(f"  {folder}"), soft_wrap=True)
    return code


# Cancel ------------------------------------------------------------------------------------------


def cancel_jobs(jobs: Sequence[str], *, as_json: bool = False) -> int:
    """Cancel jobs that have not ended.

    Exit code: 2 for one that is unknown, else 1 for one that had ended otherwise, else 0.
    """
    settings = settings_and_logs()
    to = open_console(stderr=as_json)
    code = OK
    with open_service_client(settings) as there:
        for job_id in dict.fromkeys(jobs):
            try:
                job = there.call("DELETE", f"/render/{safe_job_id(job_id)}")
            except UserError as error:
                _raise_settings(error)
                late = any(p.code == "job.completed" for p in error.problems)
                code = max(code, FAILED if late else REFUSED)
                label = "completed  " if late else "unknown    "
                row = Text().append(label, "bold red").append(make_visible(job_id), "bold")
                to.print(row, soft_wrap=True)
                for problem in error.problems:
                    show_problem(to, problem)
                continue
            code = max(code, OK if job["state"] == "cancelled" else FAILED)
            if as_json:
                print_json(job)
            else:
                row = Text().append(f"{job['state']:<11}", _STYLES.get(job["state"], "cyan"))
                to.print(row.append(make_visible(job_id), "bold"), soft_wrap=True)
    return code
