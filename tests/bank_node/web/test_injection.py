"""Words of people and of the bank's data stay words: no page runs or renders what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from markupsafe import escape

from alerts import Action, Outcome
from tests.bank_node.desk_world import ANN, SUE, TRACE, SmallOffice, small_office

Visit = Callable[[str], Any]
OWNER = "\"><script>x('cust')</script><img src=x onerror=x(1)>"
NOTE = "'\"><script>x('note')</script></textarea><svg onload=x(1)>{{ 7*7 }}{% raw %}${7*7}"
TITLE = '<iframe srcdoc=x></iframe>" onfocus="x(1)'
VIEW = "\"><a href='javascript:x(1)'>view</a>"
FILTERS = (
    "\"><script>x('refl')</script>",
    "' onmouseover='x(1)",
    "javascript:x(1)",
    "</select><script>",
)
PAGES = ("/", "/alerts", "/alerts/1", "/cases", "/cases?scope=all", "/cases/1", "/account?id=A004",
         "/rules", "/rules/samples")  # fmt: skip


class Elements(HTMLParser):
    """What a browser makes of a page: elements and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.found.append((tag, dict(attrs)))


def dangers(text: str) -> list[str]:
    """Return elements and attributes that could run something or come from words."""
    wrong = []
    for tag, attributes in Elements(text).found:
        src = attributes.get("src") or ""
        if tag in {"iframe", "object", "embed", "base", "style"}:
            wrong.append(tag)
        if tag in {"script", "img"} and not src.startswith("/static/"):
            wrong.append(f"{tag} {attributes}")
        wrong += [n for n in attributes if n.startswith("on") or n in {"style", "srcdoc"}]
        for name in ("href", "src", "action", "hx-get", "hx-post"):
            value = attributes.get(name)
            if value is not None and not value.startswith(("/", "#")):
                wrong.append(f"{name}={value}")
    return wrong


@pytest.fixture
def made(tmp_path: Path) -> Iterator[SmallOffice]:
    """Give an office whose data, journal and views say hostile things."""
    office = small_office(
        f"sqlite:///{tmp_path / 'node.db'}",
        tmp_path,
        customers={"A003": OWNER, "A004": OWNER},
    )
    desk = office.desk
    for version, action in enumerate([Action.TAKE, Action.BEGIN], start=1):
        desk.act(ANN, 1, version, action, NOTE)
    desk.attach(ANN, 1, 3, TRACE, TITLE, NOTE)
    desk.act(ANN, 1, 4, Action.SUBMIT, NOTE, outcome=Outcome.CONFIRMED)
    desk.save_view(ANN, VIEW, "rule=%22%3E%3Cscript%3E")
    desk.save_view(SUE, VIEW, '"><script>x(1)</script>')
    yield office
    office.close()


def test_the_parser_sees_what_is_dangerous() -> None:
    """The tests' own eye finds an element and an attribute that were not escaped."""
    assert dangers(f"<p>{NOTE}</p>")
    assert dangers('<a href="javascript:x(1)">x</a>')
    assert dangers('<input onfocus="x(1)">')
    assert dangers(f"<p>{escape(NOTE)}</p>") == []


@pytest.mark.parametrize("name", ["ann", "sue", "audrey"])
async def test_stored_words_are_shown_and_not_run(visit: Visit, name: str) -> None:
    """Customers' names, notes, titles and view names come out as text on every page."""
    one = await visit(name)
    texts = {path: (await one.get(path)).text for path in PAGES}
    for path, text in texts.items():
        assert dangers(text) == [], path
    assert escape("x('note')") in texts["/cases/1"]
    assert escape("<iframe srcdoc=x>") in texts["/cases/1"]
    assert escape("x('cust')") in texts["/alerts"]
    assert "{{ 7*7 }}" in texts["/cases/1"]


@pytest.mark.parametrize("words", FILTERS)
async def test_reflected_words_are_shown_and_not_run(visit: Visit, words: str) -> None:
    """What an address says comes out as text, whichever field it is in."""
    one = await visit("sue")
    said = quote(words)
    paths = [
        f"/alerts?{field}={said}" for field in ("status", "severity", "rule", "account", "run")
    ]
    paths += [f"/alerts?order={said}", f"/alerts?done={said}", f"/cases?scope={said}"]
    paths += [f"/cases?assignee={said}&severity={said}", f"/account?id={said}"]
    paths += [f"/rules/samples?rule={said}&line={said}", f"/cases/1/export/{said}", f"/{said}"]
    paths += [f"/cases/1?done={said}", f"/sign-in?next={said}"]
    for path in paths:
        answer = await one.get(path, headers={"referer": f"http://desk/{said}"})
        assert dangers(answer.text) == [], path


@pytest.mark.parametrize("words", FILTERS)
async def test_words_of_a_refused_form_are_shown_and_not_run(visit: Visit, words: str) -> None:
    """An error page that keeps what was typed keeps it as text, also for htmx."""
    one = await visit("sue")
    for headers in ({}, {"hx-request": "true"}):
        form = {"version": "0", "action": "note", "note": words, "assignee": words}
        answer = await one.submit("/cases/1/act", form, headers=headers)
        assert answer.status_code == 409
        assert dangers(answer.text) == []
        form = {"text": words, "only": words, "runs": "1"}
        assert dangers((await one.submit("/rules/test", form, headers=headers)).text) == []
        box = {"alert": [f"1:1:0:{words}"]}
        assert dangers((await one.submit("/alerts/selected", box, headers=headers)).text) == []


async def test_a_wrong_name_at_the_door_is_shown_and_not_run(made: SmallOffice) -> None:
    """The sign-in page shows a wrong name again as text."""
    from tests.bank_node.web.conftest import stranger

    async with stranger(made) as one:
        answer = await one.sign_in(OWNER, "wrong")
        assert answer.status_code == 403
        assert dangers(answer.text) == []


async def test_no_header_can_be_split(visit: Visit) -> None:
    """Line breaks in a saved view or a path make no further header."""
    one = await visit("ann")
    query = "rule=x%0d%0aset-cookie:%20a=b"
    answer = await one.submit("/alerts/views", {"name": "split", "query": query})
    assert answer.status_code == 303
    assert "a=b" not in answer.headers.get("set-cookie", "")
    assert re.search(r"[\r\n]", answer.headers["location"]) is None
