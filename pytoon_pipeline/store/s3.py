"""A store in a bucket, at Amazon's S3 or any server that speaks it.

Who asks, and in which region, is up to AWS's own settings. `boto3` is loaded when something is
first asked of a store.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import random
import re
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache, wraps
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Concatenate, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

from pytoon_pipeline.errors import Problem, SettingsError, StoreError
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import sums
from pytoon_pipeline.store.base import (
    CONTENT,
    ObjectNotFoundError,
    Store,
    StoredObject,
    checked_key,
)
from pytoon_pipeline.store.cache import ObjectCache

log = logging.getLogger("pytoon.store")
P = ParamSpec("P")
T = TypeVar("T")

PART = 8 * 2**20
"""Bytes: what is longer goes up in parts of this size."""
_MAX_PARTS = 10_000
_THREADS = 4
"""Parts that a process has under way, whatever is put: 32 MiB of memory."""
_CHUNK = 2**20
_TRIES = 4
"""Of a download that breaks off. What fails before its first byte, botocore asks again by
itself."""
_ATTEMPTS = 6
"""Of a request: with the waits between them some 15 seconds, at most 31."""
PATIENCE = 60.0
"""Seconds that a bucket is waited for when all those tries failed as it was away: its server is
started again, a network breaks off. As long as a database is waited for."""
_AGAIN = 2.0
"""Seconds between two such looks."""
LONGEST_LINK = 7 * 86400
"""Seconds; no signature is good for longer."""

_TYPES = {
    ".mp4": "video/mp4",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".wav": "audio/wav",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".flac": "audio/flac",
    ".yaml": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".vtt": "text/vtt; charset=utf-8",
    ".srt": "text/plain; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_OTHER = "application/octet-stream"


# Addresses ---------------------------------------------------------------------------------------


def store_setting_error(name: str, message: str, remedy: str) -> SettingsError:
    return SettingsError(Problem("settings.store", message, remedy, field=name))


def open_s3(settings: Settings) -> S3Store:
    """The bucket of `s3://bucket/prefix`. Raises SettingsError for what is no such address."""
    bucket, _, prefix = settings.store.removeprefix("s3://").partition("/")
    ip = re.fullmatch(r"\d+(\.\d+){3}", bucket)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) or ".." in bucket or ip:
        raise store_setting_error(
            "PYTOON_STORE",
            f"{settings.store!r} names no bucket that there could be.",
            "Write s3://bucket/prefix, the bucket in 3 to 63 small letters, digits, '-' and '.'.",
        )
    prefix = prefix.strip("/")
    try:
        prefix and checked_key(prefix)
    except StoreError as error:
        raise store_setting_error(
            "PYTOON_STORE",
            f"{settings.store!r} has a prefix that is no path.",
            "Write s3://bucket/prefix, without '//', '.' or '..' in the prefix.",
        ) from error
    return S3Store(
        bucket,
        prefix,
        settings.cache,
        endpoint=settings.s3_endpoint,
        public=settings.s3_public_endpoint,
        link_seconds=settings.link_seconds,
        cache_bytes=settings.cache_bytes,
        link_profile=settings.link_profile,
    )


def checked_endpoint(endpoint: str) -> str:
    """What it says is not repeated where it may hold a password."""
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
    """Is it a server of another maker than Amazon?"""
    return endpoint is not None or any(name.startswith("AWS_ENDPOINT_URL") for name in os.environ)


# The client --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class S3Tools:
    client: Any
    pool: ThreadPoolExecutor
    credentials: Any


_OPENING: dict[int, threading.Lock] = {}
"""By process: a lock that was held when the process was forked is held for ever."""


def open_tools(endpoint: str | None, profile: str = "") -> S3Tools:
    """`profile` is one of AWS's own files of settings; who asks is up to the environment if none is
    named."""
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


# The store ---------------------------------------------------------------------------------------


def _with_retries(
    method: Callable[Concatenate[S3Store, P], T],
) -> Callable[Concatenate[S3Store, P], T]:
    """Wait for a bucket that is away, and do it again. Whatever is done so may be done twice."""

    @wraps(method)
    def retry_call(self: S3Store, *args: P.args, **kwargs: P.kwargs) -> T:
        until = None
        while True:
            try:
                return method(self, *args, **kwargs)
            except StoreError as error:
                now = time.monotonic()
                if until is None and self.patience and is_unavailable(error.__cause__):
                    log.warning("%s Waiting for it.", error)
                    until = now + self.patience
                if until is None or now >= until or not is_unavailable(error.__cause__):
                    raise
                time.sleep(_AGAIN)

    return retry_call


class _BrokenTransferError(Exception):
    """What came is not the object, or not the whole of it. `sha256` is that of what came whole."""

    def __init__(self, why: str, sha256: str = ""):
        super().__init__(why)
        self.sha256 = sha256


@dataclass(frozen=True)
class _UploadDraft:
    """What is to be put, in a file that nobody else writes to."""

    path: Path
    size: int
    """Bytes."""
    sha256: bytes


class S3Store(Store):
    shared = True

    def __init__(
        self,
        bucket: str,
        prefix: str,
        cache: Path,
        *,
        endpoint: str | None = None,
        public: str | None = None,
        link_seconds: int = LONGEST_LINK,
        cache_bytes: int = Settings.cache_bytes,
        link_profile: str = "",
        part: int = PART,
    ):
        """`public` is where a person's browser finds the server, if not at `endpoint`;
        `link_profile` the profile whose key signs links, if not the store's own. Nothing is asked
        of the bucket yet. SettingsError for an endpoint that is none."""
        super().__init__()
        self.bucket, self.prefix, self.part = bucket, prefix, part
        self.endpoint = checked_endpoint(endpoint) if endpoint else None
        self.public = checked_endpoint(public) if public else self.endpoint
        self.link_profile = link_profile
        self.link_seconds = max(1, min(link_seconds, LONGEST_LINK))
        mark = hashlib.sha256(f"{endpoint or ''} {bucket}/{prefix}".encode()).hexdigest()[:8]
        self.cache = ObjectCache(cache, f"{bucket}-{mark}", cache_bytes)
        # Amazon honours the condition of a write. Others may pass over it without a word, so
        # they are asked before, too; see docs/s3.md.
        self._ask_first = is_other_maker(endpoint)
        self._conditional = True
        self.patience = PATIENCE

    @property
    def _client(self) -> Any:
        return open_tools(self.endpoint).client

    def _object_arguments(self, key: str) -> dict[str, str]:
        """The object, as every request names it."""
        checked_key(key)
        return {"Bucket": self.bucket, "Key": f"{self.prefix}/{key}" if self.prefix else key}

    def place(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._object_arguments(key)['Key']}"

    def _root_location(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    # Looking ------------------------------------------------------------------------------------

    @_with_retries
    def _head_object(self, key: str) -> dict[str, Any] | None:
        from botocore.exceptions import BotoCoreError, ClientError

        at = self._object_arguments(key)
        try:
            return self._client.head_object(**at)
        except (ClientError, BotoCoreError, ValueError) as error:
            if error_status(error) == 404:
                return None
            self._raise_store_error(error, f"{self.place(key)} can't be looked at", "s3:GetObject")

    def exists(self, key: str) -> bool:
        return self._head_object(key) is not None

    def stat(self, key: str) -> StoredObject | None:
        head = self._head_object(key)
        if head is None:
            return None
        return StoredObject(key, head["ContentLength"], head["LastModified"].timestamp())

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        from botocore.exceptions import BotoCoreError, ClientError

        start = f"{self.prefix}/" if self.prefix else ""
        below = f"{self._object_arguments(prefix)['Key']}/" if prefix else start
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=below
            )
            for page in pages:
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(start)
                    with suppress(StoreError):  # What others put there under odd names is theirs.
                        checked_key(key)
                        yield StoredObject(key, found["Size"], found["LastModified"].timestamp())
        except (ClientError, BotoCoreError, ValueError) as error:
            self._raise_store_error(
                error, f"{self._root_location()} can't be listed", "s3:ListBucket"
            )

    # Putting ------------------------------------------------------------------------------------

    def put(self, key: str, source: Path, *, once: bool = False, move: bool = False) -> bool:
        with self.cache.draft() as path:
            # A copy first: what was summed is then what goes up and what this machine reads,
            # whatever becomes of the source meanwhile.
            try:
                digest = sums.bring_contents(source, path, move)
            except OSError as error:
                raise StoreError(f"{self.place(key)} can't be put: {error}") from error
            return self._put_file(key, path, digest, once)

    def put_bytes(self, key: str, data: bytes, *, once: bool = False) -> bool:
        with self.cache.draft() as path:
            path.write_bytes(data)
            return self._put_file(key, path, hashlib.sha256(data).hexdigest(), once)

    def _put_file(self, key: str, path: Path, digest: str, once: bool) -> bool:
        at = self._object_arguments(key)
        sums.check_name(key, digest)
        draft = _UploadDraft(path, path.stat().st_size, bytes.fromhex(digest))
        version = self._send_draft(key, at, draft, once)
        if version is not None:
            self.cache.keep(key, path, _version_of_etag(version), time.time(), digest)
        return version is not None

    @_with_retries
    def _send_draft(
        self, key: str, at: dict[str, str], draft: _UploadDraft, once: bool
    ) -> str | None:
        """The ETag of what was put, None where another was there first."""
        from botocore.exceptions import BotoCoreError, ClientError

        mark = uuid4().hex
        about = {
            **at,
            "ContentType": _TYPES.get(PurePosixPath(key).suffix.lower(), _OTHER),
            "Metadata": {"sha256": draft.sha256.hex(), "put": mark},
        }
        send = self._send_parts if draft.size > self.part else self._send_whole
        # To send much for nothing is dear, so then the question comes first, too.
        ask = self._ask_first or draft.size > self.part
        for attempt in range(_TRIES):
            if once and (ask or not self._conditional) and self._head_object(key) is not None:
                return None
            condition = {"IfNoneMatch": "*"} if once and self._conditional else {}
            try:
                return send(draft, about, condition)
            except (ClientError, BotoCoreError, ValueError) as error:
                status, code = error_status(error), error_code(error)
                # An answer that was lost: asked again, the server says that it is there already,
                # or knows nothing of its parts any more.
                if status == 412 or code == "NoSuchUpload":
                    head = self._head_object(key) if retry_count(error) else None
                    if head is not None and head["Metadata"].get("put") == mark:
                        return head["ETag"]
                if condition and status == 412:
                    return None
                last = attempt == _TRIES - 1
                if condition and status == 501 and not last:
                    self._conditional = False
                elif condition and status == 409 and not last:
                    _pause_before_retry(attempt)  # Another writes it right now.
                else:
                    self._raise_store_error(
                        error, f"{self.place(key)} can't be put", "s3:PutObject"
                    )
            except OSError as error:
                raise StoreError(f"{self.place(key)} can't be put: {error}") from error
        raise AssertionError("unreachable")

    def _send_whole(
        self, draft: _UploadDraft, about: dict[str, Any], condition: dict[str, str]
    ) -> str:
        with open(draft.path, "rb") as body:
            answer = self._client.put_object(
                Body=body,
                ContentLength=draft.size,
                ChecksumSHA256=_encode_base64(draft.sha256),
                **about,
                **condition,
            )
        return answer["ETag"]

    def _send_parts(
        self, draft: _UploadDraft, about: dict[str, Any], condition: dict[str, str]
    ) -> str:
        tools = open_tools(self.endpoint)
        size = max(self.part, -(-draft.size // _MAX_PARTS))
        upload = {"Bucket": about["Bucket"], "Key": about["Key"]}
        upload["UploadId"] = tools.client.create_multipart_upload(
            ChecksumAlgorithm="SHA256", **about
        )["UploadId"]
        futures: list[Future[dict[str, Any]]] = []

        def send_part(number: int, file: BinaryIO) -> dict[str, Any]:
            data = os.pread(file.fileno(), size, (number - 1) * size)
            said = {
                "PartNumber": number,
                "ChecksumSHA256": _encode_base64(hashlib.sha256(data).digest()),
            }
            answer = tools.client.upload_part(Body=data, **said, **upload)
            return {"ETag": answer["ETag"], **said}

        with open(draft.path, "rb") as file:
            try:
                for number in range(1, -(-draft.size // size) + 1):
                    futures.append(tools.pool.submit(send_part, number, file))
                parts = [future.result() for future in futures]
                answer = tools.client.complete_multipart_upload(
                    MultipartUpload={"Parts": parts}, **upload, **condition
                )
            except BaseException:
                for future in futures:
                    future.cancel()
                wait(futures)  # A part that comes after the end would lie there for ever.
                with suppress(Exception):  # `sweep` does what was not done here.
                    tools.client.abort_multipart_upload(**upload)
                raise
        return answer["ETag"]

    # Getting ------------------------------------------------------------------------------------

    def local(self, key: str) -> Path:
        self._object_arguments(key)
        path = self._find_copy(key, recent=True)
        if path is not None:
            return path
        with self.cache.lock(key):
            path = self._find_copy(key)  # Another may have fetched it meanwhile.
            if path is not None:
                return path
            with self.cache.draft() as draft, open(draft, "wb") as file:
                answer, digest = self._receive_object(key, file)
                file.flush()
                modified = answer["LastModified"].timestamp()
                return self.cache.keep(
                    key, draft, _version_of_etag(answer["ETag"]), modified, digest
                )

    def _find_copy(self, key: str, *, recent: bool = False) -> Path | None:
        """The copy of the object as it is now, if this machine has one. Missing when the object
        is gone from where it would have been compared."""
        copies = self.cache.copies(key, recent=recent)
        if copies and key.partition("/")[0] not in CONTENT:
            head = self._head_object(key)
            if head is None:
                raise self._not_found_error(key)
            copies = [c for c in copies if c.version == _version_of_etag(head["ETag"])]
        return next((self.cache.use(c) for c in copies if self.cache.is_whole(key, c)), None)

    def read_bytes(self, key: str) -> bytes:
        self._object_arguments(key)
        if key.partition("/")[0] in CONTENT:
            for copy in self.cache.copies(key, recent=True):
                if self.cache.is_whole(key, copy):
                    return self.cache.use(copy).read_bytes()
        to = io.BytesIO()
        self._receive_object(key, to)
        return to.getvalue()

    @_with_retries
    def _receive_object(self, key: str, to: BinaryIO) -> tuple[dict[str, Any], str]:
        """The object into a file, from its beginning; returns what the server said of it, and its
        SHA-256. Whole and as it was put, or StoreError; Damaged where the object itself is not what
        was put, and is taken away."""
        from botocore.exceptions import BotoCoreError, ClientError

        at = self._object_arguments(key)
        came: list[str] = []
        for attempt in range(_TRIES):
            try:
                answer = self._client.get_object(**at)
            except (ClientError, BotoCoreError, ValueError) as error:
                if error_status(error) == 404 and error_code(error) in ("NoSuchKey", "404"):
                    raise self._not_found_error(key) from error
                self._raise_store_error(error, f"{self.place(key)} can't be read", "s3:GetObject")
            try:
                with closing(answer["Body"]) as body:
                    return answer, self._take_body(key, body, answer, to)
            except (BotoCoreError, _BrokenTransferError) as error:
                came.append(f"{answer['ETag']} {getattr(error, 'sha256', '')}")
                if attempt == _TRIES - 1:
                    why = (
                        str(error)
                        if isinstance(error, _BrokenTransferError)
                        else "the connection broke off"
                    )
                    if (
                        isinstance(error, _BrokenTransferError)
                        and error.sha256
                        and len(set(came)) == 1
                    ):
                        self._take_away_damaged(key, answer, why, error)
                    raise StoreError(
                        f"{self.place(key)} can't be read: {why}, {_TRIES} times. Try again; if "
                        "the object itself is damaged, delete it: it is made again."
                    ) from error
                _pause_before_retry(attempt)
        raise AssertionError("unreachable")

    def _take_away_damaged(
        self, key: str, answer: dict[str, Any], why: str, error: _BrokenTransferError
    ) -> None:
        """Take away an object that came whole, and each time with the same wrong contents; but not
        for a connection that spoils what it carries: read in two parts it must be the same still,
        and no other may have been put there meanwhile."""
        from botocore.exceptions import BotoCoreError, ClientError

        half, digest = answer["ContentLength"] // 2, hashlib.sha256()
        try:
            for part in (f"bytes=0-{half - 1}", f"bytes={half}-") if half else ():
                again = self._client.get_object(
                    Range=part, IfMatch=answer["ETag"], **self._object_arguments(key)
                )
                with closing(again["Body"]) as body:
                    for chunk in body.iter_chunks(_CHUNK):
                        digest.update(chunk)
        except (BotoCoreError, ClientError):
            return
        if half and digest.hexdigest() != error.sha256:
            return
        self.delete(key)
        raise self._report_damage(key, why) from error

    def _take_body(self, key: str, body: Any, answer: dict[str, Any], to: BinaryIO) -> str:
        to.seek(0)
        to.truncate()
        digest, length = hashlib.sha256(), 0
        for chunk in body.iter_chunks(_CHUNK):
            digest.update(chunk)
            to.write(chunk)
            length += len(chunk)
        if length != answer["ContentLength"]:
            raise _BrokenTransferError(f"{length} bytes of {answer['ContentLength']} came")
        # What a person put there by hand has no sum of ours; the key of a medium is one.
        named, found = sums.named_sum(key), digest.hexdigest()
        for wanted in (answer["Metadata"].get("sha256"), named and named.sha256):
            if wanted and wanted != found:
                raise _BrokenTransferError(
                    "what came is not what was put (its SHA-256 differs)", found
                )
        return found

    def _not_found_error(self, key: str) -> ObjectNotFoundError:
        return ObjectNotFoundError(f"{key} is not in the store {self._root_location()}.")

    # Taking away --------------------------------------------------------------------------------

    @_with_retries
    def delete(self, key: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        at = self._object_arguments(key)
        try:
            self._client.delete_object(**at)
        except (ClientError, BotoCoreError, ValueError) as error:
            self._raise_store_error(error, f"{self.place(key)} can't be deleted", "s3:DeleteObject")
        self.cache.drop(key)

    def sweep(self, older: float) -> list[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        self.cache.tidy(now=True)
        start, gone = f"{self.prefix}/" if self.prefix else "", []
        try:
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=start
            )
            for page in pages:
                # By the server's clock, as the time of the upload is.
                said = page["ResponseMetadata"]["HTTPHeaders"].get("date")
                now = parsedate_to_datetime(said).timestamp() if said else time.time()
                for each in page.get("Uploads", []):
                    if now - each["Initiated"].timestamp() <= older:
                        continue
                    try:
                        self._client.abort_multipart_upload(
                            Bucket=self.bucket, Key=each["Key"], UploadId=each["UploadId"]
                        )
                    except ClientError as error:
                        if error_status(error) != 404:  # Its owner may have finished just now.
                            raise
                    else:
                        gone.append(f"an unfinished upload of {each['Key'].removeprefix(start)}")
        except (ClientError, BotoCoreError, ValueError) as error:
            self._raise_store_error(
                error,
                f"unfinished uploads to {self._root_location()} can't be taken away",
                "s3:ListBucketMultipartUploads and s3:AbortMultipartUpload",
            )
        return gone

    def honours_conditions(self, key: str) -> bool:
        """Does the server refuse to write over an object that is there, when asked to refuse?
        Tried on one that may be lost."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(**self._object_arguments(key), Body=b"", IfNoneMatch="*")
        except (ClientError, BotoCoreError, ValueError) as error:
            if error_status(error) in (409, 412, 501):
                return error_status(error) != 501
            self._raise_store_error(error, f"{self.place(key)} can't be put", "s3:PutObject")
        return False

    # Links --------------------------------------------------------------------------------------

    def _signs_with_token(self) -> bool:
        """Would a link hold the session token of temporary credentials?"""
        from botocore.exceptions import BotoCoreError

        try:
            found = open_tools(self.public, self.link_profile).credentials
            return bool(found and found.get_frozen_credentials().token)
        except (BotoCoreError, ValueError) as error:
            self._raise_store_error(
                error, f"links to {self._root_location()} can't be made", "s3:GetObject"
            )

    def url(self, key: str) -> str:
        """A signed link; the plain address where that would hold the token of temporary
        credentials, which is not to be written into pages and records."""
        return self.place(key) if self._signs_with_token() else self.link(key)

    def link(self, key: str) -> str:
        """A signed link, made without asking the server. It opens in a browser, and is saved under
        a name that says of which brief it is."""
        from botocore.exceptions import BotoCoreError

        parts = PurePosixPath(key).parts[-2:]
        name = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in "-".join(parts))
        plain = name.encode("ascii", "replace").decode().replace("?", "_")
        encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
        params = {
            **self._object_arguments(key),
            "ResponseContentType": _TYPES.get(PurePosixPath(key).suffix.lower(), _OTHER),
            "ResponseContentDisposition": f'inline; filename="{plain}"{encoded}',
        }
        try:
            return open_tools(self.public, self.link_profile).client.generate_presigned_url(
                "get_object", Params=params, ExpiresIn=self.link_seconds
            )
        except (BotoCoreError, ValueError) as error:
            self._raise_store_error(
                error, f"a link to {self.place(key)} can't be made", "s3:GetObject"
            )

    def links_until(self) -> float | None:
        # Links of temporary credentials, which end with these, are not written down.
        return None if self._signs_with_token() else time.time() + self.link_seconds

    # Failures -----------------------------------------------------------------------------------

    def _raise_store_error(self, error: Exception, what: str, right: str) -> NoReturn:
        why, remedy = explain_error(error, self.bucket, right)
        raise StoreError(f"{what}: {why}. {remedy}") from error


def _encode_base64(digest: bytes) -> str:
    return b64encode(digest).decode()


def _version_of_etag(etag: str) -> str:
    return etag.strip('"')


def _pause_before_retry(attempt: int) -> None:
    time.sleep(random.uniform(0.5, 1) * min(8, 2**attempt) / 2)


# What S3 says, in plain words --------------------------------------------------------------------


def _error_answer(error: Exception) -> dict[str, Any]:
    return getattr(error, "response", None) or {}


def error_status(error: Exception) -> int:
    return int(_error_answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def error_code(error: Exception) -> str:
    return str(_error_answer(error).get("Error", {}).get("Code", ""))


def retry_count(error: Exception) -> int:
    """How many times it was asked again."""
    return int(_error_answer(error).get("ResponseMetadata", {}).get("RetryAttempts", 0))


def is_unavailable(error: BaseException | None) -> bool:
    """Is it of the kind that passes: nobody answers, or the server says that it can't now?"""
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        return error_status(error) >= 500 or error_code(error) in ("SlowDown", "RequestTimeout")
    if isinstance(error, (known.SSLError, known.ProxyConnectionError)):
        return False
    return isinstance(error, (known.ConnectionError, known.HTTPClientError))


_LOGIN = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the role that Pytoon runs with."
_REGION = "Set AWS_REGION to the region of the bucket."
_SERVER = "Check PYTOON_S3_ENDPOINT, AWS_REGION and this machine's network, then try again."
_RIGHT = "Allow {right} there to whom Pytoon runs as (docs/s3.md has a policy)."

_SAID: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no bucket {bucket}", "Create it, or correct PYTOON_STORE."),
    "AccessDenied": ("there is no permission for it", _RIGHT),
    "AllAccessDisabled": ("the bucket is closed to everybody", "Ask whoever owns it."),
    "InvalidAccessKeyId": ("the credentials are not known there", _LOGIN),
    "SignatureDoesNotMatch": ("the credentials are not accepted", _LOGIN),
    "ExpiredToken": ("the credentials have run out", _LOGIN),
    "InvalidToken": ("the credentials are not accepted", _LOGIN),
    "RequestTimeTooSkewed": (
        "this machine's clock differs from the server's",
        "Set the clock (NTP), then try again.",
    ),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "301": ("the bucket is in another region", _REGION),
    "400": ("the server refuses the request", f"{_LOGIN} {_REGION}"),
    "KeyTooLongError": ("its key is too long", "Shorten the name of the campaign or the brief."),
    "EntityTooLarge": ("it is too large for the server", "Raise the server's limit."),
    "XMinioStorageFull": ("the server's disk is full", "Make room there."),
    "InvalidObjectState": ("it lies in an archive", "Restore the object first."),
}
_SAID["403"] = (
    "there is no permission for it, or it is not there",
    "Allow {right} and s3:ListBucket there to whom Pytoon runs as (docs/s3.md has a policy).",
)


def explain_error(error: Exception, bucket: str, right: str) -> tuple[str, str]:
    """What went wrong, and the remedy. Nothing of a request is repeated: it holds a signature."""
    from botocore import exceptions as known

    if isinstance(error, known.ClientError):
        code = error_code(error) or str(error_status(error))
        if code in _SAID:
            why, remedy = _SAID[code]
        elif error_status(error) >= 500 or code == "SlowDown":
            why = f"the server answers {code} ({retry_count(error) + 1} tries)"
            remedy = "Try again later; see what is wrong with the server if it stays."
        else:
            said = str(_error_answer(error).get("Error", {}).get("Message", "")).strip().rstrip(".")
            why, remedy = f"the server answers {code}" + (f" ({said})" if said else ""), _SERVER
        return why.format(bucket=bucket), remedy.format(right=right)
    logins = (
        known.NoCredentialsError,
        known.PartialCredentialsError,
        known.CredentialRetrievalError,
        known.TokenRetrievalError,
    )
    if isinstance(error, logins):
        return "there are no credentials for it", _LOGIN
    if isinstance(error, (known.ReadTimeoutError, known.ConnectTimeoutError)):
        return "the server does not answer", _SERVER
    if isinstance(error, known.SSLError):
        remedy = "Name the authority that signed it in AWS_CA_BUNDLE."
        return "the server's certificate is not trusted", remedy
    if isinstance(error, known.ProxyConnectionError):
        return "the proxy can't be reached", "Check HTTPS_PROXY."
    if isinstance(error, (known.ConnectionError, known.HTTPClientError)):
        return "the server can't be reached", _SERVER
    return type(error).__name__, _SERVER
