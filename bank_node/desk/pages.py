"""What the desk hands out: frozen, detached from the database.

Tables are Arrow tables with the columns that :mod:`alerts.local_view` and :mod:`alerts.explain`
state; amounts int64 minor units, times int64 microseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from alerts import Action, AlertView, CaseView, Entry, Explanation, State

__all__ = [
    "AccountPage",
    "AlertPage",
    "AuditFilter",
    "AuditLine",
    "CasePage",
    "Exported",
    "SampleLine",
    "Summary",
    "TraceLine",
    "TraceNote",
    "TracePage",
]


@dataclass(frozen=True)
class Summary:
    """What waits, for everybody and for one person.

    Attributes:
        alerts_open, alerts_in_case: alerts without and with a case.
        cases: state → number. mine: state → number of the person's own.
        to_review: cases that the person may approve or send back.
        evaluation_problem: why the last result could not be evaluated; empty: it was.
    """

    alerts_open: int
    alerts_in_case: int
    cases: Mapping[State, int]
    mine: Mapping[State, int]
    to_review: int
    evaluation_problem: str

    @property
    def unassigned(self) -> int:
        """Number of new cases."""
        return self.cases.get(State.NEW, 0)


@dataclass(frozen=True)
class AlertPage:
    """An alert with why there is one, its case, and the customer's other alerts."""

    explanation: Explanation
    case: CaseView | None
    others: tuple[AlertView, ...]

    @property
    def alert(self) -> AlertView:
        """The alert."""
        return self.explanation.alert


@dataclass(frozen=True)
class TraceNote:
    """A trace attached to a case.

    Attributes:
        rows: as :class:`alerts.traces.AttachedTrace` has them.
        parameters: public parameters of its run; empty if neither the case nor the node keeps them.
    """

    number: int
    run_id: str
    title: str
    at: int
    person: str
    rows: pa.Table
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CasePage:
    """A case with all that belongs to it.

    Attributes:
        worked: who worked on it or had it, none of whom can approve its closing.
        accounts: own accounts behind its alerts.
        actions: what the person who looks may do now.
        since, until: widest window of the runs behind the alerts; None: open.
        transactions, slices, counterparties: own payments of the accounts in the window.
    """

    case: CaseView
    alerts: tuple[AlertView, ...]
    journal: tuple[Entry, ...]
    traces: tuple[TraceNote, ...]
    worked: tuple[str, ...]
    accounts: tuple[str, ...]
    actions: tuple[Action, ...]
    since: int | None
    until: int | None
    transactions: pa.Table
    slices: pa.Table
    counterparties: pa.Table


@dataclass(frozen=True)
class AccountPage:
    """An own account: payments of the last days, results, alerts and cases.

    Attributes:
        in_scope: whether the bank's scope rule lets it be asked about.
    """

    account: str
    customer: str | None
    in_scope: bool
    metrics: pa.Table
    transactions: pa.Table
    counterparties: pa.Table
    slices: pa.Table
    history: pa.Table
    alerts: tuple[AlertView, ...]
    cases: tuple[CaseView, ...]


@dataclass(frozen=True)
class Exported:
    """A file that leaves the node."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class SampleLine:
    """An account drawn above or below the line of a rule."""

    run_id: str
    rule: str
    account: str
    line: str
    worthwhile: bool | None
    judged_by: str | None
    judged_at: int | None
    note: str | None


@dataclass(frozen=True)
class TraceLine:
    """A trace that somebody at this bank asked for."""

    run_id: str
    at: int
    person: str
    accounts: tuple[str, ...]
    parameters: Mapping[str, str]
    phase: str
    rows: int


@dataclass(frozen=True)
class TracePage:
    """The result of a trace, with the own payments that explain it.

    Attributes:
        accounts: own accounts that were asked about.
        parameters: public parameters: direction, hops, slice, since, until, …
        rows: account, slice, kind (``received`` or ``returned``), amount (float64, base currency)
            or band, and depth where it was asked for.
        links: from_bank, from_account, to_bank, to_account, slice, amount (int64 minor units),
            payments: own payments in the window between reached accounts, and between them and
            other banks.
    """

    run_id: str
    at: int
    person: str
    accounts: tuple[str, ...]
    parameters: Mapping[str, str]
    policy: str
    rows: pa.Table
    links: pa.Table


@dataclass(frozen=True)
class AuditFilter:
    """Which entries of the audit log; None: all. Times in microseconds, until exclusive."""

    actor: str | None = None
    action: str | None = None
    run_id: str | None = None
    account: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True)
class AuditLine:
    """An entry of the audit log."""

    number: int
    at: int
    actor: str
    action: str
    run_id: str | None
    details: Mapping[str, Any]
    hash: str
