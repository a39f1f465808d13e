"""Briefs in folders, at any depth, side by side in one tree.

<campaign>/<brief>/brief.yaml         media beside it
<campaign>/<brief>/render_spec.json   media beside it
<campaign>/<brief>.yaml               media beside it, shared by the campaign's briefs
<campaign>.csv, .xlsx, .ods, .xml     a brief a row; media beside it
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pytoon_pipeline.briefs.scalars import decode_document
from pytoon_pipeline.briefs.source import BRIEF_FILES, SPEC_FILES, YAML, BriefSource
from pytoon_pipeline.briefs.variants import expand_variants
from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.files import read_file
from pytoon_pipeline.tables.table import looks_like_table, read_table

_SMALL = 1_000_000
"""Bytes of the largest file that is looked into for what it is."""
_SEGMENTS = re.compile(r"^segments[ \t]*:", re.MULTILINE)


def _folder_problem(code: str, path: Path, message: str, remedy: str) -> Problem:
    return Problem(code, message, remedy, file=os.fsencode(path).decode(errors="replace"))


# What lies where ---------------------------------------------------------------------------------


def _document_kind(path: Path) -> Literal["brief", "spec"]:
    """By its name, and where that says nothing by its contents: only a plan has `segments`."""
    if path.name in BRIEF_FILES:
        return "brief"
    if path.name in SPEC_FILES or path.name.endswith(".render_spec.json"):
        return "spec"
    try:
        info = path.stat()
        return _kind_inside(path, info.st_size, info.st_mtime_ns)
    except OSError:
        return "brief"  # Not remembered: the next time it may be readable.


@lru_cache(maxsize=32768)
def _kind_inside(path: Path, _size: int, _mtime_ns: int) -> Literal["brief", "spec"]:
    try:
        text = decode_document(read_file(path, _SMALL))
    except ValueError:
        return "brief"
    if path.suffix.lower() == ".json":
        return "spec" if '"segments"' in text else "brief"
    return "spec" if _SEGMENTS.search(text) else "brief"


def _make_source(
    path: Path, folder: Path | None = None, campaign: str | None = None
) -> BriefSource:
    """`folder` is given where the file is the one of a folder of its own; the campaign is named
    after the folder above where no name is given."""
    if folder is not None:
        campaign = campaign or folder.parent.name or "briefs"
        return BriefSource(path, _document_kind(path), campaign, folder.name, folder)
    name = path.name.removesuffix(".render_spec.json")
    name = Path(name).stem if name == path.name else name
    campaign = campaign or path.parent.name or "briefs"
    return BriefSource(path, _document_kind(path), campaign, name, path.parent)


def _is_flat_brief(name: str) -> bool:
    lower = name.lower()
    if any(lower == f"{w}{e}" or lower.endswith(f".{w}{e}") for w in _OTHERS for e in YAML):
        return False
    return lower.endswith((*YAML, ".render_spec.json"))


_OTHERS = ("brand", "mapping")
"""Files that belong to briefs and tables and are none themselves."""


def _visible_entries(folder: Path, root: Path, problems: list[Problem]) -> list[os.DirEntry[str]]:
    """Visible entries, sorted; links that lead out of `root` are left out."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda e: e.name)
    except OSError as error:
        problems.append(
            _folder_problem(
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
                _folder_problem(
                    "folder.name", Path(entry.path), "has a name that is not UTF-8.", "Rename it."
                )
            )
            continue
        if entry.is_symlink() and not _is_inside(Path(entry.path), root):
            continue
        kept.append(entry)
    return kept


def _is_inside(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # A link to nowhere, or one that leads to itself.
        return False


def _own_source(folder: Path, campaign: str | None = None) -> BriefSource | None:
    """The brief that this folder is, if it is one."""
    for name in (*BRIEF_FILES, *SPEC_FILES):
        # A named pipe or a folder of this name is a brief that is refused, not no brief.
        if (folder / name).exists():
            return _make_source(folder / name, folder, campaign)
    return None


def _walk_folder(
    folder: Path, root: Path, problems: list[Problem], now: dt.datetime | None
) -> list[BriefSource]:
    """The briefs of a folder and of all below it, as their files stand there."""
    sources: list[BriefSource] = []
    pending = [folder]
    while pending:
        here = pending.pop()
        # Deeper campaigns are named by their way, or two of one name would be one.
        campaign = here.relative_to(root).as_posix() if here != root else root.name or "briefs"
        for entry in _visible_entries(here, root, problems):
            path = Path(entry.path)
            if entry.is_dir():
                if path.suffix.lower() == ".numbers":  # A document that is a folder.
                    problems += read_table(path)[1]
                    continue
                own = _own_source(path, campaign)
                if own is None:
                    # A link may lead back up.
                    pending += [] if entry.is_symlink() else [path]
                elif not own.path.is_symlink() or _is_inside(own.path, root):
                    sources.append(own)
            elif _is_flat_brief(entry.name):
                sources.append(_make_source(path, None, campaign))
            elif looks_like_table(path):
                rows, found = read_table(path, now)
                sources += rows
                problems += found
    return sources


def scan_folder(
    root: Path, now: dt.datetime | None = None
) -> tuple[list[BriefSource], list[Problem]]:
    """All briefs below a folder of campaigns (or a campaign, or a brief), in order of their paths,
    rows and variants each by itself, and what kept parts of it from being looked at. Offers of
    tables are those of `now`, the present if left out. Never raises.
    """
    try:
        root = root.resolve(strict=True)
    except (OSError, RuntimeError):
        return [], [
            _folder_problem(
                "folder.missing", root, "is not a folder.", "Create it, or correct its name."
            )
        ]
    own = _own_source(root)
    problems: list[Problem] = []
    sources = [own] if own is not None else _walk_folder(root, root, problems, now)
    # Stable: rows and variants keep the order they were written in.
    sources.sort(key=lambda source: str(source.path))
    return [each for source in sources for each in expand_variants(source)], problems


def find_sources(paths: Sequence[Path], notes: list[Problem] | None = None) -> list[BriefSource]:
    """The briefs that a person named: brief folders, brief files, RenderSpecs, tables, campaign
    folders, a folder of campaigns. Each once, sorted.

    With `notes`, what is to be said of parts of them is added there; without, an error among it is
    raised. Raises UserError with a Problem for each path when they hold nothing to render.
    """
    found: dict[str, BriefSource] = {}
    problems: list[Problem] = []
    for given in paths:
        path = Path(given).expanduser()
        try:
            path = path.resolve(strict=True)
            str(path).encode()
        except UnicodeEncodeError:
            problems.append(
                _folder_problem("folder.name", given, "has a name that is not UTF-8.", "Rename it.")
            )
            continue
        except (OSError, RuntimeError, ValueError):
            problems.append(
                _folder_problem("call.missing", given, "does not exist.", "Check the path.")
            )
            continue
        if path.is_dir():
            sources, faults = scan_folder(path)
            problems += faults
            if not sources and not any(fault.severity == "error" for fault in faults):
                problems.append(
                    _folder_problem(
                        "call.nothing",
                        given,
                        "holds no brief.yaml, no render_spec.json and no campaign of them.",
                        f"`pytoon new {given}` writes a brief to start from.",
                    )
                )
        elif path.suffix.lower() in (*YAML, ".json"):
            own = path.name in (*BRIEF_FILES, *SPEC_FILES)
            sources = expand_variants(_make_source(path, path.parent if own else None))
        elif looks_like_table(path):
            rows, faults = read_table(path)
            sources = [each for row in rows for each in expand_variants(row)]
            problems += faults
        else:
            sources = []
            problems.append(
                _folder_problem(
                    "call.kind",
                    given,
                    "is not a brief.",
                    "Name a brief's folder, its brief.yaml or render_spec.json, a table, or a "
                    "campaign.",
                )
            )
        found.update({source.origin: source for source in sources})
    wrong = any(p.severity == "error" for p in problems)
    if wrong and (notes is None or not found):
        raise UserError(problems)
    if notes is not None:
        notes += problems
    return sorted(found.values(), key=lambda s: str(s.path))
