r"""Pull systems: y = A x over the graphs of all owners, weights known at the receiver's side.

Owner b's inputs are its own vertices and then, for each other owner c, the values of c's vertices
that b reads (padded, in an order that both know); its outputs are its own vertices.  c's exports
are a private selection of its inputs: c learns d = x - r, so Sel x = Sel d + Sel r, and [[Sel r]]
comes from one private permutation of the masks in the preparation.

One step is three rounds: masked own inputs; exports; the opening of the truncation.

What each party sees: as in ``graph_mpc.linear_map`` and ``graph_mpc.imports``; the selections are
known to the two owners only.

Source: protocol design, section 4 (``Push and pull``).
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.imports import ImportMasks, draw_import_masks, receive_rows, send_rows
from graph_mpc.labels import Label
from graph_mpc.layout import Entries, MapShape
from graph_mpc.linear_map import PrivateMap, prepare_columns, set_up_map
from graph_mpc.permutation import PrivatePermutation, permute, set_up_permutation
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.steps import deal_columns, mask_to_owner, product_column, truncate_limbs
from graph_mpc.streams import Mask
from graph_mpc.truncation import Dealt

__all__ = ["PullBlock", "PullSystem", "prepare_pull", "pull", "set_up_pull"]


@dataclass(frozen=True)
class PullSystem:
    """The matrices and selections of all owners, set up.

    Attributes:
        maps: the private map of each owner.
        vertices: padded number of vertices of each owner.
        boundary: padded number of rows that (owner, receiver) exchange.
        selections: for (owner, receiver), the permutation that brings masks into export order.
        chosen: at an owner, for each receiver the vertices exported to it (size -1 rows are 0).
        form: fixed-point format.
    """

    maps: dict[int, PrivateMap]
    vertices: dict[int, int]
    boundary: dict[tuple[int, int], int]
    selections: dict[tuple[int, int], PrivatePermutation]
    chosen: dict[int, NDArray[np.int64]]
    form: FixedPoint


@dataclass(frozen=True)
class PullBlock:
    """Columns prepared for all owners."""

    products: dict[int, list[Shared]]
    truncations: dict[int, Dealt | None]
    selected: dict[tuple[int, int], Shared]
    inputs: dict[int, Mask]
    imports: ImportMasks
    label: Label


def pull_shapes(
    ctx: Context,
    vertices: dict[int, int],
    boundary: dict[tuple[int, int], int],
    entries: dict[int, int],
    limbs: int,
) -> dict[int, MapShape]:
    """Return the public shape of each owner's matrix."""
    shapes = {}
    for b in ctx.roster.owners:
        read = sum(boundary[c, b] for c in ctx.roster.owners if c != b)
        shapes[b] = MapShape(vertices[b] + read, vertices[b], entries[b], 0, limbs)
    return shapes


async def set_up_pull(
    ctx: Context,
    label: Label,
    shapes: dict[int, MapShape],
    boundary: dict[tuple[int, int], int],
    form: FixedPoint,
    entries: Entries | None,
    chosen: dict[int, NDArray[np.int64]],
) -> PullSystem:
    """Share out every owner's matrix and selections.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        shapes: public shape of each owner's matrix.
        boundary: padded number of exported rows for each (owner, receiver).
        form: fixed-point format.
        entries: this party's matrix, None if it has none.
        chosen: this party's exports: for each receiver its vertices, -1 for a row of zeros.
    """
    vertices = {b: shapes[b].outputs for b in shapes}
    maps = await asyncio.gather(
        *(
            set_up_map(ctx, (*label, b), b, shapes[b], entries if b == ctx.me else None)
            for b in ctx.roster.owners
        )
    )
    pairs = [(b, c) for b in ctx.roster.owners for c in ctx.roster.owners if b != c]
    selections = await asyncio.gather(
        *(
            _set_up_selection(
                ctx, label, pair, (vertices[pair[0]], boundary[pair]), chosen.get(pair[1])
            )
            for pair in pairs
        )
    )
    return PullSystem(
        dict(zip(ctx.roster.owners, maps, strict=True)),
        vertices,
        boundary,
        dict(zip(pairs, selections, strict=True)),
        chosen,
        form,
    )


async def _set_up_selection(
    ctx: Context,
    label: Label,
    pair: tuple[int, int],
    sizes: tuple[int, int],
    chosen: NDArray[np.int64] | None,
) -> PrivatePermutation:
    """Set up the way of the masks into export order, h2 -> h1; -1 takes a padding row."""
    owner, receiver = pair
    vertices, rows = sizes
    h1, h2 = ctx.roster.helpers(owner)
    pi: NDArray[np.uint32] | None = None
    if ctx.me == owner:
        if chosen is None:
            raise ValueError("the owner names its exports to every other owner")
        pi = np.where(chosen < 0, vertices + np.arange(rows), chosen).astype(np.uint32)
    return await set_up_permutation(
        ctx, (*label, "Sel", owner, receiver), (owner, h2, h1), (vertices + rows, rows), pi
    )


async def prepare_pull(ctx: Context, label: Label, system: PullSystem, columns: int) -> PullBlock:
    """Prepare ``columns`` steps for all owners."""
    imports = draw_import_masks(ctx, label, system.boundary, columns)
    inputs: dict[int, Mask] = {}
    products: list[Awaitable[list[Shared]]] = []
    selections: list[Awaitable[Shared]] = []
    for b in ctx.roster.owners:
        h1, h2 = ctx.roster.helpers(b)
        rows: Words | None = None
        if ctx.me in (h1, h2):
            other = h2 if ctx.me == h1 else h1
            shape = (system.vertices[b], columns)
            inputs[b] = ctx.streams.draw(other, (*label, "R", b), shape)
        if ctx.me == h1:
            rows = np.concatenate([inputs[b].values, imports.total(ctx, b)])
        none = np.zeros((0, columns), np.uint64) if ctx.me == h1 else None
        products.append(prepare_columns(ctx, (*label, b), system.maps[b], columns, rows, none))
        selections.extend(
            _select_masks(ctx, label, system, (b, c), columns, inputs.get(b))
            for c in ctx.roster.owners
            if c != b
        )
    prepared, selected, dealt = await asyncio.gather(
        asyncio.gather(*products),
        asyncio.gather(*selections),
        deal_columns(ctx, label, system.form, system.vertices, columns),
    )
    return PullBlock(
        dict(zip(ctx.roster.owners, prepared, strict=True)),
        dealt,
        dict(zip(system.selections, selected, strict=True)),
        inputs,
        imports,
        label,
    )


async def _select_masks(
    ctx: Context,
    label: Label,
    system: PullSystem,
    pair: tuple[int, int],
    columns: int,
    mask: Mask | None,
) -> Shared:
    """Return [[Sel r]] in {owner, h1}, (rows, K); h2 starts with r, which it also knows."""
    owner, receiver = pair
    _h1, h2 = ctx.roster.helpers(owner)
    way = system.selections[pair]
    rows: Words | None = None
    if ctx.me == h2 and mask is not None:
        padding = np.zeros((system.boundary[pair], columns), np.uint64)
        rows = np.concatenate([mask.values, padding])
    x = Shared.of_helper(ctx.me, owner, h2, (way.inputs, columns), rows)
    return await permute(ctx, (*label, "Sel", owner, receiver), way, x)


async def pull(
    ctx: Context, system: PullSystem, block: PullBlock, column: int, x: dict[int, Shared]
) -> dict[int, Shared]:
    """Return A x for all owners, truncated, (vertices,) each; a column is used once."""
    label = (*block.label, "apply", column)
    masked = await asyncio.gather(
        *(mask_to_owner(ctx, label, x[b], block.inputs.get(b), column) for b in ctx.roster.owners)
    )
    d = dict(zip(ctx.roster.owners, masked, strict=True))
    exports = {pair: _export(ctx, system, block, column, pair, d) for pair in system.selections}
    for (_owner, receiver), rows in exports.items():
        send_rows(ctx, label, receiver, rows, block.imports, column)
    products = await asyncio.gather(
        *(_apply(ctx, label, system, block, column, b, d[b], exports) for b in ctx.roster.owners)
    )
    truncated = await asyncio.gather(
        *(
            truncate_limbs(ctx, label, system.form, block.truncations[p.owner], column, p)
            for p in products
        )
    )
    return {y.owner: y for y in truncated}


def _export(
    ctx: Context,
    system: PullSystem,
    block: PullBlock,
    column: int,
    pair: tuple[int, int],
    d: dict[int, Words | None],
) -> Shared:
    """Return [[Sel x]] = Sel d + [[Sel r]] in {owner, h1}."""
    owner, receiver = pair
    selected = block.selected[pair].map(lambda a: a[:, column].copy(), (system.boundary[pair],))
    plain = d[owner]
    if ctx.me != owner or plain is None:
        return selected
    chosen = system.chosen[receiver]
    values = np.where(chosen < 0, np.uint64(0), plain[np.maximum(chosen, 0)])
    return selected.add_owned(ctx.me, values)


async def _apply(
    ctx: Context,
    label: Label,
    system: PullSystem,
    block: PullBlock,
    column: int,
    b: int,
    own: Words | None,
    exports: dict[tuple[int, int], Shared],
) -> Shared:
    product = product_column(block.products[b], column)
    if own is None or product.local is None:
        return product
    others = [c for c in ctx.roster.owners if c != b]
    received = [await receive_rows(ctx, label, c, exports[c, b]) for c in others]
    d = np.concatenate([own, *received])
    return replace(product, local=product.local + system.maps[b].apply_plain(d))
