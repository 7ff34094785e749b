r"""Imports: shared rows of owner c become inputs of owner b.

The rows [[y]] are in {c, g}, g = h1(c).  Both send theirs to b, masked: c sends y_c - alpha, g
sends y_g - beta; if g = b, b adds its own share.  A sender masks with the stream that it shares
with h1(b), or, if it is h1(b) itself, with h2(b); so h1(b) knows alpha + beta and b does not.  The
masks are drawn for a block of columns at the preparation, in which they are inputs.

What b sees: y_c - alpha and y_g - beta, each masked by a stream that it does not hold.

Source: protocol design, section 3.4 and 4.
"""

from dataclasses import dataclass

import numpy as np

from graph_mpc.context import Context
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask

__all__ = ["ImportMasks", "columns_of", "draw_import_masks", "receive_rows", "send_rows"]


@dataclass(frozen=True)
class ImportMasks:
    """The masks of one block of columns, as far as this party knows them.

    Attributes:
        drawn: for (owner c of the rows, receiver b, sending party) the mask, (rows, K).
        sizes: rows for each (c, b).
        columns: K.
    """

    drawn: dict[tuple[int, int, int], Mask]
    sizes: dict[tuple[int, int], int]
    columns: int

    def total(self, ctx: Context, receiver: int) -> Words:
        """At h1(receiver): all import masks of the receiver, by owner of the rows, (sum, K)."""
        parts: list[Words] = []
        for owner in ctx.roster.owners:
            if owner == receiver:
                continue
            total = np.zeros((self.sizes[owner, receiver], self.columns), np.uint64)
            for sender in senders_of(ctx, owner, receiver):
                total += self.drawn[owner, receiver, sender].values
            parts.append(total)
        if not parts:
            return np.zeros((0, self.columns), np.uint64)
        return np.concatenate(parts)


def senders_of(ctx: Context, owner: int, receiver: int) -> list[int]:
    """Return the shareholders of the owner's rows that send to the receiver."""
    helper = ctx.roster.helpers(owner)[0]
    return [party for party in (owner, helper) if party != receiver]


def draw_import_masks(
    ctx: Context, label: Label, sizes: dict[tuple[int, int], int], columns: int
) -> ImportMasks:
    """Draw every import mask that this party sends with, or knows as h1 of the receiver."""
    drawn: dict[tuple[int, int, int], Mask] = {}
    for (owner, receiver), rows in sizes.items():
        h1, h2 = ctx.roster.helpers(receiver)
        for sender in senders_of(ctx, owner, receiver):
            partner = h1 if sender != h1 else h2
            if ctx.me == sender:
                peer = partner
            elif ctx.me == h1:
                peer = sender
            else:
                continue
            place = (*label, "import", owner, receiver, sender)
            drawn[owner, receiver, sender] = ctx.streams.draw(peer, place, (rows, columns))
    return ImportMasks(drawn, sizes, columns)


def columns_of(values: Words, index: int, shape: tuple[int, ...]) -> Words:
    """Return what is used number ``index`` of (size, K): a column, or W of them for (size, W)."""
    if len(shape) == 1:
        return np.ascontiguousarray(values[:, index])
    width = shape[1]
    return np.ascontiguousarray(values[:, index * width : (index + 1) * width])


def send_rows(
    ctx: Context, label: Label, receiver: int, rows: Shared, masks: ImportMasks, column: int
) -> None:
    """At the shareholders of ``rows``, (size,) or (size, W): send them to the receiver, masked."""
    if ctx.me == receiver or rows.local is None:
        return
    block = masks.drawn[rows.owner, receiver, ctx.me]
    mask = block.part(column, columns_of(block.values, column, rows.shape))
    place = (*label, "rows", rows.owner, receiver, ctx.me)
    ctx.network.send(receiver, place, rows.local - mask.values, mask)


async def receive_rows(ctx: Context, label: Label, owner: int, rows: Shared) -> Words:
    """At this owner: return the masked rows of ``owner``."""
    total = np.zeros(rows.shape, np.uint64)
    if rows.local is not None:
        total += rows.local
    for sender in senders_of(ctx, owner, ctx.me):
        place = (*label, "rows", owner, ctx.me, sender)
        total += await ctx.network.receive(sender, place, rows.shape)
    return total
