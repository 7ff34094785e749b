"""How good a ranking of accounts is, for an alert budget that is shared out by accounts.

Each bank works through its own accounts, so a ranking is one within each bank, and a budget of a
share q of all accounts is a share q of each bank's.  Going from q = 0 to 1 gives one list for all
banks together; precision and recall are those of its beginnings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "average_precision", "chosen", "curve", "rank_within_banks"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """Precision and recall after 1, 2, ... n alerts, float64 (n,) each."""

    precision: Floats
    recall: Floats

    def precision_at(self, recall: float) -> float:
        """Return the precision at the first alert that reaches ``recall``."""
        return float(self.precision[np.searchsorted(self.recall, recall - 1e-12)])

    def recall_at_precision(self, precision: float) -> float:
        """Return the largest recall with at least ``precision``; 0 if there is none."""
        reached = self.recall[self.precision >= precision - 1e-12]
        return float(reached.max()) if len(reached) else 0.0


def rank_within_banks(bank: Ints, score: Floats) -> Floats:
    """Return the place of each account among its bank's as a share in (0, 1), (n,); low is first.

    Of equal scores the one that stands first comes first.

    >>> rank_within_banks(np.array([0, 0, 1]), np.array([1.0, 2.0, 0.5]))
    array([0.75, 0.25, 0.5 ])
    """
    order = np.lexsort((-score, bank))
    size = np.bincount(bank, minlength=1)
    first = np.cumsum(size) - size
    place = np.empty(len(bank))
    ordered = bank[order]
    place[order] = (np.arange(len(bank)) - first[ordered] + 0.5) / size[ordered]
    return place


def chosen(bank: Ints, score: Floats, alerts: int) -> Bools:
    """Return which accounts get the alerts, (n,): the same share of each bank's accounts."""
    order = np.argsort(rank_within_banks(bank, score), kind="stable")
    result = np.zeros(len(bank), np.bool_)
    result[order[:alerts]] = True
    return result


def curve(bank: Ints, score: Floats, illicit: Bools) -> Curve:
    """Return precision and recall of the list of all banks together; someone must be illicit."""
    order = np.argsort(rank_within_banks(bank, score), kind="stable")
    found = np.cumsum(illicit[order])
    return Curve(found / np.arange(1, len(order) + 1), found / illicit.sum())


def average_precision(line: Curve) -> float:
    """Return the area under precision over recall, in steps (PR-AUC)."""
    return float((np.diff(line.recall, prepend=0.0) * line.precision).sum())
