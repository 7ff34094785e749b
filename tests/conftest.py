"""Tests that start several processes run one after the other, so that deadlines mean something.

They come first: they are one long chain, beside which everything else is done by the other workers.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROCESSES = (HERE / "graph_mpc" / "session", HERE / "system", HERE / "undercurrent")


def _starts_processes(item: pytest.Item) -> bool:
    return any(folder in item.path.parents for folder in PROCESSES)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks, or there are no groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of whole processes into one group of pytest-xdist, in front of the others."""
    for item in items:
        if _starts_processes(item):
            item.add_marker(pytest.mark.xdist_group("processes"))
    items.sort(key=lambda item: not _starts_processes(item))
