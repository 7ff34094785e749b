"""Joint runs and the agreement in the browser: what is shown, who may decide, what is proposed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bank_node.consortium import Book
from bank_node.consortium.drafting import render
from bank_node.errors import ParameterError
from bank_node.identity import Authority
from bank_node.node.control import Proposal
from tests.bank_node.consortium.consortium import Consortium, seat, terms
from tests.bank_node.desk_world import BANK, MARCH, OWN, RUNS, SmallOffice
from tests.bank_node.web.conftest import violations
from tests.bank_node.web.looks import LOOKS

WAITING = "e" * 24
MEMBERS = (BANK, "BANKB", "BANKC")
PROPOSAL = {
    "analysis": "risk-propagation", "policy": "bands:0.2,0.5,0.8", "iterations": "4", "delta": "",
    "slice": "", "since": "2026-03-01", "until": "2026-03-30",
}  # fmt: skip


def install_agreement(made: SmallOffice, folder: Path, **changes: Any) -> None:
    """Install an agreement of the three banks, signed by all, in effect since March 2026."""
    authority = Authority.create(folder / "authority", "testers", lambda: MARCH)
    seats = {}
    for i, name in enumerate(MEMBERS):
        made_seat = seat(folder, authority, name, 9400 + 10 * i)
        made_seat.entry["bic"] = ""
        seats[name] = made_seat
    own = seats[BANK].keys / "signing-1.pem"
    shutil.copy(own, made.folder / "keys" / "signing-2.pem")
    raw = terms(authority) | {
        "effective": "2026-03-01",
        "expires": "2027-01-01",
        "budgets": {"period": "month", "bits": 1_000_000, "banks": {"BANKB": 500_000}},
    }
    raw["analyses"][2] |= {
        "who": [BANK],
        "policies": ["exact"],
        "parameters": {
            "traces": {"min": 1, "max": 4},
            "hops": {"min": 1, "max": 4},
            "slice": {"one_of": ["1d", "12h"]},
            "direction": {"one_of": ["forward", "backward"]},
            "depth": {"value": "off"},
        },
    }
    raw["schedules"] = raw["schedules"][:1]
    signed = Consortium(authority, seats, raw).signed(**changes)
    path = folder / "agreement.toml"
    path.write_text(render(signed))
    Book(made.office.config.agreements).install(path)


@pytest.fixture
def agreed(made: SmallOffice, tmp_path: Path) -> SmallOffice:
    """The small office with an agreement in effect."""
    install_agreement(made, tmp_path / "consortium")
    return made


@pytest.mark.parametrize("name", ["ann", "sue", "audrey", "otto"])
async def test_every_role_sees_runs_and_the_agreement(
    agreed: SmallOffice, visit: Callable[[str], Any], name: str
) -> None:
    """Runs and the agreement hold no account, so everybody who is signed in may read them."""
    one = await visit(name)
    for path in ("/runs", f"/runs/{WAITING}", f"/runs/{RUNS[0]}", "/runs/agreement"):
        answer = await one.get(path)
        assert answer.status_code == 200, path
        assert not [a for a in OWN if f">{a}<" in answer.text]


@pytest.mark.parametrize(
    ("name", "may"), [("ann", False), ("sue", True), ("audrey", False), ("otto", True)]
)
async def test_who_decides_and_proposes(
    agreed: SmallOffice, visit: Callable[[str], Any], name: str, may: bool
) -> None:
    """Supervisors and operators decide and propose; others see no button and are refused."""
    one = await visit(name)
    text = (await one.get(f"/runs/{WAITING}")).text
    assert ("/approve" in text, "/reject" in text) == (may, may)
    assert ('href="/runs/propose"' in (await one.get("/runs")).text) == may
    assert (await one.get("/runs/propose")).status_code == (200 if may else 403)
    for path in (f"/runs/{WAITING}/approve", f"/runs/{WAITING}/reject", "/runs/propose"):
        answer = await one.submit(path, PROPOSAL | {"note": "no"})
        assert answer.status_code == (303 if may else 403), path
    assert len(agreed.node.asked) == (3 if may else 0)


async def test_a_run_says_what_it_discloses_and_what_members_stated(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The page has the policy, bits of each bank, each member's statement, and who is silent."""
    text = (await (await visit("audrey")).get(f"/runs/{RUNS[0]}")).text
    assert "Released as bands:0.2,0.5,0.8." in text
    assert re.findall(r'<th scope="row">(\w+)</th><td class="num">128</td>', text) == list(MEMBERS)
    assert text.count("nothing heard") == 1
    assert "/approve" not in text


async def test_the_budget_left_is_a_bar_with_its_numbers(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Each bank has a meter with a name, its share, and both numbers."""
    text = (await (await visit("otto")).get("/runs")).text
    assert text.count("<meter") == 3
    assert 'aria-label="Budget left to BANKC"' in text
    assert text.count('75%</td><td class="num">750,000</td><td class="num">1,000,000</td>') == 3


async def test_the_agreement_stands_there_in_words(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Members, bounds, schedules with their next time, budgets and the term can be read."""
    text = (await (await visit("ann")).get("/runs/agreement")).text
    for words in (
        "testers, version 1: in effect since 1 Mar 2026, until 1 Jan 2027; signed by 3 members.",
        "may be proposed by BANKA",
        "over at most 31d",
        "Payments in a slice, at most: 1 to 4",
        "10 Apr 2026 02:00",
        "Each bank may learn 1,000,000 bits a month. BANKB: 500,000.",
        "Accounts of customers of higher risk.",
    ):
        assert words in text, words
    assert text.count("✓ valid") == 3


async def test_an_agreement_that_was_changed_on_disk_is_not_shown(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """A changed file is named as wrong, and none of its words are told as agreed."""
    ann = await visit("ann")
    [path] = agreed.office.config.agreements.glob("consortium-*.toml")
    path.write_text(path.read_text().replace("higher risk", "no risk"))
    answer = await ann.get("/runs/agreement")
    assert "no risk" not in answer.text
    assert 'class="problem"' in answer.text


async def test_without_an_agreement_nothing_can_be_proposed(
    made: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """The page says so, and names what to do."""
    answer = await (await visit("sue")).get("/runs/propose")
    assert answer.status_code == 403
    assert "no agreement is in effect" in answer.text


async def test_a_proposal_goes_to_the_node(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """What was filled in is proposed; what was left empty keeps its default."""
    sue = await visit("sue")
    answer = await sue.submit("/runs/propose", PROPOSAL)
    assert answer.headers["location"] == f"/runs/{'p' * 24}?done=proposed"
    [(proposal, person)] = agreed.node.asked
    assert person == "sue"
    assert proposal == Proposal(
        analysis="risk-propagation",
        parameters={
            "iterations": "4", "since": "2026-03-01T00:00:00Z", "until": "2026-03-31T00:00:00Z",
        },
        policy="bands:0.2,0.5,0.8",
    )  # fmt: skip


async def test_a_rehearsal_needs_no_window(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """With made-up data the node chooses the window."""
    form = PROPOSAL | {"since": "", "until": "", "rehearse": "1"}
    assert (await (await visit("otto")).submit("/runs/propose", form)).status_code == 303
    [(proposal, _person)] = agreed.node.asked
    assert proposal.rehearse
    assert "since" not in proposal.parameters


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iterations": "11"}, "The agreement does not allow this value."),
        ({"delta": "0.5"}, "The agreement does not allow this value."),
        ({"slice": "1h"}, "The agreement does not allow this value."),
        ({"policy": "exact"}, "The agreement does not allow this value."),
        ({"since": ""}, "Give two days"),
        ({"since": "2026-01-01"}, "The window is longer than the agreement allows."),
    ],
)
async def test_a_proposal_out_of_bounds_is_not_made(
    agreed: SmallOffice, visit: Callable[[str], Any], changes: dict[str, str], said: str
) -> None:
    """Each field is held against the agreement before the node is asked."""
    answer = await (await visit("sue")).submit("/runs/propose", PROPOSAL | changes)
    assert answer.status_code == 422
    assert said in answer.text
    assert agreed.node.asked == []


async def test_a_trace_is_not_proposed_without_a_question(
    agreed: SmallOffice, visit: Callable[[str], Any]
) -> None:
    """Traces are asked where their accounts stay private; the form does not offer them."""
    sue = await visit("sue")
    text = (await sue.get("/runs/propose")).text
    assert re.findall(r"analysis=([a-z-]+)", text) == ["risk-propagation", "pagerank"]
    await sue.submit("/runs/propose", PROPOSAL | {"analysis": "trace"})
    assert agreed.node.asked == []


async def test_a_refusal_of_the_node_keeps_the_form(
    agreed: SmallOffice, visit: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the node says against a proposal stands above what was filled in."""

    async def refuse(proposal: Proposal, person: str) -> dict[str, Any]:
        raise ParameterError("the budget is used up", "Wait for the next period")

    monkeypatch.setattr(agreed.node, "propose", refuse)
    answer = await (await visit("sue")).submit("/runs/propose", PROPOSAL)
    assert answer.status_code == 422
    assert "the budget is used up" in answer.text
    assert 'value="4"' in answer.text


async def test_words_of_other_members_are_never_markup(
    made: SmallOffice, visit: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reason that another member sent is shown as text."""
    evil = "<script>alert(1)</script>"
    real = made.node.run

    async def run(run_id: str) -> dict[str, Any]:
        told = await real(run_id)
        stated = {"phase": "refused", "attempt": 0, "reason": evil, "code": "x"}
        return told | {"members": {BANK: stated, evil: stated}, "waiting_for": evil}

    monkeypatch.setattr(made.node, "run", run)
    text = (await (await visit("sue")).get(f"/runs/{WAITING}")).text
    assert "&lt;script&gt;alert(1)" in text
    assert evil not in text


def test_a_supervisor_rejects_a_run_with_a_reason(made: SmallOffice, at_browser: Any) -> None:
    """In a browser the reason is required, and reaches the node with the person's name."""
    person = at_browser("sue")
    page = person.page
    page.goto(f"/runs/{WAITING}")
    page.get_by_role("button", name="Reject").click()
    assert made.node.asked == []
    page.get_by_label("Reason (the other members read it)").fill("not this week")
    page.get_by_role("button", name="Reject").click()
    page.get_by_text("Rejected; the other members are told the reason.").wait_for()
    assert made.node.asked == [("reject", WAITING, "not this week", "sue")]
    assert person.problems == []


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_run_pages_have_no_accessibility_violation(
    agreed: SmallOffice, at_browser: Any, width: int, scheme: str
) -> None:
    """Axe finds nothing wrong, and nothing is wider than the screen."""
    size = {"width": width, "height": 900}
    person = at_browser("sue", viewport=size, color_scheme=scheme)
    analysis = "/runs/propose?analysis=risk-propagation"
    for path in ("/runs", f"/runs/{WAITING}", "/runs/agreement", analysis):
        person.page.goto(path)
        assert violations(person.page) == [], path
        over = "document.documentElement.scrollWidth - innerWidth"
        assert person.page.evaluate(over) <= 0, path
    assert person.problems == []
