"""The joint analyses in plain over what one party sees: all payments, or those of one bank.

- *pagerank*: PageRank personalised by the banks' suspicions (``marking``), along the payments;
- *pagerank-both*: the same with each payment followed both ways, so that suspicion also reaches
  who paid a suspected account, and who else was paid by the same payer;
- *risk-propagation*: the suspicions spread along the payments, the whole window in one slice;
- *round-trip*: the share of an account's outgoing money that comes back within H payments, for the
  accounts in scope, 0 for all others.

All use the references with which the secure runs must agree.  A bank alone has its counterparties
at the other banks as accounts of its graph; of their risk it knows nothing, so it takes 0, and of
their balances nothing, so none counts.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow_tracing import PooledFlows, plain_round_trip
from pagerank import (
    PooledGraph,
    RiskParameters,
    SlicedGraph,
    plain_pagerank,
    plain_risk_propagation,
)
from pagerank.reference import pooled_direction
from simdata.comparison.marking import Marks
from simdata.comparison.payments import Labelled, Payments, seen_by

__all__ = [
    "ANALYSES",
    "PAGERANKS",
    "PARAMETERS",
    "alone",
    "analyse",
    "analysis_of",
    "pagerank_graph",
    "pooled",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PARAMETERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "pagerank": {"alpha": 0.7, "tolerance": 1e-9, "personalisation": "risk_score"},
        "pagerank-both": {
            "alpha": 0.7,
            "tolerance": 1e-9,
            "personalisation": "risk_score",
            "direction": "both",
        },
        "risk-propagation": {"iterations": 6, "delta": 0.5},
        "round-trip": {"hops": 6, "scope": "in_scope"},
    }
)
"""What is run in a comparison, with the public parameters of ``undercurrent lab run``."""

ANALYSES = tuple(PARAMETERS)

PAGERANKS = ("pagerank", "pagerank-both")
"""Those that are PageRank, each by the analysis of that name with its own parameters."""


def analysis_of(name: str) -> str:
    """Return the analysis that the workers run for a name of ``ANALYSES``."""
    return "pagerank" if name in PAGERANKS else name


def pooled(data: Labelled, payments: Payments, marks: Marks) -> dict[str, Floats]:
    """Return the results of all analyses over all payments together, (n,) each."""
    return analyse(data, payments, marks.suspicion, marks.scope)


def alone(data: Labelled, payments: Payments, marks: Marks) -> dict[str, Floats]:
    """Return the results that each bank reaches alone, for its own accounts, (n,) each."""
    result = {name: np.zeros(len(data)) for name in ANALYSES}
    for bank in range(len(data.dataset.banks)):
        own = data.bank == bank
        seen = seen_by(data, payments, bank)
        known = replace(data, balance_known=data.balance_known & own)
        found = analyse(known, seen, np.where(own, marks.suspicion, 0.0), marks.scope & own)
        for name in ANALYSES:
            result[name][own] = found[name][own]
    return result


def analyse(data: Labelled, payments: Payments, risk: Floats, scope: Bools) -> dict[str, Floats]:
    """Return the results of all analyses over some payments, (n,) each.

    Args:
        data: the accounts.
        payments: what is seen.
        risk: float64 (n,), suspicion, 0 where nothing is known.
        scope: bool (n,), accounts whose round trips are asked for.
    """
    return {
        "pagerank": _pagerank("pagerank", payments, risk),
        "pagerank-both": _pagerank("pagerank-both", payments, risk),
        "risk-propagation": _risk_propagation(payments, risk),
        "round-trip": _round_trip(data, payments, scope),
    }


def pagerank_graph(name: str, payments: Payments, accounts: int) -> PooledGraph:
    """Return the graph that one of ``PAGERANKS`` walks."""
    inside = _inside(payments)
    paid = PooledGraph(
        accounts, payments.source[inside], payments.target[inside],
        payments.amount[inside].astype(np.float64),
    )  # fmt: skip
    return pooled_direction(paid, PARAMETERS[name].get("direction", "forward"))


def _pagerank(name: str, payments: Payments, risk: Floats) -> Floats:
    graph = pagerank_graph(name, payments, len(risk))
    alpha = float(PARAMETERS[name]["alpha"])
    return plain_pagerank(graph, alpha, risk if risk.any() else None)


def _risk_propagation(payments: Payments, risk: Floats) -> Floats:
    inside = _inside(payments)
    graph = SlicedGraph(
        len(risk), payments.source[inside], payments.target[inside],
        payments.amount[inside].astype(np.float64), np.zeros(np.count_nonzero(inside), np.int64),
    )  # fmt: skip
    deltas = RiskParameters(**PARAMETERS["risk-propagation"]).deltas()
    return plain_risk_propagation(graph, risk, deltas)


def _round_trip(data: Labelled, payments: Payments, scope: Bools) -> Floats:
    flows = PooledFlows(
        accounts=len(data),
        slices=1,
        source=payments.source,
        target=payments.target,
        slice=np.zeros(len(payments.source), np.int64),
        amount=payments.amount,
        balance=data.balance,
        balance_known=data.balance_known,
    )
    result = np.zeros(len(data))
    asked = np.flatnonzero(scope)
    result[asked] = plain_round_trip(flows, asked, int(PARAMETERS["round-trip"]["hops"]))
    return result


def _inside(payments: Payments) -> Bools:
    inside: Bools = (payments.source >= 0) & (payments.target >= 0)
    return inside
