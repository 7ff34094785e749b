"""Reading alerts, cases and journals: pages of lists, and everything about one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, or_, select
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
    "Seen",
    "accounts_of",
    "alerts_of_case",
    "journal",
    "list_alerts",
    "list_cases",
    "show_alert",
    "show_case",
    "sightings",
    "who_worked",
]

_MOST = 1000


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
    limit: int = 100,
    after: AlertView | None = None,
) -> list[AlertView]:
    """Return a page of alerts, the most severe and oldest first, after the last one seen."""
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
    rows = session.scalars(_page(query, Alert, limit, after))
    return [alert_view(row) for row in rows]


def list_cases(
    session: Session,
    person: Person,
    wanted: CaseFilter | None = None,
    *,
    limit: int = 100,
    after: CaseView | None = None,
) -> list[CaseView]:
    """Return a page of cases, the most severe and oldest first, after the last one seen."""
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
    return [case_view(row) for row in session.scalars(_page(query, Case, limit, after))]


def _page(
    query: Select[Any], table: type[Alert] | type[Case], limit: int, after: Any
) -> Select[Any]:
    if not 1 <= limit <= _MOST:
        raise EntryError(f"a page of {limit} is not possible", f"ask for 1 to {_MOST} at a time")
    if after is not None:
        severity = int(after.severity)
        query = query.where(
            table.severity <= severity, or_(table.severity < severity, table.id > after.id)
        )
    return query.order_by(table.severity.desc(), table.id).limit(limit)


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
