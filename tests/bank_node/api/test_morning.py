"""A morning's work over the API: from an alert to a case that two people closed."""

from __future__ import annotations

import re

from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import FIRST, OWN, SECOND_RUN, TRACE, SmallOffice

AMOUNT = re.compile(r"-?[0-9]+\.[0-9]{2}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


async def test_pages_of_alerts_are_the_whole_list(shared: Asking) -> None:
    """Asked for in pages of three, alerts come in the same order as at once, each once."""
    whole = (await shared("ann", "GET", "/alerts", params={"limit": 500})).json()
    assert whole["next"] is None
    found, after = [], None
    while True:
        params = {"limit": 3} | ({} if after is None else {"after": after})
        page = (await shared("ann", "GET", "/alerts", params=params)).json()
        found += page["alerts"]
        after = page["next"]
        if after is None:
            break
    assert found == whole["alerts"]
    assert len({alert["id"] for alert in found}) == len(found) > 3


async def test_filters_choose(shared: Asking) -> None:
    """Status, severity, rule, account and run each leave only what they name."""
    whole = (await shared("ann", "GET", "/alerts", params={"limit": 500})).json()["alerts"]
    for params, fits in (
        ({"status": "open"}, lambda a: a["status"] == "open"),
        ({"severity": "high"}, lambda a: a["severity"] in ("high", "critical")),
        ({"rule": "risk-high"}, lambda a: a["rule"] == "risk-high"),
        ({"run": SECOND_RUN}, lambda a: a["last_run"] == SECOND_RUN),
    ):
        asked = params | {"limit": 500, "order": "newest"}
        found = (await shared("ann", "GET", "/alerts", params=asked)).json()["alerts"]
        assert {a["id"] for a in found} == {a["id"] for a in whole if fits(a)}
        assert found
    about = (await shared("ann", "GET", "/alerts", params={"account": OWN[3]})).json()["alerts"]
    for alert in about:
        page = (await shared("ann", "GET", f"/alerts/{alert['id']}")).json()
        assert OWN[3] in page["accounts"]
    assert about


async def test_an_alert_explains_itself(shared: Asking) -> None:
    """Why, in sentences; amounts as decimal text and times in RFC 3339."""
    page = (await shared("ann", "GET", "/alerts/1")).json()
    assert page["sentences"][0].startswith("About customer")
    assert page["currency"] == "EUR"
    assert page["transactions"]
    assert page["history"]
    for payment in page["transactions"]:
        assert AMOUNT.fullmatch(payment["amount"])
        assert TIME.fullmatch(payment["timestamp"])
    inflow = sum(float(p["amount"]) for p in page["transactions"] if p["to_own"])
    assert inflow >= sum(float(m["inflow"]) for m in page["metrics"]) - 0.01


async def test_two_people_close_a_case(made: SmallOffice, ask: Asking) -> None:
    """Ann takes, begins, attaches a trace and proposes; she cannot approve, Sue can."""
    taken = (await ask("ann", "POST", "/queue/next", {"note": "mine today"})).json()["change"]
    case = taken["case"]["id"]
    assert taken["case"]["assignee"] == "ann"
    assert (await ask.act("ann", case, "begin")).json()["case"]["state"] == "investigating"
    version = (await ask("ann", "GET", f"/cases/{case}/standing")).json()["version"]
    body = {"version": version, "run_id": TRACE, "title": "March", "note": "where it went"}
    assert (await ask("ann", "POST", f"/cases/{case}/traces", body)).status_code == 200
    proposed = await ask.act("ann", case, "submit", outcome="confirmed")
    assert proposed.json()["case"]["state"] == "pending-review"
    assert (await ask.act("ann", case, "approve")).json()["code"] == "alerts.not-permitted"
    closed = await ask.act("sue", case, "approve", note="agreed")
    assert closed.json()["case"]["state"] == "closed-confirmed"
    page = (await ask("sue", "GET", f"/cases/{case}")).json()
    assert [e["action"] for e in page["journal"]][-4:] == ["begin", "attach", "submit", "approve"]
    assert page["traces"][0]["rows"][0]["amount"] == "800.25"
    assert "ann" in page["worked"]
    assert page["actions"] == ["reopen"]


async def test_who_worked_on_a_case_cannot_approve(ask: Asking) -> None:
    """A supervisor who wrote a note is refused with 403 and the code of four eyes."""
    await ask.act("sue", 1, "note")
    await ask.act("ann", 1, "take")
    await ask.act("ann", 1, "begin")
    await ask.act("ann", 1, "submit", outcome="false-alarm")
    refused = await ask.act("sue", 1, "approve")
    assert (refused.status_code, refused.json()["code"]) == (403, "alerts.four-eyes")
    assert (await ask.act("sam", 1, "approve")).status_code == 200


async def test_cases_are_opened_and_given_out(ask: Asking) -> None:
    """Free alerts become a case; a supervisor gives out many at once, all or none."""
    free = (await ask("ann", "GET", "/alerts", params={"status": "open"})).json()["alerts"]
    one, two = free[0], free[1]
    body = {"alerts": [{"id": one["id"], "version": one["version"]}], "note": "odd"}
    opened = await ask("ann", "POST", "/cases", body)
    assert (opened.status_code, opened.json()["case"]["state"]) == (201, "new")
    again = await ask("ben", "POST", "/cases", body)
    assert again.status_code == 409
    case = opened.json()["case"]
    added = {"version": case["version"], "alert": {"id": two["id"], "version": two["version"]}}
    more = await ask("ann", "POST", f"/cases/{case['id']}/alerts", added | {"note": "same person"})
    assert more.json()["entry"]["details"]["alerts"] == [two["id"]]
    new = (await ask("sue", "GET", "/cases", params={"state": "new"})).json()["cases"]
    cases = [{"id": c["id"], "version": c["version"]} for c in new[:3]]
    stale = [*cases[:2], {"id": cases[2]["id"], "version": 99}]
    many = {"assignee": "ben", "note": "yours"}
    assert (await ask("sue", "POST", "/queue/assign", many | {"cases": stale})).status_code == 409
    assert (await ask("sue", "GET", "/cases", params={"assignee": "ben"})).json()["cases"] == []
    done = await ask("sue", "POST", "/queue/assign", many | {"cases": cases})
    assert {c["case"]["assignee"] for c in done.json()["changes"]} == {"ben"}


async def test_a_case_sleeps_and_is_left_out(ask: Asking) -> None:
    """A case that sleeps is not among those that are awake, until it is woken."""
    await ask.act("ann", 1, "take")
    slept = await ask.act("ann", 1, "snooze", until="2026-05-01T02:00:00+02:00")
    assert slept.json()["case"]["snoozed_until"] == "2026-05-01T00:00:00Z"
    awake = (await ask("ann", "GET", "/cases", params={"awake": True, "assignee": "ann"})).json()
    assert awake["cases"] == []
    assert (await ask.act("ann", 1, "begin")).json()["code"] == "alerts.snooze"
    assert (await ask.act("ann", 1, "wake")).status_code == 200


async def test_runs_go_to_the_node_with_the_persons_name(made: SmallOffice, ask: Asking) -> None:
    """Proposing, approving and rejecting reach the node as done by whom the token belongs to."""
    body = {"analysis": "pagerank", "parameters": {"alpha": "0.85"}, "rehearse": True}
    assert (await ask("sue", "POST", "/runs", body)).status_code == 201
    run = "e" * 24
    assert (await ask("otto", "POST", f"/runs/{run}/approve")).json()["phase"] == "consented"
    await ask("sue", "POST", f"/runs/{run}/reject", {"reason": "not today"})
    (proposal, by), approved, rejected = made.node.asked
    assert (proposal.analysis, proposal.rehearse, by) == ("pagerank", True, "sue")
    assert approved == ("approve", run, "otto")
    assert rejected == ("reject", run, "not today", "sue")
    shown = (await ask("ann", "GET", f"/runs/{FIRST}")).json()
    assert shown["members"]["BANKC"] is None
    assert shown["run"]["bits"]["BANKB"] == 128


async def test_a_question_is_asked_and_remembered(made: SmallOffice, ask: Asking) -> None:
    """The node gets the accounts, the desk keeps them, and the log says who asked about what."""
    body = {"accounts": [OWN[4]], "parameters": {"hops": "3", "direction": "backward"}}
    asked = await ask("ann", "POST", "/traces", body)
    assert asked.status_code == 201
    question, by = made.node.asked[0]
    assert (question.accounts, by) == ([OWN[4]], "ann")
    log = (await ask("audrey", "GET", "/audit", params={"action": "trace.asked"})).json()
    assert log["entries"][0]["details"]["account"] == [OWN[4]]
    shown = (await ask("ann", "GET", f"/traces/{TRACE}", params={"limit": 2})).json()
    assert (shown["accounts"], shown["rows_total"], len(shown["rows"])) == ([OWN[0]], 4, 2)
    assert shown["rows"][0]["amount"] == "800.25"
    rest = (await ask("ann", "GET", f"/traces/{TRACE}", params={"offset": 2})).json()
    assert len(rest["rows"]) == 2


async def test_every_reading_is_on_record(ask: Asking) -> None:
    """Reading an account, an alert, a case or an export leaves an entry; the log verifies."""
    await ask("ann", "GET", f"/accounts/{OWN[7]}")
    await ask("ann", "GET", "/accounts/NOT-OURS")
    await ask("ann", "GET", "/alerts/1")
    await ask("ann", "GET", "/cases/1/exports/transactions.csv")
    log = (await ask("audrey", "GET", "/audit", params={"actor": "ann"})).json()["entries"]
    actions = [entry["action"] for entry in log]
    assert actions[:4] == ["case.exported", "alert.read", "account.read", "account.read"]
    assert log[3]["details"]["account"][0] == OWN[7]
    verified = (await ask("audrey", "GET", "/audit/verification")).json()
    assert verified["ok"] is True


async def test_every_export_is_served(made: SmallOffice, ask: Asking) -> None:
    """Each kind comes with its media type and name; a draft report only with a profile."""
    for kind, media in (
        ("html", "text/html"), ("json", "application/json"), ("ftm.json", "application/x-ndjson"),
        ("transactions.csv", "text/csv"), ("alerts.csv", "text/csv"),
    ):  # fmt: skip
        found = await ask("ann", "GET", f"/cases/1/exports/{kind}")
        assert found.status_code == 200
        assert found.headers["content-type"].startswith(media)
        assert f"case-1.{kind}" in found.headers["content-disposition"]
    refused = await ask("ann", "GET", "/cases/1/exports/goaml.xml")
    assert (refused.status_code, refused.json()["code"]) == (422, "alerts.entry")
