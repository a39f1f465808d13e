"""The store: where pixels, sound and documents lie, under keys.

Keys are relative paths with `/`, of plain segments: `segments/<hash>.mp4`,
`videos/<campaign>/<brief>/video.mp4`. Present means done: a key appears only whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from pytoon_pipeline.errors import StoreError


def checked_key(key: str) -> str:
    """The key itself; raises StoreError for one that could leave the store."""
    path = PurePosixPath(key)
    if not key or path.is_absolute() or "\\" in key or "\0" in key or str(path) != key:
        raise StoreError(f"{key!r} is not a key of the store.")
    if any(part in ("", ".", "..") or part.startswith(".tmp-") for part in path.parts):
        raise StoreError(f"{key!r} is not a key of the store.")
    return key


class Store(ABC):
    """What every store does. One contract test runs over all of them."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Is there a whole object under this key?"""

    @abstractmethod
    def put(self, key: str, source: Path) -> None:
        """Copy a local file in; it appears under its key whole or not at all."""

    @abstractmethod
    def put_bytes(self, key: str, data: bytes) -> None:
        """The same for a small document."""

    @abstractmethod
    def local(self, key: str) -> Path:
        """A local file to read this object from; never written to. StoreError when absent."""

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """A small document. StoreError when absent."""

    @abstractmethod
    def keys(self, prefix: str) -> list[str]:
        """All keys below a prefix (a folder), sorted."""

    @abstractmethod
    def url(self, key: str) -> str:
        """An address a person can open to look at this object."""
