"""Cases at the desk: lists, everything about one, and what people do with them."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts import (
    PERMISSIONS,
    Action,
    CaseView,
    Change,
    Outcome,
    Person,
    Role,
    auto_assign,
    take_next,
)
from alerts import cases as working
from alerts import review as reviewing
from alerts.errors import EntryError, NotPermitted
from alerts.people import check_permission
from alerts.queries import (
    CaseFilter,
    Order,
    accounts_of,
    alerts_of_case,
    journal,
    list_cases,
    show_case,
    sightings,
    who_worked,
)
from alerts.states import AWAKE_ONLY, STEPS
from alerts.traces import AttachedTrace, attach_trace, traces_of_case
from bank_node.desk.ground import Ground, named, with_traced
from bank_node.desk.pages import CasePage, TraceNote
from bank_node.people.tables import PersonRow
from bank_node.store import results
from bank_node.store import runs as run_table

__all__ = ["CaseDesk", "staff_of"]

_DAY = 86_400_000_000
_MOST_PAYMENTS = 500
_PARAMETERS = b"parameters"
_PLAIN = {
    Action.TAKE: working.take,
    Action.BEGIN: working.begin,
    Action.NOTE: working.add_note,
    Action.ESCALATE: working.escalate,
    Action.WAKE: working.wake,
    Action.SEND_BACK: reviewing.send_back,
    Action.APPROVE: reviewing.approve,
    Action.REOPEN: reviewing.reopen,
}
_OFFERED = (
    Action.TAKE,
    Action.ASSIGN,
    Action.BEGIN,
    Action.NOTE,
    Action.ATTACH,
    Action.ADD_ALERT,
    Action.ESCALATE,
    Action.SNOOZE,
    Action.WAKE,
    Action.SUBMIT,
    Action.APPROVE,
    Action.SEND_BACK,
    Action.REOPEN,
)


class CaseDesk(Ground):
    """What people do with cases."""

    def cases(
        self,
        who: Person,
        wanted: CaseFilter | None = None,
        *,
        order: Order = Order.SEVERITY,
        limit: int = 50,
        after: int | None = None,
    ) -> list[CaseView]:
        """Return a page of cases, after the one with the id ``after``."""
        with self._reading() as session:
            last = None if after is None else show_case(session, who, after)
            found = list_cases(session, who, wanted, order=order, limit=limit, after=last)
        self._on_record(who, "cases.listed", named([c.subject.partition(":")[2] for c in found]))
        return found

    def case(self, who: Person, case_id: int) -> CasePage:
        """Return a case with all that belongs to it."""
        with self._reading() as session, self._payments.view() as view:
            case = show_case(session, who, case_id)
            alerts = alerts_of_case(session, who, case_id)
            names = accounts_of(session, who, [a.id for a in alerts])
            accounts = pa.array(names, pa.string())
            since, until = _window(session, who, [a.id for a in alerts])
            worked = who_worked(session, who, case_id)
            page = CasePage(
                case=case,
                alerts=tuple(alerts),
                journal=tuple(journal(session, who, case_id)),
                traces=_traces(session, who, case_id),
                worked=tuple(worked),
                accounts=tuple(names),
                actions=_possible(case, who, who.name in worked, self._clock()),
                since=since,
                until=until,
                transactions=view.transactions(accounts, since, until, _MOST_PAYMENTS),
                slices=view.slices(accounts, since, until, _DAY),
                counterparties=view.counterparties(accounts, since, until, _MOST_PAYMENTS),
            )
        told = with_traced(names, [trace.rows for trace in page.traces])
        self._on_record(who, "case.read", {"case": case_id} | named(told))
        return page

    def case_head(self, who: Person, case_id: int) -> CaseView:
        """Return where a case stands, without its accounts."""
        with self._reading() as session:
            case = show_case(session, who, case_id)
        subject = case.subject.partition(":")[2]
        self._on_record(who, "case.read", {"case": case_id} | named([subject]))
        return case

    def act(
        self,
        who: Person,
        case_id: int,
        version: int,
        action: Action,
        note: str,
        *,
        assignee: str | None = None,
        outcome: Outcome | None = None,
        until: int | None = None,
    ) -> Change:
        """Do one thing with a case, as the person saw it.

        Args:
            who: the person. case_id, version: the case as they saw it.
            action: take, assign, begin, note, escalate, submit, approve, send-back, reopen, snooze
                or wake.
            note: why.
            assignee: to whom (assign). outcome: as what (submit). until: microseconds (snooze).
        """
        now = self._clock()
        with self._writing() as session:
            place = (session, who, case_id, version)
            if action in _PLAIN:
                change = _PLAIN[action](*place, note, now=now)
            elif action is Action.ASSIGN:
                person = _worker(session, _given(assignee, action, "to whom: assignee"))
                change = working.assign(*place, person, note, now=now)
            elif action is Action.SUBMIT:
                told = _given(outcome, action, "an outcome")
                change = reviewing.submit(*place, told, note, now=now)
            elif action is Action.SNOOZE:
                change = working.snooze(
                    *place, _given(until, action, "a time: until"), note, now=now
                )
            else:
                raise EntryError(
                    f"{action.value} is no step with a case by itself",
                    f"use one of {', '.join(a.value for a in (*_PLAIN, *_FURTHER))}",
                )
            return self._changed(session, who, change)

    def take_next(self, who: Person, note: str) -> Change | None:
        """Take the most severe new case; None: there is none."""
        with self._writing() as session:
            change = take_next(session, who, note, now=self._clock())
            return None if change is None else self._changed(session, who, change)

    def auto_assign(self, who: Person) -> list[Change]:
        """Give new cases to whoever has the fewest."""
        check_permission(who, Action.AUTO_ASSIGN)
        with self._writing() as session:
            changes = auto_assign(session, who, staff_of(session), now=self._clock())
            return [self._changed(session, who, change) for change in changes]

    def assign_many(
        self, who: Person, cases: Mapping[int, int], assignee: str, note: str
    ) -> list[Change]:
        """Give several cases, each as it was seen, to one person: all or none."""
        with self._writing() as session:
            person, now = _worker(session, assignee), self._clock()
            changes = [
                working.assign(session, who, number, version, person, note, now=now)
                for number, version in sorted(cases.items())
            ]
            return [self._changed(session, who, change) for change in changes]

    def attach(
        self, who: Person, case_id: int, version: int, run_id: str, title: str, note: str
    ) -> Change:
        """Attach a stored trace of this node to a case."""
        with self._writing() as session, self._payments.view() as view:
            run = run_table.find(session, run_id)
            if run is None or run.analysis != "trace" or run.phase != "stored":
                raise EntryError(
                    f"run {run_id[:64]!r} is no finished trace of this bank",
                    "name the run of a finished trace of this bank: undercurrent runs list",
                )
            rows = _with_values(results.trace_of(session, run_id))
            trace = (run_id, title, _with_parameters(rows, run))
            change = attach_trace(
                session, who, case_id, version, trace, view, note, now=self._clock()
            )
            return self._changed(session, who, change)

    def workers(self, who: Person) -> list[str]:
        """Return who can be given a case."""
        check_permission(who, Action.VIEW)
        with self._reading() as session:
            return sorted(person.name for person in staff_of(session))


_FURTHER = (Action.ASSIGN, Action.SUBMIT, Action.SNOOZE)


def _with_values(rows: pa.Table) -> pa.Table:
    """Leave out what the trace did not ask for; that nothing was reached is a finding too."""
    if not len(rows):
        return rows.select(["account", "slice", "kind", "amount"])
    return rows.select([n for n in rows.column_names if rows[n].null_count < len(rows)])


def _with_parameters(rows: pa.Table, run: run_table.Run) -> pa.Table:
    """Keep what was asked with the rows: the number of a slice says nothing without its window."""
    parameters = json.dumps(json.loads(run.manifest)["parameters"])
    return rows.replace_schema_metadata({_PARAMETERS: parameters})


def _given(value: Any, action: Action, what: str) -> Any:
    if value is None or value == "":
        raise EntryError(f"{action.value} needs {what}", "give it")
    return value


def staff_of(session: Session) -> list[Person]:
    """Return who is there to work on cases."""
    return [p for p in _workers(session) if p.role in PERMISSIONS[Action.BEGIN]]


def _workers(session: Session) -> list[Person]:
    query = select(PersonRow).where(PersonRow.disabled.is_(False)).order_by(PersonRow.name)
    return [Person(row.name, Role(row.role)) for row in session.scalars(query)]


def _worker(session: Session, name: str) -> Person:
    """Return a person who is there; whether they can work on a case is for the library to say."""
    found = next((p for p in _workers(session) if p.name == name), None)
    if found is None:
        raise NotPermitted(
            f"there is no user {name[:64]!r} who could be given a case",
            "see who is there: undercurrent people list",
        )
    return found


def _traces(session: Session, who: Person, case_id: int) -> tuple[TraceNote, ...]:
    return tuple(
        TraceNote(number, t.run_id, t.title, t.at, t.person, t.rows, _parameters(session, t))
        for number, t in enumerate(traces_of_case(session, who, case_id), start=1)
    )


def _parameters(session: Session, trace: AttachedTrace) -> Mapping[str, str]:
    """Return what an attached trace was asked with, from its own copy or from its run."""
    kept = (trace.rows.schema.metadata or {}).get(_PARAMETERS)
    run = run_table.find(session, trace.run_id) if kept is None else None
    parameters: Mapping[str, str] = {}
    if kept is not None:
        parameters = json.loads(kept)
    elif run is not None:
        parameters = json.loads(run.manifest)["parameters"]
    return parameters


def _window(session: Session, who: Person, alerts: list[int]) -> tuple[int | None, int | None]:
    """Return the widest window of the last runs behind alerts."""
    runs = [
        run
        for alert in alerts
        for seen in sightings(session, who, alert)[-1:]
        for run in seen.figures["runs"].values()
    ]
    since, until = [run["since"] for run in runs], [run["until"] for run in runs]
    return (
        min(since) if since and None not in since else None,
        max(until) if until and None not in until else None,
    )


def _possible(case: CaseView, who: Person, worked: bool, now: int) -> tuple[Action, ...]:
    """Return what a person may do with a case as it stands."""
    asleep = case.snoozed_until is not None and case.snoozed_until > now
    found = []
    for action in _OFFERED:
        step = STEPS[action]
        fits = case.state in step.sources and who.role in PERMISSIONS[action]
        fits &= not step.assignee_only or case.assignee == who.name
        fits &= not (asleep and action in AWAKE_ONLY) and (asleep or action is not Action.WAKE)
        if fits and not (action is Action.APPROVE and worked):
            found.append(action)
    return tuple(found)
