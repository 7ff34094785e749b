"""The list of files that count: what is not on it was never taken in.

A file is written under a name of its own and put on the list in one step with the watermark of its
source; a node that dies before that step has taken in nothing, and the file is garbage.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

__all__ = ["ACCOUNTS_DAY", "REJECTED_DAY", "DayFile", "DayList", "JsonDays"]

ACCOUNTS_DAY = "accounts"
"""Stands for the day of the file with the accounts."""

REJECTED_DAY = "rejected"
"""Stands for the day of files with rejected rows and warnings."""


class DayFile(NamedTuple):
    """A file that counts.

    Attributes:
        day: day (UTC) of its payments, such as 2026-03-01; "accounts"; or "rejected".
        file: its path from the folder of the data.
        rows: number of rows.
        sha256: digest of the file, 64 hexadecimal digits.
        bytes: size of the file.
    """

    day: str
    file: str
    rows: int
    sha256: str
    bytes: int


class DayList(Protocol):
    """Keeps the list, and how far each source has been read."""

    def listed(self) -> Sequence[DayFile]:
        """All files that count."""
        ...

    def watermark(self, source: str) -> str | None:
        """How far a source has been read, or None."""
        ...

    def commit(
        self,
        added: Sequence[DayFile],
        removed: Sequence[str],
        source: str,
        watermark: str,
        report: Mapping[str, Any],
    ) -> None:
        """Do all of it in one step that lasts: lists, watermark, and the report (for JSON)."""
        ...


class JsonDays:
    """The list in a JSON file, replaced in one step; without a path in memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        empty: dict[str, Any] = {"files": [], "watermarks": {}, "reports": []}
        there = path is not None and path.exists()
        self._state = json.loads(path.read_text()) if path is not None and there else empty

    def listed(self) -> list[DayFile]:
        """All files that count."""
        return [DayFile(*entry) for entry in self._state["files"]]

    def watermark(self, source: str) -> str | None:
        """How far a source has been read, or None."""
        found = self._state["watermarks"].get(source)
        return None if found is None else str(found)

    def reports(self) -> list[dict[str, Any]]:
        """The reports so far, oldest first."""
        return list(self._state["reports"])

    def commit(
        self,
        added: Sequence[DayFile],
        removed: Sequence[str],
        source: str,
        watermark: str,
        report: Mapping[str, Any],
    ) -> None:
        """Do all of it in one step that lasts."""
        gone = set(removed)
        state = {
            "files": [e for e in self._state["files"] if e[1] not in gone]
            + [list(entry) for entry in added],
            "watermarks": self._state["watermarks"] | {source: watermark},
            "reports": [*self._state["reports"], dict(report)],
        }
        if self._path is not None:
            _replace(self._path, json.dumps(state))
        self._state = state


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)
