r"""The private linear map y = A x: A sparse, known to its owner only.

*Preparation* of K columns, for uniform r known to the owner's helpers: [[A r]] in {b, h1}, all
columns together, in two rounds whatever K: of all messages only P3 waits for another one, that of
the scaling. With N1 = n + 2 (imports) + E and N2 = outputs + E:

    h1      starts with its input rows (difference of r, +imports, -imports, zeros)
    P1      h1 -> h2, N1 elements;  prefix sum
    P2      h2 -> h1, N1 elements
    scale   h1 -> h2, N2 elements and N2 for each limb;  suffix sum
    P3      h2 -> h1, N2 elements for each limb;  difference

Where the weights stand at the inputs (``MapShape.input_scaled``), the inputs are scaled first and
the rest follows for each limb, in the other direction up to P3:

    scale   h1 -> h2, n + imports elements and as many for each limb
    P1, P2  h2 -> h1 and h1 -> h2, N1 and N1 + outputs elements for each limb
    P3      h2 -> h1, N2 elements for each limb

which for one limb is three messages of about (n + E) instead of five.

*Application*: b learns d = x - r from masked messages (``graph_mpc.system``), computes A d in
plain, and adds its share of A r; h1 takes its share of A r.  One sparse matrix-vector product.

What each party sees: h1 and h2 see uniform factors of permutations, w + u, and masked vectors; b
sees masked vectors. Neither helper learns A, b learns nothing about r.

Source: protocol design, section 4.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph_mpc.context import Context
from graph_mpc.kernels import apply_limbs, prefix_sum, suffix_sum
from graph_mpc.labels import Label
from graph_mpc.layout import Entries, MapShape, compressed_rows, lay_out
from graph_mpc.permutation import PrivatePermutation, permute, set_up_permutation
from graph_mpc.ring import Words
from graph_mpc.scaling import PrivateWeights, scale, set_up_weights
from graph_mpc.shares import Shared

__all__ = ["PrivateMap", "columns_per_block", "prepare_columns", "set_up_map"]

_BLOCK_BYTES = 1 << 26
_MOST_COLUMNS = 16


@dataclass(frozen=True)
class PrivateMap:
    """A private matrix, set up among its owner and the owner's helpers.

    Attributes:
        owner: number of the owner.
        shape: public sizes.
        to_source: P1, h1 -> h2 (h2 -> h1 where the inputs are scaled).
        to_target: P2, h2 -> h1 (h1 -> h2).
        to_output: P3, h2 -> h1.
        weights: weights of the scaled rows, h1 -> h2.
        rows: the matrix in compressed rows, at the owner.
    """

    owner: int
    shape: MapShape
    to_source: PrivatePermutation
    to_target: PrivatePermutation
    to_output: PrivatePermutation
    weights: PrivateWeights
    rows: tuple[NDArray[np.int64], NDArray[np.uint32], Words] | None

    def apply_plain(self, d: Words) -> Words:
        """At the owner: return A_l d for each limb, (L, outputs), d of shape (inputs,)."""
        if self.rows is None:
            raise ValueError("only the owner knows the matrix")
        product: Words = apply_limbs(*self.rows, d)
        return product


def columns_per_block(maps: Iterable[PrivateMap]) -> int:
    """Return how many columns to prepare together so that a party's arrays stay bounded."""
    rows = max(m.shape.walk_rows + m.shape.target_rows for m in maps)
    return int(np.clip(_BLOCK_BYTES // (8 * rows), 1, _MOST_COLUMNS))


async def set_up_map(
    ctx: Context, label: Label, owner: int, shape: MapShape, entries: Entries | None
) -> PrivateMap:
    """Share out the owner's matrix; ``entries`` is None at everybody else."""
    h1, h2 = ctx.roster.helpers(owner)
    walk = lay_out(shape, entries) if entries is not None else None
    forward, back = (owner, h1, h2), (owner, h2, h1)
    first, second = (back, forward) if shape.input_scaled else (forward, back)
    source_sizes = (shape.source_rows, shape.source_rows)
    target_sizes = (shape.walk_rows, shape.target_rows)
    output_sizes = (shape.target_rows, shape.outputs)
    to_source, to_target, to_output, weights = await asyncio.gather(
        set_up_permutation(
            ctx, (*label, "P1"), first, source_sizes, walk.to_source if walk else None
        ),
        set_up_permutation(
            ctx, (*label, "P2"), second, target_sizes, walk.to_target if walk else None
        ),
        set_up_permutation(
            ctx, (*label, "P3"), back, output_sizes, walk.to_output if walk else None
        ),
        set_up_weights(
            ctx,
            (*label, "w"),
            forward,
            (shape.limbs, shape.scaled_rows),
            walk.weights if walk else None,
        ),
    )
    rows = compressed_rows(shape, entries) if entries is not None else None
    return PrivateMap(owner, shape, to_source, to_target, to_output, weights, rows)


async def prepare_columns(
    ctx: Context,
    label: Label,
    private_map: PrivateMap,
    columns: int,
    inputs: Words | None,
    imports: Words | None,
) -> list[Shared]:
    """Return [[A (r + placed imports)]] in {owner, h1} for each limb, (outputs, columns).

    Args:
        ctx: this party's side of the run.
        label: place in the program, used once.
        private_map: the matrix.
        columns: K.
        inputs: r, (inputs, K), at h1; None at the others.
        imports: the masks of the placed imports, (placed, K), at h1; None at the others.
    """
    owner, shape = private_map.owner, private_map.shape
    h1, _h2 = ctx.roster.helpers(owner)
    rows: Words | None = None
    if ctx.me == h1:
        if inputs is None or imports is None:
            raise ValueError("the first helper knows the masks of the inputs and imports")
        rows = np.concatenate([inputs, imports])
    r = Shared.of_helper(ctx.me, owner, h1, (shape.inputs + shape.placed, columns), rows)
    if shape.input_scaled:
        scaled = await scale(ctx, (*label, "w"), private_map.weights, r)
        walks = [
            _walk(ctx, (*label, "limb", limb), private_map, part)
            for limb, part in enumerate(scaled)
        ]
        parts = list(await asyncio.gather(*walks))
    else:
        x = await _walk(ctx, label, private_map, r)
        parts = await scale(ctx, (*label, "w"), private_map.weights, x)
    return list(
        await asyncio.gather(
            *(
                _collect(ctx, (*label, "P3", limb), private_map, part)
                for limb, part in enumerate(parts)
            )
        )
    )


async def _walk(ctx: Context, label: Label, private_map: PrivateMap, r: Shared) -> Shared:
    """Bring [[inputs | imports]] to the edges, in destination order."""
    shape, columns = private_map.shape, r.shape[1]
    x = r.map(lambda a: _input_rows(shape, a), (shape.source_rows, columns))
    x = await permute(ctx, (*label, "P1"), private_map.to_source, x)
    x = x.map(_prefix, x.shape)
    x = x.map(lambda a: _pad(a, shape.walk_rows), (shape.walk_rows, columns))
    return await permute(ctx, (*label, "P2"), private_map.to_target, x)


async def _collect(ctx: Context, label: Label, private_map: PrivateMap, scaled: Shared) -> Shared:
    """Sum the groups of the destination order and bring the sums to output order."""
    summed = scaled.map(_suffix, scaled.shape)
    slots = await permute(ctx, label, private_map.to_output, summed)
    return slots.map(_difference_down, slots.shape)


def _input_rows(shape: MapShape, values: Words) -> Words:
    """Return the input rows of [inputs | imports], a public linear map."""
    n, placed = shape.inputs, shape.placed
    rows = np.zeros((shape.source_rows, values.shape[1]), np.uint64)
    rows[: n + placed] = values
    rows[1:n] -= values[: n - 1]
    np.negative(values[n:], out=rows[n + placed : n + 2 * placed])
    return rows


def _prefix(x: Words) -> Words:
    prefix_sum(x)
    return x


def _suffix(x: Words) -> Words:
    suffix_sum(x)
    return x


def _pad(x: Words, rows: int) -> Words:
    if len(x) == rows:
        return x
    return np.concatenate([x, np.zeros((rows - len(x), x.shape[1]), np.uint64)])


def _difference_down(x: Words) -> Words:
    out = x.copy()
    out[:-1] -= x[1:]
    return out
