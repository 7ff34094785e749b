"""However the launcher ends, its workers end too, and nothing half-written stays."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .support import (
    UNDERCURRENT,
    assert_nothing_at,
    children_of,
    is_running,
    three_banks,
    wait_until,
)


@dataclass
class Running:
    """``undercurrent lab run`` in mid-run."""

    process: subprocess.Popen[str]
    workers: list[int]
    out: Path

    def send(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal and return exit code and standard error, after the end."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=20)
        return self.process.returncode, stderr


def _sockets(pid: int) -> int:
    number = 0
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # Closed meanwhile.
            number += str(path.readlink()).startswith("socket:")
    return number


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A run of 10,000 iterations, all of whose workers are connected and computing."""
    data, out, scratch = three_banks(tmp_path / "data"), tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir()
    command = [UNDERCURRENT, "lab", "run", str(data), "--analysis", "pagerank"]
    process = subprocess.Popen(
        [*command, "-p", "iterations=10000", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    try:
        wait_until(lambda: len(children_of(process.pid)) == 3, 30, "three workers")
        workers = children_of(process.pid)
        # A link in and a link out for each peer, once connected; before, one listening socket.
        wait_until(lambda: all(_sockets(pid) >= 5 for pid in workers), 40, "connected workers")
        yield Running(process, workers, out)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_leaves_nothing(running: Running, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM in mid-run: exit code 130, one line, no worker, no file, no key."""
    code, stderr = running.send(number)
    assert code == 130
    assert stderr.startswith("undercurrent: interrupted")
    assert len(stderr.splitlines()) == 1
    assert [pid for pid in running.workers if Path(f"/proc/{pid}").exists()] == []
    assert_nothing_at(running.out)
    assert list((running.out.parent / "scratch").iterdir()) == []


def test_workers_end_with_a_killed_launcher(running: Running) -> None:
    """After kill -9 of the launcher the workers see their lifeline cut and end; no result."""
    running.send(signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, running.workers)), 10, "the workers' end")
    assert not running.out.exists()
