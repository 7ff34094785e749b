"""Which accounts a bank has, asked of the files that it has taken in; Python sees no payment."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from bank_node.sandbox import connect, quoted

__all__ = ["count_accounts", "own_accounts"]


def count_accounts(folder: Path, files: Iterable[str], bank: str) -> int:
    """Return the number of own accounts: of the accounts table, and own sides of payments."""
    with connect(folder) as con:
        _define_own(con, folder, files, bank)
        ((count,),) = con.execute("SELECT count(DISTINCT account) FROM own").fetchall()
    return int(count)


def own_accounts(
    folder: Path, files: Iterable[str], bank: str, wanted: Sequence[str]
) -> frozenset[str]:
    """Return those of the wanted accounts that are the bank's own."""
    with connect(folder) as con:
        _define_own(con, folder, files, bank)
        con.register("wanted", pa.table({"account": pa.array(wanted, pa.string())}))
        found = con.execute(
            "SELECT DISTINCT account FROM wanted WHERE account IN (SELECT account FROM own)"
        ).fetchall()
    return frozenset(str(account) for (account,) in found)


def _define_own(
    con: duckdb.DuckDBPyConnection, folder: Path, files: Iterable[str], bank: str
) -> None:
    """View ``own``: every own account at least once."""
    names = list(files)
    days = [name for name in names if name.startswith("days/")]
    tables = [name for name in names if name.startswith("accounts/")]
    parts = ["SELECT CAST(NULL AS VARCHAR) AS account WHERE false"]
    if tables:
        parts.append(f"SELECT account FROM {_reading(folder, tables)}")  # noqa: S608
    if days:
        source, me = _reading(folder, days), quoted(bank)
        parts.append(f"SELECT from_account FROM {source} WHERE from_bank = {me}")  # noqa: S608
        parts.append(f"SELECT to_account FROM {source} WHERE to_bank = {me}")  # noqa: S608
    con.execute(f"CREATE TEMP VIEW own AS {' UNION ALL '.join(parts)}")


def _reading(folder: Path, names: Sequence[str]) -> str:
    listed = ", ".join(quoted(str(folder.resolve() / name)) for name in names)
    return f"read_parquet([{listed}])"
