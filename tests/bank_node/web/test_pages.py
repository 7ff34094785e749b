"""The pages of alerts, cases, accounts and rules: who sees them, what they show, what they do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape, unescape
from typing import Any

import pytest

from alerts import Action, Outcome, State
from alerts.queries import AlertFilter
from bank_node.store import runs as run_table
from bank_node.web.alert_pages import FILTERS
from bank_node.web.words import words_for
from tests.bank_node.desk_world import (
    ANN,
    BEN,
    DAY,
    NOW,
    SAM,
    SUE,
    UNKNOWN,
    SmallOffice,
    stored_run,
)
from tests.bank_node.web.conftest import csrf_of

Visit = Callable[[str], Any]
ROLES = {"ann": "analyst", "sue": "supervisor", "audrey": "auditor", "otto": "operator"}
READERS = {"analyst", "supervisor", "auditor"}
ALL = {*READERS, "operator"}
EITHER = pytest.mark.parametrize("made", ["sqlite", "postgresql"], indirect=True)
PAGES = {
    "/": ALL,
    "/alerts": READERS,
    "/alerts/1": READERS,
    "/cases": READERS,
    "/cases/1": READERS,
    "/account": READERS,
    "/account?id=A001": READERS,
    "/rules": ALL,
    "/rules/samples": READERS,
    "/cases/1/export/json": READERS,
}
FORMS = {
    "/alerts/selected": {"analyst", "supervisor"},
    "/alerts/selected/open": {"analyst", "supervisor"},
    "/alerts/selected/assign": {"supervisor"},
    "/alerts/views": READERS,
    "/alerts/views/remove": READERS,
    "/alerts/1/case": {"analyst", "supervisor"},
    "/alerts/1/add": {"analyst", "supervisor"},
    "/cases/next": {"analyst", "supervisor"},
    "/cases/auto-assign": {"supervisor", "operator"},
    "/cases/assign": {"supervisor"},
    "/cases/1/act": {"analyst", "supervisor"},
    "/rules/test": {"supervisor", "operator"},
    "/rules/judge": {"analyst", "supervisor"},
}


@pytest.mark.parametrize("name", ROLES)
async def test_each_role_sees_its_pages_and_no_others(visit: Visit, name: str) -> None:
    """A page answers the roles that may see it, and is 403 for the others."""
    one = await visit(name)
    for path, allowed in PAGES.items():
        wanted = 200 if ROLES[name] in allowed else 403
        answer = await one.get(path)
        assert answer.status_code == wanted, (path, answer.status_code)


@pytest.mark.parametrize("name", ROLES)
async def test_each_role_sends_its_forms_and_no_others(visit: Visit, name: str) -> None:
    """A form of another role is 403 before anything of it is looked at."""
    one = await visit(name)
    for path, allowed in FORMS.items():
        answer = await one.submit(path, {"assignee": "ben"})
        refused = answer.status_code == 403 and "not-permitted" in answer.text
        assert refused == (ROLES[name] not in allowed), path


async def test_an_operator_sees_no_customer(visit: Visit, made: SmallOffice) -> None:
    """No page that an operator can open names an account or a customer."""
    one = await visit("otto")
    for path, allowed in PAGES.items():
        text = (await one.get(path)).text
        if "operator" in allowed:
            assert re.findall(r"\bA0\d\d\b|\bC0\d\d\b", text) == [], path


@pytest.mark.parametrize("name", ROLES)
async def test_the_navigation_leads_only_where_the_role_may_go(visit: Visit, name: str) -> None:
    """Each entry of a role's navigation opens."""
    one = await visit(name)
    nav = re.search(r"<nav class=\"nav\".*?</nav>", (await one.get("/")).text, re.DOTALL)
    assert nav is not None
    paths = re.findall(r'href="([^"]+)"', nav[0])
    assert "/" in paths
    for path in paths:
        assert (await one.get(path)).status_code == 200, path


# Alerts


def alert_ids(html: str) -> list[int]:
    """Return the alerts of a list, in their order."""
    return [int(n) for n in re.findall(r'href="/alerts/(\d+)" data-open', html)]


@EITHER
async def test_the_list_filters_and_sorts(visit: Visit, made: SmallOffice) -> None:
    """Status, severity, rule, account and run choose what the desk's filter chooses."""
    one = await visit("ann")
    wanted = AlertFilter(status="open")
    expected = [a.id for a in made.desk.alerts(ANN, wanted)]
    assert alert_ids((await one.get("/alerts?status=open")).text) == expected
    critical = alert_ids((await one.get("/alerts?severity=critical")).text)
    assert 0 < len(critical) < len(expected) + 20
    account = alert_ids((await one.get("/alerts?account=A004")).text)
    assert account == [a.id for a in made.desk.alerts(ANN, AlertFilter(account="A004"))]
    newest = alert_ids((await one.get("/alerts?order=newest")).text)
    assert newest == sorted(newest, reverse=True)
    assert "No alert fits" in (await one.get("/alerts?rule=no-such-rule")).text


async def test_pages_of_the_list_neither_repeat_nor_lose_an_alert(
    visit: Visit, made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page every alert comes once."""
    monkeypatch.setattr("bank_node.web.alert_pages._PAGE", 7)
    one, found, path = await visit("ann"), [], "/alerts?order=strength"
    while path:
        html = (await one.get(path)).text
        found += alert_ids(html)
        more = re.search(r'href="([^"]+)" rel="next"', html)
        path = more[1].replace("&amp;", "&") if more else ""
    assert sorted(found) == sorted(a.id for a in made.desk.alerts(ANN, limit=1000))


async def test_htmx_gets_the_list_alone(visit: Visit) -> None:
    """A filter changed with htmx brings the lines and nothing around them."""
    one = await visit("ann")
    text = (await one.get("/alerts?status=open", headers={"hx-request": "true"})).text
    assert "<html" not in text
    assert alert_ids(text)


async def test_saved_views_keep_filters_and_nothing_else(visit: Visit, made: SmallOffice) -> None:
    """A view keeps the list's own fields, under a name, for the person alone."""
    one = await visit("ann")
    query = "severity=high&status=open&after=5&next=//evil.example"
    await one.submit("/alerts/views", {"name": "urgent", "query": query})
    assert made.desk.views(ANN) == {"urgent": "severity=high&status=open"}
    assert made.desk.views(BEN) == {}
    assert 'href="/alerts?severity=high&amp;status=open">urgent' in (await one.get("/alerts")).text
    await one.submit("/alerts/views/remove", {"name": "urgent"})
    assert made.desk.views(ANN) == {}
    assert {"severity", "status"} <= set(FILTERS)


async def test_an_alert_says_why(visit: Visit, made: SmallOffice) -> None:
    """The page has the sentences, a chart with its table, payments, counterparties and the run."""
    one = await visit("ann")
    html = (await one.get("/alerts/1")).text
    why = made.desk.alert(ANN, 1).explanation
    words = words_for("en", ("en", "en_GB"), "EUR", 2)
    for sentence in why.sentences:
        assert f"<li>{escape(words.sentence(sentence))}</li>" in html
    assert html.count('<svg viewBox="0 0 760') >= 2
    for row in why.transactions.to_pylist():
        assert row["tx_id"] in html
    for row in why.counterparties.to_pylist():
        assert row["account"] in html
    assert next(iter(why.runs.values()))["run_id"] in html


async def test_an_alert_says_why_in_dutch(visit: Visit, made: SmallOffice) -> None:
    """The reasons stand in the reader's language, with days and amounts as that language writes."""
    one = await visit("ann")
    await one.submit("/preferences", {"language": "nl"})
    html = (await one.get("/alerts/1")).text
    assert re.search(r"<li>Van \d+ \w+\.? \d{4} .* ontving de klant [\d.]+,\d\d EUR", html)
    assert "The joint analysis" not in html


async def test_charts_say_in_words_what_they_show(visit: Visit) -> None:
    """Each chart has a role, a title and a description."""
    html = (await (await visit("ann")).get("/alerts/1")).text
    charts = re.findall(r"<svg viewBox=\"0 0 760.*?</svg>", html, re.DOTALL)
    assert len(charts) >= 2
    for chart in charts:
        assert 'role="img"' in chart
        names = re.search(r'aria-labelledby="(\S+) (\S+)"', chart)
        assert names is not None
        assert f'<title id="{names[1]}">' in chart
        assert f'<desc id="{names[2]}">' in chart


def open_alert(made: SmallOffice) -> Any:
    """Return an alert without a case."""
    return made.desk.alerts(ANN, AlertFilter(status="open"))[0]


async def test_a_case_is_opened_from_an_alert(visit: Visit, made: SmallOffice) -> None:
    """The form of an alert opens a case with the note, and leads to it."""
    one, alert = await visit("ann"), open_alert(made)
    form = {"version": str(alert.version), "note": "looks like layering"}
    done = await one.submit(f"/alerts/{alert.id}/case", form)
    case = int(re.findall(r"/cases/(\d+)\?done=open", done.headers["location"])[0])
    page = made.desk.case(ANN, case)
    assert [a.id for a in page.alerts] == [alert.id]
    assert page.journal[0].note == "looks like layering"
    assert "The case is open." in (await one.get(done.headers["location"])).text
    again = await one.submit(f"/alerts/{alert.id}/case", form)
    assert again.status_code == 409


async def test_an_alert_is_added_to_a_case(visit: Visit, made: SmallOffice) -> None:
    """The second form of an alert puts it into a case that is there."""
    one, alert = await visit("ann"), open_alert(made)
    form = {"version": str(alert.version), "case": "1", "note": "the same people"}
    done = await one.submit(f"/alerts/{alert.id}/add", form)
    assert done.headers["location"] == "/cases/1?done=add-alert"
    assert alert.id in [a.id for a in made.desk.case(ANN, 1).alerts]


async def test_selected_alerts_become_a_case_per_customer(visit: Visit, made: SmallOffice) -> None:
    """The selection is shown first, and then opens one case for each customer."""
    one = await visit("ann")
    html = (await one.get("/alerts?status=open")).text
    boxes = re.findall(r'name="alert" value="([^"]+)"', html)[:3]
    shown = await one.submit("/alerts/selected", {"alert": boxes})
    kept = re.findall(r'name="alert" value="([^"]+)"', shown.text)
    assert sorted(kept) == sorted(boxes)
    done = await one.submit("/alerts/selected/open", {"alert": kept, "note": "one by one"})
    assert done.status_code == 303
    subjects = {box.split(":", 3)[3] for box in boxes}
    cases = [c for c in made.desk.cases(ANN, limit=100) if c.opened_by == "ann"]
    assert {c.subject for c in cases} == subjects
    assert len(cases) == len(subjects)


@EITHER
async def test_selected_alerts_become_cases_all_or_none(visit: Visit, made: SmallOffice) -> None:
    """If one of the alerts changed since the list was shown, no case is opened."""
    one = await visit("ann")
    boxes = re.findall(r'name="alert" value="([^"]+)"', (await one.get("/alerts?status=open")).text)
    first, last = boxes[0], max(boxes, key=lambda box: box.split(":", 3)[3])
    number, _version, case, subject = last.split(":", 3)
    assert first.split(":", 3)[3] != subject
    before = {c.id for c in made.desk.cases(ANN, limit=500)}
    form = {"alert": [first, f"{number}:999:{case}:{subject}"], "note": "together"}
    assert (await one.submit("/alerts/selected/open", form)).status_code == 409
    assert {c.id for c in made.desk.cases(ANN, limit=500)} == before


async def test_a_supervisor_assigns_the_cases_of_selected_alerts(
    visit: Visit, made: SmallOffice
) -> None:
    """The cases behind a selection go to one person, each as it was shown."""
    one = await visit("sue")
    html = (await one.get("/alerts?status=in-case")).text
    boxes = re.findall(r'name="alert" value="([^"]+)"', html)[:4]
    shown = (await one.submit("/alerts/selected", {"alert": boxes})).text
    cases = re.findall(r'name="case" value="(\d+:\d+)"', shown)
    assert {c.partition(":")[0] for c in cases} == {b.split(":")[2] for b in boxes}
    form = {"case": cases, "assignee": "ben", "note": "yours"}
    assert (await one.submit("/alerts/selected/assign", form)).status_code == 303
    for case in cases:
        assert made.desk.case_head(SUE, int(case.partition(":")[0])).assignee == "ben"


# Cases


async def act(one: Any, case: int, action: str, version: int, **more: str) -> Any:
    """Send one of the forms of a case."""
    form = {"action": action, "version": str(version), "note": f"{action}, because"} | more
    return await one.submit(f"/cases/{case}/act", form)


@EITHER
async def test_a_case_goes_from_new_to_closed_by_four_eyes(visit: Visit, made: SmallOffice) -> None:
    """Take, begin, submit by one; the second, who never worked on it, approves."""
    ann, sue = await visit("ann"), await visit("sue")
    for version, (action, more) in enumerate(
        [("take", {}), ("begin", {}), ("submit", {"outcome": "confirmed"})], start=1
    ):
        done = await act(ann, 1, action, version, **more)
        assert done.headers["location"] == f"/cases/1?done={action}"
    assert (await act(ann, 1, "approve", 4)).status_code == 403
    assert (await act(sue, 1, "approve", 4)).status_code == 303
    head = made.desk.case_head(SUE, 1)
    assert (head.state, head.outcome) == (State.CONFIRMED, Outcome.CONFIRMED)


async def test_who_worked_on_a_case_is_told_why_they_may_not_approve(
    visit: Visit, made: SmallOffice
) -> None:
    """A supervisor who had the case sees no form to approve it, but the reason and the names."""
    for version, action in enumerate([Action.TAKE, Action.BEGIN], start=1):
        made.desk.act(SUE, 1, version, action, "mine")
    made.desk.act(SUE, 1, 3, Action.SUBMIT, "done", outcome=Outcome.FALSE_ALARM)
    sue, sam, ann = await visit("sue"), await visit("sam"), await visit("ann")
    mine = (await sue.get("/cases/1")).text
    assert 'name="action" value="approve"' not in mine
    assert "cannot approve its closing" in mine
    assert 'name="action" value="approve"' in (await sam.get("/cases/1")).text
    assert "A supervisor who did not work on it" in (await ann.get("/cases/1")).text


async def test_only_what_can_be_done_now_is_offered(visit: Visit, made: SmallOffice) -> None:
    """The forms of the page are the actions that the desk allows, each with the version seen."""
    for name, person in (("ann", ANN), ("sue", SUE)):
        html = (await (await visit(name)).get("/cases/1")).text
        offered = set(re.findall(r'name="action" value="([^"]+)"', html))
        assert offered == {a.value for a in made.desk.case(person, 1).actions}
        assert set(re.findall(r'name="version" value="(\d+)"', html)) == {"1"}
    assert 'name="action"' not in (await (await visit("audrey")).get("/cases/1")).text


async def test_a_case_is_assigned_put_to_sleep_and_woken(visit: Visit, made: SmallOffice) -> None:
    """Forms with a person and a day do what they say; the day is a day of the calendar."""
    sue, ann = await visit("sue"), await visit("ann")
    assert (await act(sue, 1, "assign", 1, assignee="ann")).status_code == 303
    assert (await act(ann, 1, "snooze", 2, until="2026-05-01")).status_code == 303
    head = made.desk.case_head(ANN, 1)
    assert head.snoozed_until is not None
    assert abs(head.snoozed_until - (NOW + 21 * DAY)) <= DAY
    assert "It sleeps until 1 May 2026" in (await ann.get("/cases/1")).text
    assert (await act(ann, 1, "snooze", 3, until="tomorrow")).status_code == 400
    assert (await act(ann, 1, "wake", 3)).status_code == 303


async def test_a_note_is_required_and_nothing_happens_without(
    visit: Visit, made: SmallOffice
) -> None:
    """An empty note is told as such."""
    one = await visit("ann")
    answer = await act(one, 1, "take", 1, note="  ")
    assert answer.status_code == 422
    assert "alerts.note-required" in answer.text
    assert made.desk.case_head(ANN, 1).state is State.NEW


async def test_two_people_cannot_take_the_same_case(visit: Visit) -> None:
    """The second of two who saw the same version is told that it changed."""
    ann, ben = await visit("ann"), await visit("ben")
    assert (await act(ann, 1, "take", 1)).status_code == 303
    assert (await act(ben, 1, "take", 1)).status_code == 409


async def test_a_trace_is_attached(visit: Visit, made: SmallOffice) -> None:
    """A finished trace of the bank's own is offered, attached, and shown with its rows."""
    one = await visit("ann")
    html = (await one.get("/cases/1")).text
    run = re.search(r'<select id="run".*?<option value="([^"]+)"', html, re.DOTALL)
    assert run is not None
    done = await act(one, 1, "attach", 1, run=run[1], title="Where it went")
    assert done.status_code == 303
    assert made.desk.case(ANN, 1).traces[0].title == "Where it went"
    html = (await one.get("/cases/1")).text
    assert "Where it went" in html
    assert "<td>came back</td>" in html


async def test_a_trace_that_reached_nothing_is_attached(visit: Visit, made: SmallOffice) -> None:
    """It is offered like any other, and the case says that it reached nothing."""
    empty = "e" * 24
    with made.records.database.begin() as session:
        run_table.add(session, stored_run(empty, "trace", "exact", NOW - DAY, depth="3"))
    made.desk.remember_question(ANN, empty, ["A004"])
    one = await visit("ann")
    done = await act(one, 1, "attach", 1, run=empty, title="Where it went")
    assert done.status_code == 303
    html = (await one.get("/cases/1")).text
    assert f'href="/traces/{empty}"' in html
    assert "It reached no other own account." in html


async def test_the_next_case_is_taken(visit: Visit, made: SmallOffice) -> None:
    """One button takes the most severe new case, and says so when there is none."""
    one = await visit("ann")
    done = await one.submit("/cases/next", {"note": "next in line"})
    case = int(re.findall(r"/cases/(\d+)", done.headers["location"])[0])
    assert made.desk.case_head(ANN, case).assignee == "ann"
    sue = await visit("sue")
    await sue.submit("/cases/auto-assign", {})
    done = await one.submit("/cases/next", {"note": "next in line"})
    assert "There is no new case." in (await one.get(done.headers["location"])).text


@EITHER
async def test_a_supervisor_assigns_many_cases_or_none(visit: Visit, made: SmallOffice) -> None:
    """If one of the selected cases has changed, none of them is assigned."""
    one = await visit("sue")
    form = {"case": ["1:1", "2:0"], "assignee": "ben", "note": "yours"}
    assert (await one.submit("/cases/assign", form)).status_code == 409
    assert made.desk.case_head(SUE, 1).assignee is None
    form = {"case": ["1:1", "2:1"], "assignee": "ben", "note": "yours"}
    assert (await one.submit("/cases/assign", form)).status_code == 303
    assert {made.desk.case_head(SUE, n).assignee for n in (1, 2)} == {"ben"}


async def test_lists_of_cases(visit: Visit, made: SmallOffice) -> None:
    """Mine, unassigned, to review and closed show what they say."""
    made.desk.act(ANN, 1, 1, Action.TAKE, "mine")
    one = await visit("ann")

    async def listed(scope: str) -> set[int]:
        html = (await one.get(f"/cases?scope={scope}")).text
        return {int(n) for n in re.findall(r'href="/cases/(\d+)" data-open', html)}

    assert await listed("mine") == {1}
    assert 1 not in await listed("unassigned")
    assert await listed("review") == set()
    assert await listed("closed") == set()
    assert await listed("all") == await listed("open")


async def test_exports_are_files(visit: Visit) -> None:
    """Each kind comes as an attachment with a name of the program's own."""
    one = await visit("ann")
    html = (await one.get("/cases/1")).text
    kinds = re.findall(r"/cases/1/export/([a-z.]+)", html)
    assert {"html", "json", "ftm.json", "transactions.csv", "alerts.csv"} == set(kinds)
    for kind in kinds:
        answer = await one.get(f"/cases/1/export/{kind}")
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert json.loads((await one.get("/cases/1/export/json")).text)["case"]["id"] == 1
    assert (await one.get("/cases/1/export/exe")).status_code == 422
    assert (await one.get("/cases/1/export/..%2f..%2fetc")).status_code in (404, 422)


# Accounts and rules


async def test_an_account_shows_what_the_bank_knows(visit: Visit, made: SmallOffice) -> None:
    """Customer, figures, payments, alerts and cases of an own account."""
    one = await visit("audrey")
    html = (await one.get("/account?id=A004")).text
    page = made.desk.account(ANN, "A004")
    assert str(page.customer) in html
    for alert in page.alerts:
        assert f'href="/alerts/{alert.id}"' in html
    for row in page.transactions.to_pylist():
        assert row["tx_id"] in html


async def test_an_account_of_another_bank_is_not_told_from_none(visit: Visit) -> None:
    """A counterparty that the bank knows and an account that nobody has answer the same."""
    one = await visit("ann")
    known = await one.get("/account?id=BANKB-001")
    none = await one.get("/account?id=NO-SUCH")
    assert known.status_code == none.status_code == 404
    assert known.text.replace("BANKB-001", "") == none.text.replace("NO-SUCH", "")


async def test_every_look_at_an_account_is_on_record(visit: Visit, made: SmallOffice) -> None:
    """Opening pages leaves the entries alert.read, case.read and account.read with the name."""
    one = await visit("ann")
    for path in ("/alerts/1", "/cases/1", "/account?id=A009"):
        await one.get(path)
    lines = [line for line in made.desk.audit(SAM) if line.actor == "ann"]
    assert {"alert.read", "case.read", "account.read"} <= {line.action for line in lines}


async def test_rules_are_tried_and_nothing_changes(visit: Visit, made: SmallOffice) -> None:
    """The trial says what a rule would find; the rules in force stay."""
    text = (
        '[[rule]]\nname = "mine"\nseverity = "low"\n'
        'joint = [ { analysis = "risk-propagation", reached = 2 } ]\n'
    )
    one, before = await visit("sue"), made.desk.rules(SUE).digest
    answer = await one.submit("/rules/test", {"text": text, "runs": "5"})
    assert answer.status_code == 200
    assert "What the rules would have found" in answer.text
    assert "slot-" in answer.text
    assert made.desk.rules(SUE).digest == before
    wrong = await one.submit("/rules/test", {"text": "[[rule]", "runs": "5"})
    assert wrong.status_code == 422
    assert "alerts.rule" in wrong.text


async def test_samples_are_judged_once(visit: Visit, made: SmallOffice) -> None:
    """A sample that a rules file asks for is shown, judged, and then stands as judged."""
    text = (
        '[[rule]]\nname = "mine"\njoint = [ { analysis = "risk-propagation", reached = 2 } ]\n'
        "[sampling]\nabove = 2\nbelow = 2\n"
    )
    (made.folder / "rules.toml").write_text(text)
    made.desk.rules(SUE)
    from tests.bank_node.desk_world import OTTO, SECOND_RUN, store_run

    store_run(made, "slot-" + "z" * 20, [float(i % 4) for i in range(60)],
              analysis="risk-propagation", at=NOW)  # fmt: skip
    made.desk.evaluate(OTTO, "slot-" + "z" * 20)
    assert SECOND_RUN != "slot-" + "z" * 20
    one = await visit("ann")
    html = (await one.get("/rules/samples")).text
    fields = dict(re.findall(r'type="hidden" name="(run|rule|account)" value="([^"]+)"', html))
    assert set(fields) == {"run", "rule", "account"}
    form = fields | {"worthwhile": "yes", "note": "worth it"}
    assert (await one.submit("/rules/judge", form)).status_code == 303
    assert (await one.submit("/rules/judge", form)).status_code == 409
    assert "worth it" in (await one.get("/rules/samples")).text
    assert "judged" in (await one.get("/rules")).text.lower()


# Privacy


async def test_no_page_names_an_account_of_another_bank_that_this_one_does_not_know(
    visit: Visit, made: SmallOffice
) -> None:
    """All pages of all roles, searched for accounts of other banks without own payments."""
    for name in ROLES:
        one = await visit(name)
        for path in (*PAGES, *(f"/alerts/{n}" for n in range(2, 12)), "/account?id=A030"):
            text = (await one.get(path)).text
            assert [account for account in UNKNOWN if account in text] == [], path


def test_the_token_of_a_form_is_found() -> None:
    """The tests' way to read a form's token reads it."""
    assert csrf_of('<input type="hidden" name="csrf" value="abc">') == "abc"


@EITHER
@pytest.mark.parametrize("name", ["ann", "sue", "audrey", "otto"])
async def test_every_link_of_a_page_leads_somewhere(visit: Visit, name: str) -> None:
    """No page offers a link that its reader cannot open."""
    one, links = await visit(name), set()
    for path, allowed in PAGES.items():
        if ROLES[name] in allowed and "export" not in path:
            text = (await one.get(path)).text
            links |= {unescape(found) for found in re.findall(r'href="(/[^"#]*)"', text)}
    links = {link for link in links if not link.startswith("/static/")}
    one_of_a_kind = {re.sub(r"\d+", "1", link): link for link in sorted(links)}
    assert len(one_of_a_kind) >= 4
    for link in one_of_a_kind.values():
        assert (await one.get(link)).status_code == 200, link
