r"""Private permutation: y[k] = x[pi[k]] with pi known to the owner only.

Set-up, once per pi: the owner b and the helper ``start`` derive a uniform pi1 from their stream; b
sends pi2 = pi1^-1 o pi to the helper ``end``.  Applied to [[x]] in {b, start}:

    start: sends m = x_start[pi1] - r to b,       r from stream (start, end)
    b:     y_b   = x_b[pi] + m[pi2]
    end:   y_end = r[pi2]

One message of N elements, one round; the result is in {b, end}.  pi may be an injection that keeps
only some of the N elements; its size is public.

What each party sees: ``start`` pi1, uniform; ``end`` pi2, uniform and independent of pi because pi1
is, and r; b sees m, which r masks.  No helper holds both factors of one pi: the way back needs a
set-up of its own.

Source: protocol design, section 3.1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.errors import ShapeMismatch
from graph_mpc.kernels import gather_add, gather_rows, gather_subtract
from graph_mpc.labels import Label
from graph_mpc.shares import Shared

__all__ = ["PrivatePermutation", "permute", "set_up_permutation"]

Indices = NDArray[np.uint32]


@dataclass(frozen=True)
class PrivatePermutation:
    """A permutation (or injection) of the owner, set up for one direction between its helpers.

    Attributes:
        owner: number of the owner.
        start: the helper that holds the input's share.
        end: the helper that gets the output's share.
        inputs: number of elements permuted.
        outputs: number of elements kept.
        pi: uint32 (outputs,), at the owner.
        first: pi1, uint32 (inputs,), at ``start``.
        second: pi2, uint32 (outputs,), at the owner and at ``end``.
    """

    owner: int
    start: int
    end: int
    inputs: int
    outputs: int
    pi: Indices | None = None
    first: Indices | None = None
    second: Indices | None = None


async def set_up_permutation(
    ctx: Context,
    label: Label,
    roles: tuple[int, int, int],
    sizes: tuple[int, int],
    pi: Indices | None,
) -> PrivatePermutation:
    """Share out a permutation of the owner.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        roles: (owner, start, end).
        sizes: public (inputs, outputs), outputs <= inputs.
        pi: the owner's indices into the inputs, all different; None at the others.
    """
    owner, start, end = roles
    inputs, outputs = sizes
    bare = PrivatePermutation(owner, start, end, inputs, outputs)
    if ctx.me == owner:
        if pi is None or len(pi) != outputs:
            raise ValueError("the owner gives as many indices as there are outputs")
        first = ctx.streams.permutation(start, (*label, "pi1"), inputs)
        position = np.empty(inputs, np.uint32)
        position[first] = np.arange(inputs, dtype=np.uint32)
        second = position[pi]
        ctx.network.send_permutation(end, (*label, "pi2"), second)
        return PrivatePermutation(owner, start, end, inputs, outputs, pi=pi, second=second)
    if ctx.me == start:
        first = ctx.streams.permutation(owner, (*label, "pi1"), inputs)
        return PrivatePermutation(owner, start, end, inputs, outputs, first=first)
    if ctx.me == end:
        second = await ctx.network.receive_as(owner, (*label, "pi2"), (outputs,), np.uint32)
        check_indices(second, inputs)
        return PrivatePermutation(owner, start, end, inputs, outputs, second=second)
    return bare


def check_indices(indices: Indices, size: int) -> None:
    """Refuse indices from a peer that would reach outside an array of ``size`` elements."""
    if len(indices) and int(indices.max()) >= size:
        raise ShapeMismatch(
            "a peer sent a permutation with an index out of range",
            "run the same version of Undercurrent at every party",
        )


async def permute(ctx: Context, label: Label, p: PrivatePermutation, x: Shared) -> Shared:
    """Return [[x[pi]]] in {owner, end} of [[x]] in {owner, start}, x of shape (inputs, K)."""
    if (x.owner, x.helper, x.shape[0]) != (p.owner, p.start, p.inputs):
        raise ValueError("the input is not shared as the permutation was set up")
    columns = x.shape[1]
    out = Shared(p.owner, p.end, (p.outputs, columns), None)
    if ctx.me == p.start and x.local is not None and p.first is not None:
        mask = ctx.streams.draw(p.end, (*label, "r"), x.shape)
        ctx.network.send(
            p.owner, (*label, "m"), gather_subtract(x.local, p.first, mask.values), mask
        )
    elif ctx.me == p.end and p.second is not None:
        mask = ctx.streams.draw(p.start, (*label, "r"), x.shape)
        return Shared(p.owner, p.end, out.shape, gather_rows(mask.values, p.second))
    elif ctx.me == p.owner and x.local is not None and p.pi is not None and p.second is not None:
        message = await ctx.network.receive(p.start, (*label, "m"), x.shape)
        local = gather_add(x.local, p.pi, message, p.second)
        return Shared(p.owner, p.end, out.shape, local)
    return out
