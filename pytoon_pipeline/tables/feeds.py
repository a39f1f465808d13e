"""Rows of text from product feeds in XML: RSS and Atom as Google Merchant Center takes them, and
lists of products of the same form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.entities import html5

from pytoon_pipeline.errors import Problem, UserError
from pytoon_pipeline.tables.encodings import decode_text
from pytoon_pipeline.tables.limits import (
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    MAX_TEXT,
    refuse_table,
)
from pytoon_pipeline.tables.xml_events import (
    XML_ERRORS,
    StopReadingError,
    TooDeepError,
    read_events,
)

_ITEMS = ("item", "entry", "product", "offer", "shopitem", "listing")
"""What feeds call one product."""
_OTHER_PREFIXES = ("media", "content", "dc", "wfw", "slash", "sy", "itunes", "georss")
"""Of what blogs say beside; `media:content` is no description."""
_MAX_ELEMENTS = 3_000_000
_MAX_REPEATED = 1_000
"""Times that an element counts in one product."""
_OWN = ("amp", "lt", "gt", "quot", "apos")
_KNOWN_ROOTS = {
    "workbook": "is an XML workbook of Excel 2003",
    "html": "is a web page",
    "fcpxml": "is a timeline of Final Cut",
    "xmeml": "is a timeline of Final Cut or Premiere",
    "urlset": "is the map of a site",
    "svg": "is a drawing",
}


def read_feed(
    data: bytes, shown: str, encoding: str | None = None
) -> tuple[list[str], list[list[str]], list[Problem]]:
    """Return the columns of a feed, its products with a cell for each column, and the problems of
    the feed. `shown` is its name in messages, `encoding` the one that a person names.

    A column is an element's name without its prefix (`g:image_link` -> `image_link`); values of an
    element that stands there several times are the lines of one cell. Raises UserError for XML of
    another kind.
    """
    declared = re.match(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})", data)
    wide = data[:4].count(0) or data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if encoding is None and declared and not wide:
        encoding = declared[1].decode()
    text, problems = decode_text(data, shown, encoding)
    text = re.sub(r"^\s*<\?xml[^>]{0,200}\?>", "", text.lstrip("\ufeff"))
    products = _ProductHandler()
    try:
        read_events(_repair_entities(text), products.start, products.end, products.data)
    except (*XML_ERRORS, TooDeepError) as error:
        what = str(error).rstrip(".")
        if type(error).__name__ == "EntitiesForbidden":
            what = "it declares entities of its own"
        raise refuse_table(
            "table.xml",
            f"can't be read as XML: {what[:200]}.",
            "Export the feed again, or save it as CSV.",
            shown,
        ) from error
    if products.too_many:
        raise refuse_table(
            "table.too_large",
            f"has more than {MAX_ROWS:,} products, or too much in each.",
            "Split it.",
            shown,
        )
    if not products.rows:
        raise UserError(_no_feed(products.root, shown))
    columns = list(dict.fromkeys(name for row in products.rows for name in row))[:MAX_COLUMNS]
    if len(columns) * len(products.rows) > MAX_CELLS:
        raise refuse_table(
            "table.too_large", f"has more than {MAX_CELLS:,} cells.", "Split it.", shown
        )
    return columns, [[row.get(c, "") for c in columns] for row in products.rows], problems


def _no_feed(root: str, shown: str) -> Problem:
    """Of XML without a product. Only what is meant as a table is wrong; other XML may lie there for
    a reason of its own."""
    kind = root.lower()
    if kind in ("rss", "feed", "channel", "rdf"):
        return Problem(
            "table.xml", "is a feed without any product.", "Export it again.", file=shown
        )
    what = _KNOWN_ROOTS.get(
        kind, f"is XML of a kind that is not known (<{root[:40]}>), and no feed of products"
    )
    severity = "error" if kind == "workbook" else "warning"
    return Problem(
        "table.kind",
        f"{what}; it can't be read as a table.",
        "Save the table as CSV or XLSX; where it is none, give it a name that begins with _.",
        severity,
        shown,
    )


def _repair_entities(text: str) -> str:
    """Entities of HTML, which XML does not have, and bare `&` as shops leave them in feeds."""
    if "&" not in text:
        return text

    def repair_entity(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "&amp;"
        if name.startswith("#") or name in _OWN:
            return found[0]
        value = html5.get(f"{name};")
        return "".join(f"&#{ord(c)};" for c in value) if value else f"&amp;{name};"

    return re.sub(
        r"&(?:(#\d{1,7}|#x[0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{0,30});)?", repair_entity, text
    )


class _ProductHandler:
    """Takes the events of a feed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.root = ""
        self.too_many = False
        self._item = ""
        self._row: dict[str, dict[str, None]] = {}
        self._depth = self._elements = self._kept = 0
        self._name: str | None = None
        self._prefixed = False
        self._of_merchant: set[str] = set()
        self._text: list[str] = []

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        prefix, _, bare = name.rpartition(":")
        self.root = self.root or bare
        self._elements += 1
        if self._elements > _MAX_ELEMENTS:
            self._stop_reading()
        if not self._item:
            if bare.lower() in _ITEMS and prefix.lower() not in _OTHER_PREFIXES:
                self._item, self._row, self._depth = name, {}, 0
                self._of_merchant.clear()
                if attributes.get("id"):
                    self._row["id"] = {attributes["id"].strip(): None}
            return
        self._depth += 1
        if self._depth == 1:
            # What is inside of others (`shipping/price`) is said of those.
            self._name = None if prefix.lower() in _OTHER_PREFIXES else bare
            self._prefixed = bool(prefix)
            self._text = []
            if bare == "link" and attributes.get("href"):
                usual = attributes.get("rel", "alternate") == "alternate"
                self._text = [attributes["href"]] if usual else []

    def data(self, text: str) -> None:
        # Of XHTML in Atom only the words count.
        if self._name is not None and (self._depth == 1 or self._name in ("content", "summary")):
            self._text.append(text)

    def end(self, name: str) -> None:
        if not self._item:
            return
        if self._depth == 0:
            if name == self._item:
                self._item = ""
                self._take_product()
            return
        if self._depth == 1 and self._name is not None:
            text = "".join(self._text).strip()[:MAX_TEXT]
            self._add_value(self._name, text)
            self._kept += len(text)
            self._name = None
        self._depth -= 1

    def _add_value(self, name: str, text: str) -> None:
        """Adds a value. What a feed says for merchants (`g:title`) goes before what RSS and Atom
        say under the same name (`title`), in whichever order they stand."""
        values = self._row.setdefault(name, {})
        if not text or (name in self._of_merchant and not self._prefixed):
            return
        if self._prefixed and name not in self._of_merchant:
            self._of_merchant.add(name)
            values.clear()
        if len(values) < _MAX_REPEATED:
            values[text] = None

    def _take_product(self) -> None:
        row = {name: "\n".join(values) for name, values in self._row.items()}
        # Atom has no description.
        row["description"] = next(
            (t for n in ("description", "summary", "content") if (t := row.get(n))), ""
        )
        self.rows.append(row)
        if len(self.rows) > MAX_ROWS or self._kept > 2 * 50_000_000:
            self._stop_reading()

    def _stop_reading(self) -> None:
        self.too_many = True
        raise StopReadingError


def looks_like_feed(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of XML."""
    return bool(re.match(rb"(\xef\xbb\xbf)?\s*<(\?xml|rss|feed)\b", head))
