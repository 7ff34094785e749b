"""What one bank can compute of its own accounts from their payments alone.

Each function looks at one account's payments at a time, in order of time; nothing of other banks'
payments is used, so a bank's node could do the same.  Amounts in hundredths.
"""

import numpy as np
from numpy.typing import NDArray

from simdata.generator.payments import CASH, DAY, Floats, Ints, Payments

__all__ = ["cash_share", "lowest_balance", "near_limit_deposits", "passed_on", "received"]


def received(payments: Payments, n: int) -> Floats:
    """Money that each of ``n`` accounts received."""
    return _total(payments.payee, payments.amount, n)


def _total(account: NDArray[np.int32], amount: NDArray[np.int64], n: int) -> Floats:
    real = account >= 0
    return np.bincount(account[real], amount[real], n).astype(np.float64)


def cash_share(payments: Payments, n: int) -> Floats:
    """Share of cash in the money that each account received."""
    cash = payments.payer == CASH
    into = _total(payments.payee[cash], payments.amount[cash], n)
    return into / np.maximum(received(payments, n), 1.0)


def near_limit_deposits(payments: Payments, n: int, limit: float) -> Ints:
    """Number of cash deposits from half the limit (in hundredths) up to just below it."""
    near = (payments.payer == CASH) & (payments.amount >= limit / 2) & (payments.amount < limit)
    return np.bincount(payments.payee[near], minlength=n).astype(np.int64)


def passed_on(payments: Payments, n: int, within: int = DAY) -> Floats:
    """Share of the money received that left within ``within`` seconds of coming in.

    Of each payment received, what the account paid in that time, at most the payment itself; money
    is counted once for each payment in, so this is an upper bound of what was passed on.
    """
    out = np.flatnonzero(payments.payer >= 0)
    out = out[np.argsort(payments.payer[out], kind="stable")]
    moment = _key(payments.payer[out], payments.second[out])
    paid = np.concatenate([[0], np.cumsum(payments.amount[out])])
    into = np.flatnonzero((payments.payee >= 0) & (payments.payer != payments.payee))
    into = into[np.argsort(payments.payee[into], kind="stable")]
    begin = _key(payments.payee[into], payments.second[into])
    after = paid[np.searchsorted(moment, begin + within, side="right")]
    passed = np.minimum(after - paid[np.searchsorted(moment, begin)], payments.amount[into])
    total = np.bincount(payments.payee[into], passed, n)
    return np.asarray(total / np.maximum(received(payments, n), 1.0))


def _key(account: NDArray[np.int32], second: NDArray[np.int32]) -> Ints:
    """Account and time as one number, so that one search finds both; room for a day is left."""
    key: Ints = (account.astype(np.int64) << 31) + second
    return key


def lowest_balance(payments: Payments, n: int) -> Ints:
    """The lowest that each account's balance falls, if it is 0 before the first payment.

    0 for an account that never owes.  Of payments in one second the incoming ones come first.
    """
    count = len(payments)
    account = np.concatenate([payments.payee, payments.payer])  # incoming first: the sort is stable
    second = np.concatenate([payments.second, payments.second])
    change = np.concatenate([payments.amount, -payments.amount])
    order = np.argsort(_key(account, second), kind="stable")
    order = order[np.searchsorted(account[order], 0) :]  # cash has no balance
    account, running = account[order], np.cumsum(change[order])
    first = np.flatnonzero(np.diff(account, prepend=-1))
    lowest = np.zeros(n, np.int64)
    if count and len(first):
        before = np.concatenate([[0], running])[first]
        lowest[account[first]] = np.minimum(0, np.minimum.reduceat(running, first) - before)
    return lowest
