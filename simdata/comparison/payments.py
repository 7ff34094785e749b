"""All accounts and payments of a labelled data set, numbered over all banks, and who sees what.

Only the lab may see this: it is the pooled world, and the ground from which the view of each bank
alone is cut.  A payment has its payer (payee) inside if that account's bank is one of the data set
and knows the payment; the other ends are outside, number -1, as in the secure runs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bank_node.errors import ParameterError
from bank_node.ingest import BankData, canonical_bank, read_bank
from simdata.dataset import Dataset, bank_folder, read_dataset, read_labels

__all__ = [
    "Labelled",
    "Labels",
    "Payments",
    "between_banks",
    "listed_payments",
    "read_labelled",
    "seen_by",
    "until",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Payments:
    """Payments in order of time.

    Attributes:
        source: int64 (e,), paying account, -1 outside.
        target: int64 (e,), receiving account, -1 outside.
        amount: int64 (e,), minor units.
        time: int64 (e,), microseconds since 1970 UTC.
        tx_id: text (e,).
    """

    source: Ints
    target: Ints
    amount: Ints
    time: Ints
    tx_id: pa.Array

    def take(self, rows: NDArray[Any]) -> "Payments":
        """Return the payments at ``rows`` (numbers, or a mask)."""
        kept = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Payments(
            self.source[kept],
            self.target[kept],
            self.amount[kept],
            self.time[kept],
            self.tx_id.take(pa.array(kept)),
        )


@dataclass(frozen=True)
class Labels:
    """What is known of the accounts afterwards; no analysis reads it.

    Attributes:
        illicit: bool (n,).
        typology: text (n,), "" for an account without one.
        pattern: text (n,), the scheme of the account, "" for none.
        scheme_tx: laundering payments by ``tx_id``, with ``pattern`` (null for one that is in no
            named scheme) and ``hop``; None if the data set does not list them.
    """

    illicit: Bools
    typology: NDArray[np.str_]
    pattern: NDArray[np.str_]
    scheme_tx: pa.Table | None


@dataclass(frozen=True)
class Labelled:
    """A data set.

    Attributes:
        dataset: its description.
        bank: int64 (n,), number of each account's bank; accounts stand in the order of the banks,
            and of their ids within a bank.
        account: ids (n,).
        risk: float64 (n,), initial risk score, 0 where the bank gave none.
        balance: int64 (n,), minor units before the first payment, at least 0.
        balance_known: bool (n,).
        payments: all payments.
        labels: who is illicit.
    """

    dataset: Dataset
    bank: Ints
    account: list[str]
    risk: Floats
    balance: Ints
    balance_known: Bools
    payments: Payments
    labels: Labels

    def __len__(self) -> int:
        return len(self.bank)


def read_labelled(folder: Path) -> Labelled:
    """Read a data set with its labels.

    Raises:
        DataError: a file cannot be used at all.
        ParameterError: nobody is labelled illicit, so there is nothing to compare by.
    """
    dataset = read_dataset(folder)
    table = read_labels(folder)
    if table is None or not np.any(table["is_illicit"].to_numpy(zero_copy_only=False)):
        raise ParameterError(
            f"{folder}: no account is labelled illicit",
            "Give a data set with labels, for example one of undercurrent simdata generate",
        )
    with duckdb.connect() as con:
        _register(con, folder, dataset)
        con.register("label", table)
        columns = con.sql(_ACCOUNTS).to_arrow_table()
        payments = con.sql(_PAYMENTS).to_arrow_table()
    return Labelled(
        dataset=dataset,
        bank=_ints(columns["owner"]),
        account=columns["account"].to_pylist(),
        risk=np.asarray(columns["risk"].to_numpy(), np.float64),
        balance=_ints(columns["balance"]),
        balance_known=np.asarray(columns["known"].to_numpy(), np.bool_),
        payments=_payments(payments),
        labels=_labels(folder, columns),
    )


def seen_by(data: Labelled, payments: Payments, bank: int) -> Payments:
    """Return those of the payments that a bank sees: with an account of its own."""
    inside = np.append(data.bank == bank, False)  # the last stands for -1, outside
    return payments.take(inside[payments.source] | inside[payments.target])


def until(payments: Payments, end: int) -> Payments:
    """Return the payments before ``end`` (microseconds)."""
    return payments.take(payments.time < end)


def between_banks(data: Labelled) -> Bools:
    """Return which payments lead from one bank of the data set to another, (e,)."""
    source, target = data.payments.source, data.payments.target
    inside = (source >= 0) & (target >= 0)
    crossing: Bools = inside & (data.bank[source] != data.bank[target])
    return crossing


def listed_payments(data: Labelled, *, named: bool = False) -> Bools | None:
    """Return which payments the labels list as laundering, (e,); None if they list none.

    Args:
        data: the data set.
        named: only those that are in a named scheme.
    """
    listed = data.labels.scheme_tx
    if listed is not None and named:
        listed = listed.filter(pc.is_valid(listed["pattern"]))
    if listed is None or listed.num_rows == 0:
        return None
    ids = listed["tx_id"].combine_chunks().cast(data.payments.tx_id.type)
    found: Bools = pc.is_in(data.payments.tx_id, value_set=ids).to_numpy(zero_copy_only=False)
    return found


def _register(con: duckdb.DuckDBPyConnection, folder: Path, dataset: Dataset) -> None:
    """Make tables of accounts and payments, each row with the bank that has it, and of banks."""
    con.execute("CREATE TABLE roster (bank VARCHAR, owner INTEGER)")
    accounts, payments = [], []
    for number, name in enumerate(dataset.banks):
        con.execute("INSERT INTO roster VALUES (?, ?)", [canonical_bank(name), number])
        data = read_bank(
            bank_folder(folder, name),
            name,
            base_currency=dataset.base_currency,
            rates=dataset.rates,
        )
        accounts.append(_owned(data, data.accounts, number))
        payments.append(_owned(data, data.transactions, number))
    con.register("account_rows", pa.concat_tables(accounts))
    con.register("payment_rows", pa.concat_tables(payments))
    con.execute(_OWN)


def _owned(data: BankData, table: pa.Table, number: int) -> pa.Table:
    owned = table.append_column("knower", pa.repeat(data.bank, table.num_rows))
    return owned.append_column("owner", pa.array(np.full(table.num_rows, number, np.int64)))


# Numbers follow the rows of a bank's results: by bank, then by the bytes of the account's id.
_OWN = """
    CREATE TABLE own AS
    SELECT owner, bank, account, row_number() OVER (ORDER BY owner, account) - 1 AS v FROM (
        SELECT owner, knower AS bank, account FROM account_rows
        UNION SELECT owner, from_bank, from_account FROM payment_rows WHERE from_bank = knower
        UNION SELECT owner, to_bank, to_account FROM payment_rows WHERE to_bank = knower)
"""

_ACCOUNTS = """
    SELECT o.owner, o.account, coalesce(a.risk_score, 0.0) AS risk,
        CAST(greatest(coalesce(a.balance, 0), 0) AS BIGINT) AS balance,
        a.balance IS NOT NULL AS known, coalesce(l.is_illicit, false) AS illicit,
        coalesce(l.typology, '') AS typology, coalesce(l.pattern, '') AS pattern
    FROM own o LEFT JOIN account_rows a ON a.owner = o.owner AND a.account = o.account
    LEFT JOIN (
        SELECT r.owner, l.account, bool_or(l.is_illicit) AS is_illicit,
            min(l.typology) AS typology, min(l.pattern) AS pattern
        FROM label l JOIN roster r ON ltrim(l.bank, '0') = ltrim(r.bank, '0') GROUP BY ALL
    ) l ON l.owner = o.owner AND l.account = o.account
    ORDER BY o.v
"""

_PAYMENTS = """
    WITH known AS (
        SELECT tx_id, from_bank, from_account, to_bank, to_account, min(timestamp) AS time,
            coalesce(max(amount) FILTER (knower = from_bank), max(amount)) AS amount,
            bool_or(knower = from_bank) AS at_payer, bool_or(knower = to_bank) AS at_payee
        FROM payment_rows GROUP BY ALL)
    SELECT k.tx_id, k.time, k.amount,
        CASE WHEN at_payer THEN coalesce(f.v, -1) ELSE -1 END AS source,
        CASE WHEN at_payee THEN coalesce(t.v, -1) ELSE -1 END AS target
    FROM known k
    LEFT JOIN own f ON f.bank = k.from_bank AND f.account = k.from_account
    LEFT JOIN own t ON t.bank = k.to_bank AND t.account = k.to_account
    ORDER BY k.time, k.tx_id
"""


def _payments(table: pa.Table) -> Payments:
    return Payments(
        source=_ints(table["source"]),
        target=_ints(table["target"]),
        amount=_ints(table["amount"]),
        time=_ints(table["time"]),
        tx_id=table["tx_id"].combine_chunks(),
    )


def _labels(folder: Path, columns: pa.Table) -> Labels:
    return Labels(
        illicit=np.asarray(columns["illicit"].to_numpy(), np.bool_),
        typology=np.array(columns["typology"].to_pylist(), dtype=np.str_),
        pattern=np.array(columns["pattern"].to_pylist(), dtype=np.str_),
        scheme_tx=_scheme_payments(folder),
    )


_SCHEME_TEXTS = """CAST(tx_id AS VARCHAR) AS tx_id,
    nullif(CAST(pattern AS VARCHAR), '') AS pattern"""


def _scheme_payments(folder: Path) -> pa.Table | None:
    """The laundering payments, with columns tx_id, pattern and hop; None if none are listed.

    An empty pattern is null.  CSV is read as text, so that an id keeps its zeros.
    """
    place = folder / "labels"
    texts = "', all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"')"
    for suffix, reader, end in ((".parquet", "read_parquet", "')"), (".csv", "read_csv", texts)):
        path = place / f"patterns{suffix}"
        if not path.is_file():
            continue
        name = str(path).replace("'", "''")
        with duckdb.connect() as con:
            found = con.sql(f"SELECT * FROM {reader}('{name}{end}")  # noqa: S608 - a quoted path
            hop = "CAST(hop AS BIGINT)" if "hop" in found.columns else "CAST(NULL AS BIGINT)"
            table: pa.Table = found.project(f"{_SCHEME_TEXTS}, {hop} AS hop").to_arrow_table()
            return table if table.num_rows else None
    return None


def _ints(column: Any) -> Ints:
    return np.asarray(column.to_numpy(), np.int64)
