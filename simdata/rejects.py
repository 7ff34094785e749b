"""The rows that an import could not use: each with its reason and remedy, and counted."""

from collections.abc import Mapping
from pathlib import Path

from bank_node.raw_tables import connect
from simdata.staging import Stage, quoted

__all__ = ["REJECTED", "count_rejected", "write_rejected"]

REJECTED = "rejected.csv"
"""Name of the file, in the data set's folder."""

_REMEDIES = {
    "wrong number of fields": "give the line one field for each column; it may have been cut off",
    "broken line": "check the quotation marks of the line; it may have been cut off",
    "missing tx_id": "give each payment an id that is unique in the data set",
    "repeated tx_id": "give each payment its own id; the first row with this id was kept",
    "missing time": "give the time",
    "unparsable time": "write the time as this format has it",
    "missing bank": "name the bank of both sides",
    "missing account": "name the account",
    "neither side at a bank of the data set": "list an account of one of its banks",
    "missing amount": "give the amount",
    "unparsable amount": "write a plain number with a decimal point, such as 1250.00",
    "negative amount": "swap payer and payee and write the amount without a sign",
    "amount too large": "check the amount: it does not fit 64 bits in hundredths",
    "unknown currency": "add a rate for this currency, or correct it",
    "repeated account": "give one row for each account; the first was kept",
    "unparsable risk score": "write a number from 0 to 1, or leave it empty",
    "unparsable balance": "write a plain number with a decimal point, or leave it empty",
    "no such payment": "the patterns file names a payment that the payments file does not have",
}


def write_rejected(stage: Stage, path: Path, scans: Mapping[str, str]) -> None:
    """Every row that was left out: file, row, field, reason, remedy, and the line itself.

    A judged row knows its rank among the good lines only; its row in the file is found from the
    broken lines before it.
    """
    stage.con.execute("CREATE TEMP TABLE remedies (reason VARCHAR, remedy VARCHAR)")
    stage.con.executemany("INSERT INTO remedies VALUES (?, ?)", list(_REMEDIES.items()))
    stage.con.execute(
        'CREATE TEMP TABLE broken (file VARCHAR, "row" BIGINT, reason VARCHAR, text VARCHAR)'
    )
    for scan, file in scans.items():
        stage.con.execute(
            f'INSERT INTO broken SELECT {quoted(file)}, "row", reason, text FROM {scan}_broken'  # noqa: S608
        )
    stage.con.execute("""
        CREATE TEMP TABLE shifts AS
        SELECT file, "row" - place AS good_before, max(place) AS shift FROM (
            SELECT file, "row", row_number() OVER (PARTITION BY file ORDER BY "row") AS place
            FROM broken)
        GROUP BY ALL
    """)
    stage.con.execute(
        f"""COPY (
            WITH faults AS (
                SELECT file, rank, fault, text FROM judged WHERE fault IS NOT NULL
                UNION ALL SELECT file, rank, fault, text FROM accounts_judged
                WHERE fault IS NOT NULL),
            rows AS (
                SELECT f.file, rank + coalesce(shift, 0) AS "row",
                    split_part(fault, '|', 1) AS field, split_part(fault, '|', 2) AS reason, text
                FROM faults f ASOF LEFT JOIN shifts s
                ON f.file = s.file AND f.rank > s.good_before
                UNION ALL SELECT file, "row", '', reason, text FROM broken)
            SELECT file, "row", field, reason, remedy, text
            FROM rows LEFT JOIN remedies USING (reason) ORDER BY file, "row")
        TO {quoted(path)} (FORMAT csv, HEADER)"""  # noqa: S608 - the path is quoted
    )


def count_rejected(folder: Path) -> dict[str, int]:
    """How many rows an import left out, by reason; empty if none, or if nothing was imported."""
    path = folder / REJECTED
    if not path.is_file():
        return {}
    with connect(folder) as con:
        rows = con.execute(
            """SELECT reason, count(*) FROM read_csv(?, header = true,
                delim = ',', quote = '"', escape = '"', columns = {'file': 'VARCHAR',
                'row': 'VARCHAR', 'field': 'VARCHAR', 'reason': 'VARCHAR', 'remedy': 'VARCHAR',
                'text': 'VARCHAR'}, auto_detect = false)
            GROUP BY reason ORDER BY reason""",
            [str(path.resolve())],
        ).fetchall()
    return {str(reason): int(n) for reason, n in rows}
