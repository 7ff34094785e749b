"""What each bank knows of its own accounts without any analysis of the graph.

Every payment of an account is seen by its own bank, cross-bank ones included, so these signals are
the same in all worlds: alone, jointly and pooled.
"""

import numpy as np
from numpy.typing import NDArray

from simdata.comparison.payments import Labelled, Payments

__all__ = ["LOCAL_SIGNALS", "local_signals"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOCAL_SIGNALS = (
    "initial risk score",
    "payers (log)",
    "payees (log)",
    "money in (log)",
    "mean payment in (log)",
    "passed on in 3 days",
    "money out (log)",
    "mean payment out (log)",
    "largest payment in (log)",
    "largest payment out (log)",
)
_LITTLE = 200_000.0  # minor units; an account that received less has weak evidence
_QUICK = 3 * 86_400_000_000


def local_signals(data: Labelled, payments: Payments) -> Floats:
    """Return the signals of all accounts, (n, number of ``LOCAL_SIGNALS``)."""
    n = len(data)
    into = payments.target >= 0
    received = np.bincount(payments.target[into], payments.amount[into], n)
    count = np.bincount(payments.target[into], minlength=n)
    size = received / (received + _LITTLE)
    out = payments.source >= 0
    paid = np.bincount(payments.source[out], payments.amount[out], n)
    times = np.bincount(payments.source[out], minlength=n)
    return np.stack(
        [
            data.risk,
            np.log1p(_neighbours(payments.target, payments.source, n)),
            np.log1p(_neighbours(payments.source, payments.target, n)),
            np.log1p(received / 100.0),
            np.log1p(received / np.maximum(count, 1) / 100.0),
            size * _passed_on(payments, n),
            np.log1p(paid / 100.0),
            np.log1p(paid / np.maximum(times, 1) / 100.0),
            np.log1p(_largest(payments.target, payments.amount, n) / 100.0),
            np.log1p(_largest(payments.source, payments.amount, n) / 100.0),
        ],
        axis=1,
    )


def _neighbours(account: Ints, other: Ints, n: int) -> Ints:
    """Number of distinct other ends of each account's payments; all outside ends are one."""
    own = account >= 0
    pairs = np.unique(account[own] * (n + 1) + other[own] + 1)
    return np.bincount(pairs // (n + 1), minlength=n)


def _largest(account: Ints, amount: Ints, n: int) -> Ints:
    """Largest of each account's payments, 0 without any."""
    result = np.zeros(n, np.int64)
    own = account >= 0
    np.maximum.at(result, account[own], amount[own])
    return result


def _passed_on(payments: Payments, n: int) -> Floats:
    """Share of the money received that left within three days, (n,); an upper bound.

    Of each payment received, what the account paid in that time, at most the payment itself.
    """
    if len(payments.time) == 0:
        return np.zeros(n)
    # Account and time as one number, so that one search finds both.
    start = payments.time[0]
    span = int(payments.time[-1] - start) + _QUICK + 1
    out = np.flatnonzero(payments.source >= 0)
    out = out[np.argsort(payments.source[out], kind="stable")]
    moment = payments.source[out] * span + payments.time[out] - start
    paid = np.concatenate([[0], np.cumsum(payments.amount[out])])
    into = np.flatnonzero((payments.target >= 0) & (payments.source != payments.target))
    begin = payments.target[into] * span + payments.time[into] - start
    after = paid[np.searchsorted(moment, begin + _QUICK, side="right")]
    passed = np.minimum(after - paid[np.searchsorted(moment, begin)], payments.amount[into])
    received = np.bincount(payments.target[into], payments.amount[into], n)
    return np.asarray(
        np.bincount(payments.target[into], passed, n) / np.maximum(received, 1.0), np.float64
    )
