"""From an owner's part of the graph to the flows of its accounts, slice by slice.

In a slice with inflow I and outflow O (all payments, also with banks outside and with itself) and
balance B at its start, an account passes on O / max(B + I, O) of the taint at it, each payment of
amount a the share a / max(B + I, O), and keeps the rest (haircut rule).  The next slice's balance
is max(0, B + I - O); where the bank knows no balance, B is 0 in every slice (pass-through rule).

Backward, payments are reversed, the slices run from the last to the first, and B is the balance at
the end of a slice.

Payments that lead outside the consortium, or that the other bank does not know, leave the graph.

Source: protocol design, section 5 (``Flow tracing``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.boundary import Boundary, reached_by, reaches
from graph_mpc.flow import FlowSizes, OwnFlows
from graph_mpc.graph import OUTSIDE, LocalGraph
from graph_mpc.layout import Entries
from graph_mpc.precision import FixedPoint
from graph_mpc.push import export_rows
from graph_mpc.ring import Words
from graph_mpc.roster import Roster
from graph_mpc.rounding import shares_in_limbs

__all__ = [
    "Balances",
    "Injections",
    "SliceFlows",
    "Sources",
    "injections",
    "output_rows",
    "own_flows",
    "paid_amounts",
    "slice_flows",
]

_LEFT = -2
"""Receiver of what leaves the graph."""


@dataclass(frozen=True)
class Balances:
    """What the bank knows of its accounts' balances at the start of the window.

    Attributes:
        amount: int64 or float64 (n,), minor units, >= 0.
        known: bool (n,).
    """

    amount: NDArray[Any]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class SliceFlows:
    """An owner's flows in one slice, before padding.

    Attributes:
        source: int64 (e,), own payer.
        receiver: int64 (e,), position of the payee's owner, or -2 for what leaves.
        target: int64 (e,), own payee, row of the boundary to ``receiver``, or 0.
        amount: float64 (e,), minor units.
        kept: float64 (n,), what each account keeps of its cap; 1 if it has no cap at all.
        outward: for each other owner (position) the boundary that this owner reaches.
        inward: for each other owner (position) the own accounts that it reaches.
    """

    source: NDArray[np.int64]
    receiver: NDArray[np.int64]
    target: NDArray[np.int64]
    amount: NDArray[np.float64]
    kept: NDArray[np.float64]
    outward: dict[int, Boundary]
    inward: dict[int, Boundary]


def slice_flows(
    graph: LocalGraph, matched: NDArray[np.bool_], balances: Balances, *, backward: bool
) -> list[SliceFlows]:
    """Return the flows of each slice, in the order in which they are walked."""
    caps = _caps(graph, balances, backward=backward)
    directed = graph.reversed() if backward else graph
    order = range(graph.slices)[::-1] if backward else range(graph.slices)
    return [_one_slice(directed, matched, t, caps[t]) for t in order]


def _caps(graph: LocalGraph, balances: Balances, *, backward: bool) -> NDArray[np.float64]:
    """Return max(B + I, O) of each slice and account, (slices, n), in the order of time."""
    n = graph.vertices
    outflow, inflow = (
        np.bincount(
            graph.slice[own].astype(np.int64) * n + end[own],
            graph.weight[own].astype(np.float64),
            minlength=graph.slices * n,
        ).reshape(graph.slices, n)
        for end in (graph.source, graph.target)
        for own in (end >= 0,)
    )
    caps = np.empty((graph.slices, n))
    balance = np.where(balances.known, balances.amount, 0.0)
    for t in range(graph.slices):
        following = np.where(balances.known, np.maximum(balance + inflow[t] - outflow[t], 0.0), 0.0)
        if backward:
            caps[t] = np.maximum(following + outflow[t], inflow[t])
        else:
            caps[t] = np.maximum(balance + inflow[t], outflow[t])
        balance = following
    return caps


def _one_slice(
    graph: LocalGraph, matched: NDArray[np.bool_], t: int, cap: NDArray[np.float64]
) -> SliceFlows:
    """Return the flows of a slice of the graph as it is walked (reversed for backward)."""
    me = graph.owners.index(graph.owner)
    others = [position for position in range(len(graph.owners)) if position != me]
    there = graph.slice == t
    outward = {other: reaches(graph, matched & there, other) for other in others}
    inward = {other: reached_by(graph, matched & there, other) for other in others}
    row = np.zeros(len(graph.neighbour_owner), np.int64)
    for boundary in outward.values():
        row[boundary.vertices] = np.arange(len(boundary))
    edges = np.flatnonzero(there & (graph.source >= 0))
    source = graph.source[edges].astype(np.int64)
    target = graph.target[edges].astype(np.int64)
    foreign = target < 0
    receiver = np.full(len(edges), me, np.int64)
    receiver[foreign] = graph.neighbour_owner[~target[foreign]]
    left = (receiver == OUTSIDE) | ~matched[edges]
    target[foreign] = row[~target[foreign]]
    amount = graph.weight[edges].astype(np.float64)
    leaving = np.bincount(source[left], amount[left], minlength=graph.vertices)
    leavers = np.flatnonzero(leaving)
    paid = np.bincount(source, amount, minlength=graph.vertices)
    stay = ~left
    return SliceFlows(
        np.concatenate([source[stay], leavers]),
        np.concatenate([receiver[stay], np.full(len(leavers), _LEFT)]),
        np.concatenate([target[stay], np.zeros(len(leavers), np.int64)]),
        np.concatenate([amount[stay], leaving[leavers]]),
        np.where(cap > 0, np.maximum(cap - paid, 0.0), 1.0),
        outward,
        inward,
    )


def own_flows(
    roster: Roster, sizes: FlowSizes, form: FixedPoint, owner: int, flows: SliceFlows
) -> OwnFlows:
    """Return an owner's slice padded to the public sizes, its weights in fixed point."""
    shape = sizes.shape(owner, form.limbs)
    n = sizes.vertices[owner]
    vertices = len(flows.kept)
    limbs = shares_in_limbs(
        np.concatenate([flows.amount, flows.kept]),
        np.concatenate([flows.source, np.arange(vertices)]),
        form.weight_bits,
        form.limbs,
    )
    used = len(flows.source)
    weights = np.zeros((form.limbs, shape.entries), np.uint64)
    weights[:, :used] = limbs[:, :used]
    kept = np.zeros((form.limbs, n), np.uint64)
    kept[:, :vertices] = limbs[:, used:]
    padding = np.zeros(shape.entries - used, np.int64)
    entries = Entries(
        np.concatenate([flows.source, padding]),
        np.concatenate([output_rows(roster, sizes, owner, flows), padding]),
        weights,
        np.zeros(0, np.int64),
    )
    return OwnFlows(entries, _placed(roster, sizes, owner, flows), kept)


def output_rows(
    roster: Roster, sizes: FlowSizes, owner: int, flows: SliceFlows
) -> NDArray[np.int64]:
    """Return the output row of each flow: own account, export, or what leaves."""
    rows = flows.target.copy()
    for position in flows.outward:
        start, _stop = export_rows(
            roster, sizes.vertices, sizes.boundary, owner, roster.owners[position]
        )
        rows[flows.receiver == position] += start
    rows[flows.receiver == _LEFT] = sizes.shape(owner, 1).outputs - 1
    return rows


def _placed(roster: Roster, sizes: FlowSizes, owner: int, flows: SliceFlows) -> NDArray[np.int64]:
    """Return the own account of each import, padded, by owner of the rows."""
    parts = [np.zeros(0, np.int64)]
    for position, other in enumerate(roster.owners):
        if other != owner:
            slots = np.zeros(sizes.boundary[other, owner], np.int64)
            slots[: len(flows.inward[position])] = flows.inward[position].vertices
            parts.append(slots)
    return np.concatenate(parts)


@dataclass(frozen=True)
class Injections:
    """What the sources of an owner's questions pay in one slice, in fixed point.

    Attributes:
        row: int64 (i,), output row.
        question: int64 (i,), number of the question among the owner's.
        words: uint64 (i,).
    """

    row: NDArray[np.int64]
    question: NDArray[np.int64]
    words: Words


@dataclass(frozen=True)
class Sources:
    """The source accounts of an owner's questions: its private input.

    Attributes:
        accounts: for each question int64 own vertices, ascending; empty for one that is padding.
        factors: for each question and source what each unit that it pays counts: one over what all
            sources pay, so that it adds up to 1, or for round trips a sign over what it pays.
    """

    accounts: Sequence[NDArray[np.int64]]
    factors: Sequence[NDArray[np.float64]]

    def passed(self, rows: int) -> NDArray[np.bool_]:
        """Return where taint goes on, (questions, rows): everywhere but at the sources."""
        passed = np.ones((len(self.accounts), rows), np.bool_)
        for q, chosen in enumerate(self.accounts):
            passed[q, chosen] = False
        return passed


def paid_amounts(flows: Sequence[SliceFlows], vertices: int) -> NDArray[np.float64]:
    """Return what each own account pays in all slices, (vertices,), minor units."""
    total = np.zeros(vertices)
    for f in flows:
        total += np.bincount(f.source, f.amount, minlength=vertices)
    return total


def injections(
    flows: SliceFlows, rows: NDArray[np.int64], sources: Sources, value_bits: int
) -> Injections:
    """Return what the sources of each question pay in a slice.

    Args:
        flows: the slice.
        rows: the output row of each of its flows (``output_rows``).
        sources: the questions.
        value_bits: fractional bits of the words.
    """
    edges, questions, words = [], [], []
    for q, (chosen, factor) in enumerate(zip(sources.accounts, sources.factors, strict=True)):
        picked = np.flatnonzero(np.isin(flows.source, chosen))
        share = flows.amount[picked] * factor[np.searchsorted(chosen, flows.source[picked])]
        edges.append(picked)
        questions.append(np.full(len(picked), q))
        words.append(np.rint(share * 2.0**value_bits).astype(np.int64).view(np.uint64))
    return Injections(rows[np.concatenate(edges)], np.concatenate(questions), np.concatenate(words))
