"""A small labelled data set, and one comparison of it by the real secure code, for all tests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simdata.comparison import (
    Comparison,
    Judged,
    SecureRuns,
    compare_worlds,
    judge,
    marks_of,
    read_labelled,
    run_secure,
    shipped_model,
)
from simdata.generator import build_dataset, find_preset
from simdata.generator.config import check_config

BUDGET = 0.05


@contextmanager
def deaf(_analysis: str) -> Iterator[Any]:
    """Listen to no event of a run."""
    yield lambda _party, _event: None


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 400 accounts over three banks."""
    out = tmp_path_factory.mktemp("comparison") / "data"
    values = find_preset("small").model_dump(exclude_none=True)
    values["size"]["accounts"] = 400
    build_dataset(out, check_config(values), 5)
    return out


@pytest.fixture(scope="session")
def compared(folder: Path) -> tuple[Comparison, SecureRuns, Judged]:
    """The worlds of that data set, the secure runs, and how it was judged."""
    data, model = read_labelled(folder), shipped_model()
    marks = marks_of(data, model, data.payments)
    runs = asyncio.run(run_secure(folder, data, marks, deaf))
    comparison = compare_worlds(data, model, marks, runs.results)
    return comparison, runs, judge(comparison, runs.records, BUDGET)
