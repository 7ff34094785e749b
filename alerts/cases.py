"""What people do with a case between its opening and its review.

Every function takes the caller's session and changes one case in the caller's transaction: the
person who acts, the version of the case that they saw, a note, and the time.  It returns the case
after the change and the journal's line.  The checks all are in :mod:`alerts.changes`, the steps
between states in :mod:`alerts.states`.
"""

from sqlalchemy.orm import Session

from alerts.changes import Pending, begin_change, finish_change, refuse_stale, settle_sleep, touch
from alerts.errors import EntryError, NotPermitted, SnoozeRefused
from alerts.people import PERMISSIONS, Action, Person
from alerts.states import State
from alerts.views import Change
from alerts.words import iso_time

__all__ = [
    "MOST_SNOOZE",
    "add_note",
    "assign",
    "begin",
    "escalate",
    "hand_over",
    "snooze",
    "take",
    "wake",
]

_DAY = 86_400_000_000
MOST_SNOOZE = 180 * _DAY
"""How long a case may sleep in all, from its opening or reopening: 180 days in microseconds."""


@refuse_stale
def take(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Take a new case oneself."""
    pending = begin_change(session, person, Action.TAKE, case_id, version, note, now)
    pending.case.assignee = person.name
    pending.details["assignee"] = person.name
    return finish_change(pending, State.ASSIGNED)


@refuse_stale
def assign(
    session: Session,
    person: Person,
    case_id: int,
    version: int,
    assignee: Person,
    note: str,
    *,
    now: int,
) -> Change:
    """Give a case to an analyst or supervisor, who from then on cannot approve it."""
    pending = begin_change(session, person, Action.ASSIGN, case_id, version, note, now)
    return hand_over(pending, assignee)


def hand_over(pending: Pending, assignee: Person) -> Change:
    """Finish an assignment that was allowed."""
    if assignee.role not in PERMISSIONS[Action.BEGIN]:
        raise NotPermitted(
            f"{assignee.name} is {assignee.role} and cannot work on a case",
            "assign it to an analyst or supervisor",
        )
    settle_sleep(pending.case, pending.now)
    pending.details.update(assignee=assignee.name, before=pending.case.assignee)
    pending.case.assignee = assignee.name
    touch(pending, assignee.name)
    return finish_change(pending, State.ASSIGNED)


@refuse_stale
def begin(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Begin to investigate a case that one was assigned."""
    pending = begin_change(session, person, Action.BEGIN, case_id, version, note, now)
    return finish_change(pending, State.INVESTIGATING)


@refuse_stale
def add_note(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Write a note; who writes one has worked on the case."""
    return finish_change(begin_change(session, person, Action.NOTE, case_id, version, note, now))


@refuse_stale
def escalate(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Ask a supervisor to decide who goes on with the case."""
    pending = begin_change(session, person, Action.ESCALATE, case_id, version, note, now)
    return finish_change(pending, State.ESCALATED)


@refuse_stale
def snooze(
    session: Session,
    person: Person,
    case_id: int,
    version: int,
    until: int,
    note: str,
    *,
    now: int,
) -> Change:
    """Let a case sleep until a time; in all at most 180 days from its opening or reopening."""
    pending = begin_change(session, person, Action.SNOOZE, case_id, version, note, now)
    left = MOST_SNOOZE - pending.case.snooze_used
    if until <= now:
        raise EntryError("the time to sleep until is past", "give a later time")
    if until - now > left:
        raise SnoozeRefused(
            f"case {case_id} may sleep for {left / _DAY:.1f} more days at most",
            f"give a time until {iso_time(now + left)}",
        )
    pending.case.snoozed_since, pending.case.snoozed_until = now, until
    pending.details["until"] = until
    return finish_change(pending)


@refuse_stale
def wake(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Wake a case before its time."""
    pending = begin_change(session, person, Action.WAKE, case_id, version, note, now)
    if pending.case.snoozed_until is None:
        raise SnoozeRefused(f"case {case_id} does not sleep", "nothing is to do")
    settle_sleep(pending.case, now)
    return finish_change(pending)
