"""`pytoon`: the command line.

Each command's work lies in a module of its own and is imported when the command runs, so that
`pytoon --help` and what only writes a file start without Dagster, OpenCV or PyAV.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(
    name="pytoon",
    help="A compiler for short vertical videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Briefs = Annotated[
    list[Path],
    typer.Argument(
        metavar="BRIEF",
        help="A brief's folder, a brief.yaml, a render_spec.json, a table, or a folder of briefs.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]


def register_command(
    panel: str, name: str | None = None, **more: Any
) -> Callable[[Callable[..., int | None]], Any]:
    """Registers a function that returns an exit code (None is 0)."""

    def register_function(function: Callable[..., int | None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run_function(*args: Any, **kwargs: Any) -> None:
            from pytoon_pipeline.cli.terminal import exit_on_error

            with exit_on_error():
                code = function(*args, **kwargs)
                if code:
                    raise typer.Exit(code)

        return app.command(name, rich_help_panel=panel, **more)(run_function)

    return register_function


def _print_version(wanted: bool) -> None:
    if wanted:
        from pytoon_pipeline import __version__

        typer.echo(f"pytoon {__version__}")
        raise typer.Exit()


@app.callback()
def _root_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


_MAKE, _LOOK, _RUN = "Make videos", "Look things up", "Run and maintain"
_REMOTE = "Work with a deployment"


@register_command(_MAKE)
def new(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the brief; pictures may lie there.")
    ],
    archetype: Annotated[
        Literal["hero", "overlay", "meme"], typer.Option(help="How the video is composed.")
    ] = "hero",
) -> int | None:
    """Write a brief to start from, with the pictures of the folder in it."""
    from pytoon_pipeline.cli.new import write_new_brief as run

    return run(folder, archetype)


@register_command(_MAKE, "new-brand")
def new_brand(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As briefs will call it.")],
    logo: Annotated[
        Path,
        typer.Option("--logo", metavar="FILE", help="PNG with a transparent ground is best."),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="In place of a kit that is there.")
    ] = False,
) -> int | None:
    """Write a brand kit to start from, its colours and versions of the logo made from a picture."""
    from pytoon_pipeline.cli.new_brand import new_brand as run

    return run(name, logo, force)


@register_command(_MAKE)
def check(
    briefs: Briefs,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    as_json: Json = False,
) -> int | None:
    """Find every problem of briefs; nothing is rendered."""
    from pytoon_pipeline.cli.check import check_briefs as run

    return run(briefs, strict=strict, as_json=as_json)


@register_command(_MAKE)
def render(
    briefs: Briefs,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="Copy the results to DIR/<campaign>/<brief>/."
        ),
    ] = None,
    as_json: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only the videos' paths and what went wrong.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Each segment, and each ffmpeg command.")
    ] = False,
) -> int | None:
    """Make the videos of briefs.

    Exit code: 0 all done; 2 when a brief was refused; 1 when one failed and none was refused.
    """
    from pytoon_pipeline.cli.render import render_briefs as run

    return run(briefs, out=out, as_json=as_json, quiet=quiet, verbose=verbose)


@register_command(_MAKE)
def spec(
    brief: Annotated[Path, typer.Argument(metavar="BRIEF", help="One brief.")],
    camel: Annotated[bool, typer.Option("--camel", help="Names in camelCase.")] = False,
) -> int | None:
    """Print the RenderSpec that a brief compiles to."""
    from pytoon_pipeline.cli.check import print_spec as run

    return run(brief, camel=camel)


@register_command(_MAKE)
def sheet(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="Any clip.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The JPEG to write.")] = Path(
        "sheet.jpg"
    ),
    columns: Annotated[int, typer.Option(min=1, max=20)] = 4,
    frames: Annotated[int, typer.Option(min=1, max=200)] = 12,
    safe_zone: Annotated[
        str | None,
        typer.Option(metavar="PROFILE", help="Draw a platform's safe zone (see `presets`)."),
    ] = None,
) -> int | None:
    """Lay frames of a video out on one picture, each with its time."""
    from pytoon_pipeline.cli.sheet import write_contact_sheet as run

    return run(video, output, columns=columns, frames=frames, safe_zone=safe_zone)


@register_command(_MAKE)
def export(
    briefs: Briefs,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="Write to DIR/<campaign>/<brief>/."),
    ] = Path("exports"),
    as_json: Json = False,
) -> int | None:
    """Write briefs as OpenTimelineIO timelines with their media, to finish in an editing program.

    A folder that `render --out` wrote is taken too, with its finished video.
    """
    from pytoon_pipeline.cli.export import export_briefs as run

    return run(briefs, out=out, as_json=as_json)


@register_command(_LOOK)
def report(
    campaigns: Annotated[
        list[str] | None,
        typer.Argument(metavar="CAMPAIGN", help="Names; all when left out.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write DIR/<campaign>/ with copies of the videos, to send.",
        ),
    ] = None,
    as_json: Json = False,
) -> int | None:
    """Write the page of campaigns: their videos, checks and problems, to look at in a browser."""
    from pytoon_pipeline.cli.report import write_reports as run

    return run(campaigns or [], out, as_json)


@register_command(_LOOK)
def presets(as_json: Json = False) -> int | None:
    """List presets, brands, platforms and music."""
    from pytoon_pipeline.cli.listing import list_presets as run

    return run(as_json=as_json)


@register_command(_LOOK)
def engines(as_json: Json = False) -> int | None:
    """List the engines that make footage, and whether each is ready."""
    from pytoon_pipeline.cli.listing import list_engines as run

    return run(as_json=as_json)


@register_command(_LOOK)
def doctor(as_json: Json = False) -> int | None:
    """Try out everything a render needs."""
    from pytoon_pipeline.cli.doctor import run_doctor as run

    return run(as_json=as_json)


@register_command(_RUN)
def dev(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    at_once: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="Runs at a time of the worker that comes with it where PYTOON_BROKER is set; "
            "0 for none.",
        ),
    ] = None,
) -> int | None:
    """Start everything on this machine: the Dagster UI, and what watches the folder of briefs and
    renders them."""
    from pytoon_pipeline.cli.terminal import settings_and_logs
    from pytoon_pipeline.runtime.dev_server import run_dev_server as run

    return run(settings_and_logs(), host=host, port=port, at_once=at_once)


@register_command(_RUN, context_settings={"ignore_unknown_options": True, "help_option_names": []})
def page(
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTION...", help="Those of dagster-webserver.", show_default=False),
    ] = None,
) -> int | None:
    """Start Dagster's web server alone, with the options of `dagster-webserver`; it answers to its
    own pages and to programs only, not to other web sites."""
    from pytoon_pipeline.runtime.webserver import run_webserver as run
    from pytoon_pipeline.settings import load_settings

    run(load_settings(), options or [])


@register_command(_RUN)
def worker(
    at_once: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Runs at a time; one for each core when left out."),
    ] = None,
    queues: Annotated[
        str | None,
        typer.Option(help="Queues to take runs from, separated by commas; all when left out."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of this worker; the machine's when left out.")
    ] = None,
    ping: Annotated[
        bool, typer.Option("--ping", help="Only say whether the worker of this install is there.")
    ] = False,
) -> int | None:
    """Render what the daemon hands out over Redis, on this machine or any other (PYTOON_DATABASE,
    PYTOON_BROKER, PYTOON_STORE).

    Told to end (SIGTERM), it finishes what it renders; told twice, or by Ctrl-C, it leaves that to
    other workers.
    """
    from pytoon_pipeline.cli.worker import ping_worker as look
    from pytoon_pipeline.cli.worker import run_worker_command as run

    return look(name) if ping else run(at_once, queues, name)


@register_command(_RUN)
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8321,
    segments: Annotated[
        bool, typer.Option("--segments", help="Render segments for other Pytoons, too.")
    ] = False,
) -> int | None:
    """Take in briefs over HTTP; `pytoon dev` beside it makes the videos."""
    from pytoon_pipeline.cli.terminal import settings_and_logs
    from pytoon_pipeline.service.server import run_server as run

    return run(settings_and_logs(), host=host, port=port, segments=segments)


@register_command(_RUN)
def metrics(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="For the node exporter's textfile collector; stdout when left out.",
        ),
    ] = None,
) -> int | None:
    """Write the figures of this install in Prometheus' text format."""
    from pytoon_pipeline.cli.metrics import write_metrics as run

    return run(out)


@register_command(_RUN)
def tidy(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be deleted.")
    ] = False,
    forget: Annotated[
        list[str] | None,
        typer.Option(
            "--forget",
            metavar="CAMPAIGN[/BRIEF]",
            show_default=False,
            help="Delete videos, and all that is known of their briefs.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Forget without asking.")] = False,
    as_json: Json = False,
) -> int | None:
    """Delete what is no longer needed: old intermediates, leftovers, records of old runs."""
    from pytoon_pipeline.cli.tidy import tidy_install as run

    return run(dry_run, forget or [], yes, as_json)


Jobs = Annotated[
    list[str], typer.Argument(metavar="JOB", help="What `submit` printed.", show_default=False)
]


@register_command(_REMOTE)
def submit(
    briefs: Briefs,
    campaign: Annotated[str | None, typer.Option(help="In place of the folder's name.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=-100, max=100, help="Higher comes first.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until all have ended.")] = False,
    as_json: Json = False,
) -> int | None:
    """Send briefs with their media to a `pytoon serve` (PYTOON_URL, PYTOON_TOKEN)."""
    from pytoon_pipeline.cli.remote import submit_briefs as run

    return run(briefs, campaign=campaign, priority=priority, watch=watch, as_json=as_json)


@register_command(_REMOTE)
def status(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="The newest when left out.", show_default=False),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until all have ended.")] = False,
    as_json: Json = False,
) -> int | None:
    """Say how far jobs are."""
    from pytoon_pipeline.cli.remote import print_status as run

    return run(jobs or [], watch=watch, as_json=as_json)


@register_command(_REMOTE)
def fetch(
    jobs: Jobs,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Write to DIR/<campaign>/<brief>/.")
    ] = Path("videos"),
    as_json: Json = False,
) -> int | None:
    """Bring the videos of jobs here, with thumbnails and captions."""
    from pytoon_pipeline.cli.remote import fetch_videos as run

    return run(jobs, out=out, as_json=as_json)


@register_command(_REMOTE)
def cancel(jobs: Jobs, as_json: Json = False) -> int | None:
    """Stop jobs that are not finished."""
    from pytoon_pipeline.cli.remote import cancel_jobs as run

    return run(jobs, as_json=as_json)


@register_command(_RUN)
def schema(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")] = Path(
        "docs"
    ),
) -> int | None:
    """Write the JSON Schemas of briefs, plans, brand kits, presets and the API."""
    from pytoon_pipeline.cli.schema import write_schemas as run

    return run(out)


def run_program() -> None:
    """The `pytoon` program."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character gets a question mark, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app()
    except KeyboardInterrupt:
        # Stopped while a command's modules were still being imported.
        sys.stderr.write("Stopped.\n")
        sys.exit(130)
