"""Verified messages that wait to be handled: the latest of each topic.

Statements say how things stand, so of two on one topic only the later one counts.  A node that is
slow therefore has at most one message a topic to catch up with, and memory stays flat.
"""

import asyncio

from bank_node.coordination.guard import Verdict, compare
from bank_node.coordination.messages import Message

__all__ = ["MAX_TOPICS", "Inbox"]

MAX_TOPICS = 10_000


class Inbox:
    """The latest message of each topic, in the order in which topics came up."""

    def __init__(self, limit: int = MAX_TOPICS) -> None:
        self._limit = limit
        self._waiting: dict[str, Message] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> Verdict | None:
        """Take in a message; tells what it is beside the waiting one, None if there is no room."""
        topic = str(message.topic)
        waiting = self._waiting.get(topic)
        if waiting is None and len(self._waiting) >= self._limit:
            return None
        verdict = Verdict.NEW
        if waiting is not None:
            verdict = compare(message, waiting.sequence, waiting.nonce)
        if verdict is Verdict.NEW:
            self._waiting[topic] = message
            self._filled.set()
        return verdict

    async def wait(self) -> None:
        """Return as soon as a message waits."""
        await self._filled.wait()

    def pop(self) -> Message:
        """Return the message that has waited longest; one must wait."""
        message = self._waiting.pop(next(iter(self._waiting)))
        if not self._waiting:
            self._filled.clear()
        return message
