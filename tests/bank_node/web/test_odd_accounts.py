"""Accounts whose ids are odd, as some bank's system makes them: opened, shown and traced."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from bank_node.desk import AuditFilter
from bank_node.ingest import canonical_account
from bank_node.store import results
from bank_node.store import runs as run_table
from bank_node.web.rendering import visible
from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import ANN, AUDREY, DAY, NOW, SmallOffice, small_office, stored_run
from tests.bank_node.web.test_runs import install_agreement

Visit = Callable[[str], Any]
ODD = {
    "slash": "A/1",
    "slashes": "/A//2/",
    "comma": "A,2",
    "semicolon": "A;2",
    "percent": "A%2F3",
    "blank": "A\u00a04",
    "turned": "A\u202e500",
    "control": "A\x01\x1b[31m6",
    "separator": "A\u2028\x857",
    "long": "L" * 250,
    "markup": "<b>A&8</b>",
}
PRINTABLE = [name for name in ODD if name not in ("turned", "control", "separator")]
TURNING = ("\u202e", "\x01", "\x1b", "\u2028", "\x85")


class Page(HTMLParser):
    """Text of a page, without what stands in text fields, and what those hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.field, self._in_field = "", "", False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where a text field begins."""
        self._in_field |= tag == "textarea"

    def handle_endtag(self, tag: str) -> None:
        """Note where a text field ends."""
        self._in_field &= tag != "textarea"

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        if self._in_field:
            self.field += data
        else:
            self.text += data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An office of which some accounts have odd ids."""
    folder = tmp_path_factory.mktemp("odd")
    office = small_office(f"sqlite:///{folder / 'node.db'}", folder, accounts=list(ODD.values()))
    install_agreement(office, folder / "consortium")
    yield office
    office.close()


@pytest.fixture(params=list(ODD))
def odd(request: pytest.FixtureRequest) -> str:
    """Give each odd account."""
    return ODD[request.param]


def test_odd_accounts_are_taken_in(made: SmallOffice, odd: str) -> None:
    """What follows is about accounts that a node has: the intake takes them as they are."""
    assert canonical_account(odd) == odd
    assert made.desk.account(ANN, odd).account == odd


@pytest.mark.parametrize("name", PRINTABLE)
async def test_the_api_shows_an_odd_account(made: SmallOffice, name: str) -> None:
    """An id in an address may hold slashes and all that can be printed."""
    ask, odd = Asking.at(made), ODD[name]
    answer = await ask("ann", "GET", f"/accounts/{quote(odd, safe='')}")
    assert answer.status_code == 200
    assert answer.json()["account"] == odd
    listed = await ask("ann", "GET", "/alerts", params={"account": odd})
    assert listed.status_code == 200
    entries = await ask("audrey", "GET", "/audit", params={"account": odd})
    assert "account.read" in {entry["action"] for entry in entries.json()["entries"]}


@pytest.mark.parametrize("name", PRINTABLE)
async def test_the_api_traces_an_odd_account(made: SmallOffice, name: str) -> None:
    """Such an account can be asked about."""
    odd = ODD[name]
    form = {"accounts": [odd], "parameters": {"direction": "forward"}, "policy": "exact"}
    answer = await Asking.at(made)("ann", "POST", "/traces", form)
    assert answer.status_code < 300, answer.text
    assert made.node.asked[-1][0].accounts == [odd]


async def test_an_odd_account_has_a_page(made: SmallOffice, visit: Visit, odd: str) -> None:
    """Its page shows the id; what nobody could see or what turns the writing is written out."""
    one = await visit("ann")
    answer = await one.get("/account", params={"id": odd})
    assert answer.status_code == 200
    text = Page(answer.text).text
    assert visible(odd) in text or odd in text
    assert not [character for character in TURNING if character in text]
    assert (await one.get("/alerts", params={"account": odd})).status_code == 200


async def test_the_button_of_an_odd_account_traces_it(
    made: SmallOffice, visit: Visit, odd: str
) -> None:
    """The form is filled in with the id as it is, and asks about that one account."""
    one = await visit("ann")
    shown = await one.get("/traces", params={"account": odd})
    field = Page(shown.text).field
    assert field == odd
    form = {
        "accounts": field, "since": "2026-03-01", "until": "2026-03-30", "direction": "forward",
        "slice": "1d", "hops": "3", "policy": "exact",
    }  # fmt: skip
    sent = await one.submit("/traces", form)
    assert sent.status_code == 303, sent.text
    assert made.node.asked[-1][0].accounts == [odd]


async def test_an_auditor_finds_an_odd_account(made: SmallOffice, visit: Visit, odd: str) -> None:
    """The audit log is searched for it on the page as at the desk."""
    made.desk.account(ANN, odd)
    one = await visit("audrey")
    text = (await one.get("/audit", params={"account": odd})).text
    assert "account.read" in text
    assert made.desk.audit(AUDREY, AuditFilter(account=odd, action="account.read"))


async def test_lines_are_accounts(made: SmallOffice, visit: Visit) -> None:
    """Several accounts stand on a line each, whatever ends the lines."""
    one = await visit("ann")
    form = {
        "accounts": "A001\r\n\r\nA,2\n A002 \rA001", "since": "2026-03-01", "until": "2026-03-30",
        "direction": "forward", "slice": "1d", "hops": "3", "policy": "exact",
    }  # fmt: skip
    assert (await one.submit("/traces", form)).status_code == 303
    assert made.node.asked[-1][0].accounts == ["A001", "A,2", "A002"]


@pytest.mark.parametrize("name", ["A\0B", "L" * 401])
async def test_what_no_bank_has_is_refused(made: SmallOffice, visit: Visit, name: str) -> None:
    """An id without a bound, or one that no database keeps, is no fault of the server."""
    one = await visit("ann")
    assert (await one.get("/account", params={"id": name})).status_code == 400
    answer = await Asking.at(made)("ann", "GET", f"/accounts/{quote(name, safe='')}")
    assert answer.status_code == 422


async def test_the_picture_of_odd_accounts_is_a_picture(made: SmallOffice, visit: Visit) -> None:
    """A file of XML may hold no control characters: they are written out there too."""
    names, run_id = list(ODD.values()), "o" * 24
    n = len(names)
    rows = pa.table(
        {"account": names, "slice": [1] * n, "kind": ["received"] * n, "amount": [9.5] * n}
    )
    with made.records.database.begin() as session:
        more = {"direction": "forward", "slice": "1d", "hops": "3"}
        run_table.add(session, stored_run(run_id, "trace", "exact", NOW - DAY, **more))
        results.store_trace(session, run_id, rows)
    made.desk.remember_question(ANN, run_id, ["A001"])
    one = await visit("ann")
    answer = await one.get(f"/traces/{run_id}/picture.svg")
    assert ElementTree.fromstring(answer.text).tag.endswith("svg")
    assert "\u202e" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "until=0001-01-01", "until=0001-01-15", "since=0001-01-01", "since=9999-12-31",
        "since=9999-12-31T23:59:59-23:59", "until=9999-12-31T23:59:59-23:59",
        "since=0001-01-01T00:00:00%2B23:59&until=0001-01-01T00:00:00%2B23:59",
    ],
)  # fmt: skip
async def test_a_day_that_no_window_has_counts_as_not_given(
    made: SmallOffice, visit: Visit, query: str
) -> None:
    """A link with a date at the end of the calendar leads to the usual window."""
    one = await visit("ann")
    answer = await one.get(f"/traces?{query}")
    assert answer.status_code == 200
    assert 'name="until" required value="2026-' in answer.text


def test_text_is_written_out_and_markup_is_not() -> None:
    """A form must send back what it was given."""
    html = '<p title="a\u202eb">a\u202eb\tc\n</p><textarea>d\u2066</textarea><b>\x1b</b>'
    shown = '<p title="a\u202eb">a\\u202eb\tc\n</p><textarea>d\u2066</textarea><b>\\u001b</b>'
    assert visible(html) == shown
