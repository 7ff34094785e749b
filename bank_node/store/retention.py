"""Removing what is older than its time: runs that are over, with all that came of them.

The ledger stays (a budget is not refilled by forgetting), the audit log has its own way
(``audit.prune``), and a slot stays claimed.

Alerts, cases and their journals stay as well: a bank must keep such records for five years and
more, longer than the results that they came from.  They name runs by their ids only, no foreign key
among them, so that a run can go before its alerts do; what a case needs of a run it has as a copy
(figures of each sighting, rows of an attached trace).
"""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, select
from sqlalchemy.orm import Session

from bank_node.store.tables import Base, ResultRow, RunRow, StatementRow, TraceRow

__all__ = ["Forgotten", "forget"]


@dataclass(frozen=True)
class Forgotten:
    """How many rows were removed of each kind."""

    runs: int
    results: int
    traces: int
    statements: int


def forget(session: Session, before: int) -> Forgotten:
    """Remove the runs that were over before a time, microseconds, with results and statements."""
    session.flush()
    # A run that could still begin is kept: a peer's word about it would bring it back.
    old = (RunRow.closed < before) & (RunRow.expires < before)
    ids = select(RunRow.run_id).where(old)
    results = _remove(session, ResultRow, ResultRow.run_id.in_(ids))
    traces = _remove(session, TraceRow, TraceRow.run_id.in_(ids))
    statements = _remove(session, StatementRow, StatementRow.run_id.in_(ids))
    return Forgotten(_remove(session, RunRow, old), results, traces, statements)


def _remove(session: Session, row: type[Base], which: ColumnElement[bool]) -> int:
    table = Base.metadata.tables[row.__tablename__]
    done = session.execute(delete(table).where(which))
    session.expire_all()
    return cast("CursorResult[Any]", done).rowcount
