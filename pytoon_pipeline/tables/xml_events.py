"""Events of XML from other programs: no tree is built, no entity is expanded.

The parser is the one that `defusedxml` uses, with the same guards (no declarations of entities,
nothing external), and without its cost for each element: a workbook has some hundred thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any
from xml.parsers import expat

from defusedxml.common import EntitiesForbidden, ExternalReferenceForbidden

XML_ERRORS = (expat.ExpatError, EntitiesForbidden, ExternalReferenceForbidden)
_DEEPEST = 100


class StopReadingError(Exception):
    """Raised by a handler of events that needs nothing more of the document."""


class TooDeepError(ValueError):
    """Too many elements are inside each other."""


def local_name(name: str) -> str:
    """Return the name of an element or an attribute without its prefix."""
    return name.rpartition(":")[2] if ":" in name else name


def read_events(
    source: IO[bytes] | str,
    start: Callable[[str, Mapping[str, str]], Any],
    end: Callable[[str], Any],
    data: Callable[[str], Any],
) -> None:
    """Call `start`, `end` and `data` for what stands in a document; names have their prefixes.

    Ends early when one of them raises StopReadingError. Raises one of XML_ERRORS, or TooDeepError.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def on_start(name: str, attributes: Mapping[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise TooDeepError("elements are nested too deeply")
        start(name, attributes)

    def on_end(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name)

    def forbid_entity(name: str, *rest: Any) -> None:
        raise EntitiesForbidden(name, None, None, None, None, None)

    def forbid_external(context: Any, base: Any, system: Any, public: Any) -> int:
        raise ExternalReferenceForbidden(context, base, system, public)

    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = data
    parser.EntityDeclHandler = forbid_entity
    parser.UnparsedEntityDeclHandler = forbid_entity
    parser.ExternalEntityRefHandler = forbid_external
    try:
        if isinstance(source, str):
            parser.Parse(source, True)
        else:
            parser.ParseFile(source)
    except StopReadingError:
        return
