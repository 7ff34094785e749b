"""The own accounts that a trace reached, each once, from the rows of its result."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bank_node.desk import TracePage

__all__ = ["Reached", "reached_by"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_NEVER = 1 << 40
"""Stands above every slice and depth while the smallest is looked for."""


@dataclass(frozen=True)
class Reached:
    """Own accounts of a trace, one entry for each: those that were asked about, then the others.

    Attributes:
        accounts: names (n,). asked: bool (n,).
        received, returned: float64 (n,), base currency, or the highest band. is_band: which.
        first, last: int64 (n,), slices in which money came; -1 where none did.
        depth: int64 (n,), fewest payments since the start; -1 unknown.
    """

    accounts: tuple[str, ...]
    asked: NDArray[np.bool_]
    received: Floats
    returned: Floats
    first: Ints
    last: Ints
    depth: Ints
    is_band: bool

    @property
    def has_depth(self) -> bool:
        """Whether the trace told how many payments the money made."""
        return bool((self.depth >= 0).any())


def reached_by(page: TracePage) -> Reached:
    """Return the own accounts of a trace, each once."""
    rows = page.rows
    is_band = "amount" not in rows.column_names
    value = rows["band" if is_band else "amount"]
    asked = list(dict.fromkeys(page.accounts))
    others = sorted(set(pc.unique(rows["account"]).to_pylist()) - set(asked))
    names = pa.array([*asked, *others], pa.string())
    account = pc.index_in(rows["account"], value_set=names).to_numpy().astype(np.int64)
    values = value.to_numpy().astype(np.float64)
    came_back = pc.equal(rows["kind"], "returned").to_numpy()
    at = rows["slice"].to_numpy().astype(np.int64)
    n = len(names)
    depth = np.full(n, -1, np.int64)
    if "depth" in rows.column_names and rows["depth"].null_count < len(rows):
        fewest = np.full(n, _NEVER)
        np.minimum.at(fewest, account, pc.fill_null(rows["depth"], _NEVER).to_numpy())
        depth = np.where(fewest < _NEVER, fewest, -1)
    return Reached(
        accounts=tuple(names.to_pylist()),
        asked=np.arange(n) < len(asked),
        received=_joined(account[~came_back], values[~came_back], n, is_band),
        returned=_joined(account[came_back], values[came_back], n, is_band),
        first=_extreme(account, at, n, np.minimum, _NEVER),
        last=_extreme(account, at, n, np.maximum, -1),
        depth=depth,
        is_band=is_band,
    )


def _joined(account: Ints, values: Floats, n: int, is_band: bool) -> Floats:
    """Return the sum of amounts, or the highest band, of each account."""
    joined = np.zeros(n)
    (np.maximum if is_band else np.add).at(joined, account, values)
    return joined


def _extreme(account: Ints, at: Ints, n: int, pick: np.ufunc, none: int) -> Ints:
    found = np.full(n, none, np.int64)
    pick.at(found, account, at)
    return np.where(found == _NEVER, -1, found)
