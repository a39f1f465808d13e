"""The parts that all downloads share: their limits, and the receiver of the bytes as they come in.

Size and kind are checked while bytes arrive, so that no more is received than may be kept.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pytoon_pipeline.errors import FetchRefusedError
from pytoon_pipeline.media.kinds import HEAD_BYTES, suffix_of
from pytoon_pipeline.media.sniff import sniff_kind

"""Bytes that say what a file is."""
CHUNK = 1 << 16


@dataclass(frozen=True)
class DownloadLimits:
    """How large a download may be and how long it may take."""

    connect: float = 10.0
    """Seconds to connect to a host."""
    silence: float = 20.0
    """Seconds without a byte."""
    whole: float = 120.0
    """Seconds for a file, tries and redirects included."""
    bytes: int = 200_000_000
    redirects: int = 3
    retries: int = 2
    pause: float = 0.5
    """Seconds before the first retry, twice as many before the next, where the server asks for no
    other time."""
    longest_pause: float = 10.0
    """Seconds that a server may ask for."""
    fresh: float = 300.0
    """Seconds in which an address that was asked is not asked again."""


@dataclass(frozen=True)
class FileVersion:
    """What a server said of the file that it gave, to ask whether it still is the same."""

    asked: str
    """SHA-256 of the address that gave it, at the end of redirects."""
    etag: str | None = None
    modified: str | None = None


@dataclass(frozen=True)
class FileDownload:
    """What a completely downloaded file is."""

    suffix: str
    """By what the file really is: `.jpg`."""
    sha256: str
    bytes: int
    version: FileVersion


def address_digest(address: str) -> str:
    """Return the SHA-256 of an address, in hex: the name of its folder in the cache."""
    return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()


# What a file is -----------------------------------------------------------------------------------

_NOT_MEDIA = {
    "html": ("a web page", "Give the address of the picture or clip itself, not of its page."),
    "svg": ("an SVG drawing", "Export it as PNG."),
}
_USUAL = "Give a JPEG, PNG or WebP picture, an MP4 clip, or a WAV, MP3 or M4A sound."


def check_type(said: str, content_type: str) -> None:
    """Raise FetchRefusedError where a server's content type is that of no picture, clip or sound.
    `said` is the address in messages."""
    kind = content_type.partition(";")[0].strip().lower()
    for what in _NOT_MEDIA:
        if what in kind:
            _refuse_kind(said, what)
    # The plain types are those of servers that don't know; S3's own is the second.
    if kind.startswith(("image/", "video/", "audio/")) or kind in (
        "",
        "application/octet-stream",
        "binary/octet-stream",
        "application/mp4",
        "application/ogg",
    ):
        return
    raise FetchRefusedError(
        "media.type", f"{said} is of the type {kind[:60]}: no picture, clip or sound.", _USUAL
    )


def _refuse_kind(said: str, what: str | None) -> NoReturn:
    name, remedy = _NOT_MEDIA.get(what or "", ("no picture, clip or sound known here", _USUAL))
    raise FetchRefusedError("media.type", f"{said} is {name}.", remedy)


class DownloadSink:
    """Takes the bytes of one file: counts, looks at the first of them, writes, hashes."""

    def __init__(self, target: Path, said: str, limits: DownloadLimits, until: float):
        self._said, self._limits, self._until = said, limits, until
        self._file = open(target, "wb")  # noqa: SIM115 - closed by __exit__
        self._hash, self._head, self._suffix = hashlib.sha256(), b"", ""
        self.count = 0

    def __enter__(self) -> DownloadSink:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def expect(self, count: int | None) -> None:
        """Check the size that the server announces, before any byte is received."""
        if count is not None and count > self._limits.bytes:
            raise FetchRefusedError(
                "media.too_large",
                f"{self._said} has {_format_megabytes(count)}; "
                f"{_format_megabytes(self._limits.bytes)} are the most.",
                "Export a smaller copy.",
            )

    def write(self, data: bytes) -> None:
        """Receive the next bytes of the file and write them. Raises FetchRefusedError where the
        file grows too large, takes too long, or begins like no media."""
        self.count += len(data)
        if self.count > self._limits.bytes:
            raise FetchRefusedError(
                "media.too_large",
                f"{self._said} has more than the {_format_megabytes(self._limits.bytes)} "
                "that are allowed.",
                "Export a smaller copy.",
            )
        if time.monotonic() > self._until:
            raise too_slow(self._said, self._limits)
        if len(self._head) < HEAD_BYTES:
            self._head += data
            if len(self._head) >= HEAD_BYTES:
                self._identify_contents()
        self._hash.update(data)
        self._file.write(data)

    def _identify_contents(self) -> None:
        suffix = suffix_of(self._head[:HEAD_BYTES])
        if suffix is None:
            _refuse_kind(self._said, sniff_kind(self._head[:HEAD_BYTES]))
        self._suffix = suffix

    def finish(self, version: FileVersion) -> FileDownload:
        """Write the file to the disk and return what it is. Raises FetchRefusedError where it is
        empty or no media."""
        if not self.count:
            raise FetchRefusedError(
                "media.type", f"{self._said} is empty.", "Upload the file again."
            )
        if not self._suffix:
            self._identify_contents()
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileDownload(self._suffix, self._hash.hexdigest(), self.count, version)


def _format_megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


def too_slow(said: str, limits: DownloadLimits) -> FetchRefusedError:
    """Return the error for a download that takes too long."""
    return FetchRefusedError(
        "media.timeout",
        f"{said} took too long: {limits.silence:g} s without a byte, or {limits.whole:g} s for "
        "all of it.",
        "Try again, or download it into the brief's folder.",
    )
