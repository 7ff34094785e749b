"""``demo`` and ``bench`` as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.support import UNDERCURRENT

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run ``undercurrent`` in an empty folder, with temporary files beside it."""
    (tmp_path / "here").mkdir()
    (tmp_path / "scratch").mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [UNDERCURRENT, *arguments],
            cwd=tmp_path / "here",
            env={**os.environ, "TMPDIR": str(tmp_path / "scratch"), "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert "Traceback" not in ended.stderr
        assert list((tmp_path / "scratch").iterdir()) == []
        return ended

    return run


@pytest.mark.timeout(600)
def test_demo_tells_what_it_found_and_replaces_an_older_one(
    command: Command, tmp_path: Path
) -> None:
    """The demo needs nothing but a folder, which may hold an older demo; nothing is left over.

    Without a terminal there is no progress bar.
    """
    out = tmp_path / "here" / "demo-out"
    out.mkdir()
    (out / "report.html").touch()
    (out / "old").touch()
    ended = command("demo", "--accounts", "300")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "bank3" in ended.stdout
    assert "closed by two people" in ended.stdout
    assert "<html" in (out / "report.html").read_text().lower()
    run = json.loads((out / "joint" / "run.json").read_text())
    assert (run["analysis"], run["schedule"], run["phase"]) == ("pagerank", "nightly", "stored")
    assert not (out / "old").exists()
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["demo-out"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_demo_tells_programs_what_it_found(command: Command, tmp_path: Path) -> None:
    """What is told as JSON fits together and with the files."""
    ended = command("demo", "--accounts", "300", "--seed", "2", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert set(found) == {"run", "banks", "round_trips", "trace", "morning"}
    assert found["morning"]["case"]["state"] == "closed-confirmed"
    risen = {(b, r["account"]) for b, rows in found["banks"].items() for r in rows}
    followed = {(r["bank"], r["account"]) for r in found["round_trips"]}
    assert followed > risen
    assert (found["trace"]["bank"], found["trace"]["account"]) in followed
    out = tmp_path / "here" / "demo-out"
    assert found["run"] == json.loads((out / "joint" / "run.json").read_text())


def test_demo_does_not_replace_a_foreign_folder(command: Command, tmp_path: Path) -> None:
    """A folder that no demo wrote stays as it is: exit code 2."""
    foreign = tmp_path / "here" / "demo-out"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("done")
    ended = command("demo", "--accounts", "300")
    assert ended.returncode == 2
    assert ended.stderr.startswith("undercurrent: ")
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in foreign.iterdir()] == ["thesis.tex"]
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["demo-out"]


@pytest.mark.slow
def test_bench_prints_its_figures_as_json(command: Command) -> None:
    """One row for each size, with times, bytes and memory; nothing stays on the disk."""
    ended = command("bench", "--accounts", "300", "--iterations", "2", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    (row,) = json.loads(ended.stdout)
    assert (row["accounts"], row["iterations"], row["precision"]) == (300, 2, "high")
    for figure in ("prepare_us", "apply_us", "prepare_bytes", "apply_bytes", "peak_memory_bytes"):
        assert row[figure] > 0


def test_bench_refuses_an_unknown_precision(command: Command) -> None:
    """Wrong usage of the bench is told like any other: exit code 2, one line."""
    ended = command("bench", "--accounts", "300", "--precision", "vague")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("undercurrent: ")
    assert "precision" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
