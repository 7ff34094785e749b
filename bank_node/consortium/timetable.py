"""When scheduled runs are due, and how the calendar is cut into budget periods; all in UTC."""

import datetime
import re
from collections.abc import Iterator

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from bank_node.consortium.agreement import Agreement, Schedule, SignedAgreement
from bank_node.consortium.canonical import duration_us, moment_text, moment_us

__all__ = [
    "budget_of",
    "due_after",
    "due_slots",
    "first_slot",
    "is_cron",
    "is_slot",
    "period_of",
    "slot_text",
]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)
# Plain cron only: croniter also knows fields that are drawn at random, which nodes would not share.
_FIELD = re.compile(
    r"(?:[0-9]{1,2}|\*|[a-z]{3})(?:[-/,](?:[0-9]{1,2}|\*|[a-z]{3}))*", re.IGNORECASE
)
_MOST_DUE = 10_000


def is_cron(text: str) -> bool:
    """Return whether the text says when, in five fields of plain cron."""
    fields = text.split(" ")
    if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
        return False
    return bool(croniter.is_valid(text))


def first_slot(schedule: Schedule, agreement: Agreement) -> int | None:
    """Return the first slot while the agreement is in effect; None: there is none."""
    return due_after(schedule, agreement, agreement.effective_us - 1)


def due_after(schedule: Schedule, agreement: Agreement, after: int) -> int | None:
    """Return the next slot after a time while the agreement is in effect; None: there is none."""
    return next(_slots(schedule, agreement, after), None)


def is_slot(schedule: Schedule, agreement: Agreement, slot: int) -> bool:
    """Return whether the schedule has this slot, in microseconds."""
    if not agreement.effective_us <= slot < agreement.expires_us:
        return False  # Nor could the calendar count to every number that a manifest may hold.
    return due_after(schedule, agreement, slot - 1) == slot


def due_slots(signed: SignedAgreement, after: int, now: int) -> list[tuple[str, str]]:
    """Return the slots that have come and whose time is not over.

    Args:
        signed: the agreement in effect; only slots from its date of effect on are its own.
        after: microseconds; slots until then are left out.
        now: microseconds.

    Returns:
        Name of the schedule and slot (ISO), ascending by slot.
    """
    due: list[tuple[int, str]] = []
    for schedule in signed.agreement.schedules:
        earliest = max(after, now - duration_us(schedule.valid) - 1)
        for slot in _slots(schedule, signed.agreement, earliest):
            if slot > now or len(due) > _MOST_DUE:
                break
            due.append((slot, schedule.name))
    return [(name, moment_text(slot)) for slot, name in sorted(due)]


def _slots(schedule: Schedule, agreement: Agreement, after: int) -> Iterator[int]:
    """Yield the slots after a time, ascending, while the agreement is in effect."""
    begin = max(after, agreement.effective_us - 1)
    times = croniter(schedule.cron, _EPOCH + begin * _US, ret_type=datetime.datetime)
    while True:
        try:
            slot = (times.get_next(datetime.datetime) - _EPOCH) // _US
        except CroniterError:
            return
        if slot >= agreement.expires_us:
            return
        if slot > begin:
            yield int(slot)


def period_of(agreement: Agreement, now: int) -> tuple[str, int, int]:
    """Return the budget period of a time: its label, its first microsecond, the first one after.

    A label is ``2026-11-24`` for a day, ``2026-W48`` for a week (ISO 8601), or ``2026-11``.
    """
    day = (_EPOCH + now * _US).replace(hour=0, minute=0, second=0, microsecond=0)
    match agreement.budgets.period:
        case "day":
            label, begin, end = day.strftime("%Y-%m-%d"), day, day + datetime.timedelta(days=1)
        case "week":
            year, week, weekday = day.isocalendar()
            begin = day - datetime.timedelta(days=weekday - 1)
            label, end = f"{year}-W{week:02}", begin + datetime.timedelta(days=7)
        case _:
            begin = day.replace(day=1)
            end = (begin + datetime.timedelta(days=32)).replace(day=1)
            label = begin.strftime("%Y-%m")
    return label, (begin - _EPOCH) // _US, (end - _EPOCH) // _US


def budget_of(agreement: Agreement, bank: str) -> int:
    """Return how many bits may be disclosed to a bank in each period."""
    return agreement.budgets.banks.get(bank, agreement.budgets.bits)


def slot_text(slot: str) -> str:
    """Return a slot in its one spelling."""
    return moment_text(moment_us(slot))
