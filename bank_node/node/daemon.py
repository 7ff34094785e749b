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
from typing import IO

import structlog

from bank_node.api import api_app
from bank_node.api.server import serve_people
from bank_node.consortium import Book, RunManifest, SignedAgreement
from bank_node.desk import Desk, Office, OwnPayments
from bank_node.errors import UndercurrentError
from bank_node.intake import IntakeReport
from bank_node.node.answers import Answers
from bank_node.node.board import Board
from bank_node.node.config import NodeConfig
from bank_node.node.control import serve_control
from bank_node.node.conversation import Conversation, Outbox
from bank_node.node.errors import AlreadyRunningError, OtherDatabaseError
from bank_node.node.health import Health
from bank_node.node.keeper import RunKeeper
from bank_node.node.measuring import Measuring
from bank_node.node.own_keys import own_key, own_keys
from bank_node.node.records import Entry, Records, columns_folder
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
_TICK = 0.5
_UPKEEP_EVERY = 3600.0
_LOOK_UP_EVERY = 30.0


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
        node.health.log = log
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
        self._accounts: int | None = None
        self._payments_due = asyncio.Event()
        self.measuring = Measuring(versions()["undercurrent"])
        self.taking = Taking(config, records, self.runner.data_in_use, now_us, self._grown)
        outbox = Outbox()
        self.keeper = RunKeeper(
            config,
            records,
            self.runner,
            lambda: own_key(config, book, now_us()),
            lambda: self.scheduler.agreement,
            self._agreement_of,
            self.board.is_online,
            self.board.padded,
            outbox.put,
            outbox.clear,
            now_us,
            self.measuring.run,
        )
        self.scheduler = Scheduler(
            config.node.id, self.book, records, self.keeper, now_us, self._remove_columns
        )
        self.conversation = Conversation(
            config,
            book,
            records,
            self.board,
            self.scheduler,
            self.keeper,
            outbox,
            self.measuring,
            self._own_accounts,
            now_us,
        )
        self.health = Health(
            config,
            records,
            self.scheduler,
            self.keeper,
            self.taking,
            self.conversation,
            self.measuring,
            self._own_accounts,
            now_us,
        )
        self.answers = Answers(
            config,
            records,
            self.keeper,
            self.board,
            self.taking,
            lambda: self.scheduler.agreement,
            lambda: self.scheduler.why_not,
            lambda: self.conversation.is_connected,
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
            if config.http.port:
                page = operation_app(node.health)
                await stack.enter_async_context(serve(page, config.http.host, config.http.port))
            if config.web.port:
                await stack.enter_async_context(serve_people(node.office))
            yield node

    async def until(self, stop: asyncio.Event) -> None:
        """Run all loops until the event; a loop that fails ends the node with its error."""
        loops = [
            asyncio.create_task(self._ticking(), name="ticking"),
            asyncio.create_task(self.conversation.for_ever(), name="bus"),
            asyncio.create_task(self.taking.for_ever(), name="taking"),
            asyncio.create_task(self._keeping_up(), name="upkeep"),
            asyncio.create_task(self._keeping_payments(), name="payments"),
            asyncio.create_task(self._looking_up(), name="numbers"),
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
            await self.conversation.say_goodbye()
            for task in [*loops, stopping]:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await self.keeper.close()
            with contextlib.suppress(UndercurrentError):  # The database may be what ended it.
                entry = Entry(self.config.node.id, "node.stopped", {})
                await self.records.append(entry, now_us())
            _LOG.info("node_stopped", node=self.config.node.id)

    def member_names(self) -> set[str]:
        """Return the ids of the members, which may be named in the log."""
        return {self.config.node.id, *self.conversation.member_keys()}

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

    # Loops.

    async def _ticking(self) -> None:
        while True:
            try:
                await self.scheduler.tick()
                await self.keeper.tick()
                self.health.trouble = ""
            except UndercurrentError as error:
                # The node goes on: what could not be done is tried again at the next tick.
                if self.health.trouble != error.code:
                    _LOG.exception("tick_failed", code=error.code)
                self.health.trouble = error.code
            self.health.ticked()
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

    async def _looking_up(self) -> None:
        """Keep the numbers that have to be looked up: at once under another agreement."""
        while True:
            changed = self.scheduler.changed
            try:
                await self.health.look_up()
            except (UndercurrentError, OSError):
                # A certificate that is just being replaced, for example.
                _LOG.exception("numbers_not_read")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_UP_EVERY):
                    await changed.wait()

    # What the parts ask of the node.

    def _agreement_of(self, manifest: RunManifest) -> SignedAgreement | None:
        """Return the installed agreement under which a run was proposed."""
        return next((s for s in self.book.versions() if s.hash == manifest.agreement), None)

    def _own_accounts(self) -> int | None:
        return self._accounts if self.config.node.role == "bank" else None

    def _grown(self, accounts: int, report: IntakeReport) -> None:
        self.measuring.intake(report)
        self._payments_due.set()
        if accounts != self._accounts:
            self._accounts = accounts
            self.conversation.say_status()

    def _remove_columns(self) -> None:
        for folder in self.config.columns.iterdir():
            shutil.rmtree(folder, ignore_errors=True)
