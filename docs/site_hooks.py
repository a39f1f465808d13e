"""Hooks of mkdocs: pages from outside `docs/`, and the marks of shell blocks (CONTRIBUTING.md)."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "deploying.md",
}
"""File of the repository -> page of the site."""

_MARK = re.compile(r"^( *```sh) (?:server|slow|install|example)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside `docs/`."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_rewrite_links(text, source, page)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take out the marks of shell blocks, and lead links to the pages of the site."""
    path = page.file.src_uri
    if path not in PAGES.values():
        markdown = _rewrite_links(markdown, f"docs/{path}", path)
    return _MARK.sub(r"\1", markdown)


def _rewrite_links(text: str, source: str, page: str) -> str:
    """Links of `source`, a file of the repository, as links of `page`."""

    def rewrite(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        if target in PAGES:
            place = PAGES[target]
        elif target.startswith("docs/"):
            place = target.removeprefix("docs/")
        else:
            return match[0]
        return f"]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{match[2] or ''})"

    return _LINK.sub(rewrite, text)
