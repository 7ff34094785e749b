"""Which tests run side by side: whole files do, except that those of processes form one chain.

Tests that start several processes run one after the other, so that their deadlines mean something.
They come first: a long chain, beside which everything else is done by the other workers.  All other
tests stay together with those of their file, which share what is made once for a module.

A scheduler of our own, because the marks of pytest-xdist 3.8 have no effect under pytest 9.2.
"""

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_PROCESSES = (
    PurePosixPath("tests/graph_mpc/session"),
    PurePosixPath("tests/system"),
    PurePosixPath("tests/undercurrent"),
    PurePosixPath("tests/bank_node/coordination/test_bus.py"),
    PurePosixPath("tests/bank_node/coordination/test_embedded.py"),
    PurePosixPath("tests/bank_node/coordination/test_mosquitto_rules.py"),
)


class ByFileAndProcesses(LoadFileScheduling):
    """Gives whole files to the workers, and all that start processes to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if any(PurePosixPath(file).is_relative_to(place) for place in _PROCESSES):
            return "processes"
        return str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFileAndProcesses:
    """Have pytest-xdist use our scheduler, whatever ``--dist`` says."""
    return ByFileAndProcesses(config, log)
