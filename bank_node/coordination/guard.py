"""Which of a member's messages is the latest: against replays, reordering and duplicates.

A broker may deliver a message twice, late, or again after years.  The guard keeps, for each sender
and topic, the number and nonce of the last message that was handled, and lets a message pass only
if its number is higher.  So, whatever the order of delivery, what a node believes in the end is the
message with the highest number, and no message is handled twice.

Judging and settling are two steps: a message is settled when its handling is over.  A node that
dies in between is given the message again by the broker, or by its sender; handlers therefore must
not mind a repetition, and lose nothing.
"""

from enum import Enum
from typing import Protocol

from bank_node.coordination.messages import Message

__all__ = ["Guard", "MemoryPositions", "SequenceStore", "Verdict"]


class Verdict(Enum):
    """What to do with a message.

    new: handle it.  duplicate: the very message that was handled last; ignore it.  stale: an older
    one; ignore it.  conflict: another message with the number of the last one, which an honest
    sender never signs: two nodes use one key, or a database was put back.
    """

    NEW = "new"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"


class SequenceStore(Protocol):
    """Where the positions are kept; they must survive a restart."""

    def last(self, sender: str, topic: str) -> tuple[int, str] | None:
        """Return number and nonce of the last message that was handled."""

    def save(self, sender: str, topic: str, sequence: int, nonce: str) -> None:
        """Put these in its place."""


class MemoryPositions:
    """Positions that are forgotten with the process: for tests and tools."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, str], tuple[int, str]] = {}

    def last(self, sender: str, topic: str) -> tuple[int, str] | None:
        """Return number and nonce of the last message that was handled."""
        return self._positions.get((sender, topic))

    def save(self, sender: str, topic: str, sequence: int, nonce: str) -> None:
        """Put these in its place."""
        self._positions[sender, topic] = (sequence, nonce)


class Guard:
    """Tells new messages from old ones."""

    def __init__(self, positions: SequenceStore) -> None:
        self._positions = positions

    def judge(self, message: Message) -> Verdict:
        """Return what to do with a message; changes nothing."""
        last = self._positions.last(message.sender, str(message.topic))
        return Verdict.NEW if last is None else compare(message, *last)

    def settle(self, message: Message) -> None:
        """Note that a message was handled; never goes back to a lower number."""
        if self.judge(message) is Verdict.NEW:
            self._positions.save(
                message.sender, str(message.topic), message.sequence, message.nonce
            )

    def accept(self, message: Message) -> Verdict:
        """Judge a message and, if it is new, settle it at once."""
        verdict = self.judge(message)
        self.settle(message)
        return verdict


def compare(message: Message, sequence: int, nonce: str) -> Verdict:
    """Return what a message is beside the last one of its topic."""
    if message.sequence > sequence:
        return Verdict.NEW
    if message.sequence < sequence:
        return Verdict.STALE
    return Verdict.DUPLICATE if message.nonce == nonce else Verdict.CONFLICT
