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
    accounts = pa.concat_tables(
        _with(_read(path, _NODES), "bank", bank) for bank, path in sorted(files.nodes.items())
    )
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
    """Return the named columns as text; the error names file and row."""
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()))
    try:
        table = pa_csv.read_csv(path, convert_options=as_text)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableFileError(
            f"{path}: {error}", "Give a comma-separated file with a header"
        ) from error
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise MissingColumnError(
            f"{path}: the column {missing[0]} is missing", f"Give {', '.join(columns)}"
        )
    table = table.select(columns)
    for column in columns:
        empty = pc.or_(pc.is_null(table[column]), pc.equal(pc.utf8_trim(table[column], " "), ""))
        place = pc.index(empty, True).as_py()
        if place >= 0 and column != "risk_score":
            raise UnreadableFileError(
                f"{path}: row {place + 2} has no {column}", "Complete the row, or remove it"
            )
    return table


def _payments(bank: str, period: int, path: Path) -> pa.Table:
    return _with(_with(_read(path, _PAYMENTS), "file", bank), "period", period)


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
