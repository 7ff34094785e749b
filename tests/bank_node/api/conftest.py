"""The API's tests run over a small office; what writes at once also on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank_node.api.world import Asking
from tests.bank_node.desk_world import SmallOffice, office_on, small_office
from tests.services import postgresql_cluster  # noqa: F401 - a fixture


@pytest.fixture
def made(tmp_path: Path) -> Iterator[SmallOffice]:
    """A small bank's office on SQLite."""
    office = small_office(f"sqlite:///{tmp_path / 'node.db'}", tmp_path)
    yield office
    office.close()


@pytest.fixture
def ask(made: SmallOffice) -> Asking:
    """Asks its API."""
    return Asking.at(made)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """Asks one office that the tests of a module share."""
    folder = tmp_path_factory.mktemp("shared")
    office = small_office(f"sqlite:///{folder / 'node.db'}", folder)
    yield Asking.at(office)
    office.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallOffice]:
    """A small bank's office on each database."""
    with office_on(request, tmp_path) as made:
        yield made
