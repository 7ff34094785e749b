"""Padded sizes: what the parties may know of how much an owner holds.

A size is rounded up to a geometric grid with steps of about ten per cent, so that a run shows
the order of magnitude and little more.  Source: protocol design, section 1.
"""

from functools import cache

__all__ = ["padded_size"]

_SMALLEST = 8


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
