"""Whole runs of secure PageRank: real with all views kept, simulated, and replayed from a view."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label, message_tag
from graph_mpc.policy import EXACT
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.shares import Shared
from pagerank import PageRankParameters, secure_pagerank
from tests.graph_mpc.graphs import Payments, TrustedScalars
from tests.graph_mpc.ideal import Ideal, Offsets, World, knowledge_of
from tests.graph_mpc.local import Memory, MemoryTransport, run_all
from tests.graph_mpc.simulator import (
    RecordingStreams,
    SimulatedScalars,
    SimulatedStreams,
    Simulator,
    View,
    WatchedScalars,
    context_of,
    fresh_seeds,
    low_bits,
    watched_shares,
)


@dataclass(frozen=True)
class RealRun:
    """Outcomes and contexts of all parties."""

    world: World
    outcomes: list[Outcome]
    contexts: list[Context]

    def view(self, party: int) -> View:
        """Return all that a party had."""
        view = self.contexts[party].streams.view
        assert isinstance(view, View)
        return view

    def offsets(self) -> Offsets:
        """Return the offsets of the run's truncations, which the dealers drew."""

        def recorded(label: Label, _shape: tuple[int, ...], shifts: np.ndarray) -> np.ndarray:
            owner = int(label[1] if label[0] == "normalise" else label[-1])
            h1, dealer = self.world.roster.helpers(owner)
            drew = self.view(dealer).entries
            masks = [drew["drew", p, (*label, e)] for p, e in ((owner, "rb"), (h1, "rh"))]
            return (masks[0] + masks[1]) & low_bits(shifts)

        return recorded


def small_world(parties: int, owners: int, **parameters: Any) -> World:
    """Two accounts per bank, payments inside and between banks, one known to one bank only."""
    rng = np.random.default_rng(11)
    accounts, edges = 2 * owners, 4 * owners
    source, target = rng.integers(0, accounts, (2, edges))
    bank = np.arange(accounts) % owners
    payments = Payments(accounts, bank, source, target, rng.integers(1, 100, edges))
    foreign = np.flatnonzero(bank[source] != bank[target])
    omit = frozenset({(int(bank[target[foreign[0]]]), int(foreign[0]))})
    chosen = PageRankParameters(**{"iterations": 2, **parameters})
    return World(payments, parties, owners, chosen, omit)


def own_input(world: World, party: int) -> OwnerInput | None:
    """Return what a party brings; nothing for a compute party."""
    if party >= world.owners:
        return None
    return OwnerInput(world.graphs()[party], {"risk_score": world.risk(party)})


def run_party(world: World, ctx: Context, scalars: Any) -> Any:
    """Return the party's program, to be awaited."""
    own = own_input(world, ctx.me)
    return secure_pagerank(ctx, WatchedScalars(scalars), world.parameters, EXACT, own)


def pair_seeds(party: int, parties: int, seed: int) -> dict[int, bytes]:
    """Return the seeds of a real run as one party has them."""
    pairs = {p: (min(party, p), max(party, p)) for p in range(parties)}
    return {p: hashlib.sha256(repr((seed, pair)).encode()).digest() for p, pair in pairs.items()}


def real_run(
    world: World, seed: int, streams: type[RecordingStreams] = RecordingStreams
) -> RealRun:
    """Run all parties in memory."""

    async def run() -> RealRun:
        memory, m = Memory(), world.parties
        contexts = [
            context_of(
                me,
                world.roster,
                streams(me, pair_seeds(me, m, seed), View()),
                MemoryTransport(me, memory),
            )
            for me in range(m)
        ]
        scalars = TrustedScalars(m, np.random.default_rng(seed))
        outcomes = await run_all(contexts, lambda ctx: run_party(world, ctx, scalars))
        return RealRun(world, outcomes, contexts)

    with watched_shares():
        return asyncio.run(run())


def simulated_run(ideal: Ideal, party: int, seed: int) -> tuple[View, Outcome]:
    """Run one party alone, on what the ideal functionality tells it."""
    world, known = ideal.world, knowledge_of(ideal, party)
    rng = np.random.default_rng((seed, party, 1))
    view = View()
    streams = SimulatedStreams(party, fresh_seeds(world.parties, rng), view, known)
    simulator = Simulator(party, world.roster, known, rng, view)
    ctx = context_of(party, world.roster, streams, simulator)

    async def run() -> Outcome:
        return await run_party(world, ctx, SimulatedScalars(known, rng))

    with watched_shares():
        return view, asyncio.run(run())


class Replay:
    """A transport and joint scalars that give out what a party's view holds."""

    def __init__(self, view: View, accounts: int) -> None:
        received = view.of("received")
        self.messages = {(p, message_tag(label)): v for (p, label), v in received.items()}
        self.scalars = view.of("scalars")
        self.accounts = accounts

    def post(self, peer: int, tag: int, payload: np.ndarray) -> None:
        """Nobody is there to receive it."""

    async def fetch(self, peer: int, tag: int, nbytes: int) -> np.ndarray:
        return self.messages[peer, tag].reshape(-1).view(np.uint8)

    async def total(self, _ctx: Context, _value: int) -> int:
        return self.accounts

    async def reciprocal(self, ctx: Context, label: Label, _part: Any, _scale: Any) -> Any:
        return {
            owner: Shared(
                owner, ctx.roster.helpers(owner)[0], (2,), self.scalars.get((owner, label))
            )
            for owner in ctx.roster.owners
        }


def replayed_run(real: RealRun, party: int, seed: int) -> tuple[View, Outcome]:
    """Run one party again, on nothing but its view."""
    world = real.world
    replay = Replay(real.view(party), len(world.payments.bank))
    streams = RecordingStreams(party, pair_seeds(party, world.parties, seed), View())
    ctx = context_of(party, world.roster, streams, replay)

    async def run() -> Outcome:
        return await run_party(world, ctx, replay)

    with watched_shares():
        return streams.view, asyncio.run(run())
