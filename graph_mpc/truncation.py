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
    "Opened",
    "Shifts",
    "deal_truncation",
    "dealer_of",
    "open_for_truncation",
    "recombine",
    "truncate",
]

Shifts = int | Words
"""How many bits f to cut, 0 < f < l - 2: one number, or an array that broadcasts."""


@dataclass(frozen=True)
class Opened:
    """What b and h hold after the opening: the public c, and shares of r >> f and of msb(r)."""

    c: Words
    shifted: Words
    top: Words


async def truncate(ctx: Context, label: Label, x: Shared, shifts: Shifts) -> Shared:
    """Return [[x / 2^shifts]], rounded down or up at random with the right mean."""
    dealer = dealer_of(ctx, x)
    if ctx.me == dealer:
        deal_truncation(ctx, label, x, shifts)
    if x.local is None:
        return x
    opened = await open_for_truncation(ctx, label, x, dealer)
    return Shared(x.owner, x.helper, x.shape, recombine(ctx, x.owner, opened, shifts))


def dealer_of(ctx: Context, x: Shared) -> int:
    """Return the helper of the owner that holds no share of x."""
    h1, h2 = ctx.roster.helpers(x.owner)
    return h2 if x.helper == h1 else h1


def deal_truncation(ctx: Context, label: Label, x: Shared, shifts: Shifts) -> Words:
    """Deal: send the helper its shares of r >> f and msb(r); return r."""
    mask_owner = ctx.streams.draw(x.owner, (*label, "rb"), x.shape).values
    mask_helper = ctx.streams.draw(x.helper, (*label, "rh"), x.shape).values
    r = ctx.ring.reduce(mask_owner + mask_helper)
    owner_part = ctx.streams.draw(x.owner, (*label, "t"), (2, *x.shape))
    shares = np.stack((r >> np.uint64(shifts), ctx.ring.top_bit(r))) - owner_part.values
    ctx.network.send(x.helper, (*label, "dealt"), shares, owner_part)
    return r


async def open_for_truncation(ctx: Context, label: Label, x: Shared, dealer: int) -> Opened:
    """At b and h: open c and collect the dealer's shares."""
    if x.local is None:
        raise ValueError("only the two holders of a value open it")
    is_owner = ctx.me == x.owner
    other = x.helper if is_owner else x.owner
    mask = ctx.streams.draw(dealer, (*label, "rb" if is_owner else "rh"), x.shape)
    own = x.local + mask.values + (ctx.ring.offset if is_owner else np.uint64(0))
    theirs = await _exchange(ctx, (*label, "c"), other, own, mask)
    if is_owner:
        dealt = ctx.streams.draw(dealer, (*label, "t"), (2, *x.shape)).values
    else:
        dealt = await ctx.network.receive(dealer, (*label, "dealt"), (2, *x.shape))
    return Opened(ctx.ring.reduce(own + theirs), dealt[0], dealt[1])


async def _exchange(ctx: Context, label: Label, other: int, own: Words, mask: Mask) -> Words:
    ctx.network.send(other, label, own, mask)
    return await ctx.network.receive(other, label, own.shape)


def recombine(ctx: Context, owner: int, opened: Opened, shifts: Shifts) -> Words:
    """At b and h: return the share of y from the opened c and the dealer's shares."""
    f = np.uint64(shifts)
    wrap = (np.uint64(1) - ctx.ring.top_bit(opened.c)) << (np.uint64(ctx.ring.bits) - f)
    share = wrap * opened.top - opened.shifted
    if ctx.me == owner:
        share += (opened.c >> f) - (ctx.ring.offset >> f)
    return share
