"""The transport that fits the address of a server."""

from __future__ import annotations

from pytoon_pipeline.engines.comfyui.direct_transport import DirectTransport
from pytoon_pipeline.engines.comfyui.hosted_transport import HostedTransport
from pytoon_pipeline.engines.comfyui.http_transport import (
    HOSTED,
    SERVER_SETTING,
    split_server_address,
)
from pytoon_pipeline.engines.comfyui.transport import ComfyTransport, TransportLimits
from pytoon_pipeline.errors import (
    FetchRefusedError,
    Problem,
    SettingsError,
)
from pytoon_pipeline.media.addresses import (
    strip_query,
)


def open_transport(url: str, token: str | None, limits: TransportLimits) -> ComfyTransport:
    """Return the transport for a server, chosen by its address.

    Raises SettingsError where `url` is not the address of a server."""
    from pytoon_pipeline.media.client import checked_token

    token = checked_token(token, "PYTOON_COMFYUI_TOKEN")
    try:
        split_server_address(url.removeprefix(HOSTED))
    except (FetchRefusedError, ValueError):
        raise SettingsError(
            Problem(
                "settings.comfyui_url",
                f"{strip_query(url)!r} is not the address of a server.",
                "Write for example http://127.0.0.1:8188.",
                field=SERVER_SETTING,
            )
        ) from None
    if url.startswith(HOSTED):
        return HostedTransport(url.removeprefix(HOSTED), token, limits)
    return DirectTransport(url, token, limits)
