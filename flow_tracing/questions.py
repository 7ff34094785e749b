"""What traces and round trips have in common: topology, masks at sources, what sources pay."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_tracing.flows import (
    Balances,
    Injections,
    SliceFlows,
    Sources,
    injections,
    output_rows,
    slice_flows,
)
from flow_tracing.fresh import Topology, publish_flow_sizes
from flow_tracing.walk import Arrivals, Plan
from graph_mpc.absorption import PrivateMasks, absorbed_sums, set_up_masks
from graph_mpc.context import Context
from graph_mpc.flow import Columns
from graph_mpc.graph import LocalGraph
from graph_mpc.labels import Label
from graph_mpc.precision import FixedPoint, choose_fixed_point, parse_precision
from graph_mpc.program import OwnerInput
from graph_mpc.reconcile import Reconciliation, reconcile
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.window import Window

__all__ = [
    "accuracy",
    "agreed_slices",
    "flows_of",
    "injected_words",
    "returned_sums",
    "set_up_source_masks",
    "set_up_topology",
    "source_injections",
    "trace_form",
]


def agreed_slices(parameters: Any, own: OwnerInput | None) -> int:
    """Return the number of slices, which all parties must know from the parameters."""
    window: Window = parameters.window()
    return window.agreed_slices(None if own is None else own.graph.slices)


async def set_up_topology(
    ctx: Context, parameters: Any, own: OwnerInput | None, bound: float
) -> tuple[Reconciliation | None, Topology]:
    """Reconcile, and agree on the padded sizes of all slices; ``bound`` of a column's values."""
    graph = own.graph if own is not None else None
    known = await reconcile(ctx, ("reconcile",), graph)
    flows: list[SliceFlows] = []
    if own is not None and graph is not None and known is not None:
        known.require_matched(graph.owner, parameters.max_unmatched)
        flows = flows_of(own, graph, known.matched, parameters)
    sizes = await publish_flow_sizes(ctx, None if graph is None else graph.vertices, flows)
    form = trace_form(parse_precision(parameters.precision), bound)
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


async def set_up_source_masks(
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
        return injections(flows, rows, sources, bits)

    return paid


def injected_words(plan: Plan, sources: Sources | None) -> Words | None:
    """Return what the sources of each question paid in all slices, in fixed point."""
    if sources is None or plan.injections is None:
        return None
    total = np.zeros(len(sources.accounts), np.uint64)
    for t in range(plan.slices):
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
