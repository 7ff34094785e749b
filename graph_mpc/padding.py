"""Padded sizes: what the parties may know of how much an owner holds.

A size is rounded up to a geometric grid with steps of about ten per cent, so that a run shows
the order of magnitude and little more.  Source: protocol design, section 1.
"""

from collections.abc import Iterable
from functools import cache

from graph_mpc.errors import ShapeMismatch

__all__ = ["padded_size", "require_padded"]

_SMALLEST = 8
_LARGEST = 1 << 31


@cache
def padded_size(size: int) -> int:
    """Return the smallest number of the grid 8, 9, 10, ..., x -> ceil(1.1 x) that is >= size.

    >>> [padded_size(n) for n in (0, 8, 9, 100, 1_000_000)]
    [8, 8, 9, 107, 1046446]
    """
    grid = _SMALLEST
    while grid < size:
        grid = max(grid + 1, (grid * 11 + 9) // 10)
    return grid


def require_padded(party: str, sizes: Iterable[int]) -> None:
    """Refuse sizes from a peer that are not on the grid, before memory is taken for them."""
    if any(size > _LARGEST or size != padded_size(size) for size in sizes):
        raise ShapeMismatch(
            f"party {party} announced sizes that are not padded sizes",
            "run the same version of Undercurrent at every party",
        )
