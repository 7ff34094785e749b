"""What this node last said on each topic, so that it can be said again.

A broker may forget everything.  After each connection all that is retained is sent anew, and what
could not be sent while there was no connection is sent then: the latest of each topic, no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bank_node.coordination.messages import Kind

__all__ = ["Outbox", "Statement"]

_MAX_CLEARED = 1_000


@dataclass(frozen=True)
class Statement:
    """What is to be said on a topic.

    Attributes:
        kind: status or statement.
        content: what is said; None clears what the broker keeps.
        retain: whether the broker is to keep it.
        lifetime: microseconds for which it holds, from each time it is sent.
    """

    kind: Kind
    content: Mapping[str, Any] | None
    retain: bool
    lifetime: int


class Outbox:
    """The latest statement of each topic tail, and what is left to send."""

    def __init__(self) -> None:
        self._latest: dict[str, Statement] = {}
        self._unsent: dict[str, None] = {}
        self._cleared: dict[str, None] = {}

    def put(self, tail: str, statement: Statement) -> None:
        """Replace what is said on a topic."""
        self._latest[tail] = statement
        self._unsent[tail] = None
        self._cleared.pop(tail, None)

    def get(self, tail: str) -> Statement | None:
        """Return what is said on a topic."""
        return self._latest.get(tail)

    def sent(self, tail: str, statement: Statement) -> None:
        """Note that the broker has it; if something newer is to be said, that stays unsent."""
        if self._latest.get(tail) is not statement:
            return
        self._unsent.pop(tail, None)
        if not statement.retain or statement.content is None:
            del self._latest[tail]
        if statement.content is None:
            self._remember_cleared(tail)

    def lost(self) -> None:
        """Note that the broker may have forgotten all."""
        for tail in self._latest:
            self._unsent[tail] = None

    def unsent(self) -> list[str]:
        """Return the tails of what is left to send."""
        return list(self._unsent)

    def was_cleared(self, tail: str) -> bool:
        """Tell whether a topic was cleared, and nothing said on it since."""
        return tail in self._cleared

    def _remember_cleared(self, tail: str) -> None:
        self._cleared[tail] = None
        while len(self._cleared) > _MAX_CLEARED:
            del self._cleared[next(iter(self._cleared))]
