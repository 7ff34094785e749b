"""One consortium and one empty database for all tests: making them takes longer than most tests."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from bank_node.consortium import Book
from bank_node.consortium.drafting import render
from bank_node.store import Database, database
from tests.bank_node.consortium.consortium import Consortium, found
from tests.bank_node.node.world import Maker, World


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Let nothing be logged: to draw the traces of errors takes longer than the tests."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite not wait for the disk: no test here cuts the power, and it is most of the time."""
    set_up = database._set_up_sqlite

    def quick(connection: Any, record: Any) -> None:
        set_up(connection, record)
        connection.execute("PRAGMA synchronous = OFF")

    monkeypatch.setattr(database, "_set_up_sqlite", quick)


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Five banks with real keys and certificates."""
    return found(tmp_path_factory.mktemp("consortium"), "ABCDE")


@pytest.fixture(scope="session")
def maker(consortium: Consortium, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """What worlds are made of."""
    folder = tmp_path_factory.mktemp("template")
    Database.open(f"sqlite:///{folder / 'node.db'}").close()
    return Maker(consortium, folder / "node.db")


@pytest.fixture
async def world(maker: Maker, tmp_path: Path) -> AsyncIterator[World]:
    """Three banks, each with a running keeper, and a bus that loses nothing."""
    made = World(maker, tmp_path, "ABC")
    await made.start()
    yield made
    await made.end()


@pytest.fixture
def book(consortium: Consortium, tmp_path: Path) -> Book:
    """A book with version 1 of five banks in it."""
    made = Book(tmp_path / "book")
    path = tmp_path / "agreement.toml"
    path.write_text(render(consortium.signed()))
    made.install(path)
    return made
