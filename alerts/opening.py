"""Alerts into cases: opening one, adding to it, and what the node does when alerts come or rise."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from alerts.changes import (
    Pending,
    begin_change,
    find_row,
    finish_change,
    get_case,
    refuse_stale,
    settle_sleep,
)
from alerts.errors import EntryError, StaleVersion, WrongState
from alerts.people import SYSTEM, Action, Person, check_permission
from alerts.states import OPEN_STATES, STEPS, State
from alerts.tables import ALERT_IN_CASE, ALERT_OPEN, Alert, Case
from alerts.views import Change
from alerts.words import checked_note, iso_time

__all__ = ["add_alert", "alert_rose", "free_alert", "join_alert", "open_case", "put_in"]


@refuse_stale
def open_case(
    session: Session, person: Person, alerts: Mapping[int, int], note: str, *, now: int
) -> Change:
    """Open a case from alerts.

    Args:
        session: the caller's transaction.
        person: who opens it; they have worked on it.
        alerts: id → version of each alert as the person saw it; at least one.
        note: why. now: microseconds since 1970 UTC.
    """
    check_permission(person, Action.OPEN)
    text = checked_note(note)
    if not alerts:
        raise EntryError("no alert is named", "a case is opened from one or more alerts")
    rows = [free_alert(session, number, version) for number, version in sorted(alerts.items())]
    first = max(rows, key=lambda row: row.severity)
    case = Case(
        version=0,
        state=State.NEW,
        subject=first.subject,
        severity=first.severity,
        opened_at=now,
        opened_by=person.name,
        updated_at=now,
        updated_by=person.name,
        snooze_used=0,
    )
    session.add(case)
    session.flush()
    for row in rows:
        put_in(row, case, now)
    details = {"alerts": sorted(alerts)}
    pending = Pending(session, case, person, Action.OPEN, text, now, None, details)
    return finish_change(pending, State.NEW)


def free_alert(session: Session, number: int, version: int) -> Alert:
    """Return an alert that is in no case, as the person saw it."""
    alert = find_row(session, Alert, number, "alert")
    if alert.version != version:
        raise StaleVersion(
            f"alert {number} changed at {iso_time(alert.updated_at)}",
            "look at it again and then decide",
        )
    if alert.status != ALERT_OPEN:
        raise WrongState(
            f"alert {number} is {alert.status}, case {alert.case_id}", "work on that case"
        )
    return alert


def put_in(alert: Alert, case: Case, now: int) -> None:
    """Put an alert into a case."""
    alert.case_id, alert.status = case.id, ALERT_IN_CASE
    alert.version += 1
    alert.updated_at = now


@refuse_stale
def add_alert(
    session: Session,
    person: Person,
    case_id: int,
    version: int,
    alert: tuple[int, int],
    note: str,
    *,
    now: int,
) -> Change:
    """Add an open alert (id and version as seen) to a case that is not yet under review."""
    pending = begin_change(session, person, Action.ADD_ALERT, case_id, version, note, now)
    row = free_alert(session, *alert)
    put_in(row, pending.case, now)
    pending.case.severity = max(pending.case.severity, row.severity)
    pending.details["alerts"] = [row.id]
    return finish_change(pending)


@refuse_stale
def join_alert(session: Session, case_id: int, alert: tuple[int, int], *, now: int) -> Change:
    """Add an open alert (id and version) to its customer's open case, by the node; it wakes."""
    case = get_case(session, case_id)
    row = free_alert(session, *alert)
    state = State(case.state)
    if state not in STEPS[Action.JOINED].sources:
        raise WrongState(f"case {case_id} is {state}", "open a case of its own for the alert")
    settle_sleep(case, now)
    put_in(row, case, now)
    case.severity = max(case.severity, row.severity)
    note, details = f"alert {row.id} joined: {row.reason}", {"alerts": [row.id]}
    return finish_change(Pending(session, case, SYSTEM, Action.JOINED, note, now, state, details))


@refuse_stale
def alert_rose(session: Session, case_id: int, alert_id: int, reason: str, *, now: int) -> None:
    """Journal that a later run saw an alert of an open case rise, and wake the case."""
    case = get_case(session, case_id)
    if case.state not in OPEN_STATES:
        return
    settle_sleep(case, now)
    note = f"alert {alert_id} rose: {reason}"
    details = {"alerts": [alert_id]}
    state = State(case.state)
    finish_change(Pending(session, case, SYSTEM, Action.RISEN, note, now, state, details))
