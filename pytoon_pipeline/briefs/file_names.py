"""Names of files as people and their systems write them, and the files that are meant.

A name can be spelled in several ways that look the same: with an accent as a letter of its own (as
macOS writes it) or in one with its letter, with `\\` between folders (as Windows writes them), with
blanks and characters that can't be seen at its ends, percent-encoded as browsers do, in capitals.
The compiler, the signatures of briefs and the bundles all look for files here, so that they agree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category, normalize
from urllib.parse import unquote

_QUOTES = "\"'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb\u2039\u203a"
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)
MAX_NAME = 250
"""Bytes of a path that file systems surely take."""
_MAX_LISTED = 20_000
"""Entries of a folder that are looked through for a name that is not there as it is written."""


def without_unseen(name: str) -> str:
    """Return a name without characters that can't be seen, and without blanks of any kind at its
    ends."""
    plain = _UNSEEN.sub("", name)
    start, end = 0, len(plain)
    while start < end and _is_blank(plain[start]):
        start += 1
    while start < end and _is_blank(plain[end - 1]):
        end -= 1
    return plain[start:end]


def _is_blank(character: str) -> bool:
    return character.isspace() or category(character) in ("Zs", "Cc", "Cf")


def is_address(name: str) -> bool:
    """Return whether a name is an address, `https://...` or, with the scheme left out,
    `//host/path`."""
    plain = without_unseen(name)
    return "://" in plain or bool(re.match(r"//[\w-]+(\.[\w-]+)+(:\d+)?/", plain))


def whole_address(name: str) -> str:
    """Return an address as it is requested: without blanks around it, with the scheme that `//host`
    means."""
    plain = without_unseen(name)
    return f"https:{plain}" if plain.startswith("//") else plain


def path_spellings(name: str) -> Iterator[str]:
    """Yield the ways to write the same path, the one that was written first; `/` is between its
    folders."""
    plain = without_unseen(name)
    bases = [name, plain]
    if "\\" in plain:
        bases.append(plain.replace("\\", "/"))
    bases.append(re.sub(r"^(\./+)+", "", bases[-1]))
    if bases[-1].strip(_QUOTES) != bases[-1]:
        bases.append(without_unseen(bases[-1].strip(_QUOTES)))
    if re.search("%[0-9A-Fa-f]{2}", bases[-1]):
        bases.append(unquote(bases[-1], errors="replace"))
    seen = set()
    for base in bases:
        for form in (
            [base] if base.isascii() else [base, normalize("NFC", base), normalize("NFD", base)]
        ):
            if form and form not in seen:
                seen.add(form)
                yield form


def leads_out(path: str) -> bool:
    """Return whether a path leaves the folder that it is relative to, by what is written in it."""
    return (
        "\0" in path
        or path.startswith(("/", "~"))
        or bool(re.match("[A-Za-z]:/", path))
        or ".." in path.split("/")
    )


@dataclass(frozen=True)
class SoughtFile:
    """What was found for a name in a folder."""

    path: str
    """From the folder, as it is there; as it was written where nothing is."""
    there: bool
    spelled: bool = True
    """False where the file's name has other capitals, or letters that only look the same."""
    nearly: tuple[str, ...] = ()
    """Paths of files that may be meant, where none surely is."""


def find_path(folder: str | os.PathLike[str], name: str) -> SoughtFile:
    """Find the file of a folder that a name means. Nothing outside of the folder is looked at, but
    links in it are not resolved: check where they lead before reading.

    Without a file of this name in any spelling, the one whose name differs only in capitals is
    found, if there is only one.
    """
    tried = []
    for path in path_spellings(name):
        # A backslash may be a letter of a name here; in one from elsewhere it may lead out.
        if leads_out(path.replace("\\", "/")) or len(path.encode("utf-8", "replace")) > MAX_NAME:
            continue
        tried.append(path)
        try:
            if os.path.lexists(os.path.join(folder, path)):
                return SoughtFile(path, True)
        except ValueError:
            continue
    nearly: list[str] = []
    for path in tried:
        found = _find_alike(os.fspath(folder), path)
        if len(found) == 1:
            return SoughtFile(found[0], True, spelled=False)
        nearly += [each for each in found if each not in nearly]
    return SoughtFile(tried[-1] if tried else name, False, nearly=tuple(nearly))


def _fold_name(name: str) -> str:
    """The same for names that a person takes for one: capitals, accents' forms, kinds of blanks."""
    return " ".join(normalize("NFKC", normalize("NFKC", _UNSEEN.sub("", name)).casefold()).split())


def _find_alike(folder: str, path: str) -> list[str]:
    """Paths below a folder that are this one but for capitals and the like, in order."""
    found = [""]
    for part in [p for p in path.split("/") if p not in ("", ".")]:
        further = []
        for base in found:
            wanted = _fold_name(part)
            further += [
                os.path.join(base, name)
                for name in _list_names(os.path.join(folder, base))
                if _fold_name(name) == wanted
            ]
        found = sorted(further)[:20]
        if not found:
            return []
    return [each for each in found if each]


def _list_names(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for _, entry in zip(range(_MAX_LISTED), entries, strict=False)]
    except (OSError, ValueError):
        return []
    return [name for name in names if name.isprintable() or not name.isascii()]


def nearest_files(root: Path, name: str) -> list[str]:
    """Return files of the same name with another ending, as paths from `root`; for a suggestion."""
    path = next(iter(reversed(list(path_spellings(name)))), name)
    if leads_out(path) or "\\" in path or "\0" in path:
        return []
    folder, last = os.path.split(path)
    stem = _fold_name(Path(last).stem)
    return sorted(
        os.path.join(folder, other)
        for other in _list_names(os.path.join(root, folder))
        if _fold_name(Path(other).stem) == stem and other != last
    )
