"""From a bank's folder to clean tables: what can be used, and why the rest cannot.

Reads ``accounts`` and ``transactions`` (CSV or Parquet) of one folder and nothing else.  A row that
cannot be used is never dropped silently: it is counted under its reason and, if the caller names a
file for it, written there with what the bank wrote and what to do about it.

Amounts are exact: decimal text of up to eight places, times the rate of its currency (ten
significant digits), rounded half to even to the minor unit of the base currency.  DuckDB does all
work on rows; there is no loop over them here.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import floor, isfinite, log10
from pathlib import Path
from types import MappingProxyType

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv

from bank_node.errors import CurrencyError, UnreadableFileError
from bank_node.raw_tables import BLANKS, TableSpec, connect, load

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

ACCOUNTS = TableSpec(
    "accounts",
    ("account",),
    ("customer", "opened", "kind", "risk_score", "balance", "in_scope"),
)
TRANSACTIONS = TableSpec(
    "transactions",
    (
        "tx_id",
        "timestamp",
        "from_bank",
        "from_account",
        "to_bank",
        "to_account",
        "amount",
        "currency",
    ),
    ("channel",),
)

_WITHOUT_DECIMALS = frozenset(re.findall("...", "BIFCLPDJFGNFISKJPYKMFKRWPYGRWFUGXVNDVUVXAFXOFXPF"))
_WITH_THREE_DECIMALS = frozenset(re.findall("...", "BHDIQDJODKWDLYDOMRTND"))

# Each reason to reject a row, with its remedy.
_REMEDIES = {
    "wrong number of fields": "give the line one field for each column; it may have been cut off",
    "broken line": "check the quotation marks of the line; it may have been cut off",
    "missing tx_id": "give each payment an id that is unique in the data set",
    "repeated tx_id": "give each payment its own id; the first row with this id was kept",
    "missing time": "give the time as ISO 8601",
    "unparsable time": "write the time as ISO 8601, such as 2026-03-01T12:30:00Z",
    "missing bank": "name the bank of both sides",
    "missing account": "name the account",
    "neither side at this bank": "move the payment to the folder of the payer's or payee's bank",
    "missing amount": "give the amount",
    "unparsable amount": "write a plain number with a decimal point, such as 1250.00",
    "negative amount": "swap payer and payee and write the amount without a sign",
    "amount too large": "check the amount: it does not fit 64 bits in minor units",
    "unknown currency": "add a rate for this currency, or correct it",
    "unparsable risk score": "write a number from 0 to 1, or leave it empty",
    "risk score outside 0 to 1": "scale the risk score to 0 to 1",
    "unparsable balance": "write a plain number with a decimal point, or leave it empty",
    "balance too large": "check the balance: it does not fit 64 bits in minor units",
    "unparsable in_scope": "write true or false",
    "repeated account": "give one row for each account; the first was kept",
}


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


def canonical_bank(bank: str) -> str:
    """The id under which all banks know a bank: without blanks around it and leading zeros."""
    text = bank.strip(BLANKS)
    return (text.lstrip("0") or "0") if re.fullmatch("[0-9]+", text) else text


def canonical_account(account: str) -> str:
    """The id under which all banks know an account: an IBAN upper case without blanks."""
    text = account.strip(BLANKS)
    dense = re.sub(f"[{BLANKS}]", "", text)
    is_iban = re.fullmatch("[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}", dense)
    return dense.upper() if is_iban else text


def minor_units(currency: str | None) -> int:
    """Decimals of the smallest unit of a currency."""
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE_DECIMALS else 2


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
        _load_rates(con, base, rates or {})
        _judge_accounts(con, base, scope_declared="in_scope" in columns)
        _judge_transactions(con, canonical_bank(bank))
        data = _collect(con, canonical_bank(bank), base, scope_declared="in_scope" in columns)
        if rejected is not None:
            _write_rejected(con, rejected)
    return data


def _define_rules(con: duckdb.DuckDBPyConnection) -> None:
    """Macros for canonical ids, exact amounts and times."""
    con.execute(r"""
        CREATE TEMP MACRO canonical_bank(x) AS CASE WHEN regexp_full_match(x, '[0-9]+')
            THEN coalesce(nullif(ltrim(x, '0'), ''), '0') ELSE x END;
        CREATE TEMP MACRO dense(x) AS regexp_replace(x, '[\s\x{0B}\x{A0}]+', '', 'g');
        CREATE TEMP MACRO canonical_account(x) AS
            CASE WHEN regexp_full_match(dense(x), '[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}')
            THEN upper(dense(x)) ELSE x END;
        CREATE TEMP MACRO is_number(x) AS
            regexp_full_match(x, '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?');
        CREATE TEMP MACRO hundred_millionths(x) AS
            CAST(TRY_CAST(x AS DECIMAL(28, 8)) * CAST(100000000 AS DECIMAL(10, 0)) AS HUGEINT);
        CREATE TEMP MACRO round_division(p, d) AS
            p // d + CASE WHEN 2 * (p % d) > d OR (2 * (p % d) = d AND (p // d) % 2 = 1)
            THEN 1 ELSE 0 END;
        CREATE TEMP MACRO is_time(x) AS regexp_full_match(x, '[0-9]{4}-[0-9]{2}-[0-9]{2}'
            || '([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?'
            || '\s*(Z|[+-][01][0-9](:?[0-5][0-9])?)?)?');
        CREATE TEMP MACRO micros(x) AS CASE WHEN is_time(x)
            THEN epoch_us(TRY_CAST(x AS TIMESTAMPTZ)) END;
    """)


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


def _load_rates(
    con: duckdb.DuckDBPyConnection, base: str | None, rates: Mapping[str, float]
) -> None:
    """Table ``rates``: minor units = 10^8 · amount · multiplier / divisor, and the own decimals."""
    con.execute("""CREATE TEMP TABLE rates
        (currency VARCHAR, multiplier HUGEINT, divisor HUGEINT, own_step HUGEINT)""")
    table = {name.strip(BLANKS).upper(): rate for name, rate in rates.items()}
    if base is not None:
        table[base] = 1.0
    for name, rate in table.items():
        if not (isfinite(rate) and 1e-9 <= rate <= 1e9):
            raise CurrencyError(
                f"The rate {rate} of {name} is no rate", "Give a number from 1e-9 to 1e9"
            )
        places = max(0, 9 - floor(log10(rate)))
        multiplier = round(Decimal(repr(float(rate))).scaleb(places))
        divisor = 10 ** (8 - minor_units(base) + places)
        con.execute(
            "INSERT INTO rates VALUES (?, ?, ?, ?)",
            [name, multiplier, divisor, 10 ** (8 - minor_units(name))],
        )


def _judge_accounts(
    con: duckdb.DuckDBPyConnection, base: str | None, *, scope_declared: bool
) -> None:
    con.execute(
        """
        CREATE TEMP TABLE accounts_judged AS
        WITH parsed AS (
            SELECT "row", canonical_account(account) AS account, customer, opened, kind,
                coalesce(risk_score, '0') AS risk_text, TRY_CAST(risk_text AS DOUBLE) AS risk_score,
                balance AS balance_text, hundred_millionths(balance) AS units,
                CASE WHEN units < 0 THEN -1 ELSE 1 END * round_division(abs(units), $step) AS minor,
                CASE WHEN in_scope IS NULL THEN NOT $declared
                    WHEN lower(in_scope) IN ('true', 't', 'yes', 'y', '1', '1.0') THEN true
                    WHEN lower(in_scope) IN ('false', 'f', 'no', 'n', '0', '0.0') THEN false
                END AS in_scope
            FROM accounts_text),
        checked AS (
            SELECT *, CASE
                WHEN account IS NULL THEN 'account|missing account'
                WHEN NOT is_number(risk_text) OR risk_score IS NULL
                    THEN 'risk_score|unparsable risk score'
                WHEN NOT risk_score BETWEEN 0 AND 1 THEN 'risk_score|risk score outside 0 to 1'
                WHEN NOT is_number(balance_text) THEN 'balance|unparsable balance'
                WHEN balance_text IS NOT NULL
                    AND (minor IS NULL OR abs(minor) > 9223372036854775807)
                    THEN 'balance|balance too large'
                WHEN in_scope IS NULL THEN 'in_scope|unparsable in_scope'
            END AS fault FROM parsed)
        SELECT * REPLACE (CASE WHEN fault IS NULL AND row_number() OVER
                (PARTITION BY account, fault IS NULL ORDER BY "row") > 1
            THEN 'account|repeated account' ELSE fault END AS fault)
        FROM checked
        """,
        {"step": 10 ** (8 - minor_units(base)), "declared": scope_declared},
    )


def _judge_transactions(con: duckdb.DuckDBPyConnection, bank: str) -> None:
    con.execute(
        """
        CREATE TEMP TABLE transactions_judged AS
        WITH parsed AS (
            SELECT "row", tx_id, timestamp AS time_text, micros(timestamp) AS timestamp,
                canonical_bank(from_bank) AS from_bank, canonical_bank(to_bank) AS to_bank,
                canonical_account(from_account) AS from_account,
                canonical_account(to_account) AS to_account,
                amount AS amount_text, hundred_millionths(amount) AS units,
                r.currency AS currency, own_step, channel,
                CASE WHEN units BETWEEN 0 AND 922337203685477580700000000
                    THEN round_division(units * multiplier, divisor) END AS minor
            FROM transactions_text t LEFT JOIN rates r ON upper(t.currency) = r.currency),
        checked AS (
            SELECT *, CASE
                WHEN tx_id IS NULL THEN 'tx_id|missing tx_id'
                WHEN time_text IS NULL THEN 'timestamp|missing time'
                WHEN timestamp IS NULL THEN 'timestamp|unparsable time'
                WHEN from_bank IS NULL THEN 'from_bank|missing bank'
                WHEN to_bank IS NULL THEN 'to_bank|missing bank'
                WHEN from_account IS NULL THEN 'from_account|missing account'
                WHEN to_account IS NULL THEN 'to_account|missing account'
                WHEN $bank NOT IN (from_bank, to_bank) THEN 'from_bank|neither side at this bank'
                WHEN amount_text IS NULL THEN 'amount|missing amount'
                WHEN NOT is_number(amount_text) THEN 'amount|unparsable amount'
                WHEN starts_with(amount_text, '-') AND coalesce(units, 1) <> 0
                    THEN 'amount|negative amount'
                WHEN units IS NULL THEN 'amount|amount too large'
                WHEN currency IS NULL THEN 'currency|unknown currency'
                WHEN minor IS NULL OR minor > 9223372036854775807 THEN 'amount|amount too large'
            END AS fault FROM parsed)
        SELECT * REPLACE (CASE WHEN fault IS NULL AND row_number() OVER
                (PARTITION BY tx_id, fault IS NULL ORDER BY "row") > 1
            THEN 'tx_id|repeated tx_id' ELSE fault END AS fault)
        FROM checked
        """,
        {"bank": bank},
    )


def _collect(
    con: duckdb.DuckDBPyConnection, bank: str, base: str | None, *, scope_declared: bool
) -> BankData:
    accounts = _table(
        con,
        """SELECT account, customer, opened, kind, risk_score, CAST(minor AS BIGINT) AS balance,
            in_scope FROM accounts_judged WHERE fault IS NULL ORDER BY account""",
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
    con.executemany("INSERT INTO remedies VALUES (?, ?)", list(_REMEDIES.items()))
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
