"""Every account that a page or a file of a case or an alert shows is named in the audit log."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from sqlalchemy import event

from alerts import Action
from alerts.queries import AlertFilter
from bank_node.desk import AuditFilter
from bank_node.store import results
from bank_node.store import runs as run_table
from tests.bank_node.desk_world import (
    ANN,
    AUDREY,
    BEN,
    DAY,
    NOW,
    OWN,
    TRACE,
    SmallOffice,
    stored_run,
)

ACCOUNT = re.compile(r"\bA[0-9]{3}\b")


def actions(office: SmallOffice, account: str) -> set[str]:
    """What an auditor finds who searches an account."""
    return {line.action for line in office.desk.audit(AUDREY, AuditFilter(account=account))}


def with_trace(office: SmallOffice) -> int:
    """A case that ann has, with a trace that reached A001 to A004."""
    change = office.desk.take_next(ANN, "mine")
    assert change is not None
    number = change.case.id
    begun = office.desk.act(ANN, number, change.case.version, Action.BEGIN, "mine")
    office.desk.attach(ANN, number, begun.case.version, TRACE, "where it went", "see there")
    return number


def test_a_case_is_read_with_the_accounts_of_its_traces(office: SmallOffice) -> None:
    """Rows of attached traces are shown, so their accounts are named."""
    number = with_trace(office)
    assert not any("case.read" in actions(office, name) for name in OWN[:4])
    page = office.desk.case(BEN, number)
    shown = {name for trace in page.traces for name in trace.rows["account"].to_pylist()}
    assert shown == set(OWN[:4])
    for name in shown | set(page.accounts):
        assert "case.read" in actions(office, name), name


@pytest.mark.parametrize("kind", ["html", "json"])
def test_a_case_is_exported_with_the_accounts_of_its_traces(office: SmallOffice, kind: str) -> None:
    """The same for a file that leaves the node."""
    exported = office.desk.export(ANN, with_trace(office), kind)
    for name in OWN[:4]:
        assert name in exported.content.decode()
        assert "case.exported" in actions(office, name), name


def test_alerts_are_listed_with_the_accounts_that_their_reasons_name(office: SmallOffice) -> None:
    """A reason names an account, so whoever sees the list has seen the account."""
    found = office.desk.alerts(ANN)
    told = {name for alert in found for name in ACCOUNT.findall(alert.reason)}
    assert told
    for name in told:
        assert "alerts.listed" in actions(office, name), name
    unseen = next(name for name in OWN if not office.desk.alerts(ANN, AlertFilter(account=name)))
    assert "alerts.listed" not in actions(office, unseen)


def test_other_alerts_are_shown_with_the_accounts_that_their_reasons_name(
    quick: SmallOffice,
) -> None:
    """The page of an alert and that of an account list alerts too."""
    for alert in quick.desk.alerts(ANN):
        others = quick.desk.alert(BEN, alert.id).others
        for name in {name for one in others for name in ACCOUNT.findall(one.reason)}:
            assert "alert.read" in actions(quick, name), name
    page = quick.desk.account(BEN, OWN[2])
    for name in {name for one in page.alerts for name in ACCOUNT.findall(one.reason)}:
        assert "account.read" in actions(quick, name), name


def test_a_list_takes_one_more_query_for_all_its_alerts(quick: SmallOffice) -> None:
    """However many alerts there are, their accounts are asked for once."""
    asked: list[str] = []

    def note(*given: object) -> None:
        if "alert_accounts" in str(given[2]):
            asked.append(str(given[2]))

    engine = quick.records.database._reader
    event.listen(engine, "before_cursor_execute", note)
    assert len(quick.desk.alerts(ANN)) > 10
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 1


def test_more_accounts_than_one_entry_names_stand_in_several(office: SmallOffice) -> None:
    """A trace that reached 1,200 accounts: an auditor finds the look at the last one too."""
    names = [f"B{i:04d}" for i in range(1200)]
    n = len(names)
    rows = pa.table(
        {"account": names, "slice": [1] * n, "kind": ["received"] * n, "amount": [1.0] * n}
    )
    with office.records.database.begin() as session:
        more = {"direction": "forward", "slice": "1d", "hops": "3"}
        run_table.add(session, stored_run("m" * 24, "trace", "exact", NOW - DAY, **more))
        results.store_trace(session, "m" * 24, rows)
    office.desk.remember_question(ANN, "m" * 24, [OWN[0]])
    office.desk.trace(BEN, "m" * 24)
    entries = office.desk.audit(AUDREY, AuditFilter(action="trace.read"))
    assert [line.details["part"] for line in entries] == [3, 2, 1]
    assert {line.details["count"] for line in entries} == {1201}
    assert max(len(line.details["account"]) for line in entries) == 500
    found = office.desk.audit(AUDREY, AuditFilter(account=names[-1]))
    assert [line.action for line in found] == ["trace.read"]
    assert office.desk.verify_audit(AUDREY).ok
