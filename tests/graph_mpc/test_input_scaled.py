"""Maps whose weights stand at the inputs."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.context import Context
from graph_mpc.layout import Entries, MapShape
from graph_mpc.linear_map import prepare_columns, set_up_map
from graph_mpc.ring import RING64, Words
from graph_mpc.shares import Shared
from tests.graph_mpc.local import contexts, opened, roster_of, run_all

SIZES = st.tuples(
    st.integers(1, 7), st.integers(1, 7), st.integers(0, 12), st.integers(0, 4), st.integers(1, 2)
)


def random_entries(shape: MapShape, rng: np.random.Generator) -> Entries:
    """One weight for each input; some entries are padding, with weight 0."""
    source = rng.integers(0, shape.inputs, shape.entries)
    weights = rng.integers(1, 2**64, (shape.limbs, shape.inputs), dtype=np.uint64)
    limbs = np.where(rng.random(shape.entries) < 0.3, np.uint64(0), weights[:, source])
    target = rng.integers(0, shape.outputs, shape.entries)
    return Entries(source, target, limbs, rng.integers(0, shape.inputs, shape.placed))


def naive(shape: MapShape, entries: Entries, inputs: Words, imports: Words) -> list[Words]:
    """A (r + placed imports) for each limb, entry by entry."""
    total = inputs.copy()
    np.add.at(total, entries.place, imports)
    products = []
    for weights in entries.limbs:
        out = np.zeros((shape.outputs, inputs.shape[1]), np.uint64)
        np.add.at(out, entries.target, weights[:, None] * total[entries.source])
        products.append(out)
    return products


async def prepare(shape: MapShape, seed: int) -> tuple[list[list[Shared]], list[Words], int]:
    """Prepare at all parties; return their shares, what is expected, and elements sent."""
    rng = np.random.default_rng(seed)
    entries = random_entries(shape, rng)
    inputs = rng.integers(0, 2**64, (shape.inputs, 3), dtype=np.uint64)
    imports = rng.integers(0, 2**64, (shape.placed, 3), dtype=np.uint64)
    parties = contexts(roster_of(3))

    async def program(ctx: Context) -> list[Shared]:
        private = await set_up_map(ctx, ("m",), 0, shape, entries if ctx.me == 0 else None)
        ctx.network.phase = "prepare"
        masks = (inputs, imports) if ctx.me == 1 else (None, None)
        return await prepare_columns(ctx, ("p",), private, 3, *masks)

    shares = await run_all(parties, program)
    sent = sum(ctx.network.count()[0].get("prepare", 0) for ctx in parties)
    return shares, naive(shape, entries, inputs, imports), sent // (8 * 3)


@given(SIZES, st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_prepared_columns_are_the_product(sizes: tuple[int, ...], seed: int) -> None:
    """The parties' shares add up to A (r + imports), padding entries and unused slots silent."""
    shape = MapShape(*sizes, input_scaled=True)
    shares, expected, _sent = asyncio.run(prepare(shape, seed))
    for limb, product in enumerate(expected):
        held = [party[limb] for party in shares]
        assert np.array_equal(opened(RING64, held), product)


@pytest.mark.parametrize(("scaled", "messages"), [(True, 3), (False, 5)])
async def test_one_limb_costs_three_messages_instead_of_five(scaled: bool, messages: int) -> None:
    """Elements sent per (accounts + edges) and column, for many more edges than accounts."""
    shape = MapShape(100, 100, 5_000, 0, 1, input_scaled=scaled)
    _shares, _expected, sent = await prepare(shape, 1)
    assert sent / (100 + 5_000) == pytest.approx(messages, rel=0.05)
