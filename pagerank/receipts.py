"""From an owner's part of the graph to its private matrices for risk propagation.

Row i of the matrix of a slice holds, for each account j that paid i in the slice, the share of what
i received from accounts of the consortium that came from j.  The inputs are the own accounts and
then, for each other bank, its accounts that paid an own one, in an order that both banks know.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.boundary import Boundary, reached_by, reaches
from graph_mpc.graph import OUTSIDE, LocalGraph
from graph_mpc.layout import Entries, MapShape
from pagerank.risk_precision import RiskFixedPoint, share_limbs

__all__ = ["ReceiptMatrix", "pad_receipts", "receipt_matrix"]


@dataclass(frozen=True)
class ReceiptMatrix:
    """The non-zeros of an owner's rows in one slice, before padding.

    Attributes:
        source: int64 (e,), own payer v >= 0, or ~i for row i of the boundary to ``sender``.
        sender: int64 (e,), position of the payer's owner.
        target: int64 (e,), own payee.
        amount: int64 (e,), what was paid.
        read: for each other owner (position) its vertices that this owner reads.
        exported: for each other owner (position) the own vertices that it reads.
    """

    source: NDArray[np.int64]
    sender: NDArray[np.int64]
    target: NDArray[np.int64]
    amount: NDArray[np.int64]
    read: dict[int, Boundary]
    exported: dict[int, Boundary]


def receipt_matrix(graph: LocalGraph, matched: NDArray[np.bool_], time_slice: int) -> ReceiptMatrix:
    """Return the matrix of what an owner's accounts received in a slice."""
    me = graph.owners.index(graph.owner)
    others = [position for position in range(len(graph.owners)) if position != me]
    kept = matched & (graph.slice == time_slice)
    # Whom an account reads is whom the reversed graph reaches.
    backwards = graph.reversed()
    read = {other: reaches(backwards, kept, other) for other in others}
    exported = {other: reached_by(backwards, kept, other) for other in others}
    row = np.zeros(len(graph.neighbour_owner), np.int64)
    for boundary in read.values():
        row[boundary.vertices] = np.arange(len(boundary))
    edges = np.flatnonzero(kept & (graph.target >= 0))
    source = graph.source[edges].astype(np.int64)
    foreign = source < 0
    sender = np.full(len(edges), me, np.int64)
    sender[foreign] = graph.neighbour_owner[~source[foreign]]
    source[foreign] = ~row[~source[foreign]]
    inside = sender != OUTSIDE
    return ReceiptMatrix(
        source[inside],
        sender[inside],
        graph.target[edges[inside]].astype(np.int64),
        graph.weight[edges[inside]],
        read,
        exported,
    )


def pad_receipts(
    matrix: ReceiptMatrix, shape: MapShape, form: RiskFixedPoint, first_row: dict[int, int]
) -> Entries:
    """Return the matrix padded to the public sizes.

    Args:
        matrix: the non-zeros.
        shape: the public sizes.
        form: fixed-point format of the weights.
        first_row: for each other owner (position), the first input of the boundary to it.
    """
    source = matrix.source.copy()
    for other, start in first_row.items():
        there = (matrix.source < 0) & (matrix.sender == other)
        source[there] = start + ~matrix.source[there]
    limbs = np.zeros((form.limbs, shape.entries), np.uint64)
    limbs[:, : len(source)] = share_limbs(matrix.amount, matrix.target, form)
    padding = np.zeros(shape.entries - len(source), np.int64)
    return Entries(
        np.concatenate([source, padding]),
        np.concatenate([matrix.target, padding]),
        limbs,
        np.zeros(0, np.int64),
    )
