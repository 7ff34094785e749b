"""The desk's tests run on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bank_node.desk_world import SmallOffice, office_on, small_office
from tests.services import postgresql_cluster  # noqa: F401 - a fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallOffice]:
    """A small bank's office."""
    with office_on(request, tmp_path) as made:
        yield made


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[SmallOffice]:
    """The same on SQLite only."""
    made = small_office(f"sqlite:///{tmp_path / 'node.db'}", tmp_path)
    yield made
    made.close()
