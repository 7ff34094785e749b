"""Payments as arrays, and the clock they follow."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CASH",
    "CHANNELS",
    "DAY",
    "Floats",
    "Ints",
    "Payments",
    "channel",
    "in_order",
    "stacked",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DAY = 86_400
CASH = -1
"""The counterparty of a deposit or a withdrawal, which is no account."""

CHANNELS = ("wire", "instant", "card", "direct-debit", "cash")


def channel(name: str) -> int:
    """The number of a channel."""
    return CHANNELS.index(name)


@dataclass(frozen=True)
class Payments:
    """Payments as arrays (n,).

    Attributes:
        payer: int32, number of the paying account; CASH: a deposit.
        payee: int32, number of the paid account; CASH: a withdrawal.
        second: int32, seconds since the start of the window.
        amount: int64, hundredths.
        channel: int8, place in CHANNELS.
        scheme: int32, number of the laundering scheme; -1: none.
        hop: int16, step of the scheme, 0 for its cash deposits; -1: none.
    """

    payer: NDArray[np.int32]
    payee: NDArray[np.int32]
    second: NDArray[np.int32]
    amount: NDArray[np.int64]
    channel: NDArray[np.int8]
    scheme: NDArray[np.int32]
    hop: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.payer)

    @classmethod
    def innocent(
        cls, payer: Ints, payee: Ints, second: Ints, amount: Floats, by: int | NDArray[np.int8]
    ) -> "Payments":
        """Payments of no scheme; ``amount`` in hundredths is rounded, at least 1."""
        n = len(payer)
        return cls(
            payer.astype(np.int32),
            payee.astype(np.int32),
            second.astype(np.int32),
            np.maximum(1, np.round(amount)).astype(np.int64),
            np.broadcast_to(np.asarray(by, np.int8), n).copy(),
            np.full(n, -1, np.int32),
            np.full(n, -1, np.int16),
        )

    @classmethod
    def empty(cls) -> "Payments":
        """No payments."""
        nothing = np.empty(0, np.int64)
        return cls.innocent(nothing, nothing, nothing, np.empty(0), 0)

    def take(self, rows: NDArray[np.int64]) -> "Payments":
        """The payments at ``rows``."""
        return Payments(*(getattr(self, field.name)[rows] for field in fields(self)))


def stacked(parts: Sequence[Payments]) -> Payments:
    """All payments, part after part."""
    return Payments(
        *(
            np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Payments)
        )
    )


def in_order(payments: Payments) -> Payments:
    """The same payments in order of time; those of one second stay as they are."""
    return payments.take(np.argsort(payments.second, kind="stable"))
