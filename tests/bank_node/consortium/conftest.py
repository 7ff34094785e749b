"""One consortium for all tests: making keys and certificates takes longer than most of them."""

from __future__ import annotations

import pytest

from tests.bank_node.consortium.consortium import Consortium, found


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Three banks with real keys and certificates."""
    return found(tmp_path_factory.mktemp("consortium"))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Another consortium of the same name, with another authority and other keys."""
    return found(tmp_path_factory.mktemp("other"), "ABCD")
