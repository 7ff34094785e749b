r"""Fixed point of risk propagation: how the bits are spent, and the largest error that follows.

The weights of a row are shares w_j >= 0, sum 1, of at most P payers.  Rounded to W bits they still
sum to 1 (the largest takes what is left over) and are cut into a high and a low limb,

    w_j = high_j 2^-f + low_j 2^-W,    W = f + g,    0 <= low_j < 2^g      (one limb: W = f).

Scores have f_x bits.  The sum of a row over the high limbs is at most 2^(f + f_x), but over the low
limbs it is bounded by the number of payers only: up to P 2^(g + f_x).  Neither may exceed 2^61, or
a truncation is wrong by 2^(64 - W) units, so (one bit is spare, for scores a little above 1)

    f + f_x <= 60,    g + f_x + log2 P <= 60.

**Error.**  Let e bound the error of all scores before a step, u = 2^-f_x, s the exact scores, z
those in fixed point, v the rounded weights.  In the mean of a row,

    |sum v_j z_j - sum w_j s_j| <= sum w_j |z_j - s_j| + |sum (v_j - w_j) z_j| <= e + r,

where r bounds the second sum.  As sum (v_j - w_j) = 0, it is the sum of (v_j - w_j) (z_j - z_l) for
any l: take the largest weight, so that what is left over counts for nothing.  The scores spread
over 1 + 2 e at most, which is 1.1 as runs with a bound above 0.05 are refused.  The other P - 1
weights err by half of 2^-W each, and as shares are computed in doubles by (P + 3) 2^-53 of
themselves:

    r = 1.1 (P - 1) 2^-(W + 1) + (P + 3) 2^-52.

A truncation errs by less than u, one for each of the L limbs.  Mixing with delta' (delta rounded to
29 bits) takes 1 - delta' of the old error and delta' of the mean's, and truncates once more;
the exact step with delta' differs from that with delta by |delta' - delta| at most:

    e <- e + delta' (r + L u) + u + |delta' - delta|.

The scores at the start are rounded: e = u / 2.  Errors are not enlarged, only added.

P is the most payers that a row can have by public sizes: inputs of an owner's map (its padded
accounts and the padded lists of accounts that it reads), or its padded entries if they are fewer.
f_x is chosen so that a step's error is least; it depends on nothing but public sizes.

Source: protocol design, sections 2 and 5.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.errors import Overflow
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import Words
from graph_mpc.rounding import shares_in_limbs
from graph_mpc.sizes import PublicSizes

__all__ = [
    "DELTA_BITS",
    "RiskFixedPoint",
    "choose_risk_format",
    "error_bound",
    "most_payers",
    "rounded_delta",
    "share_limbs",
]

DELTA_BITS = 29
"""Bits of delta; with at most 31 of the scores they fit in 60."""

_SUM_BITS = 60
_MOST_SHARE_BITS = 60
_MOST_VALUE_BITS = _SUM_BITS - DELTA_BITS
_FEWEST_VALUE_BITS = 12
_LARGEST_ERROR = 0.05
_SPREAD = 1 + 2 * _LARGEST_ERROR


@dataclass(frozen=True)
class RiskFixedPoint(FixedPoint):
    """A format whose low limb has fewer bits than the high one.

    Attributes:
        low_bits: g, bits of the low limb; 0 with one limb.
        payers: P, the most payers of a row that the format was made for.
    """

    low_bits: int
    payers: int

    @property
    def share_bits(self) -> int:
        """W, bits of a whole weight."""
        return self.weight_bits + self.low_bits

    @property
    def unit(self) -> float:
        """u, the last place of a score."""
        return 2.0**-self.value_bits

    @property
    def shifts(self) -> tuple[int, ...]:
        """Bits to cut after scaling by each limb."""
        return (self.weight_bits, self.share_bits)[: self.limbs]

    def step_error(self) -> float:
        """Return L u + r: the largest error that a step adds to the mean of a row."""
        rounding = _SPREAD * (self.payers - 1) * 2.0 ** -(self.share_bits + 1)
        return self.limbs * self.unit + rounding + (self.payers + 3) * 2.0**-52


def most_payers(sizes: PublicSizes) -> int:
    """Return P, the most payers that a row can have by the public sizes; at least 1."""
    rows = [
        min(entries, sizes.vertices[b] + sum(n for (at, _), n in sizes.boundary.items() if at == b))
        for b, entries in sizes.entries.items()
    ]
    return max(rows, default=1) or 1


def choose_risk_format(payers: int, limbs: int) -> RiskFixedPoint:
    """Return the format with the least error of a step that cannot overflow.

    Args:
        payers: P >= 1.
        limbs: 1 or 2 limbs per weight.
    """
    width = math.ceil(math.log2(payers))
    forms = []
    for value_bits in range(_FEWEST_VALUE_BITS, _MOST_VALUE_BITS + 1):
        high = _SUM_BITS - value_bits
        low = min(high - width, _MOST_SHARE_BITS - high) if limbs == 2 else 0
        if low >= limbs - 1:
            forms.append(RiskFixedPoint(value_bits, high, limbs, 1.0, low, payers))
    if not forms:
        raise _too_large(payers)
    return min(forms, key=lambda form: form.step_error() + form.unit)


def error_bound(form: RiskFixedPoint, deltas: Sequence[float]) -> float:
    """Return the largest error of a score after steps with ``deltas``, or refuse to run."""
    rounded = [rounded_delta(delta) * 2.0**-DELTA_BITS for delta in deltas]
    mean = form.step_error()
    steps = (r * mean + form.unit + abs(r - d) for r, d in zip(rounded, deltas, strict=True))
    bound = form.unit / 2 + math.fsum(steps)
    if bound > _LARGEST_ERROR:
        raise _too_large(form.payers)
    return bound


def rounded_delta(delta: float) -> int:
    """Return delta in fixed point."""
    return int(np.rint(delta * 2.0**DELTA_BITS))


def share_limbs(amount: NDArray[np.int64], row: NDArray[np.int64], form: RiskFixedPoint) -> Words:
    """Return the limbs of each row's shares, (L, e), highest first; they sum to 1 in each row.

    Args:
        amount: int64 (e,), >= 0.
        row: int64 (e,), row of each entry.
        form: the format.
    """
    shares = shares_in_limbs(amount, row, form.share_bits, 1)
    if form.limbs == 1:
        return shares
    # Of a largest weight that became negative the high limb is: the low one never is.
    signed = shares[0].view(np.int64)
    low = signed & ((1 << form.low_bits) - 1)
    return np.stack([signed >> form.low_bits, low]).view(np.uint64)


def _too_large(payers: int) -> Overflow:
    return Overflow(
        f"risk propagation with up to {payers} payers of an account leaves too few bits for scores",
        "run over fewer accounts or iterations, or use precision=high",
    )
