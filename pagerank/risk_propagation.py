r"""Risk propagation over the graph of all owners, without showing it to any of them.

For each time slice in order, for k = 1..K:

    s_i <- (1 - delta_k) s_i + delta_k (sum_j a_ji s_j) / (sum_j a_ji),

over the accounts j of the consortium that paid i in the slice; s in [0, 1] starts with the banks'
own risk scores.  An account that received nothing in the slice keeps (1 - delta_k) s_i.

The mean y = A s is one step of a pull system; then s <- s + delta_k (y - s), with the public
delta_k in fixed point and a truncation of its own: delta costs no bits of the weights, for one
round more (docs/decisions/delta-in-a-round-of-its-own.md).

Cost of a step: four rounds.  Sizes are padded to their maximum over the slices, so that daily
volumes do not show.  What each party sees: what the engine's steps show, and its own results.

Source: van Egmond et al., FC 2024; protocol design, section 5.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.graph import LocalGraph
from graph_mpc.layout import Entries
from graph_mpc.linear_map import columns_per_block
from graph_mpc.policy import Policy
from graph_mpc.precision import parse_precision
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.pull import PullSystem, prepare_pull, pull, pull_shapes, set_up_pull
from graph_mpc.reconcile import reconcile
from graph_mpc.release import ResultForm, release_all
from graph_mpc.ring import Words, encode
from graph_mpc.shares import Shared
from graph_mpc.sizes import OwnSizes, PublicSizes, publish_sizes
from graph_mpc.truncation import Dealt, deal, truncate
from pagerank.receipts import ReceiptMatrix, pad_receipts, receipt_matrix
from pagerank.risk_parameters import RiskParameters
from pagerank.risk_precision import (
    DELTA_BITS,
    RiskFixedPoint,
    choose_risk_format,
    error_bound,
    most_payers,
    rounded_delta,
)
from pagerank.risk_scores import checked_risk

__all__ = ["secure_risk_propagation"]


@dataclass(frozen=True)
class _Plan:
    """What is public about all slices, and one owner's own matrices.

    Attributes:
        sizes: padded sizes; boundary lists are those that an owner reads from another.
        matrices: this owner's matrix of each slice; empty at a party without data.
    """

    sizes: PublicSizes
    matrices: list[ReceiptMatrix]

    @property
    def exports(self) -> dict[tuple[int, int], int]:
        """Rows for each (owner, reader)."""
        return {(c, b): rows for (b, c), rows in self.sizes.boundary.items()}


async def secure_risk_propagation(
    ctx: Context, parameters: RiskParameters, policy: Policy, own: OwnerInput | None
) -> Outcome:
    """Run this party's side; ``own`` is None at a compute party."""
    graph = own.graph if own is not None else None
    slices = parameters.window().agreed_slices(None if graph is None else graph.slices)
    with ctx.phase("setup"):
        known = await reconcile(ctx, ("reconcile",), graph)
        matrices: list[ReceiptMatrix] = []
        if graph is not None and known is not None:
            known.require_matched(graph.owner, parameters.max_unmatched)
            matrices = [receipt_matrix(graph, known.matched, t) for t in range(slices)]
        plan = _Plan(await publish_sizes(ctx, _own_sizes(graph, matrices)), matrices)
    form = choose_risk_format(most_payers(plan.sizes), parse_precision(parameters.precision))
    accuracy = _accuracy(form, error_bound(form, parameters.deltas() * slices))
    s = _start(ctx, plan, form, own)
    for t in range(slices):
        with ctx.phase("setup"):
            system = await _set_up_slice(ctx, plan, form, t)
        s = await _propagate(ctx, system, parameters, t, slices, s)
    with ctx.phase("reveal"):
        result = ResultForm(form.value_bits, 1.0, 1.0)
        released = await release_all(ctx, ("release",), policy, result, s)
    return Outcome(
        result=released.rows(graph.vertices) if released and graph is not None else None,
        iterations=slices * parameters.iterations,
        accuracy=accuracy,
        padded_sizes=plan.sizes.described(ctx) | {"slices": slices},
        reconciliation={} if known is None else known.counts(),
        unmatched=None if known is None else ~known.matched,
    )


def _own_sizes(graph: LocalGraph | None, matrices: list[ReceiptMatrix]) -> OwnSizes | None:
    """Return the largest sizes over the slices."""
    if graph is None:
        return None
    lists = {other: max(len(m.read[other]) for m in matrices) for other in matrices[0].read}
    return OwnSizes(graph.vertices, max(len(m.source) for m in matrices), lists)


def _start(
    ctx: Context, plan: _Plan, form: RiskFixedPoint, own: OwnerInput | None
) -> dict[int, Shared]:
    """Return the banks' own risk scores, (padded vertices,) each, in {owner, h1}."""
    s = {}
    for b, rows in plan.sizes.vertices.items():
        values: Words | None = None
        if own is not None and b == ctx.me:
            values = np.zeros(rows, np.uint64)
            values[: own.graph.vertices] = encode(checked_risk(own), form.value_bits)
        s[b] = Shared.of_owner(ctx.me, b, ctx.roster.helpers(b)[0], (rows,), values)
    return s


async def _set_up_slice(ctx: Context, plan: _Plan, form: RiskFixedPoint, t: int) -> PullSystem:
    sizes, exports = plan.sizes, plan.exports
    shapes = pull_shapes(ctx, sizes.vertices, exports, sizes.entries, form.limbs)
    entries: Entries | None = None
    chosen: dict[int, NDArray[np.int64]] = {}
    if plan.matrices:
        matrix, owners = plan.matrices[t], ctx.roster.owners
        first_row, start = {}, sizes.vertices[ctx.me]
        for other in matrix.read:
            first_row[other] = start
            start += exports[owners[other], ctx.me]
        entries = pad_receipts(matrix, shapes[ctx.me], form, first_row)
        for other, exported in matrix.exported.items():
            rows = np.full(exports[ctx.me, owners[other]], -1, np.int64)
            rows[: len(exported)] = exported.vertices
            chosen[owners[other]] = rows
    return await set_up_pull(ctx, ("slice", t), shapes, exports, form, entries, chosen)


async def _propagate(
    ctx: Context,
    system: PullSystem,
    parameters: RiskParameters,
    t: int,
    slices: int,
    s: dict[int, Shared],
) -> dict[int, Shared]:
    """Take the K steps of a slice, preparing a block of columns at a time."""
    deltas = parameters.deltas()
    width = columns_per_block(system.maps.values())
    for first in range(0, len(deltas), width):
        columns = min(width, len(deltas) - first)
        label = ("prepare", t, first)
        with ctx.phase("prepare"):
            block, dealt = await asyncio.gather(
                prepare_pull(ctx, label, system, columns),
                _deal_mixing(ctx, (*label, "mix"), s, columns),
            )
        with ctx.phase("apply"):
            for column in range(columns):
                y = await pull(ctx, system, block, column, s)
                delta = deltas[first + column]
                s = await _mix(ctx, (*label, "mix"), dealt, column, delta, s, y)
                done = t * len(deltas) + first + column + 1
                ctx.progress("iterate", done, slices * len(deltas))
    return s


async def _deal_mixing(
    ctx: Context, label: tuple[str | int, ...], s: dict[int, Shared], columns: int
) -> dict[int, Dealt | None]:
    """Deal the truncations of delta (y - s) ahead, for all columns of a block."""
    dealt = await asyncio.gather(
        *(
            deal(ctx, (*label, b), (b, x.helper), (columns, *x.shape), DELTA_BITS)
            for b, x in s.items()
        )
    )
    return dict(zip(s, dealt, strict=True))


async def _mix(
    ctx: Context,
    label: tuple[str | int, ...],
    dealt: dict[int, Dealt | None],
    column: int,
    delta: float,
    s: dict[int, Shared],
    y: dict[int, Shared],
) -> dict[int, Shared]:
    """Return s + delta (y - s) for each owner."""
    factor = np.uint64(rounded_delta(delta))

    async def one(b: int) -> Shared:
        part, old, mean = dealt[b], s[b].local, y[b].local
        if part is None or old is None or mean is None:
            return s[b]
        change = s[b].map(lambda x: factor * (mean - x), s[b].shape)
        place = (*label, b, column)
        return s[b] + await truncate(ctx, place, change, DELTA_BITS, part.part(column))

    mixed = await asyncio.gather(*(one(b) for b in s))
    return dict(zip(s, mixed, strict=True))


def _accuracy(form: RiskFixedPoint, bound: float) -> dict[str, Any]:
    """Return what is promised of the scores; ``payers`` is the count that the bound rests on."""
    return {
        "kind": "largest error of a score",
        "bound": bound,
        "payers": form.payers,
        "value_bits": form.value_bits,
        "weight_bits": form.weight_bits,
        "low_bits": form.low_bits,
        "limbs": form.limbs,
    }
