"""Every endpoint for every role: allowed or refused, as the table says."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import PERMISSIONS, Action, Role
from bank_node.api.app import bare_app
from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import FIRST, TRACE

ANALYST, SUPERVISOR, AUDITOR, OPERATOR = "ann", "sue", "audrey", "otto"
ALL = {ANALYST, SUPERVISOR, AUDITOR, OPERATOR}
WORKERS, READERS = {ANALYST, SUPERVISOR}, {ANALYST, SUPERVISOR, AUDITOR}
DECIDERS = {SUPERVISOR, OPERATOR}
NOTE = "because"
STEP = {"version": 0, "note": NOTE}
MANY = {"cases": [{"id": 999, "version": 1}], "assignee": "ben", "note": NOTE}
JUDGED = {"run_id": FIRST, "rule": "r", "account": "A001", "worthwhile": True, "note": NOTE}

# operation, method, path, body, who may
TABLE: list[tuple[str, str, str, Any, set[str]]] = [
    ("sign_out", "POST", "/sign-out", None, ALL),
    ("me", "GET", "/me", None, ALL),
    ("summary", "GET", "/summary", None, READERS),
    ("list_people", "GET", "/people", None, {SUPERVISOR, AUDITOR, OPERATOR}),
    ("list_workers", "GET", "/workers", None, READERS),
    ("list_alerts", "GET", "/alerts", None, READERS),
    ("show_alert", "GET", "/alerts/1", None, READERS),
    ("show_account", "GET", "/accounts/A001", None, READERS),
    ("list_cases", "GET", "/cases", None, READERS),
    ("open_case", "POST", "/cases", {"alerts": [{"id": 999, "version": 1}], "note": NOTE}, WORKERS),
    ("show_case", "GET", "/cases/1", None, READERS),
    ("show_case_standing", "GET", "/cases/1/standing", None, READERS),
    ("act_on_case", "POST", "/cases/999/actions", STEP | {"action": "note"}, WORKERS),
    ("add_alert_to_case", "POST", "/cases/999/alerts",
     STEP | {"alert": {"id": 1, "version": 1}}, WORKERS),
    ("attach_trace", "POST", "/cases/999/traces", STEP | {"run_id": TRACE, "title": "t"}, WORKERS),
    ("export_case", "GET", "/cases/1/exports/html", None, READERS),
    ("take_next_case", "POST", "/queue/next", {"note": NOTE}, WORKERS),
    ("auto_assign_cases", "POST", "/queue/auto-assign", None, DECIDERS),
    ("assign_cases", "POST", "/queue/assign", MANY, {SUPERVISOR}),
    ("list_rules", "GET", "/rules", None, READERS),
    ("test_rules", "POST", "/rules/test", {"text": "rule = []"}, DECIDERS),
    ("count_samples", "GET", "/samples/counts", None, READERS),
    ("list_samples", "GET", "/samples", None, READERS),
    ("judge_sample", "POST", "/samples/judgements", JUDGED, WORKERS),
    ("list_runs", "GET", "/runs", None, ALL),
    ("propose_run", "POST", "/runs", {"analysis": "pagerank"}, DECIDERS),
    ("show_run", "GET", f"/runs/{FIRST}", None, ALL),
    ("approve_run", "POST", f"/runs/{'e' * 24}/approve", None, DECIDERS),
    ("reject_run", "POST", f"/runs/{'e' * 24}/reject", {"reason": "no"}, DECIDERS),
    ("evaluate_run", "POST", f"/runs/{FIRST}/evaluation", None, {OPERATOR}),
    ("list_traces", "GET", "/traces", None, READERS),
    ("ask_trace", "POST", "/traces", {"accounts": ["A001"]}, WORKERS),
    ("show_trace", "GET", f"/traces/{TRACE}", None, READERS),
    ("list_audit", "GET", "/audit", None, {SUPERVISOR, AUDITOR}),
    ("verify_audit", "GET", "/audit/verification", None, {SUPERVISOR, AUDITOR}),
]  # fmt: skip


def test_the_table_has_every_endpoint() -> None:
    """No endpoint is left out but the one that signs people in."""
    described = bare_app().openapi()["paths"]
    operations = {o["operationId"] for path in described.values() for o in path.values()}
    assert operations == {row[0] for row in TABLE} | {"sign_in"}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
async def test_nobody_may_without_a_token(shared: Asking, row: tuple[Any, ...]) -> None:
    """Whoever shows no token, or a wrong one, is refused before anything is looked at."""
    _operation, method, path, body, _allowed = row
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}):
        found = await shared(None, method, path, body, headers=headers)
        assert found.status_code == 401
        assert found.json()["code"] == "api.not-signed-in"
        assert found.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("row", TABLE[1:], ids=lambda row: row[0])
async def test_each_role_may_what_the_table_says(shared: Asking, row: tuple[Any, ...]) -> None:
    """Who may not gets 403 with the reason; who may gets an answer, or is told what is wrong."""
    _operation, method, path, body, allowed = row
    for name in sorted(ALL):
        found = await shared(name, method, path, body)
        if name in allowed:
            assert found.status_code in (200, 201, 204, 404, 409), (name, found.text)
        else:
            assert found.status_code == 403, (name, found.text)
            assert found.json()["code"] == "alerts.not-permitted"


STEPS = {
    "take": {}, "begin": {}, "note": {}, "escalate": {}, "wake": {}, "approve": {},
    "send-back": {}, "reopen": {}, "assign": {"assignee": "ben"},
    "submit": {"outcome": "confirmed"}, "snooze": {"until": "2026-05-01T00:00:00Z"},
}  # fmt: skip


@pytest.mark.parametrize("action", STEPS)
async def test_each_step_is_for_the_roles_that_may(shared: Asking, action: str) -> None:
    """Each step with a case is refused to exactly the roles that the library names."""
    body = STEP | {"action": action} | STEPS[action]
    for name, role in zip(
        (ANALYST, SUPERVISOR, AUDITOR, OPERATOR),
        (Role.ANALYST, Role.SUPERVISOR, Role.AUDITOR, Role.OPERATOR),
        strict=True,
    ):
        found = await shared(name, "POST", "/cases/999/actions", body)
        may = role in PERMISSIONS[Action(action)]
        assert found.status_code == (404 if may else 403)


async def test_one_may_what_me_says(shared: Asking) -> None:
    """What ``/me`` lists is what the role allows, and the rights beside it."""
    found = (await shared(ANALYST, "GET", "/me")).json()
    assert found["person"]["role"] == "analyst"
    assert "take" in found["actions"]
    assert "approve" not in found["actions"]
    assert "trace" in found["rights"]
    assert "audit" not in found["rights"]


async def test_a_tested_rule_shows_an_operator_no_customer(shared: Asking) -> None:
    """Whoever runs the node may try rules, and gets numbers only."""
    text = '[[rule]]\nname = "r"\njoint = [{analysis = "risk-propagation", reached = 2}]\n'
    found = await shared(OPERATOR, "POST", "/rules/test", {"text": text})
    assert found.status_code == 200
    assert found.json()["rules"][0]["customers"] > 0
    assert "customer:" not in found.text
    assert "A00" not in found.text
