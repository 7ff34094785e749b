"""The list of files of transactions, as ``bank_node.intake`` asks for it.

Each ``commit`` is one transaction: files added and removed, how far the source was read, and the
counts of what was taken in.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from bank_node.intake.days import DayFile
from bank_node.store.canonical import canonical, parsed
from bank_node.store.database import Database
from bank_node.store.tables import BatchRow, DayRow, SourceRow
from bank_node.store.upsert import insert_or_update

__all__ = ["Batch", "StoredDays", "batches"]

_FILE = (DayRow.day, DayRow.file, DayRow.rows, DayRow.sha256, DayRow.bytes)


def _now() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Batch:
    """What one taking-in came to.

    Attributes:
        source: kind of the source.
        at: when, microseconds.
        rows, accepted, rejected: payments.
        details: the whole report.
    """

    source: str
    at: int
    rows: int
    accepted: int
    rejected: int
    details: dict[str, Any]


class StoredDays:
    """The list in the node's database.

    Args:
        database: the node's.
        clock: microseconds since 1970 UTC, for reports that do not say when they were made.
    """

    def __init__(self, database: Database, clock: Callable[[], int] = _now) -> None:
        self._database = database
        self._clock = clock

    def listed(self) -> list[DayFile]:
        """Return all files that count, by day and name."""
        query = select(*_FILE).order_by(DayRow.day, DayRow.file)
        with self._database.read() as session:
            return [DayFile(*row) for row in session.execute(query)]

    def watermark(self, source: str) -> str | None:
        """Return how far a source has been read, or None."""
        with self._database.read() as session:
            return session.scalar(select(SourceRow.watermark).where(SourceRow.name == source))

    def commit(
        self,
        added: Sequence[DayFile],
        removed: Sequence[str],
        source: str,
        watermark: str,
        report: Mapping[str, Any],
    ) -> None:
        """Do all of it in one step that lasts: list, watermark, and the report."""
        at = int(report.get("at") or self._clock())
        with self._database.begin() as session:
            if removed:
                session.execute(delete(DayRow).where(DayRow.file.in_(removed)))
            if added:
                session.execute(insert(DayRow), [f._asdict() | {"created": at} for f in added])
            batch = _batch(source, at, report)
            session.add(BatchRow(**vars(batch) | {"details": canonical(batch.details)}))
            _set_source(session, batch, watermark)


def batches(session: Session, *, limit: int = 50) -> list[Batch]:
    """Return what was taken in, the newest first."""
    fields = [getattr(BatchRow, name) for name in Batch.__dataclass_fields__]
    rows = session.execute(select(*fields).order_by(BatchRow.id.desc()).limit(limit))
    return [Batch(**{**row._mapping, "details": parsed(row.details)}) for row in rows]


def _batch(source: str, at: int, report: Mapping[str, Any]) -> Batch:
    rejected = report.get("rejected") or 0
    count = sum(rejected.values()) if isinstance(rejected, Mapping) else int(rejected)
    rows, accepted = int(report.get("rows") or 0), int(report.get("accepted") or 0)
    return Batch(source, at, rows, accepted, count, dict(report))


def _set_source(session: Session, batch: Batch, watermark: str) -> None:
    """Move the watermark, and add to the payments that came from the source."""
    before = session.scalar(select(SourceRow.rows).where(SourceRow.name == batch.source)) or 0
    values = {"name": batch.source, "watermark": watermark, "at": batch.at}
    values |= {"rows": before + batch.accepted}
    insert_or_update(session, SourceRow, values, ("watermark", "at", "rows"))
