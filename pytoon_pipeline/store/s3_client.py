"""Make clients for S3 and for servers that speak it, once per process and set of settings."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from pytoon_pipeline.errors import Problem, SettingsError

_THREADS = 4
"""Parts that a process has under way, whatever is put: 32 MiB of memory."""
_ATTEMPTS = 6
"""Of a request: with the waits between them some 15 seconds, at most 31."""


def store_setting_error(name: str, message: str, remedy: str) -> SettingsError:
    """Return the error for a setting of the store that can not be used."""
    return SettingsError(Problem("settings.store", message, remedy, field=name))


def checked_endpoint(endpoint: str) -> str:
    """Return the address of a server. Raises SettingsError where it is none; its text is not
    repeated, as it may hold a password."""
    parts = urlsplit(endpoint)
    if "@" in parts.netloc or not parts.hostname or parts.query or parts.fragment:
        raise store_setting_error(
            "PYTOON_S3_ENDPOINT",
            "is not the plain address of a server.",
            "Write for example http://minio:9000; user and password go into AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
        )
    return endpoint


def is_other_maker(endpoint: str | None) -> bool:
    """Return whether the server is of another maker than Amazon."""
    return endpoint is not None or any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ)


@dataclass(frozen=True)
class S3Tools:
    """A client, the threads that send parts for it, and the credentials that it uses."""

    client: Any
    pool: ThreadPoolExecutor
    credentials: Any


_OPENING: dict[int, threading.Lock] = {}
"""By process: a lock that was held when the process was forked is held for ever."""


def open_tools(endpoint: str | None, profile: str = "") -> S3Tools:
    """Return the client for an endpoint. `profile` names a profile in AWS's own files of settings;
    without one, the environment decides which credentials are used."""
    pid = os.getpid()
    with _OPENING.setdefault(pid, threading.Lock()):
        aws = sorted((n, v) for n, v in os.environ.items() if n.startswith("AWS_"))
        tools = _make_tools(endpoint, profile, tuple(aws), pid)
        if tools.credentials is None:
            # Whoever gives them out may be away for a moment: they are asked for again.
            _make_tools.cache_clear()
        return tools


@lru_cache(maxsize=4)
def _make_tools(
    endpoint: str | None, profile: str, aws: tuple[tuple[str, str], ...], _pid: int
) -> S3Tools:
    """Kept: to make a client takes longer than most requests. Safe between threads; a forked
    process makes its own, for connections are not to be shared."""
    import boto3
    from botocore.config import Config

    # Servers of other makers are rarely set up for a name per bucket.
    own = is_other_maker(endpoint)
    session = boto3.session.Session(profile_name=profile or None)
    config = Config(
        signature_version="s3v4",
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=32,
        tcp_keepalive=True,
        s3={"addressing_style": "path"} if own else None,
        # The sums are our own, sent as a header: trailers are more than many servers know.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = session.client(
        "s3",
        endpoint_url=endpoint,
        config=config,
        region_name=session.region_name or "us-east-1",
    )
    return S3Tools(client, ThreadPoolExecutor(_THREADS, "s3-part"), session.get_credentials())
