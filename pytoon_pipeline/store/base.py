"""The store: where pixels, sound and documents lie, under keys.

Keys are relative paths with `/`, of plain segments: `segments/<hash>.mp4`,
`videos/<campaign>/<brief>/video.mp4`. Present means done: a key appears only whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
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


class Missing(StoreError):
    """There is no object under this key."""


@dataclass(frozen=True)
class Stored:
    """An object, as a listing tells of it."""

    key: str
    bytes: int
    modified: float
    """Unix time of when it was put."""


class Store(ABC):
    """What every store does. One contract test runs over all of them. All methods raise StoreError
    when the store can't be reached, read or written."""

    shared: bool
    """Do other machines see the same store? Then nothing may be known by its path on this one."""
    patience: float = 0.0
    """Seconds that a store which does not answer is waited for; whoever only wants to know whether
    it does sets 0."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Is there a whole object under this key?"""

    @abstractmethod
    def put(self, key: str, source: Path, *, once: bool = False) -> bool:
        """Copy a local file in; it appears under its key whole or not at all. With `once` an object
        that is there already stays as it is: of several that put it at the same time one wins.
        Returns whether this file is now the object."""

    @abstractmethod
    def put_bytes(self, key: str, data: bytes, *, once: bool = False) -> bool:
        """The same for a small document."""

    @abstractmethod
    def local(self, key: str) -> Path:
        """A local file to read this object from, as it is now; never written to, and good to read
        for the length of a run. Missing when absent."""

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """A small document. Missing when absent."""

    @abstractmethod
    def stat(self, key: str) -> Stored | None:
        """What is under this key, None when nothing."""

    @abstractmethod
    def objects(self, prefix: str) -> Iterator[Stored]:
        """All objects below a prefix (a folder; empty for the whole store), sorted by key."""

    def keys(self, prefix: str) -> list[str]:
        """Their keys alone."""
        return [stored.key for stored in self.objects(prefix)]

    @abstractmethod
    def delete(self, key: str) -> None:
        """Take an object away. One that is not there is no error."""

    @abstractmethod
    def sweep(self, older: float) -> list[str]:
        """Take away what half-finished puts left that began more than so many seconds ago. Returns
        what it was, for a person."""

    @abstractmethod
    def url(self, key: str) -> str:
        """An address a person can open to look at this object; of a private store one that is good
        for a while only."""

    def links_until(self) -> float | None:
        """Unix time up to which a `url` asked for now is good; None where they are so for ever."""
        return None

    def place(self, key: str) -> str:
        """Where an object lies, short enough to print: a path, or an address in the store."""
        return self.url(key)
