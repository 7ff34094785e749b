"""People in a database of either kind, with hashes that cost little."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from bank_node.people import passwords
from tests.bank_node.store.conftest import database, url  # noqa: F401 - fixtures
from tests.services import postgresql_cluster  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> Iterator[PasswordHasher]:
    """Hash with the least that Argon2 allows; the real parameters have a test of their own."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    decoy = passwords._decoy
    decoy.cache_clear()
    yield hasher
    decoy.cache_clear()
