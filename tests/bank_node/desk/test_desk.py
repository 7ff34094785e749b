"""What people do at the desk: each thing checked, in one transaction, and on record."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from alerts import Action, AlertsError, Feedback, Outcome, Person, Role, State
from alerts.errors import EntryError, FourEyes, NotFound, NotPermitted, StaleVersion
from alerts.queries import AlertFilter, CaseFilter, Order
from bank_node.desk import AuditFilter, Desk, Right, check_right
from bank_node.store import runs as run_table
from tests.bank_node.desk_world import (
    ANN,
    AUDREY,
    BANK,
    BEN,
    DAY,
    FIRST,
    KNOWN,
    NOW,
    OTTO,
    OWN,
    PASSWORD,
    PEOPLE,
    SAM,
    SECOND_RUN,
    SUE,
    TRACE,
    UNKNOWN,
    SmallOffice,
    stored_run,
    with_alerts,
)


def last_entry(office: SmallOffice) -> Any:
    """The newest entry of the audit log but the one that this very look makes."""
    return office.desk.audit(AUDREY, limit=1)[0]


def a_case(desk: Desk) -> tuple[int, int]:
    """A new case, by number and version."""
    case = desk.cases(SUE, CaseFilter(states=(State.NEW,)), limit=1)[0]
    return case.id, case.version


def closed(desk: Desk, analyst: Person, approver: Person) -> int:
    """A case that one person investigated and another closed as confirmed."""
    number, version = a_case(desk)
    for action in (Action.TAKE, Action.BEGIN):
        version = desk.act(analyst, number, version, action, "mine").case.version
    done = desk.act(analyst, number, version, Action.SUBMIT, "clear", outcome=Outcome.CONFIRMED)
    desk.act(approver, number, done.case.version, Action.APPROVE, "agreed")
    return number


def test_results_became_alerts_and_severe_ones_cases(office: SmallOffice) -> None:
    """Accounts in the top band have an alert, those of high severity a case, by the node."""
    found = office.desk.alerts(ANN, limit=200)
    assert {alert.rule for alert in found} >= {"risk-high", "risk-rose", "money-came-back"}
    assert all(alert.case_id for alert in found if alert.rule == "risk-high")
    cases = office.desk.cases(SUE, limit=200)
    assert cases
    assert all(case.opened_by == "system" for case in cases)


def test_an_alert_explains_itself_from_what_the_bank_knows(office: SmallOffice) -> None:
    """Words, payments, counterparties and history are there; no unknown account is in any."""
    alert = office.desk.alerts(ANN, AlertFilter(rule="risk-high"), limit=1)[0]
    page = office.desk.alert(ANN, alert.id)
    assert page.case is not None
    assert page.explanation.transactions.num_rows > 0
    assert page.explanation.history.num_rows >= 2
    told = repr(page) + "".join(
        str(getattr(page.explanation, name).to_pydict())
        for name in ("transactions", "counterparties", "history", "metrics", "slices")
    )
    assert not [account for account in UNKNOWN if account in told]
    assert [account for account in KNOWN if account in told]


def test_who_looks_at_an_account_is_on_record(office: SmallOffice) -> None:
    """Reading an alert, a case, an account, a list or a trace names the accounts in the log."""
    desk = office.desk
    alert = desk.alerts(ANN, limit=1)[0]
    assert last_entry(office).action == "alerts.listed"
    page = desk.alert(ANN, alert.id)
    entry = last_entry(office)
    assert (entry.actor, entry.action) == ("ann", "alert.read")
    behind = page.explanation.accounts
    assert tuple(entry.details["account"][: len(behind)]) == behind
    number, _version = a_case(desk)
    desk.case(BEN, number)
    assert last_entry(office).action == "case.read"
    desk.account(SAM, OWN[4])
    assert last_entry(office).details["account"] == [OWN[4]]
    desk.trace(AUDREY, TRACE)
    entry = last_entry(office)
    assert entry.run_id == TRACE
    assert set(entry.details["account"]) == set(OWN[:4])
    desk.export(ANN, number, "html")
    assert last_entry(office).action == "case.exported"
    found = desk.audit(AUDREY, AuditFilter(account=OWN[4]))
    assert "account.read" in {line.action for line in found}
    assert desk.verify_audit(AUDREY).ok


def test_asking_for_a_foreign_account_is_on_record_and_tells_nothing(office: SmallOffice) -> None:
    """Another bank's account is not found, known from payments or not, and the asking stays."""
    said = set()
    for account in (KNOWN[0], UNKNOWN[0], "nonsense"):
        with pytest.raises(NotFound) as refused:
            office.desk.account(ANN, account)
        said.add(str(refused.value))
        assert last_entry(office).details == {
            "account": [account], "count": 1, "own": False, "role": "analyst",
        }  # fmt: skip
    assert len(said) == 1


def test_a_case_is_closed_by_two_people(office: SmallOffice) -> None:
    """Who investigated cannot approve, somebody else can, and each step is in the log."""
    desk = office.desk
    number, version = a_case(desk)
    version = desk.act(SUE, number, version, Action.TAKE, "mine").case.version
    version = desk.act(SUE, number, version, Action.BEGIN, "looking").case.version
    change = desk.act(SUE, number, version, Action.SUBMIT, "odd", outcome=Outcome.REPORTED)
    assert Action.APPROVE not in desk.case(SUE, number).actions
    assert Action.APPROVE in desk.case(SAM, number).actions
    with pytest.raises(FourEyes):
        desk.act(SUE, number, change.case.version, Action.APPROVE, "fine")
    done = desk.act(SAM, number, change.case.version, Action.APPROVE, "fine")
    assert done.case.state == State.REPORTED
    actions = [line.action for line in desk.audit(AUDREY, limit=50)]
    wanted = ["case.approve", "case.submit", "case.begin", "case.take"]
    assert [a for a in actions if a in wanted] == wanted


def test_what_failed_left_nothing(office: SmallOffice) -> None:
    """A stale version changes neither the case nor the log."""
    desk = office.desk
    number, version = a_case(desk)
    before = desk.audit(AUDREY, limit=1)[0].number
    with pytest.raises(StaleVersion):
        desk.act(ANN, number, version - 1, Action.TAKE, "mine")
    assert desk.audit(AUDREY, limit=1)[0].number == before + 1  # the first look's own entry
    assert desk.case(SUE, number).case.version == version


def test_several_cases_are_assigned_together_or_not_at_all(office: SmallOffice) -> None:
    """One stale version in a batch keeps all of them as they were."""
    desk = office.desk
    cases = {case.id: case.version for case in desk.cases(SUE, limit=3)}
    wrong = cases | {max(cases): 99}
    with pytest.raises(StaleVersion):
        desk.assign_many(SUE, wrong, "ben", "yours")
    assert not any(case.assignee for case in desk.cases(SUE, limit=3))
    assert len(desk.assign_many(SUE, cases, "ben", "yours")) == 3


def test_nobody_who_is_gone_gets_a_case(office: SmallOffice) -> None:
    """A case can be given to people who are there and work on cases, and to nobody else."""
    number, version = a_case(office.desk)
    for name in ("otto", "nobody", "audrey"):
        with pytest.raises(NotPermitted):
            office.desk.act(SUE, number, version, Action.ASSIGN, "yours", assignee=name)
    assert office.desk.workers(SUE) == ["ann", "ben", "sam", "sue"]


def test_a_trace_is_attached_with_its_rows(office: SmallOffice) -> None:
    """A stored trace becomes the case's own; a run that is no trace cannot be attached."""
    desk = office.desk
    number, version = a_case(desk)
    change = desk.attach(ANN, number, version, TRACE, "where it went", "see the trace")
    page = desk.case(ANN, number)
    assert page.traces[0].rows.num_rows == 4
    with pytest.raises(EntryError):
        desk.attach(ANN, number, change.case.version, FIRST, "scores", "no trace")


def test_a_trace_that_reached_nothing_is_attached_too(office: SmallOffice) -> None:
    """That nothing was reached is a finding: it stands in the case and in each export of it."""
    desk, empty = office.desk, "e" * 24
    with office.records.database.begin() as session:
        run_table.add(session, stored_run(empty, "trace", "exact", NOW - DAY, depth="3"))
    desk.remember_question(ANN, empty, [OWN[0]])
    number, version = a_case(desk)
    desk.attach(ANN, number, version, empty, "where it went", "nowhere")
    assert desk.case(ANN, number).traces[0].rows.column_names == [
        "account", "slice", "kind", "amount"
    ]  # fmt: skip
    for kind in ("html", "json"):
        assert "where it went" in desk.export(ANN, number, kind).content.decode()


def test_a_trace_comes_with_the_payments_that_explain_it(office: SmallOffice) -> None:
    """Links join asked and reached accounts and other banks, never an own account not reached."""
    page = office.desk.trace(ANN, TRACE)
    assert page.accounts == (OWN[0],)
    links = page.links.to_pylist()
    own = {
        link[f"{side}_account"]
        for link in links for side in ("from", "to") if link[f"{side}_bank"] == BANK
    }  # fmt: skip
    assert own == set(OWN[:4])
    assert (OWN[0], OWN[1]) in {(k["from_account"], k["to_account"]) for k in links}
    assert not [account for account in UNKNOWN if account in str(links)]


@pytest.mark.parametrize("order", [Order.SEVERITY, Order.NEWEST, Order.UPDATED, Order.STRENGTH])
def test_pages_of_a_list_have_every_alert_once(office: SmallOffice, order: Order) -> None:
    """Going on after the last one seen gives all alerts, each once, in the order asked for."""
    whole = office.desk.alerts(ANN, order=order, limit=500)
    seen: list[int] = []
    while page := office.desk.alerts(ANN, order=order, limit=7, after=seen[-1] if seen else None):
        seen += [alert.id for alert in page]
    assert seen == [alert.id for alert in whole]
    assert len(set(seen)) == len(seen)


def test_rules_are_tried_without_a_trace(office: SmallOffice) -> None:
    """A back-test says what a rule would have raised and knows outcomes; it raises nothing."""
    desk = office.desk
    closed(desk, ANN, SAM)
    before = len(desk.alerts(ANN, limit=500))
    text = """
    [[rule]]
    name = "wide"
    joint = [{ analysis = "risk-propagation", reached = 2 }]
    """
    (tested,) = desk.test_rules(SUE, text, None, 5)
    assert [run.run_id for run in tested.runs] == [FIRST, SECOND_RUN]
    assert tested.runs[1].accounts == 30
    assert tested.confirmed == 1
    assert len(desk.alerts(ANN, limit=500)) == before
    with pytest.raises(AlertsError):
        desk.test_rules(SUE, "[[rule]", None, 5)


def test_outcomes_become_risk_only_where_the_bank_wants_it(
    office: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without feedback there is no table; with it, the accounts of a confirmed case are in it."""
    number = closed(office.desk, BEN, SUE)
    assert office.desk.outcomes() is None
    with_alerts(office, monkeypatch, feedback=Feedback(enabled=True))
    table = office.desk.outcomes()
    assert table is not None
    assert table["account"].to_pylist() == list(office.desk.case(SUE, number).accounts)
    assert set(table["risk_score"].to_pylist()) == {0.8}


def test_views_are_each_persons_own(office: SmallOffice) -> None:
    """A saved list is kept, replaced and removed by its owner, and seen by nobody else."""
    desk = office.desk
    desk.save_view(ANN, "  my   morning ", "status=open")
    desk.save_view(ANN, "my morning", "status=open&severity=high")
    assert desk.views(ANN) == {"my morning": "status=open&severity=high"}
    assert desk.views(BEN) == {}
    with pytest.raises(NotFound):
        desk.remove_view(BEN, "my morning")
    desk.remove_view(ANN, "my morning")
    assert desk.views(ANN) == {}
    with pytest.raises(EntryError):
        desk.save_view(ANN, "\n", "x")


def test_signing_in_and_out_is_on_record_without_secrets(office: SmallOffice) -> None:
    """A good and a wrong password are both noted; neither password nor token stands in the log."""
    desk = office.desk
    signed = desk.sign_in("ann", PASSWORD, source="127.0.0.1")
    token = getattr(signed, "token", "")
    assert token
    standing = desk.standing(token)
    assert standing is not None
    assert standing.person.name == "ann"
    assert not hasattr(desk.sign_in("ann", "wrong password!"), "token")
    assert not hasattr(desk.sign_in("ann' OR 1=1", PASSWORD), "token")
    desk.sign_out(token)
    assert desk.standing(token) is None
    assert desk.standing("") is None
    lines = desk.audit(AUDREY, limit=20)
    actions = [line.action for line in lines]
    assert actions[:4] == [
        "people.signed-out", "people.refused", "people.refused", "people.signed-in",
    ]  # fmt: skip
    written = json.dumps([vars(line) | {"details": dict(line.details)} for line in lines])
    assert PASSWORD not in written
    assert "wrong password!" not in written
    assert token not in written
    assert "OR 1=1" not in written


CALLS: dict[str, tuple[tuple[Any, ...], set[Role]]] = {
    "summary": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "alerts": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "alert": ((1,), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "last_evaluation": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "open_case": (({}, "x"), {Role.ANALYST, Role.SUPERVISOR}),
    "open_several": (([], "x"), {Role.ANALYST, Role.SUPERVISOR}),
    "add_alert": ((1, 1, 1, 1, "x"), {Role.ANALYST, Role.SUPERVISOR}),
    "cases": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "case": ((1,), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "case_head": ((1,), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "act": ((1, 1, Action.TAKE, "x"), {Role.ANALYST, Role.SUPERVISOR}),
    "take_next": (("x",), {Role.ANALYST, Role.SUPERVISOR}),
    "auto_assign": ((), {Role.SUPERVISOR, Role.OPERATOR}),
    "assign_many": (({1: 1}, "ben", "x"), {Role.SUPERVISOR}),
    "attach": ((1, 1, TRACE, "t", "x"), {Role.ANALYST, Role.SUPERVISOR}),
    "workers": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "account": ((OWN[0],), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "export": ((1, "json"), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "rules": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "evaluate": ((FIRST,), {Role.OPERATOR}),
    "test_rules": (("", None, 1), {Role.SUPERVISOR, Role.OPERATOR}),
    "samples": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "sampled": ((None, None), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "judge": ((FIRST, "r", OWN[0]), {Role.ANALYST, Role.SUPERVISOR}),
    "asker": ((TRACE,), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "remember_question": ((TRACE, [OWN[0]]), {Role.ANALYST, Role.SUPERVISOR}),
    "traces": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "trace": ((TRACE,), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "audit": ((), {Role.SUPERVISOR, Role.AUDITOR}),
    "verify_audit": ((), {Role.SUPERVISOR, Role.AUDITOR}),
    "export_audit": ((), {Role.SUPERVISOR, Role.AUDITOR}),
    "people": ((), {Role.SUPERVISOR, Role.AUDITOR, Role.OPERATOR}),
    "views": ((), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "save_view": (("v", "q"), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
    "remove_view": (("v",), {Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR}),
}
_MORE: dict[str, dict[str, Any]] = {
    "sampled": {"judged": False},
    "judge": {"worthwhile": True, "note": "x"},
}


def test_every_call_asks_for_the_role(quick: SmallOffice) -> None:
    """Each method that takes a person lets exactly the roles in that it is for."""
    named = {
        name
        for name, method in inspect.getmembers(Desk, inspect.isfunction)
        if not name.startswith("_") and "who" in inspect.signature(method).parameters
    }
    assert named == set(CALLS) | {"check"}
    for name, (arguments, roles) in CALLS.items():
        for person in PEOPLE:
            refused = False
            try:
                getattr(quick.desk, name)(person, *arguments, **_MORE.get(name, {}))
            except NotPermitted:
                refused = True
            except AlertsError:
                pass  # allowed, and refused for another reason, such as an old version
            assert refused == (person.role not in roles), (name, person)


def test_rights_beside_cases_are_a_table(quick: SmallOffice) -> None:
    """An operator sees no trace and no log; an auditor proposes nothing."""
    check_right(OTTO, Right.RUNS_DECIDE)
    for who, right in ((OTTO, Right.TRACE_READ), (OTTO, Right.AUDIT), (AUDREY, Right.RUNS_PROPOSE)):
        with pytest.raises(NotPermitted):
            quick.desk.check(who, right)
