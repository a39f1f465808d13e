"""The store: where pixels, sound and documents lie, under keys.

Keys are relative paths with `/`, of plain segments: `segments/<hash>.mp4`,
`videos/<campaign>/<brief>/video.mp4`. Present means done: a key appears only whole, and when it is
safely on the disk. One that was damaged since is found when it is used: it is removed, so that
it is absent and is made again.
"""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytoon_pipeline.errors import StoreError

log = logging.getLogger("pytoon.store")


OWN = (".tmp-", ".sums")
"""How names begin that are the store's own, beside its objects."""

CONTENT = (
    "segments",
    "media",
    "windows",
    "sound",
    "takes",
    "thumbnails",
    "measurements",
    "sightings",
    "posters",
)
"""Folders where a key is the hash of all that decided the object: one version is as good as
another."""


def checked_key(key: str) -> str:
    """Return the key itself. Raises StoreError for one that could leave the store."""
    path = PurePosixPath(key)
    if not key or path.is_absolute() or "\\" in key or "\0" in key or str(path) != key:
        raise StoreError(f"{key!r} is not a key of the store.")
    if any(part in ("", ".", "..") or part.startswith(OWN) for part in path.parts):
        raise StoreError(f"{key!r} is not a key of the store.")
    return key


SUFFIX = r"^(\.[A-Za-z0-9_-]{1,6})?$"


def suffix_of(name: str) -> str:
    """Return the ending that a file of this name keeps in the store: none that is unusual."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if re.fullmatch(SUFFIX, suffix) else ""


class ObjectNotFoundError(StoreError):
    """There is no object under this key."""


class DamagedObjectError(ObjectNotFoundError):
    """What was under this key was not what had been put, and was removed just now."""


@dataclass(frozen=True)
class StoredObject:
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

    def __init__(self) -> None:
        self.damaged: dict[str, str] = {}
        """Key -> what was wrong with an object that was removed as damaged."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Return whether there is a whole object under this key."""

    @abstractmethod
    def put(self, key: str, source: Path, *, once: bool = False, move: bool = False) -> bool:
        """Copy a local file in; it appears under its key whole or not at all. With `once` an object
        that is there already, and is whole, stays as it is: of several that put it at the same time
        one wins. With `move` the file is given away: it may be moved, and is not to be used
        afterwards. Returns whether this file is now the object. Raises StoreError for a medium that
        does not have the hash of its key."""

    @abstractmethod
    def put_bytes(self, key: str, data: bytes, *, once: bool = False) -> bool:
        """Put a small document, in the same way as `put`."""

    @abstractmethod
    def local(self, key: str) -> Path:
        """Return a local file to read this object from, as it is now; never written to, and good to
        read for the length of a run. Raises ObjectNotFoundError when
        it is absent, DamagedObjectError when it is not what was put."""

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """Return the bytes of a small document. Raises ObjectNotFoundError when it is absent."""

    @abstractmethod
    def stat(self, key: str) -> StoredObject | None:
        """Return what is under this key, None when nothing."""

    def whole(self, key: str) -> StoredObject | None:
        """Return what is under this key to be used: looked at as closely as can be done here, and
        taken away where it is damaged. None when nothing is, or nothing whole was."""
        return self.stat(key)

    def _report_damage(self, key: str, why: str) -> DamagedObjectError:
        """Remember, and say, that an object was removed as damaged."""
        self.damaged[key] = why
        log.warning("%s was damaged (%s) and was taken away; it is made again.", key, why)
        return DamagedObjectError(
            f"{key} in the store was damaged ({why}) and was taken away. Render again: it is made "
            "anew."
        )

    @abstractmethod
    def objects(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a prefix (a folder; empty for the whole store), sorted by key."""

    def keys(self, prefix: str) -> list[str]:
        """Yield the keys of the objects below a prefix."""
        return [stored.key for stored in self.objects(prefix)]

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object. It is no error where there is none."""

    @abstractmethod
    def sweep(self, older: float) -> list[str]:
        """Remove what half-finished puts left that began more than so many seconds ago. Returns
        what it was, for a person."""

    @abstractmethod
    def url(self, key: str) -> str:
        """Return an address that may be written down, by which a person finds this object: one that
        opens, of a private store for a while only; or, where such a one would hold a secret, its
        plain address."""

    def link(self, key: str) -> str:
        """Return an address that opens, for whoever asks for it now; not to be written down: it may
        hold what the store was asked with."""
        return self.url(key)

    def links_until(self) -> float | None:
        """Return the Unix time up to which a `url` asked for now is good; None where they are so
        for ever."""
        return None

    def place(self, key: str) -> str:
        """Return where an object lies, short enough to print: a path, or an address in the
        store."""
        return self.url(key)
