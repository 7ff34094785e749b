r"""Round trips: for every account in scope, the share of what it pays that comes back to it.

*exact*: one column of ``flow_tracing.walk`` for each account; what comes back to its only source is
one number, ``absorbed_sums``.  *batched*: several accounts of a bank in one column, each paying its
share with a secret random sign; the owner reads sign * arrival at each, an unbiased estimate with
the noise of the others.  Accounts whose round trips can only be local are computed by their bank
in plain (``flow_tracing.scope``).

What each party sees: what the engine's steps show, the padded number of columns of each bank; an
owner its results.

Source: protocol design, section 5 (``Round trip``).
"""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flow_tracing.conservation import require_conserved
from flow_tracing.flows import Balances, Sources, paid_amounts
from flow_tracing.fresh import FreshFlows, Topology, described
from flow_tracing.local_round_trip import local_round_trips
from flow_tracing.parameters import RoundTripParameters
from flow_tracing.questions import (
    accuracy,
    agreed_slices,
    injected_words,
    returned_sums,
    set_up_source_masks,
    set_up_topology,
    source_injections,
)
from flow_tracing.scope import may_leave
from flow_tracing.signed_readings import read_sources
from flow_tracing.walk import Plan, walk
from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.flow import Columns
from graph_mpc.flow_preparation import FlowMaps
from graph_mpc.padding import padded_size, require_padded
from graph_mpc.policy import Policy
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.reconcile import Reconciliation
from graph_mpc.release import Released, ResultForm, in_plain, release
from graph_mpc.shares import Shared

__all__ = ["secure_round_trip"]

_WIDTH = 16  # Columns side by side: two cache lines.


@dataclass(frozen=True)
class _Scope:
    """What an owner asks about.

    Attributes:
        joint: int64, own accounts whose round trips may leave the bank, ascending.
        local: int64, the others in scope.
        local_values: float64, their round trips.
    """

    joint: NDArray[np.int64]
    local: NDArray[np.int64]
    local_values: NDArray[np.float64]


@dataclass
class _Run:
    """What all batches of a run have in common, and what they return.

    Attributes:
        parameters: public parameters.
        topology: all slices.
        slices: T.
        paid: at an owner, what each of its accounts pays, minor units.
        maps: slices that were set up.
        returned: for each owner [[what came back]] of its columns, batch by batch.
        factors: at an owner, what each unit that its sources pay counts, column by column.
        batches: number of batches walked.
    """

    parameters: RoundTripParameters
    topology: Topology
    slices: int
    paid: NDArray[np.float64]
    maps: dict[int, FlowMaps] = field(default_factory=dict)
    returned: dict[int, list[Shared]] = field(default_factory=dict)
    factors: list[NDArray[np.float64]] = field(default_factory=list)
    batches: int = 0


async def secure_round_trip(
    ctx: Context, parameters: RoundTripParameters, policy: Policy, own: OwnerInput | None
) -> Outcome:
    """Run this party's side; ``own`` is None at a compute party."""
    if parameters.columns == "batched" and policy.name != "exact":
        raise ParameterError(
            f"columns=batched gives estimates, which policy {policy.text} cannot judge",
            "use columns=exact, or --policy exact",
        )
    slices = agreed_slices(parameters, own)
    with ctx.phase("setup"):
        known, topology = await set_up_topology(ctx, parameters, own, _bound(parameters))
        scope = _scope(own, known, parameters, slices)
        asked = _columns_of(ctx, parameters, scope)
        columns = await _publish_columns(ctx, own is not None, len(asked))
    paid = np.zeros(0) if own is None else paid_amounts(topology.flows, own.graph.vertices)
    run = _Run(parameters, topology, slices, paid)
    await _walk_all(ctx, run, columns, asked)
    with ctx.phase("reveal"):
        released = await _release(ctx, policy, run)
    mine = None
    if scope is not None and released is not None:
        mine = _merge(policy, scope, _read(parameters, scope, run, asked, released))
    return Outcome(
        result=None if mine is None else mine[0],
        iterations=slices * parameters.hops,
        accuracy=accuracy(topology, slices * parameters.hops),
        padded_sizes=described(ctx, topology.sizes, slices)
        | {"columns": {ctx.roster.ids[b]: n for b, n in columns.items()}},
        reconciliation={} if known is None else known.counts(),
        unmatched=None if known is None else ~known.matched,
        vertices=None if mine is None else mine[1],
    )


def _bound(parameters: RoundTripParameters) -> float:
    """Return the largest sum of absolute values in a column."""
    return float(parameters.per_column) if parameters.columns == "batched" else 1.0


def _scope(
    own: OwnerInput | None,
    known: Reconciliation | None,
    parameters: RoundTripParameters,
    slices: int,
) -> _Scope | None:
    """Split an owner's scope into what needs the others and what does not."""
    if own is None or known is None:
        return None
    graph = own.graph
    chosen = np.ones(graph.vertices, np.bool_)
    if parameters.scope == "in_scope":
        chosen = own.vertex["in_scope"].astype(np.bool_)
    leaves = may_leave(graph, known.matched, parameters.hops * slices)
    local = np.flatnonzero(chosen & ~leaves)
    balances = Balances(own.vertex["balance"], own.vertex["balance_known"].astype(np.bool_))
    values = local_round_trips(graph, balances, local, parameters.hops)
    return _Scope(np.flatnonzero(chosen & leaves), local, values)


def _columns_of(
    ctx: Context, parameters: RoundTripParameters, scope: _Scope | None
) -> list[NDArray[np.int64]]:
    """Return the accounts of each of this owner's columns."""
    if scope is None:
        return []
    if parameters.columns == "exact":
        return [np.array([v]) for v in scope.joint]
    columns: list[NDArray[np.int64]] = []
    parts = -(-len(scope.joint) // parameters.per_column)
    for number in range(parameters.repetitions if parts else 0):
        keys = ctx.streams.own(("grouping", number), (len(scope.joint),))
        shuffled = scope.joint[np.argsort(keys, kind="stable")]
        columns += [np.sort(part) for part in np.array_split(shuffled, parts)]
    return columns


def _signed_sources(
    ctx: Context, parameters: RoundTripParameters, run: "_Run", columns: list[NDArray[np.int64]]
) -> Sources:
    """Return the sources of some columns: each pays 1 in all, or -1 at random if batched."""
    factors = []
    for number, chosen in enumerate(columns):
        paid = run.paid[chosen]
        factor = np.divide(1.0, paid, out=np.zeros(len(chosen)), where=paid > 0)
        if parameters.columns == "batched":
            word = ctx.streams.own(("sign", run.batches, number), (len(chosen),))
            factor = np.where(word & np.uint64(1), factor, -factor)
        factors.append(factor)
    return Sources(columns, factors)


async def _publish_columns(ctx: Context, is_owner: bool, number: int) -> dict[int, int]:
    """Tell all parties the padded number of columns of each owner."""
    own = np.array([padded_size(number) if is_owner else 0], np.int64)
    published = await ctx.network.gather_published(("columns",), own)
    for b in ctx.roster.owners:
        require_padded(ctx.roster.ids[b], published[b].tolist())
    return {b: int(published[b][0]) for b in ctx.roster.owners}


async def _walk_all(
    ctx: Context, run: _Run, columns: dict[int, int], asked: list[NDArray[np.int64]]
) -> None:
    """Walk all columns, some side by side at a time."""
    padding = [np.zeros(0, np.int64)] * (columns.get(ctx.me, 0) - len(asked))
    waiting = iter([*asked, *padding])
    asking = [b for b, number in columns.items() for _ in range(number)]
    for start in range(0, len(asking), _WIDTH):
        batch = Columns(tuple(asking[start : start + _WIDTH]))
        mine = [next(waiting) for b in batch.asking if b == ctx.me]
        await _walk_batch(ctx, run, batch, mine)
        run.batches += 1
        ctx.progress("iterate", min(start + _WIDTH, len(asking)), len(asking))


async def _walk_batch(
    ctx: Context, run: _Run, batch: Columns, mine: list[NDArray[np.int64]]
) -> None:
    """Walk some columns and keep what came back."""
    label = ("batch", run.batches)
    sources = _signed_sources(ctx, run.parameters, run, mine) if mine else None
    with ctx.phase("prepare"):
        masks = await set_up_source_masks(ctx, (*label, "masks"), batch, run.topology, sources)
    plan = Plan(
        slices=run.slices,
        hops=run.parameters.hops,
        columns=batch,
        masks=masks,
        injections=source_injections(ctx, run.topology, sources),
        by_slice=False,
        progress=lambda: None,
    )
    flows = FreshFlows(
        run.topology, batch, run.parameters.hops, label, maps=run.maps, keep_maps=True
    )
    arrivals = await walk(ctx, plan, flows, run.topology.sizes)
    with ctx.phase("reveal"):
        returned = await returned_sums(ctx, (*label, "returned"), masks, arrivals)
        await require_conserved(
            ctx,
            (*label, "conserved"),
            batch,
            run.topology.form.value_bits,
            arrivals,
            returned,
            injected_words(plan, sources),
        )
        if run.parameters.columns == "batched":
            returned = await read_sources(
                ctx, (*label, "read"), arrivals.total, run.parameters.per_column, sources
            )
    for b, value in returned.items():
        run.returned.setdefault(b, []).append(value)
    if sources is not None:
        run.factors += sources.factors


async def _release(ctx: Context, policy: Policy, run: _Run) -> Released | None:
    """Release to each owner what came back in its columns."""
    batched = run.parameters.columns == "batched"
    least = -_bound(run.parameters) if batched else 0.0
    form = ResultForm(run.topology.form.value_bits, 1.0, _bound(run.parameters), least)
    released = await asyncio.gather(
        *(
            release(ctx, ("release", b), policy, form, _joined(parts))
            for b, parts in run.returned.items()
        )
    )
    return dict(zip(run.returned, released, strict=True)).get(ctx.me)


def _joined(parts: list[Shared]) -> Shared:
    """Return values one after the other."""
    shares = [p.local for p in parts if p.local is not None]
    size = (sum(p.shape[0] for p in parts), *parts[0].shape[1:])
    first = parts[0]
    return Shared(first.owner, first.helper, size, np.concatenate(shares) if shares else None)


def _merge(policy: Policy, scope: _Scope, joint: Released) -> tuple[Released, NDArray[np.int64]]:
    """Put what was released and what was local together, by account."""
    local = in_plain(policy, scope.local_values)
    vertices = np.concatenate([scope.joint, scope.local])
    order = np.argsort(vertices)
    values = np.concatenate([joint.values, local.values])[order]
    above = None
    if joint.above is not None and local.above is not None:
        above = np.concatenate([joint.above, local.above])[order]
    return Released(policy, values, above), vertices[order]


def _read(
    parameters: RoundTripParameters,
    scope: _Scope,
    run: _Run,
    asked: list[NDArray[np.int64]],
    released: Released,
) -> Released:
    """Return one value for each account that needed the others."""
    if parameters.columns == "exact":
        return released.rows(len(scope.joint))
    readings = np.full((parameters.repetitions, len(scope.joint)), np.inf)
    per_repetition = max(len(asked) // parameters.repetitions, 1)
    for number, chosen in enumerate(asked):
        signed = released.values[number, : len(chosen)] * np.sign(run.factors[number])
        place = np.searchsorted(scope.joint, chosen)
        readings[number // per_repetition, place] = signed
    # The noise of strangers goes both ways: the smallest of several readings has least of it.
    values = np.clip(readings.min(axis=0, initial=1.0), 0.0, 1.0)
    return Released(released.policy, values)
