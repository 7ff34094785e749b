"""Risk propagation in plain over a pooled graph: what the secure result must agree with.

Source: van Egmond et al., FC 2024; protocol design, section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SlicedGraph", "plain_risk_propagation"]


@dataclass(frozen=True)
class SlicedGraph:
    """Payments between the accounts of all banks, parallel payments added up or not.

    Attributes:
        accounts: number of accounts, n.
        source: int64 (e,).
        target: int64 (e,).
        weight: float64 (e,), amount.
        slice: int64 (e,), time slice of each payment, from 0.
        slices: number of slices.
    """

    accounts: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    slice: NDArray[np.int64]
    slices: int = 1


def plain_risk_propagation(
    graph: SlicedGraph, risk: NDArray[np.float64], deltas: Sequence[float]
) -> NDArray[np.float64]:
    """Return the scores after all slices, (accounts,).

    Args:
        graph: the payments; senders outside the consortium are left out by the caller.
        risk: float64 (n,), in [0, 1].
        deltas: delta_k for k = 1..K, the same in each slice.
    """
    import scipy.sparse as sp  # A worker loads this module, and does without.

    n = graph.accounts
    s = np.asarray(risk, np.float64)
    for t in range(graph.slices):
        there = graph.slice == t
        received = sp.csr_array(
            (graph.weight[there], (graph.target[there], graph.source[there])), shape=(n, n)
        )
        total = np.asarray(received.sum(axis=1)).ravel()
        share = sp.diags_array(np.divide(1.0, total, out=np.zeros(n), where=total > 0)) @ received
        for delta in deltas:
            s = (1 - delta) * s + delta * (share @ s)
    return s
