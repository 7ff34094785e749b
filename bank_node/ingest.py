"""From a bank's folder to clean tables: what can be used, and why the rest cannot.

Reads ``accounts`` and ``transactions`` (CSV or Parquet) of one folder and nothing else, by the
rules of :mod:`bank_node.rules`.  A row that cannot be used is never dropped silently: it is counted
under its reason and, if the caller names a file for it, written there with what the bank wrote and
what to do about it.  DuckDB does all work on rows; there is no loop over them here.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv

from bank_node.errors import CurrencyError, UnreadableFileError
from bank_node.raw_tables import BLANKS, connect, load
from bank_node.rules import (
    ACCOUNTS,
    CHECKED_TRANSACTIONS,
    OPENING_BALANCES,
    REMEDIES,
    TRANSACTIONS,
    canonical_account,
    canonical_bank,
    judge_accounts,
    load_rates,
    minor_units,
)
from bank_node.rules import define_rules as _define_rules

__all__ = [
    "ACCOUNTS",
    "TRANSACTIONS",
    "BankData",
    "IngestCounts",
    "canonical_account",
    "canonical_bank",
    "minor_units",
    "read_bank",
]


@dataclass(frozen=True)
class IngestCounts:
    """What an ingest found, as true counts.

    Attributes:
        accounts: rows of the accounts table.
        accounts_only_in_payments: own accounts that stand in payments only.
        transactions: payments that can be used.
        rounded: payments with more decimals than their currency has, rounded half to even.
        rejected: rows that cannot be used, by reason, of both files together.
    """

    accounts: int
    accounts_only_in_payments: int
    transactions: int
    rounded: int = 0
    rejected: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def rejected_rows(self) -> int:
        """Number of rejected rows."""
        return sum(self.rejected.values())


@dataclass(frozen=True)
class BankData:
    """The usable data of one bank.

    Attributes:
        bank: canonical id of the bank.
        base_currency: currency of all amounts; None if there was nothing to take it from.
        accounts: account (string), customer, opened, kind (strings, may be null), risk_score
            (float64, 0 if empty), balance (int64 minor units before the first payment, may be
            null), in_scope (bool); sorted by account.
        transactions: tx_id (string), timestamp (int64, microseconds since 1970 UTC), from_bank,
            from_account, to_bank, to_account (canonical ids), amount (int64 minor units),
            channel (string, may be null); sorted by (timestamp, tx_id).
        scope_declared: whether the accounts table says who is in scope.  If it does not, all are;
            if it does, an account without a word is not.
        counts: what was found.
    """

    bank: str
    base_currency: str | None
    accounts: pa.Table
    transactions: pa.Table
    scope_declared: bool
    counts: IngestCounts


def read_bank(
    folder: Path,
    bank: str,
    *,
    base_currency: str | None = None,
    rates: Mapping[str, float] | None = None,
    rejected: Path | None = None,
) -> BankData:
    """Read the tables of one bank.

    Args:
        folder: the only folder that is read.
        bank: id of the bank, in any spelling.
        base_currency: currency of all amounts in the result.  None: the one that most payments
            of the file are in (a caller with several banks compares the results).
        rates: units of the base currency for one unit of each other currency.
        rejected: CSV file for the rows that cannot be used; replaced in one step, its header is
            there even if no row was rejected.

    Raises:
        DataError: a file cannot be used at all, or the rates cannot.
    """
    with connect(folder) as con:
        _define_rules(con)
        columns = load(con, folder, ACCOUNTS)
        load(con, folder, TRANSACTIONS)
        base = _base_currency(con, base_currency, rates or {})
        load_rates(con, base, rates or {})
        judge_accounts(con, base, scope_declared="in_scope" in columns)
        _judge_transactions(con, canonical_bank(bank))
        data = _collect(con, canonical_bank(bank), base, scope_declared="in_scope" in columns)
        if rejected is not None:
            _write_rejected(con, rejected)
    return data


def _base_currency(
    con: duckdb.DuckDBPyConnection, given: str | None, rates: Mapping[str, float]
) -> str | None:
    if given is not None and given.strip(BLANKS):
        return given.strip(BLANKS).upper()
    if rates:
        raise CurrencyError("There are rates but no base currency", "Name the base currency")
    found = con.execute("""
        SELECT upper(currency) AS c FROM transactions_text WHERE c IS NOT NULL
        GROUP BY c ORDER BY count(*) DESC, c LIMIT 1
    """).fetchall()
    return str(found[0][0]) if found else None


def _judge_transactions(con: duckdb.DuckDBPyConnection, bank: str) -> None:
    con.execute("CREATE TEMP TABLE own_bank AS SELECT CAST(? AS VARCHAR) AS bank", [bank])
    con.execute(
        f"""
        CREATE TEMP TABLE transactions_judged AS
        SELECT * REPLACE (CASE WHEN fault IS NULL AND row_number() OVER
                (PARTITION BY tx_id, fault IS NULL ORDER BY "row") > 1
            THEN 'tx_id|repeated tx_id' ELSE fault END AS fault)
        FROM ({CHECKED_TRANSACTIONS})
        """  # noqa: S608 - a query of bank_node.rules
    )


def _collect(
    con: duckdb.DuckDBPyConnection, bank: str, base: str | None, *, scope_declared: bool
) -> BankData:
    con.execute("""
        CREATE TEMP VIEW dated_balances AS
        SELECT account, CAST(minor AS BIGINT) AS balance, balance_at
        FROM accounts_judged WHERE fault IS NULL AND minor IS NOT NULL;
        CREATE TEMP VIEW own_payments AS
        SELECT *, CAST(minor AS BIGINT) AS amount FROM transactions_judged WHERE fault IS NULL
    """)
    accounts = _table(
        con,
        f"""SELECT a.account, customer, opened, kind, risk_score, b.balance, in_scope
            FROM accounts_judged a LEFT JOIN ({OPENING_BALANCES}) b USING (account)
            WHERE fault IS NULL ORDER BY account""",  # noqa: S608 - a query of bank_node.rules
    )
    transactions = _table(
        con,
        """SELECT tx_id, timestamp, from_bank, from_account, to_bank, to_account,
            CAST(minor AS BIGINT) AS amount, channel
            FROM transactions_judged WHERE fault IS NULL ORDER BY timestamp, tx_id""",
    )
    return BankData(
        bank=bank,
        base_currency=base,
        accounts=accounts,
        transactions=transactions,
        scope_declared=scope_declared,
        counts=_counts(con, bank, accounts.num_rows, transactions.num_rows),
    )


def _table(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return con.sql(query).to_arrow_table().combine_chunks()


def _counts(
    con: duckdb.DuckDBPyConnection, bank: str, accounts: int, transactions: int
) -> IngestCounts:
    ((only,),) = con.execute(
        """
        SELECT count(*) FROM (
            (SELECT from_account FROM transactions_judged WHERE fault IS NULL AND from_bank = $bank
             UNION
             SELECT to_account FROM transactions_judged WHERE fault IS NULL AND to_bank = $bank)
            EXCEPT SELECT account FROM accounts_judged WHERE fault IS NULL)
        """,
        {"bank": bank},
    ).fetchall()
    ((rounded,),) = con.execute(
        "SELECT count(*) FROM transactions_judged WHERE fault IS NULL AND units % own_step <> 0"
    ).fetchall()
    reasons = con.execute("""
        SELECT reason, count(*) FROM (
            SELECT split_part(fault, '|', 2) AS reason FROM accounts_judged
            UNION ALL SELECT split_part(fault, '|', 2) FROM transactions_judged
            UNION ALL SELECT reason FROM accounts_broken
            UNION ALL SELECT reason FROM transactions_broken)
        WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason
    """).fetchall()
    return IngestCounts(
        accounts=accounts,
        accounts_only_in_payments=int(only),
        transactions=transactions,
        rounded=int(rounded),
        rejected=MappingProxyType({str(reason): int(n) for reason, n in reasons}),
    )


def _write_rejected(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the rejected rows of both tables, in the order of the files."""
    con.execute("CREATE TEMP TABLE remedies (reason VARCHAR, remedy VARCHAR)")
    con.executemany("INSERT INTO remedies VALUES (?, ?)", list(REMEDIES.items()))
    parts = " UNION ALL BY NAME ".join(
        f"""SELECT '{name}' AS file, j."row", split_part(fault, '|', 1) AS field,
                split_part(fault, '|', 2) AS reason, t.* EXCLUDE ("row")
            FROM {name}_judged j JOIN {name}_text t USING ("row") WHERE fault IS NOT NULL
            UNION ALL BY NAME SELECT '{name}' AS file, "row", reason FROM {name}_broken"""  # noqa: S608
        for name in (ACCOUNTS.name, TRANSACTIONS.name)
    )
    columns = ", ".join(f'"{name}"' for name in (*ACCOUNTS.columns, *TRANSACTIONS.columns))
    table = _table(
        con,
        f"""SELECT file, "row", coalesce(field, '') AS field, reason, remedy, {columns}
            FROM ({parts}) LEFT JOIN remedies USING (reason) ORDER BY file, "row" """,  # noqa: S608
    )
    _replace_csv(table, path)


def _replace_csv(table: pa.Table, path: Path) -> None:
    """Write a table as CSV, readable by this user only, so that no reader sees half of it."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            pa_csv.write_csv(table, file)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise UnreadableFileError(
            f"{path}: cannot be written ({error.strerror})", "Choose a folder this user may write"
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
