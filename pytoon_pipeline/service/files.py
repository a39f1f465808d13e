"""Finished files over HTTP: whole or in part, known by their contents."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.service.errors import ApiError

_CHUNK = 256 * 1024


def file_response(request: Request, path: Path, kind: str, name: str) -> Response:
    """A file of the store: 200, 206 for one range, 304. ApiError 416 for a range beyond its end.

    `name` is what a browser would save it as. Several ranges at once, and ranges in another form
    than bytes, are answered with the whole file, as HTTP allows.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise file_gone_error() from error
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error.strerror}.") from error
    try:
        info = os.fstat(file.fileno())
        size = info.st_size
        etag = f'"{_hash_open_file(file, info)[:32]}"'
        headers = {
            "ETag": etag,
            "Last-Modified": formatdate(info.st_mtime, usegmt=True),
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-cache",
            "Content-Disposition": _content_disposition(name),
        }
        asked = request.headers
        known = [e.strip().removeprefix("W/") for e in asked.get("if-none-match", "").split(",")]
        if etag in known or "*" in known:
            file.close()
            return Response(status_code=304, headers=headers)
        first, end, status = 0, size, 200
        whole = asked.get("if-range") not in (None, etag, headers["Last-Modified"])
        if "range" in asked and not whole:
            wanted = _parse_range(asked["range"], size)
            if wanted is not None:
                (first, end), status = wanted, 206
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - first)
        if request.method == "HEAD":
            file.close()
            return Response(status_code=status, headers=headers, media_type=kind)
        file.seek(first)
    except BaseException:
        file.close()
        raise
    return StreamingResponse(_iterate_pieces(file, end - first), status, headers, kind)


def _iterate_pieces(file: BinaryIO, left: int) -> Iterator[bytes]:
    # The file that was opened, even where another has taken its name since.
    with file:
        while left > 0:
            piece = file.read(min(_CHUNK, left))
            if not piece:
                return
            left -= len(piece)
            yield piece


def _parse_range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and end of a single range; None where there is none to heed."""
    found = re.fullmatch(r"bytes\s*+=\s*+(\d{0,18})\s*+-\s*+(\d{0,18})\s*+", text)
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, end = max(0, size - int(found[2])), size
        beyond = int(found[2]) == 0 or size == 0
    else:
        first = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < first:
            return None
        beyond = first >= size
    if beyond:
        raise ApiError(
            416,
            "range.beyond",
            f"The file has {size} bytes.",
            "Ask for a part of it.",
            headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"},
        )
    return first, end


def file_gone_error() -> ApiError:
    """Of a file that was there once."""
    return ApiError(404, "file.gone", "The file is in the store no more.", "Send the brief again.")


_HASHES: OrderedDict[tuple[int, ...], str] = OrderedDict()
"""Of files by what tells one from another, whatever its name: a path may lead to a new file."""
_MAX_HASHES = 4096
_lock = threading.Lock()


def _hash_open_file(file: IO[bytes], info: os.stat_result) -> str:
    """Of an open file, which is at its beginning."""
    state = info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns
    with _lock:
        if state in _HASHES:
            _HASHES.move_to_end(state)
            return _HASHES[state]
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    found = digest.hexdigest()
    with _lock:
        _HASHES[state] = found
        while len(_HASHES) > _MAX_HASHES:
            _HASHES.popitem(last=False)
    return found


def _content_disposition(name: str) -> str:
    name = "".join(c if c.isprintable() and c not in '/\\"' else "_" for c in name).strip(". ")
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    encoded = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
