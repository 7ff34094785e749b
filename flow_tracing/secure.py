r"""Flow traces over the graph of all owners: where did the money go, or where did it come from.

Each trace is a column (with depth, some columns) of ``flow_tracing.walk``.  The bank that asks
names its source accounts to its own worker only; its result are the amounts that its own accounts
received, per slice, and what came back to the sources.  Nobody else gets a result, and of the
question they learn the padded number of traces.

What each party sees: what the engine's steps show; the bank that asks its result, and that its
money was conserved (``flow_tracing.conservation``).

Source: protocol design, section 5 (``Flow tracing``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_tracing.conservation import require_conserved
from flow_tracing.flows import (
    Balances,
    Injections,
    SliceFlows,
    injected_amounts,
    injections,
    output_rows,
    slice_flows,
)
from flow_tracing.fresh import FreshFlows, Topology, described, publish_flow_sizes
from flow_tracing.parameters import TraceParameters
from flow_tracing.walk import Arrivals, Plan, PreparedFlows, walk
from graph_mpc.absorption import PrivateMasks, absorbed_sums, set_up_masks
from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.flow import Columns
from graph_mpc.graph import LocalGraph
from graph_mpc.labels import Label
from graph_mpc.policy import Policy
from graph_mpc.precision import FixedPoint, choose_fixed_point, parse_precision
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.reconcile import Reconciliation, reconcile
from graph_mpc.release import Released, ResultForm, release
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["Sources", "secure_trace", "trace_form"]


@dataclass(frozen=True)
class Sources:
    """The questions of an owner: its private input.

    Attributes:
        accounts: for each question (padded with empty ones) int64 own vertices.
        totals: float64 (questions,), what they pay in the window, minor units.
    """

    accounts: Sequence[NDArray[np.int64]]
    totals: NDArray[np.float64]

    def passed(self, rows: int) -> NDArray[np.bool_]:
        """Return where taint goes on, (questions, rows): everywhere but at the sources."""
        passed = np.ones((len(self.accounts), rows), np.bool_)
        for q, chosen in enumerate(self.accounts):
            passed[q, chosen] = False
        return passed


async def secure_trace(
    ctx: Context, parameters: TraceParameters, policy: Policy, own: OwnerInput | None
) -> Outcome:
    """Run this party's side; ``own`` is None at a compute party."""
    columns = asked_columns(ctx, parameters)
    with ctx.phase("setup"):
        known, topology = await set_up_topology(ctx, parameters, own)
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
    sources = own_sources(ctx, parameters, own, topology)
    with ctx.phase("setup"):
        masks = await set_up_questions(ctx, ("masks",), columns, topology, sources)
    steps = slices * parameters.hops
    done = iter(range(1, steps + 1))
    plan = Plan(
        label=("walk",),
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
        injected = injected_words(ctx, plan, slices, sources)
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
        table=None if mine is None else _table(parameters, columns, mine, sources, slices),
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


def agreed_slices(parameters: Any, own: OwnerInput | None) -> int:
    """Return the number of slices, which all parties must know from the parameters."""
    slices: int | None = parameters.window().slices
    if slices is None or (own is not None and own.graph.slices != slices):
        raise ParameterError(
            f"slice={parameters.slice} without since and until leaves the number of slices open",
            "give since and until",
        )
    return slices


async def set_up_topology(
    ctx: Context, parameters: Any, own: OwnerInput | None
) -> tuple[Reconciliation | None, Topology]:
    """Reconcile, and agree on the padded sizes of all slices."""
    slices = agreed_slices(parameters, own)
    graph = own.graph if own is not None else None
    known = await reconcile(ctx, ("reconcile",), graph)
    flows: list[SliceFlows] = []
    if own is not None and graph is not None and known is not None:
        known.require_matched(graph.owner, parameters.max_unmatched)
        flows = flows_of(own, graph, known.matched, parameters)
    sizes = await publish_flow_sizes(ctx, None if graph is None else graph.vertices, flows)
    form = trace_form(parse_precision(parameters.precision), 1.0)
    if slices < 1:
        raise ParameterError("the window has no slice", "give a later until")
    return known, Topology(sizes, form, flows)


def flows_of(
    own: OwnerInput, graph: LocalGraph, matched: NDArray[np.bool_], parameters: Any
) -> list[SliceFlows]:
    """Return an owner's flows, in the order in which the slices are walked."""
    balances = Balances(own.vertex["balance"], own.vertex["balance_known"].astype(np.bool_))
    backward = getattr(parameters, "direction", "forward") == "backward"
    return slice_flows(graph, matched, balances, backward=backward)


def trace_form(limbs: int, bound: float) -> FixedPoint:
    """Return the format: all that the sources of a column pay adds up to ``bound``."""
    return choose_fixed_point(bound, limbs, 1.0)


def own_sources(
    ctx: Context, parameters: TraceParameters, own: OwnerInput | None, topology: Topology
) -> Sources | None:
    """Return this owner's questions, padded to the public number; None if it asks nothing."""
    number = parameters.counts().get(ctx.roster.ids[ctx.me], 0)
    if own is None or number == 0:
        return None
    given = [np.unique(np.asarray(a, np.int64)) for a in own.private.get("sources", [])]
    if len(given) > number:
        raise ParameterError(
            f"{len(given)} traces are asked for, but the run has room for {number}",
            "split them over several runs",
        )
    accounts = given + [np.zeros(0, np.int64)] * (number - len(given))
    return Sources(accounts, injected_amounts(topology.flows, accounts))


async def set_up_questions(
    ctx: Context,
    label: Label,
    columns: Columns,
    topology: Topology,
    sources: Sources | None,
) -> dict[int, PrivateMasks]:
    """Share out the masks of all owners that ask."""
    masks = {}
    for b in sorted(set(columns.asking)):
        rows = topology.sizes.vertices[b]
        shape = (columns.asking.count(b), rows)
        chosen = (columns.questions(b), columns.of(b))
        passed = sources.passed(rows) if sources is not None and b == ctx.me else None
        masks[b] = await set_up_masks(ctx, (*label, b), b, shape, chosen, passed)
    return masks


def source_injections(
    ctx: Context, topology: Topology, sources: Sources | None
) -> Callable[[int], Injections] | None:
    """Return a function from t to what the sources pay; None if this party asks nothing."""
    if sources is None:
        return None

    def paid(t: int) -> Injections:
        flows = topology.flows[t]
        rows = output_rows(ctx.roster, topology.sizes, ctx.me, flows)
        bits = topology.form.value_bits
        return injections(flows, rows, sources.accounts, sources.totals, bits)

    return paid


def injected_words(ctx: Context, plan: Plan, slices: int, sources: Sources | None) -> Words | None:
    """Return what the sources of each question paid in all slices, in fixed point."""
    if sources is None or plan.injections is None:
        return None
    total = np.zeros(len(sources.accounts), np.uint64)
    for t in range(slices):
        paid = plan.injections(t)
        np.add.at(total, paid.question, paid.words)
    return total


async def returned_sums(
    ctx: Context, label: Label, masks: dict[int, PrivateMasks], arrivals: Arrivals
) -> dict[int, Shared]:
    """Return what came back to the sources of each column, in {owner, h1}."""
    return {
        b: await absorbed_sums(ctx, (*label, b), m, arrivals.total[b], arrivals.share[b])
        for b, m in masks.items()
    }


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
    slices: int,
) -> dict[str, NDArray[Any]]:
    """Return the rows of the result: vertex, trace, slice, kind, depth, and amount or band.

    ``kind`` is 1 for what came back to a source, 0 for what was received; amounts are in minor
    units.  Rows of 0, or in the lowest band, are left out.
    """
    if sources is None:
        raise ValueError("only an owner that asks has a result")
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
    return table | {"amount": value * sources.totals[question]}


def accuracy(topology: Topology, steps: int) -> dict[str, Any]:
    """Return the arithmetic error that a result can have, relative to what the sources paid.

    A hop adds less than a unit of the last place for each limb and account that the money passes,
    and the weights' rounding; errors of many accounts that meet in one average out.
    """
    form = topology.form
    rows = sum(topology.sizes.vertices.values())
    weights = 2.0 ** -(form.limbs * form.weight_bits)
    return {
        "kind": "largest error of an amount, as a share of what the trace's sources paid",
        "bound": steps * ((form.limbs + 1) * 2.0**-form.value_bits * rows + weights * rows),
        "per_step_and_account": form.limbs * 2.0**-form.value_bits + weights,
        "value_bits": form.value_bits,
        "weight_bits": form.weight_bits,
        "limbs": form.limbs,
    }
