"""Tests that start several processes run one after the other, so that deadlines mean something."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROCESSES = (HERE / "graph_mpc" / "session", HERE / "system", HERE / "undercurrent")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of whole processes into one group of pytest-xdist."""
    for item in items:
        if any(folder in item.path.parents for folder in PROCESSES):
            item.add_marker(pytest.mark.xdist_group("processes"))
