r"""Joint scalars: what is small, non-linear and shared by all, computed with MPyC's secure types.

- ``total``: the sum of one non-negative integer of each party, opened to all (SecInt).
- ``reciprocal``: parties hold additive shares a_j in Z_2^64 of S; for each owner, [[rho]] in
  {owner, h1} with rho = scale / S in two limbs rho_1 2^-f + rho_2 2^-2f.  S and rho stay secret;
  only whether S = 0 is opened.

The parties' shares are Shamir-shared (t = 1) and reduced modulo 2^64 inside; 1 / S is a SecFxp
division with 96 fractional bits; the limbs leave masked: the owner puts in a uniform t, and h1
alone gets rho_l - t mod 2^64.

What each party sees: Shamir shares, values opened under MPyC's statistical masks (64 bits), and h1
uniform words.

Source: protocol design, section 6; MPyC's arithmetic after Catrina and Saxena, FC 2010.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graph_mpc.context import Context
from graph_mpc.errors import ParameterError
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["JointScalars", "MpycScalars", "ReciprocalScale"]

_WORD = 1 << 64
_SECURITY_BITS = 64


@dataclass(frozen=True)
class ReciprocalScale:
    """rho = numerator / S for an integer S in [1, 2^61].

    Attributes:
        numerator: public integer below 2^61.
        limb_bits: f, bits of one limb of rho.
    """

    numerator: int
    limb_bits: int


class JointScalars(Protocol):
    """Joint computations on a few numbers; the tests put a trusted party here."""

    async def total(self, ctx: Context, value: int) -> int:
        """Return the sum of the parties' values, 0 <= value < 2^48."""
        ...

    async def reciprocal(
        self, ctx: Context, label: Label, part: Words, scale: ReciprocalScale
    ) -> dict[int, Shared]:
        """Return for each owner the limbs of rho, (2,), in {owner, h1}."""
        ...


class MpycScalars:
    """Joint scalars on a running MPyC runtime."""

    def __init__(self, runtime: Any) -> None:
        self._mpc = runtime
        runtime.options.sec_param = _SECURITY_BITS

    async def total(self, ctx: Context, value: int) -> int:
        """See ``JointScalars``."""
        secint = self._mpc.SecInt(64)
        return int(await self._mpc.output(self._mpc.sum(self._mpc.input(secint(value)))))

    async def reciprocal(
        self, ctx: Context, label: Label, part: Words, scale: ReciprocalScale
    ) -> dict[int, Shared]:
        """See ``JointScalars``; raise ``ParameterError`` if S = 0."""
        mpc = self._mpc
        secint = mpc.SecInt(72)
        total = mpc.sum(mpc.input(secint(int(part[0])))) % _WORD
        if await mpc.output(mpc.is_zero(total)):
            raise zero_total()
        limbs = self._limbs(total, scale)
        shares: dict[int, Shared] = {}
        for owner in ctx.roster.owners:
            shares[owner] = await self._hand_out(ctx, (*label, owner), owner, limbs)
        return shares

    def _limbs(self, total: Any, scale: ReciprocalScale) -> list[Any]:
        """Return secure integers rho_1, rho_2 of rho 2^2f, rounded."""
        mpc = self._mpc
        fixed, integer = mpc.SecFxp(192, 96), mpc.SecInt(128)
        # S 2^-61 lies in (0, 1], its reciprocal in [1, 2^61]: 96 fractional bits lose nothing.
        rho = (1 / (mpc.convert(total, fixed) * 2**-61)) * (scale.numerator * 2.0**-61)
        scaled = mpc.trunc(rho * 2 ** (2 * scale.limb_bits), f=96) * 2**96
        both = mpc.convert(scaled, integer)
        low = both % 2**scale.limb_bits
        return [(both - low) / 2**scale.limb_bits, low]

    async def _hand_out(self, ctx: Context, label: Label, owner: int, limbs: list[Any]) -> Shared:
        """Give the owner uniform words and its first helper the differences."""
        mpc = self._mpc
        secint = type(limbs[0])
        helper = ctx.roster.helpers(owner)[0]
        own: Words = np.zeros(len(limbs), np.uint64)
        if ctx.me == owner:
            own = ctx.streams.own((*label, "own"), (len(limbs),))
        masks = mpc.input([secint(int(word)) for word in own], senders=owner)
        masked = [(limb - t + _WORD) % _WORD for limb, t in zip(limbs, masks, strict=True)]
        opened = await mpc.output(masked, receivers=helper)
        local: Words | None = None
        if ctx.me == owner:
            local = own
        elif ctx.me == helper:
            local = np.array([int(word) for word in opened], np.uint64)
        return Shared(owner, helper, (len(limbs),), local)


def zero_total() -> ParameterError:
    """Return the error for a total of zero."""
    return ParameterError(
        "the values to be normalised add up to zero over all banks",
        "with personalisation=risk_score at least one account needs a risk score above 0",
    )
