"""Where pixels, sound and documents lie."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from pytoon_pipeline.errors import Problem, SettingsError
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store.base import Store, Stored
from pytoon_pipeline.store.folder import FolderStore

__all__ = ["FolderStore", "Store", "Stored", "open_store", "where"]


def open_store(settings: Settings) -> Store:
    """The store of the settings: a folder, or a bucket. SettingsError for an address of another
    kind."""
    address = settings.store
    if "://" in address:
        raise SettingsError(
            Problem(
                "settings.store",
                f"{address!r} names a kind of store that is not known.",
                "Set PYTOON_STORE to a folder, or to s3://bucket/prefix.",
                field="PYTOON_STORE",
            )
        )
    return FolderStore(Path(address).expanduser())


def where(store: Store, key: str) -> str:
    """Where an object lies, for a person: a path where it is a file of this machine, else its
    address."""
    url = store.url(key)
    parts = urlparse(url)
    return url2pathname(parts.path) if parts.scheme == "file" else url
