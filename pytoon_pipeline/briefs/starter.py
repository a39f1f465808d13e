"""The words of the brief that `pytoon new` writes. Whoever leaves them in a brief gets a
warning."""

from __future__ import annotations

import re

STARTER_WORDS = {
    "hero": (
        "The line that opens the video",
        ["What it is, in a few words", "Why it is worth having"],
        "Shop now",
    ),
    "overlay": (
        "The product's name",
        ["What it is, in a few words", "Why it is worth having"],
        "Order yours",
    ),
    "meme": ("When this happens", ["And you do that"], "Get yours"),
}
"""Archetype -> hook, beats and cta."""
STARTER_TEXT = "A line of its own"
"""Of a picture."""

_UNTOUCHED = {
    line.casefold()
    for hook, beats, _ in STARTER_WORDS.values()
    for line in (hook, *beats, STARTER_TEXT)
}
# The calls to action are good as they are.
_FILLER = re.compile(r"\blorem\s+ipsum\b", re.IGNORECASE)


def is_untouched(text: str) -> bool:
    """Return whether a text is a sentence of the starter, or filler that stands for words to
    come."""
    plain = " ".join(text.split()).rstrip(".").casefold()
    return plain in _UNTOUCHED or bool(_FILLER.search(text))
