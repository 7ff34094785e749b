"""At which widths and in which colours pages are examined."""

import pytest

__all__ = ["LOOKS"]

LOOKS = [
    (1280, "light"),
    (390, "dark"),
    pytest.param(1280, "dark", marks=pytest.mark.slow),
    pytest.param(390, "light", marks=pytest.mark.slow),
]
"""Both sizes and both schemes in every run; all four pairs in a slow one."""
