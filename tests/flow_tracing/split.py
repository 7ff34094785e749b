"""Pooled flows, split over owners, and the secure analyses run over them in one process."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flow_tracing.reference import PooledFlows
from graph_mpc.graph import OUTSIDE, LocalGraph
from graph_mpc.program import OwnerInput
from tests.graph_mpc.graphs import key_of
from tests.graph_mpc.local import contexts, roster_of, run_all


@dataclass(frozen=True)
class World:
    """Payments, and the bank of each account, 0 to ``banks`` - 1."""

    flows: PooledFlows
    bank: np.ndarray
    banks: int

    def own(self, b: int) -> np.ndarray:
        """The accounts of a bank, ascending."""
        return np.flatnonzero(self.bank == b)


def random_world(
    rng: np.random.Generator,
    *,
    accounts: int = 12,
    payments: int = 40,
    slices: int = 3,
    banks: int = 3,
    outside: float = 0.1,
) -> World:
    """Payments with cycles, self-payments, hubs and payments from and to banks outside."""
    weights = 1.0 / np.arange(1, accounts + 1)
    ends = [
        np.where(
            rng.random(payments) < outside,
            -1,
            rng.choice(accounts, payments, p=weights / weights.sum()),
        )
        for _ in range(2)
    ]
    inside = (ends[0] >= 0) | (ends[1] >= 0)
    flows = PooledFlows(
        accounts=accounts,
        slices=slices,
        source=ends[0][inside],
        target=ends[1][inside],
        slice=rng.integers(0, slices, payments)[inside],
        amount=np.ceil(np.exp(rng.normal(8, 2, payments)))[inside].astype(np.int64),
        balance=rng.integers(0, 20_000, accounts),
        balance_known=rng.random(accounts) < 0.5,
    )
    return World(flows, rng.integers(0, banks, accounts), banks)


def inputs(world: World, private: dict[int, dict[str, Any]] | None = None) -> list[OwnerInput]:
    """What each bank brings; accounts in ``private`` are numbered over all banks."""
    return [_input(world, b, (private or {}).get(b, {})) for b in range(world.banks)]


def _input(world: World, b: int, private: dict[str, Any]) -> OwnerInput:
    flows, own = world.flows, world.own(b)
    number = {int(v): i for i, v in enumerate(own)}
    foreign: dict[int, int] = {}
    summed: dict[tuple[int, int, int], list[int]] = {}
    rows = zip(flows.source, flows.target, flows.slice, flows.amount, strict=True)
    for source, target, t, amount in rows:
        if int(source) not in number and int(target) not in number:
            continue
        ends = [
            number[int(v)] if int(v) in number else ~foreign.setdefault(int(v), len(foreign))
            for v in (source, target)
        ]
        entry = summed.setdefault((int(t), ends[0], ends[1]), [0, 0])
        entry[0] += int(amount)
        entry[1] += 1
    edges = sorted(summed)
    column = lambda i, dtype: np.array([e[i] for e in edges], dtype)  # noqa: E731
    keys = lambda ids: np.frombuffer(  # noqa: E731
        b"".join(key_of(int(world.bank[v]) if v >= 0 else 99, v) for v in ids), np.uint8
    ).reshape(-1, 32)
    names = tuple(f"p{i}" for i in range(world.banks))
    graph = LocalGraph(
        names[b],
        names,
        keys(own.tolist()),
        np.array([world.bank[v] if v >= 0 else OUTSIDE for v in foreign], np.int16),
        keys(list(foreign)),
        column(1, np.int32),
        column(2, np.int32),
        column(0, np.int32),
        np.array([summed[e][0] for e in edges], np.int64),
        np.array([summed[e][1] for e in edges], np.int64),
        flows.slices,
    )
    vertex = {
        "balance": flows.balance[own],
        "balance_known": flows.balance_known[own],
        "in_scope": np.ones(len(own), np.bool_),
        "risk_score": np.zeros(len(own)),
    }
    local = {"sources": [np.array([number[int(v)] for v in q]) for q in private.get("sources", [])]}
    return OwnerInput(graph, vertex, local)


def run_secure(
    world: World,
    parties: int,
    program: Any,
    private: dict[int, dict[str, Any]] | None = None,
) -> list[Any]:
    """Run ``program(ctx, own)`` at all parties and return what each returned."""
    roster = roster_of(parties, world.banks)
    own = inputs(world, private)

    async def one(ctx: Any) -> Any:
        return await program(ctx, own[ctx.me] if ctx.me < world.banks else None)

    return asyncio.run(run_all(contexts(roster), one))


def pooled_table(
    world: World, outcomes: Sequence[Any], depth: int | None = None
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Each asking bank's (received, returned) of each trace: (traces, T, n[, D]), minor units."""
    result = {}
    for b in range(world.banks):
        table = outcomes[b].table
        if table is None:
            continue
        traces = outcomes[b].padded_sizes["traces"][f"p{b}"]
        shape = (traces, world.flows.slices, world.flows.accounts, depth or 1)
        both = np.zeros((2, *shape))
        place = table.get("depth", np.ones(len(table["vertex"]), np.int64)) - 1
        vertex = world.own(b)[table["vertex"]]
        index = (table["kind"], table["trace"], table["slice"], vertex, place)
        np.add.at(both, index, table["amount"])
        result[b] = (both[0], both[1]) if depth else (both[0, ..., 0], both[1, ..., 0])
    return result
