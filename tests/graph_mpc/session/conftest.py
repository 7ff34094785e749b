"""Fixtures: a lab that leaves no process behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Three parties with short deadlines."""
    laboratory = Lab(tmp_path)
    yield laboratory
    laboratory.close()
