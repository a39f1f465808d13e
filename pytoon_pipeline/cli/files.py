"""Files and folders that the command line writes for a person: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytoon_pipeline.errors import Problem, StoreError, UserError


def cannot_write(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        Problem(
            "call.unwritable", f"can't be written: {reason}.", "Choose another place.",
            file=str(path),
        )
    )


def write_text(path: Path, text: str, replace: bool = True) -> None:
    """Write a text file whole. With `replace` off, FileExistsError when there is one already.

    Raises UserError when the place can't be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(name, 0o644)
            if replace:
                os.replace(name, path)
            else:
                os.link(name, path)  # Unlike a rename, it fails where something is.
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


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
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"{target} can't be written: {error.strerror or error}.") from error


def writable_folder(folder: Path) -> None:
    """Make a folder where there is none. Raises UserError when nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error
