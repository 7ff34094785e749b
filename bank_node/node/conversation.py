"""What a node says to the other members and hears from them, over the broker of their agreement.

While there is an agreement there is one bus; a new agreement is a new connection.  The node says
that it is there every half minute, and of each run where it stands; what it hears goes on record
before the next message is looked at.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from bank_node.consortium import Book, SignedAgreement
from bank_node.coordination import (
    BrokerConfig,
    Bus,
    Guard,
    Message,
    StatementError,
    run_tail,
    status_tail,
)
from bank_node.errors import UndercurrentError
from bank_node.identity import find_credentials
from bank_node.node.board import Board, own_status, parse_status
from bank_node.node.config import NodeConfig
from bank_node.node.keeper import RunKeeper
from bank_node.node.measuring import Measuring
from bank_node.node.own_keys import own_key
from bank_node.node.records import Positions, Records
from bank_node.node.schedule import Scheduler

__all__ = ["Conversation", "Outbox"]

_LOG = structlog.get_logger(__name__)
_SECOND = 1_000_000
_PAUSE = 5.0
_STATUS_EVERY = 30.0
_STATUS_LIFETIME = 7 * 86_400 * _SECOND
_AFTERLIFE = 86_400 * _SECOND
_LONGEST = 32 * 86_400 * _SECOND

Standing = tuple[dict[str, Any], int]


class Outbox:
    """The latest standing of each run that is still to be sent; who puts it in never waits."""

    def __init__(self) -> None:
        self._latest: dict[str, Standing | None] = {}
        self._is_filled = asyncio.Event()

    async def put(self, run_id: str, content: dict[str, Any], expires: int) -> None:
        """Have a standing sent in place of what was to be sent of the run before."""
        self._latest[run_id] = (content, expires)
        self._is_filled.set()

    async def clear(self, run_id: str) -> None:
        """Have taken back what the broker keeps of a run."""
        self._latest[run_id] = None
        self._is_filled.set()

    async def taken(self) -> dict[str, Standing | None]:
        """Wait for something to send and take it: (content, when the run expires) of each run."""
        await self._is_filled.wait()
        self._is_filled.clear()
        latest, self._latest = self._latest, {}
        return latest


class Conversation:
    """The node's part in the talk of the members.

    Args:
        config: the node's configuration.
        book: the installed agreements.
        records: the node's database.
        board: what the members say of themselves.
        scheduler: knows the agreement in effect.
        keeper: hears what is stated about runs.
        outbox: what is to be sent about runs.
        measuring: counts messages.
        accounts: number of this bank's accounts; None: a compute party, or nothing was taken in.
        clock: microseconds since 1970.
    """

    def __init__(
        self,
        config: NodeConfig,
        book: Book,
        records: Records,
        board: Board,
        scheduler: Scheduler,
        keeper: RunKeeper,
        outbox: Outbox,
        measuring: Measuring,
        accounts: Callable[[], int | None],
        clock: Callable[[], int],
    ) -> None:
        self.bus: Bus | None = None
        self._config = config
        self._book = book
        self._records = records
        self._board = board
        self._scheduler = scheduler
        self._keeper = keeper
        self._outbox = outbox
        self._measuring = measuring
        self._accounts = accounts
        self._clock = clock
        self._is_status_due = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether the broker is there."""
        return self.bus is not None and self.bus.connected

    def say_status(self) -> None:
        """Tell the others now how this node is: something about it has changed."""
        self._is_status_due.set()

    async def for_ever(self) -> None:
        """Be on the bus while there is an agreement."""
        while True:
            signed = self._scheduler.agreement
            if signed is None:
                await self._scheduler.changed.wait()
                continue
            try:
                await self._connected(signed)
            except UndercurrentError as error:
                _LOG.error("bus_failed", code=error.code)
                await asyncio.sleep(_PAUSE)

    async def say_goodbye(self) -> None:
        """Tell the others that this node ends, if that can be done at once."""
        if self.bus is not None and self.bus.connected:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2):
                    await self._publish_status(self.bus, "offline")

    async def _connected(self, signed: SignedAgreement) -> None:
        """Talk until the agreement is replaced or the database fails."""
        bus = Bus(
            self._broker(signed),
            consortium=self._config.node.consortium,
            member=self._config.node.id,
            key=own_key(self._config, self._book, self._clock()),
            members=self.member_keys,
            next_sequence=self._records.next_sequence,
            guard=Guard(Positions(self._records.database)),
            clock=self._clock,
            will=own_status("offline", signed.hash, None, 0),
            on_connect=self._on_connect,
        )
        async with bus:
            self.bus = bus
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listening(bus))
                    group.create_task(self._telling(bus))
                    group.create_task(self._speaking(bus))
                    group.create_task(self._until_replaced(signed))
            except* _ReplacedError:
                _LOG.info("agreement_replaced")
            except* UndercurrentError as group:
                # Of the database, for example: with a new connection all messages come again.
                _LOG.error("bus_restarted", code=_code_of(group))
                await asyncio.sleep(_PAUSE)
            finally:
                self.bus = None

    async def _until_replaced(self, signed: SignedAgreement) -> None:
        if self._scheduler.agreement is signed:
            await self._scheduler.changed.wait()
        raise _ReplacedError

    async def _on_connect(self) -> None:
        self.say_status()
        await self._keeper.tell_again()
        for tail in () if self.bus is None else self.bus.standing:
            # Of runs that were over for all before this process began.
            run_id = tail.rpartition("/")[2]
            if tail.startswith("run/") and run_id not in self._keeper.open:
                await self._outbox.clear(run_id)

    async def _listening(self, bus: Bus) -> None:
        async for message in bus.messages():
            try:
                await self._hear(message)
            except UndercurrentError:
                raise  # It could not be put on record: it has to come again.
            except Exception:
                _LOG.exception("message_failed", sender=message.sender, kind=message.kind)

    async def _hear(self, message: Message) -> None:
        self._measuring.metrics.message_accepted()
        if message.kind == "statement":
            await self._keeper.receive(
                message.sender, message.topic.run_id, message.content, message.sequence
            )
            return
        status = parse_status(message.content, message.issued)
        if status is None:
            _LOG.warning("status_refused", member=message.sender)
            return
        self._board.note(message.sender, status)
        await self._records.save_status(message.sender, status, message.sequence)

    async def _telling(self, bus: Bus) -> None:
        """Say that this node is there: every half minute, and when something has changed."""
        while True:
            self._is_status_due.clear()
            await self._publish_status(bus, "online")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_EVERY):
                    await self._is_status_due.wait()

    async def _publish_status(self, bus: Bus, state: str) -> None:
        signed = self._scheduler.agreement
        status = own_status(
            state,
            "" if signed is None else signed.hash,
            self._accounts(),
            len(self._keeper.open),
        )
        parsed = parse_status(status, self._clock())
        if parsed is not None:
            self._board.note(self._config.node.id, parsed)
        tail = status_tail(self._config.node.id)
        await bus.publish("status", tail, status, retain=True, lifetime=_STATUS_LIFETIME)

    async def _speaking(self, bus: Bus) -> None:
        """Send the latest standing of each run."""
        while True:
            for run_id, standing in (await self._outbox.taken()).items():
                tail = run_tail(self._config.node.id, run_id)
                if standing is None:
                    await bus.clear(tail)
                    continue
                content, expires = standing
                lifetime = min(max(expires - self._clock(), 0), _LONGEST) + _AFTERLIFE
                try:
                    await bus.publish("statement", tail, content, retain=True, lifetime=lifetime)
                except StatementError as error:
                    # One statement that cannot be sent must not keep the others back.
                    _LOG.error("statement_not_sent", run_id=run_id, code=error.code)

    def _broker(self, signed: SignedAgreement) -> BrokerConfig:
        section = self._config.broker
        if section.url.startswith("mqtt://"):
            return BrokerConfig(url=section.url)
        own = next(m for m in signed.agreement.members if m.id == self._config.node.id)
        credentials = find_credentials(self._config.keys, own.certificate)
        return BrokerConfig(
            url=section.url,
            certificate=section.certificate or credentials.certificate,
            private_key=section.private_key or credentials.private_key,
            authority=section.authority or credentials.authority,
        )

    def member_keys(self) -> dict[str, str]:
        """Return each member's public key, as agreed."""
        signed = self._scheduler.agreement
        return {} if signed is None else {m.id: m.key for m in signed.agreement.members}


def _code_of(error: BaseException) -> str:
    """Return the code of the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(getattr(error, "code", "node.system"))


class _ReplacedError(Exception):
    """Another agreement is in effect."""
