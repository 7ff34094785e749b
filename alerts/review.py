"""Closing a case by two people, and opening it again.

Who investigated proposes an outcome; somebody who never worked on the case approves it or sends it
back.  Who worked on it is remembered for good, through reopenings and changes of role.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.changes import begin_change, finish_change, refuse_stale
from alerts.errors import FourEyes
from alerts.opening import put_in
from alerts.people import Action, Person
from alerts.states import Outcome, State
from alerts.tables import ALERT_CLOSED, ALERT_IN_CASE, ALERT_OPEN, Alert, Case, CasePerson
from alerts.views import Change
from alerts.words import iso_time

__all__ = ["approve", "reopen", "send_back", "submit"]


@refuse_stale
def submit(
    session: Session,
    person: Person,
    case_id: int,
    version: int,
    outcome: Outcome,
    note: str,
    *,
    now: int,
) -> Change:
    """Propose to close a case as ``outcome``; somebody else decides."""
    pending = begin_change(session, person, Action.SUBMIT, case_id, version, note, now)
    pending.case.outcome = outcome
    pending.details["outcome"] = outcome.value
    return finish_change(pending, State.PENDING_REVIEW)


@refuse_stale
def send_back(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Refuse what was proposed; the same person goes on investigating."""
    pending = begin_change(session, person, Action.SEND_BACK, case_id, version, note, now)
    pending.details["outcome"] = pending.case.outcome
    pending.case.outcome = None
    return finish_change(pending, State.INVESTIGATING)


@refuse_stale
def approve(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Close a case as was proposed.

    Raises:
        FourEyes: the person worked on the case, or had it, at any time.
    """
    pending = begin_change(session, person, Action.APPROVE, case_id, version, note, now)
    worked = session.get(CasePerson, (case_id, person.name))
    if worked is not None:
        raise FourEyes(
            f"{person.name} worked on case {case_id} ({worked.action}, {iso_time(worked.at)})",
            "another supervisor must approve it",
        )
    outcome = Outcome(pending.case.outcome or "")
    pending.case.closed_at = now
    pending.details["outcome"] = outcome.value
    for alert in _alerts_of(session, case_id, ALERT_IN_CASE):
        alert.status, alert.version, alert.updated_at = ALERT_CLOSED, alert.version + 1, now
    return finish_change(pending, outcome.state)


def _alerts_of(session: Session, case_id: int, status: str) -> list[Alert]:
    query = select(Alert).where(Alert.case_id == case_id, Alert.status == status)
    return list(session.scalars(query.order_by(Alert.id.desc())))


@refuse_stale
def reopen(
    session: Session, person: Person, case_id: int, version: int, note: str, *, now: int
) -> Change:
    """Open a closed case again, as new; who worked on it before still cannot approve it.

    Its alerts open with it.  Where a later run raised the same alert again, that one joins the
    case if it is in no other, and the old one stays closed.
    """
    pending = begin_change(session, person, Action.REOPEN, case_id, version, note, now)
    case = pending.case
    case.assignee = case.outcome = case.closed_at = None
    case.snooze_used = 0
    back = [
        number
        for alert in _alerts_of(session, case_id, ALERT_CLOSED)
        if (number := _alert_again(session, alert, case, now)) is not None
    ]
    pending.details["alerts"] = back
    return finish_change(pending, State.NEW)


def _alert_again(session: Session, alert: Alert, case: Case, now: int) -> int | None:
    """Put a closed alert, or a newer one of the same customer and rule, back into the case."""
    session.flush()
    newer = session.scalar(
        select(Alert).where(
            Alert.subject == alert.subject,
            Alert.rule == alert.rule,
            Alert.status != ALERT_CLOSED,
        )
    )
    if newer is None:
        put_in(alert, case, now)
        return alert.id
    if newer.status == ALERT_OPEN:
        put_in(newer, case, now)
        return newer.id
    return None
