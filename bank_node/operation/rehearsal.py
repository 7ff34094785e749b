"""A small made-up world in which a joint run can be rehearsed before real data are used.

Every node builds the same world from the public seed (the id of the run) and keeps its own bank's
part, so payments between banks agree on both sides without a word between the nodes.  Numbers come
from SHAKE-256 of the seed and whole-number arithmetic only: the same on every machine and with
every version of every library.

In the world: one account in twenty without payments; payments mostly inside a bank; rings of four
accounts that pass nine tenths of a sum on from hop to hop, across banks; a few risk scores.
Nothing in it is, or is drawn from, anybody's data.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bank_node.errors import RosterError, WindowError
from bank_node.ingest import BankData, IngestCounts, canonical_bank

__all__ = ["REHEARSAL_CURRENCY", "rehearsal_data"]

REHEARSAL_CURRENCY = "EUR"

_PAYMENTS = 6  # per account, on average
_ABROAD = 30  # percent of the payments whose payee is drawn from all banks
_RING = 4
_ACCOUNTS_PER_RING = 100
_DOMAIN = "undercurrent/v1/rehearsal"


def rehearsal_data(
    seed: str,
    banks: Sequence[str],
    bank: str,
    *,
    since: int,
    until: int,
    accounts: int = 200,
) -> BankData:
    """Return the part of one bank in the world of a seed.

    Args:
        seed: the same at every node: the id of the run.
        banks: ids of all banks, in the order of the agreement.
        bank: the one whose part is wanted.
        since: first microsecond (since 1970 UTC) in which there may be payments.
        until: first microsecond after them.
        accounts: number of accounts of each bank.

    Raises:
        DataError: the bank is not in the list, or the window is empty.
    """
    if bank not in banks:
        raise RosterError(
            f"Bank {bank} is not in the list {', '.join(banks)}", "Name it as the list does"
        )
    if until <= since:
        raise WindowError("The time window ends before it begins", "Give a later end")
    world = _World(seed, tuple(canonical_bank(name) for name in banks), accounts)
    own = banks.index(bank)
    table = world.transactions(world.payments((since, until)).filter(own, accounts))
    return BankData(
        bank=canonical_bank(bank),
        base_currency=REHEARSAL_CURRENCY,
        accounts=world.accounts_of(own),
        transactions=table,
        scope_declared=True,
        counts=IngestCounts(accounts, 0, table.num_rows),
    )


@dataclass(frozen=True)
class _Payments:
    """Payments in the order of their times; ``number`` counts them over the whole world."""

    number: NDArray[np.int64]
    time: NDArray[np.int64]
    payer: NDArray[np.int64]
    payee: NDArray[np.int64]
    amount: NDArray[np.int64]

    def filter(self, own: int, accounts: int) -> "_Payments":
        """Keep the payments with an account of a bank on either side."""
        keep = (self.payer // accounts == own) | (self.payee // accounts == own)
        return _Payments(*(column[keep] for column in vars(self).values()))


@dataclass(frozen=True)
class _World:
    """Accounts 0 … banks · accounts − 1, those of a bank one after the other."""

    seed: str
    banks: tuple[str, ...]
    accounts: int

    def draw(self, label: str, count: int) -> NDArray[np.int64]:
        """Return ``count`` whole numbers below 2^62 that seed and label determine."""
        text = f"{_DOMAIN}\n{self.seed}\n{'/'.join(self.banks)}\n{self.accounts}\n{label}"
        digest = hashlib.shake_256(text.encode()).digest(8 * count)
        return (np.frombuffer(digest, "<u8") >> np.uint64(2)).astype(np.int64)

    @property
    def size(self) -> int:
        """Number of accounts of all banks."""
        return len(self.banks) * self.accounts

    def payments(self, window: tuple[int, int]) -> _Payments:
        """Return all payments of the world, everyday ones and those of rings."""
        ring_payer, ring_payee, ring_amount, ring_time = self._rings(window)
        payer, payee, amount, time = self._everyday(window)
        time = np.concatenate([time, ring_time])
        order = np.argsort(time, kind="stable")
        return _Payments(
            number=np.arange(len(order)),
            time=time[order],
            payer=np.concatenate([payer, ring_payer])[order],
            payee=np.concatenate([payee, ring_payee])[order],
            amount=np.concatenate([amount, ring_amount])[order],
        )

    def _everyday(self, window: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
        count = _PAYMENTS * self.size
        active = self._active()
        payer = active[self.draw("payer", count) % len(active)]
        anyone = active[self.draw("payee", count) % len(active)]
        # The payee's number inside its bank, in the payer's bank.
        neighbour = payer // self.accounts * self.accounts + anyone % self.accounts
        payee = np.where(self.draw("abroad", count) % 100 < _ABROAD, anyone, neighbour)
        amount = (1 + self.draw("digits", count) % 999) * 10 ** (1 + self.draw("zeros", count) % 4)
        return payer, payee, amount, window[0] + self.draw("time", count) % (window[1] - window[0])

    def _rings(self, window: tuple[int, int]) -> tuple[NDArray[np.int64], ...]:
        """Rings: account h pays account h + 1 nine tenths of what it got, the last the first."""
        rings = max(1, self.size // _ACCOUNTS_PER_RING)
        active = self._active()
        member = active[self.draw("ring", rings * _RING) % len(active)].reshape(rings, _RING)
        hop = np.arange(_RING)
        start = 1_000_000 + self.draw("sum", rings) % 4_000_000
        amount = start[:, None] * 9**hop // 10**hop
        step = (window[1] - window[0]) // (2 * _RING)
        begin = window[0] + self.draw("begin", rings) % max((window[1] - window[0]) // 2, 1)
        time = begin[:, None] + hop * step
        return member.ravel(), np.roll(member, -1, axis=1).ravel(), amount.ravel(), time.ravel()

    def _active(self) -> NDArray[np.int64]:
        """Return the accounts with payments: all but every twentieth of a bank."""
        everyone = np.arange(self.size, dtype=np.int64)
        active: NDArray[np.int64] = everyone[everyone % self.accounts % 20 != 19]
        return active

    def accounts_of(self, own: int) -> pa.Table:
        """Return the accounts table of a bank, sorted by account."""
        vertex = np.arange(own * self.accounts, (own + 1) * self.accounts)
        percent = self.draw("risk", self.size)[vertex] % 101
        risky = self.draw("risky", self.size)[vertex] % 10 == 0
        risk = np.where(risky, percent, 0) / 100.0
        nothing = pa.nulls(self.accounts, pa.string())
        return pa.table(
            {
                "account": self._names(vertex),
                "customer": nothing,
                "opened": nothing,
                "kind": nothing,
                "risk_score": risk,
                "balance": self.draw("balance", self.size)[vertex] % 1_000_000,
                "in_scope": risk >= 0.5,
            }
        )

    def transactions(self, payments: _Payments) -> pa.Table:
        """Return payments as a table of usable transactions."""
        return pa.table(
            {
                "tx_id": _labels("rehearsal-", payments.number, 9),
                "timestamp": payments.time,
                "from_bank": self._banks(payments.payer),
                "from_account": self._names(payments.payer),
                "to_bank": self._banks(payments.payee),
                "to_account": self._names(payments.payee),
                "amount": payments.amount,
                "channel": pa.nulls(len(payments.number), pa.string()),
            }
        )

    def _banks(self, vertex: NDArray[np.int64]) -> pa.StringArray:
        return pa.array(np.array(self.banks, dtype=str)[vertex // self.accounts], pa.string())

    def _names(self, vertex: NDArray[np.int64]) -> pa.StringArray:
        """Ids of accounts: the same number at two banks is two accounts with different ids."""
        return _labels("R-", vertex, 7)


def _labels(prefix: str, numbers: NDArray[np.int64], digits: int) -> pa.StringArray:
    return pa.array(np.char.mod(f"{prefix}%0{digits}d", numbers), pa.string())
