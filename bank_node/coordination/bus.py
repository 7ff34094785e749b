"""A node's line to the other nodes: what it says, what they say, over a broker nobody relies on.

What the bus takes care of: messages are signed and numbered on their way out, verified and judged
on their way in; a lost connection is made again, for ever; after each connection the node
subscribes again and says again what holds.  What it leaves to the node: the truth, which stands in
the node's own database.  The broker is a doorbell.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiomqtt

from bank_node.coordination.config import BrokerConfig
from bank_node.coordination.errors import (
    CoordinationError,
    MessageRefused,
    MisplacedMessage,
    OversizedMessage,
)
from bank_node.coordination.guard import Guard, Verdict
from bank_node.coordination.inbox import Inbox
from bank_node.coordination.journal import BusStatistics, Journal
from bank_node.coordination.link import Backoff, Wire, client_id, make_client, subscribe
from bank_node.coordination.messages import Key, Kind, Message
from bank_node.coordination.outbox import Statement
from bank_node.coordination.topics import ROOT, everything, own_topic
from bank_node.coordination.unsealing import unseal
from bank_node.coordination.voice import CLEARED, Voice

__all__ = ["Bus"]

_log = logging.getLogger("bank_node.coordination")

_PARTING = 1.0
_PATIENCE = 1.0

OnConnect = Callable[[], Awaitable[None]]


class Bus:
    """Says and hears signed messages; to be used as an asynchronous context manager.

    Args:
        config: the broker.
        consortium: name of the consortium.
        member: id of this node's member.
        key: its signing key.
        members: returns the public key of each member, as of now.
        next_sequence: returns the next number of a counter that survives restarts; called in a
            thread, once for each connection.
        guard: knows which messages were handled; called in a thread.
        clock: returns microseconds since 1970 UTC.
        will: content of the last will, a status that others see when this node is gone.
        on_connect: called after each connection, when it is subscribed and all that holds was sent
            again; if it fails, the connection is made again.
    """

    def __init__(
        self,
        config: BrokerConfig,
        consortium: str,
        member: str,
        key: Key,
        members: Callable[[], Mapping[str, str]],
        next_sequence: Callable[[], int],
        guard: Guard,
        clock: Callable[[], int],
        will: Mapping[str, Any],
        *,
        on_connect: OnConnect | None = None,
    ) -> None:
        self.on_connect = on_connect
        self._config = config
        self._consortium = consortium
        self._member = member
        self._public = key.public
        self._members = members
        self._next_sequence = next_sequence
        self._guard = guard
        self._clock = clock
        self._identifier = client_id(member)
        self._inbox = Inbox()
        self._journal = Journal(clock)
        self._voice = Voice(consortium, member, key, clock, will, self._journal)
        self._task: asyncio.Task[None] | None = None
        self._online = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            if error is None:
                await self._voice.heard(_PARTING)
            await _end(self._task)

    @property
    def connected(self) -> bool:
        """Whether there is a connection, subscribed and brought up to date."""
        return self._online.is_set()

    @property
    def counters(self) -> BusStatistics:
        """Counts since the bus was opened."""
        return self._journal.statistics()

    @property
    def standing(self) -> frozenset[str]:
        """Tails of own topics that the broker keeps from before: clear those that are over."""
        return frozenset(self._voice.standing)

    async def wait_connected(self) -> None:
        """Return when there is a connection."""
        await self._online.wait()

    async def publish(
        self, kind: Kind, tail: str, content: Mapping[str, Any], *, retain: bool, lifetime: int
    ) -> bool:
        """Say something on an own topic; it takes the place of what was said there before.

        Args:
            kind: status or statement.
            tail: ``status_tail`` or ``run_tail`` of this member.
            content: what is said; JSON.
            retain: whether the broker is to keep it, and it is said again after each connection.
            lifetime: microseconds for which it holds, from each time it is sent.

        Returns:
            Whether the broker has taken it; if not, it is sent with the next connection.

        Raises:
            StatementError: the topic is not this member's, or the content is not JSON or too large.
        """
        statement = Statement(kind, dict(content), retain, lifetime)
        self._voice.check(tail, statement)
        return await self._voice.say(tail, statement)

    async def clear(self, tail: str) -> bool:
        """Have the broker forget what it keeps on an own topic; says nothing to anyone."""
        own_topic(self._consortium, self._member, tail)
        return await self._voice.say(tail, CLEARED)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield the others' messages, each when it is new; for one reader, which ends with the bus.

        Only the latest of each topic waits while the reader is busy.  A message counts as handled
        when the next one is asked for: if the reader fails, it will come again.
        """
        while await self._something_waits():
            message = self._inbox.pop()
            verdict = await asyncio.to_thread(self._guard.judge, message)
            if verdict is not Verdict.NEW:
                self._journal.ignored(verdict.value, message.sender, message.topic.kind)
                continue
            self._journal.count("accepted")
            yield message
            await asyncio.to_thread(self._guard.settle, message)

    async def _something_waits(self) -> bool:
        """Wait for a message; false when the bus is closed."""
        if len(self._inbox):
            return True
        if self._task is None:
            return False
        filled = asyncio.create_task(self._inbox.wait())
        try:
            await asyncio.wait({filled, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            filled.cancel()
        return bool(len(self._inbox))

    async def _run(self) -> None:
        """Keep a connection, for ever."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            start, wire = loop.time(), Wire()
            try:
                await self._connect(wire)
                why = "a new connection is needed"
            except aiomqtt.MqttError as error:
                why = wire.trouble or str(error.__cause__ or error)
            except CoordinationError as error:
                why = str(error)
            except Exception as error:  # Of the node's own database, for example: try again.
                why = f"unexpected {type(error).__name__}"
            wait = backoff.after(loop.time() - start)
            _log.warning("no connection to the broker: %s; next try in %.1f s", why, wait)
            await asyncio.sleep(wait)

    async def _connect(self, wire: Wire) -> None:
        """Connect, say what holds, and return or raise when the connection is over."""
        await asyncio.to_thread(self._voice.number, self._next_sequence)
        context = await asyncio.to_thread(self._config.tls_context)
        will = self._voice.last_will()
        client = make_client(self._config, self._identifier, context, will, self._receive, wire)
        try:
            async with client:
                await subscribe(client, everything(self._consortium))
                await self._voice.open(client)
                self._online.set()
                self._journal.count("connected")
                _log.info("connected to the broker")
                await self._until_over(client)
        finally:
            self._online.clear()
            await self._voice.close()

    async def _until_over(self, client: aiomqtt.Client) -> None:
        lost = asyncio.create_task(_until_lost(client))
        stuck = asyncio.create_task(self._read_again(client))
        restart = asyncio.create_task(self._voice.restart.wait())
        told = asyncio.create_task(self._tell_connected())
        try:
            done, _ = await asyncio.wait(
                {lost, restart, stuck}, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            await _end(lost, restart, stuck, told)
        for task in done:
            task.result()

    async def _read_again(self, client: aiomqtt.Client) -> None:
        """Subscribe again and again: each time the broker sends all that it keeps."""
        while True:
            await asyncio.sleep(self._config.refresh)
            await subscribe(client, everything(self._consortium))

    async def _tell_connected(self) -> None:
        if self.on_connect is None:
            return
        try:
            await self.on_connect()
        except Exception as error:
            _log.error("after connecting: unexpected %s", type(error).__name__)
            self._voice.restart.set()

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take in a message, in the moment in which it is read."""
        self._journal.count("received")
        tail = topic.removeprefix(f"{ROOT}/{self._consortium}/")
        if self._voice.is_echo(tail, payload) or not payload:
            return  # Something was cleared, which says nothing; or our own voice.
        try:
            message = self._unseal(topic, payload, retained)
        except MessageRefused as error:
            self._journal.refused(error, topic)
            return
        if message.sender == self._member:
            self._voice.hear(message)
            return
        beside = self._inbox.put(message)
        if beside is not Verdict.NEW:
            why = "overflow" if beside is None else beside.value
            self._journal.ignored(why, message.sender, message.topic.kind)

    def _unseal(self, topic: str, payload: bytes, retained: bool) -> Message:
        if not topic.startswith(f"{ROOT}/{self._consortium}/"):
            raise MisplacedMessage("a message came under a topic of another consortium")
        if len(payload) > self._config.max_message:
            raise OversizedMessage(
                f"a message has {len(payload)} bytes, more than {self._config.max_message}"
            )
        keys = {**self._members(), self._member: self._public}
        return unseal(payload, topic, keys, self._clock(), retained=retained)


async def _until_lost(client: aiomqtt.Client) -> None:
    """Raise when the connection is lost; its messages have been handed on already."""
    async for _ in client.messages:
        pass


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they are over; what they raise says nothing any more.

    Once may not do: ``asyncio.wait_for`` of Python 3.11, through which the client waits for the
    broker, loses a cancellation that comes in the same moment as the answer.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE)
    await asyncio.gather(*tasks, return_exceptions=True)
