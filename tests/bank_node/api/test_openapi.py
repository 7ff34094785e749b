"""The description of the API is the code, and the code does what the description says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection
from starlette.applications import Starlette

from bank_node.api.app import bare_app
from bank_node.api.openapi import PATH, described
from bank_node.api.server import Split
from tests.bank_node.api.world import served
from tests.bank_node.desk_world import ANN, SUE, small_office

# What no schema can say is refused too: a wrong password, a note without a letter, a time that is
# past.
_CONFIG: dict[str, Any] = {
    "checks": {
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "401", "403", "404", "409", "422", "423"]
        },
        # What is too long for the schema may be too large for the server already.
        "negative_data_rejection": {"expected-statuses": ["4xx"]},
    }
}


def test_the_description_is_the_code() -> None:
    """The file in the repository is what the code describes: python -m bank_node.api.openapi."""
    assert PATH.read_text("utf-8") == described()


def test_every_operation_has_a_name_and_its_refusals() -> None:
    """Names are different and stay; each operation but one says that it needs a token."""

    document = json.loads(PATH.read_text("utf-8"))
    operations = [o for path in document["paths"].values() for o in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert "500" in operation["responses"]
        assert "401" in operation["responses"]
        assert operation["description"]
        assert ("security" in operation) == (operation["operationId"] != "sign_in")
    refusal = {"$ref": "#/components/schemas/Refusal"}
    for operation in operations:
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["content"]["application/json"]["schema"] == refusal


class Later:
    """An application that is there when the tests are collected, and gets its office later."""

    def __init__(self) -> None:
        self.app: Any = Split("/api", bare_app(), Starlette())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on."""
        await self.app(scope, receive, send)


LATER = Later()
SCHEMA = schemathesis.openapi.from_asgi(
    "/api/v1/openapi.json", LATER, config=SchemathesisConfig.from_dict(_CONFIG)
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Tokens of an analyst and a supervisor of an office that takes whatever comes."""
    folder = tmp_path_factory.mktemp("fuzzed")
    made = small_office(f"sqlite:///{folder / 'node.db'}", folder)
    LATER.app = served(made)
    yield {who.name: made.token(who) for who in (ANN, SUE)}
    made.close()


# Signing out would end the token; other tests see to it.
fuzzed = SCHEMA.exclude(operation_id="sign_out")
_PATIENT: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def _check(case: Any, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    unchecked = [negative_data_rejection] if _looks_well_on_the_wire(case) else []
    case.call_and_validate(headers=headers, excluded_checks=unchecked)


def _looks_well_on_the_wire(case: Any) -> bool:
    """Whether what breaks the schema of the query may not be seen in it.

    A parameter without a name or without values is not sent; of one sent twice, the last counts.
    """
    query = case.query or {}
    return any(not name or isinstance(value, list) for name, value in query.items())


@pytest.mark.timeout(300)
@fuzzed.parametrize()
@settings(max_examples=2, **_PATIENT)
def test_an_analyst_is_answered_as_described(case: Any, tokens: dict[str, str]) -> None:
    """Whatever fits the description or breaks it gets an answer that the description names."""
    _check(case, tokens["ann"])


@pytest.mark.timeout(300)
@fuzzed.parametrize()
@settings(max_examples=2, **_PATIENT)
def test_a_supervisor_is_answered_as_described(case: Any, tokens: dict[str, str]) -> None:
    """The same for a supervisor, whom more is allowed to."""
    _check(case, tokens["sue"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@fuzzed.parametrize()
@settings(max_examples=150, **_PATIENT)
def test_everything_is_answered_as_described_for_long(case: Any, tokens: dict[str, str]) -> None:
    """The same with many more requests."""
    _check(case, tokens["sue"])
