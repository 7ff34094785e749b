"""Tests of alerts that write run on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from alerts import PaymentsView
from alerts.tables import Base
from tests.alerts.world import Begin, sqlite_engine, transactions_on, view_of
from tests.services import postgresql_cluster  # noqa: F401 - a fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with the tables of alerts and nothing in them.

    PostgreSQL at its usual isolation, with no lock around transactions: what holds here needs
    nothing of its caller but a transaction.
    """
    if request.param == "sqlite":
        made = sqlite_engine(f"sqlite:///{tmp_path / 'alerts.db'}")
        Base.metadata.create_all(made)
        yield made
        made.dispose()
        return
    cluster = request.getfixturevalue("postgresql_cluster")
    name = cluster.new_database()
    made = create_engine(cluster.url(name), pool_size=25)
    Base.metadata.create_all(made)
    yield made
    made.dispose()
    cluster.drop(name)


@pytest.fixture
def begin(engine: Engine) -> Begin:
    """Transactions on the database."""
    return transactions_on(engine)


@pytest.fixture
def session(begin: Begin) -> Iterator[Session]:
    """One transaction, undone at the end if the test left it unusable."""
    with begin() as opened:
        yield opened


@pytest.fixture
def view() -> Iterator[PaymentsView]:
    """The own payments of bank ``a``."""
    with view_of() as made:
        yield made
