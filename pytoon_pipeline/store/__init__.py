"""Where pixels, sound and documents lie."""

from __future__ import annotations

from pathlib import Path

from pytoon_pipeline.errors import Problem, SettingsError
from pytoon_pipeline.store.base import Store
from pytoon_pipeline.store.folder import FolderStore

__all__ = ["FolderStore", "Store", "open_store"]


def open_store(address: str) -> Store:
    """The store at an address: a folder. SettingsError for an address of another kind."""
    if "://" in address:
        raise SettingsError(
            Problem(
                "settings.store",
                f"{address!r} names a kind of store that this version can't use.",
                "Set PYTOON_STORE to a folder.",
                field="PYTOON_STORE",
            )
        )
    return FolderStore(Path(address).expanduser())
