"""Emoji that no font has as one picture, replaced by the nearest that can be drawn.

A sequence says more than its parts, but a customer is better served by an astronaut in yellow than
by no video. Nothing is replaced without being told: `replace_unknown_emoji` lists what it did.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pytoon_pipeline.picture.fonts import FontLibrary
from pytoon_pipeline.picture.line_breaks import AS_PICTURE, KEYCAP, grapheme_starts, is_emoji

_MAY_BE_EMOJI = re.compile("[\u20e3\ufe0f\u2300-\u2bff\u3030-\u3299\U0001f000-\U0001faff]")
_JOINER = "\u200d"
_WORD_JOINER = "\u2060"
_SIGNS = "\u2640\u2642"
"""Female and male sign: what they say is lost with the join, and alone they say something else."""

_NO_REGION = "\U0001f1fd\U0001f1fd"
"""A flag's letters that stand for no country, and never will."""
_NO_REGION_TAGS = "\U0001f3f4\U000e0078\U000e0078\U000e0078\U000e0078\U000e007f"


@dataclass(frozen=True)
class ReplacedEmoji:
    """An emoji of a text and what is drawn in its place; nothing where `drawn` is empty."""

    written: str
    drawn: str


def replace_unknown_emoji(
    text: str, library: FontLibrary
) -> tuple[str, list[int], list[ReplacedEmoji]]:
    """Return the text with emoji that no font has replaced by their parts that one has: without
    skin tones, else without joins, else the flag's letters, else left out.

    Also returns, for each index of the new text (its end too), that of the old one, and what was
    replaced. A text is returned as it is where the library has no pictures at all, or where nothing
    but unknown emoji would be lost.
    """
    if not _MAY_BE_EMOJI.search(text):
        return text, list(range(len(text) + 1)), []
    starts = grapheme_starts(text)
    shown = ""
    origin: list[int] = []
    replaced: list[ReplacedEmoji] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        cluster = text[start:end]
        drawn = cluster
        if is_emoji(cluster) and not _is_known(cluster, library):
            drawn = _find_nearest(cluster, library)
            replaced.append(ReplacedEmoji(cluster, drawn.replace(_WORD_JOINER, "")))
        shown += drawn
        if drawn == cluster:
            origin += range(start, end)
        else:
            origin += [start] * len(drawn)
    nothing_left = not any(c.isalnum() or is_emoji(c) or c in "?!" for c in shown)
    if not replaced or not library.has_pictures() or nothing_left:
        return text, list(range(len(text) + 1)), []
    kept = [
        i
        for i, char in enumerate(shown)
        if not char.isspace() or _parts_words(shown[:i].rstrip(" "), shown[i:])
    ]
    shown = "".join(shown[i] for i in kept)
    return shown, [*(origin[i] for i in kept), len(text)], replaced


def _parts_words(before: str, blank: str) -> bool:
    """Whether a blank still stands between words when an emoji beside it has been left out."""
    follows = blank[1:].lstrip(" ")
    doubled = blank[1:2] == " " or (blank[0] == " " and follows[:1] == "\n")
    return bool(before) and before[-1] != "\n" and bool(follows.strip()) and not doubled


def describe_emoji(cluster: str) -> str:
    """Return the emoji and its code points, for a message."""
    return f"{cluster} ({' '.join(f'U+{ord(c):04X}' for c in cluster)})"


def _is_known(cluster: str, library: FontLibrary) -> bool:
    """Whether it is drawn as it was meant: one picture that is not just that of its first sign."""
    face = library.find_emoji_face(cluster)
    if face is None:
        # Figures, letters and signs of text fonts that were asked for as pictures.
        bare = cluster.replace(AS_PICTURE, "")
        return len(bare) == 1 and library.find_emoji_face(bare) is not None
    # Fonts draw a flag with a question mark for what is no flag that they know.
    unlike = {_NO_REGION, _NO_REGION_TAGS}
    if any("\U000e0020" <= c <= "\U000e007f" for c in cluster):
        unlike.add(cluster[0])
    elif not all(_is_flag_letter(c) for c in cluster):
        return True
    glyph = library.picture_id(face, cluster)
    return all(library.picture_id(face, other) != glyph for other in unlike)


def _find_nearest(cluster: str, library: FontLibrary) -> str:
    """The first of the ways to write it with fewer parts of which every part is known."""
    for parts in _iterate_simpler(cluster):
        known = [part for part in parts if _is_drawable(part, library)]
        if known and len(known) == len(parts):
            # Joined by nothing, but never parted over two lines.
            return _WORD_JOINER.join(known)
    known = [part for part in _split_parts(_without_tones(cluster)) if _is_drawable(part, library)]
    if not known and not is_emoji(cluster[0]):
        return cluster[0]
    return _WORD_JOINER.join(known)


def _is_drawable(part: str, library: FontLibrary) -> bool:
    return not is_emoji(part) and part.isalnum() or _is_known(part, library)


def _iterate_simpler(cluster: str) -> Iterator[list[str]]:
    plain = cluster.replace(AS_PICTURE, "")
    yield [plain]
    if (unmarked := _without_accents(plain)) != plain:
        plain = unmarked
        yield [plain]
    if KEYCAP in plain:
        yield [plain.replace(KEYCAP, "")]
    toneless = _without_tones(plain)
    if toneless != plain:
        yield [toneless]
        yield [_with_picture_marks(toneless)]
    yield _split_parts(plain)
    yield _split_parts(toneless)


def _split_parts(cluster: str) -> list[str]:
    """What was joined, one by one, without the signs of gender, tags and marks."""
    found = []
    for part in cluster.split(_JOINER):
        bare = "".join(
            c
            for c in part
            if not "\U000e0020" <= c <= "\U000e007f" and c not in (AS_PICTURE, KEYCAP)
        )
        if bare and all(_is_flag_letter(c) for c in bare):
            found += list(bare)
        elif bare and not (found and bare in _SIGNS):
            found.append(bare)
    return found


def _without_tones(cluster: str) -> str:
    return "".join(c for c in cluster if not "\U0001f3fb" <= c <= "\U0001f3ff")


def _without_accents(cluster: str) -> str:
    """Without combining marks, which say nothing on a picture."""
    return "".join(c for c in cluster if unicodedata.category(c) != "Mn")


def _with_picture_marks(cluster: str) -> str:
    """Signs that are text by default, marked as pictures again where a skin tone did it."""
    return "".join(
        c + AS_PICTURE if ord(c) < 0x1F000 and unicodedata.category(c) == "So" else c
        for c in cluster
    )


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
