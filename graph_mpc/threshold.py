r"""Threshold test: [[x]] -> XOR-shared bits x >= tau, for all values and all borders at once.

[[x]] is in {b, h}; the dealer d is the other helper of b.  r = r_b + r_h comes from d's streams
with b and with h, and d XOR-shares the bits of r.  b and h open c = x + r to each other; then for
every public tau

    x - tau = (c - tau) - r,    sign = msb(c - tau) xor msb(r) xor borrow,

where the borrow comes from the low l - 1 bits (``graph_mpc.binary``).  One opening and one r serve
all borders, since c - tau is public once c is.

What each party sees: b and h see the other's share of c, masked by r_h or r_b, and what the circuit
shows; h the dealer's XOR share of r, masked by b's; d sees nothing.

Bytes for each value, of all parties together: 24 for the opening and the bits of r, and 77 for each
border.  Rounds: one, and one for each of the log2 l levels.

Source: protocol design, section 3.5.
"""

from collections.abc import Sequence

import numpy as np

from graph_mpc.binary import Holders, XorShared, borrow_out, circuit_place, share_bits
from graph_mpc.context import Context
from graph_mpc.errors import Overflow
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.truncation import dealer_of

__all__ = ["at_least"]


async def at_least(ctx: Context, label: Label, x: Shared, borders: Sequence[int]) -> XorShared:
    """Return the bits x >= border, (borders, *x.shape) words of width 1 in {owner, helper}.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        x: the values, |x| <= 2^(l-3).
        borders: public integers, |border| <= 2^(l-3).
    """
    limit = 1 << max(ctx.ring.bits - 3, 0)
    if any(abs(border) > limit for border in borders):
        raise Overflow("a threshold does not fit the ring", "give a threshold within the results")
    who = Holders(x.owner, x.helper, dealer_of(ctx, x.owner, x.helper))
    c, r = await _open(ctx, label, who, x)
    bits = await share_bits(ctx, label, who, x.shape, r)
    repeated = bits.repeated(len(borders))
    differences: Words | None = None
    if c is not None:
        column = np.array([border % 2**64 for border in borders], np.uint64)
        differences = c - column.reshape(-1, *[1] * c.ndim)
    borrow = await borrow_out(
        ctx, (*label, "borrow"), who, differences, repeated, ctx.ring.bits - 1
    )
    return _not_negative(ctx, who, differences, repeated, borrow)


async def _open(
    ctx: Context, label: Label, who: Holders, x: Shared
) -> tuple[Words | None, Words | None]:
    """Return (c at b and h, r at d)."""
    if ctx.me == who.dealer:
        owner = ctx.streams.draw(who.owner, (*label, "rb"), x.shape).values
        helper = ctx.streams.draw(who.helper, (*label, "rh"), x.shape).values
        return None, ctx.ring.reduce(owner + helper)
    if x.local is None:
        return None, None
    mask = ctx.streams.draw(who.dealer, (*label, "rb" if ctx.me == who.owner else "rh"), x.shape)
    own = x.local + mask.values
    peer = who.peer(ctx.me)
    ctx.network.send(peer, (*label, "c"), own, mask)
    return ctx.ring.reduce(own + await ctx.network.receive(peer, (*label, "c"), own.shape)), None


def _not_negative(
    ctx: Context, who: Holders, c: Words | None, r: XorShared, borrow: XorShared
) -> XorShared:
    """Return 1 xor msb(c) xor msb(r) xor borrow, what is public in the owner's share."""
    if c is None or r.local is None or borrow.local is None:
        return borrow
    place = r.local.dtype.type(circuit_place(ctx.ring.bits - 1, r.width))
    top = ((r.local >> place) & r.local.dtype.type(1)).astype(np.uint8)
    share = borrow.local ^ top
    if ctx.me == who.owner:
        share = share ^ (np.uint8(1) ^ ctx.ring.top_bit(c).astype(np.uint8))
    return XorShared(borrow.shape, 1, share)
