"""The audit log in the browser: searched, verified, taken out, and itself on record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from bank_node.store.tables import AuditRow
from tests.bank_node.desk_world import AUDREY, OTTO, TRACE, SmallOffice
from tests.bank_node.web.conftest import violations
from tests.bank_node.web.looks import LOOKS

_NUMBER = re.compile(r'<td class="num" title="[0-9a-f]{64}">(\d+)</td>')


def numbers(text: str) -> list[int]:
    """The numbers of the entries that a page lists."""
    return [int(number) for number in _NUMBER.findall(text)]


@pytest.mark.parametrize(
    ("name", "may"), [("ann", False), ("sue", True), ("audrey", True), ("otto", False)]
)
async def test_who_reads_the_log(visit: Callable[[str], Any], name: str, may: bool) -> None:
    """Supervisors and auditors read, verify and export; others are refused."""
    one = await visit(name)
    for path in ("/audit", "/audit/export"):
        assert (await one.get(path)).status_code == (200 if may else 403), path
    assert (await one.submit("/audit/verify", {})).status_code == (200 if may else 403)
    assert ('href="/audit"' in (await one.get("/runs")).text) == may


async def test_looking_at_the_log_is_on_record(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """A search adds an entry with what was looked for."""
    await (await visit("audrey")).get("/audit?actor=ann&account=A001")
    line = made.desk.audit(AUDREY, limit=1)[0]
    assert (line.actor, line.action) == ("audrey", "audit.read")
    assert line.details["actor"] == "ann"
    assert line.details["account"] == "A001"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("actor=ann", lambda e: e.actor == "ann"),
        ("action=alerts.raised", lambda e: e.action == "alerts.raised"),
        (f"run_id={TRACE}", lambda e: e.run_id == TRACE),
        ("account=A001", lambda e: "A001" in e.details.get("account", [])),
        ("account=%20A001%20&actor=ann", lambda e: e.actor == "ann"),
        ("until=2026-04-08", lambda e: False),
        ("since=2026-04-10&action=alerts.raised", lambda e: e.action == "alerts.raised"),
    ],
)
async def test_the_log_is_searched(
    made: SmallOffice, visit: Callable[[str], Any], query: str, expected: Callable[[Any], bool]
) -> None:
    """By person, action, run, account and day, alone and together."""
    audrey = await visit("audrey")
    before = made.desk.audit(AUDREY, limit=100)
    wanted = [e.number for e in before if expected(e)]
    assert numbers((await audrey.get(f"/audit?{query}")).text) == wanted
    if "until" not in query:
        assert wanted


async def test_pages_follow_each_other_without_gap_or_repeat(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The next page begins behind the last entry, even when entries are added meanwhile."""
    for _ in range(130):
        made.desk.people(OTTO)
        made.desk.workers(AUDREY)
        made.desk.traces(AUDREY, 1)
    audrey = await visit("audrey")
    first = (await audrey.get("/audit?action=traces.listed")).text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    made.desk.traces(AUDREY, 1)
    second = (await audrey.get(following[1].replace("&amp;", "&"))).text
    seen = numbers(first) + numbers(second)
    assert len(numbers(first)) == 100
    assert len(seen) == len(set(seen)) == 130
    assert seen == sorted(seen, reverse=True)
    assert 'rel="next"' not in second


async def test_a_day_that_is_none_is_asked_for_again(visit: Callable[[str], Any]) -> None:
    """What cannot be read as a day is said, and the other filters stay."""
    answer = await (await visit("audrey")).get("/audit?since=yesterday&actor=ann")
    assert answer.status_code == 422
    assert "Give two days" in answer.text
    assert 'value="ann"' in answer.text


async def test_a_whole_log_is_told_from_a_changed_one(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Verifying says how many entries are in order, or which one is not as it was written."""
    audrey = await visit("audrey")
    assert "The log is whole" in (await audrey.submit("/audit/verify", {})).text
    with made.records.database.begin() as session:
        session.execute(update(AuditRow).where(AuditRow.number == 2).values(actor="nobody"))
    text = (await audrey.submit("/audit/verify", {})).text
    assert "The log was changed: entry 2 is not as it was written." in text
    assert "The log is whole" not in text


async def test_the_log_is_taken_out_as_lines_of_json(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Each line is a checkpoint or an entry; the last entry says that it was taken out."""
    answer = await (await visit("sue")).get("/audit/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.jsonl"'
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert {key for line in lines for key in line} <= {"checkpoint", "entry"}
    last = lines[-1]["entry"]
    assert (last["actor"], last["action"]) == ("sue", "audit.exported")


async def test_what_was_searched_for_is_never_markup(visit: Callable[[str], Any]) -> None:
    """A filter that holds markup comes back as text, in the fields and in the log itself."""
    evil = '"><script>alert(1)</script>'
    audrey = await visit("audrey")
    names = ("actor", "action", "run_id", "account", "since", "before")
    for params in ({name: evil} for name in names):
        assert "<script>alert" not in (await audrey.get("/audit", params=params)).text
    assert "<script>alert" not in (await audrey.get("/audit")).text


async def test_verifying_from_another_site_is_refused(visit: Callable[[str], Any]) -> None:
    """Without the session's token nothing is verified."""
    assert (await (await visit("audrey")).post("/audit/verify")).status_code == 403


def test_an_auditor_follows_an_account(made: SmallOffice, at_browser: Any) -> None:
    """By keyboard: search an account, see who looked, verify the log."""
    made.desk.account(AUDREY, "A007")
    person = at_browser("audrey")
    page = person.page
    page.goto("/audit")
    page.get_by_label("Account").fill("A007")
    page.keyboard.press("Enter")
    page.wait_for_url("**account=A007**")
    assert page.get_by_role("link", name="account.read").count() == 1
    page.get_by_role("button", name="Verify the log").press("Enter")
    page.get_by_text("The log is whole").wait_for()
    assert person.problems == []


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_audit_page_has_no_accessibility_violation(
    made: SmallOffice, at_browser: Any, width: int, scheme: str
) -> None:
    """Axe finds nothing wrong, and nothing is wider than the screen."""
    size = {"width": width, "height": 900}
    person = at_browser("audrey", viewport=size, color_scheme=scheme)
    person.page.goto("/audit")
    assert violations(person.page) == []
    assert person.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    person.page.get_by_role("button", name="Verify the log").click()
    person.page.locator("#verified").wait_for()
    assert violations(person.page) == []
    assert person.problems == []
