"""How a case is changed: the one way, by which every action goes.

1. The person's role allows the action, and the note says something.
2. The case has the version that the person saw; its state knows the action; the assignee is who
   must be; it is awake if it must be.
3. The fields change, the version rises by one, and the journal gets one line with that version.
4. The row is written only over the version that was read.  If somebody was faster, nothing of the
   change is written (:class:`alerts.errors.StaleVersion`), and the caller rolls back.

So a case of version n has exactly n lines, numbered 1 to n, and no change without one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from alerts.errors import NotAssignee, NotFound, SnoozeRefused, StaleVersion, WrongState
from alerts.people import Action, Person, check_permission
from alerts.states import AWAKE_ONLY, STEPS, State, Step
from alerts.tables import Alert, Case, CasePerson, JournalEntry
from alerts.views import Change, case_view, entry_view
from alerts.words import checked_note, iso_time

__all__ = [
    "Pending",
    "begin_change",
    "find_row",
    "finish_change",
    "get_case",
    "refuse_stale",
    "settle_sleep",
    "touch",
]

_Row = TypeVar("_Row", Alert, Case)
_T = TypeVar("_T")
_P = ParamSpec("_P")
_LOST_RACE = frozenset({"40001", "40P01"})  # PostgreSQL: serialization failure, deadlock


@dataclass(frozen=True)
class Pending:
    """A change that was allowed and is being made."""

    session: Session
    case: Case
    person: Person
    action: Action
    note: str
    now: int
    from_state: State | None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        """The kind of change."""
        return STEPS[self.action]


def get_case(session: Session, case_id: int) -> Case:
    """Return a case as it is in the database now."""
    return find_row(session, Case, case_id, "case")


def find_row(session: Session, table: type[_Row], number: int, what: str) -> _Row:
    """Return a row as it is in the database now."""
    possible = 0 < number < 1 << 31  # PostgreSQL refuses to compare with larger numbers
    row = session.get(table, number, populate_existing=True) if possible else None
    if row is None:
        raise NotFound(f"there is no {what} {number}", f"list the {what}s")
    return row


def begin_change(
    session: Session,
    person: Person,
    action: Action,
    case_id: int,
    version: int,
    note: str,
    now: int,
) -> Pending:
    """Check that ``person`` may do ``action`` on the case as they saw it.

    Raises:
        NotPermitted, NoteRequired, EntryError, NotFound, StaleVersion, WrongState, NotAssignee,
        SnoozeRefused: in this order, the first that applies.
    """
    check_permission(person, action)
    text = checked_note(note)
    case = get_case(session, case_id)
    if case.version != version:
        raise StaleVersion(
            f"case {case_id} was changed by {case.updated_by} at {iso_time(case.updated_at)}",
            "look at it again and then decide",
        )
    pending = Pending(session, case, person, action, text, now, State(case.state))
    _check_step(pending)
    return pending


def _check_step(pending: Pending) -> None:
    case, step, action = pending.case, pending.step, pending.action
    words = action.replace("-", " ")
    if case.state not in step.sources:
        states = ", ".join(sorted(step.sources))
        raise WrongState(
            f"case {case.id} is {case.state}: it cannot {words}", f"possible in: {states}"
        )
    if step.assignee_only and case.assignee != pending.person.name:
        raise NotAssignee(
            f"case {case.id} is with {case.assignee}, not with {pending.person.name}",
            "ask a supervisor to assign it",
        )
    asleep = case.snoozed_until is not None and case.snoozed_until > pending.now
    if asleep and action in AWAKE_ONLY:
        raise SnoozeRefused(
            f"case {case.id} sleeps until {iso_time(case.snoozed_until)}", "wake it first"
        )
    if not asleep:
        settle_sleep(case, pending.now)


def settle_sleep(case: Case, now: int) -> None:
    """End the sleep of a case, if it sleeps, and count how long it was."""
    if case.snoozed_since is None or case.snoozed_until is None:
        return
    case.snooze_used += max(0, min(now, case.snoozed_until) - case.snoozed_since)
    case.snoozed_since = case.snoozed_until = None


def finish_change(pending: Pending, to_state: State | None = None) -> Change:
    """Write the change and its line of the journal, over the version that was read."""
    case, target = pending.case, to_state or State(pending.case.state)
    case.state = target
    case.version += 1
    case.updated_at, case.updated_by = pending.now, pending.person.name
    if pending.step.touches:
        touch(pending, pending.person.name)
    entry = JournalEntry(
        case_id=case.id,
        version=case.version,
        at=pending.now,
        person=pending.person.name,
        role=pending.person.role,
        action=pending.action,
        from_state=pending.from_state,
        to_state=target,
        note=pending.note,
        details=pending.details,
    )
    pending.session.add(entry)
    pending.session.flush()
    return Change(case_view(case), entry_view(entry))


def touch(pending: Pending, name: str) -> None:
    """Remember that a person worked on the case or had it."""
    session, case = pending.session, pending.case
    if session.get(CasePerson, (case.id, name)) is None:
        session.add(CasePerson(case_id=case.id, person=name, action=pending.action, at=pending.now))


def refuse_stale(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Turn what a database says when somebody else was faster into :class:`StaleVersion`.

    It may say so wherever the session sends what changed, also before a query.  The caller's
    transaction is of no use any more and must be rolled back.
    """

    @wraps(function)
    def refusing(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except (StaleDataError, IntegrityError) as error:
            raise _faster() from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) in _LOST_RACE:
                raise _faster() from error
            raise

    return refusing


def _faster() -> StaleVersion:
    return StaleVersion(
        "somebody else changed the alert or case at the same moment",
        "look at it again and then decide",
    )
