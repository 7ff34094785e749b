"""What people can do with a case, and what is refused, step by step."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy.orm import Session

from alerts import (
    SYSTEM,
    CaseView,
    Change,
    Feedback,
    Outcome,
    PaymentsView,
    Person,
    Role,
    Severity,
    State,
    auto_assign,
    back_test,
    merged_risk,
    open_cases,
    outcome_risk,
    raise_alerts,
    take_next,
)
from alerts.cases import add_note, assign, begin, escalate, snooze, take, wake
from alerts.errors import (
    AlertsError,
    EntryError,
    ForeignAccount,
    FourEyes,
    NotAssignee,
    NoteRequired,
    NotFound,
    NotPermitted,
    SnoozeRefused,
    StaleVersion,
    WrongState,
)
from alerts.opening import add_alert, open_case
from alerts.queries import (
    CaseFilter,
    alerts_of_case,
    journal,
    list_alerts,
    list_cases,
    show_case,
    who_worked,
)
from alerts.review import approve, reopen, send_back, submit
from alerts.traces import attach_trace, traces_of_case
from tests.alerts.world import (
    ANN,
    AUDREY,
    BEN,
    DAY,
    NOW,
    OTTO,
    SAM,
    SUE,
    raise_for,
    results,
    rules,
    view_of,
)

WHY = "because"


def opened(session: Session, by: Person = ANN, bands: dict[str, float] | None = None) -> CaseView:
    """A new case from all alerts of a run."""
    raise_for(session, "r1", bands or {"A1": 3})
    alerts = {a.id: a.version for a in list_alerts(session, ANN)}
    return open_case(session, by, alerts, WHY, now=NOW).case


def did(
    session: Session, case: CaseView, step: Callable[..., Change], by: Person, *more: Any
) -> CaseView:
    """The case after one more step."""
    return step(session, by, case.id, case.version, *more, WHY, now=NOW).case


def investigating(session: Session, by: Person = ANN) -> CaseView:
    """A case that ``by`` took and investigates."""
    case = did(session, opened(session, by), take, by)
    return did(session, case, begin, by)


def closed(session: Session, outcome: Outcome = Outcome.CONFIRMED) -> CaseView:
    """A case that Ann investigated and Sue closed."""
    case = did(session, investigating(session), submit, ANN, outcome)
    return did(session, case, approve, SUE)


def test_a_case_goes_its_way(session: Session) -> None:
    """From new to closed by two people, each change in the journal with person, time and note."""
    case = closed(session, Outcome.REPORTED)
    assert (case.state, case.outcome, case.closed_at) == (State.REPORTED, Outcome.REPORTED, NOW)
    lines = journal(session, AUDREY, case.id)
    assert [(e.person, e.action, e.from_state, e.to_state) for e in lines] == [
        ("ann", "open", None, "new"),
        ("ann", "take", "new", "assigned"),
        ("ann", "begin", "assigned", "investigating"),
        ("ann", "submit", "investigating", "pending-review"),
        ("sue", "approve", "pending-review", "closed-reported"),
    ]
    assert [e.version for e in lines] == [1, 2, 3, 4, 5]
    assert {(e.note, e.at) for e in lines} == {(WHY, NOW)}
    assert {a.status for a in alerts_of_case(session, ANN, case.id)} == {"closed"}
    assert who_worked(session, SUE, case.id) == ["ann"]


def test_a_change_needs_a_note(session: Session) -> None:
    """Nothing, blanks and dots say nothing; control characters and novels are refused."""
    case = opened(session)
    for note in ("", "  \n", "...", "-"):
        with pytest.raises(NoteRequired):
            take(session, ANN, case.id, case.version, note, now=NOW)
    for note in ("a\x00b", "x" * 10_001, "a\ud800"):
        with pytest.raises(EntryError):
            take(session, ANN, case.id, case.version, note, now=NOW)


def test_who_saw_an_older_version_is_refused(session: Session) -> None:
    """The error says who changed the case; nothing is overwritten."""
    case = opened(session)
    did(session, case, take, BEN)
    with pytest.raises(StaleVersion, match="changed by ben"):
        did(session, case, take, ANN)
    assert show_case(session, ANN, case.id).assignee == "ben"


def test_what_does_not_exist_is_said(session: Session) -> None:
    """Also numbers that no database holds."""
    for number in (1, 0, -5, 1 << 40):
        with pytest.raises(NotFound):
            show_case(session, ANN, number)
        with pytest.raises(NotFound):
            open_case(session, ANN, {number: 1}, WHY, now=NOW)
    with pytest.raises(EntryError):
        open_case(session, ANN, {}, WHY, now=NOW)


def test_an_alert_is_in_one_case(session: Session) -> None:
    """A second case from it is refused, whichever version is named."""
    opened(session)
    (alert,) = list_alerts(session, ANN)
    with pytest.raises(StaleVersion):
        open_case(session, BEN, {alert.id: alert.version - 1}, WHY, now=NOW)
    with pytest.raises(WrongState, match="in-case"):
        open_case(session, BEN, {alert.id: alert.version}, WHY, now=NOW)


def test_who_investigated_cannot_approve(session: Session) -> None:
    """Not the investigator as supervisor, nor who wrote one note, nor who merely had the case."""
    case = did(session, opened(session), assign, SUE, SAM)
    case = did(session, case, assign, SUE, ANN)
    case = did(session, case, begin, ANN)
    note_writer = Person("nina", Role.SUPERVISOR)
    case = did(session, case, add_note, note_writer)
    case = did(session, case, submit, ANN, Outcome.FALSE_ALARM)
    for worked in (Person("ann", Role.SUPERVISOR), SAM, note_writer):
        with pytest.raises(FourEyes, match=worked.name):
            did(session, case, approve, worked)
    assert did(session, case, approve, SUE).state == State.FALSE_ALARM


def test_who_worked_before_a_reopening_still_cannot_approve(session: Session) -> None:
    """Four eyes hold over rounds."""
    case = did(session, closed(session), reopen, SUE)
    assert (case.state, case.assignee, case.outcome, case.closed_at) == ("new", None, None, None)
    case = did(session, case, take, BEN)
    case = did(session, did(session, case, begin, BEN), submit, BEN, Outcome.CONFIRMED)
    with pytest.raises(FourEyes):
        did(session, case, approve, Person("ann", Role.SUPERVISOR))
    assert did(session, case, approve, SUE).state == State.CONFIRMED


def test_a_review_can_send_back(session: Session) -> None:
    """The investigator goes on; what was proposed is gone, and stands in the journal."""
    case = did(session, investigating(session), submit, ANN, Outcome.REPORTED)
    case = did(session, case, send_back, SUE)
    assert (case.state, case.assignee, case.outcome) == ("investigating", "ann", None)
    assert journal(session, ANN, case.id)[-1].details == {"outcome": "reported"}


def test_what_is_escalated_waits_for_a_supervisor(session: Session) -> None:
    """The analyst can do nothing but write; a supervisor gives it to somebody."""
    case = did(session, investigating(session), escalate, ANN)
    for step, more in ((begin, ()), (submit, (Outcome.CONFIRMED,)), (take, ())):
        with pytest.raises(WrongState):
            did(session, case, step, ANN, *more)
    case = did(session, case, add_note, ANN)
    assert did(session, case, assign, SUE, SAM).assignee == "sam"


def test_only_who_has_the_case_works_on_its_state(session: Session) -> None:
    """Begin, escalate, submit and snooze are the assignee's."""
    case = did(session, opened(session), take, ANN)
    with pytest.raises(NotAssignee, match="with ann, not with ben"):
        did(session, case, begin, BEN)
    with pytest.raises(NotAssignee):
        did(session, case, snooze, SUE, NOW + DAY)


def test_a_case_is_given_to_those_who_work(session: Session) -> None:
    """Not to an auditor or operator, and not by an analyst."""
    case = opened(session)
    for person in (AUDREY, OTTO):
        with pytest.raises(NotPermitted):
            did(session, case, assign, SUE, person)
    with pytest.raises(NotPermitted):
        did(session, case, assign, ANN, BEN)


@pytest.mark.parametrize("person", [AUDREY, OTTO])
def test_auditors_and_operators_change_no_case(session: Session, person: Person) -> None:
    """An auditor reads, an operator does not even that."""
    case = opened(session)
    for step in (take, begin, add_note, escalate, approve, send_back, reopen, wake):
        with pytest.raises(NotPermitted):
            did(session, case, step, person)
    if person is OTTO:
        with pytest.raises(NotPermitted):
            show_case(session, person, case.id)
    else:
        assert journal(session, person, case.id)


def test_sleep_is_bounded_over_all(session: Session) -> None:
    """At most 180 days in all; waking early gives the rest back; each sleep is in the journal."""
    case = investigating(session)
    with pytest.raises(SnoozeRefused, match=r"180\.0 more days"):
        did(session, case, snooze, ANN, NOW + 180 * DAY + 1)
    with pytest.raises(EntryError, match="past"):
        did(session, case, snooze, ANN, NOW)
    case = did(session, case, snooze, ANN, NOW + 100 * DAY)
    for step, more in ((submit, (Outcome.CONFIRMED,)), (snooze, (NOW + DAY,)), (escalate, ())):
        with pytest.raises(SnoozeRefused, match="wake it first"):
            did(session, case, step, ANN, *more)
    later = NOW + 60 * DAY
    case = wake(session, ANN, case.id, case.version, WHY, now=later).case
    assert (case.snoozed_until, case.snooze_used) == (None, 60 * DAY)
    with pytest.raises(SnoozeRefused, match=r"120\.0 more days"):
        snooze(session, ANN, case.id, case.version, later + 121 * DAY, WHY, now=later)
    case = snooze(session, ANN, case.id, case.version, later + 120 * DAY, WHY, now=later).case
    assert journal(session, ANN, case.id)[-1].details == {"until": later + 120 * DAY}
    after = later + 150 * DAY
    with pytest.raises(SnoozeRefused, match=r" 0\.0 more days"):
        snooze(session, ANN, case.id, case.version, after + DAY, WHY, now=after)
    with pytest.raises(SnoozeRefused, match="does not sleep"):
        wake(session, ANN, case.id, case.version, WHY, now=after)


def test_a_reopened_case_may_sleep_anew(session: Session) -> None:
    """The 180 days count from the reopening."""
    case = did(session, investigating(session), snooze, ANN, NOW + 180 * DAY)
    later = NOW + 181 * DAY
    where = (case.id, case.version)
    change = submit(session, ANN, *where, Outcome.CONFIRMED, WHY, now=later)
    assert change.case.snooze_used == 180 * DAY
    change = approve(session, SUE, case.id, change.case.version, WHY, now=later)
    change = reopen(session, SUE, case.id, change.case.version, WHY, now=later)
    change = take(session, ANN, case.id, change.case.version, WHY, now=later)
    until = later + 180 * DAY
    change = snooze(session, ANN, case.id, change.case.version, until, WHY, now=later)
    assert change.case.snoozed_until == until


def test_only_a_supervisor_closes_sends_back_and_reopens(session: Session) -> None:
    """Not an analyst, even one who never worked on the case."""
    case = did(session, investigating(session), submit, ANN, Outcome.CONFIRMED)
    for step in (approve, send_back):
        with pytest.raises(NotPermitted):
            did(session, case, step, BEN)
    case = did(session, case, approve, SUE)
    with pytest.raises(NotPermitted):
        did(session, case, reopen, BEN)


def test_only_a_case_sleeps_and_only_at_work(session: Session) -> None:
    """A new case and one under review cannot be put aside."""
    case = opened(session)
    with pytest.raises(WrongState):
        did(session, case, snooze, ANN, NOW + DAY)
    case = did(
        session,
        did(session, did(session, case, take, ANN), begin, ANN),
        submit,
        ANN,
        Outcome.CONFIRMED,
    )
    with pytest.raises(WrongState):
        did(session, case, snooze, ANN, NOW + DAY)


def test_a_rise_wakes_a_case(session: Session, view: PaymentsView) -> None:
    """A later run that sees the alert rise is journalled by the node; the same value is not."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2}), view)
    (alert,) = list_alerts(session, ANN)
    case = open_case(session, ANN, {alert.id: alert.version}, WHY, now=NOW).case
    case = did(session, did(session, case, take, ANN), snooze, ANN, NOW + 30 * DAY)
    raise_alerts(session, SYSTEM, rules(), results("r2", {"A1": 2}), view)
    assert show_case(session, ANN, case.id).version == case.version
    assert list_cases(session, ANN, CaseFilter(awake_at=NOW)) == []
    raise_alerts(session, SYSTEM, rules(), results("r3", {"A1": 3}), view)
    assert show_case(session, ANN, case.id).snoozed_until is None
    last = journal(session, ANN, case.id)[-1]
    assert (last.person, last.action) == ("system", "risen")


def test_reopening_takes_the_newer_alert(session: Session, view: PaymentsView) -> None:
    """Where a later run raised the same alert again, that one joins; no two are open at once."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2, "A3": 2}), view)
    alerts = {a.id: a.version for a in list_alerts(session, ANN)}
    case = open_case(session, ANN, alerts, WHY, now=NOW).case
    case = did(session, did(session, case, take, ANN), begin, ANN)
    case = did(session, did(session, case, submit, ANN, Outcome.CONFIRMED), approve, SUE)
    raise_alerts(session, SYSTEM, rules(), results("r2", {"A1": 3}), view)
    case = did(session, case, reopen, SUE)
    status = {(a.subject, a.status, a.last_run) for a in alerts_of_case(session, ANN, case.id)}
    assert status == {
        ("customer:C1", "closed", "r1"),
        ("customer:C1", "in-case", "r2"),
        ("customer:C2", "in-case", "r1"),
    }


def test_reopening_again_opens_the_newest_alert_only(session: Session) -> None:
    """After two rounds a case has two alerts of one customer and rule; one of them is open."""
    case = closed(session)
    raise_for(session, "r2", {"A1": 3})
    case = did(session, did(session, case, reopen, SUE), take, BEN)
    case = did(session, did(session, case, begin, BEN), submit, BEN, Outcome.CONFIRMED)
    case = did(session, did(session, case, approve, SUE), reopen, SUE)
    status = [(a.last_run, a.status) for a in alerts_of_case(session, ANN, case.id)]
    assert status == [("r1", "closed"), ("r2", "in-case")]


def test_an_alert_can_be_added(session: Session) -> None:
    """To a case that is not under review; the case gets no milder by it."""
    raise_for(session, "r1", {"A1": 3, "A2": 2})
    first, second = list_alerts(session, ANN)
    case = open_case(session, ANN, {first.id: first.version}, WHY, now=NOW).case
    case = did(session, case, add_alert, BEN, (second.id, second.version))
    assert len(alerts_of_case(session, ANN, case.id)) == 2
    assert case.severity == Severity.HIGH
    assert who_worked(session, SUE, case.id) == ["ann", "ben"]


def test_the_node_opens_one_case_for_a_customer(session: Session, view: PaymentsView) -> None:
    """Two rules, one case; a later alert joins it, but not while it is under review."""
    low = {
        "name": "low",
        "severity": "low",
        "joint": [{"analysis": "risk-propagation", "reached": 1}],
    }
    raise_alerts(session, SYSTEM, rules(low), results("r1", {"A1": 2, "A3": 1}), view)
    assert open_cases(session, now=NOW).opened == 2
    raise_alerts(session, SYSTEM, rules(low), results("r2", {"A3": 2}), view)
    done = open_cases(session, now=NOW)
    assert (done.opened, done.joined) == (0, 1)
    first, second = list_cases(session, ANN)
    assert (first.severity, second.severity) == (Severity.HIGH, Severity.HIGH)
    actions = [e.action for e in journal(session, ANN, second.id)]
    assert actions == ["auto-open", "risen", "joined"]
    assert len(alerts_of_case(session, ANN, second.id)) == 2
    assert list_alerts(session, ANN)[0].status == "in-case"
    case = did(session, did(session, first, take, ANN), begin, ANN)
    did(session, case, submit, ANN, Outcome.CONFIRMED)
    top = {"name": "top", "joint": [{"analysis": "risk-propagation", "reached": 3}]}
    raise_alerts(session, SYSTEM, rules(top), results("r3", {"A1": 3}), view)
    assert open_cases(session, now=NOW).opened == 1


def test_work_is_handed_out_by_load(session: Session) -> None:
    """Each case to who has the fewest; the most severe first; nobody who does not work."""
    raise_for(session, "r1", {f"K{i}": 3.0 for i in range(7)})
    open_cases(session, now=NOW)
    taken = take_next(session, BEN, WHY, now=NOW)
    assert taken is not None
    changes = auto_assign(session, SUE, [BEN, ANN, AUDREY], now=NOW)
    held = [c.case.assignee for c in changes]
    assert held == ["ann", "ann", "ben", "ann", "ben", "ann"]
    assert take_next(session, ANN, WHY, now=NOW) is None
    assert auto_assign(session, SYSTEM, [ANN], now=NOW) == []
    with pytest.raises(EntryError):
        auto_assign(session, SYSTEM, [AUDREY], now=NOW)
    with pytest.raises(NotPermitted):
        auto_assign(session, ANN, [ANN], now=NOW)


def test_a_trace_is_attached_as_a_copy(session: Session, view: PaymentsView) -> None:
    """Its rows come back as they were; a row of another bank's account is refused."""
    case = investigating(session)
    rows = pa.table(
        {
            "account": ["A1", "A2"],
            "slice": [0, 1],
            "kind": ["received", "returned"],
            "amount": [1.5, 2],
        }
    )
    case = did(session, case, attach_trace, ANN, ("t1", "from A1, March", rows), view)
    (trace,) = traces_of_case(session, AUDREY, case.id)
    assert (trace.run_id, trace.title, trace.person) == ("t1", "from A1, March", "ann")
    assert trace.rows.equals(rows)
    foreign = rows.set_column(0, "account", pa.array(["A1", "X9"]))
    with pytest.raises(ForeignAccount):
        did(session, case, attach_trace, ANN, ("t1", "again", foreign), view)
    for title, table in (("", rows), ("no kind", rows.drop_columns(["kind"]))):
        with pytest.raises(EntryError):
            did(session, case, attach_trace, ANN, ("t1", title, table), view)


def test_outcomes_become_risk_where_the_bank_says_so(session: Session) -> None:
    """Off by default; the gravest outcome counts; false alarms and reopened cases do not."""
    case = closed(session, Outcome.CONFIRMED)
    on = Feedback(enabled=True, confirmed=0.7)
    assert len(outcome_risk(session, Feedback(), now=NOW)) == 0
    table = outcome_risk(session, on, now=NOW)
    assert table.to_pylist() == [{"account": "A1", "risk_score": 0.7}]
    own = merged_risk(pa.array(["A0", "A1"]), pa.array([0.9, 0.1]).to_numpy(), table)
    assert own.tolist() == [0.9, 0.7]
    assert len(outcome_risk(session, on, now=NOW + 731 * DAY)) == 0
    did(session, case, reopen, SUE)
    assert len(outcome_risk(session, on, now=NOW)) == 0


def test_a_back_test_knows_how_cases_were_closed(session: Session) -> None:
    """Precision among the customers whose outcome is known."""
    closed(session, Outcome.CONFIRMED)
    with view_of({"A1": "customer-A1", "A2": None}, ()) as view:
        data = results("r2", {"A1": 3, "A2": 3})
        tested = back_test(session, SUE, rules().named("high"), [data], view)
    assert (tested.confirmed, tested.false_alarms, tested.unknown) == (1, 0, 1)
    assert tested.precision == 1.0


@pytest.mark.parametrize("name", ["", "Ann", "ann ", "аnn", "a\nb", "x" * 65, "-a", "../a", "ａnn"])
def test_names_that_could_be_taken_for_others_are_refused(name: str) -> None:
    """A look-alike of a name would undo the four eyes."""
    with pytest.raises(EntryError):
        Person(name, Role.ANALYST)


def test_nobody_is_the_system() -> None:
    """The node's own name is not a user's."""
    with pytest.raises(EntryError):
        Person("system", Role.SUPERVISOR)


def test_errors_have_codes_of_their_own() -> None:
    """Each kind of error can be told by its code, and says in one line what to do."""
    kinds = [AlertsError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert all(code.startswith("alerts.") for code in codes)
    assert str(FourEyes("a\nb.", "do\nthis")) == "a b. do this"
