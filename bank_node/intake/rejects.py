"""What is told of rows: the rejected ones with reason and remedy, and IBANs that are wrong.

Both are CSV files in the data folder that only this user can read.  A row is named by its file and
its place there (data row, from 1); the other columns are what the bank wrote.
"""

from bank_node.intake.batch import Batch
from bank_node.intake.days import REJECTED_DAY, DayFile
from bank_node.intake.folders import listed_file
from bank_node.intake.ibans import define_iban_check
from bank_node.intake.storing import copy_private
from bank_node.rules import ACCOUNTS, REMEDIES, TRANSACTIONS
from bank_node.sandbox import quoted

__all__ = ["find_faults", "store_rejected", "store_warnings"]

_MOST_WARNINGS = 100_000
_CSV = "FORMAT csv, HEADER true"


def find_faults(batch: Batch, *, payments: bool, accounts: bool) -> None:
    """Table ``faults`` (part, file, row, fault) of well-shaped rows; row is the rank there."""
    batch.con.execute("""
        CREATE TEMP TABLE faults (part VARCHAR, file INTEGER, "row" BIGINT, fault VARCHAR)
    """)
    if payments:
        batch.con.execute("""
            INSERT INTO faults
            SELECT 'transactions', file, "row", fault FROM judged WHERE fault IS NOT NULL
            UNION ALL
            SELECT 'transactions', file, "row", 'tx_id|repeated tx_id' FROM verdicts
            WHERE verdict = 'conflict'
        """)
    if accounts:
        batch.con.execute("""
            INSERT INTO faults SELECT 'accounts', 0, "row", fault FROM accounts_judged
            WHERE fault IS NOT NULL
        """)


def store_rejected(batch: Batch, accounts_label: str) -> DayFile | None:
    """Write the rejected rows, in the order of the files; None if there are none."""
    rows = batch.number("SELECT (SELECT count(*) FROM faults) + (SELECT count(*) FROM broken)")
    if rows == 0:
        return None
    batch.con.execute("CREATE TEMP TABLE remedies (reason VARCHAR, remedy VARCHAR)")
    batch.con.executemany("INSERT INTO remedies VALUES (?, ?)", list(REMEDIES.items()))
    _places(batch)
    texts = _written(batch, accounts_label)
    columns = ", ".join(f'"{name}"' for name in (*ACCOUNTS.columns, *TRANSACTIONS.columns))
    name = f"rejected/{batch.name}.csv"
    copy_private(
        batch,
        name,
        f"""SELECT part AS "table", label AS source, place AS "row", field, reason, remedy,
                {columns}
            FROM ({texts}) LEFT JOIN remedies USING (reason) ORDER BY part, file, place""",  # noqa: S608
        _CSV,
    )
    return listed_file(batch.folder, REJECTED_DAY, name, rows)


def _places(batch: Batch) -> None:
    """View ``placed``: faults with their place among all lines, misshapen ones included.

    The i-th misshapen line has row_i - i good lines before it; a good line of rank r is moved on by
    as many misshapen lines as have fewer than r good ones before them.
    """
    batch.con.execute("""
        CREATE TEMP TABLE shifts AS
        SELECT part, file, before, max(i) AS shift FROM (
            SELECT part, file, row_number() OVER w AS i, "row" - row_number() OVER w AS before
            FROM broken WINDOW w AS (PARTITION BY part, file ORDER BY "row"))
        GROUP BY part, file, before;
        CREATE TEMP VIEW placed AS
        SELECT f.*, f."row" + coalesce(shift, 0) AS place
        FROM faults f ASOF LEFT JOIN shifts s
        ON f.part = s.part AND f.file = s.file AND f."row" > s.before
    """)


def _written(batch: Batch, accounts_label: str) -> str:
    """Query of all rejected rows with what the bank wrote."""
    parts = [
        f"""SELECT part, b.file, coalesce(label, {quoted(accounts_label)}) AS label,
            "row" AS place, '' AS field, reason
            FROM broken b LEFT JOIN sources s ON part = 'transactions' AND b.file = s.file"""  # noqa: S608
    ]
    found = batch.con.execute("SELECT DISTINCT part FROM faults").fetchall()
    if ("accounts",) in found:
        parts.append(f"""SELECT part, file, {quoted(accounts_label)} AS label, place,
            split_part(fault, '|', 1) AS field, split_part(fault, '|', 2) AS reason,
            t.* EXCLUDE ("row") FROM placed JOIN accounts_text t USING ("row")
            WHERE part = 'accounts'""")  # noqa: S608
    if ("transactions",) in found:
        parts.append(f"""SELECT p.part, p.file, s.label, place,
            split_part(fault, '|', 1) AS field, split_part(fault, '|', 2) AS reason,
            t.* EXCLUDE (filename, file_row_number)
            FROM placed p JOIN sources s ON s.file = p.file
            JOIN read_parquet({_raw(batch)}, filename = true, file_row_number = true) t
            ON t.filename = s.raw AND t.file_row_number + 1 = p."row"
            WHERE p.part = 'transactions'""")  # noqa: S608
    everything = ", ".join(
        f"CAST(NULL AS VARCHAR) AS {name}" for name in (*ACCOUNTS.columns, *TRANSACTIONS.columns)
    )
    nothing = f"SELECT '' AS part, 0 AS file, '' AS label, 0 AS place, {everything} WHERE false"
    return " UNION ALL BY NAME ".join([nothing, *parts])


def _raw(batch: Batch) -> str:
    names = batch.con.execute(
        "SELECT raw FROM sources WHERE file IN (SELECT file FROM faults) ORDER BY file"
    ).fetchall()
    return "[" + ", ".join(quoted(str(name)) for (name,) in names) + "]"


def store_warnings(batch: Batch, *, payments: bool, accounts: bool) -> DayFile | None:
    """Check the IBANs of what was taken in: table ``ibans`` (account, fault), and a file of faults.

    The file has 100,000 lines at most; the counts are of all.
    """
    define_iban_check(batch.con)
    sides = ["SELECT NULL AS account WHERE false"]
    if payments:
        sides += [f"SELECT {side}_account FROM accepted" for side in ("from", "to")]  # noqa: S608
    if accounts:
        sides.append("SELECT account FROM accounts_judged WHERE fault IS NULL")
    batch.con.execute(f"""
        CREATE TEMP TABLE ibans AS
        SELECT account, iban_fault(account) AS fault FROM ({" UNION ".join(sides)})
        WHERE is_iban(account)
    """)  # noqa: S608 - tables of this package
    rows = batch.number("SELECT count(*) FROM ibans WHERE fault IS NOT NULL")
    if rows == 0:
        return None
    name = f"rejected/{batch.name}-warnings.csv"
    copy_private(
        batch,
        name,
        f"""SELECT account, 'IBAN with ' || fault AS warning,
                'correct the id; if it is no IBAN, nothing has to be done' AS remedy
            FROM ibans WHERE fault IS NOT NULL ORDER BY account LIMIT {_MOST_WARNINGS}""",  # noqa: S608
        _CSV,
    )
    return listed_file(batch.folder, REJECTED_DAY, name, min(rows, _MOST_WARNINGS))
