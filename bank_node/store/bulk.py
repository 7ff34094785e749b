"""Writing many rows at once: COPY on PostgreSQL, one prepared statement on SQLite.

Rows go from Arrow to the database without a loop over them here.  A driver's error quotes the row
that it stopped at, and rows hold account ids, so it is told without its text.
"""

import io
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from bank_node.store.errors import StoreError, ValuesError
from bank_node.store.faults import translated

__all__ = ["insert_arrow"]

_BATCH = 65_536


def insert_arrow(session: Session, table: Table, rows: pa.Table) -> int:
    """Add rows to a table within the session's transaction, and return how many.

    Args:
        session: of a writing transaction.
        table: where to.
        rows: its columns, by name; null stands for NULL.

    Raises:
        ValuesError: a row is there already, or has a value that the table does not take.
    """
    session.flush()
    connection = session.connection()
    put = _copy if connection.dialect.name == "postgresql" else _execute_many
    try:
        put(connection.connection.driver_connection, table, rows)
    except Exception as error:
        orig = connection.dialect.dbapi
        if orig is None or not isinstance(error, orig.Error):
            raise
        raise _refused(error, orig, table.name) from None
    return int(rows.num_rows)


def _copy(driver: Any, table: Table, rows: pa.Table) -> None:
    options = pa_csv.WriteOptions(include_header=False, quoting_style="needed")
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    statement = f"COPY {table.name} ({names}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')"
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in rows.to_batches(max_chunksize=_BATCH):
            text = io.BytesIO()
            pa_csv.write_csv(pa.Table.from_batches([batch]), text, options)
            copy.write(text.getvalue())


def _execute_many(driver: Any, table: Table, rows: pa.Table) -> None:
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    marks = ", ".join("?" * rows.num_columns)
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 - own names
    for batch in rows.to_batches(max_chunksize=_BATCH):
        columns = [column.to_pylist() for column in batch.columns]
        driver.executemany(statement, zip(*columns, strict=True))


def _refused(error: Exception, dbapi: Any, table: str) -> StoreError:
    if isinstance(error, dbapi.IntegrityError | dbapi.DataError):
        return ValuesError(
            f"The rows for {table} cannot be stored: one is there already or has no valid value",
            "Report this with the log: a node does not store a result twice",
        )
    wrapped = DBAPIError.instance(None, None, error, dbapi.Error)
    return translated(wrapped, f"table {table}")  # type: ignore[arg-type]
