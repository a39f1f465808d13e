"""The store of pixels, sound and documents: a folder of this machine, or a bucket."""

from __future__ import annotations

from pathlib import Path

from pytoon_pipeline.errors import Problem, SettingsError
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store.base import ObjectNotFoundError, Store, StoredObject
from pytoon_pipeline.store.folder import FolderStore
from pytoon_pipeline.store.s3 import S3Store, open_s3

__all__ = [
    "FolderStore",
    "ObjectNotFoundError",
    "S3Store",
    "Store",
    "StoredObject",
    "describe_location",
    "open_store",
]


def open_store(settings: Settings) -> Store:
    """Return the store of the settings, a folder or a bucket. Nothing is asked of it yet. Raises
    SettingsError for an address that is neither."""
    address = settings.store
    if address.startswith("s3://"):
        return open_s3(settings)
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


def describe_location(store: Store, key: str) -> str:
    """Return where an object lies, for a person: a path where it is a file of this machine, else
    its address in the store. What a browser opens is `store.url(key)`."""
    return store.place(key)
