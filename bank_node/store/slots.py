"""Slots of schedules: each gets one run, whoever asks first and however often."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bank_node.store.tables import SlotRow
from bank_node.store.upsert import insert_once

__all__ = ["claim", "last_slot", "run_of"]


def claim(session: Session, schedule: str, slot: str, run_id: str, at: int) -> bool:
    """Claim a slot for a run; false if the slot has got its run already.

    Args:
        session: of a writing transaction.
        schedule, slot: name of the schedule, and ISO time of the slot.
        run_id: the run that it gets.
        at: now, microseconds.
    """
    values = {"schedule": schedule, "slot": slot, "run_id": run_id, "at": at}
    return insert_once(session, SlotRow, values)


def run_of(session: Session, schedule: str, slot: str) -> str | None:
    """Return the run that a slot got; None: it is free."""
    query = select(SlotRow.run_id).where(SlotRow.schedule == schedule, SlotRow.slot == slot)
    return session.scalar(query)


def last_slot(session: Session, schedule: str) -> str | None:
    """Return the latest slot of a schedule that got a run."""
    return session.scalar(select(func.max(SlotRow.slot)).where(SlotRow.schedule == schedule))
