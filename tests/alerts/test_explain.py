"""An alert says why, in words and figures; nothing in them is another bank's."""

import random

import pyarrow as pa
import pytest
from sqlalchemy.orm import Session

from alerts import SYSTEM, AlertView, PaymentsView, explain, open_cases, raise_alerts
from alerts.errors import ForeignAccount, NotFound, NotPermitted
from alerts.export import (
    alerts_csv,
    case_json,
    case_page,
    follow_the_money,
    gather_case,
    goaml_report,
    parse_profile,
    transactions_csv,
)
from alerts.queries import list_alerts, list_cases, sightings
from tests.alerts.test_export import PROFILE
from tests.alerts.world import (
    ANN,
    DAY,
    MARCH,
    NOW,
    OTTO,
    Payment,
    results,
    rules,
    view_of,
)


class History:
    """Stored results: the same bands in two runs."""

    def history(self, accounts: pa.Array) -> pa.Table:
        """Two rows for each account."""
        names = accounts.to_pylist() * 2
        half = len(names) // 2
        return pa.table(
            {
                "account": names,
                "analysis": ["risk-propagation"] * len(names),
                "run_id": ["r0"] * half + ["r1"] * half,
                "policy": ["bands:0.2,0.5,0.8"] * len(names),
                "at": [NOW - DAY] * half + [NOW] * half,
                "value": [1.0] * half + [3.0] * half,
            }
        )


def alert_of(session: Session, view: PaymentsView) -> AlertView:
    """The alert of customer C1, seen in two runs."""
    raise_alerts(session, SYSTEM, rules(), results("r1", {"A1": 2}), view)
    raise_alerts(session, SYSTEM, rules(), results("r2", {"A1": 3, "A2": 2}, {"A1": 2}), view)
    (alert,) = list_alerts(session, ANN)
    return alert


def test_an_alert_explains_itself_in_words(session: Session, view: PaymentsView) -> None:
    """Who, which analysis and agreement, which values, how often, how much money, with whom."""
    told = explain(session, ANN, alert_of(session, view).id, view, History())
    assert tuple(map(str, told.sentences)) == (
        "About customer C1: risk-propagation came to 3 (before: 2)",
        "The joint analysis risk-propagation (run r2, 2026-04-10T00:00:00Z, released as"
        " bands:0.2,0.5,0.8) ran under the agreement ffffffffffff.",
        "Account A1: risk-propagation 3, before 2.",
        "Account A2: risk-propagation 2, before 0.",
        "Seen in 2 runs, from 2026-04-10T00:00:00Z to 2026-04-10T00:00:00Z.",
        "Between 2026-03-01T00:00:00Z and 2026-03-31T00:00:00Z 2 accounts of the customer received"
        " 955.00 EUR and paid 975.00 EUR in 3 payments.",
        "The largest counterparty is X9 at bank b: 480.00 EUR received, 500.00 EUR paid.",
    )


def test_an_alert_explains_itself_in_figures(session: Session, view: PaymentsView) -> None:
    """Own payments, counterparties and slices of the run's window, and the history of the bands."""
    told = explain(session, ANN, alert_of(session, view).id, view, History())
    assert told.accounts == ("A1", "A2")
    assert told.transactions["tx_id"].to_pylist() == ["p1", "p2", "p3"]
    assert told.counterparties["account"].to_pylist() == ["X9", "A1", "A2"]
    assert told.slices.to_pylist() == [
        {"start": MARCH, "inflow": 0, "outflow": 500_00, "payments": 1},
        {"start": MARCH + DAY, "inflow": 480_00, "outflow": 0, "payments": 1},
        {"start": MARCH + 2 * DAY, "inflow": 475_00, "outflow": 475_00, "payments": 1},
    ]
    assert told.history["value"].to_pylist() == [1, 1, 3, 3]
    assert told.runs["risk-propagation"]["previous_run"] == "r2-before"


def test_an_explanation_is_for_who_may_see_it(session: Session, view: PaymentsView) -> None:
    """An operator sees no customer; an alert that is not there is said."""
    alert = alert_of(session, view)
    with pytest.raises(NotPermitted):
        explain(session, OTTO, alert.id, view)
    with pytest.raises(NotFound):
        explain(session, ANN, alert.id + 1, view)


def test_an_alert_is_explained_from_its_own_bank_s_payments(
    session: Session, view: PaymentsView
) -> None:
    """A view that does not know the accounts is refused."""
    alert = alert_of(session, view)
    with view_of({"B1": None}, ()) as other, pytest.raises(ForeignAccount):
        explain(session, ANN, alert.id, other)


def test_nothing_that_is_served_names_an_account_of_strangers(session: Session) -> None:
    """Three banks, random payments: all that bank a serves is searched for ids it cannot know.

    It may know the accounts of other banks with which its own have payments, and no others.
    """
    chance = random.Random(7)
    names = {bank: [f"{bank.upper()}ID{i:05}Q" for i in range(60)] for bank in "abc"}
    banks = [chance.choices("abc", k=2) for _ in range(250)]
    pooled: list[Payment] = [
        (f"t{i}", f, chance.choice(names[f]), t, chance.choice(names[t]), chance.randint(1, 10**6))
        for i, (f, t) in enumerate(banks)
    ]
    own = [payment for payment in pooled if "a" in (payment[1], payment[3])]
    known = {side for p in own for side in (p[2], p[4])} | set(names["a"])
    strangers = (set(names["b"]) | set(names["c"])) - known
    assert len(strangers) > 20
    bands = {name: float(chance.randint(0, 3)) for name in names["a"]}
    accounts = {name: f"K{i % 20}" for i, name in enumerate(names["a"])}
    local = {"name": "local", "joint": [{"analysis": "risk-propagation", "rise": 1}]}
    settings = {"sampling": {"above": 10, "below": 10}}
    profile = parse_profile(PROFILE | {"countries": {"b": "DE", "c": "FR"}})
    with view_of(accounts, own) as view:
        data = results("r1", bands, dict.fromkeys(bands, 0.0))
        raise_alerts(session, SYSTEM, rules(local, **settings), data, view)
        open_cases(session, now=NOW)
        served = [repr(list_alerts(session, ANN)), alerts_csv(list_alerts(session, ANN))]
        for alert in list_alerts(session, ANN):
            told = explain(session, ANN, alert.id, view)
            tables = (told.metrics, told.transactions, told.counterparties, told.slices)
            served += [repr(told), *(str(table.to_pylist()) for table in tables)]
            served.append(repr(sightings(session, ANN, alert.id)))
        for case in list_cases(session, ANN):
            file = gather_case(session, ANN, case.id, view, now=NOW)
            served += [case_json(file), case_page(file), follow_the_money(file)]
            served += [transactions_csv(file), repr(file)]
            if len(file.transactions):
                served.append(goaml_report(ANN, file, profile).decode())
    everything = "\n".join(served)
    assert len(served) > 200
    assert any(name in everything for name in names["b"])
    assert not [name for name in strangers if name in everything]
