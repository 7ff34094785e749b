"""Truncation, exact floor, products, ANDs and borrows against Python's integers."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph_mpc.binary import Holders, XorShared, and_words, bit_to_ring, borrow_bits
from graph_mpc.floor import exact_floor
from graph_mpc.product import multiply
from graph_mpc.ring import RING64
from graph_mpc.shares import Shared
from graph_mpc.truncation import truncate
from tests.graph_mpc.local import roster_of, run_all
from tests.graph_mpc.seeded import EXTREMES, run_opened, seeded_contexts, shared, signed, words

PARTIES = st.integers(3, 5)
WORD = st.integers(0, 2**64 - 1)
BOUNDED = st.integers(-(2**61), 2**61) | st.sampled_from(EXTREMES)
SHIFTS = st.integers(1, 61)


@settings(max_examples=60, deadline=None)
@given(PARTIES, st.integers(0, 4), st.booleans(), st.lists(BOUNDED, max_size=8), SHIFTS, WORD)
def test_truncation_is_floor_or_one_more(parties, owner, second, values, shift, seed):
    """The result is floor(x / 2^f) or one more, and x / 2^f itself for exact multiples."""
    holders = (owner % parties, (owner % parties + 1 + second) % parties)

    async def program(ctx):
        return await truncate(ctx, ("t",), shared(ctx, holders, words(values), seed), shift)

    result = signed(asyncio.run(run_opened(parties, program, seed)))
    for x, y in zip(values, result.tolist(), strict=True):
        assert y - (x >> shift) in ((0,) if x % (1 << shift) == 0 else (0, 1))


async def test_truncation_is_right_on_average():
    """The mean over many masks is x / 2^f, at the bounds as well."""
    uses, shift = 40_000, 4
    values = np.array([5, -5, 2**61 - 1, 1 - 2**61, 16, -16, 0, 7])
    many = np.repeat(words(values)[:, None], uses, axis=1)

    async def program(ctx):
        return await truncate(ctx, ("t",), shared(ctx, (0, 1), many), shift)

    excess = signed(await run_opened(3, program)) - (values >> shift)[:, None]
    assert np.all(np.abs(excess.mean(axis=1) - (values % 16) / 16) < 5 * 0.5 / uses**0.5)
    assert np.all(excess[values % 16 == 0] == 0)


async def test_truncation_by_different_shifts():
    """Limbs are cut by a different number of bits each."""
    shifts = np.array([[3], [6]], np.uint64)
    x = words([[64, -64, 128], [64, -64, 0]])

    async def program(ctx):
        return await truncate(ctx, ("t",), shared(ctx, (0, 1), x), shifts)

    assert signed(await run_opened(3, program)).tolist() == [[8, -8, 16], [1, -1, 0]]


@settings(max_examples=40, deadline=None)
@given(PARTIES, st.integers(0, 4), st.booleans(), st.lists(BOUNDED, max_size=8), SHIFTS, WORD)
def test_exact_floor_is_floor(parties, owner, second, values, shift, seed):
    """The result is floor(x / 2^f), rounding towards minus infinity, whatever the masks."""
    holders = (owner % parties, (owner % parties + 1 + second) % parties)

    async def program(ctx):
        return await exact_floor(ctx, ("f",), shared(ctx, holders, words(values), seed), shift)

    result = signed(asyncio.run(run_opened(parties, program, seed)))
    assert result.tolist() == [x >> shift for x in values]


async def test_exact_floor_of_many_masks():
    """The floor is the same for 20,000 masks of each value."""
    values = np.array([5, -5, 15, -1, 2**61, -(2**61), 2**61 - 1])
    many = np.repeat(words(values)[:, None], 20_000, axis=1)

    async def program(ctx):
        return await exact_floor(ctx, ("f",), shared(ctx, (1, 2), many), 4)

    assert np.array_equal(signed(await run_opened(3, program)), many.view(np.int64) >> 4)


@settings(max_examples=40, deadline=None)
@given(
    PARTIES, st.integers(0, 4), st.lists(WORD, max_size=6), st.lists(WORD, min_size=1, max_size=3)
)
def test_product(parties, owner, x, y):
    """The product is right modulo 2^64, with numpy's broadcasting."""
    holders = (owner % parties, (owner + 1) % parties)
    column, row = words(x)[None, :], words(y)[:, None]

    async def program(ctx):
        return await multiply(
            ctx, ("m",), shared(ctx, holders, column), shared(ctx, holders, row, 2)
        )

    assert np.array_equal(asyncio.run(run_opened(parties, program)), column * row)


def test_product_of_values_at_different_helpers_is_refused():
    """Only values that the same two parties share can be multiplied."""
    ctx = seeded_contexts(roster_of(3), 0)[0]
    x, y = shared(ctx, (0, 1), words([1])), shared(ctx, (0, 2), words([1]))
    with pytest.raises(ValueError, match="same parties"):
        asyncio.run(multiply(ctx, ("m",), x, y))


def xor_shared(ctx, who: Holders, values: np.ndarray, seed: int) -> XorShared:
    """Words XOR-shared at random."""
    rest = np.random.default_rng(seed).integers(0, 2**64, values.shape, dtype=np.uint64)
    local = {who.owner: values ^ rest, who.helper: rest}.get(ctx.me)
    return XorShared(values.shape, local)


def xor_opened(results) -> np.ndarray:
    """The word of two XOR shares."""
    first, second = (r.local for r in results if r.local is not None)
    return first ^ second


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(WORD, WORD), max_size=6), st.permutations(range(3)))
def test_and(pairs, roles):
    """The AND is bitwise on whole words, whoever holds and deals."""
    who = Holders(*roles)
    x, y = (words([pair[i] for pair in pairs]) for i in (0, 1))

    async def program(ctx):
        return await and_words(
            ctx, ("a",), who, xor_shared(ctx, who, x, 1), xor_shared(ctx, who, y, 2)
        )

    results = asyncio.run(run_all(seeded_contexts(roster_of(3), 1), program))
    assert np.array_equal(xor_opened(results), x & y)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(WORD, WORD) | WORD.map(lambda w: (w, w)), max_size=6))
def test_borrow(pairs):
    """Bit i of the result says whether c mod 2^(i+1) < r mod 2^(i+1)."""
    who = Holders(0, 1, 2)
    c, r = (words([pair[i] for pair in pairs]) for i in (0, 1))

    async def program(ctx):
        public = c if ctx.me != 2 else None
        return await borrow_bits(ctx, ("b",), who, public, xor_shared(ctx, who, r, 3))

    result = xor_opened(asyncio.run(run_all(seeded_contexts(roster_of(3), 2), program)))
    for (a, b), word in zip(pairs, result.tolist(), strict=True):
        for i in (0, 1, 20, 62, 63):
            assert word >> i & 1 == (a % 2 ** (i + 1) < b % 2 ** (i + 1))


@settings(max_examples=30, deadline=None)
@given(st.lists(WORD, max_size=6), st.integers(0, 2**32))
def test_bit_to_ring(values, seed):
    """The lowest bit becomes an additive share; the upper bits do not matter."""
    who = Holders(2, 0, 1)
    bits = words(values)

    async def program(ctx):
        share = await bit_to_ring(ctx, ("b",), who, xor_shared(ctx, who, bits, seed))
        return Shared(2, 0, bits.shape, share)

    results = asyncio.run(run_all(seeded_contexts(roster_of(3), seed), program))
    held = [r.local for r in results if r.local is not None]
    assert np.array_equal(RING64.reduce(held[0] + held[1]), bits & np.uint64(1))
