"""The doctor on a bank's source of transactions: is it there, has it the columns, can rows be read.

Only the first rows are read, and of them nothing is told but how many there are.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from psycopg import sql

from bank_node.errors import UnreadableFileError
from bank_node.intake.config import DataConfig
from bank_node.intake.errors import DatabaseSourceError, MissingSourceError
from bank_node.operation.findings import Finding, findings_of, good, warning
from bank_node.raw_tables import TableSpec, column_positions
from bank_node.rules import ACCOUNTS, TRANSACTIONS

__all__ = ["check_source"]

_BLOCK = 1 << 20
_ROWS = 1000
_SECONDS = 5


def check_source(data: DataConfig) -> Iterator[Finding]:
    """Look at both tables of a source."""
    for spec in (TRANSACTIONS, ACCOUNTS):
        yield from findings_of(f"data source ({spec.name})", partial(_table, data, spec))
    if data.rates_file is not None or data.rates:
        yield from findings_of("currency rates", lambda: _rates(data))


def _rates(data: DataConfig) -> Iterator[Finding]:
    yield good("currency rates", f"{len(data.all_rates())} currencies beside {data.base_currency}")


def _table(data: DataConfig, plain: TableSpec) -> Iterator[Finding]:
    named = {ours: theirs for ours, theirs in data.columns.items() if ours in plain.columns}
    spec = replace(plain, names=named)
    if data.source == "postgresql":
        yield _in_database(data, spec)
    else:
        yield _in_files(data, spec)


def _kind(spec: TableSpec) -> Literal["accounts", "transactions"]:
    return "accounts" if spec.name == ACCOUNTS.name else "transactions"


def _in_files(data: DataConfig, spec: TableSpec) -> Finding:
    folder, pattern = data.folder or Path(), data.pattern(_kind(spec))
    if not folder.is_dir():
        raise MissingSourceError(f"{folder} is no folder", "Name the folder under [data]")
    files = sorted(path for path in folder.glob(pattern) if path.is_file())
    name = f"data source ({spec.name})"
    if not files:
        return warning(
            name,
            f"there is no {pattern} in {folder} yet",
            "Put the files there, or correct the pattern under [data]",
        )
    rows = _first_rows(files[-1], spec, data.source)
    return good(name, f"{len(files)} files {pattern} in {folder}; {rows} rows of the last one read")


def _first_rows(path: Path, spec: TableSpec, kind: str) -> int:
    try:
        batch = _first_of_parquet(path) if kind == "parquet" else _first_of_csv(path)
    except (OSError, pa.ArrowException):
        # Its words may quote a row.
        raise UnreadableFileError(
            f"{path}: no row can be read", f"It must be a {kind} file that this user may read"
        ) from None
    column_positions(path, batch.schema.names, spec)
    return int(batch.num_rows)


def _first_of_csv(path: Path) -> pa.RecordBatch:
    reading = pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False)
    # A line of another shape is a matter for taking in, which says which one it is.
    parsing = pa_csv.ParseOptions(invalid_row_handler=lambda _row: "skip")
    with path.open("rb") as file:
        names = pa_csv.open_csv(file, read_options=reading, parse_options=parsing).schema.names
        file.seek(0)
        as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        reader = pa_csv.open_csv(
            file, read_options=reading, parse_options=parsing, convert_options=as_text
        )
        return next(iter(reader), _nothing(reader.schema))


def _first_of_parquet(path: Path) -> pa.RecordBatch:
    with pq.ParquetFile(path) as file:
        return next(file.iter_batches(batch_size=_ROWS), _nothing(file.schema_arrow))


def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _in_database(data: DataConfig, spec: TableSpec) -> Finding:
    where = data.pattern(_kind(spec))
    try:
        with psycopg.connect(data.dsn(), connect_timeout=_SECONDS) as connection:
            connection.read_only = True
            connection.execute(f"SET statement_timeout = {_SECONDS * 1000 * 6}".encode())
            rows = connection.execute(_query(where))
            names = [column.name for column in rows.description or ()]
            read = len(rows.fetchall())
    except psycopg.Error as error:
        # The server's words may quote the connection string or a row.
        raise DatabaseSourceError(
            f"PostgreSQL does not give {spec.name} ({_kind_of(error)})",
            "Check the connection string, the user's rights, and the table or query under [data]",
        ) from None
    column_positions(f"PostgreSQL ({spec.name})", names, spec)
    return good(f"data source ({spec.name})", f"PostgreSQL answers; {read} rows read")


def _query(where: str) -> sql.Composed:
    """Return the query of the first rows of a table or of a query."""
    inner: sql.Composable
    if " " in where.strip():
        inner = sql.SQL("({})").format(sql.SQL(where.strip().removesuffix(";")))
    else:
        inner = sql.Identifier(*where.strip().split("."))
    return sql.SQL("SELECT * FROM {} AS t LIMIT {}").format(inner, sql.Literal(_ROWS))


def _kind_of(error: psycopg.Error) -> str:
    return type(error).__name__ if error.sqlstate is None else f"SQLSTATE {error.sqlstate}"
