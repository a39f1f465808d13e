"""Write folders for people, outside the store: each appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytoon_pipeline.durable import sync_folder, sync_tree
from pytoon_pipeline.errors import StoreError


def publish_folder(target: Path, files: Mapping[str, Path | bytes]) -> None:
    """Copy files (name, or path inside the folder -> where from, or what) into a folder that
    appears whole, in place of the one of that name.

    Raises StoreError when it can't be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
        try:
            for name, source in files.items():
                place = temporary / name
                place.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(source, bytes):
                    place.write_bytes(source)
                else:
                    # Never a hard link: editing programs write into media, and this may be the
                    # store's own file.
                    shutil.copyfile(source, place)
            temporary.chmod(0o755)
            sync_tree(temporary)
            if target.exists():
                # Two renames: for a moment there is no folder, but never half of one.
                old = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
                os.rename(target, old / "old")
                try:
                    os.rename(temporary, target)
                except OSError:
                    os.rename(old / "old", target)
                    raise
                finally:
                    shutil.rmtree(old, ignore_errors=True)
            else:
                os.rename(temporary, target)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"{target} can't be written: {error.strerror or error}.") from error
