r"""The parts that a step of a push system and of a pull system have in common.

- ``mask_to_owner``: h1 sends x_h1 - R, so that the owner holds d = x - R, uniform to it;
- ``product_column``: one prepared column of all limbs;
- ``deal_columns``, ``truncate_limbs``: truncations dealt for a block of columns, used one column at
  a time, the limbs added up.

Source: protocol design, section 4 (``Application``).
"""

import asyncio

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask
from graph_mpc.truncation import Dealt, deal, truncate

__all__ = ["add_limbs", "deal_columns", "mask_to_owner", "product_column", "truncate_limbs"]


async def mask_to_owner(
    ctx: Context, label: Label, x: Shared, block: Mask | None, column: int
) -> Words | None:
    """Bring d = x - R to the owner; ``block`` holds R at h1, one column for each step."""
    h1, _h2 = ctx.roster.helpers(x.owner)
    place = (*label, "own", x.owner)
    if ctx.me == h1 and x.local is not None and block is not None:
        mask = block.part(column, np.ascontiguousarray(block.values[:, column]))
        ctx.network.send(x.owner, place, x.local - mask.values, mask)
    if ctx.me != x.owner or x.local is None:
        return None
    return x.local + await ctx.network.receive(h1, place, x.shape)


def product_column(products: list[Shared], column: int) -> Shared:
    """Return one column of all limbs, (L, outputs)."""
    first = products[0]
    local: Words | None = None
    if first.local is not None:
        local = np.stack([p.local[:, column] for p in products if p.local is not None])
    return Shared(first.owner, first.helper, (len(products), first.shape[0]), local)


async def deal_columns(
    ctx: Context, label: Label, form: FixedPoint, outputs: dict[int, int], columns: int
) -> dict[int, Dealt | None]:
    """Deal the truncations of (columns, L, outputs) values of each owner."""
    dealt = await asyncio.gather(
        *(
            deal(
                ctx,
                (*label, "truncate", owner),
                (owner, ctx.roster.helpers(owner)[0]),
                (columns, form.limbs, rows),
                form.shift_column(),
            )
            for owner, rows in outputs.items()
        )
    )
    return dict(zip(outputs, dealt, strict=True))


async def truncate_limbs(
    ctx: Context, label: Label, form: FixedPoint, dealt: Dealt | None, column: int, x: Shared
) -> Shared:
    """Cut the limbs (L, outputs) with what was dealt ahead, and add them up, (outputs,)."""
    y = x
    if dealt is not None:
        place = (*label, "truncate", x.owner)
        y = await truncate(ctx, place, x, form.shift_column(), dealt.part(column))
    return y.map(add_limbs, x.shape[1:])


def add_limbs(y: Words) -> Words:
    """Return the sum over the first axis, in the ring."""
    total: Words = y.sum(axis=0, dtype=np.uint64)
    return total
