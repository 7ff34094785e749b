"""Handing out work: cases from open alerts, the next case, and assignment by load."""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from alerts.cases import hand_over, take
from alerts.changes import begin_change, refuse_stale
from alerts.errors import EntryError, StaleVersion
from alerts.opening import join_alert
from alerts.people import PERMISSIONS, SYSTEM, Action, Person, check_permission
from alerts.rules import Severity
from alerts.states import STEPS, State
from alerts.tables import ALERT_IN_CASE, ALERT_OPEN, Alert, Case, JournalEntry
from alerts.views import Change
from alerts.words import plural

__all__ = ["Opened", "auto_assign", "loads", "open_cases", "take_next"]

_LOAD = (State.ASSIGNED, State.INVESTIGATING, State.ESCALATED)
_JOINABLE = sorted(STEPS[Action.ADD_ALERT].sources)


@dataclass(frozen=True)
class _Free:
    """An open alert that is in no case."""

    id: int
    version: int
    severity: int


@dataclass(frozen=True)
class Opened:
    """What :func:`open_cases` did: cases that are new, and alerts that joined open ones."""

    opened: int
    joined: int


@refuse_stale
def take_next(session: Session, person: Person, note: str, *, now: int) -> Change | None:
    """Take the most severe, oldest new case that nobody else is taking; None if there is none."""
    check_permission(person, Action.TAKE)
    case = session.scalar(
        select(Case)
        .where(Case.state == State.NEW)
        .order_by(Case.severity.desc(), Case.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return None if case is None else take(session, person, case.id, case.version, note, now=now)


def loads(session: Session, names: Sequence[str]) -> dict[str, int]:
    """Return how many cases each person has to work on; review is somebody else's work."""
    query = (
        select(Case.assignee, func.count())
        .where(Case.state.in_(_LOAD), Case.assignee.in_(names))
        .group_by(Case.assignee)
    )
    counted = {name: count for name, count in session.execute(query) if name is not None}
    return {name: counted.get(name, 0) for name in names}


@refuse_stale
def auto_assign(
    session: Session, person: Person, people: Sequence[Person], *, now: int, most: int = 1000
) -> list[Change]:
    """Give new cases, the most severe and oldest first, each to whoever has the fewest.

    Args:
        session: the caller's transaction.
        person: a supervisor, or :data:`alerts.people.SYSTEM`.
        people: who is there to work; equal loads go by name.
        now: microseconds since 1970 UTC.
        most: cases given out in one call.
    """
    check_permission(person, Action.AUTO_ASSIGN)
    workers = {p.name: p for p in people if p.role in PERMISSIONS[Action.BEGIN]}
    if not workers:
        raise EntryError("nobody is there to work on cases", "name analysts")
    queue = [(load, name) for name, load in loads(session, sorted(workers)).items()]
    heapq.heapify(queue)
    cases = session.execute(
        select(Case.id, Case.version)
        .where(Case.state == State.NEW)
        .order_by(Case.severity.desc(), Case.id)
        .limit(most)
    ).all()
    changes = []
    for case_id, version in cases:
        load, name = heapq.heappop(queue)
        note = f"assigned by load: {load} open cases"
        pending = begin_change(session, person, Action.AUTO_ASSIGN, case_id, version, note, now)
        changes.append(hand_over(pending, workers[name]))
        heapq.heappush(queue, (load + 1, name))
    return changes


@refuse_stale
def open_cases(session: Session, *, now: int, lowest: Severity = Severity.LOW) -> Opened:
    """Bring open alerts into cases, by the node itself: one case for each customer.

    An alert joins the open case of its customer if that is not under review, and else a new case.
    """
    query = (
        select(Alert.id, Alert.version, Alert.subject, Alert.severity)
        .where(Alert.status == ALERT_OPEN, Alert.severity >= lowest)
        .order_by(Alert.id)
    )
    groups: dict[str, list[_Free]] = defaultdict(list)
    for number, version, subject, severity in session.execute(query):
        groups[subject].append(_Free(number, version, severity))
    joinable = _joinable_cases(session)
    joined = 0
    for subject in [s for s in groups if s in joinable]:
        for free in groups.pop(subject):
            join_alert(session, joinable[subject], (free.id, free.version), now=now)
            joined += 1
    _open_many(session, groups, now)
    return Opened(len(groups), joined)


def _joinable_cases(session: Session) -> dict[str, int]:
    query = select(Case.subject, Case.id).where(Case.state.in_(_JOINABLE)).order_by(Case.id)
    return dict(session.execute(query).all())


def _open_many(session: Session, groups: Mapping[str, Sequence[_Free]], now: int) -> None:
    """Write one new case for each group, its journal line, and its alerts."""
    if not groups:
        return
    by = SYSTEM.name
    common = {"version": 1, "state": State.NEW.value, "opened_at": now, "opened_by": by}
    common |= {"updated_at": now, "updated_by": by, "snooze_used": 0}
    rows = [
        common | {"subject": subject, "severity": max(a.severity for a in alerts)}
        for subject, alerts in groups.items()
    ]
    written = session.execute(insert(Case).returning(Case.subject, Case.id), rows)
    ids = dict(written.all())
    session.execute(
        insert(JournalEntry),
        [_opening(ids[subject], alerts, now) for subject, alerts in groups.items()],
    )
    _put_many_in(session, ids, groups, now)


def _opening(case_id: int, alerts: Sequence[_Free], now: int) -> dict[str, Any]:
    """Return the first line of the journal of a case that the node opened."""
    return {
        "case_id": case_id,
        "version": 1,
        "at": now,
        "person": SYSTEM.name,
        "role": SYSTEM.role.value,
        "action": Action.AUTO_OPEN.value,
        "from_state": None,
        "to_state": State.NEW.value,
        "note": f"opened by the node from {plural(len(alerts), 'alert')}",
        "details": {"alerts": [alert.id for alert in alerts]},
    }


def _put_many_in(
    session: Session, ids: Mapping[str, int], groups: Mapping[str, Sequence[_Free]], now: int
) -> None:
    """Put the alerts into their cases, each over the version that was read."""
    table: Any = Alert.__table__
    statement = (
        update(table)
        .where(table.c.id == bindparam("b_id"), table.c.version == bindparam("b_version"))
        .values(
            version=bindparam("b_version") + 1,
            case_id=bindparam("b_case"),
            status=ALERT_IN_CASE,
            updated_at=now,
        )
    )
    rows = [
        {"b_id": alert.id, "b_version": alert.version, "b_case": ids[subject]}
        for subject, alerts in groups.items()
        for alert in alerts
    ]
    written: Any = session.connection().execute(statement, rows)
    if written.rowcount not in (-1, len(rows)):
        raise StaleVersion("an alert changed while cases were opened", "open the cases again")
