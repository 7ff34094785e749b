"""Nodes of a consortium in one process: real keepers and databases, workers and bus made up.

A worker computes until the test ends it (or at once, or by chance).  The bus hands statements on by
the rules of the real one, the latest of each topic at most once; it can lose, double, delay and
reorder them.  The clock is the test's.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bank_node.consortium import (
    Book,
    RunManifest,
    SignedAgreement,
    proposed_manifest,
    sign_manifest,
)
from bank_node.consortium.drafting import render
from bank_node.errors import UndercurrentError
from bank_node.intake import DataConfig
from bank_node.node.compute import StagedResult
from bank_node.node.config import MemberSection, NodeConfig, PolicySection, RunsSection
from bank_node.node.keeper import RunKeeper
from bank_node.node.open_run import OpenRun
from bank_node.node.records import Records
from bank_node.node.statement import Progress, Statement
from bank_node.store import Database, audit, ledger, results
from bank_node.store.errors import UnavailableError
from tests.bank_node.consortium.consortium import NOW, SECOND, Consortium

BANDS = "bands:0.2,0.5,0.8"
SHARE = "threshold:0.01:0.01"
RISK = {"delta": "0.3", "iterations": "2", "since": "2026-10-25", "until": "2026-11-24"}
TRACE = {"traces": "A=1", "hops": "2", "since": "2026-11-23", "until": "2026-11-24"}
SIZES = {"A": 107, "B": 118, "C": 130, "D": 143, "E": 158}
_SHORT = 200


@dataclass(frozen=True)
class Maker:
    """What all worlds have in common: keys, certificates, and an empty database."""

    consortium: Consortium
    database: Path

    def among(self, names: str) -> Consortium:
        """The consortium of these members only."""
        seats = {name: self.consortium.seats[name] for name in names}
        rules = [r | {"who": "all"} for r in self.consortium.terms["analyses"]]
        budgets = {"period": "month", "bits": 100_000, "banks": {}}
        terms = self.consortium.terms | {"analyses": rules, "budgets": budgets, "schedules": []}
        return Consortium(self.consortium.authority, seats, terms)


@dataclass
class Disk:
    """What a member's workers have left, which survives its node."""

    staged: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)


class Listener:
    """Stands for a listening socket: the ports of the range may be taken on this machine."""

    def __init__(self, port: int) -> None:
        self.port, self.is_closed = port, False

    def getsockname(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    def close(self) -> None:
        """Listen no more."""
        self.is_closed = True


class Workers:
    """A runner whose workers end when the test says so."""

    def __init__(self, name: str, disk: Disk, ports: tuple[int, int]) -> None:
        self.disk = disk
        self.auto = self.is_idle = True
        self.ports = ports[1]
        self.sizes: dict[str, int] = {}
        self.started: list[tuple[str, int]] = []
        self.private: dict[str, Mapping[str, Any]] = {}
        self.agreements: list[str] = []
        self.ending: dict[str, asyncio.Future[None]] = {}
        self.progress: dict[str, Callable[[Progress], None]] = {}
        self._name, self._range = name, ports
        self._listening: list[Listener] = []

    def listen(self) -> Listener:
        """Give a port of the member's range, if one is free."""
        first, _count = self._range
        used = {listener.port for listener in self._listening if not listener.is_closed}
        free = [port for port in range(first, first + self.ports) if port not in used]
        if not free:
            raise OSError("no port")
        self._listening.append(Listener(free[0]))
        return self._listening[-1]

    def is_free(self) -> bool:
        """Whether a worker could read now."""
        return self.is_idle

    def sweep(self, runs: Collection[str]) -> None:
        """Forget what attempts of other runs have left."""
        for key in [k for k in self.disk.staged if k[0] not in runs]:
            del self.disk.staged[key]

    async def compute(
        self, run: OpenRun, signed: SignedAgreement, on_progress: Callable[[Progress], None]
    ) -> dict[str, Any]:
        """Compute until ``finish`` or ``fail``."""
        attempt = run.own.attempt
        self.started.append((run.run_id, attempt))
        self.private[run.run_id] = run.private
        self.agreements.append(signed.hash)
        self.progress[run.run_id] = on_progress
        end = asyncio.get_running_loop().create_future()
        self.ending[run.run_id] = end
        try:
            if not self.auto:
                await end
            report = self._report(run)
            self.disk.staged[run.run_id, attempt] = report
        finally:
            if run.listener is not None:
                run.listener.close()
        return report

    def finish(self, run_id: str) -> None:
        """Let a worker end well."""
        self.ending[run_id].set_result(None)

    def fail(self, run_id: str, error: Exception) -> None:
        """Let a worker end with an error."""
        self.ending[run_id].set_exception(error)

    def staged(self, run: OpenRun) -> Mapping[str, Any] | None:
        """The report on disk."""
        return self.disk.staged.get((run.run_id, run.own.attempt))

    def result(self, run: OpenRun) -> StagedResult:
        """One account with the number of the attempt as its value."""
        self.disk.staged[run.run_id, run.own.attempt]
        if run.manifest.prepare_runs:
            return StagedResult(None, None, None)
        values = pa.array([float(run.own.attempt)])
        return StagedResult(pa.array([f"{self._name}-1"]), values.to_numpy(), None)

    def drop(self, run: OpenRun) -> None:
        """Forget what the run's attempts left."""
        for key in [k for k in self.disk.staged if k[0] == run.run_id]:
            del self.disk.staged[key]

    def _report(self, run: OpenRun) -> dict[str, Any]:
        bits = run.bits.get(self._name, 0)
        return {
            "disclosed_bits": bits,
            "released": {"bits": bits, "values": bits // 2},
            "padded_sizes": {"accounts": SIZES | self.sizes},
            "iterations": 2,
            "seconds": {"total": 1.5},
            "bytes_sent": {"all_with_framing": 1000},
        }


class Faulty(Records):
    """The node's database, which can be away."""

    away = False

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """Save, or fail as a database that is not reached."""
        self._fail_if_away()
        return super().save(*args, **kwargs)

    def save_peer(self, *args: Any, **kwargs: Any) -> Any:
        """Save, or fail as a database that is not reached."""
        self._fail_if_away()
        return super().save_peer(*args, **kwargs)

    def _fail_if_away(self) -> None:
        if self.away:
            raise UnavailableError("node.db: cannot be used", "Check it")


class Member:
    """One node: what survives it (folder, disk, number of messages), and what does not."""

    def __init__(self, world: World, name: str, policy: PolicySection, runs: RunsSection) -> None:
        self.world, self.name = world, name
        self.folder = world.folder / name
        self.folder.mkdir()
        shutil.copy(world.maker.database, self.folder / "node.db")
        self.disk, self.sequence, self.positions = Disk(), 0, {}
        self.retained: dict[str, tuple[int, dict[str, Any]]] = {}
        self.is_up = self.seems_up = False
        self.seat = world.maker.consortium.seats[name]
        self.agreement: SignedAgreement | None = world.signed
        self.sizes = {n: SIZES[n] for n in world.names}
        data = DataConfig(source="csv", folder=self.folder)
        section = MemberSection(id=name, consortium="nordic")
        self.config = NodeConfig(
            folder=self.folder, node=section, data=data, policy=policy, runs=runs
        )
        self.spoken = 0

    @property
    def is_online(self) -> bool:
        """Whether the others hear of it."""
        return self.is_up or self.seems_up

    async def up(self) -> None:
        """Start, or start again after ``kill``."""
        self.database = Database.open(f"sqlite:///{self.folder / 'node.db'}")
        keys = [self.seat.key.public]
        self.records = Faulty(self.database, self.world.book, lambda: self.seat.key, lambda: keys)
        old = getattr(self, "workers", None)
        self.workers = Workers(self.name, self.disk, self.seat.entry["ports"])
        self.workers.auto = self.world.auto if old is None else old.auto
        self.keeper = RunKeeper(
            self.config,
            self.records,
            self.workers,
            lambda: self.seat.key,
            lambda: self.agreement,
            self._agreement_of,
            lambda name: self.world.members[name].is_online,
            lambda: self.sizes,
            self._publish,
            self._clear,
            self.world.clock,
        )
        self.is_up = True
        await self.keeper.recover()

    async def kill(self) -> None:
        """Die in the middle of whatever it does: nothing more is said or written."""
        self.is_up = False
        await self.keeper.close()
        self.database.close()

    async def restart(self) -> None:
        """Die and come back, connected."""
        await self.kill()
        await self.up()
        await self.connect()

    async def connect(self) -> None:
        """Say all again, and hear what the broker keeps of the others."""
        await self.keeper.tell_again()
        for other in self.world.members.values():
            for run_id, (number, content) in list(other.retained.items()):
                if other is not self:
                    self.world.under_way.append((other.name, self.name, run_id, number, content))

    async def hear(self, sender: str, run_id: str, number: int, content: dict[str, Any]) -> None:
        """Handle a message unless a later one was handled; one that fails will come again."""
        if not self.is_up or number <= self.positions.get((sender, run_id), 0):
            return
        try:
            await self.keeper.receive(sender, run_id, content, number)
        except UndercurrentError:
            self.world.under_way.append((sender, self.name, run_id, number, content))
            return
        self.positions[sender, run_id] = number

    def _agreement_of(self, manifest: RunManifest) -> SignedAgreement | None:
        installed = [s for s in (self.world.signed, self.agreement) if s is not None]
        return next((s for s in installed if s.hash == manifest.agreement), None)

    async def _publish(self, run_id: str, content: dict[str, Any], _expires: int) -> None:
        self.spoken += 1
        self.sequence += 1
        self.retained[run_id] = (self.sequence, content)
        self.world.send(self.name, run_id, self.sequence, content)

    async def _clear(self, run_id: str) -> None:
        self.retained.pop(run_id, None)

    # What tests ask of it.

    def phase(self, run_id: str) -> str:
        """Phase of an open run here."""
        return self.keeper.open[run_id].own.phase

    async def kept(self, run_id: str) -> OpenRun:
        """A run as it stands in the database."""
        run = await self.records.run(run_id, self.name)
        assert run is not None
        return run

    async def stored(self, run_id: str) -> list[list[Any]]:
        """Rows of the stored result."""
        return (await self.records.result(run_id)).rows

    def actions(self, run_id: str) -> list[str]:
        """What the audit log says of a run."""
        with self.database.read() as session:
            return [e.action for e in audit.entries(session, run_id=run_id)]

    def persons(self, run_id: str) -> dict[str, str]:
        """Who did what, by the audit log."""
        with self.database.read() as session:
            return {e.action: e.actor for e in audit.entries(session, run_id=run_id)}

    def spent(self) -> dict[str, int]:
        """Bits charged to each bank in November."""
        with self.database.read() as session:
            return ledger.spent(session, "2026-11")

    def charges(self, run_id: str) -> list[tuple[int, str]]:
        """Attempts and banks that were charged for a run."""
        with self.database.read() as session:
            found = ledger.charges(session)
        return sorted((c.attempt, c.bank) for c in found if c.run_id == run_id)

    def scores(self, run_id: str) -> int:
        """Number of stored scores of a run."""
        with self.database.read() as session:
            return results.scores_of(session, run_id).num_rows


class World:
    """Members, a clock, and messages under way."""

    def __init__(self, maker: Maker, folder: Path, names: str, seed: int = 0, **terms: Any) -> None:
        self.maker, self.folder, self.names = maker, folder, names
        self.consortium = maker.among(names)
        self.signed = self.consortium.signed(**terms)
        self.book = Book(folder / "agreements")
        written = folder / "agreement.toml"
        written.write_text(render(self.signed))
        self.book.install(written)
        self.now, self.auto = NOW, True
        self.random = random.Random(seed)
        self.lossy = False
        self.under_way: list[tuple[str, str, str, int, dict[str, Any]]] = []
        self.policies: dict[str, PolicySection] = {}
        self.runs = RunsSection()
        self.members: dict[str, Member] = {}

    def clock(self) -> int:
        """The time here."""
        return self.now

    async def start(self) -> None:
        """Start all members."""
        for name in self.names:
            policy = self.policies.get(name, PolicySection())
            self.members[name] = Member(self, name, policy, self.runs)
            await self.members[name].up()

    async def end(self) -> None:
        """Stop all members."""
        for member in self.members.values():
            if member.is_up:
                await member.kill()

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def propose(self, proposer: str = "A", **changes: Any) -> RunManifest:
        """A risk propagation that is allowed, with some fields changed."""
        manifest = proposed_manifest(
            self.signed, proposer, "risk-propagation", RISK, BANDS, self.now
        )
        self.now += 1  # The queue is by time.
        return RunManifest.model_validate(manifest.model_dump() | changes)

    async def begin(self, proposer: str = "A", **changes: Any) -> str:
        """Let a member propose it, and return its id."""
        manifest = self.propose(proposer, **changes)
        await self[proposer].keeper.begin(manifest, "ada")
        return manifest.run_id

    async def say(
        self, sender: str, receiver: str, manifest: RunManifest, statement: Statement
    ) -> None:
        """Let a member's node say something that the real one would not."""
        member = self[sender]
        member.sequence += 1
        content = statement.content() | {"manifest": manifest.canonical().decode()}
        await self[receiver].hear(sender, manifest.run_id, member.sequence, content)

    def signed_by(self, name: str, manifest: RunManifest, phase: Any, **fields: Any) -> Statement:
        """A statement with a member's true signature."""
        signature = sign_manifest(self[name].seat.key, manifest)
        return replace(Statement(phase, signature=signature), **fields)

    def send(self, sender: str, run_id: str, number: int, content: dict[str, Any]) -> None:
        """Put a message on its way to all the others; some are lost, some doubled."""
        for other in self.members:
            if other == sender or (self.lossy and self.random.random() < 0.15):
                continue
            for _copy in range(1 + (self.lossy and self.random.random() < 0.15)):
                self.under_way.append((sender, other, run_id, number, content))

    async def deliver(self) -> None:
        """Deliver one message; in disorder if the bus is lossy."""
        index = self.random.randrange(len(self.under_way)) if self.lossy else 0
        sender, receiver, *rest = self.under_way.pop(index)
        await self[receiver].hear(sender, *rest)

    async def quiet(self) -> None:
        """Go on until nothing is under way and no worker is about to end; the clock stands."""
        for _round in range(_SHORT):
            await self.deliver_all()
            tasks = [
                run.task
                for member in self.members.values()
                if member.is_up
                for run in member.keeper.open.values()
                if run.task is not None
                and (member.workers.auto or self._is_ending(member, run.run_id))
            ]
            if not tasks and not self.under_way:
                return
            await asyncio.wait(tasks, timeout=5)
        raise AssertionError("the nodes talk for ever")

    async def deliver_all(self) -> None:
        """Deliver what is under way, and what that brings about."""
        for _message in range(5000):
            if not self.under_way:
                return
            await self.deliver()

    @staticmethod
    def _is_ending(member: Member, run_id: str) -> bool:
        end = member.workers.ending.get(run_id)
        return end is not None and end.done()

    async def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and everybody look at the clock."""
        self.now += round(seconds * SECOND)
        for member in self.members.values():
            if member.is_up:
                await member.keeper.tick()
        await self.quiet()

    async def forget(self) -> None:
        """Let so much time pass that runs that are over for all need not be remembered."""
        for _time in range(3):
            await self.tick(40)

    async def until_over(self, run_id: str, times: int = 120, step: int = 1) -> list[str]:
        """Let time pass until a run is over for all; return how it ended for each."""
        for _time in range(times):
            await self.tick(step)
            here = [m.keeper.open.get(run_id) for m in self.members.values()]
            if all(run is None or run.own.is_final for run in here):
                return [(await m.kept(run_id)).own.phase for m in self.members.values()]
        raise AssertionError(f"not over: {[run and run.own for run in here]}")
