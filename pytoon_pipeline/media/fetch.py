"""Media at addresses: fetched into files, from where that is allowed, and kept.

    <cache>/<sha256 of the address>/copy.json      what is kept, and what the server said of it
    <cache>/<sha256 of the address>/<sha256>.jpg   the file, named by its content; never written to
    <cache>/<sha256 of the address>/lock           held by the process that asks
    <cache>/swept                                  its time is when old copies were last removed

`media.fetch_cache` removes what nobody needs: at most 10 GB and 20,000 addresses stay, apart from
what was asked for in the last hour.
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from pytoon_pipeline.durable import replace_file
from pytoon_pipeline.errors import FetchRefusedError
from pytoon_pipeline.locks import lock_file
from pytoon_pipeline.media import fetch_cache
from pytoon_pipeline.media.addresses import (
    AddressGuard,
    Resolver,
    check_bucket,
    resolve_host,
    strip_query,
)
from pytoon_pipeline.media.download import DownloadLimits, FileDownload, address_digest
from pytoon_pipeline.media.download_http import download_http
from pytoon_pipeline.media.download_s3 import download_s3
from pytoon_pipeline.media.fetch_cache import FetchedCopy, read_copy

_KEPT = 3600.0
"""Seconds for which a file that has been replaced stays, for those who still read it."""
_SWEEP = 3600.0
"""Seconds between two looks for copies that nobody needs."""


class MediaFetcher:
    """Files at addresses: `https://cdn.example.com/a.jpg`, `s3://bucket/path/a.jpg`.

    `hosts` and `buckets` are what may be asked (`AddressGuard`, `check_bucket`); none means nothing
    may. An address that was asked in the last five minutes (`limits.fresh`) is not asked again;
    after that the server is asked whether its file is still the same one. When it can't be asked,
    the copy is not used: nobody could say whether it still shows today's price. Safe between
    threads and processes: one of them downloads, the others wait for it. Of all copies `most_bytes`
    and `most_addresses` are kept.

    `allow_private`, `resolver` and `tls` are for tests. Raises SettingsError for an entry of
    `hosts` that is none.
    """

    def __init__(
        self,
        cache: Path,
        *,
        hosts: Sequence[str] = (),
        buckets: Sequence[str] = (),
        limits: DownloadLimits | None = None,
        most_bytes: int = fetch_cache.MAX_BYTES,
        most_addresses: int = fetch_cache.MAX_ADDRESSES,
        allow_private: bool = False,
        resolver: Resolver = resolve_host,
        tls: ssl.SSLContext | None = None,
    ):
        self.cache, self.buckets, self.limits = (
            Path(cache),
            tuple(buckets),
            limits or DownloadLimits(),
        )
        self.most_bytes, self.most_addresses = most_bytes, most_addresses
        self._guard = AddressGuard(hosts, allow_private=allow_private, resolver=resolver)
        self._tls = tls

    def fetch(self, address: str) -> Path:
        """Return a local file with what lies at the address, its suffix by what it really is; not
        to be written to, and good to read for an hour at least.

        Raises FetchRefusedError with a stable code: `media.address`, `media.scheme`, `media.host`,
        `media.private`, `media.unreachable`, `media.timeout`, `media.status`, `media.type`,
        `media.too_large`, `media.cache`.
        """
        place = self._check_address(address)
        folder = self.cache / address_digest(address)
        try:
            known = read_copy(folder)
            if known and self._is_fresh(known):
                return folder / known.file
            try:
                with self._hold_address(folder, strip_query(address)):
                    known = read_copy(folder)  # Another one may have been here meanwhile.
                    if known is None or not self._is_fresh(known):
                        known = self._fetch_current(address, place, folder, known)
                    return folder / known.file
            finally:
                self._sweep_cache()  # Addresses that fail leave folders, too.
        except OSError as error:
            raise FetchRefusedError(
                "media.cache",
                f"{strip_query(address)} can't be kept in {self.cache}: {error.strerror or error}.",
                "Make room there, or check its rights.",
            ) from error

    def _check_address(self, address: str) -> tuple[str, str] | None:
        """Bucket and key, or None for an address of the web. Nothing is looked up or written."""
        if address[:5].lower() == "s3://":
            return check_bucket(address, self.buckets)
        self._guard.check(address)
        return None

    def _fetch_current(
        self, address: str, place: tuple[str, str] | None, folder: Path, known: FetchedCopy | None
    ) -> FetchedCopy:
        """The file as the server has it now, kept. `place` is its bucket and key."""
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=folder)
        os.close(handle)
        temporary = Path(name)
        version = known.version if known else None
        try:
            found: FileDownload | None
            if place:
                found = download_s3(address, *place, temporary, self.limits, version)
            else:
                found = download_http(
                    address, temporary, self._guard, self.limits, version, self._tls
                )
            if found is None:
                assert known is not None
                copy = FetchedCopy(**{**asdict(known), "checked": time.time()})
            else:
                copy = FetchedCopy(
                    address=strip_query(address),
                    file=found.sha256 + found.suffix,
                    sha256=found.sha256,
                    bytes=found.bytes,
                    asked=found.version.asked,
                    etag=found.version.etag,
                    modified=found.version.modified,
                    checked=time.time(),
                )
                temporary.chmod(0o644)
                if known and known.file != copy.file:
                    os.utime(folder / known.file)  # From now on it is an old one.
                replace_file(temporary, folder / copy.file)
            temporary.write_text(json.dumps(asdict(copy), indent=1), encoding="utf-8")
            replace_file(temporary, folder / "copy.json")
        finally:
            temporary.unlink(missing_ok=True)
        self._tidy_folder(folder, copy)
        return copy

    def _is_fresh(self, copy: FetchedCopy) -> bool:
        # A clock that was set back makes nothing fresh for ever.
        return 0 <= time.time() - copy.checked < self.limits.fresh

    def _tidy_folder(self, folder: Path, copy: FetchedCopy) -> None:
        """Take away what has been replaced for a while, and what a process left that was ended.
        Whoever calls holds the lock, so nobody else is writing here."""
        for path in folder.iterdir():
            old = time.time() - path.stat().st_mtime > _KEPT
            if path.name.startswith(".tmp-") or (
                old and path.name not in ("lock", "copy.json", copy.file)
            ):
                path.unlink(missing_ok=True)

    def _sweep_cache(self) -> None:
        """Once an hour, keep the cache within its bounds."""
        mark = self.cache / "swept"
        # A tidier cache is not worth a failure.
        with suppress(OSError):
            if mark.exists() and 0 <= time.time() - mark.stat().st_mtime < _SWEEP:
                return
            mark.touch()
            fetch_cache.tidy_cache(
                self.cache, most_bytes=self.most_bytes, most_addresses=self.most_addresses
            )

    @contextmanager
    def _hold_address(self, folder: Path, said: str, wait: float | None = None) -> Iterator[None]:
        """Only one thread of one process at a time asks for an address. FetchRefusedError after
        waiting so many seconds, when none are given, longer than a download can take."""
        longest = self.limits.whole + self.limits.connect if wait is None else wait
        until = time.monotonic() + longest

        def raise_if_waited_out() -> None:
            if time.monotonic() >= until:
                raise FetchRefusedError(
                    "media.timeout",
                    f"{said} is being fetched by another process, for too long.",
                    "Try again.",
                )

        with lock_file(folder / "lock", raise_if_waited_out):
            yield
