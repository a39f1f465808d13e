"""What the store must keep: every video in it, every brief known, and what they refer to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pytoon_pipeline.briefs.source import key_part
from pytoon_pipeline.intake.brief_state import OPEN
from pytoon_pipeline.intake.ledger import Ledger
from pytoon_pipeline.intake.ledger_tables import METADATA
from pytoon_pipeline.store.base import ObjectNotFoundError, Store, StoredObject

BRIEFS = METADATA.tables["known_briefs"]
PARTS = ("segments", "windows", "sound", "drawn", "media", "takes")
"""What videos are linked from: kept by name."""
OF_VIDEOS = ("measurements", "sightings", "thumbnails")
"""What was found out about finished files: kept by their hashes."""
_READERS = 16
_BEFORE = 3600.0
"""Seconds by which the clocks of the ledger and of the store may differ."""
_SLACK = 2.0
"""Seconds between the clocks of a listing: buckets tell whole ones."""


@dataclass
class LiveObjects:
    """What is needed."""

    briefs: set[str] = field(default_factory=set)
    """Keys, `<campaign>/<brief>`: of the ledger, and of videos."""
    campaigns: set[str] = field(default_factory=set)
    """Their names as parts of keys."""
    keys: set[str] = field(default_factory=set)
    """Of PARTS."""
    parcels: set[str] = field(default_factory=set)
    """Keys: of each brief the one of the contents last asked for, and the newest."""
    videos: set[str] = field(default_factory=set)
    """SHA-256 of each finished file; what was measured of it bears that name."""
    since: float = math.inf
    """What was put after this Unix time may belong to a run that goes on."""
    spared: set[str] = field(default_factory=set)
    """Kinds of which nothing may go, since a video does not tell what it needs of them."""
    notes: list[str] = field(default_factory=list)


def find_live_objects(store: Store, ledger: Ledger) -> LiveObjects:
    """Everything that is needed now. One small document is read for each video and for each parcel,
    many at a time; of a brief that was worked on since its video was linked two more.

    Raises StoreError when the store or the ledger can't be read.
    """
    live, asked = LiveObjects(), set()
    columns = ("key", "campaign", "state", "content_hash", "updated")
    known = sa.select(*(BRIEFS.c[n] for n in columns))
    for row in ledger.run_transaction(lambda c: c.execute(known).all(), again=True):
        live.briefs.add(row.key)
        live.campaigns.add(key_part(row.campaign))
        asked.add(f"briefs/{row.key}/{row.content_hash}.json")
        if row.state in OPEN:
            # Clocks may jump: this holds whatever age the objects seem to have.
            live.since = min(live.since, row.updated - _BEFORE)
    videos = set()
    for key in store.keys("videos"):
        brief, _, name = key.removeprefix("videos/").rpartition("/")
        live.briefs.add(brief)
        live.campaigns.add(brief.partition("/")[0])
        if name == "video.mp4":
            videos.add(brief)
    linked = {_brief_of_key(s.key, "linked"): s.modified for s in store.objects("linked")}
    later = [
        s.key
        for asset in ("segments", "render_spec")
        for s in store.objects(f"documents/{asset}")
        if s.modified > linked.get(_brief_of_key(s.key, f"documents/{asset}"), 0.0) - _SLACK
    ]
    newest: dict[str, StoredObject] = {}
    for stored in store.objects("briefs"):
        brief = stored.key.removeprefix("briefs/").rpartition("/")[0]
        if stored.key in asked:
            live.parcels.add(stored.key)
        if brief in live.briefs and stored.modified >= (newest.get(brief) or _NEVER).modified:
            newest[brief] = stored
    live.parcels.update(stored.key for stored in newest.values())
    sidecars = [f"linked/{brief}.json" for brief in sorted(linked)]
    takes: set[str] = set()
    for key, data in _read_documents(store, [*sidecars, *later, *sorted(live.parcels)]):
        if not isinstance(data, dict):
            if data is not None:
                live.spared.update((*PARTS, *OF_VIDEOS))
                live.notes.append(f"{key} can't be read, so no part of a video is deleted. {_MEND}")
            continue
        live.keys.update(_iterate_named_keys(data))
        for said in _generation_records(data):
            takes.add(_clip_identity(said))
        if key.startswith("linked/"):
            if isinstance(data.get("sha256"), str):
                live.videos.add(data["sha256"])
            if "parts" not in data:  # Written by an earlier version.
                live.spared.update(("windows", "sound", "drawn"))
                live.notes.append(f"{key} does not name its windows and its sound. {_MEND}")
    for brief in sorted(videos - linked.keys()):
        live.spared.update(("windows", "sound", "drawn", *OF_VIDEOS))
        live.notes.append(f"videos/{brief} has no linked/{brief}.json. {_MEND}")
    cards = [s.key for s in store.objects("takes") if s.key.endswith(".json")]
    for key, data in _read_documents(store, cards if takes else []):
        if data is not None and (not isinstance(data, dict) or _clip_identity(data) in takes):
            live.keys.update((key, key.removesuffix(".json") + ".mp4"))
    return live


_NEVER = StoredObject("", 0, 0.0)
_MEND = "Render that brief again, or forget it."


def _brief_of_key(key: str, below: str) -> str:
    return key.removeprefix(f"{below}/").removesuffix(".json")


def _read_documents(store: Store, keys: list[str]) -> Iterator[tuple[str, Any]]:
    """Key and contents; None of what has gone since, a text of what is no JSON."""

    def read_one(key: str) -> Any:
        try:
            text = store.read_bytes(key)
        except ObjectNotFoundError:
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return "no JSON"

    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(keys), 500):  # Not all at once in memory.
            some = keys[start : start + 500]
            yield from zip(some, pool.map(read_one, some), strict=True)


_BEGINS = tuple(f"{part}/" for part in PARTS)


def _iterate_named_keys(data: Any) -> Iterator[str]:
    """All keys of PARTS that a document names, and those of the files of a plan or a parcel, which
    are named by their hashes."""
    if isinstance(data, str):
        if data.startswith(_BEGINS):
            yield data
    elif isinstance(data, dict):
        if isinstance(data.get("sha256"), str) and "suffix" in data:
            yield f"media/{data['sha256']}{data['suffix']}"
        for value in data.values():
            yield from _iterate_named_keys(value)
    elif isinstance(data, list):
        for value in data:
            yield from _iterate_named_keys(value)


def _generation_records(data: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """What generated footage of a document was made by."""
    found = [s.get("take") for s in data.get("segments") or [] if isinstance(s, dict)]
    return [t for t in [*found, *(data.get("takes") or [])] if isinstance(t, dict)]


def _clip_identity(said: dict[str, Any]) -> str:
    """What a record and the card of its take have in common. The seed follows from the prompt and
    the picture, unless a brief names one: then a few takes more are kept than need be."""
    return json.dumps([said.get(n) for n in ("workflow", "models", "seed")], sort_keys=True)
