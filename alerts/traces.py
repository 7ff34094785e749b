"""Flow traces attached to a case: a copy of their own, so that a case can be read years later."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.changes import begin_change, finish_change, refuse_stale
from alerts.errors import EntryError
from alerts.local_view import LocalView, require_own
from alerts.people import Action, Person, check_permission
from alerts.tables import CaseTrace
from alerts.views import Change

__all__ = ["AttachedTrace", "attach_trace", "traces_of_case"]

_COLUMNS = ("account", "slice", "kind", "amount")
_MOST_ROWS = 1_000_000
_LONGEST_TITLE = 200


@dataclass(frozen=True)
class AttachedTrace:
    """A trace of a case.

    Attributes:
        run_id: the run that traced. title: what was asked, in words.
        rows: account (string), slice (int64), kind (``received`` or ``returned``), amount (float64,
            base currency) or band, and depth where it was asked for.
    """

    run_id: str
    title: str
    at: int
    person: str
    rows: pa.Table


@refuse_stale
def attach_trace(
    session: Session,
    person: Person,
    case_id: int,
    version: int,
    trace: tuple[str, str, pa.Table],
    view: LocalView,
    note: str,
    *,
    now: int,
) -> Change:
    """Attach the result of a trace (run id, title, rows) to a case that is not under review.

    Raises:
        ForeignAccount: a row names an account that is not the bank's own.
    """
    run_id, title, rows = trace
    pending = begin_change(session, person, Action.ATTACH, case_id, version, note, now)
    _check(rows, title)
    accounts = pc.cast(rows["account"], pa.string()).unique()
    require_own(view, accounts, f"the trace of run {run_id}")
    session.add(
        CaseTrace(
            case_id=case_id,
            run_id=run_id,
            title=title,
            at=now,
            person=person.name,
            row_count=len(rows),
            rows=_packed(rows),
        )
    )
    pending.details.update(run_id=run_id, title=title, rows=len(rows))
    return finish_change(pending)


def _check(rows: pa.Table, title: str) -> None:
    wanted = [c for c in _COLUMNS if c != "amount" or "band" not in rows.column_names]
    missing = [column for column in wanted if column not in rows.column_names]
    if missing:
        raise EntryError(f"the trace has no column {missing[0]}", f"give {', '.join(wanted)}")
    if len(rows) > _MOST_ROWS:
        raise EntryError(
            f"the trace has {len(rows)} rows, more than {_MOST_ROWS}",
            "trace fewer accounts or a shorter window",
        )
    if not title.strip() or len(title) > _LONGEST_TITLE:
        raise EntryError("the title is empty or too long", f"use 1 to {_LONGEST_TITLE} characters")


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, rows.schema, options=options) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def traces_of_case(session: Session, person: Person, case_id: int) -> list[AttachedTrace]:
    """Return the traces of a case, the first attached first."""
    check_permission(person, Action.VIEW)
    query = select(CaseTrace).where(CaseTrace.case_id == case_id).order_by(CaseTrace.id)
    return list(_unpacked(session.scalars(query)))


def _unpacked(rows: Iterable[CaseTrace]) -> Iterable[AttachedTrace]:
    for row in rows:
        table = pa.ipc.open_stream(row.rows).read_all()
        yield AttachedTrace(row.run_id, row.title, row.at, row.person, table)
