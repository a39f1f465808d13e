"""A store in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.store.base import Missing, Store, Stored, checked_key


class FolderStore(Store):
    shared = False

    def __init__(self, root: Path):
        self.root = Path(root).absolute()

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def put(self, key: str, source: Path, *, once: bool = False) -> bool:
        return self._publish(key, once, lambda temporary: shutil.copyfile(source, temporary))

    def put_bytes(self, key: str, data: bytes, *, once: bool = False) -> bool:
        return self._publish(key, once, lambda temporary: temporary.write_bytes(data))

    def _publish(self, key: str, once: bool, write: Callable[[Path], object]) -> bool:
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # The temporary name lies in the same folder, so that the rename is atomic.
            handle, name = tempfile.mkstemp(prefix=".tmp-", dir=target.parent)
            os.close(handle)
            temporary = Path(name)
            try:
                write(temporary)
                temporary.chmod(0o644)
                if not once:
                    os.replace(temporary, target)
                    return True
                try:
                    os.link(temporary, target)  # Unlike a rename it fails where something is.
                except FileExistsError:
                    return False
                return True
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{key} can't be written to {self.root}: {error}") from error

    def local(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise Missing(f"{key} is not in the store {self.root}.")
        return path

    def read_bytes(self, key: str) -> bytes:
        return self.local(key).read_bytes()

    def stat(self, key: str) -> Stored | None:
        try:
            info = self._path(key).stat()
        except OSError:
            return None
        return Stored(key, info.st_size, info.st_mtime) if self._path(key).is_file() else None

    def objects(self, prefix: str) -> Iterator[Stored]:
        folder = self._path(prefix) if prefix else self.root
        files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".tmp-"))
        for key in sorted(p.relative_to(self.root).as_posix() for p in files):
            stored = self.stat(key)
            if stored is not None:  # It may have gone since.
                yield stored

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{key} can't be deleted from {self.root}: {error}") from error

    def sweep(self, older: float) -> list[str]:
        gone = []
        for path in sorted(self.root.rglob(".tmp-*")):
            with suppress(OSError):  # Its owner may have finished just now.
                if time.time() - path.stat().st_mtime > older:
                    path.unlink() if path.is_file() else shutil.rmtree(path)
                    gone.append(path.relative_to(self.root).as_posix())
        return gone

    def url(self, key: str) -> str:
        return self._path(key).as_uri()

    def place(self, key: str) -> str:
        return str(self._path(key))
