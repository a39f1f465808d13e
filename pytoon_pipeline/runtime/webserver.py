"""Dagster's web server with the guard of its page: `pytoon page`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from pytoon_pipeline.errors import PytoonError
from pytoon_pipeline.runtime.page_guard import PageGuard
from pytoon_pipeline.settings import Settings

if TYPE_CHECKING:
    from pytoon_pipeline.dagster_private import IWorkspaceProcessContext

_HOST_UI = "host_dagster_ui_with_workspace_process_context"
_MAKE_APP = "create_app_from_workspace_process_context"


class WebserverError(PytoonError):
    """Dagster's web server can't be started with the guard, so it is not started at all."""


def run_webserver(settings: Settings, args: Sequence[str]) -> NoReturn:
    """Runs `dagster-webserver` with these arguments, its page guarded, until it is told to end.
    Ends this process.

    Raises WebserverError with a version of Dagster that starts its server in another way.
    """
    from dagster_webserver import cli

    if not all(hasattr(cli, name) for name in (_HOST_UI, _MAKE_APP, "_lifespan")):
        raise WebserverError(
            "dagster-webserver starts in an unknown way, and its page would not be guarded. "
            "Install the version that constraints.txt names."
        )

    def host_guarded_ui(
        context: IWorkspaceProcessContext,
        host: str | None,
        port: int | None,
        path_prefix: str,
        log_level: str,
        live_data_poll_rate: int | None = None,
    ) -> None:
        import uvicorn
        from dagster_webserver.app import create_app_from_workspace_process_context

        app = create_app_from_workspace_process_context(
            context, path_prefix, live_data_poll_rate, lifespan=cli._lifespan
        )
        host, port = host or cli.DEFAULT_WEBSERVER_HOST, port or cli.DEFAULT_WEBSERVER_PORT
        guarded = PageGuard(app, [host.lower().rstrip("."), *settings.page_hosts])
        uvicorn.run(guarded, host=host, port=port, log_level=log_level, server_header=False)

    def make_unguarded_app(*_: object, **__: object) -> NoReturn:
        raise WebserverError("dagster-webserver would have served its page without the guard.")

    # Dagster's command calls the first by this name. It has no reason to call the second itself.
    setattr(cli, _HOST_UI, host_guarded_ui)
    setattr(cli, _MAKE_APP, make_unguarded_app)
    cli.cli(args=list(args), prog_name="pytoon page", auto_envvar_prefix="DAGSTER_WEBSERVER")
    raise SystemExit(0)
