"""Columns prepared ahead: which there are, how many are left, which must not be used any more.

The columns themselves lie in files (``bank_node.columns``), which also keep the index that no
column is used twice by; this is the node's list of them.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from bank_node.store.errors import ConflictError
from bank_node.store.tables import ColumnSetRow
from bank_node.store.upsert import insert_once

__all__ = ["ColumnSet", "add", "discard", "discard_all", "every", "find", "mark_used", "usable"]


@dataclass(frozen=True)
class ColumnSet:
    """Columns of one preparation.

    Attributes:
        preparation: id of the run that prepared them.
        analysis: what they are for.
        digest: of what they are bound to.
        runs: for how many runs they were made.
        used: how many of them were used.
        created: microseconds.
        discarded: since when they must not be used; None: they may.
    """

    preparation: str
    analysis: str
    digest: str
    runs: int
    used: int
    created: int
    discarded: int | None = None

    @property
    def left(self) -> int:
        """Runs that they are still good for."""
        return 0 if self.discarded is not None else self.runs - self.used


_COLUMNS = [getattr(ColumnSetRow, name) for name in ColumnSet.__dataclass_fields__]


def add(session: Session, columns: ColumnSet) -> bool:
    """Add a set; false if it is there already."""
    return insert_once(session, ColumnSetRow, vars(columns))


def find(session: Session, preparation: str) -> ColumnSet | None:
    """Return a set, or None."""
    query = select(*_COLUMNS).where(ColumnSetRow.preparation == preparation)
    row = session.execute(query).one_or_none()
    return None if row is None else ColumnSet(*row)


def every(session: Session) -> list[ColumnSet]:
    """Return all sets, the oldest first."""
    order = (ColumnSetRow.created, ColumnSetRow.preparation)
    return [ColumnSet(*row) for row in session.execute(select(*_COLUMNS).order_by(*order))]


def usable(session: Session, analysis: str, digest: str) -> ColumnSet | None:
    """Return the oldest set for an analysis, bound to the same, that is good for another run."""
    query = (
        select(*_COLUMNS)
        .where(ColumnSetRow.analysis == analysis, ColumnSetRow.digest == digest, _is_usable())
        .order_by(ColumnSetRow.created, ColumnSetRow.preparation)
        .limit(1)
    )
    row = session.execute(query).one_or_none()
    return None if row is None else ColumnSet(*row)


def mark_used(session: Session, preparation: str) -> int:
    """Count one more use of a set and return how many there were.

    Raises:
        ConflictError: it is used up, discarded, or not there.
    """
    statement = (
        update(ColumnSetRow)
        .where(ColumnSetRow.preparation == preparation, _is_usable())
        .values(used=ColumnSetRow.used + 1)
        .returning(ColumnSetRow.used)
    )
    used = session.execute(statement).scalar_one_or_none()
    if used is None:
        raise ConflictError(
            f"The columns of {preparation} are used up, discarded, or not there",
            "Prepare new ones; the run can be done without",
        )
    return used


def discard(session: Session, preparation: str, at: int) -> None:
    """Mark a set as not to be used any more."""
    _discard(session, at, ColumnSetRow.preparation == preparation)


def discard_all(session: Session, at: int) -> list[str]:
    """Mark all sets as not to be used any more, and return those that could have been."""
    return _discard(session, at, ColumnSetRow.preparation.is_not(None))


def _discard(session: Session, at: int, which: ColumnElement[bool]) -> list[str]:
    statement = (
        update(ColumnSetRow)
        .where(which, ColumnSetRow.discarded.is_(None))
        .values(discarded=at)
        .returning(ColumnSetRow.preparation)
    )
    return sorted(session.scalars(statement))


def _is_usable() -> ColumnElement[bool]:
    return ColumnSetRow.discarded.is_(None) & (ColumnSetRow.used < ColumnSetRow.runs)
