"""The bank's own payments as a :class:`alerts.local_view.LocalView`, by DuckDB over Arrow tables.

The tables are those that the node takes in: accounts (account, customer) and transactions (tx_id,
timestamp in microseconds, from_bank, from_account, to_bank, to_account, amount in minor units,
channel).  Own accounts are those of the accounts table and the own sides of the payments.  DuckDB
works in memory, reads no file and loads nothing.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["PaymentsView"]

_FEW = 10_000  # accounts whose payments are looked up; for more, all payments are read
_FOR_ALL_TIME = "($since IS NULL OR timestamp >= $since) AND ($until IS NULL OR timestamp < $until)"

# Each payment once for each own side among the accounts asked about.
_SIDES = f"""
    SELECT a.position, p.to_account AS account, p.amount AS received, 0 AS paid,
        p.from_bank AS other_bank, p.from_account AS other, p.timestamp, p.tx_id
    FROM payments p JOIN asked a ON p.to_account = a.account
    WHERE p.to_bank = $bank AND {_FOR_ALL_TIME}
    UNION ALL
    SELECT a.position, p.from_account, 0, p.amount, p.to_bank, p.to_account, p.timestamp,
        p.tx_id
    FROM payments p JOIN asked a ON p.from_account = a.account
    WHERE p.from_bank = $bank AND {_FOR_ALL_TIME}
"""  # noqa: S608 - texts of this module only

_METRICS = f"""
    WITH sides AS ({_SIDES}), moved AS (
        SELECT position, CAST(sum(received) AS BIGINT) AS inflow,
            CAST(sum(paid) AS BIGINT) AS outflow, count(*) AS payments,
            count(DISTINCT (other_bank, other)) AS counterparties,
            sum(CASE WHEN other_bank <> $bank THEN received + paid ELSE 0 END) AS abroad
        FROM sides GROUP BY position)
    SELECT account, coalesce(inflow, 0) AS inflow, coalesce(outflow, 0) AS outflow,
        coalesce(payments, 0) AS payments, coalesce(counterparties, 0) AS counterparties,
        coalesce(least(inflow, outflow) / nullif(CAST(greatest(inflow, outflow) AS DOUBLE), 0), 0)
            AS pass_through,
        coalesce(CAST(abroad AS DOUBLE) / nullif(CAST(inflow AS DOUBLE) + outflow, 0), 0)
            AS cross_bank
    FROM asked LEFT JOIN moved USING (position) ORDER BY position
"""  # noqa: S608 - texts of this module only

_TRANSACTIONS = f"""
    WITH found AS (
        SELECT tx_id, timestamp, from_bank, from_account, to_bank, to_account, amount, channel,
            from_bank = $bank AS from_own, to_bank = $bank AS to_own
        FROM payments
        WHERE {_FOR_ALL_TIME} AND (
            (from_bank = $bank AND from_account IN (SELECT account FROM asked))
            OR (to_bank = $bank AND to_account IN (SELECT account FROM asked)))
        ORDER BY timestamp DESC, tx_id DESC LIMIT $limit)
    SELECT * FROM found ORDER BY timestamp, tx_id
"""  # noqa: S608 - texts of this module only

_COUNTERPARTIES = f"""
    SELECT other_bank AS bank, other AS account, CAST(sum(received) AS BIGINT) AS received,
        CAST(sum(paid) AS BIGINT) AS paid, count(*) AS payments
    FROM ({_SIDES}) GROUP BY ALL
    ORDER BY sum(received) + sum(paid) DESC, bank, account LIMIT $limit
"""  # noqa: S608 - texts of this module only

_SLICES = f"""
    SELECT CAST(coalesce($since, 0) + (timestamp - coalesce($since, 0)) // $length * $length
            AS BIGINT) AS start,
        CAST(sum(received) AS BIGINT) AS inflow, CAST(sum(paid) AS BIGINT) AS outflow,
        count(DISTINCT tx_id) AS payments
    FROM ({_SIDES}) GROUP BY start ORDER BY start
"""  # noqa: S608 - texts of this module only


@dataclass(frozen=True)
class HashIndex:
    """Rows of a column by the hash of their value; other values may share a hash.

    Attributes:
        hashes: uint64 (n,), sorted. order: int64 (n,), row of each.
    """

    hashes: NDArray[np.uint64]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, query: str) -> "HashIndex":
        """Index the column ``hash`` of a query, row by row."""
        column = con.sql(query).fetchnumpy()["hash"]
        hashes = np.asarray(column, np.uint64)
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], order)

    def rows(self, wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return all rows that have one of the hashes."""
        start = np.searchsorted(self.hashes, wanted, "left")
        size = np.searchsorted(self.hashes, wanted, "right") - start
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        found: NDArray[np.int64] = self.order[np.repeat(start, size) + within]
        return found


class PaymentsView:
    """A bank's own accounts and payments, held in memory as Arrow tables.

    Not for several threads at once: DuckDB's connection is one.
    """

    def __init__(
        self, bank: str, currency: str, decimals: int, accounts: pa.Table, transactions: pa.Table
    ) -> None:
        self.bank = bank
        self.currency = currency
        self.decimals = decimals
        self._con = duckdb.connect(":memory:", config={"autoload_known_extensions": False})
        self._con.execute("SET enable_external_access = false")
        self._con.execute("SET TimeZone = 'UTC'")
        self._transactions = transactions
        self._con.register("payments", transactions)
        self._con.register("account_table", accounts.select(["account", "customer"]))
        self._con.execute(
            """
            CREATE TEMP TABLE own AS
            SELECT account, any_value(customer) AS customer FROM (
                SELECT account, customer FROM account_table
                UNION ALL SELECT from_account, NULL FROM payments WHERE from_bank = $bank
                UNION ALL SELECT to_account, NULL FROM payments WHERE to_bank = $bank)
            GROUP BY account
            """,
            {"bank": bank},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the tables."""
        self._con.close()

    @cached_property
    def _sides(self) -> tuple[HashIndex, HashIndex]:
        """Where the payments of an account are, by payer and by payee; made when first needed."""
        return (
            HashIndex.of(self._con, "SELECT hash(from_account) AS hash FROM payments"),
            HashIndex.of(self._con, "SELECT hash(to_account) AS hash FROM payments"),
        )

    def known(self, accounts: pa.Array) -> NDArray[np.bool_]:
        """Say of each account whether it is the bank's own."""
        table = self._ask(
            accounts,
            """SELECT own.account IS NOT NULL AS known
            FROM asked LEFT JOIN own USING (account) ORDER BY position""",
            {},
        )
        return np.asarray(table["known"].to_numpy(), np.bool_)

    def customers(self, accounts: pa.Array) -> pa.Array:
        """Return the customer of each account, null where there is none."""
        table = self._ask(
            accounts,
            "SELECT customer FROM asked LEFT JOIN own USING (account) ORDER BY position",
            {},
        )
        return _one_chunk(table["customer"].cast(pa.string()))

    def metrics(self, accounts: pa.Array, since: int | None, until: int | None) -> pa.Table:
        """Return in- and outflow, counts and shares, one row per account."""
        return self._ask(accounts, _METRICS, self._window(since, until))

    def transactions(
        self, accounts: pa.Array, since: int | None, until: int | None, limit: int
    ) -> pa.Table:
        """Return the latest payments of the accounts."""
        return self._ask(accounts, _TRANSACTIONS, self._window(since, until) | {"limit": limit})

    def counterparties(
        self, accounts: pa.Array, since: int | None, until: int | None, limit: int
    ) -> pa.Table:
        """Return the other sides of the payments, the largest first."""
        return self._ask(accounts, _COUNTERPARTIES, self._window(since, until) | {"limit": limit})

    def slices(
        self, accounts: pa.Array, since: int | None, until: int | None, length: int
    ) -> pa.Table:
        """Return in- and outflow per slice."""
        return self._ask(accounts, _SLICES, self._window(since, until) | {"length": length})

    def _window(self, since: int | None, until: int | None) -> dict[str, Any]:
        return {"bank": self.bank, "since": since, "until": until}

    def _ask(self, accounts: pa.Array, query: str, parameters: Mapping[str, Any]) -> pa.Table:
        with self._asked(accounts):
            if "$bank" in query and len(accounts) <= _FEW:
                self._narrow()
            if not parameters:
                return self._con.sql(query).to_arrow_table()
            return self._con.sql(query, params=dict(parameters)).to_arrow_table()

    def _narrow(self) -> None:
        """Let ``payments`` be those that can touch the accounts asked about, found by hash."""
        payer, payee = self._sides
        asked = self._con.sql("SELECT hash(account) AS hash FROM asked").fetchnumpy()["hash"]
        rows = np.union1d(payer.rows(asked), payee.rows(asked))
        self._con.register("payments", self._transactions.take(pa.array(rows)))

    @contextmanager
    def _asked(self, accounts: pa.Array) -> Iterator[None]:
        """Give the accounts to DuckDB as the table ``asked`` (account, position)."""
        position = pa.array(np.arange(len(accounts)))
        table = pa.table({"account": pc.cast(accounts, pa.string()), "position": position})
        self._con.register("asked", table)
        try:
            yield
        finally:
            self._con.unregister("asked")
            self._con.register("payments", self._transactions)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    if not isinstance(joined, pa.ChunkedArray):
        return joined
    return joined.chunk(0) if joined.num_chunks else pa.array([], column.type)
