"""Media at addresses: fetched into files, from where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytoon_pipeline.errors import FetchRefused


class Fetcher:
    def __init__(self, cache: Path, *, hosts: Sequence[str] = (), buckets: Sequence[str] = ()):
        self.cache, self.hosts, self.buckets = cache, tuple(hosts), tuple(buckets)

    def fetch(self, address: str) -> Path:
        raise FetchRefused("media.address", f"{address} is an address.", "Download it.")
