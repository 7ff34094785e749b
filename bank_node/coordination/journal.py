"""What the log and the counters say about messages: who, why, how many; never what they hold."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bank_node.coordination.errors import ExpiredMessage, MessageRefused
from bank_node.coordination.topics import parse_topic

__all__ = ["BusStatistics", "Journal"]

_log = logging.getLogger("bank_node.coordination")
_QUIET = 60_000_000
"""Microseconds during which one kind of trouble with one sender is told once."""


@dataclass(frozen=True)
class BusStatistics:
    """Counts since the bus was opened.

    Attributes:
        connected: connections made.
        received: messages that came from the broker, own ones included.
        accepted: those handed to the node.
        ignored: those that were good but no news, by verdict (duplicate, stale, conflict), replaced
            by a later one before they were handled (superseded), or without room (overflow).
        refused: those that were not accepted, by reason.
        published: messages that the broker has taken.
    """

    connected: int = 0
    received: int = 0
    accepted: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    published: int = 0


class Journal:
    """Counts, and tells the log what an operator must know, each thing once a minute at most."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._told: dict[tuple[str, str], int] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    def statistics(self) -> BusStatistics:
        """Return the counts so far."""
        return BusStatistics(
            **self._counts, ignored=dict(self._ignored), refused=dict(self._refused)
        )

    def count(self, what: str) -> None:
        """Count a connection, or a message received, accepted or published."""
        self._counts[what] += 1

    def ignored(self, why: str, sender: str, topic_kind: str) -> None:
        """Note a good message that is no news; a conflict is an alarm."""
        self._ignored[why] += 1
        if why == "conflict":
            self._tell(
                ("conflict", sender),
                "coordination.conflict: two messages with one number from %s (%s topic):"
                " two nodes use its key, or its database was put back",
                sender,
                topic_kind,
            )
        elif why == "overflow":
            self._tell((why, sender), "coordination.overflow: %s speaks on too many topics", sender)
        else:
            _log.debug("%s message of %s ignored (%s topic)", why, sender, topic_kind)

    def refused(self, error: MessageRefused, topic: str) -> None:
        """Note a message that is not accepted."""
        self._refused[error.reason] += 1
        place = parse_topic(topic)
        # What is kept of a member that is away expires in time: no trouble.
        level = logging.INFO if isinstance(error, ExpiredMessage) else logging.WARNING
        self._tell(
            (error.reason, error.sender),
            "%s: message refused, sender %s, %s topic: %s",
            error.code,
            error.sender or "unknown",
            place.kind if place else "other",
            error,
            level=level,
        )

    def _tell(
        self, key: tuple[str, str], text: str, *values: object, level: int = logging.WARNING
    ) -> None:
        now = self._clock()
        last = self._told.get(key)
        if last is not None and 0 <= now - last < _QUIET:
            self._untold[key] += 1
            return
        self._told[key] = now
        more = self._untold.pop(key, 0)
        _log.log(level, text, *values, extra={"count": more} if more else None)
