r"""Products of shared values with a dealer's triple: [[x]], [[y]] -> [[x y]].

[[x]] and [[y]] are in {b, h}; the dealer d is the other helper of b.  From its streams with b and
h, d knows uniform a = a_b + a_h and k = k_b + k_h, and sends h the share a k - c_b of their
product, c_b from stream (b, d). b and h open x - a and y - k; then x y = c + (x - a) k + a (y - k)
+ (x - a)(y - k).

What each party sees: openings masked by a and k, shares masked by c_b.  One round after the
dealing.

Source: Beaver, CRYPTO 1991; protocol design, section 3.6.
"""

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.truncation import dealer_of

__all__ = ["multiply"]


async def multiply(ctx: Context, label: Label, x: Shared, y: Shared) -> Shared:
    """Return [[x y]] with numpy's broadcasting; x and y are shared by the same two parties."""
    if (x.owner, x.helper) != (y.owner, y.helper):
        raise ValueError("only values shared by the same parties can be multiplied")
    shape = np.broadcast_shapes(x.shape, y.shape)
    dealer = dealer_of(ctx, x.owner, x.helper)
    if ctx.me == dealer:
        _deal(ctx, label, x, y)
    if x.local is None or y.local is None:
        return Shared(x.owner, x.helper, shape, None)
    return Shared(x.owner, x.helper, shape, await _multiply_held(ctx, label, dealer, x, y))


def _deal(ctx: Context, label: Label, x: Shared, y: Shared) -> None:
    parts = []
    for name, shape in (("a", x.shape), ("k", y.shape)):
        owner = ctx.streams.draw(x.owner, (*label, name, "b"), shape).values
        helper = ctx.streams.draw(x.helper, (*label, name, "h"), shape).values
        parts.append(owner + helper)
    product = parts[0] * parts[1]
    share = ctx.streams.draw(x.owner, (*label, "c"), product.shape)
    ctx.network.send(x.helper, (*label, "dealt"), product - share.values, share)


async def _multiply_held(ctx: Context, label: Label, dealer: int, x: Shared, y: Shared) -> Words:
    is_owner = ctx.me == x.owner
    other = x.helper if is_owner else x.owner
    side = "b" if is_owner else "h"
    opened: list[Words] = []
    masks: list[Words] = []
    for name, value in (("a", x), ("k", y)):
        if value.local is None:
            raise ValueError("both holders have a share of both factors")
        mask = ctx.streams.draw(dealer, (*label, name, side), value.shape)
        own = value.local - mask.values
        ctx.network.send(other, (*label, "open", name), own, mask)
        opened.append(own)
        masks.append(mask.values)
    for i, (name, value) in enumerate((("a", x), ("k", y))):
        opened[i] = opened[i] + await ctx.network.receive(
            other, (*label, "open", name), value.shape
        )
    shape = np.broadcast_shapes(x.shape, y.shape)
    if is_owner:
        share = ctx.streams.draw(dealer, (*label, "c"), shape).values
        share = share + opened[0] * opened[1]
    else:
        share = await ctx.network.receive(dealer, (*label, "dealt"), shape)
    product: Words = share + opened[0] * masks[1] + masks[0] * opened[1]
    return product
