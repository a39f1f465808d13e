"""Download an object from a bucket, with AWS's own settings, and explain its errors plainly."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from pytoon_pipeline.errors import FetchRefusedError
from pytoon_pipeline.media.addresses import strip_query, without_secrets
from pytoon_pipeline.media.download import (
    CHUNK,
    DownloadLimits,
    DownloadSink,
    FileDownload,
    FileVersion,
    address_digest,
    check_type,
    too_slow,
)

_MOMENT = 0.001
"""Seconds."""

# They write whole requests to the log, with the token of a session.
for _name in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def download_s3(
    address: str,
    bucket: str,
    key: str,
    target: Path,
    limits: DownloadLimits,
    known: FileVersion | None = None,
) -> FileDownload | None:
    """Download the object to `target`, and return what it is, or None when it still is the `known`
    version. Where the server is and who asks is up to AWS's own settings. Raises like
    `download_http`."""
    from botocore.exceptions import BotoCoreError, ClientError

    said, until = strip_query(address), time.monotonic() + limits.whole
    same = {"IfNoneMatch": known.etag} if known and known.etag else {}
    try:
        answer = _s3_now(limits).get_object(Bucket=bucket, Key=key, **same)
        with (
            closing(answer["Body"]) as body,
            _in_time(body, until),
            DownloadSink(target, said, limits, until) as sink,
        ):
            check_type(said, answer.get("ContentType", ""))
            sink.expect(answer.get("ContentLength"))
            for chunk in body.iter_chunks(CHUNK):
                sink.write(chunk)
            return sink.finish(FileVersion(address_digest(address), answer.get("ETag")))
    except ClientError as error:
        if same and error.response["ResponseMetadata"].get("HTTPStatusCode") == 304:
            return None
        _refuse_object(said, bucket, error)
    # ValueError is what an endpoint that is no address raises.
    except (BotoCoreError, ValueError) as error:
        _refuse_s3(said, limits, error)


@contextmanager
def _in_time(body: Any, until: float) -> Iterator[None]:
    """A body that trickles fills a chunk for ever: from a time on it may be silent no more."""
    timer = threading.Timer(until - time.monotonic(), body.set_socket_timeout, [_MOMENT])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_aws_settings() -> tuple[tuple[str, str], ...]:
    """AWS's own settings as they stand, and the process: its connections are not to be shared."""
    said = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return tuple(sorted(said.items())) + (("pid", str(os.getpid())),)


@lru_cache(maxsize=4)
def _open_client(limits: DownloadLimits, aws: tuple[tuple[str, str], ...]) -> Any:
    """A client, kept: to make one takes longer than most pictures do. Safe between threads."""
    import boto3
    from botocore.config import Config

    # Servers of other makers are rarely set up for a name per bucket.
    own = any(name.startswith("AWS_ENDPOINT_URL") for name, _ in aws)
    config = Config(
        connect_timeout=limits.connect,
        read_timeout=limits.silence,
        retries={"mode": "standard", "total_max_attempts": limits.retries + 1},
        s3={"addressing_style": "path"} if own else None,
    )
    session = boto3.session.Session()
    client = session.client("s3", config=config)
    if session.get_credentials() is None:
        # Whoever gives them out may be away for a moment: a client without them is not kept.
        raise _NoCredentialsError(client)
    return client


class _NoCredentialsError(Exception):
    """Carries a client that will say itself that it has none."""


def _s3_now(limits: DownloadLimits) -> Any:
    try:
        return _open_client(limits, _read_aws_settings())
    except _NoCredentialsError as found:
        return found.args[0]


_S3_REFUSALS = {
    "NoSuchKey": ("there is no such object", "Check the address."),
    "NoSuchBucket": ("there is no bucket {bucket}", "Check the address."),
    "AccessDenied": (
        "there is no permission to read it, or no such object",
        "Check the address; allow s3:GetObject there to whom Pytoon runs as.",
    ),
    "InvalidObjectState": ("it lies in an archive", "Restore the object first."),
}
_S3_REFUSALS["404"], _S3_REFUSALS["403"] = _S3_REFUSALS["NoSuchKey"], _S3_REFUSALS["AccessDenied"]
_S3_LOGIN = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role that Pytoon runs with."


def _refuse_object(said: str, bucket: str, error: Any) -> NoReturn:
    code = str(error.response.get("Error", {}).get("Code", ""))
    what, remedy = _S3_REFUSALS.get(code, (f"the bucket's server answers {code}", "Try again."))
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        what, remedy = f"the credentials for it are not accepted ({code})", _S3_LOGIN
    what = what.replace("{bucket}", bucket)
    raise FetchRefusedError("media.status", f"{said}: {what}.", remedy) from error


def _refuse_s3(said: str, limits: DownloadLimits, error: Exception) -> NoReturn:
    from botocore import exceptions as known

    if isinstance(error, (known.NoCredentialsError, known.PartialCredentialsError)):
        raise FetchRefusedError(
            "media.status", f"{said}: there are no credentials to read it with.", _S3_LOGIN
        ) from error
    if isinstance(error, (known.ReadTimeoutError, known.ConnectTimeoutError)):
        raise too_slow(said, limits) from error
    raise FetchRefusedError(
        "media.unreachable",
        # It quotes the address of the endpoint, with what may stand in front of the host.
        f"{said} can't be reached: {without_secrets(error)[:300].rstrip('.')}.",
        "Try again; check AWS_ENDPOINT_URL_S3, AWS_REGION and this machine's network.",
    ) from None
