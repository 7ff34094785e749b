"""Round trips that stay inside a bank, in plain: the reference over the bank's own payments."""

import numpy as np
from numpy.typing import NDArray

from flow_tracing.flows import Balances
from flow_tracing.reference import PooledFlows, plain_round_trip
from graph_mpc.graph import LocalGraph

__all__ = ["local_round_trips"]


def local_round_trips(
    graph: LocalGraph, balances: Balances, accounts: NDArray[np.int64], hops: int
) -> NDArray[np.float64]:
    """Return the share of what each account pays that comes back to it inside the bank.

    What leaves the bank counts as paid and does not come back: right for accounts whose money
    cannot come back over another bank in time (``flow_tracing.scope``).
    """
    if len(accounts) == 0:
        return np.zeros(0)
    flows = PooledFlows(
        accounts=graph.vertices,
        slices=graph.slices,
        source=np.where(graph.source < 0, -1, graph.source).astype(np.int64),
        target=np.where(graph.target < 0, -1, graph.target).astype(np.int64),
        slice=graph.slice.astype(np.int64),
        amount=graph.weight,
        balance=np.asarray(balances.amount, np.int64),
        balance_known=balances.known,
    )
    return plain_round_trip(flows, accounts, hops)
