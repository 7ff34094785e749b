r"""Fixed-point formats: how the bits of the ring are spent, and what accuracy follows.

No value that is truncated may exceed 2^61, so a run must satisfy

    log2(bound) + f_x + f_w <= 61   and   2 f_w <= 61

where ``bound`` bounds the sum of the values (push), or their maximum (pull, whose rows of weights
sum to 1; for a low limb of such rows see ``pagerank.risk_precision``), f_x are their fractional
bits and f_w those of one limb of weights.  With two limbs a weight is w_1 2^-f_w + w_2 2^-2f_w,
each scaled, summed and truncated by itself.

For a fixed point x = M x + s with M >= 0, s >= floor > 0 everywhere, an error of at most e per
account and iteration ends as a relative error of at most e / floor, because (I - M)^-1 applied to a
constant e is at most (e / floor) x.  One iteration errs by less than one unit 2^-f_x for each limb
(truncation) and ``bound`` 2^-(L f_w) (weights).  Both terms are balanced.

Source: protocol design, section 2.
"""

import math
from dataclasses import dataclass

import numpy as np

from graph_mpc.errors import Overflow, ParameterError
from graph_mpc.ring import Words

__all__ = ["LIMIT_BITS", "FixedPoint", "choose_fixed_point", "parse_precision"]

LIMIT_BITS = 61
"""Values that are truncated stay within 2^61."""

_HIGHEST_ACCURACY_LOSS = {1: 0.05, 2: 1e-4}


@dataclass(frozen=True)
class FixedPoint:
    """The format of a run.

    Attributes:
        value_bits: f_x.
        weight_bits: f_w, fractional bits of one limb.
        limbs: 1 or 2.
        bound: what the values were assumed not to exceed.
    """

    value_bits: int
    weight_bits: int
    limbs: int
    bound: float

    @property
    def shifts(self) -> tuple[int, ...]:
        """Bits to cut after scaling by each limb."""
        return tuple(self.weight_bits * (limb + 1) for limb in range(self.limbs))

    def shift_column(self, axes: int = 1) -> Words:
        """Return the shifts for values of shape (L, N): (L, 1), or with more axes."""
        return np.array(self.shifts, np.uint64).reshape(-1, *[1] * axes)

    def step_error(self) -> float:
        """Return the largest error of one account in one iteration."""
        truncation = self.limbs * 2.0**-self.value_bits
        return truncation + self.bound * 2.0 ** -(self.limbs * self.weight_bits)

    def relative_error(self, floor: float) -> float:
        """Return the worst-case relative error of a fixed point with constant part >= floor."""
        return self.step_error() / floor


def parse_precision(precision: str) -> int:
    """Return the number of limbs of ``high`` or ``standard``."""
    limbs = {"standard": 1, "high": 2}.get(precision)
    if limbs is None:
        raise ParameterError(
            f"precision is {precision!r}", "choose precision=high or precision=standard"
        )
    return limbs


def choose_fixed_point(bound: float, limbs: int, floor: float) -> FixedPoint:
    """Return the format that fits the bound, or refuse.

    Args:
        bound: > 0, largest sum (push) or value (pull) of the run, in units of the values.
        limbs: 1 or 2 limbs per weight.
        floor: > 0, constant part that every account of interest receives per iteration.
    """
    free = LIMIT_BITS - math.ceil(math.log2(max(bound, 1.0) * 1.01))
    best: FixedPoint | None = None
    for weight_bits in range(8, min(30, free - 8) + 1):
        form = FixedPoint(free - weight_bits, weight_bits, limbs, max(bound, 1.0))
        if best is None or form.step_error() < best.step_error():
            best = form
    if limbs == 1 and free >= 16:
        # One limb is for ranking: a typical payer holds little, so the bits are split evenly.
        best = FixedPoint(free - free // 2, free // 2, 1, max(bound, 1.0))
    if best is None or typical_error(best, floor) > _HIGHEST_ACCURACY_LOSS[limbs]:
        raise Overflow(
            f"values up to {bound:.3g} leave {max(free, 0)} bits for fractions, too few for the"
            " promised accuracy",
            "run over fewer accounts" + ("" if limbs == 2 else ", or use precision=high"),
        )
    return best


def typical_error(form: FixedPoint, floor: float) -> float:
    """Return the error that decides about refusal: the worst, or for one limb the usual one."""
    if form.limbs == 2:
        return form.relative_error(floor)
    return (2.0**-form.value_bits + 2.0**-form.weight_bits) / floor
