r"""Scaling by weights that only the owner knows: [[z]] -> [[w z]], limb by limb.

[[z]] is in {b, H}; the other helper O takes over.  Set-up, once per weight vector: b sends w + u to
O, u from stream (b, H).  Each time, s from stream (H, O) and r' from stream (b, H):

    H: sends z_H + s to b and u s - r' to O
    b: holds w (z_b + z_H + s) + r'
    O: holds (u s - r') - (w + u) s

The shares add up to w z.  Several limbs share z_H + s.  Messages: N to b, and N to O for each limb;
the latter do not depend on data.

What each party sees: O sees w + u, masked by u, and u s - r', masked by r'; b sees z_H + s, masked
by s.

Source: protocol design, section 3.2.
"""

from dataclasses import dataclass

from graph_mpc.context import Context
from graph_mpc.kernels import scale_helped, scale_helper, scale_owned
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["PrivateWeights", "scale", "set_up_weights"]


@dataclass(frozen=True)
class PrivateWeights:
    """One or two limbs of weights of an owner, set up for scaling.

    Attributes:
        owner: number of the owner.
        start: H, the helper that holds the input's share.
        end: O, the helper that gets the output's share.
        limbs: number of limbs, L.
        words: (L, N): w at the owner, u at ``start``, w + u at ``end``; None elsewhere.
    """

    owner: int
    start: int
    end: int
    limbs: int
    words: Words | None = None


async def set_up_weights(
    ctx: Context,
    label: Label,
    roles: tuple[int, int, int],
    shape: tuple[int, int],
    weights: Words | None,
) -> PrivateWeights:
    """Share out the owner's weights.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        roles: (owner, start, end).
        shape: public (limbs, N).
        weights: uint64 of that shape at the owner, None at the others.
    """
    owner, start, end = roles
    words: Words | None = None
    if ctx.me == owner:
        if weights is None or weights.shape != shape:
            raise ValueError("the owner gives weights of the public shape")
        u = ctx.streams.draw(start, (*label, "u"), shape)
        ctx.network.send(end, (*label, "w+u"), weights + u.values, u)
        words = weights
    elif ctx.me == start:
        words = ctx.streams.draw(owner, (*label, "u"), shape).values
    elif ctx.me == end:
        words = await ctx.network.receive(owner, (*label, "w+u"), shape)
    return PrivateWeights(owner, start, end, shape[0], words)


async def scale(ctx: Context, label: Label, w: PrivateWeights, z: Shared) -> list[Shared]:
    """Return [[w_l z]] in {owner, end} for each limb l, of [[z]] in {owner, start}, (N, K)."""
    if (z.owner, z.helper) != (w.owner, w.start):
        raise ValueError("the input is not shared as the weights were set up")
    if ctx.me == w.start:
        _send_scaled_mask(ctx, label, w, z)
    shares: list[Words | None] = [None] * w.limbs
    if ctx.me == w.owner and z.local is not None and w.words is not None:
        message = await ctx.network.receive(w.start, (*label, "z+s"), z.shape)
        for limb in range(w.limbs):
            r = ctx.streams.draw(w.start, (*label, "r", limb), z.shape)
            shares[limb] = scale_owned(w.words[limb], z.local, message, r.values)
    elif ctx.me == w.end and w.words is not None:
        s = ctx.streams.draw(w.start, (*label, "s"), z.shape)
        for limb in range(w.limbs):
            message = await ctx.network.receive(w.start, (*label, "us-r", limb), z.shape)
            shares[limb] = scale_helped(message, w.words[limb], s.values)
    return [Shared(w.owner, w.end, z.shape, share) for share in shares]


def _send_scaled_mask(ctx: Context, label: Label, w: PrivateWeights, z: Shared) -> None:
    """Send the two kinds of messages of the helper that holds the share of z."""
    if z.local is None or w.words is None:
        raise ValueError("this helper holds neither the share nor the mask of the weights")
    s = ctx.streams.draw(w.end, (*label, "s"), z.shape)
    ctx.network.send(w.owner, (*label, "z+s"), z.local + s.values, s)
    for limb in range(w.limbs):
        r = ctx.streams.draw(w.owner, (*label, "r", limb), z.shape)
        ctx.network.send(
            w.end, (*label, "us-r", limb), scale_helper(w.words[limb], s.values, r.values), r
        )
