"""Alerts at the desk: lists, why there is one, and the step to a case."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
from sqlalchemy.orm import Session

from alerts import Action, AlertView, CaseView, Change, Person, State, explain
from alerts.opening import add_alert, open_case
from alerts.people import check_permission
from alerts.queries import (
    AlertFilter,
    Order,
    accounts_of,
    alerts_by_status,
    alerts_of_subject,
    cases_by_state,
    list_alerts,
    show_alert,
    show_case,
)
from alerts.tables import Evaluation
from bank_node.desk.ground import Ground, named
from bank_node.desk.pages import AlertPage, Summary
from bank_node.store import results

__all__ = ["AlertDesk", "StoredHistory"]

_HISTORY = pa.schema(
    [
        ("account", pa.string()),
        ("analysis", pa.string()),
        ("run_id", pa.string()),
        ("policy", pa.string()),
        ("at", pa.int64()),
        ("value", pa.float64()),
    ]
)
_MOST_ACCOUNTS = 20
"""Accounts of an alert whose history is looked up."""


class StoredHistory:
    """The stored results of own accounts, as :class:`alerts.ResultHistory`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def history(self, accounts: pa.Array) -> pa.Table:
        """Return all kept results of the first accounts, sorted by time, analysis and account."""
        rows = [
            (account, past.analysis, past.run_id, past.policy, past.created, past.value)
            for account in accounts.to_pylist()[:_MOST_ACCOUNTS]
            for past in results.history(self._session, account)
        ]
        rows.sort(key=lambda row: (row[4], row[1], row[0]))
        columns = zip(*rows, strict=True) if rows else [()] * len(_HISTORY)
        return pa.table(
            [pa.array(c, f.type) for c, f in zip(columns, _HISTORY, strict=True)], schema=_HISTORY
        )


class AlertDesk(Ground):
    """What people do with alerts."""

    evaluation_problem: str = ""
    """Why the last result could not be evaluated; set by the evaluator."""

    def summary(self, who: Person) -> Summary:
        """Return what waits for everybody, and for one person."""
        check_permission(who, Action.VIEW)
        with self._reading() as session:
            alerts = alerts_by_status(session, who)
            cases = cases_by_state(session, who)
            mine = cases_by_state(session, who, who.name)
        return Summary(
            alerts_open=alerts.get("open", 0),
            alerts_in_case=alerts.get("in-case", 0),
            cases=cases,
            mine=mine,
            to_review=cases.get(State.PENDING_REVIEW, 0),
            evaluation_problem=self.evaluation_problem,
        )

    def alerts(
        self,
        who: Person,
        wanted: AlertFilter | None = None,
        *,
        order: Order = Order.SEVERITY,
        limit: int = 50,
        after: int | None = None,
    ) -> list[AlertView]:
        """Return a page of alerts, after the one with the id ``after``."""
        with self._reading() as session:
            last = None if after is None else show_alert(session, who, after)
            found = list_alerts(session, who, wanted, order=order, limit=limit, after=last)
            behind = accounts_of(session, who, [alert.id for alert in found])
        subjects = [alert.subject.partition(":")[2] for alert in found]
        self._on_record(who, "alerts.listed", named(list(dict.fromkeys([*subjects, *behind]))))
        return found

    def alert(self, who: Person, alert_id: int) -> AlertPage:
        """Return an alert with why there is one."""
        with self._reading() as session, self._payments.view() as view:
            why = explain(session, who, alert_id, view, StoredHistory(session))
            case = _case_of(session, who, why.alert)
            others = alerts_of_subject(session, who, why.alert.subject)
            behind = accounts_of(session, who, [alert.id for alert in others])
        told = list(dict.fromkeys([*why.accounts, *behind]))
        self._on_record(who, "alert.read", {"alert": alert_id} | named(told))
        return AlertPage(why, case, tuple(a for a in others if a.id != alert_id))

    def open_case(self, who: Person, alerts: Mapping[int, int], note: str) -> Change:
        """Open a case from alerts, each with the version that the person saw."""
        return self.open_several(who, [alerts], note)[0]

    def open_several(
        self, who: Person, groups: Sequence[Mapping[int, int]], note: str
    ) -> list[Change]:
        """Open a case from each group of alerts: all of them or none."""
        check_permission(who, Action.OPEN)
        with self._writing() as session:
            now = self._clock()
            changes = [open_case(session, who, group, note, now=now) for group in groups]
            return [self._changed(session, who, change) for change in changes]

    def add_alert(
        self, who: Person, case_id: int, version: int, alert_id: int, alert_version: int, note: str
    ) -> Change:
        """Put an alert into a case."""
        with self._writing() as session:
            alert = (alert_id, alert_version)
            change = add_alert(session, who, case_id, version, alert, note, now=self._clock())
            return self._changed(session, who, change)

    def last_evaluation(self, who: Person) -> tuple[str, int] | None:
        """Return the run that was last evaluated, and when; None: none was."""
        check_permission(who, Action.VIEW)
        with self._reading() as session:
            last = session.query(Evaluation).order_by(Evaluation.at.desc()).first()
            return None if last is None else (last.run_id, last.at)


def _case_of(session: Session, who: Person, alert: AlertView) -> CaseView | None:
    return None if alert.case_id is None else show_case(session, who, alert.case_id)
