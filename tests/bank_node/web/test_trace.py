"""Traces in the browser: asked within the agreement, watched, looked at, and kept in a case."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bank_node.errors import ParameterError
from bank_node.node.control import KeepQuestion, Question
from bank_node.store import results
from bank_node.store import runs as run_table
from bank_node.store.errors import UnavailableError
from tests.bank_node.desk_world import (
    ANN,
    AUDREY,
    DAY,
    KNOWN,
    NOW,
    OWN,
    ROUND_TRIP,
    SECOND,
    TRACE,
    UNKNOWN,
    SmallOffice,
    stored_run,
)
from tests.bank_node.web.conftest import violations
from tests.bank_node.web.looks import LOOKS
from tests.bank_node.web.test_runs import install_agreement

ON_ITS_WAY = "t" * 24
FORM = {
    "accounts": "A001", "since": "2026-03-01", "until": "2026-03-30", "direction": "forward",
    "slice": "1d", "hops": "3", "policy": "exact",
}  # fmt: skip


@pytest.fixture
def agreed(made: SmallOffice, tmp_path: Path) -> SmallOffice:
    """The small office with an agreement in effect."""
    install_agreement(made, tmp_path / "consortium")
    return made


def store_trace(made: SmallOffice, run_id: str, rows: pa.Table, asked: Sequence[str]) -> None:
    """Store what a trace found, as if the node had just ended it."""
    with made.records.database.begin() as session:
        more = {"direction": "forward", "slice": "1d", "hops": "3"}
        run_table.add(session, stored_run(run_id, "trace", "exact", NOW - DAY, **more))
        results.store_trace(session, run_id, rows)
    made.desk.remember_question(ANN, run_id, list(asked))


def found(accounts: Sequence[str]) -> pa.Table:
    """Rows of a trace that reached these accounts, and returned to the first own account."""
    n = len(accounts)
    rng = np.random.default_rng(5)
    return pa.table(
        {
            "account": [*accounts, OWN[0]],
            "slice": np.append(np.sort(rng.integers(0, 12, n)), 11),
            "kind": ["received"] * n + ["returned"],
            "amount": np.append(np.round(np.exp(rng.normal(6, 1.5, n)), 2), 55.0),
        }
    )


def own_case(made: SmallOffice) -> int:
    """A case that ann has."""
    change = made.desk.take_next(ANN, "mine")
    assert change is not None
    return change.case.id


@pytest.mark.parametrize(
    ("name", "reads", "asks"),
    [("ann", 200, True), ("sue", 200, True), ("audrey", 200, False), ("otto", 403, False)],
)
async def test_who_reads_and_who_asks(
    visit: Callable[[str], Any], name: str, reads: int, asks: bool
) -> None:
    """Analysts and supervisors trace, auditors read traces, operators see no account."""
    one = await visit(name)
    for path in ("/traces", f"/traces/{TRACE}", f"/traces/{TRACE}/picture.svg"):
        answer = await one.get(path)
        assert answer.status_code == reads, path
    assert ('action="/traces"' in (await one.get("/traces")).text) == asks
    posted = await one.submit("/traces", FORM)
    assert posted.status_code == (303 if asks else 403)


async def test_nobody_traces_without_signing_in(made: SmallOffice) -> None:
    """A stranger is sent to the sign-in page and sees nothing of a trace."""
    from tests.bank_node.web.conftest import stranger

    async with stranger(made) as one:
        for path in ("/traces", f"/traces/{TRACE}", f"/traces/{TRACE}/picture.svg"):
            answer = await one.get(path)
            assert answer.status_code == 303
            assert "A001" not in answer.text


async def test_a_question_from_another_site_is_refused(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Without the session's token, or from another origin, nothing is asked."""
    ann = await visit("ann")
    assert (await ann.post("/traces", data=FORM)).status_code == 403
    crossed = await ann.submit("/traces", FORM, headers={"sec-fetch-site": "cross-site"})
    assert crossed.status_code == 403
    assert made.node.asked == []


async def test_a_question_goes_to_the_node_and_is_remembered(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The accounts go to the own node and the desk; the fixed parameters are added."""
    ann = await visit("ann")
    answer = await ann.submit("/traces", FORM | {"accounts": "A001\n A002 \nA001", "hops": "2"})
    assert answer.headers["location"] == f"/traces/{ON_ITS_WAY}"
    [(question, person)] = agreed.node.asked
    assert isinstance(question, Question)
    assert person == "ann"
    assert question.accounts == ["A001", "A002"]
    assert question.policy == "exact"
    assert question.parameters == {
        "direction": "forward", "slice": "1d", "hops": "2", "depth": "off",
        "since": "2026-03-01T00:00:00Z", "until": "2026-03-31T00:00:00Z",
    }  # fmt: skip
    line, *_before = [e for e in agreed.desk.audit(AUDREY, limit=20) if e.action == "trace.asked"]
    assert line.details["account"] == ["A001", "A002"]


async def test_the_agreements_bounds_are_shown(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The form offers what the agreement allows and nothing else."""
    text = (await (await visit("ann")).get("/traces")).text
    assert 'name="hops" required min="1" max="4"' in text
    assert re.findall(r'<option value="([^"]+)"', text) == ["forward", "backward", "1d", "12h"]
    assert "a window of at most 31d" in text
    assert 'name="depth"' not in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accounts": " \n"}, "Name at least one own account."),
        ({"hops": "5"}, "The agreement does not allow this value."),
        ({"hops": "x"}, "The agreement does not allow this value."),
        ({"slice": "1h"}, "The agreement does not allow this value."),
        ({"direction": "sideways"}, "The agreement does not allow this value."),
        ({"policy": "bands:0.5"}, "The agreement does not allow this value."),
        ({"since": "2026-01-01"}, "The window is longer than the agreement allows."),
        ({"since": "2026-03-31"}, "The last day lies before the first."),
        ({"until": "soon"}, "Give two days, as 2026-03-01."),
        ({"until": "9999-12-31"}, "The window is longer than the agreement allows."),
    ],
)
async def test_what_the_agreement_does_not_allow_is_not_asked(
    agreed: SmallOffice, visit: Callable[[str], Any], changes: dict[str, str], said: str
) -> None:
    """Each field is checked at the server; what was typed stays; the node is not asked."""
    answer = await (await visit("ann")).submit("/traces", FORM | changes)
    assert answer.status_code == 422
    assert said in answer.text
    assert "2026-03-30" in answer.text or "until" in changes
    assert agreed.node.asked == []


async def test_a_day_beyond_the_calendar_is_asked_for_again(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Without an agreement nothing bounds the window but the calendar."""
    answer = await (await visit("ann")).submit("/traces", FORM | {"until": "9999-12-31"})
    assert answer.status_code == 422
    assert "Give two days, as 2026-03-01." in answer.text
    assert made.node.asked == []


async def test_a_refusal_of_the_node_stands_beside_the_form(
    agreed: SmallOffice, visit: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the node refuses is told with its remedy, and the form keeps what was typed."""

    async def refuse(_question: Question, _person: str, _keep: KeepQuestion) -> dict[str, Any]:
        raise ParameterError("account number 1 is no account of BANKA", "Check its spelling")

    monkeypatch.setattr(agreed.node, "trace", refuse)
    answer = await (await visit("ann")).submit("/traces", FORM | {"accounts": "A-typo"})
    assert answer.status_code == 422
    assert "account number 1 is no account of BANKA" in answer.text
    assert "A-typo</textarea>" in answer.text


async def test_progress_says_who_is_waited_for_and_ends_at_the_result(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The fragment polls itself while the run is open, and sends the browser on when it is over."""
    made.desk.remember_question(ANN, ON_ITS_WAY, [OWN[0]])
    ann = await visit("ann")
    made.node.phase = "running"
    text = (await ann.get(f"/traces/{ON_ITS_WAY}/progress")).text
    assert 'hx-trigger="every 1s"' in text
    assert "Waits for BANKC." in text
    assert "<html" not in text
    made.node.phase = "stored"
    answer = await ann.get(f"/traces/{ON_ITS_WAY}/progress")
    assert answer.headers["hx-redirect"] == f"/traces/{ON_ITS_WAY}"
    made.node.phase = "refused"
    assert "hx-trigger" not in (await ann.get(f"/traces/{ON_ITS_WAY}/progress")).text


async def test_a_trace_is_cancelled_until_it_is_computed(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Who asked may cancel until the own part is computed; then no button promises it."""
    made.desk.remember_question(ANN, ON_ITS_WAY, [OWN[0]])
    ann = await visit("ann")
    made.node.phase = "consented"
    assert "/cancel" in (await ann.get(f"/traces/{ON_ITS_WAY}")).text
    assert (await ann.submit(f"/traces/{ON_ITS_WAY}/cancel", {})).status_code == 303
    assert made.node.asked == [("reject", ON_ITS_WAY, "cancelled by who asked", "ann")]
    made.node.phase = "running"
    assert "/cancel" in (await ann.get(f"/traces/{ON_ITS_WAY}")).text
    made.node.phase = "computed"
    assert "/cancel" not in (await ann.get(f"/traces/{ON_ITS_WAY}")).text
    made.node.phase = "consented"
    for name, may in (("audrey", False), ("ben", False), ("sue", True)):
        assert ("/cancel" in (await (await visit(name)).get(f"/traces/{ON_ITS_WAY}")).text) == may
    refused = await (await visit("ben")).submit(f"/traces/{ON_ITS_WAY}/cancel", {})
    assert refused.status_code == 403


@pytest.mark.parametrize("run_id", ["e" * 24, ROUND_TRIP])
async def test_a_run_that_is_no_trace_of_this_bank_is_out_of_reach_of_the_trace_pages(
    made: SmallOffice, visit: Callable[[str], Any], run_id: str
) -> None:
    """Another bank's proposal and a run for all are neither shown nor cancelled here."""
    made.node.phase = "consented"
    ann = await visit("ann")
    for place in (f"/traces/{run_id}", f"/traces/{run_id}/progress"):
        assert (await ann.get(place)).status_code == 404
    assert (await ann.submit(f"/traces/{run_id}/cancel", {})).status_code == 404
    assert made.node.asked == []


async def test_a_trace_without_a_question_on_record_is_never_proposed(
    agreed: SmallOffice, visit: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the database held, the node is not asked at all, and the form says why."""

    def held(*_arguments: Any) -> None:
        raise UnavailableError("the database is held by another process", "Try again")

    monkeypatch.setattr(agreed.desk, "remember_question", held)
    answer = await (await visit("ann")).submit("/traces", FORM)
    assert answer.status_code == 422
    assert "the database is held by another process" in answer.text
    assert agreed.node.asked == []


async def test_a_page_that_asks_by_itself_keeps_nobody_signed_in(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """A browser left alone on a trace is signed out after the idle time, however often it polls."""
    made.desk.remember_question(ANN, ON_ITS_WAY, [OWN[0]])
    ann = await visit("ann")
    idle = made.office.config.web.sign_in.idle_minutes
    step = (idle - 1) * 60 * SECOND
    made.clock.now += step
    assert (await ann.get(f"/traces/{ON_ITS_WAY}/progress")).status_code == 200
    made.clock.now += step
    assert (await ann.get("/rules")).status_code == 303


async def test_no_account_of_another_bank_is_served(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Neither page nor picture of a trace names an account of another bank, known or not."""
    store_trace(made, "f" * 24, found(OWN[1:]), OWN[:1])
    ann = await visit("ann")
    for run in (TRACE, "f" * 24):
        for path in ("", "/picture.svg", "?cut=0", "?by=depth"):
            text = (await ann.get(f"/traces/{run}{path}")).text
            assert "Bank BANKB" in text
            assert not [a for a in (*KNOWN, *UNKNOWN) if a in text]


async def test_the_saved_picture_is_a_file_and_on_record(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The SVG comes as an attachment that runs nothing; that it was taken stands in the log."""
    answer = await (await visit("ann")).get(f"/traces/{TRACE}/picture.svg")
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["content-disposition"] == f'attachment; filename="trace-{TRACE}.svg"'
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    lines = [e for e in made.desk.audit(AUDREY, limit=20) if e.action == "trace.read"]
    assert lines[0].actor == "ann"


async def test_names_are_never_markup(made: SmallOffice, visit: Callable[[str], Any]) -> None:
    """An account, and what a link or form hands over, stand there as text."""
    evil = '"><script>alert(1)</script>'
    store_trace(made, "f" * 24, found([evil]), [OWN[0]])
    ann = await visit("ann")
    pages = [
        await ann.get(f"/traces/{'f' * 24}"),
        await ann.get("/traces", params={"account": evil, "hops": evil}),
        await ann.get(f"/traces/{TRACE}", params={"cut": evil, "by": evil}),
        await ann.submit("/traces", FORM | {"accounts": evil, "hops": evil}),
        await ann.get("/traces/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
    ]
    assert not [p.url for p in pages if "<script>alert" in p.text]


@pytest.mark.parametrize("cut", ["nan", "inf", "-1", "1e400", "x", ""])
async def test_a_cut_off_that_makes_no_sense_counts_as_none(
    made: SmallOffice, visit: Callable[[str], Any], cut: str
) -> None:
    """The picture is drawn as if no cut-off had been given."""
    answer = await (await visit("ann")).get(f"/traces/{TRACE}", params={"cut": cut})
    assert answer.status_code == 200
    assert 'name="cut" type="number" min="0" step="any" inputmode="decimal" value=""' in answer.text


async def test_a_trace_is_kept_in_an_own_case(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The form offers own open cases with the version seen; the case then holds the rows."""
    case_id = own_case(made)
    ann = await visit("ann")
    text = (await ann.get(f"/traces/{TRACE}")).text
    [(number, version)] = re.findall(r'<option value="(\d+):(\d+)"', text)
    assert number == str(case_id)
    form = {"case": f"{number}:{version}", "title": "round the corner", "note": "see day 3"}
    answer = await ann.submit(f"/traces/{TRACE}/attach", form)
    assert answer.headers["location"].startswith(f"/cases/{number}")
    [kept] = made.desk.case(ANN, case_id).traces
    assert (kept.run_id, kept.title, len(kept.rows)) == (TRACE, "round the corner", 4)
    stale = await ann.submit(f"/traces/{TRACE}/attach", form)
    assert stale.status_code == 409
    assert "see day 3" in stale.text
    assert "/attach" not in (await (await visit("ben")).get(f"/traces/{TRACE}")).text


async def test_a_trace_that_nobody_here_asked_for_is_not_found(
    visit: Callable[[str], Any],
) -> None:
    """Neither an unknown run nor a run of another kind is shown as a trace."""
    ann = await visit("ann")
    assert (await ann.get(f"/traces/{'0' * 24}")).status_code == 404
    assert (await ann.get(f"/traces/{'c' * 24}")).status_code == 404


async def test_5000_accounts_are_served_whole(
    made: SmallOffice, visit: Callable[[str], Any], record_property: Any
) -> None:
    """The table has all 5,000 accounts, the picture some hundred nodes; the time is reported."""
    accounts = [*OWN[1:], *(f"X{i:05d}" for i in range(5000 - len(OWN) + 1))]
    store_trace(made, "f" * 24, found(accounts), OWN[:1])
    ann = await visit("ann")
    await ann.get(f"/traces/{TRACE}")
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        text = (await ann.get(f"/traces/{'f' * 24}")).text
        seconds.append(time.perf_counter() - began)
    record_property("seconds", sorted(seconds)[1])
    print(f"5,000 accounts served in {sorted(seconds)[1]:.2f} s, {len(text):,} characters")
    assert text.count("<tr data-node=") == 5001
    assert text.count('class="pic-node"') < 450
    assert "are gathered in the picture" in text


# In a real browser.


def test_from_the_question_to_the_case(
    agreed: SmallOffice, at_browser: Callable[..., Any], tmp_path: Path
) -> None:
    """Ask, watch, look, keep in a case, and take both pictures away, with no script error."""
    case_id = own_case(agreed)
    person = at_browser("ann", accept_downloads=True)
    page = person.page
    page.set_default_timeout(10_000)
    page.goto("/traces")
    page.get_by_label("Own accounts, one on each line").fill("A001")
    page.get_by_label("From (day, UTC)").fill("2026-03-01")
    page.get_by_label("Up to and including (day, UTC)").fill("2026-03-30")
    agreed.node.phase = "consented"
    page.get_by_role("button", name="Start the trace").click()
    page.wait_for_url(f"**/traces/{ON_ITS_WAY}")
    agreed.node.phase = "running"
    page.get_by_text("The banks compute together.").first.wait_for()
    store_trace(agreed, ON_ITS_WAY, found(OWN[1:20]), OWN[:1])
    agreed.node.phase = "stored"
    page.locator("#picture").wait_for()
    assert page.locator("#accounts tbody tr").count() == 20
    with page.expect_download() as svg:
        page.get_by_role("link", name="Save as SVG").click()
    assert b"<svg" in Path(svg.value.path()).read_bytes()
    with page.expect_download() as png:
        page.get_by_role("button", name="Save as PNG").click()
    assert png.value.suggested_filename == f"trace-{ON_ITS_WAY}.png"
    assert Path(png.value.path()).read_bytes().startswith(b"\x89PNG")
    page.get_by_label("Note (why)").fill("money went round")
    page.get_by_role("button", name="Attach to the case").click()
    page.wait_for_url(f"**/cases/{case_id}**")
    assert agreed.desk.case(ANN, case_id).traces[0].run_id == ON_ITS_WAY
    assert person.problems == []


def test_table_and_picture_show_each_other(made: SmallOffice, at_browser: Any) -> None:
    """A row marks its node, a node its row; the filter makes the picture follow."""
    store_trace(made, "f" * 24, found(OWN[1:20]), OWN[:1])
    person = at_browser("ann")
    page = person.page
    page.goto(f"/traces/{'f' * 24}")
    row = page.locator("#accounts tr", has_text="A005")
    row.get_by_role("button").press("Enter")
    node = page.locator(f'.pic-node[data-node="{row.get_attribute("data-node")}"]')
    assert "pic-picked" in node.get_attribute("class")
    assert row.get_by_role("button").get_attribute("aria-pressed") == "true"
    other = page.locator("#accounts tr", has_text="A009")
    page.locator(f'.pic-node[data-node="{other.get_attribute("data-node")}"] circle').click()
    assert "picked" in (other.get_attribute("class") or "")
    assert "picked" not in (row.get_attribute("class") or "")
    page.get_by_label("Find account").fill("a009")
    page.get_by_text("1 of 20 accounts").wait_for()
    assert "pic-dim" in node.get_attribute("class")
    assert page.locator("#accounts tbody tr:visible").count() == 1
    page.get_by_label("Find account").fill("")
    page.get_by_label("Only where money came back").check()
    page.get_by_text("1 of 20 accounts").wait_for()
    assert page.locator("#accounts tbody tr:visible").get_by_role("link").inner_text() == "A001"
    assert person.problems == []


def test_the_picture_is_moved_by_keys_buttons_mouse_and_touch(
    made: SmallOffice, at_browser: Any
) -> None:
    """Each way changes the same window onto the picture, and 0 shows the whole again."""
    page = at_browser("ann", has_touch=True).page
    page.goto(f"/traces/{TRACE}")
    page.locator("#picture-view.moves").wait_for()

    def window() -> list[float]:
        page.wait_for_timeout(60)
        return [float(v) for v in page.locator("#picture").get_attribute("viewBox").split()]

    first = window()
    page.locator("#picture-view").focus()
    page.keyboard.press("ArrowRight")
    second = window()
    assert second[0] > first[0]
    page.keyboard.press("+")
    assert window()[2] < second[2]
    page.get_by_role("button", name="Smaller").click()
    page.get_by_role("button", name="To the left").click()
    third = window()
    assert third[0] < second[0] + 1
    box = page.locator("#picture-view").bounding_box()
    x, y = box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.9
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 10, steps=4)
    page.mouse.up()
    fourth = window()
    assert fourth[0] > third[0]
    touches = page.context.new_cdp_session(page)
    for kind, points in (
        ("touchStart", [(x - 40, y), (x, y)]), ("touchMove", [(x - 90, y), (x + 20, y)]),
        ("touchEnd", []),
    ):  # fmt: skip
        where = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})
    assert window()[2] < fourth[2]
    page.locator("#picture-view").focus()
    page.keyboard.press("0")
    assert window()[2] >= first[2]


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_a_trace_is_played_over_time(made: SmallOffice, at_browser: Any, motion: str) -> None:
    """Later slices are hidden until their time; with reduced motion each press is one step."""
    store_trace(made, "f" * 24, found(OWN[1:20]), OWN[:1])
    page = at_browser("ann", reduced_motion=motion).page
    page.goto(f"/traces/{'f' * 24}")
    later = page.locator(".pic-later")
    time_slider = page.get_by_label("Shown until")
    assert later.count() == 0
    time_slider.focus()
    time_slider.press("Home")
    hidden = later.count()
    assert hidden > 0
    assert page.locator('.pic-node[data-kind="start"]').is_visible()
    button = page.locator("#play")
    assert button.inner_text() == ("Next step" if motion == "reduce" else "Play")
    button.click()
    if motion == "reduce":
        assert time_slider.input_value() == "1"
        page.wait_for_timeout(1200)
        assert time_slider.input_value() == "1"
    else:
        page.locator('#time[aria-valuetext="3 Mar 2026"]').wait_for()
        button.click()
        assert button.inner_text() == "Play"
    assert later.count() < hidden
    assert page.locator("#time-name").inner_text() == time_slider.get_attribute("aria-valuetext")


def test_5000_accounts_stay_usable(
    made: SmallOffice, at_browser: Any, record_property: Any
) -> None:
    """The page is ready, moves, and filters with 5,000 accounts; seconds are reported."""
    accounts = [*OWN[1:], *(f"X{i:05d}" for i in range(5000 - len(OWN) + 1))]
    store_trace(made, "f" * 24, found(accounts), OWN[:1])
    page = at_browser("ann").page
    began = time.perf_counter()
    page.goto(f"/traces/{'f' * 24}", wait_until="domcontentloaded")
    page.locator("#picture-view.moves").wait_for()
    ready = time.perf_counter() - began
    elements = page.locator("#picture *").count()
    moved = page.evaluate(
        """async () => {
            const view = document.getElementById("picture-view");
            const frame = () => new Promise(requestAnimationFrame);
            const began = performance.now();
            for (let i = 0; i < 20; i++) {
                view.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
                await frame();
            }
            await frame();
            return (performance.now() - began) / 20;
        }"""
    )
    began = time.perf_counter()
    page.get_by_label("Find account").fill("x0004")
    page.get_by_text("10 of 5,001 accounts").wait_for()
    sifted = time.perf_counter() - began
    for name, value in (("ready", ready), ("pan_ms", moved), ("filter", sifted)):
        record_property(name, value)
    print(f"ready {ready:.2f} s, {elements} elements, pan {moved:.0f} ms, filter {sifted:.2f} s")
    assert elements < 15_000


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_trace_pages_have_no_accessibility_violation(
    agreed: SmallOffice, at_browser: Any, width: int, scheme: str
) -> None:
    """Axe finds nothing wrong, and nothing is wider than the screen."""
    own_case(agreed)
    agreed.node.phase = "consented"
    size = {"width": width, "height": 900}
    person = at_browser("ann", viewport=size, color_scheme=scheme)
    for path in ("/traces?account=A001", f"/traces/{ON_ITS_WAY}", f"/traces/{TRACE}"):
        person.page.goto(path)
        assert violations(person.page) == [], path
        over = "document.documentElement.scrollWidth - innerWidth"
        assert person.page.evaluate(over) <= 0, path
    assert person.problems == []
