"""The snapshot of a bank's accounts: the latest in full wins.

An account that the latest snapshot lacks is no longer in the table; if it stands in payments it is
an account all the same, without risk, balance or declared scope.

``balance`` is the balance before the first payment held, unless ``balance_at`` (ISO time) says at
which time it is; it is kept as written, and :func:`bank_node.intake.read_taken` takes it back to
the time before the first payment held.
"""

import hashlib
from dataclasses import dataclass

from bank_node.intake.batch import Batch, Source, keep_broken, named, stage_text
from bank_node.intake.days import ACCOUNTS_DAY, DayFile
from bank_node.intake.folders import listed_file
from bank_node.intake.storing import copy_private
from bank_node.rules import ACCOUNTS, judge_accounts

__all__ = ["Snapshot", "stage_accounts", "store_accounts"]


@dataclass(frozen=True)
class Snapshot:
    """A staged snapshot.

    Attributes:
        declared: whether it says who is in scope.
        digest: of its rows, whatever their order.
        undated: number of balances without a time.
    """

    declared: bool
    digest: str
    undated: int


def stage_accounts(batch: Batch, source: Source) -> Snapshot:
    """Read and judge the accounts: table ``accounts_judged``.

    Raises:
        DataError: the file cannot be used.
    """
    raw = batch.work / "raw-accounts.parquet"
    raw.unlink(missing_ok=True)
    columns = stage_text(batch, source, named(ACCOUNTS, batch.config), raw)
    batch.con.execute("DROP TABLE IF EXISTS accounts_judged")
    batch.con.execute("DELETE FROM broken WHERE part = 'accounts'")
    keep_broken(batch, "accounts", 0)
    declared = "in_scope" in columns
    judge_accounts(batch.con, batch.config.base_currency, scope_declared=declared)
    undated = batch.number("""
        SELECT count(*) FROM accounts_judged
        WHERE fault IS NULL AND minor IS NOT NULL AND balance_at IS NULL
    """)
    return Snapshot(declared, _digest(batch, declared), undated)


def _digest(batch: Batch, declared: bool) -> str:
    ((rows, mixed),) = batch.con.execute("""
        SELECT count(*), sum(CAST(md5_number_lower(CAST(a AS VARCHAR)) AS HUGEINT))
        FROM (SELECT * EXCLUDE ("row") FROM accounts_text) a
    """).fetchall()
    return hashlib.sha256(f"{rows} {mixed} {declared}".encode()).hexdigest()[:16]


def store_accounts(batch: Batch, snapshot: Snapshot) -> DayFile:
    """Write the snapshot: balance in minor units, balance_at in microseconds since 1970."""
    name = f"accounts/{batch.name}.parquet"
    labels = batch.labels(scope_declared=str(snapshot.declared).lower(), digest=snapshot.digest)
    copy_private(
        batch,
        name,
        """SELECT account, customer, opened, kind, risk_score, CAST(minor AS BIGINT) AS balance,
                balance_at, in_scope
            FROM accounts_judged WHERE fault IS NULL ORDER BY account""",
        f"FORMAT parquet, COMPRESSION zstd, {labels}",
    )
    rows = batch.number("SELECT count(*) FROM accounts_judged WHERE fault IS NULL")
    return listed_file(batch.folder, ACCOUNTS_DAY, name, rows)
