"""From the rows of any format to a data set folder: judge, sort, split over banks, label.

An import of a format lays two views over its files, and everything else is the same for all:

``raw_payments``: file, rank, tx_id, micros, time_text, from_bank, from_account, to_bank,
to_account, amount (text), currency, channel, illicit (bool), pattern, typology, text (the line as
it stands);
``raw_accounts``: file, rank, bank, account, customer, opened, kind, risk_score, balance, text.

A row that no bank's node could use goes to ``rejected.csv`` with its reason, and is counted; the
rest is sorted by time on disk.  Memory stays within the bound of :mod:`simdata.staging`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from bank_node.errors import ParameterError, UnreadableFileError
from simdata.dataset import Dataset, bank_folder, check_bank_names, dataset_toml
from simdata.rejects import REJECTED, write_rejected
from simdata.staging import Stage, quoted
from simdata.writer import write_blocks

__all__ = ["MOST_BANKS", "Layout", "bank_by_hash", "blocks_of", "check_banks", "settle"]

MOST_BANKS = 64
"""The lab runs so many parties at most."""

_BATCH = 200_000
_LARGEST = "92233720368547758.07"


@dataclass(frozen=True)
class Layout:
    """What an import knows about its data set.

    Attributes:
        name: name of the data set.
        base_currency: currency of all amounts inside.
        rates: units of it for one unit of each other currency.
        account_columns: optional columns of the accounts that the format has.
        listed: whether ``raw_accounts`` has rows; if not, accounts are those of the payments.
        labelled: whether the format tells what is laundering.
        numbered: whether payments have no ids of their own and are numbered by time.
        banks: the banks; empty: those of the accounts, or of the payments if no account is listed.
            A bank of a payment that is none of them is outside the data set.
    """

    name: str
    base_currency: str
    rates: Mapping[str, float] = field(default_factory=dict)
    account_columns: tuple[str, ...] = ()
    listed: bool = True
    labelled: bool = True
    numbered: bool = True
    banks: tuple[str, ...] = ()


def check_banks(banks: int | None) -> None:
    """Refuse a number of banks that cannot be split over.

    Raises:
        ParameterError: it is below 1 or above what the lab can run.
    """
    if banks is not None and not 1 <= banks <= 1000:
        raise ParameterError(f"{banks} banks cannot be made", "Ask for 1 to 1000 banks")


def bank_by_hash(key: str, banks: int, seed: int) -> str:
    """SQL for the bank of ``key``: the first 60 bits of SHA-256(``<seed>:<key>``) mod ``banks``."""
    digest = f"substr(sha256(concat('{int(seed)}:', {key})), 1, 15)"
    return f"concat('bank', 1 + CAST(concat('0x', {digest}) AS BIGINT) % {int(banks)})"


def settle(
    stage: Stage, work: Path, layout: Layout, scans: Mapping[str, str], *, csv: bool
) -> Dataset:
    """Write the data set to ``work``.

    Args:
        stage: has the views ``raw_payments``, ``raw_accounts``, and for each of ``scans`` a table
            ``<scan>_broken``.
        work: folder to write to.
        layout: what is known of the data set.
        scans: the scanned files, and the name of each in ``file``.
        csv: write CSV instead of Parquet.

    Raises:
        DataError: nothing can be used, or a bank's id cannot be the name of a folder.
    """
    _judge_accounts(stage, layout)
    _judge_payments(stage, layout)
    banks = _collect(stage, layout)
    check_bank_names(banks)
    write_rejected(stage, work / REJECTED, scans)
    dataset = _describe(stage, layout, banks)
    (work / "dataset.toml").write_text(dataset_toml(dataset), "utf-8")
    for bank in banks:
        _write_bank(stage, bank_folder(work, bank), bank, csv=csv)
    if layout.labelled:
        _write_labels(stage, work / "labels", csv=csv)
    return dataset


def _judge_accounts(stage: Stage, layout: Layout) -> None:
    """View ``accounts_judged``, and table ``roster`` of the banks that are in the data set."""
    stage.store(
        "accounts_parsed",
        """SELECT *, CASE
            WHEN bank IS NULL THEN 'bank|missing bank'
            WHEN account IS NULL THEN 'account|missing account'
            WHEN NOT is_number(risk_score) OR NOT TRY_CAST(risk_score AS DOUBLE) BETWEEN 0 AND 1
                THEN 'risk_score|unparsable risk score'
            WHEN NOT is_number(balance) THEN 'balance|unparsable balance'
        END AS fault FROM raw_accounts""",
    )
    stage.store(
        "accounts_judged",
        """SELECT * REPLACE (CASE WHEN fault IS NULL AND row_number() OVER
            (PARTITION BY bank, account, fault IS NULL ORDER BY rank) > 1
            THEN 'account|repeated account' ELSE fault END AS fault) FROM accounts_parsed""",
    )
    source = "SELECT DISTINCT bank FROM accounts_judged WHERE fault IS NULL"
    if layout.banks:
        source = f"SELECT unnest([{', '.join(quoted(bank) for bank in layout.banks)}]) AS bank"
    elif not layout.listed:
        source = """SELECT bank FROM (SELECT from_bank AS bank FROM raw_payments
            UNION SELECT to_bank FROM raw_payments) WHERE bank IS NOT NULL"""
    stage.con.execute(f"CREATE TEMP TABLE roster AS {source}")


def _judge_payments(stage: Stage, layout: Layout) -> None:
    """Views ``judged`` (all rows with their fault) and ``payments`` (the good ones, by time)."""
    known = ", ".join(quoted(name) for name in (layout.base_currency, *layout.rates))
    stage.store(
        "parsed",
        f"""SELECT *, CASE
            WHEN time_text IS NULL THEN 'timestamp|missing time'
            WHEN micros IS NULL THEN 'timestamp|unparsable time'
            WHEN from_bank IS NULL THEN 'from_bank|missing bank'
            WHEN to_bank IS NULL THEN 'to_bank|missing bank'
            WHEN from_account IS NULL THEN 'from_account|missing account'
            WHEN to_account IS NULL THEN 'to_account|missing account'
            WHEN from_bank NOT IN (FROM roster) AND to_bank NOT IN (FROM roster)
                THEN 'from_bank|neither side at a bank of the data set'
            WHEN amount IS NULL THEN 'amount|missing amount'
            WHEN NOT is_number(amount) THEN 'amount|unparsable amount'
            WHEN starts_with(amount, '-') AND TRY_CAST(amount AS DOUBLE) <> 0
                THEN 'amount|negative amount'
            WHEN coalesce(TRY_CAST(amount AS DECIMAL(28, 8)) > {_LARGEST}, true)
                THEN 'amount|amount too large'
            WHEN currency IS NULL OR upper(currency) NOT IN ({known})
                THEN 'currency|unknown currency'
        END AS fault FROM raw_payments""",  # noqa: S608 - currencies are quoted
    )
    if layout.numbered:
        stage.con.execute("CREATE TEMP VIEW judged AS SELECT * FROM parsed")
    else:
        stage.store(
            "judged",
            """SELECT * REPLACE (CASE
                WHEN fault IS NULL AND tx_id IS NULL THEN 'tx_id|missing tx_id'
                WHEN fault IS NULL AND row_number() OVER
                    (PARTITION BY tx_id, fault IS NULL ORDER BY rank) > 1
                THEN 'tx_id|repeated tx_id' ELSE fault END AS fault) FROM parsed""",
        )
    number = "printf('t%09d', row_number() OVER ())" if layout.numbered else "tx_id"
    stage.store(
        "payments",
        f"""SELECT {number} AS tx_id, * EXCLUDE (tx_id, fault, time_text, text, file)
        FROM (SELECT * FROM judged WHERE fault IS NULL ORDER BY micros, rank)""",  # noqa: S608
    )


def _collect(stage: Stage, layout: Layout) -> tuple[str, ...]:
    """View ``accounts`` (bank, account, the optional columns); the banks, bank2 before bank10."""
    columns = ", ".join(("bank", "account", *layout.account_columns))
    source = (
        f"SELECT {columns} FROM accounts_judged WHERE fault IS NULL"  # noqa: S608 - fixed names
        if layout.listed
        else """SELECT from_bank AS bank, from_account AS account FROM payments
            UNION SELECT to_bank, to_account FROM payments"""
    )
    stage.store(
        "accounts",
        f"SELECT * FROM ({source}) WHERE bank IN (FROM roster) ORDER BY bank, account",  # noqa: S608
    )
    rows = stage.con.execute("SELECT bank FROM roster ORDER BY length(bank), bank").fetchall()
    if not rows:
        raise UnreadableFileError(
            "There is no row in the source that could be used", "Check that it is the right file"
        )
    return layout.banks or tuple(str(bank) for (bank,) in rows)


def _describe(stage: Stage, layout: Layout, banks: tuple[str, ...]) -> Dataset:
    ((first, last),) = stage.con.execute("SELECT min(micros), max(micros) FROM payments").fetchall()
    return Dataset(
        name=layout.name,
        banks=banks,
        base_currency=layout.base_currency,
        first=first,
        last=last,
        rates=layout.rates,
    )


def blocks_of(stage: Stage, query: str) -> Iterator[pa.Table]:
    """The rows of a query in blocks; one without rows if there are none."""
    reader = stage.con.sql(query).to_arrow_reader(_BATCH)
    empty = True
    for batch in reader:
        empty = False
        yield pa.Table.from_batches([batch], reader.schema)
    if empty:
        yield reader.schema.empty_table()


def _write_bank(stage: Stage, folder: Path, bank: str, *, csv: bool) -> None:
    folder.mkdir(parents=True)
    own = f"""SELECT * EXCLUDE (bank) FROM accounts WHERE bank = {quoted(bank)}
        ORDER BY account"""  # noqa: S608 - the bank is quoted
    write_blocks(blocks_of(stage, own), folder / "accounts", csv=csv)
    payments = f"""SELECT tx_id, make_timestamptz(micros) AS timestamp, from_bank, from_account,
            to_bank, to_account, amount, upper(currency) AS currency, channel
        FROM payments WHERE from_bank = {quoted(bank)} OR to_bank = {quoted(bank)}
        ORDER BY micros, tx_id"""  # noqa: S608 - the bank is quoted
    write_blocks(blocks_of(stage, payments), folder / "transactions", csv=csv)


def _write_labels(stage: Stage, folder: Path, *, csv: bool) -> None:
    """Illicit is an account that a laundering payment touches; its pattern is that of the first.

    All laundering payments are listed, also those of which nothing else is known.
    """
    folder.mkdir()
    labels = """WITH touched AS (
            SELECT from_bank AS bank, from_account AS account, pattern, typology, micros, tx_id
            FROM payments WHERE illicit
            UNION ALL SELECT to_bank, to_account, pattern, typology, micros, tx_id
            FROM payments WHERE illicit),
        marked AS (
            SELECT bank, account, arg_min(pattern, (micros, tx_id)) AS pattern,
                arg_min(typology, (micros, tx_id)) AS typology FROM touched GROUP BY bank, account),
        known AS (
            SELECT bank, account FROM accounts UNION SELECT from_bank, from_account FROM payments
            UNION SELECT to_bank, to_account FROM payments)
        SELECT k.bank, k.account, m.bank IS NOT NULL AS is_illicit, pattern, typology
        FROM known k LEFT JOIN marked m ON k.bank = m.bank AND k.account = m.account
        WHERE k.bank IN (FROM roster) ORDER BY k.bank, k.account"""
    write_blocks(blocks_of(stage, labels), folder / "accounts", csv=csv)
    patterns = """SELECT pattern, typology, tx_id, CAST(NULL AS BIGINT) AS hop FROM payments
        WHERE illicit ORDER BY length(pattern), pattern, micros, tx_id"""
    write_blocks(blocks_of(stage, patterns), folder / "patterns", csv=csv)
