"""Copies of media at addresses, as `media.fetch` keeps them, and which of them nobody needs.

Each address has a folder, named by its hash, with a lock. A folder is removed under its own lock,
the lock last of all; whoever waited for it notices and takes a new one (`locks.grasp`). What was
asked for in the last hour stays: it may be read at this moment.
"""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytoon_pipeline.locks import try_lock
from pytoon_pipeline.media.download import DownloadLimits, FileVersion

IN_USE = 3600.0 + DownloadLimits().fresh
"""Seconds for which a copy is good to read: it is handed out without a look at the server for
`fresh` seconds, and may be read for an hour then."""
UNASKED = 30 * 86400.0
"""Seconds after which a copy goes that nobody asked for: signed links are new ones every day."""
MAX_BYTES = 10_000_000_000
"""Of all copies together; those not asked for longest go first."""
MAX_ADDRESSES = 20_000

_FOLDER = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FetchedCopy:
    """What `copy.json` says."""

    address: str
    """As it may be shown: the key of a signed link is not kept."""
    file: str
    sha256: str
    bytes: int
    asked: str
    etag: str | None
    modified: str | None
    checked: float
    """When the server last said that this is its file; seconds since 1970."""

    @property
    def version(self) -> FileVersion:
        """The version of the file as the server named it."""
        return FileVersion(self.asked, self.etag, self.modified)


def read_copy(folder: Path) -> FetchedCopy | None:
    """Return what is kept of an address, if it is whole."""
    try:
        copy = FetchedCopy(**json.loads((folder / "copy.json").read_text(encoding="utf-8")))
        whole = (folder / copy.file).stat().st_size == copy.bytes
    except (OSError, ValueError, TypeError):
        return None
    return copy if whole else None


@dataclass(frozen=True)
class UnneededFetches:
    """The folder of an address that is to go."""

    folder: Path
    bytes: int
    """Of all its files."""
    used: float
    """When its address was last asked for; seconds since 1970."""
    reason: str


def find_unneeded(
    cache: Path,
    now: float,
    *,
    most_bytes: int = MAX_BYTES,
    most_addresses: int = MAX_ADDRESSES,
) -> list[UnneededFetches]:
    """Return the addresses that are to go, so that the others keep within both bounds: those that
    could not be fetched, those that nobody has asked for in 30 days, and then those not asked for
    longest. Nothing that may be in use is among them."""
    found: list[tuple[float, int, bool, Path]] = []
    with suppress(OSError):
        for folder in cache.iterdir():
            # It may be removed meanwhile.
            if _FOLDER.fullmatch(folder.name):
                with suppress(OSError):
                    found.append((*_read_folder_state(folder), folder))
    unneeded = []
    left, room = len(found), most_bytes - sum(size for _, size, _, _ in found)
    for used, size, whole, folder in sorted(found):
        if now - used <= IN_USE:
            break
        if not whole:
            reason = "nothing could be fetched from there"
        elif now - used > UNASKED:
            reason = "nobody has asked for it in 30 days"
        elif room < 0:
            reason = f"copies of media at addresses have more than {most_bytes / 1e9:g} GB"
        elif left > most_addresses:
            reason = f"there are copies of more than {most_addresses} addresses"
        else:
            continue
        unneeded.append(UnneededFetches(folder, size, used, reason))
        left, room = left - 1, room + size
    return unneeded


def _read_folder_state(folder: Path) -> tuple[float, int, bool]:
    """When an address was last asked for, the bytes of its folder, and whether it has a copy."""
    size, newest = 0, folder.stat().st_mtime
    for path in folder.iterdir():
        info = path.stat()
        size, newest = size + info.st_size, max(newest, info.st_mtime)
    copy = read_copy(folder)
    return (copy.checked if copy else newest), size, copy is not None


def remove_fetched(folder: Path, now: float) -> bool:
    """Remove the folder of an address, unless somebody asks for it or has just done so."""
    if not folder.is_dir():
        return True
    lock = try_lock(folder / "lock")
    if lock is None:
        return False
    with lock:
        used, _, whole = _read_folder_state(folder)
        # Without a copy the lock alone tells; it has just been touched by nobody but us.
        if whole and now - used <= IN_USE:
            return False
        for path in sorted(folder.iterdir(), key=lambda p: p.name != "copy.json"):
            if path.name != "lock":
                path.unlink(missing_ok=True)
        (folder / "lock").unlink(missing_ok=True)
        with suppress(OSError):  # Somebody has made the next lock already.
            folder.rmdir()
    return True


def tidy_cache(
    cache: Path, *, most_bytes: int = MAX_BYTES, most_addresses: int = MAX_ADDRESSES
) -> None:
    """Remove what nobody needs. Several processes may do so at once."""
    now = time.time()
    for each in find_unneeded(cache, now, most_bytes=most_bytes, most_addresses=most_addresses):
        with suppress(OSError):
            remove_fetched(each.folder, now)
