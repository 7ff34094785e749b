"""Rules are refused where they make no sense, and find what a slow reference finds."""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import AnalysisValues, PaymentsView, Results, load_rules, parse_rules
from alerts.errors import EntryError, ForeignAccount, RuleError
from alerts.evaluate import find_hits
from alerts.results import align
from alerts.rules import Rule
from tests.alerts.world import ACCOUNTS, DAY, NOW, results, rules, values, view_of

JOINT = {"analysis": "risk-propagation", "reached": 2}


def rule(**changes: Any) -> Rule:
    """A rule with some parts changed."""
    return parse_rules({"rule": [{"name": "r", "joint": [JOINT]} | changes]}).rule[0]


def found(of: Rule, data: Results, view: PaymentsView) -> list[str]:
    """Accounts that a rule finds."""
    aligned = align(data)
    rows = find_hits(of, aligned, view).row
    return sorted(aligned.accounts.take(pa.array(rows)).to_pylist())


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"joint": []}, "at least 1"),
        ({"joint": [{"analysis": "x"}]}, "needs reached, rise or both"),
        ({"joint": [JOINT | {"reached": float("nan")}]}, "finite"),
        ({"joint": [{"analysis": "x", "rise": 0}]}, "greater than 0"),
        ({"needed": 2}, "needed is 2"),
        ({"severity": "urgent"}, "severity is low"),
        ({"name": "../etc"}, "pattern"),
        ({"reason": "{account.__class__}"}, "the reason may hold only"),
        ({"reason": "{value:{account}}"}, "the reason may hold only"),
        ({"reason": "{0}"}, "the reason may hold only"),
        ({"reason": "{"}, "no template"),
        ({"local": [{"metric": "balance", "min": 1}]}, "input should be"),
        ({"local": [{"metric": "inflow"}]}, "needs min, max or both"),
        ({"local": [{"metric": "inflow", "min": 2, "max": 1}]}, "min is larger than max"),
        ({"colour": "red"}, "extra"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(changes: dict[str, Any], part: str) -> None:
    """The error is one line, names the place, and has the code of rules."""
    with pytest.raises(RuleError) as caught:
        rule(**changes)
    assert part in str(caught.value).lower()
    assert caught.value.code == "alerts.rule"
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_two_rules_have_two_names() -> None:
    """A name is what alerts are found again by."""
    with pytest.raises(RuleError, match="two rules are called high"):
        rules({"name": "high", "joint": [JOINT]})


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    """TOML in; the digest depends on what the rules say and not on how the file is written."""
    path = tmp_path / "rules.toml"
    text = '[[rule]]\nname="r"\nseverity="high"\njoint=[{analysis="pagerank", reached=0.5}]\n'
    path.write_text(text)
    first = load_rules(path)
    path.write_text("# a comment\n" + text)
    assert load_rules(path).digest == first.digest
    path.write_text(text.replace("0.5", "0.6"))
    assert load_rules(path).digest != first.digest
    path.write_text("[[rule]")
    with pytest.raises(RuleError, match="cannot be read"):
        load_rules(path)


def test_a_band_is_reached(view: PaymentsView) -> None:
    """At the band and above, not below it, and not without a result."""
    data = results("r1", {"A1": 1, "A2": 2, "A3": 3})
    assert found(rule(), data, view) == ["A2", "A3"]


def test_a_rise_needs_a_run_before(view: PaymentsView) -> None:
    """An account without a result then counts as 0; without such a run nothing has risen."""
    rising = rule(joint=[{"analysis": "risk-propagation", "rise": 2}])
    now = {"A1": 2, "A2": 2, "A3": 3}
    assert found(rising, results("r1", now, {"A1": 1, "A3": 1}), view) == ["A2", "A3"]
    assert found(rising, results("r1", now), view) == []


def test_a_rise_of_a_score_is_exact(view: PaymentsView) -> None:
    """From 0.85 to 0.95 is a rise of 0.1, which floating point makes a little less."""
    rising = rule(joint=[{"analysis": "risk-propagation", "rise": 0.1}])
    assert found(rising, results("r1", {"A1": 0.95}, {"A1": 0.85}), view) == ["A1"]
    assert found(rising, results("r1", {"A1": 0.9499}, {"A1": 0.85}), view) == []


def test_a_rise_is_not_taken_across_policies(view: PaymentsView) -> None:
    """Band 3 of eight after band 0 of four is no rise."""
    rising = rule(joint=[{"analysis": "risk-propagation", "rise": 1}])
    before = values("r0", {"A1": 0}, policy="bands:0.5")
    assert found(rising, Results("r1", NOW, (values("r1", {"A1": 3}),), (before,)), view) == []


def test_enough_conditions_are_enough(view: PaymentsView) -> None:
    """``needed`` of several analyses; all of them unless it is given."""
    joint = [JOINT, {"analysis": "round-trip", "reached": 0.5}]
    data = Results(
        "r1",
        NOW,
        (
            values("r1", {"A1": 2, "A2": 2, "A3": 0}),
            values("r2", {"A2": 0.7, "A3": 0.5}, "round-trip", policy="exact"),
        ),
    )
    assert found(rule(joint=joint), data, view) == ["A2"]
    assert found(rule(joint=joint, needed=1), data, view) == ["A1", "A2", "A3"]


def test_an_analysis_that_did_not_run_holds_nowhere(view: PaymentsView) -> None:
    """A rule on it finds nothing and does not fail."""
    other = rule(joint=[{"analysis": "pagerank", "reached": 0}])
    assert found(other, results("r1", {"A1": 3}), view) == []


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ({"metric": "outflow", "min": 475.0}, ["A1", "A2"]),
        ({"metric": "outflow", "min": 475.01}, ["A1"]),
        ({"metric": "inflow", "max": 90.0}, ["A3", "A4"]),
        ({"metric": "payments", "min": 2}, ["A1", "A2"]),
        ({"metric": "counterparties", "min": 2}, ["A1", "A2"]),
        ({"metric": "pass_through", "min": 0.98}, ["A2"]),
        ({"metric": "cross_bank", "min": 1.0}, ["A3"]),
    ],
)
def test_local_conditions_are_on_own_payments(
    view: PaymentsView, local: dict[str, Any], expected: list[str]
) -> None:
    """Amounts in base currency, ends included; an account that moved nothing counts as 0."""
    data = results("r1", dict.fromkeys(ACCOUNTS, 3.0))
    assert found(rule(local=[local]), data, view) == expected


def test_hits_are_grouped_by_customer_the_most_telling_first(view: PaymentsView) -> None:
    """Accounts of one customer stand together; one without a customer stands alone."""
    data = align(results("r1", {"A1": 2, "A2": 3, "A3": 2, "A4": 2}))
    hits = find_hits(rule(), data, view)
    assert hits.subjects == ["account:A4", "customer:C1", "customer:C2"]
    assert hits.start.tolist() == [0, 1, 3, 4]
    names = data.accounts.take(pa.array(hits.row)).to_pylist()
    assert names == ["A4", "A2", "A1", "A3"]


def test_a_foreign_account_stops_everything(view: PaymentsView) -> None:
    """A result of an account that is not the bank's own is refused, and the error names none."""
    with pytest.raises(ForeignAccount) as caught:
        found(rule(), results("r1", {"A1": 2, "X9": 3}), view)
    assert "X9" not in str(caught.value)


def test_results_that_contradict_are_refused() -> None:
    """Two runs of one analysis, or values that are not as many as the accounts."""
    twice = (values("r1", {"A1": 1}), values("r2", {"A1": 2}))
    with pytest.raises(EntryError, match="two results"):
        align(Results("r1", NOW, twice))
    uneven = AnalysisValues(twice[0].run, pa.array(["A1", "A2"]), np.ones(1))
    with pytest.raises(EntryError, match="2 accounts and 1 values"):
        align(Results("r1", NOW, (uneven,)))


_BANDS = st.dictionaries(
    st.sampled_from(["A1", "A2", "A3", "A4"]), st.integers(0, 3).map(float), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(
    now=_BANDS,
    before=st.none() | _BANDS,
    other=_BANDS,
    reached=st.integers(0, 3),
    rise=st.none() | st.integers(1, 3),
    needed=st.integers(1, 2),
)
def test_rules_find_what_a_slow_reference_finds(
    now: dict[str, float],
    before: dict[str, float] | None,
    other: dict[str, float],
    reached: int,
    rise: int | None,
    needed: int,
) -> None:
    """Account by account, condition by condition, over random bands; groups partition the hits."""
    of = rule(
        joint=[
            {"analysis": "risk-propagation", "reached": reached}
            | ({} if rise is None else {"rise": rise}),
            {"analysis": "round-trip", "reached": 1},
        ],
        needed=needed,
    )
    previous = () if before is None else (values("r0", before),)
    data = Results("r1", NOW, (values("r1", now), values("r2", other, "round-trip")), previous)

    def holds(account: str) -> bool:
        first = account in now and now[account] >= reached
        if first and rise is not None:
            first = before is not None and now[account] - before.get(account, 0) >= rise
        return first + (other.get(account, -1) >= 1) >= needed

    with view_of() as view:
        aligned = align(data)
        hits = find_hits(of, aligned, view)
    names = aligned.accounts.take(pa.array(hits.row)).to_pylist()
    assert sorted(names) == [a for a in sorted(ACCOUNTS) if holds(a)]
    customers = [ACCOUNTS[name] or name for name in names]
    assert len([key for key, _group in groupby(customers)]) == len(set(customers))
    assert len(hits.subjects) == len(set(customers)) == len(hits.start) - 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_payments_looked_up_are_those_that_reading_all_finds(data: st.DataObject) -> None:
    """The index by hash gives the same metrics, payments, counterparties and slices."""
    side = st.tuples(st.sampled_from("ab"), st.sampled_from(["A1", "A2", "A3", "X1"]))
    pairs = data.draw(st.lists(st.tuples(side, side), max_size=12))
    payments = [
        (f"p{i}", *payer, *payee, 10 * i + 1)
        for i, (payer, payee) in enumerate(pairs)
        if "a" in (payer[0], payee[0])
    ]
    asked = pa.array(data.draw(st.lists(st.sampled_from(["A1", "A2", "A3"]), unique=True)), TEXT)

    def answers(view: PaymentsView) -> list[Any]:
        window = (None, None)
        tables = (
            view.metrics(asked, *window),
            view.transactions(asked, *window, 5),
            view.counterparties(asked, *window, 5),
            view.slices(asked, *window, 2 * DAY),
        )
        return [table.to_pylist() for table in tables]

    with view_of(payments=payments) as view:
        looked_up = answers(view)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("alerts.payments_view._FEW", -1)
            assert answers(view) == looked_up


TEXT = pa.string()
