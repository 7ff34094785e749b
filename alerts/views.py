"""Alerts and cases as they are handed to callers: frozen, detached from the database."""

from dataclasses import dataclass
from typing import Any

from alerts.rules import Severity
from alerts.states import Outcome, State
from alerts.tables import Alert, Case, JournalEntry

__all__ = ["AlertView", "CaseView", "Change", "Entry", "alert_view", "case_view", "entry_view"]


@dataclass(frozen=True)
class AlertView:
    """An alert.

    Attributes:
        status: ``open``, ``in-case`` or ``closed``. subject: ``customer:…`` or ``account:…``.
        strength: value of the leading analysis for the most telling account, in the last run.
        first_run, last_run: runs that saw it first and last. version: for changing it.
    """

    id: int
    version: int
    status: str
    rule: str
    severity: Severity
    subject: str
    case_id: int | None
    strength: float
    reason: str
    first_run: str
    last_run: str
    created_at: int
    updated_at: int


@dataclass(frozen=True)
class CaseView:
    """A case; ``outcome`` is what was proposed, and after approval what it was closed as."""

    id: int
    version: int
    state: State
    subject: str
    severity: Severity
    assignee: str | None
    outcome: Outcome | None
    opened_at: int
    opened_by: str
    updated_at: int
    updated_by: str
    closed_at: int | None
    snoozed_until: int | None
    snooze_used: int


@dataclass(frozen=True)
class Entry:
    """One line of a case's journal; ``version`` is the one that the case had after it."""

    case_id: int
    version: int
    at: int
    person: str
    role: str
    action: str
    from_state: State | None
    to_state: State
    note: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A case after a change, and the line that the journal got: what an audit log records."""

    case: CaseView
    entry: Entry


def alert_view(alert: Alert) -> AlertView:
    """Return an alert as it stands in the session."""
    return AlertView(
        id=alert.id,
        version=alert.version,
        status=alert.status,
        rule=alert.rule,
        severity=Severity(alert.severity),
        subject=alert.subject,
        case_id=alert.case_id,
        strength=alert.strength,
        reason=alert.reason,
        first_run=alert.first_run,
        last_run=alert.last_run,
        created_at=alert.created_at,
        updated_at=alert.updated_at,
    )


def case_view(case: Case) -> CaseView:
    """Return a case as it stands in the session."""
    return CaseView(
        id=case.id,
        version=case.version,
        state=State(case.state),
        subject=case.subject,
        severity=Severity(case.severity),
        assignee=case.assignee,
        outcome=Outcome(case.outcome) if case.outcome else None,
        opened_at=case.opened_at,
        opened_by=case.opened_by,
        updated_at=case.updated_at,
        updated_by=case.updated_by,
        closed_at=case.closed_at,
        snoozed_until=case.snoozed_until,
        snooze_used=case.snooze_used,
    )


def entry_view(entry: JournalEntry) -> Entry:
    """Return a line of the journal."""
    return Entry(
        case_id=entry.case_id,
        version=entry.version,
        at=entry.at,
        person=entry.person,
        role=entry.role,
        action=entry.action,
        from_state=State(entry.from_state) if entry.from_state else None,
        to_state=State(entry.to_state),
        note=entry.note,
        details=dict(entry.details),
    )
