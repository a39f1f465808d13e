"""Files of jobs, fetched whole or not at all, and taken up where an earlier call ended."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx

from pytoon_pipeline.cli.files import cannot_write
from pytoon_pipeline.cli.service_client import (
    _MAX_ANSWER,
    FILE_SECONDS,
    MAX_FILE_BYTES,
    ServiceClient,
    ServiceError,
)
from pytoon_pipeline.cli.terminal import (
    make_visible,
)
from pytoon_pipeline.durable import replace_file
from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.media.answers import (
    read_answer,
)
from pytoon_pipeline.store.base import checked_key


def relative_path(key: str) -> str:
    """A key as a way below a folder: it comes from elsewhere and must not lead out of it."""
    try:
        return checked_key(key)
    except StoreError as error:
        raise ServiceError(
            f"The server calls a video {make_visible(key)!r}, which is no name."
        ) from error


def download_file(there: ServiceClient, address: str, path: Path) -> None:
    """One file, whole or not at all. Its beginning is kept under a name that says of which
    contents it is the beginning, so that it is gone on with only while they are the same."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        headers, part = {}, _find_part(path)
        if path.is_file():
            headers["If-None-Match"] = f'"{_hash_file(path)[:32]}"'
        if part is not None:
            headers["Range"] = f"bytes={part.stat().st_size}-"
            headers["If-Range"] = f'"{_part_etag(part)}"'
        whole = {"whole": FILE_SECONDS}
        with (
            there.translate_failures(),
            there.client.stream("GET", address, headers=headers, extensions=whole) as answer,
        ):
            if answer.status_code == 304:
                if part is not None:
                    part.unlink()
                return
            if answer.status_code != 416:
                if not answer.is_success:
                    there.heed(answer, read_answer(answer, _MAX_ANSWER))
                part = _receive_file(answer, path, part)
            elif part is None:
                raise ServiceError(f"{there.url} can't send {path.name}.")
        # After a 416 there was nothing left to send.
        if _hash_file(part)[:32] != _part_etag(part):
            part.unlink()
            raise ServiceError(f"{path.name} came damaged. Fetch it again.")
        part.chmod(0o644)
        replace_file(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _receive_file(answer: httpx.Response, path: Path, part: Path | None) -> Path:
    if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise ServiceError(f"The answer for {path.name} is packed: a proxy in between changes it.")
    mark = answer.headers.get("etag", "").strip('"')
    if not re.fullmatch("[0-9a-f]{32}", mark):
        raise ServiceError(f"The answer for {path.name} does not say what it holds.")
    going_on = answer.status_code == 206 and part is not None and _part_etag(part) == mark
    if part is not None and not going_on:
        part.unlink()
    target = path.with_name(f".{path.name}.{mark}.part")
    with target.open("ab" if going_on else "wb") as file:
        for piece in answer.iter_raw():
            if file.tell() + len(piece) > MAX_FILE_BYTES:
                raise ServiceError(
                    f"The answer for {path.name} has more than {MAX_FILE_BYTES} bytes."
                )
            file.write(piece)
    return target


def _find_part(path: Path) -> Path | None:
    """The beginning of a file that an earlier call fetched."""
    parts = [
        p
        for p in path.parent.iterdir()
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.part", p.name)
    ]
    parts.sort(key=lambda p: p.stat().st_mtime)
    for old in parts[:-1]:
        old.unlink()
    return parts[-1] if parts else None


def _part_etag(part: Path) -> str:
    return part.name.split(".")[-2]


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
