r"""Adding imports to an owner's rows: [[x]] = own rows + placed imports, per vertex.

Imports of others are never shown or released one by one, only as part of a vertex' total.  Their
masks alpha must be summed per vertex without showing to which vertex an import belongs:

    h1 starts with [slots: zeros | masks]
    Q1  h1 -> h2: for each vertex its slot, then its imports;  suffix sum
    Q2  h2 -> h1: the slots;  difference

which gives [[P alpha]] in {b, h1} ahead of time, two messages of (vertices + imports) elements.
Then, in one round,

    h1:     sends own_h1 + (P alpha)_h1 - T to b,          T from stream (h1, h2)
    others: send their rows for b, masked by alpha
    b:      x_b = own_b + (P alpha)_b + what it received, the imports placed in plain

so that [[x]] = (x_b, T): the first helper's share is known before x is, and the second helper knows
it too.  Private masks of x (``graph_mpc.absorption``) and prepared products rest on that.

What each party sees: as in ``graph_mpc.permutation`` and ``graph_mpc.imports``; b also h1's share
of its rows, masked by T.

Source: protocol design, section 4 (the same walk as the preparation's, without weights).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.imports import (
    ImportMasks,
    draw_import_masks,
    receive_rows,
    send_rows,
)
from graph_mpc.kernels import rank_by_group, scatter_add_rows, suffix_sum
from graph_mpc.labels import Label
from graph_mpc.permutation import PrivatePermutation, permute, set_up_permutation
from graph_mpc.push import PushSystem
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask

__all__ = [
    "Placement",
    "Total",
    "add_imports",
    "fold_imports",
    "place_masks",
    "set_up_placement",
]


@dataclass(frozen=True)
class Placement:
    """The walk Q1, Q2 that adds an owner's imports up per vertex, set up."""

    forward: PrivatePermutation
    back: PrivatePermutation


@dataclass(frozen=True)
class Total:
    """What is prepared for one total of an owner, (vertices, W).

    Attributes:
        placed: [[P alpha]] in {b, h1}.
        share: T at both helpers, None elsewhere.
        place: int64 (imports,), the vertex of each import, at the owner.
    """

    placed: Shared
    share: Mask | None
    place: NDArray[np.int64] | None


async def fold_imports(
    ctx: Context, label: Label, system: PushSystem, x: dict[int, Shared]
) -> dict[int, Shared]:
    """Return each owner's vertices with all imports added, (vertices,), in {owner, h1}."""
    imports = draw_import_masks(ctx, label, system.boundary, 1)
    placed = await asyncio.gather(
        *(_place(ctx, (*label, "place", b), system, b, imports) for b in ctx.roster.owners)
    )
    columns = {b: y.map(lambda a: a[:, None], (*y.shape, 1)) for b, y in x.items()}
    folded: dict[int, Shared] = {}
    for b, shares in zip(ctx.roster.owners, placed, strict=True):
        total = Total(shares, draw_share(ctx, label, b, shares.shape), system.place)
        rows = {
            c: columns[c].rows(*system.rows_for(ctx, c, b)) for c in ctx.roster.owners if c != b
        }
        own = columns[b].rows(0, system.vertices[b])
        added = await add_imports(ctx, label, total, own, rows, imports, 0)
        folded[b] = added.map(lambda a: a[:, 0], (system.vertices[b],))
    return folded


async def _place(
    ctx: Context, label: Label, system: PushSystem, b: int, imports: ImportMasks
) -> Shared:
    sizes = (system.vertices[b], system.maps[b].shape.placed)
    placement = await set_up_placement(ctx, label, b, sizes, system.place if ctx.me == b else None)
    masks = imports.total(ctx, b) if ctx.me == ctx.roster.helpers(b)[0] else None
    return await place_masks(ctx, label, placement, 1, masks)


def draw_share(ctx: Context, label: Label, owner: int, shape: tuple[int, ...]) -> Mask | None:
    """Draw T of an owner at its two helpers."""
    h1, h2 = ctx.roster.helpers(owner)
    if ctx.me not in (h1, h2):
        return None
    return ctx.streams.draw(h2 if ctx.me == h1 else h1, (*label, "T", owner), shape)


async def add_imports(
    ctx: Context,
    label: Label,
    total: Total,
    own: Shared,
    rows: Mapping[int, Shared],
    imports: ImportMasks,
    column: int,
) -> Shared:
    """Return [[own + P rows]] = (x_b, T) in {b, h1}, (vertices, W).

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        total: what was prepared.
        own: the owner's own rows, in {b, h1}.
        rows: the rows of each other owner for this one, (size, W).
        imports: the imports' masks.
        column: which W columns of the masks to use.
    """
    b, h1 = own.owner, own.helper
    for c in rows:
        send_rows(ctx, label, b, rows[c], imports, column)
    local: Words | None = None
    placed = total.placed.local
    if ctx.me == h1 and own.local is not None and placed is not None and total.share is not None:
        words = own.local + placed - total.share.values
        ctx.network.send(b, (*label, "own", b), words, total.share)
        local = total.share.values
    elif ctx.me == b and own.local is not None and placed is not None:
        local = own.local + placed + await ctx.network.receive(h1, (*label, "own", b), own.shape)
        received = [await receive_rows(ctx, label, c, rows[c]) for c in rows]
        if received and total.place is not None:
            scatter_add_rows(local, total.place, np.concatenate(received))
    return Shared(b, h1, own.shape, local)


async def set_up_placement(
    ctx: Context,
    label: Label,
    owner: int,
    sizes: tuple[int, int],
    place: NDArray[np.int64] | None,
) -> Placement:
    """Share out which import is added to which vertex.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        owner: number of the owner.
        sizes: public (vertices, imports).
        place: int64 (imports,), the vertex of each import, at the owner; None at the others.
    """
    h1, h2 = ctx.roster.helpers(owner)
    n, rows = sizes
    order: NDArray[np.uint32] | None = None
    slots: NDArray[np.uint32] | None = None
    if place is not None:
        keys = np.concatenate([2 * np.arange(n), 2 * place + 1]).astype(np.int64)
        order = rank_by_group(keys, 2 * n).astype(np.uint32)
        slots = np.flatnonzero(order < n).astype(np.uint32)
    forward, back = await asyncio.gather(
        set_up_permutation(ctx, (*label, "Q1"), (owner, h1, h2), (n + rows, n + rows), order),
        set_up_permutation(ctx, (*label, "Q2"), (owner, h2, h1), (n + rows, n), slots),
    )
    return Placement(forward, back)


async def place_masks(
    ctx: Context, label: Label, placement: Placement, columns: int, masks: Words | None
) -> Shared:
    """Return [[P alpha]] in {b, h1}, (vertices, K); ``masks``, (imports, K), at h1 only."""
    forward, back = placement.forward, placement.back
    n = back.outputs
    start: Words | None = None
    if masks is not None:
        start = np.concatenate([np.zeros((n, columns), np.uint64), masks])
    x = Shared.of_helper(ctx.me, forward.owner, forward.start, (forward.inputs, columns), start)
    x = await permute(ctx, (*label, "Q1"), forward, x)
    x = await permute(ctx, (*label, "Q2"), back, x.map(_suffix, x.shape))
    return x.map(_difference, x.shape)


def _suffix(x: Words) -> Words:
    suffix_sum(x)
    return x


def _difference(x: Words) -> Words:
    out = x.copy()
    out[:-1] -= x[1:]
    return out
