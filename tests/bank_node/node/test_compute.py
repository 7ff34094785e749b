"""What a worker leaves: durable before it counts, and read back as it was written."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bank_node.node.compute import finish, listen, progress_of, read_report, read_result
from bank_node.node.statement import Progress
from bank_node.results import write_result, write_trace
from graph_mpc.policy import parse_policy
from graph_mpc.release import Released

ODD = ["", "'quoted'", "-", "007", "NA", "a,b", 'say "hi"', "null", "true", "ümlaut", "1e5"]


def released(values: Any, policy: str, above: Any = None) -> Released:
    """A result under a policy."""
    return Released(policy=parse_policy(policy), values=np.asarray(values), above=above)


def free_ports(count: int) -> int:
    """First of some ports in a row that are free now."""
    for first in range(41_000, 60_000, count):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no ports")


def test_a_worker_listens_on_the_first_free_port_of_the_range() -> None:
    """And on none outside of it: when all are taken, there is none."""
    first = free_ports(3)
    taken = [listen("127.0.0.1", first, 3) for _port in range(3)]
    assert [s.getsockname()[1] for s in taken] == [first, first + 1, first + 2]
    with pytest.raises(OSError):
        listen("127.0.0.1", first, 3)
    taken[1].close()
    again = listen("127.0.0.1", first, 3)
    assert again.getsockname()[1] == first + 1
    for listener in (taken[0], taken[2], again):
        listener.close()


def test_the_report_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file lies on the disk before the report gets its name; without it nothing counts."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "scores.csv").write_text("account,score\nA1,0.5\n")
    synced: list[tuple[str, bool]] = []
    real = os.fsync

    def noting(handle: int) -> None:
        name = Path(f"/proc/self/fd/{handle}").readlink().name
        synced.append((name, (out / "report.json").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", noting)
    assert read_report(out) is None
    finish(out, {"iterations": 3})
    assert synced == [("scores.csv", False), (".report.json", False), ("out", True)]
    assert read_report(out) == {"iterations": 3}
    assert sorted(p.name for p in out.iterdir()) == ["report.json", "scores.csv"]


def test_a_run_without_a_file_is_finished_too(tmp_path: Path) -> None:
    """A compute party and a preparation leave a report only, in a folder for this user only."""
    finish(tmp_path / "out", {"iterations": 0})
    assert read_report(tmp_path / "out") == {"iterations": 0}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    result = read_result(tmp_path / "out")
    assert (result.accounts, result.values, result.trace, result.rows) == (None, None, None, 0)
    assert read_report(tmp_path / "nowhere") is None


def test_scores_are_read_back_to_the_last_bit(tmp_path: Path) -> None:
    """Seventeen digits are a float64; account ids stay text, whatever they look like."""
    rng = np.random.default_rng(1)
    values = rng.random(len(ODD)) ** 9
    values[:2] = 0.0, 1.0
    write_result(tmp_path / "scores.csv", pa.array(ODD), released(values, "exact"))
    result = read_result(tmp_path)
    assert result.accounts is not None
    assert result.values is not None
    assert result.accounts.type == pa.string()
    assert result.accounts.to_pylist() == ODD
    assert np.array_equal(result.values, values)
    assert result.rows == len(ODD)


def test_bands_are_read_back(tmp_path: Path) -> None:
    """As the numbers of the bands."""
    bands = np.arange(len(ODD)) % 4
    write_result(tmp_path / "scores.csv", pa.array(ODD), released(bands, "bands:0.2,0.5,0.8"))
    result = read_result(tmp_path)
    assert result.values is not None
    assert result.values.dtype == np.float64
    assert result.values.tolist() == bands.tolist()


def test_a_threshold_that_nobody_reaches_is_an_empty_result(tmp_path: Path) -> None:
    """No row, and no error."""
    none = np.zeros(len(ODD), np.bool_)
    nothing = released(np.zeros(len(ODD)), "threshold:0.8:0.05", none)
    write_result(tmp_path / "scores.csv", pa.array(ODD), nothing)
    result = read_result(tmp_path)
    assert result.rows == 0
    assert result.values is not None
    assert result.values.dtype == np.float64
    assert result.accounts is not None
    assert result.accounts.type == pa.string()


def test_many_zeros_before_a_score_are_read(tmp_path: Path) -> None:
    """The type of a column is not guessed from the beginning of a file."""
    accounts = pa.array([f"account {i:012d}" for i in range(100_000)])
    values = np.zeros(len(accounts))
    values[-1] = 0.25
    write_result(tmp_path / "scores.csv", accounts, released(values, "exact"))
    result = read_result(tmp_path)
    assert result.values is not None
    assert np.array_equal(result.values, values)


def trace(count: int, **columns: Any) -> dict[str, Any]:
    """Rows of a trace: every account once, in slice 0."""
    return {
        "vertex": np.arange(count),
        "slice": np.zeros(count, np.int64),
        "kind": np.arange(count) % 2,
        "amount": np.arange(count) * 100.0 + 50,
        "trace": np.zeros(count, np.int64),
    } | columns


def test_a_trace_is_read_back(tmp_path: Path) -> None:
    """Accounts and kinds as text, amounts in base currency."""
    count = len(ODD)
    write_trace(tmp_path / "trace.csv", pa.array(ODD), trace(count), 2)
    result = read_result(tmp_path)
    assert result.trace is not None
    assert result.accounts is None
    assert result.trace.column("account").to_pylist() == sorted(ODD)
    found = dict(
        zip(*(result.trace.column(n).to_pylist() for n in ("account", "amount")), strict=True)
    )
    assert found == {name: i + 0.5 for i, name in enumerate(ODD)}
    assert set(result.trace.column("kind").to_pylist()) == {"received", "returned"}
    assert result.rows == count


def test_a_trace_that_found_nothing_is_a_trace(tmp_path: Path) -> None:
    """It has no rows; it is not the result of a run without any."""
    empty = trace(len(ODD), amount=np.zeros(len(ODD)))
    write_trace(tmp_path / "trace.csv", pa.array(ODD), empty, 2)
    result = read_result(tmp_path)
    assert result.trace is not None
    assert result.rows == 0


def test_only_progress_is_progress() -> None:
    """Other events of a worker are none."""
    event = {"event": "progress", "phase": "iterate", "done": 2, "total": 9}
    assert progress_of(event) == Progress("iterate", 2, 9)
    assert progress_of({"event": "finished", "report": {}}) is None
    assert progress_of(json.loads('{"event": null}')) is None
