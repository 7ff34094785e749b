"""Where the nodes of a picture stand: columns from left to right, and few crossings inside.

Computed after Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11(2), 1981): the columns are given; the
order inside each is improved by sweeps to the right and to the left, in which every node goes to
the barycentre of its neighbours on the side that the sweep comes from.  The order with the fewest
crossings of all that were seen is kept.  A crossing is counted between payments of the same two
columns.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layered", "crossings", "few_crossings", "heights"]

_SWEEPS = 8
_BLOCK = 64

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layered:
    """Nodes in columns and the edges between different columns.

    Attributes:
        column: int64 (n,), from 0. source, target: int64 (e,), nodes.
    """

    column: Ints
    source: Ints
    target: Ints

    @property
    def sizes(self) -> Ints:
        """Nodes of each column."""
        return np.bincount(self.column)


def few_crossings(graph: Layered, rank: Ints) -> Ints:
    """Return the rank (n,) of each node in its column, so that few edges cross.

    Args:
        graph: nodes and edges.
        rank: the order to begin with, 0 for the topmost of each column; kept if none is better.
    """
    best, fewest = rank, crossings(graph, rank)
    sides = [_neighbours(graph, rightward=True), _neighbours(graph, rightward=False)]
    columns = range(int(graph.column.max(initial=-1)) + 1)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        backward = sweep % 2
        rank = rank.copy()
        for c in columns[::-1] if backward else columns:
            _reorder(graph, rank, c, sides[backward])
        found = crossings(graph, rank)
        if found < fewest:
            best, fewest = rank, found
    return best


def _neighbours(graph: Layered, *, rightward: bool) -> list[tuple[Ints, Ints]]:
    """Return for each column its edges to columns before (rightward) or behind: node, neighbour."""
    ends = np.concatenate([graph.source, graph.target])
    others = np.concatenate([graph.target, graph.source])
    before = graph.column[others] < graph.column[ends]
    behind = graph.column[others] > graph.column[ends]
    kept = before if rightward else behind
    ends, others = ends[kept], others[kept]
    order = np.argsort(graph.column[ends], kind="stable")
    ends, others = ends[order], others[order]
    count = int(graph.column.max(initial=-1)) + 1
    bounds = np.searchsorted(graph.column[ends], np.arange(count + 1))
    pairs = itertools.pairwise(bounds)
    return [(ends[a:b], others[a:b]) for a, b in pairs]


def _reorder(graph: Layered, rank: Ints, column: int, side: list[tuple[Ints, Ints]]) -> None:
    """Put the nodes of a column into the order of their neighbours' mean height."""
    members = np.flatnonzero(graph.column == column)
    ends, others = side[column]
    if not len(ends) or len(members) < 2:
        return
    height = heights(graph, rank)
    count = np.bincount(ends, minlength=len(rank))[members]
    total = np.bincount(ends, weights=height[others], minlength=len(rank))[members]
    # A node without a neighbour on this side stays about where it is.
    mean = np.where(count > 0, total / np.maximum(count, 1), height[members])
    rank[members[np.lexsort((rank[members], mean))]] = np.arange(len(members))


def heights(graph: Layered, rank: Ints) -> Floats:
    """Return how far from the middle of the picture each node stands, in rows."""
    return rank - (graph.sizes[graph.column] - 1) / 2


def crossings(graph: Layered, rank: Ints) -> int:
    """Return the number of pairs of edges of the same two columns that cross."""
    swap = graph.column[graph.source] > graph.column[graph.target]
    left = np.where(swap, graph.target, graph.source)
    right = np.where(swap, graph.source, graph.target)
    apart = graph.column[left] != graph.column[right]
    left, right = left[apart], right[apart]
    if not len(left):
        return 0
    pair = graph.column[left] * (int(graph.column.max()) + 1) + graph.column[right]
    # Edges from the same node cross nowhere: among them the upper end comes first.
    order = np.lexsort((rank[right], rank[left], pair))
    bounds = np.flatnonzero(np.diff(pair[order], prepend=-1, append=-1))
    ends = rank[right][order]
    return sum(_inversions(ends[a:b]) for a, b in itertools.pairwise(bounds))


def _inversions(values: Ints) -> int:
    """Return how many pairs stand in descending order: merge sort, in blocks."""
    if len(values) <= _BLOCK:
        return int(np.count_nonzero(np.triu(values[:, None] > values[None, :], 1)))
    half = len(values) // 2
    left = np.sort(values[:half])
    above = half - np.searchsorted(left, values[half:], side="right")
    return _inversions(values[:half]) + _inversions(values[half:]) + int(above.sum())
