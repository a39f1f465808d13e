"""HTML in texts that are no HTML: what shops' systems and web editors leave in a line."""

from __future__ import annotations

import html
import re
from html.entities import html5

_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TAG = re.compile(
    r"(?i)</?(?:a|abbr|b|big|blockquote|br|center|code|del|div|em|font|h[1-6]|hr|i|img|ins|li|mark|"
    r"ol|p|s|small|span|strike|strong|sub|sup|table|tbody|td|th|tr|u|ul)(?:\s[^<>]*)?/?>"
)
_BREAK = re.compile(r"(?i)<br\s*/?>|</(?:p|div|li|h[1-6]|tr)\s*>")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TIMES = 3
"""Feeds escape what is escaped already; more than this nobody does."""


def plain_text(text: str) -> str:
    """A text without the tags and entities of HTML that are in it: `Bowl &amp; spoon` ->
    `Bowl & spoon`, `<b>New</b>` -> `New`. Ampersands and signs of comparison that belong to the
    words stay: `AT&T`, `R&D;`, `a < b`, `<3`."""
    for _ in range(_TIMES):
        plain = _ENTITY.sub(_character, _without_tags(text))
        if plain == text:
            break
        text = plain
    return text


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    plain = _TAG.sub("", _BREAK.sub("\n", _COMMENT.sub("", text)))
    if plain == text:
        return text
    lines = (re.sub("[ \t]+", " ", line).strip() for line in plain.split("\n"))
    return "\n".join(line for line in lines if line)


def _character(found: re.Match[str]) -> str:
    name = found[1]
    if not name.startswith("#") and f"{name};" not in html5:
        return found[0]
    character = html.unescape(found[0])
    # Numbers of control characters, and of none at all, stand for nothing that can be drawn.
    unseen = not character.isprintable() and character not in "\n\u00a0\u00ad\u200c\u200d"
    return "" if name.startswith("#") and unseen or character == "\ufffd" else character
