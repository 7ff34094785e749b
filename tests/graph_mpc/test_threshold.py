"""Threshold tests against Python's integers; their bytes and rounds, counted."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.errors import Overflow
from graph_mpc.threshold import at_least
from tests.graph_mpc.local import contexts, roster_of, run_all
from tests.graph_mpc.seeded import EXTREMES, seeded_contexts, shared, words
from tests.graph_mpc.test_rounds import Post, run_counted

LIMIT = 2**61
BOUNDED = st.integers(-LIMIT, LIMIT) | st.sampled_from(EXTREMES)


def bits_of(parties, holders, values, borders, seed=0):
    """The bits that the two holders share, opened."""

    async def program(ctx):
        return await at_least(ctx, ("t",), shared(ctx, holders, words(values), seed), borders)

    results = asyncio.run(run_all(seeded_contexts(roster_of(parties), seed), program))
    held = [r.local for r in results if r.local is not None]
    assert len(held) == 2
    return held[0] ^ held[1]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(3, 5),
    st.integers(0, 4),
    st.booleans(),
    st.lists(BOUNDED, max_size=6),
    st.lists(BOUNDED, min_size=1, max_size=4),
    st.integers(0, 2**32),
)
def test_threshold_is_a_comparison(parties, owner, second, values, borders, seed):
    """For every value and border, whoever holds and deals, the bit says value >= border."""
    holders = (owner % parties, (owner % parties + 1 + second) % parties)
    near = values + [b + d for b in borders for d in (-1, 0, 1) if abs(b + d) <= LIMIT]
    bits = bits_of(parties, holders, near, borders, seed)
    assert bits.tolist() == [[int(v >= b) for v in near] for b in borders]


def test_threshold_does_not_depend_on_the_masks():
    """20,000 masks of each value give the same bit."""
    values = np.array([-1, 0, 1, 2**61, -(2**61), 4, 5, 6])
    many = np.repeat(values[:, None], 20_000, axis=1)
    assert np.array_equal(bits_of(3, (1, 2), many, [5])[0], (many >= 5).astype(np.uint8))


def test_border_outside_the_ring_is_refused():
    """A border for which x - border could wrap is refused."""
    with pytest.raises(Overflow):
        bits_of(3, (0, 1), [0], [2**61 + 1])


@pytest.mark.parametrize("borders", [1, 2, 5])
def test_bytes_of_a_threshold_test(borders):
    """24 bytes for a value and 77 for each of its borders: far below the 472 of a simulation."""
    made, n = contexts(roster_of(3)), 1000

    async def program(ctx):
        x = shared(ctx, (0, 1), words(range(n)))
        return await at_least(ctx, ("t",), x, list(range(borders)))

    asyncio.run(run_all(made, program))
    sent = sum(sum(ctx.network.count()[0].values()) for ctx in made)
    assert sent == n * (24 + 77 * borders)
    assert sent / (n * borders) <= 500


def test_rounds_of_a_threshold_test():
    """One round for the opening and six for the circuit, whatever the number of borders."""

    async def rounds() -> int:
        post = Post()
        made = contexts(roster_of(3))

        async def program(ctx):
            return await at_least(ctx, ("t",), shared(ctx, (0, 1), words([1, 2])), [1, 2, 3])

        await run_counted(made, post, program)
        return post.rounds

    assert asyncio.run(rounds()) == 7
