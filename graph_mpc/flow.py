r"""Flows over time: what stands at the vertices moves along one slice's edges, hop by hop.

All values are (rows, W): W columns that different owners ask about, side by side.  One hop is

    y = A z       a push step without its truncated rows being added up yet
    x = y_own + imports (+ what was kept)          (``graph_mpc.placement``)
    z = w x       in the columns of the owner that asks (``graph_mpc.absorption``)

in two rounds: masked rows to the owners, and the opening of the truncation.  The rows of A are the
own vertices, for each other owner the list of its vertices that are reached, and one row for what
leaves to the outside.  What vertices keep, k (z_1 + ... + z_H), is a private scaling of inputs that
the owner already holds masked: no message but the truncation's opening, in the round of the last
hop.

Everything that needs A but no values is prepared (``graph_mpc.flow_preparation``), and may have
been prepared by an earlier process (``graph_mpc.flow_store``).

What each party sees: as in the modules named.

Source: protocol design, section 4 and 5; docs/decisions/flows-through-totals.md.
"""

import asyncio
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.imports import ImportMasks, columns_of
from graph_mpc.kernels import apply_limbs_block
from graph_mpc.labels import Label
from graph_mpc.layout import Entries, MapShape, compressed_rows
from graph_mpc.placement import Total, add_imports
from graph_mpc.precision import FixedPoint
from graph_mpc.push import export_rows
from graph_mpc.ring import Words
from graph_mpc.shares import Shared
from graph_mpc.sizes import PublicSizes
from graph_mpc.steps import add_limbs
from graph_mpc.streams import Mask
from graph_mpc.truncation import Dealt, truncate

__all__ = [
    "Columns",
    "FlowBlock",
    "FlowSizes",
    "FlowSystem",
    "KeptBlock",
    "OwnFlows",
    "Prepared",
    "apply_hop",
    "collect",
    "hop_shape",
    "keep",
    "kept_shape",
    "own_system",
    "part_of",
]


@dataclass(frozen=True)
class Columns:
    """Who asks in which column.

    Attributes:
        asking: for each question the owner that asks, ascending.
        depth: columns of each question, one for each number of hops that is told apart.
    """

    asking: tuple[int, ...]
    depth: int = 1

    @property
    def width(self) -> int:
        """Number of columns, W."""
        return len(self.asking) * self.depth

    def of(self, owner: int) -> NDArray[np.int64]:
        """Return the columns of an owner's questions."""
        return np.flatnonzero(np.repeat(np.array(self.asking), self.depth) == owner)

    def questions(self, owner: int) -> NDArray[np.int64]:
        """Return for each of the owner's columns which of its own questions it belongs to."""
        return np.arange(len(self.of(owner))) // self.depth

    def deeper(self, values: Words) -> Words:
        """Move each column to that of one hop more; the last holds that many or more."""
        if self.depth == 1:
            return values
        out = np.zeros_like(values)
        by_depth = values.reshape(len(values), -1, self.depth)
        moved = out.reshape(by_depth.shape)
        moved[:, :, 1:] = by_depth[:, :, :-1]
        moved[:, :, -1] += by_depth[:, :, -1]
        return out


@dataclass(frozen=True)
class FlowSizes(PublicSizes):
    """What everybody knows of all slices: padded sizes, each the most over the slices.

    Boundary lists are those of an owner's rows for a receiver, (owner, receiver).
    """

    def shape(self, owner: int, limbs: int) -> MapShape:
        """Return the public shape of an owner's matrix: vertices, exports, outside."""
        exports = sum(rows for (b, _c), rows in self.boundary.items() if b == owner)
        outputs = self.vertices[owner] + exports + 1
        return MapShape(self.vertices[owner], outputs, self.entries[owner], 0, limbs)

    def imports(self, owner: int) -> int:
        """Return the number of rows that an owner imports."""
        return sum(rows for (_c, b), rows in self.boundary.items() if b == owner)


@dataclass(frozen=True)
class OwnFlows:
    """An owner's own slice, padded to the public sizes.

    Attributes:
        entries: its matrix.
        place: int64 (imports,), the vertex of each import.
        kept: uint64 (L, vertices), the share that each vertex keeps.
    """

    entries: Entries
    place: NDArray[np.int64]
    kept: Words


@dataclass(frozen=True)
class FlowSystem:
    """What a hop needs of a slice at this party: public sizes and, at an owner, its own matrix."""

    sizes: FlowSizes
    form: FixedPoint
    rows: tuple[NDArray[np.int64], NDArray[np.uint32], Words] | None
    place: NDArray[np.int64] | None
    kept: Words | None


@dataclass(frozen=True)
class Prepared:
    """What a total and the input made of it need.

    Attributes:
        totals: for each owner its total.
        fresh: for each owner that asks, R of its columns at both helpers.
    """

    totals: dict[int, Total]
    fresh: dict[int, Mask]

    def input_share(self, columns: Columns, owner: int) -> Words | None:
        """At both helpers: h1's share of the input made of this total."""
        share = self.totals[owner].share
        if share is None:
            return None
        fresh = self.fresh.get(owner)
        if fresh is None:
            return share.values
        values: Words = share.values.copy()
        values[:, columns.of(owner)] = fresh.values
        return values


@dataclass(frozen=True)
class FlowBlock:
    """Some hops in a row, prepared.

    Attributes:
        label: place in the program.
        steps: what each hop's total needs.
        products: [[A R]] of the hops that have an input, for each owner and limb.
        truncations: of these hops, for each owner, (hops, L, outputs, W).
        imports: masks of the imports, (rows, hops W).
        skipped: 1 if the first hop has no input, else 0.
    """

    label: Label
    steps: list[Prepared]
    products: dict[int, list[Shared]]
    truncations: dict[int, Dealt | None]
    imports: ImportMasks
    skipped: int


@dataclass(frozen=True)
class KeptBlock:
    """What a slice keeps, prepared: [[k (R_1 + ... )]], (L, vertices, W), and its truncation."""

    label: Label
    products: dict[int, Shared]
    truncations: dict[int, Dealt | None]


def own_system(
    sizes: FlowSizes, form: FixedPoint, shape: MapShape | None, own: OwnFlows | None
) -> FlowSystem:
    """Return what this party needs for the hops of a slice; no message."""
    if own is None or shape is None:
        return FlowSystem(sizes, form, None, None, None)
    return FlowSystem(sizes, form, compressed_rows(shape, own.entries), own.place, own.kept)


def part_of(x: Shared, index: int, width: int) -> Shared:
    """Return W of the columns of (rows, K)."""
    shape = (x.shape[0], width)
    return x.map(lambda a: columns_of(a, index, shape), shape)


def hop_shape(
    system: FlowSystem, columns: Columns, owner: int, hops: int
) -> tuple[int, int, int, int]:
    """Return the shape of what is truncated in some hops: (hops, L, outputs, W)."""
    shape = system.sizes.shape(owner, system.form.limbs)
    return hops, system.form.limbs, shape.outputs, columns.width


def kept_shape(system: FlowSystem, columns: Columns, owner: int) -> tuple[int, int, int]:
    """Return the shape of what is kept, before truncation: (L, vertices, W)."""
    return system.form.limbs, system.sizes.vertices[owner], columns.width


async def apply_hop(
    ctx: Context,
    system: FlowSystem,
    block: FlowBlock,
    hop: int,
    columns: Columns,
    z: dict[int, Shared],
) -> dict[int, Shared]:
    """Return A z of each owner, truncated, (outputs, W): hop number ``hop`` of the block."""
    index = hop - block.skipped
    truncated = await asyncio.gather(
        *(_apply(ctx, system, block, index, columns, z[b]) for b in ctx.roster.owners)
    )
    return {y.owner: y for y in truncated}


async def _apply(
    ctx: Context,
    system: FlowSystem,
    block: FlowBlock,
    index: int,
    columns: Columns,
    z: Shared,
) -> Shared:
    b, width = z.owner, columns.width
    limbs = [part_of(p, index, width) for p in block.products[b]]
    shape = (system.form.limbs, limbs[0].shape[0], width)
    product = Shared(b, z.helper, shape, None)
    shares = [p.local for p in limbs if p.local is not None]
    if shares:
        product = replace(product, local=np.stack(shares))
    if ctx.me == b and z.local is not None and product.local is not None and system.rows:
        plain = apply_limbs_block(*system.rows, np.ascontiguousarray(z.local))
        product = replace(product, local=product.local + plain)
    dealt = block.truncations[b]
    part = None if dealt is None else dealt.part(index)
    return await _cut(ctx, (*block.label, "hop", index, "cut", b), system.form, product, part)


async def _cut(
    ctx: Context, label: Label, form: FixedPoint, x: Shared, dealt: Dealt | None
) -> Shared:
    """Truncate the limbs (L, rows, W) and add them up."""
    if dealt is not None:
        x = await truncate(ctx, label, x, form.shift_column(2), dealt)
    return x.map(add_limbs, x.shape[1:])


async def keep(
    ctx: Context, system: FlowSystem, block: KeptBlock, inputs: dict[int, Shared]
) -> dict[int, Shared]:
    """Return what each vertex keeps, (vertices, W), of the sum of all hops' inputs."""

    async def one(z: Shared) -> Shared:
        product = block.products[z.owner]
        if ctx.me == z.owner and z.local is not None and system.kept is not None:
            product = product.add_owned(ctx.me, system.kept[:, :, None] * z.local)
        dealt = block.truncations[z.owner]
        place = (*block.label, "keep", "cut", z.owner)
        return await _cut(ctx, place, system.form, product, dealt)

    kept = await asyncio.gather(*(one(z) for z in inputs.values()))
    return dict(zip(inputs, kept, strict=True))


async def collect(
    ctx: Context,
    system: FlowSystem,
    block: FlowBlock,
    hop: int,
    y: dict[int, Shared],
    kept: dict[int, Shared] | None,
) -> dict[int, Shared]:
    """Return each owner's vertices with all imports, and what was kept, (vertices, W)."""
    sizes, owners = system.sizes, ctx.roster.owners
    label = (*block.label, "hop", hop)

    async def one(b: int) -> Shared:
        rows = {
            c: y[c].rows(*export_rows(ctx.roster, sizes.vertices, sizes.boundary, c, b))
            for c in owners
            if c != b
        }
        own = y[b].rows(0, sizes.vertices[b])
        if kept is not None:
            own = own + kept[b]
        total = block.steps[hop].totals[b]
        return await add_imports(ctx, label, total, own, rows, block.imports, hop)

    totals = await asyncio.gather(*(one(b) for b in owners))
    return dict(zip(owners, totals, strict=True))
