"""The files that a video is made of: found, examined, and made assets of the plan."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pytoon_pipeline.briefs.file_names import (
    MAX_NAME,
    SoughtFile,
    find_path,
    is_address,
    leads_out,
    nearest_files,
    whole_address,
    without_unseen,
)
from pytoon_pipeline.compiler.draft import PlanDraft
from pytoon_pipeline.errors import FetchRefusedError
from pytoon_pipeline.media.addresses import strip_query
from pytoon_pipeline.media.copies import StoredCopy
from pytoon_pipeline.media.limits import MAX_FILE_BYTES
from pytoon_pipeline.media.probe import MediaInfo, probe_media
from pytoon_pipeline.media.unreadable import UnreadableMediaError
from pytoon_pipeline.plan.model import Asset
from pytoon_pipeline.store.base import suffix_of


def project_file(d: PlanDraft, source: str) -> tuple[Path, Path | None] | None:
    """The file of a track or of a brand's logo that an earlier compilation took, and the folder
    that it may not lead out of."""
    library = d.shop.presets
    if source in library.tracks():
        return library.track_file(source), None
    brand, _, file = source.partition("/")
    if brand not in library.brand_names():
        return None
    kit = library.brand(brand)
    if kit.logo is None or file not in kit.logo.model_dump().values():
        return None
    return kit.folder / file, kit.folder


def take_project_file(
    d: PlanDraft,
    path: Path,
    name: str,
    licence: str | None,
    root: Path | None = None,
    asset_id: str | None = None,
) -> Asset:
    """A file of the presets folder, or of a kit beside the brief, as an asset (music, a logo).
    `root` is the folder that it may not lead out of. Raises UnreadableMediaError."""
    held, info = _examine_copy(d, path, root)
    return _add_asset(d, held, suffix_of(path.name), name, info, licence, asset_id)


def _add_asset(
    d: PlanDraft,
    held: StoredCopy,
    suffix: str,
    source: str,
    info: MediaInfo,
    licence: str | None,
    asset_id: str | None = None,
) -> Asset:
    """The file as an asset of the plan: the one it has been already, or a new one."""
    for asset in d.spec.assets:
        if asset.sha256 == held.sha256:
            return asset
    taken = {a.id for a in d.spec.assets} | set(d.given)
    number = len(d.spec.assets) + 1
    while asset_id is None:
        asset_id = f"a{number}" if f"a{number}" not in taken else None
        number += 1
    asset = Asset(
        id=asset_id,
        kind=info.kind,
        source=source,
        sha256=held.sha256,
        suffix=suffix,
        bytes=held.bytes,
        width=info.width,
        height=info.height,
        seconds=round(info.seconds, 6) if info.seconds else None,
        frame_rate=round(float(info.frame_rate), 4) if info.frame_rate else None,
        has_alpha=info.has_alpha,
        has_audio=info.has_audio,
        licence=licence,
    )
    d.spec.assets.append(asset)
    d.files[asset.id] = held.path
    return asset


def take_file(
    d: PlanDraft,
    name: str,
    field: str,
    given: dict[str, Asset],
    kinds: tuple[str, ...],
    sound: bool = False,
) -> Asset | None:
    """One file, as an asset; None with the problem reported."""
    known = given.get(name)
    if known is not None:
        stored = d.shop.stored(known.key)
        if stored is not None:
            return _take_stored(d, known, stored, field, kinds, sound)
        name = known.source
        own = project_file(d, name)
        if own is not None:
            return take_project_file(d, own[0], name, known.licence, own[1], known.id)
    seen = len(d.problems)
    found = find_file(d, name, field)
    if found is None:
        if known is not None and [p.code for p in d.problems[seen:]] == ["media.missing"]:
            d.problems[seen] = replace(
                d.problems[seen],
                message=f"the store has no whole copy of {name}, and it is not in the folder.",
                remedy="Put the file beside the plan, or render the brief that the plan is of.",
            )
        return None
    path, root = found
    # The key of a signed address is no part of the plan, nor of a message.
    name = strip_query(whole_address(name)) if is_address(name) else name
    try:
        held, info = _examine_copy(d, path, root)
    except UnreadableMediaError as error:
        d.error(error.code, _describe_media_error(error, name, path), error.remedy, field)
        return None
    if not _check_kind(d, info, name, field, kinds, sound):
        return None
    return _add_asset(
        d,
        held,
        suffix_of(path.name),
        name,
        info,
        known.licence if known else None,
        known.id if known else None,
    )


def _take_stored(
    d: PlanDraft, known: Asset, stored: Path, field: str, kinds: tuple[str, ...], sound: bool
) -> Asset | None:
    """A file of a plan that came back, from the store. What the plan says of it is not believed:
    whoever sends a plan may have written it."""
    held = StoredCopy(stored, known.sha256, stored.stat().st_size, False, lambda: None)
    try:
        info = _probe_once(d, stored)
    except UnreadableMediaError as error:
        d.error(error.code, _describe_media_error(error, known.source, stored), error.remedy, field)
        return None
    if not _check_kind(d, info, known.source, field, kinds, sound):
        return None
    return _add_asset(d, held, known.suffix, known.source, info, known.licence, known.id)


def _examine_copy(d: PlanDraft, path: Path, root: Path | None) -> tuple[StoredCopy, MediaInfo]:
    """A file as it is from now on, and what it is. Raises UnreadableMediaError."""
    held = d.copies.take(path, root, suffix_of(path.name))
    info = _probe_once(d, held.path)
    held.unchanged()
    return held, info


def _probe_once(d: PlanDraft, path: Path) -> MediaInfo:
    if path not in d.probed:
        d.probed[path] = probe_media(path)
    return d.probed[path]


def _describe_media_error(error: UnreadableMediaError, name: str, path: Path) -> str:
    """What is wrong with a file, by the name that its author wrote: the sentence begins with the
    name of the file that was read."""
    message = error.message
    if message.startswith(path.name):
        return name + message.removeprefix(path.name)
    return _KEPT.sub(lambda _: name, message, count=1)


_KEPT = re.compile(r"^[0-9a-f]{64}(\.[a-z0-9]+)?")
"""How the name of a file in the store begins a message."""


def _check_kind(
    d: PlanDraft, info: MediaInfo, name: str, field: str, kinds: tuple[str, ...], sound: bool
) -> bool:
    """Is it of a kind that can be used there? If not, that is reported; else what is to be said of
    it is."""
    if info.kind not in kinds or (sound and not info.has_audio and info.kind != "audio"):
        wanted = (
            "a sound file"
            if sound
            else " or ".join(
                {"image": "a picture", "video": "a clip", "audio": "a sound file"}[k] for k in kinds
            )
        )
        has = {"image": "a picture", "audio": "sound only"}.get(
            info.kind, "a clip without sound" if sound else "a clip"
        )
        d.error(
            "media.kind", f"{name} is {has}; {wanted} is needed here.", "Give another file.", field
        )
        return False
    for text in info.notes:
        d.note(f"{name}: {text}")
    for code, text, remedy in info.warnings:
        if not any(p.code == code and p.field == field for p in d.problems):
            d.warn(code, f"{name} {text}", remedy, field)
    return True


def find_file(d: PlanDraft, name: str, field: str) -> tuple[Path, Path | None] | None:
    """A file inside the brief's folder or a named media root, and the folder that it may not lead
    out of; None with the problem reported."""
    root, path = d.folder, d.names.get(name, name)
    head, colon, rest = without_unseen(name).partition(":")
    if colon and head in d.shop.media_roots:
        root, path = d.shop.media_roots[head], rest
    elif is_address(name):
        fetched = _fetch_address(d, whole_address(name), field)
        return (fetched, None) if fetched else None
    if len(without_unseen(path).encode("utf-8", "replace")) > MAX_NAME:
        d.error("media.missing", f"{name[:40]}... is no file name.", "Name a file.", field)
        return None
    plain = without_unseen(path).replace("\\", "/")
    found = find_path(root, path)
    out = leads_out(plain) and not found.there
    full = root if out else root / found.path
    # Links are followed to see where they lead; one that leads out is refused like `..`.
    try:
        outside = out or not full.resolve().is_relative_to(root.resolve())
        there = not outside and full.exists()
    except (OSError, RuntimeError, ValueError):
        d.error(
            "media.missing",
            f"{name} can't be reached.",
            "A link leads to itself, or rights are missing: copy the file into the folder.",
            field,
        )
        return None
    if outside:
        d.error("media.outside", *_describe_outside(name, plain), field)
        return None
    if not there:
        d.error("media.missing", f"{name} does not exist.", _propose_name(root, path, found), field)
        return None
    if not full.is_file():
        d.error("media.not_media", f"{name} is a folder.", "Name one file.", field)
        return None
    if full.stat().st_size > MAX_FILE_BYTES:
        d.error("media.too_large", f"{name} is over 2 GB.", "Export a smaller copy.", field)
        return None
    if not found.spelled:
        d.note(f"There is no {name}; {found.path} was taken, whose name differs in capitals only.")
    return full, root


def _fetch_address(d: PlanDraft, name: str, field: str) -> Path | None:
    """The local copy of what lies at an address; None with the problem reported."""
    if name.lower().startswith("file:"):
        d.error("media.outside", *_describe_outside(name, name), field)
        return None
    if d.shop.fetch is None:
        d.error(
            "media.address",
            f"{strip_query(name)} is an address; media are read from files here.",
            "Download it into the folder of this brief.",
            field,
        )
        return None
    try:
        return d.shop.fetch(name)
    except FetchRefusedError as error:
        d.error(error.code, error.message, error.remedy, field)
        return None


def _describe_outside(name: str, plain: str) -> tuple[str, str]:
    """What is said of a path that leads out of the folder: message and remedy."""
    last = plain.rstrip("/").rpartition("/")[2]
    last = last if last not in ("", ".", "..") and "\0" not in last else "front.jpg"
    if plain.startswith(("/", "~", "file:")) or re.match("[A-Za-z]:/", plain):
        return (
            f"'{name}' is a path of one computer, outside of the folder of this brief.",
            f"Copy the file into the folder and write its name alone: {last} .",
        )
    return (
        f"'{name}' leads out of the folder of this brief.",
        "Copy the file into the folder and name it from there.",
    )


def _propose_name(root: Path, path: str, found: SoughtFile) -> str:
    """What may be meant by a name that no file has."""
    nearly = list(found.nearly) or nearest_files(root, path)
    if len(nearly) > 1:
        return f"Which of these is meant: {', '.join(nearly[:4])}?"
    if nearly:
        return f"There is {nearly[0]}: did you mean that?"
    parts = [part for part in (without_unseen(p) for p in re.split(r"[,;|\n]", path)) if part]
    if len(parts) > 1 and all(find_path(root, part).there for part in parts):
        return f"These are several files: write them as a list, [{', '.join(parts)}]."
    if re.match(r"www\.[\w.-]+/", path):
        return "An address begins with https:// ."
    return "Check the spelling, or copy the file there."
