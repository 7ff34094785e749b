r"""Private masks in front of a prepared product: [[x]] -> [[w x]], w in {0, 1} known to the owner.

[[x]] = (x_b, T) in {b, h1} with T from stream (h1, h2) (``graph_mpc.placement``), and a product was
prepared for R from the same two parties' stream.  Set-up, once per mask: b sends w + u to h1, u
from stream (b, h2).  Each time, with a fresh k from stream (h1, h2),

    h1: sends (w + u) T - R + k to b
    h2: sends -u T - k to b
    b:  w x_b + both messages = w x - R

so that [[w x]] = (that, R).  Neither message depends on x, so both leave with those of the total:
no further round.  Two messages of (vertices, W) for the columns of one owner.

The sum of the masked-out values, sum_v (1 - w_v) x_v, needs no long message: h1 and h2 know
(1 - w - u) T and u T.

What each party sees: h1 w + u, masked by u; b two messages, of which R masks the first and k then
the second; h2 nothing.

Source: protocol design, section 4 (``A private 0/1 mask in front of an application``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.scaling import PrivateWeights, set_up_weights
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask

__all__ = ["PrivateMasks", "absorb", "absorbed_sums", "send_masked_shares", "set_up_masks"]


@dataclass(frozen=True)
class PrivateMasks:
    """The masks of some columns of an owner, set up.

    Attributes:
        weights: w at the owner, u at h2, w + u at h1: (masks, vertices).
        mask_of: int64 (W_b,), the mask of each of the owner's columns.
        columns: int64 (W_b,), these columns among all W.
    """

    weights: PrivateWeights
    mask_of: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def owner(self) -> int:
        """Number of the owner."""
        return self.weights.owner

    def local(self) -> Words | None:
        """Return this party's words for each column, (vertices, W_b)."""
        words = self.weights.words
        return None if words is None else np.ascontiguousarray(words[self.mask_of].T)


async def set_up_masks(
    ctx: Context,
    label: Label,
    owner: int,
    shape: tuple[int, int],
    columns: tuple[NDArray[np.int64], NDArray[np.int64]],
    passed: NDArray[np.bool_] | None,
) -> PrivateMasks:
    """Share out an owner's masks.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        owner: number of the owner.
        shape: public (masks, vertices).
        columns: (mask of each of the owner's columns, these columns among all).
        passed: bool of that shape at the owner, False where values are masked out.
    """
    h1, h2 = ctx.roster.helpers(owner)
    w = None if passed is None else passed.astype(np.uint64)
    weights = await set_up_weights(ctx, label, (owner, h2, h1), shape, w)
    return PrivateMasks(weights, *columns)


def send_masked_shares(
    ctx: Context, label: Label, masks: PrivateMasks, share: Mask | None, fresh: Mask | None
) -> None:
    """At the helpers: send both messages of a use; they need no value, so they may leave early.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        masks: the owner's masks.
        share: T, (vertices, W), at both helpers.
        fresh: R, (vertices, W_b), at both helpers.
    """
    b, words = masks.owner, masks.local()
    if words is None or ctx.me == b:
        return
    h1, h2 = ctx.roster.helpers(b)
    if share is None or fresh is None:
        raise ValueError("both helpers know the share of the values and the prepared mask")
    scaled = words * share.values[:, masks.columns]
    k = ctx.streams.draw(h2 if ctx.me == h1 else h1, (*label, "k", b), words.shape)
    if ctx.me == h2:
        ctx.network.send(b, (*label, "uT", b), np.uint64(0) - scaled - k.values, k)
    else:
        ctx.network.send(b, (*label, "wT-R", b), scaled - fresh.values + k.values, fresh)


async def absorb(
    ctx: Context, label: Label, masks: PrivateMasks, x: Shared, fresh: Mask | None
) -> Shared:
    """Return [[w x]] in {b, h1} with h1's share R in the owner's columns; the others stay.

    The helpers have sent their messages (``send_masked_shares``, under the same label).

    Args:
        ctx: this party's side of the run.
        label: place in the program.
        masks: the owner's masks.
        x: the values, (vertices, W), h1's share T.
        fresh: R, (vertices, W_b), at both helpers.
    """
    b, words, chosen = masks.owner, masks.local(), masks.columns
    if words is None or x.local is None:
        return x
    h1, h2 = ctx.roster.helpers(b)
    local = x.local.copy()
    if ctx.me == b:
        first = await ctx.network.receive(h1, (*label, "wT-R", b), words.shape)
        second = await ctx.network.receive(h2, (*label, "uT", b), words.shape)
        local[:, chosen] = words * local[:, chosen] + first + second
    elif fresh is not None:
        local[:, chosen] = fresh.values
    return Shared(b, h1, x.shape, local)


async def absorbed_sums(
    ctx: Context, label: Label, masks: PrivateMasks, x: Shared, share: Words | None
) -> Shared:
    """Return [[sum over v of (1 - w_v) x_v]] of each of the owner's columns, (W_b,), in {b, h1}.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        masks: the owner's masks.
        x: the owner's columns of the values, (vertices, W_b).
        share: h1's share of them, at both helpers.
    """
    b = masks.owner
    h1, h2 = ctx.roster.helpers(b)
    words = masks.local()
    size = (x.shape[1],)
    local: Words | None = None
    if words is None:
        return Shared(b, h1, size, None)
    if ctx.me == b and x.local is not None:
        local = ((np.uint64(1) - words) * x.local).sum(axis=0, dtype=np.uint64)
        local += await ctx.network.receive(h2, (*label, "uT", b), size)
    elif share is not None:
        kappa = ctx.streams.draw(h2 if ctx.me == h1 else h1, (*label, "kappa", b), size)
        if ctx.me == h2:
            part = (words * share).sum(axis=0, dtype=np.uint64)
            ctx.network.send(b, (*label, "uT", b), part - kappa.values, kappa)
        else:
            part = ((np.uint64(1) - words) * share).sum(axis=0, dtype=np.uint64)
            local = part + kappa.values
    return Shared(b, h1, size, local)
