"""What linear equations or bounds say about their unknowns in [0, 1].

Rows ``low <= weights @ x <= high`` with few unknowns each, as many small connected parts.

- ``determined``: which unknowns the equations alone give: those whose unit vector is orthogonal to
  the null space.  Rows with one unknown are solved first, for as long as there are any; what is
  left is judged by singular values, part by part (very large parts by structure alone).
- ``score_intervals``: the smallest and largest value of each unknown.  Tightening the bounds row by
  row gives it for parts without a cycle; the others need two linear programmes for each unknown
  (HiGHS), which at most ``programmes`` of them, drawn at random, get.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    maximum_bipartite_matching,
)

__all__ = ["Intervals", "determined", "score_intervals"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_SLACK = 1e-9
_TOUCHES = 1e-6
_MOST_ROUNDS = 1000
_MOST_DENSE = 4_000_000


@dataclass(frozen=True)
class Intervals:
    """What a set of rows says about each unknown.

    Attributes:
        least: float64 (k,).
        most: float64 (k,).
        share: float64 (k,), for how many unknowns each stands; 0: not drawn, its bounds too wide.
        unsolved: number of bounds that the solver gave up on.
    """

    least: Floats
    most: Floats
    share: Floats
    unsolved: int


def determined(weights: sp.csr_array) -> Bools:
    """Return for each column of (rows, k) whether exact results give its unknown, bool (k,)."""
    pattern = (weights != 0).astype(np.int64)
    unknown = np.ones(weights.shape[1], np.bool_)
    while True:
        lone = (pattern @ unknown.astype(np.int64)) == 1
        solved = unknown & (pattern.T @ lone.astype(np.int64) > 0)
        if not solved.any():
            break
        unknown &= ~solved
    rest = weights[pattern @ unknown.astype(np.int64) > 0]
    for rows, columns in _components(rest, unknown):
        unknown[columns] = ~_solved(rest[rows][:, columns])
    return ~unknown


def _solved(part: sp.csr_array) -> Bools:
    """Judge one connected component; by structure alone if it is too large for singular values."""
    if part.shape[0] * part.shape[1] > _MOST_DENSE:
        return _solved_by_structure(part)
    _left, size, right = np.linalg.svd(part.toarray(), full_matrices=False)
    space = right[size > 1e-10 * size[0]]
    solved: Bools = np.einsum("ij,ij->j", space, space) > 1 - 1e-8
    return solved


def _solved_by_structure(part: sp.csr_array) -> Bools:
    """Return the columns that every maximum matching covers: the rank for amounts in general.

    These are the columns that no alternating path from an uncovered column reaches (Dulmage and
    Mendelsohn).  Amounts that cancel by chance can make it differ from the numerical answer.
    """
    columns = part.shape[1]
    column_of = maximum_bipartite_matching(part, perm_type="column")
    entry = part.tocoo()
    start, stop = entry.col, column_of[entry.row]
    free = np.setdiff1d(np.arange(columns), column_of)
    pairs = (
        np.append(start[stop >= 0], np.full(len(free), columns)),
        np.append(stop[stop >= 0], free),
    )
    steps = sp.csr_array((np.ones(len(pairs[0])), pairs), shape=(columns + 1, columns + 1))
    reached = breadth_first_order(steps, columns, return_predecessors=False)
    solved = np.ones(columns + 1, np.bool_)
    solved[reached] = False
    return solved[:columns]


def _components(matrix: sp.csr_array, columns: Bools) -> list[tuple[Ints, Ints]]:
    """Return rows and columns of each connected component, over the columns marked."""
    kept = np.flatnonzero(columns)
    part = matrix[:, kept]
    count, label = connected_components(sp.block_array([[None, part], [part.T, None]]), False)
    of_row, of_column = label[: part.shape[0]], label[part.shape[0] :]
    by_row, by_column = np.argsort(of_row, kind="stable"), np.argsort(of_column, kind="stable")
    ids = np.arange(count + 1)
    row_end = np.searchsorted(of_row[by_row], ids)
    column_end = np.searchsorted(of_column[by_column], ids)
    both = np.flatnonzero((np.diff(row_end) > 0) & (np.diff(column_end) > 0))
    return [
        (
            by_row[row_end[i] : row_end[i + 1]],
            kept[by_column[column_end[i] : column_end[i + 1]]],
        )
        for i in both
    ]


def score_intervals(
    weights: sp.csr_array,
    low: Floats,
    high: Floats,
    box: tuple[Floats, Floats],
    rng: np.random.Generator,
    programmes: int,
) -> Intervals:
    """Return the least and largest value of each unknown x with ``low <= weights @ x <= high``.

    Args:
        weights: float64 (rows, k), sparse.
        low: float64 (rows,).
        high: float64 (rows,).
        box: bounds of x in any case, float64 (k,) each.
        rng: draws the unknowns that get linear programmes.
        programmes: most unknowns that get them.
    """
    least, most, binding = _tighten(weights, low, high, box)
    free = most - least > _SLACK
    fixed_part = weights @ np.where(free, 0.0, least)
    parts = [
        (binding[rows], columns)
        for rows, columns in _components(weights[binding], free)
        if _has_cycle(weights[binding[rows]][:, columns])
    ]
    hard = np.concatenate([np.zeros(0, np.int64), *(columns for _rows, columns in parts)])
    share = np.ones(len(least))
    drawn = rng.choice(hard, min(programmes, len(hard)), replace=False)
    share[hard] = 0.0
    share[drawn] = len(hard) / max(len(drawn), 1)
    unsolved = 0
    for rows, columns in parts:
        programme = _Programme(
            weights[rows][:, columns],
            low[rows] - fixed_part[rows],
            high[rows] - fixed_part[rows],
            least[columns],
            most[columns],
        )
        least[columns], most[columns], failed = programme.solve(share[columns] > 0)
        unsolved += failed
    return Intervals(least, most, share, unsolved)


def _has_cycle(part: sp.csr_array) -> bool:
    return bool(part.nnz >= sum(part.shape))


def _tighten(
    weights: sp.csr_array, low: Floats, high: Floats, box: tuple[Floats, Floats]
) -> tuple[Floats, Floats, Ints]:
    """Narrow the bounds of each unknown, row by row, until nothing moves.

    Returns:
        lower bounds (k,), upper bounds (k,), and the rows that still say more than the bounds.
    """
    least, most = (bound.copy() for bound in box)
    row = np.repeat(np.arange(weights.shape[0]), np.diff(weights.indptr))
    column, weight = weights.indices, weights.data
    for _ in range(_MOST_ROUNDS):
        lower, upper = least.copy(), most.copy()
        slack_above = (high - weights @ least)[row] / weight
        slack_below = (low - weights @ most)[row] / weight
        np.minimum.at(upper, column, least[column] + slack_above)
        np.maximum.at(lower, column, most[column] + slack_below)
        crossed = lower > upper  # by rounding only: the true scores satisfy every row
        lower[crossed] = upper[crossed] = (lower[crossed] + upper[crossed]) / 2
        moved = max(np.max(lower - least, initial=0.0), np.max(most - upper, initial=0.0))
        least, most = np.maximum(least, lower), np.minimum(most, upper)
        if moved < _SLACK:
            break
    implied = (weights @ least >= low - _SLACK) & (weights @ most <= high + _SLACK)
    return least, most, np.flatnonzero(~implied)


@dataclass(frozen=True)
class _Programme:
    """The linear programmes of one component: ``low <= weights @ x <= high``, x within bounds."""

    weights: sp.csr_array
    low: Floats
    high: Floats
    least: Floats
    most: Floats

    def solve(self, drawn: Bools) -> tuple[Floats, Floats, int]:
        """Return the bounds, made exact for the unknowns drawn, and how often HiGHS gave up.

        Every solution is a point that the rows allow: where one touches a bound, that bound is
        exact and needs no programme of its own.
        """
        least, most, unsolved = self.least.copy(), self.most.copy(), 0
        inner = _Inner(np.ones(len(least)), np.zeros(len(least)))
        if drawn.any():
            inner.add(self._optimum(np.ones(len(least))))
            inner.add(self._optimum(-np.ones(len(least))))
        for j in np.flatnonzero(drawn):
            for sign, seen, bound in ((1.0, inner.least, least), (-1.0, inner.most, most)):
                if abs(seen[j] - bound[j]) < _TOUCHES:
                    continue
                point = self._optimum(sign * (np.arange(len(least)) == j))
                inner.add(point)
                if point is None:
                    unsolved += 1
                else:
                    bound[j] = np.clip(point[j], self.least[j], self.most[j])
        return least, most, unsolved

    def _optimum(self, cost: Floats) -> Floats | None:
        """Return the x that makes ``cost @ x`` smallest."""
        from scipy.optimize import linprog  # Slow to load; few of those that import us solve.

        equal = self.high - self.low < _SLACK
        ranged = self.weights[~equal]
        answer = linprog(
            cost,
            A_eq=self.weights[equal] if equal.any() else None,
            b_eq=self.low[equal] if equal.any() else None,
            A_ub=sp.vstack([ranged, -ranged]) if ranged.shape[0] else None,
            b_ub=np.append(self.high[~equal], -self.low[~equal]) if ranged.shape[0] else None,
            bounds=np.column_stack([self.least - _SLACK, self.most + _SLACK]),
            method="highs",
        )
        return np.asarray(answer.x) if answer.status == 0 else None


@dataclass(frozen=True)
class _Inner:
    """The least and largest value of each unknown among the allowed points seen so far."""

    least: Floats
    most: Floats

    def add(self, point: Floats | None) -> None:
        if point is not None:
            np.minimum(self.least, point, out=self.least)
            np.maximum(self.most, point, out=self.most)
