"""A bank with a folder as its source, a place for what it takes in, and a database."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.bank_node.intake.bank import Bank
from tests.services import Cluster, postgresql_cluster  # noqa: F401 - a fixture


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    """Bank a with two accounts and no payments."""
    made = Bank(tmp_path)
    made.accounts("account,risk_score,balance\nA1,0.5,100\nA2,,\n")
    return made


@pytest.fixture
def dsn(postgresql_cluster: Cluster) -> Iterator[str]:  # noqa: F811 - the fixture imported above
    """Connection string of an empty database."""
    name = postgresql_cluster.new_database()
    yield postgresql_cluster.dsn(name)
    postgresql_cluster.drop(name)


@pytest.fixture
def database(dsn: str) -> Iterator[psycopg.Connection]:
    """The same database, for the test's own hands."""
    with psycopg.connect(dsn, autocommit=True) as con:
        yield con
