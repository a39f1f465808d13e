"""What a server's JSON holds, as the kind of value that is expected there; else an empty one."""

from __future__ import annotations

import math
from typing import Any

_LONGEST = 500
"""Characters of a server's words that are quoted as one."""


def as_mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    try:
        return float(value) if math.isfinite(value) else 0.0
    except OverflowError:  # A whole number of hundreds of digits.
        return 0.0


def as_text(value: Any, most: int = _LONGEST) -> str:
    """A text, or another plain value as one, cut off where it is long."""
    if isinstance(value, (str, int, float)):
        try:
            text = str(value)
        except ValueError:  # A whole number of thousands of digits.
            return ""
        return text if len(text) <= most else text[: most - 3] + "..."
    return ""
