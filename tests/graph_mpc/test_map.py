"""The private map: layout, preparation, push and pull against dense matrices."""

import asyncio
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.kernels import scatter_add
from graph_mpc.layout import Entries, MapShape, compressed_rows, lay_out
from graph_mpc.linear_map import prepare_columns, set_up_map
from graph_mpc.placement import fold_imports
from graph_mpc.precision import FixedPoint
from graph_mpc.pull import prepare_pull, pull, pull_shapes, set_up_pull
from graph_mpc.push import prepare_push, push, push_shapes, set_up_push
from graph_mpc.ring import RING64
from graph_mpc.shares import Shared
from tests.graph_mpc.local import opened, roster_of, run_all
from tests.graph_mpc.seeded import run_opened, seeded_contexts, shared, signed

SHAPES = st.builds(
    MapShape,
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 9),
    entries=st.integers(0, 10),
    placed=st.integers(0, 5),
    limbs=st.integers(1, 2),
)
SEEDS = st.integers(0, 2**32 - 1)


def random_entries(shape: MapShape, rng: np.random.Generator) -> Entries:
    """A random matrix of the shape, with weights all over the ring."""
    return Entries(
        rng.integers(0, shape.inputs, shape.entries),
        rng.integers(0, shape.outputs, shape.entries),
        rng.integers(0, 2**64, (shape.limbs, shape.entries), dtype=np.uint64),
        rng.integers(0, shape.inputs, shape.placed),
    )


def dense(shape: MapShape, entries: Entries) -> np.ndarray:
    """A_l for each limb, (L, outputs, inputs)."""
    a = np.zeros((shape.limbs, shape.outputs, shape.inputs), np.uint64)
    for limb in range(shape.limbs):
        np.add.at(a[limb], (entries.target, entries.source), entries.limbs[limb])
    return a


def with_imports(entries: Entries, r: np.ndarray, imports: np.ndarray) -> np.ndarray:
    """r + placed imports."""
    total = r.copy()
    np.add.at(total, entries.place, imports)
    return total


@settings(max_examples=200, deadline=None)
@given(SHAPES, SEEDS)
def test_walk_of_layout_is_the_matrix(shape, seed):
    """Walking the three orders in plain gives A (r + placed imports)."""
    rng = np.random.default_rng(seed)
    entries = random_entries(shape, rng)
    walk = lay_out(shape, entries)
    r, imports = (rng.integers(0, 2**64, n, dtype=np.uint64) for n in (shape.inputs, shape.placed))
    zeros = np.zeros(shape.entries, np.uint64)
    rows = np.concatenate([np.diff(r, prepend=np.uint64(0)), imports, -imports, zeros])
    source = np.cumsum(rows[walk.to_source], dtype=np.uint64)
    padded = np.concatenate([source, np.zeros(shape.walk_rows - len(source), np.uint64)])
    target = padded[walk.to_target] * walk.weights
    suffix = np.cumsum(target[:, ::-1], axis=1, dtype=np.uint64)[:, ::-1]
    slots = suffix[:, walk.to_output]
    following = np.concatenate([slots[:, 1:], np.zeros((shape.limbs, 1), np.uint64)], axis=1)
    assert np.array_equal(
        slots - following, dense(shape, entries) @ with_imports(entries, r, imports)
    )


@settings(max_examples=100, deadline=None)
@given(SHAPES, SEEDS)
def test_layout_is_made_of_injections(shape, seed):
    """Each order names rows of the one before, none of them twice."""
    walk = lay_out(shape, random_entries(shape, np.random.default_rng(seed)))
    sizes = (shape.source_rows, shape.walk_rows, shape.target_rows)
    lengths = (shape.source_rows, shape.target_rows, shape.outputs)
    orders = (walk.to_source, walk.to_target, walk.to_output)
    for order, size, length in zip(orders, sizes, lengths, strict=True):
        assert len(order) == len(set(order.tolist())) == length
        assert length == 0 or order.max() < size


@settings(max_examples=100, deadline=None)
@given(SHAPES, SEEDS)
def test_compressed_rows_are_the_matrix(shape, seed):
    """The compressed rows hold the same matrix."""
    entries = random_entries(shape, np.random.default_rng(seed))
    row_start, column, limbs = compressed_rows(shape, entries)
    a = np.zeros((shape.limbs, shape.outputs, shape.inputs), np.uint64)
    for row in range(shape.outputs):
        for e in range(row_start[row], row_start[row + 1]):
            a[:, row, column[e]] += limbs[:, e]
    assert np.array_equal(a, dense(shape, entries))


def test_entries_that_are_not_padded_are_refused():
    """A matrix that has not the public size does not get a layout."""
    shape = MapShape(2, 2, 3, 0, 1)
    entries = random_entries(MapShape(2, 2, 2, 0, 1), np.random.default_rng(0))
    with pytest.raises(ValueError, match="padded"):
        lay_out(shape, entries)


@settings(max_examples=40, deadline=None)
@given(SHAPES, SEEDS, st.integers(3, 5), st.integers(0, 4), st.integers(1, 9))
def test_prepared_columns(shape, seed, parties, owner, columns):
    """The preparation gives [[A (r + placed imports)]] for every column and limb."""
    rng = np.random.default_rng(seed)
    owner %= parties
    entries = random_entries(shape, rng)
    r = rng.integers(0, 2**64, (shape.inputs, columns), dtype=np.uint64)
    imports = rng.integers(0, 2**64, (shape.placed, columns), dtype=np.uint64)

    async def program(ctx):
        own = entries if ctx.me == owner else None
        private_map = await set_up_map(ctx, ("map",), owner, shape, own)
        at_h1 = (r, imports) if ctx.me == (owner + 1) % parties else (None, None)
        products = await prepare_columns(ctx, ("prepare",), private_map, columns, *at_h1)
        held = [p.local for p in products if p.local is not None]
        size = (shape.limbs, shape.outputs, columns)
        return Shared(owner, products[0].helper, size, np.stack(held) if held else None)

    result = asyncio.run(run_opened(parties, program, seed))
    assert np.array_equal(result, dense(shape, entries) @ with_imports(entries, r, imports))


@dataclass(frozen=True)
class Network:
    """Random private matrices of several owners over all their vertices."""

    parties: int
    owners: tuple[int, ...]
    vertices: dict[int, int]
    boundary: dict[tuple[int, int], int]
    entries: dict[int, int]
    form: FixedPoint
    rng: np.random.Generator

    def context(self):
        return seeded_contexts(roster_of(self.parties, len(self.owners)), 3)


def random_network(parties: int, owners: int, limbs: int, seed: int) -> Network:
    """Sizes of a network, edges of zero included."""
    rng = np.random.default_rng(seed)
    names = tuple(range(owners))
    pairs = [(b, c) for b in names for c in names if b != c]
    return Network(
        parties,
        names,
        {b: int(rng.integers(1, 6)) for b in names},
        {pair: int(rng.integers(0, 4)) for pair in pairs},
        {b: int(rng.integers(0, 9)) for b in names},
        FixedPoint(20, 18, limbs, 64.0),
        rng,
    )


def small_entries(shape: MapShape, form: FixedPoint, rng: np.random.Generator) -> Entries:
    """Weights in [0, 1] as limbs of f_w bits."""
    limbs = rng.integers(0, 1 << form.weight_bits, (shape.limbs, shape.entries), dtype=np.uint64)
    return Entries(
        rng.integers(0, shape.inputs, shape.entries),
        rng.integers(0, shape.outputs, shape.entries),
        limbs,
        rng.integers(0, shape.inputs, shape.placed),
    )


def real_matrix(shape: MapShape, entries: Entries, form: FixedPoint) -> np.ndarray:
    """The matrix of real numbers that the limbs stand for."""
    limbs = dense(shape, entries).astype(np.float64)
    scales = 2.0 ** -np.array(form.shifts)
    return np.einsum("l,lij->ij", scales, limbs)


NETWORKS = st.tuples(
    st.integers(3, 5), st.integers(1, 5), st.integers(1, 2), st.integers(0, 2**32 - 1)
).map(lambda t: (t[0], min(t[:2]), *t[2:]))


@settings(max_examples=25, deadline=None)
@given(NETWORKS)
def test_push_and_fold(sizes):
    """Two push steps and the folding of imports agree with dense matrices."""
    net = random_network(*sizes)
    parties = net.context()
    shapes = push_shapes(parties[0], net.vertices, net.boundary, net.entries, net.form.limbs)
    entries = {b: small_entries(shapes[b], net.form, net.rng) for b in net.owners}
    start = {b: net.rng.integers(-(2**25), 2**25, shapes[b].outputs) for b in net.owners}

    async def program(ctx):
        system = await set_up_push(ctx, ("s",), shapes, net.boundary, net.form, entries.get(ctx.me))
        block = await prepare_push(ctx, ("p",), system, 2)
        x = {
            b: shared(ctx, (b, ctx.roster.helpers(b)[0]), v.view(np.uint64))
            for b, v in start.items()
        }
        for column in range(2):
            x = await push(ctx, system, block, column, x)
        folded = await fold_imports(ctx, ("fold",), system, x)
        return x, folded, system

    results = asyncio.run(run_all(parties, program))
    system, ctx = results[0][2], parties[0]
    expected = {b: v.astype(float) for b, v in start.items()}
    for _ in range(2):
        inputs = placed_inputs(net, ctx, system, entries, expected)
        expected = {b: real_matrix(shapes[b], entries[b], net.form) @ inputs[b] for b in net.owners}
    folded = placed_inputs(net, ctx, system, entries, expected)
    for which, values in ((0, expected), (1, folded)):
        for b in net.owners:
            result = signed(opened(RING64, [r[which][b] for r in results]))
            assert np.allclose(result, values[b], rtol=1e-9, atol=200)


def placed_inputs(net, ctx, system, entries, x):
    """Each owner's vertices plus the rows that others have for it."""
    total = {}
    for b in net.owners:
        rows = [x[c][slice(*system.rows_for(ctx, c, b))] for c in net.owners if c != b]
        total[b] = x[b][: net.vertices[b]].copy()
        np.add.at(total[b], entries[b].place, np.concatenate([*rows, np.zeros(0)]))
    return total


@settings(max_examples=25, deadline=None)
@given(NETWORKS)
def test_pull(sizes):
    """Two pull steps agree with dense matrices; export rows numbered -1 are zero."""
    net = random_network(*sizes)
    parties = net.context()
    shapes = pull_shapes(parties[0], net.vertices, net.boundary, net.entries, net.form.limbs)
    entries = {b: small_entries(shapes[b], net.form, net.rng) for b in net.owners}
    start = {b: net.rng.integers(-(2**25), 2**25, net.vertices[b]) for b in net.owners}
    chosen = {pair: random_choice(net, pair) for pair in net.boundary}

    async def program(ctx):
        own = {c: v for (b, c), v in chosen.items() if b == ctx.me}
        system = await set_up_pull(
            ctx, ("s",), shapes, net.boundary, net.form, entries.get(ctx.me), own
        )
        block = await prepare_pull(ctx, ("p",), system, 2)
        x = {
            b: shared(ctx, (b, ctx.roster.helpers(b)[0]), v.view(np.uint64))
            for b, v in start.items()
        }
        for column in range(2):
            x = await pull(ctx, system, block, column, x)
        return x

    results = asyncio.run(run_all(parties, program))
    expected = {b: v.astype(float) for b, v in start.items()}
    for _ in range(2):
        inputs = {
            b: np.concatenate(
                [expected[b]] + [exported(expected[c], chosen[c, b]) for c in net.owners if c != b]
            )
            for b in net.owners
        }
        expected = {b: real_matrix(shapes[b], entries[b], net.form) @ inputs[b] for b in net.owners}
    for b in net.owners:
        result = signed(opened(RING64, [r[b] for r in results]))
        assert np.allclose(result, expected[b], rtol=1e-9, atol=200)


def random_choice(net: Network, pair: tuple[int, int]) -> np.ndarray:
    """Different vertices that an owner exports, or -1."""
    vertices, rows = net.vertices[pair[0]], net.boundary[pair]
    chosen = np.full(rows, -1, np.int64)
    some = net.rng.permutation(vertices)[:rows]
    chosen[: len(some)] = some
    return net.rng.permutation(chosen)


def exported(x: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The exported values in plain."""
    return np.where(chosen < 0, 0.0, x[np.maximum(chosen, 0)])


def test_scatter_add_adds_repeated_indices():
    """Several values for one element are all added."""
    x = np.zeros(3, np.uint64)
    scatter_add(x, np.array([1, 1, 2]), np.array([5, 7, 1], np.uint64))
    assert x.tolist() == [0, 12, 1]
