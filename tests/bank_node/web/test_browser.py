"""A real browser: a morning's work by keyboard alone, four eyes, export, accessibility."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts import Action, Outcome, State
from alerts.queries import AlertFilter
from tests.bank_node.desk_world import ANN, SUE, SmallOffice
from tests.bank_node.web.conftest import violations
from tests.bank_node.web.looks import LOOKS

pytestmark = pytest.mark.timeout(300)
Sit = Callable[..., Any]
PAGES = ("/", "/alerts", "/alerts/1", "/cases", "/cases/1", "/account", "/account?id=A001",
         "/rules", "/rules/samples", "/no-such-page")  # fmt: skip
WIDE, PHONE, NARROW = (
    {"width": 1280, "height": 900}, {"width": 390, "height": 844}, {"width": 360, "height": 740},
)  # fmt: skip


def write_and_send(page: Any, words: str) -> None:
    """Write into the field that has the focus and send its form by keyboard."""
    page.keyboard.type(words)
    page.keyboard.press("Control+Enter")


def choose(page: Any, action: str) -> None:
    """Open the form of an action by keyboard: Tab to its line, Enter."""
    for _ in range(60):
        told = page.evaluate("document.activeElement.innerText || ''")
        if told.strip() == action:
            break
        page.keyboard.press("Tab")
    else:
        raise AssertionError(f"no line {action} was reached by Tab")
    page.keyboard.press("Enter")


def test_a_morning_by_keyboard_alone(at_browser: Sit, made: SmallOffice) -> None:
    """From the sign-in to a case submitted for closing without a mouse, and no error."""
    one = at_browser("ann", viewport=WIDE)
    page = one.page
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/alerts")
    page.keyboard.press("/")
    page.keyboard.type("Open")
    page.wait_for_url("**/alerts?status=open**")
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function("!document.querySelector('.htmx-request')")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = made.desk.alerts(ANN, AlertFilter(status="open"))[0]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/alerts/{first.id}")
    page.keyboard.press("n")
    write_and_send(page, "money passes through within a day")
    page.wait_for_url("**/cases/*done=open")
    case = int(re.findall(r"/cases/(\d+)", page.url)[0])
    page.keyboard.press("n")
    write_and_send(page, "I take it")
    page.wait_for_url("**done=take")
    page.keyboard.press("n")
    write_and_send(page, "I begin")
    page.wait_for_url("**done=begin")
    choose(page, "Write a note")
    page.keyboard.press("n")
    write_and_send(page, "asked the branch")
    page.wait_for_url("**done=note")
    page.keyboard.press("n")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    write_and_send(page, "the customer could not explain it")
    page.wait_for_url("**done=submit")
    head = made.desk.case_head(ANN, case)
    assert (head.state, head.assignee) == (State.PENDING_REVIEW, "ann")
    assert head.outcome is Outcome.CONFIRMED
    assert one.problems == []


def test_lines_are_selected_by_key_and_help_is_one_key_away(at_browser: Sit) -> None:
    """x selects the line that has the focus and the button counts; ? shows the keys."""
    one = at_browser("ann", viewport=WIDE)
    page = one.page
    page.goto("/alerts")
    for key in "jxjx":
        page.keyboard.press(key)
    assert page.locator("[data-list] input:checked").count() == 2
    assert page.locator("[data-count]").inner_text() == "(2)"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()
    assert one.problems == []


def test_keys_of_one_letter_can_be_turned_off(at_browser: Sit) -> None:
    """Who dictates to a computer turns the keys off, and they stay off (WCAG 2.1.4)."""
    page = at_browser("ann", viewport=WIDE).page
    page.goto("/alerts")
    page.keyboard.press("?")
    page.locator("#keys-on").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.tagName") == "BODY"


def test_a_second_person_closes_and_exports(
    at_browser: Sit, made: SmallOffice, tmp_path: Path
) -> None:
    """The supervisor who worked on nothing approves; the case then comes out as a file."""
    for version, action in enumerate([Action.TAKE, Action.BEGIN], start=1):
        made.desk.act(ANN, 1, version, action, "mine")
    made.desk.act(ANN, 1, 3, Action.SUBMIT, "done", outcome=Outcome.FALSE_ALARM)
    ann, sue = at_browser("ann", viewport=WIDE), at_browser("sue", viewport=WIDE)
    ann.page.goto("/cases/1")
    assert ann.page.get_by_role("button", name="Approve the closing").count() == 0
    page = sue.page
    page.goto("/")
    page.get_by_role("link", name="Case 1", exact=True).click()
    page.locator("#note-approve").fill("I agree: it was salary")
    page.get_by_role("button", name="Approve the closing").click()
    page.wait_for_url("**done=approve")
    assert made.desk.case_head(SUE, 1).state is State.FALSE_ALARM
    with page.expect_download() as waiting:
        page.get_by_role("link", name="JSON", exact=True).click()
    waiting.value.save_as(tmp_path / "case.json")
    assert json.loads((tmp_path / "case.json").read_text())["case"]["state"] == "closed-false-alarm"
    assert ann.problems == sue.problems == []


def test_a_note_is_not_lost_when_somebody_was_faster(at_browser: Sit, made: SmallOffice) -> None:
    """The message comes onto the page, the form keeps what was written."""
    one = at_browser("ann", viewport=WIDE)
    one.page.goto("/cases/1")
    made.desk.act(SUE, 1, 1, Action.NOTE, "I was faster")
    one.page.locator("#note-take").fill("my words")
    one.page.get_by_role("button", name="Take", exact=True).click()
    one.page.locator("#notice .problem").wait_for()
    assert one.page.locator("#note-take").input_value() == "my words"
    assert one.page.locator("#notice a").get_attribute("href") == "/cases/1"


def test_filters_change_the_list_in_place(at_browser: Sit) -> None:
    """Choosing a severity brings the lines anew and puts the choice into the address."""
    one = at_browser("ann", viewport=WIDE)
    one.page.goto("/alerts")
    one.page.evaluate("window.same = true")
    one.page.locator("#f-severity").select_option("critical")
    one.page.wait_for_url("**severity=critical**")
    one.page.wait_for_function("!document.querySelector('.severity-high')")
    assert one.page.locator(".severity-critical").count() > 0
    assert one.page.evaluate("window.same") is True
    assert one.problems == []


def test_everything_works_without_scripts(at_browser: Sit, made: SmallOffice) -> None:
    """With JavaScript turned off: filter, open a case, take it."""
    one = at_browser("ann", viewport=WIDE, java_script_enabled=False)
    page = one.page
    page.goto("/alerts")
    page.locator("#f-status").select_option("open")
    page.get_by_role("button", name="Apply").click()
    page.locator("[data-open]").first.click()
    page.locator("#note-open").fill("no script here")
    page.get_by_role("button", name="Open a case").click()
    assert "The case is open." in page.locator("main").inner_text()
    page.locator("#note-take").fill("mine")
    page.get_by_role("button", name="Take", exact=True).click()
    assert "The case is yours." in page.locator("main").inner_text()


def test_the_look_changes_at_once_and_stays(at_browser: Sit) -> None:
    """The dark look is there without loading the page, and on the next one."""
    one = at_browser("ann", viewport=WIDE, color_scheme="light")
    page = one.page
    page.goto("/cases")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    with page.expect_response("**/preferences"):
        page.get_by_role("button", name="Dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.goto("/alerts")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert one.problems == []


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_finds_nothing(at_browser: Sit, made: SmallOffice, width: int, scheme: str) -> None:
    """axe-core finds no violation on any page, light and dark, at a desk and on a phone."""
    for version, action in enumerate([Action.TAKE, Action.BEGIN], start=1):
        made.desk.act(ANN, 2, version, action, "mine")
    made.desk.act(ANN, 2, 3, Action.SUBMIT, "done", outcome=Outcome.FALSE_ALARM)
    settings = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    stranger = at_browser(**settings)
    stranger.page.goto("/sign-in")
    found = {"/sign-in": violations(stranger.page)}
    one = at_browser("sue", **settings)
    for path in (*PAGES, "/cases/2"):
        one.page.goto(path)
        one.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found[path] = violations(one.page)
    one.page.goto("/alerts")
    for box in one.page.locator("[data-list] input").all()[:3]:
        box.check()
    one.page.locator("[data-bulk]").click()
    found["selection"] = violations(one.page)
    one.page.goto("/alerts")
    one.page.evaluate("document.getElementById('help').showModal()")
    found["help"] = violations(one.page)
    otto = at_browser("otto", **settings)
    for path in ("/", "/rules"):
        otto.page.goto(path)
        found[f"otto {path}"] = violations(otto.page)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    assert one.problems == stranger.problems == []


def test_nothing_is_wider_than_a_phone(at_browser: Sit) -> None:
    """At 360 pixels no page scrolls sideways (WCAG 1.4.10)."""
    one = at_browser("sue", viewport=NARROW)
    for path in PAGES:
        one.page.goto(path)
        wider = one.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, path


def test_the_policy_holds_in_a_browser(at_browser: Sit, made: SmallOffice) -> None:
    """Neither a script nor a style that comes into a page runs, and no frame shows the desk."""
    one = at_browser("ann", viewport=WIDE)
    page = one.page
    page.goto("/alerts")
    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); const d = document.createElement('div'); d.innerHTML ="
        " '<img src=x onerror=\"window.ran = 1\">'; document.body.append(d); }"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in problem for problem in one.problems)
