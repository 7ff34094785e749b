"""What came of a run for the own accounts: scores or bands, and traces.

Stored in the transaction of the run's other records, in bulk (``bulk``); 1,000,000 rows take some
seconds (``benchmarks/store.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike
from sqlalchemy import Executable, select
from sqlalchemy.orm import Session

from bank_node.store.bulk import insert_arrow
from bank_node.store.errors import MissingRunError, ValuesError
from bank_node.store.tables import Base, ResultRow, RunRow, TraceRow

__all__ = ["PastScore", "history", "scores_of", "store_scores", "store_trace", "trace_of"]

_SCORES = pa.schema([("account", pa.string()), ("value", pa.float64())])
_TRACE = pa.schema(
    [
        ("trace", pa.int64()),
        ("account", pa.string()),
        ("slice", pa.int64()),
        ("kind", pa.string()),
        ("depth", pa.int64()),
        ("amount", pa.float64()),
        ("band", pa.int64()),
    ]
)
_ABSENT = {"trace": 1, "depth": None, "amount": None, "band": None}


@dataclass(frozen=True)
class PastScore:
    """What a run gave for an account.

    Attributes:
        run_id, analysis, policy: of the run.
        created: when the run was proposed, microseconds.
        value: score, or band under a policy of bands.
    """

    run_id: str
    analysis: str
    policy: str
    created: int
    value: float


def store_scores(
    session: Session, run_id: str, accounts: pa.Array | Sequence[str], values: ArrayLike
) -> int:
    """Store a value for each account, and return how many.

    Args:
        session: of a writing transaction.
        run_id: a run of this database.
        accounts: n own accounts, each once.
        values: n finite numbers: scores, or bands.

    Raises:
        MissingRunError: there is no such run.
        ValuesError: not n finite values, or an account twice, or the run has a value for it
            already.
    """
    _require(session, run_id)
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (len(accounts),):
        raise ValuesError(
            f"{len(accounts):,} accounts and values of shape {numbers.shape} do not go together",
            "Report this with the log",
        )
    if not np.isfinite(numbers).all():
        raise ValuesError("A value is not a finite number", "Report this with the log")
    rows = pa.table([pa.array(accounts, pa.string()), pa.array(numbers)], schema=_SCORES)
    return _insert(session, ResultRow, run_id, rows)


def store_trace(session: Session, run_id: str, table: pa.Table) -> int:
    """Store the rows of traces in their order, and return how many.

    Args:
        session: of a writing transaction.
        run_id: a run of this database that has no traces yet.
        table: ``account``, ``slice``, ``kind``, and ``amount`` or ``band``; ``depth`` if it was
            asked for; ``trace`` (from 1) if there are several.

    Raises:
        MissingRunError: there is no such run.
        ValuesError: a column is missing or has the wrong type, a row has both an amount and a band
            or neither, or the run has traces already.
    """
    _require(session, run_id)
    try:
        columns = [_column(table, field) for field in _TRACE]
    except (KeyError, pa.ArrowException):
        raise ValuesError(
            "The trace lacks a column, or one has the wrong type", "Report this with the log"
        ) from None
    rows = pa.table(columns, schema=_TRACE)
    numbered = rows.add_column(0, "number", pa.array(np.arange(1, len(rows) + 1)))
    return _insert(session, TraceRow, run_id, numbered)


def scores_of(session: Session, run_id: str) -> pa.Table:
    """Return ``account`` and ``value`` of a run, ordered by account."""
    query = select(ResultRow.account, ResultRow.value).where(ResultRow.run_id == run_id)
    return _table(session, query.order_by(ResultRow.account), _SCORES)


def trace_of(session: Session, run_id: str) -> pa.Table:
    """Return the rows of a run's traces in the order in which they were stored."""
    columns = [getattr(TraceRow, name) for name in _TRACE.names]
    query = select(*columns).where(TraceRow.run_id == run_id).order_by(TraceRow.number)
    return _table(session, query, _TRACE)


def history(session: Session, account: str) -> list[PastScore]:
    """Return what the runs gave for an account, the oldest first."""
    query = (
        select(RunRow.run_id, RunRow.analysis, RunRow.policy, RunRow.created, ResultRow.value)
        .join(ResultRow, ResultRow.run_id == RunRow.run_id)
        .where(ResultRow.account == account)
        .order_by(RunRow.created, RunRow.run_id)
    )
    return [PastScore(*row) for row in session.execute(query)]


def _require(session: Session, run_id: str) -> None:
    if session.scalar(select(RunRow.run_id).where(RunRow.run_id == run_id)) is None:
        raise MissingRunError(f"There is no run {run_id} in the database", "See runs list")


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray | pa.Array:
    if field.name in table.column_names:
        return table.column(field.name).cast(field.type)
    return pa.array([_ABSENT[field.name]] * len(table), field.type)


def _insert(session: Session, row: type[Base], run_id: str, rows: pa.Table) -> int:
    ids = pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [run_id])
    whole = rows.add_column(0, "run_id", ids.cast(pa.string()))
    return insert_arrow(session, Base.metadata.tables[row.__tablename__], whole)


def _table(session: Session, query: Executable, schema: pa.Schema) -> pa.Table:
    rows = session.execute(query).all()
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)
