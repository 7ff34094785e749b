"""Rounding weights that sum to 1 per row to fixed point, so that they still sum to exactly 1.

Source: protocol design, section 2 (``Weights of one account that must sum to 1``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.ring import Words

__all__ = ["shares_in_limbs", "split_limbs"]


def shares_in_limbs(
    amount: NDArray[Any], row: NDArray[np.int64], weight_bits: int, limbs: int
) -> Words:
    """Return amount / (sum of the row's amounts) as limbs that sum to 2^(L f_w) in each row.

    Each share is rounded to the nearest multiple of 2^-(L f_w), and the row's largest weight takes
    what is left over.

    Args:
        amount: int64 or float64 (e,), >= 0.
        row: int64 (e,), row of each entry; rows whose amounts are all 0 get weights of 0.
        weight_bits: f_w, bits of one limb.
        limbs: L, 1 or 2; L f_w <= 61.

    Returns:
        uint64 (L, e), highest limb first.
    """
    if len(amount) == 0:
        return np.zeros((limbs, 0), np.uint64)
    rows = int(row.max()) + 1
    one = 1 << (weight_bits * limbs)
    values = amount.astype(np.float64)
    total = np.bincount(row, values, minlength=rows)[row]
    share = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    words = np.rint(share * float(one)).astype(np.int64)
    order = np.lexsort((amount, row))
    last = np.flatnonzero(np.append(np.diff(row[order]) != 0, True))
    sums = np.add.reduceat(words[order], np.concatenate([[0], last[:-1] + 1]))
    largest = order[last]
    words[largest] += np.where(total[largest] > 0, one - sums, 0)
    return split_limbs(words.view(np.uint64), weight_bits, limbs)


def split_limbs(words: Words, weight_bits: int, limbs: int) -> Words:
    """Return words as limbs of ``weight_bits`` bits, (L, e), highest first."""
    if limbs == 1:
        return words[None]
    low = words & np.uint64((1 << weight_bits) - 1)
    return np.stack([words >> np.uint64(weight_bits), low])
