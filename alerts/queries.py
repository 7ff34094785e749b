"""Reading alerts, cases and journals: pages of lists, and everything about one."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from alerts.changes import find_row, get_case
from alerts.errors import EntryError
from alerts.people import Action, Person, check_permission
from alerts.rules import Severity
from alerts.states import State
from alerts.tables import Alert, AlertAccount, Case, CasePerson, JournalEntry, Sighting
from alerts.views import AlertView, CaseView, Entry, alert_view, case_view, entry_view

__all__ = [
    "AlertFilter",
    "CaseFilter",
    "Order",
    "Seen",
    "accounts_of",
    "alerts_by_status",
    "alerts_of_case",
    "alerts_of_subject",
    "cases_by_state",
    "journal",
    "list_alerts",
    "list_cases",
    "show_alert",
    "show_case",
    "sightings",
    "who_worked",
]

_MOST = 1000


class Order(StrEnum):
    """In which order a list comes.

    ``severity``: the most severe first, then the oldest; ``newest``: the last made first;
    ``updated``: the last changed first; ``strength``: the strongest first, alerts only.
    """

    SEVERITY = "severity"
    NEWEST = "newest"
    UPDATED = "updated"
    STRENGTH = "strength"


@dataclass(frozen=True)
class AlertFilter:
    """Which alerts to list; None: all.

    Attributes:
        status: ``open``, ``in-case`` or ``closed``. severity: at least. account: one behind them.
        run_id: seen in this run.
    """

    status: str | None = None
    rule: str | None = None
    severity: Severity | None = None
    subject: str | None = None
    account: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class CaseFilter:
    """Which cases to list; None: all.

    Attributes:
        states: any of these. severity: at least. assignee: who has them.
        awake_at: those that do not sleep at this time.
    """

    states: tuple[State, ...] | None = None
    severity: Severity | None = None
    assignee: str | None = None
    subject: str | None = None
    awake_at: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a run said about an alert: words and figures."""

    run_id: str
    at: int
    reason: str
    figures: dict[str, Any]


def list_alerts(
    session: Session,
    person: Person,
    wanted: AlertFilter | None = None,
    *,
    order: Order = Order.SEVERITY,
    limit: int = 100,
    after: AlertView | None = None,
) -> list[AlertView]:
    """Return a page of alerts in an order, after the last one seen."""
    check_permission(person, Action.VIEW)
    chosen = wanted or AlertFilter()
    query = select(Alert)
    for column, value in ((Alert.status, chosen.status), (Alert.rule, chosen.rule)):
        query = query if value is None else query.where(column == value)
    if chosen.severity is not None:
        query = query.where(Alert.severity >= int(chosen.severity))
    if chosen.subject is not None:  # a few ids, asked for first: no plan can go wrong on them
        about = select(Alert.id).where(Alert.subject == chosen.subject)
        query = query.where(Alert.id.in_(session.scalars(about).all()))
    if chosen.account is not None:
        behind = select(AlertAccount.alert_id).where(AlertAccount.account == chosen.account)
        query = query.where(Alert.id.in_(behind))
    if chosen.run_id is not None:
        seen = (Sighting.alert_id == Alert.id) & (Sighting.run_id == chosen.run_id)
        query = query.where(select(Sighting.run_id).where(seen).exists())
    rows = session.scalars(_page(query, Alert, _ALERT_ORDER[order], limit, after))
    return [alert_view(row) for row in rows]


def list_cases(
    session: Session,
    person: Person,
    wanted: CaseFilter | None = None,
    *,
    order: Order = Order.SEVERITY,
    limit: int = 100,
    after: CaseView | None = None,
) -> list[CaseView]:
    """Return a page of cases in an order, after the last one seen."""
    check_permission(person, Action.VIEW)
    chosen = wanted or CaseFilter()
    query = select(Case)
    if chosen.states is not None:
        query = query.where(Case.state.in_(chosen.states))
    if chosen.severity is not None:
        query = query.where(Case.severity >= int(chosen.severity))
    if chosen.assignee is not None:
        query = query.where(Case.assignee == chosen.assignee)
    if chosen.subject is not None:
        query = query.where(Case.subject == chosen.subject)
    if chosen.awake_at is not None:
        query = query.where(
            or_(Case.snoozed_until.is_(None), Case.snoozed_until <= chosen.awake_at)
        )
    if order not in _CASE_ORDER:
        raise EntryError(f"cases have no order by {order}", f"use {', '.join(_CASE_ORDER)}")
    rows = session.scalars(_page(query, Case, _CASE_ORDER[order], limit, after))
    return [case_view(row) for row in rows]


_ALERT_ORDER = {
    Order.SEVERITY: "severity",
    Order.NEWEST: "created_at",
    Order.UPDATED: "updated_at",
    Order.STRENGTH: "strength",
}
_CASE_ORDER = {
    Order.SEVERITY: "severity",
    Order.NEWEST: "opened_at",
    Order.UPDATED: "updated_at",
}
_OLDEST_FIRST = {"severity", "strength"}  # among equals; by time, the last one comes first


def _page(
    query: Select[Any], table: type[Alert] | type[Case], key: str, limit: int, after: Any
) -> Select[Any]:
    """Take the rows after one in the order of a column, descending, and of the id."""
    if not 1 <= limit <= _MOST:
        raise EntryError(f"a page of {limit} is not possible", f"ask for 1 to {_MOST} at a time")
    column = getattr(table, key)
    oldest_first = key in _OLDEST_FIRST
    if after is not None:
        value = getattr(after, key)
        value = int(value) if key == "severity" else value
        beyond = table.id > after.id if oldest_first else table.id < after.id
        query = query.where(column <= value, or_(column < value, beyond))
    last = table.id if oldest_first else table.id.desc()
    return query.order_by(column.desc(), last).limit(limit)


def show_alert(session: Session, person: Person, alert_id: int) -> AlertView:
    """Return one alert."""
    check_permission(person, Action.VIEW)
    return alert_view(find_row(session, Alert, alert_id, "alert"))


def show_case(session: Session, person: Person, case_id: int) -> CaseView:
    """Return one case."""
    check_permission(person, Action.VIEW)
    return case_view(get_case(session, case_id))


def sightings(session: Session, person: Person, alert_id: int) -> list[Seen]:
    """Return what each run said about an alert, the oldest first."""
    check_permission(person, Action.VIEW)
    query = select(Sighting).where(Sighting.alert_id == alert_id)
    rows = session.scalars(query.order_by(Sighting.at, Sighting.run_id))
    return [Seen(row.run_id, row.at, row.reason, dict(row.figures)) for row in rows]


def accounts_of(session: Session, person: Person, alert_ids: Sequence[int]) -> list[str]:
    """Return the own accounts behind alerts, sorted."""
    check_permission(person, Action.VIEW)
    query = select(AlertAccount.account).where(AlertAccount.alert_id.in_(alert_ids)).distinct()
    return sorted(session.scalars(query))


def alerts_of_subject(
    session: Session, person: Person, subject: str, *, limit: int = 100
) -> list[AlertView]:
    """Return the alerts about a customer or account, the newest first."""
    check_permission(person, Action.VIEW)
    query = select(Alert).where(Alert.subject == subject).order_by(Alert.id.desc())
    return [alert_view(row) for row in session.scalars(query.limit(limit))]


def alerts_by_status(session: Session, person: Person) -> dict[str, int]:
    """Count alerts by status."""
    check_permission(person, Action.VIEW)
    query = select(Alert.status, func.count()).group_by(Alert.status)
    return dict(session.execute(query).all())


def cases_by_state(
    session: Session, person: Person, assignee: str | None = None
) -> dict[State, int]:
    """Count cases by state; only a person's, if one is named."""
    check_permission(person, Action.VIEW)
    query = select(Case.state, func.count()).group_by(Case.state)
    if assignee is not None:
        query = query.where(Case.assignee == assignee)
    return {State(state): count for state, count in session.execute(query)}


def alerts_of_case(session: Session, person: Person, case_id: int) -> list[AlertView]:
    """Return the alerts of a case."""
    check_permission(person, Action.VIEW)
    query = select(Alert).where(Alert.case_id == case_id).order_by(Alert.id)
    return [alert_view(row) for row in session.scalars(query)]


def journal(session: Session, person: Person, case_id: int) -> list[Entry]:
    """Return every change of a case, the first first."""
    check_permission(person, Action.VIEW)
    query = select(JournalEntry).where(JournalEntry.case_id == case_id)
    return [entry_view(row) for row in session.scalars(query.order_by(JournalEntry.version))]


def who_worked(session: Session, person: Person, case_id: int) -> list[str]:
    """Return who worked on a case or had it, sorted: none of them can approve its closing."""
    check_permission(person, Action.VIEW)
    query = select(CasePerson.person).where(CasePerson.case_id == case_id)
    return sorted(session.scalars(query))
