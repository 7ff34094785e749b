"""What a node says: numbered, signed, and said again when the broker may have forgotten.

**Numbers.**  Each connection has a number e of its own, from a counter that survives restarts; the
n-th message of the connection has the number e·2³² + n.  The last will, signed before the first of
them, has the highest, e·2³² + 2³² − 1: it comes after all that was said over the connection that it
ends, and before all that is said over the next.

**Own messages** come back as well, and tell what others believe.  If the will of an earlier
connection took the place of our status (a broker that noticed late), the status is sent again; if
it is the will of this connection, or a message from ahead of our numbers (a database that was put
back), a new connection with a higher number is needed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiomqtt

from bank_node.coordination.errors import StatementError
from bank_node.coordination.journal import Journal
from bank_node.coordination.messages import Key, Message, seal
from bank_node.coordination.outbox import Outbox, Statement
from bank_node.coordination.topics import ROOT, own_topic, status_tail

__all__ = ["CLEARED", "Voice", "connection_of"]

_log = logging.getLogger("bank_node.coordination")

_SHIFT = 32
_WILL_NUMBER = (1 << _SHIFT) - 1
# A connection may last for months; what bounds the use of a will is the number of the next one.
_WILL_LIFETIME = 366 * 86_400 * 1_000_000


# How far a counter that was put back is moved on at a time, so that it is right after a restart.
_MAX_CATCHING_UP = 1_000

CLEARED = Statement("statement", None, retain=True, lifetime=0)
"""Has the broker forget what it keeps on a topic."""


def connection_of(sequence: int) -> int:
    """Return the number of the connection over which a message was sent."""
    return sequence >> _SHIFT


class Voice:
    """Says what holds on each own topic, over one connection after another.

    Attributes:
        restart: set when only a new connection can put things right.
        standing: tails of own topics that the broker keeps from before this process.
        connection: number of the connection.
    """

    def __init__(
        self,
        consortium: str,
        member: str,
        key: Key,
        clock: Callable[[], int],
        will: Mapping[str, Any],
        journal: Journal,
    ) -> None:
        self.restart = asyncio.Event()
        self.standing: set[str] = set()
        self.connection = 0
        self._consortium = consortium
        self._member = member
        self._key = key
        self._clock = clock
        self._will = dict(will)
        self._journal = journal
        self._outbox = Outbox()
        self._echoes: dict[str, bytes] = {}
        self._unheard: dict[str, bytes] = {}
        self._heard = asyncio.Event()
        self._heard.set()
        self._client: aiomqtt.Client | None = None
        self._number = 0
        self._ahead = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def number(self, next_sequence: Callable[[], int]) -> None:
        """Give the next connection a number above all that were ever used."""
        self._ahead = max(self._ahead, self.connection)
        connection = next_sequence()
        for _ in range(_MAX_CATCHING_UP):
            if connection > self._ahead:
                break
            connection = next_sequence()
        self.connection, self._number = max(connection, self._ahead + 1), 0

    def last_will(self) -> aiomqtt.Will:
        """Return what the broker is to say when the connection breaks."""
        tail = status_tail(self._member)
        statement = Statement("will", self._will, True, _WILL_LIFETIME)
        return aiomqtt.Will(
            self._topic(tail), self._seal(tail, statement, _WILL_NUMBER), qos=1, retain=True
        )

    def check(self, tail: str, statement: Statement) -> None:
        """Raise StatementError if the statement could never be sent."""
        if (statement.kind == "status") != (tail == status_tail(self._member)):
            raise StatementError(
                f"a {statement.kind} cannot be published there",
                "Publish a status on the status topic and statements on those of runs",
            )
        self._seal(tail, statement, _WILL_NUMBER)

    async def open(self, client: aiomqtt.Client) -> None:
        """Say over a new connection all that holds.

        Raises:
            aiomqtt.MqttError: the broker does not take it.
        """
        self._client = client
        self._outbox.lost()
        for tail in self._outbox.unsent():
            if not await self._send(tail):
                raise aiomqtt.MqttError("the broker does not take messages")

    async def close(self) -> None:
        """Note that the connection is over."""
        self._client = None
        self.restart.clear()
        self._unheard.clear()
        self._heard.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def say(self, tail: str, statement: Statement) -> bool:
        """Say something on a topic; false if it must wait for the next connection."""
        self._outbox.put(tail, statement)
        self.standing.discard(tail)
        return await self._send(tail)

    def is_echo(self, tail: str, payload: bytes) -> bool:
        """Tell whether a payload is what we said last on a topic."""
        if self._unheard.get(tail) == payload:
            del self._unheard[tail]
            if not self._unheard:
                self._heard.set()
        return self._echoes.get(tail) == payload

    async def heard(self, seconds: float) -> None:
        """Wait, at most so long, until all that was said has come back.

        amqtt confirms a message before it handles it, and forgets it if we leave in between.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()

    def hear(self, message: Message) -> None:
        """Take in a message of our own that is not what we said last."""
        connection, tail = connection_of(message.sequence), message.topic.tail
        if connection > self.connection:
            self._ahead = max(self._ahead, connection)
            _log.warning(
                "coordination.ahead: a message signed with our key has a higher number than ours:"
                " another node uses the key, or our database was put back"
            )
            self.restart.set()
        elif message.kind == "will" and connection == self.connection:
            self.restart.set()
        elif message.kind == "will":
            if self._client is not None:  # Else it is about to be said anyway.
                self._in_background(self._send(tail))
        elif self._outbox.was_cleared(tail):
            self._in_background(self.say(tail, CLEARED))
        elif self._outbox.get(tail) is None:
            self.standing.add(tail)

    async def _send(self, tail: str) -> bool:
        statement, client = self._outbox.get(tail), self._client
        if statement is None or client is None:
            return statement is None
        payload = b""
        if statement.content is not None:
            self._number += 1
            payload = self._seal(tail, statement, self._number)
        self._echoes[tail] = self._unheard[tail] = payload
        self._heard.clear()
        # In a task that ends with the connection: the client itself would wait for its time limit.
        sending = self._in_background(
            client.publish(self._topic(tail), payload, qos=1, retain=statement.retain)
        )
        await asyncio.wait({sending})
        if sending.cancelled() or sending.exception() is not None:
            if self._client is client:
                self.restart.set()  # Whatever is wrong: a new connection says all of it again.
            return False
        self._outbox.sent(tail, statement)
        if self._outbox.get(tail) is None:
            self._echoes.pop(tail, None)
        self._journal.count("published")
        return True

    def _seal(self, tail: str, statement: Statement, number: int) -> bytes:
        return seal(
            self._key,
            topic=str(own_topic(self._consortium, self._member, tail)),
            consortium=self._consortium,
            sender=self._member,
            sequence=(self.connection << _SHIFT) + number,
            kind=statement.kind,
            content=statement.content or {},
            now=self._clock(),
            lifetime=statement.lifetime,
        )

    def _topic(self, tail: str) -> str:
        return f"{ROOT}/{self._consortium}/{tail}"

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
