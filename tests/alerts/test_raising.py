"""Alerts from runs: one per customer and rule while open, once per run, in one transaction."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts import (
    SYSTEM,
    PaymentsView,
    Results,
    RuleSet,
    Severity,
    back_test,
    parse_rules,
    raise_alerts,
)
from alerts.cases import begin as begin_case
from alerts.cases import snooze, take
from alerts.errors import ForeignAccount, NotFound, NotPermitted, RuleError, StaleVersion
from alerts.opening import open_case
from alerts.queries import AlertFilter, accounts_of, journal, list_alerts, show_case, sightings
from alerts.sampling import judge_sample, sample_counts
from alerts.tables import Alert, Base, Sample
from tests.alerts.world import (
    ANN,
    AUDREY,
    DAY,
    NOW,
    OTTO,
    SUE,
    Begin,
    results,
    rules,
    values,
    view_of,
)


def test_hits_of_one_customer_are_one_alert(session: Session, view: PaymentsView) -> None:
    """Two accounts of a customer, one alert, with both accounts and the reason of the worse."""
    done = raise_alerts(session, OTTO, rules(), results("r1", {"A1": 2, "A2": 3, "A3": 1}), view)
    assert (done.raised, done.updated, done.accounts, done.repeated) == (1, 0, 3, False)
    (alert,) = list_alerts(session, ANN)
    assert (alert.subject, alert.severity) == ("customer:C1", Severity.HIGH)
    assert alert.reason == "risk-propagation came to 3 (before: none)"
    assert accounts_of(session, ANN, [alert.id]) == ["A1", "A2"]


def test_a_run_is_evaluated_once(session: Session, view: PaymentsView) -> None:
    """The second time changes nothing and says so."""
    data = results("r1", {"A1": 2, "A3": 2})
    first = raise_alerts(session, SYSTEM, rules(), data, view)
    before = list_alerts(session, ANN)
    again = raise_alerts(session, SYSTEM, rules(), data, view)
    assert again == replace(first, repeated=True)
    assert list_alerts(session, ANN) == before


def test_an_open_alert_is_seen_again_and_not_doubled(session: Session, view: PaymentsView) -> None:
    """A later run gives the same alert a further sighting, new accounts and the newer reason."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2}), view)
    done = raise_alerts(
        session, SYSTEM, rules(), results("r2", {"A1": 1, "A2": 3}, {"A1": 2}), view
    )
    assert (done.raised, done.updated) == (0, 1)
    (alert,) = list_alerts(session, ANN)
    assert (alert.first_run, alert.last_run, alert.version) == ("r1", "r2", 2)
    assert alert.reason == "risk-propagation came to 3 (before: 0)"
    assert [seen.run_id for seen in sightings(session, ANN, alert.id)] == ["r1", "r2"]
    assert accounts_of(session, ANN, [alert.id]) == ["A1", "A2"]


def test_a_closed_alert_does_not_hold_back_a_new_one(session: Session, view: PaymentsView) -> None:
    """After closing, the same customer and rule raise a new alert."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2}), view)
    session.scalars(select(Alert)).one().status = "closed"
    session.flush()
    assert raise_alerts(session, SYSTEM, rules(), results("r2", {"A1": 2}), view).raised == 1


def test_other_rules_evaluate_a_run_again(session: Session, view: PaymentsView) -> None:
    """Changed rules add alerts of new rules, and double neither alerts nor sightings of old."""
    data = results("r1", {"A1": 3})
    raise_alerts(session, SYSTEM, rules(), data, view)
    joint = [{"analysis": "risk-propagation", "reached": 3}]
    more = rules({"name": "top", "severity": "critical", "joint": joint})
    assert raise_alerts(session, SYSTEM, more, data, view).raised == 1
    first, second = list_alerts(session, ANN)
    assert (first.rule, second.rule) == ("top", "high")
    assert len(sightings(session, ANN, second.id)) == 1


OTHER = {"name": "other", "joint": [{"analysis": "risk-propagation", "reached": 9}]}
BANDS = "bands:0.2,0.5,0.8"


def test_an_older_run_adds_its_sighting_only(session: Session, view: PaymentsView) -> None:
    """Changed rules on an old run leave what the alert says, its run and its time as they were."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2}), view)
    newer = replace(results("r2", {"A1": 3}), at=NOW + DAY)
    raise_alerts(session, SYSTEM, rules(), newer, view)
    before = list_alerts(session, ANN)
    older = replace(results("r0", {"A1": 2, "A2": 2}), at=NOW - DAY)
    for data in (results("r1", {"A1": 2, "A2": 2}), older):
        done = raise_alerts(session, SYSTEM, rules(OTHER), data, view)
        assert (done.raised, done.updated) == (0, 1)
    assert list_alerts(session, ANN) == before
    seen = sightings(session, ANN, before[0].id)
    assert [one.run_id for one in seen] == ["r0", "r1", "r2"]
    assert accounts_of(session, ANN, [before[0].id]) == ["A1"]


def test_a_judged_customer_is_not_raised_from_the_same_run(
    session: Session, view: PaymentsView
) -> None:
    """The run whose alert was closed raises it for others only; another run for all."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2}), view)
    session.scalars(select(Alert)).one().status = "closed"
    session.flush()
    done = raise_alerts(session, SYSTEM, rules(OTHER), results("r1", {"A1": 2, "A3": 2}), view)
    assert (done.raised, done.updated) == (1, 0)
    fresh = list_alerts(session, ANN, AlertFilter(status="open"))
    assert [alert.subject for alert in fresh] == ["customer:C2"]
    assert accounts_of(session, ANN, [fresh[0].id]) == ["A3"]
    assert raise_alerts(session, SYSTEM, rules(), results("r2", {"A1": 2}), view).raised == 1


def _mixed() -> RuleSet:
    """One rule over three analyses, any of which is enough."""
    reached = {"risk-propagation": 2, "round-trip": 1, "pagerank": 2}
    joint = [{"analysis": name, "reached": value} for name, value in reached.items()]
    return parse_rules({"rule": [{"name": "mixed", "needed": 1, "joint": joint}]})


def _night(number: int, bands: tuple[int, int, int], policy: str = BANDS) -> Results:
    """The bands of account A1 in three analyses, on one night."""
    at, run = NOW + number * DAY, f"n{number}"
    names = ("risk-propagation", "round-trip", "pagerank")
    parts = [
        values(f"{run}-{name}", {"A1": band}, name, policy=policy, at=at)
        for name, band in zip(names, bands, strict=True)
    ]
    return Results(run, at, tuple(parts))


def _asleep(session: Session, view: PaymentsView) -> int:
    """A sleeping case with the alert of the first night, which risk 2 leads."""
    raise_alerts(session, SYSTEM, _mixed(), _night(0, (2, 1, 0)), view)
    (alert,) = list_alerts(session, ANN)
    case = open_case(session, ANN, {alert.id: alert.version}, "odd", now=NOW).case
    for step in (take, begin_case):
        case = step(session, ANN, case.id, case.version, "odd", now=NOW).case
    until = NOW + 30 * DAY
    snooze(session, ANN, case.id, case.version, until, "due then", now=NOW)
    return case.id


def test_a_rise_is_of_the_same_analysis(session: Session, view: PaymentsView) -> None:
    """Risk 2, round trip 1 and risk 2 again is no rise; the case sleeps on until risk rises."""
    case_id = _asleep(session, view)
    for number, bands in enumerate([(1, 1, 2), (2, 1, 0), (2, 1, 0)], 1):
        raise_alerts(session, SYSTEM, _mixed(), _night(number, bands), view)
        assert journal(session, ANN, case_id)[-1].action == "snooze"
    assert show_case(session, ANN, case_id).snoozed_until is not None
    raise_alerts(session, SYSTEM, _mixed(), _night(4, (3, 1, 0)), view)
    assert journal(session, ANN, case_id)[-1].action == "risen"
    assert show_case(session, ANN, case_id).snoozed_until is None


def test_a_rise_is_under_the_same_policy(session: Session, view: PaymentsView) -> None:
    """Band 5 of eight after band 2 of four is no rise; band 6 of eight after that is one."""
    case_id = _asleep(session, view)
    eight = "bands:0.1,0.2,0.3,0.4,0.5,0.6,0.7"
    raise_alerts(session, SYSTEM, _mixed(), _night(1, (5, 1, 0), eight), view)
    assert journal(session, ANN, case_id)[-1].action == "snooze"
    raise_alerts(session, SYSTEM, _mixed(), _night(2, (6, 1, 0), eight), view)
    assert journal(session, ANN, case_id)[-1].action == "risen"


def test_nothing_is_stored_if_a_result_is_foreign(begin: Begin, view: PaymentsView) -> None:
    """The whole transaction fails: no alert, no account, no evaluation."""
    with pytest.raises(ForeignAccount), begin() as session:
        raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 3, "X9": 3}), view)
    with begin() as session:
        for table in Base.metadata.sorted_tables:
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_only_the_machine_evaluates(session: Session, view: PaymentsView) -> None:
    """A person who works on cases does not raise alerts."""
    with pytest.raises(NotPermitted):
        raise_alerts(session, ANN, rules(), results("r1", {}), view)


def test_reasons_are_made_of_what_the_bank_knows(session: Session, view: PaymentsView) -> None:
    """Every placeholder is filled from released values, the rule and the bank's own names."""
    text = "{rule}|{severity}|{customer}|{account}|{accounts}|{analysis}|{value}|{previous}|{rise}"
    rule = {"name": "n", "joint": [{"analysis": "risk-propagation", "reached": 1}], "reason": text}
    data = results("r1", {"A1": 3, "A2": 1}, {"A1": 1})
    raise_alerts(session, SYSTEM, parse_rules({"rule": [rule]}), data, view)
    (alert,) = list_alerts(session, ANN)
    assert alert.reason == "n|medium|customer C1|A1|2|risk-propagation|3|1|2"


def test_lists_are_filtered_and_paged(session: Session, view: PaymentsView) -> None:
    """Most severe first, page by page, nothing twice and nothing left out."""
    low = {
        "name": "low",
        "severity": "low",
        "joint": [{"analysis": "risk-propagation", "reached": 1}],
    }
    raise_alerts(session, SYSTEM, rules(low), results("r1", {"A1": 2, "A3": 3, "A4": 1}), view)
    pages, last = [], None
    while page := list_alerts(session, ANN, limit=2, after=last):
        pages += page
        last = page[-1]
    assert [a.rule for a in pages] == ["high", "high", "low", "low", "low"]
    assert len({a.id for a in pages}) == 5
    assert len(list_alerts(session, ANN, AlertFilter(rule="low", account="A4"))) == 1
    assert len(list_alerts(session, ANN, AlertFilter(severity=Severity.HIGH, run_id="r1"))) == 2
    assert len(list_alerts(session, ANN, AlertFilter(subject="customer:C2", status="open"))) == 2
    assert list_alerts(session, ANN, AlertFilter(run_id="r9")) == []
    with pytest.raises(NotPermitted):
        list_alerts(session, OTTO)


def test_samples_lie_on_both_sides_of_the_line(session: Session) -> None:
    """Above: accounts that the rule found; below: accounts one band under; as many as asked for."""
    bands = {f"K{i}": float(i % 4) for i in range(200)}
    sampling = {"above": 7, "below": 9}
    with view_of(dict.fromkeys(bands), ()) as view:
        raise_alerts(session, SYSTEM, rules(sampling=sampling), results("r1", bands), view)
    drawn = {(s.account, s.line) for s in session.scalars(select(Sample))}
    assert {bands[a] for a, line in drawn if line == "below"} == {1.0}
    assert {bands[a] for a, line in drawn if line == "above"} <= {2.0, 3.0}
    assert sum(line == "above" for _a, line in drawn) == 7
    assert sum(line == "below" for _a, line in drawn) == 9


def test_the_sample_is_the_run_s_and_nobody_s_choice(begin: Begin) -> None:
    """The same run draws the same accounts, in whatever order they come; another run others."""
    drawn = []
    names = [f"K{i}" for i in range(300)]
    for run_id, order in (("r1", names), ("r2", names), ("r1", names[::-1])):
        with begin() as session, view_of(dict.fromkeys(names), ()) as view:
            data = results(run_id, dict.fromkeys(order, 2.0))
            raise_alerts(session, SYSTEM, rules(sampling={"above": 10}), data, view)
            drawn.append({s.account for s in session.scalars(select(Sample))})
            session.rollback()
    assert drawn[0] == drawn[2]
    assert drawn[0] != drawn[1]


def test_a_sample_is_judged_once(session: Session, view: PaymentsView) -> None:
    """By a person who works on cases, with a note; the counts say what was found."""
    sampling = {"above": 2, "below": 2}
    data = results("r1", {"A1": 2, "A3": 1})
    raise_alerts(session, SYSTEM, rules(sampling=sampling), data, view)
    judge_sample(session, ANN, "r1", "high", "A1", worthwhile=True, note="mule", now=NOW)
    with pytest.raises(StaleVersion, match="ann judged it"):
        judge_sample(session, SUE, "r1", "high", "A1", worthwhile=False, note="no", now=NOW)
    with pytest.raises(NotFound):
        judge_sample(session, ANN, "r1", "high", "A4", worthwhile=True, note="x1", now=NOW)
    with pytest.raises(NotPermitted):
        judge_sample(session, AUDREY, "r1", "high", "A3", worthwhile=True, note="x1", now=NOW)
    counts = [(c.line, c.drawn, c.judged, c.worthwhile) for c in sample_counts(session)]
    assert counts == [("above", 1, 1, 1), ("below", 1, 0, 0)]


def test_a_back_test_says_what_a_rule_would_have_raised(
    session: Session, view: PaymentsView
) -> None:
    """Run by run, customers once; and writes nothing."""
    runs = [results("r1", {"A1": 2, "A2": 2}), results("r2", {"A1": 3, "A3": 2, "A4": 0})]
    tested = back_test(session, SUE, rules().named("high"), runs, view)
    assert [(r.run_id, r.accounts, r.customers, r.new) for r in tested.runs] == [
        ("r1", 2, 1, 1),
        ("r2", 2, 2, 1),
    ]
    assert tested.subjects == {"customer:C1", "customer:C2"}
    assert (tested.confirmed, tested.false_alarms, tested.unknown) == (0, 0, 2)
    assert tested.precision is None
    assert session.scalar(select(func.count()).select_from(Alert)) == 0
    with pytest.raises(NotPermitted):
        back_test(session, ANN, rules().named("high"), runs, view)
    with pytest.raises(RuleError, match="no rule"):
        rules().named("other")
