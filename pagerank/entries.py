"""From an owner's part of the graph to its private matrix for PageRank.

Column v of A holds, for each account that v pays, alpha times the share of v's payments that goes
there; payments to accounts outside the consortium are left out of the graph, so an account with no
others is dangling (a column of zeros).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.boundary import Boundary, reached_by, reaches
from graph_mpc.graph import OUTSIDE, LocalGraph
from graph_mpc.layout import Entries, MapShape
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import Words
from graph_mpc.rounding import split_limbs

__all__ = ["PaymentMatrix", "limbs_of", "payment_matrix"]


@dataclass(frozen=True)
class PaymentMatrix:
    """The non-zeros of an owner's columns, before padding.

    Attributes:
        source: int64 (e,), own payer.
        target: int64 (e,), own payee v >= 0, or ~i for row i of the boundary to ``receiver``.
        receiver: int64 (e,), position of the payee's owner.
        weight: float64 (e,), alpha times the payer's share.
        outward: for each other owner (position) the boundary that this owner reaches.
        inward: for each other owner (position) the own vertices that it reaches.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    receiver: NDArray[np.int64]
    weight: NDArray[np.float64]
    outward: dict[int, Boundary]
    inward: dict[int, Boundary]


def payment_matrix(
    graph: LocalGraph, matched: NDArray[np.bool_], weight: str, alpha: float
) -> PaymentMatrix:
    """Return the matrix of an owner's payments inside the consortium."""
    me = graph.owners.index(graph.owner)
    others = [position for position in range(len(graph.owners)) if position != me]
    outward = {other: reaches(graph, matched, other) for other in others}
    inward = {other: reached_by(graph, matched, other) for other in others}
    row, receiver = _rows_of_neighbours(graph, outward)
    # A neighbour outside the consortium has no row; own payees are rows themselves.
    own = graph.target >= 0
    neighbour = np.where(own, 0, ~graph.target)
    known = own | (receiver[neighbour] != OUTSIDE) if len(receiver) else own
    kept = (graph.source >= 0) & matched & known
    source = graph.source[kept].astype(np.int64)
    own, neighbour = own[kept], neighbour[kept]
    target = graph.target[kept].astype(np.int64)
    owner_of_target = np.full(len(source), me, np.int64)
    target[~own] = ~row[neighbour[~own]]
    owner_of_target[~own] = receiver[neighbour[~own]]
    values = {
        "amount": graph.weight,
        "count": graph.count,
        "none": np.ones(graph.edges, np.int64),
    }[weight][kept].astype(np.float64)
    total = np.bincount(source, values, minlength=graph.vertices)
    paid = total[source]
    share = np.divide(values, paid, out=np.zeros_like(values), where=paid > 0)
    return PaymentMatrix(source, target, owner_of_target, alpha * share, outward, inward)


def _rows_of_neighbours(
    graph: LocalGraph, outward: dict[int, Boundary]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each neighbour its row in the boundary to its owner, and that owner."""
    row = np.zeros(len(graph.neighbour_owner), np.int64)
    receiver = np.full(len(graph.neighbour_owner), OUTSIDE, np.int64)
    for other, boundary in outward.items():
        row[boundary.vertices] = np.arange(len(boundary))
        receiver[boundary.vertices] = other
    return row, receiver


def limbs_of(weight: NDArray[np.float64], form: FixedPoint) -> Words:
    """Return the limbs of weights in [0, 1], (L, e): their sum is the nearest fixed point."""
    scaled = np.rint(weight * 2.0 ** (form.limbs * form.weight_bits)).astype(np.uint64)
    return split_limbs(scaled, form.weight_bits, form.limbs)


def pad_entries(
    matrix: PaymentMatrix,
    shape: MapShape,
    form: FixedPoint,
    row_start: dict[int, int],
    import_rows: dict[int, int],
) -> Entries:
    """Return the matrix padded to the public sizes.

    Args:
        matrix: the non-zeros.
        shape: the public sizes.
        form: fixed-point format of the weights.
        row_start: for each other owner (position), the first output row of the boundary to it.
        import_rows: for each other owner (position), the padded number of its rows for this one.
    """
    target = matrix.target.copy()
    for other, start in row_start.items():
        there = (matrix.target < 0) & (matrix.receiver == other)
        target[there] = start + ~matrix.target[there]
    padding = shape.entries - len(target)
    zeros = np.zeros(padding, np.int64)
    limbs = np.zeros((form.limbs, shape.entries), np.uint64)
    limbs[:, : len(target)] = limbs_of(matrix.weight, form)
    place = [np.zeros(rows, np.int64) for rows in import_rows.values()]
    for slots, other in zip(place, import_rows, strict=True):
        slots[: len(matrix.inward[other])] = matrix.inward[other].vertices
    return Entries(
        np.concatenate([matrix.source, zeros]),
        np.concatenate([target, zeros]),
        limbs,
        np.concatenate([*place, np.zeros(0, np.int64)]),
    )
