"""Nothing of another bank is served but what stands in this bank's own payments."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import FIRST, KNOWN, OWN, RUNS, TRACE, UNKNOWN

KINDS = ("html", "json", "ftm.json", "transactions.csv", "alerts.csv")


async def _texts(ask: Asking) -> AsyncIterator[str]:
    """Yield the text of every GET, of exports, and of refusals."""
    whole = {"limit": 500}
    for who in ("ann", "audrey", "otto"):  # of each view of things one
        alerts = (await ask(who, "GET", "/alerts", params=whole)).text
        cases = (await ask(who, "GET", "/cases", params=whole)).text
        yield alerts
        yield cases
        paths = ["/me", "/summary", "/people", "/workers", "/rules", "/samples", "/samples/counts"]
        paths += ["/runs", "/traces", f"/traces/{TRACE}", "/audit/verification", "/nothing"]
        paths += [f"/runs/{run}" for run in (*RUNS, FIRST[:6], "e" * 24)]
        paths += [f"/alerts/{a['id']}" for a in json.loads(alerts).get("alerts", [])]
        numbers = [c["id"] for c in json.loads(cases).get("cases", [])]
        paths += [f"/cases/{n}" for n in numbers] + [f"/cases/{n}/standing" for n in numbers]
        paths += [f"/cases/{n}/exports/{kind}" for n in numbers[:5] for kind in KINDS]
        paths += [f"/accounts/{account}" for account in OWN[::7]]
        for path in paths:
            yield (await ask(who, "GET", path)).text
        yield (await ask(who, "GET", "/audit", params=whole)).text


async def test_no_unknown_account_of_another_bank_is_served(ask: Asking) -> None:
    """Ids of B and C that A's payments do not name are nowhere; those they do name are found."""
    served = "\n".join([text async for text in _texts(ask)])
    assert [account for account in UNKNOWN if account in served] == []
    assert sum(account in served for account in KNOWN) > len(KNOWN) // 2, "the search finds ids"


async def test_asking_for_another_banks_account_tells_nothing(ask: Asking) -> None:
    """A known and an unknown account of another bank, and one that is nobody's, look the same."""
    asked = [KNOWN[0], UNKNOWN[0], "NOBODY-1"]
    answers = [await ask("ann", "GET", f"/accounts/{account}") for account in asked]
    assert {a.status_code for a in answers} == {404}
    assert len({a.content for a in answers}) == 1
    listed = [await ask("ann", "GET", "/alerts", params={"account": a}) for a in asked]
    assert len({a.content for a in listed}) == 1


async def test_a_refusal_repeats_no_account(ask: Asking) -> None:
    """What was sent in a wrong field does not come back in the error."""
    body = {"action": "assign", "version": 1, "note": "n", "assignee": 7, "extra": UNKNOWN[0]}
    for found in (
        await ask("sue", "POST", "/cases/1/actions", body),
        await ask("sue", "POST", "/cases/1/actions", body | {"action": UNKNOWN[0]}),
        await ask("sue", "GET", "/alerts", params={"order": UNKNOWN[0]}),
        await ask("sue", "GET", f"/cases/{UNKNOWN[0]}"),
        await ask("sue", "GET", f"/cases/1/exports/{UNKNOWN[0]}"),
    ):
        assert found.status_code == 422
        assert UNKNOWN[0] not in found.text
