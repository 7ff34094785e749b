r"""Flow tracing and round trips in plain over pooled payments: what the secure result must equal.

In a slice with inflow I, outflow O and balance B an account of cap = max(B + I, O) passes on the
share a / cap of the taint at it with each payment of amount a, and keeps the rest.  Sources are
tainted throughout: in every slice their payments carry their amounts in full, what arrives at them
is recorded as returned and goes no further.  In a slice taint makes up to H payments:

    r^0 = holdings, cap at sources;   r^h = arrivals of hop h from r^(h-1)
    holdings at the end = sum_{h<H} (1 - psi) r^h + r^H,   psi = O / cap

Backward, payments are reversed, slices run from the last to the first, and B is the balance at the
end of a slice.  Every trace asserts injected = held + returned + left.

Source: protocol design, section 5 (``Flow tracing``, ``Round trip``).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = [
    "PooledFlows",
    "Trace",
    "WalkedSlice",
    "plain_round_trip",
    "plain_trace",
    "walked_slices",
]

_TOLERANCE = 1e-9
_BLOCK = 256


@dataclass(frozen=True)
class PooledFlows:
    """All payments over all accounts of all banks.

    Attributes:
        accounts: number of accounts, n.
        slices: number of slices, T.
        source: int64 (e,), -1 for an account outside the consortium.
        target: int64 (e,), the same.
        slice: int64 (e,).
        amount: int64 (e,), minor units.
        balance: int64 (n,), minor units at the start of the window, >= 0.
        balance_known: bool (n,); where it is False the balance counts as 0 in every slice.
    """

    accounts: int
    slices: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    slice: NDArray[np.int64]
    amount: NDArray[np.int64]
    balance: NDArray[np.int64]
    balance_known: NDArray[np.bool_]


@dataclass(frozen=True)
class Trace:
    """Where the money went, in minor units.

    Attributes:
        received: float64 (T, n) or, with a depth, (T, n, D): by slice and account, and by number
            of payments since the source (the last column that many or more).
        returned: the same for what came back to sources.
        held: float64 (n,), what accounts hold at the end.
        left: what went to accounts outside the consortium.
        injected: what the sources paid.
    """

    received: NDArray[np.float64]
    returned: NDArray[np.float64]
    held: NDArray[np.float64]
    left: float
    injected: float


@dataclass(frozen=True)
class WalkedSlice:
    """One slice as it is walked: y = spread z, and what accounts keep and lose to the outside."""

    spread: sp.csr_array
    kept: NDArray[np.float64]
    lost: NDArray[np.float64]
    paid: sp.csr_array
    paid_outside: NDArray[np.float64]


def plain_trace(
    flows: PooledFlows,
    sources: NDArray[np.int64],
    hops: int,
    *,
    direction: Literal["forward", "backward"] = "forward",
    depth: int | None = None,
) -> Trace:
    """Return where the money of the sources went, or came from.

    Args:
        flows: the payments.
        sources: source accounts.
        hops: H, payments that money can make inside a slice.
        direction: ``backward`` asks where it came from; slices keep their numbers.
        depth: D, to tell apart how many payments the money made.
    """
    n, columns = flows.accounts, depth or 1
    is_source = np.zeros(n, np.bool_)
    is_source[sources] = True
    received = np.zeros((flows.slices, n, columns))
    returned = np.zeros_like(received)
    holdings = np.zeros((n, columns))
    left = injected = 0.0
    for t, walked in walked_slices(flows, direction):
        r, kept = holdings, np.zeros((n, columns))
        for hop in range(hops):
            kept += walked.kept[:, None] * r
            left += float((walked.lost[:, None] * r).sum())
            arrived = _deeper(walked.spread @ r)
            if hop == 0:
                arrived[:, 0] += walked.paid @ is_source.astype(np.float64)
                left += float(walked.paid_outside[is_source].sum())
                injected += float(
                    (walked.paid @ is_source.astype(np.float64)).sum()
                    + walked.paid_outside[is_source].sum()
                )
            received[t] += np.where(is_source[:, None], 0.0, arrived)
            returned[t] += np.where(is_source[:, None], arrived, 0.0)
            r = np.where(is_source[:, None], 0.0, arrived)
        holdings = np.where(is_source[:, None], 0.0, kept + r)
    held = holdings.sum(axis=1)
    _require_conserved(injected, float(held.sum()) + float(returned.sum()) + left)
    if depth is None:
        received, returned = received[:, :, 0], returned[:, :, 0]
    return Trace(received, returned, held, left, injected)


def plain_round_trip(
    flows: PooledFlows, accounts: NDArray[np.int64], hops: int
) -> NDArray[np.float64]:
    """Return for each account the share of what it pays that comes back to it within H hops.

    This is what a trace from the account alone returns, divided by what it injects; 0 for an
    account that pays nothing.
    """
    shares = [
        _round_trips(flows, accounts[start : start + _BLOCK], hops)
        for start in range(0, len(accounts), _BLOCK)
    ]
    return np.concatenate([*shares, np.zeros(0)])


def _round_trips(flows: PooledFlows, accounts: NDArray[np.int64], hops: int) -> NDArray[np.float64]:
    """Return the round trips of some accounts, one column each."""
    n, width = flows.accounts, len(accounts)
    columns = np.arange(width)
    ones = np.zeros((n, width))
    ones[accounts, columns] = 1.0
    holdings, returned, paid = np.zeros((n, width)), np.zeros(width), np.zeros(width)
    for _t, walked in walked_slices(flows, "forward"):
        r, kept = holdings, np.zeros((n, width))
        for hop in range(hops):
            kept += walked.kept[:, None] * r
            arrived = walked.spread @ r
            if hop == 0:
                own = walked.paid @ ones
                paid += own.sum(axis=0) + walked.paid_outside[accounts]
                arrived = arrived + own
            returned += arrived[accounts, columns]
            arrived[accounts, columns] = 0.0
            r = arrived
        holdings = kept + r
        holdings[accounts, columns] = 0.0
    return np.divide(returned, paid, out=np.zeros(width), where=paid > 0)


def walked_slices(
    flows: PooledFlows, direction: Literal["forward", "backward"]
) -> list[tuple[int, WalkedSlice]]:
    """Return the slices in the order in which they are walked, with their numbers."""
    caps = _caps(flows, direction)
    order = range(flows.slices) if direction == "forward" else range(flows.slices)[::-1]
    return [(t, _one_slice(flows, direction, t, caps[t])) for t in order]


def _caps(flows: PooledFlows, direction: Literal["forward", "backward"]) -> NDArray[np.float64]:
    """Return max(B + I, O) of each slice and account, (T, n)."""
    n = flows.accounts
    inflow, outflow = np.zeros((flows.slices, n)), np.zeros((flows.slices, n))
    for total, end in ((inflow, flows.target), (outflow, flows.source)):
        inside = end >= 0
        np.add.at(total, (flows.slice[inside], end[inside]), flows.amount[inside])
    balance = np.where(flows.balance_known, flows.balance, 0).astype(np.float64)
    caps = np.zeros((flows.slices, n))
    for t in range(flows.slices):
        after = np.maximum(balance + inflow[t] - outflow[t], 0.0)
        after = np.where(flows.balance_known, after, 0.0)
        if direction == "forward":
            caps[t] = np.maximum(balance + inflow[t], outflow[t])
        else:
            caps[t] = np.maximum(after + outflow[t], inflow[t])
        balance = after
    return caps


def _one_slice(
    flows: PooledFlows,
    direction: Literal["forward", "backward"],
    t: int,
    cap: NDArray[np.float64],
) -> WalkedSlice:
    n = flows.accounts
    there = flows.slice == t
    source, target = flows.source[there], flows.target[there]
    if direction == "backward":
        source, target = target, source
    amount = flows.amount[there].astype(np.float64)
    inside = (source >= 0) & (target >= 0)
    paid = sp.csr_array((amount[inside], (target[inside], source[inside])), shape=(n, n))
    outside = (source >= 0) & (target < 0)
    paid_outside = np.zeros(n)
    np.add.at(paid_outside, source[outside], amount[outside])
    share = np.divide(1.0, cap, out=np.zeros(n), where=cap > 0)
    out = np.asarray(paid.sum(axis=0)).ravel() + paid_outside
    return WalkedSlice(
        spread=sp.csr_array(paid @ sp.diags_array(share)),
        kept=np.maximum(1.0 - out * share, 0.0),
        lost=paid_outside * share,
        paid=paid,
        paid_outside=paid_outside,
    )


def _deeper(arrived: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move each column to that of one payment more; the last holds that many or more."""
    if arrived.shape[1] == 1:
        return arrived
    moved = np.zeros_like(arrived)
    moved[:, 1:] = arrived[:, :-1]
    moved[:, -1] += arrived[:, -1]
    return moved


def _require_conserved(injected: float, accounted: float) -> None:
    if abs(injected - accounted) > _TOLERANCE * max(injected, 1.0):
        raise ArithmeticError(f"{injected} went in, but {accounted} is held, returned or left")
