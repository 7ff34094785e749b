"""Import of data sets in the format of TNO's package for risk propagation.

A folder with ``nodes_<bank>.csv`` (id, risk_score) and ``transactions_<bank>_period<p>.csv``
(id_source, bank_source, id_destination, bank_destination, amount) for each bank and period.  Period
p becomes the day 2020-01-01 plus p, so that ``slice=1d`` gives one slice per period.  Amounts are
whole euros.  Files of the bank ``all``, the joined truth, are not read.

A payment is given to both of its banks, in whichever of their files it stands; rows that are alike
are as many payments as stand in the file that has more of them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from bank_node.errors import (
    MissingColumnError,
    MissingFileError,
    ParameterError,
    UnreadableFileError,
)
from simdata.dataset import Dataset, write_dataset

__all__ = ["import_tno"]

_NODES = ("id", "risk_score")
_PAYMENTS = ("id_source", "bank_source", "id_destination", "bank_destination", "amount")
_FILLED = r"."
_NUMBER = r"^(|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)$"
_AMOUNT = r"^[0-9]{1,16}$"
_TRUTH = "all"
_DAY = 86_400_000_000
_START = 1_577_836_800_000_000  # 2020-01-01


@dataclass(frozen=True)
class _Files:
    """The files of a folder: per bank its nodes, and per bank and period its payments."""

    nodes: dict[str, Path]
    payments: dict[tuple[str, int], Path]


def import_tno(
    src: Path, out: Path, *, banks: int | None = None, csv: bool = False, force: bool = False
) -> Dataset:
    """Turn a folder in TNO's format into a data set folder.

    Args:
        src: the folder.
        out: the folder to write.
        banks: must be None or the number of banks in the folder.
        csv: write CSV instead of Parquet.
        force: replace an older data set.

    Raises:
        DataError: the source has another format, or ``out`` is in use.
    """
    files = _find(src)
    names = tuple(sorted(files.nodes))
    if banks is not None and banks != len(names):
        raise ParameterError(
            f"{src}: the data set has {len(names)} banks of its own, not {banks}",
            "Leave out --banks",
        )
    accounts = pa.concat_tables(_nodes(bank, path) for bank, path in sorted(files.nodes.items()))
    payments = pa.concat_tables(
        _payments(bank, period, path) for (bank, period), path in sorted(files.payments.items())
    )
    with duckdb.connect() as con:
        con.register("nodes", accounts)
        con.register("rows", payments)
        pooled = _pool(con)
        own = con.sql("""
            SELECT bank, id AS account, risk_score FROM nodes ORDER BY bank, account
        """).to_arrow_table()
    span = pc.min_max(pooled["timestamp"]).as_py()
    dataset = Dataset(
        name=src.resolve().name,
        banks=names,
        base_currency="EUR",
        first=span["min"],
        last=span["max"],
    )
    write_dataset(
        out,
        dataset,
        accounts=own,
        payments=pooled,
        labels=_empty("bank", "account", "is_illicit", "pattern", "typology"),
        patterns=_empty("pattern", "typology", "tx_id", "hop"),
        csv=csv,
        force=force,
    )
    return dataset


def _empty(*columns: str) -> pa.Table:
    """Return a table without rows: nothing is known of laundering in these data."""
    return pa.schema([(column, pa.string()) for column in columns]).empty_table()


def _find(src: Path) -> _Files:
    if not src.is_dir():
        raise MissingFileError(f"{src}: there is no such folder", "Check the path")
    nodes: dict[str, Path] = {}
    payments: dict[tuple[str, int], Path] = {}
    for path in sorted(src.glob("*.csv")):
        if match := re.fullmatch(r"nodes_(.+)\.csv", path.name):
            nodes[match[1]] = path
        elif match := re.fullmatch(r"transactions_(.+)_period([0-9]{1,5})\.csv", path.name):
            payments[match[1], int(match[2])] = path
    nodes.pop(_TRUTH, None)
    payments = {key: path for key, path in payments.items() if key[0] != _TRUTH}
    if not nodes or not payments:
        raise MissingFileError(
            f"{src}: there are no nodes_<bank>.csv and transactions_<bank>_period<p>.csv in it",
            "Name a folder in TNO's format",
        )
    strangers = sorted({bank for bank, _period in payments} - set(nodes))
    if strangers:
        raise MissingFileError(
            f"{src}: bank {strangers[0]} has payments but no nodes_{strangers[0]}.csv", "Add it"
        )
    return _Files(nodes, payments)


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """Return the named columns as text without blanks around it; the error names file and row."""
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()))
    try:
        # One thread: only then does a parse error name its row.
        table = pa_csv.read_csv(path, pa_csv.ReadOptions(use_threads=False), None, as_text)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFileError(
            f"{path}: {error}", "Give a comma-separated file with a header"
        ) from error
    for column in columns:
        if table.column_names.count(column) != 1:
            there = "twice" if column in table.column_names else "missing"
            raise MissingColumnError(
                f"{path}: the column {column} is {there}", f"Give {', '.join(columns)}, each once"
            )
    return pa.table({column: pc.utf8_trim_whitespace(table[column]) for column in columns})


def _nodes(bank: str, path: Path) -> pa.Table:
    """Return a bank's accounts, risk as text that is a number from 0 to 1 or empty."""
    table = _read(path, _NODES)
    _require(path, table, "id", _FILLED, "an account id")
    _require(path, table, "risk_score", _NUMBER, "a number from 0 to 1, or empty")
    risk = pc.if_else(pc.equal(table["risk_score"], ""), "0", table["risk_score"])
    _refuse(path, pc.less_equal(risk.cast(pa.float64()), 1.0), "has a risk_score above 1")
    return _with(table, "bank", bank)


def _payments(bank: str, period: int, path: Path) -> pa.Table:
    """Return the payments of a bank's file, amounts as text without leading zeros."""
    table = _read(path, _PAYMENTS)
    for column in _PAYMENTS[:-1]:
        _require(path, table, column, _FILLED, "an id")
    _require(path, table, "amount", _AMOUNT, "a whole number of at most 16 digits")
    sides = pc.or_(
        *(pc.equal(table[column], bank) for column in ("bank_source", "bank_destination"))
    )
    _refuse(path, sides, f"has no side at bank {bank}, whose file this is")
    amount = table["amount"].cast(pa.int64()).cast(pa.string())
    table = table.set_column(table.column_names.index("amount"), "amount", amount)
    return _with(_with(table, "file", bank), "period", period)


def _require(path: Path, table: pa.Table, column: str, pattern: str, what: str) -> None:
    """Refuse the first row whose value does not have the form."""
    fits = pc.match_substring_regex(table[column], pattern)
    _refuse(path, fits, f"has a {column} that is not {what}")


def _refuse(path: Path, fits: pa.ChunkedArray, fault: str) -> None:
    place = pc.index(fits, False).as_py()
    if place >= 0:
        raise UnreadableFileError(
            f"{path}: row {place + 2} {fault}", "Correct the row, or remove it"
        )


def _with(table: pa.Table, name: str, value: str | int) -> pa.Table:
    """Return the table with a column of one value."""
    return table.append_column(name, pa.repeat(value, len(table)))


def _pool(con: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return each payment once, whichever of the two banks' files it stands in."""
    return con.sql(
        """
        WITH counted AS (
            SELECT period, bank_source, id_source, bank_destination, id_destination, amount, file,
                count(*) AS times
            FROM rows GROUP BY ALL),
        pooled AS (
            SELECT period, bank_source, id_source, bank_destination, id_destination, amount,
                max(times) AS times
            FROM counted GROUP BY ALL),
        single AS (
            SELECT *, unnest(range(times)) AS copy FROM pooled)
        SELECT printf('t%09d', row_number() OVER (ORDER BY period, bank_source, id_source,
                bank_destination, id_destination, amount, copy)) AS tx_id,
            $start + period * $day AS timestamp, bank_source AS from_bank,
            id_source AS from_account, bank_destination AS to_bank,
            id_destination AS to_account, amount, 'EUR' AS currency
        FROM single ORDER BY tx_id
        """,
        params={"start": _START, "day": _DAY},
    ).to_arrow_table()
