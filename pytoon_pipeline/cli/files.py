"""Files and folders that the command line writes for a person: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from pytoon_pipeline.durable import link_file, replace_file
from pytoon_pipeline.errors import Problem, UserError


def cannot_write(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(
        Problem(
            "call.unwritable",
            f"can't be written: {reason}.",
            "Choose another place.",
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
                replace_file(name, path)
            else:
                link_file(name, path)  # Unlike a rename, it fails where something is.
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def writable_folder(folder: Path) -> None:
    """Make a folder where there is none. Raises UserError when nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error
