"""How far a source has been read, as the text that the list of files keeps for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["Position"]


@dataclass(frozen=True)
class Position:
    """How far a source has been read.

    Attributes:
        rules: digest of the rules; under others the source is read from the start.
        files: mark of each file of payments that was read, by path.
        value: the last watermark of a database; "" if there is none.
        accounts: what the snapshot of the accounts was read from.
    """

    rules: str
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    value: str = ""
    accounts: str = ""

    @classmethod
    def parse(cls, text: str | None, rules: str) -> "Position":
        """The position in ``text``; the start, if there is none or it was under other rules."""
        found = json.loads(text) if text else {}
        if found.get("rules") != rules:
            return cls(rules)
        return cls(rules, MappingProxyType(found["files"]), found["value"], found["accounts"])

    def text(self) -> str:
        """The position as text."""
        parts = {"rules": self.rules, "files": dict(self.files)}
        return json.dumps(parts | {"value": self.value, "accounts": self.accounts}, sort_keys=True)
