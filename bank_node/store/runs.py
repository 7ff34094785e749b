"""The runs that a node knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bank_node.store.errors import MissingRunError
from bank_node.store.tables import RunRow
from bank_node.store.upsert import insert_once

__all__ = ["Run", "RunChanges", "add", "change", "count_by_phase", "find", "newest", "open_runs"]


@dataclass(frozen=True)
class Run:
    """A joint run as this node knows it.

    Attributes:
        run_id, manifest, digest: the manifest in canonical form, and its hash.
        analysis, policy, proposer, schedule, slot, rehearsal: as in the manifest, to be found by.
        phase, attempt, reason_code, reason: this node's standing.
        created, expires: of the manifest, microseconds.
        updated: when the standing last changed.
        closed: when the run was over here; None: it is open.
        port: where this node's worker listens.
        details: whatever else the caller keeps, JSON.
    """

    run_id: str
    manifest: str
    digest: str
    analysis: str
    policy: str
    proposer: str
    schedule: str
    slot: str
    rehearsal: bool
    phase: str
    created: int
    expires: int
    updated: int
    attempt: int = 0
    reason_code: str = ""
    reason: str = ""
    closed: int | None = None
    port: int | None = None
    details: str = "{}"


class RunChanges(TypedDict, total=False):
    """What may change of a run."""

    phase: str
    attempt: int
    reason_code: str
    reason: str
    closed: int | None
    port: int | None
    details: str


_FIELDS = tuple(Run.__dataclass_fields__)
_COLUMNS = [getattr(RunRow, name) for name in _FIELDS]


def add(session: Session, run: Run) -> bool:
    """Add a run; false if one of its id is there, which then stays as it is."""
    return insert_once(session, RunRow, vars(run))


def change(session: Session, run_id: str, at: int, **changes: Unpack[RunChanges]) -> None:
    """Change a run's standing.

    Raises:
        MissingRunError: there is no such run.
    """
    session.flush()
    statement = update(RunRow).where(RunRow.run_id == run_id).values(updated=at, **changes)
    done = session.execute(statement.returning(RunRow.run_id)).one_or_none()
    if done is None:
        raise MissingRunError(f"There is no run {run_id} in the database", "See runs list")


def find(session: Session, run_id: str) -> Run | None:
    """Return a run, or None."""
    row = session.execute(select(*_COLUMNS).where(RunRow.run_id == run_id)).one_or_none()
    return None if row is None else Run(**row._mapping)


def open_runs(session: Session) -> list[Run]:
    """Return the runs that are not over here, the oldest first."""
    query = select(*_COLUMNS).where(RunRow.closed.is_(None))
    rows = session.execute(query.order_by(RunRow.created, RunRow.run_id))
    return [Run(**row._mapping) for row in rows]


def newest(
    session: Session, *, limit: int = 50, analyses: Sequence[str] = (), phases: Sequence[str] = ()
) -> list[Run]:
    """Return runs, the newest first, optionally of some analyses or in some phases only."""
    query = select(*_COLUMNS)
    if analyses:
        query = query.where(RunRow.analysis.in_(analyses))
    if phases:
        query = query.where(RunRow.phase.in_(phases))
    rows = session.execute(query.order_by(RunRow.created.desc(), RunRow.run_id).limit(limit))
    return [Run(**row._mapping) for row in rows]


def count_by_phase(session: Session) -> dict[str, int]:
    """Return the number of runs in each phase."""
    query = (
        select(RunRow.phase, func.count().label("runs"))
        .group_by(RunRow.phase)
        .order_by(RunRow.phase)
    )
    return {row.phase: row.runs for row in session.execute(query)}
