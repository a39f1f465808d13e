"""A store in a folder of this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.store.base import Store, checked_key


class FolderStore(Store):
    def __init__(self, root: Path):
        self.root = Path(root).absolute()

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def put(self, key: str, source: Path) -> None:
        self._publish(key, lambda temporary: shutil.copyfile(source, temporary))

    def put_bytes(self, key: str, data: bytes) -> None:
        self._publish(key, lambda temporary: temporary.write_bytes(data))

    def _publish(self, key: str, write: Callable[[Path], object]) -> None:
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
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{key} can't be written to {self.root}: {error}") from error

    def local(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise StoreError(f"{key} is not in the store {self.root}.")
        return path

    def read_bytes(self, key: str) -> bytes:
        return self.local(key).read_bytes()

    def keys(self, prefix: str) -> list[str]:
        folder = self._path(prefix)
        files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".tmp-"))
        return sorted(p.relative_to(self.root).as_posix() for p in files)

    def url(self, key: str) -> str:
        return self._path(key).as_uri()
