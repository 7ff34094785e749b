"""Which accounts a bank has, asked of the files that it has taken in; Python sees no payment."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bank_node.sandbox import connect, quoted

__all__ = ["Asked", "count_accounts", "look_up"]


def count_accounts(folder: Path, files: Iterable[str], bank: str) -> int:
    """Return the number of own accounts: of the accounts table, and own sides of payments."""
    with connect(folder) as con:
        _define_own(con, folder, files, bank)
        ((count,),) = con.execute("SELECT count(DISTINCT account) FROM own").fetchall()
    return int(count)


@dataclass(frozen=True)
class Asked:
    """What the bank has of accounts that are asked about.

    Attributes:
        own: those that are its own.
        in_scope: those of them that its scope rule lets be asked about.
    """

    own: frozenset[str]
    in_scope: frozenset[str]


def look_up(folder: Path, files: Iterable[str], bank: str, wanted: Sequence[str]) -> Asked:
    """Return which of the wanted accounts are the bank's own, and in scope.

    Where the accounts table does not say who is in scope, all are; where it does, an account
    without a word is not.
    """
    names = list(files)
    tables = [name for name in names if name.startswith("accounts/")]
    is_declared = any(_declares_scope(folder / name) for name in tables)
    with connect(folder) as con:
        _define_own(con, folder, names, bank)
        con.register("wanted", pa.table({"account": pa.array(wanted, pa.string())}))
        own = _column(con, "SELECT account FROM wanted WHERE account IN (SELECT account FROM own)")
        if not is_declared:
            return Asked(own, own)
        source = _reading(folder, tables)
        listed = f"SELECT account FROM {source} WHERE in_scope"  # noqa: S608 - files of ours
        return Asked(
            own,
            own & _column(con, f"SELECT account FROM wanted WHERE account IN ({listed})"),  # noqa: S608
        )


def _declares_scope(path: Path) -> bool:
    return (pq.read_metadata(path).metadata or {}).get(b"scope_declared") == b"true"


def _column(con: duckdb.DuckDBPyConnection, query: str) -> frozenset[str]:
    return frozenset(str(account) for (account,) in con.execute(query).fetchall())


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
