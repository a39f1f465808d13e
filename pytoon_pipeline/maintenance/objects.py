"""Tidying of the store: intermediates that nothing refers to are deleted when they are old, or when
they take too much room."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.maintenance.deletions import DeletionOutcome, PlannedDeletion, carry_out
from pytoon_pipeline.maintenance.lease import hold_lease, last_done
from pytoon_pipeline.maintenance.live_objects import (
    OF_VIDEOS,
    PARTS,
    LiveObjects,
    find_live_objects,
)
from pytoon_pipeline.settings import Settings
from pytoon_pipeline.store import open_store
from pytoon_pipeline.store.base import Store, StoredObject
from pytoon_pipeline.store.reuse import SAFE_SECONDS

KINDS = (*PARTS, *OF_VIDEOS, "posters", "linked", "documents", "briefs", "reports")
"""Folders of the store that are looked through. What else lies there, videos before all, is not
Pytoon's to tidy."""
SECONDS = 1200.0
"""The longest that one tidying deletes; what is left is for the next."""
LEASE = "tidy store"
_HALVES = 86400.0
"""Seconds after which a put that was not finished never will be."""


def is_needed(key: str, live: LiveObjects) -> bool:
    """Return whether anything live refers to an object of KINDS."""
    kind, _, rest = key.partition("/")
    if kind in live.spared:
        return True
    if kind in PARTS:
        return key in live.keys
    if kind in OF_VIDEOS:
        return rest[:64] in live.videos
    if kind == "reports":
        return _of_campaign(rest.partition("/")[0], live)
    if kind == "documents":
        asset, _, rest = rest.partition("/")
        if asset == "campaign_report":
            return _of_campaign(rest.removesuffix(".json"), live)
    if kind == "briefs":
        return key in live.bundles
    if kind in ("linked", "documents"):
        return rest.removesuffix(".json") in live.briefs
    return False  # Posters: a page holds its own, and makes them again.


def _of_campaign(folder: str, live: LiveObjects) -> bool:
    # Of two campaigns whose names come to the same the second has `~` and six digits more.
    return folder in live.campaigns or folder.rpartition("~")[0] in live.campaigns


def plan_deletions(
    objects: Iterable[StoredObject],
    live: LiveObjects,
    now: float,
    keep_seconds: float,
    keep_bytes: int | None = None,
) -> list[PlannedDeletion]:
    """Return which of these objects are to be deleted at the Unix time `now`, oldest first.

    Those are objects that nothing needs and that are older than `keep_seconds`; with `keep_bytes`
    also the oldest of the others, until no more than so many bytes are left. Whatever is asked for,
    nothing younger than SAFE_SECONDS is deleted, and nothing put since the oldest step under way
    began.
    """
    unneeded = sorted(
        (s for s in objects if not is_needed(s.key, live)), key=lambda s: (s.modified, s.key)
    )
    total = sum(s.bytes for s in unneeded)
    deletions = []
    for stored in unneeded:
        age = now - stored.modified
        if age <= SAFE_SECONDS or stored.modified >= live.since:
            continue
        if age > keep_seconds:
            reason = f"nothing has needed it for {keep_seconds / 86400:g} days"
        elif keep_bytes is not None and total > keep_bytes:
            reason = f"what nothing needs takes more than {keep_bytes:,} bytes"
        else:
            continue
        total -= stored.bytes
        kind = stored.key.partition("/")[0]
        deletions.append(
            PlannedDeletion(kind, stored.key, stored.bytes, age, reason, modified=stored.modified)
        )
    return deletions


def list_objects(store: Store) -> Iterator[StoredObject]:
    """Yield all objects of KINDS."""
    for kind in KINDS:
        yield from store.objects(kind)


def plan_store(
    settings: Settings,
    store: Store | None = None,
    ledger: Ledger | None = None,
    now: float | None = None,
) -> tuple[list[PlannedDeletion], list[str]]:
    """Return what is to be deleted from the store of the settings, and notes for people. Raises
    StoreError when the store or the ledger can't be read."""
    store, ledger = store or open_store(settings), ledger or Ledger(settings.ledger)
    live = find_live_objects(store, ledger)
    now = time.time() if now is None else now
    keep_seconds = settings.keep_days * 86400
    return plan_deletions(
        list_objects(store), live, now, keep_seconds, settings.keep_bytes
    ), live.notes


def delete_object(store: Store, each: PlannedDeletion) -> bool:
    """Delete an object. Returns False, and deletes nothing, where it was put again since the plan
    was made."""
    found = store.stat(each.place)
    if found is not None and found.modified > each.modified + 1:
        return False
    store.delete(each.place)
    return True


def tidy_store(
    settings: Settings, *, every: float = 0.0, now: float | None = None
) -> DeletionOutcome:
    """Tidy the store, unless that was done less than `every` seconds ago.

    Raises UserError while another process does, StoreError when the store can't be read.
    """
    store, ledger = open_store(settings), Ledger(settings.ledger)
    if every and 0 <= ledger.now() - last_done(ledger, LEASE) < every:
        return DeletionOutcome()
    with hold_lease(ledger, LEASE, 2 * SECONDS) as mine:
        if not mine:
            raise UserError(
                Problem(
                    "tidy.busy",
                    "Another process is tidying this store.",
                    "Wait until it is done; one that was killed is given up after "
                    f"{2 * SECONDS / 60:.0f} minutes.",
                )
            )
        planned, notes = plan_store(settings, store, ledger, now)
        outcome = carry_out(planned, lambda each: delete_object(store, each), SECONDS)
        outcome.notes += notes
        outcome.swept += store.sweep(_HALVES)
    return outcome
