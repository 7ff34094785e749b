r"""Preparing hops of a flow: all that needs the private matrices but no values.

See ``graph_mpc.flow``.  For each hop and owner the product [[A R]] of the mask of its input and the
placed masks [[P alpha]] of its imports; for each slice the product [[k (R_1 + ...)]] of what is
kept.  The share of an input is T, the share of the total that it is made of, or in the columns of
an owner that asks a fresh R (``graph_mpc.absorption``).

What each party sees: as in ``graph_mpc.linear_map`` and ``graph_mpc.placement``; for what is kept,
h1 sees k + u and the owner -u (R_1 + ...) - rho, masked by rho.

Source: protocol design, section 4.
"""

import asyncio
from dataclasses import dataclass

import numpy as np

from graph_mpc.context import Context
from graph_mpc.flow import (
    Columns,
    FlowBlock,
    FlowSizes,
    FlowSystem,
    KeptBlock,
    OwnFlows,
    Prepared,
    hop_shape,
    kept_shape,
    part_of,
)
from graph_mpc.imports import ImportMasks, draw_import_masks
from graph_mpc.labels import Label
from graph_mpc.linear_map import PrivateMap, prepare_columns, set_up_map
from graph_mpc.placement import Placement, Total, draw_share, place_masks, set_up_placement
from graph_mpc.precision import FixedPoint
from graph_mpc.ring import Words
from graph_mpc.scaling import PrivateWeights, set_up_weights
from graph_mpc.shares import Shared
from graph_mpc.streams import Mask
from graph_mpc.truncation import Dealt, deal

__all__ = ["FlowMaps", "draw_step", "prepare_hops", "prepare_kept", "set_up_flow"]


@dataclass(frozen=True)
class FlowMaps:
    """What the preparation needs of a slice: everything that was shared out."""

    system: FlowSystem
    maps: dict[int, PrivateMap]
    placements: dict[int, Placement]
    kept: dict[int, PrivateWeights]


async def set_up_flow(
    ctx: Context, label: Label, sizes: FlowSizes, form: FixedPoint, own: OwnFlows | None
) -> FlowMaps:
    """Share out every owner's matrix, placement and kept shares; ``own`` is this party's."""

    async def one(b: int) -> tuple[PrivateMap, Placement, PrivateWeights]:
        mine = own if b == ctx.me else None
        h1, h2 = ctx.roster.helpers(b)
        n = sizes.vertices[b]
        return await asyncio.gather(
            set_up_map(
                ctx, (*label, b), b, sizes.shape(b, form.limbs), mine.entries if mine else None
            ),
            set_up_placement(
                ctx, (*label, "place", b), b, (n, sizes.imports(b)), mine.place if mine else None
            ),
            set_up_weights(
                ctx, (*label, "keep", b), (b, h2, h1), (form.limbs, n), mine.kept if mine else None
            ),
        )

    owners = ctx.roster.owners
    done = dict(zip(owners, await asyncio.gather(*(one(b) for b in owners)), strict=True))
    rows = done[ctx.me][0].rows if own is not None else None
    system = FlowSystem(sizes, form, rows, own.place if own else None, own.kept if own else None)
    return FlowMaps(
        system,
        {b: parts[0] for b, parts in done.items()},
        {b: parts[1] for b, parts in done.items()},
        {b: parts[2] for b, parts in done.items()},
    )


def draw_step(
    ctx: Context,
    label: Label,
    system: FlowSystem,
    columns: Columns,
    placed: dict[int, Shared],
) -> Prepared:
    """Draw the masks of one total: T of each owner, and R of each that asks."""
    totals: dict[int, Total] = {}
    fresh: dict[int, Mask] = {}
    for b, n in system.sizes.vertices.items():
        share = draw_share(ctx, label, b, (n, columns.width))
        totals[b] = Total(placed[b], share, system.place if b == ctx.me else None)
        asked = len(columns.of(b))
        h1, h2 = ctx.roster.helpers(b)
        if asked and ctx.me in (h1, h2):
            peer = h2 if ctx.me == h1 else h1
            fresh[b] = ctx.streams.draw(peer, (*label, "R", b), (n, asked))
    return Prepared(totals, fresh)


async def prepare_hops(
    ctx: Context,
    label: Label,
    maps: FlowMaps,
    columns: Columns,
    first: dict[int, Words | None] | None,
    hops: int,
) -> FlowBlock:
    """Prepare some hops in a row.

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        maps: the slice.
        columns: who asks in which column.
        first: h1's share of the first hop's input at both helpers of each owner; None if that
            input is zero.
        hops: how many.
    """
    system, width = maps.system, columns.width
    imports = draw_import_masks(ctx, label, system.sizes.boundary, hops * width)
    placed = await _place_all(ctx, label, maps, imports)
    steps = [
        draw_step(
            ctx,
            (*label, "hop", i),
            system,
            columns,
            {b: part_of(p, i, width) for b, p in placed.items()},
        )
        for i in range(hops)
    ]
    skipped = 1 if first is None else 0
    products, dealt = {}, {}
    if hops > skipped:
        jobs = []
        for b in ctx.roster.owners:
            before = [] if first is None else [first[b]]
            inputs = before + [s.input_share(columns, b) for s in steps[: hops - 1]]
            jobs.append(_prepare_products(ctx, (*label, b), maps.maps[b], inputs, width))
        made, cut = await asyncio.gather(
            asyncio.gather(*jobs),
            _deal_hops(ctx, label, system, columns, hops - skipped),
        )
        products = dict(zip(ctx.roster.owners, made, strict=True))
        dealt = dict(zip(ctx.roster.owners, cut, strict=True))
    return FlowBlock(label, steps, products, dealt, imports, skipped)


async def _place_all(
    ctx: Context, label: Label, maps: FlowMaps, imports: ImportMasks
) -> dict[int, Shared]:
    owners = ctx.roster.owners
    placed = await asyncio.gather(
        *(
            place_masks(
                ctx,
                (*label, "place", b),
                maps.placements[b],
                imports.columns,
                imports.total(ctx, b) if ctx.me == ctx.roster.helpers(b)[0] else None,
            )
            for b in owners
        )
    )
    return dict(zip(owners, placed, strict=True))


async def _prepare_products(
    ctx: Context, label: Label, private_map: PrivateMap, inputs: list[Words | None], width: int
) -> list[Shared]:
    h1, _h2 = ctx.roster.helpers(private_map.owner)
    columns = len(inputs) * width
    rows: Words | None = None
    none: Words | None = None
    if ctx.me == h1:
        rows = np.concatenate([r for r in inputs if r is not None], axis=1)
        none = np.zeros((0, columns), np.uint64)
    return await prepare_columns(ctx, label, private_map, columns, rows, none)


async def _deal_hops(
    ctx: Context, label: Label, system: FlowSystem, columns: Columns, hops: int
) -> list[Dealt | None]:
    return await asyncio.gather(
        *(
            deal(
                ctx,
                (*label, "truncate", b),
                (b, ctx.roster.helpers(b)[0]),
                hop_shape(system, columns, b, hops),
                system.form.shift_column(2),
            )
            for b in ctx.roster.owners
        )
    )


async def prepare_kept(
    ctx: Context,
    label: Label,
    maps: FlowMaps,
    columns: Columns,
    inputs: dict[int, Words | None],
) -> KeptBlock:
    """Prepare what a slice keeps; ``inputs`` is the sum of h1's shares of all hops' inputs."""
    system, owners = maps.system, ctx.roster.owners
    made = await asyncio.gather(
        *(
            _kept_product(ctx, label, maps.kept[b], inputs[b], kept_shape(system, columns, b))
            for b in owners
        )
    )
    dealt = await asyncio.gather(
        *(
            deal(
                ctx,
                (*label, "keep", "truncate", b),
                (b, ctx.roster.helpers(b)[0]),
                kept_shape(system, columns, b),
                system.form.shift_column(2),
            )
            for b in owners
        )
    )
    return KeptBlock(
        label, dict(zip(owners, made, strict=True)), dict(zip(owners, dealt, strict=True))
    )


async def _kept_product(
    ctx: Context,
    label: Label,
    weights: PrivateWeights,
    r: Words | None,
    shape: tuple[int, int, int],
) -> Shared:
    """Return [[k r]] in {b, h1}, (L, vertices, W), of r that both helpers know."""
    b, h2, h1 = weights.owner, weights.start, weights.end
    place = (*label, "keep", b)
    local: Words | None = None
    if ctx.me == b:
        local = await ctx.network.receive(h2, (*place, "ur"), shape)
    elif r is not None and weights.words is not None:
        rho = ctx.streams.draw(h2 if ctx.me == h1 else h1, (*place, "rho"), shape)
        scaled = weights.words[:, :, None] * r
        if ctx.me == h2:
            ctx.network.send(b, (*place, "ur"), np.uint64(0) - scaled - rho.values, rho)
        else:
            local = scaled + rho.values
    return Shared(b, h1, shape, local)
