r"""Release of results to their owners, in the form that the output policy allows and no other.

- *exact*: h sends x_h.
- *bands*: the bits x >= border (``graph_mpc.threshold``); h sends its XOR shares of them.
- *threshold*: the bit as a ring element, times the rounded value; h sends its share of bit * value.
  The value is floor((x + step / 2) / step), by a public multiplier and the exact floor
  (``graph_mpc.floor``): rounding at random would give it away over many runs.

All of it is computed for all padded values alike, so that nobody learns which or how many are
above, and no message's shape depends on data.

What each party sees: the owner its released values, and besides only what follows from them and
from its own share: its share of a result is independent of the result, and h's message is their
difference.  The others see what the steps show.

Source: protocol design, section 3.6.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph_mpc.binary import Holders, XorShared, bit_to_ring
from graph_mpc.context import Context
from graph_mpc.errors import Overflow, ParameterError
from graph_mpc.floor import exact_floor
from graph_mpc.labels import Label
from graph_mpc.policy import Policy
from graph_mpc.product import multiply
from graph_mpc.ring import Words, decode
from graph_mpc.shares import Shared
from graph_mpc.threshold import at_least
from graph_mpc.truncation import dealer_of

__all__ = ["Released", "ResultForm", "in_plain", "release", "release_all", "release_bits_to_owner"]

_FINEST = 4  # A step must be this many times as large as what the multiplier cannot resolve.


@dataclass(frozen=True)
class ResultForm:
    """How shared words stand for results.

    Attributes:
        value_bits: f, fractional bits.
        unit: shared value of a result of 1 (for PageRank scaled to mean 1: number of accounts).
        bound: largest shared value.
        least: smallest result; rounding can leave a value a few units below it.
    """

    value_bits: int
    unit: float
    bound: float
    least: float = 0.0

    def border(self, value: float) -> int:
        """Return the smallest word that stands for ``value`` or more."""
        return math.ceil(value * self.unit * 2.0**self.value_bits)


@dataclass(frozen=True)
class Released:
    """What an owner learned.

    Attributes:
        policy: the policy.
        values: ``exact``: float64 results; ``bands``: int64 bands; ``threshold``: float64 rounded
            results, 0 where below.
        above: bool, which values are at or above the threshold; None for the other policies.
    """

    policy: Policy
    values: NDArray[Any]
    above: NDArray[np.bool_] | None = None

    def rows(self, stop: int) -> "Released":
        """Return the first rows: what is not padding."""
        above = None if self.above is None else self.above[:stop]
        return Released(self.policy, self.values[:stop], above)

    def released_bits(self) -> int:
        """Return the bits that were in fact given away, as the policy counts them."""
        if self.above is None:
            return int(self.values.size) * self.policy.bits_per_value
        return int(self.above.size) + int(self.above.sum()) * self.policy.rounded_bits


async def release_all(
    ctx: Context, label: Label, policy: Policy, form: ResultForm, results: dict[int, Shared]
) -> Released | None:
    """Release each owner's results to it; return this party's own, None if it has none."""
    released = await asyncio.gather(
        *(release(ctx, (*label, b), policy, form, x) for b, x in results.items())
    )
    return dict(zip(results, released, strict=True)).get(ctx.me)


async def release(
    ctx: Context, label: Label, policy: Policy, form: ResultForm, x: Shared
) -> Released | None:
    """Release [[x]] to its owner; return what it learned, None at everybody else."""
    if policy.name == "bands":
        return await _release_bands(ctx, label, policy, form, x)
    if policy.name == "threshold":
        return await _release_above(ctx, label, policy, form, x)
    words = await _to_owner(ctx, label, x)
    if words is None:
        return None
    return Released(policy, np.maximum(decode(words, form.value_bits) / form.unit, form.least))


def in_plain(policy: Policy, values: NDArray[np.float64]) -> Released:
    """Return what the policy leaves of values that the owner knows anyway, in the same form."""
    if policy.name == "bands":
        return Released(policy, np.searchsorted(policy.borders, values, "right"))
    if policy.name == "threshold" and policy.step is not None:
        above = values >= policy.borders[0]
        rounded = np.floor(values / policy.step + 0.5) * policy.step
        return Released(policy, np.where(above, rounded, 0.0), above)
    return Released(policy, np.maximum(values, 0.0))


async def _release_bands(
    ctx: Context, label: Label, policy: Policy, form: ResultForm, x: Shared
) -> Released | None:
    bits = await at_least(ctx, label, x, [form.border(b) for b in policy.borders])
    opened = await release_bits_to_owner(ctx, label, x, bits)
    if opened is None:
        return None
    return Released(policy, opened.sum(axis=0, dtype=np.int64))


async def _release_above(
    ctx: Context, label: Label, policy: Policy, form: ResultForm, x: Shared
) -> Released | None:
    if policy.step is None:
        raise ValueError("the policy threshold has a step")
    multiplier, half, shift = rounding(form, policy.step)
    scaled = x.map(lambda a: a * np.uint64(multiplier), x.shape)
    if ctx.me == x.owner:
        scaled = scaled.add_owned(ctx.me, np.full(x.shape, half, np.uint64))
    bits, rounded = await asyncio.gather(
        at_least(ctx, label, x, [form.border(policy.borders[0])]),
        exact_floor(ctx, (*label, "floor"), scaled, shift),
    )
    bit = await _one_to_ring(ctx, (*label, "bit"), x, bits)
    words = await _to_owner(ctx, label, await multiply(ctx, (*label, "product"), bit, rounded))
    if words is None:
        return None
    return Released(policy, words.astype(np.float64) * policy.step, words != 0)


async def _one_to_ring(ctx: Context, label: Label, x: Shared, bits: XorShared) -> Shared:
    """Return the bits of the only border as ring elements of the shape of x."""
    who = Holders(x.owner, x.helper, dealer_of(ctx, x.owner, x.helper))
    share = await bit_to_ring(ctx, label, who, bits)
    return Shared(x.owner, x.helper, x.shape, None if share is None else share[0])


def rounding(form: ResultForm, step: float) -> tuple[int, int, int]:
    """Return (m, half, s) so that floor((x m + half) / 2^s) is x in steps, to the nearest.

    m = 2^s / (step in words), rounded, with the largest s that keeps x m below 2^60.
    """
    in_words = step * form.unit * 2.0**form.value_bits
    largest = form.bound * 2.0**form.value_bits
    shift = math.floor(60 + math.log2(in_words) - math.log2(max(largest, 1.0)))
    shift = min(shift, 60)
    if shift < 1 or in_words < _FINEST:
        raise ParameterError(
            f"the step {step} is too fine for results up to {form.bound / form.unit:.3g}",
            "give a larger step",
        )
    multiplier = round(2.0**shift / in_words)
    if multiplier < _FINEST * largest / in_words:
        raise Overflow(
            f"the step {step} cannot be resolved over the range of the results",
            "give a larger step, or release bands",
        )
    return multiplier, 1 << (shift - 1), shift


async def _to_owner(ctx: Context, label: Label, x: Shared) -> Words | None:
    """Send the helper's share to the owner; return x there."""
    if x.local is None:
        return None
    if ctx.me == x.helper:
        ctx.network.release(x.owner, (*label, "release"), x.local)
        return None
    return ctx.ring.reduce(
        x.local + await ctx.network.receive(x.helper, (*label, "release"), x.shape)
    )


async def release_bits_to_owner(
    ctx: Context, label: Label, x: Shared, bits: XorShared
) -> NDArray[np.uint8] | None:
    """Send the helper's shares of bits to the owner, eight to a byte; return the bits there."""
    if bits.local is None:
        return None
    packed = np.packbits(bits.local.reshape(-1))
    if ctx.me == x.helper:
        ctx.network.release_bits(x.owner, (*label, "release"), packed)
        return None
    other = await ctx.network.receive_as(x.helper, (*label, "release"), packed.shape, np.uint8)
    return np.unpackbits(packed ^ other, count=bits.local.size).reshape(bits.shape)
