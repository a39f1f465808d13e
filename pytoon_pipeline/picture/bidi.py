"""Which way each character runs: the Unicode Bidirectional Algorithm (UAX 9, revision 48).

Whole, with isolates and paired brackets; `unicodedata` knows the classes. Names in brackets are
the rules of the annex.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_MAX_DEPTH = 125
_ISOLATES = frozenset({"LRI", "RLI", "FSI"})
_EMBEDDINGS = {"RLE": (1, None), "LRE": (0, None), "RLO": (1, "R"), "LRO": (0, "L")}
_REMOVED = frozenset({"RLE", "LRE", "RLO", "LRO", "PDF", "BN"})
_LEVEL_CHANGING = frozenset({"R", "AL", "AN"}) | _ISOLATES | set(_EMBEDDINGS)
_NEUTRAL = frozenset({"B", "S", "WS", "ON", "FSI", "LRI", "RLI", "PDI"})
_BLANK = frozenset({"WS", "FSI", "LRI", "RLI", "PDI"}) | _REMOVED
_MAX_BRACKETS = 63


def _bracket_pairs() -> dict[str, str]:
    """Closing bracket of each opening one (BidiBrackets.txt, which lists what is mirrored and opens
    or closes): the next that closes, but for two that cross over."""
    pairs = {}
    for code in range(0x28, 0xFF63):
        char = chr(code)
        if unicodedata.category(char) == "Ps" and unicodedata.mirrored(char):
            near = (chr(code + step) for step in (1, 2))
            closing = next((c for c in near if unicodedata.category(c) == "Pe"), None)
            if closing:
                pairs[char] = closing
    return pairs | {"\u298d": "\u2990", "\u298f": "\u298e"}


_PAIRS = _bracket_pairs()
_CLOSING = frozenset(_PAIRS.values())


def base_level(text: str) -> int:
    """Return 0 or 1, by the first strong letter outside of isolates (P2, P3)."""
    depth = 0
    for char in text:
        kind = unicodedata.bidirectional(char)
        if kind in _ISOLATES:
            depth += 1
        elif kind == "PDI":
            depth = max(0, depth - 1)
        elif depth == 0 and kind in ("L", "R", "AL"):
            return int(kind != "L")
    return 0


def resolve_levels(text: str, base: int | None = None) -> list[int]:
    """Return the embedding level of each character (odd is right-to-left); `base` is the
    paragraphs' level, by the first strong letter where None. Paragraphs end at newlines.

    What the algorithm removes (X9) takes the level of what stands before it.
    """
    base = base_level(text) if base is None else base
    resolved: list[int] = []
    paragraphs = text.split("\n")
    for number, paragraph in enumerate(paragraphs):
        resolved += _assign_paragraph_levels(paragraph, base)
        if number + 1 < len(paragraphs):
            resolved.append(base)
    return resolved


def _assign_paragraph_levels(text: str, base: int) -> list[int]:
    kinds = [unicodedata.bidirectional(c) or "L" for c in text]
    if base == 0 and set(kinds).isdisjoint(_LEVEL_CHANGING):
        return [0] * len(text)
    first = list(kinds)
    found, kinds = _resolve_explicit_levels(text, kinds, base)
    embedded = list(found)
    for sequence in _iterate_run_sequences(first, embedded):
        resolved = _resolve_sequence(text, first, kinds, embedded, base, sequence)
        for i, level in zip(sequence, resolved, strict=True):
            found[i] = level
    _level_blanks(first, found, base)
    last = base
    for i, kind in enumerate(first):
        found[i] = last = last if kind in _REMOVED else found[i]
    return found


class _EmbeddingStack:
    """The directional status stack of UAX 9 (X1), with its counters of what overflowed."""

    def __init__(self, base: int):
        self._entries: list[tuple[int, str | None, bool]] = [(base, None, False)]
        self._lost_isolates = self._lost_embeddings = self._valid_isolates = 0

    @property
    def level(self) -> int:
        return self._entries[-1][0]

    @property
    def override(self) -> str | None:
        """The class that characters are treated as; None where they keep their own."""
        return self._entries[-1][1]

    def push(self, odd: int, override: str | None, isolate: bool) -> None:
        """Begin an embedding, override or isolate at the next odd (1) or even (0) level (X2 to
        X5c)."""
        new = self.level + 1 if (self.level + 1) % 2 == odd else self.level + 2
        if new <= _MAX_DEPTH and not self._lost_isolates and not self._lost_embeddings:
            self._valid_isolates += isolate
            self._entries.append((new, override, isolate))
        elif isolate:
            self._lost_isolates += 1
        elif not self._lost_isolates:
            self._lost_embeddings += 1

    def pop_isolate(self) -> None:
        """End the last isolate, and what was begun and not ended in it (X6a)."""
        if self._lost_isolates:
            self._lost_isolates -= 1
        elif self._valid_isolates:
            self._lost_embeddings = 0
            while not self._entries[-1][2]:
                self._entries.pop()
            self._entries.pop()
            self._valid_isolates -= 1

    def pop_embedding(self) -> None:
        """End the last embedding or override (X7)."""
        if self._lost_isolates:
            return
        if self._lost_embeddings:
            self._lost_embeddings -= 1
        elif not self._entries[-1][2] and len(self._entries) > 1:
            self._entries.pop()


def _resolve_explicit_levels(text: str, kinds: list[str], base: int) -> tuple[list[int], list[str]]:
    """Levels by embeddings, overrides and isolates, and the classes they leave (X1 to X8)."""
    matching = _match_isolates(kinds)
    out = list(kinds)
    found = [base] * len(kinds)
    stack = _EmbeddingStack(base)
    for i, kind in enumerate(kinds):
        if kind in _ISOLATES:
            found[i] = stack.level
            out[i] = stack.override or kind
            end = matching.get(i, len(kinds))
            odd = base_level(text[i + 1 : end]) if kind == "FSI" else int(kind == "RLI")
            stack.push(odd, None, isolate=True)
        elif kind in _EMBEDDINGS:
            found[i] = stack.level
            stack.push(*_EMBEDDINGS[kind], isolate=False)
        elif kind == "PDI":
            stack.pop_isolate()
            found[i] = stack.level
            out[i] = stack.override or kind
        elif kind == "PDF":
            stack.pop_embedding()
            found[i] = stack.level
        elif kind == "B":
            found[i] = base
        elif kind != "BN":
            found[i] = stack.level
            out[i] = stack.override or kind
    return found, out


def _match_isolates(kinds: list[str]) -> dict[int, int]:
    """The PDI of each isolate initiator that has one (BD9)."""
    opened: list[int] = []
    pairs = {}
    for i, kind in enumerate(kinds):
        if kind in _ISOLATES:
            opened.append(i)
        elif kind == "PDI" and opened:
            pairs[opened.pop()] = i
    return pairs


def _iterate_run_sequences(first: list[str], found: list[int]) -> Iterator[list[int]]:
    """Isolating run sequences: runs of one level, continued behind the isolates in them (BD13)."""
    kept = [i for i, kind in enumerate(first) if kind not in _REMOVED]
    runs: list[list[int]] = []
    for i in kept:
        if runs and found[runs[-1][-1]] == found[i]:
            runs[-1].append(i)
        else:
            runs.append([i])
    matching = _match_isolates(first)
    closing = set(matching.values())
    at_start = {run[0]: run for run in runs}
    for run in runs:
        if run[0] in closing:
            continue
        sequence = list(run)
        while (end := matching.get(sequence[-1])) is not None and end in at_start:
            sequence += at_start[end]
        yield sequence


def _resolve_sequence(
    text: str, first: list[str], kinds: list[str], found: list[int], base: int, at: list[int]
) -> list[int]:
    """Levels within one sequence of indices `at` (W1 to W7, N0 to N2, I1 and I2)."""
    level = found[at[0]]
    inside = "LR"[level % 2]
    before = next((found[i] for i in range(at[0] - 1, -1, -1) if first[i] not in _REMOVED), base)
    after = base
    if first[at[-1]] not in _ISOLATES:
        rest = (found[i] for i in range(at[-1] + 1, len(first)) if first[i] not in _REMOVED)
        after = next(rest, base)
    start, end = "LR"[max(before, level) % 2], "LR"[max(after, level) % 2]
    now = [kinds[i] for i in at]
    _resolve_weak(now, start)
    _resolve_brackets([text[i] for i in at], [kinds[i] for i in at], now, start, inside)
    n = 0
    while n < len(now):
        if now[n] not in _NEUTRAL:
            n += 1
            continue
        stop = n
        while stop < len(now) and now[stop] in _NEUTRAL:
            stop += 1
        left = _strong_direction(now[n - 1]) if n else start
        right = _strong_direction(now[stop]) if stop < len(now) else end
        now[n:stop] = [left if left == right else inside] * (stop - n)  # N1, N2
        n = stop
    if level % 2:
        return [level + (kind in ("L", "EN", "AN")) for kind in now]
    return [level + {"R": 1, "EN": 2, "AN": 2}.get(kind, 0) for kind in now]


def _resolve_weak(now: list[str], start: str) -> None:
    last = start
    for n, kind in enumerate(now):  # W1
        if kind == "NSM":
            now[n] = "ON" if last in _ISOLATES or last == "PDI" else last
        last = now[n]
    strong = start
    for n, kind in enumerate(now):  # W2, W3
        if kind in ("L", "R", "AL"):
            strong = kind
        elif kind == "EN" and strong == "AL":
            now[n] = "AN"
    now[:] = ["R" if kind == "AL" else kind for kind in now]
    for n in range(1, len(now) - 1):  # W4
        left, kind, right = now[n - 1 : n + 2]
        if left == right and (
            (kind in ("ES", "CS") and left == "EN") or (kind == "CS" and left == "AN")
        ):
            now[n] = left
    n = 0
    while n < len(now):  # W5
        stop = n
        while stop < len(now) and now[stop] == "ET":
            stop += 1
        if stop > n and (now[n - 1 : n] == ["EN"] or now[stop : stop + 1] == ["EN"]):
            now[n:stop] = ["EN"] * (stop - n)
        n = max(stop, n + 1)
    strong = start
    for n, kind in enumerate(now):  # W6, W7
        if kind in ("ES", "ET", "CS"):
            now[n] = "ON"
        elif kind in ("L", "R"):
            strong = kind
        elif kind == "EN" and strong == "L":
            now[n] = "L"


def _strong_direction(kind: str) -> str:
    return "R" if kind in ("EN", "AN", "R") else kind


def _resolve_brackets(
    chars: list[str], first: list[str], now: list[str], start: str, inside: str
) -> None:
    """Both brackets of a pair run the same way: as the sequence does, if something between them
    does; else as what is between them and before them (N0)."""
    for opening, closing in _pairs_of_brackets(chars, now):
        between = {_strong_direction(k) for k in now[opening + 1 : closing]} & {"L", "R"}
        if not between:
            continue
        way = inside
        if inside not in between:
            before = (_strong_direction(k) for k in reversed(now[:opening]))
            context = next((k for k in before if k in ("L", "R")), start)
            way = context if context != inside else inside
        for place in (opening, closing):
            now[place] = way
            n = place + 1
            while n < len(now) and first[n] == "NSM":
                now[n] = way
                n += 1


def _pairs_of_brackets(chars: list[str], now: list[str]) -> list[tuple[int, int]]:
    """In the order of the opening ones (BD16)."""
    opened: list[tuple[str, int]] = []
    pairs = []
    for n, char in enumerate(chars):
        if now[n] != "ON":
            continue
        char = unicodedata.normalize("NFC", char)
        if char in _PAIRS:
            if len(opened) == _MAX_BRACKETS:
                return []
            opened.append((_PAIRS[char], n))
        elif char in _CLOSING:
            for depth in range(len(opened) - 1, -1, -1):
                if opened[depth][0] == char:
                    pairs.append((opened[depth][1], n))
                    del opened[depth:]
                    break
    return sorted(pairs)


def _level_blanks(first: list[str], found: list[int], base: int) -> None:
    """Separators, and blanks before them and at the end, go with the paragraph (L1)."""
    trailing = True
    for i in range(len(first) - 1, -1, -1):
        if first[i] in ("S", "B"):
            trailing = True
            found[i] = base
        elif first[i] not in _BLANK:
            trailing = False
        elif trailing:
            found[i] = base
