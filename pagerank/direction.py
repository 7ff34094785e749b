"""The graph that PageRank walks: along the payments, against them, or both ways.

An owner holds each payment between two owners on either side, so it can turn its own part round by
itself: the other owner of the payment does the same, and both still hold the same edge.  Why the
protocol and what each party sees stay as they are: docs/decisions/pagerank-direction.md.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graph_mpc.graph import LocalGraph

__all__ = ["Direction", "directed"]

Direction = Literal["forward", "backward", "both"]


def directed(
    graph: LocalGraph, matched: NDArray[np.bool_], direction: Direction
) -> tuple[LocalGraph, NDArray[np.bool_]]:
    """Return the graph that is walked and which of its edges both owners know.

    Args:
        graph: one owner's part, edges as paid.
        matched: bool (e,), of each edge as paid.
        direction: ``forward`` as paid; ``backward`` every edge turned round; ``both`` the edges as
            paid and then the same turned round, 2 e in all, so that two accounts which pay each
            other have an edge for each payment in either direction, and one that pays itself two.
    """
    if direction == "forward":
        return graph, matched
    if direction == "backward":
        return graph.reversed(), matched
    twice = replace(
        graph,
        source=np.concatenate([graph.source, graph.target]),
        target=np.concatenate([graph.target, graph.source]),
        slice=np.tile(graph.slice, 2),
        weight=np.tile(graph.weight, 2),
        count=np.tile(graph.count, 2),
    )
    return twice, np.tile(matched, 2)
