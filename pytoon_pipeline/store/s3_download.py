"""The contents of objects as they come from a bucket, checked against what was put."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import Any, BinaryIO

from pytoon_pipeline.store import sums

_CHUNK = 2**20


class BrokenTransferError(Exception):
    """What came is not the object, or not the whole of it. `sha256` is that of what came whole."""

    def __init__(self, why: str, sha256: str = ""):
        super().__init__(why)
        self.sha256 = sha256


def receive_body(key: str, body: Any, answer: dict[str, Any], to: BinaryIO) -> str:
    """Write the body of a download into a file, from its beginning, and return its SHA-256 in hex.

    Raises BrokenTransferError where it is not whole or not what was put.
    """
    to.seek(0)
    to.truncate()
    digest, length = hashlib.sha256(), 0
    for chunk in body.iter_chunks(_CHUNK):
        digest.update(chunk)
        to.write(chunk)
        length += len(chunk)
    if length != answer["ContentLength"]:
        raise BrokenTransferError(f"{length} bytes of {answer['ContentLength']} came")
    # What a person put there by hand has no sum of ours; the key of a medium is one.
    named, found = sums.named_sum(key), digest.hexdigest()
    for wanted in (answer["Metadata"].get("sha256"), named and named.sha256):
        if wanted and wanted != found:
            raise BrokenTransferError("what came is not what was put (its SHA-256 differs)", found)
    return found


def hash_in_two_parts(client: Any, at: dict[str, str], answer: dict[str, Any]) -> str | None:
    """Return the SHA-256, in hex, of the object at `at` as it comes in two requests, or None where
    it is too short for two. What the client raises passes through, also where the object is another
    than the one of `answer` by now.
    """
    half, digest = answer["ContentLength"] // 2, hashlib.sha256()
    if not half:
        return None
    for part in (f"bytes=0-{half - 1}", f"bytes={half}-"):
        again = client.get_object(Range=part, IfMatch=answer["ETag"], **at)
        with closing(again["Body"]) as body:
            for chunk in body.iter_chunks(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
