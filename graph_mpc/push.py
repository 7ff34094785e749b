r"""Push systems: x <- A x over the graphs of all owners, weights known at the payer's side.

Owner b's matrix has its own vertices as inputs; its outputs are its own vertices and then, for each
other owner c, the list of c's vertices that b reaches (padded, in an order that both know).  These
rows are c's imports and are added to c's inputs.

One step is two rounds of messages, whatever the number of parties:

1. masked inputs: h1(b) sends x_h1 - R; the holders of the rows for b send them masked
   (``graph_mpc.imports``);
2. the opening of the truncation, both limbs together.

Source: protocol design, section 4 (two rounds: ``Application``).
"""

import asyncio
from dataclasses import dataclass, replace

import numpy as np

from graph_mpc.context import Context
from graph_mpc.imports import ImportMasks, draw_import_masks, receive_rows, send_rows
from graph_mpc.kernels import scatter_add
from graph_mpc.labels import Label
from graph_mpc.layout import Entries, MapShape
from graph_mpc.linear_map import PrivateMap, prepare_columns, set_up_map
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import Words
from graph_mpc.roster import Roster
from graph_mpc.shares import Shared
from graph_mpc.steps import deal_columns, mask_to_owner, product_column, truncate_limbs
from graph_mpc.streams import Mask
from graph_mpc.truncation import Dealt

__all__ = ["PushBlock", "PushSystem", "export_rows", "prepare_push", "push", "set_up_push"]


@dataclass(frozen=True)
class PushSystem:
    """The matrices of all owners, set up.

    Attributes:
        maps: the private map of each owner.
        vertices: padded number of vertices of each owner.
        boundary: padded number of rows for each (owner, receiver).
        form: fixed-point format.
        place: at an owner, the vertex to which each import is added.
    """

    maps: dict[int, PrivateMap]
    vertices: dict[int, int]
    boundary: dict[tuple[int, int], int]
    form: FixedPoint
    place: np.ndarray[tuple[int], np.dtype[np.int64]] | None

    def rows_for(self, ctx: Context, owner: int, receiver: int) -> tuple[int, int]:
        """Return the rows [start, stop) of the owner's outputs that go to the receiver."""
        return export_rows(ctx.roster, self.vertices, self.boundary, owner, receiver)


def export_rows(
    roster: Roster,
    vertices: dict[int, int],
    boundary: dict[tuple[int, int], int],
    owner: int,
    receiver: int,
) -> tuple[int, int]:
    """Return the rows [start, stop) of the owner's outputs that go to the receiver."""
    start = vertices[owner]
    for other in roster.owners:
        if other == owner:
            continue
        stop = start + boundary[owner, other]
        if other == receiver:
            return start, stop
        start = stop
    raise ValueError("no rows go from an owner to itself")


@dataclass(frozen=True)
class PushBlock:
    """Columns prepared for all owners.

    Attributes:
        products: [[A r]] for each owner and limb, (outputs, K).
        truncations: for each owner what its holders got for truncating (K, L, outputs) values.
        inputs: r for each owner whose h1 this party is.
        imports: masks of the imports.
        label: place in the program.
    """

    products: dict[int, list[Shared]]
    truncations: dict[int, Dealt | None]
    inputs: dict[int, Mask]
    imports: ImportMasks
    label: Label


def push_shapes(
    ctx: Context,
    vertices: dict[int, int],
    boundary: dict[tuple[int, int], int],
    entries: dict[int, int],
    limbs: int,
    *,
    input_scaled: bool = False,
) -> dict[int, MapShape]:
    """Return the public shape of each owner's matrix."""
    shapes = {}
    for b in ctx.roster.owners:
        others = [c for c in ctx.roster.owners if c != b]
        outputs = vertices[b] + sum(boundary[b, c] for c in others)
        placed = sum(boundary[c, b] for c in others)
        shapes[b] = MapShape(vertices[b], outputs, entries[b], placed, limbs, input_scaled)
    return shapes


async def set_up_push(
    ctx: Context,
    label: Label,
    shapes: dict[int, MapShape],
    boundary: dict[tuple[int, int], int],
    form: FixedPoint,
    entries: Entries | None,
) -> PushSystem:
    """Share out every owner's matrix; ``entries`` is this party's own, None if it has none."""
    maps = await asyncio.gather(
        *(
            set_up_map(ctx, (*label, b), b, shapes[b], entries if b == ctx.me else None)
            for b in ctx.roster.owners
        )
    )
    return PushSystem(
        maps=dict(zip(ctx.roster.owners, maps, strict=True)),
        vertices={b: shapes[b].inputs for b in shapes},
        boundary=boundary,
        form=form,
        place=entries.place if entries is not None else None,
    )


async def prepare_push(ctx: Context, label: Label, system: PushSystem, columns: int) -> PushBlock:
    """Prepare ``columns`` steps for all owners."""
    imports = draw_import_masks(ctx, label, system.boundary, columns)
    inputs: dict[int, Mask] = {}
    jobs = []
    for b in ctx.roster.owners:
        h1, h2 = ctx.roster.helpers(b)
        r: Words | None = None
        total: Words | None = None
        if ctx.me == h1:
            inputs[b] = ctx.streams.draw(h2, (*label, "R", b), (system.vertices[b], columns))
            r, total = inputs[b].values, imports.total(ctx, b)
        jobs.append(prepare_columns(ctx, (*label, b), system.maps[b], columns, r, total))
    outputs = {b: system.maps[b].shape.outputs for b in ctx.roster.owners}
    products, dealt = await asyncio.gather(
        asyncio.gather(*jobs), deal_columns(ctx, label, system.form, outputs, columns)
    )
    return PushBlock(
        dict(zip(ctx.roster.owners, products, strict=True)),
        dealt,
        inputs,
        imports,
        label,
    )


async def push(
    ctx: Context, system: PushSystem, block: PushBlock, column: int, x: dict[int, Shared]
) -> dict[int, Shared]:
    """Return A x for all owners, truncated: one column of the block, used once.

    Args:
        ctx: this party's side of the run.
        system: the matrices.
        block: prepared columns.
        column: which of them.
        x: for each owner its rows, (outputs,), in {owner, h1}: own vertices, then exports.

    Returns:
        The rows of each owner in the same form.
    """
    label = (*block.label, "apply", column)
    products = await asyncio.gather(
        *(_apply(ctx, label, system, block, column, b, x) for b in ctx.roster.owners)
    )
    truncated = await asyncio.gather(
        *(
            truncate_limbs(ctx, label, system.form, block.truncations[p.owner], column, p)
            for p in products
        )
    )
    return {y.owner: y for y in truncated}


async def _apply(
    ctx: Context,
    label: Label,
    system: PushSystem,
    block: PushBlock,
    column: int,
    b: int,
    x: dict[int, Shared],
) -> Shared:
    """Send the masked inputs of owner b; at b and h1, return the product of all limbs."""
    others = [c for c in ctx.roster.owners if c != b]
    rows = {c: x[c].rows(*system.rows_for(ctx, c, b)) for c in others}
    for c in others:
        send_rows(ctx, label, b, rows[c], block.imports, column)
    own = x[b].rows(0, system.vertices[b])
    product = product_column(block.products[b], column)
    d = await mask_to_owner(ctx, label, own, block.inputs.get(b), column)
    if d is None or system.place is None or product.local is None:
        return product
    received = [await receive_rows(ctx, label, c, rows[c]) for c in others]
    if received:
        scatter_add(d, system.place, np.concatenate(received))
    return replace(product, local=product.local + system.maps[b].apply_plain(d))
