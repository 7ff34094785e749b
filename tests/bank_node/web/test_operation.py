"""Operation in the browser: the node now, the doctor's findings, what was taken in, the users."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bank_node.operation.findings import Finding, fault, good, warning
from bank_node.web import operation_checkup
from bank_node.web.operation_checkup import Checkups
from tests.bank_node.desk_world import PASSWORD, SECOND, SmallOffice
from tests.bank_node.web.conftest import violations
from tests.bank_node.web.looks import LOOKS


@pytest.mark.parametrize(
    ("name", "may"), [("ann", False), ("sue", True), ("audrey", True), ("otto", True)]
)
async def test_who_sees_how_the_node_works(
    visit: Callable[[str], Any], name: str, may: bool
) -> None:
    """Analysts do not see the operation; operators, supervisors and auditors do."""
    one = await visit(name)
    for path in ("/operation", "/operation/checkup"):
        assert (await one.get(path)).status_code == (200 if may else 403), path
    assert ('href="/operation"' in (await one.get("/runs")).text) == may


async def test_health_versions_and_users_are_told(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The page has the broker, the agreement, the versions, and who may sign in."""
    text = (await (await visit("otto")).get("/operation")).text
    for words in ("mqtts://broker:8883", "● connected", "Agreed to: 1", "duckdb", "✓ no problem"):
        assert words in text, words
    for name in ("ann", "ben", "sue", "sam", "audrey", "otto"):
        assert f'<th scope="row">{name}</th>' in text
    assert "argon2" not in text
    assert PASSWORD not in text


async def test_a_locked_user_is_marked(made: SmallOffice, visit: Callable[[str], Any]) -> None:
    """Who is locked out after wrong passwords is seen by the operator."""
    for _ in range(made.office.config.web.sign_in.failures):
        made.desk.sign_in("ben", "wrong horse battery")
    text = (await (await visit("otto")).get("/operation")).text
    assert text.count("▲ locked until") == 1


async def test_a_problem_of_the_intake_is_seen(
    made: SmallOffice, visit: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps payments from being taken in stands there in the node's words."""
    real = made.node.status

    async def status() -> dict[str, Any]:
        return await real() | {"intake_problem": "the folder <b>is gone</b>"}

    monkeypatch.setattr(made.node, "status", status)
    text = (await (await visit("otto")).get("/operation")).text
    assert "✗ the folder &lt;b&gt;is gone&lt;/b&gt;" in text


async def test_what_was_taken_in_is_counted(visit: Callable[[str], Any]) -> None:
    """Days, payments, and the last taking-in with what was rejected."""
    text = (await (await visit("otto")).get("/operation/checkup")).text
    said = "28 days of payments are kept, 1 Mar 2026 to 28 Mar 2026: 180 payments."
    assert said in text
    row = '<td>csv</td><td class="num">180</td><td class="num">180</td><td class="num">0</td>'
    assert row in text


async def test_the_findings_come_as_a_part_of_the_page_for_htmx(
    visit: Callable[[str], Any],
) -> None:
    """The page asks for the findings when it has loaded; without a script there is a link."""
    otto = await visit("otto")
    text = (await otto.get("/operation")).text
    assert 'hx-get="/operation/checkup" hx-trigger="load"' in text
    assert 'href="/operation/checkup"' in text
    part = (await otto.get("/operation/checkup", headers={"hx-request": "true"})).text
    assert part.startswith('<div id="checkup">')
    assert "<html" in (await otto.get("/operation/checkup")).text


async def test_findings_are_told_by_word_and_shape_with_their_remedy(
    visit: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each finding says its state in words beside a mark, and a fault says what to do."""

    def examine(folder: Path, now: int) -> Iterator[Finding]:
        yield good("keys", "all there")
        yield warning("certificate", "ends on 2026-05-01", "Renew it")
        yield fault("disk", "2 MB left <here>", "Make room")

    monkeypatch.setattr(operation_checkup, "examine", examine)
    text = (await (await visit("otto")).get("/operation/checkup")).text
    assert [text.count(f"</span> {w}</span>") for w in ("in order", "to look at", "fault")] == [
        1, 1, 1,
    ]  # fmt: skip
    assert "Something keeps the node from its work" in text
    assert "2 MB left &lt;here&gt;" in text
    assert "Make room" in text


def test_the_doctor_is_asked_once_a_minute_and_one_at_a_time(
    made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that are loaded together share one look; after a minute there is another."""
    asked: list[int] = []

    def examine(folder: Path, now: int) -> Iterator[Finding]:
        asked.append(now)
        time.sleep(0.05)
        yield good("keys", "all there")

    monkeypatch.setattr(operation_checkup, "examine", examine)
    now = [made.clock.now]
    checkups = Checkups(made.office.config, lambda: now[0])
    threads = [threading.Thread(target=checkups.get) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    now[0] += 59 * SECOND
    assert checkups.get().at == asked[0]
    now[0] += 2 * SECOND
    assert checkups.get().at == now[0]
    assert len(asked) == 2


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_operation_pages_have_no_accessibility_violation(
    made: SmallOffice, at_browser: Any, width: int, scheme: str
) -> None:
    """With the findings loaded by htmx, axe finds nothing wrong and nothing is too wide."""
    size = {"width": width, "height": 900}
    person = at_browser("otto", viewport=size, color_scheme=scheme)
    for path in ("/operation", "/operation/checkup"):
        person.page.goto(path)
        person.page.locator(".findings").wait_for()
        assert violations(person.page) == [], path
        over = "document.documentElement.scrollWidth - innerWidth"
        assert person.page.evaluate(over) <= 0, path
    assert person.problems == []
