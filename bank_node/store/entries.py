"""Adding entries to the audit log, and reading them."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import func, insert, select, union_all
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bank_node.store.chain import Checkpoint, Entry, entry_hash
from bank_node.store.database import one_writer
from bank_node.store.details import details_text
from bank_node.store.tables import AuditRow, CheckpointRow
from bank_node.store.verification import Head, UnreadableEntry

__all__ = ["all_checkpoints", "all_entries", "append", "entries", "head", "last_checkpoint"]

_FIELDS = ("number", "at", "actor", "action", "run_id", "digest", "details", "previous", "hash")
_ENTRY = [getattr(AuditRow, name) for name in _FIELDS]
_CHECKPOINT = [
    getattr(CheckpointRow, name) for name in ("number", "hash", "at", "starts", "signature", "key")
]
_HEADS = union_all(
    *(
        select(table.number, table.hash).where(
            table.number == select(func.max(table.number)).scalar_subquery()
        )
        for table in (AuditRow, CheckpointRow)
    )
)
_BATCH = 5000


def append(
    session: Session,
    *,
    at: int,
    actor: str,
    action: str,
    run_id: str | None = None,
    digest: str | None = None,
    details: Mapping[str, Any],
) -> int:
    """Add an entry and return its number.

    Args:
        session: of the transaction in which the thing is done that the entry is about.
        at: microseconds since 1970 UTC.
        actor, action, run_id, digest: see ``Entry``.
        details: what a JSON object can hold; no account but under the key ``account``.

    Raises:
        AuditDetailError: the details hold what may not stand there.
    """
    text = details_text(details)
    one_writer(session)
    last = head(session)
    number, previous = (last.number + 1, last.hash) if last else (1, "")
    bare = Entry(number, at, actor, action, run_id, digest, text, previous)
    session.execute(insert(AuditRow), vars(bare) | {"hash": entry_hash(bare)})
    return number


def head(session: Session) -> Head | None:
    """Return the last entry's number and hash, also when it has been removed; None: no entry."""
    session.flush()
    rows = [Head(*row) for row in session.execute(_HEADS)]
    return max(rows, key=lambda h: h.number, default=None)


def entries(
    session: Session, *, after: int = 0, limit: int = 1000, run_id: str | None = None
) -> list[Entry]:
    """Return entries in order, those after a number, optionally of one run."""
    query = select(*_ENTRY).where(AuditRow.number > after)
    if run_id is not None:
        query = query.where(AuditRow.run_id == run_id)
    rows = session.execute(query.order_by(AuditRow.number).limit(limit))
    return [Entry(*row) for row in rows]


def all_entries(session: Session, *, after: int | None = None) -> Iterator[Entry]:
    """Give the entries after a number one by one, in order, without holding all of them."""
    query = select(*_ENTRY).order_by(AuditRow.number)
    if after is not None:
        query = query.where(AuditRow.number > after)
    last = after
    try:
        for row in session.execute(query.execution_options(yield_per=_BATCH)):
            yield Entry(*row)
            last = row.number
    except OperationalError as error:
        # SQLite keeps text that is no UTF-8 if somebody puts it there, and fails on a whole batch.
        if "decode" not in str(error.orig):
            raise
        yield from _one_by_one(session, last)


def _one_by_one(session: Session, after: int | None) -> Iterator[Entry]:
    """Give the entries up to the one that cannot be read, and raise ``UnreadableEntry`` there."""
    numbers = select(AuditRow.number).order_by(AuditRow.number)
    if after is not None:
        numbers = numbers.where(AuditRow.number > after)
    for number in session.scalars(numbers).all():
        try:
            row = session.execute(select(*_ENTRY).where(AuditRow.number == number)).one()
        except OperationalError:
            raise UnreadableEntry from None
        yield Entry(*row)


def all_checkpoints(session: Session) -> list[Checkpoint]:
    """Return the checkpoints in order."""
    rows = session.execute(select(*_CHECKPOINT).order_by(CheckpointRow.number))
    return [Checkpoint(*row) for row in rows]


def last_checkpoint(session: Session) -> Checkpoint | None:
    """Return the newest checkpoint; None: nothing was ever signed."""
    query = select(*_CHECKPOINT).order_by(CheckpointRow.number.desc()).limit(1)
    row = session.execute(query).one_or_none()
    return None if row is None else Checkpoint(*row)
