"""The canonical form of JSON: sorted keys, no blanks, UTF-8, no NaN.

The same value always gives the same bytes, so they can be hashed and signed.
"""

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "parsed"]


def canonical(value: Mapping[str, Any]) -> str:
    """Return the canonical text of an object.

    Raises:
        ValueError, TypeError: it holds something that JSON or UTF-8 does not know.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    text.encode("utf-8")  # refuses half a surrogate pair
    return text


def parsed(text: str) -> dict[str, Any]:
    """Return the object that a canonical text stands for."""
    value: dict[str, Any] = json.loads(text)
    return value
