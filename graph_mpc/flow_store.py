"""Prepared hops as arrays to keep, and back again in a later process.

Only what came by message is kept: products, placed masks, and what a helper was dealt.  All masks
are drawn again from the streams of the preparation, under the same labels, so a store holds the
pairwise seeds besides; a prepared hop must be used once (``bank_node.columns`` sees to that).

Source: protocol design, section 4 (``Prepared ahead``).
"""

from collections.abc import Mapping

import numpy as np

from graph_mpc.context import Context
from graph_mpc.flow import Columns, FlowBlock, FlowSystem, KeptBlock, hop_shape, kept_shape
from graph_mpc.flow_preparation import draw_step
from graph_mpc.imports import draw_import_masks
from graph_mpc.labels import Label
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.truncation import Dealt, restore_dealt

__all__ = ["block_arrays", "kept_arrays", "restore_block", "restore_kept"]

Arrays = Mapping[str, Words]


def block_arrays(ctx: Context, block: FlowBlock) -> dict[str, Words]:
    """Return what this party keeps of some prepared hops."""
    kept: dict[str, Words] = {}
    for b in ctx.roster.owners:
        for limb, product in enumerate(block.products.get(b, [])):
            if product.local is not None:
                kept[f"product.{b}.{limb}"] = product.local
        for i, step in enumerate(block.steps):
            placed = step.totals[b].placed.local
            if placed is not None:
                kept[f"placed.{b}.{i}"] = placed
        _keep_dealt(ctx, kept, b, block.truncations.get(b))
    return kept


def restore_block(
    ctx: Context,
    label: Label,
    system: FlowSystem,
    columns: Columns,
    hops: tuple[int, int],
    arrays: Arrays,
) -> FlowBlock:
    """Return prepared hops.

    Args:
        ctx: this party's side, with the streams of the preparation.
        label: the label under which they were prepared.
        system: the slice.
        columns: who asks in which column.
        hops: (number of hops, 1 if the first has no input).
        arrays: what this party kept.
    """
    count, skipped = hops
    owners, width = ctx.roster.owners, columns.width
    imports = draw_import_masks(ctx, label, system.sizes.boundary, count * width)
    steps = []
    for i in range(count):
        placed = {
            b: _shared(ctx, b, (system.sizes.vertices[b], width), arrays.get(f"placed.{b}.{i}"))
            for b in owners
        }
        steps.append(draw_step(ctx, (*label, "hop", i), system, columns, placed))
    products: dict[int, list[Shared]] = {}
    truncations: dict[int, Dealt | None] = {}
    if count > skipped:
        for b in owners:
            outputs = system.sizes.shape(b, system.form.limbs).outputs
            shape = (outputs, (count - skipped) * width)
            products[b] = [
                _shared(ctx, b, shape, arrays.get(f"product.{b}.{limb}"))
                for limb in range(system.form.limbs)
            ]
            truncations[b] = restore_dealt(
                ctx,
                (*label, "truncate", b),
                (b, ctx.roster.helpers(b)[0]),
                hop_shape(system, columns, b, count - skipped),
                arrays.get(f"dealt.{b}"),
            )
    return FlowBlock(label, steps, products, truncations, imports, skipped)


def kept_arrays(ctx: Context, block: KeptBlock) -> dict[str, Words]:
    """Return what this party keeps for what a slice keeps."""
    kept: dict[str, Words] = {}
    for b, product in block.products.items():
        if product.local is not None:
            kept[f"product.{b}"] = product.local
        _keep_dealt(ctx, kept, b, block.truncations[b])
    return kept


def restore_kept(
    ctx: Context, label: Label, system: FlowSystem, columns: Columns, arrays: Arrays
) -> KeptBlock:
    """Return what was prepared for what a slice keeps; arguments as for ``restore_block``."""
    products, truncations = {}, {}
    for b in ctx.roster.owners:
        shape = kept_shape(system, columns, b)
        products[b] = _shared(ctx, b, shape, arrays.get(f"product.{b}"))
        truncations[b] = restore_dealt(
            ctx,
            (*label, "keep", "truncate", b),
            (b, ctx.roster.helpers(b)[0]),
            shape,
            arrays.get(f"dealt.{b}"),
        )
    return KeptBlock(label, products, truncations)


def _keep_dealt(ctx: Context, kept: dict[str, Words], owner: int, dealt: Dealt | None) -> None:
    """Keep what the owner's first helper was dealt; the owner draws its part again."""
    if dealt is not None and ctx.me != owner:
        kept[f"dealt.{owner}"] = np.stack([dealt.shifted, dealt.top])


def _shared(ctx: Context, owner: int, shape: tuple[int, ...], local: Words | None) -> Shared:
    helper = ctx.roster.helpers(owner)[0]
    if (local is None) == (ctx.me in (owner, helper)) or (
        local is not None and local.shape != shape
    ):
        raise ValueError("the kept arrays are not those of this party and slice")
    return Shared(owner, helper, shape, local)
