"""Everything about a case that can leave the node, gathered once for all formats.

Its sources are the case's own tables and :class:`alerts.local_view.LocalView`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from alerts.errors import EntryError
from alerts.local_view import LocalView, require_own
from alerts.people import Action, Person, check_permission
from alerts.queries import accounts_of, alerts_of_case, journal, show_case, sightings
from alerts.traces import AttachedTrace, traces_of_case
from alerts.views import AlertView, CaseView, Entry

__all__ = ["CaseFile", "export_name", "gather_case"]

Kind = Literal["html", "json", "ftm.json", "goaml.xml", "transactions.csv", "alerts.csv"]
_MOST_PAYMENTS = 10_000


@dataclass(frozen=True)
class CaseFile:
    """A case with its alerts, journal, traces and the own payments behind it.

    Attributes:
        case, alerts, journal, traces: as stored. figures: id of an alert → what the last run said.
        bank, currency, decimals: of the amounts.
        accounts: own accounts behind the alerts, sorted. customers: of each, or None.
        since, until: the widest window of the runs, microseconds; None: open.
        transactions: payments of the accounts in the window, all of them, sorted by time.
        counterparties: other sides of these payments, the largest first.
        made_at, made_by: when and by whom this was gathered.
    """

    case: CaseView
    alerts: tuple[AlertView, ...]
    figures: Mapping[int, Mapping[str, Any]]
    journal: tuple[Entry, ...]
    traces: tuple[AttachedTrace, ...]
    bank: str
    currency: str
    decimals: int
    accounts: tuple[str, ...]
    customers: tuple[str | None, ...]
    since: int | None
    until: int | None
    transactions: pa.Table
    counterparties: pa.Table
    made_at: int
    made_by: str


def export_name(case_id: int, kind: Kind) -> str:
    """Return the file name of an export: made of a number and a known ending, nothing else."""
    return f"case-{int(case_id)}.{kind}"


def gather_case(
    session: Session,
    person: Person,
    case_id: int,
    view: LocalView,
    *,
    now: int,
    most_payments: int = _MOST_PAYMENTS,
) -> CaseFile:
    """Gather a case for export, by a person who may.

    Raises:
        EntryError: the accounts have more payments in the window than an export may hold; none are
            left out silently.
    """
    check_permission(person, Action.EXPORT)
    case = show_case(session, person, case_id)
    alerts = alerts_of_case(session, person, case_id)
    figures = {a.id: _last_figures(session, person, a.id) for a in alerts}
    names = accounts_of(session, person, [a.id for a in alerts])
    accounts = pa.array(names, pa.string())
    require_own(view, accounts, f"case {case_id}")
    since, until = _widest(figures)
    transactions = view.transactions(accounts, since, until, most_payments + 1)
    if len(transactions) > most_payments:
        raise EntryError(
            f"case {case_id} has more than {most_payments} payments in its window",
            f"read the case with undercurrent alerts show C{case_id} --json, and take the payments"
            " from the bank's own records",
        )
    return CaseFile(
        case=case,
        alerts=tuple(alerts),
        figures=figures,
        journal=tuple(journal(session, person, case_id)),
        traces=tuple(traces_of_case(session, person, case_id)),
        bank=view.bank,
        currency=view.currency,
        decimals=view.decimals,
        accounts=tuple(names),
        customers=tuple(pc.cast(view.customers(accounts), pa.string()).to_pylist()),
        since=since,
        until=until,
        transactions=transactions,
        counterparties=view.counterparties(accounts, since, until, most_payments),
        made_at=now,
        made_by=person.name,
    )


def _last_figures(session: Session, person: Person, alert_id: int) -> Mapping[str, Any]:
    seen = sightings(session, person, alert_id)
    return seen[-1].figures if seen else {"accounts": [], "count": 0, "runs": {}}


def _widest(figures: Mapping[int, Mapping[str, Any]]) -> tuple[int | None, int | None]:
    runs = [run for figure in figures.values() for run in figure["runs"].values()]
    since = [run["since"] for run in runs]
    until = [run["until"] for run in runs]
    return (
        min(since) if since and None not in since else None,
        max(until) if until and None not in until else None,
    )
