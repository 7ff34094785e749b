"""From a result to alerts in the transaction that stores it, whatever goes wrong with the rules."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from alerts import State
from alerts.queries import CaseFilter
from bank_node.consortium import parse_manifest
from bank_node.desk.results_of import results_of, scored_runs
from bank_node.node.compute import StagedResult
from bank_node.node.open_run import OpenRun
from bank_node.node.statement import Statement
from bank_node.store import results
from bank_node.store import runs as run_table
from tests.bank_node.desk_world import (
    ANN,
    AUDREY,
    DAY,
    FIRST,
    NOW,
    OTTO,
    OWN,
    ROUND_TRIP,
    SECOND_RUN,
    SUE,
    SmallOffice,
    store_run,
    stored_run,
    with_alerts,
)

THIRD = "f" * 24


def open_run(row: run_table.Run) -> OpenRun:
    """A run that is about to be stored."""
    own = Statement(phase="stored", attempt=1)
    return OpenRun(parse_manifest(row.manifest), own, row.created, {})


def staged(bands: list[float]) -> StagedResult:
    """What a worker left."""
    return StagedResult(pa.array(OWN, pa.string()), np.array(bands, np.float64), None)


def with_hook(office: SmallOffice) -> SmallOffice:
    """Let the database's transactions of results evaluate, as a node does."""
    office.records.on_result = office.desk
    return office


async def save(office: SmallOffice, bands: list[float]) -> None:
    """Store a third run, as the keeper does."""
    run = open_run(stored_run(THIRD, "risk-propagation", "bands:0.2,0.5,0.8", NOW))
    await office.records.save(run, None, NOW, result=staged(bands))


async def test_a_result_and_its_alerts_are_one_transaction(office: SmallOffice) -> None:
    """When a run is stored its alerts are there, compared with the run before."""
    before = {alert.id for alert in office.desk.alerts(ANN, limit=500)}
    await save(with_hook(office), [3.0] * len(OWN))
    fresh = [a for a in office.desk.alerts(ANN, limit=500) if a.id not in before]
    assert {alert.rule for alert in fresh} >= {"risk-high", "risk-rose"}
    entry = next(e for e in office.desk.audit(AUDREY, limit=9) if e.action == "alerts.raised")
    assert (entry.actor, entry.run_id) == ("system", THIRD)
    assert entry.details["evaluated"] == len(OWN)


@pytest.mark.parametrize("text", ["[[rule]", "[[rule]]\nname = 'x'\njoint = []\n"])
async def test_rules_that_cannot_be_read_do_not_cost_the_result(
    office: SmallOffice, text: str
) -> None:
    """The result is stored, the failure is on record and told, and can be made good later."""
    (office.folder / "rules.toml").write_text(text)
    await save(with_hook(office), [3.0] * len(OWN))
    with office.records.database.read() as session:
        assert len(results.scores_of(session, THIRD)) == len(OWN)
    assert "alerts.failed" in [line.action for line in office.desk.audit(AUDREY, limit=5)]
    assert office.desk.summary(ANN).evaluation_problem.startswith("alerts.rule")
    (office.folder / "rules.toml").unlink()
    assert office.desk.evaluate(OTTO, THIRD).raised > 0


async def test_a_failure_half_way_leaves_no_alert_and_keeps_the_result(
    office: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was raised before the failure is gone with it; the result is not."""
    before = len(office.desk.alerts(ANN, limit=500))

    def broken(*_args: object, **_more: object) -> None:
        raise KeyError("rules")

    monkeypatch.setattr("bank_node.desk.evaluator.open_cases", broken)
    await save(with_hook(office), [3.0] * len(OWN))
    assert len(office.desk.alerts(ANN, limit=500)) == before
    with office.records.database.read() as session:
        assert len(results.scores_of(session, THIRD)) == len(OWN)
    assert office.desk.summary(ANN).evaluation_problem == "KeyError"


async def test_a_rehearsal_and_a_preparation_raise_nothing(office: SmallOffice) -> None:
    """Made-up data and columns are no results."""
    row = stored_run(THIRD, "risk-propagation", "exact", NOW)
    manifest = json.loads(row.manifest) | {"rehearsal": True}
    run = OpenRun(
        parse_manifest(json.dumps(manifest)),
        Statement(phase="stored", attempt=1), NOW, {},
    )  # fmt: skip
    before = len(office.desk.alerts(ANN, limit=500))
    await with_hook(office).records.save(run, None, NOW, result=staged([3.0] * len(OWN)))
    assert len(office.desk.alerts(ANN, limit=500)) == before


def test_evaluating_again_changes_nothing(office: SmallOffice) -> None:
    """The same run by the same rules is done once."""
    before = office.desk.alerts(ANN, limit=500)
    assert office.desk.evaluate(OTTO, SECOND_RUN).repeated
    assert office.desk.alerts(ANN, limit=500) == before


def test_a_rise_is_seen_between_runs_of_one_kind_only(quick: SmallOffice) -> None:
    """A run over other parameters, or under another policy, is none to compare with."""
    with quick.records.database.begin() as session:
        other = stored_run(THIRD, "risk-propagation", "bands:0.2,0.5,0.8", NOW, delta="0.9")
        run_table.add(session, other)
        results.store_scores(session, THIRD, OWN, np.ones(len(OWN)))
    with quick.records.database.read() as session:
        row = run_table.find(session, THIRD)
        assert row is not None
        found = results_of(session, row, None, 7)
    assert [p.run.run_id for p in found.current] == [THIRD, ROUND_TRIP]
    assert found.previous == ()


def test_old_results_of_other_analyses_do_not_count(quick: SmallOffice) -> None:
    """A round trip from long ago is not combined with today's risk."""
    store_run(quick, THIRD, [1.0] * len(OWN), analysis="risk-propagation", at=NOW + 30 * DAY)
    with quick.records.database.read() as session:
        row = run_table.find(session, THIRD)
        assert row is not None
        near, far = results_of(session, row, None, 60), results_of(session, row, None, 7)
    assert [p.run.run_id for p in near.current] == [THIRD, ROUND_TRIP]
    assert [p.run.run_id for p in far.current] == [THIRD]
    assert [p.run.run_id for p in far.previous] == [SECOND_RUN]


def test_runs_with_scores_are_found_and_traces_are_not(quick: SmallOffice) -> None:
    """Rules look at scores only."""
    with quick.records.database.read() as session:
        found = [run.run_id for run in scored_runs(session)]
    assert found == [ROUND_TRIP, SECOND_RUN, FIRST]


def test_new_cases_are_given_out_where_the_bank_wants_it(
    quick: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With assign = load, the node hands new cases to whoever has the fewest."""
    with_alerts(quick, monkeypatch, assign="load")
    store_run(quick, THIRD, [3.0] * len(OWN), analysis="risk-propagation", at=NOW)
    quick.desk.evaluate(OTTO, THIRD)
    assert quick.desk.cases(SUE, CaseFilter(states=(State.NEW,))) == []
    shares = [quick.desk.cases(SUE, CaseFilter(assignee=n), limit=500) for n in ("ann", "sue")]
    assert abs(len(shares[0]) - len(shares[1])) <= 1
