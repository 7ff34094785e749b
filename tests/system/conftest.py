"""Data sets and runs that several tests look at."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simdata.generate import generate

from .support import UNDERCURRENT, Pooled, pool


@dataclass(frozen=True)
class Finished:
    """A run of the command line that has ended well."""

    data: Path
    out: Path
    record: dict[str, Any]
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 accounts at three banks, as Parquet."""
    data = tmp_path_factory.mktemp("generated") / "data"
    generate(data, banks=3, accounts=300, days=20, seed=11, payments_per_account=4)
    return data


@pytest.fixture(scope="session")
def truth(generated: Path) -> Pooled:
    """The same, pooled."""
    return pool(generated)


@pytest.fixture(scope="session")
def finished(generated: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``undercurrent lab run`` over the three banks, as a user would."""
    out = tmp_path_factory.mktemp("finished") / "out"
    command = [UNDERCURRENT, "lab", "run", str(generated), "--analysis", "pagerank"]
    ended = subprocess.run(
        [*command, "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stderr
    record = json.loads((out / "run.json").read_text())
    return Finished(generated, out, record, ended.stdout, ended.stderr)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, of this process and its children; empty at the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
