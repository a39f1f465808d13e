"""Live objects: every video of the store, every known brief, and all that they refer to. They may
not be deleted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
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
"""Kinds of objects that videos are linked from; live where a document names them."""
OF_VIDEOS = ("measurements", "sightings", "thumbnails")
"""Kinds of objects about finished files; live where a file of that hash is."""
_READERS = 16
_BEFORE = 3600.0
"""Seconds by which the clocks of the ledger and of the store may differ."""
_SLACK = 2.0
"""Seconds between the clocks of a listing: buckets tell whole ones."""


@dataclass
class LiveObjects:
    """What is needed by the videos of the store, by the briefs of the ledger and by runs."""

    briefs: set[str] = field(default_factory=set)
    """Keys, `<campaign>/<brief>`: of the ledger, and of videos."""
    campaigns: set[str] = field(default_factory=set)
    """Their names as parts of keys."""
    keys: set[str] = field(default_factory=set)
    """Keys of objects of PARTS."""
    bundles: set[str] = field(default_factory=set)
    """Keys of manifests: of each brief the one of the contents last asked for, and the newest."""
    videos: set[str] = field(default_factory=set)
    """SHA-256 of each finished file; what was measured of it bears that name."""
    since: float = math.inf
    """What was put after this Unix time may belong to a run that goes on."""
    spared: set[str] = field(default_factory=set)
    """Kinds of objects of which nothing may be deleted, as a document does not name those that its
    video needs."""
    notes: list[str] = field(default_factory=list)
    """Why kinds are spared, for people."""


_NEVER = StoredObject("", 0, 0.0)
_REMEDY = "Render that brief again, or forget it."


def find_live_objects(store: Store, ledger: Ledger) -> LiveObjects:
    """Return everything that is needed now.

    One small document is read for each video and for each bundle, many at a time; of a brief that
    was worked on since its video was linked two more. Raises StoreError when the store or the
    ledger can't be read.
    """
    live = LiveObjects()
    asked = _add_known_briefs(live, ledger)
    videos = _add_stored_videos(live, store)
    linked = {_brief_of_key(s.key, "linked"): s.modified for s in store.objects("linked")}
    _add_bundles(live, store, asked)
    documents = [f"linked/{brief}.json" for brief in sorted(linked)]
    documents += _documents_since(store, linked)
    documents += sorted(live.bundles)
    clips = _add_named_objects(live, store, documents)
    for brief in sorted(videos - linked.keys()):
        live.spared.update(("windows", "sound", "drawn", *OF_VIDEOS))
        live.notes.append(f"videos/{brief} has no linked/{brief}.json. {_REMEDY}")
    if clips:
        _add_clips(live, store, clips)
    return live


def _add_known_briefs(live: LiveObjects, ledger: Ledger) -> set[str]:
    """Add the briefs of the ledger. Returns the keys of the manifests of their contents."""
    asked = set()
    columns = ("key", "campaign", "state", "content_hash", "updated")
    known = sa.select(*(BRIEFS.c[n] for n in columns))
    for row in ledger.run_transaction(lambda c: c.execute(known).all(), again=True):
        live.briefs.add(row.key)
        live.campaigns.add(key_part(row.campaign))
        asked.add(f"briefs/{row.key}/{row.content_hash}.json")
        if row.state in OPEN:
            # Clocks may jump: this holds whatever age the objects seem to have.
            live.since = min(live.since, row.updated - _BEFORE)
    return asked


def _add_stored_videos(live: LiveObjects, store: Store) -> set[str]:
    """Add the briefs that have something below `videos/`. Returns those that have a video."""
    videos = set()
    for key in store.keys("videos"):
        brief, _, name = key.removeprefix("videos/").rpartition("/")
        live.briefs.add(brief)
        live.campaigns.add(brief.partition("/")[0])
        if name == "video.mp4":
            videos.add(brief)
    return videos


def _add_bundles(live: LiveObjects, store: Store, asked: set[str]) -> None:
    """Add the manifests that were asked for, and the newest of each brief."""
    newest: dict[str, StoredObject] = {}
    for stored in store.objects("briefs"):
        brief = stored.key.removeprefix("briefs/").rpartition("/")[0]
        if stored.key in asked:
            live.bundles.add(stored.key)
        if brief in live.briefs and stored.modified >= (newest.get(brief) or _NEVER).modified:
            newest[brief] = stored
    live.bundles.update(stored.key for stored in newest.values())


def _documents_since(store: Store, linked: Mapping[str, float]) -> list[str]:
    """Keys of the documents that were put since the video of their brief was linked."""
    return [
        s.key
        for asset in ("segments", "render_spec")
        for s in store.objects(f"documents/{asset}")
        if s.modified > linked.get(_brief_of_key(s.key, f"documents/{asset}"), 0.0) - _SLACK
    ]


def _add_named_objects(live: LiveObjects, store: Store, documents: list[str]) -> set[str]:
    """Add what documents name. Returns the identities of the generated clips among it."""
    clips: set[str] = set()
    for key, data in _read_documents(store, documents):
        if data is None:
            continue
        if not isinstance(data, dict):
            live.spared.update((*PARTS, *OF_VIDEOS))
            live.notes.append(f"{key} can't be read, so no part of a video is deleted. {_REMEDY}")
            continue
        live.keys.update(_iterate_named_keys(data))
        clips.update(_clip_identity(record) for record in _generation_records(data))
        if key.startswith("linked/"):
            if isinstance(data.get("sha256"), str):
                live.videos.add(data["sha256"])
            if "parts" not in data:  # Written by an earlier version.
                live.spared.update(("windows", "sound", "drawn"))
                live.notes.append(f"{key} does not name its windows and its sound. {_REMEDY}")
    return clips


def _add_clips(live: LiveObjects, store: Store, clips: set[str]) -> None:
    """Add the generated clips of these identities; those whose card can't be read, too."""
    cards = [s.key for s in store.objects("takes") if s.key.endswith(".json")]
    for key, data in _read_documents(store, cards):
        if data is not None and (not isinstance(data, dict) or _clip_identity(data) in clips):
            live.keys.update((key, key.removesuffix(".json") + ".mp4"))


def _brief_of_key(key: str, below: str) -> str:
    return key.removeprefix(f"{below}/").removesuffix(".json")


def _read_documents(store: Store, keys: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield each key with its contents: None for an object that is no longer there, a text for one
    that is no JSON."""

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
    """All keys of PARTS that a document names, and those of the files of a plan or a bundle, which
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
    """What a record and the card of its clip have in common. The seed follows from the prompt and
    the picture, unless a brief names one: then a few clips more are live than need be."""
    return json.dumps([said.get(n) for n in ("workflow", "models", "seed")], sort_keys=True)
