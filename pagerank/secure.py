r"""PageRank over the graph of all owners, without showing it to any of them.

PageRank is the fixed point of x = alpha A x + (alpha d.x + 1 - alpha) p, with A the payments (as
paid, turned round, or both ways: ``pagerank.direction``), d the accounts with an empty column of A
and p the personalisation, summing to 1.  The bracket is a number, so x is the solution of

    z = alpha A z + (1 - alpha) r,     r any multiple of p,        scaled to sum 1.

The engine iterates z from r (r = 1, or the risk scores, so that their sum stays secret), sums up z,
and multiplies by the secret n / sum(z): mean 1.  Dangling accounts cost nothing, and no sum leaves
the computation.

Cost of a step: two rounds (``graph_mpc.push``).  What each party sees: what the engine's steps
show, and its own scores.

Source: Page et al., 1999; ``networkx.pagerank``; protocol design, section 5; the form without
dangling mass: docs/decisions/pagerank-without-dangling-mass.md.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.linear_map import columns_per_block
from graph_mpc.placement import fold_imports
from graph_mpc.policy import Policy
from graph_mpc.precision import FixedPoint, choose_fixed_point, parse_precision
from graph_mpc.product import multiply
from graph_mpc.program import Outcome, OwnerInput
from graph_mpc.push import PushSystem, prepare_push, push, push_shapes, set_up_push
from graph_mpc.reconcile import Reconciliation, reconcile
from graph_mpc.release import Released, ResultForm, release_all
from graph_mpc.ring import Words, decode, encode
from graph_mpc.scalars import JointScalars, ReciprocalScale
from graph_mpc.shares import Shared
from graph_mpc.sizes import OwnSizes, publish_sizes
from graph_mpc.sums import held_sum
from graph_mpc.truncation import truncate
from pagerank.direction import directed
from pagerank.entries import PaymentMatrix, pad_entries, payment_matrix
from pagerank.parameters import PageRankParameters
from pagerank.risk_scores import checked_risk

__all__ = ["secure_pagerank"]


@dataclass(frozen=True)
class _SetUp:
    """What the set-up leaves: the system, the public sizes, and what an owner learned."""

    system: PushSystem
    accounts: int
    sizes: dict[str, Any]
    reconciliation: Reconciliation | None


async def secure_pagerank(
    ctx: Context,
    scalars: JointScalars,
    parameters: PageRankParameters,
    policy: Policy,
    own: OwnerInput | None,
) -> Outcome:
    """Run this party's side; ``own`` is None at a compute party."""
    steps = parameters.steps()
    with ctx.phase("setup"):
        ready = await _set_up(ctx, scalars, parameters, own)
    teleport = _teleport(ctx, parameters, ready.system, own)
    x = _start(ctx, ready.system, teleport)
    x = await _iterate(ctx, ready.system, parameters, steps, teleport, x)
    with ctx.phase("reveal"):
        released = await _reveal(ctx, scalars, ready, x, policy)
    return Outcome(
        result=released.rows(own.graph.vertices) if own is not None and released else None,
        iterations=steps,
        accuracy=_accuracy(ready, parameters),
        padded_sizes=ready.sizes,
        reconciliation={} if ready.reconciliation is None else ready.reconciliation.counts(),
        unmatched=None if ready.reconciliation is None else ~ready.reconciliation.matched,
    )


async def _set_up(
    ctx: Context, scalars: JointScalars, parameters: PageRankParameters, own: OwnerInput | None
) -> _SetUp:
    graph = own.graph if own is not None else None
    accounts = await scalars.total(ctx, graph.vertices if graph is not None else 0)
    if accounts == 0:
        raise ParameterError("no bank has an account", "give the banks data, then run again")
    form = choose_fixed_point(accounts, parse_precision(parameters.precision), 1 - parameters.alpha)
    known = await reconcile(ctx, ("reconcile",), graph)
    matrix: PaymentMatrix | None = None
    if graph is not None and known is not None:
        known.require_matched(graph.owner, parameters.max_unmatched)
        # Reconciled as paid: which payments both banks know does not depend on the direction.
        walked, kept = directed(graph, known.matched, parameters.direction)
        matrix = payment_matrix(walked, kept, parameters.weight, parameters.alpha)
    own_sizes: OwnSizes | None = None
    if graph is not None and matrix is not None:
        lists = {other: len(boundary) for other, boundary in matrix.outward.items()}
        own_sizes = OwnSizes(graph.vertices, len(matrix.source), lists)
    public = await publish_sizes(ctx, own_sizes)
    vertices, entries, boundary = public.vertices, public.entries, public.boundary
    # With weight=none a payer's payments all have one weight, which can stand at the payer.
    scaled = parameters.weight == "none"
    shapes = push_shapes(ctx, vertices, boundary, entries, form.limbs, input_scaled=scaled)
    padded = None
    if graph is not None and matrix is not None:
        position = ctx.roster.owners.index(ctx.me)
        others = [p for p in range(len(ctx.roster.owners)) if p != position]
        starts, start = {}, vertices[ctx.me]
        for p in others:
            starts[p] = start
            start += boundary[ctx.me, ctx.roster.owners[p]]
        rows = {p: boundary[ctx.roster.owners[p], ctx.me] for p in others}
        padded = pad_entries(matrix, shapes[ctx.me], form, starts, rows)
    system = await set_up_push(ctx, ("system",), shapes, boundary, form, padded)
    return _SetUp(system, accounts, public.described(ctx), known)


def _teleport(
    ctx: Context, parameters: PageRankParameters, system: PushSystem, own: OwnerInput | None
) -> Words | None:
    """At an owner: r in fixed point, (padded vertices,), 0 for the padding."""
    if own is None:
        return None
    r = np.ones(own.graph.vertices)
    if parameters.personalisation == "risk_score":
        r = checked_risk(own)
    values = np.zeros(system.vertices[ctx.me])
    values[: len(r)] = r
    return encode(values, system.form.value_bits)


def _start(ctx: Context, system: PushSystem, teleport: Words | None) -> dict[int, Shared]:
    """Return z_0 = r in the rows of each owner's outputs."""
    x = {}
    for b, private_map in system.maps.items():
        shape = (private_map.shape.outputs,)
        rows: Words | None = None
        if ctx.me == b and teleport is not None:
            rows = np.zeros(shape, np.uint64)
            rows[: len(teleport)] = teleport
        x[b] = Shared.of_owner(ctx.me, b, ctx.roster.helpers(b)[0], shape, rows)
    return x


async def _iterate(
    ctx: Context,
    system: PushSystem,
    parameters: PageRankParameters,
    steps: int,
    teleport: Words | None,
    x: dict[int, Shared],
) -> dict[int, Shared]:
    """Take all steps, preparing a block of columns at a time."""
    constant: Words | None = None
    if teleport is not None:
        values = decode(teleport, system.form.value_bits) * (1 - parameters.alpha)
        constant = encode(values, system.form.value_bits)
    width = columns_per_block(system.maps.values())
    for first in range(0, steps, width):
        columns = min(width, steps - first)
        with ctx.phase("prepare"):
            block = await prepare_push(ctx, ("prepare", first), system, columns)
        with ctx.phase("apply"):
            for column in range(columns):
                x = await push(ctx, system, block, column, x)
                x = {b: _add_constant(ctx, system, value, constant) for b, value in x.items()}
                ctx.progress("iterate", first + column + 1, steps)
    return x


def _add_constant(ctx: Context, system: PushSystem, x: Shared, constant: Words | None) -> Shared:
    if ctx.me != x.owner or constant is None:
        return x
    rows = np.zeros(x.shape, np.uint64)
    rows[: system.vertices[x.owner]] = constant
    return x.add_owned(ctx.me, rows)


async def _reveal(
    ctx: Context, scalars: JointScalars, ready: _SetUp, x: dict[int, Shared], policy: Policy
) -> Released | None:
    """Normalise the sum and release each owner's scores to it as the policy says."""
    system, form = ready.system, ready.system.form
    scale = ReciprocalScale(ready.accounts << form.value_bits, form.weight_bits)
    rho = await scalars.reciprocal(ctx, ("rho",), held_sum(list(x.values())), scale)
    folded = await fold_imports(ctx, ("fold",), system, x)
    scaled = await asyncio.gather(
        *(_normalise(ctx, form, folded[b], rho[b]) for b in ctx.roster.owners)
    )
    result = ResultForm(form.value_bits, ready.accounts, ready.accounts)
    return await release_all(ctx, ("release",), policy, result, {y.owner: y for y in scaled})


async def _normalise(ctx: Context, form: FixedPoint, z: Shared, rho: Shared) -> Shared:
    """Return [[z rho]], truncated, of the two limbs of rho."""
    label = ("normalise", z.owner)
    column = z.map(lambda a: a[None], (1, *z.shape))
    limbs = rho.map(lambda a: a[:, None], (2, 1))
    product = await multiply(ctx, (*label, "multiply"), column, limbs)
    shifts = np.array([[form.weight_bits], [2 * form.weight_bits]], np.uint64)
    limbwise = await truncate(ctx, (*label, "truncate"), product, shifts)
    return limbwise.map(lambda a: a.sum(axis=0, dtype=np.uint64), z.shape)


def _accuracy(ready: _SetUp, parameters: PageRankParameters) -> dict[str, Any]:
    """Return the worst-case arithmetic error, and relative to what it is stated.

    With r = 1 everywhere each account receives 1 - alpha per step, so the error is relative to the
    score itself.  With risk scores there is no such floor: the error of z is at most step / (1 -
    alpha) times the account's z for r = 1, and normalisation divides it by sum(z) >= (1 - alpha) n
    (mean risk).
    """
    form = ready.system.form
    floor = 1 - parameters.alpha
    last = 3 * 2.0**-form.value_bits
    if parameters.personalisation == "uniform":
        kind = "largest relative error of a score"
        bound = form.relative_error(floor) + last
    else:
        kind = (
            "largest error of a score, times the mean risk score of all accounts, relative to the"
            " account's uniform PageRank"
        )
        bound = (form.relative_error(floor) + last) / floor
    return {
        "kind": kind,
        "bound": bound,
        "value_bits": form.value_bits,
        "weight_bits": form.weight_bits,
        "limbs": form.limbs,
    }
