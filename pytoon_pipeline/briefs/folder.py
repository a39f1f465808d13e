"""Briefs in folders: what counts as one, what it is called, and what it is made of.

Shapes, side by side in one tree:

    <root>/<campaign>/<brief>/brief.yaml         media beside it
    <root>/<campaign>/<brief>/render_spec.json   media beside it
    <root>/<campaign>/<brief>.yaml               media beside it, shared by the campaign's briefs
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from unicodedata import category, normalize

import yaml

from pytoon_pipeline.errors import Problem, UserError

BRIEF_FILES = ("brief.yaml", "brief.yml")
SPEC_FILES = ("render_spec.json", "render_spec.yaml", "render_spec.yml")
_YAML = (".yaml", ".yml")
_PART_BYTES = 180
"""Longest part of a key: a file system takes names of 255 bytes, and endings are added."""
_SMALL = 1_000_000
"""Bytes of the largest file that is read for names of other files."""

_EventLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class BriefSource:
    """Where one brief comes from."""

    path: Path
    """The file, absolute: `brief.yaml`, `render_spec.json`, or one that is such a thing."""
    kind: Literal["brief", "spec"]
    campaign: str
    """Name of the campaign's folder."""
    name: str
    """Name of the brief."""
    folder: Path
    """Media are relative to this folder and may not leave it."""

    @property
    def key(self) -> str:
        """`<campaign>/<name>`, NFC, safe as a key of the store and of a Dagster partition.

        Two sources can have the same key; the ledger keeps them apart.
        """
        return f"{_key_part(self.campaign)}/{_key_part(self.name)}"


@dataclass(frozen=True)
class Stillness:
    """All that lies around a brief, half-copied files included."""

    signature: str
    """Changes when any size or time does."""
    newest: float
    """Unix time of the last change, contents or name."""


def _key_part(name: str) -> str:
    text = normalize("NFC", name).strip()
    text = "".join(
        "_" if c in "/\\" or category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text
    )
    text = re.sub(r"\.{3,}", "_", text)  # Dagster refuses "..." in a partition key.
    if text in ("", ".", "..") or text.startswith(".tmp-"):
        text = f"_{text.replace('.', '_')}"
    data = text.encode()
    return text if len(data) <= _PART_BYTES else data[:_PART_BYTES].decode(errors="ignore").strip()


def _problem(code: str, path: Path, message: str, remedy: str) -> Problem:
    return Problem(code, message, remedy, file=os.fsencode(path).decode(errors="replace"))


# What lies where ---------------------------------------------------------------------------------


def _kind(path: Path) -> Literal["brief", "spec"]:
    """By its name, and where that says nothing by its contents: only a plan has `segments`."""
    if path.name in BRIEF_FILES:
        return "brief"
    if path.name in SPEC_FILES or path.name.endswith(".render_spec.json"):
        return "spec"
    try:
        info = path.stat()
    except OSError:
        return "brief"
    return _kind_inside(path, info.st_size, info.st_mtime_ns)


@lru_cache(maxsize=32768)
def _kind_inside(path: Path, size: int, _mtime_ns: int) -> Literal["brief", "spec"]:
    try:
        text = path.read_text(encoding="utf-8-sig") if size <= _SMALL else ""
    except (OSError, UnicodeDecodeError):
        return "brief"
    if path.suffix.lower() == ".json":
        return "spec" if '"segments"' in text else "brief"
    return "spec" if re.search(r"^segments\s*:", text, re.MULTILINE) else "brief"


def _source(path: Path, folder: Path | None = None) -> BriefSource:
    """`folder` is given where the file is the one of a folder of its own."""
    if folder is not None:
        return BriefSource(path, _kind(path), folder.parent.name or "briefs", folder.name, folder)
    name = path.name.removesuffix(".render_spec.json")
    name = Path(name).stem if name == path.name else name
    return BriefSource(path, _kind(path), path.parent.name or "briefs", name, path.parent)


def _is_flat_brief(name: str) -> bool:
    lower = name.lower()
    if lower in ("brand.yaml", "brand.yml") or lower.endswith((".brand.yaml", ".brand.yml")):
        return False
    return lower.endswith((*_YAML, ".render_spec.json"))


def _entries(folder: Path, root: Path, problems: list[Problem]) -> list[os.DirEntry[str]]:
    """Visible entries, sorted; links that lead out of `root` are left out."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda e: e.name)
    except OSError as error:
        problems.append(
            _problem(
                "folder.unreadable",
                folder,
                f"can't be read: {error.strerror}.",
                "Check its rights.",
            )
        )
        return []
    kept = []
    for entry in entries:
        if entry.name.startswith((".", "_")):
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            problems.append(
                _problem(
                    "folder.name", Path(entry.path), "has a name that is not UTF-8.", "Rename it."
                )
            )
            continue
        if entry.is_symlink() and not _inside(Path(entry.path), root):
            continue
        kept.append(entry)
    return kept


def _inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # A link to nowhere, or one that leads to itself.
        return False


def _own(folder: Path) -> BriefSource | None:
    """The brief that this folder is, if it is one."""
    for name in (*BRIEF_FILES, *SPEC_FILES):
        if (folder / name).is_file():
            return _source(folder / name, folder)
    return None


def _campaign(
    folder: Path, root: Path, problems: list[Problem]
) -> tuple[list[BriefSource], list[Path]]:
    """The briefs of a campaign's folder, and its folders that are no briefs."""
    sources: list[BriefSource] = []
    others: list[Path] = []
    for entry in _entries(folder, root, problems):
        path = Path(entry.path)
        if entry.is_dir():
            own = _own(path)
            if own is None:
                others.append(path)
            elif own.path.is_symlink() and not _inside(own.path, root):
                continue
            else:
                sources.append(own)
        elif entry.is_file() and _is_flat_brief(entry.name):
            sources.append(_source(path))
    return sources, others


def scan(root: Path) -> tuple[list[BriefSource], list[Problem]]:
    """All briefs below a folder of campaigns (or a campaign, or a brief), in order of their paths,
    and what kept parts of it from being looked at. Never raises."""
    try:
        root = root.resolve(strict=True)
    except (OSError, RuntimeError):
        return [], [
            _problem("folder.missing", root, "is not a folder.", "Create it, or correct its name.")
        ]
    own = _own(root)
    if own is not None:
        return [own], []
    problems: list[Problem] = []
    sources, campaigns = _campaign(root, root, problems)
    for campaign in campaigns:
        sources += _campaign(campaign, root, problems)[0]
    return sorted(sources, key=lambda s: str(s.path)), problems


def find_sources(paths: Sequence[Path]) -> list[BriefSource]:
    """The briefs that a person named: brief folders, brief files, RenderSpecs, campaign folders, a
    folder of campaigns. Each once, sorted.

    Raises UserError with a Problem for each path that holds nothing to render.
    """
    found: dict[Path, BriefSource] = {}
    problems: list[Problem] = []
    for given in paths:
        path = Path(given).expanduser()
        try:
            path = path.resolve(strict=True)
            str(path).encode()
        except UnicodeEncodeError:
            problems.append(
                _problem("folder.name", given, "has a name that is not UTF-8.", "Rename it.")
            )
            continue
        except (OSError, RuntimeError, ValueError):
            problems.append(_problem("call.missing", given, "does not exist.", "Check the path."))
            continue
        if path.is_dir():
            sources, faults = scan(path)
            problems += faults
            if not sources and not faults:
                problems.append(
                    _problem(
                        "call.nothing",
                        given,
                        "holds no brief.yaml, no render_spec.json and no campaign of them.",
                        f"`pytoon new {given}` writes a brief to start from.",
                    )
                )
        elif path.suffix.lower() in (*_YAML, ".json"):
            own = path.name in (*BRIEF_FILES, *SPEC_FILES)
            sources = [_source(path, path.parent if own else None)]
        else:
            sources = []
            problems.append(
                _problem(
                    "call.kind",
                    given,
                    "is not a brief.",
                    "Name a brief's folder, its brief.yaml or render_spec.json, or a campaign.",
                )
            )
        found.update({source.path: source for source in sources})
    if problems:
        raise UserError(problems)
    return sorted(found.values(), key=lambda s: str(s.path))


# What a brief is made of -------------------------------------------------------------------------


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _strings(value)


@lru_cache(maxsize=32768)
def _words(path: str, size: int, _mtime_ns: int) -> tuple[str, ...]:
    """Texts in a small YAML or JSON file that could be names of files."""
    if size > _SMALL:
        return ()
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if path.lower().endswith(".json"):
            words: Iterable[str] = _strings(json.loads(text))
        else:
            # Events, not values: nothing is built, so nothing can blow up.
            events = yaml.parse(text, _EventLoader)
            words = (e.value for e in events if isinstance(e, yaml.ScalarEvent))
        return tuple(
            w for w in dict.fromkeys(words) if "." in w and len(w) < 1000 and w.isprintable()
        )
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return ()  # The compiler says what is wrong with it.


def _file(path: str) -> os.stat_result | None:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info if stat.S_ISREG(info.st_mode) else None


def _named(word: str, folder: str, roots: Mapping[str, Path]) -> tuple[str, os.stat_result] | None:
    """The file that a word names, if there is one. Words that lead out of the folder name none; of
    links the compiler says what it thinks."""
    root, colon, rest = word.partition(":")
    if colon and root in roots:
        folder, word = str(roots[root]), rest
    if word.startswith("/") or ".." in word.split("/"):
        return None
    # File systems differ in how they write an accent: as one character, or as two.
    forms = [word] if word.isascii() else [word, *(normalize(f, word) for f in ("NFC", "NFD"))]
    for form in dict.fromkeys(forms):
        path = f"{folder}/{form}"
        info = _file(path)
        if info:
            return path, info
    return None


def _files(source: BriefSource, roots: Mapping[str, Path]) -> dict[str, os.stat_result]:
    """The brief's file and all files that it names (and, of those that are YAML, that they name):
    path -> stat, in order."""
    files: dict[str, os.stat_result] = {}
    pending = [str(source.path)]
    while pending:
        path = pending.pop()
        info = _file(path)
        if info is None or path in files:
            continue
        files[path] = info
        for word in _words(path, info.st_size, info.st_mtime_ns):
            named = _named(word, os.path.dirname(path), roots)
            if named and named[0].lower().endswith(_YAML):
                pending.append(named[0])
            elif named:
                files[named[0]] = named[1]
    return dict(sorted(files.items()))


def look(source: BriefSource, roots: Mapping[str, Path] | None = None) -> str:
    """A cheap signature of a brief and its media, from sizes and times; nothing large is read."""
    digest = hashlib.blake2b(digest_size=16)
    for path, info in _files(source, roots or {}).items():
        digest.update(os.fsencode(path) + f"\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def stillness(source: BriefSource, roots: Mapping[str, Path] | None = None) -> Stillness:
    """Of the brief's files, and of everything in a folder of its own: copying tools write to
    hidden or unfinished names there first."""
    files = _files(source, roots or {})
    if source.path.name in (*BRIEF_FILES, *SPEC_FILES):
        for folder, _, names in os.walk(source.folder):
            for name in names:
                path = os.path.join(folder, name)
                info = _file(path)
                if info:
                    files[path] = info
    digest = hashlib.blake2b(digest_size=16)
    newest = 0.0
    for path, info in sorted(files.items()):
        digest.update(os.fsencode(path) + f"\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
        # A copy may keep the old time of its contents; the time of its status is the copy's own.
        newest = max(newest, info.st_mtime, info.st_ctime)
    return Stillness(digest.hexdigest(), newest)


@lru_cache(maxsize=32768)
def _file_hash(path: str, size: int, mtime_ns: int, ctime_ns: int, inode: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(source: BriefSource, roots: Mapping[str, Path] | None = None) -> str:
    """SHA-256 over the brief's file and every file it names, by content; touching or moving them
    changes nothing. `roots` are the named media folders of the settings."""
    digest = hashlib.sha256(f"{source.kind}\0{source.path.name}\0".encode())
    base = f"{source.folder}/"
    for path, info in _files(source, roots or {}).items():
        try:
            known = _file_hash(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
        except OSError as error:
            known = f"unreadable: {error.errno}"  # The compiler says so; mending it changes this.
        name = path.removeprefix(base)
        digest.update(os.fsencode(name) + f"\0{known}\0".encode())
    return digest.hexdigest()
