"""Sources of briefs: where a brief comes from, what it is called, and which files it is made of."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from posixpath import normpath
from typing import Any, Literal, NamedTuple
from unicodedata import category, normalize

import yaml

from pytoon_pipeline.briefs.file_names import find_path, leads_out, path_spellings
from pytoon_pipeline.briefs.scalars import decode_document, repair_yaml
from pytoon_pipeline.errors import Problem
from pytoon_pipeline.files import open_file, read_file

BRIEF_FILES = ("brief.yaml", "brief.yml")
SPEC_FILES = ("render_spec.json", "render_spec.yaml", "render_spec.yml")
YAML = (".yaml", ".yml")
_PART_BYTES = 180
"""Longest part of a key: a file system takes names of 255 bytes, and endings are added."""
MAX_FILE_BYTES = 2_000_000_000
"""The compiler refuses larger files, so nobody need read them."""
_SMALL = 1_000_000
"""Bytes of the largest file that is read for names of other files."""
_HASHED_AT_ONCE = 1 << 18
"""Bytes of a file that are in memory while it is hashed."""

_DEEPEST = 60
"""Lists and mappings inside each other; the compiler refuses more."""
_MAX_WORDS = 20_000
"""Texts of a file that are tried as names of files. The compiler refuses documents of more."""

_ENDING = re.compile(r"\.\w{2,5}[^\w.]{0,3}$")
"""Of words that may name a file."""
_EventLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class SourceDocument:
    """A brief that is no file of its own: a row of a table, a variant of a brief, a request."""

    part: str
    """Tells it from the others of the same whole: `row kettle`, `de-h2`."""
    data: Mapping[str, Any]
    """The brief's fields, as JSON values."""
    shown: str
    """The whole's name in messages: `spring.csv`."""
    of: str = ""
    """The part that this is a variant of, where it is one."""
    whole: str = ""
    """Tells the whole from others where it is no file: `sql:public.briefs`. Else its path does."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Field -> where a person finds it: `hook` -> `row 12, column Title`; "" -> `row 12`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Name of a file in the data -> its name in the source's folder, where that is another."""
    problems: tuple[Problem, ...] = ()
    """Found on the way from the whole to this brief."""
    until: str = ""
    """When what it says may be true no more (ISO 8601), as an offer that ends; empty for never."""

    def is_current(self, now: dt.datetime) -> bool:
        """Return whether what the document says is still true."""
        return not self.until or now < dt.datetime.fromisoformat(self.until)

    def place(self, name: str | None) -> str | None:
        """Return where a person finds the field of a problem: `row 12, column Title`."""
        if not self.places:
            return name
        head = name or ""
        while head and head not in self.places:
            cut = max(head.rfind("."), head.rfind("["))
            head = head[:cut] if cut > 0 else ""
        place, rest = self.places.get(head, ""), (name or "").removeprefix(head).lstrip(".")
        if not head:
            return ", ".join(p for p in (place, rest) if p) or None
        return place

    def locate_problem(self, problem: Problem) -> Problem:
        """Return a problem with the place of its field."""
        return replace(problem, field=self.place(problem.field))

    def as_json(self) -> str:
        """Return the document as JSON, for `from_json`."""
        values = {**self.__dict__, "problems": [p.as_dict() for p in self.problems]}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> SourceDocument:
        """Return the document of a text that `as_json` returned."""
        values = json.loads(text)
        return cls(**{**values, "problems": tuple(Problem(**p) for p in values["problems"])})


@dataclass(frozen=True)
class BriefSource:
    """Where one brief comes from."""

    path: Path
    """The file, absolute: `brief.yaml`, `render_spec.json`, one that is such a thing, or a table;
    for a row of a database the folder that its media are relative to."""
    kind: Literal["brief", "spec"]
    campaign: str
    """Name of the campaign: its folder, or its table."""
    name: str
    """Name of the brief."""
    folder: Path
    """Media are relative to this folder and may not leave it."""
    document: SourceDocument | None = None
    """What it says, where that does not stand in a file of its own."""

    @property
    def key(self) -> str:
        """`<campaign>/<name>`, NFC, safe as a key of the store and of a Dagster partition.

        Two sources can have the same key; the ledger keeps them apart.
        """
        return f"{key_part(self.campaign)}/{key_part(self.name)}"

    @property
    def origin(self) -> str:
        """Tells this source from all others, at any time."""
        if self.document is None:
            return str(self.path)
        return f"{self.document.whole or self.path}#{self.document.part}"

    @property
    def shown(self) -> str:
        """The file's name in messages."""
        return self.document.shown if self.document else f"{self.key}/{self.path.name}"

    @property
    def is_request(self) -> bool:
        """Whether the brief came whole, by HTTP, so that nothing of it changes any more."""
        return self.document is not None and not self.document.part

    @property
    def owns_folder(self) -> bool:
        """Whether everything in the folder belongs to this brief."""
        return self.path.name in (*BRIEF_FILES, *SPEC_FILES)


@dataclass(frozen=True)
class FileStillness:
    """The state of all files around a brief, half-copied ones included."""

    signature: str
    """Changes when any size or time does."""
    newest: float
    """Unix time of the last change, contents or name."""


def key_part(name: str) -> str:
    """Return a name of any kind as one part of a key."""
    text = normalize("NFC", name).strip()
    text = "".join(
        "_" if c in "/\\" or category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text
    )
    text = re.sub(r"\.{3,}", "_", text)  # Dagster refuses "..." in a partition key.
    if text in ("", ".", "..") or text.startswith(".tmp-"):
        text = f"_{text.replace('.', '_')}"
    data = text.encode()
    return text if len(data) <= _PART_BYTES else data[:_PART_BYTES].decode(errors="ignore").strip()


def _iterate_strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _iterate_strings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _iterate_strings(value)


def _iterate_scalars(events: Iterable[yaml.Event]) -> Iterator[str]:
    """Texts among the events of a document. Raises ValueError for one that is nested too deeply:
    the parser's time grows with the square of the depth."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if isinstance(event, yaml.ScalarEvent):
            yield event.value


@lru_cache(maxsize=32768)
def _file_words(path: str, _size: int, _mtime_ns: int) -> tuple[str, ...]:
    """Texts in a small YAML or JSON file that could be names of files. Raises OSError, which is not
    remembered: the file may be readable the next time without having changed."""
    try:
        text = decode_document(read_file(path, _SMALL))
        if path.lower().endswith(".json"):
            words: Iterable[str] = _iterate_strings(json.loads(text))
        else:
            # Events, not values: nothing is built, so nothing can blow up.
            words = _iterate_scalars(yaml.parse(repair_yaml(text), _EventLoader))
        few = islice((w for w in words if len(w) < 1000), _MAX_WORDS)
        return tuple(dict.fromkeys(few))
    except (ValueError, RecursionError, yaml.YAMLError):
        return ()  # The compiler says what is wrong with it.


def _words_of(path: str, info: os.stat_result) -> tuple[str, ...]:
    try:
        return _file_words(path, info.st_size, info.st_mtime_ns)
    except OSError:
        return ()  # Not remembered: the next time it may be readable.


def _stat_file(path: str) -> os.stat_result | None:
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info if stat.S_ISREG(info.st_mode) else None


class FileMention(NamedTuple):
    """A place that a brief names, as a file or by chance."""

    root: str
    """Name of the media root, empty for the brief's own folder."""
    path: str
    """Where in it, without `..`; links are as they are."""
    at: str
    """The same on this machine, absolute."""
    info: os.stat_result | None
    """Of a file; None where none is there."""


def _resolve_mention(
    word: str, within: str, base: str, root: str = "", missing: bool = False
) -> FileMention | None:
    """The place that a word names in the folder `within` of a base; None where no file is there,
    unless those are asked for, too. Words that lead out of the base name none."""
    found = None
    for form in path_spellings(word):
        if leads_out(form.replace("\\", "/")):
            continue
        path = f"{within}/{form}" if within else form
        at = f"{base}/{path}"
        info = _stat_file(at)
        if info is not None:
            return FileMention(root, normpath(path), at, info)
        if missing and found is None:
            found = FileMention(root, normpath(path), at, None)
    if _ENDING.search(word):
        # What the compiler takes for it: a name in other capitals.
        sought = find_path(f"{base}/{within}" if within else base, word)
        if sought.there and not sought.spelled:
            path = f"{within}/{sought.path}" if within else sought.path
            info = _stat_file(f"{base}/{path}")
            if info is not None:
                return FileMention(root, normpath(path), f"{base}/{path}", info)
    return found


def iterate_mentions(
    source: BriefSource, roots: Mapping[str, Path], missing: bool = False
) -> Iterator[FileMention]:
    """Yield the brief's file, where it has one of its own, and all files that it names and, of
    those that are YAML, that they name. With `missing` places where there is no file are yielded,
    too. A place may come twice."""
    pending: list[FileMention] = []
    document, first = source.document, ""
    own = str(source.folder)

    def take_words(
        words: Iterable[str], within: str, base: str, root: str
    ) -> Iterator[FileMention]:
        for word in words:
            head, colon, rest = word.partition(":")
            if colon and head in roots:
                found = _resolve_mention(rest, "", str(roots[head]), head, missing)
            else:
                found = _resolve_mention(word, within, base, root, missing)
            if found is None:
                continue
            if found.info and found.at.lower().endswith(YAML):
                pending.append(found)
            else:
                yield found

    if document is None:
        first = os.path.relpath(source.path, own)
        pending.append(FileMention("", first, str(source.path), _stat_file(str(source.path))))
    else:
        said = dict.fromkeys(_iterate_strings(document.data))
        words = dict.fromkeys([*(document.files.get(w, w) for w in said), *said])
        yield from take_words((w for w in words if len(w) < 1000), "", own, "")
    seen: set[str] = set()
    while pending:
        mention = pending.pop()
        if mention.info is not None or missing:
            yield mention
        if mention.info is None or mention.at in seen:
            continue
        seen.add(mention.at)
        base = str(roots[mention.root]) if mention.root else own
        named = _words_of(mention.at, mention.info)
        within = os.path.dirname(mention.path)
        if mention.path != first and os.path.islink(mention.at):
            # What a brand kit names lies beside the kit itself.
            real = os.path.realpath(mention.at)
            within = os.path.dirname(os.path.relpath(real, os.path.realpath(base)))
            if within.startswith(".."):
                continue
        yield from take_words(named, within, base, mention.root)


def _mentioned_files(source: BriefSource, roots: Mapping[str, Path]) -> dict[str, os.stat_result]:
    """The files among what it names: path -> stat, in order."""
    files = {m.at: m.info for m in iterate_mentions(source, roots) if m.info}
    return dict(sorted(files.items()))


def _own_words(source: BriefSource) -> bytes:
    """What a document says, in one form."""
    if source.document is None:
        return b""
    said = [source.document.data, [p.as_dict() for p in source.document.problems]]
    return json.dumps(said, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


def read_signature(source: BriefSource, roots: Mapping[str, Path] | None = None) -> str:
    """Return a cheap signature of a brief and its media, from sizes and times; nothing large is
    read."""
    digest = hashlib.blake2b(_own_words(source), digest_size=16)
    for path, info in _mentioned_files(source, roots or {}).items():
        digest.update(os.fsencode(path) + f"\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def read_stillness(source: BriefSource, roots: Mapping[str, Path] | None = None) -> FileStillness:
    """Return the state of the brief's files, and of everything in a folder of its own: copying
    tools write to hidden or unfinished names there first."""
    files = _mentioned_files(source, roots or {})
    whole = _stat_file(str(source.path))
    if whole:
        files[str(source.path)] = whole
    if source.owns_folder:
        for folder, _, names in os.walk(source.folder):
            for name in names:
                path = os.path.join(folder, name)
                info = _stat_file(path)
                if info:
                    files[path] = info
    digest = hashlib.blake2b(digest_size=16)
    newest = 0.0
    for path, info in sorted(files.items()):
        digest.update(os.fsencode(path) + f"\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
        # A copy may keep the old time of its contents; the time of its status is the copy's own.
        newest = max(newest, info.st_mtime, info.st_ctime)
    return FileStillness(digest.hexdigest(), newest)


@lru_cache(maxsize=32768)
def _file_hash(path: str, size: int, mtime_ns: int, ctime_ns: int, inode: int) -> str:
    digest = hashlib.sha256()
    with open_file(path, MAX_FILE_BYTES) as file:
        while block := file.read(_HASHED_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def file_hash(path: str, info: os.stat_result) -> str:
    """Return the SHA-256 of a file, read again only when its times have changed; or why it is not
    read."""
    if info.st_size > MAX_FILE_BYTES:
        return f"too large: {info.st_size}"
    try:
        return _file_hash(path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    except OSError as error:
        return f"unreadable: {error.errno}"  # The compiler says so; mending it changes this.


def content_hash(source: BriefSource, roots: Mapping[str, Path] | None = None) -> str:
    """Return the SHA-256 over what the brief says and every file it names, by content; touching or
    moving them changes nothing. `roots` are the named media folders of the settings."""
    files = _mentioned_files(source, roots or {})
    return hash_of(source, {path: file_hash(path, info) for path, info in files.items()})


def hash_of(source: BriefSource, files: Mapping[str, str]) -> str:
    """Return the `content_hash` of a brief whose files are these: path -> `file_hash`."""
    name = "" if source.document else source.path.name
    digest = hashlib.sha256(f"{source.kind}\0{name}\0".encode() + _own_words(source))
    base = f"{source.folder}/"
    for path, known in sorted(files.items()):
        digest.update(os.fsencode(path.removeprefix(base)) + f"\0{known}\0".encode())
    return digest.hexdigest()
