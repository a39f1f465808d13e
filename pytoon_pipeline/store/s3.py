"""A store in a bucket, at Amazon's S3 or any server that speaks it.

Who asks, and in which region, is up to AWS's own settings. `boto3` is loaded when something is
first asked of a store.
"""

from __future__ import annotations

import hashlib
import io
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Concatenate, NoReturn, ParamSpec, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pytoon_pipeline.errors import StoreError
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
from pytoon_pipeline.store.content_types import content_type_of
from pytoon_pipeline.store.s3_client import (
    checked_endpoint,
    is_other_maker,
    open_tools,
    store_setting_error,
)
from pytoon_pipeline.store.s3_download import BrokenTransferError, hash_in_two_parts, receive_body
from pytoon_pipeline.store.s3_errors import (
    error_code,
    error_status,
    explain_error,
    is_unavailable,
    retry_count,
)
from pytoon_pipeline.store.s3_upload import (
    UploadDraft,
    abort_unfinished_uploads,
    send_in_parts,
    send_whole,
)

log = logging.getLogger("pytoon.store")
P = ParamSpec("P")
T = TypeVar("T")

PART = 8 * 2**20
"""Bytes: what is longer goes up in parts of this size."""
_TRIES = 4
"""Of a download that breaks off. What fails before its first byte, botocore asks again by
itself."""
PATIENCE = 60.0
"""Seconds that a bucket is waited for when all those tries failed as it was away: its server is
started again, a network breaks off. As long as a database is waited for."""
_AGAIN = 2.0
"""Seconds between two such looks."""
LONGEST_LINK = 7 * 86400
"""Seconds; no signature is good for longer."""


def open_s3(settings: Settings) -> S3Store:
    """Return the store of `s3://bucket/prefix`. Raises SettingsError where the setting is no such
    address."""
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


class S3Store(Store):
    """A store in a bucket. Its methods are those of `Store`."""

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
        of the bucket yet. Raises SettingsError for an endpoint that is none."""
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
        draft = UploadDraft(path, path.stat().st_size, bytes.fromhex(digest))
        version = self._send_draft(key, at, draft, once)
        if version is not None:
            self.cache.keep(key, path, _version_of_etag(version), time.time(), digest)
        return version is not None

    @_with_retries
    def _send_draft(
        self, key: str, at: dict[str, str], draft: UploadDraft, once: bool
    ) -> str | None:
        """The ETag of what was put, None where another was there first."""
        from botocore.exceptions import BotoCoreError, ClientError

        mark = uuid4().hex
        about = {
            **at,
            "ContentType": content_type_of(key),
            "Metadata": {"sha256": draft.sha256.hex(), "put": mark},
        }
        # To send much for nothing is dear, so then the question comes first, too.
        ask = self._ask_first or draft.size > self.part
        for attempt in range(_TRIES):
            if once and (ask or not self._conditional) and self._head_object(key) is not None:
                return None
            condition = {"IfNoneMatch": "*"} if once and self._conditional else {}
            try:
                if draft.size > self.part:
                    tools = open_tools(self.endpoint)
                    return send_in_parts(tools, draft, about, condition, part=self.part)
                return send_whole(self._client, draft, about, condition)
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
        """The copy of the object as it is now, if this machine has one. Raises ObjectNotFoundError
        when the object is gone from where it would have been compared."""
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
        SHA-256. Whole and as it was put, or StoreError; DamagedObjectError where the object itself
        is not what was put, and is removed."""
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
                    return answer, receive_body(key, body, answer, to)
            except (BotoCoreError, BrokenTransferError) as error:
                came.append(f"{answer['ETag']} {getattr(error, 'sha256', '')}")
                if attempt == _TRIES - 1:
                    why = (
                        str(error)
                        if isinstance(error, BrokenTransferError)
                        else "the connection broke off"
                    )
                    if (
                        isinstance(error, BrokenTransferError)
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
        self, key: str, answer: dict[str, Any], why: str, error: BrokenTransferError
    ) -> None:
        """Take away an object that came whole, and each time with the same wrong contents; but not
        for a connection that spoils what it carries: read in two parts it must be the same still,
        and no other may have been put there meanwhile."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            again = hash_in_two_parts(self._client, self._object_arguments(key), answer)
        except (BotoCoreError, ClientError):
            return
        if again is not None and again != error.sha256:
            return
        self.delete(key)
        raise self._report_damage(key, why) from error

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
        start = f"{self.prefix}/" if self.prefix else ""
        gone: list[str] = []
        try:
            for key in abort_unfinished_uploads(self._client, self.bucket, start, older):
                gone.append(f"an unfinished upload of {key.removeprefix(start)}")
        except (ClientError, BotoCoreError, ValueError) as error:
            self._raise_store_error(
                error,
                f"unfinished uploads to {self._root_location()} can't be taken away",
                "s3:ListBucketMultipartUploads and s3:AbortMultipartUpload",
            )
        return gone

    def honours_conditions(self, key: str) -> bool:
        """Return whether the server refuses to overwrite an existing object when it is asked to
        refuse. This is tried on the object at `key`, which may be lost."""
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
        """Return a signed link, or the plain address where the link would hold the session token of
        temporary credentials, which must not be written into pages and records."""
        return self.place(key) if self._signs_with_token() else self.link(key)

    def link(self, key: str) -> str:
        """Return a signed link, made without asking the server. It opens in a browser, and the file
        is saved under a name that says which brief it belongs to."""
        from botocore.exceptions import BotoCoreError

        parts = PurePosixPath(key).parts[-2:]
        name = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in "-".join(parts))
        plain = name.encode("ascii", "replace").decode().replace("?", "_")
        encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
        params = {
            **self._object_arguments(key),
            "ResponseContentType": content_type_of(key),
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
        """Return the time, in seconds since 1970, until which links made now are good; None where
        links are not to be written down."""
        # Links of temporary credentials, which end with these, are not written down.
        return None if self._signs_with_token() else time.time() + self.link_seconds

    # Failures -----------------------------------------------------------------------------------

    def _raise_store_error(self, error: Exception, what: str, right: str) -> NoReturn:
        why, remedy = explain_error(error, self.bucket, right)
        raise StoreError(f"{what}: {why}. {remedy}") from error


def _version_of_etag(etag: str) -> str:
    return etag.strip('"')


def _pause_before_retry(attempt: int) -> None:
    time.sleep(random.uniform(0.5, 1) * min(8, 2**attempt) / 2)
