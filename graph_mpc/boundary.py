"""Boundary lists: which vertices of one owner another owner's edges reach, in an order both know.

After reconciliation both owners of a pair know the same edges between them, so each derives the
same list from its own part: the distinct end vertices, sorted by their keys.  Nothing is sent but
the padded length.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.graph import LocalGraph

__all__ = ["Boundary", "reached_by", "reaches"]


@dataclass(frozen=True)
class Boundary:
    """The boundary vertices between this owner and another one.

    Attributes:
        vertices: int64 (rows,), own vertices (``reached_by``) or neighbours (``reaches``) in the
            common order.
    """

    vertices: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of rows before padding."""
        return len(self.vertices)


def reaches(graph: LocalGraph, kept: NDArray[np.bool_], other: int) -> Boundary:
    """Return the neighbours at owner ``other`` (position) that kept own edges reach."""
    outward = kept & (graph.source >= 0) & (graph.target < 0)
    neighbours = np.unique(~graph.target[outward]).astype(np.int64)
    neighbours = neighbours[graph.neighbour_owner[neighbours] == other]
    return Boundary(neighbours[order_of_keys(graph.neighbour_key[neighbours])])


def reached_by(graph: LocalGraph, kept: NDArray[np.bool_], other: int) -> Boundary:
    """Return the own vertices that kept edges of owner ``other`` (position) reach."""
    inward = kept & (graph.source < 0) & (graph.target >= 0)
    from_other = np.zeros(graph.edges, np.bool_)
    from_other[inward] = graph.neighbour_owner[~graph.source[inward]] == other
    vertices = np.unique(graph.target[from_other]).astype(np.int64)
    return Boundary(vertices[order_of_keys(graph.vertex_key[vertices])])


def order_of_keys(keys: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the order that sorts 32-byte keys as big-endian numbers."""
    words = np.ascontiguousarray(keys).view(">u8").astype(np.uint64)
    return np.lexsort(words.T[::-1])
