"""Use objects of the store again: what a run finds there must not be removed while the run needs
it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from pytoon_pipeline.errors import StoreError
from pytoon_pipeline.store.base import DamagedObjectError, Store

P = ParamSpec("P")
T = TypeVar("T")

REFRESHED_AFTER = 12 * 3600.0
"""Seconds. What is older and taken up again counts as new from then on."""
SAFE_SECONDS = 2 * REFRESHED_AFTER
"""Whatever was put or taken up within this time is in use, or may be: a run is far shorter. Nothing
of that age is ever tidied away, whether anything refers to it yet or not."""


def retry_if_missing(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function that reads its results from a store, and makes those that are missing, so
    that it runs once more where an object was damaged. A damaged object was removed when it was
    read."""

    @wraps(function)
    def make_twice(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except DamagedObjectError:
            return function(*args, **kwargs)

    return make_twice


def touch_if_present(store: Store, key: str) -> bool:
    """Return whether this object is in the store, undamaged, to be used from now on. An old one is
    marked as new, so that it stays until what is being made refers to it; a damaged one is removed.

    Raises StoreError when the store can't be reached.
    """
    found = store.whole(key)
    if found is None:
        return False
    if time.time() - found.modified > REFRESHED_AFTER:
        try:
            if store.shared:
                store.put(key, store.local(key))
            else:
                os.utime(store.local(key))
        except (StoreError, OSError):
            return store.exists(key)  # It went just now; or it can't be marked, and is there.
    return True
