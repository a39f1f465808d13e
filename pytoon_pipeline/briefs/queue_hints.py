"""What a brief says of its place in the queue, before it is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytoon_pipeline.briefs.model import Brief
from pytoon_pipeline.briefs.reading import read_document
from pytoon_pipeline.briefs.source import BriefSource

MIN_PRIORITY, MAX_PRIORITY = -100, 100


@dataclass(frozen=True)
class QueueHints:
    """What the queue wants to know of a brief before it is compiled."""

    priority: int = 0
    generates: bool = False
    """Some footage is to be made by a model, which takes a GPU."""


def read_hints(source: BriefSource) -> QueueHints:
    """The hints of a brief or a plan, from its parsed document, however it is laid out.

    A document that is not right yet gives what can be read of it: the compiler says what is wrong.
    """
    data: Mapping[str, Any] | None
    if source.document is not None:
        data = source.document.data
    else:
        model = Brief if source.kind == "brief" else Any
        data, _ = read_document(source.path, source.shown, model)
    if data is None:
        return QueueHints()
    return QueueHints(_priority_of(data), _generates(data))


def _priority_of(data: Mapping[str, Any]) -> int:
    priority = data.get("priority")
    if isinstance(priority, bool) or not isinstance(priority, int):
        return 0
    return priority if MIN_PRIORITY <= priority <= MAX_PRIORITY else 0


def _generates(data: Mapping[str, Any]) -> bool:
    """Does a brief have prompts, or a plan segments that are generated?"""
    if data.get("generate"):
        return True
    segments = data.get("segments")
    return isinstance(segments, list) and any(
        isinstance(segment, dict)
        and (bool(segment.get("generate")) or _is_word(segment.get("type"), "generated"))
        for segment in segments
    )


def _is_word(value: object, word: str) -> bool:
    return isinstance(value, str) and value.strip().lower() == word
