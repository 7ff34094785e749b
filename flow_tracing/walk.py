r"""The walk of several questions through all slices, H hops in each: the secure core.

State is the input of the next hop, z = w x, nothing at the start.  In each slice

    y = A z of the hop, moved to one payment more, plus what the sources pay (known to who asks)
    x = y added up per account, plus in the last hop what was kept of the slice's inputs
    z = w x, where w is 0 at the sources: what arrives there is recorded and goes no further

and what arrived is x, less what was kept.  What a source pays is not walked through A: who asks
knows it, adds it to the rows in plain, and scales it so that all its payments add up to 1; so
nothing public depends on the amount, and neither a balance nor a cap enters the bound.

Two rounds for each hop.  What each party sees: what the engine's steps show.

Source: protocol design, section 4 and 5; docs/decisions/flows-through-totals.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flow_tracing.flows import Injections
from graph_mpc.absorption import PrivateMasks, absorb, send_masked_shares
from graph_mpc.context import Context
from graph_mpc.flow import (
    Columns,
    FlowBlock,
    FlowSizes,
    FlowSystem,
    KeptBlock,
    Prepared,
    apply_hop,
    collect,
    keep,
)
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["Arrivals", "Masked", "Plan", "PreparedFlows", "added_up", "input_shares", "walk"]

Masked = dict[int, Words | None]
"""For each owner h1's share of an input, at both helpers."""


class PreparedFlows(Protocol):
    """Where prepared hops come from: this run, or a store that an earlier one filled."""

    async def system(self, ctx: Context, t: int) -> FlowSystem:
        """Return a slice."""
        ...

    def groups(self, t: int) -> Sequence[int]:
        """Return how many hops are prepared together, group by group."""
        ...

    async def hops(self, ctx: Context, t: int, group: int, first: Masked | None) -> FlowBlock:
        """Return a group of hops; ``first`` is None if the first hop has no input."""
        ...

    async def kept(self, ctx: Context, t: int, inputs: Masked) -> KeptBlock:
        """Return what is needed for what a slice keeps."""
        ...


@dataclass(frozen=True)
class Plan:
    """What is walked.

    Attributes:
        slices: T.
        hops: H in each slice.
        columns: who asks in which column.
        masks: for each owner that asks its private masks.
        injections: at an owner that asks: what its sources pay in slice t; None elsewhere.
        by_slice: whether what arrived is wanted slice by slice.
        progress: called after each hop.
    """

    slices: int
    hops: int
    columns: Columns
    masks: dict[int, PrivateMasks]
    injections: Callable[[int], Injections] | None
    by_slice: bool
    progress: Callable[[], None]


@dataclass
class Arrivals:
    """What arrived, in {owner, h1} of each owner that asks, in its columns.

    Attributes:
        by_slice: for each owner, per slice, (vertices, W_b); empty if it is not wanted.
        total: for each owner the totals of all hops, (vertices, W_b), what was kept included.
        share: h1's share of ``total``, at both helpers.
        left: for each owner, what left the graph there, (W,).
        held: for each owner what its vertices hold at the end, (vertices, W).
    """

    by_slice: dict[int, list[Shared]]
    total: dict[int, Shared]
    share: Masked
    left: dict[int, Shared]
    held: dict[int, Shared]


async def walk(ctx: Context, plan: Plan, prepared: PreparedFlows, sizes: FlowSizes) -> Arrivals:
    """Walk all slices and return what arrived."""
    walking = _Walk(ctx, plan, prepared, sizes)
    for t in range(plan.slices):
        with ctx.phase("setup"):
            walking.system = await prepared.system(ctx, t)
        await walking.walk_slice(t)
    if walking.z is not None:
        walking.arrivals.held = walking.z
    return walking.arrivals


class _Walk:
    """A walk on its way: the input of the next hop, and what arrived so far.

    ``z`` is None while nothing has been paid yet; ``r`` is h1's share of it.  ``inputs`` and
    ``shares`` add up the inputs of the slice.
    """

    system: FlowSystem

    def __init__(self, ctx: Context, plan: Plan, prepared: PreparedFlows, sizes: FlowSizes) -> None:
        self.ctx, self.plan, self.prepared = ctx, plan, prepared
        self.z: dict[int, Shared] | None = None
        self.r: Masked | None = None
        self.inputs: dict[int, Shared] | None = None
        self.shares: Masked | None = None
        self.arrivals = _nothing(ctx, plan, sizes)

    async def walk_slice(self, t: int) -> None:
        """Walk the hops of a slice, group by group."""
        self.inputs, self.shares = None, None
        arrived: list[dict[int, Shared]] = []
        groups = self.prepared.groups(t)
        for group, count in enumerate(groups):
            is_last = group == len(groups) - 1
            with self.ctx.phase("prepare"):
                block = await self.prepared.hops(self.ctx, t, group, self.r)
                keeping = await self._prepare_kept(block, t) if is_last else None
            with self.ctx.phase("apply"):
                for i in range(count):
                    last = keeping if is_last and i == count - 1 else None
                    starts = group == 0 and i == 0
                    arrived.append(await self._hop(block, i, t if starts else None, last))
                    self.plan.progress()
        if self.plan.by_slice:
            for b, slices in self.arrivals.by_slice.items():
                slices.append(_add_up(self.plan, b, arrived))

    async def _hop(
        self, block: FlowBlock, i: int, starts: int | None, keeping: KeptBlock | None
    ) -> dict[int, Shared]:
        """Take one hop and return what arrived; ``starts`` is the slice that begins with it."""
        y, kept = await self._pay(block, i, keeping)
        if self.plan.columns.depth > 1:
            deeper = self.plan.columns.deeper
            y = {b: rows.map(deeper, rows.shape) for b, rows in y.items()}
        if starts is not None and self.plan.injections is not None:
            me = self.ctx.me
            y[me] = _inject(me, self.plan.columns, self.plan.injections(starts), y[me])
        self._send_masked_shares(block, i)
        x = await collect(self.ctx, self.system, block, i, y, kept)
        self._record(block.steps[i], x, y)
        await self._absorb(block, i, x)
        return x if kept is None else _less(x, kept)

    async def _pay(
        self, block: FlowBlock, i: int, keeping: KeptBlock | None
    ) -> tuple[dict[int, Shared], dict[int, Shared] | None]:
        """Return the rows of the hop and, in the last one, what the slice's inputs keep."""
        ctx, columns = self.ctx, self.plan.columns
        if self.z is None or self.r is None:
            sizes = self.system.sizes
            shapes = {b: (sizes.shape(b, 1).outputs, columns.width) for b in ctx.roster.owners}
            return {b: _zeros(ctx, b, shape) for b, shape in shapes.items()}, None
        self._add_input(self.z, self.r)
        if keeping is None or self.inputs is None:
            return await apply_hop(ctx, self.system, block, i, columns, self.z), None
        return await asyncio.gather(
            apply_hop(ctx, self.system, block, i, columns, self.z),
            keep(ctx, self.system, keeping, self.inputs),
        )

    def _add_input(self, z: dict[int, Shared], r: Masked) -> None:
        """Count the input of a hop to those of the slice."""
        if self.inputs is None or self.shares is None:
            self.inputs, self.shares = dict(z), dict(r)
        else:
            self.inputs = {b: self.inputs[b] + x for b, x in z.items()}
            self.shares = added_up([self.shares, r])

    async def _prepare_kept(self, block: FlowBlock, t: int) -> KeptBlock | None:
        """Prepare what the slice keeps of all its inputs, also of those to come in this group."""
        parts = [self.shares, self.r]
        parts += [input_shares(self.plan.columns, step) for step in block.steps[:-1]]
        known = [part for part in parts if part is not None]
        return await self.prepared.kept(self.ctx, t, added_up(known)) if known else None

    def _record(self, step: Prepared, x: dict[int, Shared], y: dict[int, Shared]) -> None:
        """Add what arrived at who asks, and what left."""
        arrivals = self.arrivals
        for b in arrivals.total:
            chosen = self.plan.columns.of(b)
            arrivals.total[b] = arrivals.total[b] + _columns(x[b], chosen)
            share = step.totals[b].share
            if share is not None:
                arrivals.share[b] = _sum(arrivals.share[b], share.values[:, chosen])
        for b, rows in y.items():
            last = rows.rows(rows.shape[0] - 1, rows.shape[0])
            arrivals.left[b] = arrivals.left[b] + last.map(lambda a: a[0], rows.shape[1:])

    def _send_masked_shares(self, block: FlowBlock, i: int) -> None:
        """Send what the masks of the next input need, in the round of the totals."""
        step = block.steps[i]
        for b, masks in self.plan.masks.items():
            share, fresh = step.totals[b].share, step.fresh.get(b)
            send_masked_shares(self.ctx, (*block.label, "hop", i, "absorb"), masks, share, fresh)

    async def _absorb(self, block: FlowBlock, i: int, x: dict[int, Shared]) -> None:
        """Make the next hop's input of the totals: nothing stays at the sources."""
        step, masks = block.steps[i], self.plan.masks
        label = (*block.label, "hop", i, "absorb")

        async def one(b: int) -> Shared:
            if b not in masks:
                return x[b]
            return await absorb(self.ctx, label, masks[b], x[b], step.fresh.get(b))

        absorbed = await asyncio.gather(*(one(b) for b in x))
        self.z = dict(zip(x, absorbed, strict=True))
        self.r = input_shares(self.plan.columns, step)


def input_shares(columns: Columns, step: Prepared) -> Masked:
    """Return h1's shares of the inputs that are made of a total, at both helpers."""
    return {b: step.input_share(columns, b) for b in step.totals}


def added_up(shares: list[Masked]) -> Masked:
    """Return the sum of h1's shares of some inputs."""
    total = shares[0]
    for part in shares[1:]:
        total = {b: _sum(total[b], words) for b, words in part.items()}
    return total


def _nothing(ctx: Context, plan: Plan, sizes: FlowSizes) -> Arrivals:
    columns = plan.columns
    asking = sorted(set(columns.asking))
    zero = {b: _zeros(ctx, b, (sizes.vertices[b], len(columns.of(b)))) for b in asking}
    helpers: Masked = {
        b: np.zeros(zero[b].shape, np.uint64) if ctx.me in ctx.roster.helpers(b) else None
        for b in asking
    }
    owners = ctx.roster.owners
    return Arrivals(
        by_slice={b: [] for b in asking},
        total=zero,
        share=helpers,
        left={b: _zeros(ctx, b, (columns.width,)) for b in owners},
        held={b: _zeros(ctx, b, (sizes.vertices[b], columns.width)) for b in owners},
    )


def _zeros(ctx: Context, owner: int, shape: tuple[int, ...]) -> Shared:
    zeros = np.zeros(shape, np.uint64) if ctx.me == owner else None
    return Shared.of_owner(ctx.me, owner, ctx.roster.helpers(owner)[0], shape, zeros)


def _inject(me: int, columns: Columns, paid: Injections, y: Shared) -> Shared:
    """At an owner that asks: add what its sources pay in the slice, as a first payment."""
    words = np.zeros(y.shape, np.uint64)
    first = columns.of(me)[:: columns.depth]
    np.add.at(words, (paid.row, first[paid.question]), paid.words)
    return y.add_owned(me, words)


def _columns(x: Shared, chosen: NDArray[np.int64]) -> Shared:
    return x.map(lambda a: a[:, chosen], (x.shape[0], len(chosen)))


def _sum(first: Words | None, second: Words | None) -> Words | None:
    return None if first is None or second is None else first + second


def _less(x: dict[int, Shared], kept: dict[int, Shared]) -> dict[int, Shared]:
    """Return x - kept."""
    return {b: x[b] + k.map(lambda a: np.uint64(0) - a, k.shape) for b, k in kept.items()}


def _add_up(plan: Plan, b: int, arrived: list[dict[int, Shared]]) -> Shared:
    """Return what arrived at one owner in a slice, in its own columns."""
    total = arrived[0][b]
    for x in arrived[1:]:
        total = total + x[b]
    return _columns(total, plan.columns.of(b))
