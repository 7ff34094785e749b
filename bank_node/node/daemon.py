"""The daemon of a bank's node: puts the parts together and keeps them going.

One event loop: the bus to the other nodes, a tick a second (due schedules, the runs' moves, the
agreement in effect), a status every half minute, taking in at the configured pace, upkeep once a
day, the control socket and the health page.  It computes nothing itself and holds no payments.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any

import structlog
from prometheus_client import CollectorRegistry

from bank_node.api import api_app
from bank_node.api.server import serve_people
from bank_node.consortium import Book, RunManifest, SignedAgreement
from bank_node.coordination import (
    BrokerConfig,
    Bus,
    Guard,
    Message,
    StatementError,
    run_tail,
    status_tail,
)
from bank_node.desk import Desk, Office, OwnPayments
from bank_node.errors import UndercurrentError
from bank_node.identity import find_credentials
from bank_node.intake import IntakeReport
from bank_node.node.answers import Answers
from bank_node.node.board import Board, own_status, parse_status
from bank_node.node.config import NodeConfig
from bank_node.node.control import serve_control
from bank_node.node.errors import AlreadyRunningError, OtherDatabaseError
from bank_node.node.keeper import RunKeeper
from bank_node.node.measuring import Measuring
from bank_node.node.own_keys import own_key, own_keys
from bank_node.node.records import Entry, Positions, Records, columns_folder
from bank_node.node.runner import WorkerRunner
from bank_node.node.schedule import Scheduler
from bank_node.node.taking import Taking
from bank_node.node.upkeep import upkeep
from bank_node.operation.http import operation_app, serve
from bank_node.operation.logs import LogGuard
from bank_node.store import Database
from bank_node.versions import versions

__all__ = ["Node", "run_node"]

_LOG = structlog.get_logger(__name__)
_SECOND = 1_000_000
_TICK = 0.5
_PAUSE = 5.0
_STUCK = 120.0
_STATUS_EVERY = 30.0
_UPKEEP_EVERY = 3600.0
_STATUS_LIFETIME = 7 * 86_400 * _SECOND
_AFTERLIFE = 86_400 * _SECOND
_LONGEST = 32 * 86_400 * _SECOND


def now_us() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


def run_node(config: NodeConfig, log: LogGuard) -> None:
    """Run the node of a folder until SIGTERM or SIGINT."""
    with _only_one(config.folder):
        asyncio.run(_until_stopped(config, log))


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of the node's folder: two processes would both answer for one member."""
    handle = os.open(folder / "node.lock", os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(handle, "w") as lock:
        _take(lock, folder)
        yield


def _take(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise AlreadyRunningError(
            f"another process runs the node in {folder}", "See undercurrent node status"
        ) from error


async def _until_stopped(config: NodeConfig, log: LogGuard) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Node.started(config) as node:
        log.members = node.member_names
        node.log = log
        await node.until(stop)


class Node:
    """A running node: its parts, and the loops that drive them."""

    def __init__(self, config: NodeConfig, book: Book, records: Records, desk: Desk) -> None:
        self.config = config
        self.desk = desk
        self.records = records
        self.board = Board(config.node.id, now_us)
        self.book = book
        self.runner = WorkerRunner(
            config,
            records.day_files,
            lambda p: columns_folder(config.columns, p),
            records.is_usable,
            desk.outcomes,
        )
        self.bus: Bus | None = None
        self.trouble = ""
        self._ticked = time.monotonic()
        self.log: LogGuard | None = None
        self._accounts: int | None = None
        self._status_due = asyncio.Event()
        self._outgoing: dict[str, tuple[dict[str, Any], int] | None] = {}
        self._something_to_say = asyncio.Event()
        self._payments_due = asyncio.Event()
        self.measuring = Measuring(versions()["undercurrent"])
        self.taking = Taking(config, records, self.runner.data_in_use, now_us, self._grown)
        self.keeper = RunKeeper(
            config,
            records,
            self.runner,
            lambda: own_key(config, book, now_us()),
            lambda: self.scheduler.agreement,
            self._agreement_of,
            self.board.is_online,
            self.board.padded,
            self._publish_run,
            self._clear_run,
            now_us,
            self.measuring.run,
        )
        self.scheduler = Scheduler(
            config.node.id, self.book, records, self.keeper, now_us, self._remove_columns
        )
        self.answers = Answers(
            config,
            records,
            self.keeper,
            self.board,
            self.taking,
            lambda: self.scheduler.agreement,
            lambda: self.scheduler.why_not,
            lambda: self.bus is not None and self.bus.connected,
            book.period,
            now_us,
        )
        self.office = Office(desk, self.answers, config, now_us)

    @classmethod
    @asynccontextmanager
    async def started(cls, config: NodeConfig) -> AsyncIterator["Node"]:
        """Start a node, and stop it in good order when the context is left."""
        for folder in (config.staging, config.columns, config.data_folder, config.agreements):
            folder.mkdir(mode=0o700, exist_ok=True)
        book = Book(config.agreements)
        database = await asyncio.to_thread(Database.open, config.store_url)
        async with AsyncExitStack() as stack:
            stack.callback(database.close)
            records = Records(
                database,
                book,
                lambda: own_key(config, book, now_us()),
                lambda: own_keys(config, book),
            )
            payments = OwnPayments(config, records.day_files, now_us)
            stack.callback(payments.close)
            desk = Desk(config, records, payments, now_us)
            records.on_result = desk
            node = cls(config, book, records, desk)
            await node._take_up()
            api = api_app(node.office)
            await stack.enter_async_context(serve_control(node.answers, config.socket, api))
            await stack.enter_async_context(node._health_page())
            await stack.enter_async_context(node._people_page())
            yield node

    async def until(self, stop: asyncio.Event) -> None:
        """Run all loops until the event; a loop that fails ends the node with its error."""
        loops = [
            asyncio.create_task(self._ticking(), name="ticking"),
            asyncio.create_task(self._on_the_bus(), name="bus"),
            asyncio.create_task(self.taking.for_ever(), name="taking"),
            asyncio.create_task(self._keeping_up(), name="upkeep"),
            asyncio.create_task(self._keeping_payments(), name="payments"),
        ]
        stopping = asyncio.create_task(stop.wait())
        _LOG.info("node_started", node=self.config.node.id)
        try:
            await asyncio.wait([*loops, stopping], return_when=asyncio.FIRST_COMPLETED)
            for loop in loops:
                if loop.done() and loop.get_name() != "taking":
                    loop.result()
            await stopping
        finally:
            await self._say_goodbye()
            for task in [*loops, stopping]:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self.keeper.close()
            with contextlib.suppress(UndercurrentError):  # The database may be what ended it.
                entry = Entry(self.config.node.id, "node.stopped", {})
                await self.records.append(entry, now_us())
            _LOG.info("node_stopped", node=self.config.node.id)

    # Start and end.

    async def _take_up(self) -> None:
        """Come back to where the node was: agreement, sizes, accounts, open runs."""
        owner = await self.records.owner()
        if owner not in ("", self.config.node.id):
            raise OtherDatabaseError(
                f"the database {self.records.database.url} is that of the node {owner}",
                "Give each node a database of its own: [store] url in node.toml",
            )
        await self.records.append(Entry(self.config.node.id, "node.started", {}), now_us())
        self._accounts = await self.records.accounts()
        for member, status in await self.records.statuses():
            self.board.note(member, status)
        await self.scheduler.tick()
        await self.keeper.recover()

    async def _say_goodbye(self) -> None:
        if self.bus is not None and self.bus.connected:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(2):
                    await self._publish_status(self.bus, "offline")

    @asynccontextmanager
    async def _health_page(self) -> AsyncIterator[None]:
        if not self.config.http.port:
            yield
            return
        async with serve(operation_app(self), self.config.http.host, self.config.http.port):
            yield

    @asynccontextmanager
    async def _people_page(self) -> AsyncIterator[None]:
        if not self.config.web.port:
            yield
            return
        async with serve_people(self.office):
            yield

    # Loops.

    async def _ticking(self) -> None:
        while True:
            try:
                await self.scheduler.tick()
                await self.keeper.tick()
                self.trouble = ""
            except UndercurrentError as error:
                # The node goes on: what could not be done is tried again at the next tick.
                if self.trouble != error.code:
                    _LOG.exception("tick_failed", code=error.code)
                self.trouble = error.code
            self._measure()
            self._ticked = time.monotonic()
            await asyncio.sleep(_TICK)

    async def _keeping_up(self) -> None:
        while True:
            await asyncio.sleep(_UPKEEP_EVERY)
            try:
                await upkeep(self.config, self.records, self.runner.data_in_use, now_us)
                open_runs = self.keeper.open.values()
                self.runner.sweep({run.run_id for run in open_runs if not run.own.is_final})
            except UndercurrentError as error:
                _LOG.exception("upkeep_failed", code=error.code)

    async def _keeping_payments(self) -> None:
        """Read the own payments again after each taking in, so that nobody waits for it."""
        while True:
            await self._payments_due.wait()
            self._payments_due.clear()
            try:
                await asyncio.to_thread(self.desk.refresh)
            except UndercurrentError as error:
                # Whoever asks next tries again, and is told.
                _LOG.error("payments_not_read", code=error.code)

    async def _on_the_bus(self) -> None:
        """Be on the bus while there is an agreement; a new agreement is a new connection."""
        while True:
            signed = self.scheduler.agreement
            if signed is None:
                await self.scheduler.changed.wait()
                continue
            try:
                await self._connected(signed)
            except UndercurrentError as error:
                _LOG.error("bus_failed", code=error.code)
                await asyncio.sleep(_PAUSE)

    async def _connected(self, signed: SignedAgreement) -> None:
        bus = Bus(
            self._broker(signed),
            consortium=self.config.node.consortium,
            member=self.config.node.id,
            key=own_key(self.config, self.book, now_us()),
            members=self._member_keys,
            next_sequence=self.records.next_sequence,
            guard=Guard(Positions(self.records.database)),
            clock=now_us,
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
        if self.scheduler.agreement is signed:
            await self.scheduler.changed.wait()
        raise _ReplacedError

    async def _listening(self, bus: Bus) -> None:
        async for message in bus.messages():
            try:
                await self._handle(message)
            except UndercurrentError:
                raise  # It could not be put on record: it has to come again.
            except Exception:
                _LOG.exception("message_failed", sender=message.sender, kind=message.kind)

    async def _handle(self, message: Message) -> None:
        self.measuring.metrics.message_accepted()
        if message.kind == "statement":
            await self.keeper.receive(
                message.sender, message.topic.run_id, message.content, message.sequence
            )
            return
        status = parse_status(message.content, message.issued)
        if status is None:
            _LOG.warning("status_refused", member=message.sender)
            return
        self.board.note(message.sender, status)
        await self.records.save_status(message.sender, status, message.sequence)

    async def _telling(self, bus: Bus) -> None:
        while True:
            self._status_due.clear()
            await self._publish_status(bus, "online")
            await self._measure_slowly()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_EVERY):
                    await self._status_due.wait()

    async def _speaking(self, bus: Bus) -> None:
        """Send the latest standing of each run; the keeper never waits for the broker."""
        while True:
            await self._something_to_say.wait()
            self._something_to_say.clear()
            outgoing, self._outgoing = self._outgoing, {}
            for run_id, told in outgoing.items():
                tail = run_tail(self.config.node.id, run_id)
                if told is None:
                    await bus.clear(tail)
                    continue
                content, expires = told
                lifetime = min(max(expires - now_us(), 0), _LONGEST) + _AFTERLIFE
                try:
                    await bus.publish("statement", tail, content, retain=True, lifetime=lifetime)
                except StatementError as error:
                    # One statement that cannot be sent must not keep the others back.
                    _LOG.error("statement_not_sent", run_id=run_id, code=error.code)

    # What the parts ask of the node.

    def _broker(self, signed: SignedAgreement) -> BrokerConfig:
        section = self.config.broker
        if section.url.startswith("mqtt://"):
            return BrokerConfig(url=section.url)
        own = next(m for m in signed.agreement.members if m.id == self.config.node.id)
        credentials = find_credentials(self.config.keys, own.certificate)
        return BrokerConfig(
            url=section.url,
            certificate=section.certificate or credentials.certificate,
            private_key=section.private_key or credentials.private_key,
            authority=section.authority or credentials.authority,
        )

    def _agreement_of(self, manifest: RunManifest) -> SignedAgreement | None:
        """Return the installed agreement under which a run was proposed."""
        return next((s for s in self.book.versions() if s.hash == manifest.agreement), None)

    def member_names(self) -> set[str]:
        """Return the ids of the members, which may be named in the log."""
        return {self.config.node.id, *self._member_keys()}

    def _member_keys(self) -> dict[str, str]:
        signed = self.scheduler.agreement
        return {} if signed is None else {m.id: m.key for m in signed.agreement.members}

    async def _publish_status(self, bus: Bus, state: str) -> None:
        signed = self.scheduler.agreement
        status = own_status(
            state,
            "" if signed is None else signed.hash,
            self._accounts if self.config.node.role == "bank" else None,
            len(self.keeper.open),
        )
        parsed = parse_status(status, now_us())
        if parsed is not None:
            self.board.note(self.config.node.id, parsed)
        tail = status_tail(self.config.node.id)
        await bus.publish("status", tail, status, retain=True, lifetime=_STATUS_LIFETIME)

    async def _publish_run(self, run_id: str, content: dict[str, Any], expires: int) -> None:
        self._outgoing[run_id] = (content, expires)
        self._something_to_say.set()

    async def _clear_run(self, run_id: str) -> None:
        self._outgoing[run_id] = None
        self._something_to_say.set()

    async def _on_connect(self) -> None:
        self._status_due.set()
        await self.keeper.tell_again()
        for tail in () if self.bus is None else self.bus.standing:
            # Of runs that were over for all before this process began.
            run_id = tail.rpartition("/")[2]
            if tail.startswith("run/") and run_id not in self.keeper.open:
                await self._clear_run(run_id)

    def _grown(self, accounts: int, report: IntakeReport) -> None:
        self.measuring.intake(report)
        self._payments_due.set()
        if accounts != self._accounts:
            self._accounts = accounts
            self._status_due.set()

    def _remove_columns(self) -> None:
        for folder in self.config.columns.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    # What the health page shows.

    @property
    def registry(self) -> CollectorRegistry:
        """The metrics."""
        return self.measuring.metrics.registry

    def health(self) -> list[str]:
        """Reasons to start the process again: none while its loops turn."""
        idle = time.monotonic() - self._ticked
        return [f"the last tick was {idle:.0f} s ago"] if idle > _STUCK else []

    def ready(self) -> list[str]:
        """Reasons why the node takes part in no run now."""
        reasons = []
        if self.scheduler.agreement is None:
            reasons.append(self.scheduler.why_not or "no agreement is in effect")
        if self.bus is None or not self.bus.connected:
            reasons.append("the broker is not connected")
        if self.trouble:
            reasons.append(f"error {self.trouble}: see the log")
        if self.taking.problem:
            reasons.append("the last taking in failed")
        if self.config.node.role == "bank" and self._accounts is None:
            reasons.append("nothing was taken in yet")
        return reasons

    async def _measure_slowly(self) -> None:
        """Measure what takes a look at the database or at files."""
        signed = self.scheduler.agreement
        if signed is None:
            return
        self.measuring.budgets(await self.records.budget_left(signed.agreement, now_us()))
        own = signed.agreement.member(self.config.node.id)
        if own is not None:
            self.measuring.certificates(find_credentials(self.config.keys, own.certificate))

    def _measure(self) -> None:
        runs = self.keeper.open.values()
        running = sum(r.holds_place for r in runs)
        queued = sum(r.own.phase == "consented" for r in runs)
        self.measuring.metrics.runs(running, queued)
        if self.log is not None:
            self.measuring.metrics.log_dropped(self.log.dropped)
        counters = None if self.bus is None else self.bus.counters
        self.measuring.bus(counters, connected=self.bus is not None and self.bus.connected)


def _code_of(error: BaseException) -> str:
    """Return the code of the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(getattr(error, "code", "node.system"))


class _ReplacedError(Exception):
    """Another agreement is in effect."""
