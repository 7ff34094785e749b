"""Whether the secure run agrees with the pooled one, to the accuracy that the secure run states.

Each secure run states a bound on its errors in ``run.json``.  Here every account's error is divided
by what the bound allows for it; the largest such share must not exceed 1.

- PageRank by risk scores: |error| <= bound · u / mean risk + tolerance, with u the account's
  uniform PageRank on the same graph, and the tolerance for the iterations that were left out;
- risk propagation and round trips: |error| <= bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pagerank import plain_pagerank
from simdata.comparison.analyses import ANALYSES, PAGERANKS, PARAMETERS, pagerank_graph
from simdata.comparison.marking import Marks
from simdata.comparison.measures import chosen
from simdata.comparison.payments import Labelled
from simdata.comparison.worlds import Comparison

__all__ = ["Agreement", "agreements", "different_alerts"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How an analysis agrees.

    Attributes:
        analysis: its name.
        stated: the bound that the secure run states.
        largest_error: largest absolute difference between secure and pooled.
        used: largest share of what the bound allows; at most 1 if it holds.
        holds: whether it does.
    """

    analysis: str
    stated: float
    largest_error: float
    used: float
    holds: bool


def agreements(
    data: Labelled,
    marks: Marks,
    secure: Mapping[str, Floats],
    plain: Mapping[str, Floats],
    records: Mapping[str, Mapping[str, Any]],
) -> list[Agreement]:
    """Return how the secure runs agree with the plain analyses, one entry for each analysis.

    Args:
        data: the data set, with the payments that were analysed.
        marks: what the banks put in.
        secure: results of the secure runs, (n,) each.
        plain: results of the same analyses over all payments in plain, (n,) each.
        records: the ``run.json`` of each secure run.
    """
    result = []
    for name in ANALYSES:
        bound = float(records[name]["accuracy"]["bound"])
        error = np.abs(secure[name] - plain[name])
        used = float(np.max(error / _allowed(data, marks, name, bound)))
        result.append(Agreement(name, bound, float(error.max()), used, used <= 1.0))
    return result


def different_alerts(comparison: Comparison, alerts: int) -> int:
    """Return how many alerts of the secure world the pooled one does not raise."""
    sets = [
        chosen(comparison.data.bank, comparison.score[world], alerts)
        for world in ("secure", "pooled")
    ]
    return int(np.count_nonzero(sets[0] & ~sets[1]))


def _allowed(data: Labelled, marks: Marks, name: str, bound: float) -> Floats:
    suspicion = marks.suspicion
    if name not in PAGERANKS or not suspicion.any():
        return np.full(len(data), bound)
    graph = pagerank_graph(name, data.payments, len(data))
    uniform = plain_pagerank(graph, float(PARAMETERS[name]["alpha"]))
    allowed: Floats = bound * uniform / suspicion.mean() + float(PARAMETERS[name]["tolerance"])
    return allowed
