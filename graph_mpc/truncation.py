r"""Truncation: [[x]] -> [[x / 2^f]], right up to the last bit.

[[x]] is in {b, h}, |x| <= 2^(l-3) (2^61 in Z_2^64); the dealer d is the other helper of b.  r = r_b
+ r_h comes from d's streams with b and with h.  d gives additive shares of r >> f and of msb(r):
one of each from a stream with b, the other sent to h.  b and h open c = x + 2^(l-2) + r to each
other.  Then

    y = (c >> f) - (r >> f) + (1 - msb(c)) msb(r) 2^(l-f) - 2^(l-2-f)

is floor(x / 2^f) or one more, with mean exactly x / 2^f; exact multiples stay exact.  The wrap of c
is corrected, so there is no failure probability.

What each party sees: b and h see the other's share of c, masked by r_h or r_b; h sees the dealer's
shares, masked by b's; d sees nothing.  b and h know the rounding coin, c mod 2^f: it is part of the
ideal functionality.

Two rounds of messages, of which the dealer's does not depend on data: 2 N elements to h, N each way
between b and h.

Source: protocol design, section 3.3 (after Escudero et al., CRYPTO 2020, for the wrap).
"""

from dataclasses import dataclass

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask

__all__ = [
    "Dealt",
    "Shifts",
    "deal",
    "deal_truncation",
    "dealer_of",
    "open_masked",
    "recombine",
    "restore_dealt",
    "truncate",
]

Shifts = int | Words
"""How many bits f to cut, 0 < f < l - 2: one number, or an array that broadcasts."""


@dataclass(frozen=True)
class Dealt:
    """What b or h holds for truncating values of one shape, before the values exist.

    Attributes:
        mask: r_b or r_h.
        shifted: this party's share of r >> f.
        top: this party's share of msb(r).
    """

    mask: Mask
    shifted: Words
    top: Words

    def part(self, index: int) -> "Dealt":
        """Return the dealt values of one row of the first axis, to be used once."""
        mask = self.mask.part(index, self.mask.values[index])
        return Dealt(mask, self.shifted[index], self.top[index])


async def truncate(
    ctx: Context, label: Label, x: Shared, shifts: Shifts, dealt: Dealt | None = None
) -> Shared:
    """Return [[x / 2^shifts]], rounded down or up at random with the right mean.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        x: the values.
        shifts: bits to cut.
        dealt: what b and h hold if the dealing was done before; None: deal now.
    """
    if dealt is None:
        dealt = await deal(ctx, label, (x.owner, x.helper), x.shape, shifts)
    if x.local is None or dealt is None:
        return x
    c = await open_masked(ctx, label, x, dealt)
    return Shared(x.owner, x.helper, x.shape, recombine(ctx, x.owner, c, dealt, shifts))


def dealer_of(ctx: Context, owner: int, helper: int) -> int:
    """Return the helper of the owner that holds no share."""
    h1, h2 = ctx.roster.helpers(owner)
    return h2 if helper == h1 else h1


async def deal(
    ctx: Context, label: Label, holders: tuple[int, int], shape: tuple[int, ...], shifts: Shifts
) -> Dealt | None:
    """Deal for values of a shape; at b and h return what they hold, elsewhere None.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        holders: (owner, helper).
        shape: shape of the values.
        shifts: bits to cut.
    """
    owner, helper = holders
    dealer = dealer_of(ctx, owner, helper)
    if ctx.me == dealer:
        deal_truncation(ctx, label, holders, shape, shifts)
    if ctx.me not in holders:
        return None
    mask = ctx.streams.draw(dealer, (*label, "rb" if ctx.me == owner else "rh"), shape)
    if ctx.me == owner:
        shares = ctx.streams.draw(dealer, (*label, "t"), (2, *shape)).values
    else:
        shares = await ctx.network.receive(dealer, (*label, "dealt"), (2, *shape))
    return Dealt(mask, shares[0], shares[1])


def restore_dealt(
    ctx: Context,
    label: Label,
    holders: tuple[int, int],
    shape: tuple[int, ...],
    received: Words | None,
) -> Dealt | None:
    """Return what ``deal`` gave: from the streams again, and what the helper received and kept.

    For values prepared ahead by another process with the same seeds; used once, as ever.
    """
    owner, helper = holders
    if ctx.me not in holders:
        return None
    dealer = dealer_of(ctx, owner, helper)
    mask = ctx.streams.draw(dealer, (*label, "rb" if ctx.me == owner else "rh"), shape)
    shares = received
    if ctx.me == owner:
        shares = ctx.streams.draw(dealer, (*label, "t"), (2, *shape)).values
    if shares is None or shares.shape != (2, *shape):
        raise ValueError("the helper kept what the dealer sent")
    return Dealt(mask, shares[0], shares[1])


def deal_truncation(
    ctx: Context, label: Label, holders: tuple[int, int], shape: tuple[int, ...], shifts: Shifts
) -> Words:
    """At the dealer: send the helper its shares of r >> f and msb(r); return r."""
    owner, helper = holders
    mask_owner = ctx.streams.draw(owner, (*label, "rb"), shape).values
    mask_helper = ctx.streams.draw(helper, (*label, "rh"), shape).values
    r = ctx.ring.reduce(mask_owner + mask_helper)
    owner_part = ctx.streams.draw(owner, (*label, "t"), (2, *shape))
    shares = np.empty((2, *shape), np.uint64)
    np.subtract(r >> np.uint64(shifts), owner_part.values[0], out=shares[0])
    np.subtract(ctx.ring.top_bit(r), owner_part.values[1], out=shares[1])
    ctx.network.send(helper, (*label, "dealt"), shares, owner_part)
    return r


async def open_masked(ctx: Context, label: Label, x: Shared, dealt: Dealt) -> Words:
    """At b and h: return c = x + 2^(l-2) + r."""
    if x.local is None:
        raise ValueError("only the two holders of a value open it")
    is_owner = ctx.me == x.owner
    other = x.helper if is_owner else x.owner
    own = x.local + dealt.mask.values
    if is_owner:
        own += ctx.ring.offset
    ctx.network.send(other, (*label, "c"), own, dealt.mask)
    return ctx.ring.reduce(own + await ctx.network.receive(other, (*label, "c"), own.shape))


def recombine(ctx: Context, owner: int, c: Words, dealt: Dealt, shifts: Shifts) -> Words:
    """At b and h: return the share of y from the opened c and the dealer's shares."""
    f = np.uint64(shifts)
    wrap = (np.uint64(1) - ctx.ring.top_bit(c)) << (np.uint64(ctx.ring.bits) - f)
    share: Words = wrap * dealt.top - dealt.shifted
    if ctx.me == owner:
        share += (c >> f) - (ctx.ring.offset >> f)
    return share
