"""What those who ask a node and the node that answers have in common."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PERSON_HEADER", "short_name"]

PERSON_HEADER = "x-person"
_LONGEST_PATH = 100


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Give a name of a socket that the system takes: they end at about a hundred characters."""
    if len(str(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
