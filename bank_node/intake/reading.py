"""What was taken in, as the worker of a joint run reads it."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa

from bank_node.ingest import BankData, IngestCounts
from bank_node.intake.folders import damaged
from bank_node.intake.labels import compare_labels, labels_of
from bank_node.rules import OPENING_BALANCES, canonical_bank
from bank_node.sandbox import connect_to, quoted

__all__ = ["read_taken"]

_PAYMENTS = (
    "tx_id VARCHAR, timestamp BIGINT, from_bank VARCHAR, from_account VARCHAR, to_bank VARCHAR, "
    "to_account VARCHAR, amount BIGINT, channel VARCHAR"
)
_ACCOUNTS = (
    "account VARCHAR, customer VARCHAR, opened VARCHAR, kind VARCHAR, risk_score DOUBLE, "
    "balance BIGINT, balance_at BIGINT, in_scope BOOLEAN"
)


def read_taken(
    folder: Path, files: Sequence[str], bank: str, base_currency: str | None = None
) -> BankData:
    """Read what was taken in, as :func:`bank_node.ingest.read_bank` reads a folder of these rows.

    ``balance`` of an account is that before the first payment in ``files``: a balance stated for a
    time (``balance_at``) is taken back by the payments before that time, without a cut at 0, so
    that :func:`bank_node.partition.build_partition` arrives at the balance stated when it moves the
    balances up to that time; a balance without a time is taken as it is.

    What was rejected or rounded was told when it was taken in and is not in the counts.

    Args:
        folder: folder of the data.
        files: the listed files, as they are named there; those that hold no payments or accounts
            are passed over.
        bank: id of the bank, in any spelling.
        base_currency: currency that the amounts must be in; None: the one that they are in.

    Raises:
        DamagedDataError: a file is missing or cannot be read.
        OtherBankError: the data are of another bank or in another currency.
    """
    place = folder.resolve()
    payments = [name for name in files if name.startswith("days/")]
    accounts = [name for name in files if name.startswith("accounts/")]
    with connect_to([place], []) as con:
        labels = labels_of(con, place, payments + accounts)
        compare_labels(labels, folder, bank, base_currency)
        con.execute("CREATE TEMP TABLE own_bank AS SELECT ? AS bank", [canonical_bank(bank)])
        try:
            _define(con, place, payments, accounts)
            return _collect(con, bank, base_currency or _currency(labels), labels)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error:
            raise damaged(folder) from None


def _currency(labels: dict[tuple[str, str], set[str]]) -> str | None:
    return next((value for key, value in labels if key == "base_currency"), None)


def _define(
    con: duckdb.DuckDBPyConnection, folder: Path, payments: Sequence[str], accounts: Sequence[str]
) -> None:
    for name, columns, files in (
        ("own_payments", _PAYMENTS, payments),
        ("snapshot", _ACCOUNTS, accounts),
    ):
        con.execute(f"CREATE TEMP TABLE no_{name} ({columns})")
        paths = ", ".join(quoted(str(folder / file)) for file in files)
        source = f"read_parquet([{paths}])" if files else f"no_{name}"
        con.execute(f"CREATE TEMP VIEW {name} AS FROM {source}")
    con.execute("""
        CREATE TEMP VIEW dated_balances AS
        SELECT account, balance, balance_at FROM snapshot WHERE balance IS NOT NULL
    """)


def _collect(
    con: duckdb.DuckDBPyConnection,
    bank: str,
    base_currency: str | None,
    labels: dict[tuple[str, str], set[str]],
) -> BankData:
    accounts = _table(
        con,
        f"""SELECT s.account, customer, opened, kind, risk_score, b.balance, in_scope
            FROM snapshot s LEFT JOIN ({OPENING_BALANCES}) b USING (account)
            ORDER BY s.account""",  # noqa: S608 - a query of bank_node.rules
    )
    transactions = _table(
        con,
        """SELECT tx_id, timestamp, from_bank, from_account, to_bank, to_account, amount, channel
           FROM own_payments ORDER BY timestamp, tx_id""",
    )
    ((only,),) = con.execute("""
        SELECT count(*) FROM (
            (SELECT from_account AS account FROM own_payments JOIN own_bank ON from_bank = bank
             UNION SELECT to_account FROM own_payments JOIN own_bank ON to_bank = bank)
            EXCEPT SELECT account FROM snapshot)
    """).fetchall()
    return BankData(
        bank=canonical_bank(bank),
        base_currency=base_currency,
        accounts=accounts,
        transactions=transactions,
        scope_declared=("scope_declared", "true") in labels,
        counts=IngestCounts(
            accounts=accounts.num_rows,
            accounts_only_in_payments=int(only),
            transactions=transactions.num_rows,
            rejected=MappingProxyType({}),
        ),
    )


def _table(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return con.sql(query).to_arrow_table().combine_chunks()
