"""Copies on this machine of what lies in a store elsewhere.

A copy's name says of which object it is, how long it is and which version: a new version is a
new file, so whoever reads the old one reads on. Several threads and processes share the folder. The
time of access of a copy is that of its last use, set here whatever the disk is mounted with.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytoon_pipeline.durable import make_folder, replace_file
from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.locks import lock_file, try_lock
from pytoon_pipeline.store import sums

log = logging.getLogger("pytoon.store")

IN_USE = 2 * 3600.0
"""Seconds after its last use that a copy stays, whatever the room."""
PAUSE = 300.0
"""Seconds between two looks at how much there is."""
_RECENT = 3600.0
"""Seconds after its last use within which nobody takes a copy away, well below IN_USE: it may be
used without a lock."""
_NOTED = 60.0
"""Seconds that the noted time of use may be late."""
_VERSION = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,12}")


@dataclass(frozen=True)
class CachedCopy:
    """A copy of an object on this machine."""

    path: Path
    version: str
    """As it was given to `keep_draft`; empty where that can't be part of a name."""
    used: float
    """Unix time, of its last use."""


class ObjectCache:
    """Copies of one store's objects, below `root / name`. `most` bytes are to hold all that is
    below `root`."""

    def __init__(self, root: Path, name: str, most: int):
        self.root, self.folder, self.most = root, root / name, most

    # Names: <hash of the key>.<bytes>.<version><suffix of the key>

    def _key_digest(self, key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    def copies(self, key: str, *, recent: bool = False) -> list[CachedCopy]:
        """Return the copies of an object that are there, the newest first; with `recent` only those
        that are safe to use without the key's lock. What a crash left shorter than it was is no
        copy."""
        mark, found = self._key_digest(key), []
        with suppress(FileNotFoundError), os.scandir(self.folder / mark[:2]) as entries:
            for entry in entries:
                if not entry.name.startswith(f"{mark}."):
                    continue
                with suppress(FileNotFoundError, ValueError):  # it went just now; not of ours
                    info, parts = entry.stat(), entry.name.split(".")
                    fresh = time.time() - info.st_atime < _RECENT
                    if info.st_size == int(parts[1]) and (fresh or not recent):
                        version = parts[2] if _VERSION.fullmatch(parts[2]) else ""
                        found.append(
                            (info.st_mtime, CachedCopy(Path(entry), version, info.st_atime))
                        )
        return [copy for _, copy in sorted(found, key=lambda each: -each[0])]

    def use(self, copy: CachedCopy) -> Path:
        """Return the copy's path, and note its use."""
        now = time.time()
        if abs(now - copy.used) > _NOTED:
            with suppress(OSError):  # Noted or not, it is good to read.
                os.utime(copy.path, (now, copy.path.stat().st_mtime))
        return copy.path

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the lock under which copies of an object are made on this machine. It must not be
        entered twice."""
        with (
            _report_errors(self.folder),
            lock_file(self._lock_path(self._key_digest(key)), lambda: None),
        ):
            yield

    def _lock_path(self, mark: str) -> Path:
        return self.folder / "locks" / mark[:3]  # There are 4096, however many objects.

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Yield a file to write, which `keep_draft` makes a copy of; gone at the end if it was
        not."""
        with _report_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".tmp-", dir=self.folder)
            os.close(handle)
            try:
                yield Path(name)
            finally:
                Path(name).unlink(missing_ok=True)

    def is_whole(self, key: str, copy: CachedCopy) -> bool:
        """Return whether a copy still is what it was. One that is not is removed."""
        try:
            if (
                sums.describe_damage(copy.path, sums.read_note(copy.path), sums.named_sum(key))
                is None
            ):
                return True
            log.warning("The copy %s was damaged and was taken away.", copy.path)
            copy.path.unlink(missing_ok=True)
        except OSError:
            pass  # It went just now, or can't be read.
        return False

    def keep(self, key: str, draft: Path, version: str, modified: float, sha256: str = "") -> Path:
        """Make a whole draft the copy of a version of an object. `modified` is the object's Unix
        time, `sha256` the draft's, where it is known."""
        mark = self._key_digest(key)
        # What can't be part of a name is never found again: such a copy serves once.
        shown = version if _VERSION.fullmatch(version) else "~" + self._key_digest(version)
        suffix = PurePosixPath(key).suffix
        name = f"{mark}.{draft.stat().st_size}.{shown}" + (
            suffix if _SUFFIX.fullmatch(suffix) else ""
        )
        target = self.folder / mark[:2] / name
        make_folder(target.parent)
        draft.chmod(0o644)
        os.utime(draft, (time.time(), modified))
        if sha256:
            sums.write_note(draft, sums.StoredSum(sha256, draft.stat().st_size))
            sums.remember_sum(draft, sha256)
        replace_file(draft, target)
        self.tidy()
        return target

    def drop(self, key: str) -> None:
        """Remove the copies of an object that was deleted."""
        for copy in self.copies(key):
            copy.path.unlink(missing_ok=True)

    # Room -----------------------------------------------------------------------------------------

    def tidy(self, *, now: bool = False) -> None:
        """Remove what there is no room for, the longest unused first, and old versions; but nothing
        that was used in the last two hours. Looks only every five minutes, unless it is to be
        `now`."""
        mark = self.root / "swept"
        with suppress(OSError):  # Another may do the same; a tidier cache is not worth a failure.
            if not now and mark.exists() and abs(time.time() - mark.stat().st_mtime) < PAUSE:
                return
            mark.touch()
            self._tidy_folder()

    def _tidy_folder(self) -> None:
        long_ago = time.time() - IN_USE
        copies: list[tuple[float, float, int, Path]] = []  # used, modified, bytes
        for path in self.root.rglob("*"):
            with suppress(OSError):
                info = path.stat()
                if path.name.startswith(".tmp-") and info.st_mtime < long_ago:
                    path.unlink()
                elif path.is_file() and path.name.count(".") >= 2 and path.name[0] != ".":
                    copies.append((info.st_atime, info.st_mtime, info.st_size, path))
        newest: dict[str, float] = {}
        for _, modified, _, path in copies:
            mark = path.name.partition(".")[0]
            newest[mark] = max(modified, newest.get(mark, 0.0))
        room = self.most - sum(size for _, _, size, _ in copies)
        for used, modified, size, path in sorted(copies):
            old = modified < newest[path.name.partition(".")[0]]
            if used < long_ago and (old or room < 0) and self._take_away(path, long_ago):
                room += size

    def _take_away(self, path: Path, long_ago: float) -> bool:
        """Only if nobody begins to use it: that is noted under the same lock."""
        lock = try_lock(path.parent.parent / "locks" / path.name[:3])
        if lock is None:
            return False
        with lock:
            if path.stat().st_atime >= long_ago:
                return False
            path.unlink()
        return True


@contextmanager
def _report_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{folder} can't be written: {error.strerror or error}. It holds copies of the store "
            "(PYTOON_HOME/cache); make room there."
        ) from error
