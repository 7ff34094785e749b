"""The ledger: what each bank may have learned at most, charged before a run starts.

In a period P bank b has Σ bits ≤ budget(b), over all attempts of all runs charged to P; an attempt
is charged in full, since it may have released its result before it failed.  What one run discloses
is an upper bound from public sizes (the policy's).  A period is a label that the caller makes, such
as ``2026-11``; a new agreement that resets the budgets gets a label of its own (``2026-11/v2``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from bank_node.store.database import one_writer
from bank_node.store.errors import BudgetExceeded, ConflictError
from bank_node.store.tables import LedgerRow

__all__ = ["Charge", "charge", "charges", "left", "spent"]

_FIELDS = ("run_id", "attempt", "bank", "period", "bits", "at")
_CHARGE = [getattr(LedgerRow, name) for name in _FIELDS]


@dataclass(frozen=True)
class Charge:
    """Bits that an attempt of a run may disclose to a bank."""

    run_id: str
    attempt: int
    bank: str
    period: str
    bits: int
    at: int


def charge(
    session: Session,
    run_id: str,
    attempt: int,
    bits_per_bank: Mapping[str, int],
    period: str,
    budgets: Mapping[str, int],
    at: int,
) -> None:
    """Charge an attempt of a run to the banks that receive results, or to none of them.

    Charging the same attempt again changes nothing.

    Args:
        session: of a writing transaction.
        run_id, attempt: what is charged.
        bits_per_bank: upper bound of what each bank learns; at least 0.
        period: label of the period.
        budgets: bits of each bank in the period; a bank that is not named has none.
        at: now, microseconds.

    Raises:
        BudgetExceeded: a bank has less left; names the first such bank.
        ConflictError: the attempt was charged before, but otherwise.
    """
    if any(bits < 0 for bits in bits_per_bank.values()):
        raise ValueError("bits must not be negative")
    one_writer(session)
    asked = _not_yet_charged(session, run_id, attempt, bits_per_bank, period)
    remaining = left(session, period, {bank: budgets.get(bank, 0) for bank in asked})
    for bank in sorted(asked):
        if asked[bank] > remaining[bank]:
            raise BudgetExceeded(bank, period, asked[bank], remaining[bank])
    rows = [vars(Charge(run_id, attempt, b, period, n, at)) for b, n in sorted(asked.items())]
    if rows:
        session.execute(insert(LedgerRow), rows)


def spent(session: Session, period: str) -> dict[str, int]:
    """Return the bits charged to each bank in a period; a bank without any is left out."""
    query = (
        select(LedgerRow.bank, func.sum(LedgerRow.bits))
        .where(LedgerRow.period == period)
        .group_by(LedgerRow.bank)
        .order_by(LedgerRow.bank)
    )
    return {bank: int(bits) for bank, bits in session.execute(query)}


def left(session: Session, period: str, budgets: Mapping[str, int]) -> dict[str, int]:
    """Return what is left of each bank's budget, 0 when it is used up or was lowered since."""
    used = spent(session, period)
    return {bank: max(0, bits - used.get(bank, 0)) for bank, bits in budgets.items()}


def charges(session: Session, *, period: str | None = None, limit: int = 1000) -> list[Charge]:
    """Return the newest charges first, optionally of one period."""
    query = select(*_CHARGE).order_by(LedgerRow.id.desc()).limit(limit)
    if period is not None:
        query = query.where(LedgerRow.period == period)
    return [Charge(*row) for row in session.execute(query)]


def _not_yet_charged(
    session: Session, run_id: str, attempt: int, bits_per_bank: Mapping[str, int], period: str
) -> dict[str, int]:
    query = select(LedgerRow.bank, LedgerRow.bits, LedgerRow.period).where(
        LedgerRow.run_id == run_id, LedgerRow.attempt == attempt
    )
    there = {bank: (bits, label) for bank, bits, label in session.execute(query)}
    for bank, bits in bits_per_bank.items():
        if bank in there and there[bank] != (bits, period):
            raise ConflictError(
                f"Attempt {attempt} of run {run_id} was charged to {bank} with "
                f"{there[bank][0]:,} bits in {there[bank][1]}, now with {bits:,} in {period}",
                "Report this with the log: an attempt's bound does not change",
            )
    return {bank: bits for bank, bits in bits_per_bank.items() if bank not in there}
