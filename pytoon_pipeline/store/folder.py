"""A store in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pytoon_pipeline.durable import link_file, make_folder, replace_file
from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.store import sums
from pytoon_pipeline.store.base import (
    CONTENT,
    OWN,
    DamagedObjectError,
    ObjectNotFoundError,
    Store,
    StoredObject,
    checked_key,
)

_TRIES = 3
_DAMAGED = ".tmp-damaged-"
"""What a damaged object is called from then on: no key, and swept like what a put left."""


class FolderStore(Store):
    """A store in a folder of this machine. Its methods are those of `Store`."""

    shared = False

    def __init__(self, root: Path):
        super().__init__()
        self.root = Path(root).absolute()

    def _path_of(self, key: str) -> Path:
        return self.root / checked_key(key)

    def exists(self, key: str) -> bool:
        return self.whole(key) is not None

    # Putting ------------------------------------------------------------------------------------

    def put(self, key: str, source: Path, *, once: bool = False, move: bool = False) -> bool:
        return self._publish_object(
            key, once, lambda temporary: sums.bring_contents(source, temporary, move)
        )

    def put_bytes(self, key: str, data: bytes, *, once: bool = False) -> bool:
        def write_data(temporary: Path) -> str:
            temporary.write_bytes(data)
            return hashlib.sha256(data).hexdigest()

        return self._publish_object(key, once, write_data)

    def _publish_object(self, key: str, once: bool, write: Callable[[Path], str]) -> bool:
        """`write` fills a file and returns its SHA-256."""
        target = self._path_of(key)
        try:
            make_folder(target.parent)
            # The temporary name lies in the same folder, so that the rename is atomic.
            handle, name = tempfile.mkstemp(prefix=".tmp-", dir=target.parent)
            os.close(handle)
            temporary = Path(name)
            try:
                digest = write(temporary)
                sums.check_name(key, digest)
                temporary.chmod(0o644)
                self._note_sum(key, temporary, sums.StoredSum(digest, temporary.stat().st_size))
                sums.remember_sum(temporary, digest)
                if once:
                    return self._link_once(key, temporary, target)
                replace_file(temporary, target)
                return True
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            why = error.strerror or error
            raise StoreError(f"{key} can't be written to {self.root}: {why}.") from error

    def _link_once(self, key: str, temporary: Path, target: Path) -> bool:
        for _ in range(_TRIES):
            try:
                link_file(temporary, target)  # Unlike a rename it fails where something is.
                return True
            except FileExistsError:
                if self.whole(key) is not None:
                    return False
        raise StoreError(f"{key} can't be written to {self.root}: something else is in its place.")

    # Damage -------------------------------------------------------------------------------------

    def _note_sum(self, key: str, file: Path, found: sums.StoredSum) -> None:
        """Where the file can't bear its own sum, one that never changes lies elsewhere. It need not
        be synced: the file is, and one without a note counts as whole."""
        if sums.write_note(file, found) or key.partition("/")[0] not in CONTENT:
            return
        place = self._note_of(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(found.as_text(), encoding="ascii")

    def _note_of(self, key: str) -> Path:
        return self.root / ".sums" / key

    def _known_sum(self, key: str, path: Path) -> sums.StoredSum | None:
        own = sums.read_note(path)
        if own is None and key.partition("/")[0] in CONTENT:
            with suppress(OSError, UnicodeDecodeError):
                own = sums.parse_note(self._note_of(key).read_text(encoding="ascii"))
        return own

    def whole(self, key: str) -> StoredObject | None:
        path = self._path_of(key)
        try:
            return self._check_whole(key, path)
        except DamagedObjectError:
            return None

    def _check_whole(self, key: str, path: Path) -> StoredObject | None:
        try:
            info = path.stat()
            if not path.is_file():
                return None
            why = sums.describe_damage(path, self._known_sum(key, path), sums.named_sum(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(
                f"{key} in the store {self.root} can't be read: {error.strerror or error}."
            ) from error
        if why is None:
            return StoredObject(key, info.st_size, info.st_mtime)
        try:
            if path.stat().st_ino != info.st_ino:
                return self._check_whole(key, path)  # Another was put there meanwhile.
            # Kept for a while, for whoever wants to know what happened to it.
            aside = Path(tempfile.mkdtemp(prefix=_DAMAGED, dir=path.parent)) / path.name
            os.replace(path, aside)
            self._note_of(key).unlink(missing_ok=True)
        except FileNotFoundError:
            return None  # Another process took it away.
        except OSError as error:
            raise StoreError(
                f"{key} in the store {self.root} is damaged ({why}) and can't be taken away: "
                f"{error.strerror or error}. Delete it; it is made again."
            ) from error
        raise self._report_damage(key, why)

    # Getting ------------------------------------------------------------------------------------

    def local(self, key: str) -> Path:
        path = self._path_of(key)
        if self._check_whole(key, path) is None:
            raise ObjectNotFoundError(f"{key} is not in the store {self.root}.")
        return path

    def read_bytes(self, key: str) -> bytes:
        return self.local(key).read_bytes()

    def stat(self, key: str) -> StoredObject | None:
        try:
            info = self._path_of(key).stat()
        except OSError:
            return None
        return (
            StoredObject(key, info.st_size, info.st_mtime) if self._path_of(key).is_file() else None
        )

    def objects(self, prefix: str) -> Iterator[StoredObject]:
        folder = self._path_of(prefix) if prefix else self.root
        for key in sorted(self._iterate_keys(folder)):
            stored = self.stat(key)
            if stored is not None:  # It may have gone since.
                yield stored

    def _iterate_keys(self, folder: Path) -> Iterator[str]:
        for at, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(OWN)]
            for name in files:
                if not name.startswith(OWN):
                    yield Path(at, name).relative_to(self.root).as_posix()

    # Taking away --------------------------------------------------------------------------------

    def delete(self, key: str) -> None:
        path = self._path_of(key)
        try:
            path.unlink(missing_ok=True)
            self._note_of(key).unlink(missing_ok=True)
        except OSError as error:
            why = error.strerror or error
            raise StoreError(f"{key} can't be deleted from {self.root}: {why}.") from error

    def sweep(self, older: float) -> list[str]:
        gone = []
        for path in sorted(self.root.rglob(".tmp-*")):
            with suppress(OSError):  # Its owner may have finished just now.
                if time.time() - path.stat().st_mtime > older:
                    path.unlink() if path.is_file() else shutil.rmtree(path)
                    gone.append(path.relative_to(self.root).as_posix())
        return gone

    def url(self, key: str) -> str:
        return self._path_of(key).as_uri()

    def place(self, key: str) -> str:
        return str(self._path_of(key))
