"""Which accounts a bank asks about in round trips, and for which of them nobody else is needed.

Money of account v can come back over another bank only if v reaches, by d_out payments inside the
bank, an account that pays another bank, and if an account that another bank pays reaches v by d_in:
a round trip over other banks has at least d_out + 2 + d_in payments.  Where that is more than all
hops, every round trip is local and the bank computes it alone, in plain.  Both distances ignore
time, so no round trip over other banks is missed.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from graph_mpc.graph import OUTSIDE, LocalGraph

__all__ = ["may_leave"]


def may_leave(graph: LocalGraph, matched: NDArray[np.bool_], hops: int) -> NDArray[np.bool_]:
    """Return for which own accounts a round trip of at most ``hops`` payments may leave the bank.

    Args:
        graph: the bank's part of the graph.
        matched: bool (e,), edges that the other bank knows too.
        hops: payments in all slices together.
    """
    n = graph.vertices
    local = (graph.source >= 0) & (graph.target >= 0)
    source, target = graph.source[local], graph.target[local]
    forward = sp.csr_array((np.ones(len(source), np.int8), (source, target)), shape=(n, n))
    pays = _ends_at_banks(graph, matched, graph.source, graph.target)
    paid = _ends_at_banks(graph, matched, graph.target, graph.source)
    to_border = _distances(forward, pays, hops)
    from_border = _distances(sp.csr_array(forward.T), paid, hops)
    result: NDArray[np.bool_] = to_border + 2 + from_border <= hops
    return result


def _ends_at_banks(
    graph: LocalGraph,
    matched: NDArray[np.bool_],
    own: NDArray[np.int32],
    other: NDArray[np.int32],
) -> NDArray[np.bool_]:
    """Return which own accounts have a payment whose other end is at a bank of the run."""
    crossing = np.flatnonzero(matched & (own >= 0) & (other < 0))
    inside = graph.neighbour_owner[~other[crossing]] != OUTSIDE
    ends = np.zeros(graph.vertices, np.bool_)
    ends[own[crossing[inside]]] = True
    return ends


def _distances(edges: sp.csr_array, goal: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Return how many edges lead from each vertex to the nearest goal; most + 1 if none do."""
    distance = np.full(len(goal), most + 1, np.int64)
    distance[goal] = 0
    reached = goal
    for steps in range(1, min(most, len(goal)) + 1):
        following = reached | ((edges @ reached.astype(np.int32)) > 0)
        new = following & ~reached
        if not new.any():
            break
        distance[new] = steps
        reached = following
    return distance
