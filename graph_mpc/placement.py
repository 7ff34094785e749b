r"""Folding imports into an owner's rows, at the end of a run: [[z]] = own rows + placed imports.

A result is released as the sum of an owner's rows and the imports of others, never one by one.  The
masks alpha of the imports must be summed per vertex without showing to which vertex an import
belongs:

    h1 starts with [slots: zeros | masks]
    Q1  h1 -> h2: for each vertex its slot, then its imports;  suffix sum
    Q2  h2 -> h1: the slots;  difference

which gives [[P alpha]] in {b, h1}.  In the same round as any step, b receives x_h1 - R and the
masked imports; then [[z]] = (d + (P alpha)_b, R + (P alpha)_h1) with d what b added up.

What each party sees: as in ``graph_mpc.permutation`` and ``graph_mpc.imports``.  Two messages of
(vertices + imports) elements.

Source: protocol design, section 4 (the same walk as the preparation's, without weights).
"""

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.imports import draw_import_masks, receive_rows, send_rows
from graph_mpc.kernels import rank_by_group, scatter_add, suffix_sum
from graph_mpc.labels import Label
from graph_mpc.permutation import permute, set_up_permutation
from graph_mpc.push import PushSystem
from graph_mpc.ring import Words
from graph_mpc.shares import Shared

__all__ = ["fold_imports"]


@dataclass(frozen=True)
class _Fold:
    """What one party holds for folding one owner's imports: the mask R and the share of P alpha."""

    mask: Words | None
    placed: Shared


async def fold_imports(
    ctx: Context, label: Label, system: PushSystem, x: dict[int, Shared]
) -> dict[int, Shared]:
    """Return each owner's vertices with all imports added, (vertices,), in {owner, h1}."""
    imports = draw_import_masks(ctx, label, system.boundary, 1)
    totals = {
        b: imports.total(ctx, b) if ctx.me == ctx.roster.helpers(b)[0] else None
        for b in ctx.roster.owners
    }
    placed = await asyncio.gather(
        *(_place(ctx, (*label, "place", b), system, b, totals[b]) for b in ctx.roster.owners)
    )
    folded: dict[int, Shared] = {}
    for b, share in zip(ctx.roster.owners, placed, strict=True):
        rows = {c: x[c].rows(*system.rows_for(ctx, c, b)) for c in ctx.roster.owners if c != b}
        for c in rows:
            send_rows(ctx, label, b, rows[c], imports, 0)
        folded[b] = await _receive(ctx, label, system, x[b], rows, share)
    return folded


async def _receive(
    ctx: Context,
    label: Label,
    system: PushSystem,
    x: Shared,
    rows: dict[int, Shared],
    placed: Shared,
) -> Shared:
    b = x.owner
    h1, h2 = ctx.roster.helpers(b)
    own = x.rows(0, system.vertices[b])
    local: Words | None = None
    if ctx.me == h1 and own.local is not None and placed.local is not None:
        r = ctx.streams.draw(h2, (*label, "R", b), own.shape)
        ctx.network.send(b, (*label, "own", b), own.local - r.values, r)
        local = r.values + placed.local
    elif ctx.me == b and own.local is not None and placed.local is not None:
        d = own.local + await ctx.network.receive(h1, (*label, "own", b), own.shape)
        received = [await receive_rows(ctx, label, c, rows[c]) for c in rows]
        if received and system.place is not None:
            scatter_add(d, system.place, np.concatenate(received))
        local = d + placed.local
    return Shared(b, h1, own.shape, local)


async def _place(
    ctx: Context, label: Label, system: PushSystem, b: int, masks: Words | None
) -> Shared:
    """Return [[P alpha]] in {b, h1}, (vertices,)."""
    h1, h2 = ctx.roster.helpers(b)
    n, rows = system.vertices[b], system.maps[b].shape.placed
    order: NDArray[np.uint32] | None = None
    slots: NDArray[np.uint32] | None = None
    if ctx.me == b and system.place is not None:
        keys = np.concatenate([2 * np.arange(n), 2 * system.place + 1]).astype(np.int64)
        order = rank_by_group(keys, 2 * n).astype(np.uint32)
        slots = np.flatnonzero(order < n).astype(np.uint32)
    forward, back = await asyncio.gather(
        set_up_permutation(ctx, (*label, "Q1"), (b, h1, h2), (n + rows, n + rows), order),
        set_up_permutation(ctx, (*label, "Q2"), (b, h2, h1), (n + rows, n), slots),
    )
    start: Words | None = None
    if masks is not None:
        start = np.concatenate([np.zeros((n, 1), np.uint64), masks])
    x = Shared.of_helper(ctx.me, b, h1, (n + rows, 1), start)
    x = await permute(ctx, (*label, "Q1"), forward, x)
    x = await permute(ctx, (*label, "Q2"), back, x.map(_suffix, x.shape))
    return x.map(_difference, (n,))


def _suffix(x: Words) -> Words:
    suffix_sum(x)
    return x


def _difference(x: Words) -> Words:
    out = x[:, 0].copy()
    out[:-1] -= x[1:, 0]
    return out
