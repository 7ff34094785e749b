"""Retention: payments of days before a day go, and the balances that they made stay right."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

from bank_node.intake.days import ACCOUNTS_DAY, REJECTED_DAY, DayFile, DayList
from bank_node.intake.folders import (
    batch_name,
    exclusive,
    listed_file,
    new_file,
    remove,
    storage,
)
from bank_node.intake.labels import labels_of
from bank_node.sandbox import Resources, connect_to, quoted

__all__ = ["RETENTION", "forget_before"]

RETENTION = "retention"
"""Name under which the list keeps the day before which all is gone, in days since 1970."""

_DAY = 86_400_000_000
_MEMORY_MB = 1024


def forget_before(folder: Path, days: DayList, day: int) -> int:
    """Remove the payments of all days before ``day``, and rejected rows told before it.

    A balance that is older than the start of ``day``, or has no time, is moved on to that start by
    the payments that go and are not before it: plus what came in, minus what went out.  It is not
    cut at 0 here, since :func:`bank_node.partition.build_partition` does that once, over all
    payments before its window: so runs whose window begins at ``day`` or later see the same
    balances as before, however often and however late this is done.  Payments before ``day`` are
    not taken in again.

    Args:
        folder: folder of the data.
        days: the list of files that count.
        day: first day that stays, in days since 1970 (UTC).

    Returns:
        number of days that were removed.

    Raises:
        IntakeBusyError: something is being taken in.
        DamagedDataError: a file is missing or cannot be read.
        IntakeStorageError: the disk is full.
    """
    first = date(1970, 1, 1) + timedelta(days=max(day, -719_162))
    with exclusive(folder) as work, storage(folder):
        listed = days.listed()
        special = (ACCOUNTS_DAY, REJECTED_DAY)
        gone = [e for e in listed if e.day not in special and e.day < first.isoformat()]
        told = [e for e in listed if e.day == REJECTED_DAY and _told_on(e) < f"{first:%Y%m%d}"]
        if not gone and not told:
            return 0
        snapshot = [e for e in listed if e.day == ACCOUNTS_DAY] if gone else []
        added = [_moved_on(folder, work, entry, gone, day) for entry in snapshot]
        removed = [entry.file for entry in (*gone, *told, *snapshot)]
        report = {"rows": 0, "accepted": 0, "forgotten": sum(entry.rows for entry in gone)}
        mark = max(day, int(days.watermark(RETENTION) or day))
        days.commit(added, removed, RETENTION, str(mark), report)
        remove(folder, removed)
    return len({entry.day for entry in gone})


def _told_on(entry: DayFile) -> str:
    return Path(entry.file).name[:8]


def _moved_on(
    folder: Path, work: Path, snapshot: DayFile, gone: Sequence[DayFile], day: int
) -> DayFile:
    """The snapshot with its balances moved on to the start of ``day``."""
    place = folder.resolve()
    name = f"accounts/{batch_name(day * _DAY)}.parquet"
    files = ", ".join(quoted(str(place / entry.file)) for entry in gone)
    target = new_file(place, name)
    with connect_to([place], [], Resources(work / "spill", _MEMORY_MB)) as con:
        labels = labels_of(con, place, [snapshot.file, *(entry.file for entry in gone)])
        words = {key: value for key, value in labels}  # noqa: C416 - pairs, not the sets of files
        options = ", ".join(f"{key}: {quoted(value)}" for key, value in words.items())
        con.execute("CREATE TEMP TABLE own_bank AS SELECT ? AS bank", [words.get("bank")])
        con.execute(f"""
            COPY ({_query(quoted(str(place / snapshot.file)), f"[{files}]", day * _DAY)})
            TO {quoted(str(target))}
            (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{options}}}, USE_TMP_FILE false)
        """)
    return listed_file(place, ACCOUNTS_DAY, name, snapshot.rows)


def _query(snapshot: str, gone: str, start: int) -> str:
    return f"""
        WITH snapshot AS (FROM read_parquet({snapshot})),
        older AS (
            SELECT account, coalesce(balance_at, -9223372036854775808) AS since FROM snapshot
            WHERE balance IS NOT NULL AND (balance_at IS NULL OR balance_at < {start})),
        sides AS (
            SELECT to_account AS account, amount, timestamp FROM read_parquet({gone})
            WHERE to_bank = (SELECT bank FROM own_bank)
            UNION ALL
            SELECT from_account, -amount, timestamp FROM read_parquet({gone})
            WHERE from_bank = (SELECT bank FROM own_bank)),
        moved AS (
            SELECT account, sum(if(timestamp >= since, amount, 0)) AS net
            FROM older LEFT JOIN sides USING (account) GROUP BY account)
        SELECT s.* REPLACE (
            CASE WHEN m.account IS NULL THEN balance ELSE CAST(least(greatest(
                CAST(balance AS HUGEINT) + coalesce(net, 0), -9223372036854775807),
                9223372036854775807) AS BIGINT) END AS balance,
            CASE WHEN m.account IS NULL THEN balance_at ELSE {start} END AS balance_at)
        FROM snapshot s LEFT JOIN moved m USING (account) ORDER BY s.account
    """  # noqa: S608 - files of this package
