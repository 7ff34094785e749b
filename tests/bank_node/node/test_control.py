"""The control socket answers its own user, in data or in errors with a remedy."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from bank_node.node.client import RemoteError, ask
from bank_node.node.control import Proposal, Question, serve_control
from bank_node.node.errors import NotRunningError, UnknownRunError


class Fake:
    """A node that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def status(self) -> dict[str, Any]:
        return {"node": "A"}

    async def runs(self, *, only_open: bool, limit: int) -> list[dict[str, Any]]:
        return [{"only_open": only_open, "limit": limit}]

    async def run(self, run_id: str) -> dict[str, Any]:
        raise UnknownRunError(f"there is no run {run_id}", "See runs list")

    async def result(self, run_id: str, person: str) -> dict[str, Any]:
        raise ZeroDivisionError("DE89370400440532013000")

    async def propose(self, proposal: Proposal, person: str) -> dict[str, Any]:
        self.asked.append((proposal, person))
        return {"run_id": "x"}

    async def approve(self, run_id: str, person: str) -> dict[str, Any]:
        return {"run_id": run_id, "person": person}

    async def reject(self, run_id: str, reason: str, person: str) -> dict[str, Any]:
        return {"run_id": run_id, "reason": reason}

    async def trace(self, question: Question, person: str) -> dict[str, Any]:
        self.asked.append(question)
        return {"run_id": "t"}

    async def ingest(self, person: str) -> dict[str, Any]:
        return {}


async def asked(folder: Path, *args: Any, **query: Any) -> Any:
    """Ask as the command line does."""
    return await asyncio.to_thread(ask, folder, *args, **query)


async def test_the_socket_is_for_its_user_only(tmp_path: Path) -> None:
    """It has mode 0600 from its first moment, and is gone when the node is."""
    socket = tmp_path / "node.sock"
    async with serve_control(Fake(), socket):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert await asked(tmp_path, "GET", "/status") == {"node": "A"}
    assert not socket.exists()


async def test_a_long_folder_name_does_not_matter(tmp_path: Path) -> None:
    """Names of sockets end at about a hundred characters; the folder's name may be longer."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    async with serve_control(Fake(), folder / "node.sock"):
        assert await asked(folder, "GET", "/runs", limit=5) == [{"only_open": False, "limit": 5}]


async def test_a_refusal_keeps_code_words_and_exit_code(tmp_path: Path) -> None:
    """The command line shows the node's own words and ends with the node's exit code."""
    async with serve_control(Fake(), tmp_path / "node.sock"):
        with pytest.raises(RemoteError) as caught:
            await asked(tmp_path, "GET", "/runs/abc")
    assert (caught.value.code, caught.value.exit_code) == ("node.unknown-run", 2)
    assert "there is no run abc. See runs list" in str(caught.value)


async def test_a_fault_of_the_node_tells_nothing(tmp_path: Path) -> None:
    """An unexpected exception reaches the command line as a number, not with its words."""
    async with serve_control(Fake(), tmp_path / "node.sock"):
        with pytest.raises(RemoteError) as caught:
            await asked(tmp_path, "GET", "/runs/abc/result")
    assert "500" in str(caught.value)
    assert "DE89" not in str(caught.value)


async def test_wrong_fields_are_named(tmp_path: Path) -> None:
    """A body with an unknown or wrong field is refused; the error says which, never its value."""
    fake = Fake()
    async with serve_control(fake, tmp_path / "node.sock"):
        with pytest.raises(RemoteError, match="prepare_runs"):
            await asked(
                tmp_path, "POST", "/runs", {"analysis": "pagerank", "prepare_runs": "DE8937"}
            )
        with pytest.raises(RemoteError) as caught:
            await asked(tmp_path, "POST", "/trace", {"accounts": "DE89370400440532013000"})
    assert "accounts" in str(caught.value)
    assert "DE89" not in str(caught.value)
    assert fake.asked == []


async def test_accounts_are_not_in_the_words_of_a_question(tmp_path: Path) -> None:
    """A question printed by mistake does not show its accounts."""
    fake = Fake()
    async with serve_control(fake, tmp_path / "node.sock"):
        await asked(tmp_path, "POST", "/trace", {"accounts": ["DE89370400440532013000"]})
    assert fake.asked[0].accounts == ["DE89370400440532013000"]
    assert "DE89" not in repr(fake.asked[0])


def test_no_node_is_said_with_the_remedy(tmp_path: Path) -> None:
    """Asking where nothing runs says how to start it."""
    with pytest.raises(NotRunningError, match="node run"):
        ask(tmp_path, "GET", "/status")
