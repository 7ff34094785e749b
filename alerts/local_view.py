"""What alerts may ask of the bank's own data.

The two protocols here are the only way by which anything but a run's results comes into an alert.
Both speak of the bank's own accounts and of payments that touch them; of another bank they can
give only what stands in those payments (the other side's bank and account), which the bank knows
anyway.  So no other bank's data can be in an alert.
"""

from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alerts.errors import ForeignAccount

__all__ = ["LocalView", "ResultHistory", "require_own"]


class LocalView(Protocol):
    """The bank's own accounts and payments.

    Amounts are int64 minor units of ``currency``; times int64 microseconds since 1970 UTC; windows
    run from ``since`` (inclusive) to ``until`` (exclusive), None: open.
    """

    @property
    def bank(self) -> str:
        """Id of the bank."""
        ...

    @property
    def currency(self) -> str:
        """Base currency of all amounts, ISO 4217."""
        ...

    @property
    def decimals(self) -> int:
        """Decimals of the base currency's minor unit."""
        ...

    def known(self, accounts: pa.Array) -> NDArray[np.bool_]:
        """Say of each account (n,) whether it is the bank's own."""
        ...

    def customers(self, accounts: pa.Array) -> pa.Array:
        """Return the customer of each own account (n,), null where there is none."""
        ...

    def metrics(self, accounts: pa.Array, since: int | None, until: int | None) -> pa.Table:
        """Return one row per account, in their order.

        Columns: account, inflow, outflow (int64), payments, counterparties (int64, distinct other
        sides), pass_through (float64, min(in, out)/max(in, out), 0 if nothing moved), cross_bank
        (float64, share of the money moved that went to or came from other banks).
        """
        ...

    def transactions(
        self, accounts: pa.Array, since: int | None, until: int | None, limit: int
    ) -> pa.Table:
        """Return payments of the accounts, the latest ``limit`` of them, sorted by time and id.

        Columns: tx_id, timestamp, from_bank, from_account, to_bank, to_account (string, but
        timestamp int64), amount (int64), channel (string, may be null), from_own, to_own (bool).
        A payment between two of the accounts stands there once.
        """
        ...

    def counterparties(
        self, accounts: pa.Array, since: int | None, until: int | None, limit: int
    ) -> pa.Table:
        """Return the other sides of the payments, by money moved, the largest ``limit`` of them.

        Columns: bank, account, received (int64, from them), paid (int64, to them), payments.
        """
        ...

    def slices(
        self, accounts: pa.Array, since: int | None, until: int | None, length: int
    ) -> pa.Table:
        """Return in- and outflow of the accounts together, per slice that has payments.

        Columns: start (int64 microseconds; multiples of ``length`` from ``since``, or from 1970 if
        open), inflow, outflow (int64), payments (int64; one between two of the accounts once).
        """
        ...


class ResultHistory(Protocol):
    """The stored results of the bank's own accounts."""

    def history(self, accounts: pa.Array) -> pa.Table:
        """Return all kept results of the accounts, sorted by time, analysis and account.

        Columns: account, analysis, run_id, policy (string), at (int64), value (float64).
        """
        ...


def require_own(view: LocalView, accounts: pa.Array, what: str) -> None:
    """Refuse anything that names an account which is not the bank's own."""
    foreign = int(np.count_nonzero(~view.known(accounts)))
    if foreign:
        raise ForeignAccount(
            f"{what} names {foreign} accounts that are not the bank's own",
            "nothing was stored; check which data the result belongs to, and report it",
        )
