"""Briefs whose files, or whose rows, are gone: marked in the ledger, and unmarked when they are
back. What was made of them stays until it is forgotten."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from pytoon_pipeline.briefs.source import BriefSource
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_rows import LedgerEntry


def mark_deleted(
    ledger: Ledger, sources: Sequence[BriefSource] | None = None, watched: Path | None = None
) -> list[str]:
    """Mark the briefs that are gone, and take the mark from those that are back.

    `sources` are all briefs that there are in the folder `watched` and in the table of briefs;
    without them only files are looked for. Files of other machines are left alone, but for those
    of the watched folder, which whoever watches it knows best. Returns the keys of briefs that
    are newly marked.
    """
    if watched is not None and not watched.is_dir():
        return []  # What can't be seen, such as a disk that is not mounted, is not deleted.
    there = {source.origin for source in sources or ()}
    wholes = {_containing_source(s.origin, s.document.part) for s in sources or () if s.document}
    here = socket.gethostname()
    marked = []
    for origin, entry in ledger.looks().items():
        if origin.endswith("#"):
            continue  # A request came whole; there is no file that it could lose.
        ours = entry.host in ("", here) or (
            watched is not None and entry.source.path.is_relative_to(watched)
        )
        gone = origin not in there and ours and _is_gone(origin, entry, wholes)
        if gone and not entry.deleted:
            ledger.note(entry.key, deleted=ledger.now())
            marked.append(entry.key)
        elif entry.deleted and not gone and (origin in there or origin == str(entry.source.path)):
            ledger.note(entry.key, deleted=0.0)
    return marked


def _containing_source(origin: str, part: str) -> str:
    """The table, or the brief with variants, that a document is a part of."""
    return origin.removesuffix(f"#{part}")


def _is_gone(origin: str, entry: LedgerEntry, wholes: set[str]) -> bool:
    """A part is gone when its whole is there and it isn't in it any more. A whole that can't be
    read just now is not known to have lost anything."""
    path = str(entry.source.path)
    in_a_file = origin == path or origin.startswith(f"{path}#")
    if in_a_file and not _path_exists(path):
        return True
    return origin != path and any(origin.startswith(f"{whole}#") for whole in wholes)


def _path_exists(path: str) -> bool:
    """Also of what can't be looked at: a folder without its rights has not lost its files."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True
