"""From staged payments to files of one day each, sorted by account.

A day gets a new file in each batch that has payments of it; when it has several, they are merged
into one, so that a day is read from a few files however often the node takes in.
"""

from collections.abc import Sequence

from bank_node.intake.batch import STORED, Batch
from bank_node.intake.days import DayFile
from bank_node.intake.folders import listed_file, new_file
from bank_node.sandbox import quoted

__all__ = ["copy_private", "store_days"]

_MERGE_AT = 8
_ORDER = "from_account, to_account, timestamp, tx_id"


def store_days(batch: Batch, held: Sequence[DayFile]) -> tuple[list[DayFile], list[str]]:
    """Write the accepted payments.

    Returns:
        the new files, and those that they replace.
    """
    path = batch.work / "accepted.parquet"
    batch.con.execute(f"""
        COPY (SELECT {STORED}, rounded FROM fresh f
              WHERE NOT EXISTS (
                  FROM verdicts v WHERE v.file = f.file AND v."row" = f."row")
              ORDER BY CAST(make_timestamp(timestamp) AS DATE))
        TO {quoted(str(path))} (FORMAT parquet, COMPRESSION lz4_raw)
    """)  # noqa: S608 - columns and files of this package
    accepted = f"read_parquet({quoted(str(path))})"
    batch.con.execute(f"CREATE TEMP VIEW accepted AS FROM {accepted}")
    days = batch.con.execute("""
        SELECT CAST(day AS VARCHAR), epoch_us(CAST(day AS TIMESTAMP)), n FROM (
            SELECT CAST(make_timestamp(timestamp) AS DATE) AS day, count(*) AS n
            FROM accepted GROUP BY day) ORDER BY day
    """).fetchall()
    added: list[DayFile] = []
    removed: list[str] = []
    for day, start, rows in days:
        merged = _to_merge(held, day)
        added.append(_store_day(batch, day, int(start), int(rows), merged))
        removed += [entry.file for entry in merged]
    return added, removed


def _to_merge(held: Sequence[DayFile], day: str) -> list[DayFile]:
    found = [entry for entry in held if entry.day == day]
    return found if len(found) + 1 >= _MERGE_AT else []


def _store_day(batch: Batch, day: str, start: int, rows: int, merged: Sequence[DayFile]) -> DayFile:
    files = ", ".join(quoted(str(batch.folder / entry.file)) for entry in merged)
    more = f"UNION ALL SELECT {STORED} FROM read_parquet([{files}])" if merged else ""  # noqa: S608
    name = f"days/{day}/{batch.name}.parquet"
    copy_private(
        batch,
        name,
        f"""SELECT * FROM (
                SELECT {STORED} FROM accepted
                WHERE timestamp >= {start} AND timestamp < {start + 86_400_000_000} {more})
            ORDER BY {_ORDER}""",  # noqa: S608 - columns and files of this package
        f"FORMAT parquet, COMPRESSION zstd, {batch.labels()}",
    )
    return listed_file(batch.folder, day, name, rows + sum(entry.rows for entry in merged))


def copy_private(batch: Batch, name: str, query: str, options: str) -> None:
    """Write a query's rows to a new file of the data folder that only this user can read."""
    path = new_file(batch.folder, name)
    batch.con.execute(f"COPY ({query}) TO {quoted(str(path))} ({options}, USE_TMP_FILE false)")
