"""Removal of HTML from texts: what shops' systems and web editors leave in a line."""

from __future__ import annotations

import html
import re
from html.entities import html5

_MAX_HTML = 100_000
"""Characters of a text that are looked at; cells of spreadsheets take 32,767."""
_TIMES = 3
"""Feeds escape what is escaped already; more than this nobody does."""
_BLOCKS = (
    "address|article|aside|blockquote|br|dd|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|li|"
    "main|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul"
)
_INLINE = (
    "a|abbr|b|big|body|button|caption|center|cite|code|del|em|font|head|html|i|iframe|img|ins|kbd|"
    "label|mark|meta|noscript|picture|q|s|small|source|span|strike|strong|sub|sup|tt|u|var|video|"
    r"wbr|o:p|w:\w{1,20}|g:\w{1,20}"
)
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCKS})(?:\s[^<>]*)?/?>", re.I)
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]*)?/?>", re.I)
_RAISED = re.compile(r"<(sup|sub)>([0-9+\-]{1,8})</\1>", re.I)
_SMALL = {
    "sup": str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"),
    "sub": str.maketrans("0123456789+-", "₀₁₂₃₄₅₆₇₈₉₊₋"),
}
_HIDDEN = re.compile(r"(?is)<(!--|script\b|style\b)")
_CLOSED = {
    "!--": re.compile("-->"),
    "script": re.compile("</script", re.I),
    "style": re.compile("</style", re.I),
}
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def markup_to_text(text: str) -> str:
    """Return a text without HTML: tags are removed, blocks become lines, entities characters, also
    where they are escaped several times. `a < b`, `AT&T` and `<3` stay as they are: only tags and
    entities of HTML count, and entities only with their semicolon."""
    if "<" not in text and "&" not in text:
        return text
    head, tail = text[:_MAX_HTML], text[_MAX_HTML:]
    found = False
    for _ in range(_TIMES):
        bare = _without_tags(head)
        found = found or bare != head
        new = _ENTITY.sub(_decode_reference, bare)
        if new == head:
            break
        head = new
    if found:
        lines = (re.sub(r"[ \t\r\f\v]+", " ", line).strip() for line in head.split("\n"))
        head = "\n".join(line for line in lines if line)
    return head + tail


def unescape_address(text: str) -> str:
    """Return a file name or an address without entities of HTML."""
    return _ENTITY.sub(_decode_reference, text) if "&" in text and ";" in text else text


def _decode_reference(found: re.Match[str]) -> str:
    name = found[1]
    if not name.startswith("#") and f"{name};" not in html5:
        return found[0]
    character = html.unescape(found[0])
    # Numbers of control characters, and of none at all, stand for nothing that can be drawn.
    unseen = not character.isprintable() and character not in "\n\u00a0\u00ad\u200c\u200d"
    return "" if name.startswith("#") and unseen or character == "\ufffd" else character


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    text = without_hidden(text)
    text = _RAISED.sub(lambda m: m[2].translate(_SMALL[m[1].lower()]), text)
    return _INLINE_TAG.sub("", _BLOCK_TAG.sub("\n", text))


def without_hidden(text: str) -> str:
    """Return a text without the comments, scripts and styles in it that are closed. It is read
    once, however many there are."""
    kept, at, open_for_good = [], 0, set()
    while found := _HIDDEN.search(text, at):
        kind = found[1].lower()
        end = None if kind in open_for_good else _CLOSED[kind].search(text, found.end())
        if end is None:
            open_for_good.add(kind)
            kept.append(text[at : found.end()])
            at = found.end()
            continue
        close = text.find(">", end.start())
        kept += [text[at : found.start()], " "]
        at = len(text) if close < 0 else close + 1
    return "".join([*kept, text[at:]])
