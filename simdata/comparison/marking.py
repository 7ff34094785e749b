"""What each bank puts into the joint analyses: whom it suspects, and whom it asks about.

A bank ranks its accounts by what it knows alone (``local_signals``, with the local weights of the
model).  The highest ``SUSPECTED`` share carry the square of their local score as suspicion, all
others none: most local scores are low and wrong, and added up over thousands of accounts they drown
the few that mean something.  The highest ``ASKED`` share are in scope of round trips, as a bank
would declare.  Both are its private inputs, the same in all worlds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simdata.comparison.measures import rank_within_banks
from simdata.comparison.payments import Labelled

__all__ = ["ASKED", "SUSPECTED", "Marks", "mark"]

SUSPECTED = 0.2
ASKED = 0.02


@dataclass(frozen=True)
class Marks:
    """A bank's private inputs, for all accounts.

    Attributes:
        suspicion: float64 (n,) in [0, 1].
        scope: bool (n,).
    """

    suspicion: NDArray[np.float64]
    scope: NDArray[np.bool_]


def mark(data: Labelled, local: NDArray[np.float64]) -> Marks:
    """Return what the banks put in, given the local probability of each account, (n,)."""
    place = rank_within_banks(data.bank, local)
    return Marks(np.where(place < SUSPECTED, local**2, 0.0), place < ASKED)
