"""Uploads to a bucket: in one request or in parts, and the end of those that were left unfinished.

Whatever the client raises passes through.
"""

from __future__ import annotations

import hashlib
import os
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from pytoon_pipeline.store.s3_client import S3Tools
from pytoon_pipeline.store.s3_errors import error_status

_MAX_PARTS = 10_000


@dataclass(frozen=True)
class UploadDraft:
    """What is to be put, in a file that nobody else writes to."""

    path: Path
    size: int
    """Bytes."""
    sha256: bytes


def send_whole(
    client: Any, draft: UploadDraft, about: dict[str, Any], condition: dict[str, str]
) -> str:
    """Put the draft in one request and return the object's ETag.

    `about` holds the bucket, the key and what is to be said of the object, `condition` the
    condition of the write, if any.
    """
    with open(draft.path, "rb") as body:
        answer = client.put_object(
            Body=body,
            ContentLength=draft.size,
            ChecksumSHA256=_encode_base64(draft.sha256),
            **about,
            **condition,
        )
    return answer["ETag"]


def send_in_parts(
    tools: S3Tools,
    draft: UploadDraft,
    about: dict[str, Any],
    condition: dict[str, str],
    *,
    part: int,
) -> str:
    """Put the draft in parts of at least `part` bytes, several at a time, and return the object's
    ETag. Where that fails, the parts that were sent are given up.
    """
    size = max(part, -(-draft.size // _MAX_PARTS))
    upload = {"Bucket": about["Bucket"], "Key": about["Key"]}
    upload["UploadId"] = tools.client.create_multipart_upload(ChecksumAlgorithm="SHA256", **about)[
        "UploadId"
    ]
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
            with suppress(Exception):  # `abort_unfinished_uploads` does what was not done here.
                tools.client.abort_multipart_upload(**upload)
            raise
    return answer["ETag"]


def abort_unfinished_uploads(client: Any, bucket: str, prefix: str, older: float) -> Iterator[str]:
    """End the uploads below `prefix` that were begun more than `older` seconds ago and not
    finished, and yield the whole key of each."""
    from botocore.exceptions import ClientError

    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        # By the server's clock, as the time of the upload is.
        said = page["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(said).timestamp() if said else time.time()
        for upload in page.get("Uploads", []):
            if now - upload["Initiated"].timestamp() <= older:
                continue
            try:
                client.abort_multipart_upload(
                    Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
            except ClientError as error:
                if error_status(error) != 404:  # Its owner may have finished just now.
                    raise
            else:
                yield upload["Key"]


def _encode_base64(digest: bytes) -> str:
    return b64encode(digest).decode()
