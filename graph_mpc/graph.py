"""One owner's part of a distributed graph, as arrays.

The graph is directed; parallel edges are added up per time slice, so that a (source, target, slice)
occurs once.  An owner knows every edge that has one of its vertices on either side; an edge between
two owners is therefore known to exactly these two, each of which holds it in its own part.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUTSIDE", "LocalGraph"]

OUTSIDE = -1
"""Owner index of a neighbour that belongs to no owner of the run."""


@dataclass(frozen=True)
class LocalGraph:
    """The vertices of one owner and all edges that touch them.

    Attributes:
        owner: id of the owner.
        owners: ids of all owners of the run, in the order of the run's roster.
        vertex_key: uint8 (n, 32), SHA-256 of the canonical id (owner and name) of each own vertex.
        neighbour_owner: int16 (k,), for each foreign vertex next to an own one the index of its
            owner in ``owners``, or ``OUTSIDE``.
        neighbour_key: uint8 (k, 32), SHA-256 of the canonical id of each such vertex.
        source: int32 (e,), start of each edge: own vertex v as v >= 0, neighbour i as ~i < 0.
        target: int32 (e,), end of each edge, numbered in the same way.
        slice: int32 (e,), time slice of each edge, from 0; all 0 if the run has one slice.
        weight: int64 (e,), sum of the weights (minor currency units) of the parallel edges.
        count: int64 (e,), number of parallel edges.
        slices: number of time slices.
    """

    owner: str
    owners: tuple[str, ...]
    vertex_key: NDArray[np.uint8]
    neighbour_owner: NDArray[np.int16]
    neighbour_key: NDArray[np.uint8]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    slice: NDArray[np.int32]
    weight: NDArray[np.int64]
    count: NDArray[np.int64]
    slices: int = 1

    @property
    def vertices(self) -> int:
        """Number of own vertices."""
        return len(self.vertex_key)

    @property
    def edges(self) -> int:
        """Number of edges that touch an own vertex."""
        return len(self.source)

    def reversed(self) -> "LocalGraph":
        """Return the graph with every edge the other way round."""
        return replace(self, source=self.target, target=self.source)
