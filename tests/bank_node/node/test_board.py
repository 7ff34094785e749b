"""What members say of themselves: the latest counts, and a size once told is kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_node.node.board import Board, MemberStatus, own_status, parse_status
from graph_mpc.padding import padded_size

SECOND = 1_000_000
FORM: dict[str, Any] = {
    "state": "online",
    "version": "1.0",
    "engine": "1",
    "agreement": "ab" * 32,
    "padded_accounts": 107,
    "open_runs": 2,
}


def status(at: int, **changes: Any) -> MemberStatus:
    """A status of a time."""
    parsed = parse_status(FORM | changes, at)
    assert parsed is not None
    return parsed


def test_the_latest_counts() -> None:
    """One that was issued earlier changes nothing, in whatever order they come."""
    board = Board("A", lambda: 0)
    assert board.note("B", status(10))
    assert not board.note("B", status(9, padded_accounts=8))
    assert board.padded() == {"B": 107}
    assert board.note("B", status(11, padded_accounts=118))
    assert not board.note("B", status(12, padded_accounts=118))
    assert board.padded() == {"B": 118}


def test_a_last_will_does_not_take_a_size_back() -> None:
    """A node that goes or comes tells no size: the one told before holds."""
    board = Board("A", lambda: 0)
    board.note("B", status(1))
    assert not board.note("B", status(2, state="offline", padded_accounts=0))
    assert board.padded() == {"B": 107}
    assert board.seen()["B"].state == "offline"


def test_who_never_told_a_size_is_not_listed() -> None:
    """Compute parties have none."""
    board = Board("A", lambda: 0)
    board.note("C", status(1, padded_accounts=0))
    assert board.padded() == {}
    assert "C" in board.seen()


def test_a_member_is_online_as_long_as_it_says_so() -> None:
    """Four minutes of silence, or its word, and it is not; the own node always is."""
    now = 0
    board = Board("A", lambda: now)
    board.note("A", status(0))
    board.note("B", status(0))
    assert board.is_online("B")
    now = 239 * SECOND
    assert board.is_online("B")
    now = 241 * SECOND
    assert not board.is_online("B")
    assert board.is_online("A")
    board.note("B", status(now, state="offline"))
    assert not board.is_online("B")
    assert not board.is_online("C")


WRONG: list[dict[str, Any]] = [
    {"state": "away"},
    {"state": None},
    {"version": "<script>"},
    {"engine": "1" * 21},
    {"agreement": "ab"},
    {"padded_accounts": -1},
    {"padded_accounts": 2**31 + 1},
    {"padded_accounts": "107"},
    {"padded_accounts": True},
    {"open_runs": 1e3},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_form_is_no_status(wrong: dict[str, Any]) -> None:
    """Fields are checked for type and size; unknown ones are left out, for newer versions."""
    assert parse_status(FORM | wrong, 1) is None
    assert parse_status(FORM | {"mood": "good"}, 1) == status(1)


@given(st.integers(0, 10**7))
def test_the_own_size_is_told_on_the_grid_only(accounts: int) -> None:
    """What a node tells can be read by the others, and shows no exact number."""
    told = own_status("online", "", accounts, 0)
    parsed = parse_status(told, 1)
    assert parsed is not None
    assert parsed.padded_accounts == padded_size(accounts) >= accounts
    assert own_status("online", "", None, 0)["padded_accounts"] == 0
