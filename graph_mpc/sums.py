r"""Sums over the owners: opened to all, or kept secret at one owner and its helper.

*Opened*: each owner's partial sum is a share of its two holders.  Every party adds up what it holds
and then stream (i, i+1) - stream (i-1, i), a fresh zero sharing; without it the parties' messages
would reveal each owner's sum.  Then every party sends its part to every other.

*Secret*: needed at owner b with helper h; every other holder j sends D_j - rho_j to b, rho_j from
stream (j, h), and h adds up the rho_j.

What each party sees: parts that add up to the opened sum and are uniform otherwise; b sees D_j -
rho_j, masked.

Source: protocol design, section 3.7.
"""

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["held_sum", "open_sum", "sum_to_owner"]


def held_sum(values: list[Shared]) -> Words:
    """Return the sum of all elements of which this party holds shares, as one word (1,)."""
    total = np.zeros(1, np.uint64)
    for value in values:
        if value.local is not None:
            total += value.local.sum(dtype=np.uint64)
    return total


async def open_sum(ctx: Context, label: Label, part: Words) -> Words:
    """Return the sum of all parties' parts, which all of them learn."""
    m, me = ctx.roster.parties, ctx.me
    following, before = (me + 1) % m, (me - 1) % m
    zero = ctx.streams.draw(following, (*label, "zero", me), part.shape).values
    zero = zero - ctx.streams.draw(before, (*label, "zero", before), part.shape).values
    own = part + zero
    ctx.network.open_masked_sum((*label, "part"), own)
    total = own
    for peer in range(m):
        if peer != me:
            total = total + await ctx.network.receive(peer, (*label, "part"), part.shape)
    return ctx.ring.reduce(total)


async def sum_to_owner(ctx: Context, label: Label, part: Words, owner: int, helper: int) -> Shared:
    """Return the sum of all parties' parts, shared between an owner and one of its helpers."""
    others = [p for p in range(ctx.roster.parties) if p not in (owner, helper)]
    local: Words | None = None
    if ctx.me == owner:
        local = part
        for peer in others:
            local = local + await ctx.network.receive(peer, (*label, "part"), part.shape)
    elif ctx.me == helper:
        local = part
        for peer in others:
            local = local + ctx.streams.draw(peer, (*label, "rho", peer), part.shape).values
    else:
        rho = ctx.streams.draw(helper, (*label, "rho", ctx.me), part.shape)
        ctx.network.send(owner, (*label, "part"), part - rho.values, rho)
    return Shared(owner, helper, part.shape, local)
