"""Bundles: briefs that travel through the store, so that any machine can compile them.

    media/<sha256><suffix>           each file that a brief names, where its media lie anyway
    briefs/<key>/<contents>.json     the manifest: what the brief says, and where its files belong

A manifest bears the hash of the brief's contents: a run compiles what it was requested for, whole,
whatever was packed before or since; and since it is put last, everything that it names is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pytoon_pipeline.briefs.queue_hints import QueueHints, read_hints
from pytoon_pipeline.briefs.reading import MAX_BYTES
from pytoon_pipeline.briefs.source import (
    MAX_FILE_BYTES,
    BriefSource,
    FileMention,
    SourceDocument,
    content_hash,
    file_hash,
    hash_of,
    iterate_mentions,
    read_signature,
)
from pytoon_pipeline.errors import BriefError, Problem, PytoonError, StoreError
from pytoon_pipeline.store.base import ObjectNotFoundError, Store, suffix_of
from pytoon_pipeline.store.reuse import touch_if_present
from pytoon_pipeline.store.sums import remember_sum

_NOWHERE = os.devnull
"""Where a link leads that stands for one out of a brief's folder."""
_CONTENTS = re.compile(r"[0-9a-f]{64}")
_TRIES = 3


class BriefChangedError(PytoonError):
    """A brief was changed while it was packed. Packing it again may succeed."""


class _BundledItem(BaseModel):
    """One place of a brief's folder, or of a media root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str
    """Name of the media root, empty for the brief's folder."""
    path: str
    what: Literal["file", "link", "large", "unreadable", "folder", "outside", "name"]
    """`large`: only its size travels; `outside`: a link that leads out; `name`: beside a file that
    is missing, something with nearly its name. With all of them a brief that is wrong is wrong in
    the same words everywhere."""
    to: str = ""
    """Of a link: the path, from the same root, of the item that it leads to."""
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    suffix: str = ""
    size: int = Field(0, ge=0, le=2**43)

    @field_validator("path")
    @classmethod
    def _require_inside(cls, path: str) -> str:
        if not _is_place(path):
            raise ValueError("is no path inside a folder")
        return path

    @field_validator("suffix")
    @classmethod
    def _require_suffix(cls, suffix: str) -> str:
        # Earlier versions kept other signs, too.
        if "/" in suffix or len(suffix) > 7 or not suffix.isascii():
            raise ValueError("is no ending of a name")
        return suffix

    @property
    def key(self) -> str:
        return f"media/{self.sha256}{self.suffix}"


class _BundledDocument(BaseModel):
    """A `Document`, as it says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: str
    data: dict[str, Any]
    shown: str
    of: str = ""
    whole: str = ""
    places: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    problems: list[dict[str, Any]] = Field(default_factory=list)
    until: str = ""


class _BundleManifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    kind: Literal["brief", "spec"]
    campaign: str
    name: str
    path: str
    """Of the brief's file in its folder; empty where the folder itself stands for it."""
    document: _BundledDocument | None
    priority: int
    generates: bool
    roots: list[str]
    """Names of all media roots where it was packed: `name:a.jpg` is a name of a file elsewhere."""
    items: list[_BundledItem] = Field(max_length=10_000)

    @field_validator("path")
    @classmethod
    def _require_inside(cls, path: str) -> str:
        if path and not _is_place(path):
            raise ValueError("is no path inside a folder")
        return path

    @model_validator(mode="after")
    def _require_linked(self) -> _BundleManifest:
        real = {(i.root, i.path) for i in self.items if i.what in _REAL}
        if any(i.what == "link" and (i.root, i.to) not in real for i in self.items):
            raise ValueError("a link leads to no file of the manifest")
        return self


_REAL = ("file", "large", "unreadable")


@dataclass(frozen=True)
class BriefBundle:
    """A brief whose files are in the store."""

    contents: str
    """`content_hash` of what was packed."""
    look: str
    """Its cheap signature then."""
    manifest: bytes


@dataclass(frozen=True)
class BundleStore:
    """Packs the briefs of this machine into its store."""

    store: Store
    roots: Mapping[str, Path] = field(default_factory=dict)
    scratch: Path | None = None
    """Where files are copied to on their way; the system's own folder if none."""

    def pack(self, source: BriefSource) -> BriefBundle:
        """Put the files of a brief, as it is now, into the store. Returns its bundle, which `file`
        puts there under a key. Raises as `pack_brief`, BriefChangedError only when the brief is
        changed again and again."""
        for left in reversed(range(_TRIES)):
            seen, contents = read_signature(source, self.roots), content_hash(source, self.roots)
            try:
                text = _store_contents(source, self.store, self.roots, contents, self.scratch)
                return BriefBundle(contents, seen, text)
            except BriefChangedError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def file(self, key: str, bundle: BriefBundle) -> None:
        """Put the manifest of a bundle into the store, for the brief of this key."""
        self.store.put_bytes(manifest_key(key, bundle.contents), bundle.manifest)


def manifest_key(key: str, contents: str) -> str:
    """Return the key of the manifest of a brief's contents. Raises StoreError for what is no
    hash."""
    if not _CONTENTS.fullmatch(contents):
        raise StoreError(f"{contents!r} is no hash of a brief's contents.")
    return f"briefs/{key}/{contents}.json"


# Packing -----------------------------------------------------------------------------------------


def pack_brief(
    source: BriefSource,
    store: Store,
    roots: Mapping[str, Path],
    contents: str,
    *,
    key: str = "",
    scratch: Path | None = None,
) -> None:
    """Put everything that compiling a brief reads into the store. `key` is the brief's key in the
    ledger, by default the source's own; `contents` is the `content_hash` that is to be packed.

    No file from outside the brief's folder and the media roots is ever put. Raises
    BriefChangedError when the contents of the brief are others by now, BriefError when its own file
    is a link out of its folder, StoreError when the store or `scratch` can't be used.
    """
    text = _store_contents(source, store, roots, contents, scratch)
    store.put_bytes(manifest_key(key or source.key, contents), text)


def _store_contents(
    source: BriefSource,
    store: Store,
    roots: Mapping[str, Path],
    contents: str,
    scratch: Path | None,
) -> bytes:
    """All of `pack_brief` but the manifest, which is returned."""
    _check_own(source)
    found = list(iterate_mentions(source, roots, missing=True))
    known = {m.at: file_hash(m.at, m.info) for m in found if m.info}
    if hash_of(source, known) != contents:
        raise BriefChangedError(f"{source.shown} was changed a moment ago.")
    places: dict[tuple[str, str], FileMention] = {}
    for mention in found:
        if _is_place(mention.path):
            places.setdefault((mention.root, mention.path), mention)
    beside = _FolderListing()
    items: dict[tuple[str, str], _BundledItem] = {}
    for place, mention in sorted(places.items()):
        base = roots[mention.root] if mention.root else source.folder
        item = _describe_item(mention, base, known.get(mention.at, ""), source)
        if item is None:
            for path, what in beside.nearly(base, mention.path):
                if (mention.root, path) not in places and _is_place(path):
                    near = _BundledItem(root=mention.root, path=path, what=what)
                    items.setdefault((mention.root, path), near)
            continue
        real = _resolve_links(mention, base, source)
        if item.what in _REAL and real != item.path:
            items[place] = _BundledItem(root=item.root, path=item.path, what="link", to=real)
            item = item.model_copy(update={"path": real, "suffix": suffix_of(real)})
        if item.what == "file" and not touch_if_present(store, item.key):
            inside = _enclosing_folder(source) if _is_own(mention, source) else base
            _put_item(item, mention, inside, store, scratch)
        items[item.root, item.path] = item
    return _as_manifest(source, roots, [items[place] for place in sorted(items)])


def _as_manifest(
    source: BriefSource, roots: Mapping[str, Path], items: list[_BundledItem]
) -> bytes:
    hints, path = read_hints(source), os.path.relpath(source.path, source.folder)
    manifest = _BundleManifest(
        kind=source.kind,
        campaign=source.campaign,
        name=source.name,
        path="" if path == "." else path if _is_place(path) else source.path.name,
        document=json.loads(source.document.as_json()) if source.document else None,
        priority=hints.priority,
        generates=hints.generates,
        roots=sorted(roots),
        items=items,
    )
    # Texts may hold what can't be written as UTF-8; escaped it comes back as it was.
    return (json.dumps(manifest.model_dump(), indent=1) + "\n").encode()


def _check_own(source: BriefSource) -> None:
    """A brief's own file may be a link to what its campaign shares, and to nothing beyond."""
    if source.document is not None:
        return
    if not _is_inside(str(source.path), _enclosing_folder(source)):
        raise BriefError(
            Problem(
                "file.outside",
                "is a link that leads out of the folder of its campaign.",
                "Put the file itself there.",
                file=source.shown,
            )
        )


def _enclosing_folder(source: BriefSource) -> Path:
    """The folder that a brief's own file may not lead out of."""
    return source.folder.parent if source.owns_folder else source.folder


def _is_place(path: str) -> bool:
    """Is it a plain path down from a folder, of names that every machine can write?"""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return not ("\0" in path or any(part in ("", ".", "..") for part in path.split("/")))


def _is_inside(path: str, base: Path) -> bool:
    """Does it lie in there, wherever links lead?"""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(base))


def _is_own(mention: FileMention, source: BriefSource) -> bool:
    return source.document is None and mention.at == str(source.path)


def _resolve_links(mention: FileMention, base: Path, source: BriefSource) -> str:
    """Where a file lies in the end, by links inside its base. The brief's own is where it is."""
    real = os.path.relpath(os.path.realpath(mention.at), os.path.realpath(base))
    return real if _is_place(real) and not _is_own(mention, source) else mention.path


def _describe_item(
    mention: FileMention, base: Path, known: str, source: BriefSource
) -> _BundledItem | None:
    """What is at a place; None where nothing is."""
    root, path, at, info = mention
    own = _is_own(mention, source)
    if not own and not _is_inside(at, base):
        return _BundledItem(root=root, path=path, what="outside")
    if info is None:
        return _BundledItem(root=root, path=path, what="folder") if os.path.exists(at) else None
    if info.st_size > (MAX_BYTES if own else MAX_FILE_BYTES):
        return _BundledItem(root=root, path=path, what="large", size=info.st_size)
    if not _CONTENTS.fullmatch(known) or not os.access(at, os.R_OK):
        return _BundledItem(root=root, path=path, what="unreadable")
    return _BundledItem(
        root=root, path=path, what="file", sha256=known, suffix=suffix_of(path), size=info.st_size
    )


def _put_item(
    item: _BundledItem, mention: FileMention, base: Path, store: Store, scratch: Path | None
) -> None:
    """Under a hash lies nothing but what has it: the file may be written to or replaced at any
    moment, so what is put is a copy that was held against it. `base` is the folder that the file
    may not lead out of."""
    # They take a while to load, and are not needed before a brief is packed.
    from pytoon_pipeline.media.copies import SnapshotCopies
    from pytoon_pipeline.media.unreadable import UnreadableMediaError

    try:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="parcel-", dir=scratch) as folder:
            held = SnapshotCopies(Path(folder)).take(Path(mention.at), base)
            if held.sha256 != item.sha256:
                raise BriefChangedError(f"{mention.path} was changed a moment ago.")
            remember_sum(held.path, held.sha256)
            store.put(item.key, held.path, once=True, move=True)
    except UnreadableMediaError as error:
        raise BriefChangedError(
            f"{mention.path} was changed or taken away a moment ago."
        ) from error
    except OSError as error:
        raise StoreError(f"{scratch} can't be written to: {error.strerror}.") from error


class _FolderListing:
    """Names in folders, by their stems: the compiler proposes one where a file is missing."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, list[str]]] = {}

    def nearly(self, base: Path, path: str) -> list[tuple[str, Literal["name", "folder"]]]:
        folder, name = os.path.split(path)
        at = os.path.join(base, folder)
        if at not in self._folders:
            stems = self._folders[at] = {}
            with suppress(OSError):
                for other in os.listdir(at) if _is_inside(at, base) else ():
                    stems.setdefault(Path(other).stem.casefold(), []).append(other)
        found = self._folders[at].get(Path(name).stem.casefold(), ())
        return [
            (os.path.join(folder, n), "folder" if os.path.isdir(os.path.join(at, n)) else "name")
            for n in found
            if n != name
        ]


# Unpacking ---------------------------------------------------------------------------------------


def is_packed(key: str, contents: str, store: Store) -> bool:
    """Return whether there is a bundle of these contents."""
    return bool(contents) and touch_if_present(store, manifest_key(key, contents))


def hints_of(key: str, contents: str, store: Store) -> QueueHints:
    """Return what the queue needs to know of a brief, from its bundle. Raises as `unpack_brief`."""
    manifest = _read_manifest(key, contents, store)
    return QueueHints(manifest.priority, manifest.generates)


def unpack_brief(
    key: str, contents: str, store: Store, folder: Path
) -> tuple[BriefSource, dict[str, Path]]:
    """Write a brief and its media roots below an empty folder of this machine. Returns the source
    and the folder of each root: compiled from there the brief is the same as where it was packed.
    Its files may not be written to.

    Raises StoreError when there is no whole bundle of these contents, or its manifest is damaged;
    and BriefError for files that could not be read when it was packed, where this process may read
    anything.
    """
    manifest = _read_manifest(key, contents, store)
    folder = folder.resolve()
    own = folder / "brief"
    # Named by number: a name is data, and may be anything.
    roots = {name: folder / "roots" / str(n) for n, name in enumerate(manifest.roots)}
    document = None
    try:
        for base in (own, *roots.values()):
            base.mkdir(parents=True)
        if manifest.document is not None:
            document = SourceDocument.from_json(json.dumps(manifest.document.model_dump()))
        for item in manifest.items:
            base = roots[item.root] if item.root else own
            _lay_out_item(item, base, store)
    except (KeyError, TypeError, FileExistsError, NotADirectoryError) as error:
        raise _no_manifest(key, contents, error) from error
    except OSError as error:
        raise StoreError(f"{folder} can't be written to: {error.strerror}.") from error
    source = BriefSource(
        own / manifest.path, manifest.kind, manifest.campaign, manifest.name, own, document
    )
    _refuse_unreadable(manifest, own, roots, source)
    return source, roots


def _read_manifest(key: str, contents: str, store: Store) -> _BundleManifest:
    place = manifest_key(key, contents)
    try:
        data = store.read_bytes(place)
    except ObjectNotFoundError as error:
        raise StoreError(
            f"{key} was not packed: {place} is not in the store. Ask for it again on the machine "
            "where its files are."
        ) from error
    try:
        return _BundleManifest.model_validate(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise _no_manifest(key, contents, error) from error


def _no_manifest(key: str, contents: str, error: Exception) -> StoreError:
    return StoreError(f"{manifest_key(key, contents)} is not a whole manifest: {error}")


def _lay_out_item(item: _BundledItem, base: Path, store: Store) -> None:
    target = base / item.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if item.what == "folder":
        target.mkdir(exist_ok=True)
    elif item.what == "outside":
        target.symlink_to(_NOWHERE)
    elif item.what == "link":
        target.symlink_to(base / item.to)
    elif item.what == "file":
        _lay_file(item, target, store)
    else:
        target.touch(exist_ok=False)
        os.truncate(target, item.size)  # With a hole in place of what it holds.
        if item.what == "unreadable":
            target.chmod(0)


def _lay_file(item: _BundledItem, target: Path, store: Store) -> None:
    file = store.local(item.key)
    try:
        os.link(file, target)
    except FileExistsError:
        raise
    except OSError:  # Another file system, or one without links.
        shutil.copyfile(file, target)
    with open(target, "rb") as laid:
        digest = hashlib.file_digest(laid, "sha256").hexdigest()
    if digest != item.sha256:
        raise StoreError(f"{item.key} in the store is not what its name says.")


def _refuse_unreadable(
    manifest: _BundleManifest, own: Path, roots: Mapping[str, Path], source: BriefSource
) -> None:
    problems = [
        Problem(
            "file.unreadable",
            f"{item.path} could not be read.",
            "Change the file's permissions.",
            file=source.shown,
        )
        for item in manifest.items
        if item.what == "unreadable"
        and os.access((roots[item.root] if item.root else own) / item.path, os.R_OK)
    ]
    if problems:
        raise BriefError(problems)
