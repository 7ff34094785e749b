r"""Flow traces over the graph of all owners: where did the money go, or where did it come from.

Each trace is a column (with depth, some columns) of ``flow_tracing.walk``.  The bank that asks
names its source accounts to its own worker only; its result are the amounts that its own accounts
received, per slice, and what came back to the sources.  Nobody else gets a result, and of the
question they learn the padded number of traces.

What each party sees: what the engine's steps show; the bank that asks its result, and that its
money was conserved (``flow_tracing.conservation``).

Source: protocol design, section 5 (``Flow tracing``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_tracing.conservation import require_conserved
from flow_tracing.flows import Sources, paid_amounts
from flow_tracing.fresh import FreshFlows, Topology, described
from flow_tracing.parameters import TraceParameters
from flow_tracing.questions import (
    accuracy,
    agreed_slices,
    injected_words,
    returned_sums,
    set_up_source_masks,
    set_up_topology,
    source_injections,
)
from flow_tracing.walk import Arrivals, Plan, PreparedFlows, walk
from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.flow import Columns
from graph_mpc.policy import Policy
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.reconcile import Reconciliation
from graph_mpc.release import Released, ResultForm, release
from graph_mpc.shares import Shared

__all__ = ["asked_columns", "secure_trace", "trace_over"]


async def secure_trace(
    ctx: Context, parameters: TraceParameters, policy: Policy, own: OwnerInput | None
) -> Outcome:
    """Run this party's side; ``own`` is None at a compute party."""
    columns = asked_columns(ctx, parameters)
    with ctx.phase("setup"):
        known, topology = await set_up_topology(ctx, parameters, own, 1.0)
    flows = FreshFlows(topology, columns, parameters.hops, ("walk",))
    return await trace_over(ctx, parameters, policy, own, known, topology, flows)


async def trace_over(
    ctx: Context,
    parameters: TraceParameters,
    policy: Policy,
    own: OwnerInput | None,
    known: Reconciliation | None,
    topology: Topology,
    prepared: PreparedFlows,
) -> Outcome:
    """Answer the questions over a topology, with hops prepared here or earlier."""
    columns = asked_columns(ctx, parameters)
    slices = agreed_slices(parameters, own)
    sources, totals = own_sources(ctx, parameters, own, topology)
    with ctx.phase("setup"):
        masks = await set_up_source_masks(ctx, ("masks",), columns, topology, sources)
    steps = slices * parameters.hops
    done = iter(range(1, steps + 1))
    plan = Plan(
        slices=slices,
        hops=parameters.hops,
        columns=columns,
        masks=masks,
        injections=source_injections(ctx, topology, sources),
        by_slice=True,
        progress=lambda: ctx.progress("iterate", next(done), steps),
    )
    arrivals = await walk(ctx, plan, prepared, topology.sizes)
    with ctx.phase("reveal"):
        returned = await returned_sums(ctx, ("returned",), masks, arrivals)
        bits = topology.form.value_bits
        injected = injected_words(plan, sources)
        await require_conserved(ctx, ("conserved",), columns, bits, arrivals, returned, injected)
        released = await _release(ctx, policy, parameters, topology, arrivals)
    mine = released.rows(own.graph.vertices) if released is not None and own is not None else None
    return Outcome(
        result=mine,
        iterations=steps,
        accuracy=accuracy(topology, steps),
        padded_sizes=described(ctx, topology.sizes, slices) | {"traces": parameters.counts()},
        reconciliation={} if known is None else known.counts(),
        unmatched=None if known is None else ~known.matched,
        table=None if mine is None else _table(parameters, columns, mine, sources, totals),
    )


def asked_columns(ctx: Context, parameters: TraceParameters) -> Columns:
    """Return who asks in which column, in the order of the roster."""
    counts = parameters.counts()
    unknown = set(counts) - set(ctx.roster.owner_ids)
    if unknown:
        raise ParameterError(
            f"bank {sorted(unknown)[0]} asks for a trace but takes no part in the run",
            f"name one of {', '.join(ctx.roster.owner_ids)}",
        )
    asking = [b for b in ctx.roster.owners for _ in range(counts.get(ctx.roster.ids[b], 0))]
    return Columns(tuple(asking), parameters.columns)


def own_sources(
    ctx: Context, parameters: TraceParameters, own: OwnerInput | None, topology: Topology
) -> tuple[Sources | None, NDArray[np.float64]]:
    """Return this owner's questions, padded to the public number, and what each injects."""
    number = parameters.counts().get(ctx.roster.ids[ctx.me], 0)
    if own is None or number == 0:
        return None, np.zeros(0)
    given = [np.unique(np.asarray(a, np.int64)) for a in own.private.get("sources", [])]
    if len(given) > number:
        raise ParameterError(
            f"{len(given)} traces are asked for, but the run has room for {number}",
            "split them over several runs",
        )
    accounts = given + [np.zeros(0, np.int64)] * (number - len(given))
    paid = paid_amounts(topology.flows, own.graph.vertices)
    totals = np.array([paid[chosen].sum() for chosen in accounts])
    share = np.divide(1.0, totals, out=np.zeros(number), where=totals > 0)
    factors = [np.full(len(chosen), f) for chosen, f in zip(accounts, share, strict=True)]
    return Sources(accounts, factors), totals


async def _release(
    ctx: Context,
    policy: Policy,
    parameters: TraceParameters,
    topology: Topology,
    arrivals: Arrivals,
) -> Released | None:
    """Release what arrived to the owners that ask, (vertices, slices, W_b)."""
    form = ResultForm(topology.form.value_bits, 1.0, float(parameters.hops))
    mine: Released | None = None
    for b, slices in arrivals.by_slice.items():
        first = slices[0]
        local = None
        if first.local is not None:
            local = np.stack([x.local for x in slices if x.local is not None], axis=1)
        shape = (first.shape[0], len(slices), first.shape[1])
        stacked = Shared(first.owner, first.helper, shape, local)
        released = await release(ctx, ("release", b), policy, form, stacked)
        mine = released if b == ctx.me else mine
    return mine


def _table(
    parameters: TraceParameters,
    columns: Columns,
    released: Released,
    sources: Sources | None,
    totals: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:
    """Return the rows of the result: vertex, trace, slice, kind, depth, and amount or band.

    ``kind`` is 1 for what came back to a source, 0 for what was received; amounts are in minor
    units.  Rows of 0, or in the lowest band, are left out.
    """
    if sources is None:
        raise ValueError("only an owner that asks has a result")
    slices = released.values.shape[1]
    values = released.values.reshape(len(released.values), slices, -1, columns.depth)
    vertex, t, question, depth = np.nonzero(values)
    value = values[vertex, t, question, depth]
    is_source = ~sources.passed(len(values))[question, vertex]
    table = {
        "vertex": vertex,
        "trace": question,
        "slice": slices - 1 - t if parameters.direction == "backward" else t,
        "kind": is_source.astype(np.int64),
    }
    if columns.depth > 1 or parameters.depth != "off":
        table["depth"] = depth + 1
    if released.policy.name == "bands":
        return table | {"band": value}
    return table | {"amount": value * totals[question]}
