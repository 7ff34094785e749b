"""PageRank in plain over a pooled graph: what the secure result must agree with.

SciPy and networkx are loaded where they are used: a worker of a joint run loads this module, with
the package, and needs neither.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pagerank.direction import Direction

__all__ = ["PooledGraph", "networkx_pagerank", "plain_pagerank", "pooled_direction"]


@dataclass(frozen=True)
class PooledGraph:
    """A graph over all accounts, parallel payments added up or not.

    Attributes:
        accounts: number of accounts.
        source: int64 (e,).
        target: int64 (e,).
        weight: float64 (e,).
    """

    accounts: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]


def pooled_direction(graph: PooledGraph, direction: Direction) -> PooledGraph:
    """Return the graph that is walked: A as paid, its transpose, or the sum of the two."""
    if direction == "forward":
        return graph
    if direction == "backward":
        return replace(graph, source=graph.target, target=graph.source)
    return PooledGraph(
        graph.accounts,
        np.concatenate([graph.source, graph.target]),
        np.concatenate([graph.target, graph.source]),
        np.tile(graph.weight, 2),
    )


def plain_pagerank(
    graph: PooledGraph,
    alpha: float = 0.85,
    personalisation: NDArray[np.float64] | None = None,
    tolerance: float = 1e-15,
) -> NDArray[np.float64]:
    """Return PageRank by power iteration to convergence, (accounts,), summing to 1.

    Dangling accounts pass their score on by the personalisation, as in ``networkx.pagerank``.  Each
    step shrinks the error by alpha, so after a fixed number of steps only rounding is left.
    """
    import scipy.sparse as sp

    n = graph.accounts
    p = np.full(n, 1.0 / n) if personalisation is None else personalisation / personalisation.sum()
    a = sp.csr_array((graph.weight, (graph.target, graph.source)), shape=(n, n))
    paid = np.asarray(a.sum(axis=0)).ravel()
    dangling = paid == 0
    scaled = a @ sp.diags_array(np.divide(1.0, paid, out=np.zeros(n), where=~dangling))
    x = p.copy()
    for _ in range(math.ceil(math.log(1e-17) / math.log(max(alpha, 1e-3)))):
        following: NDArray[np.float64] = (
            alpha * (scaled @ x) + (alpha * x[dangling].sum() + 1 - alpha) * p
        )
        change = np.abs(following - x).sum()
        x = following
        if change < tolerance:
            break
    return x


def networkx_pagerank(
    graph: PooledGraph, alpha: float = 0.85, personalisation: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return ``networkx.pagerank`` run to convergence, (accounts,)."""
    import networkx as nx
    import scipy.sparse as sp

    pooled: nx.DiGraph = nx.DiGraph()
    pooled.add_nodes_from(range(graph.accounts))
    a = sp.coo_array(
        (graph.weight, (graph.source, graph.target)), shape=(graph.accounts, graph.accounts)
    )
    a.sum_duplicates()
    pooled.add_weighted_edges_from(zip(*a.coords, a.data, strict=True))
    p = None if personalisation is None else dict(enumerate(personalisation))
    tolerance = 1e-14 / graph.accounts
    scores = nx.pagerank(pooled, alpha=alpha, personalization=p, tol=tolerance, max_iter=10_000)
    return np.array([scores[v] for v in range(graph.accounts)])
