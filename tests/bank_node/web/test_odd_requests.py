"""What is sent seldom or by mistake: floods, empty selections, addresses of forms, odd input."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from alerts import Action, Outcome
from alerts.errors import AlertsError
from bank_node.api.server import people_app
from bank_node.errors import UndercurrentError
from bank_node.people import SignedIn, signing_in
from bank_node.web import web_routes
from bank_node.web.words import catalogue
from tests.bank_node.desk_world import ANN, BANK, PASSWORD, SUE, SmallOffice
from tests.bank_node.web.conftest import URL, Visitor, csrf_of, stranger

Visit = Callable[[str], Any]
DUTCH = f"undercurrent-{BANK}-language"


def told(answer: httpx.Response) -> str:
    """Return what a page says between its head and its foot."""
    return answer.text.partition("<main")[2].partition("</main>")[0]


# A flood of sign-ins


async def test_few_sign_in_at_once_and_the_others_go_on_working(
    made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passwords are compared, sixteen wait, the next are told to come back; pages answer."""
    go, right = threading.Event(), signing_in.matches

    def slow(stored: str | None, password: str) -> bool:
        go.wait(30)
        return right(stored, password)

    monkeypatch.setattr(signing_in, "matches", slow)
    transport = httpx.ASGITransport(people_app(made.office))
    async with Visitor(transport=transport, base_url=URL) as one:
        token = csrf_of((await one.get("/sign-in")).text)
        form = {"csrf": token, "name": "ann", "password": PASSWORD, "next": "/cases"}
        asked = [asyncio.create_task(one.post("/sign-in", data=form)) for _ in range(21)]
        try:
            async with asyncio.timeout(15):
                for refused in itertools.islice(asyncio.as_completed(asked), 3):
                    assert (await refused).status_code == 429
                assert (await one.get("/sign-in")).status_code == 200
                wanted = {"name": "ann", "password": PASSWORD}
                by_api = await one.post("/api/v1/sign-in", json=wanted)
        finally:
            go.set()
        answers = await asyncio.gather(*asked)
    assert by_api.status_code == 429, "the API has the same places"
    assert sorted(a.status_code for a in answers) == [303] * 18 + [429] * 3
    full = next(a for a in answers if a.status_code == 429)
    assert full.headers["retry-after"] == "5"
    assert "at the same moment" in told(full)
    assert 'value="ann"' in told(full)
    assert 'name="next" value="/cases"' in told(full)


def test_no_session_is_open_while_a_password_is_compared(
    made: SmallOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is asked before and after, for a name that is there and for one that is not."""
    database, right = made.records.database, signing_in.matches
    depth, seen = [0], []

    def counted(give: Callable[[], Any]) -> Callable[[], Any]:
        @contextmanager
        def counting() -> Iterator[Session]:
            depth[0] += 1
            try:
                with give() as session:
                    yield session
            finally:
                depth[0] -= 1

        return counting

    def compared(stored: str | None, password: str) -> bool:
        seen.append((stored is None, depth[0]))
        return right(stored, password)

    monkeypatch.setattr(database, "read", counted(database.read))
    monkeypatch.setattr(database, "begin", counted(database.begin))
    monkeypatch.setattr(signing_in, "matches", compared)
    assert isinstance(made.desk.sign_in("ann", PASSWORD), SignedIn)
    assert not isinstance(made.desk.sign_in("zoe", PASSWORD), SignedIn)
    assert seen == [(False, 0), (True, 0)]


# Addresses that only take forms


async def test_the_language_switch_leads_to_a_page_from_wherever(
    made: SmallOffice, visit: Visit
) -> None:
    """Each address that a form is sent to can show a page; back from it leads to one to look at."""
    one = await visit("sue")
    for route in web_routes(made.office):
        path = re.sub(r"\{[^}]*\}", "1", route.path)
        back = {"referer": f"{URL}{path}?x=1"}
        sent = await one.submit("/preferences", {"theme": "dark"}, headers=back)
        there = await one.get(sent.headers["location"], follow_redirects=True)
        assert there.status_code != 405, path


@pytest.mark.parametrize(
    ("posted", "shown"),
    [
        ("/alerts/selected", "/alerts"),
        ("/alerts/selected/open", "/alerts"),
        ("/audit/verify", "/audit"),
        ("/rules/test", "/rules"),
        ("/cases/7/act", "/cases/7"),
        ("/sign-out", "/"),
        ("/cases?scope=mine", "/cases?scope=mine"),
        ("/runs/propose?x=1", "/runs/propose?x=1"),
    ],
)
async def test_what_only_takes_forms_is_left_for_the_page_above(
    made: SmallOffice, visit: Visit, posted: str, shown: str
) -> None:
    """After the language switch, after signing in, and behind a link back."""
    one, back = await visit("sue"), {"referer": f"{URL}{posted}"}
    sent = await one.submit("/preferences", {"language": "nl"}, headers=back)
    assert sent.headers["location"] == shown
    assert f'class="button" href="{shown}"' in (await one.get("/nope", headers=back)).text
    async with stranger(made) as other:
        assert (await other.sign_in("sue", next=posted)).headers["location"] == shown


async def test_a_stale_selection_leads_back_to_the_alerts(visit: Visit) -> None:
    """Who was slower with selected alerts gets a link that can be followed."""
    one = await visit("ann")
    box = re.findall(r'name="alert" value="([^"]+)"', (await one.get("/alerts?status=open")).text)[
        0
    ]
    number, _version, case, subject = box.split(":", 3)
    form = {"alert": f"{number}:999:{case}:{subject}", "note": "together"}
    back = {"referer": f"{URL}/alerts/selected"}
    answer = await one.submit("/alerts/selected/open", form, headers=back)
    assert answer.status_code == 409
    link = re.search(r'class="button" href="([^"]+)"', answer.text)
    assert link is not None
    assert (await one.get(link[1])).status_code == 200


# What was done, and what was not


@pytest.mark.parametrize(
    "path", ["/alerts/selected/open", "/alerts/selected/assign", "/cases/assign"]
)
async def test_an_empty_selection_is_refused(visit: Visit, path: str) -> None:
    """Nothing is selected, nothing is said to be done, whatever else is in the form."""
    one = await visit("sue")
    for more in ({"assignee": "ben", "note": "yours"}, {"note": ""}):
        answer = await one.submit(path, more)
        assert answer.status_code == 422
        assert "Nothing was selected" in told(answer)
    one.cookies.set(DUTCH, "nl")
    assert "niets gekozen" in told(await one.submit(path, {}))


async def test_several_assigned_cases_are_counted(visit: Visit, made: SmallOffice) -> None:
    """The message says how many cases, in both languages; one case is told in the singular."""
    one = await visit("sue")
    new = [f"{c.id}:{c.version}" for c in made.desk.cases(SUE, limit=4)]
    form = {"case": new[:3], "assignee": "ben", "note": "yours"}
    done = (await one.submit("/cases/assign", form)).headers["location"]
    assert done == "/cases?done=assign&n=3"
    assert "3 cases are assigned." in told(await one.get(done))
    last = await one.submit("/cases/assign", form | {"case": new[3]})
    assert "The case is assigned." in told(await one.get(last.headers["location"]))
    one.cookies.set(DUTCH, "nl")
    assert "3 zaken zijn toegewezen." in told(await one.get(done))
    for odd in ("x", "", "-1", "9" * 5000):
        assert (await one.get(f"/cases?done=assign&n={odd}")).status_code == 200


async def test_several_opened_cases_are_counted(visit: Visit) -> None:
    """The message after opening a selection says how many cases it became."""
    one = await visit("ann")
    html = (await one.get("/alerts?status=open")).text
    boxes = re.findall(r'name="alert" value="([^"]+)"', html)
    cases = len({box.split(":", 3)[3] for box in boxes})
    assert cases > 1
    done = await one.submit("/alerts/selected/open", {"alert": boxes, "note": "one by one"})
    assert f"{cases} cases are open." in told(await one.get(done.headers["location"]))


async def test_giving_out_says_how_many_and_when_there_were_none(
    visit: Visit, made: SmallOffice
) -> None:
    """The first time all new cases are counted, the second time there is none."""
    one, new = await visit("sue"), made.desk.summary(SUE).unassigned
    assert new > 1
    first = await one.submit("/cases/auto-assign", {})
    assert f"{new} new cases were given out." in told(await one.get(first.headers["location"]))
    second = await one.submit("/cases/auto-assign", {})
    assert "There is no new case." in told(await one.get(second.headers["location"]))


# Odd input


@pytest.mark.parametrize("name", ["ann", None])
async def test_a_static_file_takes_no_form(made: SmallOffice, name: str | None) -> None:
    """Another method, and a name that is no path, are refused as elsewhere, to anybody."""
    async with stranger(made) as one:
        if name is not None:
            await one.sign_in(name)
        one.cookies.set(DUTCH, "nl")
        posted = await one.post("/static/app.css", data={})
        assert posted.status_code == 405
        assert set(posted.headers["allow"].split(", ")) == {"GET", "HEAD"}
        assert "Dat kan hier niet" in told(posted)
        assert (await one.get("/static/a%0Ab")).status_code == 404


@pytest.mark.parametrize("path", ["/cases/{}", "/alerts/{}", "/cases/{}/export/html"])
@pytest.mark.parametrize("digits", [19, 5000])
async def test_a_number_of_many_digits_is_not_found(visit: Visit, path: str, digits: int) -> None:
    """No database holds it, however long Python lets numbers be."""
    one = await visit("ann")
    assert (await one.get(path.format("9" * digits))).status_code == 404


async def test_a_view_of_too_many_filters_is_refused(visit: Visit, made: SmallOffice) -> None:
    """More filters than there are is the visitor's error."""
    one = await visit("ann")
    form = {"name": "all", "query": "&".join(f"rule={i}" for i in range(30))}
    assert (await one.submit("/alerts/views", form)).status_code == 400
    assert made.desk.views(ANN) == {}


# Refusals in the reader's language


def ready_for_review(made: SmallOffice) -> None:
    """Let a supervisor work on the first case and submit it."""
    for version, action in enumerate([Action.TAKE, Action.BEGIN], start=1):
        made.desk.act(SUE, 1, version, action, "mine")
    made.desk.act(SUE, 1, 3, Action.SUBMIT, "done", outcome=Outcome.FALSE_ALARM)


def taken_by_another(made: SmallOffice) -> None:
    """Give the first case to ben."""
    made.desk.act(SUE, 1, 1, Action.ASSIGN, "his", assignee="ben")


@pytest.mark.parametrize(
    ("code", "name", "before", "form"),
    [
        ("stale-version", "ann", None, {"version": "0", "action": "take"}),
        ("wrong-state", "ann", None, {"version": "1", "action": "begin"}),
        ("not-permitted", "ann", None, {"version": "1", "action": "approve"}),
        ("note-required", "ann", None, {"version": "1", "action": "take", "note": " "}),
        ("not-assignee", "ann", taken_by_another, {"version": "2", "action": "begin"}),
        ("four-eyes", "sue", ready_for_review, {"version": "4", "action": "approve"}),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}], ids=["page", "htmx"])
async def test_a_refusal_of_daily_work_is_told_in_dutch_only(
    visit: Visit,
    made: SmallOffice,
    code: str,
    name: str,
    before: Callable[[SmallOffice], None] | None,
    form: dict[str, str],
    headers: dict[str, str],
) -> None:
    """The Dutch page says it in Dutch and not in English too; the English one adds who and when."""
    if before is not None:
        before(made)
    one, key = await visit(name), f"refusal.alerts.{code}"
    form = {"note": "because"} | form
    english = await one.submit("/cases/1/act", form, headers=headers)
    exact = re.findall(r"</strong></p><p>(.*?)</p>", english.text)
    assert catalogue("en")[key] in english.text.replace("&#39;", "'")
    assert 'lang="en"' not in (told(english) or english.text)
    assert exact != []
    one.cookies.set(DUTCH, "nl")
    dutch = await one.submit("/cases/1/act", form, headers=headers)
    assert dutch.status_code == english.status_code
    assert catalogue("nl")[key] in dutch.text.replace("&#39;", "'")
    assert f"alerts.{code}" in dutch.text
    assert exact[0] not in dutch.text
    assert 'lang="en"' not in (told(dutch) or dutch.text)


@pytest.mark.parametrize(
    ("path", "key"),
    [("/cases/99999", "alerts.not-found"), ("/runs/nope", "node.unknown-run")],
)
async def test_what_is_not_there_is_told_in_dutch_only(visit: Visit, path: str, key: str) -> None:
    """A case or run that does not exist is told in the reader's language."""
    one = await visit("sue")
    one.cookies.set(DUTCH, "nl")
    answer = await one.get(path)
    assert answer.status_code == 404
    assert catalogue("nl")[f"refusal.{key}"] in answer.text.replace("&#39;", "'")
    assert 'lang="en"' not in told(answer)


@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}], ids=["page", "htmx"])
async def test_a_rare_refusal_is_marked_as_english(visit: Visit, headers: dict[str, str]) -> None:
    """What has no Dutch words is read out as English; on an English page nothing is marked."""
    one = await visit("ann")
    form = {"version": "1", "action": "take", "note": "x" * 10_001}
    english = await one.submit("/cases/1/act", form, headers=headers)
    assert 'lang="en"' not in (told(english) or english.text)
    one.cookies.set(DUTCH, "nl")
    dutch = await one.submit("/cases/1/act", form, headers=headers)
    assert '<p lang="en"><strong>the note is longer than' in dutch.text
    assert '<p lang="en">shorten it</p>' in dutch.text


def test_each_refusal_with_words_is_an_error_that_there_is() -> None:
    """The catalogue tells by codes of errors; a code that was renamed does not stay behind."""
    kinds: list[type[Exception]] = [AlertsError, UndercurrentError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    codes = {getattr(kind, "code", "") for kind in kinds}
    named = {k.removeprefix("refusal.") for k in catalogue("en") if k.startswith("refusal.")}
    assert named
    assert named <= codes
